/* thread.h - attached threads: messages they exchange with a core over a ring pair.
 *
 * The thread fills a message, pushes it, and gets the same message back when the core is done with
 * it; until then the core owns it. All memory is the thread's: the core neither allocates nor
 * frees.
 */
#pragma once

#include "core.h"

enum { THREAD_RING_PER_PASS = 16 };

enum thread_op {
	THREAD_CALL,
	THREAD_ALL,
	THREAD_ANSWER,
	THREAD_STATUS,
	THREAD_STATUS_WITH,
	THREAD_CREATED,
	THREAD_WORKED,
	THREAD_CONTINUE
};

struct thread_msg {
	enum thread_op op;
	uint8_t code;
	bool has_payload, skipped;
	struct thread_ring *ring;
	struct list waiting; /* THREAD_CALL, in core->waiting */
	/* call */
	struct tela_client *client;
	const struct tela_method_desc *method;
	const struct tela_options *options;
	struct tela_reply *reply; /* payload points to room for options->max_reply_bytes */
	size_t reply_room;
	uint64_t deadline_ns, submitted_ns; /* set by the core */
	/* call and resume */
	uint32_t quorum; /* THREAD_ALL */
	int error;
	struct tela_handle handle;
	uint16_t identity; /* THREAD_CONTINUE: 0, or who was proved to call */
	const char *subject;
	const void *payload;
	size_t len;
	char message[204];
	bool done;
	struct thread_msg *next;
	struct call_work work;
	uint8_t bytes[]; /* a resume's payload, then what `work` keeps of metadata */
};

/* How a pending call goes on. */
struct thread_resume {
	struct tela_handle handle;
	enum thread_op op;
	uint8_t code;
	bool skipped;        /* work that was not started */
	const char *message; /* NULL: none */
	const void *payload;
	size_t len;
	const struct call_work *work; /* THREAD_WORKED */
};

struct thread_ring {
	struct xring to_core, from_core;
	struct tela_thread *thread;
	uint32_t outstanding; /* thread's: messages that have not come back */
};

/* 0, -EAGAIN, -ENOMEM, -EINVAL. [thread] */
int thread_resume(struct tela_thread *t, const struct thread_resume *r);
/* Waits until a core has something for the thread, or a little while. [thread] */
void thread_wait(struct tela_thread *t);

struct tela_thread {
	struct tela_node *node;
	struct wake wake;
	uint32_t place;
	uint32_t sample, until_sample; /* tela_thread_sample(); calls until the next one */
	struct tela_thread *next;      /* being freed */
	struct thread_ring ring[];
};

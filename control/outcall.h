/* outcall.h - the threads that make the calls of `telactl call`: a blocking call has no place in
 * the event loop.
 *
 * Each is made and attached to the node when a call comes and all others are busy, so that a silent
 * peer keeps nobody else waiting. Beyond OUTCALL_THREADS calls wait; OUTCALL_QUEUE are there at
 * most.
 *
 * Context:   control thread, except `run` inside.
 * Ownership: a call belongs to a thread from submit until `done`, which gets it back with its
 *            reply. */
#pragma once

#include "admin.h"

enum { OUTCALL_THREADS = 4, OUTCALL_QUEUE = 64 };

struct outcall {
	struct outcall *next; /* private */
	struct tela_client *client;
	const struct tela_method_desc *method;
	void *payload;
	size_t len;
	struct tela_options options;
	void (*done)(struct outcall *call);
	/* Of a client of many: every instance is called, and has its reply here. NULL: one call. */
	struct tela_reply *all;
	uint32_t quorum;
	int error; /* of tela_thread_call, or -EBUSY: no thread could be attached */
	struct tela_reply reply;
	uint64_t took_ns;
};

/* False: the call stays with its owner, and `r` has been answered with the reason. */
bool outcall_submit(struct control *c, struct request *r, struct outcall *call);
/* Runs `done` of what has ended. */
void outcall_poll(struct control *c);
/* Waits at most `wait_ms` for the calls under way. False: one goes on, and the node may not be
 * destroyed. */
bool outcall_destroy(struct control *c, uint32_t wait_ms);

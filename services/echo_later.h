/* echo_later.h - the thread behind echo.later: takes pending calls from the data cores, keeps each
 * for its time, answers it.
 *
 * At most `places` calls are with it, waiting ones included. Every call that was queued is answered
 * once: with its data, or UNAVAILABLE when the thread ends first.
 */
#pragma once

#include "svc_ring.h"
#include "svc_worker.h"
#include "tela.h"
#include "tela_node.h"
#include "tela_plugin.h"

enum { ECHO_LATER_PLACES_MAX = 4096 };

struct echo_later_call {
	struct tela_handle handle;
	const void *request; /* a verified echo.Delayed, there until the call is answered */
	uint64_t due_ns;     /* on the thread's clock, from when it saw the call */
};

struct echo_later {
	struct svc_worker worker;
	struct svc_ring ring; /* of struct echo_later_call */
	struct tela_node *node;
	struct tela_thread *thread;
	/* The thread's own. */
	struct echo_later_call *waiting;
	uint32_t n_waiting;
	uint8_t *reply;
	size_t reply_size;
	_Atomic uint64_t answered, given_up;
};

/* `places` is a power of two. 0, or -errno with the hook's error: -EBUSY, no place left for a
 * thread at the node. */
int echo_later_start(struct echo_later *l, struct tela_hook *h, uint32_t places);
void echo_later_stop(struct echo_later *l);

/* Makes the call pending and queues it: TELA_PENDING, or TELA_ANSWER with RESOURCE_EXHAUSTED.
 * [core] */
enum tela_verdict echo_later_queue(struct echo_later *l, struct tela_call *call);

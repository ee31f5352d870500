/* outcall.h - the thread that makes the calls of `telactl call`: a blocking call has no place in
 * the event loop.
 *
 * It is made and attached to the node when the first call comes. Calls wait for one another; at
 * most OUTCALL_QUEUE do.
 *
 * Context:   control thread, except `run` inside.
 * Ownership: a call belongs to that thread from submit until `done`, which gets it back with its
 *            reply. */
#pragma once

#include "control.h"

enum { OUTCALL_QUEUE = 64 };

struct outcall {
	struct outcall *next; /* private */
	struct tela_client *client;
	const struct tela_method_desc *method;
	void *payload;
	size_t len;
	struct tela_options options;
	void (*done)(struct outcall *call);
	int error; /* of tela_thread_call, or -EBUSY: no thread could be attached */
	struct tela_reply reply;
	uint64_t took_ns;
};

/* -EAGAIN: too many wait already; -ENOMEM. */
int outcall_submit(struct control *c, struct outcall *call);
/* Runs `done` of what has ended. */
void outcall_poll(struct control *c);
/* Waits at most `wait_ms` for the call under way. False: it goes on, and the node may not be
 * destroyed. */
bool outcall_destroy(struct control *c, uint32_t wait_ms);

/* forward.h - calls of client processes on this host that another node serves: sent on to it.
 *
 *   client process            this node                           callee
 *   request            ->     admitted as any call: by name and
 *                             hash, then by an index (bind)
 *                             forward_enter(): it is pending,
 *                             a call of its own goes out     ->   request, one hop more
 *   in progress        <-
 *   response           <-     forward_done(): envelope and   <-   response
 *                             payload as they came
 *
 * What can be sent on is a service here: a descriptor by name, hash and methods, and an image whose
 * one link sends on. So deadlines, duplicates, cancels, budgets and drains are those of any pending
 * call, and of a call that is made for another. At most once holds on both ways: each is one wire
 * call. A callee's envelope reaches the client byte for byte.
 *
 * The client's payload is copied once, into the slot of the call that goes out: that is where any
 * call is built. A large request is lent from the message that it arrived in.
 *
 * One that an instance refuses UNAVAILABLE, surely not executed, goes to another one, FORWARD_TRIES
 * times in all; every other end is the client's to judge. One for which the callee has not granted
 * a slot yet waits for it, as a copy, behind those that wait for the same service; services take
 * turns, so that one which nobody has a slot for holds up none of the others.
 *
 * Context: the owning core, but for what is atomic.
 */
#pragma once

#include "list.h"
#include "tela.h"

struct machine;
struct path;
struct call;
struct caller_slot;
struct forward;
struct tela_service;

enum {
	/* A call that is part of a tree so deep is not sent on: where nodes send on to each other
	 * by mistake, it ends. */
	FORWARD_HOPS_MAX = 16,
	FORWARD_TRIES = 3,
	FORWARD_NOBODY = 255,
};

/* Of one call, with what it hands on (nest.h). */
struct forward_call {
	struct list waiting; /* in its service's queue */
	struct call *call;
	struct tela_handle handle;
	uint64_t sent_ns, tried; /* mask of instances */
	uint32_t waits;          /* serial (nest.h), 0: not in a queue */
	uint8_t instance;        /* that has it, FORWARD_NOBODY: none */
	uint8_t tries;
	bool bound; /* it came with an index */
};

/* Of a service on one core: calls that wait for a slot, in order. */
struct forward_queue {
	struct list of_machine; /* in machine->forwards, while there are any */
	struct list calls;
};

static inline void forward_queue_init(struct forward_queue *q)
{
	list_init(&q->of_machine);
	list_init(&q->calls);
}

/* Who is asked. */
struct forward_route {
	/* This core's. */
	struct forward_queue *(*queue)(struct machine *m, struct forward *to);
	/* As tela_request_begin, of an instance that is not in f->tried: enters it there and in
	 * f->instance. -ENOTCONN: none is left. */
	int (*begin)(struct machine *m, struct forward *to, struct forward_call *f,
		const struct tela_method_desc *method, size_t size, const struct tela_options *o,
		struct tela_request *ret);
	/* That instance's call has ended. */
	void (*ended)(struct machine *m, struct forward *to, const struct forward_call *f,
		const struct tela_result *r);
};

struct forward {
	const struct forward_route *route;
	/* False: nobody serves it just now, or this node does. Those that have bound it are to bind
	 * again. */
	_Atomic bool open;
	_Atomic bool own; /* its hash is that of some callee's own schema */
};

/* Immutable; several services of one name differ in their hashes. */
struct forward_table {
	uint32_t n;
	struct tela_service *at[];
};

/* The service of that name and, if there is one, hash, that calls which come on `from` may be sent
 * on to; NULL: none. */
struct tela_service *forward_find(
	struct machine *m, const struct path *from, struct tela_str name, uint64_t schema);
/* The one link of its image. */
enum tela_verdict forward_enter(struct tela_call *call, void *self);
/* A call made in `s` was refused. True: it was one sent on, and another instance has it now. */
bool forward_again(struct machine *m, const struct caller_slot *s, const struct tela_result *r);
/* Those that wait for a slot; bounded. Returns whether it did something. */
bool forward_due(struct machine *m);

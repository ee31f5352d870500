/* nest.h - calls made for a call: what it hands on to them, and their end when nobody waits for it
 * any more.
 *
 * A call takes a message buffer for this when it first needs one: it came with a trace, a span is
 * opened in it, it makes a call, a worker takes it. One that does none of these pays nothing.
 *
 *   context   what is handed on; `call.pub.context` points to it once it says more than the
 *             request's envelope does
 *   children  calls under way for this one. They are not taken out when they end: a child is known
 *             by a serial that is another one by then, and its place is taken by a later child.
 *
 * A call that is detached because its caller has gone is put in front of the pending ones, and its
 * children are cancelled at the next machine_local(): their completions run, which may resume or
 * end any call, so nobody may be walking over calls just then.
 */
#pragma once

#include "call.h"
#include "forward.h"

struct nest_child {
	void (*cancel)(struct machine *m, void *child);
	void *child;
	const uint32_t *serial;
	uint32_t was; /* of a child that has not ended */
	uint32_t reserved;
};

struct nest {
	struct tela_context context; /* `deadline_ns` is not kept here */
	uint64_t own;                /* the call's own span, 0: none */
	uint32_t n_children, reserved;
	struct forward_call forward; /* of one that is sent on */
	struct nest_child child[];
};

/* The call's, made if need be; NULL: no memory. */
struct nest *nest_of(struct call *c);
/* The root of the tree that the call is part of; false: it is alone so far. */
bool nest_root(const struct call *c, uint64_t ret[2]);
/* For a request with a trace: its context, if there is memory for it. */
void nest_receive(struct call *c);
/* What a call with these options (of which parent or context is set) hands on: the hop more is
 * counted. 0; -ECANCELED: nobody waits for the parent; -ELOOP: too many hops. */
int nest_context(struct machine *m, const struct tela_options *o, struct tela_context *ret);
/* Enters a child of the call that the options name as parent, if that is one of this core. False:
 * no memory, it will not be cancelled with its parent. */
bool nest_add(struct machine *m, const struct tela_options *o, const struct nest_child *child);
/* The memory that children stand in, all of which have ended, goes. */
void nest_forget(struct machine *m, const void *memory, size_t size);
/* That no child under way on this core has. */
uint32_t nest_serial(struct machine *m);
/* The call was detached: its caller has gone. */
void nest_orphan(struct machine *m, struct call *c);
/* Whether children of the call are under way. They are to be cancelled, as if it were orphaned. */
bool nest_cancels(struct machine *m, struct call *c);
/* Cancels the children of those calls. */
void nest_cancel(struct machine *m);

/* drain.h - a service goes without failing a call, alone or with its node.
 *
 *      leaving -> (two heartbeats) gate closed -> nothing in flight, every link agrees: drained
 *                                          \-> deadline: what is left is cancelled, and said
 *
 * While it leaves, discovery and `ready` say so and it serves. The gate then still takes calls that
 * descend from one in flight on this node. Of a node's services those drain first that use others
 * (`uses` of their plugins). A drain is undone by `activate`, until the node drains.
 *
 * Context: control thread. */
#pragma once

#include "stack.h"

/* `error` 0: it is done, or its time is over and so many calls have been cancelled; -EBUSY: it is
 * undone; -ENOMEM: it has not begun. */
typedef void (*drain_done_fn)(void *arg, struct stack *s, int error, uint32_t cancelled);

/* Begins to drain, or joins a drain under way; `done` comes at the latest after `deadline_ms`, but
 * for the time that the gate takes to close. */
void drain_service(struct stack *s, uint64_t deadline_ms, drain_done_fn done, void *arg);
/* How far it is, into `ret`: "" if it does not drain. Returns whether nothing is left. */
bool drain_show(const struct stack *s, char *ret, size_t size);
/* At each tick. */
void drain_tick(struct stack *s);
/* The operator wants it otherwise. */
void drain_undo(struct stack *s);

/* From leaving to the gate. */
uint64_t drain_notice_ns(const struct control *c);
/* Of a node that leaves: so does each service. */
void drain_begin(struct stack *s);
/* All services of a node that leaves: closes the gate of each when those that use it are done.
 * True: all are. */
bool drain_node(struct control *c);
/* At its deadline: cancels what is left, and says so in the log. */
void drain_node_end(struct control *c);

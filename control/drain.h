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

/* How far it is, until `done`: when that has changed, and each second; no more than ten times in
 * one. */
typedef void (*drain_told_fn)(void *arg, struct stack *s, uint64_t left_ms);

/* Whether it runs, or has a drain under way that closes its gate: else there is nothing to drain. */
bool drain_can(const struct stack *s);
/* Begins to drain, or joins a drain under way; `done` comes at the latest after `deadline_ms`, but
 * for the time that the gate takes to close. `told` NULL: nobody watches. */
void drain_service(
	struct stack *s, uint64_t deadline_ms, drain_done_fn done, drain_told_fn told, void *arg);
/* Until the last deadline of the drains under way; 0: there is none. */
uint64_t drain_left_ms(const struct stack *s);
/* Of its calls in flight, those that a worker has. */
uint32_t drain_working(const struct stack *s);
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
/* At its deadline: cancels what is left, and says so in the log; how many calls. */
uint32_t drain_node_end(struct control *c);

/* Watches that: `told` as for a service, `done` once, with how many calls were cancelled. -ENOMEM:
 * neither will come. */
typedef void (*drain_node_told_fn)(void *arg, struct control *c, uint64_t left_ms);
typedef void (*drain_node_done_fn)(void *arg, struct control *c, uint32_t cancelled);
int drain_node_watch(
	struct control *c, drain_node_told_fn told, drain_node_done_fn done, void *arg);
/* While it drains, and when it has. */
void drain_node_tell(struct control *c, uint64_t left_ms);
void drain_node_tell_done(struct control *c, uint32_t cancelled);

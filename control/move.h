/* move.h - what moves a service between its statuses: the node's start, the operator, and the tries
 * after a failure. The legal moves are a table in running.c; each way through it is a list of
 * stages in move.c, run as a change of the service is, in its turn.
 *
 *      boot:    starting > load > arrange > config hooks > start hooks > publish > running
 *               a failure: stop hooks of what had started, in reverse > failed
 *      pause:   gate closes > pausing > paused          workers go on
 *      resume:  starting > gate opens > running         nothing is started again
 *      failure: gate closes > failed
 *      revival: starting > a new instance of what failed, as any change > gate opens > running
 *      stop:    gate closes > stopping > withdraw > the last call > stop hooks > stopped
 *
 * Every change of the status is told to every link (status_changed, call order) before the next
 * stage. A start that failed is tried again after start_retry_ms, twice that, and so on up to
 * start_retry_max_ms, start_retries times; one whose hook hangs is not, for each try would leave
 * a thread behind.
 *
 * Context: control thread. */
#pragma once

#include "change.h"

/* Brings the service to `wanted`; if it is there, nothing happens. `reason` (NULL: none) is copied.
 * `done` gets 0 or -errno, with the sentence in s->last_error; when the service is still stopping
 * after drain_deadline_ms, -ETIMEDOUT, and it goes on. */
void move_submit(struct stack *s, enum admin_status wanted, const char *reason,
	void (*done)(void *arg, struct stack *s, int error), void *arg);
/* At each tick: tries a failed service again when it is time. */
void move_tick(struct stack *s);
/* A plugin of it has failed: the service has, and that plugin alone is started anew. */
void move_failed(struct stack *s, struct tela_instance *i, const char *what, const char *why);
/* How many more tries there will be, and in how many milliseconds the next one; false: none. */
bool move_next_try(const struct stack *s, uint32_t *ret_left, uint64_t *ret_in_ms);
void move_forget_plan(struct stack *s);
/* Closes the gate but for calls that descend from one in flight. */
void move_gate_drains(struct stack *s);

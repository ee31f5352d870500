/* part.h - the answer to a change: that it is published, and what becomes of the instances that it
 * has replaced, which stop when the last call under an older image has ended.
 *
 * Context: control thread. */
#pragma once

#include "admin.h"
#include "change.h"

struct parting;

/* Answers `r` with `result` (its reference is taken), to which "replaced" (how many instances have
 * left the service) and "old_stopped" are added: at once; or, with the argument wait=true, when all
 * of them have stopped, with "stopped_after_ms", or at the latest after drain_deadline_ms. From
 * inside `done` of `c`, which has succeeded. */
void part_answer(const struct change *c, struct request *r, json_t *result);
/* At each tick: answers those that have waited long enough. */
void part_tick(struct stack *s);

/* idle.h - what a core does when a pass has found nothing: spin, sleep in short steps, or sleep
 * until its devices interrupt (enum tela_idle).
 *
 * A sleep ends with a receive interrupt of a queue, with wake_up() by whoever leaves the core work,
 * or when something is due, whatever comes first. None is lost: interrupts are switched on, then
 * every source of work is looked at once more, by a whole pass; what comes after that look leaves
 * an event behind that ends the sleep.
 */
#pragma once

#include "core.h"

/* [core] A pass found nothing. */
void idle_pass(struct core *c);
/* [control] Once the ports have started, before the core polls: finds its queues' interrupts where
 * they are asked for. 0; -ENOTSUP with a sentence: a device has none; -errno. */
int idle_open(struct core *c, char *err, size_t err_len);
void idle_close(struct core *c);

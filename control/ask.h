/* ask.h - what links say of themselves: are they ready for calls, have they drained. Each is asked
 * in call order, on the lifecycle thread, under the deadline of hooks; all must agree.
 *
 * A running service is asked every ASK_MS whether it is ready, one that drains whether it has done.
 *
 * Context: control thread. */
#pragma once

#include "stack.h"

enum { ASK_MS = 100 };

/* At each tick. */
void ask_tick(struct stack *s);
/* Asks at the next tick. */
void ask_soon(struct stack *s);

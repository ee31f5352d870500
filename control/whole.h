/* whole.h - services that come and go while the node runs.
 *
 *      add:     the definition is checked as --check does > a stack of its own > the service's boot
 *               a failure: what follows, without a drain; then it is as if it had never been there
 *      remove:  drain, at the deadline calls are cancelled > deactivate > out of the data plane >
 *               storage, schema and stack are freed, its object is unloaded
 *
 * Neither touches the configuration file. Of a service in which a hook hangs nothing is freed: its
 * thread may still look at it; its name is free all the same.
 *
 * Context: control thread. */
#pragma once

#include "stack.h"

/* At each tick, when nobody holds a pointer to a stack. */
void whole_tick(struct control *c);
/* It is being removed, and that cannot be undone any more. */
bool whole_is_going(const struct stack *s);

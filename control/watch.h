/* watch.h - plugins hear of services that come and go (the hook `seen`). Each event is told to the
 * links of each service in call order, on the lifecycle thread, under the deadline of hooks; one
 * that hangs is not told any more.
 *
 * Context: control thread. */
#pragma once

#include "stack.h"

/* Of that node, NULL: this one. Strings are copied. */
void watch_tell(struct control *c, const char *node, struct tela_str service, bool serves,
	uint64_t incarnation);

/* boot.h - services as the configuration lists them, checked without running.
 *
 * Context: control thread; boot_check also without a node, and then it loads objects itself. */
#pragma once

#include "stack.h"

/* Whether every plugin is there, knows its keys, fits its service's schema, and an order exists.
 * With `objects` also what stands in shared objects, which are loaded for it by the calling thread.
 * Each error is reported with its line. Returns how many. */
uint32_t boot_check(const struct conf *conf, struct registry *r, bool objects,
	conf_report_fn report, void *arg);

/* order.h - in which order the plugins of a service are called and started.
 *
 * Two relations are declared. Call order: A above B if A `wraps` B; B above A if A `needs` B. Start
 * order: A after everything that it needs or wraps. An optional relation counts if the other one is
 * there. Members of one group are chained in the order declared: the first wraps the next. Being in
 * the service's list is membership only: it puts the service above its plugins and starts it after
 * them, but only where no declared relation, direct or through others, says the contrary. Both
 * orders are the stable topological sort that always takes the first free one: in call order the
 * first declared, in start order the last in call order.
 *
 * Context: any; no state. Together: anything. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { ORDER_MAX = 128 };

/* Item 0 is the service. `name` is unique; `plugin` is what others may also call it by (several may
 * have the same). */
struct order_item {
	const char *name;
	const char *plugin;
	const char *also;         /* a third name (a service's in its schema), or NULL */
	const char *const *needs; /* NULL-terminated, or NULL */
	const char *const *wraps;
	const char *const *may_need; /* optional: order only */
	const char *const *may_wrap;
	const char *group; /* NULL: none */
};

/* Fills call[n] and start[n] with indices into items. 0; -ENOENT: something needed or wrapped is
 * not there; -ELOOP: a cycle; -E2BIG. `err` names the members. */
int order_solve(const struct order_item *items, uint32_t n, uint32_t *call, uint32_t *start,
	char *err, size_t err_len);

/* A name that some item needs or wraps and none has; NULL if there is none. *ret_item is who asks.
 */
const char *order_missing(const struct order_item *items, uint32_t n, uint32_t *ret_item);

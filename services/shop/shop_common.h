/* shop_common.h - what the services of the shop have in common: the statuses that they answer with,
 * and lists in their configuration.
 */
#pragma once

#include "shop_rpc.h"
#include "svc.h"

enum { SHOP_NAME_MAX = 40 };

/* A service that hands on what another one has said registers its statuses as well. */
static const struct tela_status_def shop_statuses[] __attribute__((unused)) = {
	{"insufficient_stock", 409, TELA_FAILED_PRECONDITION, "not so many are left"},
	{"payment_declined", 402, TELA_FAILED_PRECONDITION, "the card was declined"},
	{"order_unsettled", 502, TELA_UNKNOWN, "a step of the order may have been done"},
};

/* Among the links of a plugin. */
#define SHOP_STATUSES                                                                              \
	{                                                                                          \
		.callback = TELA_STATUS, .statuses = shop_statuses,                                \
		.n_statuses = ARRAY_SIZE(shop_statuses),                                           \
	}

/* Hands each item of a list of the configuration to `take`, which says 0 or -errno: -EINVAL, it is
 * not what was expected. */
static inline int shop_each(struct tela_hook *h, const struct tela_list *list, const char *key,
	const char *expected, int (*take)(void *to, const char *item), void *to)
{
	for (uint32_t i = 0; i < list->n; i++) {
		const char *item = ((const char *const *)list->at)[i];
		int rc = take(to, item);

		if (rc)
			return svc_fail(h, rc, "%s[%u]: expected %s, found '%.80s'%s%s", key, i,
				expected, item, rc == -EINVAL ? "" : ": ",
				rc == -EINVAL ? "" : strerror(-rc));
	}
	return 0;
}

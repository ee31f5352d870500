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

/* Hands each ITEM of the option "ITEM,ITEM" to `take`, which says 0 or -errno: -EINVAL, it is not
 * what was expected. */
static inline int shop_each(struct tela_hook *h, const char *key, const char *expected,
	int (*take)(void *to, const char *item), void *to)
{
	const char *at = tela_config_str(h->config, key, "");
	char item[128];

	while (*at) {
		size_t len = strcspn(at, ",");
		int rc = len < sizeof(item) ? 0 : -EINVAL;

		snprintf(item, sizeof(item), "%.*s", (int)len, at);
		rc = rc ? rc : take(to, item);
		if (rc)
			return svc_fail(h, rc, "%s: expected %s, found \"%s\"%s%s", key, expected,
				item, rc == -EINVAL ? "" : ": ",
				rc == -EINVAL ? "" : strerror(-rc));
		at += len + (at[len] == ',');
	}
	return 0;
}

/* payments.c - charges cards, once for each order. The bank takes its time, so the method runs on a
 * worker and simply waits; what was paid is in the service's storage.
 *
 * Hooks:   shop.Payments/charge (1), on a worker; find (2), on a data core.
 * Answers: payment_declined with `reason` (number, limit), conflict (the order has been paid),
 *          not_found, overloaded.
 */
#include <time.h>

#include "shop_common.h"
#include "tela_state.h"
#include "tela_trace.h"

enum { CENTS_MAX = 1000000000 };

#define BANK_MAX_NS (10 * NS_PER_S)

struct options {
	uint64_t limit_cents, bank;
};

struct payments {
	struct tela_node *node;
	struct tela_storage *paid; /* struct payment by the order's number */
	const struct options *options;
};

struct payment {
	uint64_t id, cents;
};

static struct tela_bytes key_of(const uint64_t *order)
{
	return (struct tela_bytes){(const uint8_t *)order, sizeof(*order)};
}

static enum tela_verdict find(struct tela_call *call, void *self)
{
	const struct tela_bytes none = {NULL, 0};
	const struct payments *p = self;
	uint64_t order = shop_OrderNumber_order(shop_Payments_find_request(call));
	struct tela_bytes found = tela_storage_get(p->paid, key_of(&order), none);
	const struct payment *paid = (const struct payment *)found.data;

	if (!paid)
		return tela_reply_error(call, "not_found", "the order has not been paid");
	return shop_Payments_find_reply(call,
		&(struct shop_Payment_args){.id = paid->id, .order = order, .cents = paid->cents});
}

/* ---- on a worker ---- */

/* As the last digit of a card's number says (ISO/IEC 7812). */
static bool is_card(struct tela_str card)
{
	unsigned sum = 0;

	for (size_t i = 0; i < card.len; i++) {
		unsigned digit = (unsigned)(card.s[card.len - 1 - i] - '0');

		if (digit > 9)
			return false;
		sum += i % 2 ? digit * 2 % 10 + digit / 5 : digit;
	}
	return card.len && sum % 10 == 0;
}

static enum tela_verdict declined(struct tela_call *call, const char *reason)
{
	const struct tela_pair data = {"reason", reason};

	return tela_reply_with(call,
		&(struct tela_status){.name = "payment_declined", .n_data = 1, .data = &data});
}

static void ask_bank(const struct payments *p, struct tela_call *call)
{
	const uint64_t ns = p->options->bank;
	const struct timespec wait = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
	struct tela_span s = tela_span_begin(call, "ask the bank");

	nanosleep(&wait, NULL);
	tela_span_end(call, s);
}

static enum tela_verdict charge(struct tela_call *call, void *self)
{
	const struct payments *p = self;
	shop_Charge_t asked = shop_Payments_charge_request(call);
	uint64_t order = shop_Charge_order(asked);
	struct payment paid = {.cents = shop_Charge_cents(asked)}, before;
	int64_t id;
	int rc;

	if (!is_card(shop_Charge_card(asked)))
		return declined(call, "number");
	if (paid.cents > p->options->limit_cents)
		return declined(call, "limit");
	if (tela_storage_copy(p->paid, key_of(&order), &before, sizeof(before)) >= 0)
		return tela_reply_error(call, "conflict", "the order has been paid");
	ask_bank(p, call);
	rc = tela_store_increment(p->node, "shop", "payments", 1, &id);
	paid.id = (uint64_t)id;
	if (!rc)
		rc = tela_storage_put_new(p->paid, key_of(&order),
			(struct tela_bytes){(const uint8_t *)&paid, sizeof(paid)});
	if (rc)
		return tela_reply_error(call, rc == -EEXIST ? "conflict" : "overloaded", NULL);
	return shop_Payments_charge_reply(call,
		&(struct shop_Payment_args){.id = paid.id, .order = order, .cents = paid.cents});
}

/* ---- hooks ---- */

static int64_t keep_or_zero(void *arg, struct tela_bytes old, void *to, size_t room)
{
	(void)arg;
	memset(to, 0, room);
	if (old.len == room)
		memcpy(to, old.data, room);
	return (int64_t)room;
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct payments *p = calloc(1, sizeof(*p));
	int rc = p ? 0 : svc_fail(h, -ENOMEM, "no memory");

	if (!rc) /* the count of payments, if there is none yet */
		rc = tela_store_update(
			h->node, "shop", "payments", sizeof(int64_t), keep_or_zero, NULL);
	if (rc) {
		free(p);
		return rc;
	}
	p->node = h->node;
	p->options = h->values;
	p->paid = tela_hook_storage(h);
	*ret_self = p;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, limit_cents, .min = 1, .max = CENTS_MAX, .unit = "cents",
		.fallback = "100000", .help = "most that a card is charged at once"),
	TELA_CONFIG_AS(DURATION, struct options, bank, .max = BANK_MAX_NS, .fallback = "20ms",
		.help = "how long the bank takes"),
};

static const struct tela_link links[] = {
	{.service = &shop_Payments_service,
		.method = shop_Payments_charge_ID,
		.enter = charge,
		.blocking = true},
	{.service = &shop_Payments_service, .method = shop_Payments_find_ID, .enter = find},
	SHOP_STATUSES,
};

static const struct tela_plugin payments_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "payments",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.serves = &shop_Payments_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(payments_plugin);

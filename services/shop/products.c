/* products.c - what there is to buy, and how many of each: in the node's store, which changes a
 * value under a function, one writer at a time, and which data cores read without a lock.
 *
 * Hooks:   shop.Products/get (1), on a data core; reserve (2) and give_back (3), on workers,
 * because they write. Answers: not_found, insufficient_stock with `available`, conflict (more is
 * given back than fits).
 */
#include "shop_common.h"
#include "tela_state.h"

static const char domain[] = "shop.stock";

struct options {
	struct tela_list stock;
};

struct stock {
	uint64_t cents;
	uint32_t left;
};

static enum tela_verdict not_found(struct tela_call *call, struct tela_str name)
{
	const struct tela_pair data = {"product", name.s};
	const struct tela_status s = {
		.name = "not_found", .info = "no such product", .n_data = 1, .data = &data};

	return tela_reply_with(call, &s);
}

static enum tela_verdict get(struct tela_call *call, void *self)
{
	const struct tela_bytes none = {NULL, 0};
	struct tela_str name = shop_ProductName_name(shop_Products_get_request(call));
	struct tela_bytes found = tela_store_get(self, domain, name.s, none);
	const struct stock *s = (const struct stock *)found.data;

	if (!s)
		return not_found(call, name);
	return shop_Products_get_reply(call,
		&(struct shop_Product_args){.name = name, .cents = s->cents, .left = s->left});
}

/* ---- on a worker ---- */

struct change {
	int64_t by;
	struct stock now; /* behind the change; before it, if there was none */
};

/* Nobody else writes the product meanwhile. */
static int64_t change_one(void *arg, struct tela_bytes old, void *to, size_t room)
{
	struct change *c = arg;
	int64_t left;

	(void)room;
	if (!old.data)
		return -ENOENT;
	memcpy(&c->now, old.data, sizeof(c->now));
	left = c->now.left + c->by;
	if (left < 0 || left > UINT32_MAX)
		return -ERANGE;
	c->now.left = (uint32_t)left;
	memcpy(to, &c->now, sizeof(c->now));
	return sizeof(c->now);
}

/* 0; -ENOENT, -ERANGE; another: it is no name that a product can have. */
static int change(struct tela_node *n, struct tela_str name, struct change *c)
{
	return tela_store_update(n, domain, name.s, sizeof(c->now), change_one, c);
}

static enum tela_verdict too_few(
	struct tela_call *call, struct tela_str product, const struct stock *s)
{
	char left[12];
	const struct tela_pair data[] = {{"product", product.s}, {"available", left}};

	snprintf(left, sizeof(left), "%u", s->left);
	return tela_reply_with(call,
		&(struct tela_status){
			.name = "insufficient_stock", .n_data = ARRAY_SIZE(data), .data = data});
}

static enum tela_verdict reserve(struct tela_call *call, void *self)
{
	shop_Line_t line = shop_Products_reserve_request(call);
	struct tela_str product = shop_Line_product(line);
	uint32_t quantity = shop_Line_quantity(line);
	struct change c = {.by = -(int64_t)quantity};
	int rc = change(self, product, &c);

	if (rc == -ERANGE)
		return too_few(call, product, &c.now);
	if (rc)
		return not_found(call, product);
	return shop_Products_reserve_reply(call,
		&(struct shop_Reserved_args){.cents = c.now.cents * quantity, .left = c.now.left});
}

static enum tela_verdict give_back(struct tela_call *call, void *self)
{
	shop_Lines_t lines = shop_Products_give_back_request(call);

	for (uint32_t i = 0; i < shop_Lines_lines_len(lines); i++) {
		shop_Line_t line = shop_Lines_lines_at(lines, i);
		struct change c = {.by = shop_Line_quantity(line)};
		int rc = change(self, shop_Line_product(line), &c);

		if (rc == -ERANGE)
			return tela_reply_error(call, "conflict", "more than there is room for");
		if (rc)
			return not_found(call, shop_Line_product(line));
	}
	return shop_Products_give_back_reply(call, &(struct shop_Nothing_args){0});
}

/* ---- hooks ---- */

static int64_t keep_or_put(void *arg, struct tela_bytes old, void *to, size_t room)
{
	(void)room;
	memcpy(to, old.data ? (const void *)old.data : arg, sizeof(struct stock));
	return sizeof(struct stock);
}

/* What was there before, stays: the store outlives the service. */
static int take(void *to, const char *item)
{
	char name[SHOP_NAME_MAX + 1], cents[10], left[10];
	struct stock s = {0};
	int end;

	if (sscanf(item, "%40[^:]:%9[0-9]:%9[0-9]%n", name, cents, left, &end) != 3 || item[end])
		return -EINVAL;
	s.cents = strtoul(cents, NULL, 10);
	s.left = (uint32_t)strtoul(left, NULL, 10);
	return to ? tela_store_update(to, domain, name, sizeof(s), keep_or_put, &s) : 0;
}

static int config(struct tela_hook *h)
{
	const struct options *o = h->values;

	return shop_each(h, &o->stock, "stock", "NAME:CENTS:LEFT", take, NULL);
}

static int start(struct tela_hook *h, void **ret_self)
{
	const struct options *o = h->values;

	*ret_self = h->node;
	return shop_each(h, &o->stock, "stock", "NAME:CENTS:LEFT", take, h->node);
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, stock,
		.help = "NAME:CENTS:LEFT each: what is there when the service starts first"),
};

static const struct tela_link links[] = {
	{.service = &shop_Products_service, .method = shop_Products_get_ID, .enter = get},
	{.service = &shop_Products_service,
		.method = shop_Products_reserve_ID,
		.enter = reserve,
		.blocking = true},
	{.service = &shop_Products_service,
		.method = shop_Products_give_back_ID,
		.enter = give_back,
		.blocking = true},
	SHOP_STATUSES,
};

static const struct tela_plugin products_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "products",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.serves = &shop_Products_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
};

TELA_PLUGIN_EXPORT(products_plugin);

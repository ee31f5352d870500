/* users.c - who orders: kept in the service's storage, which data cores read without a lock.
 *
 * Hooks:   shop.Users/get (1), on a data core; add (2), on a worker, because it writes.
 * Answers: not_found, conflict, overloaded (the storage is full).
 */
#include "shop_common.h"
#include "tela_state.h"

struct options {
	struct tela_list users;
};

static struct tela_bytes key_of(const uint32_t *id)
{
	return (struct tela_bytes){(const uint8_t *)id, sizeof(*id)};
}

static enum tela_verdict get(struct tela_call *call, void *self)
{
	const struct tela_bytes none = {NULL, 0};
	uint32_t id = shop_UserId_id(shop_Users_get_request(call));
	struct tela_bytes name = tela_storage_get(self, key_of(&id), none);

	if (!name.data)
		return tela_reply_error(call, "not_found", "no such user");
	return shop_Users_get_reply(call,
		&(struct shop_User_args){.id = id, .name = {(const char *)name.data, name.len}});
}

static enum tela_verdict add(struct tela_call *call, void *self)
{
	shop_User_t user = shop_Users_add_request(call);
	struct tela_str name = shop_User_name(user);
	uint32_t id = shop_User_id(user);
	int rc = tela_storage_put_new(
		self, key_of(&id), (struct tela_bytes){(const uint8_t *)name.s, name.len});

	if (rc)
		return tela_reply_error(call, rc == -EEXIST ? "conflict" : "overloaded", NULL);
	shop_Users_add_reply(call, &(struct shop_User_args){.id = id, .name = name});
	return tela_reply_created(call);
}

/* ---- hooks ---- */

/* Whoever was there before, stays: the storage outlives an instance. */
static int take(void *to, const char *item)
{
	char number[10], name[SHOP_NAME_MAX + 1];
	uint32_t id;
	int end, rc;

	if (sscanf(item, "%9[0-9]:%40s%n", number, name, &end) != 2 || item[end])
		return -EINVAL;
	id = (uint32_t)strtoul(number, NULL, 10);
	rc = to ? tela_storage_put_new(
			  to, key_of(&id), (struct tela_bytes){(const uint8_t *)name, strlen(name)})
		: 0;
	return rc == -EEXIST ? 0 : rc;
}

static int config(struct tela_hook *h)
{
	const struct options *o = h->values;

	return shop_each(h, &o->users, "users", "ID:NAME", take, NULL);
}

static int start(struct tela_hook *h, void **ret_self)
{
	const struct options *o = h->values;

	*ret_self = tela_hook_storage(h);
	return shop_each(h, &o->users, "users", "ID:NAME", take, *ret_self);
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, users,
		.help = "ID:NAME each: who is there when the service starts first"),
};

static const struct tela_link links[] = {
	{.service = &shop_Users_service, .method = shop_Users_get_ID, .enter = get},
	{.service = &shop_Users_service,
		.method = shop_Users_add_ID,
		.enter = add,
		.blocking = true},
};

static const struct tela_plugin users_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "users",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.serves = &shop_Users_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
};

TELA_PLUGIN_EXPORT(users_plugin);

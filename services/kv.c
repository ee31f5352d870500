/* kv.c - bytes to bytes, for all cores of the node at once (kv_table.c has the table). Not durable:
 * what an instance holds goes when it stops.
 *
 * Hooks:   kv.Kv/put (1), get (2), remove (3), stats (4).
 * Answers: INVALID_ARGUMENT, key above 256 or value above 65536 bytes; RESOURCE_EXHAUSTED, items or
 *          memory used up; ABORTED "busy", another core writes the same key: nothing done, try
 * again.
 */
#include "kv_rpc.h"
#include "kv_table.h"
#include "svc.h"

struct options {
	uint64_t items, bytes;
};

_Static_assert(KV_KEY_MAX == 256 && KV_VALUE_MAX == 65536, "as refuse() says");

struct kv {
	struct kv_table *table;
	uint8_t *values; /* KV_VALUE_MAX bytes for each core, to copy a value out to */
};

/* ---- on a data core ---- */

static enum tela_verdict refuse(struct tela_call *call, int rc)
{
	switch (rc) {
	case -EMSGSIZE:
		return tela_reply_status(
			call, TELA_INVALID_ARGUMENT, "a key has at most 256 bytes, a value 65536");
	case -ENOSPC:
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "full");
	case -EAGAIN:
		return tela_reply_status(call, TELA_ABORTED, "busy");
	default:
		return tela_reply_status(call, TELA_INTERNAL, NULL);
	}
}

static enum tela_verdict put(struct tela_call *call, void *self)
{
	struct kv *kv = self;
	kv_Item_t item = kv_Kv_put_request(call);
	struct tela_bytes key = kv_Item_key(item), value = kv_Item_value(item);
	struct kv_Done_args done = {0};
	int rc = kv_table_put(kv->table, key.data, key.len, value.data, value.len, &done.existed);

	return rc ? refuse(call, rc) : kv_Kv_put_reply(call, &done);
}

static enum tela_verdict get(struct tela_call *call, void *self)
{
	struct kv *kv = self;
	struct tela_bytes key = kv_Key_key(kv_Kv_get_request(call));
	uint8_t *room = kv->values + (size_t)call->pass->core * KV_VALUE_MAX;
	struct kv_Value_args value = {.found = true, .value.data = room};
	int rc = kv_table_get(kv->table, key.data, key.len, room, &value.value.len);

	if (rc == -ENOENT)
		return kv_Kv_get_reply(call, &(struct kv_Value_args){.found = false});
	return rc ? refuse(call, rc) : kv_Kv_get_reply(call, &value);
}

static enum tela_verdict remove_key(struct tela_call *call, void *self)
{
	struct kv *kv = self;
	struct tela_bytes key = kv_Key_key(kv_Kv_remove_request(call));
	struct kv_Done_args done = {0};
	int rc = kv_table_remove(kv->table, key.data, key.len, &done.existed);

	return rc ? refuse(call, rc) : kv_Kv_remove_reply(call, &done);
}

static enum tela_verdict table_stats(struct tela_call *call, void *self)
{
	struct kv *kv = self;
	struct kv_table_stats s;

	kv_table_stats(kv->table, &s);
	return kv_Kv_stats_reply(
		call, &(struct kv_Stats_args){
			      .items = s.items, .bytes = s.bytes, .bytes_limit = s.bytes_limit});
}

/* ---- hooks ---- */

static int start(struct tela_hook *h, void **ret_self)
{
	struct kv *kv = calloc(1, sizeof(*kv));
	const struct options *o = h->values;

	if (!kv)
		return svc_fail(h, -ENOMEM, "no memory");
	kv->values = calloc(tela_node_n_cores(h->node), KV_VALUE_MAX);
	if (kv->values)
		kv->table = kv_table_create(o->items, o->bytes);
	if (!kv->table) {
		free(kv->values);
		free(kv);
		return svc_fail(h, -ENOMEM, "no memory for %llu items in %llu bytes",
			(unsigned long long)o->items, (unsigned long long)o->bytes);
	}
	*ret_self = kv;
	return 0;
}

static void stop(struct tela_hook *h)
{
	struct kv *kv = h->self;

	kv_table_destroy(kv->table);
	free(kv->values);
	free(kv);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct kv *kv = self;
	struct kv_table_stats s;

	kv_table_stats(kv->table, &s);
	emit(arg, "items", s.items);
	emit(arg, "items_limit", s.items_limit);
	emit(arg, "bytes", s.bytes);
	emit(arg, "bytes_limit", s.bytes_limit);
	emit(arg, "bytes_free", s.bytes_free);
	emit(arg, "busy", s.busy);
	emit(arg, "full", s.full);
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, items, .min = 1, .max = (int64_t)KV_ITEMS_MAX,
		.fallback = "262144", .help = "most of them"),
	TELA_CONFIG(struct options, bytes, .min = (int64_t)KV_BYTES_MIN,
		.max = (int64_t)KV_BYTES_MAX, .fallback = "67108864", .help = "of memory for them"),
};

static const struct tela_link links[] = {
	{.service = &kv_Kv_service, .method = kv_Kv_put_ID, .enter = put},
	{.service = &kv_Kv_service, .method = kv_Kv_get_ID, .enter = get},
	{.service = &kv_Kv_service, .method = kv_Kv_remove_ID, .enter = remove_key},
	{.service = &kv_Kv_service, .method = kv_Kv_stats_ID, .enter = table_stats},
};

const struct tela_plugin kv_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "kv",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.serves = &kv_Kv_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(kv_plugin);

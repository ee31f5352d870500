/* check.c - refuses arguments that no handler should see.
 *
 * Hooks:   request_in, enter: before any link of the method, the service's own included.
 * Answers: INVALID_ARGUMENT, a request above max_bytes, or an empty key in kv.Kv/put.
 */
#include "kv_rpc.h"
#include "svc.h"

enum { MAX_BYTES = 16 << 20 };

struct options {
	uint32_t max_bytes;
};

struct check {
	uint32_t max_bytes;
	struct svc_count *refused;
	uint32_t n_cores;
};

/* ---- on a data core ---- */

/* By hash, not by address: the descriptor may be another object file's copy. */
static bool is_kv_put(const struct tela_call *call)
{
	return call->method->id == kv_Kv_put_ID && call->service->schema == kv_Kv_SCHEMA_HASH;
}

static const char *mistake(const struct check *c, const struct tela_call *call)
{
	if (call->request_len > c->max_bytes)
		return "the request is larger than this service takes";
	if (is_kv_put(call) && !kv_Item_key(kv_Kv_put_request(call)).len)
		return "the key is empty";
	return NULL;
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct check *c = self;
	const char *text = mistake(c, call);

	if (likely(!text))
		return TELA_CONTINUE;
	svc_count_up(svc_count_of(c->refused, call));
	return tela_reply_status(call, TELA_INVALID_ARGUMENT, text);
}

/* ---- hooks ---- */

static int start(struct tela_hook *h, void **ret_self)
{
	struct check *c = calloc(1, sizeof(*c));
	const struct options *o = h->values;

	if (!c)
		return svc_fail(h, -ENOMEM, "no memory");
	c->max_bytes = o->max_bytes;
	c->n_cores = tela_node_n_cores(h->node);
	c->refused = svc_counts_create(c->n_cores);
	if (!c->refused) {
		free(c);
		return svc_fail(h, -ENOMEM, "no memory");
	}
	*ret_self = c;
	return 0;
}

static void stop(struct tela_hook *h)
{
	struct check *c = h->self;

	free(c->refused);
	free(c);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct check *c = self;

	emit(arg, "refused", svc_counts_sum(c->refused, c->n_cores));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, max_bytes, .min = 1, .max = MAX_BYTES, .unit = "bytes",
		.fallback = "65536", .help = "largest request payload"),
};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter},
};

const struct tela_plugin check_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "check",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(check_plugin);

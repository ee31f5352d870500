/* rate_limit.c - so many calls a second for each identity and method, and no more.
 *
 * Hooks:   request_in, enter. Stands below auth, which says who calls; without auth all callers
 *          are one.
 * Answers: rate_limited with retry_after.
 */
#include "rate_limit.h"
#include "svc.h"

enum { RATE_MAX = 1000000000, BURST_MAX = 1000000, PLACES_MAX = 1 << 20 };

struct rate_limit {
	struct rate_limit_table table;
	struct svc_count *refused;
	uint32_t n_cores;
};

struct options {
	uint32_t rate, burst, places;
};

/* On a data core. */
static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct rate_limit *r = self;
	uint64_t wait_ns =
		rate_limit_take(&r->table, call->identity, call->method->id, call->pass->now_ns);
	struct tela_status s = {.name = "rate_limited"};

	if (likely(!wait_ns))
		return TELA_CONTINUE;
	svc_count_up(svc_count_of(r->refused, call));
	s.retry_after_us = (uint32_t)min_u64((wait_ns + 999) / NS_PER_US, UINT32_MAX);
	return tela_reply_with(call, &s);
}

/* ---- hooks ---- */

static int start(struct tela_hook *h, void **ret_self)
{
	struct rate_limit *r;
	const struct options *o = h->values;
	uint32_t burst = o->burst ? o->burst : min_u32(o->rate / 10 + 1, BURST_MAX);

	r = calloc(1, sizeof(*r));
	if (!r)
		return svc_fail(h, -ENOMEM, "no memory");
	r->n_cores = tela_node_n_cores(h->node);
	r->refused = svc_counts_create(r->n_cores);
	if (!r->refused || rate_limit_init(&r->table, o->rate, burst, o->places)) {
		free(r->refused);
		free(r);
		return svc_fail(h, -ENOMEM, "no memory");
	}
	r->table.alone = r->n_cores == 1;
	*ret_self = r;
	return 0;
}

static void stop(struct tela_hook *h)
{
	struct rate_limit *r = h->self;

	free(r->table.bucket);
	free(r->refused);
	free(r);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct rate_limit *r = self;

	emit(arg, "refused", svc_counts_sum(r->refused, r->n_cores));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, rate, .min = 1, .max = RATE_MAX, .unit = "calls/s",
		.fallback = "1000", .help = "of each identity and method"),
	TELA_CONFIG(struct options, burst, .min = 1, .max = BURST_MAX, .unit = "calls",
		.help = "at once after a pause; a tenth of the rate unless given"),
	TELA_CONFIG(struct options, places, .min = RATE_LIMIT_PROBES, .max = PLACES_MAX,
		.power_of_two = true, .fallback = "4096",
		.help = "pairs of identity and method that are kept apart"),
};
static const char *const may_need[] = {"auth", NULL};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter},
};

const struct tela_plugin rate_limit_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "rate_limit",
	.version = "1.0",
	.may_need = may_need,
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(rate_limit_plugin);

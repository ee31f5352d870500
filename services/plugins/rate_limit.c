/* rate_limit.c - so many calls a second for each identity and method, and no more.
 *
 * Hooks:   request_in, enter. Stands below auth, which says who calls; without auth all callers
 *          are one.
 * Answers: rate_limited with retry_after.
 * Options: rate    calls a second, 1 to 1000000000; 1000
 *          burst   at once after a pause, 1 to 1000000; a tenth of the rate
 *          places  pairs of identity and method kept apart, a power of two up to 1048576; 4096
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
	int64_t rate, burst, places;
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

static int options(struct tela_hook *h, struct options *o)
{
	int rc = svc_option_int(h, "rate", 1000, 1, RATE_MAX, &o->rate);

	if (!rc)
		rc = svc_option_int(h, "burst",
			(int64_t)min_u64((uint64_t)o->rate / 10 + 1, BURST_MAX), 1, BURST_MAX,
			&o->burst);
	if (!rc)
		rc = svc_option_int(h, "places", 4096, RATE_LIMIT_PROBES, PLACES_MAX, &o->places);
	if (!rc && o->places & (o->places - 1))
		rc = svc_fail(h, -EINVAL, "places: expected a power of two, found %lld",
			(long long)o->places);
	return rc;
}

static int config(struct tela_hook *h)
{
	struct options o;

	return options(h, &o);
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct rate_limit *r;
	struct options o;
	int rc = options(h, &o);

	if (rc)
		return rc;
	r = calloc(1, sizeof(*r));
	if (!r)
		return svc_fail(h, -ENOMEM, "no memory");
	r->n_cores = tela_node_n_cores(h->node);
	r->refused = svc_counts_create(r->n_cores);
	if (!r->refused || rate_limit_init(&r->table, (uint64_t)o.rate, (uint64_t)o.burst,
				   (uint32_t)o.places)) {
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

static const char *const keys[] = {"rate", "burst", "places", NULL};
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
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(rate_limit_plugin);

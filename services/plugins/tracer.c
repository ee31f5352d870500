/* tracer.c - a span for each call that is served, if its trace is sampled; and the decision, where
 * a trace begins here.
 *
 * Hooks:   request_in, enter (decides, opens the span) and leave (ends it with the result). List it
 *          first, so that the span covers what others refuse. Calls made for the call, and spans
 *          that handlers open, stand below it (tela_trace.h).
 */
#include "svc.h"
#include "tela_trace.h"

enum { SAMPLE_MAX = 1000000000 };

struct options {
	uint32_t sample;
};

struct tracer_core {
	uint64_t left; /* calls until the next one that is sampled */
	_Atomic uint64_t begun, joined, no_memory;
} cache_aligned;

struct tracer {
	uint32_t n_cores;
	uint64_t sample;
	struct tracer_core core[];
};

/* ---- on a data core ---- */

/* A call made for another one is no root, so somebody else has decided. */
static void decide(struct tracer *t, struct tracer_core *c, struct tela_call *call)
{
	c->left = t->sample ? t->sample : UINT64_MAX;
	if (call->hops)
		c->left = 1; /* the next one that may be */
	else if (tela_trace_begin(call))
		svc_up(&c->begun);
	else
		svc_up(&c->no_memory);
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct tracer *t = self;
	struct tracer_core *c = &t->core[call->pass->core];

	if (unlikely(call->context != NULL))
		svc_up(&c->joined);
	else if (unlikely(!--c->left))
		decide(t, c, call);
	if (unlikely(tela_call_sampled(call)))
		tela_trace_enter(call);
	return TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	(void)self;
	if (unlikely(tela_call_sampled(call)))
		tela_trace_leave(call);
}

/* ---- hooks ---- */

static int start(struct tela_hook *h, void **ret_self)
{
	uint32_t n_cores = tela_node_n_cores(h->node);
	struct tracer *t;
	const struct options *o = h->values;

	t = svc_zalloc(sizeof(struct tracer) + n_cores * sizeof(struct tracer_core));
	if (!t)
		return svc_fail(h, -ENOMEM, "no memory");
	t->n_cores = n_cores;
	t->sample = o->sample;
	for (uint32_t i = 0; i < n_cores; i++)
		t->core[i].left = o->sample ? o->sample : UINT64_MAX;
	*ret_self = t;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct tracer *t = self;

	emit(arg, "begun", SVC_SUM(t->core, begun, t->n_cores));
	emit(arg, "joined", SVC_SUM(t->core, joined, t->n_cores));
	emit(arg, "no_memory", SVC_SUM(t->core, no_memory, t->n_cores));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, sample, .max = SAMPLE_MAX, .fallback = "1000",
		.help = "one call in so many begins a trace, of those from outside of the mesh "
			"that have none; 1: all, 0: none"),
};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter, .leave = leave},
};

const struct tela_plugin tracer_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "tracer",
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

TELA_PLUGIN_EXPORT(tracer_plugin);

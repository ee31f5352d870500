/* counter.c - counts the calls of the service it is part of.
 *
 * Hooks:   request_in, enter.
 * Options: none
 */
#include "svc.h"

struct counter {
	struct svc_count *calls;
	uint32_t n_cores;
};

/* On a data core: one addition on a line that no other core writes. */
static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct counter *c = self;

	svc_count_up(svc_count_of(c->calls, call));
	return TELA_CONTINUE;
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct counter *c = calloc(1, sizeof(*c));

	if (!c)
		return svc_fail(h, -ENOMEM, "no memory");
	c->n_cores = tela_node_n_cores(h->node);
	c->calls = svc_counts_create(c->n_cores);
	if (!c->calls) {
		free(c);
		return svc_fail(h, -ENOMEM, "no memory");
	}
	*ret_self = c;
	return 0;
}

static void stop(struct tela_hook *h)
{
	struct counter *c = h->self;

	free(c->calls);
	free(c);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct counter *c = self;

	emit(arg, "calls", svc_counts_sum(c->calls, c->n_cores));
}

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter},
};

const struct tela_plugin counter_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "counter",
	.version = "1.0",
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(counter_plugin);

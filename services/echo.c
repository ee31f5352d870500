/* echo.c - the smallest service there is: what comes in goes out, at once or later.
 *
 * Hooks:   echo.Echo/echo (1), answered in place; echo.Echo/later (2), pending, answered by a
 * thread of the instance (echo_later.c).
 */
#include "echo_ids.h"
#include "echo_later.h"
#include "echo_rpc.h"
#include "svc.h"

struct options {
	uint32_t queue, count_ids;
};

struct echo {
	struct echo_ids ids; /* words NULL: not counting */
	struct svc_count *executions, *twice, *out_of_range;
	struct echo_later later;
	uint32_t n_cores;
};

/* ---- on a data core ---- */

static void count_id(struct echo *e, const struct tela_call *call, struct tela_bytes data)
{
	uint64_t id = UINT64_MAX;

	if (data.len >= sizeof(id))
		memcpy(&id, data.data, sizeof(id));
	svc_count_up(svc_count_of(e->executions, call));
	switch (echo_ids_mark(&e->ids, id)) {
	case ECHO_IDS_FIRST:
		return;
	case ECHO_IDS_AGAIN:
		svc_count_up(svc_count_of(e->twice, call));
		return;
	case ECHO_IDS_OUT_OF_RANGE:
		svc_count_up(svc_count_of(e->out_of_range, call));
		return;
	}
}

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	struct echo *e = self;
	struct echo_Message_args reply = {.data = echo_Message_data(echo_Echo_echo_request(call))};

	if (unlikely(e->ids.words))
		count_id(e, call, reply.data);
	return echo_Echo_echo_reply(call, &reply);
}

static enum tela_verdict later(struct tela_call *call, void *self)
{
	struct echo *e = self;

	/* Also one that is then refused for lack of room counts: the handler ran. */
	if (unlikely(e->ids.words))
		count_id(e, call, echo_Delayed_data(echo_Echo_later_request(call)));
	return echo_later_queue(&e->later, call);
}

/* ---- hooks ---- */

static void destroy(struct echo *e)
{
	echo_ids_fini(&e->ids);
	free(e->executions);
	free(e->twice);
	free(e->out_of_range);
	free(e);
}

static int count_ids(struct echo *e, unsigned bits)
{
	e->executions = svc_counts_create(e->n_cores);
	e->twice = svc_counts_create(e->n_cores);
	e->out_of_range = svc_counts_create(e->n_cores);
	if (!e->executions || !e->twice || !e->out_of_range)
		return -ENOMEM;
	return echo_ids_init(&e->ids, bits);
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct echo *e = svc_zalloc(sizeof(*e));
	const struct options *o = h->values;
	int rc = 0;

	if (!e)
		return svc_fail(h, -ENOMEM, "no memory");
	e->n_cores = tela_node_n_cores(h->node);
	if (o->count_ids)
		rc = count_ids(e, o->count_ids);
	if (rc) {
		destroy(e);
		return svc_fail(h, rc, "no memory to count 2^%u ids", o->count_ids);
	}
	rc = echo_later_start(&e->later, h, o->queue);
	if (rc)
		destroy(e);
	else
		*ret_self = e;
	return rc;
}

static void stop(struct tela_hook *h)
{
	struct echo *e = h->self;

	echo_later_stop(&e->later);
	destroy(e);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct echo *e = self;

	emit(arg, "later_answered", atomic_load_explicit(&e->later.answered, memory_order_relaxed));
	emit(arg, "later_queued", atomic_load_explicit(&e->later.ring.used, memory_order_relaxed));
	if (!e->ids.words)
		return;
	emit(arg, "executions", svc_counts_sum(e->executions, e->n_cores));
	emit(arg, "executed_twice", svc_counts_sum(e->twice, e->n_cores));
	emit(arg, "ids_out_of_range", svc_counts_sum(e->out_of_range, e->n_cores));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, queue, .min = 1, .max = ECHO_LATER_PLACES_MAX,
		.power_of_two = true, .fallback = "1024",
		.help = "calls of `later` that may wait at once"),
	TELA_CONFIG(struct options, count_ids, .min = ECHO_IDS_BITS_MIN, .max = ECHO_IDS_BITS_MAX,
		.unit = "bits",
		.help = "the first 8 bytes of the data are a call's id, of so many bits "
			"(little-endian), and the executions of each are counted: for tests of "
			"at-most-once; off unless given"),
};

static const struct tela_link links[] = {
	{.service = &echo_Echo_service, .method = echo_Echo_echo_ID, .enter = echo},
	{.service = &echo_Echo_service, .method = echo_Echo_later_ID, .enter = later},
};

const struct tela_plugin echo_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "echo",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.serves = &echo_Echo_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(echo_plugin);

/* request.c - counts how the calls of its service end, for each method: ok, created, error, status,
 * and how long they took. Calls that a link below refused count too.
 *
 * Hooks:   request_in, leave. List it first, so that it sees all others.
 *          Times have the resolution of a core's pass.
 * Options: none
 */
#include "svc.h"

enum { METHODS = 64 }; /* by id; the last place is for all beyond */

struct method_counts {
	_Atomic uint64_t kind[4], took_ns;
	const char *_Atomic name; /* the service's: it outlives this instance */
} cache_aligned;

struct request_core {
	struct method_counts method[METHODS];
};

struct request {
	uint32_t n_cores;
	struct request_core core[];
};

/* ---- on a data core ---- */

static void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(
		to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

static void leave(struct tela_call *call, void *self)
{
	struct request *r = self;
	const struct tela_pass *pass = call->pass;
	struct method_counts *m =
		&r->core[pass->core].method[min_u32(call->method->id, METHODS - 1)];

	add(&m->took_ns, pass->now_ns - call->began_ns);
	add(&m->kind[tela_reply_kind(call) & 3], 1);
	if (unlikely(atomic_load_explicit(&m->name, memory_order_relaxed) != call->method->name))
		atomic_store_explicit(&m->name, call->method->name, memory_order_relaxed);
}

/* ---- hooks ---- */

static int start(struct tela_hook *h, void **ret_self)
{
	uint32_t n_cores = tela_node_n_cores(h->node);
	struct request *r =
		svc_zalloc(sizeof(struct request) + n_cores * sizeof(struct request_core));

	if (!r)
		return svc_fail(h, -ENOMEM, "no memory");
	r->n_cores = n_cores;
	*ret_self = r;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

/* "add.ok", "add.error", ..., "add.took_us", for the methods that were called. */
static void emit_method(struct request *r, uint32_t id,
	void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	uint64_t kind[4] = {0}, took_ns = 0;
	const char *method = NULL;
	char name[128];

	for (uint32_t i = 0; i < r->n_cores; i++) {
		struct method_counts *m = &r->core[i].method[id];
		const char *its = atomic_load_explicit(&m->name, memory_order_relaxed);

		method = its ? its : method;
		for (int k = 0; k < 4; k++)
			kind[k] += atomic_load_explicit(&m->kind[k], memory_order_relaxed);
		took_ns += atomic_load_explicit(&m->took_ns, memory_order_relaxed);
	}
	if (!method)
		return;
	method = id == METHODS - 1 ? "others" : method;
	for (unsigned k = 0; k < 4; k++) {
		snprintf(name, sizeof(name), "%s.%s", method, tela_kind_name(k));
		emit(arg, name, kind[k]);
	}
	snprintf(name, sizeof(name), "%s.took_us", method);
	emit(arg, name, took_ns / NS_PER_US);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	for (uint32_t id = 0; id < METHODS; id++)
		emit_method(self, id, emit, arg);
}

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .leave = leave},
};

const struct tela_plugin request_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "request",
	.version = "1.0",
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(request_plugin);

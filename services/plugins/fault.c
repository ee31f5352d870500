/* fault.c - makes calls fail, wait or vanish, to see what their callers do about it. For tests.
 *
 * Hooks:   request_in, enter. Each core draws from its own sequence, which the seed decides, so
 * that a run can be repeated. Answers: the status of `error`, when `error_ppm` says so; none at all
 * for a dropped call, before its deadline.
 */
#include "svc.h"
#include "svc_ring.h"
#include "svc_worker.h"

enum { MILLION = 1000000, WAITING_MAX = 1024 };

#define DELAY_MAX_NS (10 * NS_PER_S)
#define TICK_IDLE_NS (10 * NS_PER_MS)
#define TICK_BUSY_NS (100 * NS_PER_US)

struct options {
	const char *error;
	uint32_t error_ppm, delay_ppm, drop_ppm;
	uint64_t delay, busy, seed;
};

struct fault_core {
	uint64_t state;
	_Atomic uint64_t errors, delays, drops, full;
} cache_aligned;

struct waiting {
	struct tela_handle handle;
	uint64_t wait_ns, due_ns;
	bool drop;
};

struct fault {
	struct svc_worker worker;
	struct svc_ring ring; /* of struct waiting */
	struct tela_node *node;
	struct tela_thread *thread;
	char error[TELA_STATUS_NAME_MAX + 1];
	uint32_t error_ppm, delay_ppm, drop_ppm, n_cores;
	uint64_t delay_ns, busy_ns;
	/* The thread's own. */
	struct waiting waiting[WAITING_MAX];
	uint32_t n_waiting;
	struct fault_core *core;
};

/* ---- on a data core ---- */

/* splitmix64 (Vigna, 2015): 0 to 999999. */
static uint32_t draw(struct fault_core *c)
{
	uint64_t z = c->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((unsigned __int128)(z ^ z >> 31) * MILLION >> 64);
}

/* Hands the call to the thread; where there is no room it goes on as if nothing were. */
static enum tela_verdict hand_over(
	struct fault *f, struct fault_core *c, struct tela_call *call, bool drop)
{
	struct waiting w = {.drop = drop, .wait_ns = f->delay_ns}, *cell;
	uint64_t now = call->pass->now_ns;

	if (drop)
		w.wait_ns = call->deadline_ns == UINT64_MAX
				    ? DELAY_MAX_NS
				    : call->deadline_ns - min_u64(now, call->deadline_ns);
	if (!svc_ring_reserve(&f->ring)) {
		svc_up(&c->full);
		return TELA_CONTINUE;
	}
	if (tela_call_pend(call, &w.handle, NULL, NULL)) {
		svc_ring_release(&f->ring, 1);
		svc_up(&c->full);
		return TELA_CONTINUE;
	}
	cell = svc_ring_cell(&f->ring);
	*cell = w;
	svc_ring_publish(cell);
	svc_up(drop ? &c->drops : &c->delays);
	return TELA_PENDING;
}

static void hold_core(uint64_t ns)
{
	for (uint64_t began = svc_worker_now(); svc_worker_now() - began < ns;)
		;
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct fault *f = self;
	struct fault_core *c = &f->core[call->pass->core];
	uint32_t at = draw(c);

	if (f->busy_ns)
		hold_core(f->busy_ns);
	if (at < f->error_ppm) {
		svc_up(&c->errors);
		return tela_reply_error(call, f->error, NULL);
	}
	at -= f->error_ppm;
	if (at < f->drop_ppm)
		return hand_over(f, c, call, true);
	if (at - f->drop_ppm < f->delay_ppm)
		return hand_over(f, c, call, false);
	return TELA_CONTINUE;
}

/* ---- on the thread ---- */

static void take(struct fault *f, uint64_t now)
{
	const struct waiting *w;

	while ((w = svc_ring_peek(&f->ring)) != NULL) {
		f->waiting[f->n_waiting] = *w;
		f->waiting[f->n_waiting++].due_ns = now + w->wait_ns;
		svc_ring_pop(&f->ring);
	}
}

/* Goes on with what is due, or with all; what the core cannot take now stays. */
static void go_on(struct fault *f, uint64_t now, bool all)
{
	uint32_t kept = 0, done;

	for (uint32_t i = 0; i < f->n_waiting; i++) {
		const struct waiting *w = &f->waiting[i];
		int rc = -EAGAIN;

		if (all || (w->due_ns <= now && w->drop))
			rc = tela_thread_answer_status(
				f->thread, w->handle, TELA_UNAVAILABLE, "lost on purpose");
		else if (w->due_ns <= now)
			rc = tela_thread_continue(f->thread, w->handle, NULL, 0);
		if (rc)
			f->waiting[kept++] = *w;
	}
	done = f->n_waiting - kept;
	f->n_waiting = kept;
	if (done)
		svc_ring_release(&f->ring, done);
}

static void run(struct svc_worker *w)
{
	struct fault *f = container_of(w, struct fault, worker);

	f->thread = tela_thread_attach(f->node);
	svc_worker_ready(w, f->thread ? 0 : -errno);
	if (!f->thread)
		return;
	while (!svc_worker_wait(w, f->n_waiting ? TICK_BUSY_NS : TICK_IDLE_NS)) {
		take(f, svc_worker_now());
		go_on(f, svc_worker_now(), false);
	}
	/* No call can reach this instance any more: those that wait are all there are. */
	take(f, svc_worker_now());
	for (int i = 0; i < 1000 && f->n_waiting; i++) {
		go_on(f, svc_worker_now(), true);
		if (f->n_waiting)
			svc_worker_wait(w, NS_PER_MS);
	}
	tela_thread_detach(f->thread);
}

/* ---- hooks ---- */

static int config(struct tela_hook *h)
{
	const struct options *o = h->values;
	uint64_t sum = (uint64_t)o->error_ppm + o->delay_ppm + o->drop_ppm;

	return sum <= MILLION ? 0
			      : svc_fail(h, -EINVAL,
					"error_ppm, delay_ppm and drop_ppm: expected at most "
					"1000000 together, found %llu",
					(unsigned long long)sum);
}

static void destroy(struct fault *f)
{
	svc_ring_fini(&f->ring);
	free(f->core);
	free(f);
}

static struct fault *make(struct tela_hook *h, const struct options *o)
{
	struct fault *f = svc_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->node = h->node;
	f->n_cores = tela_node_n_cores(h->node);
	f->error_ppm = o->error_ppm;
	f->delay_ppm = o->delay_ppm;
	f->drop_ppm = o->drop_ppm;
	f->delay_ns = o->delay;
	f->busy_ns = o->busy;
	snprintf(f->error, sizeof(f->error), "%s", o->error);
	f->core = svc_zalloc(f->n_cores * sizeof(*f->core));
	if (!f->core || svc_ring_init(&f->ring, WAITING_MAX, sizeof(struct waiting))) {
		destroy(f);
		return NULL;
	}
	for (uint32_t i = 0; i < f->n_cores; i++)
		f->core[i].state = o->seed + i;
	return f;
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct fault *f = make(h, h->values);
	int rc;

	if (!f)
		return svc_fail(h, -ENOMEM, "no memory");
	rc = svc_worker_start(&f->worker, "fault", run, h);
	if (rc)
		destroy(f);
	else
		*ret_self = f;
	return rc;
}

static void stop(struct tela_hook *h)
{
	struct fault *f = h->self;

	svc_worker_stop(&f->worker);
	destroy(f);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct fault *f = self;

	emit(arg, "errors", SVC_SUM(f->core, errors, f->n_cores));
	emit(arg, "delays", SVC_SUM(f->core, delays, f->n_cores));
	emit(arg, "drops", SVC_SUM(f->core, drops, f->n_cores));
	emit(arg, "full", SVC_SUM(f->core, full, f->n_cores));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, error, .min = 1, .max = TELA_STATUS_NAME_MAX,
		.fallback = "service_not_available", .help = "the status that a call fails with"),
	TELA_CONFIG(struct options, error_ppm, .max = MILLION, .fallback = "0",
		.help = "of a million calls, so many get it"),
	TELA_CONFIG(struct options, delay_ppm, .max = MILLION, .fallback = "0",
		.help = "so many wait for `delay`, and then go on"),
	TELA_CONFIG_AS(DURATION, struct options, delay, .min = NS_PER_US, .max = DELAY_MAX_NS,
		.fallback = "1ms", .help = "how long these wait"),
	TELA_CONFIG(struct options, drop_ppm, .max = MILLION, .fallback = "0",
		.help = "so many are never answered in time"),
	TELA_CONFIG_AS(DURATION, struct options, busy, .max = NS_PER_S, .fallback = "0",
		.help = "how long each call holds its core first"),
	TELA_CONFIG(struct options, seed, .fallback = "1", .help = "the same faults each run"),
};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter},
};

const struct tela_plugin fault_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "fault",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(fault_plugin);

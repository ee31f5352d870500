/* study.c - what a network does under one kind of load, in figures: virtual time, so they are the
 * same on every machine, and are asserted. Each study is one scenario without faults. */
#include "sim.h"

#define STUDY_BEGINS_NS (10 * NS_PER_MS)
#define STUDY_LASTS_NS  (100 * NS_PER_MS)

enum {
	LINK_PS_PER_BYTE = 320, /* 25 Gbit/s */
	LINK_QUEUE_BYTES = 4 << 20,
	MESSAGE_BYTES = 65000,
	OUTSTANDING = 2,
	/* of overload */
	CALLERS = 30,
	HANDLER_NS = 10000,
	REFUSE_NS = 200,
	BRIEF_HANDLER_NS = 2000,
	BRIEF_REFUSE_NS = 500, /* to refuse four costs as much as to serve one */
	TARGET_HANDLERS = 50,  /* that a call may wait */
	DEADLINE_US = 20000,
	SLOTS = 32,
	LATENCIES = 1 << 16,
};

static const char *const name[] = {
#define STUDY_NAME(name, help) #name,
	STUDY_LIST(STUDY_NAME)
#undef STUDY_NAME
};

static bool is_overload(enum study study)
{
	return study == STUDY_overload || study == STUDY_brief;
}

/* No link in between, and as many calls in flight as it takes to keep the callee behind. */
static void overload_scenario(struct scenario *s)
{
	s->n_nodes = 1 + CALLERS;
	s->link_ps_per_byte = 0;
	s->handler_ns = s->study == STUDY_brief ? BRIEF_HANDLER_NS : HANDLER_NS;
	s->refuse_ns = s->study == STUDY_brief ? BRIEF_REFUSE_NS : REFUSE_NS;
	s->shed_ns = TARGET_HANDLERS * s->handler_ns;
	s->rx_ring = RING_MAX;
	s->budgets.slots = SLOTS * (CALLERS + 1);
	s->budgets.slots_per_session = SLOTS;
	s->budgets.in_flight = 2 * SLOTS;
}

void study_scenario(struct scenario *s, enum study study)
{
	*s = (struct scenario){.seed = s->seed,
		.study = study,
		.n_nodes = study == STUDY_incast ? 101 : 2,
		.n_peers = 1,
		.n_sessions = 1,
		.hub = true,
		.calm = true,
		.load_ns = NS_PER_MS,
		.delay_ns = 5000,
		.link_ps_per_byte = LINK_PS_PER_BYTE,
		.link_queue_bytes = LINK_QUEUE_BYTES,
		.spin_percent = 100,
		.rx_ring = RING_USUAL,
		.tx_ring = RING_USUAL,
		.silence_ns = 5 * NS_PER_MS,
		.burst = 1,
		.biggest = 4096,
		.budgets = {.paths = 8,
			.sessions = SESSIONS_MAX,
			.slots = 64,
			.slots_per_session = 8,
			.calls = 512,
			.detached = 64,
			.messages_2k = 32,
			.messages_64k = 4,
			.messages_1m = 4,
			.in_flight = 64}};
	if (is_overload(study))
		overload_scenario(s);
}

static void meet(const struct sim *sim, const char *what, double have, double least, double most)
{
	printf("  %-34s %8.3f, wanted %g to %g\n", what, have, least, most);
	if (have < least || have > most)
		sim_violation("%s: %s is %.3f, wanted is %g to %g", name[sim->s.study], what, have,
			least, most);
}

static void call_again(struct sim *sim, uint32_t caller)
{
	struct record *r = oracle_new(sim);

	CHECK(r);
	r->method = METHOD_ECHO;
	r->caller = caller;
	r->len = MESSAGE_BYTES;
	r->reply_len = 8;
	r->deadline_us = 1000000;
	node_todo(&sim->node[caller], TODO_CALL, r->id);
}

/* ---- overload ---- */

/* How the calls of one load have ended. */
static struct overload {
	uint32_t offered, ok, shed, throttled, late;
	uint64_t latency_ns[LATENCIES];
} seen;

static void overload_done(struct sim *sim, const struct record *r)
{
	if (!r->code)
		seen.latency_ns[seen.ok++ % LATENCIES] = sim->now_ns - r->made_ns;
	else if (r->code == TELA_RESOURCE_EXHAUSTED && r->outcome == TELA_NOT_EXECUTED)
		seen.shed++;
	else if (r->code == TELA_DEADLINE_EXCEEDED)
		seen.late++;
	else
		sim_violation("call %u ends with code %u, outcome %u", r->id, r->code, r->outcome);
}

void study_refused(void)
{
	seen.throttled++;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Calls at random times, `load` times as many as can be served, for `ns`; whatever becomes of them.
 */
static void offer(struct sim *sim, double load, uint64_t ns)
{
	uint64_t between_ns = (uint64_t)((double)sim->s.handler_ns / load), end = sim->now_ns + ns;

	seen = (struct overload){0};
	for (uint64_t at = sim->now_ns; at < end; at += rng_below(&sim->app_rng, 2 * between_ns)) {
		struct record *r = oracle_new(sim);

		CHECK(r);
		r->method = METHOD_ECHO;
		r->caller = 1 + (uint32_t)rng_below(&sim->app_rng, CALLERS);
		r->len = r->reply_len = 32;
		r->deadline_us = DEADLINE_US;
		seen.offered++;
		sim_at(sim, at, EVENT_TODO, r->caller, (uint64_t)TODO_CALL << 32 | r->id, NULL);
	}
	sim_run_until(sim, end);
	qsort(seen.latency_ns, seen.ok, sizeof(*seen.latency_ns), by_size);
	printf("  %.1f times the load: %u calls, %u served, %u shed, %u not made, %u too late; p50 "
	       "%.0f, p99 %.0f us\n",
		load, seen.offered, seen.ok, seen.shed, seen.throttled, seen.late,
		(double)seen.latency_ns[seen.ok / 2] / 1000,
		(double)seen.latency_ns[seen.ok - seen.ok / 100] / 1000);
}

static void targets(struct sim *sim, uint64_t ns)
{
	struct node *n = &sim->node[0];

	n->m.shed.target_ns = ns;
	for (uint32_t i = 0; i < SERVICES; i++)
		n->service[i]->shed_ns = ns;
}

static double p99_us(void)
{
	return (double)seen.latency_ns[seen.ok - seen.ok / 100] / 1000;
}

/* The same overload with and without shedding, beside what can be served. */
static void overload_run(struct sim *sim)
{
	const uint64_t handler_ns = sim->s.handler_ns, target_ns = sim->s.shed_ns;
	const uint64_t lasts_ns = STUDY_LASTS_NS * handler_ns / HANDLER_NS;
	double peak, served, whole_p99_us;

	printf("%s: %u nodes call one, which takes %g us for a call and %g to refuse one; target "
	       "%g us\n",
		name[sim->s.study], CALLERS, (double)handler_ns / 1000,
		(double)sim->s.refuse_ns / 1000, (double)target_ns / 1000);
	offer(sim, 0.9, lasts_ns / 2);
	meet(sim, "calls shed while it keeps up", seen.shed + seen.throttled, 0, 0);
	targets(sim, SHED_NEVER);
	offer(sim, 3, lasts_ns);
	peak = seen.ok * (double)handler_ns / (double)lasts_ns;
	whole_p99_us = p99_us();
	sim_run_until(sim, sim->now_ns + 2 * DEADLINE_US * NS_PER_US);
	targets(sim, target_ns);
	offer(sim, 3, lasts_ns / 2); /* until it has found out */
	offer(sim, 3, lasts_ns);
	served = seen.ok * (double)handler_ns / (double)lasts_ns;
	meet(sim, "goodput, of what can be served", served, 0.9, 1.01);
	meet(sim, "of that without shedding", served / peak, 0.9, 10);
	meet(sim, "calls that it refuses, of those served", (double)seen.shed / seen.ok, 0, 0.4);
	meet(sim, "p99 of what is served, us", p99_us(), 0, 2 * (double)target_ns / 1000);
	meet(sim, "of that without shedding", p99_us() / whole_p99_us, 0, 0.5);
	meet(sim, "calls that are told nothing in time", seen.late, 0, 0);
	/* Over: a while later everything is taken again. */
	sim_run_until(sim, sim->now_ns + 4 * DEADLINE_US * NS_PER_US);
	offer(sim, 0.9, lasts_ns / 2);
	meet(sim, "calls refused when it is over", seen.shed + seen.throttled, 0, 0);
}

/* ---- a slow link ---- */

void study_done(struct sim *sim, const struct record *r)
{
	if (is_overload(sim->s.study)) {
		overload_done(sim, r);
		return;
	}
	if (r->code)
		sim_violation(
			"call %u of a study without faults ends with code %u", r->id, r->code);
	if (sim->now_ns < STUDY_BEGINS_NS + STUDY_LASTS_NS)
		call_again(sim, r->caller);
}

/* Jain, Chiu and Hawe, 1984: 1 where all are equal, 1 / n where one has everything. */
static double jain(const uint64_t *x, uint32_t n)
{
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < n; i++) {
		sum += (double)x[i];
		squares += (double)x[i] * (double)x[i];
	}
	return squares > 0 ? sum * sum / (n * squares) : 0;
}

void study_run(struct sim *sim)
{
	struct link *l = &sim->link;
	const uint32_t n = sim->s.n_nodes - 1;
	double bytes = 0;

	sim_run_until(sim, STUDY_BEGINS_NS);
	if (is_overload(sim->s.study)) {
		overload_run(sim);
		return;
	}
	memset(l->from, 0, (n + 1) * sizeof(*l->from));
	for (uint32_t i = 1; i <= n; i++)
		for (uint32_t k = 0; k < OUTSTANDING; k++)
			call_again(sim, i);
	sim_run_until(sim, STUDY_BEGINS_NS + STUDY_LASTS_NS);
	for (uint32_t i = 1; i <= n; i++)
		bytes += (double)l->from[i];
	printf("%s: %u to one, over a link of %g Gbit/s, for %llu ms\n", name[sim->s.study], n,
		8000.0 / LINK_PS_PER_BYTE, STUDY_LASTS_NS / NS_PER_MS);

	meet(sim, "share of the link that is used",
		bytes * LINK_PS_PER_BYTE / 1000 / (double)STUDY_LASTS_NS, 0.9, 1.05);
	meet(sim, "longest wait in its queue, us", (double)l->wait_max_ns / 1000, 0,
		2 * CONGEST_TARGET_NS / 1000.0);
	meet(sim, "mean wait, us", (double)l->wait_sum_ns / 1000 / (double)l->frames, 0,
		CONGEST_TARGET_NS / 1000.0);
	meet(sim, "Jain's index of the shares", jain(l->from + 1, n), 0.95, 1);
	meet(sim, "datagrams dropped", (double)l->dropped, 0, 0);
}

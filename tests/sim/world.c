/* world.c - virtual time, and the phases of a run: load and faults; everything under way ends; the
 * wires are good and every node must reach its peers again; quiet, until what is kept has expired.
 */
#include "sim.h"

#include <stdarg.h>
#include <unistd.h>

struct sim *sim_now;

/* ---- the heap of what will happen; equal times in the order of asking ---- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void sim_at(struct sim *sim, uint64_t at_ns, enum event_kind kind, uint32_t node, uint64_t number,
	void *ptr)
{
	struct event e = {max_u64(at_ns, sim->now_ns), sim->order++, kind, node, number, ptr};
	uint32_t i = sim->n_heap++;

	if (i == sim->heap_cap) {
		sim->heap_cap = sim->heap_cap ? 2 * sim->heap_cap : 1024;
		sim->heap = realloc(sim->heap, sim->heap_cap * sizeof(e));
		CHECK(sim->heap);
	}
	for (; i && before(&e, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim->heap[i] = sim->heap[(i - 1) / 2];
	sim->heap[i] = e;
}

static struct event take(struct sim *sim)
{
	struct event first = sim->heap[0], last = sim->heap[--sim->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < sim->n_heap && before(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (child >= sim->n_heap || !before(&sim->heap[child], &last))
			break;
		sim->heap[i] = sim->heap[child];
		i = child;
	}
	sim->heap[i] = last;
	return first;
}

static void happen(struct sim *sim, const struct event *e)
{
	struct node *n = &sim->node[e->node];

	switch (e->kind) {
	case EVENT_PASS:
		if (n->up && !n->paused && e->number == n->pass_number)
			node_pass(n);
		break;
	case EVENT_ARRIVE:
		wire_arrive(sim, e->ptr);
		break;
	case EVENT_LOAD:
		app_load(sim);
		break;
	case EVENT_TODO:
		node_todo(n, (enum todo_kind)(e->number >> 32), (uint32_t)e->number);
		break;
	case EVENT_FAULT:
		faults_begin(sim, (uint32_t)e->number);
		break;
	case EVENT_HEAL:
		faults_heal(sim, (uint32_t)e->number);
		break;
	case EVENT_BOOT:
		if (!n->up && !node_boot(n))
			sim_at(sim, sim->now_ns + 5 * NS_PER_MS, EVENT_BOOT, n->index, 0, NULL);
		break;
	}
}

void sim_run_until(struct sim *sim, uint64_t ns)
{
	while (sim->n_heap && sim->heap[0].at_ns <= ns) {
		struct event e = take(sim);

		sim->now_ns = e.at_ns;
		sim->n_events++;
		happen(sim, &e);
	}
	sim->now_ns = ns;
}

/* ---- a run ---- */

static bool under_way(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->s.n_nodes; i++)
		if (sim->node[i].under_way >= 0 || sim->node[i].n_todo || sim->node[i].n_probes)
			return true;
	return false;
}

static void settle(struct sim *sim, uint64_t at_most_ns, const char *what)
{
	uint64_t limit = sim->now_ns + at_most_ns;

	while (under_way(sim)) {
		if (sim->now_ns > limit)
			sim_violation("%s have not ended after %llu ms", what,
				(unsigned long long)(at_most_ns / NS_PER_MS));
		sim_run_until(sim, sim->now_ns + NS_PER_MS);
	}
}

static void begin(struct sim *sim, const struct options *o)
{
	uint64_t seed = o->seed;

	memset(sim, 0, sizeof(*sim));
	sim->o = *o;
	scenario_draw(&sim->s, o);
	sim->wire_rng.s = rng_mix(seed ^ 0xb1);
	sim->app_rng.s = rng_mix(seed ^ 0xb2);
	sim->fault_rng.s = rng_mix(seed ^ 0xb3);
	sim->alloc_rng.s = rng_mix(seed ^ 0xb4);
	sim->pass_rng.s = rng_mix(seed ^ 0xb5);
	sim->node = aligned_alloc(CACHE_LINE, sim->s.n_nodes * sizeof(*sim->node));
	CHECK(sim->node);
	memset(sim->node, 0, sim->s.n_nodes * sizeof(*sim->node));
	sim->records_cap = 4 * sim->s.n_calls + 64 * sim->s.n_nodes * sim->s.n_peers + 8192 +
			   (sim->s.handler_ns ? 100000 : 0);
	sim->record = calloc(sim->records_cap, sizeof(*sim->record));
	sim->parked = calloc(sim->records_cap, sizeof(*sim->parked));
	sim->link.from = calloc(sim->s.n_nodes, sizeof(*sim->link.from));
	CHECK(sim->record && sim->parked && sim->link.from);
	sim_now = sim;
	if (o->verbose)
		scenario_print(&sim->s);
	for (uint32_t i = 0; i < sim->s.n_nodes; i++) {
		node_create(&sim->node[i], sim, i);
		sim_at(sim, rng_below(&sim->pass_rng, 2 * NS_PER_MS), EVENT_BOOT, i, 0, NULL);
	}
	faults_schedule(sim);
	sim_at(sim, 0, EVENT_LOAD, 0, 0, NULL);
}

static void quiet(struct sim *sim)
{
	uint64_t ns = (sim->s.long_quiet ? 15 : 5) * NS_PER_S;

	sim->phase = PHASE_QUIET;
	sim_run_until(sim, sim->now_ns + ns);
	for (uint32_t i = 0; i < sim->s.n_nodes; i++)
		sim->node[i].sent = 0;
	sim_run_until(sim, sim->now_ns + NS_PER_S);
	for (uint32_t i = 0; i < sim->s.n_nodes; i++)
		audit_rest(&sim->node[i]);
}

void sim_run(struct sim *sim, const struct options *o)
{
	begin(sim, o);
	if (o->study)
		study_run(sim);
	sim_run_until(sim, max_u64(sim->now_ns, sim->s.load_ns));
	sim->phase = PHASE_SETTLE;
	sim_run_until(sim, sim->now_ns + 310 * NS_PER_MS); /* the last fault has healed */
	/* Beyond the longest deadline: that of a call of 16 MiB each way is 17 s (app.c). */
	settle(sim, (sim->s.huge ? 20 : 5) * NS_PER_S, "calls");
	sim->clean = true;
	for (uint32_t i = 0; i < sim->s.n_nodes; i++)
		sim->node[i].m.shed.target_ns = SHED_NEVER;
	sim_run_until(sim, sim->now_ns + 1600 * NS_PER_MS); /* nothing late is under way */
	sim->phase = PHASE_PROBE;
	app_probe(sim);
	settle(sim, 60 * NS_PER_S, "calls between good nodes");
	quiet(sim);
	oracle_end(sim);
}

void sim_free(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->s.n_nodes; i++)
		node_end(&sim->node[i]);
	for (uint32_t i = 0; i < sim->n_heap; i++)
		if (sim->heap[i].kind == EVENT_ARRIVE)
			frame_free(sim, sim->heap[i].ptr);
	CHECK(!sim->frames);
	free(sim->heap);
	free(sim->record);
	free(sim->parked);
	free(sim->link.from);
	free(sim->node);
	sim_now = NULL;
}

void sim_violation(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "VIOLATION at %.3f us: ", sim_now ? (double)sim_now->now_ns / 1000 : 0.0);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	sim_say_seed();
	_exit(1);
}

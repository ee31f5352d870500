/* scenario.c - what a seed says. Drawn in one order, whatever is left out, so that leaving a fault
 * out does not change the rest. */
#include "sim.h"

static uint32_t percent(struct rng *r, uint32_t chance, uint32_t most)
{
	uint32_t value = (uint32_t)rng_between(r, 1, most);

	return rng_below(r, 100) < chance ? value : 0;
}

static uint32_t ppm(struct rng *r, uint32_t chance, uint32_t most)
{
	uint32_t value = (uint32_t)rng_scale(r, most / 64 + 1, most);

	return rng_below(r, 100) < chance ? value : 0;
}

static void draw_size(struct scenario *s, struct rng *r, const struct options *o)
{
	uint32_t shape = (uint32_t)rng_below(r, 100);
	uint32_t few = (uint32_t)rng_between(r, 2, 4), some = (uint32_t)rng_between(r, 5, 12);
	uint32_t many = (uint32_t)rng_between(r, 13, 40);

	s->n_nodes = shape < 70 ? few : (shape < 97 ? some : many);
	s->n_peers = (uint32_t)rng_between(r, 1, 4);
	s->n_sessions = (uint32_t)rng_between(r, 1, SESSIONS_MAX);
	s->n_calls = (uint32_t)rng_scale(r, 50, 2000);
	s->load_ns = rng_scale(r, 5 * NS_PER_MS, 400 * NS_PER_MS);
	s->long_quiet = rng_below(r, 8) == 0;
	s->hub = rng_below(r, 4) == 0;
	if (o->nodes)
		s->n_nodes = o->nodes;
	if (o->calls)
		s->n_calls = o->calls;
	if (s->n_nodes > 40)
		s->n_calls = o->calls ? o->calls : 10 * s->n_nodes;
	if (s->n_peers > s->n_nodes - 1)
		s->n_peers = s->n_nodes - 1;
}

static void draw_wires(struct scenario *s, struct rng *r)
{
	s->delay_ns = rng_scale(r, 500, NS_PER_MS);
	s->jitter_ns = rng_scale(r, 100, 500000);
	s->loss_ppm = ppm(r, 50, 200000);
	s->duplicate_ppm = ppm(r, 50, 100000);
	s->reorder_ppm = ppm(r, 50, 200000);
	s->late_ppm = ppm(r, 25, 50000);
	s->corrupt_ppm = ppm(r, 40, 50000);
	s->shared_percent = rng_below(r, 3) ? percent(r, 50, 99) : 100 * (uint32_t)rng_below(r, 2);
	if (rng_below(r, 2))
		s->jitter_ns = 0;
	if (!scenario_has(s, FAULT_jitter))
		s->jitter_ns = 0;
	if (!scenario_has(s, FAULT_loss))
		s->loss_ppm = 0;
	if (!scenario_has(s, FAULT_duplicate))
		s->duplicate_ppm = 0;
	if (!scenario_has(s, FAULT_reorder))
		s->reorder_ppm = s->late_ppm = 0;
	if (!scenario_has(s, FAULT_corrupt))
		s->corrupt_ppm = 0;
}

/* Of one budget or more there is hardly anything. */
static void draw_scarce(struct scenario *s, struct rng *r, bool wanted)
{
	const struct tela_budgets few = {
		.slots = 8 * (uint32_t)rng_between(r, 1, 2 * s->n_peers * s->n_sessions),
		.calls = (uint32_t)rng_between(r, 1, 16),
		.detached = (uint32_t)rng_between(r, 1, 4),
		.messages_2k = (uint32_t)rng_between(r, 1, 8),
		.messages_64k = (uint32_t)rng_between(r, 1, 3),
		.messages_1m = (uint32_t)rng_between(r, 1, 2)};
	uint32_t which = (uint32_t)rng_between(r, 1, 15);

	if (!wanted)
		return;
	s->scarce = true;
	if (which & 1)
		s->budgets.slots = few.slots;
	if (which & 2)
		s->budgets.calls = few.calls;
	if (which & 4)
		s->budgets.detached = few.detached;
	if (!(which & 8))
		return;
	s->budgets.messages_2k = few.messages_2k;
	s->budgets.messages_64k = few.messages_64k;
	s->budgets.messages_1m = few.messages_1m;
}

static void draw_nodes(struct scenario *s, struct rng *r)
{
	bool scarce = rng_below(r, 4) == 0, small = rng_below(r, 4) == 0;

	s->spin_percent = 50 * (uint32_t)rng_below(r, 3);
	s->silence_ns = 5 * NS_PER_MS;
	s->pause_ns = rng_scale(r, 5 * NS_PER_MS, 100 * NS_PER_MS);
	s->rx_ring = s->tx_ring = RING_USUAL;
	s->alloc_ppm = ppm(r, 25, 200000);
	if (small && scenario_has(s, FAULT_rings)) {
		s->rx_ring = (uint32_t)rng_between(r, 4, 64);
		s->tx_ring = (uint32_t)rng_between(r, 4, 64);
	}
	if (!scenario_has(s, FAULT_alloc))
		s->alloc_ppm = 0;
	s->budgets = (struct tela_budgets){.paths = 2 * s->n_peers + 8,
		.sessions = SESSIONS_MAX,
		.slots = 8 * SESSIONS_MAX * (s->n_peers + 8),
		.slots_per_session = 8 * (uint32_t)rng_between(r, 1, 8),
		.calls = (uint32_t)rng_scale(r, 32, 512),
		.detached = (uint32_t)rng_scale(r, 8, 64),
		.messages_2k = (uint32_t)rng_scale(r, 32, 256),
		.messages_64k = (uint32_t)rng_scale(r, 8, 32),
		.messages_1m = (uint32_t)rng_between(r, 4, 8),
		.in_flight = 2048};
	draw_scarce(s, r, scarce && scenario_has(s, FAULT_scarce));
	if (rng_below(r, 2))
		s->shed_ns = rng_scale(r, 20000, 10 * NS_PER_MS);
	s->budgets.segments = (uint32_t)rng_scale(r, 16, 4096);
}

static void draw_load(struct scenario *s, struct rng *r)
{
	s->burst = (uint32_t)rng_scale(r, 1, 64);
	s->big = percent(r, 60, 20);
	s->biggest = (uint32_t)rng_scale(r, 4096, 1 << 20);
	s->park = percent(r, 70, 50);
	s->cancel = percent(r, 50, 30);
	s->hurried = percent(r, 60, 60);
	s->other_schema = percent(r, 40, 60);
	s->local = percent(r, 40, 30);
	s->one_way = percent(r, 50, 60);
}

/* Now and then a few calls of up to 16 MiB between a few nodes. */
static void draw_huge(struct scenario *s, struct rng *r)
{
	bool wanted = rng_below(r, 24) == 0 && s->n_nodes <= 4;

	if (!wanted)
		return;
	s->huge = true;
	s->n_calls = min_u32(s->n_calls, (uint32_t)rng_between(r, 10, 40));
	s->burst = 1;
	s->big = 60;
	s->biggest = MSG_PAYLOAD_MAX;
	s->budgets.messages_1m = (uint32_t)rng_between(r, 20, 50);
	s->budgets.window = (uint32_t)rng_scale(r, 32, 960);
	s->loss_ppm = min_u32(s->loss_ppm, 20000);
	s->silence_ns = s->pause_ns = 100 * NS_PER_MS;
}

static bool fault_wanted(const struct scenario *s, enum fault_kind k)
{
	return k >= FAULT_cut && k != FAULT_scarce && scenario_has(s, k);
}

static void draw_faults(struct scenario *s, struct rng *r)
{
	uint32_t n = rng_below(r, 4) ? (uint32_t)rng_scale(r, 1, 12) : 0;

	if (s->n_nodes > 12)
		n = min_u32(n * s->n_nodes / 8, FAULTS_MAX);
	for (uint32_t i = 0; i < n; i++) {
		struct fault_event f = {
			.kind = (enum fault_kind)rng_between(r, FAULT_cut, FAULT_N - 1),
			.at_ns = rng_below(r, s->load_ns),
			.lasts_ns = rng_scale(r, 50000, 300 * NS_PER_MS),
			.a = (uint32_t)rng_below(r, s->n_nodes),
			.b = (uint32_t)rng_below(r, s->n_nodes)};

		if (fault_wanted(s, f.kind))
			s->faults[s->n_faults++] = f;
	}
}

void scenario_draw(struct scenario *s, const struct options *o)
{
	struct rng size = {rng_mix(o->seed ^ 0x51)}, wires = {rng_mix(o->seed ^ 0x52)},
		   nodes = {rng_mix(o->seed ^ 0x53)}, load = {rng_mix(o->seed ^ 0x54)},
		   faults = {rng_mix(o->seed ^ 0x55)}, huge = {rng_mix(o->seed ^ 0x56)};

	memset(s, 0, sizeof(*s));
	s->seed = o->seed;
	s->without = o->without;
	draw_size(s, &size, o);
	draw_wires(s, &wires);
	draw_nodes(s, &nodes);
	draw_load(s, &load);
	draw_faults(s, &faults);
	draw_huge(s, &huge);
	if (o->study) {
		study_scenario(s, o->study);
		return;
	}
	s->stalls = !s->loss_ppm && !s->reorder_ppm && !s->late_ppm && !s->corrupt_ppm &&
		    !s->alloc_ppm && s->rx_ring == RING_USUAL && s->tx_ring == RING_USUAL &&
		    !s->scarce;
	s->calm = s->stalls && !s->n_faults;
	for (uint32_t i = 0; i < s->n_faults; i++)
		s->stalls &= s->faults[i].kind == FAULT_pause;
}

void scenario_print(const struct scenario *s)
{
	static const char *const name[] = {
#define FAULT_NAME(name, help) #name,
		FAULT_LIST(FAULT_NAME)
#undef FAULT_NAME
	};

	printf("seed %llu: %u nodes, %u calls in %llu us, %u peers and %u sessions each%s\n"
	       "  wires: %llu + %llu ns, lost %u, twice %u, reordered %u, late %u, damaged %u ppm, "
	       "%u %% shared memory\n"
	       "  nodes: %u %% spin, rings %u and %u, allocations fail %u ppm, announce %llu us\n"
	       "  budgets: slots %u (%u a session), calls %u, detached %u, messages %u %u %u\n"
	       "  load: bursts of %u, big %u %% to %u bytes, park %u %%, cancel %u %%, hurried %u "
	       "%%, other schema %u %%, local %u %%, one way %u %%\n",
		(unsigned long long)s->seed, s->n_nodes, s->n_calls,
		(unsigned long long)(s->load_ns / 1000), s->n_peers, s->n_sessions,
		s->hub ? ", all call node 0" : "", (unsigned long long)s->delay_ns,
		(unsigned long long)s->jitter_ns, s->loss_ppm, s->duplicate_ppm, s->reorder_ppm,
		s->late_ppm, s->corrupt_ppm, s->shared_percent, s->spin_percent, s->rx_ring,
		s->tx_ring, s->alloc_ppm, (unsigned long long)(s->pause_ns / 1000),
		s->budgets.slots, s->budgets.slots_per_session, s->budgets.calls,
		s->budgets.detached, s->budgets.messages_2k, s->budgets.messages_64k,
		s->budgets.messages_1m, s->burst, s->big, s->biggest, s->park, s->cancel,
		s->hurried, s->other_schema, s->local, s->one_way);
	for (uint32_t i = 0; i < s->n_faults; i++)
		printf("  %12.3f us: %s of node %u (%u) for %.3f us\n",
			(double)s->faults[i].at_ns / 1000, name[s->faults[i].kind], s->faults[i].a,
			s->faults[i].b, (double)s->faults[i].lasts_ns / 1000);
}

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
};

static const char *const name[] = {
#define STUDY_NAME(name, help) #name,
	STUDY_LIST(STUDY_NAME)
#undef STUDY_NAME
};

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
		.rx_ring = RING_MAX,
		.tx_ring = RING_MAX,
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

void study_done(struct sim *sim, const struct record *r)
{
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

static void meet(const struct sim *sim, const char *what, double have, double least, double most)
{
	printf("  %-34s %8.3f, wanted %g to %g\n", what, have, least, most);
	if (have < least || have > most)
		sim_violation("%s: %s is %.3f, wanted is %g to %g", name[sim->s.study], what, have,
			least, most);
}

void study_run(struct sim *sim)
{
	struct link *l = &sim->link;
	const uint32_t n = sim->s.n_nodes - 1;
	double bytes = 0;

	sim_run_until(sim, STUDY_BEGINS_NS);
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

/* test_budgets.c - every budget at its limit, one after the other: what is refused is told so, with
 * a status that is true, and at once; what is under way goes on; afterwards everything is as
 * before. */
#include "counted.h"
#include "report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct tela_budgets plenty = {.paths = 4,
	.sessions = 4,
	.slots = 256,
	.slots_per_session = 64,
	.calls = 64,
	.detached = 16,
	.messages_2k = 64,
	.messages_64k = 8,
	.messages_1m = 4,
	.in_flight = 256,
	.window = 64};

static struct pair *p;
static struct outcome o[64];

static void begin(const struct tela_budgets *budgets, uint32_t sessions)
{
	static struct pair pair;

	p = &pair;
	memset(executions, 0, 256);
	memset(o, 0, sizeof(o));
	n_parked = 0;
	pair_init(p, 1, &desc, image_links, COUNTED_LINKS, budgets);
	pair_connect(p, &desc, sessions);
}

static uint64_t counted(int end, enum count_id id)
{
	return count_read(&p->end[end].counts, id);
}

static void resume_parked(void)
{
	for (uint32_t i = 0; i < n_parked; i++)
		call_resume(&p->end[1].m, parked[i], false, TELA_OK, NULL, "12345678", 8);
	n_parked = 0;
}

static void assert_refused(const struct outcome *r, uint8_t outcome)
{
	assert_true(r->done && r->times == 1);
	assert_int_equal(r->code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(r->outcome, outcome);
	assert_true(
		r->message[0] || !p->end[1].m.msgs.n_free[0]); /* the words need a buffer, too */
	assert_int_equal(executions[r->id], outcome != TELA_NOT_EXECUTED);
}

/* What was refused takes nothing, and the next call is served. */
static void end(void)
{
	resume_parked();
	pair_run(p, 5 * NS_PER_MS);
	assert_true(call(p, 1, 255, 40, NULL).own_bytes);
	p->step_ns = 100 * NS_PER_US;
	pair_run(p, 5 * NS_PER_S); /* what is retained goes */
	assert_quiet(p);
	assert_int_equal(p->end[1].m.n_pending + p->end[1].m.n_detached, 0);
	assert_int_equal(p->end[1].m.retained.bytes + p->end[1].m.reassembly_bytes, 0);
	for (int c = 0; c < MSG_CLASSES; c++)
		assert_int_equal(p->end[1].m.msgs.n_free[c], p->end[1].m.msgs.n[c]);
	pair_fini(p);
}

static void test_paths(void **state)
{
	struct net_addr to = {.ip = 1, .udp = 7447};
	uint32_t paths;

	(void)state;
	begin(&plenty, 1);
	for (paths = 1; path_create(&p->end[0].m, &to, true); paths++)
		to.ip++;
	assert_int_equal(paths, 4);
	pair_fini(p);
	begin(&plenty, 1);
	p->end[1].m.cfg.budgets.paths = 0; /* as if all were taken */
	assert_int_equal(start(p, 0, 1, 1, 8, o, &(struct tela_options){.deadline_us = 20000}), 0);
	pair_run(p, 30 * NS_PER_MS);
	assert_true(o->done && o->code && o->outcome == TELA_NOT_EXECUTED && !executions[1]);
	assert_true(counted(1, count_drop_paths_full) > 0);
	p->end[1].m.cfg.budgets.paths = plenty.paths;
	pair_run(p, 500 * NS_PER_MS);
	end();
}

static void test_sessions_and_slots(void **state)
{
	struct tela_budgets b = plenty;

	(void)state;
	b.slots = 16; /* two sessions of 8 */
	begin(&b, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(start(p, i, 1, i, 40, &o[i], NULL), 0);
	pair_run(p, 2 * NS_PER_MS);
	assert_true(o[0].own_bytes && o[1].own_bytes);
	assert_refused(&o[2], TELA_NOT_EXECUTED);
	assert_refused(&o[3], TELA_NOT_EXECUTED);
	assert_int_equal(counted(1, count_drop_no_slot_memory), 2);
	assert_int_equal(
		caller_session_open(&p->end[0].m, &p->end[0].sessions[5], p->end[0].path, &desc),
		-ENOBUFS); /* `sessions` of the path */
	end();
}

static void test_slots_per_session(void **state)
{
	struct tela_budgets b = plenty;
	uint32_t n = 0;

	(void)state;
	b.slots_per_session = 16;
	begin(&b, 1);
	for (int pass = 0; pass < 1000 && n < 32; pass++, pair_pass(p))
		while (n < 32 && !start(p, 0, 2, n, 16, &o[n], NULL))
			n++;
	assert_int_equal(n, 16);
	assert_int_equal(p->end[0].sessions[0].n_slots, 16);
	end();
}

static void test_in_flight(void **state)
{
	struct tela_budgets b = plenty;
	uint32_t n = 0;

	(void)state;
	b.in_flight = 16;
	begin(&b, 2);
	for (int pass = 0; pass < 1000 && n < 32; pass++, pair_pass(p))
		for (uint32_t s = 0; s < 2; s++)
			while (n < 32 && !start(p, s, 2, n, 16, &o[n], NULL))
				n++;
	assert_int_equal(n, 16);
	end();
}

static void test_calls(void **state)
{
	struct tela_budgets b = plenty;

	(void)state;
	b.calls = 2;
	begin(&b, 1);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(start(p, 0, 2, i, 40, &o[i], NULL), 0);
	pair_run(p, 2 * NS_PER_MS);
	assert_refused(&o[2], TELA_NOT_EXECUTED);
	assert_refused(&o[3], TELA_NOT_EXECUTED);
	assert_int_equal(n_parked, 2);
	resume_parked();
	pair_run(p, 2 * NS_PER_MS);
	assert_true(o[0].code == TELA_OK && o[1].code == TELA_OK);
	end();
}

static void test_pending(void **state)
{
	struct tela_budgets b = plenty;

	(void)state;
	b.pending = 2;
	begin(&b, 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(start(p, 0, 2, i, 40, &o[i], NULL), 0);
	pair_run(p, 2 * NS_PER_MS);
	assert_refused(&o[2], TELA_EXECUTED); /* its handler ran, and says so */
	assert_int_equal(counted(1, count_pending_full), 1);
	assert_int_equal(p->end[1].m.n_pending, 2);
	assert_true(call(p, 1, 9, 40, NULL).own_bytes); /* others need not wait */
	end();
}

static void test_detached(void **state)
{
	struct tela_budgets b = plenty;
	struct tela_options soon = {.deadline_us = 1000};

	(void)state;
	b.detached = 2;
	begin(&b, 1);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(start(p, 0, 2, i, 40, &o[i], &soon), 0);
	pair_run(p, 5 * NS_PER_MS);
	assert_int_equal(p->end[1].m.n_detached, 2);
	assert_true(counted(1, count_detached_full) > 0);
	/* Six slots are held by calls that nobody waits for; two are not. */
	for (uint32_t i = 8; i < 16; i++)
		assert_int_equal(start(p, 0, 1, i, 40, &o[i], NULL), 0);
	pair_run(p, 2 * NS_PER_MS);
	for (uint32_t i = 8, served = 0; i < 16; i++) {
		served += o[i].code == TELA_OK;
		if (o[i].code)
			assert_refused(&o[i], TELA_NOT_EXECUTED);
		assert_true(i < 15 || served == 2);
	}
	end();
}

/* Buffers of every size are out: requests that need one are refused, small calls go on. */
static void test_messages(void **state)
{
	struct tela_budgets b = plenty;
	struct msg *taken = NULL, *msg;

	(void)state;
	begin(&b, 1);
	assert_true(call(p, 1, 1, 40, NULL).own_bytes);
	while ((msg = msgpool_get(&p->end[1].m.msgs, 1))) {
		msg->next = taken;
		taken = msg;
	}
	o[2] = call(p, 1, 2, 5000, NULL);
	assert_refused(&o[2], TELA_NOT_EXECUTED);
	o[3] = call(p, 1, 3, 1000, NULL); /* of one packet; its reply needs a buffer */
	assert_refused(&o[3], TELA_EXECUTED);
	o[4] = call(p, 2, 4, 40, NULL); /* a call that waits owns a copy of its request */
	assert_refused(&o[4], TELA_EXECUTED);
	assert_true(call(p, 1, 5, 40, NULL).own_bytes);
	while ((msg = taken)) {
		taken = msg->next;
		msgpool_put(&p->end[1].m.msgs, msg);
	}
	assert_true(call(p, 1, 6, 5000, NULL).own_bytes);
	end();
}

static void test_reassembly(void **state)
{
	struct tela_budgets b = plenty;

	(void)state;
	b.reassembly_kib = 256;
	begin(&b, 1);
	o[1] = call(p, 1, 1, 300000, NULL);
	assert_refused(&o[1], TELA_NOT_EXECUTED);
	assert_true(call(p, 1, 2, 200000, NULL).own_bytes);
	/* The caller's own: what it has no room for ends, too. */
	p->end[0].m.cfg.budgets.reassembly_kib = 16;
	o[3] = call(p, 1, 3, 100000, NULL);
	assert_refused(&o[3], TELA_EXECUTED);
	assert_true(
		counted(0, count_drop_no_message) == 1 && counted(1, count_drop_no_message) == 1);
	end();
}

static void test_retained(void **state)
{
	struct tela_budgets b = plenty;
	struct machine *m;

	(void)state;
	b.retained_kib = 8; /* four of 2 KiB */
	begin(&b, 1);
	m = &p->end[1].m;
	o[0] = call(p, 1, 20, 20000, NULL); /* could not be kept for a moment */
	assert_refused(&o[0], TELA_EXECUTED);
	for (uint32_t i = 0; i < 8;
		i++) /* each keeps its reply in a buffer until its slot's next call */
		assert_int_equal(start(p, 0, 1, i, 1000, &o[i], NULL), 0);
	pair_run(p, 2 * NS_PER_MS);
	for (uint32_t i = 0; i < 8; i++)
		assert_true(o[i].own_bytes && executions[i] == 1);
	assert_int_equal(m->retained.n, 4);
	assert_int_equal(m->retained.bytes, 4 * MSG_2K);
	end();
}

/* Exactly when it should, also if a later one ends earlier. */
static void test_retained_until(void **state)
{
	static const uint32_t deadlines_ms[] = {1500, 100, 900, 500, 1200, 300};
	struct machine *m;
	uint64_t began;

	(void)state;
	begin(&plenty, 1);
	m = &p->end[1].m;
	assert_true(call(p, 1, 9, 8, NULL).own_bytes);
	began = p->now_ns;
	for (uint32_t i = 0; i < ARRAY_SIZE(deadlines_ms); i++)
		assert_int_equal(
			start(p, 0, 1, i, 1000, &o[i],
				&(struct tela_options){.deadline_us = deadlines_ms[i] * 1000}),
			0);
	pair_run(p, NS_PER_MS);
	for (uint32_t ms = 1050; ms < 2700; ms += 100) {
		uint32_t left = 0;

		pair_run(p, began + ms * NS_PER_MS - p->now_ns);
		for (uint32_t i = 0; i < ARRAY_SIZE(deadlines_ms); i++)
			left += deadlines_ms[i] + 1000 > ms;
		assert_int_equal(m->retained.n, left);
	}
	end();
}

/* The defaults, and what is asked for beyond what makes sense. */
static void test_bounds(void **state)
{
	struct tela_budgets b = plenty;

	(void)state;
	b.window = 1;
	b.pending = 1 << 20;
	b.retained_kib = b.reassembly_kib = UINT32_MAX;
	begin(&b, 1);
	assert_int_equal(p->end[1].m.cfg.budgets.window, BULK_WINDOW_MIN);
	assert_int_equal(p->end[1].m.cfg.budgets.pending, plenty.calls);
	assert_int_equal(p->end[1].m.cfg.budgets.retained_kib, 2 * 64 + 64 * 8 + 4 * 17 * 64);
	assert_true(call(p, 1, 1, 1 << 20, NULL).own_bytes);
	end();
}

/* What is printed for each budget is what is taken, and the sessions that are open take what is
 * said of one, and no more. */
static void test_bytes(void **state)
{
	const struct session_bytes one = machine_session_bytes();
	struct tela_budgets b = plenty;
	size_t bytes[MACHINE_BUDGETS], sum = 0, before;
	struct machine *m;

	(void)state;
	b.sessions = 16;
	begin(&b, 16);
	m = &p->end[1].m;
	before = m->n_callee_blocks;
	machine_budget_bytes(m, bytes);
	for (int i = 0; i < MACHINE_BUDGETS; i++)
		sum += bytes[i];
	/* Cache lines at the ends, and the sessions' tables, which calloc() gives when they are
	 * used. */
	sum += 3 * REPORT_BYTES + ENDS_MAX * sizeof(*m->ends); /* of no budget */
	sum -= 2 * b.paths * b.sessions * sizeof(void *);
	assert_in_range(machine_bytes(m), sum, sum + 21 * CACHE_LINE);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(start(p, i, 1, i, 40, &o[i], NULL), 0);
	pair_run(p, 2 * NS_PER_MS);
	assert_int_equal(before - m->n_callee_blocks, 16);
	assert_in_range(one.served, 1, 5120);
	assert_in_range(one.made, 1, 6144);
	assert_true(one.served_slot == sizeof(struct callee_slot) && one.made_slot <= 448);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_sessions_and_slots),
		cmocka_unit_test(test_slots_per_session),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_detached),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_reassembly),
		cmocka_unit_test(test_retained),
		cmocka_unit_test(test_retained_until),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

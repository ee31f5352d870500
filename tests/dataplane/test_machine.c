/* The protocol machine between two ends: every call ends once, with its own bytes, and runs at most
 * once. test_peers.c has what becomes of the ends themselves. */
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_one_call(void **state)
{
	struct pair *p = pair_new(1, 1);
	struct outcome o = call(p, 1, 5, 32, NULL);

	(void)state;
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.own_bytes);
	assert_int_equal(executions[5], 1);
	assert_int_equal(p->end[0].sessions[0].bind, 1);
	o = call(p, 1, 6, 32, NULL); /* bound now */
	assert_true(o.own_bytes);
	assert_int_equal(count_read(&p->end[1].counts, count_binds), 1);
	assert_int_equal(count_read(&p->end[1].counts, count_envelopes_general), 1);
	assert_quiet(p);
	pair_fini(p);
}

static void test_statuses(void **state)
{
	struct pair *p = pair_new(2, 1);
	struct outcome o = call(p, 3, 1, 16, NULL);

	(void)state;
	assert_int_equal(o.code, TELA_PERMISSION_DENIED);
	assert_int_equal(o.outcome, TELA_EXECUTED);
	assert_string_equal(o.message, "not for you");
	o = call(p, 4, 1, 16, NULL);
	assert_int_equal(o.code, TELA_UNIMPLEMENTED);
	o = call(p, 1, 2, 8, NULL);
	assert_int_equal(o.code, TELA_OK);
	o = call(p, 5, 2, 100, NULL);
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.own_bytes && o.left);
	assert_int_equal(n_left, 1);
	pair_fini(p);
}

static void test_malformed_payload(void **state)
{
	struct pair *p = pair_new(3, 1);
	struct outcome o;
	struct tela_request r;
	struct pair_end *e = &p->end[0];

	(void)state;
	call(p, 1, 1, 8, NULL);
	o = (struct outcome){.len = 4};
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 4, NULL, &r), 0);
	memset(r.payload, 0, 4);
	caller_send(&e->m, r.slot, done, &o);
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_INVALID_ARGUMENT);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_payload), 1);
	pair_fini(p);
}

static void test_schema_and_name(void **state)
{
	static const struct {
		const struct tela_service_desc *as;
		uint8_t code;
	} cases[] = {{&older, TELA_OK}, {&stranger, TELA_FAILED_PRECONDITION},
		{&nobody, TELA_UNAVAILABLE}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pair *p = pair_new(4, 0);
		struct outcome o;

		pair_fini(p);
		p = pair_new(4, 0);
		assert_int_equal(caller_session_open(&p->end[0].m, &p->end[0].sessions[0],
					 p->end[0].path, cases[i].as),
			0);
		o = call(p, 1, 9, 40, NULL);
		assert_int_equal(o.code, cases[i].code);
		assert_int_equal(o.outcome, o.code ? TELA_NOT_EXECUTED : TELA_EXECUTED);
		assert_int_equal(executions[9], o.code ? 0 : 1);
		pair_fini(p);
	}
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {8, 9, 200, 232, 233, 255, 256, 257, 1300, 1352, 1360, 1361,
		2000, 4096, 65536, 100001, 500000, 1 << 20};
	struct pair *p = pair_new(5, 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct tela_options o = {.deadline_us = 5000000, .max_reply_bytes = 2 << 20};
		struct outcome r = call(p, 1, i, sizes[i], &o);

		assert_int_equal(r.code, TELA_OK);
		assert_true(r.own_bytes);
	}
	pair_run(p, 10 * NS_PER_MS);
	assert_quiet(p);
	pair_fini(p);
}

static void test_reply_limit(void **state)
{
	struct pair *p = pair_new(6, 1);
	struct tela_options o = {.max_reply_bytes = 100};
	struct outcome r = call(p, 1, 1, 101, &o);

	(void)state;
	assert_int_equal(r.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(r.outcome, TELA_EXECUTED);
	pair_fini(p);
}

struct load {
	struct outcome o[IDS];
};

static void faults(struct pair *p, double loss, double duplicate, double reorder, double corrupt)
{
	p->loss = loss;
	p->duplicate = duplicate;
	p->reorder = reorder;
	p->corrupt = corrupt;
}

/* `n` calls over a bad wire, as many at once as slots allow. */
static void storm(
	struct pair *p, uint32_t n, uint32_t sessions, size_t len_max, uint64_t deadline_us)
{
	static struct load l;
	struct tela_options o = {.deadline_us = deadline_us};
	uint32_t next = 0, ended = 0;
	uint64_t give_up = p->now_ns + 600 * NS_PER_S;

	while (ended < n) {
		pair_pass(p);
		assert_true(p->now_ns < give_up);
		for (uint32_t s = 0; s < sessions; s++) {
			size_t len = 8 + pair_random(p) % (len_max - 7);

			if (next < n && !start(p, s, 1, next, len, &l.o[next], &o))
				next++;
		}
		for (ended = 0; ended < next && l.o[ended].done; ended++)
			;
	}
	pair_run(p, 100 * NS_PER_MS);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(l.o[i].times, 1);
		assert_true(executions[i] <= 1);
		if (l.o[i].code == TELA_OK)
			assert_true(l.o[i].own_bytes && executions[i] == 1);
		else
			assert_true(l.o[i].outcome != TELA_NOT_EXECUTED || !executions[i]);
	}
}

static void test_bad_wire(void **state)
{
	static const double at[][4] = {{0, 0, 0, 0}, {0.01, 0, 0, 0}, {0, 0.05, 0, 0},
		{0, 0, 0.1, 0}, {0, 0, 0, 0.02}, {0.05, 0.05, 0.05, 0.01}, {0.3, 0.1, 0.2, 0}};

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
			struct pair *p = pair_new(seed, 4);
			uint32_t ok = 0;

			p->shared_memory = false;
			faults(p, at[i][0], at[i][1], at[i][2], at[i][3]);
			storm(p, 400, 4, 300, 10000000);
			for (uint32_t k = 0; k < 400; k++)
				ok += executions[k];
			print_message("seed %lu faults %zu: %u executed, %lu resends\n",
				(unsigned long)seed, i, ok,
				(unsigned long)count_read(&p->end[0].counts, count_resends));
			assert_int_equal(ok, 400); /* nothing is given up within ten seconds */
			if (i == 0)
				assert_int_equal(count_read(&p->end[0].counts, count_resends), 0);
			assert_quiet(p);
			pair_fini(p);
		}
	}
}

static void test_large_on_bad_wire(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct pair *p = pair_new(seed, 2);

		p->shared_memory = false;
		faults(p, 0.01, 0.01, 0.02, 0);
		storm(p, 12, 2, 1 << 20, 20000000);
		for (uint32_t k = 0; k < 12; k++)
			assert_int_equal(executions[k], 1);
		pair_run(p, 4 * NS_PER_S); /* what is retained expires */
		assert_quiet(p);
		for (int c = 0; c < MSG_CLASSES; c++)
			assert_int_equal(p->end[1].m.msgs.n_free[c], p->end[1].m.msgs.n[c]);
		pair_fini(p);
	}
}

static void test_buffers_fail(void **state)
{
	struct pair *p = pair_new(8, 2);

	(void)state;
	p->buffers_fail = 5;
	storm(p, 300, 2, 300, 10000000);
	for (uint32_t k = 0; k < 300; k++)
		assert_int_equal(executions[k], 1);
	assert_int_equal(p->n_buffers, 0);
	assert_quiet(p);
	pair_fini(p);
}

static void test_pending(void **state)
{
	struct pair *p = pair_new(9, 1);
	struct tela_options opt = {.deadline_us = 500000};
	struct outcome o;

	(void)state;
	assert_int_equal(start(p, 0, 2, 3, 64, &o, &opt), 0);
	pair_run(p, 20 * NS_PER_MS);
	assert_false(o.done);
	assert_int_equal(n_parked, 1);
	assert_int_equal(image_pins(atomic_load(&p->end[1].service->image)), 1);
	assert_true(count_read(&p->end[0].counts, count_probes) > 0);
	assert_int_equal(count_read(&p->end[0].counts, count_resends), 0);
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), -ESTALE);
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.left);
	assert_int_equal(n_left, 1);
	assert_int_equal(image_pins(atomic_load(&p->end[1].service->image)), 0);
	assert_int_equal(executions[3], 1);
	assert_quiet(p);
	pair_fini(p);
}

static void test_pending_reply_lost(void **state)
{
	struct pair *p = pair_new(10, 1);
	struct outcome o;

	(void)state;
	assert_int_equal(start(p, 0, 2, 3, 64, &o, NULL), 0);
	pair_run(p, 5 * NS_PER_MS);
	p->end[0].deaf = true; /* the one reply gets lost */
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	pair_run(p, NS_PER_MS);
	p->end[0].deaf = false;
	assert_false(o.done);
	pair_run(p, 200 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_int_equal(executions[3], 1);
	pair_fini(p);
}

static void test_deadline(void **state)
{
	struct pair *p = pair_new(11, 1);
	struct tela_options opt = {.deadline_us = 3000};
	struct outcome o;
	uint64_t began;

	(void)state;
	call(p, 1, 1, 8, NULL);
	began = p->now_ns;
	o = call(p, 2, 4, 64, &opt);
	assert_int_equal(o.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	assert_true(p->now_ns - began < 4 * NS_PER_MS);
	pair_run(p, NS_PER_MS);
	assert_int_equal(count_read(&p->end[1].counts, count_calls_detached), 1);
	/* The slot is free for the next call, and the old handler's answer goes nowhere. */
	assert_int_equal(call(p, 1, 5, 16, NULL).code, TELA_OK);
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	assert_int_equal(n_left, 1);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_detached), 1);
	assert_quiet(p);
	pair_fini(p);
}

/* However long a request waits, is lost or takes to arrive: its handler has no more time than its
 * caller. `late` makes the one that has just been started so. */
static void ends_with_its_caller(uint64_t seed, size_t len, bool up, void (*late)(struct pair *p))
{
	struct pair *p = pair_new(seed, 1);
	struct tela_options opt = {.deadline_us = 40000};
	struct outcome o;
	uint64_t until;

	if (up)
		call(p, 3, 1, 8, NULL); /* refused without a bind packet being needed */
	p->end[0].sessions[0].bind = 0;
	if (!up)
		p->end[1].deaf = true;
	until = p->now_ns + opt.deadline_us * NS_PER_US;
	assert_int_equal(start(p, 0, 1, 2, len, &o, &opt), 0);
	late(p);
	pair_run(p, 20 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_in_range(ran_until_ns, until, until + 50 * NS_PER_US);
	pair_fini(p);
}

static void path_late(struct pair *p)
{
	pair_run(p, 10 * NS_PER_MS);
	p->end[1].deaf = false;
}

static void request_lost(struct pair *p)
{
	p->end[1].deaf = true;
	pair_run(p, 8 * NS_PER_MS);
	p->end[1].deaf = false;
}

static void rest_late(struct pair *p)
{
	for (int i = 0; i < 3; i++)
		pair_pass(p);
	p->end[0].frozen = true;
	pair_run(p, 10 * NS_PER_MS);
	p->end[0].frozen = false;
}

static void test_deadline_of_late_requests(void **state)
{
	(void)state;
	ends_with_its_caller(31, 32, false, path_late);
	ends_with_its_caller(32, 32, true, request_lost);
	ends_with_its_caller(33, 200000, true, request_lost);
	ends_with_its_caller(34, 200000, true, rest_late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_call),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_malformed_payload),
		cmocka_unit_test(test_schema_and_name),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_reply_limit),
		cmocka_unit_test(test_bad_wire),
		cmocka_unit_test(test_large_on_bad_wire),
		cmocka_unit_test(test_buffers_fail),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_pending_reply_lost),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_of_late_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One-way calls: accepted or refused as any other call is, run once, and nobody hears how they
 * end. */
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct tela_options one_way = {.deadline_us = 500000, .flags = TELA_CALL_ONE_WAY};

static void assert_accepted(const struct outcome *o)
{
	assert_true(o->done);
	assert_int_equal(o->times, 1);
	assert_int_equal(o->code, TELA_OK);
	assert_int_equal(o->outcome, TELA_EXECUTED);
}

static void assert_refused(const struct outcome *o, uint8_t code)
{
	assert_true(o->done);
	assert_int_equal(o->code, code);
	assert_int_equal(o->outcome, TELA_NOT_EXECUTED);
}

static uint64_t counted(const struct pair *p, int end, enum count_id id)
{
	return count_read(&p->end[end].counts, id);
}

/* Small, in a message of its own, in fragments: a reply is built, and none comes back. */
static void test_accepted(void **state)
{
	static const size_t sizes[] = {8, 300, 200000};
	struct pair *p = pair_new(1, 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct outcome o = call(p, 5, i, sizes[i], &one_way);

		assert_accepted(&o);
		assert_false(o.left);
		assert_int_equal(executions[i], 1);
		assert_int_equal(n_left, i + 1);
	}
	assert_int_equal(counted(p, 1, count_calls_one_way), 3);
	assert_int_equal(counted(p, 1, count_one_way_replies), 3);
	assert_int_equal(counted(p, 1, count_one_way_failed), 0);
	assert_int_equal(counted(p, 1, count_calls_detached), 0); /* nobody has gone */
	assert_int_equal(counted(p, 1, count_drop_detached), 0);
	assert_quiet(p);
	pair_fini(p);
}

/* What an accepted call answers is nobody's business; a refusal is. */
static void test_refused(void **state)
{
	static char paused[] = "paused";
	struct pair *p = pair_new(2, 1);
	struct outcome o = call(p, 3, 1, 16, &one_way);

	(void)state;
	assert_accepted(&o); /* its handler says PERMISSION_DENIED */
	o = call(p, 4, 2, 16, &one_way);
	assert_accepted(&o); /* no link answers */
	o = call(p, 6, 3, 16, &one_way);
	assert_refused(&o, TELA_UNIMPLEMENTED);
	assert_int_equal(counted(p, 1, count_one_way_failed), 2);
	atomic_store(&p->end[1].service->refusal, paused);
	o = call(p, 1, 4, 16, &one_way);
	assert_refused(&o, TELA_UNAVAILABLE);
	atomic_store(&p->end[1].service->refusal, NULL);
	assert_int_equal(executions[4], 0);
	assert_quiet(p);
	pair_fini(p);
}

static void test_malformed(void **state)
{
	struct pair *p = pair_new(3, 1);
	struct outcome o = {.len = 4};
	struct tela_request r;

	(void)state;
	assert_int_equal(
		caller_begin(&p->end[0].m, &p->end[0].sessions[0], &methods[0], 4, &one_way, &r),
		0);
	memset(r.payload, 0, 4);
	caller_send(&p->end[0].m, r.slot, done, &o);
	pair_run(p, NS_PER_MS);
	assert_refused(&o, TELA_INVALID_ARGUMENT);
	assert_int_equal(counted(p, 1, count_calls_one_way), 0);
	pair_fini(p);
}

/* The word that it was accepted is lost: a duplicate hears it again and runs nothing. */
static void test_accept_lost(void **state)
{
	struct pair *p = pair_new(4, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	p->end[0].deaf = true;
	assert_int_equal(start(p, 0, 2, 2, 64, &o, &one_way), 0);
	pair_run(p, NS_PER_MS);
	p->end[0].deaf = false;
	assert_false(o.done);
	assert_int_equal(executions[2], 1);
	pair_run(p, 100 * NS_PER_MS);
	assert_accepted(&o);
	assert_true(counted(p, 1, count_duplicates_answered) > 0);
	assert_int_equal(executions[2], 1);
	assert_int_equal(n_parked, 1);
	pair_fini(p);
}

/* A callee that knows no one-way calls answers with all it has: nobody reads it. */
static void test_answered_all_the_same(void **state)
{
	struct pair *p = pair_new(5, 1);
	struct tela_request r;
	struct outcome o = {.id = 2, .len = 32};
	struct caller_slot *slot;

	(void)state;
	call(p, 1, 1, 8, NULL);
	assert_int_equal(
		caller_begin(&p->end[0].m, &p->end[0].sessions[0], &methods[0], 32, NULL, &r), 0);
	fill(r.payload, 2, 32);
	slot = r.slot;
	caller_send(&p->end[0].m, slot, done, &o);
	slot->flags |= frame_PacketFlag_one_way; /* after it was sent */
	pair_run(p, NS_PER_MS);
	assert_accepted(&o);
	assert_false(o.own_bytes);
	pair_fini(p);
}

/* Its caller has gone on long ago; the call holds image and service until it is answered. */
static void test_pending(void **state)
{
	struct pair *p = pair_new(6, 1);
	struct machine *m = &p->end[1].m;
	struct tela_service *service = p->end[1].service;
	struct outcome o = call(p, 2, 3, 64, &one_way);

	(void)state;
	assert_accepted(&o);
	assert_int_equal(n_parked, 1);
	assert_int_equal(n_left, 0);
	assert_int_equal(atomic_load(&service->core[0].in_flight), 1); /* a drain waits for it */
	assert_int_equal(image_pins(atomic_load(&service->image)), 1);
	pair_run(p, 20 * NS_PER_MS);
	assert_int_equal(counted(p, 0, count_probes), 0);
	assert_int_equal(call(p, 1, 4, 16, NULL).code, TELA_OK); /* in the same slot */
	assert_int_equal(call_resume(m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	assert_int_equal(call_resume(m, parked[0], false, TELA_OK, NULL, "12345678", 8), -ESTALE);
	assert_int_equal(n_left, 1);
	assert_int_equal(atomic_load(&service->core[0].in_flight), 0);
	assert_int_equal(image_pins(atomic_load(&service->image)), 0);
	assert_int_equal(counted(p, 1, count_one_way_replies), 1);
	assert_int_equal(m->n_detached, 0);
	assert_quiet(p);
	pair_fini(p);
}

/* No further link runs after the deadline; what was entered is left. */
static void test_deadline(void **state)
{
	struct pair *p = pair_new(7, 1);
	struct tela_options o = one_way;
	struct outcome first;

	(void)state;
	call(p, 1, 1, 8, NULL);
	o.deadline_us = 3000;
	first = call(p, 2, 2, 64, &o);
	assert_accepted(&first);
	assert_in_range(ran_until_ns, p->now_ns, p->now_ns + 3 * NS_PER_MS);
	pair_run(p, 4 * NS_PER_MS);
	assert_int_equal(n_parked, 1);
	assert_int_equal(call_resume(&p->end[1].m, parked[0], true, 0, NULL, NULL, 0), 0);
	assert_int_equal(executions[2], 1);
	assert_int_equal(n_left, 1);
	assert_int_equal(counted(p, 1, count_one_way_failed), 1);
	/* One that is over before it arrives does not run. */
	p->end[1].deaf = true;
	assert_int_equal(start(p, 0, 1, 3, 8, &first, &o), 0);
	pair_run(p, 4 * NS_PER_MS);
	p->end[1].deaf = false;
	pair_run(p, 100 * NS_PER_MS);
	assert_int_equal(first.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(executions[3], 0);
	assert_quiet(p);
	pair_fini(p);
}

/* Its caller's path ends, and its caller with it. */
static void test_outlives_its_path(void **state)
{
	struct pair *p = pair_new(8, 1);
	struct outcome o = call(p, 2, 1, 64, &one_way);

	(void)state;
	assert_accepted(&o);
	machine_link_down(&p->end[1].m, 0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	assert_int_equal(counted(p, 1, count_one_way_replies), 1);
	assert_int_equal(p->end[1].m.n_calls_busy, 0);
	pair_fini(p);
}

static void test_budget(void **state)
{
	struct pair *p = pair_new(9, 1);
	uint32_t room = p->end[1].m.cfg.budgets.detached;
	struct outcome o;

	(void)state;
	for (uint32_t i = 0; i < room; i++) {
		o = call(p, 2, i, 64, &one_way);
		assert_accepted(&o);
	}
	o = call(p, 1, 100, 64, &one_way);
	assert_refused(&o, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(executions[100], 0);
	assert_int_equal(counted(p, 1, count_detached_full), 1);
	assert_int_equal(call(p, 1, 101, 64, NULL).code, TELA_OK);
	while (n_parked)
		assert_int_equal(call_resume(&p->end[1].m, parked[--n_parked], false, TELA_OK, NULL,
					 "12345678", 8),
			0);
	o = call(p, 1, 102, 64, &one_way);
	assert_accepted(&o);
	assert_quiet(p);
	pair_fini(p);
}

/* Taken back before it arrives; no more once it has. */
static void test_cancel(void **state)
{
	struct pair *p = pair_new(10, 1);
	struct outcome o;
	struct caller_slot *slot;

	(void)state;
	call(p, 1, 1, 8, NULL);
	slot = p->end[0].sessions[0].free;
	assert_int_equal(start(p, 0, 1, 2, 64, &o, &one_way), 0);
	p->end[1].frozen = true;
	caller_fail(&p->end[0].m, slot, TELA_CANCELLED, "cancelled");
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	p->end[1].frozen = false;
	pair_run(p, NS_PER_MS);
	assert_int_equal(executions[2], 1); /* the request stood in front of its cancel */
	assert_int_equal(counted(p, 1, count_calls_cancelled), 0);
	assert_int_equal(call(p, 1, 3, 64, NULL).code, TELA_OK);
	assert_quiet(p);
	pair_fini(p);
}

/* A local one reads its request where its caller built it: the completion comes after. */
static void test_local(void **state)
{
	static const unsigned method[] = {1, 2, 3, 6};
	static const size_t sizes[] = {64, 5000};
	struct pair *p = pair_new(11, 0);
	struct pair_end *e = &p->end[1];
	struct tela_request r;

	(void)state;
	assert_int_equal(caller_session_open(&e->m, &e->sessions[0], NULL, &desc), 0);
	for (size_t i = 0; i < ARRAY_SIZE(method) * ARRAY_SIZE(sizes); i++) {
		size_t len = sizes[i % 2];
		struct outcome o = {.id = i, .len = len};

		assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[method[i / 2] - 1],
					 len, &one_way, &r),
			0);
		fill(r.payload, i, len);
		caller_send(&e->m, r.slot, done, &o);
		assert_false(o.done);
		pair_pass(p);
		if (method[i / 2] == 6) {
			assert_refused(&o, TELA_UNIMPLEMENTED);
			continue;
		}
		assert_accepted(&o);
		assert_int_equal(executions[i], 1);
	}
	assert_int_equal(n_parked, 2);
	assert_int_equal(e->m.n_made, 0);
	for (uint32_t i = 0; i < n_parked; i++)
		assert_int_equal(
			call_resume(&e->m, parked[i], false, TELA_OK, NULL, "12345678", 8), 0);
	assert_int_equal(n_left, 2);
	assert_int_equal(count_read(&e->counts, count_one_way_replies), 6);
	assert_int_equal(e->m.n_calls_busy, 0);
	pair_fini(p);
}

enum { STORM = 400 };

static void test_bad_wire(void **state)
{
	static struct outcome o[STORM];
	struct pair *p = pair_new(12, 4);
	struct tela_options opt = {.deadline_us = 20000000, .flags = TELA_CALL_ONE_WAY};
	uint32_t next = 0, ended = 0;

	(void)state;
	p->shared_memory = false;
	p->loss = p->duplicate = p->reorder = 0.1;
	p->corrupt = 0.02;
	for (int i = 0; i < 10000000 && ended < STORM; i++) {
		pair_pass(p);
		for (uint32_t s = 0; s < 4; s++)
			if (next < STORM &&
				!start(p, s, 1, next, 8 + next * 7 % 2000, &o[next], &opt))
				next++;
		while (ended < next && o[ended].done)
			ended++;
	}
	pair_run(p, 100 * NS_PER_MS);
	for (uint32_t i = 0; i < STORM; i++) {
		assert_accepted(&o[i]);
		assert_int_equal(executions[i], 1);
	}
	assert_quiet(p);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_accept_lost),
		cmocka_unit_test(test_answered_all_the_same),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_outlives_its_path),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_bad_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Ends that go, stall, come back, refuse or talk nonsense; sessions, slots and budgets at their
 * limit. */
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_peer_gone(void **state)
{
	struct pair *p = pair_new(12, 1);
	struct outcome o;
	uint64_t began;

	(void)state;
	call(p, 1, 1, 8, NULL);
	p->end[1].frozen = true;
	began = p->now_ns;
	o = call(p, 1, 2, 8, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	assert_true(p->now_ns - began < 200 * NS_PER_MS);
	/* Back as it was: connects again by itself. */
	p->end[1].frozen = false;
	pair_run(p, 500 * NS_PER_MS);
	assert_int_equal(call(p, 1, 3, 8, NULL).code, TELA_OK);
	pair_fini(p);
}

static void test_peer_restarts(void **state)
{
	struct pair *p = pair_new(13, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	pair_restart(p, 1, &desc, image_links, ARRAY_SIZE(image_links));
	o = call(p, 1, 2, 8, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	pair_run(p, 50 * NS_PER_MS);
	assert_int_equal(call(p, 1, 3, 8, NULL).code, TELA_OK);
	assert_int_equal(executions[2], 0);
	pair_fini(p);
}

/* A loop whose every pass is long still sees what is lost, and who has gone. */
static void test_long_passes(void **state)
{
	struct pair *p = pair_new(24, 1);
	struct outcome o;
	uint64_t began;

	(void)state;
	call(p, 1, 1, 8, NULL);
	p->step_ns = 300000;
	p->end[1].deaf = true;
	assert_int_equal(start(p, 0, 1, 2, 8, &o, NULL), 0);
	pair_pass(p);
	pair_pass(p);
	p->end[1].deaf = false;
	pair_run(p, 100 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_true(count_read(&p->end[0].counts, count_resends) > 0);
	p->end[1].frozen = true;
	began = p->now_ns;
	o = call(p, 1, 3, 8, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_true(p->now_ns - began < 200 * NS_PER_MS);
	pair_fini(p);
}

static void test_stopped_peer_fails_nothing(void **state)
{
	struct pair *p = pair_new(14, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	assert_int_equal(start(p, 0, 1, 2, 8, &o, NULL), 0);
	p->end[1].frozen = true; /* shorter than the silence that counts */
	pair_run(p, 30 * NS_PER_MS);
	p->end[1].frozen = false;
	pair_run(p, 50 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_int_equal(executions[2], 1);
	assert_int_equal(count_read(&p->end[0].counts, count_resends),
		0); /* nothing was lost, nothing is sent again */
	pair_fini(p);
}

/* Whether a call outlives a stall of its callee. */
static bool outlives(struct pair *p, uint64_t id, uint64_t stall_ns)
{
	struct outcome o;

	assert_int_equal(start(p, 0, 1, id, 8, &o, NULL), 0);
	p->end[1].frozen = true;
	pair_run(p, stall_ns);
	p->end[1].frozen = false;
	pair_run(p, 20 * NS_PER_MS);
	assert_true(o.done);
	if (o.code) {
		assert_int_equal(o.code, TELA_UNAVAILABLE);
		assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
		pair_run(p, 200 * NS_PER_MS);
	}
	/* An answer to a ping brings the loop's longest gap. */
	assert_int_equal(call(p, 1, id + 100, 8, NULL).code, TELA_OK);
	return !o.code;
}

/* Down after the longest of the least silence, three of the gaps that the peer has shown in the
 * last ten seconds, and the pause that it has announced; nothing below that fails a call. */
static void test_silence(void **state)
{
	struct pair *p = pair_new(26, 1);
	struct outcome o;

	(void)state;
	p->end[0].m.cfg.peer_silence_ns = 5 * NS_PER_MS;
	assert_int_equal(call(p, 1, 1, 8, NULL).code, TELA_OK);
	assert_true(outlives(p, 2, 4500000));
	assert_true(p->end[0].path->peer_gap_us >= 4500);
	assert_true(outlives(p, 3, 13 * NS_PER_MS)); /* thrice as long as the last one */
	assert_true(outlives(p, 4, 35 * NS_PER_MS));
	assert_false(outlives(p, 5, 150 * NS_PER_MS));
	p->step_ns = 50000;
	pair_run(p, 11 * NS_PER_S); /* forgotten */
	p->step_ns = 2000;
	assert_int_equal(p->end[1].m.gap10_ns, 0);
	path_down(&p->end[0].m, p->end[0].path, "to hear it again");
	assert_int_equal(call(p, 1, 6, 8, NULL).code, TELA_OK);
	assert_false(outlives(p, 7, 10 * NS_PER_MS));

	p->end[1].m.cfg.pause_ns = 300 * NS_PER_MS;
	path_down(&p->end[0].m, p->end[0].path, "to hear what it announces");
	assert_int_equal(call(p, 1, 8, 8, NULL).code, TELA_OK);
	assert_true(outlives(p, 9, 290 * NS_PER_MS));

	/* Its own absence is not the peer's. */
	p->end[1].m.cfg.pause_ns = 0;
	pair_restart(p, 1, &desc, image_links, ARRAY_SIZE(image_links));
	path_down(&p->end[0].m, p->end[0].path, "another one");
	assert_int_equal(call(p, 1, 10, 8, NULL).code, TELA_OK);
	assert_int_equal(start(p, 0, 2, 11, 8, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	p->end[0].frozen = true;
	pair_run(p, 400 * NS_PER_MS);
	p->end[0].frozen = false;
	pair_run(p, 20 * NS_PER_MS);
	assert_false(o.done);
	call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8);
	pair_run(p, NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);

	/* Nor while it suspects the peer: the whole machine was stopped. */
	assert_int_equal(start(p, 0, 1, 12, 8, &o, NULL), 0);
	p->end[1].frozen = true;
	pair_run(p, 12 * NS_PER_MS); /* after its own gap it asks no earlier than after 10 ms */
	assert_true(p->end[0].path->silent_since_ns > 0);
	p->end[0].frozen = true;
	pair_run(p, 400 * NS_PER_MS);
	p->end[0].frozen = p->end[1].frozen = false;
	pair_run(p, 20 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	pair_fini(p);
}

/* Nothing is owed but to a call in progress, which is probed every 64 ms by now. */
static void test_silence_in_progress(void **state)
{
	struct pair *p = pair_new(27, 1);
	struct outcome o;
	uint64_t began;

	(void)state;
	p->end[0].m.cfg.peer_silence_ns = 5 * NS_PER_MS;
	assert_int_equal(start(p, 0, 2, 1, 8, &o, NULL), 0);
	pair_run(p, 140 * NS_PER_MS);
	assert_false(o.done);
	p->end[1].frozen = true;
	for (began = p->now_ns; !o.done && p->now_ns - began < NS_PER_S;)
		pair_pass(p);
	assert_true(o.done && o.code == TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	assert_true(p->now_ns - began < 12 * NS_PER_MS);
	pair_fini(p);
}

static void test_no_peer(void **state)
{
	struct pair *p = pair_new(15, 1);
	struct tela_options opt = {.deadline_us = 10000};
	struct outcome o;

	(void)state;
	p->end[1].deaf = true;
	o = call(p, 1, 2, 8, &opt);
	assert_int_equal(o.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	pair_fini(p);
}

/* What the first fragment asks for decides before memory is taken for the others. */
static void test_admitted_before_memory(void **state)
{
	struct pair *p = pair_new(21, 1);
	struct msgpool *pool = &p->end[1].m.msgs;
	struct msg *taken = NULL, *msg;
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	while ((msg = msgpool_get(pool, MSG_1M)) || (msg = msgpool_get(pool, MSG_64K))) {
		msg->next = taken;
		taken = msg;
	}
	o = call(p, 6, 2, 60000, NULL);
	assert_int_equal(o.code, TELA_UNIMPLEMENTED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	o = call(p, 1, 3, 60000, NULL);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	while ((msg = taken)) {
		taken = msg->next;
		msgpool_put(pool, msg);
	}
	o = call(p, 1, 4, 60000, NULL);
	assert_true(o.own_bytes);
	p->end[0].sessions[0].bind = 5;
	o = call(p, 1, 5, 60000, NULL);
	assert_true(o.own_bytes);
	assert_int_equal(count_read(&p->end[1].counts, count_rebinds), 1);
	assert_quiet(p);
	pair_fini(p);
}

/* However many calls are cancelled or late, only so many run without a caller; the others keep
 * their slots. */
static void test_detached_budget(void **state)
{
	const struct tela_options soon = {.deadline_us = 1000};
	struct pair *p = pair_new(22, 4);
	static struct outcome o[32];
	struct machine *callee = &p->end[1].m;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(o); i++)
		assert_int_equal(start(p, i % 4, 2, 100 + i, 16, &o[i], &soon), 0);
	pair_run(p, 5 * NS_PER_MS);
	for (uint32_t i = 0; i < ARRAY_SIZE(o); i++)
		assert_true(o[i].done && o[i].code == TELA_DEADLINE_EXCEEDED);
	assert_int_equal(n_parked, ARRAY_SIZE(o));
	assert_int_equal(callee->n_detached, 16);
	for (uint32_t i = 0; i < n_parked; i++)
		call_resume(callee, parked[i], false, TELA_OK, NULL, "12345678", 8);
	pair_run(p, 5 * NS_PER_MS);
	assert_int_equal(callee->n_detached, 0);
	assert_quiet(p);
	o[0] = call(p, 1, 2, 8, NULL);
	assert_int_equal(o[0].code, TELA_OK);
	pair_fini(p);
}

/* More sessions than the peer takes: calls in them are told, the others go on. */
static void test_sessions_refused(void **state)
{
	struct pair *p = pair_new(23, 4);
	struct pair_end *e = &p->end[0];
	struct outcome o[4], late;

	(void)state;
	p->end[1].m.cfg.budgets.sessions = 2;
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(start(p, i, 1, 10 + i, 40, &o[i], NULL), 0);
	pair_run(p, 5 * NS_PER_MS);
	for (uint32_t i = 0; i < 4; i++) {
		assert_true(o[i].done);
		assert_int_equal(o[i].code, i < 2 ? TELA_OK : TELA_RESOURCE_EXHAUSTED);
		assert_true(i < 2 || o[i].outcome == TELA_NOT_EXECUTED);
	}
	assert_int_equal(start(p, 3, 1, 20, 40, &late, NULL), -EAGAIN);
	assert_int_equal(caller_session_open(&e->m, &e->sessions[8], e->path, &desc), -ENOBUFS);
	assert_int_equal(e->path->queued, 0);
	assert_quiet(p);
	pair_fini(p);
}

static void test_rebind(void **state)
{
	struct pair *p = pair_new(16, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	p->end[0].sessions[0].bind = 5; /* an index that the callee does not know */
	o = call(p, 1, 2, 40, NULL);
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.own_bytes);
	assert_int_equal(executions[2], 1);
	assert_int_equal(count_read(&p->end[1].counts, count_rebinds), 1);
	assert_int_equal(p->end[0].sessions[0].bind, 1);
	pair_fini(p);
}

static void test_slots_grow(void **state)
{
	struct pair *p = pair_new(17, 1);
	static struct outcome o[64];
	uint32_t n = 0;

	(void)state;
	call(p, 1, 1, 8, NULL);
	for (int pass = 0; pass < 200 && n < 64; pass++) {
		while (n < 64 && !start(p, 0, 2, 100 + n, 16, &o[n], NULL))
			n++;
		pair_pass(p);
	}
	assert_int_equal(n, 64);
	assert_int_equal(p->end[0].sessions[0].n_slots, 64);
	assert_int_equal(start(p, 0, 1, 200, 16, &(struct outcome){0}, NULL), -EAGAIN);
	pair_run(p, 5 * NS_PER_MS);
	for (uint32_t i = 0; i < n_parked; i++)
		call_resume(&p->end[1].m, parked[i], false, TELA_OK, NULL, "12345678", 8);
	pair_run(p, 5 * NS_PER_MS);
	assert_quiet(p);
	pair_fini(p);
}

/* Nobody remembers the refusal of a call that got no slot. One that was sent once surely does not
 * run; of one that was sent twice, the other copy may. */
static void test_refused_without_a_slot(void **state)
{
	static const struct tela_budgets one_session = {.paths = 8,
		.sessions = 16,
		.slots = 8,
		.calls = 8,
		.messages_2k = 8,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 64};
	static struct pair pair;
	struct pair *p = &pair;
	struct outcome o;

	(void)state;
	pair_init(p, 23, &desc, image_links, ARRAY_SIZE(image_links), &one_session);
	pair_connect(p, &desc, 2);
	assert_int_equal(call(p, 1, 1, 8, NULL).code, TELA_OK);
	assert_int_equal(start(p, 1, 1, 2, 8, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	p->end[1].deaf = true;
	assert_int_equal(start(p, 1, 1, 3, 8, &o, NULL), 0);
	pair_run(p, 5 * NS_PER_MS);
	p->end[1].deaf = false;
	pair_run(p, 20 * NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	pair_fini(p);
}

static void test_draining(void **state)
{
	struct pair *p = pair_new(18, 1);
	struct outcome o;
	struct tela_request r;

	(void)state;
	call(p, 1, 1, 8, NULL);
	machine_drain(&p->end[1].m);
	assert_int_equal(start(p, 0, 1, 2, 8, &o, NULL), 0); /* crosses the go-away */
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(
		caller_begin(&p->end[0].m, &p->end[0].sessions[0], &methods[0], 8, NULL, &r),
		-ENOTCONN);
	pair_fini(p);
}

static void test_local(void **state)
{
	struct pair *p = pair_new(19, 0);
	struct pair_end *e = &p->end[1];
	struct outcome o = {.id = 7, .len = 500};
	struct tela_request r;

	(void)state;
	assert_int_equal(caller_session_open(&e->m, &e->sessions[0], NULL, &desc), 0);
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 500, NULL, &r), 0);
	fill(r.payload, 7, 500);
	caller_send(&e->m, r.slot, done, &o);
	assert_false(o.done); /* never inside */
	pair_pass(p);
	assert_true(o.done && o.own_bytes);
	assert_int_equal(count_read(&e->counts, count_calls_local), 1);
	assert_int_equal(count_read(&e->counts, count_tx_datagrams), 0);
	assert_int_equal(e->m.n_made, 0);
	/* One whose time is over before it is its turn does not run. */
	o = (struct outcome){.id = 8, .len = 8};
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 8,
				 &(struct tela_options){.deadline_us = 1}, &r),
		0);
	fill(r.payload, 8, 8);
	caller_send(&e->m, r.slot, done, &o);
	pair_pass(p);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(executions[8], 0);
	pair_fini(p);
}

/* Any bytes at all: counted, never more than answered, never a crash (under ASan: never a read
 * beyond). */
static void test_noise(void **state)
{
	struct pair *p = pair_new(20, 1);
	uint8_t bytes[1600];

	(void)state;
	call(p, 1, 1, 8, NULL);
	for (int i = 0; i < 200000; i++) {
		uint32_t len = (uint32_t)(pair_random(p) % 200);
		uint64_t sent = p->sent;

		for (uint32_t k = 0; k < len; k += 8) {
			uint64_t r = pair_random(p);

			memcpy(bytes + k, &r, 8);
		}
		if (len > 12 && i % 2) { /* looks like one of ours */
			uint8_t head[] = {1, 0, 30, 0};

			memcpy(bytes, head, 4);
			uint64_t number = p->end[1].m.paths[0].rx_number + 1;

			memcpy(bytes + 4, &p->end[1].m.paths[0].id, 4);
			if (i % 4 == 1)
				memcpy(bytes + 8, &number, 8);
			if (len > 40)
				bytes[30] = (uint8_t)(bytes[30] % 24);
		}
		pair_inject(p, 1, bytes, len);
		assert_true(p->sent - sent <= 1);
		if (i % 64 == 0)
			pair_pass(p);
	}
	/* Numbers taken by what knew the connection id may cost the path; then a new one is made.
	 */
	if (call(p, 1, 2, 8, NULL).code)
		pair_run(p, 500 * NS_PER_MS);
	assert_int_equal(call(p, 1, 3, 8, NULL).code, TELA_OK);
	assert_true(count_read(&p->end[1].counts, count_drop_kind) &&
		    count_read(&p->end[1].counts, count_drop_packet_length));
	pair_fini(p);
}

static void test_version_answer(void **state)
{
	struct pair *p = pair_new(21, 1);
	uint8_t question[] = {9, 0, 30, 0, 1, 2, 3, 4, 5};
	uint32_t n;

	(void)state;
	call(p, 1, 1, 8, NULL);
	pair_run(p, NS_PER_MS);
	n = p->n_wire;
	pair_inject(p, 1, question, 9);
	assert_int_equal(p->n_wire, n + 1);
	assert_int_equal(p->wire[n]->len, 8);
	assert_memory_equal(p->wire[n]->bytes, ((uint8_t[]){0, 1, 1, 0, 1, 2, 3, 4}), 8);
	pair_inject(p, 1, question, 7); /* too short to be answered */
	assert_int_equal(p->n_wire, n + 1);
	pair_inject(p, 1, p->wire[n]->bytes, 8); /* an answer is not answered */
	assert_int_equal(p->n_wire, n + 1);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_version), 3);
	pair_fini(p);
}

static void test_cookie_first(void **state)
{
	struct pair *p = pair_new(22, 1);

	(void)state;
	p->end[0].deaf = true; /* hellos arrive, their cookies do not come back */
	pair_run(p, 100 * NS_PER_MS);
	assert_true(count_read(&p->end[1].counts, count_cookies) > 1);
	assert_int_equal(p->end[1].m.n_paths, 0); /* no memory was taken for it */
	p->end[0].deaf = false;
	pair_run(p, 500 * NS_PER_MS);
	assert_int_equal(p->end[1].m.n_paths, 1);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_peer_restarts),
		cmocka_unit_test(test_long_passes),
		cmocka_unit_test(test_stopped_peer_fails_nothing),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_silence_in_progress),
		cmocka_unit_test(test_no_peer),
		cmocka_unit_test(test_admitted_before_memory),
		cmocka_unit_test(test_detached_budget),
		cmocka_unit_test(test_sessions_refused),
		cmocka_unit_test(test_rebind),
		cmocka_unit_test(test_slots_grow),
		cmocka_unit_test(test_refused_without_a_slot),
		cmocka_unit_test(test_draining),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_version_answer),
		cmocka_unit_test(test_cookie_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

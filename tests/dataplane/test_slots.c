/* test_slots.c - slots of a session: granted as calls need them, given back when they do not, and
 * what must not happen meanwhile: a slot that one end uses and the other has not, an old call that
 * runs in a slot granted anew. */
#include "callee.h"
#include "caller.h"
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MANY = 64, LEFT = 8 };

static struct tela_budgets budgets = {.paths = 4,
	.sessions = 4,
	.slots = MANY + 8,
	.slots_per_session = MANY,
	.calls = 128,
	.messages_2k = 64,
	.messages_64k = 8,
	.messages_1m = 4,
	.in_flight = 2 * MANY};

static struct pair *p;
static struct outcome o[MANY];
static uint64_t next_id;

static void begin(void)
{
	static struct pair pair;

	p = &pair;
	memset(executions, 0, sizeof(executions));
	n_parked = 0;
	next_id = 1;
	pair_init(p, 1, &desc, image_links, COUNTED_LINKS, &budgets);
	pair_connect(p, &desc, 2);
}

static struct caller_session *made(uint32_t n)
{
	return &p->end[0].sessions[n];
}

static struct callee_session *served(uint32_t n)
{
	struct machine *m = &p->end[1].m;

	for (uint32_t i = 0; i < budgets.paths; i++)
		if (m->paths[i].state == PATH_UP && m->paths[i].in[n])
			return m->paths[i].in[n];
	return NULL;
}

static uint64_t counted(int end, enum count_id id)
{
	return count_read(&p->end[end].counts, id);
}

static void assert_slots(uint32_t session, uint32_t n)
{
	assert_int_equal(made(session)->n_slots, n);
	assert_int_equal(served(session)->n_slots, n);
}

static void resume_from(uint32_t first)
{
	for (uint32_t i = first; i < n_parked; i++)
		call_resume(&p->end[1].m, parked[i], false, TELA_OK, NULL, "12345678", 8);
	n_parked = first;
	pair_run(p, 2 * NS_PER_MS);
}

/* As many calls at once as the session is granted slots; they wait at the callee. */
static uint32_t burst(uint32_t session)
{
	uint32_t n = 0;

	memset(o, 0, sizeof(o));
	for (int pass = 0; pass < 2000 && n < MANY; pass++, pair_pass(p))
		while (n < MANY && !start(p, session, 2, next_id, 16, &o[n], NULL)) {
			next_id++;
			n++;
		}
	pair_run(p, NS_PER_MS);
	assert_int_equal(n_parked, n);
	return n;
}

/* They end, each well, each once. */
static void answer(uint32_t n)
{
	resume_from(0);
	for (uint32_t i = 0; i < n; i++)
		assert_true(o[i].done && o[i].times == 1 && o[i].code == TELA_OK);
	for (uint64_t id = 1; id < next_id; id++)
		assert_int_equal(executions[id], 1);
}

static void time_passes(uint64_t ns)
{
	uint64_t step = p->step_ns;

	p->step_ns = NS_PER_MS;
	pair_run(p, ns);
	p->step_ns = step;
}

static void end(void)
{
	time_passes(5 * NS_PER_S);
	assert_slots(0, LEFT);
	assert_quiet(p);
	pair_fini(p);
}

static void test_returned(void **state)
{
	uint32_t at_callee, at_caller;

	(void)state;
	begin();
	assert_true(call(p, 1, next_id++, 16, NULL).own_bytes);
	at_callee = p->end[1].m.n_callee_blocks;
	at_caller = p->end[0].m.n_caller_blocks;
	answer(burst(0));
	assert_slots(0, MANY);
	/* Nothing is left for another session, until the first does not need it any more. */
	assert_int_equal(burst(1), LEFT);
	resume_from(0);
	time_passes(5 * NS_PER_S);
	assert_slots(0, LEFT);
	assert_int_equal(counted(1, count_slot_returns), MANY - LEFT);
	assert_int_equal(p->end[1].m.n_callee_blocks, at_callee - 1);
	assert_int_equal(p->end[0].m.n_caller_blocks, at_caller);
	assert_int_equal(burst(1), MANY);
	answer(MANY);
	end();
}

/* One call that takes its time keeps its block, and those before. */
static void test_busy(void **state)
{
	uint32_t at = 0;

	(void)state;
	begin();
	assert_int_equal(burst(0), MANY);
	resume_from(MANY / 2 + 1);
	for (uint32_t i = 0; i < MANY / 2; i++)
		call_resume(&p->end[1].m, parked[i], false, TELA_OK, NULL, "12345678", 8);
	parked[0] = parked[MANY / 2];
	n_parked = 1;
	while (callee_slot_at(served(0), at)->state != CALLEE_RUNNING)
		assert_true(++at < MANY);
	time_passes(3 * NS_PER_S);
	assert_int_equal(made(0)->n_busy, 1);
	assert_slots(0, (at / SLOT_BLOCK + 1) * SLOT_BLOCK);
	resume_from(0);
	end();
}

/* The one use of a slot that was given back goes on counting where the other ended. */
static void test_numbers_go_on(void **state)
{
	frame_Packet h = {.kind = frame_Kind_request, .slot = MANY - 1};
	struct callee_slot *slot;
	uint64_t stale, gone;
	uint32_t last = 0;

	(void)state;
	begin();
	for (int i = 0; i < 5; i++)
		answer(burst(0));
	for (uint32_t i = LEFT; i < MANY; i++)
		last = last > caller_slot_at(made(0), i)->call ? last
							       : caller_slot_at(made(0), i)->call;
	assert_true(last >= 5);
	time_passes(5 * NS_PER_S);
	assert_slots(0, LEFT);
	answer(burst(0));
	assert_slots(0, MANY);
	time_passes(5 * NS_PER_S);
	/* Granted, not used: what comes late for it is of the time before. */
	callee_credit(&p->end[1].m, served(0)->path,
		&(frame_Packet){.kind = frame_Kind_credit, .call = made(0)->credits + 1},
		&(frame_Credit){.slots = MANY, .floor = made(0)->floor});
	assert_int_equal(served(0)->n_slots, MANY);
	slot = callee_slot_at(served(0), MANY - 1);
	stale = counted(1, count_drop_stale);
	gone = counted(1, count_drop_reply_gone);
	assert_true(slot->call > last);
	for (h.call = 1; h.call <= slot->call; h.call++)
		callee_request(&p->end[1].m, served(0)->path, &h, slot->bytes, 0);
	assert_int_equal(counted(1, count_drop_stale) - stale, slot->call - 1);
	assert_int_equal(counted(1, count_drop_reply_gone) - gone, 1);
	made(0)->credits++;
	pair_fini(p);
}

/* A question that others have overtaken takes nothing away, and its answer gives nothing. */
static void test_late_questions(void **state)
{
	struct path *at_callee;

	(void)state;
	begin();
	answer(burst(0));
	assert_slots(0, MANY);
	at_callee = served(0)->path;
	for (uint32_t n = 1; n <= made(0)->credits; n++)
		callee_credit(&p->end[1].m, at_callee,
			&(frame_Packet){.kind = frame_Kind_credit, .call = n},
			&(frame_Credit){.slots = LEFT});
	assert_slots(0, MANY);
	caller_credit(&p->end[0].m, p->end[0].path,
		&(frame_Packet){.kind = frame_Kind_credit, .call = made(0)->credits - 1},
		&(frame_Credit){.slots = LEFT, .most = MANY});
	assert_slots(0, MANY);
	answer(burst(0));
	time_passes(5 * NS_PER_S);
	caller_credit(&p->end[0].m, p->end[0].path,
		&(frame_Packet){.kind = frame_Kind_credit, .call = made(0)->credits - 1},
		&(frame_Credit){.slots = MANY, .most = MANY});
	assert_slots(0, LEFT);
	end();
}

/* What still runs keeps its slot at the callee, also when nobody waits for it. */
static void test_running_for_nobody(void **state)
{
	(void)state;
	begin();
	assert_int_equal(burst(0), MANY);
	p->end[1].deaf = true; /* so it does not hear that they are cancelled */
	for (uint32_t i = 0; i < MANY; i++)
		caller_fail(&p->end[0].m, caller_slot_at(made(0), i), TELA_CANCELLED, "enough");
	pair_run(p, NS_PER_MS);
	p->end[1].deaf = false;
	time_passes(3 * NS_PER_S);
	assert_slots(0, MANY);
	assert_int_equal(p->end[1].m.n_calls_busy, MANY);
	resume_from(0);
	end();
}

/* The caller uses fewer from when it asks, whether or not it is heard, or hears. */
static void test_lost(void **state)
{
	(void)state;
	for (int deaf = 0; deaf < 2; deaf++) {
		begin();
		answer(burst(0));
		/* One of them has been used more often than others. */
		caller_slot_at(made(0), MANY - 1)->call += 100;
		p->end[deaf].deaf = true;
		for (int ms = 0; ms < 2000 && made(0)->n_slots == MANY; ms++)
			time_passes(NS_PER_MS);
		pair_run(p, NS_PER_MS);
		assert_int_equal(made(0)->n_slots, MANY / 2);
		assert_int_equal(made(0)->n_owned, MANY);
		p->end[deaf].deaf = false;
		assert_int_equal(burst(0), MANY);
		answer(MANY);
		end();
	}
}

/* A callee of before takes nothing back: what it says it has granted is used, and it is not asked
 * for ever. */
static void test_callee_that_keeps(void **state)
{
	uint32_t asked;

	(void)state;
	begin();
	answer(burst(0));
	p->end[1].deaf = true; /* it is spoken for here */
	for (int ms = 0; ms < 2000 && made(0)->n_slots == MANY; ms++)
		time_passes(NS_PER_MS);
	assert_int_equal(made(0)->n_slots, MANY / 2);
	caller_credit(&p->end[0].m, p->end[0].path, &(frame_Packet){.kind = frame_Kind_credit},
		&(frame_Credit){.slots = MANY});
	assert_int_equal(made(0)->n_slots, MANY);
	asked = made(0)->credits;
	time_passes(3 * NS_PER_S);
	assert_int_equal(made(0)->credits, asked);
	assert_int_equal(made(0)->n_slots, MANY);
	pair_fini(p);
}

static void test_local(void **state)
{
	struct caller_session *s;
	struct machine *m;
	uint32_t before;

	(void)state;
	begin();
	s = &p->end[1].sessions[3];
	m = &p->end[1].m;
	before = m->n_caller_blocks;
	assert_int_equal(caller_session_open(m, s, NULL, &desc), 0);
	while (s->n_slots < 32)
		caller_ask_credit(m, s);
	time_passes(5 * NS_PER_S);
	assert_int_equal(s->n_slots, LEFT);
	assert_int_equal(m->n_caller_blocks, before - 1);
	pair_fini(p);
}

/* Changed at run time, at the callee: what is granted from then on. */
static void test_limits(void **state)
{
	(void)state;
	begin();
	machine_limits(&p->end[1].m, 1, 16 + 7);
	assert_int_equal(p->end[1].m.cfg.budgets.window, BULK_WINDOW_MIN);
	assert_int_equal(burst(0), 16);
	answer(16);
	assert_slots(0, 16);
	machine_limits(&p->end[1].m, 100000, MANY);
	assert_int_equal(p->end[1].m.cfg.budgets.window, BULK_WINDOW_MAX);
	time_passes(200 * NS_PER_MS);
	burst(0); /* asks again: it may be told otherwise by now */
	answer(0);
	time_passes(200 * NS_PER_MS);
	assert_int_equal(burst(0), MANY);
	answer(MANY);
	machine_limits(&p->end[1].m, 256, 16);
	assert_slots(0, MANY); /* what it has stays */
	end();
}

/* ---- sessions that are closed ---- */

/* Its memory goes at once; what comes for it later finds no session. */
static void close_session(uint32_t n)
{
	caller_session_end(&p->end[0].m, made(n), "closed");
	memset(made(n), 0xdb, sizeof(*made(n)));
}

static int open_session(uint32_t n)
{
	memset(made(n), 0, sizeof(*made(n)));
	return caller_session_open(&p->end[0].m, made(n), p->end[0].path, &desc);
}

/* As many calls as it is granted meanwhile; every other one waits at the callee. */
static uint32_t some_calls(uint32_t session)
{
	uint32_t n = 0;

	memset(o, 0, sizeof(o));
	for (int pass = 0; pass < 60; pass++, pair_pass(p))
		while (n < MANY / 2 && !start(p, session, 1 + n % 2, next_id, 16, &o[n], NULL)) {
			next_id++;
			n++;
		}
	return n;
}

/* Whatever the wire repeats and delays: no call ends twice, or runs twice, or is taken for one of
 * the session that had the number before. */
static void test_closed_and_opened(void **state)
{
	uint32_t n, n_cancelled = 0, n_done = 0;

	(void)state;
	begin();
	p->loss = p->duplicate = p->reorder = 0.05;
	for (uint32_t round = 0; round < 200; round++) {
		n = some_calls(round % 2);
		close_session(round % 2);
		for (uint32_t i = 0; i < n; i++) {
			assert_true(o[i].done && o[i].times == 1);
			assert_true(o[i].code == TELA_OK ? o[i].own_bytes
							 : o[i].code == TELA_CANCELLED);
			n_cancelled += o[i].code != TELA_OK;
			n_done += o[i].code == TELA_OK;
		}
		pair_run(p, NS_PER_MS);
		resume_from(0);
		assert_int_equal(open_session(round % 2), 0);
		assert_int_equal(made(round % 2)->number, round % 2);
	}
	assert_true(n_cancelled && n_done);
	for (uint64_t id = 1; id < next_id; id++)
		assert_in_range(executions[id], 0, 1);
	assert_int_equal(p->end[0].path->n_out, 2);
	p->loss = p->duplicate = p->reorder = 0;
	time_passes(5 * NS_PER_S);
	assert_true(call(p, 1, next_id++, 16, NULL).own_bytes);
	end();
}

/* The callee has its slots back but those that it never takes, the caller all of them; nobody who
 * speaks of the session gets any. */
static void test_closed(void **state)
{
	struct machine *m;
	struct path *path;
	uint32_t blocks;

	(void)state;
	begin();
	m = &p->end[0].m;
	path = p->end[0].path;
	blocks = m->n_caller_blocks + 2;
	assert_true(call(p, 1, next_id++, 16, NULL).own_bytes);
	assert_int_equal(burst(0), MANY);
	resume_from(MANY / 2);
	close_session(0);
	close_session(1);
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(o[i].times == 1 &&
			    (o[i].code == TELA_OK || o[i].outcome == TELA_MAYBE_EXECUTED));
	pair_run(p, NS_PER_MS);
	assert_int_equal(p->end[1].m.n_detached, MANY / 2);
	resume_from(0);
	for (uint32_t s = 0; s < 2; s++) {
		caller_credit(m, path, &(frame_Packet){.kind = frame_Kind_credit, .session = s},
			&(frame_Credit){.slots = MANY, .most = MANY});
		caller_bind(m, path, &(frame_Packet){.kind = frame_Kind_bind, .session = s},
			(const uint8_t *)&(frame_Bind){.index = 1}, sizeof(frame_Bind));
	}
	assert_int_equal(m->n_caller_blocks, blocks);
	assert_int_equal(m->n_sessions, 0);
	/* A peer that takes fewer by now: the one number that it still takes. */
	path->peer_sessions = 1;
	assert_int_equal(open_session(0), 0);
	assert_int_equal(made(0)->number, 0);
	assert_int_equal(open_session(1), -ENOBUFS);
	assert_true(call(p, 1, next_id++, 16, NULL).own_bytes);
	close_session(0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(served(0)->n_slots, LEFT);
	assert_quiet(p);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_returned),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_numbers_go_on),
		cmocka_unit_test(test_late_questions),
		cmocka_unit_test(test_running_for_nobody),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_callee_that_keeps),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_closed_and_opened),
		cmocka_unit_test(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

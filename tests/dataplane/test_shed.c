/* test_shed.c - a callee that is behind refuses what has waited too long, and nothing else; its
 * callers ask it for less. */
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TARGET_NS NS_PER_MS

enum { CALLS = 24000, SESSIONS = 16 };

static struct outcome o[CALLS];
static uint64_t made_ns[CALLS], took_ns[CALLS];

/* As a caller that asks on whatever it is told. */
static void stubborn(struct pair *p)
{
	p->end[0].path->throttled = 0;
	memset(p->end[0].path->throttle, 0, sizeof(p->end[0].path->throttle));
}

/* Runs both ends; the callee takes one datagram in every `slow`-th pass. A call a pass from `from`
 * on, as long as there is a slot. Returns the number of the next one. */
static uint32_t overload_by(
	struct pair *p, uint32_t from, uint32_t passes, uint32_t slow, bool asks_on)
{
	uint32_t id = from;

	for (uint32_t i = 0; i < passes; i++) {
		assert_true(id < CALLS);
		if (!start(p, id % SESSIONS, 1, id, 16, &o[id], NULL))
			made_ns[id++] = p->now_ns;
		p->end[1].burst = 1;
		p->end[1].frozen = i % slow;
		pair_pass(p);
		if (asks_on)
			stubborn(p);
		for (uint32_t k = from; k < id; k++)
			if (o[k].done && !took_ns[k])
				took_ns[k] = p->now_ns - made_ns[k];
	}
	p->end[1].frozen = false;
	return id;
}

static uint32_t overload(struct pair *p, uint32_t from, uint32_t passes, uint32_t slow)
{
	return overload_by(p, from, passes, slow, true);
}

static struct pair *behind_new(uint64_t seed)
{
	struct pair *p = pair_new(seed, SESSIONS);

	memset(o, 0, sizeof(o));
	memset(took_ns, 0, sizeof(took_ns));
	p->end[1].m.shed.target_ns = p->end[1].service->shed_ns = TARGET_NS;
	for (uint32_t i = 0; i < SESSIONS; i++) { /* bound, with all their slots */
		struct outcome first[64];

		for (int k = 0; k < 200 && p->end[0].sessions[i].n_slots < 64; k++) {
			while (!start(p, i, 1, 1, 16, &first[k % 64], NULL))
				k++;
			pair_run(p, 100000);
		}
		pair_run(p, NS_PER_MS);
	}
	return p;
}

static uint64_t shed(const struct pair *p)
{
	return count_read(&p->end[1].counts, count_calls_shed);
}

/* How long a datagram has waited is known, whatever the wire takes and the clocks say. */
static void test_wait(void **state)
{
	struct pair *p = pair_new(1, 1);
	struct outcome one;

	(void)state;
	p->delay_ns = 70000;
	for (uint64_t id = 1; id < 20; id++) {
		assert_int_equal(call(p, 1, id, 16, NULL).code, TELA_OK);
		assert_true(p->end[1].m.shed.queue_ns <= p->step_ns);
	}
	assert_int_equal(start(p, 0, 1, 30, 16, &one, NULL), 0);
	p->end[1].frozen = true;
	pair_run(p, 5 * NS_PER_MS);
	p->end[1].frozen = false;
	p->end[1].burst = 1; /* no ping that came later */
	pair_pass(p);
	p->end[1].burst = 0;
	assert_in_range(p->end[1].m.shed.queue_ns, 5 * NS_PER_MS - 80000, 5 * NS_PER_MS);
	/* Late as it is, it was on its way: its callee has looked all the time. */
	p->delay_ns = 3 * NS_PER_MS;
	assert_int_equal(call(p, 1, 31, 16, NULL).code, TELA_OK);
	assert_true(p->end[1].m.shed.queue_ns <= p->step_ns);
	pair_fini(p);
}

/* However long: what is worked off is no overload. */
static void test_pause_sheds_nothing(void **state)
{
	struct pair *p = behind_new(2);
	uint32_t n = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		p->end[1].frozen = true;
		for (int i = 0; i < 300; i++) {
			assert_int_equal(start(p, n % SESSIONS, 1, n, 16, &o[n], NULL), 0);
			n++;
			pair_pass(p);
		}
		pair_run(p, 8 * NS_PER_MS);
		p->end[1].frozen = false;
		pair_run(p, 3 * NS_PER_MS);
	}
	for (uint32_t i = 0; i < n; i++)
		assert_true(o[i].done && o[i].code == TELA_OK);
	assert_int_equal(shed(p), 0);
	pair_fini(p);
}

static void test_behind(void **state)
{
	struct pair *p = behind_new(3);
	uint32_t half, n, ok = 0, refused = 0;

	(void)state;
	half = overload(p, 2, 14000, 3); /* it finds out */
	assert_true(shed(p) > 0);
	n = overload(p, half, 9000, 3);
	p->end[1].burst = 0;
	pair_run(p, 20 * NS_PER_MS);
	for (uint32_t i = half; i < n; i++) {
		assert_true(o[i].done);
		if (o[i].code == TELA_OK) {
			ok++;
			/* A call that ended after the last look has no time. */
			assert_true(took_ns[i] < 2 * TARGET_NS);
			continue;
		}
		refused++;
		assert_int_equal(o[i].code, TELA_RESOURCE_EXHAUSTED);
		assert_int_equal(o[i].outcome, TELA_NOT_EXECUTED);
		assert_string_equal(o[i].name, "overloaded");
		assert_int_equal(executions[i], 0);
		assert_in_range(
			o[i].retry_after_us, TARGET_NS / NS_PER_US, 10 * TARGET_NS / NS_PER_US);
	}
	/* Three times as many as it takes, which is a datagram in three passes, refused ones too.
	 */
	assert_true(ok > 0 && refused > ok);
	assert_int_equal(count_read(&p->end[1].counts, count_calls_refused), shed(p));

	/* Over: all is well at once. */
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(call(p, 1, n + i, 16, NULL).code, TELA_OK);
	assert_quiet(p);
	pair_fini(p);
}

/* What came while the loop was away is served, also by one that is behind. */
static void test_away(void **state)
{
	struct pair *p = behind_new(6);
	uint32_t n = overload(p, 2, 16000, 3);
	uint64_t before;

	(void)state;
	p->end[1].burst = 0;
	pair_run(p, 8 * NS_PER_MS); /* what is left; it stays behind for longer */
	stubborn(p);
	before = shed(p);
	assert_true(before > 0 && p->end[1].m.shed.until_ns > p->now_ns + 10 * NS_PER_MS);
	p->end[1].frozen = true;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(start(p, i % SESSIONS, 1, n + i, 16, &o[n + i], NULL), 0);
	pair_run(p, 8 * NS_PER_MS);
	p->end[1].frozen = false;
	pair_run(p, NS_PER_MS);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(o[n + i].done && o[n + i].code == TELA_OK);
	assert_int_equal(shed(p), before);
	pair_fini(p);
}

static void test_off(void **state)
{
	struct pair *p = behind_new(4);
	uint32_t n;

	(void)state;
	p->end[1].service->shed_ns = SHED_NEVER; /* of this one; others may be shed */
	n = overload(p, 2, 20000, 3);
	p->end[1].burst = 0;
	pair_run(p, 20 * NS_PER_MS);
	for (uint32_t i = 2; i < n; i++)
		assert_true(o[i].done && o[i].code == TELA_OK);
	assert_int_equal(shed(p), 0);
	pair_fini(p);
}

/* A duplicate of a call that was refused is refused again; it never runs. Large requests are
 * refused with their first fragment. */
static void test_duplicates(void **state)
{
	struct pair *p = behind_new(5);
	const struct tela_options patient = {.deadline_us = 1000000};
	struct outcome one, large;
	uint32_t n;

	(void)state;
	n = overload(p, 2, 16000, 3);
	for (uint32_t i = 0, sent = 0; sent < 2; i++) {
		if (!sent)
			sent += !start(p, i % SESSIONS, 1, n, 16, &one, &patient);
		else
			sent += !start(p, i % SESSIONS, 1, n + 1, 9000, &large, &patient);
		stubborn(p);
		p->end[1].frozen = i % 3;
		pair_pass(p);
		assert_true(i < 3000);
	}
	p->end[0].deaf = true;
	for (int i = 0; i < 1000; i++) {
		p->end[1].frozen = i % 3;
		pair_pass(p);
	}
	p->end[1].frozen = p->end[0].deaf = false;
	p->end[1].burst = 0;
	assert_false(one.done || large.done);
	pair_run(p, 50 * NS_PER_MS);
	assert_true(one.done && large.done);
	assert_int_equal(one.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(one.outcome, TELA_NOT_EXECUTED);
	assert_true(one.retry_after_us > 0);
	assert_int_equal(large.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(large.outcome, TELA_NOT_EXECUTED);
	assert_true(count_read(&p->end[0].counts, count_resends) > 0);
	assert_int_equal(executions[n] + executions[n + 1], 0);
	assert_quiet(p);
	pair_fini(p);
}

/* Callers that hold back are refused little, and keep the callee busy. */
static void test_throttled(void **state)
{
	enum { PASSES = 9000, SLOW = 3 };
	struct pair *p = behind_new(7);
	uint32_t n = overload_by(p, 2, 14000, SLOW, false), half = n, ok = 0, refused = 0;
	struct path *path = p->end[0].path;
	struct outcome one;

	(void)state;
	assert_true(shed(p) > 0);
	n = overload_by(p, half, PASSES, SLOW, false);
	for (uint32_t i = half; i < n; i++) {
		ok += o[i].done && o[i].code == TELA_OK;
		refused += o[i].done && o[i].code;
		/* Other services of the peer may have other targets. */
		assert_true(throttle_begin(&p->end[0].m, path, &stranger));
	}
	assert_in_range(ok, PASSES / SLOW * 85 / 100, PASSES / SLOW + SESSIONS);
	assert_in_range(refused, 1, ok / 4);
	assert_true(count_read(&p->end[0].counts, count_calls_throttled) > PASSES / 3);
	assert_int_equal(path->throttled, 1);

	/* Over, a while after the last refusal. */
	p->end[1].burst = 0;
	pair_run(p, 200 * NS_PER_MS);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(call(p, 1, n + i, 16, NULL).code, TELA_OK);
	assert_int_equal(path->throttled, 0);
	assert_int_equal(start(p, 0, 1, n + 100, 16, &one, NULL), 0);
	pair_run(p, NS_PER_MS);
	assert_quiet(p);
	pair_fini(p);
}

static const struct tela_service_desc services[THROTTLES + 1];
static struct caller_session session;
static struct counts counts;
static struct machine m;
static struct path path;

/* A call of service `i` is refused so, and is to come again after so long. */
static void refused(int i, const char *name, uint32_t retry_after_us)
{
	uint8_t envelope[ENVELOPE_MAX];
	struct frame_Envelope_args e = frame_Envelope_ARGS_INIT;
	struct frame_Status_args status = frame_Status_ARGS_INIT;
	struct caller_slot slot = {.session = &session};

	session.path = &path;
	session.service = &services[i];
	status.code = TELA_RESOURCE_EXHAUSTED;
	status.outcome = TELA_NOT_EXECUTED;
	status.name = (struct tela_str){name, strlen(name)};
	status.retry_after_us = retry_after_us;
	e.status = &status;
	assert_true(frame_Envelope_build(envelope, sizeof(envelope), &e) > 0);
	throttle_answered(&m, &slot,
		&(struct tela_result){.code = status.code,
			.outcome = status.outcome,
			.retry_after_us = retry_after_us,
			.envelope = envelope});
}

static uint32_t begun(int service, uint32_t most)
{
	uint32_t n = 0;

	while (n < most && throttle_begin(&m, &path, &services[service]))
		n++;
	return n;
}

static void test_throttle(void **state)
{
	(void)state;
	m.counts = &counts;
	m.now_ns = NS_PER_S;
	refused(0, "rate_limited", 1000); /* of this caller, whoever else may call */
	assert_int_equal(path.throttled, 0);
	refused(0, SHED_NAME, 1000);
	assert_int_equal(path.throttled, 1);
	assert_int_equal(begun(0, 10), 0);
	assert_int_equal(throttle_wait_us(&m, &path, &services[0]), 1000);
	assert_int_equal(begun(1, 10), 10);
	assert_int_equal(throttle_wait_us(&m, &path, &services[1]), 0);
	/* 17 for 16; and one after that time, whatever has been taken. */
	for (int i = 0; i < THROTTLE_CALL; i++)
		throttle_taken(&path, &services[0]);
	assert_int_equal(begun(0, 100), THROTTLE_TAKEN);
	throttle_abandon(&path, &services[0]);
	assert_int_equal(begun(0, 100), 1);
	m.now_ns += NS_PER_MS;
	assert_int_equal(begun(0, 100), 1);
	/* A refused one was not taken, though it has been answered. */
	throttle_taken(&path, &services[0]);
	refused(0, SHED_NAME, 1000);
	assert_int_equal(begun(0, 100), 0);
	/* Leave that is not used does not grow without end. */
	for (int i = 0; i < 1000; i++)
		throttle_taken(&path, &services[0]);
	assert_int_equal(begun(0, 1000), THROTTLE_MOST / THROTTLE_CALL);
	m.now_ns += THROTTLE_REST * NS_PER_MS;
	assert_int_equal(begun(0, 1000), 1000);
	assert_int_equal(path.throttled, 0);
	/* Nobody is believed for long. */
	refused(0, SHED_NAME, UINT32_MAX);
	assert_int_equal(begun(0, 10), 0);
	m.now_ns += NS_PER_S;
	assert_int_equal(begun(0, 10), 1);
	m.now_ns += THROTTLE_REST * NS_PER_S;
	assert_int_equal(begun(0, 10), 10);
	/* Of more services than there are places the oldest is let go. */
	for (int i = 0; i <= THROTTLES; i++) {
		m.now_ns += 1000;
		refused(i, SHED_NAME, 1000);
	}
	assert_int_equal(path.throttled, THROTTLES);
	for (int i = 0; i <= THROTTLES; i++)
		assert_int_equal(begun(i, 10), i ? 0 : 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_pause_sheds_nothing),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_away),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_throttle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

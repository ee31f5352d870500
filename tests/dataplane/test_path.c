/* test_path.c - the replay window against a naive set, and round trips as RFC 6298 has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

enum { JUMP_MAX = 1 << 24, KEPT = REPLAY_WINDOW - 64 };

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

/* ---- replay ---- */

static void test_replay_first(void **state)
{
	struct path p = {0};

	(void)state;
	assert_true(path_replay_check(&p, 1));
	assert_false(path_replay_check(&p, 1));
	assert_true(path_replay_check(&p, 3));
	assert_true(path_replay_check(&p, 2));
	assert_false(path_replay_check(&p, 2));
	assert_false(path_replay_check(&p, 3));
}

static void test_replay_edge(void **state)
{
	struct path p = {0};

	(void)state;
	assert_true(path_replay_check(&p, 100000));
	assert_true(path_replay_check(&p, 100000 - KEPT + 1));
	assert_false(path_replay_check(&p, 100000 - KEPT)); /* too old to be known */
	assert_false(path_replay_check(&p, 1));
	assert_true(path_replay_check(&p, 100001));
	assert_false(path_replay_check(&p, 100001 - KEPT));
}

static void test_replay_jump(void **state)
{
	struct path p = {0};

	(void)state;
	assert_true(path_replay_check(&p, 10));
	assert_false(path_replay_check(&p, 10 + JUMP_MAX + 1)); /* forged: the window stays */
	assert_false(path_replay_check(&p, UINT64_MAX));
	assert_false(path_replay_check(&p, 1ull << 63));
	assert_int_equal(p.rx_number, 10);
	assert_true(path_replay_check(&p, 11));
	assert_true(path_replay_check(&p, 11 + JUMP_MAX));
	assert_false(path_replay_check(&p, 11));
	assert_true(path_replay_check(&p, 10 + JUMP_MAX)); /* nothing of before the jump is left */
	/* Near the end of the numbers nothing wraps. */
	p = (struct path){.rx_number = UINT64_MAX - 5};
	assert_true(path_replay_check(&p, UINT64_MAX));
	assert_false(path_replay_check(&p, UINT64_MAX));
	assert_false(path_replay_check(&p, 0));
	assert_true(path_replay_check(&p, UINT64_MAX - 1));
}

/* Numbers drawn around the highest one, against a set that forgets nothing. */
static void test_replay_random(void **state)
{
	enum { SPAN = 1 << 20 };
	static uint8_t seen[SPAN];
	uint32_t spans[] = {2, 64, 65, 900, KEPT, KEPT + 64, 2000, 20000};

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(spans); s++) {
		struct path p = {0};
		uint64_t high = 0;

		memset(seen, 0, sizeof(seen));
		seed = s + 1;
		while (high + spans[s] < SPAN - 1) {
			uint64_t back = draw(spans[s]), n = high + 1 + draw(1 + spans[s] / 8);
			bool fresh;

			if (draw(4)) /* mostly behind */
				n = back < high ? high - back : 1;
			fresh = !seen[n] && (n > high || high - n < KEPT);
			if (path_replay_check(&p, n) != fresh)
				fail_msg("span %u: %llu below %llu, seen %d", spans[s],
					(unsigned long long)n, (unsigned long long)high, seen[n]);
			seen[n] |= fresh;
			high = n > high ? n : high;
			assert_int_equal(p.rx_number, high);
		}
	}
}

/* ---- round trip: RFC 6298, section 2 ---- */

struct rfc6298 {
	double srtt, rttvar;
	bool any;
};

static void rfc_sample(struct rfc6298 *r, double rtt)
{
	double delta = r->srtt > rtt ? r->srtt - rtt : rtt - r->srtt;

	if (!r->any) {
		*r = (struct rfc6298){rtt, rtt / 2, true};
		return;
	}
	r->rttvar = 0.75 * r->rttvar + 0.25 * delta;
	r->srtt = 0.875 * r->srtt + 0.125 * rtt;
}

static void assert_near(uint64_t have, double want)
{
	double d = (double)have - want;

	/* Whole nanoseconds are lost at each step; eight steps' worth may stand in the sum. */
	if (d > 16 || d < -16)
		fail_msg("%llu, RFC 6298 says %.1f", (unsigned long long)have, want);
}

static void test_rtt(void **state)
{
	struct path p = {0};
	struct rfc6298 r = {0};

	(void)state;
	path_rtt_sample(&p, 80000);
	assert_int_equal(p.srtt_ns, 80000);
	assert_int_equal(p.rttvar_ns, 40000);
	assert_int_equal(p.rto_ns, 240000);
	rfc_sample(&r, 80000);
	seed = 9;
	for (int i = 0; i < 1000; i++) {
		uint64_t rtt = 20000 + draw(200000);

		path_rtt_sample(&p, rtt);
		rfc_sample(&r, (double)rtt);
		assert_near(p.srtt_ns, r.srtt);
		assert_near(p.rttvar_ns, r.rttvar);
		assert_int_equal(p.rto_ns, p.srtt_ns + 4 * p.rttvar_ns);
	}
}

/* A round trip that does not change is what is measured, to the last few nanoseconds. */
static void test_rtt_settles(void **state)
{
	struct path p = {0};

	(void)state;
	path_rtt_sample(&p, 500000);
	for (int i = 0; i < 200; i++)
		path_rtt_sample(&p, 100000);
	assert_near(p.srtt_ns, 100000);
	assert_near(p.rttvar_ns, 0);
}

static void test_rto_bounds(void **state)
{
	struct path p = {0};

	(void)state;
	for (int i = 0; i < 50; i++)
		path_rtt_sample(&p, 700);
	assert_int_equal(p.rto_ns, 50000); /* the floor */
	for (int i = 0; i < 50; i++)
		path_rtt_sample(&p, 5 * NS_PER_S);
	assert_int_equal(p.rto_ns, 200 * NS_PER_MS); /* the ceiling */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay_first),
		cmocka_unit_test(test_replay_edge),
		cmocka_unit_test(test_replay_jump),
		cmocka_unit_test(test_replay_random),
		cmocka_unit_test(test_rtt),
		cmocka_unit_test(test_rtt_settles),
		cmocka_unit_test(test_rto_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_balance.c - which instance is chosen, and how one that fails is left out and probed. */
#include "balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct tela_result good = {.code = TELA_OK},
				bad = {.code = TELA_UNAVAILABLE, .outcome = TELA_MAYBE_EXECUTED},
				behind = {.code = TELA_RESOURCE_EXHAUSTED,
					.outcome = TELA_NOT_EXECUTED,
					.retry_after_us = 50000};
static struct balance_config cfg;
static struct balance b;
static uint64_t seed;

static uint64_t random_word(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void setup(uint32_t n, enum tela_balance how)
{
	memset(&cfg, 0, sizeof(cfg));
	memset(&b, 0, sizeof(b));
	cfg.n = n;
	cfg.how = how;
	for (uint32_t i = 0; i < n; i++) {
		cfg.at[i].weight = 1;
		cfg.at[i].name_hash = 0x1234567 * (i + 1ull);
	}
	seed = 1;
}

static uint64_t all(void)
{
	return (1ull << cfg.n) - 1;
}

static int choose_of(uint64_t usable, uint64_t now, uint64_t hash)
{
	return balance_choose(&cfg, &b, usable, now, random_word(), hash);
}

static int choose(void)
{
	return choose_of(all(), 0, 0);
}

static void goes_bad(int i, uint64_t now)
{
	balance_begin(&b, i, now);
	balance_end(&b, i, &bad, 0, now);
}

static void well(int i, uint64_t now)
{
	balance_begin(&b, i, now);
	balance_end(&b, i, &good, 1000, now);
}

static void test_round_robin(void **state)
{
	(void)state;
	setup(3, TELA_BALANCE_ROUND_ROBIN);
	for (int i = 0; i < 9; i++)
		assert_int_equal(choose(), i % 3);
	assert_int_equal(choose_of(1 << 1, 0, 0), 1);
	assert_int_equal(choose_of(0, 0, 0), -1);
}

static void test_first(void **state)
{
	(void)state;
	setup(4, TELA_BALANCE_ROUND_ROBIN);
	cfg.first = 1 << 2 | 1 << 3;
	for (int i = 0; i < 8; i++)
		assert_true(choose() >= 2);
	assert_true(choose_of(3, 0, 0) < 2); /* when they cannot be had, others */
}

static void test_weighted(void **state)
{
	uint32_t got[3] = {0};

	(void)state;
	setup(3, TELA_BALANCE_WEIGHTED);
	cfg.at[1].weight = 3;
	cfg.at[2].weight = 6;
	for (int i = 0; i < 10000; i++)
		got[choose()]++;
	assert_in_range(got[0], 850, 1150);
	assert_in_range(got[1], 2800, 3200);
	assert_in_range(got[2], 5800, 6200);
}

static void test_least(void **state)
{
	uint32_t got[3] = {0};

	(void)state;
	setup(3, TELA_BALANCE_LEAST);
	for (int i = 0; i < 50; i++)
		balance_begin(&b, 1, 0); /* many in flight there */
	for (int i = 0; i < 3000; i++)
		got[choose()]++;
	assert_int_equal(got[1], 0);
	assert_true(got[0] > 1200 && got[2] > 1200);
	setup(2, TELA_BALANCE_LEAST);
	balance_begin(&b, 0, 0);
	balance_end(&b, 0, &good, 5000000, 0); /* slow */
	well(1, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(choose(), 1);
	for (int i = 0; i < 100; i++) { /* it refuses at once, and says to come much later */
		balance_begin(&b, 1, 0);
		balance_end(&b, 1, &behind, 1, 0);
	}
	assert_false(b.at[1].ejected);
	for (int i = 0; i < 100; i++)
		assert_int_equal(choose(), 0);
}

static void test_hash(void **state)
{
	int was[1000], moved = 0;
	uint32_t got[5] = {0};

	(void)state;
	setup(5, TELA_BALANCE_HASH);
	for (int i = 0; i < 1000; i++) {
		was[i] = choose_of(all(), 0, (uint64_t)i);
		assert_int_equal(was[i], choose_of(all(), 0, (uint64_t)i));
		got[was[i]]++;
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(got[i], 140, 260);
	for (int i = 0; i < 1000; i++) { /* without one of them only its own keys move */
		int now = choose_of(all() & ~4ull, 0, (uint64_t)i);

		assert_true(was[i] == 2 || now == was[i]);
		moved += now != was[i];
	}
	assert_int_equal(moved, got[2]);
}

static void test_ejection(void **state)
{
	uint64_t now = 0;

	(void)state;
	setup(2, TELA_BALANCE_ROUND_ROBIN);
	for (int i = 0; i < EJECT_AFTER - 1; i++)
		goes_bad(0, now);
	well(0, now); /* in a row, or it does not count */
	for (int i = 0; i < EJECT_AFTER - 1; i++)
		goes_bad(0, now);
	assert_int_equal(choose_of(3, now, 0) + choose_of(3, now, 0), 1); /* both take part */
	goes_bad(0, now);
	for (int i = 0; i < 4; i++)
		assert_int_equal(choose_of(3, now, 0), 1);
	assert_int_equal(choose_of(1, now, 0), 0); /* nobody else: it is asked all the same */
	/* Its time has come: one call probes it, others stay away meanwhile. */
	now += EJECT_FIRST_NS;
	assert_int_equal(choose_of(3, now, 0), 0);
	balance_begin(&b, 0, now);
	assert_int_equal(choose_of(3, now, 0), 1);
	assert_int_equal(choose_of(3, now, 0), 1);
	balance_end(&b, 0, &bad, 0, now); /* again, for twice as long */
	assert_int_equal(choose_of(3, now + EJECT_FIRST_NS, 0), 1);
	now += 2 * EJECT_FIRST_NS;
	assert_int_equal(choose_of(3, now, 0), 0);
	well(0, now);
	assert_int_equal(choose_of(3, now, 0) + choose_of(3, now, 0), 1); /* both take part */
	assert_int_equal(b.at[0].ejections, 2);
	assert_false(b.at[0].ejected);
}

/* It is never left out for longer than the longest time. */
static void test_ejected_again_and_again(void **state)
{
	uint64_t now = 0;

	(void)state;
	setup(2, TELA_BALANCE_ROUND_ROBIN);
	for (int i = 0; i < EJECT_AFTER; i++)
		goes_bad(0, now);
	for (int i = 0; i < 100; i++) {
		now += EJECT_LAST_NS;
		assert_int_equal(choose_of(3, now, 0), 0);
		goes_bad(0, now);
	}
	for (int i = 0; i < 20; i++) { /* one that could not be reached when probed is no probe */
		now += EJECT_LAST_NS;
		assert_int_equal(choose_of(3, now, 0), 0);
		balance_unreached(&b, 0, now);
		assert_int_equal(choose_of(3, now, 0), 1);
	}
}

/* ---- waits between rounds ---- */

static uint64_t wait_ms(const struct tela_policy *p, uint32_t rounds, uint64_t random)
{
	return balance_backoff_ns(p, rounds, random) / NS_PER_MS;
}

static void test_backoff_doubles(void **state)
{
	static const uint64_t want[] = {5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000};
	const struct tela_policy p = {.backoff_ms = 5, .backoff_max_ms = 1000};
	const struct tela_policy same = {.backoff_ms = 1000, .backoff_max_ms = 1000};
	const struct tela_policy longest = {.backoff_ms = 7, .backoff_max_ms = UINT32_MAX};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(wait_ms(&p, i, random_word()), want[i]); /* no jitter: always so */
		assert_int_equal(wait_ms(&same, i, 0), 1000);
	}
	for (uint32_t i = 20; i < 200; i++) {
		assert_int_equal(wait_ms(&p, i, 0), 1000);
		assert_int_equal(wait_ms(&longest, i, 0), 7 << 20);
	}
	assert_int_equal(wait_ms(&p, UINT32_MAX, 0), 1000);
}

/* Shorter by up to so much, evenly, and never longer. */
static void test_backoff_jitter(void **state)
{
	struct tela_policy p = {.backoff_ms = 100, .backoff_max_ms = 1000, .jitter_percent = 50};
	uint32_t n[5] = {0};

	(void)state;
	seed = 7;
	assert_int_equal(balance_backoff_ns(&p, 0, 0), 100 * NS_PER_MS);
	assert_int_equal(balance_backoff_ns(&p, 0, 1ull << 63), 75 * NS_PER_MS);
	assert_int_equal(balance_backoff_ns(&p, 0, UINT64_MAX), 50 * NS_PER_MS + 1);
	assert_int_equal(balance_backoff_ns(&p, 1, 1ull << 62), 175 * NS_PER_MS);
	for (int i = 0; i < 10000; i++) {
		uint64_t ms = wait_ms(&p, 0, random_word());

		assert_in_range(ms, 50, 100);
		n[ms == 100 ? 4 : (ms - 50) / 10]++;
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(n[i], 1800, 2200);
	p.jitter_percent = 100;
	assert_int_equal(balance_backoff_ns(&p, 0, UINT64_MAX), 1);
	assert_int_equal(balance_backoff_ns(&p, 0, 0), 100 * NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backoff_doubles),
		cmocka_unit_test(test_backoff_jitter),
		cmocka_unit_test(test_round_robin),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_weighted),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_ejection),
		cmocka_unit_test(test_ejected_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

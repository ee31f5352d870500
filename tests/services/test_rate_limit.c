/* test_rate_limit.c - the bucket's arithmetic, pairs kept apart, a full table, and threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "rate_limit.h"

static struct rate_limit_table table(uint64_t rate, uint64_t burst, uint32_t places)
{
	struct rate_limit_table t;

	assert_int_equal(rate_limit_init(&t, rate, burst, places), 0);
	return t;
}

/* Shared, and of one core alone. */
static void bucket(bool alone)
{
	struct rate_limit_table t = table(1000, 3, 16);
	uint64_t now = 5 * NS_PER_S;

	t.alone = alone;
	for (int i = 0; i < 3; i++)
		assert_int_equal(rate_limit_take(&t, 1, 1, now), 0);
	assert_int_equal(rate_limit_take(&t, 1, 1, now), NS_PER_MS); /* the next one's turn */
	assert_int_equal(rate_limit_take(&t, 1, 1, now + NS_PER_MS / 4), 3 * NS_PER_MS / 4);
	assert_int_equal(rate_limit_take(&t, 1, 1, now + NS_PER_MS), 0);
	assert_int_equal(rate_limit_take(&t, 1, 1, now + NS_PER_MS), NS_PER_MS);
	/* Others have their own. */
	assert_int_equal(rate_limit_take(&t, 2, 1, now), 0);
	assert_int_equal(rate_limit_take(&t, 1, 2, now), 0);
	/* After a pause no more than a burst. */
	now += 60 * NS_PER_S;
	for (int i = 0; i < 3; i++)
		assert_int_equal(rate_limit_take(&t, 1, 1, now), 0);
	assert_int_not_equal(rate_limit_take(&t, 1, 1, now), 0);
	free(t.bucket);
}

static void test_bucket(void **state)
{
	(void)state;
	bucket(false);
	bucket(true);
}

static void test_full_table(void **state)
{
	struct rate_limit_table t = table(1, 2, 16);
	uint64_t now = 5 * NS_PER_S;
	uint32_t shared = 0;

	(void)state;
	for (uint16_t i = 1; i <= 200; i++)
		shared += rate_limit_take(&t, i, 1, now) != 0;
	assert_true(shared > 100); /* those without a place share one bucket of two */
	assert_int_equal(rate_limit_take(&t, 1, 1, now), 0);
	assert_int_not_equal(rate_limit_take(&t, 1, 1, now), 0); /* the first is still known */
	now += 10 * NS_PER_S; /* all are full again: their places may go to others */
	for (uint16_t i = 1000; i < 1008; i++)
		assert_int_equal(rate_limit_take(&t, i, 1, now), 0);
	free(t.bucket);
}

enum { THREADS = 4, TAKES = 100000, BURST = 50000 };

static struct rate_limit_table common;

static void *taker(void *arg)
{
	uint32_t *got = arg;

	for (int i = 0; i < TAKES; i++)
		*got += rate_limit_take(&common, 1, 1, NS_PER_S) == 0;
	return NULL;
}

static void test_threads(void **state)
{
	uint32_t got[THREADS] = {0}, sum = 0;
	pthread_t t[THREADS];

	(void)state;
	common = table(1, BURST, 16);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, taker, &got[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		sum += got[i];
	}
	assert_true(
		sum >= BURST && sum < TAKES * THREADS / 2); /* inexact where all tries were lost */
	free(common.bucket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

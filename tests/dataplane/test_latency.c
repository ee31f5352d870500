/* test_latency.c - histograms, and what the two ends of a call say about where its time went. */
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_buckets(void **state)
{
	uint32_t before = 0;

	(void)state;
	for (uint64_t ns = 0; ns < 1ull << (LATENCY_TOP + 2); ns += 1 + ns / 50) {
		uint32_t b = latency_bucket(ns);
		uint64_t v = latency_value(b);

		assert_true(b < LATENCY_BUCKETS && b >= before && b - before <= 1);
		before = b;
		if (!(ns >> (LATENCY_TOP + 1)))
			assert_true((v > ns ? v - ns : ns - v) * 16 <= ns);
		assert_int_equal(latency_bucket(v), b);
	}
	assert_int_equal(before, LATENCY_BUCKETS - 1);
}

/* Against a sorted list. */
static void test_quantiles(void **state)
{
	static const uint32_t permille[] = {1, 500, 900, 990, 999, 1000};
	struct latency_hist h = {0}, sum = {0};

	(void)state;
	assert_int_equal(latency_quantile(&h, 500), 0);
	for (uint64_t i = 1; i <= 10000; i++)
		latency_add(&h, i * 100, 1 + i % 2);
	for (size_t k = 0; k < ARRAY_SIZE(permille); k++) {
		uint64_t q = latency_quantile(&h, permille[k]), exact = permille[k] * 1000;

		assert_true((q > exact ? q - exact : exact - q) * 16 <= exact + 3200);
	}
	assert_int_equal(latency_calls(&h), 15000);
	assert_int_equal(h.samples, 10000);
	assert_int_equal(h.max_ns, 1000000);
	latency_merge(&sum, &h);
	latency_merge(&sum, &h);
	assert_int_equal(latency_calls(&sum), 30000);
	assert_int_equal(latency_quantile(&sum, 990), latency_quantile(&h, 990));
	latency_add(&h, UINT64_MAX, 1);
	assert_int_equal(h.bucket[LATENCY_BUCKETS - 1], 1);
}

/* However the share changes, what is looked at stands for every call. */
static void test_turns(void **state)
{
	struct latency_turn t = {1, 1, 1, 0};
	uint64_t calls = 0, counted = 0, looked = 0, seed = 1;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		calls++;
		if (!--t.left) {
			counted += latency_weight(&t);
			looked++;
		}
		seed = seed * 6364136223846793005u + 1;
		if (seed >> 54 == 0)
			latency_choose(&t, calls, 64);
		assert_true(calls - counted < 64 && calls >= counted);
	}
	assert_true(looked > calls / 64 && looked < calls);
}

static const struct latency_series *series(
	const struct pair_end *e, enum latency_side side, unsigned method)
{
	for (uint32_t i = 0; i < e->m.latency.n; i++) {
		const struct latency_series *s = &e->m.latency.series[i];

		if (s->used && s->side == side && s->method_id == method)
			return s;
	}
	return NULL;
}

static void assert_near(const struct latency_hist *h, uint64_t ns, uint64_t within_ns)
{
	uint64_t p50 = latency_quantile(h, 500);

	within_ns += ns / 16;
	assert_true((p50 > ns ? p50 - ns : ns - p50) <= within_ns);
}

/* A wire that takes 100 us, a callee that was away for a millisecond, a handler that answers later:
 * each shows where it belongs, and nowhere else. */
static void test_parts(void **state)
{
	const struct latency_series *caller, *callee;
	struct pair *p = pair_new(1, 1);
	struct outcome o;

	(void)state;
	p->delay_ns = 100000;
	for (uint64_t i = 1; i <= 100; i++)
		call(p, 1, i, 16, NULL);
	caller = series(&p->end[0], LATENCY_CALLER, 1);
	callee = series(&p->end[1], LATENCY_CALLEE, 1);
	assert_true(caller && callee);
	assert_string_equal(caller->service, "test.Test");
	assert_string_equal(callee->method, "echo");
	assert_int_equal(latency_calls(&caller->part[LATENCY_NETWORK]), 100);
	assert_int_equal(latency_calls(&callee->part[LATENCY_HANDLER]), 100);
	assert_near(&caller->part[LATENCY_NETWORK], 202000, 4000);
	assert_near(&caller->part[LATENCY_QUEUE], 0, 2000);
	assert_near(&callee->part[LATENCY_QUEUE], 0, 2000);

	/* Method 5: it waits in the rings. */
	for (uint64_t i = 1; i <= 20; i++) {
		assert_int_equal(start(p, 0, 5, 200 + i, 16, &o, NULL), 0);
		p->end[1].frozen = true;
		pair_run(p, 1100000);
		p->end[1].frozen = false;
		pair_run(p, 300000);
		assert_true(o.done);
	}
	caller = series(&p->end[0], LATENCY_CALLER, 5);
	callee = series(&p->end[1], LATENCY_CALLEE, 5);
	assert_near(&callee->part[LATENCY_QUEUE], 1000000, 5000);
	assert_near(&caller->part[LATENCY_QUEUE], 1000000, 5000);
	assert_near(&caller->part[LATENCY_NETWORK], 202000, 5000);

	/* Method 2: it is pending for 3 ms. */
	for (int i = 0; i < 20; i++) {
		assert_int_equal(start(p, 0, 2, 300, 16, &o, NULL), 0);
		n_parked = 0;
		while (!n_parked)
			pair_pass(p);
		pair_run(p, 3 * NS_PER_MS);
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8);
		pair_run(p, 500000);
		assert_true(o.done);
	}
	callee = series(&p->end[1], LATENCY_CALLEE, 2);
	assert_int_equal(latency_calls(&callee->part[LATENCY_PENDING]), 20);
	assert_int_equal(latency_calls(&callee->part[LATENCY_HANDLER]), 0);
	assert_near(&callee->part[LATENCY_PENDING], 3 * NS_PER_MS, 5000);
	pair_fini(p);
}

/* Many calls are looked at one in so many, and all count; methods for which there is no place are
 * counted. */
static void test_many(void **state)
{
	static struct outcome o[512];
	static struct pair pair;
	static const struct tela_budgets one = {.latencies = 1};
	struct pair *p = pair_new(2, 8);
	const struct latency_hist *served = NULL, *made = NULL;
	uint64_t n = 0, before[2] = {0}, first = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		if (i == 6000) { /* 12 ms: it has chosen */
			served = &series(&p->end[1], LATENCY_CALLEE, 1)->part[LATENCY_HANDLER];
			made = &series(&p->end[0], LATENCY_CALLER, 1)->part[LATENCY_NETWORK];
			before[0] = served->samples;
			before[1] = made->samples;
			first = n;
		}
		for (uint32_t s = 0; s < 8; s++)
			n += !start(p, s, 1, 1, 16, &o[n % 512], NULL);
		pair_pass(p);
	}
	pair_run(p, NS_PER_MS);
	assert_true(n - first > 50000);
	assert_in_range(latency_calls(served), n - 64, n);
	assert_in_range(latency_calls(made), n - 64, n);
	assert_in_range(served->samples - before[0], (n - first) / 64 - 20, (n - first) / 64 + 20);
	assert_in_range(made->samples - before[1], (n - first) / 64 - 20, (n - first) / 64 + 20);
	pair_fini(p);

	p = &pair;
	pair_init(p, 3, &desc, image_links, ARRAY_SIZE(image_links), &one);
	pair_connect(p, &desc, 1);
	call(p, 1, 1, 16, NULL);
	assert_int_equal(count_read(&p->end[1].counts, count_latency_full), 0);
	call(p, 5, 2, 16, NULL);
	assert_int_equal(count_read(&p->end[1].counts, count_latency_full), 1);
	assert_int_equal(count_read(&p->end[0].counts, count_latency_full), 1);
	assert_null(series(&p->end[1], LATENCY_CALLEE, 5));
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_svc_ring.c - the ring between data cores and a thread: order, bound, wrap-around; then two
 * producers against one consumer that holds places back: nothing is lost, torn or out of a
 * producer's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include "svc_ring.h"

static bool put(struct svc_ring *r, uint64_t v)
{
	uint64_t *cell;

	if (!svc_ring_reserve(r))
		return false;
	cell = svc_ring_cell(r);
	*cell = v;
	svc_ring_publish(cell);
	return true;
}

static uint64_t take(struct svc_ring *r)
{
	const uint64_t *cell = svc_ring_peek(r);
	uint64_t v;

	assert_non_null(cell);
	v = *cell;
	svc_ring_pop(r);
	return v;
}

static void test_order_and_bound(void **state)
{
	struct svc_ring r;

	(void)state;
	assert_int_equal(svc_ring_init(&r, 3, 8), -EINVAL);
	assert_int_equal(svc_ring_init(&r, 0, 8), -EINVAL);
	assert_int_equal(svc_ring_init(&r, 4, 8), 0);
	for (uint64_t round = 0; round < 10; round++) {
		assert_null(svc_ring_peek(&r));
		for (uint64_t i = 0; i < 4; i++)
			assert_true(put(&r, round * 4 + i));
		assert_false(put(&r, 99));
		for (uint64_t i = 0; i < 4; i++)
			assert_int_equal(take(&r), round * 4 + i);
		/* Popped, not released: still no place. */
		assert_false(put(&r, 99));
		svc_ring_release(&r, 4);
	}
	svc_ring_fini(&r);
}

static void test_given_back(void **state)
{
	struct svc_ring r;

	(void)state;
	assert_int_equal(svc_ring_init(&r, 1, 8), 0);
	assert_true(svc_ring_reserve(&r));
	assert_false(svc_ring_reserve(&r));
	svc_ring_release(&r, 1);
	assert_true(put(&r, 7));
	assert_int_equal(take(&r), 7);
	svc_ring_fini(&r);
}

static void test_unpublished_is_not_seen(void **state)
{
	struct svc_ring r;
	uint64_t *first, *second;

	(void)state;
	assert_int_equal(svc_ring_init(&r, 4, 8), 0);
	assert_true(svc_ring_reserve(&r) && svc_ring_reserve(&r));
	first = svc_ring_cell(&r);
	second = svc_ring_cell(&r);
	*second = 2;
	svc_ring_publish(second);
	assert_null(svc_ring_peek(&r));
	*first = 1;
	svc_ring_publish(first);
	assert_int_equal(take(&r), 1);
	assert_int_equal(take(&r), 2);
	svc_ring_fini(&r);
}

enum { PRODUCERS = 2, EACH = 100000, PLACES = 64, HELD = 16 };

struct item {
	uint64_t producer, number, check;
};

struct producer {
	struct svc_ring *r;
	uint64_t id;
};

static void *produce(void *arg)
{
	struct producer *p = arg;

	for (uint64_t i = 0; i < EACH;) {
		struct item *it;

		if (!svc_ring_reserve(p->r)) {
			sched_yield();
			continue;
		}
		it = svc_ring_cell(p->r);
		*it = (struct item){p->id, i, p->id * 31 + i};
		svc_ring_publish(it);
		i++;
	}
	return NULL;
}

static void test_two_producers(void **state)
{
	struct svc_ring r;
	struct producer p[PRODUCERS];
	pthread_t t[PRODUCERS];
	uint64_t next[PRODUCERS] = {0};
	uint32_t held = 0;

	(void)state;
	assert_int_equal(svc_ring_init(&r, PLACES, sizeof(struct item)), 0);
	for (uint64_t i = 0; i < PRODUCERS; i++) {
		p[i] = (struct producer){&r, i};
		assert_int_equal(pthread_create(&t[i], NULL, produce, &p[i]), 0);
	}
	for (uint64_t n = 0; n < (uint64_t)PRODUCERS * EACH;) {
		const struct item *it = svc_ring_peek(&r);

		if (!it) {
			svc_ring_release(&r, held);
			held = 0;
			sched_yield();
			continue;
		}
		assert_true(it->producer < PRODUCERS);
		assert_int_equal(it->number, next[it->producer]);
		assert_int_equal(it->check, it->producer * 31 + it->number);
		next[it->producer]++;
		svc_ring_pop(&r);
		n++;
		if (++held == HELD) {
			svc_ring_release(&r, held);
			held = 0;
		}
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(t[i], NULL);
	svc_ring_release(&r, held);
	assert_null(svc_ring_peek(&r));
	assert_int_equal(r.used, 0);
	svc_ring_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_bound),
		cmocka_unit_test(test_given_back),
		cmocka_unit_test(test_unpublished_is_not_seen),
		cmocka_unit_test(test_two_producers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_echo_ids.c - each id is new once, also when two threads mark the same ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>

#include <cmocka.h>

#include "echo_ids.h"

static void test_first_again_out(void **state)
{
	struct echo_ids ids;

	(void)state;
	assert_int_equal(echo_ids_init(&ids, ECHO_IDS_BITS_MIN - 1), -EINVAL);
	assert_int_equal(echo_ids_init(&ids, ECHO_IDS_BITS_MAX + 1), -EINVAL);
	assert_int_equal(echo_ids_init(&ids, 4), 0);
	for (uint64_t id = 0; id < 16; id++)
		assert_int_equal(echo_ids_mark(&ids, id), ECHO_IDS_FIRST);
	for (uint64_t id = 0; id < 16; id++)
		assert_int_equal(echo_ids_mark(&ids, id), ECHO_IDS_AGAIN);
	assert_int_equal(echo_ids_mark(&ids, 16), ECHO_IDS_OUT_OF_RANGE);
	assert_int_equal(echo_ids_mark(&ids, UINT64_MAX), ECHO_IDS_OUT_OF_RANGE);
	echo_ids_fini(&ids);
}

enum { BITS = 16 };

struct marker {
	struct echo_ids *ids;
	uint64_t first, again;
};

static void *mark_all(void *arg)
{
	struct marker *m = arg;

	for (uint64_t id = 0; id < 1u << BITS; id++) {
		if (echo_ids_mark(m->ids, id) == ECHO_IDS_FIRST)
			m->first++;
		else
			m->again++;
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct echo_ids ids;
	struct marker m[2] = {{&ids, 0, 0}, {&ids, 0, 0}};
	pthread_t t[2];

	(void)state;
	assert_int_equal(echo_ids_init(&ids, BITS), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, mark_all, &m[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(m[0].first + m[1].first, 1u << BITS);
	assert_int_equal(m[0].again + m[1].again, 1u << BITS);
	echo_ids_fini(&ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_again_out),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The thread that waits for grace periods keeps off the CPUs that data cores poll on. */
#include "bare_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <urcu-qsbr.h>
#include <urcu-call-rcu.h>

static struct rcu_head head;
static cpu_set_t own, seen;

static void look(struct rcu_head *h)
{
	(void)h;
	CHECK(!sched_getaffinity(0, sizeof(seen), &seen));
}

/* Where the reclaimer may run, asked from itself. */
static void ask(struct tela_node *n)
{
	struct call_rcu_data *before = get_thread_call_rcu_data();

	CPU_ZERO(&seen);
	set_thread_call_rcu_data(n->reclaimer);
	call_rcu(&head, look);
	set_thread_call_rcu_data(before);
	node_reclaim_barrier(n);
}

static int nth(int n)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &own) && !n--)
			return cpu;
	return -1;
}

static void test_keeps_off(void **state)
{
	struct tela_node *n = bare_node_create(1, &bare_node_small);
	cpu_set_t after, want;

	(void)state;
	assert_non_null(n);
	for (int i = 0; i < 2; i++) {
		reclaimer_stop(n);
		n->cores[0]->cpu = nth(i);
		assert_int_equal(reclaimer_start(n), 0);
		ask(n);
		want = own;
		CPU_CLR(nth(i), &want);
		assert_true(CPU_EQUAL(&seen, &want));
		assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
		assert_true(CPU_EQUAL(&after, &own)); /* who has started it stays where it was */
	}
	bare_node_destroy(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_keeps_off)};

	CHECK(!sched_getaffinity(0, sizeof(own), &own));
	if (CPU_COUNT(&own) < 2) {
		fprintf(stderr, "there is one CPU: nothing to keep off\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

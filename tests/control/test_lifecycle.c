/* test_lifecycle.c - jobs in order, a job that never returns, a load that never returns. No time is
 * asserted but the order of deadlines: a hung job must fail, whenever that is. */
#include "../../control/lifecycle.h"

#include "../../dataplane/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

enum { DEADLINE_MS = 100 };

struct test_job {
	struct lifecycle_job job;
	int value, error;
	bool done;
};

static int order[8], n_order;

static int run_value(struct lifecycle_job *job)
{
	return container_of(job, struct test_job, job)->value;
}

static int run_hang(struct lifecycle_job *job)
{
	(void)job;
	for (;;)
		pause();
	return 0;
}

static void done(struct lifecycle_job *job, int error)
{
	struct test_job *j = container_of(job, struct test_job, job);

	assert_false(j->done);
	j->done = true;
	j->error = error;
	order[n_order++ % 8] = j->value;
}

static void submit(struct lifecycle *l, struct test_job *j, int value, bool hang, bool loading)
{
	*j = (struct test_job){.value = value};
	j->job = (struct lifecycle_job){.what = "a test job",
		.run = hang ? run_hang : run_value,
		.done = done,
		.loading = loading};
	lifecycle_submit(l, &j->job);
}

static void wait_for(struct lifecycle *l, const struct test_job *j)
{
	while (!j->done) {
		lifecycle_poll(l);
		usleep(1000);
	}
}

static void test_in_order(void **state)
{
	struct lifecycle *l = lifecycle_create(DEADLINE_MS * 100);
	static struct test_job j[5];

	n_order = 0;
	for (int i = 0; i < 5; i++)
		submit(l, &j[i], -i, false, i & 1);
	wait_for(l, &j[4]);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(order[i], -i);
		assert_int_equal(j[i].error, -i);
	}
	assert_int_equal(lifecycle_abandoned(l), 0);
	lifecycle_destroy(l);
}

static void test_hung_job_fails_and_others_go_on(void **state)
{
	struct lifecycle *l = lifecycle_create(DEADLINE_MS);
	static struct test_job hung, after, load;

	submit(l, &hung, 1, true, false);
	submit(l, &after, -7, false, false);
	submit(l, &load, -8, false, true);
	wait_for(l, &load);
	assert_int_equal(hung.error, -ETIMEDOUT);
	assert_int_equal(after.error, -7);
	assert_int_equal(load.error, -8);
	assert_int_equal(lifecycle_abandoned(l), 1);
	assert_null(lifecycle_stuck(l));
	lifecycle_destroy(l);
}

static void test_hung_load_refuses_further_loads(void **state)
{
	struct lifecycle *l = lifecycle_create(DEADLINE_MS);
	static struct test_job hung, load, hook;
	char now[64];

	submit(l, &hung, 1, true, true);
	while (!lifecycle_current(l, now, sizeof(now)))
		usleep(1000);
	assert_string_equal(now, "a test job");
	submit(l, &load, -1, false, true);
	submit(l, &hook, -2, false, false);
	wait_for(l, &hook);
	assert_int_equal(hung.error, -ETIMEDOUT);
	assert_int_equal(load.error, -EDEADLK);
	assert_int_equal(hook.error, -2);
	assert_string_equal(lifecycle_stuck(l), "a test job");
	lifecycle_destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_hung_job_fails_and_others_go_on),
		cmocka_unit_test(test_hung_load_refuses_further_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

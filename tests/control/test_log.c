/* test_log.c - the control side's log: lines that repeat are counted, not written, and none is
 * forgotten. */
#include "log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { LINES = 20000, THREADS = 2 };

static int kept_stderr;
static FILE *caught;

static int set_up(void **state)
{
	(void)state;
	caught = tmpfile();
	kept_stderr = dup(STDERR_FILENO);
	return caught && kept_stderr >= 0 && dup2(fileno(caught), STDERR_FILENO) >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	return fclose(caught);
}

/* Lines about the wolf: written ones, and those that were counted; others. */
static void count(unsigned *ret_written, unsigned *ret_counted, unsigned *ret_others)
{
	char line[1200];

	*ret_written = *ret_counted = *ret_others = 0;
	rewind(caught);
	while (fgets(line, sizeof(line), caught)) {
		const char *more = strstr(line, " more lines like this one: wolf number ");
		unsigned n;

		if (more) {
			while (more > line && more[-1] >= '0' && more[-1] <= '9')
				more--;
			assert_int_equal(sscanf(more, "%u more", &n), 1);
			*ret_counted += n;
		} else if (strstr(line, "wolf number ")) {
			++*ret_written;
		} else {
			++*ret_others;
		}
	}
}

static void *cry(void *unused)
{
	(void)unused;
	for (int i = 0; i < LINES; i++)
		log_warn("wolf number %d", i);
	return NULL;
}

static void test_repeats(void **state)
{
	unsigned written, counted, others;
	pthread_t thread[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, cry, NULL), 0);
	for (int i = 0; i < 50; i++)
		log_info("a sheep, %d", i); /* of another place: none of the wolf's business */
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	log_tick(true);
	count(&written, &counted, &others);
	assert_int_equal(others, 50);
	assert_int_equal(written + counted, THREADS * LINES);
	assert_in_range(written, LOG_LINES_A_SECOND, THREADS * LINES / 2);
	log_tick(true); /* told once */
	count(&written, &counted, &others);
	assert_int_equal(written + counted, THREADS * LINES);
}

static void test_levels(void **state)
{
	unsigned written, counted, others;

	(void)state;
	log_debug("not this");
	log_set_level(LOG_DEBUG);
	log_debug("this, %s", "in full");
	log_set_level(LOG_ERROR);
	log_warn("nor this");
	log_set_level(LOG_INFO);
	count(&written, &counted, &others);
	assert_int_equal(others, 1);
	assert_int_equal(log_level_find("warn"), LOG_WARN);
	assert_int_equal(log_level_find("loud"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_repeats, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

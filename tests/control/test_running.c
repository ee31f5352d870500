/* test_running.c - the table of moves: as control/README.md shows it, and nothing that has no way
 * back. */
#include "../../control/running.h"

#include "../../dataplane/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *readme;

/* Rows "| from | to | when |" of the README, in the table's order, all of them and no other. */
static void test_readme_shows_the_table(void **state)
{
	FILE *f = fopen(readme, "re");
	char line[512], wanted[512];
	uint32_t n = 0;
	bool inside = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!inside) {
			inside = !strcmp(line, "| from | to | when |\n");
			continue;
		}
		if (line[0] != '|')
			break;
		if (!strncmp(line, "|--", 3))
			continue;
		assert_in_range(n, 0, n_running_moves - 1);
		snprintf(wanted, sizeof(wanted), "| %s | %s | %s |\n",
			running_name(running_moves[n].from), running_name(running_moves[n].to),
			running_moves[n].when);
		assert_string_equal(line, wanted);
		n++;
	}
	fclose(f);
	assert_int_equal(n, n_running_moves);
}

static bool reaches(enum tela_running from, enum tela_running to)
{
	bool seen[TELA_SERVICE_FAILED + 1] = {false};

	seen[from] = true;
	for (uint32_t round = 0; round <= TELA_SERVICE_FAILED; round++)
		for (uint32_t i = 0; i < n_running_moves; i++)
			seen[running_moves[i].to] |= seen[running_moves[i].from];
	return seen[to];
}

static void test_no_dead_end(void **state)
{
	static const enum tela_running ends[] = {TELA_SERVICE_RUNNING, TELA_SERVICE_PAUSED,
		TELA_SERVICE_STOPPED, TELA_SERVICE_FAILED};

	for (int s = TELA_SERVICE_UNKNOWN; s <= TELA_SERVICE_FAILED; s++)
		for (uint32_t e = 0; e < ARRAY_SIZE(ends); e++)
			assert_true(reaches(s, ends[e]));
	assert_false(running_may_move(TELA_SERVICE_STOPPED, TELA_SERVICE_RUNNING));
	assert_false(running_may_move(TELA_SERVICE_RUNNING, TELA_SERVICE_RUNNING));
	assert_string_equal(running_name(TELA_SERVICE_FAILED + 1), "?");
}

static void test_tries_again_later_each_time(void **state)
{
	static const uint64_t want[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

	(void)state;
	for (uint32_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		assert_int_equal(running_retry_ms(1000, 60000, i), want[i]);
	assert_int_equal(running_retry_ms(1000, 60000, UINT32_MAX), 60000);
	assert_int_equal(running_retry_ms(5000, 100, 0), 100);
	assert_int_equal(running_retry_ms(3600000, 3600000, 9), 3600000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readme_shows_the_table),
		cmocka_unit_test(test_no_dead_end),
		cmocka_unit_test(test_tries_again_later_each_time),
	};

	readme = argc > 1 ? argv[1] : "control/README.md";
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_logger.c - the logger's line, its rate, its start times; and the stamp's digits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "logger_line.h"
#include "logger_starts.h"
#include "stamp_digits.h"

static void test_line(void **state)
{
	struct logger_record r = {
		.duration_ns = 12345, .request_bytes = 120, .method = 1, .code = TELA_UNAVAILABLE};
	struct timespec now = {.tv_sec = 1700000000, .tv_nsec = 7654321};
	char line[LOGGER_LINE_MAX], name[200];
	size_t len = logger_line(line, "echo.Echo", &r, &now);

	(void)state;
	assert_int_equal(len, strlen(line));
	assert_string_equal(line, "2023-11-14T22:13:20.007Z service=echo.Echo method=1 "
				  "code=UNAVAILABLE bytes=120 us=12\n");
	r.duration_ns = LOGGER_NO_TIME;
	logger_line(line, "e", &r, &now);
	assert_non_null(strstr(line, " us=-\n"));
	/* The longest there can be still ends in a newline. */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	r = (struct logger_record){
		UINT64_MAX - 1, UINT32_MAX, UINT16_MAX, TELA_FAILED_PRECONDITION};
	len = logger_line(line, name, &r, &now);
	assert_int_equal(len, strlen(line));
	assert_int_equal(line[len - 1], '\n');
}

static void test_rate(void **state)
{
	struct logger_rate r = {.per_second = 2};

	(void)state;
	assert_true(logger_rate_take(&r, 5 * NS_PER_S));
	assert_true(logger_rate_take(&r, 5 * NS_PER_S + 1));
	assert_false(logger_rate_take(&r, 6 * NS_PER_S - 1));
	assert_true(logger_rate_take(&r, 6 * NS_PER_S));
}

static void test_starts(void **state)
{
	static struct logger_starts s;
	static char calls[64 * LOGGER_STARTS * 4];
	unsigned kept = 0;
	uint64_t ns;

	(void)state;
	assert_false(logger_starts_take(&s, &calls[0], &ns));
	for (unsigned i = 0; i < LOGGER_STARTS * 4; i++)
		logger_starts_set(&s, &calls[64 * i], i);
	for (unsigned i = 0; i < LOGGER_STARTS * 4; i++) {
		if (!logger_starts_take(&s, &calls[64 * i], &ns))
			continue;
		assert_int_equal(ns, i);
		assert_false(logger_starts_take(&s, &calls[64 * i], &ns));
		kept++;
	}
	assert_in_range(kept, LOGGER_STARTS / 2, LOGGER_STARTS);
}

static void test_digits(void **state)
{
	static const uint64_t values[] = {
		0, 1, 9, 10, 99, 100, 4294967296, 9999999999999999999u, UINT64_MAX};
	char room[STAMP_DIGITS], expected[32];

	(void)state;
	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)values[i]);
		assert_string_equal(stamp_digits(room, values[i]), expected);
	}
}

/* The one thing taken from libtela: linked alone, this test needs no node. */
const char *tela_code_name(unsigned code)
{
	return code == TELA_UNAVAILABLE ? "UNAVAILABLE" : "FAILED_PRECONDITION";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_starts),
		cmocka_unit_test(test_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

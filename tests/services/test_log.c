/* test_log.c - the log's line, its rate, its start times; and the stamp's digits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "echo.h"
#include "log_line.h"
#include "call_starts.h"
#include "stamp_digits.h"

static void test_line(void **state)
{
	struct log_record r = {
		.duration_ns = 12345, .request_bytes = 120, .method = 1, .code = TELA_UNAVAILABLE};
	struct timespec now = {.tv_sec = 1700000000, .tv_nsec = 7654321};
	char line[LOG_LINE_MAX], name[200];
	size_t len = log_line(line, "echo.Echo", "echo", &r, &now);

	(void)state;
	assert_int_equal(len, strlen(line));
	assert_string_equal(line, "2023-11-14T22:13:20.007Z service=echo.Echo method=echo "
				  "code=UNAVAILABLE bytes=120 us=12\n");
	r.duration_ns = LOG_NO_TIME;
	log_line(line, "e", "m", &r, &now);
	assert_non_null(strstr(line, " us=-\n"));
	r.trace[1] = 0xabc;
	r.span = 0x123;
	log_line(line, "e", "m", &r, &now);
	assert_non_null(strstr(
		line, " us=- trace=00000000000000000000000000000abc span=0000000000000123\n"));
	/* The longest there can be still ends in a newline. */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	r = (struct log_record){.duration_ns = UINT64_MAX - 1,
		.request_bytes = UINT32_MAX,
		.method = UINT16_MAX,
		.trace = {UINT64_MAX, UINT64_MAX},
		.span = UINT64_MAX,
		.code = TELA_FAILED_PRECONDITION};
	len = log_line(line, name, name, &r, &now);
	assert_int_equal(len, strlen(line));
	assert_int_equal(line[len - 1], '\n');
}

/* As the data core leaves it: `keep` bytes of a request. */
static size_t request_line(char *line, const struct echo_Message_args *a, size_t keep, size_t most)
{
	static uint64_t memory[256];
	struct log_record *r = (struct log_record *)memory;
	struct timespec now = {0};
	int len;

	*r = (struct log_record){.type = echo_Message_DESC};
	len = echo_Message_build(r->request, sizeof(memory) - sizeof(*r), a);
	assert_true(len > 0);
	r->kept = (uint16_t)min_u32((uint32_t)len, (uint32_t)keep);
	return log_line_request(line, log_line(line, "e", "m", r, &now), r, most);
}

static void test_request(void **state)
{
	static char line[LOG_LINE_MAX + LOG_REQUEST_MAX], many[900];
	struct echo_Message_args a = {.data = {(const uint8_t *)"two\nlines", 3}};
	struct log_record bytes = {.request_bytes = 5, .method = 1};
	struct timespec now = {0};
	size_t len = request_line(line, &a, 1024, 1024);

	(void)state;
	assert_int_equal(len, strlen(line));
	assert_non_null(strstr(line, " us=0 request={\"data\":\"two\"}\n"));
	/* a line stays one, whatever is in it */
	a.data.len = 9;
	len = request_line(line, &a, 1024, 1024);
	assert_ptr_equal(strchr(line, '\n'), line + len - 1);
	/* cut where the text is too long, or where the kept bytes end */
	memset(many, 'x', sizeof(many));
	a.data = (struct tela_bytes){(const uint8_t *)many, sizeof(many)};
	request_line(line, &a, 1024, 32);
	assert_string_equal(
		strstr(line, " request="), " request={\"data\":\"xxxxxxxxxxxxxxxxxxxx...\n");
	request_line(line, &a, 64, 32);
	assert_string_equal(strstr(line, " request="), " request={\"data\":...\n");
	/* not a FlatBuffer, or not kept */
	memset(line, 0, sizeof(line));
	len = log_line_request(line, log_line(line, "e", "m", &bytes, &now), &bytes, 1024);
	assert_string_equal(line + len - 11, " request=-\n");
}

static void test_rate(void **state)
{
	struct log_rate r = {.per_second = 2};

	(void)state;
	assert_true(log_rate_take(&r, 5 * NS_PER_S));
	assert_true(log_rate_take(&r, 5 * NS_PER_S + 1));
	assert_false(log_rate_take(&r, 6 * NS_PER_S - 1));
	assert_true(log_rate_take(&r, 6 * NS_PER_S));
}

static void test_repeats(void **state)
{
	struct log_repeats r = {.most = 3};
	struct log_record a = {.method = 1, .code = 5}, b = {.method = 1, .code = 6};
	struct timespec now = {0};
	char line[LOG_LINE_MAX];
	uint64_t repeated = 0;

	(void)state;
	assert_true(log_repeats_due(&r, 5 * NS_PER_S));
	assert_false(log_repeats_due(&r, 6 * NS_PER_S - 1));
	for (int i = 0; i < 3; i++)
		assert_true(log_repeats_take(&r, &a) && log_repeats_take(&r, &b));
	for (int i = 0; i < 7; i++)
		assert_false(log_repeats_take(&r, &a));
	for (int i = 0; i < LOG_REPEATS; i++)
		repeated += r.at[i].repeated;
	assert_int_equal(repeated, 7);
	assert_true(log_repeats_due(&r, 6 * NS_PER_S));
	r = (struct log_repeats){0}; /* no limit */
	for (int i = 0; i < 1000; i++)
		assert_true(log_repeats_take(&r, &a));
	log_line_repeated(line, "e", "m", TELA_UNAVAILABLE, 7, &now);
	assert_non_null(strstr(line, "service=e method=m code=UNAVAILABLE repeated=7\n"));
}

static void test_starts(void **state)
{
	static struct call_starts s;
	static char calls[64 * CALL_STARTS * 4];
	unsigned kept = 0;
	uint64_t ns;

	(void)state;
	assert_false(call_starts_take(&s, &calls[0], &ns));
	for (unsigned i = 0; i < CALL_STARTS * 4; i++)
		call_starts_set(&s, &calls[64 * i], i);
	for (unsigned i = 0; i < CALL_STARTS * 4; i++) {
		if (!call_starts_take(&s, &calls[64 * i], &ns))
			continue;
		assert_int_equal(ns, i);
		assert_false(call_starts_take(&s, &calls[64 * i], &ns));
		kept++;
	}
	assert_in_range(kept, CALL_STARTS / 2, CALL_STARTS);
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
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_repeats),
		cmocka_unit_test(test_starts),
		cmocka_unit_test(test_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

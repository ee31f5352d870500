/* test_protocol.c - lines of the admin socket: what is understood, and what is said of the rest. */
#include "../../control/protocol.h"

#include "../../dataplane/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char err[512];

static const struct argument arguments[] = {
	{"service", ARGUMENT_TEXT, true, true, "a service"},
	{"limit", ARGUMENT_NUMBER, false, false, "a limit"},
	{"drops", ARGUMENT_FLAG, false, false, "a flag"},
	{"config", ARGUMENT_CONFIG, false, false, "keys"},
	{"steps", ARGUMENT_LIST, false, false, "steps"},
	{NULL},
};
static const struct command command = {"test", "help", NULL, arguments, NULL};

static void expect_answer(const char *line, const char *error)
{
	json_t *j = protocol_parse(line, strlen(line), err, sizeof(err));

	assert_non_null(j);
	err[0] = 0;
	assert_int_equal(protocol_check(&command, j, err, sizeof(err)), *error ? -EINVAL : 0);
	assert_string_equal(err, error);
	json_decref(j);
}

static void test_arguments(void **state)
{
	expect_answer("{\"cmd\":\"test\",\"id\":1,\"service\":\"a\"}", "");
	expect_answer(
		"{\"service\":\"a\",\"limit\":7,\"drops\":true,\"config\":{},\"steps\":[]}", "");
	expect_answer("{}", "test: 'service' is missing (a service)");
	expect_answer("{\"service\":3}", "test: 'service' must be a text (a service)");
	expect_answer("{\"service\":\"a\",\"limit\":-1}",
		"test: 'limit' must be 0 to 4294967295, a number (a limit)");
	expect_answer("{\"service\":\"a\",\"limit\":1.5}",
		"test: 'limit' must be 0 to 4294967295, a number (a limit)");
	expect_answer("{\"service\":\"a\",\"limit\":4294967296}",
		"test: 'limit' must be 0 to 4294967295, a number (a limit)");
	expect_answer("{\"service\":\"a\",\"drops\":1}", "test: 'drops' must be a flag (a flag)");
	expect_answer("{\"service\":\"a\",\"config\":[]}",
		"test: 'config' must be an object, config (keys)");
	expect_answer("{\"service\":\"a\",\"x\":1}",
		"test takes no 'x'; it takes service, limit, drops, config, steps");
}

static void expect_malformed(const char *line, size_t len, const char *error)
{
	assert_null(protocol_parse(line, len, err, sizeof(err)));
	assert_non_null(strstr(err, error));
}

#define MALFORMED(line, error) expect_malformed(line, sizeof(line) - 1, error)

static void test_malformed(void **state)
{
	MALFORMED("{\"cmd\":}", "at byte 8 of the line");
	MALFORMED("{\"cmd\":1,\"cmd\":2}", "not JSON: duplicate object key");
	MALFORMED("{\"cmd\"", "not JSON: ");
	MALFORMED("[]", "expected one JSON object");
	MALFORMED("{}{}", "not JSON: end of file expected");
	MALFORMED("{\"a\":\"\xff\"}", "not JSON: unable to decode byte 0xff");
	MALFORMED("{\"a\":1}\0", "a zero byte, at byte 8");
	MALFORMED("{\"a\":99999999999999999999}", "not JSON: too big integer");
}

static void test_deep(void **state)
{
	size_t n = 100000;
	char *text = malloc(n);

	assert_non_null(text);
	memset(text, '[', n);
	assert_null(protocol_parse(text, n, err, sizeof(err)));
	free(text);
}

static void test_hex(void **state)
{
	unsigned char *bytes;
	size_t len;

	assert_int_equal(protocol_hex("00 fF:7a", &bytes, &len), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(bytes, "\x00\xff\x7a", 3);
	free(bytes);
	assert_int_equal(protocol_hex("", &bytes, &len), 0);
	assert_int_equal(len, 0);
	free(bytes);
	assert_int_equal(protocol_hex("0", &bytes, &len), -EINVAL);
	assert_int_equal(protocol_hex("0g", &bytes, &len), -EINVAL);
	assert_int_equal(protocol_hex("0 0", &bytes, &len), -EINVAL);
}

static void test_codes(void **state)
{
	assert_string_equal(protocol_code(-ENOENT), "NOT_FOUND");
	assert_string_equal(protocol_code(-ETIMEDOUT), "DEADLINE_EXCEEDED");
	assert_string_equal(protocol_code(-12345), "INTERNAL");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_print.c - tela_fb_print(): what it writes, where it stops, and what it stands on. That it
 * says what a message holds is for telac-random to see, by way of libflatbuffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "calculator_rpc.h"
#include "echo.h"
#include "tela_fb_print.h"

static char text[4096];
static size_t text_len;

static int print(const struct tela_fb_desc_type *type, const void *buf, int len, unsigned flags)
{
	assert_true(len > 0);
	return tela_fb_print(type, buf, (size_t)len, flags, text, sizeof(text), &text_len);
}

static int expression(uint8_t *buf, size_t room)
{
	const struct calculator_Expression_args left = {.op = calculator_Op_literal, .value = 0.1};
	struct calculator_Expression_args a = calculator_Expression_ARGS_INIT;

	a.op = calculator_Op_add;
	a.left = &left;
	a.right = &left;
	return calculator_Expression_build(buf, room, &a);
}

static int message(uint8_t *buf, size_t room, const char *bytes, size_t n)
{
	const struct echo_Message_args a = {.data = {(const uint8_t *)bytes, n}};

	return echo_Message_build(buf, room, &a);
}

static void test_values(void **state)
{
	uint8_t buf[512];
	int len = expression(buf, sizeof(buf));

	(void)state;
	assert_int_equal(print(calculator_Expression_DESC, buf, len, 0), 0);
	assert_string_equal(
		text, "{\"op\":\"add\",\"left\":{\"value\":0.1},\"right\":{\"value\":0.1}}");
	assert_int_equal(text_len, strlen(text));
	/* behind its size, at an odd address */
	memmove(buf + 5, buf, (size_t)len);
	tela_fb_store_u32(buf + 1, (uint32_t)len);
	assert_int_equal(print(calculator_Expression_DESC, buf + 5, len, 0), 0);
}

static void test_bytes(void **state)
{
	static const struct {
		const char *bytes, *as_text, *as_numbers;
	} cases[] = {
		{"hi \"\\", "{\"data\":\"hi \\\"\\\\\"}", "{\"data\":[104,105,32,34,92]}"},
		{"\xc3\xa9", "{\"data\":\"\xc3\xa9\"}", "{\"data\":[195,169]}"},
		{"\n", "{\"data\":[10]}", "{\"data\":[10]}"},
		{"\xc2\x9b", "{\"data\":[194,155]}", "{\"data\":[194,155]}"},
		{"\xed\xa0\x80", "{\"data\":[237,160,128]}", "{\"data\":[237,160,128]}"},
		{"", "{\"data\":\"\"}", "{\"data\":[]}"},
	};
	uint8_t buf[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const int len = message(buf, sizeof(buf), cases[i].bytes, strlen(cases[i].bytes));

		assert_int_equal(print(echo_Message_DESC, buf, len, TELA_FB_PRINT_TEXT), 0);
		assert_string_equal(text, cases[i].as_text);
		assert_int_equal(print(echo_Message_DESC, buf, len, 0), 0);
		assert_string_equal(text, cases[i].as_numbers);
	}
}

/* In every room: as much of the text as fits, marked; nothing behind the room. */
static void test_room(void **state)
{
	uint8_t buf[512];
	char whole[256];
	const int len = expression(buf, sizeof(buf));
	size_t room;

	(void)state;
	assert_int_equal(print(calculator_Expression_DESC, buf, len, 0), 0);
	strcpy(whole, text);
	for (room = 0; room < strlen(whole) + 8; room++) {
		char *out = malloc(room + !room); /* its end is watched */
		size_t n = 99;
		const int err = tela_fb_print(
			calculator_Expression_DESC, buf, (size_t)len, 0, out, room, &n);

		assert_non_null(out);
		assert_int_equal(err, room > strlen(whole) + 3 ? 0 : -ENOSPC);
		assert_true(room ? n < room && n == strlen(out) : !n);
		if (!err)
			assert_string_equal(out, whole);
		else if (room > 4) {
			assert_memory_equal(out, whole, n - 3);
			assert_string_equal(out + n - 3, "...");
		}
		free(out);
	}
}

static void test_not_valid(void **state)
{
	uint8_t buf[512];
	int len = expression(buf, sizeof(buf)), cut;

	(void)state;
	for (cut = 1; cut < len; cut++) {
		uint8_t *part = malloc((size_t)cut);

		assert_non_null(part);
		memcpy(part, buf, (size_t)cut);
		assert_int_equal(print(calculator_Expression_DESC, part, cut, 0), -EBADMSG);
		assert_string_equal(text + text_len - 3, "...");
		free(part);
	}
	assert_int_equal(print(NULL, buf, len, 0), -EINVAL);
	assert_string_equal(text, "");
	assert_int_equal(print(calculator_Expression_DESC, NULL, len, 0), -EBADMSG);
}

/* A copy of a descriptor says the same when the first one is gone: it holds no pointer. */
static void test_copy(void **state)
{
	const struct tela_fb_desc_type *type = calculator_Expression_DESC;
	const struct tela_fb_desc *desc =
		(const struct tela_fb_desc *)((const uint8_t *)type - type->at);
	uint8_t buf[512];
	const int len = expression(buf, sizeof(buf));
	struct tela_fb_desc *copy = malloc(desc->size);

	(void)state;
	assert_non_null(copy);
	memcpy(copy, desc, desc->size);
	type = (const struct tela_fb_desc_type *)((const uint8_t *)copy + type->at);
	assert_int_equal(print(type, buf, len, 0), 0);
	assert_non_null(strstr(text, "\"op\":\"add\""));
	free(copy);
}

static void test_methods(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < calculator_Calculator_service.n_methods; i++) {
		const struct tela_method_desc *m = &calculator_Calculator_service.methods[i];

		assert_non_null(m->request);
		assert_non_null(m->response);
		if (!strcmp(m->name, "evaluate"))
			assert_ptr_equal(m->request, calculator_Expression_DESC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_not_valid),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

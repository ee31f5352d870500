/* test_calculator_eval.c - the calculator's arithmetic on built requests, and its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "calculator_eval.h"

typedef struct calculator_Expression_args node;

static uint8_t buf[65536 * 8 + 64];

static const char *evaluate(const node *e, double *ret)
{
	int n = calculator_Expression_build(buf, sizeof(buf), e);

	assert_true(n > 0);
	assert_int_equal(calculator_Expression_verify(buf, (size_t)n), 0);
	return calculator_evaluate(calculator_Expression_root(buf), ret);
}

static void expect(const node *e, double expected)
{
	double v = -1;

	assert_null(evaluate(e, &v));
	assert_true(v == expected);
}

static void expect_error(const node *e, const char *expected)
{
	double v = -1;
	const char *error = evaluate(e, &v);

	assert_non_null(error);
	assert_string_equal(error, expected);
	assert_true(v == -1);
}

static const node two = {.value = 2}, three = {.value = 3}, zero = {.value = 0};

static void test_operators(void **state)
{
	(void)state;
	expect(&two, 2);
	expect(&(node){.op = calculator_Op_add, .left = &two, .right = &three}, 5);
	expect(&(node){.op = calculator_Op_subtract, .left = &two, .right = &three}, -1);
	expect(&(node){.op = calculator_Op_multiply, .left = &two, .right = &three}, 6);
	expect(&(node){.op = calculator_Op_divide, .left = &three, .right = &two}, 1.5);
}

static void test_tree(void **state)
{
	node sum = {.op = calculator_Op_add, .left = &two, .right = &three};
	node difference = {.op = calculator_Op_subtract, .left = &two, .right = &three};

	(void)state;
	expect(&(node){.op = calculator_Op_multiply, .left = &sum, .right = &difference}, -5);
}

static void test_mistakes(void **state)
{
	node half = {.op = calculator_Op_add, .left = &two};

	(void)state;
	expect_error(&half, "an operator lacks an arm");
	expect_error(&(node){.op = calculator_Op_add, .right = &two}, "an operator lacks an arm");
	expect_error(&(node){.op = calculator_Op_add, .left = &half, .right = &two},
		"an operator lacks an arm");
	expect_error(&(node){.op = calculator_Op_divide, .left = &two, .right = &zero},
		"division by zero");
	expect_error(&(node){.op = 200, .left = &two, .right = &two}, "unknown operator");
}

static void test_depth(void **state)
{
	node chain[CALCULATOR_DEPTH_MAX];

	(void)state;
	chain[0] = two;
	for (unsigned i = 1; i < CALCULATOR_DEPTH_MAX; i++)
		chain[i] = (node){.op = calculator_Op_add, .left = &two, .right = &chain[i - 1]};
	expect(&chain[CALCULATOR_DEPTH_MAX - 1], 2 * CALCULATOR_DEPTH_MAX);
	expect_error(&(node){.op = calculator_Op_add,
			     .left = &two,
			     .right = &chain[CALCULATOR_DEPTH_MAX - 1]},
		"deeper than 32");
}

/* Twenty tables of which each is both arms of the one before: 2^20 visits if nobody counted. A
 * verifier refuses this one; the bound does not lean on that. */
static void test_shared_arms(void **state)
{
	enum { LEVELS = 20, VTABLE = 4, LEAF_VTABLE = 16, FIRST = 24, TABLE = 16 };
	static const uint16_t vtables[] = {12, 16, 12, 0, 4, 8, 4, 4};
	uint32_t leaf = FIRST + LEVELS * TABLE;
	const char *error;
	double v;

	(void)state;
	memset(buf, 0, leaf + 16);
	tela_fb_store_u32(buf, FIRST);
	memcpy(buf + VTABLE, vtables, sizeof(vtables));
	for (uint32_t at = FIRST; at < leaf; at += TABLE) {
		tela_fb_store_i32(buf + at, (int32_t)(at - VTABLE));
		tela_fb_store_u32(buf + at + 4, TABLE - 4);
		tela_fb_store_u32(buf + at + 8, TABLE - 8);
		buf[at + 12] = calculator_Op_add;
	}
	tela_fb_store_i32(buf + leaf, (int32_t)(leaf - LEAF_VTABLE));
	error = calculator_evaluate(calculator_Expression_root(buf), &v);
	assert_non_null(error);
	assert_string_equal(error, "more than 4096 nodes");
}

static void test_sum(void **state)
{
	static double values[CALCULATOR_VALUES_MAX + 1];
	struct calculator_Series_args a = {.values = values};
	double v = -1;

	(void)state;
	for (unsigned i = 0; i <= CALCULATOR_VALUES_MAX; i++)
		values[i] = 0.5;
	for (unsigned n = 0; n <= 3; n++) {
		a.values_len = n;
		assert_true(calculator_Series_build(buf, sizeof(buf), &a) > 0);
		assert_null(calculator_sum(calculator_Series_root(buf), &v));
		assert_true(v == n * 0.5);
	}
	a.values_len = CALCULATOR_VALUES_MAX;
	assert_true(calculator_Series_build(buf, sizeof(buf), &a) > 0);
	assert_null(calculator_sum(calculator_Series_root(buf), &v));
	assert_true(v == CALCULATOR_VALUES_MAX / 2);
	a.values_len++;
	assert_true(calculator_Series_build(buf, sizeof(buf), &a) > 0);
	assert_string_equal(
		calculator_sum(calculator_Series_root(buf), &v), "more than 65536 values");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operators),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_shared_arms),
		cmocka_unit_test(test_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

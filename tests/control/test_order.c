/* test_order.c - call order and start order: one input and one stated order each. */
#include "../../control/order.h"

#include "../../dataplane/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PLUGIN(n, ...)                                                                             \
	{                                                                                          \
		.name = n, .plugin = n, __VA_ARGS__                                                \
	}
#define SERVICE                                                                                    \
	{                                                                                          \
		.name = "svc", .plugin = "svc", .also = "test.Svc"                                 \
	}

static char err[512];

static void names(const struct order_item *items, uint32_t n, const uint32_t *order, char *text)
{
	*text = 0;
	for (uint32_t i = 0; i < n; i++)
		sprintf(text + strlen(text), "%s%s", i ? " " : "", items[order[i]].name);
}

static void expect(const struct order_item *items, uint32_t n, const char *call, const char *start)
{
	uint32_t c[ORDER_MAX], s[ORDER_MAX];
	char text[4096];

	assert_int_equal(order_solve(items, n, c, s, err, sizeof(err)), 0);
	names(items, n, c, text);
	assert_string_equal(text, call);
	names(items, n, s, text);
	assert_string_equal(text, start);
}

#define EXPECT(call, start, ...)                                                                   \
	do {                                                                                       \
		const struct order_item items[] = {__VA_ARGS__};                                   \
		expect(items, ARRAY_SIZE(items), call, start);                                     \
	} while (0)

#define EXPECT_ERROR(code, text, ...)                                                              \
	do {                                                                                       \
		const struct order_item items[] = {__VA_ARGS__};                                   \
		uint32_t c[ORDER_MAX], s[ORDER_MAX];                                               \
		assert_int_equal(                                                                  \
			order_solve(items, ARRAY_SIZE(items), c, s, err, sizeof(err)), code);      \
		assert_string_equal(err, text);                                                    \
	} while (0)

static void test_service_stands_first_and_starts_last(void **state)
{
	EXPECT("svc", "svc", SERVICE);
	EXPECT("svc a b c", "c b a svc", SERVICE, PLUGIN("a"), PLUGIN("b"), PLUGIN("c"));
}

static void test_needed_stands_above_and_starts_first(void **state)
{
	/* Malla's own example: rate limiting by identity needs authentication. */
	EXPECT("svc auth limit", "auth limit svc", SERVICE, PLUGIN("limit", .needs = LIST("auth")),
		PLUGIN("auth"));
	EXPECT("svc c b a", "c b a svc", SERVICE, PLUGIN("a", .needs = LIST("b")),
		PLUGIN("b", .needs = LIST("c")), PLUGIN("c"));
}

static void test_wrapper_stands_above_and_starts_later(void **state)
{
	EXPECT("svc w a", "a w svc", SERVICE, PLUGIN("a"), PLUGIN("w", .wraps = LIST("a")));
}

static void test_wrapper_of_the_service(void **state)
{
	EXPECT("w svc a", "a svc w", SERVICE, PLUGIN("a"), PLUGIN("w", .wraps = LIST("svc")));
	EXPECT("w svc a", "a svc w", SERVICE, PLUGIN("a"), PLUGIN("w", .wraps = LIST("test.Svc")));
}

static void test_what_stands_above_a_wrapper(void **state)
{
	/* auth stands above w, which needs it; it starts before w, and nothing says that it comes
	 * after the service. */
	EXPECT("auth w svc a", "a auth svc w", SERVICE, PLUGIN("a"),
		PLUGIN("w", .wraps = LIST("svc"), .needs = LIST("auth")), PLUGIN("auth"));
	/* v wraps w, which wraps the service: both start after it. */
	EXPECT("v w svc", "svc w v", SERVICE, PLUGIN("w", .wraps = LIST("svc")),
		PLUGIN("v", .wraps = LIST("w")));
	/* x needs the wrapper: in call order below the service, in start order after the wrapper.
	 */
	EXPECT("w svc x", "svc w x", SERVICE, PLUGIN("x", .needs = LIST("w")),
		PLUGIN("w", .wraps = LIST("svc")));
}

static void test_ties_keep_the_declared_order(void **state)
{
	EXPECT("svc b c a d", "d c a b svc", SERVICE, PLUGIN("a", .needs = LIST("c")), PLUGIN("b"),
		PLUGIN("c"), PLUGIN("d"));
}

static void test_twice_under_other_names(void **state)
{
	EXPECT("svc one two limit", "two one limit svc", SERVICE,
		PLUGIN("limit", .needs = LIST("auth")), {.name = "one", .plugin = "auth"},
		{.name = "two", .plugin = "auth"});
}

static void test_optional_relations_only_order(void **state)
{
	EXPECT("svc auth limit", "auth limit svc", SERVICE,
		PLUGIN("limit", .may_need = LIST("auth", "ghost")), PLUGIN("auth"));
	EXPECT("svc w a", "a w svc", SERVICE, PLUGIN("a"), PLUGIN("w", .may_wrap = LIST("a")));
	EXPECT("w svc", "svc w", SERVICE, PLUGIN("w", .may_wrap = LIST("svc", "ghost")));
}

static void test_groups_chain_in_list_order(void **state)
{
	EXPECT("svc x a y", "y a x svc", SERVICE, PLUGIN("x", .group = "g"), PLUGIN("a"),
		PLUGIN("y", .group = "g"));
	EXPECT("svc b a c", "c b a svc", SERVICE, PLUGIN("a", .group = "g", .needs = LIST("b")),
		PLUGIN("b"), PLUGIN("c", .group = "g"));
	EXPECT("x y svc", "svc y x", SERVICE, PLUGIN("x", .group = "g"),
		PLUGIN("y", .group = "g", .wraps = LIST("svc")));
	EXPECT_ERROR(-ELOOP, "a cycle in the call order: x before y before x", SERVICE,
		PLUGIN("x", .group = "g", .needs = LIST("y")), PLUGIN("y", .group = "g"));
}

static void test_missing(void **state)
{
	EXPECT_ERROR(-ENOENT, "limit needs or wraps 'auth', which is not there: add it, or load it",
		SERVICE, PLUGIN("limit", .needs = LIST("auth")));
	EXPECT_ERROR(-ENOENT, "w needs or wraps 'ghost', which is not there: add it, or load it",
		SERVICE, PLUGIN("w", .wraps = LIST("ghost")));
}

static void test_cycles_name_their_members(void **state)
{
	EXPECT_ERROR(-ELOOP, "a cycle in the call order: a before b before a", SERVICE,
		PLUGIN("a", .needs = LIST("b")), PLUGIN("b", .needs = LIST("a")), PLUGIN("c"));
	EXPECT_ERROR(-ELOOP, "a cycle in the call order: a before a", SERVICE,
		PLUGIN("a", .needs = LIST("a")));
	EXPECT_ERROR(-ELOOP, "a cycle in the call order: a before c before b before a", SERVICE,
		PLUGIN("a", .needs = LIST("b")), PLUGIN("b", .needs = LIST("c")),
		PLUGIN("c", .needs = LIST("a")));
	/* Fine in call order: b above a. But each must start after the other. */
	EXPECT_ERROR(-ELOOP, "a cycle in the start order: a before b before a", SERVICE,
		PLUGIN("a", .needs = LIST("b")), PLUGIN("b", .wraps = LIST("a")));
}

static void test_too_many(void **state)
{
	static struct order_item items[ORDER_MAX + 1];
	uint32_t c[ORDER_MAX + 1], s[ORDER_MAX + 1];

	for (uint32_t i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = (struct order_item)PLUGIN("x");
	assert_int_equal(order_solve(items, ORDER_MAX + 1, c, s, err, sizeof(err)), -E2BIG);
	assert_int_equal(order_solve(items, ORDER_MAX, c, s, err, sizeof(err)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service_stands_first_and_starts_last),
		cmocka_unit_test(test_needed_stands_above_and_starts_first),
		cmocka_unit_test(test_wrapper_stands_above_and_starts_later),
		cmocka_unit_test(test_wrapper_of_the_service),
		cmocka_unit_test(test_what_stands_above_a_wrapper),
		cmocka_unit_test(test_ties_keep_the_declared_order),
		cmocka_unit_test(test_twice_under_other_names),
		cmocka_unit_test(test_optional_relations_only_order),
		cmocka_unit_test(test_groups_chain_in_list_order),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_cycles_name_their_members),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

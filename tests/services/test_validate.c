/* test_validate.c - what is asked of a request, by its schema and by rules; each kind of field,
 * each place that it may stand in, one fault at a time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "shapes_rpc.h"
#include "validate_check.h"

static const struct validate_options strict = {.enums = true, .text = true, .finite = true};
static struct validator *v;
static uint8_t buf[16384];
static struct validate_fault fault;

static int make(const struct validate_options *o, char why[200])
{
	why[0] = 0;
	return validator_make(&v, &shapes_Shapes_service, o, why, 200);
}

static void use(const char *rules)
{
	struct validate_options o = strict;
	char why[200];

	validator_free(v);
	v = NULL;
	o.rules = rules;
	if (make(&o, why))
		print_error("%s\n", why);
	assert_non_null(v);
}

static int set_up(void **state)
{
	(void)state;
	v = NULL;
	use("");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	validator_free(v);
	return 0;
}

static struct shapes_Request_args right(void)
{
	struct shapes_Request_args a = shapes_Request_ARGS_INIT;

	a.name = (struct tela_str){"name", 4};
	return a;
}

static bool check(const struct shapes_Request_args *a)
{
	int n = shapes_Request_build(buf, sizeof(buf), a);

	assert_true(n > 0);
	assert_int_equal(shapes_Request_verify(buf, (size_t)n), 0);
	fault = (struct validate_fault){0};
	return validator_check(v, shapes_Shapes_check_ID, buf, (size_t)n, &fault);
}

static void assert_right(const struct shapes_Request_args *a)
{
	bool ok = check(a);

	if (!ok)
		print_error("%s.%s %s\n", fault.table, fault.field, fault.why);
	assert_true(ok);
}

static void assert_wrong(
	const struct shapes_Request_args *a, const char *table, const char *field, const char *why)
{
	assert_false(check(a));
	assert_string_equal(fault.table, table);
	assert_string_equal(fault.field, field);
	assert_non_null(strstr(fault.why, why));
}

#define SOME_POINT ((shapes_Point){.x = 1, .y = 2, .colour = shapes_Colour_blue})

/* All of it, as it should be. */
static struct shapes_Request_args full(void)
{
	static const shapes_Point point = {.x = 1, .y = 2, .colour = shapes_Colour_blue};
	static const shapes_Box boxes[2] = {{.from = {.x = 1}, .to = {.y = 2}}, {.from = {.x = 3}}};
	static const struct tela_str tags[2] = {{"\xc3\xa4rger", 6}, {"", 0}};
	static const uint8_t colours[3] = {0, 9, 2};
	static struct shapes_Leaf_args leaf;
	static struct shapes_Thing_args things[3];
	struct shapes_Request_args a = right();

	leaf = (struct shapes_Leaf_args)shapes_Leaf_ARGS_INIT;
	things[0] = (struct shapes_Thing_args){.type = shapes_Thing_Leaf, .Leaf = &leaf};
	things[1] = (struct shapes_Thing_args){.type = shapes_Thing_Box, .Box = &boxes[1]};
	things[2] = things[0];
	leaf.name = (struct tela_str){"a name of more than eight bytes", 31};
	a.rights = 7;
	a.ratio = -1.5;
	a.at = &point;
	a.tags = tags;
	a.tags_len = 2;
	a.colours = colours;
	a.colours_len = 3;
	a.boxes = boxes;
	a.boxes_len = 2;
	a.leaf = &leaf;
	a.thing = things[1];
	a.things = things;
	a.things_len = 3;
	return a;
}

static void test_right(void **state)
{
	struct shapes_Request_args a = right();
	struct shapes_Plain_args plain = shapes_Plain_ARGS_INIT;
	int n;

	(void)state;
	assert_right(&a);
	a = full();
	assert_right(&a);
	n = shapes_Plain_build(buf, sizeof(buf), &plain);
	assert_true(validator_check(v, shapes_Shapes_plain_ID, buf, (size_t)n, &fault));
	/* Methods that it has never heard of are not its business. */
	assert_true(validator_check(v, 5, buf, (size_t)n, &fault));
	assert_true(validator_check(v, 60000, buf, (size_t)n, &fault));
}

static void test_enums(void **state)
{
	static const uint8_t colours[3] = {1, 3, 2};
	static const shapes_Box boxes[2] = {{.from = {.x = 1}}, {.to = {.colour = 8}}};
	static const shapes_Point point = {.colour = 255};
	struct shapes_Leaf_args leaf = shapes_Leaf_ARGS_INIT;
	struct shapes_Request_args a = right(), deep = right();
	struct validate_options o = strict;
	char why[200];

	(void)state;
	a.rights = 9;
	assert_wrong(&a, "shapes.Request", "rights", "flags");
	a = right();
	a.colours = colours;
	a.colours_len = 3;
	assert_wrong(&a, "shapes.Request", "colours", "none of the values");
	a = right();
	a.boxes = boxes;
	a.boxes_len = 2;
	assert_wrong(&a, "shapes.Point", "colour", "none of the values");
	a = right();
	a.at = &point;
	assert_wrong(&a, "shapes.Point", "colour", "none of the values");
	a = right();
	leaf.colour = 77;
	deep.leaf = &leaf;
	a.deep = &deep;
	assert_wrong(&a, "shapes.Leaf", "colour", "none of the values");
	validator_free(v);
	o.enums = false;
	assert_int_equal(make(&o, why), 0);
	assert_right(&a);
}

/* What a union and vectors of tables and of unions lead to; a type that the union has not. */
static void test_unions(void **state)
{
	static const shapes_Box box = {.to = {.colour = 100}};
	struct shapes_Leaf_args leaves[2] = {shapes_Leaf_ARGS_INIT, shapes_Leaf_ARGS_INIT};
	struct shapes_Other_args other = shapes_Other_ARGS_INIT;
	struct shapes_Thing_args things[2] = {{.type = shapes_Thing_Leaf, .Leaf = &leaves[0]}};
	struct shapes_Request_args a = right();
	uint8_t *root, *vtable;
	int n;

	(void)state;
	leaves[1].colour = 77;
	a.thing = (struct shapes_Thing_args){.type = shapes_Thing_Leaf, .Leaf = &leaves[1]};
	assert_wrong(&a, "shapes.Leaf", "colour", "none of the values");
	a.thing = (struct shapes_Thing_args){.type = shapes_Thing_Box, .Box = &box};
	assert_wrong(&a, "shapes.Point", "colour", "none of the values");
	other.ratio = NAN;
	a.thing = (struct shapes_Thing_args){.type = shapes_Thing_Other, .Other = &other};
	assert_wrong(&a, "shapes.Other", "ratio", "finite");
	a = right();
	a.leaves = leaves;
	a.leaves_len = 2;
	assert_wrong(&a, "shapes.Leaf", "colour", "none of the values");
	a = right();
	things[1] = (struct shapes_Thing_args){.type = shapes_Thing_Box, .Box = &box};
	a.things = things;
	a.things_len = 2;
	assert_wrong(&a, "shapes.Point", "colour", "none of the values");
	a.things_len = 1;
	assert_right(&a);

	other.ratio = 0;
	a = right();
	a.thing = (struct shapes_Thing_args){.type = shapes_Thing_Other, .Other = &other};
	n = shapes_Request_build(buf, sizeof(buf), &a);
	root = buf + tela_fb_load_u32(buf);
	vtable = root - tela_fb_load_i32(root);
	assert_int_equal(root[tela_fb_load_u16(vtable + 24)], shapes_Thing_Other);
	root[tela_fb_load_u16(vtable + 24)] = 9;
	assert_false(validator_check(v, shapes_Shapes_check_ID, buf, (size_t)n, &fault));
	assert_non_null(strstr(fault.why, "of a type that its union has not"));
}

static void test_text(void **state)
{
	static const char *const bad[] = {"\x80", "ab\xc3", "12345678\xff", "\xed\xa0\x80",
		"\xc0\x80", "\xf5\x80\x80\x80", "1234567\xe2\x82"};
	struct validate_options o = strict;
	struct shapes_Request_args a = right();
	struct tela_str tags[2] = {{"fine", 4}};
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		a = right();
		a.name = (struct tela_str){bad[i], strlen(bad[i])};
		assert_wrong(&a, "shapes.Request", "name", "UTF-8");
		tags[1] = a.name;
		a = right();
		a.tags = tags;
		a.tags_len = 2;
		assert_wrong(&a, "shapes.Request", "tags", "UTF-8");
	}
	validator_free(v);
	o.text = false;
	assert_int_equal(make(&o, why), 0);
	assert_right(&a);
}

static void test_numbers(void **state)
{
	static const double bad[] = {NAN, INFINITY, -INFINITY};
	struct validate_options o = strict;
	struct shapes_Request_args a;
	shapes_Point point = {0};
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		a = right();
		a.ratio = bad[i];
		assert_wrong(&a, "shapes.Request", "ratio", "finite");
		a = right();
		point.x = (float)bad[i];
		a.at = &point;
		assert_wrong(&a, "shapes.Point", "x", "finite");
	}
	validator_free(v);
	o.finite = false;
	assert_int_equal(make(&o, why), 0);
	assert_right(&a);
}

static bool check_reals(const struct shapes_Reals_args *a)
{
	int n = shapes_Reals_build(buf, sizeof(buf), a);

	assert_true(n > 0);
	fault = (struct validate_fault){0};
	return validator_check(v, shapes_Shapes_reals_ID, buf, (size_t)n, &fault);
}

static void test_numbers_alone(void **state)
{
	static const double bad[] = {NAN, INFINITY, -INFINITY};
	static const char *const names[] = {"a", "b", "c"};
	struct shapes_Reals_args a = shapes_Reals_ARGS_INIT;

	(void)state;
	assert_true(check_reals(&a)); /* none is there */
	for (int present = 0; present < 8; present++) {
		a = (struct shapes_Reals_args){.a = 1.5 * (present & 1),
			.b = -1e300 * (present >> 1 & 1),
			.c = 1e-320 * (present >> 2)};
		assert_true(check_reals(&a));
	}
	for (size_t i = 0; i < 3 * ARRAY_SIZE(bad); i++) {
		double *field[] = {&a.a, &a.b, &a.c};

		a = (struct shapes_Reals_args){.a = 1, .b = 2, .c = 3};
		*field[i % 3] = bad[i / 3];
		assert_false(check_reals(&a));
		assert_string_equal(fault.field, names[i % 3]);
		assert_string_equal(fault.why, "is not finite");
	}
	use("Reals.b=1..2"); /* no longer all of them alike */
	a = (struct shapes_Reals_args){.a = 1, .b = 3, .c = 3};
	assert_false(check_reals(&a));
	a.b = 1.5;
	assert_true(check_reals(&a));
	a.c = NAN;
	assert_false(check_reals(&a));
}

static void test_rules(void **state)
{
	struct shapes_Leaf_args leaf = shapes_Leaf_ARGS_INIT;
	struct shapes_Request_args a;
	uint8_t bytes[5] = {0};

	(void)state;
	use(" shapes.Request.id = 10..20 ;Leaf.big=5..;Request.name=2..4; Request.bytes=..3;"
	    "Request.ratio=-.5..1e3;Box.from=required;Other.ratio=-1000..1000;Request.change=-7..-"
	    "3;Request.leaf=required;;");
	a = right();
	assert_wrong(&a, "shapes.Request", "leaf", "missing");
	a.leaf = &leaf;
	leaf.big = 5;
	a.id = 10;
	a.change = -3;
	a.ratio = -0.5;
	assert_right(&a);
	a.id = 9;
	assert_wrong(&a, "shapes.Request", "id", "less");
	a.id = 21;
	assert_wrong(&a, "shapes.Request", "id", "more");
	a.id = 20;
	leaf.big = 4;
	assert_wrong(&a, "shapes.Leaf", "big", "less");
	leaf.big = UINT64_MAX;
	assert_right(&a);
	a.name = (struct tela_str){"n", 1};
	assert_wrong(&a, "shapes.Request", "name", "shorter");
	a.name = (struct tela_str){"names", 5};
	assert_wrong(&a, "shapes.Request", "name", "longer");
	a.name = (struct tela_str){"na", 2};
	a.bytes = (struct tela_bytes){bytes, 3};
	assert_right(&a);
	a.bytes.len = 4;
	assert_wrong(&a, "shapes.Request", "bytes", "longer");
	a.bytes.len = 0;
	a.ratio = -0.6;
	assert_wrong(&a, "shapes.Request", "ratio", "less");
	a.ratio = 1000.5;
	assert_wrong(&a, "shapes.Request", "ratio", "more");
	a.ratio = 0;
	a.change = -2;
	assert_wrong(&a, "shapes.Request", "change", "more");
	a.change = -8;
	assert_wrong(&a, "shapes.Request", "change", "less");
}

/* A rule reaches what would otherwise not be looked at. */
static void test_rule_below(void **state)
{
	struct shapes_Plain_args below = shapes_Plain_ARGS_INIT, plain = shapes_Plain_ARGS_INIT;
	struct shapes_Request_args a = right();
	int n;

	(void)state;
	below.n = 3;
	plain.below = &below;
	a.plain = &plain;
	assert_right(&a);
	use("Plain.n=..2");
	assert_wrong(&a, "shapes.Plain", "n", "more");
	n = shapes_Plain_build(buf, sizeof(buf), &plain);
	assert_false(validator_check(v, shapes_Shapes_plain_ID, buf, (size_t)n, &fault));
}

static void test_bad_rules(void **state)
{
	static const struct {
		const char *rules, *says;
	} cases[] = {
		{"Request.id", "expected TABLE.FIELD"},
		{"id=1..2", "expected TABLE.FIELD"},
		{"Request.=1..2", "expected TABLE.FIELD"},
		{".id=1..2", "expected TABLE.FIELD"},
		{"Request.id=", "expected TABLE.FIELD"},
		{"Request.id=1", "expected MIN..MAX"},
		{"Request.id=..", "expected MIN..MAX"},
		{"Request.id=a..b", "expected MIN..MAX"},
		{"Request.id=1..2x", "expected MIN..MAX"},
		{"Request.id=1...2", "expected MIN..MAX"},
		{"Request.id=1..99999999999999999999", "expected MIN..MAX"},
		{"Request.ids=1..2", "no request of the service holds Request.ids"},
		{"Stranger.id=1..2", "no request of the service holds Stranger.id"},
		{"Request.leaf=1..2", "has no range"},
		{"Request.thing=1..2", "has no range"},
		{"Point.steps=1..2", "has no range"},
	};
	struct validate_options o = strict;
	static char many[8192];
	char why[200], word[300];

	(void)state;
	validator_free(v);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		v = NULL;
		o.rules = cases[i].rules;
		if (make(&o, why) != -EINVAL || !strstr(why, cases[i].says))
			print_error("%s: %s\n", cases[i].rules, why);
		assert_null(v);
		assert_non_null(strstr(why, cases[i].says));
	}
	for (int i = 0; i < 300; i++)
		strcat(many, "Plain.n=1..2;");
	o.rules = many;
	assert_int_equal(make(&o, why), -EINVAL);
	assert_non_null(strstr(why, "at most 256"));
	memset(word, 'x', sizeof(word));
	strcpy(word + 280, ".n=1..2");
	o.rules = word;
	assert_int_equal(make(&o, why), -EINVAL);
	v = NULL;
}

/* One table that many lead to: the work is bound to the bytes. */
static void test_bounded(void **state)
{
	static const uint8_t colours[100] = {0};
	struct shapes_Request_args a = right();
	int n;

	(void)state;
	a.colours = colours;
	a.colours_len = 100;
	n = shapes_Request_build(buf, sizeof(buf), &a);
	assert_true(validator_check(v, shapes_Shapes_check_ID, buf, (size_t)n, &fault));
	assert_false(validator_check(v, shapes_Shapes_check_ID, buf, 4, &fault));
	assert_non_null(strstr(fault.why, "entangled"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_right),
		TEST(test_enums),
		TEST(test_unions),
		TEST(test_text),
		TEST(test_numbers),
		TEST(test_numbers_alone),
		TEST(test_rules),
		TEST(test_rule_below),
		TEST(test_bad_rules),
		TEST(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

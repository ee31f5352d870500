/* test_keys.c - a plugin's keys: every type read into its struct, defaults, each way to be wrong
 * with its path; and declarations that a plugin may not have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../control/keys.h"
#include "../../dataplane/base.h"

static const char *const words[] = {"low", "middle", "high", NULL};

struct options {
	bool flag;
	uint16_t u16;
	uint32_t u32, power, word;
	uint64_t u64, pause, free_pause;
	int32_t i32;
	int64_t i64;
	double real, part;
	const char *text, *brief;
	struct tela_list texts, numbers, times;
	struct tela_map map, lists;
	struct {
		uint32_t rate;
		struct {
			bool hard;
		} deep;
	} limits;
};

static const struct tela_config_key number = {.type = TELA_CONFIG_U16, .min = 1, .max = 10};
static const struct tela_config_key a_time = {.type = TELA_CONFIG_DURATION};
static const struct tela_config_key subjects = {.type = TELA_CONFIG_LIST, .min = 1, .max = 2};

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, flag, .fallback = "true", .help = "h"),
	TELA_CONFIG(struct options, u16, .help = "h"),
	TELA_CONFIG(struct options, u32, .min = 5, .max = 10, .fallback = "7", .help = "h"),
	TELA_CONFIG(struct options, power, .min = 2, .max = 64, .power_of_two = true, .help = "h"),
	TELA_CONFIG_AS(WORD, struct options, word, .words = words, .fallback = "high", .help = "h"),
	TELA_CONFIG(struct options, u64, .unit = "bytes", .help = "h"),
	TELA_CONFIG_AS(DURATION, struct options, pause, .min = NS_PER_MS, .max = 60 * NS_PER_S,
		.fallback = "20ms", .help = "h"),
	TELA_CONFIG_AS(DURATION, struct options, free_pause, .help = "h"),
	TELA_CONFIG(struct options, i32, .min = -5, .max = 5, .help = "h"),
	TELA_CONFIG(struct options, i64, .fallback = "-9223372036854775808", .help = "h"),
	TELA_CONFIG(struct options, real, .fallback = "1.5", .help = "h"),
	TELA_CONFIG(struct options, part, .max = 1, .help = "h"),
	TELA_CONFIG(struct options, text, .help = "h"),
	TELA_CONFIG(struct options, brief, .min = 2, .max = 4, .fallback = "abc", .help = "h"),
	TELA_CONFIG(struct options, texts, .fallback = "a, b", .help = "h"),
	TELA_CONFIG(struct options, numbers, .of = &number, .max = 3, .help = "h"),
	TELA_CONFIG(struct options, times, .of = &a_time, .help = "h"),
	TELA_CONFIG(struct options, map, .help = "h"),
	TELA_CONFIG(struct options, lists, .of = &subjects, .fallback = "*:x,y", .help = "h"),
	TELA_CONFIG(struct options, limits.rate, .fallback = "3", .help = "h"),
	TELA_CONFIG(struct options, limits.deep.hard, .help = "h"),
};

static const struct tela_plugin plugin = {.name = "p",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options)};

static char said[4096];

static void report(void *arg, uint32_t pair, const char *path, const char *what)
{
	size_t n = strlen(said);

	(void)arg;
	snprintf(said + n, sizeof(said) - n, "%d %s: %s\n", (int)pair, path, what);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tela_pair *)a)->key, ((const struct tela_pair *)b)->key);
}

/* Of pairs that end with an empty one. */
static struct options *read_pairs(const struct tela_plugin *p, struct tela_pair *pairs)
{
	struct tela_plugin_config c = {.pairs = pairs};
	void *values;

	said[0] = 0;
	while (pairs[c.n].key)
		c.n++;
	qsort(pairs, c.n, sizeof(*pairs), by_key);
	if (!keys_read(p, &c, &values, report, NULL)) {
		assert_string_equal(said, "");
		return values;
	}
	assert_null(values);
	assert_string_not_equal(said, "");
	return NULL;
}

#define READ(...) read_pairs(&plugin, (struct tela_pair[]){__VA_ARGS__, {NULL, NULL}})

static const char *at(const struct tela_list *l, uint32_t i)
{
	assert_true(i < l->n);
	return ((const char *const *)l->at)[i];
}

static void test_defaults(void **state)
{
	struct tela_pair none[] = {{NULL, NULL}};
	struct options *o = read_pairs(&plugin, none);
	const struct tela_list *all;

	(void)state;
	assert_true(o->flag && !o->u16 && o->u32 == 7 && !o->power && o->word == 2 && !o->u64);
	assert_true(o->pause == 20 * NS_PER_MS && !o->free_pause && o->i64 == INT64_MIN);
	assert_true(o->real == 1.5 && o->part == 0 && !o->text && o->limits.rate == 3);
	assert_string_equal(o->brief, "abc");
	assert_int_equal(o->texts.n, 2);
	assert_string_equal(at(&o->texts, 1), "b");
	assert_int_equal(o->numbers.n + o->map.n, 0);
	assert_int_equal(o->lists.n, 1);
	assert_string_equal(o->lists.keys[0], "*");
	all = o->lists.at;
	assert_string_equal(at(all, 1), "y");
	free(o);
}

static void test_scalars(void **state)
{
	struct options *o = READ({"flag", "false"}, {"u16", "65535"}, {"u32", "5"}, {"power", "64"},
		{"word", "low"}, {"u64", "9223372036854775807"}, {"pause", "1min"},
		{"free_pause", "2h"}, {"i32", "-5"}, {"i64", "12"}, {"real", "-1e-3"},
		{"part", "0.25"}, {"text", "a, b: c"}, {"brief", "abcd"}, {"limits.rate", "0"},
		{"limits.deep.hard", "true"});

	(void)state;
	assert_true(!o->flag && o->u16 == 65535 && o->u32 == 5 && o->power == 64 && !o->word);
	assert_true(o->u64 == INT64_MAX && o->pause == 60 * NS_PER_S);
	assert_true(o->free_pause == 7200 * NS_PER_S && o->i32 == -5 && o->i64 == 12);
	assert_true(o->real == -1e-3 && o->part == 0.25 && !o->limits.rate && o->limits.deep.hard);
	assert_string_equal(o->text, "a, b: c");
	assert_string_equal(o->brief, "abcd");
	free(o);
}

static void test_lists_and_mappings(void **state)
{
	struct options *o = READ({"texts", "\x1f"
					   "a,b"
					   "\x1f"
					   " c "},
		{"numbers", "1, 10"}, {"times", "1s,0,3us"}, {"map.x.y", "1"},
		{"map", "z = 26; a:b:c"},
		{"lists.put", "\x1f"
			      "alice"},
		{"lists.get", "bob , carol"});
	const struct tela_list *subjects_of;

	(void)state;
	assert_int_equal(o->texts.n, 2);
	assert_string_equal(at(&o->texts, 0), "a,b");
	assert_string_equal(at(&o->texts, 1), "c");
	assert_int_equal(o->numbers.n, 2);
	assert_int_equal(((const uint16_t *)o->numbers.at)[1], 10);
	assert_int_equal(o->times.n, 3);
	assert_int_equal(((const uint64_t *)o->times.at)[2], 3000);
	assert_int_equal(o->map.n, 3);
	assert_string_equal(o->map.keys[0], "z");
	assert_string_equal(((const char *const *)o->map.at)[0], "26");
	assert_string_equal(((const char *const *)o->map.at)[1], "b:c");
	assert_string_equal(o->map.keys[2], "x.y");
	assert_int_equal(o->lists.n, 2); /* and the default is gone */
	subjects_of = o->lists.at;
	assert_string_equal(o->lists.keys[0], "get");
	assert_string_equal(at(&subjects_of[0], 1), "carol");
	assert_string_equal(at(&subjects_of[1], 0), "alice");
	free(o);
	/* One given by itself stands over the text. */
	o = READ({"map", "a:1;b:2"}, {"map.a", "3"});
	assert_int_equal(o->map.n, 2);
	assert_string_equal(((const char *const *)o->map.at)[0], "3");
	free(o);
	o = READ({"texts", "\x1f"}, {"map", ""});
	assert_int_equal(o->texts.n + o->map.n, 0);
	free(o);
}

/* What is read stands by itself: neither the configuration nor the declaration is needed. */
static void test_points_nowhere_else(void **state)
{
	struct tela_config_key own[2];
	char key[] = "m.k", value[] = "v,w", name[] = "m", text[] = "t", fallback[] = "d";
	struct tela_pair pairs[] = {{key, value}, {NULL, NULL}};
	struct tela_plugin p = {
		.name = "q", .keys = own, .n_keys = 2, .values_size = sizeof(struct options)};
	struct options *o;

	(void)state;
	own[0] = (struct tela_config_key){.name = name,
		.type = TELA_CONFIG_MAP,
		.of = &subjects,
		.offset = offsetof(struct options, lists),
		.help = ""};
	own[1] = (struct tela_config_key){.name = text,
		.type = TELA_CONFIG_TEXT,
		.offset = offsetof(struct options, text),
		.fallback = fallback,
		.help = ""};
	o = read_pairs(&p, pairs);
	memset(key, 'x', sizeof(key));
	memset(value, 'x', sizeof(value));
	memset(fallback, 'x', sizeof(fallback));
	memset(own, 0, sizeof(own));
	assert_string_equal(o->lists.keys[0], "k");
	assert_string_equal(at((const struct tela_list *)o->lists.at, 1), "w");
	assert_string_equal(o->text, "d");
	free(o);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *key, *value, *said;
	} cases[] = {
		{"flag", "yes", "0 flag: expected true or false, found 'yes'\n"},
		{"flag", "", "0 flag: expected true or false, found nothing\n"},
		{"flag", "\x1ftrue", "0 flag: expected true or false, found a list\n"},
		{"u16", "65536", "0 u16: expected 0..65535, found '65536'\n"},
		{"u16", "-1", "0 u16: expected 0..65535, found '-1'\n"},
		{"u16", " 1", "0 u16: expected 0..65535, found ' 1'\n"},
		{"u16", "1 ", "0 u16: expected 0..65535, found '1 '\n"},
		{"u16", "0x1", "0 u16: expected 0..65535, found '0x1'\n"},
		{"u16", "1.0", "0 u16: expected 0..65535, found '1.0'\n"},
		{"u16.x", "1", "0 u16: expected 0..65535, found a mapping\n"},
		{"u32", "4", "0 u32: expected 5..10, found '4'\n"},
		{"u32", "11", "0 u32: expected 5..10, found '11'\n"},
		{"power", "12", "0 power: expected a power of two, 2..64, found '12'\n"},
		{"power", "128", "0 power: expected a power of two, 2..64, found '128'\n"},
		{"u64", "9223372036854775808",
			"0 u64: expected 0..9223372036854775807 bytes, found "
			"'9223372036854775808'\n"},
		{"word", "huge", "0 word: expected low, middle or high, found 'huge'\n"},
		{"pause", "20",
			"0 pause: expected a time such as 20ms or 2s, 1ms..1min, found '20'\n"},
		{"pause", "1us",
			"0 pause: expected a time such as 20ms or 2s, 1ms..1min, found '1us'\n"},
		{"pause", "2m",
			"0 pause: expected a time such as 20ms or 2s, 1ms..1min, found '2m'\n"},
		{"pause", "-5ms",
			"0 pause: expected a time such as 20ms or 2s, 1ms..1min, found '-5ms'\n"},
		{"free_pause", "9223372036854775807h",
			"0 free_pause: expected a time such as 20ms or 2s, found "
			"'9223372036854775807h'\n"},
		{"real", "nan", "0 real: expected a finite number, found 'nan'\n"},
		{"real", "0x1p3", "0 real: expected a finite number, found '0x1p3'\n"},
		{"real", "1e999", "0 real: expected a finite number, found '1e999'\n"},
		{"part", "1.01", "0 part: expected a number, 0..1, found '1.01'\n"},
		{"text", "", "0 text: expected a text, found nothing\n"},
		{"text",
			"\x1f"
			"a",
			"0 text: expected a text, found a list\n"},
		{"text", "\x1f", "0 text: expected a text, found a list\n"},
		{"brief", "a", "0 brief: expected a text of 2..4 bytes, found 'a'\n"},
		{"brief", "a\nbcd", "0 brief: expected a text of 2..4 bytes, found 'a?bcd'\n"},
		{"texts", "a,,b", "0 texts[1]: expected a text, found nothing\n"},
		{"numbers", "1,11", "0 numbers[1]: expected 1..10, found '11'\n"},
		{"numbers", "1,2,3,4", "0 numbers: expected 0..3 of them, found 4\n"},
		{"numbers.x", "1",
			"0 numbers: expected a list, each item 1..10, found a mapping\n"},
		{"map", "a", "0 map: expected a mapping, each value a text, found 'a'\n"},
		{"map", ":a", "0 map: expected a mapping, each value a text, found ':a'\n"},
		{"map",
			"\x1f"
			"a",
			"0 map: expected a mapping, each value a text, found a list\n"},
		{"map", "a:1;a:2", "0 map.a: is there twice\n"},
		{"map.a", "", "0 map.a: expected a text, found nothing\n"},
		{"map.a",
			"\x1f"
			"b",
			"0 map.a: expected a text, found a list\n"},
		{"lists.a", "b,c,d", "0 lists.a: expected 1..2 of them, found 3\n"},
		{"lists.a", "\x1f", "0 lists.a: expected 1..2 of them, found 0\n"},
		{"limits", "3", "0 limits: expected a mapping of rate, deep.hard\n"},
		{"limits.deep", "3", "0 limits.deep: expected a mapping of hard\n"},
		{"limits.rat", "3", "0 limits.rat: unknown key, did you mean 'limits.rate'?"},
		{"txt", "3", "0 txt: unknown key, did you mean 'text'?"},
		{"elsewhere", "3", "0 elsewhere: unknown key; known are flag, u16, u32"},
		{"map.", "3", "0 map: expected a mapping, each value a text, found a mapping"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_null(READ({cases[i].key, cases[i].value}));
		assert_memory_equal(said, cases[i].said, strlen(cases[i].said));
	}
	/* All of them at once, each where it stands. */
	assert_null(READ({"flag", "x"}, {"u16", "1"}, {"u32", "1"}, {"zzz", "1"}));
	assert_non_null(strstr(said, "3 zzz: unknown"));
	assert_non_null(strstr(said, "0 flag: expected"));
	assert_non_null(strstr(said, "2 u32: expected"));
}

static void test_required(void **state)
{
	static const struct tela_config_key must[] = {
		TELA_CONFIG(struct options, text, .required = true, .help = "the secret"),
		TELA_CONFIG(struct options, map, .required = true, .help = "the others"),
	};
	const struct tela_plugin p = {
		.name = "p", .keys = must, .n_keys = 2, .values_size = sizeof(struct options)};
	struct tela_pair one[] = {{"map.a", "b"}, {NULL, NULL}};
	struct tela_pair both[] = {{"map.a", "b"}, {"text", "t"}, {NULL, NULL}};
	struct options *o;

	(void)state;
	assert_null(read_pairs(&p, one));
	assert_string_equal(said, "-1 text: is missing (the secret)\n");
	assert_null(read_pairs(&p, &one[1]));
	assert_string_equal(
		said, "-1 text: is missing (the secret)\n-1 map: is missing (the others)\n");
	o = read_pairs(&p, both);
	assert_string_equal(o->text, "t");
	free(o);
}

/* Large and odd ones end in time, and in what was reckoned for them (ASan). */
static void test_large(void **state)
{
	enum { N = 1 << 20 };
	char *text = malloc(N + 1);

	(void)state;
	text[N] = 0;
	memset(text, ',', N);
	assert_null(READ({"texts", text}));
	memset(text, ';', N);
	assert_null(READ({"map", text}));
	memset(text, 'x', N);
	assert_null(READ({"text", text}));
	assert_null(READ({"zzz", text}));
	for (int i = 0; i < N; i += 4)
		memcpy(text + i, "a:b;", 4);
	assert_null(READ({"map", text}));
	assert_string_equal(said, "0 map: expected 0..1024 of them, found 262145\n");
	text[4 * 1023] = 0;
	assert_null(READ({"map", text}));
	assert_memory_equal(said, "0 map.a: is there twice", 23);
	for (int i = 0; i < 1024; i++)
		memcpy(text + 2 * i, "t,", 2);
	text[2 * 1024 - 1] = 0;
	free(READ({"texts", text}, {"map", "a:;b:"}));
	assert_memory_equal(said, "0 map.a: expected a text, found nothing", 39);
	free(READ({"texts", text}));
	free(text);
}

static const char *declared(const struct tela_config_key *k, uint32_t n)
{
	static char why[512];
	const struct tela_plugin p = {
		.name = "p", .keys = k, .n_keys = n, .values_size = sizeof(struct options)};

	int rc;

	why[0] = 0;
	rc = keys_check(&p, why, sizeof(why));
	assert_int_equal(rc, why[0] ? -EINVAL : 0);
	return why;
}

#define DECLARED(...)                                                                              \
	declared((const struct tela_config_key[]){__VA_ARGS__},                                    \
		ARRAY_SIZE(((const struct tela_config_key[]){__VA_ARGS__})))
#define TEXT(n, ...)                                                                               \
	{                                                                                          \
		.name = n, .type = TELA_CONFIG_TEXT, .help = "h", __VA_ARGS__                      \
	}
#define U32(n, ...)                                                                                \
	{                                                                                          \
		.name = n, .type = TELA_CONFIG_U32, .help = "h", __VA_ARGS__                       \
	}

static void test_declarations(void **state)
{
	static const struct tela_config_key map = {.type = TELA_CONFIG_MAP};
	static const struct tela_config_key list = {.type = TELA_CONFIG_LIST};
	static const struct tela_config_key of_lists = {.type = TELA_CONFIG_LIST, .of = &list};

	(void)state;
	assert_string_equal(declared(keys, ARRAY_SIZE(keys)), "");
	assert_string_equal(DECLARED(TEXT("a")), "");
	assert_string_equal(DECLARED(TEXT(NULL)), "key 0 of plugin p (?) has no good name");
	assert_string_equal(DECLARED(TEXT("a b")), "key 0 of plugin p (a b) has no good name");
	assert_string_equal(DECLARED(TEXT("a.")), "key 0 of plugin p (a.) has no good name");
	assert_string_equal(DECLARED(TEXT("a..b")), "key 0 of plugin p (a..b) has no good name");
	assert_string_equal(DECLARED(TEXT("a"), TEXT("a")),
		"key 1 of plugin p (a) has the name of another, or lies in it");
	assert_string_equal(DECLARED(TEXT("a.b"), TEXT("a")),
		"key 1 of plugin p (a) has the name of another, or lies in it");
	assert_string_equal(DECLARED(TEXT("ab"), TEXT("a")), "");
	assert_string_equal(DECLARED({.name = "a", .type = 99, .help = "h"}),
		"key 0 of plugin p (a) has a type that there is not");
	assert_string_equal(
		DECLARED({.name = "a", .help = NULL}), "key 0 of plugin p (a) has no help");
	assert_string_equal(DECLARED({.name = "a", .type = TELA_CONFIG_WORD, .help = "h"}),
		"key 0 of plugin p (a) has no words");
	assert_string_equal(DECLARED(U32("a", .min = 2, .max = 1)),
		"key 0 of plugin p (a) has a range that its type does not hold");
	assert_string_equal(DECLARED(U32("a", .max = 1ll << 32)),
		"key 0 of plugin p (a) has a range that its type does not hold");
	assert_string_equal(DECLARED(U32("a", .min = -1, .max = 1)),
		"key 0 of plugin p (a) has a range that its type does not hold");
	assert_string_equal(DECLARED(TEXT("a", .power_of_two = true)),
		"key 0 of plugin p (a) is no integer, and cannot be a power of two");
	assert_string_equal(DECLARED(TEXT("a", .required = true, .fallback = "x")),
		"key 0 of plugin p (a) is required, and has a default");
	assert_string_equal(DECLARED(TEXT("a", .offset = sizeof(struct options))),
		"key 0 of plugin p (a) does not lie in the plugin's struct");
	assert_string_equal(DECLARED(TEXT("a", .offset = 4)),
		"key 0 of plugin p (a) does not lie in the plugin's struct");
	assert_string_equal(DECLARED(TEXT("a", .offset = UINT32_MAX - 7)),
		"key 0 of plugin p (a) does not lie in the plugin's struct");
	assert_string_equal(DECLARED(TEXT("a", .of = &list)),
		"key 0 of plugin p (a) holds no others, and says of what");
	assert_string_equal(
		DECLARED({.name = "a", .type = TELA_CONFIG_LIST, .of = &list, .help = "h"}),
		"key 0 of plugin p (a) is nested too deeply");
	assert_string_equal(
		DECLARED({.name = "a", .type = TELA_CONFIG_MAP, .of = &map, .help = "h"}),
		"key 0 of plugin p (a) is nested too deeply");
	assert_string_equal(
		DECLARED({.name = "a", .type = TELA_CONFIG_MAP, .of = &of_lists, .help = "h"}),
		"key 0 of plugin p (a) is nested too deeply");
	assert_string_equal(DECLARED(U32("a", .fallback = "many")),
		"the default of key 'a' of plugin p: expected 0..4294967295, found 'many'");
	assert_string_equal(DECLARED({.name = "a",
				    .type = TELA_CONFIG_LIST,
				    .min = 1,
				    .max = 2,
				    .fallback = "1,2,3",
				    .help = "h"}),
		"the default of key 'a' of plugin p: expected 1..2 of them, found 3");
	assert_memory_equal(declared(NULL, 3), "plugin p has 3 keys and no list of them", 39);
}

static void test_may_be_taken_out(void **state)
{
	(void)state;
	assert_true(keys_know(&plugin, "flag") && keys_know(&plugin, "limits"));
	assert_true(keys_know(&plugin, "limits.deep") && keys_know(&plugin, "map.any"));
	assert_false(keys_know(&plugin, "lim") || keys_know(&plugin, "flag.x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_lists_and_mappings),
		cmocka_unit_test(test_points_nowhere_else),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_declarations),
		cmocka_unit_test(test_may_be_taken_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

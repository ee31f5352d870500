/* What a node keeps of its traces: put together from what is told, in any order and with parts of
 * it lost; the oldest make room; and what a reader is shown of it. */
#include "traces.h"

#include "../../dataplane/tela_trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static size_t n_blocks; /* of JSON */
static tela_trace_fn tell;
static void *tell_arg;
static struct control control;
static struct traces *t;

void tela_node_on_trace(struct tela_node *n, tela_trace_fn fn, void *arg)
{
	(void)n;
	tell = fn;
	tell_arg = arg;
}

const char *tela_node_name(const struct tela_node *n)
{
	(void)n;
	return "n1";
}

const char *tela_code_name(unsigned code)
{
	return code == TELA_ABORTED ? "ABORTED" : "?";
}

const char *tela_kind_name(unsigned kind)
{
	return kind == TELA_KIND_OK ? "ok" : "error";
}

static void event(uint64_t trace, uint64_t span, enum tela_trace_op op, uint64_t at_ns,
	const char *name, const char *text)
{
	tell(tell_arg, &(struct tela_trace_event){.trace = {0xabcd000000000000, trace},
			       .span = span,
			       .op = op,
			       .at_ns = at_ns,
			       .result = TELA_KIND_OK,
			       .name = name,
			       .text = text});
}

static void begin(uint64_t trace, uint64_t span, uint64_t above, uint64_t at_ns, const char *name)
{
	tell(tell_arg, &(struct tela_trace_event){.trace = {0xabcd000000000000, trace},
			       .span = span,
			       .above = above,
			       .op = TELA_TRACE_BEGIN,
			       .at_ns = at_ns,
			       .span_kind = TELA_SPAN_IN,
			       .name = name,
			       .text = ""});
}

static json_t *show(const char *id)
{
	char err[200] = "";
	json_t *spans = traces_show(t, id, err, sizeof(err));

	if (!spans)
		print_message("%s\n", err);
	return spans;
}

static const char *text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void *take(size_t size)
{
	n_blocks++;
	return malloc(size);
}

static void give(void *p)
{
	n_blocks -= p != NULL;
	free(p);
}

static int set_up(void **state)
{
	(void)state;
	t = traces_create(&control);
	return t ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	traces_free(t);
	return n_blocks ? -1 : 0; /* what is forgotten takes its details along */
}

static void test_put_together(void **state)
{
	json_t *list, *spans, *s;

	(void)state;
	begin(1, 10, 0, 1000, "s.S.m");
	event(1, 10, TELA_TRACE_ATTRIBUTE, 1100, "colour", "red");
	begin(1, 11, 10, 1200, "step");
	event(1, 11, TELA_TRACE_EVENT, 1300, "half", "way");
	event(1, 11, TELA_TRACE_ERROR, 1350, "", "burnt");
	list = traces_list(t, 10);
	assert_int_equal(number(json_array_get(list, 0), "open"), 2);
	json_decref(list);
	event(1, 11, TELA_TRACE_END, 1400, "", "");
	event(1, 10, TELA_TRACE_END, 1500, "", "");
	begin(2, 20, 0, 5000, "other");

	list = traces_list(t, 10);
	assert_int_equal(json_array_size(list), 2);
	s = json_array_get(list, 0);
	assert_string_equal(text(s, "name"), "other"); /* the latest first */
	s = json_array_get(list, 1);
	assert_string_equal(text(s, "trace"), "abcd0000000000000000000000000001");
	assert_string_equal(text(s, "name"), "s.S.m");
	assert_int_equal(number(s, "spans"), 2);
	assert_int_equal(number(s, "errors"), 1);
	assert_int_equal(number(s, "took_ns"), 500);
	assert_int_equal(number(s, "open"), 0);
	json_decref(list);
	list = traces_list(t, 1);
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);

	spans = show("ABCD0000000000000000000000000001");
	assert_int_equal(json_array_size(spans), 2);
	s = json_array_get(spans, 0);
	assert_string_equal(text(s, "span"), "000000000000000a");
	assert_null(json_object_get(s, "above"));
	assert_string_equal(text(s, "node"), "n1");
	assert_string_equal(text(s, "kind"), "in");
	assert_string_equal(text(s, "result"), "ok");
	assert_int_equal(number(s, "took_ns"), 500);
	assert_string_equal(
		text(json_array_get(json_object_get(s, "details"), 0), "attribute"), "colour");
	s = json_array_get(spans, 1);
	assert_string_equal(text(s, "above"), "000000000000000a");
	assert_true(json_is_true(json_object_get(s, "error")));
	assert_int_equal(json_array_size(json_object_get(s, "details")), 2);
	json_decref(spans);
}

/* Of two rings, or of a full one. */
static void test_parts(void **state)
{
	json_t *spans, *s;

	(void)state;
	event(1, 10, TELA_TRACE_END, 1500, "conflict", "");
	event(1, 11, TELA_TRACE_EVENT, 1510, "early", "");
	begin(1, 11, 10, 1400, "late");
	spans = show("abcd");
	assert_int_equal(json_array_size(spans), 2);
	s = json_array_get(spans, 0);
	assert_string_equal(text(s, "name"), "(lost)");
	assert_string_equal(text(s, "status"), "conflict");
	assert_int_equal(number(s, "took_ns"), 0);
	s = json_array_get(spans, 1);
	assert_string_equal(text(s, "name"), "late");
	assert_null(json_object_get(s, "took_ns")); /* open */
	json_decref(spans);
}

static void test_ids(void **state)
{
	static const char *const bad[] = {"", "abc", "xyzw", "abcd0000000000000000000000000001f",
		"deadbeef", "abcd000000000000000000000000000"};

	(void)state;
	begin(1, 10, 0, 1000, "one");
	begin(2, 20, 0, 1000, "two");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(show(bad[i]));
}

/* The same span id in another trace is another span. */
static void test_same_span_elsewhere(void **state)
{
	json_t *spans;

	(void)state;
	begin(1, 10, 0, 1000, "one");
	begin(2, 10, 0, 1000, "two");
	event(2, 10, TELA_TRACE_END, 1500, "", "");
	spans = show("abcd0000000000000000000000000001");
	assert_int_equal(json_array_size(spans), 1);
	assert_string_equal(text(json_array_get(spans, 0), "name"), "one");
	assert_null(json_object_get(json_array_get(spans, 0), "took_ns"));
	json_decref(spans);
}

/* Three times as many as are kept, with details each; the newest are there, once each. */
static void test_bounded(void **state)
{
	json_t *list, *spans;
	char id[TRACE_ID_TEXT];

	(void)state;
	for (uint64_t i = 1; i <= 3 * TRACES_SPANS; i++) {
		begin(i, i, 0, i, "x");
		event(i, i, TELA_TRACE_EVENT, i, "e", "");
		event(i, i, TELA_TRACE_END, i + 1, "", "");
	}
	list = traces_list(t, TRACES_LIST_MAX);
	assert_int_equal(json_array_size(list), TRACES_LIST_MAX);
	trace_id_text((uint64_t[]){0xabcd000000000000, 3 * TRACES_SPANS}, id);
	assert_string_equal(text(json_array_get(list, 0), "trace"), id);
	json_decref(list);
	spans = show(id);
	assert_int_equal(json_array_size(spans), 1);
	json_decref(spans);
	trace_id_text((uint64_t[]){0xabcd000000000000, 2 * TRACES_SPANS}, id);
	assert_null(show(id)); /* its place has just been taken */
	for (uint32_t i = 0; i < TRACES_DETAILS + 5; i++)
		event(7, 7, TELA_TRACE_EVENT, 1, "again", "");
	spans = show("abcd0000000000000000000000000007");
	assert_int_equal(json_array_size(json_object_get(json_array_get(spans, 0), "details")),
		TRACES_DETAILS);
	assert_int_equal(number(json_array_get(spans, 0), "details_left_out"), 5);
	json_decref(spans);
}

/* The next id behind `id` that traces.c puts with the first ones, or that it does not. */
static uint64_t next_id(uint64_t id, bool together)
{
	do
		id++;
	while (((id * 0x9e3779b97f4a7c15ull >> 32) % (2 * TRACES_SPANS) == 0) != together);
	return id;
}

/* Spans whose ids fall together are evicted, and others that fall there too take their places: each
 * is found, and looking for one that is not there comes to an end. */
static void test_evicted_together(void **state)
{
	uint64_t together = 0, apart = 0;
	json_t *spans;

	(void)state;
	alarm(60); /* else: a ring of spans has no end */
	for (int i = 0; i < TRACES_SPANS + 4; i++) {
		bool falls = i < 4 || i >= TRACES_SPANS;
		uint64_t *id = falls ? &together : &apart;

		*id = next_id(*id, falls);
		begin(falls, *id, 0, *id, "x");
		event(falls, *id, TELA_TRACE_EVENT, *id, "e", "");
	}
	alarm(0);
	spans = show("abcd0000000000000000000000000001");
	assert_int_equal(json_array_size(spans), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(
			json_array_size(json_object_get(json_array_get(spans, i), "details")), 1);
	json_decref(spans);
}

/* What a plugin said that is no text. */
static void test_no_text(void **state)
{
	json_t *list;
	char *out;

	(void)state;
	begin(1, 10, 0, 1000, "\xff\xfe");
	event(1, 10, TELA_TRACE_EVENT, 1, "\xc3", "\x80");
	event(1, 10, TELA_TRACE_END, 2, "\xff", "");
	list = traces_list(t, 10);
	assert_non_null(list);
	assert_int_equal(json_array_size(list), 1);
	out = json_dumps(list, 0);
	assert_non_null(out);
	give(out);
	json_decref(list);
	list = show("abcd");
	out = json_dumps(list, 0);
	assert_non_null(out);
	give(out);
	json_decref(list);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_put_together),
		TEST(test_parts),
		TEST(test_ids),
		TEST(test_same_span_elsewhere),
		TEST(test_bounded),
		TEST(test_evicted_together),
		TEST(test_no_text),
	};

	json_set_alloc_funcs(take, give);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

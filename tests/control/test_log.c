/* test_log.c - the control side's log: lines that repeat are counted, not written, and none is
 * forgotten. */
#include "log.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { LINES = 20000, THREADS = 2 };

static int kept_stderr;
static FILE *caught;

static int set_up(void **state)
{
	(void)state;
	caught = tmpfile();
	kept_stderr = dup(STDERR_FILENO);
	return caught && kept_stderr >= 0 && dup2(fileno(caught), STDERR_FILENO) >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	return fclose(caught);
}

/* Lines about the wolf: written ones, and those that were counted; others. */
static void count(unsigned *ret_written, unsigned *ret_counted, unsigned *ret_others)
{
	char line[1200];

	*ret_written = *ret_counted = *ret_others = 0;
	rewind(caught);
	while (fgets(line, sizeof(line), caught)) {
		const char *more = strstr(line, " more lines like this one: wolf number ");
		unsigned n;

		if (more) {
			while (more > line && more[-1] >= '0' && more[-1] <= '9')
				more--;
			assert_int_equal(sscanf(more, "%u more", &n), 1);
			*ret_counted += n;
		} else if (strstr(line, "wolf number ")) {
			++*ret_written;
		} else {
			++*ret_others;
		}
	}
}

static void *cry(void *unused)
{
	(void)unused;
	for (int i = 0; i < LINES; i++)
		log_warn("wolf number %d", i);
	return NULL;
}

static void test_repeats(void **state)
{
	unsigned written, counted, others;
	pthread_t thread[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, cry, NULL), 0);
	for (int i = 0; i < 50; i++)
		log_info("a sheep, %d", i); /* of another place: none of the wolf's business */
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	log_tick(true);
	count(&written, &counted, &others);
	assert_int_equal(others, 50);
	assert_int_equal(written + counted, THREADS * LINES);
	assert_in_range(written, LOG_LINES_A_SECOND, THREADS * LINES / 2);
	log_tick(true); /* told once */
	count(&written, &counted, &others);
	assert_int_equal(written + counted, THREADS * LINES);
}

static void test_levels(void **state)
{
	unsigned written, counted, others;

	(void)state;
	log_debug("not this");
	log_set_level(TELA_LOG_DEBUG);
	log_debug("this, %s", "in full");
	log_set_level(TELA_LOG_ERROR);
	log_warn("nor this");
	log_set_level(TELA_LOG_INFO);
	count(&written, &counted, &others);
	assert_int_equal(others, 1);
	assert_int_equal(log_level_find("warn"), TELA_LOG_WARN);
	assert_int_equal(log_level_find("loud"), -1);
}

/* ---- what a line looks like ---- */

static const char *shown(
	enum log_format format, bool priority, const struct tela_log_line *l, uint32_t repeated)
{
	static char line[LOG_LINE_MAX];
	size_t n = log_text(line, format, priority, "here", l, repeated);

	assert_in_range(n, 2, LOG_LINE_MAX);
	assert_null(memchr(line, 0, n));
	assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
	line[n - 1] = 0;
	return line;
}

static struct tela_log_line line_of(const char *text)
{
	return (struct tela_log_line){.at_ns = 1795312923456789012,
		.level = TELA_LOG_WARN,
		.core = UINT32_MAX,
		.service = "",
		.plugin = "",
		.method = "",
		.text = text,
		.text_len = strlen(text)};
}

static void test_forms(void **state)
{
	struct tela_log_line l = line_of("it rains");

	(void)state;
	assert_string_equal(
		shown(LOG_TEXT, false, &l, 0), "2026-11-22T02:02:03.456Z warn: it rains");
	assert_string_equal(shown(LOG_TEXT, true, &l, 0), "<4>it rains");
	assert_string_equal(shown(LOG_JSON, false, &l, 0),
		"{\"time\":\"2026-11-22T02:02:03.456789Z\",\"level\":\"warn\",\"node\":\"here\","
		"\"message\":\"it rains\"}");
	l.component = "dpdk";
	assert_string_equal(
		shown(LOG_TEXT, false, &l, 0), "2026-11-22T02:02:03.456Z warn dpdk: it rains");
	assert_string_equal(shown(LOG_JSON, false, &l, 0),
		"{\"time\":\"2026-11-22T02:02:03.456789Z\",\"level\":\"warn\",\"node\":\"here\","
		"\"component\":\"dpdk\",\"message\":\"it rains\"}");
	l.component = NULL;
	l.service = "echo.Echo";
	l.plugin = "counter";
	l.method = "echo";
	l.trace[1] = 0xbeef;
	l.span = 0xf00;
	l.core = 1;
	assert_string_equal(shown(LOG_TEXT, false, &l, 0),
		"2026-11-22T02:02:03.456Z warn echo.Echo.echo plugin=counter "
		"trace=0000000000000000000000000000beef span=0000000000000f00: it rains");
	assert_string_equal(shown(LOG_TEXT, true, &l, 7),
		"<4>echo.Echo.echo plugin=counter trace=0000000000000000000000000000beef "
		"span=0000000000000f00: 7 more lines like this one: it rains");
	assert_string_equal(shown(LOG_JSON, true, &l, 7),
		"<4>{\"time\":\"2026-11-22T02:02:03.456789Z\",\"level\":\"warn\",\"node\":\"here\","
		"\"service\":\"echo.Echo\",\"plugin\":\"counter\",\"method\":\"echo\","
		"\"trace\":\"0000000000000000000000000000beef\",\"span\":\"0000000000000f00\","
		"\"core\":1,\"repeated\":7,\"message\":\"it rains\"}");
}

static const struct {
	const char *text, *as_text, *as_json;
} hostile[] = {
	{"two\nlines\r\t", "two\\nlines\\r\\t", "two\\u000alines\\u000d\\u0009"},
	{"\x1b[31mred\x7f", "\\x1b[31mred\\x7f", "\\u001b[31mred\\u007f"},
	{"\"quoted\" \\", "\"quoted\" \\\\", "\\\"quoted\\\" \\\\"},
	{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xba",
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xba",
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xba"},
	{"\xc2\x9b c1", "\\xc2\\x9b c1", "\\u009b c1"},
	{"\xe2\x80\xa8\xe2\x80\xae", "\\xe2\\x80\\xa8\\xe2\\x80\\xae", "\\u2028\\u202e"},
	{"\xff\xc3(", "\\xff\\xc3(", "\xef\xbf\xbd\xef\xbf\xbd("},
	{"\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80",
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	{"cut \xe2\x82", "cut \\xe2\\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
};

/* Whoever made the text: one line, of UTF-8 without control characters, and JSON is JSON. */
static void test_hostile(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
		struct tela_log_line l = line_of(hostile[i].text);
		const char *line = shown(LOG_TEXT, false, &l, 0);
		json_t *parsed;

		assert_string_equal(strstr(line, "warn: ") + 6, hostile[i].as_text);
		l.service = l.method = l.plugin = hostile[i].text;
		line = shown(LOG_JSON, false, &l, 0);
		assert_non_null(strstr(line, hostile[i].as_json));
		parsed = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(parsed);
		assert_int_equal(json_object_size(parsed), 7);
		json_decref(parsed);
	}
}

/* The longest of all, of what takes most room. */
static void test_longest(void **state)
{
	char name[300], text[3000];
	struct tela_log_line l = line_of("");
	json_t *parsed;

	(void)state;
	memset(name, 1, sizeof(name));
	memset(text, 1, sizeof(text));
	name[sizeof(name) - 1] = 0;
	l.service = l.plugin = l.method = name;
	l.text = text;
	l.text_len = sizeof(text);
	l.trace[0] = l.trace[1] = l.span = l.at_ns = UINT64_MAX;
	l.core = 63;
	parsed = json_loads(shown(LOG_JSON, false, &l, UINT32_MAX), 0, NULL);
	assert_non_null(parsed);
	assert_int_equal(json_string_length(json_object_get(parsed, "message")), LOG_LINE_TEXT);
	json_decref(parsed);
	shown(LOG_TEXT, false, &l, UINT32_MAX);
}

/* ---- lines of services ---- */

static uint64_t wolves;

static void howl(const char *service, uint64_t place, int n)
{
	struct tela_log_line l = line_of("wolf number 1");

	l.service = service;
	l.place = place;
	for (int i = 0; i < n; i++)
		log_line(&l);
	wolves += (uint64_t)n;
}

/* Each place of each service has its own hundred a second, whatever the others say. */
static void test_services_apart(void **state)
{
	unsigned written, counted, others, before;

	(void)state;
	wolves = 0;
	log_set_level(TELA_LOG_ERROR); /* the node's own: no matter here */
	howl("a.A", 1, 5000);
	count(&before, &counted, &others);
	assert_in_range(before, LOG_LINES_A_SECOND, 4000);
	howl("b.B", 1, 50);
	howl("a.A", 2, 50);
	count(&written, &counted, &others);
	assert_true(written >= before + 100);
	log_set_level(TELA_LOG_INFO);
	log_tick(true);
	count(&written, &counted, &others);
	assert_int_equal(written + counted, wolves);
}

/* A thousand places in a second: they share what there is, and nothing is lost. */
static void test_many_places(void **state)
{
	unsigned written, counted, others;

	(void)state;
	wolves = 0;
	for (uint64_t i = 0; i < 1000; i++)
		howl("c.C", 1000 + i * 977, 5);
	log_tick(true);
	count(&written, &counted, &others);
	assert_int_equal(written + counted, wolves);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_longest),
		cmocka_unit_test_setup_teardown(test_services_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_repeats, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_places, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

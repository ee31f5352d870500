/* telactl_trace.c - a trace as a tree of its spans. */
#include "telactl.h"

#include "../dataplane/base.h"

#include <time.h>

enum { LABEL_MAX = 240, PREFIX_MAX = 160 };

const char trace_also_help[] = "    also         text    admin sockets of other nodes, with commas "
			       "between: their spans as "
			       "well\n";

struct line {
	const json_t *span;
	char label[LABEL_MAX];
};

struct tree {
	const json_t *spans;
	bool *printed;
	struct line *lines;
	size_t n_lines;
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* "850 ns", "12.3 us", "1.204 ms", "2.500 s". */
static void duration(json_int_t ns, char *to, size_t size)
{
	if (ns < 1000)
		snprintf(to, size, "%lld ns", (long long)ns);
	else if (ns < 1000000)
		snprintf(to, size, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(to, size, "%.3f ms", (double)ns / 1e6);
	else
		snprintf(to, size, "%.3f s", (double)ns / 1e9);
}

static bool is_below(const json_t *span, const char *id)
{
	return *text(span, "above") && !strcmp(text(span, "above"), id);
}

static bool is_top(const struct tree *t, const json_t *span)
{
	const json_t *other;
	size_t i;

	json_array_foreach(
		t->spans, i, other) if (is_below(span, text(other, "span"))) return false;
	return true;
}

static void add(struct tree *t, size_t at, const char *prefix, const char *branch);

/* The spans below one, each with the line that leads to it. */
static void add_below(struct tree *t, const char *id, const char *prefix)
{
	const json_t *span;
	size_t i, last = SIZE_MAX;

	json_array_foreach(t->spans, i, span) if (is_below(span, id) && !t->printed[i]) last = i;
	for (i = 0; last != SIZE_MAX && i <= last; i++) {
		span = json_array_get(t->spans, i);
		if (is_below(span, id) && !t->printed[i])
			add(t, i, prefix, i == last ? "`- " : "|- ");
	}
}

/* A tree deeper than the prefix is wide is drawn flat from there. */
static void add(struct tree *t, size_t at, const char *prefix, const char *branch)
{
	const json_t *span = json_array_get(t->spans, at);
	struct line *l = &t->lines[t->n_lines++];
	char below[PREFIX_MAX];

	t->printed[at] = true;
	l->span = span;
	snprintf(l->label, sizeof(l->label), "%s%s%s %.60s", prefix, branch, text(span, "kind"),
		text(span, "name"));
	snprintf(below, sizeof(below), "%s%s", prefix,
		!*branch         ? ""
		: *branch == '|' ? "|  "
				 : "   ");
	add_below(t, text(span, "span"), strlen(below) < PREFIX_MAX - 4 ? below : prefix);
}

static void print_details(const json_t *span, int width)
{
	static const char *const what[] = {"event", "attribute", "error"};
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(span, "details"), i, d)
	{
		char at[32] = "";

		for (size_t k = 0; k < ARRAY_SIZE(what); k++) {
			const char *value = text(d, k == 0 ? "text" : "value");

			if (!json_object_get(d, what[k]))
				continue;
			if (k != 1)
				duration(number(d, "at_ns") - number(span, "began_ns"), at,
					sizeof(at));
			printf("%*s  %s %s%s%s%s%s\n", width + 13, "", what[k], text(d, what[k]),
				*value ? "=" : "", value, *at ? " after " : "", at);
		}
	}
}

static void print_line(const struct line *l, int width)
{
	char took[32] = "open";
	const char *status = text(l->span, "status");

	if (json_object_get(l->span, "took_ns"))
		duration(number(l->span, "took_ns"), took, sizeof(took));
	printf("%-*s %12s  %s%s%s%s\n", width, l->label, took, text(l->span, "node"),
		*status ? "  " : "", status,
		json_is_true(json_object_get(l->span, "error")) && !*status ? "  failed" : "");
	print_details(l->span, width);
}

static void print_head(const json_t *reply, const json_t *spans)
{
	time_t began = (time_t)(number(json_array_get(spans, 0), "began_ns") / 1000000000);
	const json_t *span;
	size_t i, errors = 0;
	char when[32];
	struct tm tm;

	json_array_foreach(spans, i, span) errors += json_is_true(json_object_get(span, "error"));
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime_r(&began, &tm));
	printf("trace %s, %s: %zu span%s, %zu failed\n", text(reply, "trace"), when,
		json_array_size(spans), json_array_size(spans) == 1 ? "" : "s", errors);
}

void print_trace(const json_t *reply)
{
	const json_t *spans = json_object_get(reply, "spans");
	size_t n = json_array_size(spans);
	struct tree t = {.spans = spans};
	int width = 0;

	t.printed = calloc(n + 1, sizeof(*t.printed));
	t.lines = calloc(n + 1, sizeof(*t.lines));
	CHECK(t.printed && t.lines);
	for (size_t i = 0; i < n; i++)
		if (is_top(&t, json_array_get(spans, i)))
			add(&t, i, "", "");
	for (size_t i = 0; i < n; i++) /* in a ring, as no honest node says it */
		if (!t.printed[i])
			add(&t, i, "", "");
	for (size_t i = 0; i < t.n_lines; i++)
		width = (int)strlen(t.lines[i].label) > width ? (int)strlen(t.lines[i].label)
							      : width;
	print_head(reply, spans);
	for (size_t i = 0; i < t.n_lines; i++)
		print_line(&t.lines[i], width);
	free(t.printed);
	free(t.lines);
}

/* ---- several nodes ---- */

const char *trace_take_also(char **words, int *n)
{
	const char *also = NULL;

	for (int i = 1; !also && i < *n; i++) {
		int taken = 0;

		if (!strncmp(words[i], "also=", 5) || !strncmp(words[i], "--also=", 7))
			also = strchr(words[i], '=') + 1, taken = 1;
		else if (!strcmp(words[i], "--also") && i + 1 < *n)
			also = words[i + 1], taken = 2;
		memmove(words + i, words + i + taken, (size_t)(*n - i - taken) * sizeof(*words));
		*n -= taken;
	}
	return also;
}

static int by_beginning(const void *a, const void *b)
{
	json_int_t x = number(*(json_t *const *)a, "began_ns");
	json_int_t y = number(*(json_t *const *)b, "began_ns");

	return (x > y) - (x < y);
}

void trace_merge(json_t *reply, const json_t *other)
{
	json_t *spans = json_object_get(reply, "spans"), *sorted = json_array();
	const json_t *more = json_object_get(other, "spans");
	size_t n = json_array_size(spans), m = json_array_size(more);
	json_t **all = calloc(n + m + 1, sizeof(*all));

	CHECK(all);
	for (size_t i = 0; i < n + m; i++)
		all[i] = i < n ? json_array_get(spans, i) : json_array_get(more, i - n);
	qsort(all, n + m, sizeof(*all), by_beginning);
	for (size_t i = 0; i < n + m; i++)
		json_array_append(sorted, all[i]);
	free(all);
	json_object_set_new(reply, "spans", sorted);
}

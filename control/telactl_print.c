#include "telactl.h"

#include "../dataplane/base.h"

#include <time.h>

enum { COLUMNS_MAX = 32, CELL_MAX = 256, LINE_MAX_COLUMNS = 132 };

/* C0, DEL, and C1 as UTF-8 has it. */
static bool is_control(const unsigned char *s)
{
	return *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0);
}

/* A copy that a terminal obeys nothing in; NULL: it is so already. `lines`: it may have several. */
static char *clean(const char *text, bool lines)
{
	char *copy = strdup(text);
	bool any = false;

	CHECK(copy);
	for (char *s = copy; *s; s++) {
		if (!is_control((unsigned char *)s) || (lines && *s == '\n'))
			continue;
		if ((unsigned char)*s == 0xc2)
			*s++ = '?';
		*s = '?';
		any = true;
	}
	if (any)
		return copy;
	free(copy);
	return NULL;
}

static void string_clean(json_t *string, bool lines)
{
	char *copy = clean(json_string_value(string), lines);

	if (copy)
		json_string_set(string, copy);
	free(copy);
}

/* Some are a peer's or a plugin's: of configuration, metadata, what a status says. */
static void keys_clean(json_t *object)
{
	const char *key;
	json_t *item;
	void *next;

	json_object_foreach_safe(object, next, key, item)
	{
		char *copy = clean(key, false);

		if (copy) {
			json_object_set(object, copy, item);
			json_object_del(object, key);
		}
		free(copy);
	}
}

void reply_clean(json_t *v)
{
	json_t *item, *message = json_object_get(json_object_get(v, "error"), "message");
	const char *key;
	size_t i;

	if (json_is_string(message)) { /* what is wrong with a file */
		string_clean(message, true);
		return;
	}
	if (json_is_string(v))
		string_clean(v, false);
	keys_clean(v);
	json_object_foreach(v, key, item) reply_clean(item);
	json_array_foreach(v, i, item) reply_clean(item);
}

/* `n` bytes would have been written to `to`: what is cut says so. */
static void mark_cut(char *to, size_t size, size_t n)
{
	char *end = to + size - 4;

	if (n < size || size <= 4)
		return;
	while (end > to && (*end & 0xc0) == 0x80) /* not in the middle of a character */
		end--;
	strcpy(end, "...");
}

/* "2026-11-21 21:47:26", UTC; "" for none. */
static void print_time(char *to, size_t size, time_t t)
{
	struct tm tm;

	*to = 0;
	if (t && gmtime_r(&t, &tm))
		strftime(to, size, "%Y-%m-%d %H:%M:%S", &tm);
}

/* Moments, known by their names. False: it is none. */
static bool moment(const char *key, const json_t *v, char *to, size_t size)
{
	size_t n = strlen(key);
	bool ns = !strcmp(key, "began_ns");

	if (!json_is_integer(v) ||
		(!ns && strcmp(key, "since") && (n < 3 || strcmp(key + n - 3, "_at"))))
		return false;
	print_time(to, size, (time_t)(json_integer_value(v) / (ns ? 1000000000 : 1)));
	return true;
}

/* "a,b" of a list of texts. */
static bool list(const json_t *v, char *to, size_t size)
{
	const json_t *item;
	size_t n = 0, i;

	*to = 0;
	json_array_foreach(v, i, item)
	{
		if (!json_is_string(item))
			return false;
		if (n < size)
			n += (size_t)snprintf(
				to + n, size - n, "%s%s", i ? "," : "", json_string_value(item));
	}
	mark_cut(to, size, n);
	return json_is_array(v);
}

/* What stands in a cell. Returns false for what is not to be shown in one (lists). */
static bool cell(const json_t *v, char *to, size_t size)
{
	const char *key;
	json_t *item;
	size_t n = 0;

	*to = 0;
	switch (json_typeof(v)) {
	case JSON_STRING:
		mark_cut(to, size, (size_t)snprintf(to, size, "%s", json_string_value(v)));
		break;
	case JSON_INTEGER:
		snprintf(to, size, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		snprintf(to, size, "%.1f", json_real_value(v));
		break;
	case JSON_TRUE:
		snprintf(to, size, "yes");
		break;
	case JSON_FALSE:
		snprintf(to, size, "no");
		break;
	case JSON_NULL:
		break;
	case JSON_OBJECT:
		json_object_foreach((json_t *)v, key, item)
		{
			char text[CELL_MAX];

			if (n < size && !json_is_null(item) &&
				(cell(item, text, sizeof(text)) || list(item, text, sizeof(text))))
				n += (size_t)snprintf(
					to + n, size - n, "%s%s=%s", n ? " " : "", key, text);
		}
		mark_cut(to, size, n);
		break;
	default:
		return false;
	}
	return true;
}

static bool is_right_aligned(const json_t *v)
{
	return json_is_number(v);
}

struct table {
	const char *names[COLUMNS_MAX];
	int width[COLUMNS_MAX];
	bool quiet[COLUMNS_MAX]; /* 0 or no in every row */
	int n;
};

static bool cell_of(const char *key, const json_t *v, char *to, size_t size)
{
	return moment(key, v, to, size) || cell(v, to, size);
}

/* One line of a terminal has no room for them all: those that say nothing go. */
static void leave_out_quiet(struct table *t)
{
	int total = 0, n = 0;

	for (int c = 0; c < t->n; c++)
		total += t->width[c] + 2;
	if (total <= LINE_MAX_COLUMNS)
		return;
	for (int c = 0; c < t->n; c++) {
		if (t->quiet[c])
			continue;
		t->names[n] = t->names[c];
		t->width[n++] = t->width[c];
	}
	t->n = n;
}

/* Columns are the keys of the first row; one that is empty in every row is left out. */
static void measure(const json_t *rows, struct table *t)
{
	const char *key;
	char text[CELL_MAX];
	json_t *v, *row;
	size_t i;

	t->n = 0;
	json_object_foreach(json_array_get(rows, 0), key, v)
	{
		int widest = 0;
		bool quiet = true;

		json_array_foreach(rows, i, row)
		{
			const json_t *c = json_object_get(row, key);

			if (!c || !cell_of(key, c, text, sizeof(text)))
				continue;
			quiet = quiet && (!*text || json_is_false(c) ||
						 (json_is_integer(c) && !json_integer_value(c)));
			if ((int)strlen(text) > widest)
				widest = (int)strlen(text);
		}
		if (!widest || t->n == COLUMNS_MAX)
			continue;
		t->names[t->n] = key;
		t->quiet[t->n] = quiet;
		t->width[t->n++] = widest > (int)strlen(key) ? widest : (int)strlen(key);
	}
	leave_out_quiet(t);
}

static void print_row(const struct table *t, const json_t *row)
{
	char text[CELL_MAX];

	for (int c = 0; c < t->n; c++) {
		const json_t *v = json_object_get(row, t->names[c]);
		bool last = c == t->n - 1;

		text[0] = 0;
		if (last && json_is_string(v)) { /* it disturbs nobody, however long it is */
			printf("%s", json_string_value(v));
			continue;
		}
		if (v)
			cell_of(t->names[c], v, text, sizeof(text));
		if (is_right_aligned(v))
			printf("%*s%s", t->width[c], text, last ? "" : "  ");
		else
			printf("%-*s%s", last ? 0 : t->width[c], text, last ? "" : "  ");
	}
	printf("\n");
}

static void print_table(const json_t *rows)
{
	struct table t;
	json_t *row;
	size_t i;

	measure(rows, &t);
	for (int c = 0; c < t.n; c++) {
		const json_t *v = json_object_get(json_array_get(rows, 0), t.names[c]);
		bool last = c == t.n - 1;

		printf(is_right_aligned(v) ? "%*s%s" : "%-*s%s",
			last && !is_right_aligned(v) ? 0 : t.width[c], t.names[c],
			last ? "" : "  ");
	}
	printf("\n");
	json_array_foreach(rows, i, row) print_row(&t, row);
}

/* Single values first, then every list as a table of its own. */
void print_reply(const json_t *reply)
{
	static const char *const hidden[] = {"ok", "id", NULL};
	char text[1 << 16];
	const char *key;
	bool above = false;
	int widest = 12;
	json_t *v;

	json_object_foreach((json_t *)reply, key,
		v) if (!json_is_array(v) && (int)strlen(key) > widest) widest = (int)strlen(key);
	json_object_foreach((json_t *)reply, key, v)
	{
		if (!strcmp(key, hidden[0]) || !strcmp(key, hidden[1]) || json_is_null(v) ||
			!cell_of(key, v, text, sizeof(text)))
			continue;
		printf("%-*s %s\n", widest, key, json_is_string(v) ? json_string_value(v) : text);
		above = true;
	}
	json_object_foreach((json_t *)reply, key, v)
	{
		if (!json_is_array(v))
			continue;
		if (above)
			printf("\n");
		above = true;
		if (json_array_size(v))
			print_table(v);
		else
			printf("no %s\n", key);
	}
}

/* ---- progress ---- */

static long long number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* "3 calls left (1 with workers)" */
static void print_left(const json_t *o)
{
	long long n = number_of(o, "in_flight"), working = number_of(o, "working");

	printf("%lld call%s left", n, n == 1 ? "" : "s");
	if (working)
		printf(" (%lld with workers)", working);
}

void print_progress(const json_t *line)
{
	const json_t *list = json_object_get(line, "services"), *s;
	size_t i;

	printf("%s: ", json_string_value(json_object_get(line, list ? "node" : "service")));
	print_left(line);
	printf(", %.1f s", (double)number_of(line, "left_ms") / 1e3);
	if (!list)
		printf("; waits for %s", json_string_value(json_object_get(line, "waits_for")));
	json_array_foreach(list, i, s)
	{
		printf("; %s waits for %s: ", json_string_value(json_object_get(s, "service")),
			json_string_value(json_object_get(s, "waits_for")));
		print_left(s);
	}
	printf("\n");
}

/* ---- help ---- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* "chain.add" as it is typed. */
static void print_name(const json_t *command)
{
	for (const char *c = text_of(command, "command"); *c; c++)
		putchar(*c == '.' ? ' ' : *c);
}

static void print_synopsis(const json_t *command)
{
	const json_t *a;
	size_t i;

	print_name(command);
	json_array_foreach(json_object_get(command, "arguments"), i, a)
	{
		const char *name = text_of(a, "name");

		if (!strcmp(text_of(a, "kind"), "config"))
			printf(" [key=value ...]");
		else if (json_is_true(json_object_get(a, "required")) &&
			 json_is_true(json_object_get(a, "positional")))
			printf(" %s", name);
		else if (json_is_true(json_object_get(a, "required")))
			printf(" %s=...", name);
		else if (json_is_true(json_object_get(a, "positional")))
			printf(" [%s]", name);
		else if (!strcmp(text_of(a, "kind"), "flag"))
			printf(" [--%s]", name);
		else
			printf(" [%s=...]", name);
	}
	printf("\n");
}

void print_help(const json_t *command)
{
	const json_t *a;
	size_t i;

	printf("telactl ");
	print_synopsis(command);
	printf("  %s\n", text_of(command, "help"));
	json_array_foreach(json_object_get(command, "arguments"), i, a) printf(
		"    %-12s %-7s %s\n", text_of(a, "name"), text_of(a, "kind"), text_of(a, "help"));
	if (*text_of(command, "example")) {
		printf("  for example: telactl ");
		print_name(command);
		printf(" %s\n", text_of(command, "example"));
	}
}

void print_commands(const json_t *commands)
{
	const json_t *c;
	size_t i;

	json_array_foreach(commands, i, c)
	{
		char name[64];

		snprintf(name, sizeof(name), "%s", text_of(c, "command"));
		for (char *p = name; *p; p++)
			if (*p == '.')
				*p = ' ';
		printf("  %-16s %s\n", name, text_of(c, "help"));
	}
}

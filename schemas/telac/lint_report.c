/* lint_report.c - what lint found, for people and for programs. */
#include "lint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { METHODS_SHOWN = 2 };

/* Nothing of a schema or a path moves the cursor of a terminal. */
static void put_plain(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			printf("\\x%02x", (unsigned char)*text);
		else
			putchar(*text);
	}
}

static const char *verdict(bool breaking)
{
	return breaking ? "breaking" : "compatible";
}

static const char *service_verdict(const struct lint_service *v)
{
	if (!v->old_hash)
		return "added";
	if (!v->breaking && v->old_hash == v->new_hash)
		return "same hash";
	return verdict(v->breaking);
}

static int longer(int a, const char *text)
{
	return (int)strlen(text) > a ? (int)strlen(text) : a;
}

static void print_hash(uint64_t hash)
{
	if (hash)
		printf("0x%016" PRIx64 "  ", hash);
	else
		printf("%-18s  ", "-");
}

static void print_services(const struct lint *l)
{
	int width = longer(0, "SERVICE");
	size_t i;

	for (i = 0; i < l->n_services; i++)
		width = longer(width, l->services[i].name);
	printf("%-*s  %-18s  %-18s  VERDICT\n", width, "SERVICE", "OLD HASH", "NEW HASH");
	for (i = 0; i < l->n_services; i++) {
		printf("%-*s  ", width, l->services[i].name);
		print_hash(l->services[i].old_hash);
		print_hash(l->services[i].new_hash);
		puts(service_verdict(&l->services[i]));
	}
	putchar('\n');
}

static void print_lines(const struct lint *l, bool breaking)
{
	int width = longer(0, "NAME");
	size_t i, k;

	for (i = 0; i < l->n_lines; i++)
		width = longer(width, l->lines[i].name);
	for (i = 0; i < l->n_lines; i++) {
		const struct lint_line *line = &l->lines[i];

		if (line->breaking != breaking)
			continue;
		printf("%-10s  %-7s  %-*s  ", verdict(breaking), line->kind, width, line->name);
		put_plain(line->text);
		for (k = 0; k < line->n_methods && k < METHODS_SHOWN; k++)
			printf("%s%s", k ? ", " : "  [in ", line->methods[k]);
		if (line->n_methods > METHODS_SHOWN)
			printf(" and %zu more", line->n_methods - METHODS_SHOWN);
		puts(line->n_methods ? "]" : "");
	}
}

void lint_print(const struct lint *l, const char *old_path, const char *new_path)
{
	if (l->n_lines) {
		print_lines(l, true);
		print_lines(l, false);
		putchar('\n');
	}
	if (l->n_services)
		print_services(l);
	put_plain(new_path);
	printf(" %s be deployed beside ", l->breaking ? "can NOT" : "can");
	put_plain(old_path);
	putchar('\n');
}

/* ---- JSON ---- */

/* Bytes of the UTF-8 sequence at `s`, 0 if it is none. */
static int utf8_length(const unsigned char *s)
{
	const int n = *s >= 0xf0 ? 4 : (*s >= 0xe0 ? 3 : 2);
	int i;

	if (*s < 0xc2 || *s > 0xf4)
		return 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
		(*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void put_json(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	putchar('"');
	while (*s) {
		const int n = *s < 0x80 ? 1 : utf8_length(s);

		if (!n)
			fputs("\\ufffd", stdout);
		else if (*s < ' ' || *s == '"' || *s == '\\')
			printf("\\u%04x", *s);
		else
			fwrite(s, 1, (size_t)n, stdout);
		s += n ? n : 1;
	}
	putchar('"');
}

static void json_pair(const char *before, const char *key, const char *value)
{
	printf("%s\"%s\": ", before, key);
	put_json(value);
}

static void json_hash(const char *key, uint64_t hash)
{
	printf(", \"%s\": ", key);
	if (hash)
		printf("\"0x%016" PRIx64 "\"", hash);
	else
		fputs("null", stdout);
}

static void json_line(const struct lint_line *line)
{
	size_t k;

	json_pair("{", "verdict", verdict(line->breaking));
	json_pair(", ", "kind", line->kind);
	json_pair(", ", "name", line->name);
	json_pair(", ", "change", line->text);
	fputs(", \"methods\": [", stdout);
	for (k = 0; k < line->n_methods; k++) {
		fputs(k ? ", " : "", stdout);
		put_json(line->methods[k]);
	}
	fputs("]}", stdout);
}

void lint_print_json(const struct lint *l, const char *old_path, const char *new_path)
{
	size_t i;

	printf("{\"compatible\": %s,\n", l->breaking ? "false" : "true");
	json_pair(" ", "old", old_path);
	json_pair(",\n ", "new", new_path);
	fputs(",\n \"services\": [", stdout);
	for (i = 0; i < l->n_services; i++) {
		json_pair(i ? ",\n  {" : "\n  {", "name", l->services[i].name);
		json_hash("old_hash", l->services[i].old_hash);
		json_hash("new_hash", l->services[i].new_hash);
		json_pair(", ", "verdict", service_verdict(&l->services[i]));
		putchar('}');
	}
	fputs("],\n \"changes\": [", stdout);
	for (i = 0; i < l->n_lines; i++) {
		fputs(i ? ",\n  " : "\n  ", stdout);
		json_line(&l->lines[i]);
	}
	puts("]}");
}

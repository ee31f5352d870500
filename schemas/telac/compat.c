/* compat.c - see compat.h. */
#include "compat.h"
#include "load.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 1024, BYTES_MAX = 1 << 20 };

/* ---- reading ---- */

struct reader {
	struct compat *c;
	char *at; /* the line, its end a 0 */
	unsigned line;
	const char *above; /* what stands there since the last entry, in a copy without 0s */
	const char *here;  /* the line in that copy */
};

static int refuse(const struct reader *r, const char *why)
{
	fprintf(stderr, "telac: %s:%u: %s\n", r->c->path, r->line, why);
	return -EBADMSG;
}

static char *skip_blanks(char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* The next word, ended by a 0; NULL if there is none before a comment. */
static char *word(struct reader *r)
{
	char *p = skip_blanks(r->at), *end = p;

	while (*end && *end != ' ' && *end != '\t' && *end != '#')
		end++;
	if (end == p)
		return NULL;
	r->at = *end ? end + 1 : end;
	if (*end == '#')
		r->at = NULL; /* a comment that touches a word is part of a mistake */
	*end = 0;
	return r->at ? p : NULL;
}

static bool is_service(const char *name)
{
	bool start = true;

	for (; *name; name++) {
		if (start ? !isalpha((unsigned char)*name) && *name != '_'
			  : !isalnum((unsigned char)*name) && *name != '_' && *name != '.')
			return false;
		start = *name == '.';
	}
	return !start;
}

static bool read_hash(const char *text, uint64_t *ret)
{
	if (!text || strlen(text) != 18 || strncmp(text, "0x", 2) ||
		strspn(text + 2, "0123456789abcdef") != 16)
		return false;
	*ret = strtoull(text, NULL, 16);
	return *ret;
}

/* Of what stands above the first entry, all that a blank line parts from it is about the file. */
static void split_head(const struct reader *r, struct compat_line *e)
{
	const char *p = r->here;

	while (p > r->above && !(p[-1] == '\n' && (p - 1 == r->above || p[-2] == '\n')))
		p--;
	r->c->head = schema_format(r->c->memory, "%.*s", (int)(p - r->above), r->above);
	e->above = schema_format(r->c->memory, "%.*s", (int)(r->here - p), p);
}

static int read_entry(struct reader *r)
{
	const char wanted[] = "not a line of SERVICE 0xNEWER 0xOLDER, with 16 digits each";
	struct compat *c = r->c;
	struct compat_line e = {.line = r->line};
	const char *newer, *older;
	size_t i;

	e.service = word(r);
	newer = e.service ? word(r) : NULL;
	older = newer ? word(r) : NULL;
	if (!older || !is_service(e.service) || !read_hash(newer, &e.newer) ||
		!read_hash(older, &e.older))
		return refuse(r, wanted);
	e.note = skip_blanks(r->at);
	if (*e.note && *e.note != '#')
		return refuse(r, wanted);
	if (e.newer == e.older)
		return refuse(r, "a version is not earlier than itself");
	for (i = 0; i < c->n; i++) {
		if (c->at[i].newer == e.newer && c->at[i].older == e.older &&
			!strcmp(c->at[i].service, e.service))
			return refuse(r, schema_format(c->memory, "says the same as line %u",
						 c->at[i].line));
	}
	if (c->n == LINES_MAX)
		return refuse(r, "more than 1024 versions: drop those that are no longer deployed");
	if (c->n)
		e.above = schema_format(c->memory, "%.*s", (int)(r->here - r->above), r->above);
	else
		split_head(r, &e);
	c->at[c->n++] = e;
	return 0;
}

static int read_lines(struct compat *c, char *text)
{
	struct reader r = {.c = c};
	const char *start = text, *whole;
	char *limit = text + strlen(text);
	int err = 0;

	whole = r.above = schema_format(c->memory, "%s", text);
	while (text < limit && !err) {
		char *end = memchr(text, '\n', (size_t)(limit - text));

		r.line++;
		r.at = text;
		r.here = whole + (text - start);
		if (end)
			*end = 0;
		text = end ? end + 1 : limit;
		if (*r.at && r.at[strlen(r.at) - 1] == '\r')
			return refuse(&r, "ends in a carriage return");
		if (*skip_blanks(r.at) && *skip_blanks(r.at) != '#') {
			err = read_entry(&r);
			r.above = whole + (text - start);
		}
	}
	*(c->n ? &c->tail : &c->head) = r.above;
	return err;
}

const char *compat_path(struct schema *memory, const char *schema)
{
	const char *slash = strrchr(schema, '/');

	return schema_format(memory, "%.*s%s.compat", slash ? (int)(slash + 1 - schema) : 0, schema,
		stem_of(memory, schema));
}

int compat_read(struct compat *ret, struct schema *memory, const char *path, bool *ret_exists)
{
	uint8_t *data = NULL;
	size_t len = 0;
	char *text;
	int err;

	*ret = (struct compat){.memory = memory, .path = path, .head = "", .tail = ""};
	ret->at = schema_alloc(memory, LINES_MAX, sizeof(*ret->at));
	err = read_file(path, BYTES_MAX, &data, &len);
	*ret_exists = err != -ENOENT;
	if (err == -ENOENT)
		return 0;
	if (err) {
		fprintf(stderr, "telac: %s: %s\n", path, strerror(-err));
		return err;
	}
	text = schema_format(memory, "%.*s", (int)len, (const char *)data);
	if (strlen(text) != len) {
		free(data);
		fprintf(stderr, "telac: %s: is no text\n", path);
		return -EBADMSG;
	}
	free(data);
	return read_lines(ret, text);
}

/* ---- adding ---- */

static bool is_there(const struct compat *c, const struct compat_line *line)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		if (c->at[i].newer == line->newer && c->at[i].older == line->older &&
			!strcmp(c->at[i].service, line->service))
			return true;
	}
	return false;
}

int compat_add(struct compat *c, const struct compat_line *line)
{
	if (is_there(c, line))
		return 0;
	if (c->n == LINES_MAX) {
		fprintf(stderr,
			"telac: %s: has 1024 versions already: drop those that are no longer "
			"deployed\n",
			c->path);
		return -ENOSPC;
	}
	c->at[c->n++] = *line;
	c->n_added++;
	return 0;
}

/* The versions that are compatible with `hash`, itself first, in no order. */
static size_t reach(const struct compat *c, const char *service, uint64_t hash, uint64_t *ret)
{
	size_t n = 0, i, k, at;

	ret[n++] = hash;
	for (at = 0; at < n; at++) { /* n grows meanwhile */
		for (i = 0; i < c->n; i++) {
			if (c->at[i].newer != ret[at] || strcmp(c->at[i].service, service))
				continue;
			for (k = 0; k < n && ret[k] != c->at[i].older; k++)
				;
			if (k == n)
				ret[n++] = c->at[i].older;
		}
	}
	return n;
}

int compat_add_reached(
	struct compat *c, const struct compat *from, const char *service, uint64_t hash)
{
	uint64_t reached[LINES_MAX + 1];
	const size_t n = reach(from, service, hash, reached);
	size_t i, k;
	int err = 0;

	for (i = 0; i < from->n && !err; i++) {
		for (k = 0; k < n && from->at[i].newer != reached[k]; k++)
			;
		if (k < n && !strcmp(from->at[i].service, service))
			err = compat_add(c, &from->at[i]);
	}
	return err;
}

/* ---- writing ---- */

static int by_place(const void *a, const void *b)
{
	const struct compat_line *x = a, *y = b;
	const int order = strcmp(x->service, y->service);

	if (order)
		return order;
	if (x->newer != y->newer)
		return x->newer < y->newer ? -1 : 1;
	return (x->older > y->older) - (x->older < y->older);
}

/* Comment lines; blank ones part nothing any more. */
static void write_comments(FILE *f, const char *text)
{
	while (*text) {
		const size_t len = strcspn(text, "\n");

		if (strspn(text, " \t") < len)
			fprintf(f, "%.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

int compat_write(const struct compat *c)
{
	const char *fresh = schema_format(c->memory, "%s.new", c->path);
	FILE *f = fopen(fresh, "w");
	bool failed = !f;
	size_t i;

	qsort(c->at, c->n, sizeof(*c->at), by_place);
	if (f) {
		const size_t len = strlen(c->head);

		fputs(c->head, f);
		if (len && c->head[len - 1] != '\n')
			fputc('\n', f);
		if (len && c->n && !(len > 1 && c->head[len - 2] == '\n'))
			fputc('\n', f);
		for (i = 0; i < c->n; i++) {
			const struct compat_line *e = &c->at[i];

			write_comments(f, e->above);
			fprintf(f, "%s 0x%016" PRIx64 " 0x%016" PRIx64 "%s%s\n", e->service,
				e->newer, e->older, *e->note ? "  " : "", e->note);
		}
		write_comments(f, c->tail);
		failed = ferror(f);
		failed = fclose(f) || failed || rename(fresh, c->path);
	}
	if (!failed)
		return 0;
	fprintf(stderr, "telac: %s: %s\n", c->path, strerror(errno));
	remove(fresh);
	return -EIO;
}

/* ---- for generating ---- */

static int by_hash(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int assign(const struct compat *c, struct schema *s, struct service *v)
{
	uint64_t *hashes = schema_alloc(s, c->n + 1, sizeof(*hashes));
	bool mentioned = false, known = false;
	unsigned line = 0;
	size_t i;

	for (i = 0; i < c->n; i++) {
		if (strcmp(c->at[i].service, v->name))
			continue;
		mentioned = true;
		line = c->at[i].line;
		known = known || c->at[i].newer == v->hash || c->at[i].older == v->hash;
	}
	if (mentioned && !known) {
		fprintf(stderr,
			"telac: %s:%u: %s is now 0x%016" PRIx64 ", which no line knows: run `telac "
			"lint --record OLD NEW`,\n\tor take its lines out if earlier versions are "
			"to be refused\n",
			c->path, line, v->name, v->hash);
		return -EBADMSG;
	}
	v->n_compatible = reach(c, v->name, v->hash, hashes) - 1;
	v->compatible = hashes + 1;
	qsort(hashes + 1, v->n_compatible, sizeof(*hashes), by_hash);
	return 0;
}

int compat_assign(const struct compat *c, struct schema *s)
{
	size_t i, k;
	int err = 0;

	for (i = 0; i < c->n && !err; i++) {
		for (k = 0; k < s->n_services; k++) {
			if (!strcmp(s->services[k].name, c->at[i].service))
				break;
		}
		if (k == s->n_services) {
			fprintf(stderr, "telac: %s:%u: %s has no service %s\n", c->path,
				c->at[i].line, s->file, c->at[i].service);
			err = -EBADMSG;
		}
	}
	for (k = 0; k < s->n_services && !err; k++)
		err = assign(c, s, &s->services[k]);
	return err;
}

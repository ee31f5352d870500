#include "conf_table.h"

#include "../dataplane/base.h"

#include <ctype.h>
#include <stdarg.h>
#include <yaml.h>

struct conf_chunk {
	struct conf_chunk *next;
};

/* One reading: the document, where we are in it, and how many errors it had. */
struct reader {
	struct conf *conf;
	yaml_document_t *doc;
	conf_report_fn report;
	void *arg;
	uint32_t n_errors;
	char path[256]; /* "ports[0].mtu" */
};

void *conf_alloc(struct conf *c, size_t size)
{
	struct conf_chunk *chunk = calloc(1, sizeof(*chunk) + size);

	CHECK(chunk); /* a configuration is small and read once, at start */
	chunk->next = c->chunks;
	c->chunks = chunk;
	return chunk + 1;
}

char *conf_copy(struct conf *c, const char *text, size_t len)
{
	char *copy = conf_alloc(c, len + 1);

	memcpy(copy, text, len);
	return copy;
}

void conf_free(struct conf *c)
{
	struct conf_chunk *chunk, *next;

	if (!c)
		return;
	for (chunk = c->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(c);
}

int conf_where(const struct conf *c, uint32_t line, char *ret, size_t size)
{
	return snprintf(ret, size, "%s:%u: ", c->file, line);
}

/* ---- errors ---- */

static void complain_at(struct reader *r, size_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void complain_at(struct reader *r, size_t line, const char *format, ...)
{
	char text[768];
	va_list args;
	int n;

	if (r->n_errors++ >= CONF_ERRORS_MAX)
		return;
	n = snprintf(text, sizeof(text), "%s:%zu: %s%s", r->conf->file, line, r->path, *r->path ? ": " : "");
	va_start(args, format);
	if (n < (int)sizeof(text))
		vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	r->report(r->arg, text);
}

static size_t line_of(const yaml_node_t *n)
{
	return n->start_mark.line + 1;
}

/* What stands there, to show in an error: a scalar in quotes, the kind of anything else. */
static const char *found(const yaml_node_t *n, char *text, size_t size)
{
	if (n->type == YAML_MAPPING_NODE)
		return "a mapping";
	if (n->type == YAML_SEQUENCE_NODE)
		return "a list";
	if (!n->data.scalar.length)
		return "nothing";
	snprintf(text, size, "'%.*s'", (int)min_u64(n->data.scalar.length, 60), (const char *)n->data.scalar.value);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return text;
}

static void expected(struct reader *r, const yaml_node_t *n, const char *what)
{
	char text[80];

	complain_at(r, line_of(n), "%s, found %s", what, found(n, text, sizeof(text)));
}

/* The path grows by a key or an index while its value is read; returns its length before. */
static size_t enter(struct reader *r, const char *key, int index)
{
	size_t n = strlen(r->path);

	if (key)
		snprintf(r->path + n, sizeof(r->path) - n, "%s%.64s", n ? "." : "", key);
	else
		snprintf(r->path + n, sizeof(r->path) - n, "[%d]", index);
	return n;
}

/* ---- scalars ---- */

static bool read_unsigned(const char *s, uint64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return !*end && !errno;
}

static bool read_ratio(const char *s, double *ret)
{
	char *end;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return false;
	if (strspn(s, "0123456789.eE+-") != strlen(s))
		return false; /* neither hexadecimal nor "nan" */
	*ret = strtod(s, &end);
	return !*end && *ret >= 0 && *ret <= 1;
}

static bool store_number(const struct conf_field *f, void *to, const char *s)
{
	uint64_t v;

	if (!read_unsigned(s, &v) || v < f->min || v > f->max)
		return false;
	switch (f->kind) {
	case CONF_U16:
		*(uint16_t *)to = (uint16_t)v;
		break;
	case CONF_U32:
		*(uint32_t *)to = (uint32_t)v;
		break;
	case CONF_INT:
		*(int *)to = (int)v;
		break;
	default:
		*(uint64_t *)to = v;
	}
	return true;
}

static bool store_choice(const struct conf_field *f, uint32_t *to, const char *s, char *why, size_t size)
{
	size_t n = snprintf(why, size, "expected one of");

	for (uint32_t i = 0; f->choices[i]; i++) {
		if (!strcmp(f->choices[i], s)) {
			*to = i;
			return true;
		}
		n += snprintf(why + n, size - n, "%s %s", i ? "," : "", f->choices[i]);
	}
	return false;
}

/* Stores `s` as the kind of `f` at `to`, or says in `why` what was expected. */
static bool store_scalar(struct reader *r, const struct conf_field *f, void *to, const char *s, char *why, size_t size)
{
	const char *wrong;

	switch (f->kind) {
	case CONF_STRING:
		wrong = f->check ? f->check(s) : NULL;
		if (!wrong)
			*(const char **)to = conf_copy(r->conf, s, strlen(s));
		else
			snprintf(why, size, "%s", wrong);
		return !wrong;
	case CONF_BOOL:
		snprintf(why, size, "expected true or false");
		*(bool *)to = !strcmp(s, "true");
		return *(bool *)to || !strcmp(s, "false");
	case CONF_RATIO:
		snprintf(why, size, "expected a probability, 0.0 to 1.0");
		return read_ratio(s, to);
	case CONF_CHOICE:
		return store_choice(f, to, s, why, size);
	default:
		snprintf(why, size, "expected %llu..%llu", (unsigned long long)f->min, (unsigned long long)f->max);
		return store_number(f, to, s);
	}
}

static const char *scalar_text(const yaml_node_t *n)
{
	const char *s = (const char *)n->data.scalar.value;

	return strlen(s) == n->data.scalar.length ? s : NULL;
}

/* ---- free mappings: the keys of a plugin, flattened with dots ---- */

struct flat {
	struct tela_pair *pairs;
	uint32_t n, room;
	char key[256];
};

static void flatten(struct reader *r, const yaml_node_t *map, struct flat *flat, int depth);

static void flatten_pair(struct reader *r, const yaml_node_t *key, const yaml_node_t *value, struct flat *flat,
	int depth)
{
	size_t path = enter(r, scalar_text(key), 0), len = strlen(flat->key);
	const char *text = scalar_text(key);

	if (len + strlen(text) + 2 > sizeof(flat->key)) {
		complain_at(r, line_of(key), "key of more than 255 characters");
	} else if (value->type == YAML_SEQUENCE_NODE) {
		expected(r, value, "expected a value or a mapping of values");
	} else if (value->type == YAML_MAPPING_NODE) {
		sprintf(flat->key + len, "%s%s", len ? "." : "", text);
		flatten(r, value, flat, depth + 1);
	} else if (!scalar_text(value)) {
		complain_at(r, line_of(value), "a value may not hold a zero byte");
	} else {
		sprintf(flat->key + len, "%s%s", len ? "." : "", text);
		if (flat->n == flat->room) {
			flat->room = flat->room ? 2 * flat->room : 8;
			flat->pairs = realloc(flat->pairs, flat->room * sizeof(*flat->pairs));
			CHECK(flat->pairs);
		}
		flat->pairs[flat->n].key = conf_copy(r->conf, flat->key, strlen(flat->key));
		flat->pairs[flat->n++].value = conf_copy(r->conf, scalar_text(value), value->data.scalar.length);
	}
	flat->key[len] = 0;
	r->path[path] = 0;
}

/* Anchors may make a document endless or exponential: depth and number of pairs are bounded. */
static void flatten(struct reader *r, const yaml_node_t *map, struct flat *flat, int depth)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		const yaml_node_t *value = yaml_document_get_node(r->doc, p->value);

		if (depth >= CONF_DEPTH_MAX || flat->n >= CONF_PAIRS_MAX || r->n_errors > CONF_ERRORS_MAX) {
			complain_at(r, line_of(key), "nested too deeply, or too large");
			return;
		}
		if (key->type != YAML_SCALAR_NODE || !scalar_text(key) || !key->data.scalar.length)
			expected(r, key, "expected a key");
		else
			flatten_pair(r, key, value, flat, depth);
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tela_pair *)a)->key, ((const struct tela_pair *)b)->key);
}

static void read_free(struct reader *r, const yaml_node_t *n, struct tela_plugin_config *to)
{
	struct flat flat = {0};
	struct tela_pair *copy;

	if (n->type == YAML_SCALAR_NODE && !n->data.scalar.length)
		return; /* "config:" with nothing behind it */
	if (n->type != YAML_MAPPING_NODE) {
		expected(r, n, "expected a mapping");
		return;
	}
	flatten(r, n, &flat, 0);
	if (flat.n)
		qsort(flat.pairs, flat.n, sizeof(*flat.pairs), by_key);
	for (uint32_t i = 1; i < flat.n; i++)
		if (!strcmp(flat.pairs[i - 1].key, flat.pairs[i].key))
			complain_at(r, line_of(n), "key '%s' is there twice", flat.pairs[i].key);
	copy = conf_alloc(r->conf, flat.n * sizeof(*copy));
	if (flat.n)
		memcpy(copy, flat.pairs, flat.n * sizeof(*copy));
	free(flat.pairs);
	to->n = flat.n;
	to->pairs = copy;
}

/* ---- mappings and lists ---- */

static void read_map(struct reader *r, const yaml_node_t *n, const struct conf_field *fields, char *base);

/* The node of `key` in a mapping, NULL if there is none. */
static const yaml_node_t *find_value(struct reader *r, const yaml_node_t *map, const char *key)
{
	if (map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *k = yaml_document_get_node(r->doc, p->key);

		if (k->type == YAML_SCALAR_NODE && !strcmp((char *)k->data.scalar.value, key))
			return yaml_document_get_node(r->doc, p->value);
	}
	return NULL;
}

/* Reports every element whose `key` has the value of an earlier one. */
static void refuse_doubles(struct reader *r, const yaml_node_t *list, const char *key)
{
	const yaml_node_item_t *item = list->data.sequence.items.start;
	size_t count = list->data.sequence.items.top - item;
	const yaml_node_t **value = calloc(count + 1, sizeof(*value));

	CHECK(value);
	for (size_t i = 0; i < count; i++) {
		value[i] = find_value(r, yaml_document_get_node(r->doc, item[i]), key);
		if (!value[i] || value[i]->type != YAML_SCALAR_NODE || !value[i]->data.scalar.length)
			continue;
		for (size_t j = 0; j < i; j++) {
			size_t path = strlen(r->path);

			if (!value[j] || value[j]->type != YAML_SCALAR_NODE ||
				strcmp((char *)value[i]->data.scalar.value, (char *)value[j]->data.scalar.value))
				continue;
			snprintf(r->path + path, sizeof(r->path) - path, "[%zu].%s", i, key);
			complain_at(r, line_of(value[i]), "'%.60s' is already taken on line %zu",
				(char *)value[i]->data.scalar.value, line_of(value[j]));
			r->path[path] = 0;
			break;
		}
	}
	free(value);
}

static void read_list(struct reader *r, const yaml_node_t *n, const struct conf_field *f, char *base)
{
	size_t count, path;
	char *items;

	if (n->type == YAML_SCALAR_NODE && !n->data.scalar.length && !f->min)
		return;
	if (n->type != YAML_SEQUENCE_NODE) {
		expected(r, n, "expected a list");
		return;
	}
	count = n->data.sequence.items.top - n->data.sequence.items.start;
	if (count < f->min || count > f->max) {
		complain_at(r, line_of(n), "expected a list of %u..%u, found %zu", (unsigned)f->min,
			(unsigned)f->max, count);
		return;
	}
	items = conf_alloc(r->conf, count * f->size);
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *item = yaml_document_get_node(r->doc, n->data.sequence.items.start[i]);

		path = enter(r, NULL, (int)i);
		if (f->line)
			*(uint32_t *)(items + i * f->size + f->line) = (uint32_t)line_of(item);
		read_map(r, item, f->sub, items + i * f->size);
		r->path[path] = 0;
	}
	for (const struct conf_field *sub = f->sub; sub->key; sub++)
		if (sub->unique)
			refuse_doubles(r, n, sub->key);
	*(char **)(base + f->offset) = items;
	*(uint32_t *)(base + f->count) = (uint32_t)count;
}

static void read_value(struct reader *r, const yaml_node_t *n, const struct conf_field *f, char *base)
{
	char why[128];

	switch (f->kind) {
	case CONF_MAP:
		read_map(r, n, f->sub, base);
		return;
	case CONF_LIST:
		read_list(r, n, f, base);
		return;
	case CONF_FREE:
		read_free(r, n, (void *)(base + f->offset));
		return;
	default:
		break;
	}
	if (n->type == YAML_SCALAR_NODE && !n->data.scalar.length && !f->required)
		return; /* "gateway:" with nothing behind it: as if it were not there */
	if (n->type != YAML_SCALAR_NODE || !scalar_text(n))
		expected(r, n, f->kind == CONF_STRING ? "expected text" : "expected one value");
	else if (!store_scalar(r, f, base + f->offset, scalar_text(n), why, sizeof(why)))
		expected(r, n, why);
}

static int field_index(const struct conf_field *fields, const yaml_node_t *key)
{
	for (int i = 0; fields[i].key; i++)
		if (key->type == YAML_SCALAR_NODE && scalar_text(key) && !strcmp(fields[i].key, scalar_text(key)))
			return i;
	return -1;
}

static void unknown_key(struct reader *r, const struct conf_field *fields, const yaml_node_t *key)
{
	char known[512] = "", text[80];
	size_t n = 0;

	for (int i = 0; fields[i].key && n < sizeof(known); i++)
		n += snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", fields[i].key);
	complain_at(r, line_of(key), "unknown key %s; known are %s", found(key, text, sizeof(text)), known);
}

static void fill_missing(struct reader *r, const yaml_node_t *n, const struct conf_field *fields, uint64_t seen)
{
	for (int i = 0; fields[i].key; i++) {
		const struct conf_field *f = &fields[i];

		if (seen & 1ull << i)
			continue;
		if (f->required)
			complain_at(r, line_of(n), "'%s' is missing (%s)", f->key, f->help);
		else if (f->kind == CONF_MAP)
			fill_missing(r, n, f->sub, 0);
	}
}

/* Defaults are text in the table and read like any value, so that help and behaviour cannot differ. */
static void fill_defaults(struct reader *r, const struct conf_field *fields, char *base)
{
	char why[128];

	for (const struct conf_field *f = fields; f->key; f++) {
		if (f->fallback)
			CHECK(store_scalar(r, f, base + f->offset, f->fallback, why, sizeof(why)));
		if (f->kind == CONF_MAP)
			fill_defaults(r, f->sub, base);
	}
}

static void read_map(struct reader *r, const yaml_node_t *n, const struct conf_field *fields, char *base)
{
	uint64_t seen = 0;

	if (n->type != YAML_MAPPING_NODE) {
		expected(r, n, "expected a mapping");
		return;
	}
	fill_defaults(r, fields, base);
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		int i = field_index(fields, key);
		size_t path;

		if (i < 0) {
			unknown_key(r, fields, key);
			continue;
		}
		path = enter(r, fields[i].key, 0);
		if (seen & 1ull << i)
			complain_at(r, line_of(key), "is there twice");
		else
			read_value(r, yaml_document_get_node(r->doc, p->value), &fields[i], base);
		seen |= 1ull << i;
		r->path[path] = 0;
	}
	fill_missing(r, n, fields, seen);
}

/* ---- what no single value can tell ---- */

/* Two links of one service need two names. */
static void check_plugins(struct reader *r, const struct conf_service *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->n_plugins; i++) {
		const struct conf_plugin *p = &s->plugins[i];
		const char *name = p->as ? p->as : p->plugin;

		if (!name)
			continue;
		for (uint32_t j = 0; j <= i; j++) {
			const struct conf_plugin *q = &s->plugins[j];
			const char *other = j == i ? s->name : q->as ? q->as : q->plugin;

			if (!other || strcmp(name, other))
				continue;
			snprintf(r->path, sizeof(r->path), "services[%u].plugins[%u].%s", index, i,
				p->as ? "as" : "plugin");
			complain_at(r, p->line, "'%s' is already there (line %u); name this one with 'as:'", name,
				j == i ? s->line : q->line);
			r->path[0] = 0;
			break;
		}
	}
}

static void finish(struct reader *r)
{
	struct conf *c = r->conf;
	char path[128];

	for (uint32_t i = 0; i < c->n_services; i++)
		check_plugins(r, &c->services[i], i);
	c->node.peer_silence_us = c->peer_silence_ms * 1000;
	if (!c->admin && c->node.name) {
		snprintf(path, sizeof(path), "/run/tela/%s.sock", c->node.name);
		c->admin = conf_copy(c, path, strlen(path));
	}
}

static void read_document(struct reader *r)
{
	yaml_node_t *root = yaml_document_get_root_node(r->doc);

	if (!root) {
		complain_at(r, 1, "is empty; see telad --help config");
		return;
	}
	read_map(r, root, conf_root, (char *)r->conf);
	finish(r);
}

static void complain_syntax(struct reader *r, const yaml_parser_t *p)
{
	size_t line = p->error == YAML_READER_ERROR ? p->mark.line : p->problem_mark.line;

	complain_at(r, line + 1, "not YAML: %s%s%s", p->problem ? p->problem : "out of memory",
		p->context ? ", " : "", p->context ? p->context : "");
}

/* A second document in the file would otherwise be passed over in silence. */
static void refuse_more(struct reader *r, yaml_parser_t *p)
{
	yaml_document_t next;

	if (!yaml_parser_load(p, &next)) {
		complain_syntax(r, p);
		return;
	}
	if (yaml_document_get_root_node(&next))
		complain_at(r, yaml_document_get_root_node(&next)->start_mark.line + 1,
			"a second document; there may be one");
	yaml_document_delete(&next);
}

struct conf *conf_parse(const char *file, const char *text, size_t len, conf_report_fn report, void *arg)
{
	struct reader r = {.report = report, .arg = arg};
	yaml_document_t doc;
	yaml_parser_t parser;

	r.conf = calloc(1, sizeof(*r.conf));
	CHECK(r.conf && yaml_parser_initialize(&parser));
	r.conf->file = conf_copy(r.conf, file, strlen(file));
	r.doc = &doc;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (len > CONF_BYTES_MAX) {
		complain_at(&r, 1, "larger than %d bytes", CONF_BYTES_MAX);
	} else if (!yaml_parser_load(&parser, &doc)) {
		complain_syntax(&r, &parser);
	} else {
		read_document(&r);
		yaml_document_delete(&doc);
		refuse_more(&r, &parser);
	}
	yaml_parser_delete(&parser);
	if (!r.n_errors)
		return r.conf;
	conf_free(r.conf);
	return NULL;
}

struct conf *conf_load(const char *path, conf_report_fn report, void *arg)
{
	FILE *f = fopen(path, "re");
	char *text = malloc(CONF_BYTES_MAX + 2), line[512];
	struct conf *c = NULL;
	size_t len;

	CHECK(text);
	len = f ? fread(text, 1, CONF_BYTES_MAX + 1, f) : 0;
	if (!f || ferror(f)) {
		snprintf(line, sizeof(line), "%s: cannot be read: %s", path, strerror(errno));
		report(arg, line);
	} else {
		c = conf_parse(path, text, len, report, arg);
	}
	if (f)
		fclose(f);
	free(text);
	return c;
}

/* conf_value.c - one value of the configuration: a scalar by its field, or the free keys of a
 * plugin; and how errors are told. */
#include "conf_read.h"

#include "../dataplane/base.h"

#include <ctype.h>
#include <stdarg.h>

/* ---- errors ---- */

void conf_complain(struct reader *r, size_t line, const char *format, ...)
{
	char text[768];
	va_list args;
	int n;

	if (r->n_errors++ >= CONF_ERRORS_MAX)
		return;
	n = snprintf(text, sizeof(text), "%s:%zu: %s%s", r->conf->file, line, r->path,
		*r->path ? ": " : "");
	va_start(args, format);
	if (n < (int)sizeof(text))
		vsnprintf(text + n, sizeof(text) - n, format, args);
	va_end(args);
	r->report(r->arg, text);
}

size_t conf_line(const yaml_node_t *n)
{
	return n->start_mark.line + 1;
}

/* What stands there, to show in an error: a scalar in quotes, the kind of anything else. */
const char *conf_found(const yaml_node_t *n, char *text, size_t size)
{
	if (n->type == YAML_MAPPING_NODE)
		return "a mapping";
	if (n->type == YAML_SEQUENCE_NODE)
		return "a list";
	if (!n->data.scalar.length)
		return "nothing";
	snprintf(text, size, "'%.*s'", (int)min_u64(n->data.scalar.length, 60),
		(const char *)n->data.scalar.value);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return text;
}

void conf_expected(struct reader *r, const yaml_node_t *n, const char *what)
{
	char text[80];

	conf_complain(r, conf_line(n), "%s, found %s", what, conf_found(n, text, sizeof(text)));
}

/* The path grows by a key or an index while its value is read; returns its length before. */
size_t conf_enter(struct reader *r, const char *key, int index)
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

static bool store_choice(
	const struct conf_field *f, uint32_t *to, const char *s, char *why, size_t size)
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
bool conf_store(struct reader *r, const struct conf_field *f, void *to, const char *s, char *why,
	size_t size)
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
		snprintf(why, size, "expected %llu..%llu", (unsigned long long)f->min,
			(unsigned long long)f->max);
		return store_number(f, to, s);
	}
}

const char *conf_text(const yaml_node_t *n)
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

static void flatten_pair(struct reader *r, const yaml_node_t *key, const yaml_node_t *value,
	struct flat *flat, int depth)
{
	size_t path = conf_enter(r, conf_text(key), 0), len = strlen(flat->key);
	const char *text = conf_text(key);

	if (len + strlen(text) + 2 > sizeof(flat->key)) {
		conf_complain(r, conf_line(key), "key of more than 255 characters");
	} else if (value->type == YAML_SEQUENCE_NODE) {
		conf_expected(r, value, "expected a value or a mapping of values");
	} else if (value->type == YAML_MAPPING_NODE) {
		sprintf(flat->key + len, "%s%s", len ? "." : "", text);
		flatten(r, value, flat, depth + 1);
	} else if (!conf_text(value)) {
		conf_complain(r, conf_line(value), "a value may not hold a zero byte");
	} else {
		sprintf(flat->key + len, "%s%s", len ? "." : "", text);
		if (flat->n == flat->room) {
			struct tela_pair *less = flat->pairs;

			flat->room = flat->room ? 2 * flat->room : 8;
			flat->pairs = conf_alloc(r->conf, flat->room * sizeof(*flat->pairs));
			if (less)
				memcpy(flat->pairs, less, flat->n * sizeof(*less));
		}
		flat->pairs[flat->n].key = conf_copy(r->conf, flat->key, strlen(flat->key));
		flat->pairs[flat->n++].value =
			conf_copy(r->conf, conf_text(value), value->data.scalar.length);
	}
	flat->key[len] = 0;
	r->path[path] = 0;
}

/* Anchors may make a document endless or exponential: depth and number of pairs are bounded. */
static void flatten(struct reader *r, const yaml_node_t *map, struct flat *flat, int depth)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		const yaml_node_t *value = yaml_document_get_node(r->doc, p->value);

		if (depth >= CONF_DEPTH_MAX || flat->n >= CONF_PAIRS_MAX ||
			r->n_errors > CONF_ERRORS_MAX) {
			conf_complain(r, conf_line(key), "nested too deeply, or too large");
			return;
		}
		if (key->type != YAML_SCALAR_NODE || !conf_text(key) || !key->data.scalar.length)
			conf_expected(r, key, "expected a key");
		else
			flatten_pair(r, key, value, flat, depth);
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tela_pair *)a)->key, ((const struct tela_pair *)b)->key);
}

void conf_read_free(struct reader *r, const yaml_node_t *n, struct tela_plugin_config *to)
{
	struct flat flat = {0};

	if (n->type == YAML_SCALAR_NODE && !n->data.scalar.length)
		return; /* "config:" with nothing behind it */
	if (n->type != YAML_MAPPING_NODE) {
		conf_expected(r, n, "expected a mapping");
		return;
	}
	flatten(r, n, &flat, 0);
	if (flat.n)
		qsort(flat.pairs, flat.n, sizeof(*flat.pairs), by_key);
	for (uint32_t i = 1; i < flat.n; i++)
		if (!strcmp(flat.pairs[i - 1].key, flat.pairs[i].key))
			conf_complain(
				r, conf_line(n), "key '%s' is there twice", flat.pairs[i].key);
	to->n = flat.n;
	to->pairs = flat.pairs;
}

/* conf_map.c - mappings and lists of the configuration, by the tables of conf_table.c. */
#include "conf_read.h"

#include "../dataplane/base.h"

/* The node of `key` in a mapping, NULL if there is none. */
static const yaml_node_t *find_value(struct reader *r, const yaml_node_t *map, const char *key)
{
	if (map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
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
	const yaml_node_t **value = conf_alloc(r->conf, (count + 1) * sizeof(*value));

	for (size_t i = 0; i < count; i++) {
		value[i] = find_value(r, yaml_document_get_node(r->doc, item[i]), key);
		if (!value[i] || value[i]->type != YAML_SCALAR_NODE ||
			!value[i]->data.scalar.length)
			continue;
		for (size_t j = 0; j < i; j++) {
			size_t path = strlen(r->path);

			if (!value[j] || value[j]->type != YAML_SCALAR_NODE ||
				strcmp((char *)value[i]->data.scalar.value,
					(char *)value[j]->data.scalar.value))
				continue;
			snprintf(r->path + path, sizeof(r->path) - path, "[%zu].%s", i, key);
			conf_complain(r, conf_line(value[i]),
				"'%.60s' is already taken on line %zu",
				(char *)value[i]->data.scalar.value, conf_line(value[j]));
			r->path[path] = 0;
			break;
		}
	}
}

static void read_list(
	struct reader *r, const yaml_node_t *n, const struct conf_field *f, char *base)
{
	size_t count, path;
	char *items;

	if (n->type == YAML_SCALAR_NODE && !n->data.scalar.length && !f->min)
		return;
	if (n->type != YAML_SEQUENCE_NODE) {
		conf_expected(r, n, "expected a list");
		return;
	}
	count = n->data.sequence.items.top - n->data.sequence.items.start;
	if (count < f->min || count > f->max) {
		conf_complain(r, conf_line(n), "expected a list of %u..%u, found %zu",
			(unsigned)f->min, (unsigned)f->max, count);
		return;
	}
	items = conf_alloc(r->conf, count * f->size);
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *item =
			yaml_document_get_node(r->doc, n->data.sequence.items.start[i]);

		path = conf_enter(r, NULL, (int)i);
		if (f->line)
			*(uint32_t *)(items + i * f->size + f->line) = (uint32_t)conf_line(item);
		conf_read_map(r, item, f->sub, items + i * f->size);
		r->path[path] = 0;
	}
	for (const struct conf_field *sub = f->sub; sub->key; sub++)
		if (sub->unique)
			refuse_doubles(r, n, sub->key);
	*(char **)(base + f->offset) = items;
	*(uint32_t *)(base + f->count) = (uint32_t)count;
}

static void read_value(
	struct reader *r, const yaml_node_t *n, const struct conf_field *f, char *base)
{
	char why[128];

	switch (f->kind) {
	case CONF_MAP:
		conf_read_map(r, n, f->sub, base);
		return;
	case CONF_LIST:
		read_list(r, n, f, base);
		return;
	case CONF_FREE:
		conf_read_free(r, n, (void *)(base + f->offset));
		return;
	default:
		break;
	}
	if (n->type == YAML_SCALAR_NODE && !n->data.scalar.length && !f->required)
		return; /* "gateway:" with nothing behind it: as if it were not there */
	if (n->type != YAML_SCALAR_NODE || !conf_text(n))
		conf_expected(
			r, n, f->kind == CONF_STRING ? "expected text" : "expected one value");
	else if (!conf_store(r, f, base + f->offset, conf_text(n), why, sizeof(why)))
		conf_expected(r, n, why);
}

static int field_index(const struct conf_field *fields, const yaml_node_t *key)
{
	for (int i = 0; fields[i].key; i++)
		if (key->type == YAML_SCALAR_NODE && conf_text(key) &&
			!strcmp(fields[i].key, conf_text(key)))
			return i;
	return -1;
}

static void unknown_key(struct reader *r, const struct conf_field *fields, const yaml_node_t *key)
{
	char known[512] = "", text[80];
	size_t n = 0;

	for (int i = 0; fields[i].key && n < sizeof(known); i++)
		n += snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", fields[i].key);
	conf_complain(r, conf_line(key), "unknown key %s; known are %s",
		conf_found(key, text, sizeof(text)), known);
}

static void fill_missing(
	struct reader *r, const yaml_node_t *n, const struct conf_field *fields, uint64_t seen)
{
	for (int i = 0; fields[i].key; i++) {
		const struct conf_field *f = &fields[i];

		if (seen & 1ull << i)
			continue;
		if (f->required)
			conf_complain(r, conf_line(n), "'%s' is missing (%s)", f->key, f->help);
		else if (f->kind == CONF_MAP)
			fill_missing(r, n, f->sub, 0);
	}
}

/* Defaults are text in the table and read like any value, so that help and behaviour cannot differ.
 */
static void fill_defaults(struct reader *r, const struct conf_field *fields, char *base)
{
	char why[128];

	for (const struct conf_field *f = fields; f->key; f++) {
		if (f->fallback)
			CHECK(conf_store(r, f, base + f->offset, f->fallback, why, sizeof(why)));
		if (f->kind == CONF_MAP)
			fill_defaults(r, f->sub, base);
	}
}

void conf_read_map(
	struct reader *r, const yaml_node_t *n, const struct conf_field *fields, char *base)
{
	uint64_t seen = 0;

	if (n->type != YAML_MAPPING_NODE) {
		conf_expected(r, n, "expected a mapping");
		return;
	}
	fill_defaults(r, fields, base);
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		int i = field_index(fields, key);
		size_t path;

		if (i < 0) {
			unknown_key(r, fields, key);
			continue;
		}
		path = conf_enter(r, fields[i].key, 0);
		if (seen & 1ull << i)
			conf_complain(r, conf_line(key), "is there twice");
		else
			read_value(r, yaml_document_get_node(r->doc, p->value), &fields[i], base);
		seen |= 1ull << i;
		r->path[path] = 0;
	}
	fill_missing(r, n, fields, seen);
}

/* conf_free.c - the keys of a plugin: flattened with dots, lists as texts of their items (keys.h).
 * Which there are, and what each may be, is known when the plugin is. */
#include "conf_read.h"

#include "keys.h"

#include "../dataplane/base.h"

struct pair {
	struct tela_pair pair;
	uint32_t line;
};

struct flat {
	struct pair *pairs;
	uint32_t n, room;
	uint32_t n_values; /* pairs, and items of lists */
	size_t bytes;
	char key[256];
};

static void flatten(struct reader *r, const yaml_node_t *map, struct flat *flat, int depth);

/* Anchors may make a document endless or exponential: depth, number and size are bounded. */
static bool is_too_large(struct reader *r, const yaml_node_t *n, const struct flat *flat, int depth)
{
	if (depth < CONF_DEPTH_MAX && flat->n_values < CONF_PAIRS_MAX &&
		flat->bytes <= CONF_BYTES_MAX && r->n_errors <= CONF_ERRORS_MAX)
		return false;
	conf_complain(r, conf_line(n), "nested too deeply, or too large");
	return true;
}

/* NULL: it is none that can be handed on, as was said. */
static const char *value_text(struct reader *r, const yaml_node_t *n)
{
	const char *text = n->type == YAML_SCALAR_NODE ? conf_text(n) : NULL;

	if (n->type != YAML_SCALAR_NODE)
		conf_expected(r, n, "expected a value");
	else if (!text)
		conf_complain(r, conf_line(n), "a value may not hold a zero byte");
	else if (strchr(text, KEYS_ITEM))
		conf_complain(r, conf_line(n), "a value may not hold the byte 0x1f");
	else
		return text;
	return NULL;
}

static void put(struct reader *r, struct flat *flat, const yaml_node_t *n, const char *value)
{
	if (flat->n == flat->room) {
		struct pair *less = flat->pairs;

		flat->room = flat->room ? 2 * flat->room : 8;
		flat->pairs = conf_alloc(r->conf, flat->room * sizeof(*flat->pairs));
		if (less)
			memcpy(flat->pairs, less, flat->n * sizeof(*less));
	}
	flat->pairs[flat->n++] = (struct pair){
		{conf_copy(r->conf, flat->key, strlen(flat->key)), value}, (uint32_t)conf_line(n)};
	flat->n_values++;
	flat->bytes += strlen(value);
}

static size_t list_length(struct reader *r, const yaml_node_t *list, struct flat *flat)
{
	const yaml_node_item_t *items = list->data.sequence.items.start;
	size_t count = (size_t)(list->data.sequence.items.top - items), n = 1;

	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *item = yaml_document_get_node(r->doc, items[i]);
		size_t path = conf_enter(r, NULL, (int)i);
		const char *text = value_text(r, item);

		if (text && !*text)
			conf_expected(r, item, "expected a value");
		n += text ? strlen(text) + 1 : 0;
		flat->n_values++;
		flat->bytes += text ? strlen(text) : 0;
		r->path[path] = 0;
		if (is_too_large(r, item, flat, 0))
			break;
	}
	return n;
}

static void flatten_list(struct reader *r, const yaml_node_t *list, struct flat *flat)
{
	const yaml_node_item_t *items = list->data.sequence.items.start;
	uint32_t n_errors = r->n_errors;
	size_t length = list_length(r, list, flat);
	char *text, *at;

	if (r->n_errors != n_errors)
		return;
	text = at = conf_alloc(r->conf, length + 1);
	if (items == list->data.sequence.items.top)
		*at = KEYS_ITEM; /* a list all the same */
	for (; items < list->data.sequence.items.top; items++) {
		*at++ = KEYS_ITEM;
		at = stpcpy(at, conf_text(yaml_document_get_node(r->doc, *items)));
	}
	put(r, flat, list, text);
}

static void flatten_pair(struct reader *r, const yaml_node_t *key, const yaml_node_t *value,
	struct flat *flat, int depth)
{
	size_t path = conf_enter(r, conf_text(key), 0), len = strlen(flat->key);
	const char *text = conf_text(key);

	if (len + strlen(text) + 2 > sizeof(flat->key)) {
		conf_complain(r, conf_line(key), "key of more than 255 characters");
		r->path[path] = 0;
		return;
	}
	sprintf(flat->key + len, "%s%s", len ? "." : "", text);
	if (value->type == YAML_MAPPING_NODE) {
		flatten(r, value, flat, depth + 1);
	} else if (value->type == YAML_SEQUENCE_NODE) {
		flatten_list(r, value, flat);
	} else {
		text = value_text(r, value);
		if (text)
			put(r, flat, key, conf_copy(r->conf, text, strlen(text)));
	}
	flat->key[len] = 0;
	r->path[path] = 0;
}

static void flatten(struct reader *r, const yaml_node_t *map, struct flat *flat, int depth)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		const yaml_node_t *value = yaml_document_get_node(r->doc, p->value);

		if (is_too_large(r, key, flat, depth))
			return;
		if (key->type != YAML_SCALAR_NODE || !conf_text(key) || !key->data.scalar.length)
			conf_expected(r, key, "expected a key");
		else
			flatten_pair(r, key, value, flat, depth);
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->pair.key, ((const struct pair *)b)->pair.key);
}

void conf_read_free(struct reader *r, const yaml_node_t *n, struct conf_free *to)
{
	struct flat flat = {0};
	struct tela_pair *pairs;
	uint32_t *lines;

	if (n->type == YAML_SCALAR_NODE && !n->data.scalar.length)
		return; /* "config:" with nothing behind it */
	if (n->type != YAML_MAPPING_NODE) {
		conf_expected(r, n, "expected a mapping");
		return;
	}
	flatten(r, n, &flat, 0);
	if (flat.n)
		qsort(flat.pairs, flat.n, sizeof(*flat.pairs), by_key);
	pairs = conf_alloc(r->conf, flat.n * sizeof(*pairs));
	lines = conf_alloc(r->conf, flat.n * sizeof(*lines));
	for (uint32_t i = 0; i < flat.n; i++) {
		pairs[i] = flat.pairs[i].pair;
		lines[i] = flat.pairs[i].line;
		if (i && !strcmp(pairs[i - 1].key, pairs[i].key))
			conf_complain(r, lines[i], "key '%s' is there twice", pairs[i].key);
	}
	to->pairs = (struct tela_plugin_config){flat.n, pairs};
	to->lines = lines;
}

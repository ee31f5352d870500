/* cmd_registry.c - what plugins have registered: tela_registry.h. */
#include "command.h"
#include "control.h"

enum { LIMIT_DEFAULT = 1000, LIMIT_MAX = 10000, SHOWN_BYTES = 64 };

struct listing {
	json_t *entries;
	const char *prefix;
	uint32_t limit, n;
};

static bool is_text(struct tela_bytes v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.data[i] < ' ' || v.data[i] > '~')
			return false;
	return true;
}

/* As text if it is one, else its first bytes in hexadecimal. */
static json_t *show_value(struct tela_bytes v)
{
	char text[2 * SHOWN_BYTES + 4];
	size_t n = min_u64(v.len, SHOWN_BYTES), at = 0;

	if (is_text(v))
		return json_stringn((const char *)v.data, v.len);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%02x", v.data[i]);
	snprintf(text + at, sizeof(text) - at, "%s", n < v.len ? "..." : "");
	return json_string(text);
}

static bool list(void *arg, const char *key, bool bag, const struct tela_entry *e)
{
	struct listing *l = arg;
	json_t *shown;

	if (strncmp(key, l->prefix, strlen(l->prefix)))
		return true;
	l->n++;
	if (json_array_size(l->entries) == l->limit)
		return true;
	shown = json_string(key);
	json_array_append_new(
		l->entries, json_pack("{s:s,s:o,s:s,s:o,s:i}", "kind", bag ? "bag" : "name", "key",
				    shown ? shown : json_string("?"), "holder", e->holder, "value",
				    show_value(e->value), "bytes", (int)e->value.len));
	return true;
}

struct place {
	const char *key;
	size_t at;
};

/* Those of one bag stay in their order. */
static int by_key(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : x->at < y->at ? -1 : 1;
}

static json_t *sorted(json_t *entries)
{
	size_t n = json_array_size(entries);
	struct place *place = calloc(n + 1, sizeof(*place));
	json_t *result = json_array();

	if (!place) {
		json_decref(result);
		json_decref(entries);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		place[i] = (struct place){
			json_string_value(json_object_get(json_array_get(entries, i), "key")), i};
	qsort(place, n, sizeof(*place), by_key);
	for (size_t i = 0; i < n; i++)
		json_array_append(result, json_array_get(entries, place[i].at));
	free(place);
	json_decref(entries);
	return result;
}

void cmd_registry(struct control *c, struct request *r)
{
	struct listing l = {.entries = json_array(), .prefix = request_text(r, "prefix")};
	int64_t limit = request_number(r, "limit", LIMIT_DEFAULT);

	if (limit < 1 || limit > LIMIT_MAX) {
		json_decref(l.entries);
		request_fail(r, -EINVAL, "limit: expected 1..%d", LIMIT_MAX);
		return;
	}
	l.limit = (uint32_t)limit;
	l.prefix = l.prefix ? l.prefix : "";
	tela_registry_each(c->node, list, &l);
	request_ok(r, json_pack("{s:i,s:o}", "entries", (int)l.n, "registry", sorted(l.entries)));
}

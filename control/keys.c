/* keys.c - a whole configuration by the keys of its plugin: what is unknown, missing or wrong, and
 * the plugin's struct filled. */
#include "keys.h"

#include "../dataplane/base.h"

#include <ctype.h>

enum { NAMES_MAX = 256, STRUCT_MAX = 1 << 16, LIKE_MAX = 64 };

/* ---- which key ---- */

/* It is an entry of the mapping `k`. */
static bool is_entry(const struct tela_config_key *k, const char *name)
{
	size_t n = strlen(k->name);

	return k->type == TELA_CONFIG_MAP && !strncmp(name, k->name, n) && name[n] == '.' &&
	       name[n + 1];
}

const struct tela_config_key *keys_find(const struct tela_plugin *p, const char *name)
{
	for (uint32_t i = 0; i < p->n_keys; i++)
		if (!strcmp(p->keys[i].name, name) || is_entry(&p->keys[i], name))
			return &p->keys[i];
	return NULL;
}

bool keys_know(const struct tela_plugin *p, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = 0; i < p->n_keys; i++)
		if (!strncmp(p->keys[i].name, name, n) && p->keys[i].name[n] == '.')
			return true;
	return keys_find(p, name);
}

/* Letters to change, put in or take out until one is the other (Levenshtein). */
static uint32_t distance(const char *a, const char *b)
{
	uint32_t row[LIKE_MAX + 1], n = (uint32_t)strlen(b);

	for (uint32_t j = 0; j <= n; j++)
		row[j] = j;
	for (uint32_t i = 0; a[i]; i++) {
		uint32_t left_above = row[0];

		row[0] = i + 1;
		for (uint32_t j = 0; j < n; j++) {
			uint32_t change = left_above + (a[i] != b[j]);

			left_above = row[j + 1];
			row[j + 1] = min_u32(change, min_u32(row[j], left_above) + 1);
		}
	}
	return row[n];
}

/* The one that was probably meant; NULL: none is near. */
static const char *nearest(const struct tela_plugin *p, const char *name)
{
	uint32_t least = UINT32_MAX;
	const char *found = NULL;

	for (uint32_t i = 0; i < p->n_keys && strlen(name) <= LIKE_MAX; i++) {
		const char *key = p->keys[i].name;
		uint32_t n = strlen(key) <= LIKE_MAX ? distance(name, key) : UINT32_MAX;

		if (n < least && n <= 1 + strlen(key) / 4) {
			least = n;
			found = key;
		}
	}
	return found;
}

/* A value where a mapping should be, or the other way round; false: neither. */
static bool wrong_shape(struct keys_build *b, const struct tela_plugin *p, const char *name)
{
	char known[NAMES_MAX] = "", expected[400];
	size_t len = strlen(name), n = 0;

	for (uint32_t i = 0; i < p->n_keys; i++) {
		const char *key = p->keys[i].name;
		size_t key_len = strlen(key);

		if (!strncmp(name, key, key_len) && name[key_len] == '.') {
			keys_expect(&p->keys[i], expected, sizeof(expected));
			b->path[key_len] = 0;
			keys_complain(b, "expected %s, found a mapping", expected);
			return true;
		}
		if (!strncmp(name, key, len) && key[len] == '.' && n < sizeof(known))
			n += (size_t)snprintf(
				known + n, sizeof(known) - n, "%s%s", n ? ", " : "", key + len + 1);
	}
	if (n)
		keys_complain(b, "expected a mapping of %s", known);
	return n;
}

static void unknown(struct keys_build *b, const struct tela_plugin *p, const char *name)
{
	const char *meant = nearest(p, name);
	char known[NAMES_MAX] = "";
	size_t n = 0;

	if (wrong_shape(b, p, name))
		return;
	for (uint32_t i = 0; i < p->n_keys && n < sizeof(known); i++)
		n += (size_t)snprintf(
			known + n, sizeof(known) - n, "%s%s", i ? ", " : "", p->keys[i].name);
	keys_complain(b, "unknown key%s%s%s; known are %s", meant ? ", did you mean '" : "",
		meant ? meant : "", meant ? "'?" : "", n ? known : "none");
}

/* ---- mappings ---- */

/* The place of `key`, found or the next one. */
static uint32_t place_of(const char **keys, uint32_t n, const char *key)
{
	uint32_t i = 0;

	while (i < n && strcmp(keys[i], key))
		i++;
	return i;
}

struct filling {
	struct keys_build *b;
	const struct tela_config_key *k;
	const char **keys;
	char *values;
	uint32_t n;
};

/* `again`: an entry of that key may be there, and is replaced. */
static void put_entry(struct filling *f, const char *key, size_t key_len, const char *value,
	size_t len, bool again)
{
	struct keys_build *b = f->b;
	const char *copy = keys_text(b, key, key_len);
	size_t size = keys_size(keys_of(f->k)->type), path = strlen(b->path);
	uint32_t at = place_of(f->keys, f->n, copy);

	snprintf(b->path + path, sizeof(b->path) - path, ".%s", copy);
	if (at < f->n && !again)
		keys_complain(b, "is there twice");
	f->keys[at] = copy;
	f->n += at == f->n;
	keys_put(b, keys_of(f->k), value, len, f->values + at * size);
	b->path[path] = 0;
}

/* "add:alice,bob; get:*". */
static void put_text(struct filling *f, const char *text)
{
	const char *at = text, *end = text + strlen(text), *entry;
	size_t len;

	while (*text && keys_next(&at, end, ';', &entry, &len)) {
		size_t key_len = 0, blanks = 0;

		while (key_len < len && entry[key_len] != ':' && entry[key_len] != '=')
			key_len++;
		if (!key_len || key_len == len) {
			if (len)
				keys_unexpected(f->b, f->k, entry, len);
			continue;
		}
		for (blanks = key_len + 1; blanks < len && entry[blanks] == ' ';)
			blanks++;
		while (key_len > 1 && entry[key_len - 1] == ' ')
			key_len--;
		put_entry(f, entry, key_len, entry + blanks, len - blanks, false);
	}
}

/* From its text, given or the default; entries given by themselves stand over that. */
static void put_map(struct keys_build *b, const struct tela_config_key *k,
	const struct tela_plugin_config *c, struct tela_map *to)
{
	const char *text = tela_config_str(c, k->name, NULL);
	uint32_t n = 0, entries = 0;
	struct filling f = {.b = b, .k = k};

	for (uint32_t i = 0; i < c->n; i++)
		entries += is_entry(k, c->pairs[i].key);
	if (!text)
		text = entries || !k->fallback ? "" : k->fallback;
	if (keys_is_list(text)) {
		keys_unexpected(b, k, text, strlen(text));
		return;
	}
	n = entries + keys_count(text, strlen(text), ';');
	if (!keys_may_have(b, k, n))
		return;
	f.keys = keys_take(b, n * sizeof(*f.keys), 8);
	f.values = keys_take(b, n * keys_size(keys_of(k)->type), 8);
	put_text(&f, text);
	for (uint32_t i = 0; i < c->n; i++) {
		const char *key = c->pairs[i].key + strlen(k->name) + 1;

		if (!is_entry(k, c->pairs[i].key))
			continue;
		b->pair = i;
		put_entry(&f, key, strlen(key), c->pairs[i].value, strlen(c->pairs[i].value), true);
	}
	*to = (struct tela_map){f.n, f.keys, f.values};
}

/* ---- all of it ---- */

static uint32_t pair_of(const struct tela_plugin_config *c, const struct tela_config_key *k)
{
	uint32_t i = 0;

	while (i < c->n && strcmp(c->pairs[i].key, k->name) && !is_entry(k, c->pairs[i].key))
		i++;
	return i < c->n ? i : UINT32_MAX;
}

static void set_path(struct keys_build *b, const char *name, uint32_t pair)
{
	snprintf(b->path, sizeof(b->path), "%s", name);
	b->pair = pair;
}

static void put_key(
	struct keys_build *b, const struct tela_config_key *k, const struct tela_plugin_config *c)
{
	const char *value = tela_config_str(c, k->name, k->fallback);

	set_path(b, k->name, pair_of(c, k));
	if (k->required && b->pair == UINT32_MAX)
		keys_complain(b, "is missing (%s)", k->help);
	else if (k->type == TELA_CONFIG_MAP)
		put_map(b, k, c, (struct tela_map *)(b->block + k->offset));
	else if (value)
		keys_put(b, k, value, strlen(value), b->block + k->offset);
}

int keys_read(const struct tela_plugin *p, const struct tela_plugin_config *c, void **ret,
	keys_report_fn report, void *arg)
{
	struct keys_build b = {
		.used = p->values_size, .room = p->values_size, .report = report, .arg = arg};

	*ret = NULL;
	for (uint32_t i = 0; i < c->n; i++)
		b.room += keys_room(c->pairs[i].key, c->pairs[i].value);
	for (uint32_t i = 0; i < p->n_keys; i++)
		b.room += keys_room("", p->keys[i].fallback ? p->keys[i].fallback : "");
	if (p->n_keys) {
		b.block = calloc(1, b.room);
		if (!b.block)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->n; i++) {
		set_path(&b, c->pairs[i].key, i);
		if (!keys_find(p, c->pairs[i].key))
			unknown(&b, p, c->pairs[i].key);
	}
	for (uint32_t i = 0; i < p->n_keys; i++)
		put_key(&b, &p->keys[i], c);
	if (b.n_errors) {
		free(b.block);
		return -EINVAL;
	}
	*ret = b.block;
	return 0;
}

/* ---- the declaration ---- */

static bool is_key_name(const char *s)
{
	for (const char *c = s; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
			return false;
	return *s && *s != '.' && !strstr(s, "..") && strlen(s) < 64 && s[strlen(s) - 1] != '.';
}

/* One lies in the other, so that a value would have two meanings. */
static bool collide(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;

	return !strncmp(a, b, least) && (n == m || (n < m ? b[least] : a[least]) == '.');
}

/* NULL: nothing is wrong with its type. */
static const char *check_type(const struct tela_config_key *k, uint32_t depth)
{
	bool holds = k->type == TELA_CONFIG_LIST || k->type == TELA_CONFIG_MAP;
	bool counts = k->type >= TELA_CONFIG_U16 && k->type <= TELA_CONFIG_I64;
	struct tela_config_key whole = {.type = k->type};
	int64_t min, max, least, most;

	if (!keys_size(k->type))
		return "has a type that there is not";
	if (k->type == TELA_CONFIG_WORD && (!k->words || !*k->words))
		return "has no words";
	keys_range(k, &min, &max);
	keys_range(&whole, &least, &most);
	if (min > max || (k->type != TELA_CONFIG_REAL && (min < least || max > most) && most))
		return "has a range that its type does not hold";
	if (k->power_of_two && !counts)
		return "is no integer, and cannot be a power of two";
	if (!holds)
		return k->of ? "holds no others, and says of what" : NULL;
	if (keys_of(k)->type == TELA_CONFIG_MAP ||
		(keys_of(k)->type == TELA_CONFIG_LIST && (depth || k->type == TELA_CONFIG_LIST)))
		return "is nested too deeply";
	return check_type(keys_of(k), depth + 1);
}

static const char *check_key(const struct tela_plugin *p, const struct tela_config_key *k)
{
	size_t size = keys_size(k->type);
	const char *wrong = check_type(k, 0);

	if (wrong)
		return wrong;
	if (!k->help)
		return "has no help";
	if (k->required && k->fallback)
		return "is required, and has a default";
	if (k->offset > p->values_size || size > p->values_size - k->offset ||
		k->offset % min_u64(size, 8))
		return "does not lie in the plugin's struct";
	for (const struct tela_config_key *other = p->keys; other < k; other++)
		if (collide(k->name, other->name))
			return "has the name of another, or lies in it";
	return NULL;
}

struct complaint {
	char *err;
	size_t err_len;
	const char *plugin;
};

static void bad_fallback(void *arg, uint32_t pair, const char *path, const char *what)
{
	const struct complaint *c = arg;

	(void)pair;
	snprintf(c->err, c->err_len, "the default of key '%s' of plugin %s: %s", path, c->plugin,
		what);
}

/* What it is by default, required keys aside. */
static int check_fallbacks(const struct tela_plugin *p, char *err, size_t err_len)
{
	static const struct tela_plugin_config none;
	struct complaint complaint = {err, err_len, p->name};
	int rc = 0;

	for (uint32_t i = 0; i < p->n_keys && !rc; i++) {
		const struct tela_plugin one = {
			.keys = &p->keys[i], .n_keys = 1, .values_size = p->values_size};
		void *values;

		if (!p->keys[i].fallback)
			continue;
		rc = keys_read(&one, &none, &values, bad_fallback, &complaint);
		free(values);
	}
	if (rc == -ENOMEM)
		snprintf(err, err_len, "out of memory");
	return rc;
}

int keys_check(const struct tela_plugin *p, char *err, size_t err_len)
{
	if (!p->n_keys)
		return 0;
	if (!p->keys || p->values_size > STRUCT_MAX) {
		snprintf(err, err_len,
			"plugin %s has %u keys and no list of them, or a struct of %u bytes",
			p->name, p->n_keys, p->values_size);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < p->n_keys; i++) {
		const struct tela_config_key *k = &p->keys[i];
		const char *wrong =
			!k->name || !is_key_name(k->name) ? "has no good name" : check_key(p, k);

		if (!wrong)
			continue;
		snprintf(err, err_len, "key %u of plugin %s (%.63s) %s", i, p->name,
			k->name ? k->name : "?", wrong);
		return -EINVAL;
	}
	return check_fallbacks(p, err, err_len);
}

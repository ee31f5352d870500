/* settings.c - configurations as blocks: put over each other, and what hooks set in them.
 *
 *      given      what the operator listed, and merged since
 *      config     given, and over it what the config hooks of all that stand above have set, its
 * own last
 *
 * A block is one allocation, header, pairs and texts, so that an instance has one thing to free. */
#include "stack.h"

enum { SETTINGS_MAX = 1024, NAME_BYTES = 255 };

struct setting {
	struct setting *next;
	const char *name;  /* NULL: its own */
	const char *value; /* NULL: none */
	char key[];
};

/* With a mapping all of its entries are. */
static bool is_unset(const char *key, const char *const *unset)
{
	for (; unset && *unset; unset++) {
		size_t n = strlen(*unset);

		if (!strncmp(key, *unset, n) && (!key[n] || key[n] == '.'))
			return true;
	}
	return false;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct tela_pair *)a)->key, ((const struct tela_pair *)b)->key);
}

/* Both are sorted; a key that both have comes from `over`. */
static uint32_t merge_pairs(struct tela_pair *to, const struct tela_plugin_config *base,
	const struct tela_plugin_config *over, const char *const *unset)
{
	uint32_t i = 0, j = 0, n = 0;

	while (i < base->n || j < over->n) {
		int order = i == base->n   ? 1
			    : j == over->n ? -1
					   : by_key(&base->pairs[i], &over->pairs[j]);

		if (order < 0 && is_unset(base->pairs[i].key, unset)) {
			i++;
			continue;
		}
		to[n++] = order < 0 ? base->pairs[i] : over->pairs[j];
		i += order <= 0;
		j += order >= 0;
	}
	return n;
}

/* A copy of pairs and texts; a value may be NULL. */
static struct tela_plugin_config *copy_pairs(const struct tela_pair *pairs, uint32_t n)
{
	struct tela_plugin_config *c;
	struct tela_pair *to;
	size_t size = 0;
	char *text;

	for (uint32_t i = 0; i < n; i++)
		size += strlen(pairs[i].key) + 1 +
			(pairs[i].value ? strlen(pairs[i].value) + 1 : 0);
	c = malloc(sizeof(*c) + n * sizeof(*pairs) + size);
	if (!c)
		return NULL;
	to = (struct tela_pair *)(c + 1);
	text = (char *)(to + n);
	for (uint32_t i = 0; i < n; i++) {
		to[i] = (struct tela_pair){.key = text};
		text = stpcpy(text, pairs[i].key) + 1;
		if (!pairs[i].value)
			continue;
		to[i].value = text;
		text = stpcpy(text, pairs[i].value) + 1;
	}
	c->n = n;
	c->pairs = to;
	return c;
}

struct tela_plugin_config *config_merge(const struct tela_plugin_config *base,
	const struct tela_plugin_config *over, const char *const *unset)
{
	struct tela_pair *pairs = calloc(base->n + over->n + 1, sizeof(*pairs));
	struct tela_plugin_config *c = NULL;

	if (pairs)
		c = copy_pairs(pairs, merge_pairs(pairs, base, over, unset));
	free(pairs);
	return c;
}

struct tela_plugin_config *config_update(
	const struct tela_plugin_config *over, const char *const *unset)
{
	struct tela_plugin_config *c = NULL;
	struct tela_pair *pairs;
	uint32_t n = over->n;

	for (const char *const *u = unset; u && *u; u++)
		n++;
	pairs = calloc(n + 1, sizeof(*pairs));
	if (!pairs)
		return NULL;
	if (over->n)
		memcpy(pairs, over->pairs, over->n * sizeof(*pairs));
	for (uint32_t i = over->n; i < n; i++)
		pairs[i].key = unset[i - over->n];
	qsort(pairs, n, sizeof(*pairs), by_key);
	c = copy_pairs(pairs, n);
	free(pairs);
	return c;
}

bool config_equal(const struct tela_plugin_config *a, const struct tela_plugin_config *b)
{
	bool equal = a->n == b->n;

	for (uint32_t i = 0; equal && i < a->n; i++)
		equal = !strcmp(a->pairs[i].key, b->pairs[i].key) &&
			!strcmp(a->pairs[i].value, b->pairs[i].value);
	return equal;
}

/* ---- what a hook sets ---- */

static bool fits(const char *text)
{
	return *text && strnlen(text, NAME_BYTES + 1) <= NAME_BYTES;
}

/* On the lifecycle thread: what it says is checked when the hook has returned, for a hook that
 * hangs may come here when nothing else is left of the change. */
int tela_hook_set(struct tela_hook *h, const char *name, const char *key, const char *value)
{
	struct tela_instance *i = h->instance;
	struct setting **at = &i->settings, *s;
	size_t key_len, name_len;
	uint32_t n = 0;
	char *text;

	if ((i->hook != HOOK_CONFIG && i->hook != HOOK_MERGE) || (name && i->hook == HOOK_MERGE))
		return -EPERM;
	if (!key || !fits(key) || (name && !fits(name)))
		return -EINVAL;
	for (; *at; at = &(*at)->next)
		n++;
	key_len = strlen(key) + 1;
	name_len = name ? strlen(name) + 1 : 0;
	s = n < SETTINGS_MAX
		    ? calloc(1, sizeof(*s) + key_len + name_len + (value ? strlen(value) + 1 : 0))
		    : NULL;
	if (!s)
		return -ENOMEM;
	memcpy(s->key, key, key_len);
	text = s->key + key_len;
	if (name)
		s->name = memcpy(text, name, name_len);
	if (value)
		s->value = strcpy(text + name_len, value);
	*at = s;
	return 0;
}

void settings_free(struct tela_instance *i)
{
	struct setting *next;

	for (struct setting *s = i->settings; s; s = next) {
		next = s->next;
		free(s);
	}
	i->settings = NULL;
}

static bool is_for(
	const struct setting *s, const struct tela_instance *of, const struct tela_instance *i)
{
	return s->name ? !strcmp(s->name, i->name) : of == i;
}

/* Puts what `of` has set for `i` over *config, a block that becomes another one. */
static int put_over(struct tela_plugin_config **config, const struct tela_instance *of,
	const struct tela_instance *i)
{
	for (const struct setting *s = of->settings; s; s = s->next) {
		const struct tela_pair pair = {s->key, s->value};
		const struct tela_plugin_config over = {s->value ? 1 : 0, &pair};
		const char *const unset[] = {s->key, NULL};
		struct tela_plugin_config *merged;

		if (!is_for(s, of, i))
			continue;
		merged = config_merge(*config, &over, s->value ? NULL : unset);
		if (!merged)
			return -ENOMEM;
		free(*config);
		*config = merged;
	}
	return 0;
}

struct tela_plugin_config *settings_apply(const struct record *r, uint32_t first, uint32_t place,
	const struct tela_plugin_config *given)
{
	static const struct tela_plugin_config none;
	const struct tela_instance *i = r->declared[r->call[place]];
	struct tela_plugin_config *config = config_merge(given, &none, NULL);

	for (uint32_t p = first; config && p <= place; p++)
		if (put_over(&config, r->declared[r->call[p]], i)) {
			free(config);
			return NULL;
		}
	return config;
}

int settings_check(const struct record *r, uint32_t place, char *err, size_t err_len)
{
	const struct tela_instance *i = r->declared[r->call[place]];

	for (const struct setting *s = i->settings; s; s = s->next)
		for (uint32_t p = 0; s->name && p < place; p++) {
			if (strcmp(r->declared[r->call[p]]->name, s->name))
				continue;
			snprintf(err, err_len,
				"%s sets '%.64s' of '%.64s', which does not stand below it",
				i->what, s->key, s->name);
			return -EINVAL;
		}
	return 0;
}

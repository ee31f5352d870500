/* cmd_keys.c - configurations of plugins in JSON: values read, and shown with what their keys say.
 */
#include "command.h"
#include "keys.h"
#include "log_text.h"
#include "stack.h"

/* ---- read ---- */

/* NULL: it is no text, number or flag. */
static const char *scalar(const json_t *v, char text[64])
{
	if (json_is_string(v))
		return strchr(json_string_value(v), KEYS_ITEM) ? NULL : json_string_value(v);
	if (json_is_integer(v))
		snprintf(text, 64, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(text, 64, "%.17g", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(text, 64, "%s", json_is_true(v) ? "true" : "false");
	else
		return NULL;
	return text;
}

static char *no_value(int error)
{
	errno = error;
	return NULL;
}

static char *list_text(const json_t *list)
{
	char text[64], *all, *at;
	const char *item;
	size_t size = 2, i;
	json_t *v;

	json_array_foreach((json_t *)list, i, v)
	{
		item = scalar(v, text);
		if (!item || !*item)
			return no_value(EINVAL);
		size += strlen(item) + 1;
	}
	all = at = calloc(1, size);
	if (!all)
		return no_value(ENOMEM);
	*at = KEYS_ITEM; /* a list all the same, if it is empty */
	json_array_foreach((json_t *)list, i, v)
	{
		*at++ = KEYS_ITEM;
		at = stpcpy(at, scalar(v, text));
	}
	return all;
}

char *command_value(const json_t *v)
{
	char text[64];
	const char *value;

	if (json_is_array(v))
		return list_text(v);
	value = scalar(v, text);
	if (!value)
		return no_value(EINVAL);
	value = strdup(value);
	return value ? (char *)(uintptr_t)value : no_value(ENOMEM);
}

int command_no_value(const char *key, const json_t *v, char *err, size_t err_len)
{
	snprintf(err, err_len, "config.%.64s: expected a text, number, flag or a list of them%s",
		key, json_is_object(v) ? ", found a mapping: join its keys with dots" : "");
	return -EINVAL;
}

/* ---- shown ---- */

static json_t *json_of(const char *value)
{
	const char *at = value + 1, *end = value + strlen(value), *item;
	json_t *list;
	size_t len;

	if (!keys_is_list(value))
		return json_string(value);
	list = json_array();
	while (at < end && keys_next(&at, end, KEYS_ITEM, &item, &len))
		json_array_append_new(list, json_stringn(item, len));
	return list;
}

json_t *command_config_of(const struct tela_instance *i)
{
	json_t *o = json_object();

	for (uint32_t k = 0; k < i->config.n; k++)
		json_object_set_new(o, i->config.pairs[k].key, json_of(i->config.pairs[k].value));
	return o;
}

/* As one would write it behind `key=`. */
static size_t put_value(char *to, size_t size, size_t n, const char *key, const char *value)
{
	if (key && n < size)
		n += (size_t)snprintf(to + n, size - n, "%s%s:", n ? ";" : "", key);
	for (const char *c = value + keys_is_list(value); *c && n + 1 < size; c++)
		to[n++] = *c == KEYS_ITEM ? ',' : *c;
	to[n < size ? n : size - 1] = 0;
	return n;
}

/* What it is told, or its default; false: neither. */
static bool value_of(
	const struct tela_config_key *k, const struct tela_plugin_config *c, char *to, size_t size)
{
	const char *own = tela_config_str(c, k->name, NULL);
	size_t n = 0, len = strlen(k->name);

	*to = 0;
	if (own)
		n = put_value(to, size, n, NULL, own);
	for (uint32_t i = 0; k->type == TELA_CONFIG_MAP && i < c->n; i++) {
		const char *key = c->pairs[i].key;

		if (!strncmp(key, k->name, len) && key[len] == '.')
			n = put_value(to, size, n, key + len + 1, c->pairs[i].value);
	}
	if (!n && !own && k->fallback)
		n = put_value(to, size, n, NULL, k->fallback);
	log_text_repair(to); /* it may have been cut within a character */
	return own || n;
}

void command_keys(json_t *rows, const struct plugin *p, const struct tela_instance *i)
{
	const struct tela_plugin *desc = p->desc;
	char type[400], value[1024], name[160];

	for (uint32_t k = 0; k < desc->n_keys; k++) {
		const struct tela_config_key *key = &desc->keys[k];
		json_t *row = json_object();

		keys_expect(key, type, sizeof(type));
		snprintf(name, sizeof(name), "%s%s%s", i ? i->name : "", i ? "." : "", key->name);
		json_object_set_new(row, "key", json_string(name));
		if (i)
			json_object_set_new(row, "value",
				value_of(key, &i->config, value, sizeof(value)) ? json_string(value)
										: json_null());
		json_object_set_new(
			row, "default", key->fallback ? json_string(key->fallback) : json_null());
		json_object_set_new(row, "required", json_boolean(key->required));
		json_object_set_new(row, "expected", json_string(type));
		json_object_set_new(row, "help", json_string(key->help));
		json_array_append_new(rows, row);
	}
}

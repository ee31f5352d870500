#include "tela_plugin.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Pairs are sorted by key. */
const char *tela_config_str(
	const struct tela_plugin_config *c, const char *key, const char *fallback)
{
	uint32_t low = 0, high = c ? c->n : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(key, c->pairs[middle].key);

		if (!order)
			return c->pairs[middle].value;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return fallback;
}

int64_t tela_config_int(const struct tela_plugin_config *c, const char *key, int64_t fallback,
	int64_t min, int64_t max, int *ret_error)
{
	const char *text = tela_config_str(c, key, NULL);
	char *end;
	int64_t v;

	if (!text)
		return fallback;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (!errno && end != text && !*end && !isspace((unsigned char)*text) && v >= min &&
		v <= max)
		return v;
	if (ret_error)
		*ret_error = -EINVAL;
	return fallback;
}

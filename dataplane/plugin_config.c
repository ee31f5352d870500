#include "tela_plugin.h"

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

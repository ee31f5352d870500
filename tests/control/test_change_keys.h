/* test_change_keys.h - what the plugins of test_change.c can be told. */
#pragma once

#include "../../control/stack.h"

struct options {
	const char *x, *list, *push, *pushed, *wrong, *restart;
	uint32_t length;
	struct tela_list items;
	struct tela_map map;
};

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, x, .fallback = "nothing", .help = "any text"),
	TELA_CONFIG(struct options, list, .help = "grows"),
	TELA_CONFIG(struct options, length, .max = 99, .help = "of the list"),
	TELA_CONFIG(struct options, push, .help = "what pushed of b is to be"),
	TELA_CONFIG(struct options, pushed, .help = "what those above want"),
	TELA_CONFIG(struct options, wrong, .help = "whose key nobody knows"),
	TELA_CONFIG(struct options, restart, .help = "yes: it asks to be"),
	TELA_CONFIG(struct options, items, .fallback = "a,b", .help = "some"),
	TELA_CONFIG(struct options, map, .help = "one to another"),
};

/* What the keys make of the configuration, in every hook but the one that merges. */
static void check_values(const struct tela_hook *h, const char *hook)
{
	const struct options *o = h->values;

	CHECK(!o == !strcmp(hook, "config_merge"));
	CHECK(!o || !strcmp(o->x, tela_config_str(h->config, "x", "nothing")));
}

/* bare_node.h - a node without EAL, ports and a watchdog: cores that poll in plain threads, for
 * local calls, images and attached threads. What tela_node_create() and tela_node_start() do, less
 * what needs a device. */
#pragma once

#include "node.h"

/* For a test that makes a handful of local calls at a time. */
extern const struct tela_budgets bare_node_small;

/* NULL: out of memory. The cores stand still. */
struct tela_node *bare_node_create(uint32_t n_cores, const struct tela_budgets *budgets);
/* core_main() in a thread of its own for each core. */
void bare_node_start(struct tela_node *n);
/* Ends the loops and joins their threads: what they have written can be looked at. */
void bare_node_stop(struct tela_node *n);
/* The same, then tela_node_destroy(). */
void bare_node_destroy(struct tela_node *n);

/* Keys and values of what keeps bytes. */
static inline struct tela_bytes raw(const void *data, size_t len)
{
	return (struct tela_bytes){data, len};
}

static inline struct tela_bytes text(const char *s)
{
	return raw(s, strlen(s));
}

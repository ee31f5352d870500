/* names.h - the table behind tela_registry.h: as in state.h, writers take a lock, readers follow
 * chains that are whole at every moment, and what is taken out is freed a grace period later. */
#pragma once

#include "tela_registry.h"

struct names;

struct names *names_create(void);
void names_destroy(struct names *t); /* no reader is left, and no owner */

/* The node's, for names.c alone. */
struct names *node_names(struct tela_node *n);
void node_free_later(struct tela_node *n, void *memory);

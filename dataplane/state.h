/* state.h - the tables behind tela_state.h.
 *
 * A table is an array of chains. Writers take its lock, make a new item and link it with one store;
 * the old one is freed a grace period later. So a data core reads a chain without a lock, and what
 * it finds stays whole until its next quiescent state.
 *
 *      reader (core):   head (acquire) -> item -> next (acquire) -> ...
 *      writer (locked): item made whole, then linked (release)
 */
#pragma once

#include "tela_state.h"

struct tela_storage *storage_create(struct tela_node *node);
void storage_destroy(struct tela_storage *t); /* no reader is left */

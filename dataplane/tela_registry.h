/* tela_registry.h - who is where on this node: names of which there is one, and bags that hold many
 * entries under a key. An entry has a holder, which is a plugin's instance (h->owner of its hooks,
 * tela_plugin.h) or part of an embedding program. It goes when its owner ends, unless its successor
 * has claimed it. LOCAL TO THE NODE AND NOT DURABLE.
 *
 * Threads:   [core] on a data core, without locks: valid until the link, task or completion
 *            returns. [other] any thread but a data core; may wait for another one's lock, and is
 *            refused with -EPERM on a data core.
 * Ownership: keys and values are copied in; a value in the registry begins at a multiple of 8 and
 *            never changes. A value should be a number or a text, not a pointer to what its holder
 *            frees when it stops: a reader may still have found it.
 * Errors:    0 or -errno. -EINVAL: a key of no or more than TELA_KEY_MAX bytes. -E2BIG: a value
 *            above TELA_ENTRY_MAX. -ENOSPC: TELA_ENTRIES_MAX entries are there. -ESHUTDOWN: the
 *            owner has ended. -ENOMEM.
 */
#pragma once

#include "tela_state.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TELA_ENTRY_MAX = 4096, TELA_ENTRIES_MAX = 65536 };

struct tela_owner;

/* One entry, as it is found. */
struct tela_entry {
	const char *holder; /* "echo/cache, instance 7" */
	struct tela_bytes value;
};

/* Registers `name`, which nobody has. -EEXIST: somebody has it, the owner itself perhaps; `holder`
 * (NULL: not asked for) says who. [other] */
int tela_name_register(struct tela_owner *o, const char *name, struct tela_bytes value,
	char *holder, size_t holder_len);
/* -ENOENT: it is not this owner's. [other] */
int tela_name_unregister(struct tela_owner *o, const char *name);
/* False: nobody has it. [core] */
bool tela_name_find(struct tela_node *n, const char *name, struct tela_entry *ret);
/* Copies at most `room` bytes of its value; the length of all of it, or -ENOENT. [other] */
int64_t tela_name_copy(struct tela_node *n, const char *name, void *to, size_t room);

/* Adds an entry under `key`, whatever else is there. [other] */
int tela_bag_add(struct tela_owner *o, const char *key, struct tela_bytes value);
/* Takes out the owner's entries under `key`; how many, or an error. [other] */
int tela_bag_remove(struct tela_owner *o, const char *key);
/* The entry under `key` behind *at, oldest first; *at begins with NULL. False: no more. [core] */
bool tela_bag_next(struct tela_node *n, const char *key, const void **at, struct tela_entry *ret);
/* How many there are under `key`. [core], and [other] */
uint32_t tela_bag_count(struct tela_node *n, const char *key);

/* Calls fn for each entry, in no order but with those of one bag oldest first, until it returns
 * false; how many calls. The registry is locked meanwhile: fn may call nothing of this header.
 * [other] */
int64_t tela_registry_each(struct tela_node *n,
	bool (*fn)(void *arg, const char *key, bool bag, const struct tela_entry *e), void *arg);

/* ---- for an embedding program; a plugin has its owner from its node ---- */

/* `name`: for people, copied. NULL: no memory. Free it before the node. [other] */
struct tela_owner *tela_owner_create(struct tela_node *n, const char *name);
/* Its entries go, and it may have no more. [other] */
void tela_owner_close(struct tela_owner *o);
/* Closes it; NULL is allowed. [other] */
void tela_owner_free(struct tela_owner *o);
/* The names, the bags' entries of `from` are those of `to` from now on; a reader finds each all the
 * time. [other] */
void tela_owner_move(struct tela_owner *from, struct tela_owner *to, bool names, bool bags);

#ifdef __cplusplus
}
#endif

/* tela_state.h - what services remember outside of their instances: storage of one service, and a
 * store for the whole node. Bytes to bytes, in memory, local to the node: NOTHING HERE IS DURABLE,
 * and nothing is sent to other nodes.
 *
 *   storage  made with the service; survives pause, deactivation, replaced plugins; goes with the
 *            service (today: when the node ends)
 *   store    of the node, by domain and key: configuration that several services read
 *
 * Threads:   [core] on a data core, without locks: valid until the link, task or completion
 *            returns. [other] any thread but a data core; may wait for another one's lock, and is
 *            refused with -EPERM on a data core. Readers see each value whole, old or new.
 * Ownership: keys and values are copied in; what a getter returns belongs to the table, and begins
 *            at a multiple of 8. An absent one has data NULL; one of no bytes has not.
 * Errors:    0 or -errno. -EINVAL: an empty key or one above TELA_KEY_MAX. -E2BIG: a value above
 *            TELA_VALUE_MAX. -ENOSPC: the table is full (entries or bytes); what was there stays.
 *            -ENOMEM: likewise.
 */
#pragma once

#include "tela.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
	TELA_KEY_MAX = 255,
	TELA_VALUE_MAX = 1 << 20,
	TELA_STORAGE_ENTRIES = 65536, /* unless bounded otherwise */
	TELA_STORAGE_BYTES = 64 << 20 /* keys, values, and 32 bytes an entry */
};

struct tela_service;
struct tela_storage;

/* ---- storage of a service ---- */

/* Never NULL, and lives as long as the service. [any] */
struct tela_storage *tela_service_storage(struct tela_service *s);
/* Of the service that the plugin is part of. [hook] */
struct tela_hook;
struct tela_storage *tela_hook_storage(const struct tela_hook *h);
/* Other bounds, 0: as they are. -ENOSPC if it holds more already, -EINVAL above the defaults.
 * [other] */
int tela_storage_bound(struct tela_storage *t, uint32_t max_entries, uint64_t max_bytes);
/* Replaces what is there. [other] */
int tela_storage_put(struct tela_storage *t, struct tela_bytes key, struct tela_bytes value);
/* -EEXIST if there is one, which stays. [other] */
int tela_storage_put_new(struct tela_storage *t, struct tela_bytes key, struct tela_bytes value);
/* The value, or `fallback`. [core] */
struct tela_bytes tela_storage_get(
	const struct tela_storage *t, struct tela_bytes key, struct tela_bytes fallback);
/* Copies at most `room` bytes of it to `to`; the length of all of it, or -ENOENT. [other] */
int64_t tela_storage_copy(struct tela_storage *t, struct tela_bytes key, void *to, size_t room);
/* 0 also if there is none. [other] */
int tela_storage_delete(struct tela_storage *t, struct tela_bytes key);
/* Calls fn for each entry, in no order, until it returns false; how many calls. The table is locked
 * meanwhile: fn may call nothing of this header. -EPERM. [other] */
int64_t tela_storage_each(struct tela_storage *t,
	bool (*fn)(void *arg, struct tela_bytes key, struct tela_bytes value), void *arg);
/* Entries and bytes that it holds now. [other] */
void tela_storage_size(struct tela_storage *t, uint32_t *ret_entries, uint64_t *ret_bytes);

/* ---- the node's store: the same, by domain and key (together at most TELA_KEY_MAX - 1 bytes) ----
 */

int tela_store_put(
	struct tela_node *n, const char *domain, const char *key, struct tela_bytes value);
struct tela_bytes tela_store_get(
	struct tela_node *n, const char *domain, const char *key, struct tela_bytes fallback);
int64_t tela_store_copy(
	struct tela_node *n, const char *domain, const char *key, void *to, size_t room);
int tela_store_delete(struct tela_node *n, const char *domain, const char *key);
/* Adds `by` to an int64_t of 8 bytes, at once: -ENOENT if there is none, -EINVAL if it is not 8
 * bytes, -ERANGE if the sum is none. *ret (or NULL) is the sum. [other] */
int tela_store_increment(
	struct tela_node *n, const char *domain, const char *key, int64_t by, int64_t *ret);
/* Makes a list of `entry`, or puts it before the entries of the list that is there, unless it is
 * one of them. -EINVAL: what is there is no list. [other] */
int tela_store_add(
	struct tela_node *n, const char *domain, const char *key, struct tela_bytes entry);
/* The next entry of a list value (not at a multiple of 8); *at begins with 0. {NULL, 0}: no more,
 * or no list. [any] */
struct tela_bytes tela_list_next(struct tela_bytes list, size_t *at);
/* Replaces a value by what fn makes of it: up to `room` bytes to `to`, and their number; no other
 * writer comes between. A negative number is returned, and nothing changes. `old` is {NULL, 0} if
 * there is none. fn may call nothing of this header. [other] */
int tela_store_update(struct tela_node *n, const char *domain, const char *key, size_t room,
	int64_t (*fn)(void *arg, struct tela_bytes old, void *to, size_t room), void *arg);

#ifdef __cplusplus
}
#endif

/* kv_table.h - bytes to bytes for all cores of a node at once, in memory that is taken at the
 * start.
 *
 * Readers are lock-free and never wait for a writer, also not for one that was preempted. Writers
 * own the two buckets of their key while they change them; a writer that finds one owned tries a
 * bounded number of times and then says -EAGAIN. No call allocates, enters the kernel or loops
 * without bound.
 *
 * Together:  get, put, remove and stats from any thread; create and destroy when nobody else is
 * there. Effect:    each call takes effect at one moment between its start and its end
 * (linearizable). Errors:    0 or -errno: -EMSGSIZE (key or value too long), -ENOENT, -ENOSPC
 * (items or memory used up), -EAGAIN (busy).
 */
#pragma once

#include "base.h"

enum {
	KV_KEY_MAX = 256,
	KV_VALUE_MAX = 65536,
};

#define KV_ITEMS_MAX (1ull << 28)
#define KV_BYTES_MIN (8ull << 20) /* more slabs than sizes */
#define KV_BYTES_MAX (4ull << 30) /* it is all touched while the start hook's deadline runs */

struct kv_table;

struct kv_table_stats {
	uint64_t items, items_limit;
	uint64_t bytes;       /* of keys and values held */
	uint64_t bytes_limit; /* of memory, blocks rounded up included */
	uint64_t bytes_free;  /* of it, in slabs that no size has been given to */
	uint64_t busy;        /* calls that ended -EAGAIN */
	uint64_t full;        /* and -ENOSPC */
};

/* NULL with errno EINVAL, ENOMEM. */
struct kv_table *kv_table_create(uint64_t items, uint64_t bytes);
void kv_table_destroy(struct kv_table *t);

/* An item that is replaced needs room for both values until it is. */
int kv_table_put(struct kv_table *t, const uint8_t *key, size_t key_len, const uint8_t *value,
	size_t value_len, bool *ret_existed);
/* `value` has room for KV_VALUE_MAX bytes. */
int kv_table_get(
	struct kv_table *t, const uint8_t *key, size_t key_len, uint8_t *value, size_t *ret_len);
int kv_table_remove(struct kv_table *t, const uint8_t *key, size_t key_len, bool *ret_existed);
void kv_table_stats(const struct kv_table *t, struct kv_table_stats *ret);

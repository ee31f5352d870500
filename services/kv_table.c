/* kv_table.c - see kv_table.h.
 *
 * A bucket is a cache line with seven slots; a slot is one word, 32 bits of the key's hash and a
 * block. A key may stand in either of two buckets (with three items a bucket on average, both being
 * full does not happen in practice; it is answered like any other lack of room). A block holds its
 * seq, the lengths, key and value, and is never changed while a slot refers to it: a put fills a
 * new one and exchanges the slot.
 *
 * Why a reader is right. It loads the slot (S1), the block's seq (Q1, even), key and value, then
 * the slot again (S2) and seq again (Q2). Every load is acquire and every store to a block release,
 * so they happen in this order, and a change of the block before Q2 that affected what was read
 * shows in Q2. With Q1 = Q2 the block did not change in between, and with S1 = S2 it was in the
 * table at S2: that is the moment the read takes effect. Anything else is tried again, and that
 * another writer got on is why.
 *
 * Why "not found" is right, though fourteen slots are not looked at in one moment: an item never
 * moves. It keeps its slot when it is replaced, so a key that was there all the time is found; and
 * if it was not, there was a moment without it between the start of the search and its end.
 *
 * Why freed memory may be used at once: what a reader still looks at keeps its seq in its place
 * (kv_slab.h), so it cannot take a new item's bytes for the old one's.
 */
#include "kv_table.h"

#include <sys/random.h>

#include "kv_item.h"
#include "kv_slab.h"
#include "siphash.h"

enum {
	SLOTS = 7,
	ITEMS_PER_BUCKET = 3,
	OWN_TRIES = 256,  /* about ten microseconds */
	READ_TRIES = 256, /* each lost one means that this very key was written meanwhile */
};

struct bucket {
	_Atomic uint32_t owned;
	uint32_t parked; /* a block that could not be freed yet; the owner's */
	_Atomic uint64_t slot[SLOTS];
} cache_aligned;

_Static_assert(sizeof(struct bucket) == CACHE_LINE, "a bucket is a cache line");
_Static_assert(16 + KV_KEY_MAX + KV_VALUE_MAX <= KV_BLOCK_UNITS * KV_UNIT, "the largest item fits");

struct kv_table {
	struct bucket *buckets;
	uint32_t mask;
	uint64_t items_limit;
	uint64_t seed[2];
	_Atomic uint64_t items cache_aligned;
	_Atomic uint64_t bytes;
	_Atomic uint64_t busy cache_aligned;
	_Atomic uint64_t full;
	struct kv_slab slab;
};

/* Where a key may stand. */
struct place {
	struct bucket *first, *second;
	uint32_t tag;
	const uint8_t *key;
	uint32_t len;
};

struct kv_table *kv_table_create(uint64_t items, uint64_t bytes)
{
	struct kv_table *t;
	uint64_t n = 2;
	int rc = -ENOMEM;

	if (!items || items > KV_ITEMS_MAX || bytes < KV_BYTES_MIN || bytes > KV_BYTES_MAX) {
		errno = EINVAL;
		return NULL;
	}
	while (n * ITEMS_PER_BUCKET < items)
		n *= 2;
	t = aligned_alloc(CACHE_LINE, sizeof(*t));
	if (!t)
		goto fail;
	memset(t, 0, sizeof(*t));
	t->mask = (uint32_t)(n - 1);
	t->items_limit = items;
	if (getrandom(t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		goto fail;
	t->buckets = aligned_alloc(CACHE_LINE, n * sizeof(*t->buckets));
	if (!t->buckets)
		goto fail;
	memset(t->buckets, 0, n * sizeof(*t->buckets));
	rc = kv_slab_init(&t->slab, bytes);
	if (rc)
		goto fail;
	return t;
fail:
	if (t)
		free(t->buckets);
	free(t);
	errno = -rc;
	return NULL;
}

void kv_table_destroy(struct kv_table *t)
{
	if (!t)
		return;
	kv_slab_fini(&t->slab);
	free(t->buckets);
	free(t);
}

/* ---- places ---- */

/* A seeded hash that an attacker cannot aim at: who may put, may choose keys. */
static uint64_t hash(const struct kv_table *t, const uint8_t *key, uint32_t len)
{
	uint64_t words[1 + KV_KEY_MAX / 8];
	uint32_t n = kv_words(len);

	words[0] = len;
	for (uint32_t i = 0; i < n; i++)
		words[1 + i] = kv_word(key + i * 8, len - i * 8);
	return siphash_words(t->seed, words, 1 + n);
}

static void locate(const struct kv_table *t, const uint8_t *key, size_t len, struct place *p)
{
	uint64_t h = hash(t, key, (uint32_t)len);
	uint32_t first = (uint32_t)h & t->mask;

	p->tag = (uint32_t)(h >> 32);
	/* An odd distance: never the same bucket. */
	p->first = &t->buckets[first];
	p->second = &t->buckets[(first ^ (p->tag | 1)) & t->mask];
	p->key = key;
	p->len = (uint32_t)len;
}

static bool own(struct bucket *b)
{
	for (unsigned i = 0; i < OWN_TRIES; i++) {
		uint32_t no = 0;

		if (!atomic_load_explicit(&b->owned, memory_order_relaxed) &&
			atomic_compare_exchange_strong_explicit(
				&b->owned, &no, 1, memory_order_acquire, memory_order_relaxed))
			return true;
		kv_pause();
	}
	return false;
}

static void disown(struct bucket *b)
{
	atomic_store_explicit(&b->owned, 0, memory_order_release); /* pairs with own */
}

/* Frees what an earlier writer had to leave here, so that this one may leave something too. */
static bool unpark(struct kv_table *t, struct bucket *b)
{
	if (b->parked && !kv_slab_free(&t->slab, b->parked))
		return false;
	b->parked = 0;
	return true;
}

static bool own_place(struct kv_table *t, struct place *p)
{
	/* In order of address, so that two writers of the same pair do not both lose. */
	struct bucket *low = p->first < p->second ? p->first : p->second;
	struct bucket *high = p->first < p->second ? p->second : p->first;

	if (!own(low))
		return false;
	if (own(high)) {
		if (unpark(t, p->first))
			return true;
		disown(high);
	}
	disown(low);
	return false;
}

static void disown_place(struct place *p)
{
	disown(p->first);
	disown(p->second);
}

/* ---- under ownership: slots do not change, blocks in them neither ---- */

static _Atomic uint64_t *find_in(struct kv_table *t, struct bucket *b, const struct place *p)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t w = kv_load(&b->slot[i]);
		const struct kv_block *block;

		if (!(uint32_t)w || w >> 32 != p->tag)
			continue;
		block = kv_slab_block(&t->slab, (uint32_t)w);
		if (kv_load(&block->word[0]) >> 32 == p->len &&
			kv_words_equal(kv_item_key(block), p->key, p->len))
			return &b->slot[i];
	}
	return NULL;
}

static _Atomic uint64_t *find_owned(struct kv_table *t, const struct place *p)
{
	_Atomic uint64_t *slot = find_in(t, p->first, p);

	return slot ? slot : find_in(t, p->second, p);
}

/* The last empty slot of a bucket and how many there are. */
static _Atomic uint64_t *vacant_in(struct bucket *b, unsigned *ret_n)
{
	_Atomic uint64_t *slot = NULL;

	*ret_n = 0;
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!kv_load(&b->slot[i])) {
			slot = &b->slot[i];
			++*ret_n;
		}
	}
	return slot;
}

/* The emptier bucket takes the item: that is what keeps both from being full. */
static _Atomic uint64_t *vacant(const struct place *p)
{
	unsigned n_first, n_second;
	_Atomic uint64_t *first = vacant_in(p->first, &n_first);
	_Atomic uint64_t *second = vacant_in(p->second, &n_second);

	return n_first >= n_second ? first : second;
}

static void fill(struct kv_block *b, const struct place *p, const uint8_t *value, size_t value_len)
{
	kv_store(&b->word[0], kv_item_lengths(p->len, (uint32_t)value_len));
	kv_words_store(&b->word[1], p->key, p->len);
	kv_words_store(&b->word[1 + kv_words(p->len)], value, value_len);
	/* Even: pairs with Q1. */
	kv_store(&b->seq, atomic_load_explicit(&b->seq, memory_order_relaxed) + 1);
}

/* No slot refers to the block any more. */
static void retire(struct kv_table *t, struct place *p, uint32_t ref)
{
	struct kv_block *b = kv_slab_block(&t->slab, ref);

	/* Odd: pairs with Q2. */
	kv_store(&b->seq, atomic_load_explicit(&b->seq, memory_order_relaxed) + 1);
	if (!kv_slab_free(&t->slab, ref))
		p->first->parked = ref;
}

static bool admit_item(struct kv_table *t)
{
	if (atomic_fetch_add_explicit(&t->items, 1, memory_order_relaxed) < t->items_limit)
		return true;
	atomic_fetch_sub_explicit(&t->items, 1, memory_order_relaxed);
	return false;
}

/* Fills a new block and puts it where `slot` is; nothing has changed if this fails. */
static int replace(struct kv_table *t, struct place *p, _Atomic uint64_t *slot,
	const uint8_t *value, size_t value_len)
{
	uint64_t old = kv_load(slot), bytes = p->len + value_len;
	struct kv_block *b;
	uint32_t ref;
	int rc = kv_slab_alloc(&t->slab, 1 + kv_words(p->len) + kv_words(value_len), &ref);

	if (rc)
		return rc;
	b = kv_slab_block(&t->slab, ref);
	fill(b, p, value, value_len);
	kv_store(slot, (uint64_t)p->tag << 32 | ref); /* pairs with S1 */
	if ((uint32_t)old) {
		/* Wraps below zero in between, and the sum is right. */
		bytes -= kv_item_bytes(kv_slab_block(&t->slab, (uint32_t)old));
		retire(t, p, (uint32_t)old);
	}
	atomic_fetch_add_explicit(&t->bytes, bytes, memory_order_relaxed);
	return 0;
}

static int put_owned(struct kv_table *t, struct place *p, const uint8_t *value, size_t value_len,
	bool *ret_existed)
{
	_Atomic uint64_t *slot = find_owned(t, p);
	bool existed = slot != NULL;
	int rc;

	if (!existed) {
		slot = vacant(p);
		if (!slot || !admit_item(t))
			return -ENOSPC;
	}
	rc = replace(t, p, slot, value, value_len);
	if (rc && !existed)
		atomic_fetch_sub_explicit(&t->items, 1, memory_order_relaxed);
	if (!rc)
		*ret_existed = existed;
	return rc;
}

static void remove_owned(struct kv_table *t, struct place *p, bool *ret_existed)
{
	_Atomic uint64_t *slot = find_owned(t, p);
	uint32_t ref;

	*ret_existed = slot != NULL;
	if (!slot)
		return;
	ref = (uint32_t)kv_load(slot);
	kv_store(slot, 0);
	atomic_fetch_sub_explicit(
		&t->bytes, kv_item_bytes(kv_slab_block(&t->slab, ref)), memory_order_relaxed);
	atomic_fetch_sub_explicit(&t->items, 1, memory_order_relaxed);
	retire(t, p, ref);
}

/* ---- readers ---- */

/* What slot word `w` refers to: 0 and the value; -ENOENT, another key; -EAGAIN, it changed
 * meanwhile. */
static int read_item(struct kv_table *t, const _Atomic uint64_t *slot, uint64_t w,
	const struct place *p, uint8_t *value, size_t *ret_len)
{
	const struct kv_block *b = kv_slab_block(&t->slab, (uint32_t)w);
	uint64_t seq = kv_load(&b->seq); /* Q1 */
	uint64_t lens = kv_load(&b->word[0]);
	bool same;

	/* Lengths are believed only once they are known to be this item's: then they fit the block.
	 */
	if (seq & 1 || kv_load(&b->seq) != seq)
		return -EAGAIN;
	same = lens >> 32 == p->len && kv_words_equal(kv_item_key(b), p->key, p->len);
	if (same)
		kv_words_load(value, kv_item_value(b, p->len), (uint32_t)lens);
	if (kv_load(slot) != w || kv_load(&b->seq) != seq) /* S2, Q2 */
		return -EAGAIN;
	if (!same)
		return -ENOENT;
	*ret_len = (uint32_t)lens;
	return 0;
}

static int read_bucket(struct kv_table *t, struct bucket *b, const struct place *p, uint8_t *value,
	size_t *ret_len)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t w = kv_load(&b->slot[i]); /* S1 */
		int rc;

		if (!(uint32_t)w || w >> 32 != p->tag)
			continue;
		rc = read_item(t, &b->slot[i], w, p, value, ret_len);
		if (rc != -ENOENT)
			return rc;
	}
	return -ENOENT;
}

/* ---- calls ---- */

/* Counts what a call ends with. */
static int ended(struct kv_table *t, int rc)
{
	if (rc == -EAGAIN)
		atomic_fetch_add_explicit(&t->busy, 1, memory_order_relaxed);
	else if (rc == -ENOSPC)
		atomic_fetch_add_explicit(&t->full, 1, memory_order_relaxed);
	return rc;
}

int kv_table_get(
	struct kv_table *t, const uint8_t *key, size_t key_len, uint8_t *value, size_t *ret_len)
{
	struct place p;

	if (key_len > KV_KEY_MAX)
		return -EMSGSIZE;
	locate(t, key, key_len, &p);
	for (unsigned i = 0; i < READ_TRIES; i++) {
		int rc = read_bucket(t, p.first, &p, value, ret_len);

		if (rc == -ENOENT)
			rc = read_bucket(t, p.second, &p, value, ret_len);
		if (rc != -EAGAIN)
			return rc;
		kv_pause();
	}
	return ended(t, -EAGAIN);
}

int kv_table_put(struct kv_table *t, const uint8_t *key, size_t key_len, const uint8_t *value,
	size_t value_len, bool *ret_existed)
{
	struct place p;
	int rc;

	if (key_len > KV_KEY_MAX || value_len > KV_VALUE_MAX)
		return -EMSGSIZE;
	locate(t, key, key_len, &p);
	if (!own_place(t, &p))
		return ended(t, -EAGAIN);
	rc = put_owned(t, &p, value, value_len, ret_existed);
	disown_place(&p);
	return ended(t, rc);
}

int kv_table_remove(struct kv_table *t, const uint8_t *key, size_t key_len, bool *ret_existed)
{
	struct place p;

	if (key_len > KV_KEY_MAX)
		return -EMSGSIZE;
	locate(t, key, key_len, &p);
	if (!own_place(t, &p))
		return ended(t, -EAGAIN);
	remove_owned(t, &p, ret_existed);
	disown_place(&p);
	return 0;
}

void kv_table_stats(const struct kv_table *t, struct kv_table_stats *ret)
{
	*ret = (struct kv_table_stats){
		.items = min_u64(
			atomic_load_explicit(&t->items, memory_order_relaxed), t->items_limit),
		.items_limit = t->items_limit,
		.bytes = atomic_load_explicit(&t->bytes, memory_order_relaxed),
		.bytes_limit = t->slab.bytes,
		.bytes_free = atomic_load_explicit(&t->slab.slabs_left, memory_order_relaxed) *
			      KV_SLAB_BYTES,
		.busy = atomic_load_explicit(&t->busy, memory_order_relaxed),
		.full = atomic_load_explicit(&t->full, memory_order_relaxed),
	};
}

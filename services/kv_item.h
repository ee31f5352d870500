/* kv_item.h - an item inside a block: word[0] has the length of the key (high half) and of the
 * value, then come the key and the value, each in whole words.
 *
 * Others may write while we read, so it is all atomic words. Each load is acquire and each store
 * release: on x86 that costs nothing, and elsewhere it is what puts them between the two looks at
 * the block's seq (kv_table.c).
 */
#pragma once

#include "base.h"
#include "kv_slab.h"

static inline uint32_t kv_words(size_t bytes)
{
	return (uint32_t)((bytes + 7) / 8);
}

/* Up to 8 bytes as a word, zeros behind the end. */
static inline uint64_t kv_word(const uint8_t *p, size_t left)
{
	uint64_t w = 0;

	if (likely(left >= 8))
		memcpy(&w, p, 8);
	else
		memcpy(&w, p, left);
	return w;
}

static inline uint64_t kv_load(const _Atomic uint64_t *w)
{
	return atomic_load_explicit(w, memory_order_acquire);
}

static inline void kv_store(_Atomic uint64_t *w, uint64_t v)
{
	atomic_store_explicit(w, v, memory_order_release);
}

static inline void kv_words_store(_Atomic uint64_t *to, const uint8_t *from, size_t len)
{
	for (size_t at = 0; at < len; at += 8)
		kv_store(&to[at / 8], kv_word(from + at, len - at));
}

static inline void kv_words_load(uint8_t *to, const _Atomic uint64_t *from, size_t len)
{
	for (size_t at = 0; at < len; at += 8) {
		uint64_t w = kv_load(&from[at / 8]);

		if (likely(len - at >= 8))
			memcpy(to + at, &w, 8);
		else
			memcpy(to + at, &w, len - at);
	}
}

static inline bool kv_words_equal(const _Atomic uint64_t *a, const uint8_t *b, size_t len)
{
	for (size_t at = 0; at < len; at += 8)
		if (kv_load(&a[at / 8]) != kv_word(b + at, len - at))
			return false;
	return true;
}

static inline uint64_t kv_item_lengths(uint32_t key_len, uint32_t value_len)
{
	return (uint64_t)key_len << 32 | value_len;
}

static inline const _Atomic uint64_t *kv_item_key(const struct kv_block *b)
{
	return &b->word[1];
}

static inline const _Atomic uint64_t *kv_item_value(const struct kv_block *b, uint32_t key_len)
{
	return &b->word[1 + kv_words(key_len)];
}

static inline uint64_t kv_item_bytes(const struct kv_block *b)
{
	uint64_t w = kv_load(&b->word[0]);

	return (w >> 32) + (uint32_t)w;
}

/* kv_slab.h - blocks of memory in size classes, out of one mapping made at the start.
 *
 * Any core allocates and frees, without locks and in bounded steps: a step that loses every one of
 * its tries says -EAGAIN instead of going on. Blocks are named by a 32-bit reference, 0 is none.
 *
 * Memory is type-stable: a block is a block of its class until the mapping goes, and its first word
 * (`seq`) is never anything else. That is what lets a reader look into a block that was freed under
 * its hands: it reads rubbish, sees `seq` changed, and drops what it read. The price: a slab given
 * to one class never serves another one, so a table full of small items that are then removed has
 * little room for large ones; small ones do go into larger blocks when theirs are used up.
 */
#pragma once

#include "base.h"

enum {
	KV_UNIT = 64,          /* bytes; blocks stand at multiples of it */
	KV_SLAB_UNITS = 4160,  /* four blocks of the largest class, in whole pages: 260 KiB */
	KV_BLOCK_UNITS = 1029, /* largest class: 16 + 256 + 65536 bytes in whole units */
	KV_CLASSES = 20,
};

#define KV_SLAB_BYTES ((uint64_t)KV_SLAB_UNITS * KV_UNIT)

/* `seq` is odd while a block is free or being filled, and goes up with each change. All words are
 * read while others write them, hence atomics throughout. */
struct kv_block {
	_Atomic uint64_t seq;
	_Atomic uint64_t word[]; /* word[0] links free blocks */
};

struct kv_slab_class {
	_Atomic uint64_t free;  /* stack: tag in the high half, top block in the low */
	_Atomic uint64_t fresh; /* never used yet: end in the high half, next in the low */
} cache_aligned;

struct kv_slab {
	uint8_t *base;
	uint64_t bytes;
	uint32_t n_slabs;
	uint8_t *class_of; /* [n_slabs], written by whoever takes the slab, before any of its blocks
			      is seen */
	_Atomic uint64_t slabs
		cache_aligned; /* stack of slabs without a class, each named by its first block */
	_Atomic uint32_t slabs_left;
	struct kv_slab_class class[KV_CLASSES];
};

/* Maps and touches `bytes`, rounded down to whole slabs. 0, -EINVAL (less than one slab, or more
 * than references can name), -ENOMEM. */
int kv_slab_init(struct kv_slab *s, uint64_t bytes);
void kv_slab_fini(struct kv_slab *s);

/* A block with `words` words behind its seq, which is odd. 0, -ENOSPC (no memory for this size),
 * -EAGAIN. */
int kv_slab_alloc(struct kv_slab *s, uint32_t words, uint32_t *ret_ref);
/* Frees a block whose seq the caller has made odd. False: lost all tries, it is still the caller's.
 */
bool kv_slab_free(struct kv_slab *s, uint32_t ref);

static inline struct kv_block *kv_slab_block(const struct kv_slab *s, uint32_t ref)
{
	return (struct kv_block *)(s->base + (uint64_t)(ref - 1) * KV_UNIT);
}

/* Between two tries at what another core holds. */
static inline void kv_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

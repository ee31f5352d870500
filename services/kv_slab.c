/* kv_slab.c - see kv_slab.h.
 *
 * Free blocks of a class are a stack (Treiber). A pop reads the link of a block that another core
 * may have popped already; the link is then rubbish, and the tag, counted up by every change of the
 * top, makes the exchange fail. The tag has 32 bits: it would take a core that stands still for
 * exactly 2^32 changes.
 *
 * Blocks that were never used are cut off a slab in order (`fresh`). When a slab is used up, one
 * core marks that it fetches the next one (REFILL); the others are told -EAGAIN meanwhile rather
 * than made to wait.
 */
#include "kv_slab.h"

#include <sys/mman.h>

enum { TRIES = 64 };

#define REFILL UINT64_MAX

static const uint16_t class_units[KV_CLASSES] = {
	1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, KV_BLOCK_UNITS};

_Static_assert(KV_SLAB_UNITS >= 4 * KV_BLOCK_UNITS, "a slab has four of the largest blocks");
_Static_assert(KV_SLAB_UNITS *KV_UNIT % 4096 == 0, "a slab is whole pages");
_Static_assert(sizeof(struct kv_block) == 8, "seq alone before the words");

static bool push(struct kv_slab *s, _Atomic uint64_t *stack, uint32_t ref)
{
	_Atomic uint64_t *link = &kv_slab_block(s, ref)->word[0];
	uint64_t top = atomic_load_explicit(stack, memory_order_relaxed);

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t next = ((top >> 32) + 1) << 32 | ref;

		/* Release, as every word of a block: not before its odd seq. */
		atomic_store_explicit(link, (uint32_t)top, memory_order_release);
		/* Pairs with pop. */
		if (atomic_compare_exchange_strong_explicit(
			    stack, &top, next, memory_order_release, memory_order_relaxed))
			return true;
		kv_pause();
	}
	return false;
}

/* 0, -ENOSPC (empty), -EAGAIN. */
static int pop(struct kv_slab *s, _Atomic uint64_t *stack, uint32_t *ret_ref)
{
	uint64_t top = atomic_load_explicit(stack, memory_order_acquire);

	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t ref = (uint32_t)top;
		uint64_t link;

		if (!ref)
			return -ENOSPC;
		link = atomic_load_explicit(&kv_slab_block(s, ref)->word[0], memory_order_relaxed);
		link = ((top >> 32) + 1) << 32 | (uint32_t)link;
		/* Pairs with push. */
		if (atomic_compare_exchange_strong_explicit(
			    stack, &top, link, memory_order_acquire, memory_order_acquire)) {
			*ret_ref = ref;
			return 0;
		}
		kv_pause();
	}
	return -EAGAIN;
}

int kv_slab_init(struct kv_slab *s, uint64_t bytes)
{
	uint64_t n = bytes / KV_SLAB_BYTES;

	memset(s, 0, sizeof(*s));
	if (!n || n > UINT32_MAX / KV_SLAB_UNITS - 1)
		return -EINVAL;
	s->n_slabs = (uint32_t)n;
	s->bytes = n * KV_SLAB_BYTES;
	s->class_of = calloc(n, 1);
	if (!s->class_of)
		return -ENOMEM;
	s->base = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->base == MAP_FAILED) {
		s->base = NULL;
		free(s->class_of);
		return -ENOMEM;
	}
	(void)madvise(s->base, s->bytes, MADV_HUGEPAGE); /* a wish: nothing depends on it */
	/* A data core must not take a page fault later. */
	for (uint64_t at = 0; at < s->bytes; at += 4096)
		*(volatile uint8_t *)(s->base + at) = 0;
	for (uint32_t i = s->n_slabs; i-- > 0;)
		push(s, &s->slabs, i * KV_SLAB_UNITS + 1);
	atomic_store_explicit(&s->slabs_left, s->n_slabs, memory_order_relaxed);
	return 0;
}

void kv_slab_fini(struct kv_slab *s)
{
	if (s->base)
		munmap(s->base, s->bytes);
	free(s->class_of);
	s->base = NULL;
	s->class_of = NULL;
}

/* The caller alone has marked the class. Puts a new slab behind `fresh`, its first block taken;
 * without one, what was there before. */
static int refill(struct kv_slab *s, unsigned class, uint64_t before, uint32_t *ret_ref)
{
	struct kv_slab_class *c = &s->class[class];
	uint32_t first;
	int rc = pop(s, &s->slabs, &first);

	if (rc) {
		atomic_store_explicit(&c->fresh, before, memory_order_release);
		return rc;
	}
	atomic_fetch_sub_explicit(&s->slabs_left, 1, memory_order_relaxed);
	s->class_of[(first - 1) / KV_SLAB_UNITS] = (uint8_t) class;
	*ret_ref = first;
	/* Pairs with cut: whoever gets a block sees the slab's class. */
	atomic_store_explicit(&c->fresh,
		(uint64_t)(first + KV_SLAB_UNITS) << 32 | (first + class_units[class]),
		memory_order_release);
	return 0;
}

/* A block that was never used. */
static int cut(struct kv_slab *s, unsigned class, uint32_t *ret_ref)
{
	struct kv_slab_class *c = &s->class[class];
	uint64_t fresh = atomic_load_explicit(&c->fresh, memory_order_acquire);

	for (unsigned i = 0; i < TRIES && fresh != REFILL; i++) {
		uint32_t next = (uint32_t)fresh, end = (uint32_t)(fresh >> 32);
		bool used_up = next + class_units[class] > end;
		uint64_t then = used_up ? REFILL : fresh + class_units[class];

		if (!atomic_load_explicit(&s->slabs_left, memory_order_relaxed) && used_up)
			return -ENOSPC;
		if (!atomic_compare_exchange_strong_explicit(
			    &c->fresh, &fresh, then, memory_order_acquire, memory_order_acquire))
			continue;
		if (used_up)
			return refill(s, class, fresh, ret_ref);
		*ret_ref = next;
		return 0;
	}
	return -EAGAIN;
}

static unsigned class_for(uint32_t words)
{
	uint32_t units = (uint32_t)((((uint64_t)words + 1) * 8 + KV_UNIT - 1) / KV_UNIT);
	unsigned class = 0;

	while (class < KV_CLASSES && class_units[class] < units)
		class ++;
	return class;
}

int kv_slab_alloc(struct kv_slab *s, uint32_t words, uint32_t *ret_ref)
{
	int rc = -ENOSPC;

	for (unsigned class = class_for(words); class < KV_CLASSES && rc == -ENOSPC; class ++) {
		rc = pop(s, &s->class[class].free, ret_ref);
		if (rc == -ENOSPC)
			rc = cut(s, class, ret_ref);
	}
	if (!rc) {
		struct kv_block *b = kv_slab_block(s, *ret_ref);
		uint64_t seq = atomic_load_explicit(&b->seq, memory_order_relaxed);

		/* Only a block that was never used has an even one. */
		atomic_store_explicit(&b->seq, seq | 1, memory_order_relaxed);
	}
	return rc;
}

bool kv_slab_free(struct kv_slab *s, uint32_t ref)
{
	unsigned class = s->class_of[(ref - 1) / KV_SLAB_UNITS];

	return push(s, &s->class[class].free, ref);
}

/* xring.h - a single-producer single-consumer ring of pointers between a data core and another
 * thread.
 *
 * The producer owns `head`, the consumer `tail`, each on its own line. push's release store of head
 * pairs with pop's acquire load of it (the pointed-to message is seen whole); pop's release store
 * of tail pairs with push's acquire load (the place is free before it is written again).
 */
#pragma once

#include "base.h"

enum { XRING_SIZE = 256 };

struct xring {
	_Atomic uint32_t head cache_aligned; /* next place to fill */
	_Atomic uint32_t tail cache_aligned; /* next place to take */
	void *place[XRING_SIZE] cache_aligned;
};

/* False: full. */
static inline bool xring_push(struct xring *r, void *p)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == XRING_SIZE)
		return false;
	r->place[head % XRING_SIZE] = p;
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	return true;
}

static inline void *xring_pop(struct xring *r)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	void *p;

	if (atomic_load_explicit(&r->head, memory_order_acquire) == tail)
		return NULL;
	p = r->place[tail % XRING_SIZE];
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return p;
}

/* [producer] */
static inline bool xring_full(const struct xring *r)
{
	return atomic_load_explicit(&r->head, memory_order_relaxed) -
		       atomic_load_explicit(&r->tail, memory_order_acquire) ==
	       XRING_SIZE;
}

static inline bool xring_empty(const struct xring *r)
{
	return atomic_load_explicit(&r->head, memory_order_acquire) ==
	       atomic_load_explicit(&r->tail, memory_order_relaxed);
}

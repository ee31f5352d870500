/* svc_ring.h - from data cores to one thread: a bounded ring of fixed-size cells, many producers
 * and one consumer. Producers are wait-free: two atomic additions, no loop.
 *
 * A place is *reserved* first, and that is all that can fail; what is reserved can be written later
 * without fail, or given back. This is what a link needs that makes its call pending in between.
 * The place is *released* by the consumer when it likes: a consumer that keeps what it popped for a
 * while (a delayed answer) releases it at the end, so that the bound covers what it keeps too.
 *
 * Why a ticket's cell is free: tickets are popped in order, and there are never more reservations
 * than cells. Were the cell's last use, ticket t - n, not popped yet, tickets t - n to t would all
 * be reserved: n + 1 of them. That the pop is visible as well: some ticket up to t was reserved
 * after that release (`used`, acquire in reserve, release in release), and tickets hand this on
 * (`tail`, acq_rel).
 *
 * A producer that is preempted between cell and publish makes the consumer wait, never a producer.
 */
#pragma once

#include "base.h"

struct svc_ring {
	/* Line 0: producers and the consumer's releases. */
	_Atomic uint32_t used;
	/* Line 1: producers. */
	_Atomic uint32_t tail cache_aligned;
	/* Line 2: the consumer. */
	uint32_t head cache_aligned;
	/* Line 3: nobody writes. */
	uint32_t mask cache_aligned;
	uint32_t stride;
	uint8_t *cells;
};

struct svc_ring_cell {
	_Atomic uint32_t ready; /* ticket + 1 once it may be read */
	uint32_t ticket;
	uint64_t data[];
};

/* `n` cells, a power of two up to 2^20, of `size` bytes each. 0, -EINVAL, -ENOMEM. */
static inline int svc_ring_init(struct svc_ring *r, uint32_t n, uint32_t size)
{
	if (!n || n & (n - 1) || n > 1u << 20 || size > 1u << 16)
		return -EINVAL;
	memset(r, 0, sizeof(*r));
	r->stride = (uint32_t)sizeof(struct svc_ring_cell) + ALIGN8(size);
	r->mask = n - 1;
	r->cells = calloc(n, r->stride);
	return r->cells ? 0 : -ENOMEM;
}

static inline void svc_ring_fini(struct svc_ring *r)
{
	free(r->cells);
	r->cells = NULL;
}

static inline struct svc_ring_cell *svc_ring_at(const struct svc_ring *r, uint32_t ticket)
{
	return (struct svc_ring_cell *)(r->cells + (size_t)(ticket & r->mask) * r->stride);
}

/* Takes a place; false: the ring is full. Producers that overshoot together may all be refused one
 * place early. [producers] */
static inline bool svc_ring_reserve(struct svc_ring *r)
{
	if (atomic_fetch_add_explicit(&r->used, 1, memory_order_acquire) <= r->mask)
		return true;
	atomic_fetch_sub_explicit(&r->used, 1, memory_order_relaxed);
	return false;
}

/* Gives `n` places back: a producer that will not write, or the consumer after pop. */
static inline void svc_ring_release(struct svc_ring *r, uint32_t n)
{
	atomic_fetch_sub_explicit(&r->used, n, memory_order_release);
}

/* The cell to write for a reserved place; publish it soon. [producers] */
static inline void *svc_ring_cell(struct svc_ring *r)
{
	uint32_t ticket = atomic_fetch_add_explicit(&r->tail, 1, memory_order_acq_rel);
	struct svc_ring_cell *c = svc_ring_at(r, ticket);

	c->ticket = ticket;
	return c->data;
}

static inline void svc_ring_publish(void *data)
{
	struct svc_ring_cell *c = container_of(data, struct svc_ring_cell, data);

	/* Pairs with svc_ring_peek. */
	atomic_store_explicit(&c->ready, c->ticket + 1, memory_order_release);
}

/* The oldest cell, NULL if there is none (or it is still being written). [consumer] */
static inline const void *svc_ring_peek(const struct svc_ring *r)
{
	struct svc_ring_cell *c = svc_ring_at(r, r->head);

	if (atomic_load_explicit(&c->ready, memory_order_acquire) != r->head + 1)
		return NULL;
	return c->data;
}

/* Done with reading the oldest cell; its place stays reserved until svc_ring_release. [consumer] */
static inline void svc_ring_pop(struct svc_ring *r)
{
	r->head++;
}

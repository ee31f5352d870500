/* rate_limit.h - token buckets for pairs of identity and method, in a table of a fixed size that
 * all cores share. A bucket is one word, the time at which it will be full again (GCRA, ITU-T
 * I.371): a call moves it on by one interval, unless it is more than a burst ahead.
 *
 * A pair that finds no place takes one whose bucket is full, which forgets nothing; if there is
 * none, it shares one bucket with all others that find none.
 *
 * Context: any thread.
 */
#pragma once

#include "base.h"

enum { RATE_LIMIT_PROBES = 8, RATE_LIMIT_TRIES = 8 };

struct rate_limit_bucket {
	_Atomic uint64_t key; /* 0: free */
	_Atomic uint64_t full_ns;
};

struct rate_limit_table {
	uint64_t interval_ns, burst_ns;
	uint32_t mask;
	bool alone;                       /* one core has it to itself */
	struct rate_limit_bucket *bucket; /* mask + 1, and the shared one */
};

/* `places` is a power of two; `rate` calls a second, at most `burst` at once. 0 or -ENOMEM. */
static inline int rate_limit_init(
	struct rate_limit_table *t, uint64_t rate, uint64_t burst, uint32_t places)
{
	t->interval_ns = NS_PER_S / rate ? NS_PER_S / rate : 1;
	t->burst_ns = (burst - 1) * t->interval_ns;
	t->mask = places - 1;
	t->alone = false;
	t->bucket = calloc((size_t)places + 1, sizeof(*t->bucket));
	return t->bucket ? 0 : -ENOMEM;
}

static inline struct rate_limit_bucket *rate_limit_find(
	struct rate_limit_table *t, uint16_t identity, uint16_t method, uint64_t now_ns)
{
	uint64_t key = 1ull << 32 | (uint32_t)identity << 16 | method;
	uint32_t at = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32);

	for (uint32_t i = 0; i < RATE_LIMIT_PROBES; i++) {
		struct rate_limit_bucket *b = &t->bucket[(at + i) & t->mask];

		if (atomic_load_explicit(&b->key, memory_order_relaxed) == key)
			return b;
	}
	for (uint32_t i = 0; i < RATE_LIMIT_PROBES; i++) {
		struct rate_limit_bucket *b = &t->bucket[(at + i) & t->mask];
		uint64_t was = atomic_load_explicit(&b->key, memory_order_relaxed);

		if (atomic_load_explicit(&b->full_ns, memory_order_relaxed) <= now_ns &&
			atomic_compare_exchange_strong(&b->key, &was, key))
			return b;
	}
	return &t->bucket[t->mask + 1];
}

/* 0: the call may go on; else the nanoseconds until one may. A bucket that other cores keep
 * changing lets the call go on: the limit is then inexact by as many calls as there are cores. */
static inline uint64_t rate_limit_take(
	struct rate_limit_table *t, uint16_t identity, uint16_t method, uint64_t now_ns)
{
	struct rate_limit_bucket *b = rate_limit_find(t, identity, method, now_ns);
	uint64_t full = atomic_load_explicit(&b->full_ns, memory_order_relaxed);

	for (int i = 0; i < RATE_LIMIT_TRIES; i++) {
		uint64_t from = full > now_ns ? full : now_ns;

		if (from - now_ns > t->burst_ns)
			return from - now_ns - t->burst_ns;
		if (t->alone) {
			atomic_store_explicit(
				&b->full_ns, from + t->interval_ns, memory_order_relaxed);
			return 0;
		}
		if (atomic_compare_exchange_weak_explicit(&b->full_ns, &full, from + t->interval_ns,
			    memory_order_relaxed, memory_order_relaxed))
			return 0;
	}
	return 0;
}

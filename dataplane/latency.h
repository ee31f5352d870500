/* latency.h - where the time of calls goes, as histograms by core, method and side.
 *
 *   callee:  queue    from arrival to the start: in the receive rings, and in the pass
 *            handler  its own time, of calls that are answered at once
 *            pending  from the start of those that went pending to their end
 *   caller:  queue    in the callee's receive rings, as it says in each response
 *            callee   from there to the flush of what holds the response: dwell, and that pass's
 * age network  the rest of the round trip, this core's own receive rings included
 *
 * Every call is looked at while there are fewer than LATENCY_ALL_UNTIL in 10 ms, then one in
 * SAMPLE_CALLS, which counts for as many: no clock is read for the others. Pending calls all count,
 * each once. `network` is of calls of one packet each way that were sent once, and not probed.
 *
 * Buckets are log-linear (as HdrHistogram's): eight to each power of two, so a figure is within
 * 1/16 of what it stands for; up to 68 s, which all that is longer counts as.
 *
 * Context: the owning core writes, with plain loads and stores, any other thread may read.
 */
#pragma once

#include "base.h"

#include <stdatomic.h>

enum {
	LATENCY_BITS = 3,
	LATENCY_TOP = 35, /* highest bit */
	LATENCY_BUCKETS = (LATENCY_TOP - LATENCY_BITS + 2) << LATENCY_BITS,
	LATENCY_PARTS = 3,
	LATENCY_NAME_MAX = 63,
	LATENCY_ALL_UNTIL = 640,
	LATENCY_LOOK_NS = 10000000,
};

enum latency_side { LATENCY_CALLEE, LATENCY_CALLER };
enum { LATENCY_QUEUE, LATENCY_HANDLER, LATENCY_PENDING };      /* of a callee */
enum { LATENCY_OF_CALLEE = LATENCY_HANDLER, LATENCY_NETWORK }; /* of a caller, and its queue */

struct latency_hist {
	_Atomic uint64_t bucket[LATENCY_BUCKETS]; /* calls */
	_Atomic uint64_t samples, max_ns;
};

struct latency_series {
	_Atomic bool used; /* release: what is above `part` is written once, before */
	uint8_t side;
	uint16_t method_id;
	char service[LATENCY_NAME_MAX + 1], method[LATENCY_NAME_MAX + 1];
	struct latency_hist part[LATENCY_PARTS];
};

/* When the next call is looked at. */
struct latency_turn {
	uint32_t left, every,
		begun;  /* calls until then; from one to the next; what `left` began with */
	uint64_t calls; /* made or served when `every` was chosen */
};

struct latency {
	struct latency_turn turn[2]; /* by side */
	uint64_t look_ns;            /* when `every` is next chosen */
	uint32_t age_ns;             /* of the pass that sent the datagram in hand, at its flush */
	struct latency_series *series;
	uint32_t n; /* a power of two */
};

static inline uint32_t latency_bucket(uint64_t ns)
{
	uint32_t top;

	if (ns < 1 << LATENCY_BITS)
		return (uint32_t)ns;
	if (unlikely(ns >> (LATENCY_TOP + 1)))
		return LATENCY_BUCKETS - 1;
	top = 63 - (uint32_t)__builtin_clzll(ns);
	return (top - LATENCY_BITS + 1) * (1 << LATENCY_BITS) +
	       (uint32_t)(ns >> (top - LATENCY_BITS) & ((1 << LATENCY_BITS) - 1));
}

/* The middle of a bucket. */
uint64_t latency_value(uint32_t bucket);
/* `calls` that took `ns`, of which one was looked at. */
void latency_add(struct latency_hist *h, uint64_t ns, uint64_t calls);
/* A copy that can be added up: `to` is written by the caller alone. */
void latency_merge(struct latency_hist *to, const struct latency_hist *from);
/* Adds to `to` what `now` has beyond `told`, which is then the same as `now`. The longest is known
 * by its bucket. */
void latency_since(
	struct latency_hist *to, const struct latency_hist *now, struct latency_hist *told);
uint64_t latency_calls(const struct latency_hist *h);
/* So many of a thousand calls took no longer. */
uint64_t latency_quantile(const struct latency_hist *h, uint32_t permille);
/* The next call is looked at: for how many it counts; counts on. */
uint64_t latency_weight(struct latency_turn *t);
/* Chooses how often, from the number of calls so far. */
void latency_choose(struct latency_turn *t, uint64_t calls, uint32_t every);

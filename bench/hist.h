/* hist.h - a histogram of durations: log-linear, fixed size, nothing allocated.
 *
 * Below 256 ns each value has its own bucket; above, each power of two has 128, so a value read
 * back is within 0.4 % (a bucket answers with its middle). What is above 100 s counts as 100 s.
 *
 * Context: one writer; merge when it has stopped.
 */
#pragma once

#include <stdint.h>

enum { HIST_SUB = 128, HIST_OCTAVES = 30, HIST_BUCKETS = (HIST_OCTAVES + 1) * HIST_SUB };
#define HIST_MAX_NS 100000000000ull

struct hist {
	uint64_t n, max_ns, sum_ns;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_merge(struct hist *into, const struct hist *from);
/* The duration that `percent` of all are not above: 50, 99, 99.9. 0 if there are none. */
uint64_t hist_percentile(const struct hist *h, double percent);
uint64_t hist_mean(const struct hist *h);

static inline uint32_t hist_index(uint64_t ns)
{
	uint32_t shift;

	if (ns < 2 * HIST_SUB)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - 7; /* 7: log2 of HIST_SUB */
	return shift * HIST_SUB + (uint32_t)(ns >> shift);
}

static inline void hist_add(struct hist *h, uint64_t ns)
{
	if (__builtin_expect(ns > HIST_MAX_NS, 0))
		ns = HIST_MAX_NS;
	if (ns > h->max_ns)
		h->max_ns = ns;
	h->n++;
	h->sum_ns += ns;
	h->bucket[hist_index(ns)]++;
}

#include "hist.h"

#include <assert.h>
#include <string.h>

/* 37 bits hold 100 s: octave 0 is exact, the last one has a shift of 29. */
static_assert(HIST_MAX_NS < 1ull << 37, "HIST_OCTAVES covers HIST_MAX_NS");

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

void hist_merge(struct hist *into, const struct hist *from)
{
	into->n += from->n;
	into->sum_ns += from->sum_ns;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

static uint64_t middle(uint32_t index)
{
	uint32_t shift;

	if (index < 2 * HIST_SUB)
		return index;
	shift = index / HIST_SUB - 1;
	return ((uint64_t)(index % HIST_SUB + HIST_SUB) << shift) + (1ull << shift >> 1);
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
	uint64_t rank = (uint64_t)((double)h->n * percent / 100.0 + 0.5), seen = 0, at;

	if (!h->n)
		return 0;
	if (rank < 1)
		rank = 1;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank) {
			at = middle(i);
			return at < h->max_ns ? at : h->max_ns;
		}
	}
	return h->max_ns;
}

uint64_t hist_mean(const struct hist *h)
{
	return h->n ? h->sum_ns / h->n : 0;
}

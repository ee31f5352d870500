/* echo_ids.h - which call ids have been seen: one bit for each, for tests that must know whether a
 * call was executed twice.
 *
 * Together:  mark from any thread at once; each id is new for exactly one of them.
 */
#pragma once

#include "base.h"

enum {
	ECHO_IDS_BITS_MIN = 4,
	ECHO_IDS_BITS_MAX = 32, /* 512 MiB of bits */
};

enum echo_ids_seen {
	ECHO_IDS_FIRST,
	ECHO_IDS_AGAIN,
	ECHO_IDS_OUT_OF_RANGE,
};

struct echo_ids {
	_Atomic uint64_t *words;
	uint64_t n; /* ids 0 .. n - 1 */
};

/* Room for 2^bits ids. 0, -EINVAL, -ENOMEM. */
static inline int echo_ids_init(struct echo_ids *ids, unsigned bits)
{
	if (bits < ECHO_IDS_BITS_MIN || bits > ECHO_IDS_BITS_MAX)
		return -EINVAL;
	ids->n = 1ull << bits;
	ids->words = calloc((ids->n + 63) / 64, sizeof(*ids->words));
	return ids->words ? 0 : -ENOMEM;
}

static inline void echo_ids_fini(struct echo_ids *ids)
{
	free(ids->words);
	ids->words = NULL;
}

static inline enum echo_ids_seen echo_ids_mark(struct echo_ids *ids, uint64_t id)
{
	uint64_t bit = 1ull << (id & 63), before;

	if (id >= ids->n)
		return ECHO_IDS_OUT_OF_RANGE;
	before = atomic_fetch_or_explicit(&ids->words[id / 64], bit, memory_order_relaxed);
	return before & bit ? ECHO_IDS_AGAIN : ECHO_IDS_FIRST;
}

/* call_starts.h - when the calls of one core began: a link's enter has nowhere else to leave a
 * time for its leave. A small direct-mapped table; where two calls meet, the older one loses its
 * time, and its line says "-".
 *
 * Context: one core only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALL_STARTS = 1024 };

struct call_starts {
	struct {
		const void *call;
		uint64_t ns;
	} at[CALL_STARTS];
};

static inline unsigned call_starts_index(const void *call)
{
	return (unsigned)(((uintptr_t)call >> 6) * 0x9e3779b97f4a7c15u >> 54);
}

static inline void call_starts_set(struct call_starts *s, const void *call, uint64_t ns)
{
	unsigned i = call_starts_index(call);

	s->at[i].call = call;
	s->at[i].ns = ns;
}

/* Forgets the call; false if its time is not known any more. */
static inline bool call_starts_take(struct call_starts *s, const void *call, uint64_t *ret_ns)
{
	unsigned i = call_starts_index(call);

	if (s->at[i].call != call)
		return false;
	s->at[i].call = NULL;
	*ret_ns = s->at[i].ns;
	return true;
}

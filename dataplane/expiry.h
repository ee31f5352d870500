/* expiry.h - message buffers that are kept until a time, as a heap: the one that ends first is on
 * top. A buffer stands in one of them at most, and knows its place there. */
#pragma once

#include "msgpool.h"

struct expiry {
	struct msg **at; /* [msgpool_most()] */
	uint32_t n;
	uint64_t bytes; /* of the buffers in it */
};

/* Neither may be done twice for one buffer. */
void expiry_add(struct expiry *e, struct msg *m, void *owner, uint64_t expires_ns);
void expiry_del(struct expiry *e, struct msg *m);

static inline struct msg *expiry_first(const struct expiry *e)
{
	return e->n ? e->at[0] : NULL;
}

static inline uint64_t expiry_due(const struct expiry *e)
{
	return e->n ? e->at[0]->expires_ns : UINT64_MAX;
}

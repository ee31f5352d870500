/* msgpool.h - message buffers of a core: what is too large for a slot, in three sizes, all taken at
 * start.
 *
 * Context: create and destroy on the control thread, get and put on the owning core. No lock, no
 * heap after create. A request for a size that has run out is served from the next larger one; when
 * that is empty too, NULL: the caller says RESOURCE_EXHAUSTED or waits for the sender to try again.
 */
#pragma once

#include "base.h"

enum { MSG_CLASSES = 3, MSG_2K = 2048, MSG_64K = 65536, MSG_1M = (1 << 20) + 65536 };

struct msg {
	struct msg *next;
	uint32_t cap; /* bytes of data */
	uint32_t class;
	uint32_t len; /* for the holder */
	uint32_t reserved[11];
	uint8_t data[];
};

struct msgpool {
	struct msg *free[MSG_CLASSES];
	uint32_t n_free[MSG_CLASSES], n[MSG_CLASSES];
	void *memory;
	size_t bytes;
};

/* 0 or -ENOMEM. The memory is touched, so that no core takes a page fault for it later. */
int msgpool_init(struct msgpool *p, const uint32_t n[MSG_CLASSES]);
void msgpool_fini(struct msgpool *p);

struct msg *msgpool_get(struct msgpool *p, uint32_t size);
void msgpool_put(struct msgpool *p, struct msg *m);

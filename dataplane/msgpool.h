/* msgpool.h - message buffers of a core: what is too large for a slot, all taken at start.
 *
 * Two sizes that are many have lists of free buffers. What is larger comes from one arena, as a run
 * of pages that is as long as the message: small runs from its end, those of a MiB and more from
 * its start, so that a few small ones do not stand in the way of a large one. Finding a run walks
 * over the runs that are there, a few hundred compares at most beside copying the message.
 *
 * Context: init and fini on the control thread, get and put on the owning core. No lock, no heap
 * after init. A size that has run out is served from the next larger one; when that has run out
 * too, NULL: the call is refused RESOURCE_EXHAUSTED.
 */
#pragma once

#include "base.h"

enum {
	MSG_CLASSES = 3, /* 2 KiB, 64 KiB, the arena */
	MSG_2K = 2048,
	MSG_64K = 65536,
	MSG_PAGE = 65536,
	MSG_PAGES_OF_1M = 17, /* a MiB, the envelope and the header of the buffer */
	MSG_HEADER = 64,
	MSG_1M = MSG_PAGES_OF_1M * MSG_PAGE - MSG_HEADER,
	MSG_PAYLOAD_MAX = 16 << 20,
	MSG_BODY_MAX = MSG_PAYLOAD_MAX + 1024, /* and its envelope */
	MSG_MAX = MSG_BODY_MAX + 2048,         /* and room before and behind */
};

struct msg {
	struct msg *next;
	uint32_t cap; /* bytes of data */
	uint16_t class;
	bool wants_segments; /* of a call made: so its reply may come */
	bool lent;           /* a reply whose payload its handler lends: lend.h */
	uint32_t len;        /* for the holder */
	uint32_t units;      /* of its class that it takes: 1, or pages */
	uint32_t place;      /* in the heap of what has an end, see expiry.h */
	uint32_t n_segments; /* of a list of them (segments.h), 0: it is none */
	uint64_t expires_ns;
	void *owner;         /* whose end that is */
	const uint8_t *from; /* where the payload stands that its caller, or handler, lends; NULL:
				in `data` */
	uint8_t *into; /* of a call made: where the reply's payload goes, NULL: nowhere else */
	uint8_t data[];
};

_Static_assert(sizeof(struct msg) == MSG_HEADER, "data starts a cache line");

struct msgpool {
	struct msg *free[MSG_CLASSES - 1];
	uint32_t n_free[MSG_CLASSES], n[MSG_CLASSES]; /* buffers; of the last class pages */
	uint8_t *arena;
	uint32_t *run; /* [pages], at the first page of each run: pages << 1 | used */
	void *memory;
	size_t bytes;
};

/* Buffers of 2 KiB, of 64 KiB, and MiB of the arena. 0 or -ENOMEM. The memory is touched, so that
 * no core takes a page fault for it later. */
int msgpool_init(struct msgpool *p, const uint32_t n[MSG_CLASSES]);
void msgpool_fini(struct msgpool *p);

struct msg *msgpool_get(struct msgpool *p, uint32_t size);
void msgpool_put(struct msgpool *p, struct msg *m);
/* Most buffers that can be out at once. */
uint32_t msgpool_most(const uint32_t n[MSG_CLASSES]);

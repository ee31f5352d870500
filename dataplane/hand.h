/* hand.h - frames from one core of a node to another, and which core a frame is for.
 *
 * Every datagram belongs to one core: its connection id, which that core chose, says which, and a
 * hello says which one it wants. Where the device brings it to another core, that one hands the
 * buffer over, unread but for those bytes. A core without a queue of its own at a port, because the
 * device has fewer than the node has cores, sends the same way: by the core whose queue it shares.
 *
 * One ring for each ordered pair of cores: a single producer, a single consumer, bounded; what does
 * not fit is dropped and counted (drop_hand_full). The producer fills places as it works and
 * publishes them at the end of a stage, so a burst costs the consumer one line of ours. Publishing
 * wakes the consumer if it sleeps, by wake.h's protocol: places are published, fence, asleep? The
 * sleeper says asleep, fence, and looks at its rings once more.
 *
 * Context: data cores; init and fini by the control side, the cores being out of their loops.
 */
#pragma once

#include "base.h"
#include "wire.h"

struct core;
struct netif;
struct rte_mbuf;
struct tela_node;

enum {
	HAND_SIZE = 1024,  /* frames of one ring */
	HAND_BURST = 64,   /* taken from one ring in a pass */
	HAND_CORES = 16,   /* a node has no more */
	HAND_UDP = 0xf000, /* UDP ports that cores call from: HAND_TRIES for each core */
	HAND_TRIES = 64,
};

/* Who writes what: `head` the producer, `tail` the consumer, each the line it stands in. */
struct hand_ring {
	_Atomic uint32_t head cache_aligned; /* published; pairs with hand_take() */
	uint32_t filled cache_aligned;       /* producer's: filled, not all published yet */
	uint32_t tail_seen;                  /* producer's: as last read */
	_Atomic uint32_t tail cache_aligned; /* taken; pairs with hand_put() */
	uintptr_t place[HAND_SIZE] cache_aligned;
};

/* [producer] False: full. */
static inline bool hand_put(struct hand_ring *r, uintptr_t what)
{
	if (unlikely(r->filled - r->tail_seen == HAND_SIZE)) {
		/* acquire: the consumer has read the place before it is filled again */
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		if (r->filled - r->tail_seen == HAND_SIZE)
			return false;
	}
	r->place[r->filled++ % HAND_SIZE] = what;
	return true;
}

/* [producer] What was put may be taken. */
static inline void hand_publish(struct hand_ring *r)
{
	atomic_store_explicit(&r->head, r->filled, memory_order_release);
}

/* [consumer] Takes at most `room`; returns how many. */
static inline uint32_t hand_take(struct hand_ring *r, uintptr_t *ret, uint32_t room)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t n = atomic_load_explicit(&r->head, memory_order_acquire) - tail;

	n = min_u32(n, room);
	for (uint32_t i = 0; i < n; i++)
		ret[i] = r->place[(tail + i) % HAND_SIZE];
	if (n)
		atomic_store_explicit(&r->tail, tail + n, memory_order_release);
	return n;
}

/* [consumer] */
static inline bool hand_empty(const struct hand_ring *r)
{
	return atomic_load_explicit(&r->head, memory_order_acquire) ==
	       atomic_load_explicit(&r->tail, memory_order_relaxed);
}

/* ---- which core ---- */

/* Below n_cores whatever the id; a core draws its ids so that this is its own index. */
static inline uint32_t hand_core_of_id(uint32_t id, uint32_t n_cores)
{
	return (uint32_t)((uint64_t)id * n_cores >> 32);
}

/* The UDP port that core `core` calls from, at its n-th attempt to find one that leads to itself.
 */
static inline uint16_t hand_udp(uint32_t core, uint32_t attempt)
{
	return (uint16_t)(HAND_UDP + core * HAND_TRIES + attempt % HAND_TRIES);
}

static inline bool hand_is_udp(uint16_t udp, uint32_t n_cores)
{
	return udp >= HAND_UDP && udp < HAND_UDP + n_cores * HAND_TRIES;
}

/* The core that a datagram for UDP port `udp` is for: below n_cores, or `own`, whatever its bytes.
 */
uint32_t hand_core_of(
	const uint8_t *datagram, uint32_t len, uint16_t udp, uint32_t n_cores, uint32_t own);

/* ---- a core's share ---- */

int hand_init(struct tela_node *n);
void hand_fini(struct tela_node *n);
/* For struct netif: see there. */
bool hand_steer(
	struct netif *nif, struct rte_mbuf *m, uint16_t udp, const uint8_t *datagram, uint32_t len);
uint32_t hand_lend(struct netif *nif, struct rte_mbuf **m, uint32_t n);
/* What other cores have handed to this one; bounded. Returns how many frames. */
uint32_t hand_serve(struct core *c);
/* What this core has put becomes visible to the others, and wakes them. */
void hand_flush(struct core *c);
bool hand_waiting(const struct core *c);

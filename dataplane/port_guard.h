/* port_guard.h - keeps a device's memory in place while a core is inside a burst on it.
 *
 * memif in DPDK 22.11 unmaps its rings from EAL's interrupt thread as soon as the peer's process is
 * gone, whatever the cores do meanwhile; a core inside a burst then dies of SIGSEGV. And a memif
 * client that lost its server comes back only if the port is stopped and started, which no core may
 * see either. So each queue has a word that is odd inside a burst, and whoever takes memory away
 * waits until it has moved on.
 *
 * The core pays two plain stores. The order "word first, then the device's own flags" is made by
 * the other side: membarrier() in guard_wait() runs a full fence on every core, after which either
 * we see the odd word, or the core sees what was written before guard_wait().
 */
#pragma once

#include "base.h"

struct port_guard {
	_Atomic uint32_t seq; /* odd: inside a burst. Written by the queue's core alone */
	_Atomic bool closed;  /* written by the control thread: the core stays out */
} cache_aligned;

/* [core] False: the device must not be touched now. True: touch it, then port_leave(). */
static inline bool port_enter(struct port_guard *g)
{
	uint32_t seq = atomic_load_explicit(&g->seq, memory_order_relaxed);

	atomic_store_explicit(&g->seq, seq + 1, memory_order_relaxed);
	atomic_signal_fence(
		memory_order_seq_cst); /* a fence for the compiler; see above for the processor */
	if (likely(!atomic_load_explicit(&g->closed, memory_order_relaxed)))
		return true;
	atomic_store_explicit(&g->seq, seq, memory_order_relaxed);
	return false;
}

static inline void port_leave(struct port_guard *g)
{
	uint32_t seq = atomic_load_explicit(&g->seq, memory_order_relaxed);

	atomic_store_explicit(&g->seq, seq + 1, memory_order_release); /* pairs with guard_wait() */
}

/* The guards whose bursts may touch memory that the interrupt thread unmaps. [control] -ENOSPC
 * above the bound. */
int guard_watch(struct port_guard *guards, uint32_t n);
void guard_unwatch(struct port_guard *guards);
/* Returns when every burst that had begun before the call is over: microseconds, or as long as the
 * core is off its CPU. [any thread but data cores] */
void guard_wait(struct port_guard *guards, uint32_t n);
/* The same for all that are watched: what memif_quirks.c calls. [interrupt thread] */
void guard_wait_watched(void);

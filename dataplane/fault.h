/* fault.h - loss, duplication and reordering made on purpose, below everything: what netif_send()
 * and ARP queue goes through here first if the port is configured so. The same seed and the same
 * frames give the same faults.
 *
 * Context: data core; create and destroy on the control thread.
 */
#pragma once

#include "count.h"

struct fault;
struct rte_mbuf;

enum {
	FAULT_OUT_MAX = 4
}; /* frames that one frame can become: itself, its copy, and a held one with its copy */

/* NULL: out of memory. Probabilities from 0 to 1. */
struct fault *fault_create(double loss, double duplicate, double reorder, uint64_t seed);
/* Takes `m`, writes what is to be sent instead, in order, to ret_out[FAULT_OUT_MAX]. Returns how
 * many. */
unsigned fault_send(
	struct fault *f, struct rte_mbuf *m, struct counts *counts, struct rte_mbuf **ret_out);
/* Once a flush: a frame held back goes after a while even if no other follows. NULL: none. */
struct rte_mbuf *fault_flush(struct fault *f);
void fault_destroy(struct fault *f);

/* yardstick.h - what the yardsticks share: options, one port on one core, a clock, and one line of
 * result.
 *
 * A yardstick shows what the device and the machine can do without a protocol; it starts as a node
 * does (EAL, port, pinning, CPU claim) so that the two are compared in the same surroundings, and
 * then uses bare bursts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "hist.h"
#include "port.h"

enum { YARDSTICK_WINDOWS = 6000, YARDSTICK_WINDOW_MS = 10 };

struct yardstick {
	/* options */
	bool server, json, no_huge, share_cpu, copy;
	const char *device;
	int cpu;
	uint32_t in_flight, frame_bytes;
	double seconds;
	/* set up by yardstick_start */
	struct port port;
	struct rte_mempool *pool;
	double ns_per_tick;
	_Atomic bool stop; /* the core's loop looks at it */
	/* results, written by the core */
	uint64_t round_trips, lost;
	struct hist rtt;
	uint64_t begin, window_end, window_ticks, last; /* in ticks */
	uint64_t window_count;
	uint32_t n_windows;
	uint32_t windows[YARDSTICK_WINDOWS]; /* round trips in each */
};

/* Reads the command line of the yardstick `name`; ends the program with a usage text if it is
 * wrong. */
void yardstick_options(struct yardstick *y, const char *name, int argc, char **argv);
/* Opens the port and runs `loop(y)` on the core until it returns: a client's by itself, a server's
 * once `stop` is set, by a signal. Exit code of the program. */
int yardstick_run(struct yardstick *y, const char *name, int (*loop)(void *y));

/* Starts counting at `begin` ticks. The rate is given over all, and as the median of windows of 10
 * ms: where others use the CPUs too, the median says what the loop does while it runs. [core] */
void yardstick_begin(struct yardstick *y, uint64_t begin);

static inline void yardstick_count(struct yardstick *y, uint64_t now, uint32_t n)
{
	if (now < y->begin)
		return;
	while (__builtin_expect(now >= y->window_end, 0)) {
		if (y->n_windows < YARDSTICK_WINDOWS)
			y->windows[y->n_windows++] = (uint32_t)y->window_count;
		y->window_count = 0;
		y->window_end += y->window_ticks;
	}
	y->window_count += n;
	y->round_trips += n;
	y->last = now;
}

/* The processor's clock, in ticks; constant rate on every machine that DPDK is used on. */
uint64_t yardstick_ticks(void);

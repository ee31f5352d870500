/* swap_cost.h - what changing the chain costs calls beyond the CPU time of the threads that do it.
 *
 * Where those threads share CPUs with poll loops, their time alone lowers the rate. So slices of
 * swapping alternate with slices in which one thread burns, at the same pace, as much CPU time as
 * the swaps before took in both processes, poll loops left out. What the first do worse than the
 * second, pair by pair, is the cost of swapping itself.
 */
#pragma once

#include "storm.h"

enum { SWAP_COST_PAIRS = 64 };

struct swap_cost {
	/* set up */
	struct storm *storm;
	const _Atomic uint64_t *measured; /* calls done */
	uint32_t pairs;                   /* to be measured, SWAP_COST_PAIRS at most */
	/* the result */
	double percent[SWAP_COST_PAIRS]; /* that the swapping slice of a pair did worse */
	uint32_t n;
	double cpu_us; /* that a swap took, the mean over all */
	/* running */
	pthread_t thread;
	int server; /* process id */
	_Atomic bool done;
};

/* Starts the thread that swaps and burns; the load must run. 0 or -errno. */
int swap_cost_start(struct swap_cost *c);
void swap_cost_join(struct swap_cost *c);
/* Median and quartiles of what the pairs measured. */
void swap_cost_quartiles(const struct swap_cost *c, double ret[3]);
json_t *swap_cost_json(const struct swap_cost *c);

/* storm.h - the plugin chain of a service changed over and over through its admin socket while
 * calls run.
 *
 * Adds, removes and replaces stamp plugins in turn, about `rate` times a second, from a thread of
 * its own; keeps which plugins each published generation holds, so that what replies showed can be
 * held against it.
 */
#pragma once

#include "admin_client.h"
#include "load.h"

#include <pthread.h>

struct storm {
	/* set up */
	struct admin_client *admin;
	const char *service; /* as the configuration names it */
	double rate;
	/* running */
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t swaps;
	uint64_t n_steps;
	char error[160];  /* empty: none */
	uint64_t present; /* bits of the stamps that are in the chain now */
	uint64_t first_generation, last_generation;
	uint64_t *mask; /* [LOAD_GENERATIONS] of published generations, from first_generation on; 0:
			   not published */
};

/* Makes one change, so that a generation begins that nobody has called under yet. 0 or -EIO with
 * s->error. */
int storm_begin(struct storm *s);
int storm_start(struct storm *s);
/* The next change, from whatever thread swaps. */
void storm_step(struct storm *s);
void storm_stop(struct storm *s);
/* Ends with a chain that has no stamps. */
void storm_end(struct storm *s);
/* Holds what the load's replies showed against what was published and what the callee counted under
 * each image. Returns how many generations disagree; says the first on `error`. *ret_compared: how
 * many were compared. */
uint64_t storm_compare(
	struct storm *s, const struct load *l, uint64_t *ret_compared, char error[160]);

/* lifecycle.h - the thread that runs what may block or never return: hooks of plugins, dlopen,
 * dlclose.
 *
 * One job at a time, in the order given, each with a deadline. A job that overruns is named and
 * fails with -ETIMEDOUT; its thread is abandoned (it may be anywhere, so it cannot be ended) and a
 * new one takes the queue over. If it hangs while loading, the dynamic linker's lock may be held
 * for ever: later loading jobs fail with -EDEADLK and lifecycle_stuck() names the culprit.
 *
 *      control thread                       lifecycle thread
 *      submit --> queue ------------------> run
 *      poll: done  <------- finished <----- push, and a wake-up if none is on its way
 *
 * Context:   everything on the control thread, except `run`.
 * Ownership: a job belongs to the lifecycle from submit until `done`. After -ETIMEDOUT the
 *            abandoned thread may still touch the job and whatever its `run` reads: the owner
 *            leaks them on purpose.
 * Errors:    `done` gets what `run` returned, or -ETIMEDOUT, -EDEADLK. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lifecycle;

struct lifecycle_job {
	struct lifecycle_job *next; /* private */
	int error;                  /* private */
	bool loading;               /* takes the dynamic linker's lock */
	const char *what;           /* "start of counter1": lives as long as the job */
	int (*run)(struct lifecycle_job *job);
	void (*done)(struct lifecycle_job *job, int error);
};

/* `deadline_ms` for each job. NULL: no memory or no thread. */
struct lifecycle *lifecycle_create(uint32_t deadline_ms);
/* Ends the thread once it is idle; one that is not is left behind, and then so is `l`. */
void lifecycle_destroy(struct lifecycle *l);

void lifecycle_submit(struct lifecycle *l, struct lifecycle_job *job);
/* Becomes readable when lifecycle_poll() has something to do; deadlines need a call every few
 * milliseconds besides. */
int lifecycle_fd(const struct lifecycle *l);
/* Runs `done` of what has finished or overrun. Returns how many. */
uint32_t lifecycle_poll(struct lifecycle *l);

/* What hangs while loading, NULL if nothing does. */
const char *lifecycle_stuck(const struct lifecycle *l);
/* Threads abandoned so far. With any, end the process by _exit: exit() may wait for a lock that one
 * of them holds. */
uint32_t lifecycle_abandoned(const struct lifecycle *l);
/* What runs now, copied; false if nothing does. */
bool lifecycle_current(struct lifecycle *l, char *ret, size_t size);

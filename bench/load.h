/* load.h - echo calls from a data core, in a closed loop (N in flight, each answered one followed
 * by the next) or in an open one: a call every so often, whatever has been answered, and its time
 * taken from when it was due. So a callee that stalls is charged for all that it kept waiting
 * (G. Tene's coordinated omission), also for calls that could not be sent yet as N were in flight.
 *
 * The main thread sets a load up, starts it, looks at it while it runs and reads it when it has
 * ended; the core's task does the calls. Every reply is held against its request byte for byte. In
 * a stamped load every reply must also show exactly one image: all its stamps name one generation,
 * and which plugins stamped is kept per generation for later comparison.
 */
#pragma once

#include "hist.h"
#include "tela_node.h"

#include <stdatomic.h>

enum {
	LOAD_BYTES_OWN = 1 << 16,
	LOAD_IN_FLIGHT_MAX = 8192,
	LOAD_GENERATIONS = 1 << 17,
	LOAD_BYTES_MAX = (16 << 20) - 64
};

enum load_state { LOAD_IDLE, LOAD_RUN, LOAD_STOP, LOAD_DONE };

/* What replies showed of one generation. */
struct load_generation {
	uint64_t replies, mask;
};

struct load_call {
	struct load *load;
	struct load_call *next;
	uint64_t id, due_ticks; /* 0: not timed */
};

struct load {
	/* set up by the main thread */
	struct tela_client *client;
	uint32_t in_flight, bytes, sample_every;
	double per_second;   /* of the open loop; 0: closed */
	uint32_t slow_65536; /* that share of the calls is answered slowly, and not timed */
	uint32_t slow_us;
	uint64_t deadline_us;
	bool stamped, one_way;
	bool overload; /* the peer may refuse for being behind: that is no failure */
	/* Methods of bytes.Bytes that are called in place of echo, 0: none. `data` is lent to each
	 * put, a get asks for so many bytes. */
	unsigned put, get;
	double ns_per_tick;
	uint8_t *data; /* of a call, as long as the longest; of large ones only the id changes */
	uint64_t stop_ticks; /* when it was told to end */
	/* shared */
	_Atomic int state;
	_Atomic bool measure; /* count towards rate and latency */
	_Atomic uint64_t done, measured;
	/* the core's, read when DONE */
	uint64_t next_id;
	struct tela_options options;
	bool open_loop, plain; /* plain: every call is an echo of its own few bytes */
	uint32_t outstanding, until_sample;
	double next_ticks, interval_ticks; /* open loop: when the next one is due; 0: now */
	/* Surely not executed as the peer is behind, while measured: it says so, or this node has
	 * been told and does not ask. */
	uint64_t refused, held_back;
	uint64_t late; /* open loop: due at the end and never sent */
	uint64_t failed, wrong, torn, resent_calls;
	uint8_t last_code;
	char last_message[80];
	struct hist hist;
	struct load_call *free;
	struct load_call calls[LOAD_IN_FLIGHT_MAX];
	uint64_t first_generation;
	struct load_generation *generation; /* [LOAD_GENERATIONS], from first_generation on */
};

/* The task of the core that calls; `arg` is a struct load *. */
bool load_task(struct tela_core *core, void *arg);
/* The clock that latencies are taken with. */
uint64_t load_ticks(void);
/* Main thread: starts, and tells it to end and waits until every call has. */
void load_start(struct load *l);
void load_stop(struct load *l);

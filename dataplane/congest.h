/* congest.h - congestion control by delay, per path; pacing while a path is congested.
 *
 * After Swift (Kumar et al., "Swift: Delay is Simple and Effective for Congestion Control in the
 * Datacenter", SIGCOMM 2020): a window of bytes that may be sent in a round trip. It grows by a
 * fixed step in each round trip whose delay is below the target and is cut, once a round trip, in
 * proportion to how far the delay is above it. What differs, and why:
 *
 * - The delay is what stands in queues of the network: a round trip, less what either side's
 *   datagrams may have waited for its loop (frame.fbs, Datagram.wait), less the shortest one that
 *   the path has shown. So neither slow handlers nor long wires count, and the target needs no
 *   tuning to distances.
 * - The window is kept by pacing at window / round trip, through a timing wheel (as Carousel does,
 *   Saeed et al., SIGCOMM 2017), because a window is often less than one datagram when a hundred
 *   senders meet, and because responses are not acknowledged datagram by datagram.
 * - A path that is not congested has no window and is not paced (eRPC's bypass, NSDI 2019): each
 *   datagram costs a compare when it is sent, and one when it arrives. Delay above the target for
 *   a whole round trip ends that, with what was sent in it as the window.
 * - What is sent beyond the window before the round trip is over goes at a quarter of the rate, and
 *   so on: its answers wait in a queue.
 * - Who has the larger window is cut at less delay, so that shares become equal (flow scaling).
 * - A path starts, and starts again after a pause, with a small window that doubles (slow start),
 * so that a hundred that start together do not meet in one queue; that holds back messages of
 * several fragments only.
 * - Shared memory has no queue of that kind and no window: delay there is a loop's long pass or a
 *   CPU that was taken away, for which sending less helps nobody, and loss is a fault. A ring that
 *   is full refuses, and large messages wait until it has room again (bulk.c).
 * - A round trip's shortest delay counts, as in CoDel (Nichols and Jacobson, 2012): that of a queue
 *   that did not empty. Jitter is no congestion.
 * - Loss counts where it is not chance: more than one datagram in 16 of a round trip.
 */
#pragma once

#include "list.h"

#include <stdbool.h>

enum {
	CONGEST_TARGET_NS =
		50000, /* delay in queues that is still good, or an eighth of the path */
	CONGEST_BETA_PERCENT = 80,    /* of the share by which the delay is above the target */
	CONGEST_CUT_MAX_PERCENT = 50, /* most that is cut at once */
	CONGEST_STEP_BYTES = 56, /* the window grows by so much in a good round trip (of 50 us), */
	CONGEST_STREAK_MAX = 2,  /* times the number of such rounds in a row, at most this */
	CONGEST_WINDOW_FIRST = 1500,
	CONGEST_WINDOW_EVEN = 1500, /* has five eighths of the target */
	CONGEST_WINDOW_MIN = 256,
	CONGEST_WINDOW_LOSS = 1500,   /* loss alone cuts no further */
	CONGEST_WINDOW_MAX = 1 << 20, /* from here on there is no congestion */
	CONGEST_ENTER_DATAGRAMS = 4,  /* a path that sends less in a round trip is not the cause */
	CONGEST_QUIET_ROUNDS = 8,     /* not held back for so long: no longer congested */
	CONGEST_SURE_NS = 10000,      /* of possible waiting, that may be taken off */
	CONGEST_RTT_MIN_NS = 1000,
	CONGEST_RTT_MAX_NS = 1000000,
	CONGEST_RTT_FIRST_NS = 50000,  /* before any was measured */
	CONGEST_COST_MAX = 1 << 26,    /* 1 us a byte */
	CONGEST_WAIT_MAX_NS = 2000000, /* nothing waits longer for its turn */
	CONGEST_BURST_NS = 4000, /* of lateness that may be made up for: two looks at the wheel */
	CONGEST_LOSS_SHARE = 16, /* one datagram in so many, and */
	CONGEST_LOSS_MIN = 4,    /* so many of a round, lost: congestion */
	CONGEST_HELD = 1024,     /* datagrams of a core that may wait, */
	CONGEST_HELD_CALLS = 8,  /* and of a path before it takes no new call */
	CONGEST_TICK_NS = 1024,
	CONGEST_TICKS = 512,
	CONGEST_LOOK_NS = 10000000, /* a path that has sent nothing for so long starts again */
};

/* An outgoing datagram being filled, or held back. */
struct dgram {
	void *buf; /* NULL: none open */
	uint8_t *data;
	uint32_t len, room;
	bool urgent; /* holds what must not wait: acknowledgements and the like */
};

struct held_dgram {
	struct dgram dgram;
	struct held_dgram *next;
};

struct congest {
	bool paced;   /* what goes out is charged to a window */
	bool watched; /* every delay is looked at */
	bool slow_start;
	bool network;          /* has queues of its own, unlike shared memory */
	uint8_t quiet, streak; /* rounds: not held back; without a cut */
	uint32_t n_held;
	uint64_t min_ns;  /* shortest round trip seen */
	uint64_t next_ns; /* when the next datagram may go */
	uint64_t tx_bytes;
	/* only while something was seen */
	struct held_dgram *first, *last;
	struct list wheel; /* in one of its places while something is held */
	uint64_t rtt_ns;
	uint64_t window;                              /* bytes */
	uint64_t cost;                                /* nanoseconds a byte, << 16 */
	uint64_t round_ns, round_bytes, round_number; /* where the round began */
	uint64_t round_min_ns;                        /* shortest delay in it */
	uint32_t lost;                                /* datagrams, this round */
	bool held_back;                               /* in this round */
	uint64_t look_ns, look_bytes;
};

struct wheel {
	struct list at[CONGEST_TICKS];
	uint64_t tick; /* looked at so far */
	uint32_t n;    /* paths in it */
	struct held_dgram *held, *free;
	uint32_t n_held;
};

struct machine;
struct path;

/* 0 or -ENOMEM. `bytes` grows by what was taken. */
int wheel_init(struct wheel *w, size_t *bytes);
void wheel_fini(struct wheel *w);
/* Sends what is due. Returns whether it did anything. */
bool wheel_turn(struct machine *m);

/* A path begins, with fresh state; one without a network's queues is never slow. */
void congest_begin(struct machine *m, struct path *p, uint64_t rtt_ns, bool shared_memory);
/* Gives back what is held. */
void congest_end(struct machine *m, struct path *p);
/* The open datagram of a paced path: true: it may go now, and is charged; false: it is held. */
bool congest_pass(struct machine *m, struct path *p);
/* Whether more data, for which there is always a later time, has to wait; of a paced path. */
bool congest_waits(struct machine *m, struct path *p);
void congest_delay(struct machine *m, struct path *p, uint64_t rtt_ns);
/* A datagram has turned out lost; on shared memory that is no sign of congestion. */
void congest_loss(struct machine *m, struct path *p);
/* Now and then: a path that rests starts again slowly, and forgets how short it was; one that has
 * no round trip measured for so long is given more. */
void congest_look(struct machine *m, struct path *p);

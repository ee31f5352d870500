/* core.h - a data core: its machine, its queues, its loop, and how other threads reach it.
 *
 * Who writes what: the core everything but `command`, `stop` (control side), `thread` (whoever
 * attaches) and the rings' other ends. Fields that others read are atomic.
 */
#pragma once

#include "hand.h"
#include "machine.h"
#include "numa.h"
#include "tela_node.h"
#include "wake.h"
#include "xring.h"

enum { CORE_TASKS_MAX = 8, CORE_THREADS_MAX = 64, SPREAD_MAX = HAND_CORES };

/* What the control side asks of a core, as bits. */
enum {
	CORE_DRAIN = 1,
	CORE_LEAVE = 2,          /* say go-away */
	CORE_ASKED = 4,          /* another core asks, or has answered (ask_cores.c) */
	CORE_CANCEL = 8,         /* the calls of services that say so */
	CORE_LIMITS = 16,        /* other windows and grants */
	CORE_UNBIND = 32,        /* look for binds to services that are being removed */
	CORE_CLOSE = 64,         /* a client is being closed (client_close.c) */
	CORE_LINK_DOWN = 1 << 8, /* << port */
};

struct core_peer_shown;

struct core_task {
	tela_task_fn fn;
	void *arg;
	uint64_t period_ns, due_ns; /* due_ns: the core's */
	struct core *core;
	uint32_t place;
};

struct core {
	struct machine m;
	struct counts counts;
	/* One a port, in the order of ports, on the queue of the core's own number; then those on
	 * further queues of ports that have more than the node has cores. */
	struct netif *netif;
	_Atomic(struct core_task *) task[CORE_TASKS_MAX]; /* task.c */
	_Atomic uint32_t n_tasks;                         /* places of it that are in use */
	uint32_t n_netifs, n_polled; /* polled: up to the last whose queue is open */
	struct hand_ring *hand;      /* of all pairs of cores; NULL: there is one core */
	uint32_t hand_put;           /* bit n: something is put, not published, for core n */
	struct tela_node *node;
	struct path **peer_path; /* [peer * SPREAD_MAX], made when first used: one to each core of
				  * the peer that this one calls */
	struct core_peer_shown *peer_shown;
	uint64_t shown_ns;
	uint32_t n_peers;
	uint32_t index;
	int cpu;
	unsigned lcore;
	int socket;               /* its CPU's */
	struct numa_place memory; /* its machine's */
	enum tela_idle idle;
	uint64_t tsc_hz, tsc_mult; /* ns = tsc * mult >> 32, mult for a shift of 32 */
	uint64_t seed[2];
	uint32_t idle_passes;
	int events; /* TELA_IDLE_INTERRUPT: epoll's descriptor of the queues' interrupts, else -1 */
	uint64_t chores_ns;  /* when they are next due */
	uint32_t unbind_at;  /* session that the walk of CORE_UNBIND has come to */
	uint64_t unbinding;  /* the walk that it is */
	struct list meshes;  /* clients of many instances that have been used here */
	struct list waiting; /* submitted calls that found no free slot */
	struct wake wake;
	/* read by others */
	_Atomic uint64_t passes
		cache_aligned; /* release: what a core did before is seen by whoever reads it */
	_Atomic uint64_t busy_ns, polled_ns;
	_Atomic uint64_t gap10_ns;
	_Atomic uint32_t in_flight, sessions;
	_Atomic bool stalled;
	_Atomic uint64_t unbound; /* the latest walk that has come to its end */
	/* written by others */
	_Atomic uint32_t command cache_aligned;
	_Atomic uint32_t window, slots_per_session; /* CORE_LIMITS */
	_Atomic bool stop;
	_Atomic(struct thread_ring *) thread[CORE_THREADS_MAX];
	_Atomic uint32_t n_threads; /* places of `thread` ever used */
};

static inline struct core *core_of(struct machine *m)
{
	return container_of(m, struct core, m);
}

static inline struct core *core_private(const struct tela_core *c)
{
	return (struct core *)(uintptr_t)c;
}

extern __thread struct core *core_current __attribute__((tls_model("initial-exec")));

/* What a netif hands up. */
void core_deliver(void *core, const struct net_addr *from, uint8_t *payload, uint32_t len);
/* One pass; returns whether it found work. */
bool core_pass(struct core *c);
/* Polls until stopped; the body of the core's thread. Registers with QSBR and leaves. */
int core_main(void *core);
/* Clock in nanoseconds. */
uint64_t core_clock(const struct core *c);

/* What another thread may see of a peer's path: copied by the core now and then, words that are
 * each whole. */
struct core_peer_view {
	uint32_t state;
	uint64_t srtt_ns, incarnation;
};

struct core_peer_shown {
	_Atomic uint32_t state;
	_Atomic uint64_t srtt_ns, incarnation;
};

void core_peer_view_read(const struct core *c, uint32_t peer, struct core_peer_view *ret);

extern const struct machine_ops core_machine_ops;
void core_seed(struct core *c);
void core_calibrate(struct core *c);

/* ask_cores.c: machine_ops.ask, and what comes of CORE_ASKED. */
int core_ask(void *io, const uint64_t root[2], struct tela_handle h);
void core_asked(struct core *c);

bool core_task_run(struct core *c, uint32_t place);
void core_tasks_free(struct core *c);

/* thread.c: serves rings of attached threads; bounded. */
bool core_serve_threads(struct core *c);
bool core_threads_waiting(const struct core *c);
/* Ends their calls of that client that found no free slot. */
void core_refuse_threads(struct core *c, const struct tela_client *client);

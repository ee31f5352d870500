/* node.h - the node's own state, for the files that make it up: node.c, publish.c, watchdog.c,
 * client.c, thread.c. */
#pragma once

#include "core.h"
#include "port.h"
#include "tela_node.h"

#include <pthread.h>
#include <sched.h>

enum { NODE_PORTS_MAX = 8 };

struct node_peer {
	char name[TELA_NAME_MAX + 1];
	uint32_t ip; /* network byte order */
	uint16_t udp;
	uint16_t netif;
};

struct tela_node {
	char name[TELA_NAME_MAX + 1];
	char budgets_owner[TELA_NAME_MAX + 1];
	uint64_t incarnation;
	uint16_t udp_port;
	struct tela_limits limits; /* as last asked for (control thread) */
	uint32_t n_cores, n_ports, n_peers;
	uint32_t n_services; /* places ever used; those of removed ones are free */
	struct core **cores;
	struct hand_ring *hand; /* [from * n_cores + to], NULL: one core */
	struct ask_cores *ask;  /* NULL: one core */
	struct directory *directory;
	struct port *ports;
	struct rte_mempool *pools[NODE_PORTS_MAX][PORT_QUEUES_MAX];
	struct rte_mempool *borrow[NODE_PORTS_MAX][PORT_QUEUES_MAX]; /* of ports that copy */
	struct node_peer *peers;
	struct tela_service *services[SERVICES_MAX]; /* written under services_lock */
	pthread_mutex_t services_lock;
	struct tela_service *leaving; /* being removed: image.h (control thread) */
	_Atomic uint64_t unbind;      /* walks of CORE_UNBIND asked for */
	_Atomic(struct service_table *) table;
	struct sent_service *forwarded; /* forward_node.c (control thread) */
	uint32_t n_forwarded;
	_Atomic(struct forward_table *) forwards;
	struct tela_client *clients;
	pthread_mutex_t closing_lock; /* one client after the other */
	struct tela_client *_Atomic closing;
	_Atomic uint32_t n_closing; /* cores that have still to do with it */
	_Atomic bool polling;
	bool cleaned;
	/* attached threads */
	pthread_mutex_t threads_lock; /* and of clients */
	struct tela_thread *threads[CORE_THREADS_MAX];
	/* images: past their grace period (pushed by the reclaimer), and waiting for their pins
	 * (control thread) */
	struct call_rcu_data *reclaimer;
	_Atomic(struct tela_image *) graced;
	struct tela_image *retiring;
	_Atomic uint32_t n_retiring; /* published once, not yet retired */
	struct tela_storage *store;
	struct names *names;         /* names.h */
	_Atomic uint64_t n_graced;   /* grace periods that the reclaimer has acted upon */
	struct worker_pool *workers; /* NULL: none */
	/* watchdog */
	pthread_t watchdog;
	bool watching;
	_Atomic bool watch_stop;
	uint32_t stall_warn_ms, stall_abort_ms;
	uint32_t shed_us; /* of services that have no target of their own */
	/* what cores report (control thread) */
	tela_report_fn on_report;
	void *on_report_arg;
	tela_ends_fn on_ends;
	void *on_ends_arg;
	uint64_t ends_told_ns;
	tela_latency_fn on_latency;
	void *on_latency_arg;
	uint64_t latency_told_ns;
	struct latency_hist *latency_told; /* by core, series and part; NULL: nobody asks */
	tela_trace_fn on_trace;
	void *on_trace_arg;
	tela_log_fn on_log;
	void *on_log_arg;
	/* lines of threads other than data cores; NULL: none so far */
	pthread_mutex_t logs_lock; /* of the ring's putting end */
	_Atomic(struct report_ring *) logs;
	_Atomic uint64_t logs_lost;
};

int node_peer(const struct tela_node *n, const char *name);
void node_peer_addr(
	const struct tela_node *n, const struct core *c, uint32_t peer, struct net_addr *ret);

static inline bool node_polling(const struct tela_node *n)
{
	return atomic_load_explicit(&n->polling, memory_order_acquire);
}

static inline pthread_mutex_t *services_lock(const struct tela_node *n)
{
	return (pthread_mutex_t *)(uintptr_t)&n->services_lock;
}

/* The CPUs that the calling thread may use and no data core of the node has, for threads that keep
 * house. False: there is none. */
bool node_housekeeping(const struct tela_node *n, cpu_set_t *ret);
/* Every core does what those bits of CORE_DRAIN and so on say. Not on a data core. */
void node_command(struct tela_node *n, uint32_t command);
/* After a grace period: no core still looks at it. */
void node_free_thread(struct tela_node *n, struct tela_thread *t);
/* After a grace period. Any thread but a data core. */
void node_free_later(struct tela_node *n, void *memory);
/* Does what was handed to the reclaimer before the call. Not on a data core. */
void node_reclaim_barrier(struct tela_node *n);
int reclaimer_start(struct tela_node *n);
void reclaimer_stop(struct tela_node *n);

/* "echo.Echo.later" for the key of a chain; "a task or completion" for 0. */
enum { TELA_RUNNING_MAX = 160 };
void node_running_name(const struct tela_node *n, uint32_t key, char ret[TELA_RUNNING_MAX]);

/* inspect.c: see tela_node_on_ends(). */
void node_tell_ends(struct tela_node *n);
void node_tell_latency(struct tela_node *n);
int directory_create(struct tela_node *n);
void directory_destroy(struct tela_node *n);
/* What a client of many instances knows of them from now on. Control thread. */
void directory_steer(const struct tela_node *n, struct tela_client *c);
/* With the cores ended. */
void forward_node_free(struct tela_node *n);
int ask_cores_init(struct tela_node *n);
void ask_cores_fini(struct tela_node *n);

int watchdog_start(struct tela_node *n);
void watchdog_stop(struct tela_node *n);

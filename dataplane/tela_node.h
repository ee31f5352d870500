/* tela_node.h - a node: ports, data cores, peers, services and their images.
 *
 * What telad does from a configuration file, an embedding program does with these calls. One node a
 * process (EAL is one a process). The thread that creates the node is its control thread: every
 * call here is for that thread alone unless it says otherwise; none of them waits for a data core
 * to finish work.
 *
 * Errors: NULL or -errno, with a sentence in `err` that says what to do.
 */
#pragma once

#include "tela.h"
#include "tela_log.h"
#include "tela_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TELA_VERSION      "0.1.0"
#define TELA_WIRE_VERSION 1
#define TELA_UDP_PORT     7447
#define TELA_NAME_MAX     63

enum tela_idle {
	TELA_IDLE_AUTO, /* spin on an isolated CPU, adaptive elsewhere */
	TELA_IDLE_SPIN,
	TELA_IDLE_ADAPTIVE,  /* pause, then short sleeps */
	TELA_IDLE_INTERRUPT, /* pause, then sleep until a device, a thread or a timer wakes it:
				every port must have receive interrupts (tap, vhost, virtio-user,
				most NICs; not memif, af_packet, af_xdp), else
				tela_node_start() says -ENOTSUP */
};

struct tela_port_config {
	const char *name;    /* for people */
	const char *device;  /* EAL device arguments: "net_memif0,role=server,id=0,socket=/run/x" or
				a PCI address */
	const char *address; /* "10.0.0.1/24" */
	const char *gateway; /* NULL: none */
	uint16_t mtu;        /* largest IP packet; 0: what the device takes, at most 9000 */
	bool forward;        /* calls that come by it for services of other nodes: tela_forward.h */
	/* Faults injected below the session layer when sending, each a probability; 0: none. */
	double loss, duplicate, reorder;
	uint64_t fault_seed;
};

struct tela_core_config {
	int cpu;
	enum tela_idle idle;
	/* Its loop may be away for so long without having ended, which is told to peers. 0: 1 s, as
	 * others may take its CPU; none where it spins on an isolated one that is not shared. */
	uint32_t pause_ms;
};

struct tela_peer_config {
	const char *name;
	const char *address; /* "10.0.0.2" or "10.0.0.2:7447" */
};

/* Memory a core may take, per budget; 0: the default. Printed at start with the bytes it takes. */
struct tela_budgets {
	uint32_t paths;             /* 64 */
	uint32_t sessions;          /* served, per path: 256 */
	uint32_t slots;             /* per core, of sessions served: 16384 */
	uint32_t slots_per_session; /* 1024 */
	uint32_t calls;             /* being served at once, pending and detached included: 4096 */
	uint32_t detached;          /* 1024 */
	uint32_t messages_2k;       /* message buffers for what is too large for a slot: 2048 */
	uint32_t messages_64k;      /* 64 */
	uint32_t messages_1m;       /* MiB of memory for larger messages, each taken by as many as
				       it needs: one of 16 MiB, a reply of 16 MiB beside it: 40 */
	uint32_t in_flight;         /* calls made by this core: 16384 */
	uint32_t window;            /* fragments of a message that its sender may be ahead of what
				       has arrived, 32 to 960: 256 */
	uint32_t pending;           /* calls whose handlers answer later: all of `calls` */
	uint32_t retained_kib;      /* large replies kept for duplicates: all message memory */
	uint32_t reassembly_kib;    /* messages that are arriving: all message memory */
	uint32_t segments;   /* receive buffers that messages taken as segments may hold; what
				is more than 4096 is added to each port's buffers: 4096 */
	uint32_t latencies;  /* methods whose times are kept, those called and those served,
				a power of two: 64 */
	uint32_t identities; /* sessions served whose callers have proved who they are, and
				tokens of calls made: 512 of either */
};

struct tela_node_config {
	const char *name;
	const struct tela_port_config *ports;
	const struct tela_core_config *cores;
	const struct tela_peer_config *peers;
	uint32_t n_ports, n_cores, n_peers;
	uint16_t udp_port; /* 0: TELA_UDP_PORT */
	bool no_huge;      /* ordinary memory in place of huge pages */
	bool share_cpu;    /* allow a CPU that already has a poller, in this process or another */
	bool no_dpdk_telemetry;  /* DPDK opens no telemetry socket */
	uint32_t memory_mib;     /* 0: 256 */
	const char *file_prefix; /* EAL's; NULL: made from the name and the process id */
	uint32_t n_workers;      /* threads for links that block, at most 64; 0: none */
	/* A peer that is asked and silent is down after the longest of this (0: 5 ms), three of its
	 * loop gaps of the last 10 s, and the pause that its core has announced. */
	uint32_t peer_silence_us;
	/* Calls that have waited longer than so long for a core that stays behind are refused; see
	 * tela_service_shed(). 0: 20 ms; TELA_SHED_NEVER. */
	uint32_t shed_target_us;
	struct tela_budgets budgets;
	const char *budgets_owner; /* the tenant that they are for; NULL: "node", all together */
};

/* Starts EAL (which may move the caller between CPUs; its affinity is put back), opens the ports,
 * reads the affinity of every poll core back. NULL with `err`. */
struct tela_node *tela_node_create(const struct tela_node_config *c, char *err, size_t err_len);
/* Lets the data cores poll. 0 or -errno. */
int tela_node_start(struct tela_node *n, char *err, size_t err_len);
/* Says go-away to every peer, now and when another connects: they call other nodes, if they can,
 * but what is called for a call in flight here still comes. There is no way back. */
void tela_node_leave(struct tela_node *n);
/* That, and stops accepting: new calls are answered UNAVAILABLE "draining" (surely not executed),
 * but for those that descend from a call in flight here (tela_call_root). */
void tela_node_drain(struct tela_node *n);
/* Calls being served, and calls made, on all cores. */
uint32_t tela_node_in_flight(const struct tela_node *n);
/* Workers that run a link just now: tela_node_destroy() waits for them. [any but data cores] */
uint32_t tela_node_workers_busy(const struct tela_node *n);
/* Ends the data cores, closes the ports, cleans EAL up, frees all. Calls in flight end UNAVAILABLE.
 */
void tela_node_destroy(struct tela_node *n);
/* For a process that ends as it is, since foreign threads may still use what the node has: ends the
 * data cores, closes the ports, cleans EAL up, and frees no more than that. [control] */
void tela_node_halt(struct tela_node *n);

/* Of budgets, what can be changed while calls run; 0: as it is. */
struct tela_limits {
	uint32_t window;            /* 32 to 960 fragments */
	uint32_t slots_per_session; /* 8 to 2,048, of which whole blocks of 8 are granted */
};
/* For all cores from now on: windows of messages that are arriving, and grants, of sessions served
 * and of sessions made. What was granted stays until its caller gives it back. 0, or -EINVAL with
 * nothing changed. */
int tela_node_limits(struct tela_node *n, const struct tela_limits *l);
struct tela_limits tela_node_limits_now(const struct tela_node *n);

const char *tela_node_name(const struct tela_node *n);
uint64_t tela_node_incarnation(const struct tela_node *n);
uint32_t tela_node_n_cores(const struct tela_node *n);
/* Writes a table of the budgets and the bytes they take, and on machines with several NUMA sockets
 * where these are. */
void tela_node_print_budgets(
	const struct tela_node *n, void (*line)(void *arg, const char *text), void *arg);

/* ---- services and images ---- */

struct tela_service; /* lives until it is removed, or the node ends */
struct tela_image;   /* immutable once built */
struct tela_task;

/* Adds a service without an image: calls are answered UNAVAILABLE "starting". NULL: EEXIST, ENOMEM,
 * E2BIG (there are 256) in errno. The descriptor stays until the service is removed. */
struct tela_service *tela_service_add(struct tela_node *n, const struct tela_service_desc *desc);

/* Takes away a service that has no image: withdraw it by tela_image_publish(s, NULL, ...), and wait
 * until all of its images are retired. Calls find no such service from now on (UNAVAILABLE, surely
 * not executed), and callers that have bound it are to bind again: so it may be added anew at once,
 * by another schema too. When `removed(arg)` is called, out of tela_node_poll(), no core looks at
 * it or at its descriptor any more: then tela_service_free(). 0; -EBUSY: it has an image, or one
 * that is not retired yet, or is being removed; -ENOMEM: nothing has changed. */
int tela_service_remove(struct tela_service *s, void (*removed)(void *arg), void *arg);
/* One that was removed, and its storage; NULL: nothing. */
void tela_service_free(struct tela_service *s);

/* One link of an image, in call order. Strings and link are copied; `self` must live until the
 * image is retired. */
struct tela_image_link {
	const struct tela_link *link;
	void *self;
	const char *plugin; /* whose it is, for people */
	bool blocking;      /* runs on a worker, whatever the link itself says */
};

/* Compiles the chains of every method: request_in links first, then the method's own, in the order
 * given. NULL with `err`: a link for a method or service that does not exist, no memory. */
struct tela_image *tela_image_build(struct tela_service *s, const struct tela_image_link *links,
	uint32_t n_links, char *err, size_t err_len);
void tela_image_free(struct tela_image *i);                 /* one that was never published */
uint64_t tela_image_generation(const struct tela_image *i); /* 0: not published yet */

/* Publishes with one pointer store, as the service's next generation; NULL withdraws the service
 * (close its gate first). The previous image is handed to `retired(arg, generation, calls)` on the
 * control thread, out of tela_node_poll(), when no call can run under it any more; `calls` were
 * executed under it. */
void tela_image_publish(struct tela_service *s, struct tela_image *i,
	void (*retired)(void *arg, uint64_t generation, uint64_t calls), void *arg);
const struct tela_image *tela_service_image(const struct tela_service *s);
/* Calls executed under the current image so far. */
uint64_t tela_image_calls(const struct tela_image *i);
/* While false, new calls get UNAVAILABLE `reason` (copied; NULL: "paused"), surely not executed;
 * calls under way go on. It may be closed again for another reason. */
void tela_service_admit(struct tela_service *s, bool admit, const char *reason);
/* A core is behind when all that it took for 20 times `target_us` has waited longer than that. It
 * then refuses calls of this service that have waited so long: RESOURCE_EXHAUSTED "overloaded",
 * surely not executed, with the time to come again. 0: as the node; TELA_SHED_NEVER: none is
 * refused. */
#define TELA_SHED_NEVER UINT32_MAX
void tela_service_shed(struct tela_service *s, uint32_t target_us);
/* As tela_service_admit() with false, but calls that descend from one in flight on this node are
 * taken: they are what that one waits for. */
void tela_service_drain(struct tela_service *s, const char *reason);
/* No core still runs a call that it took before the gate was closed, unless it is pending. */
bool tela_service_settled(const struct tela_service *s);
/* Ends the pending calls of the service under its image of that generation (UINT64_MAX: under any),
 * UNAVAILABLE, maybe executed, a moment later: leave hooks run, the image is let go, their handlers
 * find out when they resume them. Not so while a worker runs a link of the call, and until calls
 * made for it have ended, which are cancelled too: then call this again. */
void tela_service_cancel(struct tela_service *s, uint64_t generation);
/* Calls of this service that are pending now. */
uint32_t tela_service_in_flight(const struct tela_service *s);
/* Of these, how many a worker runs just now. [any but data cores] */
uint32_t tela_service_working(const struct tela_service *s);
/* For plugins that find the service they are part of. [any but data cores] */
struct tela_service *tela_service_find(struct tela_node *n, const char *name);
/* Descriptors of the node's services, in no order, at most `room` of them; returns how many there
 * are. They are valid until the link returns: a service may be removed. [core] */
uint32_t tela_core_services(
	const struct tela_core *core, const struct tela_service_desc **ret, uint32_t room);
/* Methods that plugins have added to a service by schemas of their own: its image has them, its
 * descriptor has not. At most `room`; returns how many there are. They are the plugins': valid
 * until that image is retired. [control] */
uint32_t tela_service_added(
	const struct tela_service *s, const struct tela_method_desc **ret, uint32_t room);
/* The same of the node's service of that name; valid until the link returns. [core] */
uint32_t tela_core_added(const struct tela_core *core, const char *service,
	const struct tela_method_desc **ret, uint32_t room);

/* Housekeeping of the control side: retired images, link state, watchdog reports. Call it every few
 * milliseconds; it never waits. */
void tela_node_poll(struct tela_node *n);

/* Faults injected below the session layer from now on, on what this node sends through `port`:
 * probabilities from 0 to 1, all 0 for none. For tests and demonstrations. 0, -EINVAL, -ENOMEM. */
int tela_node_faults(
	struct tela_node *n, uint32_t port, double loss, double duplicate, double reorder);

/* What a core has to tell, told on the control thread out of tela_node_poll(). `text` is one
 * line for the log; strings are valid until the function returns. */
enum tela_report_kind {
	TELA_REPORT_STATUS, /* a status that nobody registered was hidden: here it is in full */
};
struct tela_report {
	enum tela_report_kind kind;
	uint32_t core;
	const char *service, *method, *text;
	size_t text_len;
};
typedef void (*tela_report_fn)(void *arg, const struct tela_report *r);
/* Without one, reports are let go. */
void tela_node_on_report(struct tela_node *n, tela_report_fn fn, void *arg);

/* What happens to spans (tela_trace.h), as cores and workers tell it: told like reports. Events of
 * a span may be told before its beginning, or without one where a ring was full (counted
 * trace_lost). */
enum tela_trace_op {
	TELA_TRACE_BEGIN, /* name; text: what more it says */
	TELA_TRACE_END,   /* kind and code of the result, name: of its status */
	TELA_TRACE_EVENT, /* name, text */
	TELA_TRACE_ATTRIBUTE,
	TELA_TRACE_ERROR, /* text: why */
};
struct tela_trace_event {
	uint64_t at_ns;       /* since 1970 */
	uint64_t trace[2];    /* W3C trace id, its first half first */
	uint64_t span, above; /* above: of TELA_TRACE_BEGIN, 0: it is the first of its trace */
	enum tela_trace_op op;
	uint8_t span_kind; /* enum tela_span_kind, of TELA_TRACE_BEGIN */
	uint8_t code;      /* of TELA_TRACE_END: enum tela_code */
	uint8_t result;    /* of TELA_TRACE_END: enum tela_kind */
	const char *name, *text;
};
typedef void (*tela_trace_fn)(void *arg, const struct tela_trace_event *e);
/* Without one, they are let go. */
void tela_node_on_trace(struct tela_node *n, tela_trace_fn fn, void *arg);

/* A line for the log (tela_log.h), told like reports. Strings are valid until the function returns,
 * and hold whatever they were made of: escape them. */
struct tela_log_line {
	uint64_t at_ns; /* since 1970 */
	enum tela_log_level level;
	uint32_t core;                         /* UINT32_MAX: of no data core */
	const char *service, *plugin, *method; /* "": not said; no service: the node's own */
	uint64_t trace[2], span;               /* 0: none */
	const char *text;
	size_t text_len;
	uint64_t place;        /* the same for all lines of one format */
	const char *component; /* "dpdk": what the node stands on says it; NULL: it does itself */
};
typedef void (*tela_log_fn)(void *arg, const struct tela_log_line *l);
/* Without one, they are let go, but for what the node itself has to say, which goes to standard
 * error. Before tela_node_start(). */
void tela_node_on_log(struct tela_node *n, tela_log_fn fn, void *arg);
/* The same of what DPDK itself says, in all of the process and from now on, in place of standard
 * error and syslog: `fn` is called by whatever thread says it, one after the other, until a node
 * starts and after it has ended; in between, and from data cores, lines come as that node's do,
 * through tela_node_on_log(). 0, -EALREADY (once is enough), -ENOMEM. Best before a node is made.
 * [any but data cores] */
int tela_on_dpdk_log(tela_log_fn fn, void *arg);
/* Of the service's lines, those up to that level are taken from now on; TELA_LOG_INFO until then.
 * [any but data cores] */
void tela_service_log_level(struct tela_service *s, enum tela_log_level level);
/* Where lines of an instance of that plugin go, as part of that service, which must outlive it;
 * NULL: no memory. [any but data cores] */
struct tela_log *tela_log_create(struct tela_service *s, const char *plugin);
void tela_log_free(struct tela_log *l);

/* ---- tasks ---- */

/* A stage of one's own in a core's loop, run every pass; returns whether it did work. [control],
 * before start */
typedef bool (*tela_task_fn)(struct tela_core *core, void *arg);
int tela_task_add(struct tela_node *n, uint32_t core, tela_task_fn fn, void *arg);
/* The same at any time, run every period_ms (0: every pass), at the earliest in the next pass after
 * that. A core has eight places. NULL: errno EINVAL (no such core), EBUSY (all taken), ENOMEM. [any
 * but data cores] */
struct tela_task *tela_task_start(
	struct tela_node *n, uint32_t core, tela_task_fn fn, void *arg, uint32_t period_ms);
/* When it returns, the task runs no more: it waits for the core's pass. [a thread that may wait:
 * not the control thread, no data core] */
void tela_task_end(struct tela_task *t);

/* ---- what can be seen ---- */

/* Calls emit for every counter of `core` (or of all, UINT32_MAX), zeros included; `drop` tells
 * drops from events. [any but data cores] */
void tela_node_counters(const struct tela_node *n, uint32_t core,
	void (*emit)(void *arg, const char *name, const char *help, bool drop, uint64_t value),
	void *arg);
uint64_t tela_node_counter(
	const struct tela_node *n, const char *name); /* summed; 0 if there is none of that name */

/* Calls that did not end well, of one method, code and reason. */
struct tela_ends {
	const char *side;             /* "callee", "caller" */
	const char *service, *method; /* "": not known */
	const char *reason; /* of a callee that refused: its sentence; else the status's name */
	uint8_t code;       /* enum tela_code */
	uint64_t calls;
};
typedef void (*tela_ends_fn)(void *arg, const struct tela_ends *e);
/* Calls emit for each that there was on any core, added up. [any but data cores] */
void tela_node_ends(const struct tela_node *n, tela_ends_fn emit, void *arg);
/* Tells, out of tela_node_poll() and at most once a second, which there were since it told last. */
void tela_node_on_ends(struct tela_node *n, tela_ends_fn fn, void *arg);

/* Where the time of a method's calls goes: dataplane/latency.h says what each part is. */
struct tela_latency {
	const char *service, *method;
	const char *side, *part; /* "callee": "queue", "handler", "pending"; "caller": "queue",
				  * "callee", "network" */
	uint64_t calls, samples; /* that it stands for; of these, looked at */
	uint64_t p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};
typedef void (*tela_latency_fn)(void *arg, const struct tela_latency *l);
/* Calls emit for each part of each method on each side that has been seen on `core` (UINT32_MAX: on
 * any, added up). 0, -EINVAL (no such core), -ENOMEM. [any but data cores] */
int tela_node_latency(const struct tela_node *n, uint32_t core, tela_latency_fn emit, void *arg);

/* Whether some client of the node has a descriptor for which `in` says that it stands there: what
 * holds it must stay as long as the node. [any but data cores] */
bool tela_node_clients_use(
	struct tela_node *n, bool (*in)(const void *descriptor, void *arg), void *arg);

/* Tells, out of tela_node_poll() and at most once a second, the same of the calls alone that have
 * been looked at since it told last, or since this call: how many, and how long they took. How
 * those ended that did not end well, tela_node_on_ends() tells. NULL: no more. 0 or -ENOMEM. */
int tela_node_on_latency(struct tela_node *n, tela_latency_fn fn, void *arg);

struct tela_core_info {
	int cpu, socket;   /* NUMA socket of the CPU */
	int memory_socket; /* that its memory is on; below 0: the kernel does not say */
	enum tela_idle idle;
	uint64_t passes, busy_ns, polled_ns; /* time in passes that found work; in all */
	uint64_t loop_gap_us;                /* longest of the last 10 s */
	bool stalled;                        /* as the watchdog sees it */
	char running[160];                   /* "service.method" that a stalled core is in */
	uint32_t sessions;                   /* served and opened */
	uint64_t calls_served, calls_made;
	uint64_t handed_in, handed_out; /* frames, from and to other cores of the node */
};
int tela_node_core_info(const struct tela_node *n, uint32_t core, struct tela_core_info *ret);

/* How frames reach a core at a port. */
struct tela_reach {
	char queues[48]; /* its queues there that are in use, "0,2"; "" where it has none */
	/* "queue": all of the port's queues are this core's, or a peer's core has one of the same
	 * number; "hash": callers look for a UDP port that leads to its queue, what comes to
	 * another is handed over; "ring": handed over by the cores that have the queues. */
	const char *how;
};
int tela_node_reach(
	const struct tela_node *n, uint32_t core, uint32_t port, struct tela_reach *ret);

struct tela_port_info {
	const char *name, *driver;
	char address[24], mac[18];
	uint16_t mtu, queues;
	bool up;
	int socket;             /* NUMA socket of the device; below 0: it has none */
	bool buffers_elsewhere; /* that socket, or its cores', had no memory for its buffers */
};
int tela_node_port_info(const struct tela_node *n, uint32_t port, struct tela_port_info *ret);

struct tela_peer_info {
	const char *name;
	char address[32];
	const char *state; /* "down", "connecting", "up": of the best path that a core has to it */
	uint64_t rtt_ns, incarnation;
};
int tela_node_peer_info(const struct tela_node *n, uint32_t peer, struct tela_peer_info *ret);

#ifdef __cplusplus
}
#endif

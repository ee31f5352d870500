/* sim.h - a network of protocol machines in one process, on a virtual clock, from one seed.
 *
 * The machines are the real ones, unchanged; the world around them is made here. Everything that
 * happens is drawn from the seed, each part from a stream of its own, so a run repeats exactly and
 * a kind of fault can be left out without changing what the others do.
 *
 *   scenario.c  what the seed says: nodes, budgets, wires, load, faults
 *   world.c     virtual time: the event heap, the phases of a run
 *   node.c      a machine and the world it sees: passes, rings, buffers, clock, lives
 *   wire.c      what happens to a datagram between two nodes
 *   faults.c    partitions, pauses, crashes, clock steps, ... by the clock
 *   alloc.c     allocations that fail
 *   app.c       the services, and the calls made to them
 *   oracle.c    every call's record, and what must hold of it
 *   audit.c     what must hold of a machine between two passes, and at rest
 *   study.c     one kind of load in a good network, measured
 *   trace.c     what happened, as a hash and as text
 */
#pragma once

#include "image.h"
#include "machine.h"

/* ---- random numbers: splitmix64 (Steele, Lea and Flood, 2014) ---- */

struct rng {
	uint64_t s;
};

static inline uint64_t rng_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint64_t rng_next(struct rng *r)
{
	return rng_mix(r->s += 0x9e3779b97f4a7c15ull);
}

static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return n ? rng_next(r) % n : 0;
}

static inline uint64_t rng_between(struct rng *r, uint64_t low, uint64_t high)
{
	return low + rng_below(r, high - low + 1);
}

/* One in a million, times `ppm`. */
static inline bool rng_ppm(struct rng *r, uint32_t ppm)
{
	return ppm && rng_next(r) % 1000000 < ppm;
}

/* Every order of magnitude between the two is as likely. */
static inline uint64_t rng_scale(struct rng *r, uint64_t low, uint64_t high)
{
	uint32_t doublings = 0;

	while (low << (doublings + 1) <= high)
		doublings++;
	low <<= rng_below(r, doublings + 1);
	return rng_between(r, low, low * 2 > high ? high : low * 2);
}

/* ---- scenario ---- */

/* One kind of load in a good network, measured (--study). */
#define STUDY_LIST(X)                                                                              \
	X(none, "")                                                                                \
	X(single, "one node sends all it can to another over a slow link")                         \
	X(incast, "a hundred nodes send all they can to one over a slow link")                     \
	X(overload, "thirty nodes call one three times as often as it can serve")                  \
	X(brief, "the same, where to refuse four calls costs as much as to serve one")

enum study {
#define STUDY_ENUM(name, help) STUDY_##name,
	STUDY_LIST(STUDY_ENUM)
#undef STUDY_ENUM
		STUDY_N
};

/* Kinds of faults, each of which can be left out (--without). */
#define FAULT_LIST(X)                                                                              \
	X(loss, "datagrams vanish")                                                                \
	X(duplicate, "datagrams arrive twice")                                                     \
	X(reorder, "datagrams overtake each other, some come seconds late")                        \
	X(corrupt, "bits flip, ends are cut off (not on shared memory)")                           \
	X(jitter, "every datagram takes its own time")                                             \
	X(cut, "one direction between two nodes, or of one node, carries nothing")                 \
	X(partition, "two halves do not hear each other")                                          \
	X(pause, "a process is stopped and continued")                                             \
	X(crash, "a process ends and starts again, a new incarnation")                             \
	X(clock, "a node's clock jumps forward")                                                   \
	X(slow, "a node takes one datagram a pass, and passes take long")                          \
	X(rings, "transmit and receive rings have few places")                                     \
	X(alloc, "allocations fail: at start, of messages, calls, buffers, link addresses")        \
	X(scarce, "budgets are so small that they run out")                                        \
	X(drain, "a node says go-away, later ends and starts again")                               \
	X(swap, "images, schemas and admission change while calls run")                            \
	X(link, "what shares memory loses its link")

enum fault_kind {
#define FAULT_ENUM(name, help) FAULT_##name,
	FAULT_LIST(FAULT_ENUM)
#undef FAULT_ENUM
		FAULT_N
};

enum { FAULTS_MAX = 64 };

struct fault_event {
	enum fault_kind kind;
	uint64_t at_ns, lasts_ns;
	uint32_t a, b; /* nodes, or what the kind says */
};

struct scenario {
	uint64_t seed;
	uint32_t without; /* bits of enum fault_kind */
	uint32_t n_nodes, n_peers, n_sessions, n_calls;
	uint64_t load_ns;
	/* wires */
	uint64_t delay_ns, jitter_ns;
	uint32_t loss_ppm, duplicate_ppm, reorder_ppm, late_ppm, corrupt_ppm;
	uint32_t shared_percent; /* of the pairs share memory */
	/* nodes */
	uint32_t spin_percent, rx_ring, tx_ring, alloc_ppm;
	uint32_t handler_ns, refuse_ns; /* what a call costs, and one that is shed */
	uint64_t shed_ns;               /* calls may wait so long; 0: for ever */
	uint64_t silence_ns, pause_ns;  /* the second as nodes that do not spin announce it */
	struct tela_budgets budgets;
	/* load, in percent of the calls */
	uint32_t burst, big, biggest, park, cancel, hurried, other_schema, local, one_way;
	bool scarce;          /* a budget has next to nothing */
	bool long_quiet, hub; /* everybody also calls node 0 */
	bool calm;            /* nothing goes wrong */
	bool stalls;          /* nothing but pauses of nodes */
	bool huge;            /* calls of up to 16 MiB */
	enum study study;
	/* The link to node 0: its rate, and what fits its queue. 0: it has neither. */
	uint32_t link_ps_per_byte, link_queue_bytes;
	struct fault_event faults[FAULTS_MAX];
	uint32_t n_faults;
};

struct options {
	uint64_t seed;
	uint32_t nodes, calls, without; /* 0: as the seed says */
	enum study study;
	bool verbose;
	int64_t follow; /* trace only this call; -1: all */
};

void scenario_draw(struct scenario *s, const struct options *o);
void scenario_print(const struct scenario *s);

static inline bool scenario_has(const struct scenario *s, enum fault_kind k)
{
	return !(s->without >> k & 1);
}

/* ---- calls ---- */

enum method {
	METHOD_ECHO = 1,
	METHOD_PARK,
	METHOD_REFUSE,
	METHOD_NOBODY,
	METHOD_CHAIN,
	METHOD_REPEAT,
	METHOD_BYTES,     /* its request may be segments */
	METHOD_KEEP_BYTES /* and is, until later */
};

enum record_state { RECORD_NEW, RECORD_MADE, RECORD_DONE, RECORD_DIED /* with its caller */ };

struct record {
	uint32_t id, caller, callee, life;   /* life of the caller that made it */
	uint32_t session, peer, served_life; /* life of the callee that ran it */
	uint64_t made_ns, deadline_ns;       /* global; the deadline is the caller's */
	uint64_t deadline_local_ns, done_ns; /* by the caller's clock; global */
	uint64_t target;                     /* incarnation that it was sent to, 0: any */
	uint64_t park_ns;
	uint32_t len, reply_len, reply_limit, deadline_us;
	uint32_t executions, leaves, times_done;
	struct caller_slot *slot;
	uint32_t call_no;
	int32_t next; /* among those of its caller that are under way, -1: last */
	uint8_t method, service, state, how /* resumed */, code, outcome;
	bool keyed, metadata, invalid, cancelled, probe, alloc, early_reply, marked, one_way,
		in_segments;
	bool lends, goes_into;
	uint8_t *lent, *into; /* the caller's memory for request and reply, while the call has it */
	uint8_t attempt;
};

/* ---- nodes ---- */

enum {
	PEERS_MAX = 4,
	SESSIONS_MAX = 4,
	RING_MAX = 1024,
	RING_USUAL = 256,
	TODO_MAX = 256,
	SERVICES = 2,
	CALLS_MAX = 512
};

struct frame {
	struct frame *next;
	uint64_t born_ns; /* start of the pass that filled it */
	uint32_t from, to, len;
	uint16_t netif;
	uint8_t bytes[];
};

/* A datagram that was received: as long as its machine holds it. */
struct taken {
	struct list of_node;
	uint32_t refs;
	uint8_t bytes[];
};

/* Of a frame that was sent: its last bytes stand elsewhere until the machine says otherwise. */
struct borrowed {
	struct frame *frame;
	const void *more;
	uint32_t len;
};

enum todo_kind { TODO_CALL, TODO_RESUME, TODO_CANCEL, TODO_DRAIN, TODO_LINK_DOWN };

struct todo {
	enum todo_kind kind;
	uint32_t what;
};

struct peer {
	uint32_t node;
	struct path *path;
	uint32_t n_open;
	struct caller_session session[SESSIONS_MAX];
};

struct node {
	struct sim *sim;
	uint32_t index, life;
	bool up, paused, spins;
	uint64_t offset_ns; /* its clock less virtual time */
	uint64_t stepped_ns;
	struct rng random;
	/* passes */
	uint64_t pass_at_ns, pass_number, began_ns, idle_ns, idle_max_ns, cost_ns, usual_cost_ns,
		chores_ns, delay_ns;
	uint64_t slept_ns, spent_ns; /* spent: by handlers, in this pass */
	uint32_t burst;
	uint64_t passes;
	/* rings */
	struct frame *rx[RING_MAX], *tx[RING_MAX];
	uint32_t rx_head, n_rx, rx_ring, tx_head, n_tx, tx_ring, tx_burst;
	uint32_t n_buffers;
	uint64_t sent;
	struct borrowed borrowed[BULK_PER_PASS];
	uint32_t n_borrowed;
	struct list taken;
	struct taken *in_hand;
	uint32_t n_held;
	struct list replies_lent; /* that have not come back */
	uint32_t n_lent;
	/* what it is to do in its next pass */
	struct todo todo[TODO_MAX];
	uint32_t n_todo, n_probes;
	int32_t under_way; /* records */
	uint64_t next_deadline_ns;
	/* the machine and what it serves */
	struct machine m;
	struct counts counts;
	struct tela_service *service[SERVICES];
	_Atomic(struct service_table *) table;
	struct tela_image *old; /* images that may be pinned */
	struct peer peer[PEERS_MAX];
	uint32_t n_peers;
	struct caller_session local;
	bool local_open;
	uint32_t call_record[CALLS_MAX]; /* by call object: whose call it is */
};

/* ---- the world ---- */

enum event_kind {
	EVENT_PASS,
	EVENT_ARRIVE,
	EVENT_LOAD,
	EVENT_TODO,
	EVENT_FAULT,
	EVENT_HEAL,
	EVENT_BOOT
};

struct event {
	uint64_t at_ns, order;
	enum event_kind kind;
	uint32_t node;
	uint64_t number;
	void *ptr;
};

struct rule { /* datagrams that do not arrive */
	bool partition;
	uint32_t from, to; /* UINT32_MAX: any; of a partition: which */
	uint32_t fault;
};

struct parked {
	struct tela_handle handle;
	const void *request;
	size_t len;
	uint32_t record, node, life;
	bool continued, over;
};

enum phase { PHASE_LOAD, PHASE_SETTLE, PHASE_PROBE, PHASE_QUIET };

/* The queue in front of node 0. */
struct link {
	uint64_t free_ns; /* when what it holds has gone */
	uint64_t frames, dropped, wait_sum_ns, wait_max_ns;
	uint64_t *from; /* bytes that arrived, by sender */
};

struct sim {
	struct scenario s;
	struct options o;
	uint64_t now_ns, order;
	enum phase phase;
	struct event *heap;
	uint32_t n_heap, heap_cap;
	struct node *node;
	struct node *current; /* whose pass it is */
	struct rng wire_rng, app_rng, fault_rng, alloc_rng, pass_rng;
	struct record *record;
	uint32_t n_records, records_cap;
	struct parked *parked;
	uint32_t n_parked;
	struct rule rule[FAULTS_MAX];
	uint32_t n_rules;
	struct link link;
	uint64_t fifo[4096]; /* latest arrival, by pair */
	uint64_t max_age_ns; /* of a datagram that was taken */
	uint32_t frames;     /* under way and in rings */
	uint32_t starting;   /* inside caller_send */
	bool allocs_fail, clean;
	uint64_t hash, n_events, n_traced;
	/* sums */
	uint64_t n_made, n_done, n_ok, n_executed, n_passes, n_frames, n_dropped, n_pended,
		n_accepted;
	uint64_t by_code[17], by_outcome[3];
	uint64_t fault_hit[FAULT_N];
};

extern struct sim *sim_now; /* the one that runs */

/* Runs one seed; a violation does not return. Fills `sim` with what happened, to be given to
 * sim_free. */
void sim_run(struct sim *sim, const struct options *o);
void sim_free(struct sim *sim);
void sim_run_until(struct sim *sim, uint64_t ns);
void sim_at(struct sim *sim, uint64_t at_ns, enum event_kind kind, uint32_t node, uint64_t number,
	void *ptr);
/* Says what does not hold, and how to see it again. */
_Noreturn void sim_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Called before the end of the program by whatever ends it. */
void sim_say_seed(void);

void node_create(struct node *n, struct sim *sim, uint32_t index);
/* A new incarnation. False: no memory. */
bool node_boot(struct node *n);
void node_end(struct node *n);
void node_pass(struct node *n);
void node_todo(struct node *n, enum todo_kind kind, uint32_t what);
void node_wake(struct node *n, uint64_t at_ns);
void node_publish(struct node *n, uint32_t service);
static inline uint64_t node_clock(const struct node *n)
{
	return n->sim->now_ns + n->offset_ns;
}

/* Takes `f`. */
void wire_send(struct sim *sim, struct frame *f);
void wire_arrive(struct sim *sim, struct frame *f);
uint16_t wire_netif(const struct sim *sim, uint32_t a, uint32_t b);
struct frame *frame_new(struct sim *sim, uint32_t room);
void frame_free(struct sim *sim, struct frame *f);

void faults_schedule(struct sim *sim);
void faults_begin(struct sim *sim, uint32_t fault);
void faults_heal(struct sim *sim, uint32_t fault);

bool alloc_fails(void);

void app_load(struct sim *sim);
/* The machine has ended the call. */
void app_done(void *arg, const struct tela_result *result);
void app_todo(struct node *n, const struct todo *t);
void app_probe(struct sim *sim);
void app_connect(struct node *n);
uint32_t app_links(struct node *n, struct tela_image_link *to);
/* What its service has lent is free when its process has ended. */
void app_end(struct node *n);
extern const struct tela_service_desc *const app_desc[SERVICES][2];
enum { APP_LINKS = 20 };

struct record *oracle_record(struct sim *sim, uint64_t id, const char *who);
/* NULL: the run has had its fill. */
struct record *oracle_new(struct sim *sim);
void oracle_made(struct node *n, struct record *r, struct caller_slot *slot);
void oracle_executes(struct node *n, struct record *r, const struct tela_call *call);
void oracle_done(struct record *r, const struct tela_result *result);
void oracle_died(struct node *n);
void oracle_after_pass(struct node *n, bool timers);
void oracle_end(struct sim *sim);
enum { SALT_REQUEST = 1, SALT_REPLY, SALT_REPLACED };
bool oracle_same_pieces(
	const struct tela_segment *s, size_t n, uint32_t id, uint32_t salt, size_t len);
/* Memory that the caller has given for the call is its own again. */
void oracle_take_back(struct record *r);
void oracle_fill(uint8_t *to, uint32_t id, uint32_t salt, size_t len);
bool oracle_same(const uint8_t *bytes, uint32_t id, uint32_t salt, size_t len);

/* Between two passes. */
void audit_node(const struct node *n);
/* When nothing is under way any more. */
void audit_rest(const struct node *n);

void study_scenario(struct scenario *s, enum study study);
/* Runs the study, prints its figures; a violation if they are not what they must be. */
void study_run(struct sim *sim);
void study_done(struct sim *sim, const struct record *r);
/* A call was refused where it began. */
void study_refused(void);

void trace(struct sim *sim, const char *what, uint32_t node, int64_t call, uint64_t a, uint64_t b);
void trace_frame(struct sim *sim, const char *what, const struct frame *f);
void trace_bytes(struct sim *sim, const void *data, size_t len);

/* machine.h - the protocol machine of one core: datagrams in, datagrams out, calls made and served.
 *
 * It does no I/O and reads no clock: the poll loop, or a simulator, gives it packets, the time of
 * the pass, buffers and random numbers. One thread uses it. Files: path.c (datagrams, time),
 * handshake.c, caller.c, callee.c, bulk.c, call.c; this is what they share.
 */
#pragma once

#include "bulk.h"
#include "call.h"
#include "count.h"
#include "expiry.h"
#include "ends.h"
#include "latency.h"
#include "path.h"
#include "segments.h"
#include "shed.h"
#include "wire.h"

enum { MACHINE_DIRTY = 64, GAP_SECONDS = 10, SAMPLE_CALLS = 64 };

/* What the machine needs from the world. `io` is handed back. */
struct machine_ops {
	/* Buffer for a datagram on `p`: where it starts and how many bytes fit. NULL: none. */
	void *(*get)(void *io, const struct path *p, uint8_t **ret_data, uint32_t *ret_room);
	/* Sends the first `len` bytes; takes the buffer. */
	void (*send)(void *io, const struct path *p, void *buf, uint32_t len);
	/* Gives a buffer back unsent. */
	void (*drop)(void *io, void *buf);
	/* The same as send() with `more` (more_len bytes) behind the first `len` bytes, read where
	 * it stands, and no more once settle() has returned. NULL: there is none. */
	void (*send_from)(void *io, const struct path *p, void *buf, uint32_t len, const void *more,
		uint32_t more_len);
	/* Whether that may be used on the path just now. */
	bool (*borrows)(void *io, const struct path *p);
	void (*settle)(void *io);
	/* Keeps the datagram in hand, inside machine_rx(), until it is released. NULL: it cannot be
	 * kept. Both NULL: none can. */
	void *(*hold)(void *io, const struct path *p);
	void (*release)(void *io, void *held);
	/* A datagram outside of any path (handshake and version answers). */
	void (*send_raw)(void *io, const struct net_addr *to, const void *data, uint32_t len);
	/* Fills p->head. 0; -EAGAIN: the neighbour's address is being asked for. */
	int (*resolve)(void *io, struct path *p);
	uint64_t (*random)(void *io);
	/* The time by now, for spans and samples; NULL: the pass's will do. */
	uint64_t (*clock)(void *io);
	/* Facts about the port behind a netif: largest IP packet, whether nothing can be corrupted
	 * on it. */
	uint16_t (*mtu)(void *io, uint16_t netif);
	bool (*shared_memory)(void *io, uint16_t netif);
	/* How many UDP ports are worth trying to find one by which answers, and what we send, come
	 * to the right core by themselves; 0: the port makes no difference. NULL: 0. */
	uint16_t (*attempts)(void *io, uint16_t netif);
	/* Asks the other cores whether a call of that tree is in flight: callee_asked() comes. 0,
	 * or -EAGAIN: too many questions. NULL: there are none. */
	int (*ask)(void *io, const uint64_t root[2], struct tela_handle h);
	/* Whether calls that come on the path may be sent on (forward.h). NULL: none. */
	bool (*forwards)(void *io, const struct path *p);
	/* A call that goes out and was pending: goes on with the next link of request_out, or has
	 * been answered. NULL: none does. */
	void (*out)(void *io, struct call *c, bool go_on);
};

struct report_ring;
struct forward_table;

/* What a call is told that does not run. */
struct refusal {
	const char *message;
	uint64_t schema; /* the service's, where the caller's differs; 0: not said */
	uint8_t code, outcome, flags;
	bool rebind; /* it is only to be bound again */
	bool ask;    /* other cores are asked whether it may run (descent.h) */
	bool shed;   /* it has waited too long */
};

struct machine_config {
	uint64_t node_id, incarnation;
	uint16_t core, n_cores;
	uint64_t peer_silence_ns; /* least that makes a peer down */
	uint64_t pause_ns;        /* that this loop may be away, as peers are told */
	struct tela_budgets budgets;
	_Atomic(struct service_table *) *services;
	_Atomic(struct forward_table *) *forwards; /* NULL: no calls are sent on */
};

enum { CALL_DEADLINE_US = 15000000 }; /* where neither the call nor its method says one */

static inline uint64_t call_deadline_us(
	const struct tela_method_desc *m, const struct tela_options *o)
{
	if (o && o->deadline_us)
		return o->deadline_us;
	return m->deadline_us ? m->deadline_us : CALL_DEADLINE_US;
}

struct machine {
	union {
		struct tela_pass pass; /* what calls see */
		uint64_t now_ns;       /* of this pass */
	};
	uint64_t gap_ns;      /* this pass's distance from the last one, if it was long; else 0 */
	uint64_t gap10_ns;    /* longest of the last 10 s */
	uint64_t gap_look_ns; /* when it may be another */
	struct counts *counts;
	const struct machine_ops *ops;
	void *io;
	struct machine_config cfg;
	bool leaving, draining;   /* peers were told go-away; and what they ask is refused */
	_Atomic uint32_t running; /* chain->key of what runs, 0: nothing; for the watchdog */
	struct refusal refusal;   /* of the request in hand */
	uint16_t landed;          /* core that the device brought the datagram in hand to */
	uint64_t slept_ns; /* set by the loop: so much of the next gap was chosen, it is no stall */
	bool urgent;  /* what is sent now opens a window, or ends something: others wait for it */
	bool rx_left; /* set by the loop: its burst was full, so that more may be waiting */
	/* Set by the loop: of these network interfaces much waits for the ring;
	 * machine_netif_bit(). */
	uint64_t tx_waits;
	/* What this pass takes has waited for it so long at most: since the rings were last empty.
	 */
	uint32_t waited_ns;
	uint64_t emptied_ns;
	struct shed shed;
	struct latency latency;
	struct ends_series *ends; /* [ENDS_MAX] */
	/* paths */
	struct path *paths;            /* [budgets.paths] */
	uint32_t *conn_key, conn_mask; /* connection id -> index + 1, open addressing */
	uint16_t *conn_index;
	struct path *last_path; /* of the last datagram: a burst often comes from one peer */
	struct path *dirty[MACHINE_DIRTY];
	uint32_t n_dirty, n_paths;
	uint64_t cookie_key[2];
	struct wheel wheel; /* paths with datagrams that wait for their time */
	/* slabs */
	struct caller_slot *caller_slots;
	struct caller_slot **caller_blocks; /* free blocks */
	uint32_t n_caller_blocks;
	struct session_end *session_ends, *free_session_end;
	struct callee_slot *callee_slots;
	struct callee_slot **callee_blocks;
	uint32_t n_callee_blocks;
	struct callee_session *callee_sessions, *free_callee_session;
	uint32_t n_callee_sessions;
	struct slot_chunk *chunks, *free_chunk;
	struct call *calls, *free_call;
	uint32_t n_sessions;                       /* in use, served and opened */
	uint32_t n_calls_busy, n_detached, n_made; /* n_made: calls made, not yet ended */
	struct bulk_tx *bulk_txs, *free_bulk_tx;
	struct bulk_rx *bulk_rxs, *free_bulk_rx;
	struct bulk_tx **bulks; /* that have something to send */
	uint32_t n_bulks, bulk_turn;
	struct msgpool msgs;
	struct proofs *proofs; /* identity.h */
	struct token *tokens;
	uint16_t free_proofs, free_token; /* ids, 0: none */
	size_t bytes;                     /* of all of it */
	/* lists */
	struct list sessions;                        /* caller sessions */
	struct list pending;                         /* calls */
	struct report_ring *reports, *traces, *logs; /* to the control side */
	struct list local;                           /* caller slots of local calls, to be served */
	struct list ended;                           /* calls of local callers who are to be told */
	struct list forwards;                        /* queues of calls that wait to be sent on */
	uint32_t nesting;     /* completions of local calls inside one another, just now */
	uint32_t nest_serial; /* of the last call made for another */
	uint32_t direct;      /* direct calls inside one another, just now */
	bool orphans;         /* the first of `pending` may be one */
	struct expiry retained,
		arriving;          /* large replies, large requests; owners are callee slots */
	uint64_t reassembly_bytes; /* of buffers that messages arrive in, either way */
	uint32_t segments_held;    /* buffers of datagrams that messages hold, or will */
	uint32_t n_pending;
	uint64_t gap_s[GAP_SECONDS], gap_second; /* longest of each second; the latest one */
	uint64_t due_ns;                  /* nothing in `sessions` and `pending` is due before */
	uint64_t slots_ns;                /* when unused slots are next looked for */
	struct caller_session no_session; /* in place of those that were closed: has no slot */
};

/* The time by now, not the pass's. */
static inline uint64_t machine_clock(const struct machine *m)
{
	return m->ops->clock ? m->ops->clock(m->io) : m->now_ns;
}

/* A core may have more queues than there are bits: those that share one wait for each other. */
static inline uint64_t machine_netif_bit(uint32_t netif)
{
	return 1ull << netif % 64;
}

static inline uint64_t shed_target(const struct machine *m)
{
	return atomic_load_explicit(&m->shed.target_ns, memory_order_relaxed);
}

/* What is in hand has waited for `queue_ns` in the rings, and since then in this pass. */
static inline void shed_waited(struct machine *m, uint32_t queue_ns, uint64_t late_ns)
{
	struct shed *s = &m->shed;

	s->queue_ns = queue_ns;
	s->late_ns = late_ns;
	s->look = unlikely(queue_ns + late_ns > shed_target(m));
	if (unlikely(s->look && !s->above_ns))
		s->above_ns = m->now_ns;
	else if (unlikely(!s->look && s->above_ns))
		s->above_ns = 0;
}

/* This pass began so long after the last one. */
void shed_gap(struct machine *m, uint64_t gap_ns);
/* For how long this pass has gone on by now, but for what looks like an absence. */
uint64_t shed_late(const struct machine *m, uint64_t now_ns);
/* A call took so long. */
void shed_took(struct machine *m, uint64_t call_ns);

/* Says what runs from now on; returns what did. */
static inline uint32_t machine_running(struct machine *m, uint32_t key)
{
	uint32_t before = atomic_load_explicit(&m->running, memory_order_relaxed);

	atomic_store_explicit(&m->running, key, memory_order_relaxed);
	return before;
}

/* Takes all the memory it will ever use. 0 or -ENOMEM. */
int machine_init(struct machine *m, const struct machine_config *cfg, const struct machine_ops *ops,
	void *io, struct counts *counts);
void machine_fini(struct machine *m);
size_t machine_bytes(const struct machine *m);

enum { MACHINE_BUDGETS = sizeof(struct tela_budgets) / sizeof(uint32_t) };

/* What each budget takes, in the order of struct tela_budgets; 0 for those that bound others'
 * memory.
 */
void machine_budget_bytes(const struct machine *m, size_t ret_bytes[MACHINE_BUDGETS]);
/* Of a session with its first slots, and of one slot more. */
struct session_bytes {
	size_t served, served_slot, made, made_slot;
};
struct session_bytes machine_session_bytes(void);

/* Where the times of calls of a method are kept, on either side; NULL: no place (counted). */
struct latency_series *machine_latency(struct machine *m, enum latency_side side,
	const struct tela_service_desc *service, const struct tela_method_desc *method);

/* This loop was away for `gap_ns`, 0: only time goes by. Keeps the longest gap of the last ten
 * seconds, each of which has its own. */
void machine_gap(struct machine *m, uint64_t gap_ns, uint64_t now_ns);
/* Chooses how many calls are looked at. */
void machine_look(struct machine *m);

/* A pass: begin (with the time after the rx burst), then datagrams, then the rest in any order,
 * then flush. */
void machine_begin(struct machine *m, uint64_t now_ns);
void machine_rx(struct machine *m, const struct net_addr *from, uint8_t *data, uint32_t len);
bool machine_timers(struct machine *m);
bool machine_local(struct machine *m);
void machine_flush(struct machine *m, uint64_t now_ns);
/* In the middle of a pass: sends the datagram that answers the last one, if it holds a good share
 * of what fits. Returns whether it did. */
bool machine_flush_early(struct machine *m);
/* How long a core may sleep with nothing arriving, from now on. */
uint64_t machine_idle_ns(const struct machine *m);
/* The same, for who does not look at its paths until then. */
uint64_t machine_quiet_ns(const struct machine *m);

/* Other limits than at start, for grants and windows from now on; within those of the budgets. */
void machine_limits(struct machine *m, uint32_t window, uint32_t slots_per_session);

/* The port behind `netif` has lost its link: what shares memory has lost its peer. */
void machine_link_down(struct machine *m, uint16_t netif);
/* Says go-away on every path: callers look for another node. */
void machine_leave(struct machine *m);
/* That, and refuses new calls but those that descend from one in flight (descent.h). */
void machine_drain(struct machine *m);

/* ---- between the machine's files ---- */

/* The session has its block `b` from now on; and it has not any more, the last that it had. */
void session_block_enter(
	struct machine *m, struct slot_chunk *chunk[CHUNKS_MAX], uint32_t b, void *block);
void session_block_leave(struct machine *m, struct slot_chunk *chunk[CHUNKS_MAX], uint32_t b);

/* A round trip in the network alone. Less than the shortest one wraps, and is looked at as well. */
static inline void congest_sample(struct machine *m, struct path *p, uint64_t rtt_ns)
{
	if (unlikely(rtt_ns - p->congest.min_ns > CONGEST_TARGET_NS || p->congest.watched))
		congest_delay(m, p, rtt_ns);
}

void handshake_packet(struct machine *m, struct path *p, const struct net_addr *from,
	const frame_Packet *h, const uint8_t *body, uint32_t len);
void handshake_hello(struct machine *m, struct path *p);
void handshake_unknown(
	struct machine *m, const struct net_addr *from, uint32_t connection, uint32_t question_len);

void caller_response(struct machine *m, struct path *p, const frame_Packet *h, const uint8_t *body,
	uint32_t len);
void caller_in_progress(struct machine *m, struct path *p, const frame_Packet *h);
void caller_bind(struct machine *m, struct path *p, const frame_Packet *h, const uint8_t *body,
	uint32_t len);
void caller_rebind(struct machine *m, struct path *p, const frame_Packet *h);
void caller_credit(
	struct machine *m, struct path *p, const frame_Packet *h, const frame_Credit *granted);
void caller_acknowledge(struct machine *m, struct path *p, const frame_Packet *h, uint16_t limit);
void caller_gap(
	struct machine *m, struct path *p, const frame_Packet *h, uint16_t first, uint16_t count);
/* Sends again what was sent before `before_ns` and is neither answered nor in progress. */
void caller_resend(struct machine *m, struct path *p, uint64_t before_ns);
void caller_path_up(struct machine *m, struct path *p);
/* Ends all calls made on the path. */
void caller_path_down(struct machine *m, struct path *p, const char *why);
/* Ends those that still wait for the path to come up. */
void caller_fail_queued(struct machine *m, struct path *p, const char *why);
/* Deadlines and probes; returns the earliest time something is due. */
uint64_t caller_due(struct machine *m);
/* Ends a call with a status made here. */
void caller_fail(struct machine *m, struct caller_slot *s, uint8_t code, const char *message);
/* Ends a local one-way call: it runs, or has run. */
void caller_accepted(struct machine *m, struct caller_slot *s);
/* Ends a local call with what its call object holds. */
void caller_local_done(struct machine *m, struct call *c);
/* Enters `s` (zeroed, the client's memory) with its first slots; path NULL: local. 0 or -ENOBUFS.
 */
int caller_session_open(struct machine *m, struct caller_session *s, struct path *p,
	const struct tela_service_desc *service);
/* Takes it out again: its calls end CANCELLED, its slots are others'. Its number is the next one's,
 * since the callee keeps its first slots. */
void caller_session_end(struct machine *m, struct caller_session *s, const char *why);
int caller_begin(struct machine *m, struct caller_session *s, const struct tela_method_desc *method,
	size_t size, const struct tela_options *o, struct tela_request *ret);
int caller_send(struct machine *m, struct caller_slot *s, tela_done_fn done, void *arg);
void caller_abandon(struct machine *m, struct caller_slot *s);

void callee_request(
	struct machine *m, struct path *p, const frame_Packet *h, uint8_t *body, uint32_t len);
void callee_cancel(struct machine *m, struct path *p, const frame_Packet *h);
void callee_release(struct machine *m, struct path *p, const frame_Packet *h);
void callee_credit(
	struct machine *m, struct path *p, const frame_Packet *h, const frame_Credit *wanted);
/* Sessions give back slots that they have not used for long; a few of them are looked at a time. */
void caller_look(struct machine *m);
void callee_acknowledge(struct machine *m, struct path *p, const frame_Packet *h, uint16_t limit);
void callee_gap(
	struct machine *m, struct path *p, const frame_Packet *h, uint16_t first, uint16_t count);
/* Of so many sessions from *at on, binds to services that are being removed go. True: those were
 * the last. */
bool callee_unbind(struct machine *m, uint32_t *at);
void callee_path_down(struct machine *m, struct path *p);
void callee_serve_local(struct machine *m, struct caller_slot *s);
void callee_in_progress(struct machine *m, const struct call *c);
/* The call has a reply: sends and retains it. */
void callee_reply(struct machine *m, struct call *c);
uint64_t callee_due(struct machine *m);
/* Gives up the large reply that is kept and would go first, before its time. False: there is none.
 */
bool callee_evict(struct machine *m);
/* The same of all replies lent that `svc` has sent under the image of that generation (UINT64_MAX:
 * any; NULL: anybody has). */
void callee_give_back(struct machine *m, const struct tela_service *svc, uint64_t generation);
/* A message buffer, if need be at the price of replies that are kept. NULL: none. */
struct msg *callee_msg(struct machine *m, uint32_t size);

/* session.h - sessions and their slots, at the caller and at the callee.
 *
 * A session belongs to one path and one direction; its caller numbers it. A slot carries one call
 * after the other; a higher call number acknowledges the last response. A session opens with
 * SLOT_BLOCK slots and is granted more in blocks, from the core's budget; those that it has not
 * used for long it gives back. Slot memory comes from slabs filled at start.
 *
 *  caller slot:  FREE -> BUILDING (-> HELD by links of request_out) ->
 *                        QUEUED (no path yet) -> WAITING -> FREE
 *                                 \-> WAITING -> RUNNING (in progress: probed, not resent) -> FREE
 *                        SENDING / RECEIVING: a message of several fragments is on its way
 *  callee slot:  IDLE -> RECEIVING -> RUNNING -> REPLIED (retained) -> GONE (released or evicted)
 */
#pragma once

#include "list.h"
#include "tela.h"

struct path;
struct msg;
struct call;
struct bulk_tx;
struct bulk_rx;
struct tela_client;

enum {
	SLOT_BLOCK = 8,
	SLOT_BLOCKS_MAX = 256,
	CHUNK_BLOCKS = 128,
	CHUNKS_MAX = SLOT_BLOCKS_MAX / CHUNK_BLOCKS,
	SLOTS_MAX = SLOT_BLOCK * SLOT_BLOCKS_MAX,
	/* Of a message that stays in its slot, envelope included; a word of each is for padding. */
	SLOT_REQUEST_BYTES = 304,
	SLOT_REPLY_BYTES = 272, /* timing included */
	SESSION_BINDS = 8,
	FETCH_SESSIONS = 256, /* of a core: of fewer the caches hold what is used */
};

/* Where blocks of a session beyond its first are: so that a session itself, of which there may be
 * tens of thousands, is two lines at its caller. */
struct slot_chunk {
	union {
		struct slot_chunk *next_free;
		void *block[CHUNK_BLOCKS];
	};
};

static inline void *slot_block(struct slot_chunk *const *chunk, uint32_t index)
{
	const uint32_t b = index / SLOT_BLOCK;

	return chunk[b / CHUNK_BLOCKS]->block[b % CHUNK_BLOCKS];
}

/* ---- caller ---- */

enum caller_state {
	CALLER_FREE,
	CALLER_BUILDING,
	CALLER_HELD,
	CALLER_QUEUED,
	CALLER_WAITING,
	CALLER_SENDING,
	CALLER_RUNNING,
	CALLER_RECEIVING,
};

struct caller_slot {
	struct list sent; /* in path->sent, by time of sending; in machine->local when local */
	uint8_t *body;    /* envelope, payload: `bytes` or a message buffer's */
	uint64_t sent_ns;
	uint64_t deadline_ns;
	union {
		tela_done_fn done;
		struct caller_slot *next_free; /* while FREE */
	};
	void *arg;
	uint32_t call;
	uint32_t body_len;
	/* second line */
	struct caller_session *session;
	const struct tela_method_desc *method;
	/* Nothing, and zero, while FREE: a call that ends clears what it has used. */
	struct msg *msg;    /* holds `body`, NULL: `bytes` does */
	struct bulk_tx *tx; /* request of several fragments */
	struct bulk_rx *rx; /* response of several fragments */
	uint32_t probe_us;  /* since it was RUNNING: time to the next probe */
	uint16_t resends;
	uint8_t state, flags;
	uint32_t reply_limit;
	uint16_t index, envelope_len;
	bool bound;      /* body starts with a canonical envelope */
	bool on_wire;    /* some packet of it was sent */
	uint16_t token;  /* id of the one that its identity index stands for, 0: it has none */
	uint32_t nested; /* serial of a call made for another (nest.h), 0: it is none */
	/* third line */
	_Alignas(8) struct call *serving; /* local calls: who serves it */
	uint64_t probe_ns;                /* while RUNNING */
	uint8_t bytes[SLOT_REQUEST_BYTES];
};

_Static_assert(offsetof(struct caller_slot, session) == CACHE_LINE &&
		       offsetof(struct caller_slot, serving) == 2 * CACHE_LINE,
	"what a send and a response touch is two lines and the message");
_Static_assert(sizeof(struct caller_slot) % CACHE_LINE == 0, "slots share no cache line");

struct caller_session {
	_Alignas(16) struct list of_machine;
	struct path *path; /* NULL: local */
	const struct tela_service_desc *service;
	struct caller_slot *free, *first; /* block 0 */
	uint32_t number;
	uint16_t n_slots, n_owned, n_busy; /* granted by the callee, in hand here, in use */
	uint16_t bind;                     /* 0: not bound yet */
	/* second line: rarely */
	uint64_t credit_asked_ns; /* 0: no question open */
	uint64_t schema;  /* what it binds as: its own, or the callee's that it knows as earlier */
	uint64_t look_ns; /* when it is next looked at for slots that it does not use */
	uint32_t credits; /* questions asked */
	uint32_t floor;   /* slots taken anew number their calls from here on */
	uint16_t tokens;  /* that indices stand for: id of the first (identity.h), 0: none */
	uint8_t unused;   /* looks that found most slots free, one after the other */
	bool keeps;       /* the callee takes nothing back */
	struct slot_chunk *chunk[CHUNKS_MAX];
};

_Static_assert(offsetof(struct caller_session, credit_asked_ns) == CACHE_LINE &&
		       sizeof(struct caller_session) == 2 * CACHE_LINE,
	"what a call touches of its session is one line");

/* Of one that was closed, what the next of its number must know. */
struct session_end {
	struct session_end *next;
	uint32_t number, floor, credits;
};

static inline struct caller_slot *caller_slot_at(const struct caller_session *s, uint32_t index)
{
	if (likely(index < SLOT_BLOCK))
		return s->first + index;
	return (struct caller_slot *)slot_block(s->chunk, index) + index % SLOT_BLOCK;
}

/* ---- callee ---- */

enum callee_state {
	CALLEE_IDLE,
	CALLEE_RECEIVING,
	CALLEE_RUNNING,
	CALLEE_REPLIED,
	CALLEE_GONE,
};

/* Why nothing is kept of a call, as its caller must know it. */
enum callee_gone {
	GONE_EXECUTED = TELA_EXECUTED,
	GONE_REFUSED = TELA_NOT_EXECUTED,
	GONE_DETACHED = TELA_MAYBE_EXECUTED,
	GONE_SHED,   /* surely not executed: its caller may come again later */
	GONE_REBIND, /* surely not executed, and its caller is to bind again */
};

struct callee_slot {
	uint32_t call;
	uint8_t state;
	uint8_t gone; /* while GONE: what a duplicate is told, enum callee_gone */
	struct call *running;
	union {
		struct bulk_tx *tx; /* REPLIED, in several fragments */
		struct bulk_rx *rx; /* RECEIVING */
	};
	struct msg *msg; /* holds a reply too large for `bytes` */
	uint8_t *body; /* timing, envelope and payload of the retained reply, in `bytes` or `msg` */
	uint32_t body_len; /* without the timing */
	uint16_t envelope_len;
	uint16_t index; /* in its session */
	_Alignas(8) uint8_t bytes[SLOT_REPLY_BYTES];
};

_Static_assert(sizeof(struct callee_slot) % CACHE_LINE == 0, "slots share no cache line");

struct bind {
	struct tela_service *service;
	uint64_t schema;
	uint64_t generation; /* of the image it was last checked against */
};

struct callee_session {
	struct path *path;
	struct callee_session *next_free;
	uint32_t number;
	uint16_t n_slots, n_binds;
	struct callee_slot *first; /* block 0: with the first bind in the first line */
	struct bind binds[SESSION_BINDS];
	uint32_t credits; /* number of the latest question about slots */
	uint16_t proofs;  /* id of its table (identity.h), 0: it has none */
	struct slot_chunk *chunk[CHUNKS_MAX];
};

static inline struct callee_slot *callee_slot_at(const struct callee_session *s, uint32_t index)
{
	if (likely(index < SLOT_BLOCK))
		return s->first + index;
	return (struct callee_slot *)slot_block(s->chunk, index) + index % SLOT_BLOCK;
}

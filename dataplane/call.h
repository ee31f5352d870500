/* call.h - a call being served: from the request's arrival to the last leave hook.
 *
 * Most calls begin and end inside one pass: the object comes from a stack of the core and goes back
 * to it. One that goes pending keeps its object, pins its image and owns a copy of its request; it
 * may outlive its caller (then it is detached: it goes on, its reply is dropped). A handle names it
 * with a generation, so a late resume finds nothing.
 */
#pragma once

#include "envelope.h"
#include "image.h"
#include "list.h"
#include "msgpool.h"
#include "session.h"

/* CANCELLED: it has been torn from its image, service and caller; whoever has its handle may still
 * read its request, and ends it by resuming it. */
enum call_state { CALL_FREE, CALL_RUNNING, CALL_PENDING, CALL_CANCELLED };

/* In the call's arena: key, zero, value, zero. */
struct call_pair {
	struct call_pair *next;
	char text[];
};

struct call {
	struct tela_call pub;
	struct machine *machine;
	const struct chain *chain;
	struct tela_image *image;
	struct tela_service *svc;
	/* Where the reply goes: one of the two, none when detached. */
	struct callee_session *session;
	struct callee_slot *slot;
	struct caller_slot *local;
	uint32_t reply_limit;
	uint8_t state;
	uint64_t arrived_ns;
	/* Zeroed when a call begins. */
	struct {
		frame_Envelope_t envelope;
		const uint8_t *envelope_bytes; /* what `envelope` is read from */
		uint32_t envelope_len;
		uint32_t cursor; /* link that went pending, or that answered */
		uint8_t *reply;  /* payload */
		uint32_t reply_len, reply_room;
		uint32_t retry_after_us;
		/* Of the reply's metadata: bytes, pairs, bytes that they take in an envelope at
		 * most. */
		uint32_t meta_len, n_meta, meta_used;
		uint8_t outcome;
		const char *subject;     /* who calls, if that was proved */
		struct call_pair *added; /* metadata, by links */
		bool replied;
		bool has_status;   /* `meta` holds one: see status.h */
		bool one_way;      /* its caller hears that it was accepted, no more */
		bool tells_schema; /* refused: `svc` has another, which its caller may know */
		bool goes_out;     /* it is with a link of request_out (out.h) */
		bool proved;       /* `proof` is what an identity index stands for */
		bool prove_again;  /* the caller is to bind again, and to send its token if it holds
				    * no more */
		bool orphan;       /* nobody waits: those made for it are to be cancelled */
		bool accept;       /* one-way, and sent on: the callee accepts it, or not */
	};
	/* Where `proved`. */
	const void *prover;
	uint64_t proof;
	/* Nothing while FREE: a call that ends clears what it has used. */
	struct msg *reply_msg;   /* NULL: in the slot */
	struct msg *request_msg; /* owned copy or reassembled request */
	struct msg *arena;
	struct msg *nest; /* struct nest */
	struct msg *meta; /* reply metadata as key\0value\0..., and the status at its end */
	uint32_t arena_used;
	bool prepared /* tela_call_pend has been called */, detached, pinned;
	_Atomic bool unwanted; /* read by a worker: its caller has gone */
	union {
		struct worker_link *work; /* while a worker has it */
		void *out; /* of a call that goes out: the mesh's (NULL: it has none), or what out.c
			    * goes on with */
	};
	struct list of_machine; /* pending ones, in order of arrival */
	uint64_t generation;    /* of this object, for handles */
	uint32_t index;
	struct call *next_free;
};

enum {
	CALL_FRESH_FIRST = offsetof(struct call, envelope),
	CALL_FRESH_END = offsetof(struct call, prover),
};
_Static_assert((CALL_FRESH_END - CALL_FRESH_FIRST) % 8 == 0, "zeroed by words");
_Static_assert(TELA_EXECUTED == 0, "the outcome that a fresh call has");

static inline struct call *call_of(const struct tela_call *pub)
{
	return container_of((struct tela_call *)(uintptr_t)pub, struct call, pub);
}

struct call *call_get(struct machine *m);
/* Gives back all that the call holds, the object too. */
void call_put(struct machine *m, struct call *c);
/* Runs the chain from c->cursor on, and what follows from the verdict. */
void call_run(struct machine *m, struct call *c);
/* The chain has ended without an answer: the call is pending, or a link is at fault. */
void call_not_answered(struct machine *m, struct call *c, enum tela_verdict verdict);
/* Leave hooks, then the reply; the call is over. */
void call_finish(struct machine *m, struct call *c);
/* The leave hooks alone, and whoever looks at statuses. */
void call_leave(struct machine *m, struct call *c);
/* A link has said pending, and may: the call stays. Image and service are held until it ends. */
void call_park(struct machine *m, struct call *c);
/* Pending before its first link. False: no room, and nothing has changed. */
bool call_hold(struct machine *m, struct call *c, struct tela_handle *ret_handle);
/* tela_call_pend(), `keep`: with a request that stays readable. 0 or -ENOBUFS. */
int call_pend(struct call *c, bool keep, struct tela_handle *ret_handle);
/* Copies envelope and payload out of the datagram, in one piece. False: no memory. */
bool call_own_request(struct call *c);
/* That call, to be begun or finished; NULL (counted): it is not there any more. */
struct call *call_let_go(struct machine *m, struct tela_handle h);
/* Ends the pending calls of `svc` under the image of that generation (UINT64_MAX: any):
 * UNAVAILABLE, maybe executed. They let go of the image but where a worker has the call, or others
 * are made for it: those are cancelled first, so that a later turn may find it free. Returns how
 * many callers were told. */
uint32_t call_cancel_all(struct machine *m, const struct tela_service *svc, uint64_t generation);
/* Sets a status as if a link had answered it. */
void call_status(struct call *c, uint8_t code, uint8_t outcome, const char *message);
/* Ends the local calls whose ends would have nested too deep. True: there was one. */
bool call_finish_late(struct machine *m);
/* The call's caller has gone: its reply will be dropped. */
void call_detach(struct machine *m, struct call *c);
/* Whether one more call may run without a caller; counted if not. */
bool call_detach_allowed(struct machine *m);
/* The same within the budget of such calls. False: it stays with its slot, and what it answers
 * finds nobody. */
bool call_detach_budgeted(struct machine *m, struct call *c);
struct call *call_by_handle(struct machine *m, struct tela_handle h);
/* Resumes with a status, with a reply lent, with something created: 0 or -ESTALE. */
int call_resume_with(struct machine *m, struct tela_handle h, const struct tela_status *s);
int call_resume_lend(struct machine *m, struct tela_handle h, const void *from, size_t len,
	tela_lent_fn done, void *arg);
int call_resume_created(struct machine *m, struct tela_handle h, const void *payload, size_t len);
/* Resumes: payload NULL with code OK and `go_on`: the next link; else as an answer. Returns 0 or
 * -ESTALE. */
int call_resume(struct machine *m, struct tela_handle h, bool go_on, uint8_t code,
	const char *message, const void *payload, size_t len);
/* What a link has made of a call on another thread, which had a copy of it. */
struct call_work {
	enum tela_verdict verdict;
	uint8_t code, outcome;
	bool has_status;
	uint16_t identity; /* with `subject`: tela_call_identify() */
	const char *subject;
	uint32_t retry_after_us;
	uint32_t meta_len, n_meta, meta_used;
	const void *payload; /* the reply, or with TELA_CONTINUE another request; NULL: none */
	size_t len;
	const uint8_t *meta; /* META_BYTES as the call keeps them, NULL: none */
};

/* Goes on with it: 0 or -ESTALE. */
int call_worked(struct machine *m, struct tela_handle h, const struct call_work *w);

/* Whether the reply says more than its payload. */
static inline bool call_needs_envelope(const struct call *c)
{
	return c->pub.reply_code | c->n_meta | c->has_status;
}

/* Whether there is more to its end than a reply that stands in its slot. */
static inline bool call_is_special(const struct call *c)
{
	return ((uintptr_t)c->local | (uintptr_t)c->reply_msg | (uintptr_t)c->request_msg |
		       (uintptr_t)c->arena | (uintptr_t)c->nest | (uintptr_t)c->meta) ||
	       (c->pinned | c->detached) || call_needs_envelope(c);
}

/* META_WHOLE pairs: `meta` is the envelope itself. */
enum { META_BYTES = MSG_2K, META_PAIRS_MAX = 64, META_WHOLE = 255, STATUS_MESSAGE_MAX = 200 };
/* Where reply metadata, and a status, are kept; NULL: no memory. */
struct msg *call_meta(struct call *c);

/* The reply has this envelope, which another node has built, whatever else it is. False: no memory.
 */
bool call_reply_as(struct call *c, const uint8_t *envelope, uint32_t len);
/* Builds the envelope of the reply into `to` (at most ENVELOPE_MAX); 0: none is needed. */
uint32_t call_reply_envelope(const struct call *c, uint8_t *to);

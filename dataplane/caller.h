/* caller.h - what the caller's files share; see caller.c. */
#pragma once

#include "machine.h"

static inline void caller_slot_free(struct caller_slot *s)
{
	struct caller_session *session = s->session;

	s->state = CALLER_FREE;
	s->nested = 0;
	session->n_busy--;
	if (unlikely(s->index >= session->n_slots))
		return; /* no longer granted: offered again with its block */
	s->next_free = session->free;
	session->free = s;
}

/* NULL: there is none of that number, or it was closed. */
static inline struct caller_session *caller_session_of(
	const struct machine *m, const struct path *p, uint32_t number)
{
	struct caller_session *s = number < p->n_out ? p->out[number] : NULL;

	return s == &m->no_session ? NULL : s;
}

static inline void caller_to_sent(struct machine *m, struct path *p, struct caller_slot *s)
{
	s->sent_ns = m->now_ns;
	list_del(&s->sent); /* harmless where it stands in no list */
	list_add_tail(&p->sent, &s->sent);
}

/* Holds back what it has already: it takes no call of any session just now. */
static inline bool caller_path_holds(const struct path *p)
{
	return p->congest.n_held >= CONGEST_HELD_CALLS;
}

/* Whether a call may begin in the session without more ado. */
static inline bool caller_is_open(const struct machine *m, const struct caller_session *s)
{
	const struct path *p = s->path;

	return s->free && m->n_made < m->cfg.budgets.in_flight &&
	       (!p || (p->state == PATH_UP && !p->draining && !p->throttled &&
			      !caller_path_holds(p)));
}

/* Header of the request's packet, or of the first of them. */
static inline frame_Packet caller_header(const struct caller_slot *s, uint8_t flags)
{
	return (frame_Packet){
		.kind = frame_Kind_request,
		.flags = s->flags | flags,
		.length = (uint16_t)(WIRE_PACKET + s->body_len),
		.session = s->session->number,
		.slot = s->index,
		.call = s->call,
		.body_length = s->body_len,
		.envelope_length = s->envelope_len,
	};
}

/* Where the request's payload stands. */
static inline const uint8_t *caller_payload(const struct caller_slot *s)
{
	return unlikely(s->msg && s->msg->from) ? s->msg->from : s->body + ALIGN8(s->envelope_len);
}

/* Where the reply's shall; NULL: the caller has not said. */
static inline uint8_t *caller_into(const struct caller_slot *s)
{
	return s->msg ? s->msg->into : NULL;
}

/* 0 in the slot: such a call, see elsewhere(). */
static inline uint32_t caller_reply_limit(const struct caller_slot *s)
{
	return s->reply_limit ? s->reply_limit : s->msg->len;
}

static inline uint32_t caller_budget_left_us(uint64_t now_ns, uint64_t deadline_ns)
{
	return deadline_ns <= now_ns ? 0 : saturate_u32((deadline_ns - now_ns + 999) / NS_PER_US);
}

/* What is sent later than it was built says what is left of the deadline by now. */
static inline void caller_patch_budget(const struct machine *m, struct caller_slot *s)
{
	(s->bound ? envelope_patch_budget : envelope_patch_budget_general)(
		s->body, caller_budget_left_us(m->now_ns, s->deadline_ns));
}

/* Asks the callee for more slots, if that is not under way already. */
void caller_ask_credit(struct machine *m, struct caller_session *s);
/* The peer takes no such session: its slots wait for another path. */
void caller_session_close(struct caller_session *s);
/* Back to the slots that every session has; those in hand beyond them wait to be granted again. */
void caller_session_restart(struct caller_session *s);
/* Writes the envelope of a call that is not plain. Returns its length, 0 if it is too large; and
 * the token in whose place it has an index (identity.h), 0: none. */
uint32_t caller_envelope(const struct machine *m, const struct caller_session *s, uint16_t method,
	const struct tela_options *o, uint32_t budget_us, uint8_t *to, uint16_t *ret_token);
enum { CALLER_PAIRS_MAX = 16 };
/* What a call had asked for beside its deadline, as its slot still says it. The strings stay there.
 */
void caller_options(const struct machine *m, const struct caller_slot *s, struct tela_options *o,
	struct tela_pair pairs[CALLER_PAIRS_MAX], uint64_t key[2], struct tela_context *context);
/* Before it is sent: the payload is `len` bytes at `from`, more than a packet takes; it was begun
 * with none. 0 or -ENOBUFS. */
int caller_lend(struct machine *m, struct caller_slot *s, const void *from, uint32_t len);
/* A reply that came in one packet, or from this node, goes where its caller wants it. */
void caller_put_into(const struct caller_slot *s, struct tela_result *r);
/* Before it is sent: other metadata, another payload. 0, or -ENOBUFS, -EMSGSIZE with nothing
 * changed. */
int caller_replace(struct machine *m, struct caller_slot *s, const struct tela_pair *metadata,
	uint32_t n, const uint8_t *payload, uint32_t len);
/* What a call object says, as its caller is told; `scratch` keeps the envelope. */
void caller_result_of(const struct machine *m, const struct call *c, uint8_t scratch[ENVELOPE_MAX],
	struct tela_result *ret);
/* As caller_begin(), where caller_is_open(). */
int caller_begin_open(struct machine *m, struct caller_session *s,
	const struct tela_method_desc *method, size_t size, const struct tela_options *o,
	struct tela_request *ret);
/* What few calls have of a slot. */
void caller_slot_clear(struct machine *m, struct caller_slot *s);
/* Sends what the slot holds, whole or as the first fragments of it. */
void caller_transmit(struct machine *m, struct path *p, struct caller_slot *s, uint8_t flags);
/* Frees what the slot holds, then tells the caller; the completion may take the slot again. */
void caller_finish(struct machine *m, struct caller_slot *s, struct tela_result *r);
/* A packet without a body about the slot's call. */
void caller_tell(struct machine *m, const struct caller_slot *s, uint8_t kind);
/* The callee does not know the schema that the slot's call named; its own is `theirs`. True if the
 * caller knows that one and has called again, else the call ends with the callee's status. */
bool caller_schema_refused(struct machine *m, struct caller_slot *s, uint64_t theirs);
/* The slot that a packet from the callee is about, if it waits for this call; NULL (counted) if
 * none does. */
struct caller_slot *caller_slot_of(struct machine *m, const struct path *p, const frame_Packet *h);

/* callee.h - what the callee's files share; see callee.c. */
#pragma once

#include "machine.h"

void callee_refuse_as(
	struct machine *m, struct path *p, const frame_Packet *about, const struct refusal *r);
/* Surely not executed; the slot remembers that. */
void callee_refuse(struct machine *m, struct path *p, const frame_Packet *about, uint8_t code,
	const char *message);
/* The same (RESOURCE_EXHAUSTED) where no slot can remember it: another copy of the request may come
 * and be taken, so a caller that sent more than one is told "maybe executed". */
void callee_refuse_unkept(
	struct machine *m, struct path *p, const frame_Packet *about, const char *message);
/* A packet without a body about a call. */
void callee_tell(struct machine *m, struct path *p, const frame_Packet *about, uint8_t kind);

/* NULL: no session or slots left. */
struct callee_session *callee_session_open(struct machine *m, struct path *p, uint32_t number);
/* Slot of a packet from the caller; NULL (counted) if it names none that was
 * granted. */
struct callee_slot *callee_slot_of(struct machine *m, const struct path *p, const frame_Packet *h);
/* What the slot keeps of its last call goes. */
void callee_slot_clear(struct machine *m, struct callee_slot *slot);
void callee_slot_gone(struct callee_slot *slot, enum callee_gone why);
/* What a duplicate of a call is told of which nothing is kept. */
void callee_tell_gone(
	struct machine *m, struct path *p, const struct callee_slot *slot, const frame_Packet *h);

/* Who runs a call. */
struct admission {
	struct bind *bind; /* NULL: the call names its service */
	struct tela_service *svc;
	struct tela_image *image;
	const struct chain *chain;
};

/* Everything that can be decided from the envelope, before the payload is looked at or memory is
 * taken for it. NULL: it may run, or be held until other cores were asked; else why not, until the
 * next call of this. */
const struct refusal *callee_admit(struct machine *m, struct callee_session *s,
	const struct envelope *e, struct admission *ret);
/* Its payload is bytes, and may come in pieces. */
static inline bool callee_wants_segments(const struct tela_method_desc *method)
{
	return method->flags & TELA_METHOD_SEGMENTS && !method->verify_request;
}

/* What few requests meet. Why a call may not run; to bind again. */
const struct refusal *admit_refused(struct machine *m, uint8_t code, const char *why);
const struct refusal *admit_stale_bind(struct machine *m);
/* The service that an envelope from the wire names: also one that calls from there are sent on to.
 */
const struct refusal *admit_named(struct machine *m, const struct callee_session *s,
	frame_Envelope_t e, struct tela_service **ret);
/* The same for a local caller, who sees at once what a remote one is told with the refusal. */
const struct refusal *admit_local(
	struct machine *m, const struct tela_service_desc *caller, struct tela_service **ret);
/* The gate is closed, but calls that descend from one in flight here go on: they hold up those that
 * are waited for. NULL: it is one; a refusal that says `ask`: other cores may know. */
const struct refusal *admit_at_closed_gate(
	struct machine *m, const struct tela_service *s, frame_Envelope_t e, const char *why);
/* Has it waited too long? */
const struct refusal *admit_late(struct machine *m, const struct tela_service *svc);
/* What its identity index stands for; without one, as it was. */
const struct refusal *admit_proved(struct machine *m, const struct callee_session *s,
	struct call *c, struct admission a, const struct refusal *no);
/* A first call by name: later ones may carry an index, if there is one left. That of a service
 * which was removed stands for the same one again, never for another: its caller may not know yet.
 */
void admit_bind(struct machine *m, struct callee_session *s, const frame_Packet *about,
	struct tela_service *svc, uint64_t schema, uint64_t generation);
/* The call that was held for it is in a tree with a call in flight on another core, or is not. */
void callee_asked(struct machine *m, struct tela_handle h, bool in_flight);
/* Surely not executed: the caller is to bind again. */
void callee_rebind(
	struct machine *m, struct path *p, struct callee_slot *slot, const frame_Packet *about);
/* Is a call refused whose service's calls may wait `target_ns`? For those that `shed.look` points
 * at. */
bool shed_call(struct machine *m, uint64_t target_ns);
/* Tells its caller so, and when to come again. */
void shed_tell(struct machine *m, struct path *p, const frame_Packet *about);
/* Surely not executed, counted, and the slot remembers it. */
void shed_refuse(
	struct machine *m, struct path *p, struct callee_slot *slot, const frame_Packet *about);
/* A request that came in fragments: the call takes `msg`, which holds it. */
void callee_serve_message(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, struct msg *msg, const struct envelope *e);

/* Waits for the rest of a large request, so long as something comes. */
void callee_await(struct machine *m, struct callee_slot *slot);
/* Sends the reply that the slot keeps. */
void callee_send_reply(struct machine *m, struct callee_session *s, struct callee_slot *slot);

/* First fragment of a large request: its envelope decides whether memory is taken for the rest. */
void callee_receive(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len);
/* The caller has not heard: it gets the first answer again, or is told that it is gone; nothing
 * runs twice. */
void callee_duplicate(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len);

/* The reply's status and metadata, in front of its payload; returns its length. */
uint32_t reply_with_envelope(struct machine *m, struct call *c, uint8_t **ret_body);
/* No handler has run: the caller is to prove who it is, or to bind again. */
void reply_rebind(struct machine *m, struct call *c);
/* What is kept beyond a slot's own bytes has an end, and a budget: others go before their time. */
void reply_retain(struct machine *m, struct callee_slot *slot, uint64_t deadline_ns);

/* The object of a call that holds nothing more goes back. */
static inline void call_return(struct machine *m, struct call *c)
{
	c->detached = c->prepared = false;
	c->generation++;
	c->state = CALL_FREE;
	c->next_free = m->free_call;
	m->free_call = c;
	m->n_calls_busy--;
}

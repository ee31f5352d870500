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
/* A whole request: `body` is envelope and payload. */
void callee_serve(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, const struct envelope *e);
/* The same of one that came in fragments: the call takes `msg`, which holds it. */
void callee_serve_message(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, struct msg *msg, const struct envelope *e);

/* Waits for the rest of a large request, so long as something comes. */
void callee_await(struct machine *m, struct callee_slot *slot);
/* Sends the reply that the slot keeps. */
void callee_send_reply(struct machine *m, struct callee_session *s, struct callee_slot *slot);

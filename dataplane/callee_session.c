/* callee_session.c - sessions served and their slots: opened, granted, asked
 * about, taken back. */
#include "callee.h"
#include "identity.h"

enum { UNBIND_A_TIME = 64 }; /* sessions, each a miss of the cache */

/* A response beside what the slot keeps. */
void callee_refuse_as(
	struct machine *m, struct path *p, const frame_Packet *about, const struct refusal *r)
{
	uint8_t body[WIRE_TIMING + 256] = {0};
	struct frame_Envelope_args e = frame_Envelope_ARGS_INIT;
	struct frame_Status_args status = frame_Status_ARGS_INIT;
	frame_Packet h = {.kind = frame_Kind_response,
		.flags = r->flags,
		.session = about->session,
		.slot = about->slot,
		.call = about->call};
	int n;

	status.code = r->code;
	status.outcome = r->outcome;
	status.message = (struct tela_str){r->message, strlen(r->message)};
	e.status = &status;
	e.schema = r->schema;
	n = frame_Envelope_build(body + WIRE_TIMING, sizeof(body) - WIRE_TIMING, &e);
	if (n <= 0)
		return;
	h.envelope_length = (uint16_t)n;
	h.body_length = ALIGN8((uint32_t)n);
	path_packet(m, p, h, body, WIRE_TIMING + h.body_length);
	count(m->counts, count_calls_refused);
}

void callee_refuse(struct machine *m, struct path *p, const frame_Packet *about, uint8_t code,
	const char *message)
{
	callee_refuse_as(m, p, about,
		&(struct refusal){.message = message, .code = code, .outcome = TELA_NOT_EXECUTED});
}

void callee_refuse_unkept(
	struct machine *m, struct path *p, const frame_Packet *about, const char *message)
{
	callee_refuse_as(m, p, about,
		&(struct refusal){.message = message,
			.code = TELA_RESOURCE_EXHAUSTED,
			.outcome = TELA_NOT_EXECUTED,
			.flags = frame_PacketFlag_unkept});
}

void callee_tell(struct machine *m, struct path *p, const frame_Packet *about, uint8_t kind)
{
	frame_Packet h = {
		.kind = kind, .session = about->session, .slot = about->slot, .call = about->call};

	path_packet(m, p, h, NULL, 0);
}

/* Calls in its slots come after `floor`, 0: there were none. */
static bool block_grant(struct machine *m, struct callee_session *s, uint32_t floor)
{
	struct callee_slot *block;

	if (!m->n_callee_blocks || s->n_slots >= m->cfg.budgets.slots_per_session ||
		s->n_slots >= SLOTS_MAX)
		return false;
	block = m->callee_blocks[--m->n_callee_blocks];
	for (uint32_t i = 0; i < SLOT_BLOCK; i++) {
		block[i].index = (uint16_t)(s->n_slots + i);
		block[i].call = floor;
		block[i].state = floor ? CALLEE_GONE : CALLEE_IDLE;
		block[i].gone = GONE_EXECUTED;
		block[i].running = NULL;
		block[i].tx = NULL;
		block[i].msg = NULL;
	}
	if (!s->n_slots)
		s->first = block;
	session_block_enter(m, s->chunk, s->n_slots / SLOT_BLOCK, block);
	s->n_slots = (uint16_t)(s->n_slots + SLOT_BLOCK);
	count_add(m->counts, count_slot_grants, SLOT_BLOCK);
	return true;
}

struct callee_session *callee_session_open(struct machine *m, struct path *p, uint32_t number)
{
	struct callee_session *s = m->free_callee_session;

	if (!s)
		return NULL;
	s->n_slots = s->n_binds = s->proofs = 0;
	s->credits = 0;
	if (!block_grant(m, s, 0))
		return NULL;
	m->free_callee_session = s->next_free;
	m->n_sessions++;
	s->path = p;
	s->number = number;
	p->in[number] = s;
	return s;
}

/* Slot of a packet from the caller; NULL (counted) if it names none that was
 * granted. */
struct callee_slot *callee_slot_of(struct machine *m, const struct path *p, const frame_Packet *h)
{
	struct callee_session *s = h->session < p->n_in ? p->in[h->session] : NULL;

	if (unlikely(!s || h->slot >= s->n_slots)) {
		count(m->counts, s ? count_drop_slot : count_drop_session);
		return NULL;
	}
	return callee_slot_at(s, h->slot);
}

/* What the slot keeps of its last call goes. */
void callee_slot_clear(struct machine *m, struct callee_slot *slot)
{
	if (slot->state == CALLEE_RECEIVING) {
		expiry_del(&m->arriving, slot->rx->msg);
		bulk_rx_end(m, slot->rx);
	} else if (slot->tx) {
		bulk_tx_end(m, slot->tx);
	}
	slot->tx = NULL;
	if (slot->msg) {
		expiry_del(&m->retained, slot->msg);
		message_put(m, slot->msg);
	}
	slot->msg = NULL;
}

void callee_slot_gone(struct callee_slot *slot, enum callee_gone why)
{
	slot->state = CALLEE_GONE;
	slot->gone = (uint8_t)why;
}

void callee_rebind(
	struct machine *m, struct path *p, struct callee_slot *slot, const frame_Packet *about)
{
	callee_slot_gone(slot, GONE_REBIND);
	count(m->counts, count_rebinds);
	callee_tell(m, p, about, frame_Kind_rebind);
}

/* What a duplicate of a call is told of which nothing is kept. */
void callee_tell_gone(
	struct machine *m, struct path *p, const struct callee_slot *slot, const frame_Packet *h)
{
	count(m->counts, count_drop_reply_gone);
	if (slot->gone == GONE_REBIND)
		callee_tell(m, p, h, frame_Kind_rebind);
	else if (slot->gone == GONE_SHED)
		shed_tell(m, p, h);
	else
		callee_refuse_as(m, p, h,
			&(struct refusal){.code = TELA_ABORTED,
				.outcome = slot->gone,
				.message = slot->gone == GONE_REFUSED ? "refused before"
								      : "its reply is gone"});
}

void callee_cancel(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct callee_slot *slot = callee_slot_of(m, p, h);

	if (!slot)
		return;
	if (slot->state != CALLEE_IDLE && slot->call != h->call &&
		!serial_after(h->call, slot->call))
		return; /* of an older call */
	if (slot->call == h->call && slot->state == CALLEE_REPLIED) {
		if (slot->msg) { /* too late to keep it from running, but nobody wants the reply */
			callee_slot_clear(m, slot);
			callee_slot_gone(slot, GONE_EXECUTED);
		}
		return;
	}
	if (slot->state == CALLEE_RUNNING) {
		count(m->counts, count_calls_cancelled);
		if (!call_detach_budgeted(m, slot->running)) /* may have run */
			return;
	} else if (slot->state != CALLEE_GONE || slot->call != h->call) {
		callee_slot_clear(m, slot);
		callee_slot_gone(slot, GONE_REFUSED);
	}
	/* A request that arrives after its own cancel shall not run. */
	slot->call = h->call;
}

void callee_release(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct callee_slot *slot = callee_slot_of(m, p, h);

	if (!slot || slot->call != h->call || slot->state != CALLEE_REPLIED)
		return;
	callee_slot_clear(m, slot);
	callee_slot_gone(slot, GONE_EXECUTED);
}

/* The last block goes back, if no call is under way in it. */
static bool block_return(struct machine *m, struct callee_session *s)
{
	struct callee_slot *block = callee_slot_at(s, s->n_slots - SLOT_BLOCK);

	for (uint32_t i = 0; i < SLOT_BLOCK; i++)
		if (block[i].state == CALLEE_RUNNING || block[i].state == CALLEE_RECEIVING)
			return false;
	for (uint32_t i = 0; i < SLOT_BLOCK; i++)
		callee_slot_clear(m, &block[i]);
	m->callee_blocks[m->n_callee_blocks++] = block;
	s->n_slots = (uint16_t)(s->n_slots - SLOT_BLOCK);
	session_block_leave(m, s->chunk, s->n_slots / SLOT_BLOCK);
	count_add(m->counts, count_slot_returns, SLOT_BLOCK);
	return true;
}

/* Questions that overtook each other: only the newest may take slots away. */
void callee_credit(
	struct machine *m, struct path *p, const frame_Packet *h, const frame_Credit *wanted)
{
	struct callee_session *s = h->session < p->n_in ? p->in[h->session] : NULL;
	frame_Packet answer = {.kind = frame_Kind_credit,
		.flags = frame_PacketFlag_from_callee,
		.session = h->session,
		.call = h->call};
	frame_Credit body;

	if (!s && h->session < p->n_in)
		s = callee_session_open(m, p, h->session);
	if (!s) {
		count(m->counts, count_drop_session);
		return;
	}
	if (h->call && !serial_after(h->call, s->credits))
		return;
	s->credits = h->call;
	while (s->n_slots < wanted->slots && block_grant(m, s, wanted->floor))
		;
	while (h->call && s->n_slots > SLOT_BLOCK && s->n_slots - SLOT_BLOCK >= wanted->slots &&
		block_return(m, s))
		;
	body = (frame_Credit){
		.slots = s->n_slots, .most = (uint16_t)m->cfg.budgets.slots_per_session};
	path_packet(m, p, answer, &body, sizeof(body));
}

void callee_acknowledge(struct machine *m, struct path *p, const frame_Packet *h, uint16_t limit)
{
	struct callee_slot *slot = callee_slot_of(m, p, h);

	if (!slot || slot->call != h->call)
		return;
	if (slot->state == CALLEE_REPLIED && slot->tx)
		bulk_tx_acked(m, slot->tx, h->fragment, limit);
	else if (slot->state == CALLEE_GONE)
		callee_tell_gone(m, p, slot, h);
}

void callee_gap(
	struct machine *m, struct path *p, const frame_Packet *h, uint16_t first, uint16_t n)
{
	struct callee_slot *slot = callee_slot_of(m, p, h);

	if (!slot || slot->call != h->call)
		return;
	if (slot->state == CALLEE_REPLIED && slot->tx)
		bulk_tx_gap(m, slot->tx, first, n);
	else if (slot->state == CALLEE_GONE)
		callee_tell_gone(m, p, slot, h);
}

bool callee_unbind(struct machine *m, uint32_t *at)
{
	uint32_t end = min_u32(m->n_callee_sessions, *at + UNBIND_A_TIME);

	for (; *at < end; ++*at) { /* those of free sessions do no harm */
		struct callee_session *s = &m->callee_sessions[*at];

		for (uint32_t i = 0; i < s->n_binds; i++)
			if (atomic_load_explicit(
				    &s->binds[i].service->leave.unnamed, memory_order_relaxed))
				s->binds[i].service = &service_gone;
		identity_unbind(m, s);
	}
	return end == m->n_callee_sessions;
}

void callee_path_down(struct machine *m, struct path *p)
{
	for (uint32_t n = 0; n < p->n_in; n++) {
		struct callee_session *s = p->in[n];

		if (!s)
			continue;
		p->in[n] = NULL;
		for (uint32_t i = 0; i < s->n_slots; i++) {
			struct callee_slot *slot = callee_slot_at(s, i);

			if (slot->state == CALLEE_RUNNING)
				call_detach(m, slot->running);
			callee_slot_clear(m, slot);
			slot->state = CALLEE_IDLE;
		}
		while (s->n_slots) {
			s->n_slots = (uint16_t)(s->n_slots - SLOT_BLOCK);
			m->callee_blocks[m->n_callee_blocks++] = callee_slot_at(s, s->n_slots);
			session_block_leave(m, s->chunk, s->n_slots / SLOT_BLOCK);
		}
		identity_forget(m, s);
		s->next_free = m->free_callee_session;
		m->free_callee_session = s;
		m->n_sessions--;
	}
}

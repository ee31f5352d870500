/* callee.c - calls served: what a request may ask for, who runs it, and what a duplicate is told.
 */
#include "machine.h"

enum { RETAIN_NS_AFTER_DEADLINE = 1000000000, RETAIN_MAX_NS = 2000000000, EVICT_MAX = 16 };

static void retain(struct machine *m, struct callee_slot *slot, uint64_t deadline_ns);

/* ---- answers without a call object ---- */

/* A status that nothing is kept for: what could not even get a slot. Surely not executed. */
static void refuse_as(struct machine *m, struct path *p, const frame_Packet *about, uint8_t code,
	uint8_t outcome, const char *message)
{
	uint8_t body[WIRE_TIMING + 256] = {0};
	struct frame_Envelope_args e = frame_Envelope_ARGS_INIT;
	struct frame_Status_args status = frame_Status_ARGS_INIT;
	frame_Packet h = {.kind = frame_Kind_response,
		.session = about->session,
		.slot = about->slot,
		.call = about->call};
	int n;

	status.code = code;
	status.outcome = outcome;
	status.message = (struct tela_str){message, strlen(message)};
	e.status = &status;
	n = frame_Envelope_build(body + WIRE_TIMING, sizeof(body) - WIRE_TIMING, &e);
	if (n <= 0)
		return;
	h.envelope_length = (uint16_t)n;
	h.body_length = ALIGN8((uint32_t)n);
	path_packet(m, p, h, body, WIRE_TIMING + h.body_length);
	count(m->counts, count_calls_refused);
}

static void refuse(struct machine *m, struct path *p, const frame_Packet *about, uint8_t code,
	const char *message)
{
	refuse_as(m, p, about, code, TELA_NOT_EXECUTED, message);
}

static void tell_caller(struct machine *m, struct path *p, const frame_Packet *about, uint8_t kind)
{
	frame_Packet h = {
		.kind = kind, .session = about->session, .slot = about->slot, .call = about->call};

	path_packet(m, p, h, NULL, 0);
}

/* ---- sessions ---- */

static bool block_grant(struct machine *m, struct callee_session *s)
{
	struct callee_slot *block;

	if (!m->n_callee_blocks || s->n_slots >= m->cfg.budgets.slots_per_session ||
		s->n_slots >= SLOTS_MAX)
		return false;
	block = m->callee_blocks[--m->n_callee_blocks];
	for (uint32_t i = 0; i < SLOT_BLOCK; i++) {
		block[i].call = 0;
		block[i].state = CALLEE_IDLE;
		block[i].running = NULL;
		block[i].tx = NULL;
		block[i].msg = NULL;
	}
	s->block[s->n_slots / SLOT_BLOCK] = block;
	s->n_slots = (uint16_t)(s->n_slots + SLOT_BLOCK);
	count_add(m->counts, count_slot_grants, SLOT_BLOCK);
	return true;
}

static struct callee_session *session_open(struct machine *m, struct path *p, uint32_t number)
{
	struct callee_session *s = m->free_callee_session;

	if (!s)
		return NULL;
	s->n_slots = s->n_binds = 0;
	if (!block_grant(m, s))
		return NULL;
	m->free_callee_session = s->next_free;
	s->path = p;
	s->number = number;
	p->in[number] = s;
	return s;
}

/* Slot of a packet from the caller; NULL (counted) if it names none that was granted. */
static struct callee_slot *slot_of(struct machine *m, const struct path *p, const frame_Packet *h)
{
	struct callee_session *s = h->session < p->n_in ? p->in[h->session] : NULL;

	if (unlikely(!s || h->slot >= s->n_slots)) {
		count(m->counts, s ? count_drop_slot : count_drop_session);
		return NULL;
	}
	return callee_slot_at(s, h->slot);
}

/* What the slot keeps of its last call goes. */
static void slot_clear(struct machine *m, struct callee_slot *slot)
{
	slot->generation++;
	if (slot->state == CALLEE_RECEIVING)
		bulk_rx_end(m, slot->rx);
	else if (slot->tx)
		bulk_tx_end(m, slot->tx);
	slot->tx = NULL;
	if (slot->msg)
		msgpool_put(&m->msgs, slot->msg);
	slot->msg = NULL;
}

static void slot_gone(struct callee_slot *slot, enum callee_gone why)
{
	slot->state = CALLEE_GONE;
	slot->gone = (uint8_t)why;
}

/* What a duplicate of a call is told of which nothing is kept. */
static void tell_gone(
	struct machine *m, struct path *p, const struct callee_slot *slot, const frame_Packet *h)
{
	count(m->counts, count_drop_reply_gone);
	if (slot->gone == GONE_REBIND)
		tell_caller(m, p, h, frame_Kind_rebind);
	else
		refuse_as(m, p, h, TELA_ABORTED, slot->gone,
			slot->gone == GONE_REFUSED ? "refused before" : "its reply is gone");
}

/* ---- admission ---- */

/* The service a call is for, by bind index or name. NULL with the status set, or with *ret_rebind.
 */
static struct tela_service *service_of(struct machine *m, struct callee_session *s, struct call *c,
	const struct envelope *e, bool *ret_rebind, struct bind **ret_bind)
{
	struct service_table *t = atomic_load_explicit(m->cfg.services, memory_order_acquire);
	struct tela_service *svc;
	struct tela_str name;

	*ret_bind = NULL;
	if (likely(e->bind)) {
		if (unlikely(e->bind > s->n_binds)) {
			*ret_rebind = true;
			return NULL;
		}
		*ret_bind = &s->binds[e->bind - 1];
		return (*ret_bind)->service;
	}
	name = frame_Envelope_service(e->table);
	svc = name.s && t ? service_table_find(t, name.s, name.len) : NULL;
	if (!svc) {
		call_status(c, TELA_UNAVAILABLE, TELA_NOT_EXECUTED, "no such service on this node");
		return NULL;
	}
	if (!service_accepts(svc->desc, frame_Envelope_schema(e->table))) {
		call_status(c, TELA_FAILED_PRECONDITION, TELA_NOT_EXECUTED,
			"schemas differ and neither side knows the other's");
		return NULL;
	}
	return svc;
}

/* A first call by name: later ones may carry an index, if there is one left. */
static void bind_offer(struct machine *m, struct callee_session *s, const frame_Packet *about,
	struct tela_service *svc, uint64_t schema, uint64_t generation)
{
	frame_Packet h = {.kind = frame_Kind_bind,
		.session = s->number,
		.slot = about->slot,
		.call = about->call};
	frame_Bind body = {.schema = schema};
	uint16_t i;

	for (i = 0; i < s->n_binds; i++)
		if (s->binds[i].service == svc && s->binds[i].schema == schema)
			break;
	if (i == SESSION_BINDS)
		return;
	if (i == s->n_binds) {
		s->binds[s->n_binds++] = (struct bind){svc, schema, generation};
		count(m->counts, count_binds);
	}
	body.index = i + 1;
	path_packet(m, s->path, h, &body, sizeof(body));
}

/* Everything that can be decided from the envelope, before the payload is looked at or memory is
 * taken for it. False: the call has its status, or must be bound again. */
static bool admit(struct machine *m, struct callee_session *s, struct call *c,
	const struct envelope *e, const frame_Packet *h, bool *ret_rebind)
{
	struct bind *bind;
	struct tela_service *svc = service_of(m, s, c, e, ret_rebind, &bind);
	struct tela_image *image;

	if (unlikely(!svc))
		return false;
	image = atomic_load_explicit(&svc->image, memory_order_acquire);
	if (unlikely(!image)) {
		call_status(c, TELA_UNAVAILABLE, TELA_NOT_EXECUTED, "service is starting");
		return false;
	}
	if (unlikely(m->draining)) {
		call_status(c, TELA_UNAVAILABLE, TELA_NOT_EXECUTED, "node is draining");
		return false;
	}
	if (unlikely(!atomic_load_explicit(&svc->admit, memory_order_acquire))) {
		call_status(c, TELA_UNAVAILABLE, TELA_NOT_EXECUTED, svc->reason);
		return false;
	}
	if (unlikely(!bind)) {
		bind_offer(m, s, h, svc, frame_Envelope_schema(e->table), image->generation);
	} else if (unlikely(bind->generation != image->generation)) {
		if (!service_accepts(svc->desc, bind->schema)) {
			*ret_rebind = true;
			return false;
		}
		bind->generation = image->generation;
	}
	if (unlikely(!e->budget_us)) {
		call_status(c, TELA_DEADLINE_EXCEEDED, TELA_NOT_EXECUTED,
			"deadline passed before the call ran");
		return false;
	}
	c->svc = svc;
	c->image = image;
	c->chain = image_method(image, e->method);
	if (unlikely(!c->chain)) {
		call_status(c, TELA_UNIMPLEMENTED, TELA_NOT_EXECUTED, "no such method");
		return false;
	}
	c->pub.deadline_ns = e->budget_us == ENVELOPE_NO_DEADLINE
				     ? UINT64_MAX
				     : m->now_ns + e->budget_us * NS_PER_US;
	return true;
}

/* ---- running ---- */

static struct call *call_open(struct machine *m, const uint8_t *payload, uint32_t len)
{
	struct call *c = call_get(m);

	if (unlikely(!c))
		return NULL;
	c->pub.request = payload;
	c->pub.request_len = len;
	c->pub.identity = 0;
	c->pub.hops = 0;
	c->pub.reply_code = TELA_OK;
	c->chain = NULL;
	c->session = NULL;
	c->slot = NULL;
	c->local = NULL;
	c->cursor = 0;
	c->outcome = TELA_EXECUTED;
	c->replied = false;
	c->flags = 0;
	c->arrived_ns = c->started_ns = m->now_ns;
	c->envelope.p = NULL;
	c->envelope_bytes = NULL;
	c->envelope_len = 0;
	c->reply = NULL;
	c->reply_len = c->reply_room = 0;
	c->retry_after_us = 0;
	c->meta_len = c->n_meta = c->meta_used = 0;
	c->has_message = false;
	return c;
}

static void answer_now(struct machine *m, struct call *c)
{
	count(m->counts, count_calls_refused);
	if (c->local)
		caller_local_done(m, c);
	else
		callee_reply(m, c);
	call_put(m, c);
}

/* The chain runs, if the payload may be read. */
static void call_start(struct machine *m, struct call *c)
{
	const struct tela_method_desc *method = c->chain->method;

	c->pub.method = method;
	c->pub.service = c->svc->desc;
	c->pub.generation = c->image->generation;
	if (method->verify_request &&
		unlikely(method->verify_request(c->pub.request, c->pub.request_len))) {
		count(m->counts, count_drop_payload);
		call_status(c, TELA_INVALID_ARGUMENT, TELA_NOT_EXECUTED,
			"request payload does not verify");
		answer_now(m, c);
		return;
	}
	image_count_call(c->image, m->cfg.core);
	count(m->counts, count_calls_served);
	call_run(m, c);
}

/* A whole request: `body` is envelope and payload, in `msg` if it came in fragments (then the call
 * takes it). */
static void serve(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, struct msg *msg, const struct envelope *e)
{
	uint32_t at = ALIGN8(h->envelope_length);
	struct call *c = call_open(m, body + at, h->body_length - at);
	bool rebind = false;

	if (unlikely(!c)) {
		slot_gone(slot, GONE_REFUSED);
		if (msg)
			msgpool_put(&m->msgs, msg);
		refuse(m, s->path, h, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	c->request_msg = msg;
	c->session = s;
	c->slot = slot;
	c->slot_index = h->slot;
	c->call_no = h->call;
	c->flags = h->flags;
	c->reply_limit = e->reply_limit;
	if (unlikely(e->table.p != NULL)) {
		count(m->counts, count_envelopes_general);
		c->envelope = e->table;
		c->envelope_bytes = body;
		c->envelope_len = h->envelope_length;
		c->pub.identity = frame_Envelope_identity(e->table);
		c->pub.hops = frame_Envelope_hops(e->table);
	}
	slot->state = CALLEE_RUNNING;
	slot->running = c;
	if (likely(admit(m, s, c, e, h, &rebind))) {
		call_start(m, c);
	} else if (rebind) {
		slot_gone(slot, GONE_REBIND);
		slot->running = NULL;
		count(m->counts, count_rebinds);
		tell_caller(m, s->path, h, frame_Kind_rebind);
		call_put(m, c);
	} else {
		answer_now(m, c);
	}
}

void callee_serve_local(struct machine *m, struct caller_slot *s)
{
	const struct tela_service_desc *desc = s->session->service;
	struct service_table *t = atomic_load_explicit(m->cfg.services, memory_order_acquire);
	uint32_t at = ALIGN8(s->envelope_len);
	const uint8_t *body = s->wire + WIRE_PACKET;
	struct call *c = call_open(m, body + at, s->body_len - at);
	struct tela_service *svc = t ? service_table_find(t, desc->name, strlen(desc->name)) : NULL;

	if (!c) {
		s->on_wire = false;
		caller_fail(m, s, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	count(m->counts, count_calls_local);
	c->local = s;
	s->serving = c;
	c->reply_limit = s->reply_limit;
	c->envelope = frame_Envelope_root(body);
	c->envelope_bytes = body;
	c->envelope_len = s->envelope_len;
	c->svc = svc;
	c->image = svc ? atomic_load_explicit(&svc->image, memory_order_acquire) : NULL;
	c->pub.deadline_ns = s->deadline_ns;
	if (!c->image || !service_accepts(svc->desc, desc->schema)) {
		call_status(c, svc && c->image ? TELA_FAILED_PRECONDITION : TELA_UNAVAILABLE,
			TELA_NOT_EXECUTED,
			!svc ? "no such service on this node"
			     : (c->image ? "schemas differ and neither side knows the other's"
					 : "service is starting"));
		answer_now(m, c);
		return;
	}
	if (!atomic_load_explicit(&svc->admit, memory_order_acquire)) {
		call_status(c, TELA_UNAVAILABLE, TELA_NOT_EXECUTED, svc->reason);
		answer_now(m, c);
		return;
	}
	c->chain = image_method(c->image, s->method->id);
	if (!c->chain) {
		call_status(c, TELA_UNIMPLEMENTED, TELA_NOT_EXECUTED, "no such method");
		answer_now(m, c);
		return;
	}
	call_start(m, c);
}

/* ---- requests ---- */

/* First fragment of a large request: its envelope decides whether memory is taken for the rest. */
static void receive_start(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct envelope e;
	struct bulk_rx *rx;

	if (h->fragment) {
		/* The first one was lost. Ask once; its sender resends it, or is told by a ping. */
		frame_Gap gap = {.first = 0, .count = 1};
		frame_Packet about = {.kind = frame_Kind_gap,
			.flags = frame_PacketFlag_from_callee,
			.session = h->session,
			.slot = h->slot,
			.call = h->call};

		if (h->fragment == 1 && path_packet(m, s->path, about, &gap, sizeof(gap)))
			count(m->counts, count_gaps_reported);
		return;
	}
	if (envelope_read(body, h->envelope_length, &e)) {
		count(m->counts, count_drop_envelope);
		return;
	}
	slot_clear(m, slot);
	slot->call = h->call;
	slot_gone(slot, GONE_REFUSED);
	if (!e.budget_us) {
		refuse(m, s->path, h, TELA_DEADLINE_EXCEEDED,
			"deadline passed before the call ran");
		return;
	}
	rx = bulk_rx_start(m, s->path, h->body_length, h->envelope_length);
	if (!rx) {
		refuse(m, s->path, h, TELA_RESOURCE_EXHAUSTED,
			"no message buffer for a request of this size");
		return;
	}
	slot->state = CALLEE_RECEIVING;
	slot->rx = rx;
	rx->deadline_ns = m->now_ns + e.budget_us * NS_PER_US;
	retain(m, slot, rx->deadline_ns);
	bulk_rx_fragment(rx, 0, body, len);
}

static void receive(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct bulk_rx *rx = slot->rx;
	uint16_t had = rx->have;
	struct envelope e;
	struct msg *msg;
	int rc = -EBADMSG;

	if (rx->len == h->body_length && rx->envelope_len == h->envelope_length)
		rc = bulk_rx_fragment(rx, h->fragment, body, len);
	if (rc < 0) {
		count(m->counts, count_drop_fragment);
		return;
	}
	if (rc == 0) {
		bulk_rx_report(m, s->path, rx, h, true, rx->have == had);
		return;
	}
	msg = rx->msg;
	rx->msg = NULL;
	bulk_rx_end(m, rx);
	slot->rx = NULL;
	slot_gone(slot, GONE_REFUSED);
	if (envelope_read(msg->data, h->envelope_length, &e)) {
		count(m->counts, count_drop_envelope);
		msgpool_put(&m->msgs, msg);
		return;
	}
	serve(m, s, slot, h, msg->data, msg, &e);
}

static void send_reply(struct machine *m, struct callee_session *s, struct callee_slot *slot)
{
	frame_Packet h = frame_Packet_load(slot->wire);
	uint32_t padded = ALIGN8(WIRE_PACKET + WIRE_TIMING + h.body_length);
	struct path *p = s->path;
	uint8_t *at;

	if (unlikely(h.body_length > p->fragment)) {
		frame_Timing timing = frame_Timing_load(slot->wire + WIRE_PACKET);

		slot->tx = bulk_tx_start(
			m, p, &h, &timing, slot->wire + WIRE_PACKET + WIRE_TIMING, h.body_length);
		return;
	}
	at = path_append(m, p, padded);
	if (likely(at != NULL))
		copy_words(at, slot->wire, padded);
}

/* The caller has not heard: it gets the first answer again, or is told that it is gone; nothing
 * runs twice. */
static void duplicate(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	/* The first fragment asks, and so does any that its sender repeats because it has heard
	 * nothing more. */
	bool late = h->fragment && !(h->flags & frame_PacketFlag_resent);

	switch (slot->state) {
	case CALLEE_RECEIVING:
		receive(m, s, slot, h, body, len);
		return;
	case CALLEE_RUNNING:
		count(m->counts, count_in_progress);
		tell_caller(m, s->path, h, frame_Kind_in_progress);
		return;
	case CALLEE_REPLIED:
		if (late)
			return;
		count(m->counts, count_duplicates_answered);
		if (slot->tx)
			bulk_tx_gap(m, slot->tx, slot->tx->acked, 1);
		else
			send_reply(m, s, slot);
		return;
	default:
		if (late)
			return;
		tell_gone(m, s->path, slot, h);
	}
}

/* A new call in a slot acknowledges the old one's response, or detaches the old one if it still
 * runs. */
static bool slot_take(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h)
{
	if (unlikely(slot->state == CALLEE_RUNNING)) {
		if (m->n_detached >= m->cfg.budgets.detached) {
			refuse(m, s->path, h, TELA_RESOURCE_EXHAUSTED,
				"too many calls run without a caller");
			return false;
		}
		call_detach(m, slot->running);
	}
	if (unlikely(slot->msg || slot->tx))
		slot_clear(m, slot);
	slot->call = h->call;
	return true;
}

void callee_request(
	struct machine *m, struct path *p, const frame_Packet *h, uint8_t *body, uint32_t len)
{
	struct callee_session *s;
	struct callee_slot *slot;
	struct envelope e;

	if (unlikely(h->session >= p->n_in)) {
		count(m->counts, count_drop_session);
		return;
	}
	s = p->in[h->session];
	if (unlikely(!s) && !(s = session_open(m, p, h->session))) {
		count(m->counts, count_drop_no_slot_memory);
		refuse(m, p, h, TELA_RESOURCE_EXHAUSTED, "no slots left for a new session");
		return;
	}
	if (unlikely(h->slot >= s->n_slots)) {
		count(m->counts, count_drop_slot);
		return;
	}
	if (unlikely(ALIGN8(h->envelope_length) > h->body_length ||
		     h->envelope_length > ENVELOPE_MAX)) {
		count(m->counts, count_drop_envelope);
		return;
	}
	slot = callee_slot_at(s, h->slot);
	if (unlikely(slot->state != CALLEE_IDLE && !serial_after(h->call, slot->call))) {
		if (h->call == slot->call)
			duplicate(m, s, slot, h, body, len);
		else
			count(m->counts, count_drop_stale);
		return;
	}
	if (unlikely(h->body_length > p->fragment)) {
		if (h->fragment == 0 && len != p->fragment)
			count(m->counts, count_drop_fragment);
		else if (h->fragment || slot->state != CALLEE_RUNNING || slot_take(m, s, slot, h))
			receive_start(m, s, slot, h, body, len);
		return;
	}
	if (unlikely(h->fragment || len != h->body_length)) {
		count(m->counts, count_drop_fragment);
		return;
	}
	if (unlikely(envelope_read(body, h->envelope_length, &e))) {
		count(m->counts, count_drop_envelope);
		return;
	}
	if (likely(slot_take(m, s, slot, h)))
		serve(m, s, slot, h, body, NULL, &e);
}

void callee_cancel(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct callee_slot *slot = slot_of(m, p, h);

	if (!slot)
		return;
	if (slot->state != CALLEE_IDLE && slot->call != h->call &&
		!serial_after(h->call, slot->call))
		return; /* of an older call */
	if (slot->call == h->call && slot->state == CALLEE_REPLIED)
		return; /* too late: it has been answered */
	if (slot->state == CALLEE_RUNNING) {
		count(m->counts, count_calls_cancelled);
		call_detach(m, slot->running); /* may have run */
	} else if (slot->state != CALLEE_GONE || slot->call != h->call) {
		slot_clear(m, slot);
		slot_gone(slot, GONE_REFUSED);
	}
	/* A request that arrives after its own cancel shall not run. */
	slot->call = h->call;
}

void callee_release(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct callee_slot *slot = slot_of(m, p, h);

	if (!slot || slot->call != h->call || slot->state != CALLEE_REPLIED)
		return;
	slot_clear(m, slot);
	slot_gone(slot, GONE_EXECUTED);
}

void callee_credit(struct machine *m, struct path *p, const frame_Packet *h, uint16_t slots)
{
	struct callee_session *s = h->session < p->n_in ? p->in[h->session] : NULL;
	frame_Packet answer = {.kind = frame_Kind_credit,
		.flags = frame_PacketFlag_from_callee,
		.session = h->session};
	frame_Credit body;

	if (!s && h->session < p->n_in)
		s = session_open(m, p, h->session);
	if (!s) {
		count(m->counts, count_drop_session);
		return;
	}
	while (s->n_slots < slots && block_grant(m, s))
		;
	body = (frame_Credit){.slots = s->n_slots};
	path_packet(m, p, answer, &body, sizeof(body));
}

void callee_acknowledge(struct machine *m, struct path *p, const frame_Packet *h, uint16_t limit)
{
	struct callee_slot *slot = slot_of(m, p, h);

	if (!slot || slot->call != h->call)
		return;
	if (slot->state == CALLEE_REPLIED && slot->tx)
		bulk_tx_acked(m, slot->tx, h->fragment, limit);
	else if (slot->state == CALLEE_GONE)
		tell_gone(m, p, slot, h);
}

void callee_gap(
	struct machine *m, struct path *p, const frame_Packet *h, uint16_t first, uint16_t n)
{
	struct callee_slot *slot = slot_of(m, p, h);

	if (!slot || slot->call != h->call)
		return;
	if (slot->state == CALLEE_REPLIED && slot->tx)
		bulk_tx_gap(m, slot->tx, first, n);
	else if (slot->state == CALLEE_GONE)
		tell_gone(m, p, slot, h);
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
			slot_clear(m, slot);
			slot->state = CALLEE_IDLE;
		}
		for (uint32_t b = 0; b < s->n_slots / SLOT_BLOCK; b++)
			m->callee_blocks[m->n_callee_blocks++] = s->block[b];
		s->n_slots = 0;
		s->next_free = m->free_callee_session;
		m->free_callee_session = s;
	}
}

/* ---- replies ---- */

void callee_in_progress(struct machine *m, const struct call *c)
{
	frame_Packet h;

	if (!c->slot)
		return;
	h = (frame_Packet){.kind = frame_Kind_in_progress,
		.session = c->session->number,
		.slot = (uint16_t)c->slot_index,
		.call = c->call_no};
	count(m->counts, count_in_progress);
	path_packet(m, c->session->path, h, NULL, 0);
}

/* What is kept beyond a slot's own bytes, a large reply or a request that is arriving, has an end.
 * The ring holds the ends in the order in which they were set, which is near enough. */
static void retain(struct machine *m, struct callee_slot *slot, uint64_t deadline_ns)
{
	uint64_t expires =
		min_u64(deadline_ns, m->now_ns + RETAIN_MAX_NS) + RETAIN_NS_AFTER_DEADLINE;

	/* Ends: the ring has more places than there are requests that can be arriving. */
	while (m->retained_tail - m->retained_head > m->retained_mask)
		callee_evict(m);
	m->retained[m->retained_tail++ & m->retained_mask] =
		(struct retained){expires, slot, slot->generation};
	m->due_ns = min_u64(m->due_ns, expires);
}

bool callee_evict(struct machine *m)
{
	struct retained r = m->retained[m->retained_head & m->retained_mask];

	if (m->retained_head == m->retained_tail)
		return false;
	m->retained_head++;
	if (r.slot->generation != r.generation)
		return true; /* given up before */
	if (r.slot->state == CALLEE_REPLIED && r.slot->msg) {
		slot_clear(m, r.slot);
		slot_gone(r.slot, GONE_EXECUTED);
	} else if (r.slot->state == CALLEE_RECEIVING && r.slot->rx->deadline_ns > m->now_ns) {
		retain(m, r.slot, r.slot->rx->deadline_ns); /* somebody still waits for it */
	} else if (r.slot->state == CALLEE_RECEIVING) {
		slot_clear(m, r.slot);
		slot_gone(r.slot, GONE_REFUSED);
	}
	return true;
}

struct msg *callee_msg(struct machine *m, uint32_t size)
{
	struct msg *msg = msgpool_get(&m->msgs, size);

	for (int i = 0; unlikely(!msg) && i < EVICT_MAX && callee_evict(m); i++)
		msg = msgpool_get(&m->msgs, size);
	return msg;
}

static void retained_expire(struct machine *m)
{
	while (m->retained_head != m->retained_tail &&
		m->retained[m->retained_head & m->retained_mask].expires_ns <= m->now_ns)
		callee_evict(m);
}

/* Puts an envelope in front of the payload. The payload moves only if it stands in the slot. */
static bool reply_envelope(struct machine *m, struct call *c, const uint8_t *envelope, uint32_t len,
	uint8_t **ret_wire)
{
	uint32_t padded = ALIGN8(len), head = WIRE_PACKET + WIRE_TIMING;
	uint8_t *wire = c->slot->bytes;

	if (c->reply_msg) {
		wire = c->reply - padded - head;
	} else if (head + padded + c->reply_len <= SLOT_REPLY_BYTES - 8) {
		if (c->reply_len)
			memmove(wire + head + padded, c->reply, c->reply_len);
	} else {
		c->reply_msg = callee_msg(m, head + padded + c->reply_len + 8);
		if (!c->reply_msg)
			return false;
		wire = c->reply_msg->data;
		if (c->reply_len)
			memcpy(wire + head + padded, c->reply, c->reply_len);
	}
	memset(wire + head + padded - 8, 0, 8);
	memcpy(wire + head, envelope, len);
	*ret_wire = wire;
	return true;
}

void callee_reply(struct machine *m, struct call *c)
{
	struct callee_slot *slot = c->slot;
	uint8_t scratch[ENVELOPE_MAX];
	uint32_t envelope_len = call_reply_envelope(c, scratch);
	frame_Timing timing = {.queue_ns = saturate_u32(c->started_ns - c->arrived_ns),
		.dwell_ns = saturate_u32(m->now_ns - c->started_ns)};
	uint8_t *wire = c->reply_msg ? c->reply - WIRE_PACKET - WIRE_TIMING : slot->bytes;
	frame_Packet h = {.kind = frame_Kind_response,
		.session = c->session->number,
		.slot = (uint16_t)c->slot_index,
		.call = c->call_no};

	if (unlikely(envelope_len) && !reply_envelope(m, c, scratch, envelope_len, &wire)) {
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_EXECUTED,
			"no message buffer for the reply");
		c->n_meta = 0;
		envelope_len = call_reply_envelope(c, scratch);
		reply_envelope(m, c, scratch, envelope_len, &wire);
	}
	h.envelope_length = (uint16_t)envelope_len;
	h.body_length = ALIGN8(envelope_len) + c->reply_len;
	h.length = (uint16_t)(WIRE_PACKET + WIRE_TIMING + h.body_length);
	frame_Packet_store(wire, &h);
	frame_Timing_store(wire + WIRE_PACKET, &timing);
	memset(wire + WIRE_PACKET + WIRE_TIMING + h.body_length, 0, 8);
	slot->wire = wire;
	slot->msg = c->reply_msg;
	slot->running = NULL;
	slot->state = CALLEE_REPLIED;
	c->reply_msg = NULL;
	send_reply(m, c->session, slot);
	if (unlikely(slot->msg != NULL))
		retain(m, slot, c->pub.deadline_ns);
}

uint64_t callee_due(struct machine *m)
{
	uint64_t due = UINT64_MAX;

	retained_expire(m);
	if (m->retained_head != m->retained_tail)
		due = m->retained[m->retained_head & m->retained_mask].expires_ns;
	list_for_each_safe(e, tmp, &m->pending)
	{
		struct call *c = list_entry(e, struct call, of_machine);

		if (c->detached || c->local)
			continue; /* a local caller keeps its own time */
		if (c->pub.deadline_ns <= m->now_ns)
			call_detach(m, c);
		else
			due = min_u64(due, c->pub.deadline_ns);
	}
	return due;
}

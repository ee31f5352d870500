/* caller.c - calls made: slots, requests, responses, what time and loss do to them. */
#include "machine.h"

enum { PROBE_FIRST_US = 1000, PROBE_LAST_US = 64000, CALL_DEADLINE_US = 15000000 };

/* ---- sessions and slots ---- */

static void slot_free(struct caller_slot *s)
{
	struct caller_session *session = s->session;

	s->state = CALLER_FREE;
	session->n_busy--;
	if (unlikely(s->index >= session->n_slots))
		return; /* no longer granted: offered again with its block */
	s->next_free = session->free;
	session->free = s;
}

/* Puts the slots of block `b` on the free list, lowest on top. */
static void block_offer(struct caller_session *s, uint32_t b)
{
	for (int i = SLOT_BLOCK - 1; i >= 0; i--) {
		struct caller_slot *slot = &s->block[b][i];

		slot->next_free = s->free;
		s->free = slot;
	}
	s->n_slots = (uint16_t)(s->n_slots + SLOT_BLOCK);
}

static bool block_take(struct machine *m, struct caller_session *s)
{
	uint32_t b = s->n_owned / SLOT_BLOCK;

	if (!m->n_caller_blocks || b == SLOT_BLOCKS_MAX)
		return false;
	s->block[b] = m->caller_blocks[--m->n_caller_blocks];
	memset(s->block[b], 0, SLOT_BLOCK * sizeof(struct caller_slot));
	for (uint32_t i = 0; i < SLOT_BLOCK; i++) {
		struct caller_slot *slot = &s->block[b][i];

		slot->session = s;
		slot->index = (uint16_t)(s->n_owned + i);
		list_init(&slot->sent);
	}
	s->n_owned = (uint16_t)(s->n_owned + SLOT_BLOCK);
	return true;
}

int caller_session_open(struct machine *m, struct caller_session *s, struct path *p,
	const struct tela_service_desc *service)
{
	if ((p && p->n_out == m->cfg.budgets.sessions) || !block_take(m, s))
		return -ENOBUFS;
	s->path = p;
	s->service = service;
	block_offer(s, 0);
	if (p) {
		s->number = p->n_out;
		p->out[p->n_out++] = s;
	}
	list_add_tail(&m->sessions, &s->of_machine);
	return 0;
}

static void ask_credit(struct machine *m, struct caller_session *s)
{
	struct path *p = s->path;
	uint32_t most = min_u32(p ? p->peer_slots : SLOTS_MAX, m->cfg.budgets.slots_per_session);
	frame_Packet h = {.kind = frame_Kind_credit, .session = s->number};
	frame_Credit body;

	if (s->n_slots >= most)
		return;
	if (!p) { /* local: nobody to ask */
		if (s->n_slots < s->n_owned || block_take(m, s))
			block_offer(s, s->n_slots / SLOT_BLOCK);
		return;
	}
	if (p->state != PATH_UP ||
		(s->credit_asked_ns && m->now_ns - s->credit_asked_ns < 4 * p->rto_ns))
		return;
	body = (frame_Credit){.slots = (uint16_t)min_u32(2u * s->n_slots, most)};
	s->credit_asked_ns = m->now_ns;
	path_packet(m, p, h, &body, sizeof(body));
}

void caller_credit(struct machine *m, struct path *p, const frame_Packet *h, uint16_t slots)
{
	struct caller_session *s = h->session < p->n_out ? p->out[h->session] : NULL;

	if (!s || slots > m->cfg.budgets.slots_per_session) {
		count(m->counts, count_drop_session);
		return;
	}
	s->credit_asked_ns = 0;
	while (s->n_slots + SLOT_BLOCK <= slots) {
		if (s->n_slots == s->n_owned && !block_take(m, s))
			return;
		block_offer(s, s->n_slots / SLOT_BLOCK);
	}
}

/* ---- requests ---- */

/* A bound call without options fits the canonical envelope. */
static bool plain(const struct caller_session *s, const struct tela_options *o)
{
	return s->bind && (!o || (!o->n_metadata && !o->key && !o->max_reply_bytes));
}

enum { METADATA_MAX = 16 };

/* Writes the envelope of a call that is not plain. Returns its length, 0 if it is too large. */
static uint32_t envelope_build(const struct caller_session *s, uint16_t method,
	const struct tela_options *o, uint32_t budget_us, uint8_t *to)
{
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;
	struct frame_Pair_args pairs[METADATA_MAX];
	frame_Id128 key;
	int n;

	a.budget_us = budget_us;
	a.method = method;
	a.bind = s->bind;
	if (!s->bind) {
		a.service = (struct tela_str){s->service->name, strlen(s->service->name)};
		a.schema = s->service->schema;
	}
	if (o && o->n_metadata) {
		if (o->n_metadata > METADATA_MAX)
			return 0;
		for (uint32_t i = 0; i < o->n_metadata; i++) {
			const char *k = o->metadata[i].key, *v = o->metadata[i].value;

			pairs[i] = (struct frame_Pair_args){
				.key = {k, strlen(k)}, .value = {v, strlen(v)}};
		}
		a.metadata = pairs;
		a.metadata_len = o->n_metadata;
	}
	if (o && o->key) {
		key = (frame_Id128){.low = o->key[0], .high = o->key[1]};
		a.key = &key;
	}
	if (o && o->max_reply_bytes)
		a.reply_limit = saturate_u32(o->max_reply_bytes);
	n = frame_Envelope_build(to, ENVELOPE_MAX, &a);
	return n > 0 ? (uint32_t)n : 0;
}

static uint32_t budget_left_us(uint64_t now_ns, uint64_t deadline_ns)
{
	return deadline_ns <= now_ns ? 0 : saturate_u32((deadline_ns - now_ns + 999) / NS_PER_US);
}

int caller_begin(struct machine *m, struct caller_session *s, const struct tela_method_desc *method,
	size_t size, const struct tela_options *o, struct tela_request *ret)
{
	uint8_t scratch[ENVELOPE_MAX];
	struct caller_slot *slot = s->free;
	uint32_t envelope_len = ENVELOPE_BOUND, head, total, budget_us = ENVELOPE_NO_DEADLINE;
	uint64_t deadline_us = o ? o->deadline_us : 0;
	bool bound;

	if (unlikely(s->path && (s->path->state == PATH_DOWN || s->path->draining)))
		return -ENOTCONN;
	if (unlikely(!slot || m->n_made >= m->cfg.budgets.in_flight)) {
		ask_credit(m, s);
		return -EAGAIN;
	}
	if (!deadline_us)
		deadline_us = method->deadline_us ? method->deadline_us : CALL_DEADLINE_US;
	budget_us = (uint32_t)min_u64(deadline_us, UINT32_MAX - 1);
	bound = plain(s, o);
	if (!bound) {
		envelope_len = envelope_build(s, method->id, o, budget_us, scratch);
		if (!envelope_len)
			return -EMSGSIZE;
	}
	head = WIRE_PACKET + ALIGN8(envelope_len);
	if (size > MSG_1M - head - 8)
		return -EMSGSIZE;
	total = head + (uint32_t)size;
	slot->wire = slot->bytes;
	slot->msg = NULL;
	if (unlikely(total > SLOT_REQUEST_BYTES - 8)) {
		slot->msg = msgpool_get(&m->msgs, total + 8);
		if (!slot->msg)
			return -ENOBUFS;
		slot->wire = slot->msg->data;
	}
	if (bound) {
		envelope_write_bound(slot->wire + WIRE_PACKET, budget_us, s->bind, method->id);
	} else {
		memset(slot->wire + head - 8, 0, 8);
		memcpy(slot->wire + WIRE_PACKET, scratch, envelope_len);
	}
	s->free = slot->next_free;
	s->n_busy++;
	slot->state = CALLER_BUILDING;
	slot->bound = bound;
	slot->on_wire = false;
	slot->flags = 0;
	if ((method->flags & TELA_METHOD_IDEMPOTENT) || (o && o->flags & TELA_CALL_IDEMPOTENT))
		slot->flags = frame_PacketFlag_idempotent;
	slot->method = method;
	slot->envelope_len = (uint16_t)envelope_len;
	slot->body_len = total - WIRE_PACKET;
	slot->deadline_ns = m->now_ns + deadline_us * NS_PER_US;
	slot->reply_limit =
		o && o->max_reply_bytes ? saturate_u32(o->max_reply_bytes) : REPLY_LIMIT_DEFAULT;
	slot->resends = 0;
	slot->probe_us = 0;
	slot->tx = NULL;
	slot->rx = NULL;
	slot->serving = NULL;
	slot->call++;
	m->n_made++;
	ret->payload = slot->wire + head;
	ret->room = size;
	ret->slot = slot;
	return 0;
}

static void to_sent(struct machine *m, struct path *p, struct caller_slot *s)
{
	s->sent_ns = m->now_ns;
	list_add_tail(&p->sent, &s->sent);
}

static void wire_header(struct caller_slot *s, uint8_t flags)
{
	frame_Packet h = {
		.kind = frame_Kind_request,
		.flags = s->flags | flags,
		.length = (uint16_t)(WIRE_PACKET + s->body_len),
		.session = s->session->number,
		.slot = s->index,
		.call = s->call,
		.body_length = s->body_len,
		.envelope_length = s->envelope_len,
	};

	frame_Packet_store(s->wire, &h);
}

/* Sends what the slot holds, whole or as the first fragments of it. */
static void transmit(struct machine *m, struct path *p, struct caller_slot *s, uint8_t flags)
{
	uint32_t padded = ALIGN8(WIRE_PACKET + s->body_len);
	uint8_t *at;

	wire_header(s, flags);
	to_sent(m, p, s);
	s->state = CALLER_WAITING;
	if (unlikely(s->body_len > p->fragment)) {
		frame_Packet h = frame_Packet_load(s->wire);

		s->tx = bulk_tx_start(m, p, &h, NULL, s->wire + WIRE_PACKET, s->body_len);
		if (!s->tx)
			return; /* tried again when a ping shows it unanswered */
		s->state = CALLER_SENDING;
		s->on_wire = true;
		return;
	}
	at = path_append(m, p, padded);
	if (unlikely(!at))
		return;
	memset(s->wire + WIRE_PACKET + s->body_len, 0, 8);
	copy_words(at, s->wire, padded);
	s->on_wire = true;
}

int caller_send(struct machine *m, struct caller_slot *s, tela_done_fn done, void *arg)
{
	struct path *p = s->session->path;

	s->done = done;
	s->arg = arg;
	count(m->counts, count_calls_made);
	m->due_ns = min_u64(m->due_ns, s->deadline_ns);
	if (unlikely(!p)) {
		s->state = CALLER_WAITING;
		s->on_wire = true;
		list_add_tail(&m->local, &s->sent);
	} else if (likely(p->state == PATH_UP)) {
		transmit(m, p, s, 0);
	} else {
		s->state = CALLER_QUEUED;
		p->queued++;
	}
	return 0;
}

/* ---- the end of a call ---- */

/* Frees what the slot holds, then tells the caller; the completion may take the slot again. */
static void finish(struct machine *m, struct caller_slot *s, struct tela_result *r)
{
	tela_done_fn done = s->done;
	void *arg = s->arg;
	struct bulk_rx *rx = s->rx;

	r->resends = s->resends;
	list_del(&s->sent);
	if (unlikely(s->state == CALLER_QUEUED))
		s->session->path->queued--;
	if (unlikely(s->tx != NULL))
		bulk_tx_end(m, s->tx);
	if (unlikely(s->msg != NULL))
		msgpool_put(&m->msgs, s->msg);
	s->tx = NULL;
	s->msg = NULL;
	s->rx = NULL;
	slot_free(s);
	m->n_made--;
	count(m->counts, count_calls_done);
	if (unlikely(r->code))
		count(m->counts, count_calls_failed);
	if (done)
		done(arg, r);
	if (unlikely(rx != NULL)) /* the payload stood in it */
		bulk_rx_end(m, rx);
}

static void tell_callee(struct machine *m, const struct caller_slot *s, uint8_t kind)
{
	frame_Packet h = {
		.kind = kind, .session = s->session->number, .slot = s->index, .call = s->call};

	path_packet(m, s->session->path, h, NULL, 0);
}

void caller_fail(struct machine *m, struct caller_slot *s, uint8_t code, const char *message)
{
	struct tela_result r = {.code = code, .message = {message, strlen(message)}};
	struct path *p = s->session->path;

	r.outcome = s->on_wire ? TELA_MAYBE_EXECUTED : TELA_NOT_EXECUTED;
	if (!p) {
		if (s->serving)
			call_detach(m, s->serving);
		else
			r.outcome = TELA_NOT_EXECUTED;
	} else if (s->on_wire && p->state == PATH_UP) {
		tell_callee(m, s, frame_Kind_cancel);
	}
	finish(m, s, &r);
}

void caller_abandon(struct machine *m, struct caller_slot *s)
{
	if (s->msg)
		msgpool_put(&m->msgs, s->msg);
	s->msg = NULL;
	slot_free(s);
	m->n_made--;
}

/* ---- responses ---- */

/* The slot that a packet from the callee is about, if it waits for this call. */
static struct caller_slot *slot_of(struct machine *m, const struct path *p, const frame_Packet *h)
{
	struct caller_session *session;
	struct caller_slot *s;

	if (unlikely(h->session >= p->n_out)) {
		count(m->counts, count_drop_session);
		return NULL;
	}
	session = p->out[h->session];
	if (unlikely(h->slot >= session->n_owned)) {
		count(m->counts, count_drop_slot);
		return NULL;
	}
	s = caller_slot_at(session, h->slot);
	if (unlikely(s->call != h->call || s->state < CALLER_WAITING)) {
		count(m->counts, count_drop_call);
		return NULL;
	}
	return s;
}

static void read_status(struct tela_result *r, frame_Envelope_t e)
{
	frame_Status_t status = frame_Envelope_status(e);

	if (!status.p)
		return;
	r->code = frame_Status_code(status);
	r->outcome = frame_Status_outcome(status);
	r->message = frame_Status_message(status);
	r->retry_after_us = frame_Status_retry_after_us(status);
	if (r->code > TELA_UNAUTHENTICATED)
		r->code = TELA_UNKNOWN;
	if (r->outcome > TELA_MAYBE_EXECUTED)
		r->outcome = TELA_MAYBE_EXECUTED;
}

static void bad_response(
	struct machine *m, struct caller_slot *s, enum count_id why, const char *message)
{
	struct tela_result r = {.code = TELA_INTERNAL,
		.outcome = TELA_MAYBE_EXECUTED,
		.message = {message, strlen(message)}};

	count(m->counts, why);
	finish(m, s, &r);
}

/* Everything has arrived: checks it and tells the caller. */
static void deliver(struct machine *m, struct caller_slot *s, const uint8_t *body, uint32_t len,
	uint32_t envelope_len, frame_Timing timing)
{
	uint32_t at = ALIGN8(envelope_len);
	struct tela_result r = {.queue_ns = timing.queue_ns, .dwell_ns = timing.dwell_ns};

	if (unlikely(at)) {
		if (frame_Envelope_verify(body, envelope_len)) {
			bad_response(
				m, s, count_drop_envelope, "response envelope does not verify");
			return;
		}
		read_status(&r, frame_Envelope_root(body));
		r.envelope = body;
		r.envelope_len = envelope_len;
	}
	if (likely(r.code == TELA_OK)) {
		r.payload = body + at;
		r.len = len - at;
		if (unlikely(r.len > s->reply_limit)) {
			bad_response(m, s, count_drop_reply_limit,
				"response larger than the caller takes");
			return;
		}
		if (s->method->verify_response &&
			unlikely(s->method->verify_response(r.payload, r.len))) {
			bad_response(m, s, count_drop_payload, "response payload does not verify");
			return;
		}
	}
	finish(m, s, &r);
}

/* Answers prove what was sent before them lost; one to a resent request proves nothing (Karn). */
static void answered(struct path *p, const struct caller_slot *s)
{
	if (likely(!s->resends) && s->sent_ns > p->answered_ns)
		p->answered_ns = s->sent_ns;
}

static void response_fragment(struct machine *m, struct path *p, struct caller_slot *s,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct bulk_rx *rx = s->rx;
	int rc;

	if (!rx) {
		if (h->body_length - ALIGN8(h->envelope_length) > s->reply_limit) {
			bad_response(m, s, count_drop_reply_limit,
				"response larger than the caller takes");
			return;
		}
		rx = s->rx = bulk_rx_start(m, p, h->body_length, h->envelope_length);
		if (!rx)
			return; /* the peer is asked again when memory may have come back */
		if (s->tx)
			bulk_tx_end(m, s->tx);
		s->tx = NULL;
		s->state = CALLER_RECEIVING;
	}
	if (h->fragment == 0) {
		if (len < WIRE_TIMING) {
			count(m->counts, count_drop_fragment);
			return;
		}
		rx->timing = frame_Timing_load(body);
		body += WIRE_TIMING;
		len -= WIRE_TIMING;
	}
	rc = rx->len == h->body_length && rx->envelope_len == h->envelope_length
		     ? bulk_rx_fragment(rx, h->fragment, body, len)
		     : -EBADMSG;
	if (rc < 0) {
		count(m->counts, count_drop_fragment);
		return;
	}
	list_del(&s->sent);
	to_sent(m, p, s);
	if (rc == 0) {
		bulk_rx_report(m, p, rx, h, false, false);
		return;
	}
	tell_callee(m, s, frame_Kind_release);
	deliver(m, s, rx->msg->data, rx->len, rx->envelope_len, rx->timing);
}

void caller_response(
	struct machine *m, struct path *p, const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct caller_slot *s = slot_of(m, p, h);

	if (unlikely(!s))
		return;
	if (unlikely(ALIGN8(h->envelope_length) > h->body_length ||
		     h->envelope_length > ENVELOPE_MAX)) {
		count(m->counts, count_drop_envelope);
		return;
	}
	answered(p, s);
	if (unlikely(h->body_length > p->fragment)) {
		response_fragment(m, p, s, h, body, len);
		return;
	}
	if (unlikely(h->fragment || len != WIRE_TIMING + h->body_length)) {
		count(m->counts, count_drop_fragment);
		return;
	}
	deliver(m, s, body + WIRE_TIMING, h->body_length, h->envelope_length,
		frame_Timing_load(body));
}

void caller_in_progress(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct caller_slot *s = slot_of(m, p, h);

	if (!s || s->state == CALLER_RECEIVING)
		return;
	answered(p, s);
	if (s->state != CALLER_RUNNING) {
		list_del(&s->sent);
		if (s->tx)
			bulk_tx_end(m, s->tx);
		s->tx = NULL;
		s->state = CALLER_RUNNING;
		s->probe_us =
			s->probe_us ? min_u32(2 * s->probe_us, PROBE_LAST_US) : PROBE_FIRST_US;
		s->probe_ns = m->now_ns + s->probe_us * NS_PER_US;
		m->due_ns = min_u64(m->due_ns, s->probe_ns);
	}
}

void caller_bind(
	struct machine *m, struct path *p, const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct caller_session *s = h->session < p->n_out ? p->out[h->session] : NULL;
	frame_Bind b;

	if (!s || len != sizeof(b)) {
		count(m->counts, s ? count_drop_body : count_drop_session);
		return;
	}
	b = frame_Bind_load(body);
	if (b.schema == s->service->schema)
		s->bind = b.index;
	else
		count(m->counts, count_drop_body);
}

/* Surely not executed: binds again, as a new call of the same slot, within the same deadline. */
void caller_rebind(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct caller_slot *s = slot_of(m, p, h);
	uint32_t old_head, payload_len, envelope_len;
	struct tela_options o = {0};
	struct msg *msg;

	if (!s)
		return;
	s->session->bind = 0;
	s->on_wire = false;
	msg = msgpool_get(&m->msgs, s->body_len + ENVELOPE_MAX);
	if (!msg) {
		caller_fail(m, s, TELA_UNAVAILABLE, "no memory to bind again");
		return;
	}
	old_head = ALIGN8(s->envelope_len);
	payload_len = s->body_len - old_head;
	if (s->reply_limit != REPLY_LIMIT_DEFAULT)
		o.max_reply_bytes = s->reply_limit;
	envelope_len = envelope_build(s->session, s->method->id, &o,
		budget_left_us(m->now_ns, s->deadline_ns), msg->data + WIRE_PACKET);
	memcpy(msg->data + WIRE_PACKET + ALIGN8(envelope_len), s->wire + WIRE_PACKET + old_head,
		payload_len);
	list_del(&s->sent);
	if (s->tx)
		bulk_tx_end(m, s->tx);
	if (s->msg)
		msgpool_put(&m->msgs, s->msg);
	s->tx = NULL;
	s->msg = msg;
	s->wire = msg->data;
	s->envelope_len = (uint16_t)envelope_len;
	s->body_len = ALIGN8(envelope_len) + payload_len;
	s->bound = false;
	s->call++;
	transmit(m, p, s, 0);
}

void caller_acknowledge(struct machine *m, struct path *p, const frame_Packet *h, uint16_t limit)
{
	struct caller_slot *s = slot_of(m, p, h);

	if (!s || !s->tx)
		return;
	list_del(&s->sent);
	to_sent(m, p, s);
	bulk_tx_acked(m, s->tx, h->fragment, limit);
}

void caller_gap(
	struct machine *m, struct path *p, const frame_Packet *h, uint16_t first, uint16_t n)
{
	struct caller_slot *s = slot_of(m, p, h);

	if (s && s->tx)
		bulk_tx_gap(m, s->tx, first, n);
}

/* ---- loss and time ---- */

static void resend(struct machine *m, struct path *p, struct caller_slot *s)
{
	frame_Packet h;

	list_del(&s->sent);
	if (s->resends < UINT16_MAX)
		s->resends++;
	count(m->counts, count_resends);
	if (s->bound)
		envelope_patch_budget(
			s->wire + WIRE_PACKET, budget_left_us(m->now_ns, s->deadline_ns));
	switch (s->state) {
	case CALLER_SENDING:
		bulk_tx_gap(m, s->tx, s->tx->acked, 1);
		to_sent(m, p, s);
		break;
	case CALLER_RECEIVING:
		h = (frame_Packet){
			.session = s->session->number, .slot = s->index, .call = s->call};
		bulk_rx_report(m, p, s->rx, &h, false, true);
		to_sent(m, p, s);
		break;
	default:
		transmit(m, p, s, frame_PacketFlag_resent);
	}
}

void caller_resend(struct machine *m, struct path *p, uint64_t before_ns)
{
	/* Each one goes to the tail with the time of now, so this ends. */
	while (!list_empty(&p->sent)) {
		struct caller_slot *s = list_entry(p->sent.next, struct caller_slot, sent);

		if (s->sent_ns >= before_ns || s->sent_ns == m->now_ns)
			return;
		resend(m, p, s);
	}
}

static void probe(struct machine *m, struct caller_slot *s)
{
	struct path *p = s->session->path;

	count(m->counts, count_probes);
	if (s->bound)
		envelope_patch_budget(
			s->wire + WIRE_PACKET, budget_left_us(m->now_ns, s->deadline_ns));
	if (s->resends < UINT16_MAX)
		s->resends++; /* its answer is no sample for anything */
	if (s->body_len > p->fragment) {
		/* The first fragment is enough to ask. */
		frame_Packet h;

		wire_header(s, frame_PacketFlag_resent);
		h = frame_Packet_load(s->wire);
		to_sent(m, p, s);
		s->state = CALLER_WAITING;
		path_packet(m, p, h, s->wire + WIRE_PACKET, p->fragment);
		return;
	}
	transmit(m, p, s, frame_PacketFlag_resent);
}

static uint64_t slot_due(struct machine *m, struct caller_slot *s)
{
	if (s->deadline_ns <= m->now_ns) {
		caller_fail(m, s, TELA_DEADLINE_EXCEEDED, "deadline passed");
		return UINT64_MAX;
	}
	if (s->state != CALLER_RUNNING)
		return s->deadline_ns;
	if (s->probe_ns <= m->now_ns) {
		probe(m, s);
		return s->deadline_ns;
	}
	return min_u64(s->deadline_ns, s->probe_ns);
}

uint64_t caller_due(struct machine *m)
{
	uint64_t due = UINT64_MAX;

	list_for_each_safe(e, tmp, &m->sessions)
	{
		struct caller_session *s = list_entry(e, struct caller_session, of_machine);

		for (uint32_t i = 0; s->n_busy && i < s->n_owned; i++) {
			struct caller_slot *slot = caller_slot_at(s, i);

			if (slot->state >= CALLER_QUEUED)
				due = min_u64(due, slot_due(m, slot));
		}
	}
	return due;
}

/* Calls `each` for every slot in use of the path's sessions. */
static void for_busy(struct machine *m, struct path *p,
	void (*each)(struct machine *, struct caller_slot *, void *), void *arg)
{
	for (uint32_t n = 0; n < p->n_out; n++) {
		struct caller_session *s = p->out[n];

		for (uint32_t i = 0; s->n_busy && i < s->n_owned; i++) {
			struct caller_slot *slot = caller_slot_at(s, i);

			if (slot->state >= CALLER_QUEUED)
				each(m, slot, arg);
		}
	}
}

static void send_queued(struct machine *m, struct caller_slot *s, void *arg)
{
	if (s->state == CALLER_QUEUED)
		transmit(m, arg, s, 0);
}

void caller_path_up(struct machine *m, struct path *p)
{
	for_busy(m, p, send_queued, p);
	p->queued = 0;
}

static void fail_if_queued(struct machine *m, struct caller_slot *s, void *arg)
{
	if (s->state == CALLER_QUEUED)
		caller_fail(m, s, TELA_UNAVAILABLE, arg);
}

void caller_fail_queued(struct machine *m, struct path *p, const char *why)
{
	for_busy(m, p, fail_if_queued, (void *)(uintptr_t)why);
}

/* Back to the slots that every session has; those in hand beyond them wait to be granted again. */
static void session_restart(struct caller_session *s)
{
	s->bind = 0;
	s->credit_asked_ns = 0;
	s->free = NULL;
	s->n_slots = SLOT_BLOCK;
	for (int i = SLOT_BLOCK - 1; i >= 0; i--) {
		struct caller_slot *slot = &s->block[0][i];

		if (slot->state == CALLER_FREE) {
			slot->next_free = s->free;
			s->free = slot;
		}
	}
}

static void fail_if_sent(struct machine *m, struct caller_slot *s, void *arg)
{
	if (s->state > CALLER_QUEUED)
		caller_fail(m, s, TELA_UNAVAILABLE, arg);
}

/* A completion may make new calls at once: they queue for the next path and are not ended with the
 * old ones. */
void caller_path_down(struct machine *m, struct path *p, const char *why)
{
	for (uint32_t n = 0; n < p->n_out; n++)
		session_restart(p->out[n]);
	for_busy(m, p, fail_if_sent, (void *)(uintptr_t)why);
}

void caller_local_done(struct machine *m, struct call *c)
{
	uint8_t scratch[ENVELOPE_MAX] __attribute__((aligned(8)));
	struct caller_slot *s = c->local;
	struct tela_result r = {.code = c->pub.reply_code, .outcome = c->outcome};

	r.queue_ns = saturate_u32(c->started_ns - c->arrived_ns);
	r.dwell_ns = saturate_u32(m->now_ns - c->started_ns);
	r.envelope_len = call_reply_envelope(c, scratch);
	if (r.envelope_len) {
		frame_Envelope_t e = frame_Envelope_root(scratch);

		r.envelope = scratch;
		if (frame_Envelope_status(e).p)
			r.message = frame_Status_message(frame_Envelope_status(e));
	}
	r.retry_after_us = c->retry_after_us;
	if (r.code == TELA_OK) {
		r.payload = c->reply ? c->reply : (const uint8_t *)"";
		r.len = c->reply_len;
	}
	c->local = NULL;
	finish(m, s, &r);
}

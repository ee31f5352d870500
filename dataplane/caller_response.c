/* caller_response.c - what the callee sends back about a call. */
#include "caller.h"
#include "forward.h"
#include "trace.h"

enum { PROBE_FIRST_US = 1000, PROBE_LAST_US = 64000 };

static inline __attribute__((always_inline)) struct caller_slot *slot_of(
	struct machine *m, const struct path *p, const frame_Packet *h)
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

/* The slot that a packet from the callee is about, if it waits for this call. */
struct caller_slot *caller_slot_of(struct machine *m, const struct path *p, const frame_Packet *h)
{
	return slot_of(m, p, h);
}

/* ---- the end of a call ---- */

/* Where the time of a call has gone, if it was answered. Nothing is known of when one left that was
 * sent again, or probed, or in several packets; and a pass longer than the wire can say, a
 * millisecond, looks like the network. */
static __attribute__((noinline)) void timed(
	struct machine *m, const struct caller_slot *s, const struct tela_result *r)
{
	const uint64_t calls = latency_weight(&m->latency.turn[LATENCY_CALLER]);
	const uint64_t callee_ns = (uint64_t)r->dwell_ns + m->latency.age_ns;
	const uint64_t elsewhere_ns = callee_ns + r->queue_ns, round_ns = m->now_ns - s->sent_ns;
	const struct path *p = s->session->path;
	struct latency_series *to;

	if (!p || (r->code && !r->envelope) ||
		!(to = machine_latency(m, LATENCY_CALLER, s->session->service, s->method)))
		return;
	latency_add(&to->part[LATENCY_QUEUE], r->queue_ns, calls);
	latency_add(&to->part[LATENCY_OF_CALLEE], callee_ns, calls);
	if (!s->resends && !s->rx && m->latency.age_ns < UINT16_MAX * WIRE_STAMP_NS &&
		s->body_len <= p->fragment)
		latency_add(&to->part[LATENCY_NETWORK], round_ns - min_u64(round_ns, elsewhere_ns),
			calls);
}

static __attribute__((cold, noinline)) void failed(
	struct machine *m, const struct caller_slot *s, const struct tela_result *r)
{
	struct tela_status_view v;

	count(m->counts, count_calls_failed);
	tela_result_status(r, &v);
	ends_count(m, ENDS_CALLER, s->session->service, s->method, r->code, v.name);
}

/* Frees what the slot holds, then tells the caller; the completion may take the slot again. */
static inline __attribute__((always_inline)) void finish(
	struct machine *m, struct caller_slot *s, struct tela_result *r)
{
	tela_done_fn done = s->done;
	void *arg = s->arg;
	struct bulk_rx *rx = s->rx;

	if (unlikely(!--m->latency.turn[LATENCY_CALLER].left))
		timed(m, s, r);
	if (unlikely(s->nested)) {
		trace_out_end(m, s->body, s->envelope_len, r);
		if (r->code == TELA_UNAVAILABLE && r->outcome == TELA_NOT_EXECUTED &&
			forward_again(m, s, r))
			done = NULL;
	}
	r->resends = s->resends;
	list_del(&s->sent);
	if (unlikely(s->state == CALLER_QUEUED))
		s->session->path->queued--;
	if (unlikely(s->tx || s->msg || rx || s->resends || s->probe_us || s->token))
		caller_slot_clear(m, s);
	caller_slot_free(s);
	m->n_made--;
	count(m->counts, count_calls_done);
	if (unlikely(r->code))
		failed(m, s, r);
	if (done)
		done(arg, r);
	if (unlikely(rx != NULL)) /* the payload stood in it */
		bulk_rx_end(m, rx);
}

void caller_finish(struct machine *m, struct caller_slot *s, struct tela_result *r)
{
	finish(m, s, r);
}

/* ---- responses ---- */

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

/* Its envelope says that there is nothing to read. */
static bool done_without_data(const struct tela_result *r)
{
	return r->envelope && frame_Envelope_status(frame_Envelope_root(r->envelope)).p;
}

static void bad_response(
	struct machine *m, struct caller_slot *s, enum count_id why, const char *message)
{
	struct tela_result r = {.code = TELA_INTERNAL,
		.outcome = TELA_MAYBE_EXECUTED,
		.message = {message, strlen(message)}};

	count(m->counts, why);
	caller_finish(m, s, &r);
}

/* The callee may let its reply go; here is no memory for it. */
static void no_room(struct machine *m, struct caller_slot *s)
{
	static const char why[] = "no message buffer for the reply, or it is larger than any";
	struct tela_result r = {.code = TELA_RESOURCE_EXHAUSTED,
		.outcome = TELA_EXECUTED,
		.message = {why, sizeof(why) - 1}};

	caller_finish(m, s, &r);
}

/* The payload of a call that says where it goes, or that it may come in pieces. False: it is larger
 * than the caller takes. */
static __attribute__((cold, noinline)) bool elsewhere(
	const struct caller_slot *s, struct tela_result *r)
{
	/* One that is not whole is not what is delivered: the callee has sent two replies. */
	const struct bulk_rx *rx = s->rx && s->rx->have == s->rx->n ? s->rx : NULL;

	if (r->len > caller_reply_limit(s))
		return false;
	if (rx && rx->msg->n_segments) {
		r->payload = NULL;
		r->segments = segments_of(rx->msg);
		r->n_segments = rx->msg->n_segments;
	} else if (rx && rx->into) {
		r->payload = rx->into;
	} else {
		caller_put_into(s, r);
	}
	return true;
}

/* Everything has arrived: checks it and tells the caller. */
static inline __attribute__((always_inline)) void deliver(struct machine *m, struct caller_slot *s,
	const uint8_t *body, uint32_t len, uint32_t envelope_len, frame_Timing timing,
	uint8_t flags)
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
		if (unlikely(r.retry_after_us))
			throttle_answered(m, s, &r);
		if (unlikely(flags & frame_PacketFlag_unkept) && s->resends &&
			r.outcome == TELA_NOT_EXECUTED)
			r.outcome = TELA_MAYBE_EXECUTED; /* a copy of it may still run */
		if (unlikely(r.code == TELA_FAILED_PRECONDITION) &&
			r.outcome == TELA_NOT_EXECUTED &&
			frame_Envelope_has_schema(frame_Envelope_root(body)) &&
			caller_schema_refused(
				m, s, frame_Envelope_schema(frame_Envelope_root(body))))
			return;
	}
	if (likely(r.code == TELA_OK && !(s->flags & frame_PacketFlag_one_way))) {
		r.payload = body + at;
		r.len = len - at;
		if (unlikely(r.len > s->reply_limit) && !elsewhere(s, &r)) {
			bad_response(m, s, count_drop_reply_limit,
				"response larger than the caller takes");
			return;
		}
		if (unlikely(!r.len) && done_without_data(&r)) {
			r.payload = NULL;
		} else if (s->method->verify_response &&
			   unlikely(s->method->verify_response(r.payload, r.len))) {
			bad_response(m, s, count_drop_payload, "response payload does not verify");
			return;
		}
	}
	finish(m, s, &r);
}

/* Answers prove what was sent before them lost; one to a resent request proves nothing (Karn), nor
 * does what comes of a message in fragments: there `sent_ns` is when something of it came last. */
static void answered(struct path *p, const struct caller_slot *s)
{
	if (likely(!s->resends && s->state < CALLER_SENDING) && s->sent_ns > p->answered_ns)
		p->answered_ns = s->sent_ns;
}

/* Memory for a reply in several packets, where the caller wants it. */
static struct bulk_rx *reply_start(
	struct machine *m, struct path *p, const struct caller_slot *s, const frame_Packet *h)
{
	uint8_t *into = caller_into(s);

	if (into)
		return bulk_rx_start_into(m, p, h->body_length, h->envelope_length, into);
	return (s->msg && s->msg->wants_segments && !s->method->verify_response
			? bulk_rx_start_segments
			: bulk_rx_start)(m, p, h->body_length, h->envelope_length);
}

static void response_fragment(struct machine *m, struct path *p, struct caller_slot *s,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct bulk_rx *rx = s->rx;
	int rc;

	if (!rx) {
		if (h->body_length - ALIGN8(h->envelope_length) > caller_reply_limit(s)) {
			caller_tell(m, s, frame_Kind_release);
			bad_response(m, s, count_drop_reply_limit,
				"response larger than the caller takes");
			return;
		}
		rx = reply_start(m, p, s, h);
		if (!rx) {
			caller_tell(m, s, frame_Kind_release);
			no_room(m, s);
			return;
		}
		s->rx = rx;
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
	s->state = CALLER_RECEIVING;
	caller_to_sent(m, p, s);
	if (rc == 0) {
		bulk_rx_report(m, p, rx, h, false, false);
		return;
	}
	caller_tell(m, s, frame_Kind_release);
	deliver(m, s, bulk_envelope(rx->msg, rx->envelope_len), rx->len, rx->envelope_len,
		rx->timing, h->flags);
}

void caller_response(
	struct machine *m, struct path *p, const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct caller_slot *s = slot_of(m, p, h);

	if (unlikely(!s))
		return;
	if (unlikely(h->envelope_length) && (ALIGN8(h->envelope_length) > h->body_length ||
						    h->envelope_length > ENVELOPE_MAX)) {
		count(m->counts, count_drop_envelope);
		return;
	}
	answered(p, s);
	if (unlikely(p->throttled) && !h->fragment)
		throttle_taken(p, s->session->service);
	if (unlikely(h->body_length > p->fragment)) {
		response_fragment(m, p, s, h, body, len);
		return;
	}
	if (unlikely(h->fragment || len != WIRE_TIMING + h->body_length)) {
		count(m->counts, count_drop_fragment);
		return;
	}
	deliver(m, s, body + WIRE_TIMING, h->body_length, h->envelope_length,
		frame_Timing_load(body), h->flags);
}

void caller_in_progress(struct machine *m, struct path *p, const frame_Packet *h)
{
	struct caller_slot *s = caller_slot_of(m, p, h);

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

void caller_acknowledge(struct machine *m, struct path *p, const frame_Packet *h, uint16_t limit)
{
	struct caller_slot *s = caller_slot_of(m, p, h);

	if (!s || !s->tx)
		return;
	caller_to_sent(m, p, s);
	bulk_tx_acked(m, s->tx, h->fragment, limit);
}

void caller_gap(
	struct machine *m, struct path *p, const frame_Packet *h, uint16_t first, uint16_t n)
{
	struct caller_slot *s = caller_slot_of(m, p, h);

	if (!s || !s->tx)
		return;
	if (!first)
		caller_patch_budget(m, s); /* the envelope goes again */
	bulk_tx_gap(m, s->tx, first, n);
}

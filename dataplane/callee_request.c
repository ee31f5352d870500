/* callee_request.c - a request of one packet, from its header to its reply: who may run it, its
 * chain, and the answer, in one piece, since this is what a callee does all day. What few requests
 * meet stands elsewhere: callee.c, callee_admit.c, callee_reply.c, call.c.
 */
#include "callee.h"
#include "caller.h"
#include "nest.h"
#include "status.h"
#include "status_view.h"

enum { NESTING_MAX = 16 }; /* completions of local calls inside one another */

/* ---- who runs it ---- */

/* Is the bind still good under the service's image? */
static inline bool bind_holds(struct bind *bind, const struct tela_image *image)
{
	if (likely(bind->generation == image->generation))
		return true;
	if (!service_accepts(bind->service->desc, bind->schema))
		return false;
	bind->generation = image->generation;
	return true;
}

/* The service's image as it is now, and the method's chain in it. */
static inline const struct refusal *service_admits(
	struct machine *m, frame_Envelope_t e, uint16_t method, struct admission *a)
{
	const struct refusal *no = NULL;
	const char *refusal;

	/* The image first: it is withdrawn after the gate was closed, and there again before the
	 * gate opens. */
	a->image = atomic_load_explicit(&a->svc->image, memory_order_acquire);
	refusal = atomic_load_explicit(&a->svc->refusal, memory_order_acquire);
	if (unlikely(refusal) || unlikely(m->draining)) {
		no = admit_at_closed_gate(m, a->svc, e, refusal);
		if (no && !no->ask)
			return no;
	}
	if (unlikely(!a->image))
		return admit_refused(m, TELA_UNAVAILABLE, "service is starting");
	a->chain = image_method(a->image, method);
	return likely(a->chain) ? no : admit_refused(m, TELA_UNIMPLEMENTED, "no such method");
}

/* `fresh`: nothing has been spent on it yet, so it may be shed. Nothing here takes the address of
 * `ret`: it stands in registers where this is inlined. */
static inline __attribute__((always_inline)) const struct refusal *admit(struct machine *m,
	struct callee_session *s, const struct envelope *e, bool fresh, struct admission *ret)
{
	const struct refusal *no = NULL;
	struct tela_service *named;

	*ret = (struct admission){0};
	if (unlikely(e->bind > s->n_binds))
		return admit_stale_bind(m);
	if (likely(e->bind)) {
		ret->bind = &s->binds[e->bind - 1];
		ret->svc = ret->bind->service;
	} else {
		no = admit_named(m, s, e->table, &named);
		ret->svc = named;
		if (no)
			return no;
	}
	if (unlikely(!e->budget_us))
		return admit_refused(
			m, TELA_DEADLINE_EXCEEDED, "deadline passed before the call ran");
	if (unlikely(m->shed.look) && fresh && (no = admit_late(m, ret->svc)))
		return no;
	no = service_admits(m, e->table, e->method, ret);
	if (unlikely(no && !no->ask))
		return ret->svc == &service_gone ? admit_stale_bind(m) : no;
	if (likely(ret->bind) && unlikely(!bind_holds(ret->bind, ret->image)))
		return admit_stale_bind(m);
	return no;
}

const struct refusal *callee_admit(struct machine *m, struct callee_session *s,
	const struct envelope *e, struct admission *ret)
{
	const struct refusal *no = admit(m, s, e, true, ret);

	return no && no->ask ? NULL : no;
}

/* ---- its reply ---- */

static inline frame_Packet reply_header(
	const struct callee_session *s, const struct callee_slot *slot)
{
	return (frame_Packet){.kind = frame_Kind_response,
		.length = (uint16_t)(WIRE_PACKET + WIRE_TIMING + slot->body_len),
		.session = s->number,
		.slot = slot->index,
		.call = slot->call,
		.body_length = slot->body_len,
		.envelope_length = slot->envelope_len};
}

static __attribute__((cold, noinline)) void send_reply_fragments(
	struct machine *m, const struct callee_session *s, struct callee_slot *slot)
{
	const frame_Packet h = reply_header(s, slot);
	frame_Timing timing = frame_Timing_load(slot->body);

	slot->tx = bulk_tx_start(m, s->path, &h, &timing, slot->body + WIRE_TIMING, slot->body_len);
	if (slot->tx && slot->msg->from) {
		slot->tx->split = ALIGN8(slot->envelope_len);
		slot->tx->rest = slot->msg->from;
	}
}

static inline __attribute__((always_inline)) void send_reply(
	struct machine *m, struct callee_session *s, struct callee_slot *slot)
{
	const uint32_t body_len = slot->body_len, len = WIRE_TIMING + ALIGN8(body_len);
	uint8_t *at, *body = slot->body;
	struct path *p = s->path;

	if (unlikely(body_len > p->fragment)) {
		send_reply_fragments(m, s, slot);
		return;
	}
	at = path_append(m, p, WIRE_PACKET + len);
	if (unlikely(!at))
		return;
	wire_packet_store(at, reply_header(s, slot));
	pad_word(body + WIRE_TIMING, body_len);
	copy_words(at + WIRE_PACKET, body, len);
}

void callee_send_reply(struct machine *m, struct callee_session *s, struct callee_slot *slot)
{
	send_reply(m, s, slot);
}

/* `body` has room for the timing in front of envelope and payload. */
static inline __attribute__((always_inline)) void reply(struct machine *m, struct call *c,
	struct callee_slot *slot, uint8_t *body, uint32_t envelope_len)
{
	const uint32_t len = ALIGN8(envelope_len) + c->reply_len;
	const frame_Timing timing = {.queue_ns = saturate_u32(c->pub.began_ns - c->arrived_ns),
		.dwell_ns = saturate_u32(m->now_ns - c->pub.began_ns)};

	slot->body = body;
	slot->body_len = len;
	slot->envelope_len = (uint16_t)envelope_len;
	slot->running = NULL;
	slot->state = CALLEE_REPLIED;
	frame_Timing_store(body, &timing);
	send_reply(m, c->session, slot);
}

void callee_reply(struct machine *m, struct call *c)
{
	struct callee_slot *slot = c->slot;
	uint8_t *body = c->reply_msg ? c->reply_msg->data + ENVELOPE_MAX : slot->bytes;
	uint32_t envelope_len = 0;

	if (unlikely(call_needs_envelope(c))) {
		if (c->prove_again) {
			reply_rebind(m, c);
			return;
		}
		envelope_len = reply_with_envelope(m, c, &body);
	}
	slot->msg = c->reply_msg;
	c->reply_msg = NULL;
	reply(m, c, slot, body, envelope_len);
	if (unlikely(slot->msg != NULL))
		reply_retain(m, slot, c->pub.deadline_ns);
}

/* ---- its chain ---- */

/* Nobody waits for what the call has answered. */
static void reply_drop(struct machine *m, const struct call *c)
{
	count(m->counts, c->one_way ? count_one_way_replies : count_drop_detached);
	if (c->one_way && c->pub.reply_code)
		count(m->counts, count_one_way_failed);
}

/* Tells whoever waits for it. */
static void end(struct machine *m, struct call *c)
{
	if (unlikely(c->detached))
		reply_drop(m, c);
	else if (unlikely(c->local != NULL))
		caller_local_done(m, c);
	else
		callee_reply(m, c);
	call_put(m, c);
}

/* The completion of a local call may end the call that it was made for, and so on up to the root of
 * the tree: the stack of a core does not grow with its depth. */
static __attribute__((cold, noinline)) void end_local(struct machine *m, struct call *c)
{
	if (m->nesting == NESTING_MAX) {
		list_del(&c->of_machine);
		list_add_tail(&m->ended, &c->of_machine);
		return;
	}
	m->nesting++;
	end(m, c);
	m->nesting--;
}

bool call_finish_late(struct machine *m)
{
	bool any = !list_empty(&m->ended);

	while (!list_empty(&m->ended)) {
		struct call *c = list_entry(m->ended.next, struct call, of_machine);

		list_del(&c->of_machine);
		end_local(m, c);
	}
	return any;
}

void call_leave(struct machine *m, struct call *c)
{
	if (unlikely(c->chain && c->chain->n_leaves && c->cursor != UINT32_MAX)) {
		uint32_t before = machine_running(m, c->chain->key);

		chain_leave(c->chain, c->cursor, &c->pub);
		machine_running(m, before);
	}
	if (unlikely(c->pub.reply_code || c->has_status) && !c->prove_again) {
		status_seen(c);
		if (c->pub.reply_code)
			ends_count(m, ENDS_CALLEE, c->pub.service, c->pub.method, c->pub.reply_code,
				status_str(status_name(c)));
	}
}

__attribute__((noinline)) void call_finish(struct machine *m, struct call *c)
{
	call_leave(m, c);
	if (unlikely(c->local != NULL))
		end_local(m, c);
	else
		end(m, c);
}

/* The links from `from` on; then most calls have a reply that fits their slot, and no more. */
static inline __attribute__((always_inline)) void run(
	struct machine *m, struct call *c, const struct chain *chain, uint32_t from)
{
	const uint32_t before = machine_running(m, chain->key);
	enum tela_verdict verdict;

	c->cursor = chain_walk(chain, from, &c->pub, &verdict);
	machine_running(m, before);
	if (unlikely(verdict != TELA_ANSWER)) {
		call_not_answered(m, c, verdict);
	} else if (unlikely(chain->n_leaves || call_is_special(c))) {
		call_finish(m, c);
	} else {
		reply(m, c, c->slot, c->slot->bytes, 0);
		call_return(m, c);
	}
}

void call_run(struct machine *m, struct call *c)
{
	run(m, c, c->chain, c->cursor);
}

/* ---- running ---- */

static inline __attribute__((always_inline)) struct call *call_open(struct machine *m,
	const uint8_t *payload, uint32_t len, struct callee_session *s, struct callee_slot *slot,
	struct caller_slot *local, uint32_t queue_ns)
{
	struct call *c = call_get(m);

	if (unlikely(!c))
		return NULL;
	c->pub.request = payload;
	c->pub.request_len = len;
	c->pub.identity = 0;
	c->pub.hops = 0;
	c->pub.reply_code = TELA_OK;
	c->pub.context = NULL;
	c->pub.began_ns = m->now_ns;
	c->arrived_ns = m->now_ns - queue_ns;
	c->chain = NULL;
	c->session = s;
	c->slot = slot;
	c->local = local;
	zero_words((uint8_t *)c + CALL_FRESH_FIRST, CALL_FRESH_END - CALL_FRESH_FIRST);
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

static __attribute__((cold, noinline)) void refuse(
	struct machine *m, struct call *c, uint8_t code, const char *why)
{
	ends_count(m, ENDS_CALLEE, c->svc ? c->svc->desc : NULL, c->pub.method, code,
		(struct tela_str){why, strlen(why)});
	call_status(c, code, TELA_NOT_EXECUTED, why);
	answer_now(m, c);
}

/* The caller is told that the call is accepted, then it goes on as one that nobody waits for. The
 * accept is a reply like others, without bytes: the slot keeps it for duplicates. A local caller's
 * slot holds the request itself; it is told once the chain has run, or has a copy. */
static __attribute__((cold, noinline)) void one_way_run(struct machine *m, struct call *c)
{
	struct caller_slot *local = c->local;

	count(m->counts, count_calls_one_way);
	if (!local)
		callee_reply(m, c);
	c->slot = NULL;
	call_detach(m, c);
	call_run(m, c);
	if (local)
		caller_accepted(m, local);
}

/* Of one that is sent on, the callee says whether it is accepted. */
static __attribute__((cold, noinline)) bool one_way_allowed(struct machine *m, struct call *c)
{
	if (!c->svc->forward)
		return call_detach_allowed(m);
	c->one_way = false;
	c->accept = true;
	return true;
}

/* One call in so many reads the clock: how far behind its pass is, and how long its links take. */
static __attribute__((noinline)) void call_run_sampled(struct machine *m, struct call *c)
{
	const uint64_t began_ns = machine_clock(m), generation = c->generation;
	const uint64_t calls = latency_weight(&m->latency.turn[LATENCY_CALLEE]);
	const uint32_t queue_ns = c->local ? 0 : m->shed.queue_ns;
	uint64_t took_ns;
	struct latency_series *s = machine_latency(m, LATENCY_CALLEE, c->svc->desc, c->pub.method);

	shed_waited(m, m->shed.queue_ns, shed_late(m, began_ns));
	if (s)
		latency_add(&s->part[LATENCY_QUEUE], queue_ns + m->shed.late_ns, calls);
	call_run(m, c);
	took_ns = machine_clock(m) - began_ns;
	shed_took(m, took_ns);
	if (s && !(c->state == CALL_PENDING && c->generation == generation))
		latency_add(&s->part[LATENCY_HANDLER], took_ns, calls);
}

/* False: it has been refused, for its payload may not be read. */
static inline __attribute__((always_inline)) bool call_prepare(
	struct machine *m, struct call *c, const struct admission *a)
{
	const struct tela_method_desc *method = a->chain->method;

	c->svc = a->svc;
	c->image = a->image;
	c->chain = a->chain;
	c->pub.method = method;
	c->pub.service = a->svc->desc;
	c->pub.generation = a->image->generation;
	if (method->verify_request &&
		unlikely(method->verify_request(c->pub.request, c->pub.request_len))) {
		count(m->counts, count_drop_payload);
		refuse(m, c, TELA_INVALID_ARGUMENT, "request payload does not verify");
		return false;
	}
	return true;
}

/* The chain runs. */
static inline __attribute__((always_inline)) void call_begin(
	struct machine *m, struct call *c, struct tela_image *image, const struct chain *chain)
{
	if (unlikely(c->one_way) && !one_way_allowed(m, c)) {
		refuse(m, c, TELA_RESOURCE_EXHAUSTED, "too many calls run without a caller");
		return;
	}
	image_count_call(image, m->cfg.core);
	count(m->counts, count_calls_served);
	if (unlikely(c->one_way))
		one_way_run(m, c);
	else if (unlikely(!--m->latency.turn[LATENCY_CALLEE].left))
		call_run_sampled(m, c);
	else
		run(m, c, chain, 0);
}

static inline __attribute__((always_inline)) void call_start(
	struct machine *m, struct call *c, const struct admission *a)
{
	if (likely(call_prepare(m, c, a)))
		call_begin(m, c, a->image, a->chain);
}

/* It waits for what the other cores say. */
static __attribute__((cold, noinline)) void call_ask(
	struct machine *m, struct call *c, struct admission a)
{
	struct tela_handle h;
	uint64_t root[2];

	if (!call_prepare(m, c, &a))
		return;
	nest_root(c, root);
	if (!call_hold(m, c, &h))
		refuse(m, c, TELA_RESOURCE_EXHAUSTED, "no room for a pending call");
	else if (m->ops->ask(m->io, root, h))
		callee_asked(m, h, false);
}

__attribute__((cold)) void callee_asked(struct machine *m, struct tela_handle h, bool in_flight)
{
	struct call *c = call_let_go(m, h);

	if (!c)
		return;
	if (!in_flight)
		call_status(c, TELA_UNAVAILABLE, TELA_NOT_EXECUTED,
			"draining, and no call in flight here is what this one is for");
	else if (c->pub.deadline_ns <= m->now_ns)
		call_status(c, TELA_DEADLINE_EXCEEDED, TELA_NOT_EXECUTED,
			"deadline passed before the call ran");
	if (c->pub.reply_code || c->detached) { /* detached: its caller has gone */
		count(m->counts, count_calls_refused);
		call_finish(m, c);
	} else {
		c->cursor = 0;
		call_begin(m, c, c->image, c->chain);
	}
}

static inline uint64_t deadline_of(const struct machine *m, const struct envelope *e)
{
	return e->budget_us == ENVELOPE_NO_DEADLINE ? UINT64_MAX
						    : m->now_ns + e->budget_us * NS_PER_US;
}

/* What costs neither a call object nor a reply: the slot remembers that the call has not run. */
static __attribute__((cold, noinline)) void turn_away(struct machine *m, struct callee_session *s,
	struct callee_slot *slot, const frame_Packet *h, const struct refusal *no)
{
	slot->running = NULL;
	(no->shed ? shed_refuse : callee_rebind)(m, s->path, slot, h);
}

static __attribute__((cold, noinline)) void serve_refused(struct machine *m, struct call *c,
	const frame_Packet *h, const struct envelope *e, struct admission a,
	const struct refusal *no)
{
	if (no->rebind) {
		turn_away(m, c->session, c->slot, h, no);
		call_put(m, c);
	} else if (no->ask) {
		c->pub.deadline_ns = deadline_of(m, e);
		call_ask(m, c, a);
	} else {
		c->svc = a.svc;
		c->pub.method = ends_method(a.svc ? a.svc->desc : NULL, e->method);
		c->tells_schema = no->schema != 0;
		refuse(m, c, no->code, no->message);
	}
}

/* Nothing here that is not in line takes the address of `a`: it stands in registers. */
static inline __attribute__((always_inline)) void serve(struct machine *m, struct callee_session *s,
	struct callee_slot *slot, const frame_Packet *h, const uint8_t *body, struct msg *msg,
	const struct envelope *e)
{
	const uint32_t at = ALIGN8(h->envelope_length);
	struct admission a;
	const struct refusal *no = admit(m, s, e, !msg, &a);
	struct call *c;

	if (unlikely(no && (no->rebind || no->shed))) {
		if (no->shed)
			ends_count(m, ENDS_CALLEE, a.svc->desc, ends_method(a.svc->desc, e->method),
				TELA_RESOURCE_EXHAUSTED,
				(struct tela_str){SHED_NAME, sizeof(SHED_NAME) - 1});
		turn_away(m, s, slot, h, no);
		if (msg)
			message_put(m, msg);
		return;
	}
	c = call_open(m, body + at, h->body_length - at, s, slot, NULL, m->shed.queue_ns);
	if (unlikely(!c)) {
		callee_slot_gone(slot, GONE_REFUSED);
		if (msg)
			message_put(m, msg);
		callee_refuse(
			m, s->path, h, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	c->request_msg = msg;
	if (unlikely(msg && msg->n_segments))
		c->pub.request = NULL;
	c->reply_limit = e->reply_limit;
	c->one_way = h->flags & frame_PacketFlag_one_way;
	slot->state = CALLEE_RUNNING;
	slot->running = c;
	if (unlikely(e->table.p != NULL)) {
		count(m->counts, count_envelopes_general);
		c->envelope = e->table;
		c->envelope_bytes = body;
		c->envelope_len = h->envelope_length;
		nest_receive(c);
		if (!no || no->ask)
			no = admit_proved(m, s, c, a, no);
	}
	if (unlikely(msg && msg->n_segments) && (!no || no->ask) &&
		!callee_wants_segments(a.chain->method))
		no = admit_refused(
			m, TELA_UNAVAILABLE, "the method has changed while the request arrived");
	if (unlikely(no)) {
		serve_refused(m, c, h, e, a, no);
		return;
	}
	c->pub.deadline_ns = deadline_of(m, e);
	if (unlikely(!a.bind))
		admit_bind(m, s, h, a.svc, frame_Envelope_schema(e->table), a.image->generation);
	call_start(m, c, &a);
}

__attribute__((cold)) void callee_serve_message(struct machine *m, struct callee_session *s,
	struct callee_slot *slot, const frame_Packet *h, struct msg *msg, const struct envelope *e)
{
	serve(m, s, slot, h, bulk_envelope(msg, h->envelope_length), msg, e);
}

void callee_serve_local(struct machine *m, struct caller_slot *s)
{
	const uint32_t at = ALIGN8(s->envelope_len);
	const uint8_t *body = s->body;
	struct admission a = {0};
	const struct refusal *no;
	struct call *c;

	if (s->deadline_ns <= m->now_ns) {
		caller_fail(m, s, TELA_DEADLINE_EXCEEDED, "deadline passed before the call ran");
		return;
	}
	c = call_open(m, caller_payload(s), s->body_len - at, NULL, NULL, s, 0);
	if (!c) {
		s->on_wire = false;
		caller_fail(m, s, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	count(m->counts, count_calls_local);
	s->serving = c;
	c->reply_limit = caller_reply_limit(s);
	c->one_way = s->flags & frame_PacketFlag_one_way;
	c->envelope = frame_Envelope_root(body);
	c->envelope_bytes = body;
	c->envelope_len = s->envelope_len;
	nest_receive(c);
	c->pub.deadline_ns = s->deadline_ns;
	no = admit_local(m, s->session->service, &a.svc);
	if (!no)
		no = service_admits(m, c->envelope, s->method->id, &a);
	if (likely(!no)) {
		call_start(m, c, &a);
	} else if (no->ask) {
		call_ask(m, c, a);
	} else {
		c->svc = a.svc;
		c->pub.method = s->method;
		refuse(m, c, no->code, no->message);
	}
}

/* ---- as it arrives ---- */

/* A new call in a slot acknowledges the old one's response, or detaches the old
 * one if it still runs. */
static inline __attribute__((always_inline)) bool slot_take(struct machine *m,
	struct callee_session *s, struct callee_slot *slot, const frame_Packet *h)
{
	if (unlikely(slot->state == CALLEE_RUNNING) && !call_detach_budgeted(m, slot->running)) {
		callee_refuse_unkept(m, s->path, h, "too many calls run without a caller");
		return false;
	}
	if (unlikely(slot->msg || slot->tx))
		callee_slot_clear(m, slot);
	slot->call = h->call;
	return true;
}

static inline bool is_new(const struct callee_slot *slot, const frame_Packet *h)
{
	return slot->state == CALLEE_IDLE || serial_after(h->call, slot->call);
}

/* Not new, or not in one piece. */
static __attribute__((noinline)) void request_else(struct machine *m, struct callee_session *s,
	struct callee_slot *slot, const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	if (!is_new(slot, h)) {
		if (h->call == slot->call)
			callee_duplicate(m, s, slot, h, body, len);
		else
			count(m->counts, count_drop_stale);
	} else if (h->body_length <= s->path->fragment ||
		   (h->fragment == 0 && len != s->path->fragment)) {
		count(m->counts, count_drop_fragment);
	} else if (h->fragment || slot->state != CALLEE_RUNNING || slot_take(m, s, slot, h)) {
		callee_receive(m, s, slot, h, body, len);
	}
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
	if (unlikely(!s) && !(s = callee_session_open(m, p, h->session))) {
		count(m->counts, count_drop_no_slot_memory);
		callee_refuse_unkept(m, p, h, "no slots left for a new session");
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
	if (unlikely(!is_new(slot, h) || h->body_length > p->fragment || h->fragment ||
		     len != h->body_length)) {
		request_else(m, s, slot, h, body, len);
		return;
	}
	if (unlikely(envelope_read(body, h->envelope_length, &e))) {
		count(m->counts, count_drop_envelope);
		return;
	}
	if (likely(slot_take(m, s, slot, h)))
		serve(m, s, slot, h, body, NULL, &e);
}

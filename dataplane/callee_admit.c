/* callee_admit.c - from a whole request to its chain: what its envelope may ask
 * for, and who runs it. */
#include "callee.h"
#include "caller.h"
#include "descent.h"
#include "forward.h"
#include "identity.h"
#include "nest.h"

static __attribute__((cold, noinline)) const struct refusal *refused(
	struct machine *m, uint8_t code, const char *why)
{
	m->refusal = (struct refusal){.code = code, .message = why, .outcome = TELA_NOT_EXECUTED};
	return &m->refusal;
}

/* The caller is to bind again. */
static __attribute__((cold, noinline)) const struct refusal *stale_bind(struct machine *m)
{
	m->refusal = (struct refusal){.rebind = true};
	return &m->refusal;
}

static const char no_service[] = "no such service on this node";

static const struct refusal *agrees(
	struct machine *m, const struct tela_service *svc, uint64_t schema)
{
	if (likely(service_accepts(svc->desc, schema)))
		return NULL;
	refused(m, TELA_FAILED_PRECONDITION, "schemas differ and neither side knows the other's");
	m->refusal.schema = svc->desc->schema;
	return &m->refusal;
}

/* For a call that names its service: a local one, or one that is not bound yet. */
static const struct refusal *named_service(
	struct machine *m, struct tela_str name, uint64_t schema, struct tela_service **ret)
{
	struct service_table *t = atomic_load_explicit(m->cfg.services, memory_order_acquire);
	struct tela_service *svc = name.s && t ? service_table_find(t, name.s, name.len) : NULL;

	*ret = svc;
	if (!svc)
		return refused(m, TELA_UNAVAILABLE, no_service);
	return agrees(m, svc, schema);
}

/* For one that came by the wire: also one that calls from there are sent on to. */
static const struct refusal *asked_service(struct machine *m, const struct callee_session *s,
	frame_Envelope_t e, struct tela_service **ret)
{
	const struct tela_str name = frame_Envelope_service(e);
	const uint64_t schema = frame_Envelope_schema(e);
	const struct refusal *no = named_service(m, name, schema, ret);

	if (likely(*ret) || !name.s)
		return no;
	*ret = forward_find(m, s->path, name, schema);
	return *ret ? agrees(m, *ret, schema) : no;
}

/* A first call by name: later ones may carry an index, if there is one left. That of a service
 * which was removed stands for the same one again, never for another: its caller may not know yet.
 */
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
		if (s->binds[i].schema == schema &&
			(s->binds[i].service == svc || s->binds[i].service == &service_gone))
			break;
	if (i == SESSION_BINDS)
		return;
	if (i == s->n_binds || s->binds[i].service != svc) {
		s->n_binds = (uint16_t)max_u64(s->n_binds, i + 1u);
		s->binds[i] = (struct bind){svc, schema, generation};
		count(m->counts, count_binds);
	}
	body.index = i + 1;
	path_packet(m, s->path, h, &body, sizeof(body));
}

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

/* The gate is closed, but calls that descend from one in flight here go on: they hold up those that
 * are waited for. NULL: it is one; a refusal that says `ask`: other cores may know. */
static __attribute__((cold, noinline)) const struct refusal *gate_closed(
	struct machine *m, const struct tela_service *s, frame_Envelope_t e, const char *why)
{
	enum descent d;

	if (why && !atomic_load_explicit(&s->drains, memory_order_relaxed))
		return refused(m, TELA_UNAVAILABLE, why);
	d = descent_of(m, e);
	if (d == DESCENT_NO)
		return refused(m, TELA_UNAVAILABLE, why ? why : "node is draining");
	count(m->counts, count_calls_descended);
	if (d == DESCENT_YES)
		return NULL;
	m->refusal = (struct refusal){.ask = true};
	return &m->refusal;
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
		no = gate_closed(m, a->svc, e, refusal);
		if (no && !no->ask)
			return no;
	}
	if (unlikely(!a->image))
		return refused(m, TELA_UNAVAILABLE, "service is starting");
	a->chain = image_method(a->image, method);
	return likely(a->chain) ? no : refused(m, TELA_UNIMPLEMENTED, "no such method");
}

/* It has waited too long. */
static __attribute__((cold, noinline)) const struct refusal *shed(
	struct machine *m, const struct tela_service *svc)
{
	if (!shed_call(m, atomic_load_explicit(&svc->shed_ns, memory_order_relaxed)))
		return NULL;
	m->refusal = (struct refusal){.shed = true};
	return &m->refusal;
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
		return stale_bind(m);
	if (likely(e->bind)) {
		ret->bind = &s->binds[e->bind - 1];
		ret->svc = ret->bind->service;
	} else {
		no = asked_service(m, s, e->table, &named);
		if (named &&
			unlikely(atomic_load_explicit(&named->local_only, memory_order_relaxed))) {
			/* and so it is never bound */
			no = refused(m, TELA_UNAVAILABLE, no_service);
			named = NULL;
		}
		ret->svc = named;
		if (no)
			return no;
	}
	if (unlikely(!e->budget_us))
		return refused(m, TELA_DEADLINE_EXCEEDED, "deadline passed before the call ran");
	if (unlikely(m->shed.look) && fresh && (no = shed(m, ret->svc)))
		return no;
	no = service_admits(m, e->table, e->method, ret);
	if (unlikely(no && !no->ask))
		return ret->svc == &service_gone ? stale_bind(m) : no;
	if (likely(ret->bind) && unlikely(!bind_holds(ret->bind, ret->image)))
		return stale_bind(m);
	return no;
}

const struct refusal *callee_admit(struct machine *m, struct callee_session *s,
	const struct envelope *e, struct admission *ret)
{
	const struct refusal *no = admit(m, s, e, true, ret);

	return no && no->ask ? NULL : no;
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
	c->pub.context = NULL;
	c->chain = NULL;
	c->session = NULL;
	c->slot = NULL;
	c->local = NULL;
	c->arrived_ns = c->pub.began_ns = m->now_ns;
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

static void refuse(struct machine *m, struct call *c, uint8_t code, const char *why)
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
static inline __attribute__((always_inline)) void call_begin(struct machine *m, struct call *c)
{
	if (unlikely(c->one_way) && !one_way_allowed(m, c)) {
		refuse(m, c, TELA_RESOURCE_EXHAUSTED, "too many calls run without a caller");
		return;
	}
	image_count_call(c->image, m->cfg.core);
	count(m->counts, count_calls_served);
	if (unlikely(c->one_way))
		one_way_run(m, c);
	else if (unlikely(!--m->latency.turn[LATENCY_CALLEE].left))
		call_run_sampled(m, c);
	else
		call_run(m, c);
}

static inline __attribute__((always_inline)) void call_start(
	struct machine *m, struct call *c, const struct admission *a)
{
	if (likely(call_prepare(m, c, a)))
		call_begin(m, c);
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

void callee_asked(struct machine *m, struct tela_handle h, bool in_flight)
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
		call_begin(m, c);
	}
}

static inline uint64_t deadline_of(const struct machine *m, const struct envelope *e)
{
	return e->budget_us == ENVELOPE_NO_DEADLINE ? UINT64_MAX
						    : m->now_ns + e->budget_us * NS_PER_US;
}

/* What an identity index stands for; without one, as it was. */
static __attribute__((noinline)) const struct refusal *proved(struct machine *m,
	const struct callee_session *s, struct call *c, struct admission a,
	const struct refusal *no)
{
	const uint16_t index = frame_Envelope_identity(c->envelope);

	if (!index)
		return no;
	count(m->counts, count_identities_used);
	if (identity_admit(m, s, c, &a, index))
		return no;
	count(m->counts, count_identities_stale);
	return stale_bind(m);
}

/* Nothing here that is not in line takes the address of `a`: it stands in registers. */
static inline __attribute__((always_inline)) void serve(struct machine *m, struct callee_session *s,
	struct callee_slot *slot, const frame_Packet *h, const uint8_t *body, struct msg *msg,
	const struct envelope *e)
{
	uint32_t at = ALIGN8(h->envelope_length);
	struct call *c = call_open(m, body + at, h->body_length - at);
	const struct refusal *no;
	struct admission a;

	if (unlikely(!c)) {
		callee_slot_gone(slot, GONE_REFUSED);
		if (msg)
			message_put(m, msg);
		callee_refuse(
			m, s->path, h, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	c->arrived_ns = m->now_ns - m->shed.queue_ns;
	c->request_msg = msg;
	if (unlikely(msg && msg->n_segments))
		c->pub.request = NULL;
	c->session = s;
	c->slot = slot;
	c->reply_limit = e->reply_limit;
	c->one_way = h->flags & frame_PacketFlag_one_way;
	if (unlikely(e->table.p != NULL)) {
		count(m->counts, count_envelopes_general);
		c->envelope = e->table;
		c->envelope_bytes = body;
		c->envelope_len = h->envelope_length;
		nest_receive(c);
	}
	slot->state = CALLEE_RUNNING;
	slot->running = c;
	no = admit(m, s, e, !msg, &a);
	if (unlikely(e->table.p != NULL) && (!no || no->ask))
		no = proved(m, s, c, a, no);
	if (unlikely(msg && msg->n_segments) && (!no || no->ask) &&
		!callee_wants_segments(a.chain->method))
		no = refused(
			m, TELA_UNAVAILABLE, "the method has changed while the request arrived");
	if (likely(!no)) {
		c->pub.deadline_ns = deadline_of(m, e);
		if (unlikely(!a.bind))
			bind_offer(m, s, h, a.svc, frame_Envelope_schema(e->table),
				a.image->generation);
		call_start(m, c, &a);
	} else if (no->rebind || no->shed) {
		slot->running = NULL;
		if (no->shed)
			ends_count(m, ENDS_CALLEE, a.svc->desc, ends_method(a.svc->desc, e->method),
				TELA_RESOURCE_EXHAUSTED, (struct tela_str){"shed", 4});
		(no->shed ? shed_refuse : callee_rebind)(m, s->path, slot, h);
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

void callee_serve(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, const struct envelope *e)
{
	serve(m, s, slot, h, body, NULL, e);
}

__attribute__((cold)) void callee_serve_message(struct machine *m, struct callee_session *s,
	struct callee_slot *slot, const frame_Packet *h, struct msg *msg, const struct envelope *e)
{
	serve(m, s, slot, h, bulk_envelope(msg, h->envelope_length), msg, e);
}

/* A local caller sees at once what a remote one is told with the refusal. */
static const struct refusal *agreed(
	struct machine *m, const struct tela_service_desc *caller, struct tela_service **ret)
{
	const struct tela_str name = {caller->name, strlen(caller->name)};
	const struct refusal *no = named_service(m, name, caller->schema, ret);

	return no && no->schema && service_accepts(caller, no->schema) ? NULL : no;
}

void callee_serve_local(struct machine *m, struct caller_slot *s)
{
	const struct tela_service_desc *desc = s->session->service;
	uint32_t at = ALIGN8(s->envelope_len);
	const uint8_t *body = s->body;
	struct admission a = {0};
	const struct refusal *no;
	struct call *c;

	if (s->deadline_ns <= m->now_ns) {
		caller_fail(m, s, TELA_DEADLINE_EXCEEDED, "deadline passed before the call ran");
		return;
	}
	c = call_open(m, caller_payload(s), s->body_len - at);
	if (!c) {
		s->on_wire = false;
		caller_fail(m, s, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	count(m->counts, count_calls_local);
	c->local = s;
	s->serving = c;
	c->reply_limit = caller_reply_limit(s);
	c->one_way = s->flags & frame_PacketFlag_one_way;
	c->envelope = frame_Envelope_root(body);
	c->envelope_bytes = body;
	c->envelope_len = s->envelope_len;
	nest_receive(c);
	c->pub.deadline_ns = s->deadline_ns;
	no = agreed(m, desc, &a.svc);
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

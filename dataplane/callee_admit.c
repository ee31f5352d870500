/* callee_admit.c - from a whole request to its chain: what its envelope may ask
 * for, and who runs it. */
#include "callee.h"

static __attribute__((cold)) bool refused(struct admission *a, uint8_t code, const char *why)
{
	a->code = code;
	a->why = why;
	return false;
}

/* For a call that names its service: a local one, or one that is not bound yet. */
static bool named_service(
	struct machine *m, struct tela_str name, uint64_t schema, struct admission *a)
{
	struct service_table *t = atomic_load_explicit(m->cfg.services, memory_order_acquire);

	a->svc = name.s && t ? service_table_find(t, name.s, name.len) : NULL;
	if (!a->svc)
		return refused(a, TELA_UNAVAILABLE, "no such service on this node");
	if (!service_accepts(a->svc->desc, schema)) {
		a->schema = a->svc->desc->schema;
		return refused(a, TELA_FAILED_PRECONDITION,
			"schemas differ and neither side knows the other's");
	}
	return true;
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

/* Is the bind still good under the service's image? */
static bool bind_holds(struct admission *a)
{
	struct bind *bind = a->bind;

	if (likely(bind->generation == a->image->generation))
		return true;
	if (!service_accepts(a->svc->desc, bind->schema)) {
		a->rebind = true;
		return false;
	}
	bind->generation = a->image->generation;
	return true;
}

/* The service's image as it is now, and the method's chain in it. */
static inline bool service_admits(struct admission *a, uint16_t method)
{
	const char *refusal;

	/* The image first: it is withdrawn after the gate was closed, and there again before the
	 * gate opens. */
	a->image = atomic_load_explicit(&a->svc->image, memory_order_acquire);
	refusal = atomic_load_explicit(&a->svc->refusal, memory_order_acquire);
	if (unlikely(refusal))
		return refused(a, TELA_UNAVAILABLE, refusal);
	if (unlikely(!a->image))
		return refused(a, TELA_UNAVAILABLE, "service is starting");
	a->chain = image_method(a->image, method);
	return likely(a->chain) || refused(a, TELA_UNIMPLEMENTED, "no such method");
}

static inline bool admit(
	struct machine *m, struct callee_session *s, const struct envelope *e, struct admission *a)
{
	*a = (struct admission){0};
	if (unlikely(e->bind > s->n_binds)) {
		a->rebind = true;
		return false;
	}
	if (likely(e->bind)) {
		a->bind = &s->binds[e->bind - 1];
		a->svc = a->bind->service;
	} else if (!named_service(m, frame_Envelope_service(e->table),
			   frame_Envelope_schema(e->table), a)) {
		return false;
	}
	if (unlikely(m->draining))
		return refused(a, TELA_UNAVAILABLE, "node is draining");
	if (unlikely(!e->budget_us))
		return refused(a, TELA_DEADLINE_EXCEEDED, "deadline passed before the call ran");
	return service_admits(a, e->method) && (unlikely(!a->bind) || bind_holds(a));
}

bool callee_admit(
	struct machine *m, struct callee_session *s, const struct envelope *e, struct admission *a)
{
	return admit(m, s, e, a);
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
	c->arrived_ns = c->started_ns = m->now_ns;
	memset((uint8_t *)c + CALL_FRESH_FIRST, 0, CALL_FRESH_END - CALL_FRESH_FIRST);
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

/* The chain runs, if the payload may be read. */
static void call_start(struct machine *m, struct call *c, const struct admission *a)
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
		return;
	}
	if (unlikely(c->one_way) && !call_detach_allowed(m)) {
		refuse(m, c, TELA_RESOURCE_EXHAUSTED, "too many calls run without a caller");
		return;
	}
	image_count_call(c->image, m->cfg.core);
	count(m->counts, count_calls_served);
	if (unlikely(c->one_way))
		one_way_run(m, c);
	else
		call_run(m, c);
}

/* A whole request: `body` is envelope and payload, in `msg` if it came in
 * fragments (then the call takes it). */
void callee_serve(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, struct msg *msg, const struct envelope *e)
{
	uint32_t at = ALIGN8(h->envelope_length);
	struct call *c = call_open(m, body + at, h->body_length - at);
	struct admission a;

	if (unlikely(!c)) {
		callee_slot_gone(slot, GONE_REFUSED);
		if (msg)
			msgpool_put(&m->msgs, msg);
		callee_refuse(
			m, s->path, h, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	c->request_msg = msg;
	c->session = s;
	c->slot = slot;
	c->reply_limit = e->reply_limit;
	c->one_way = h->flags & frame_PacketFlag_one_way;
	if (unlikely(e->table.p != NULL)) {
		count(m->counts, count_envelopes_general);
		c->envelope = e->table;
		c->envelope_bytes = body;
		c->envelope_len = h->envelope_length;
		c->pub.hops = frame_Envelope_hops(e->table);
	}
	slot->state = CALLEE_RUNNING;
	slot->running = c;
	if (likely(admit(m, s, e, &a))) {
		c->pub.deadline_ns = e->budget_us == ENVELOPE_NO_DEADLINE
					     ? UINT64_MAX
					     : m->now_ns + e->budget_us * NS_PER_US;
		if (unlikely(!a.bind))
			bind_offer(m, s, h, a.svc, frame_Envelope_schema(e->table),
				a.image->generation);
		call_start(m, c, &a);
	} else if (a.rebind) {
		slot->running = NULL;
		callee_rebind(m, s->path, slot, h);
		call_put(m, c);
	} else {
		c->svc = a.svc;
		c->tells_schema = a.schema != 0;
		refuse(m, c, a.code, a.why);
	}
}

/* A local caller sees at once what a remote one is told with the refusal. */
static bool agreed(struct machine *m, const struct tela_service_desc *caller, struct admission *a)
{
	const struct tela_str name = {caller->name, strlen(caller->name)};

	return named_service(m, name, caller->schema, a) ||
	       (a->schema && service_accepts(caller, a->schema));
}

void callee_serve_local(struct machine *m, struct caller_slot *s)
{
	const struct tela_service_desc *desc = s->session->service;
	uint32_t at = ALIGN8(s->envelope_len);
	const uint8_t *body = s->body;
	struct admission a = {0};
	struct call *c;

	if (unlikely(m->draining)) {
		s->on_wire = false;
		caller_fail(m, s, TELA_UNAVAILABLE, "node is draining");
		return;
	}
	if (s->deadline_ns <= m->now_ns) {
		caller_fail(m, s, TELA_DEADLINE_EXCEEDED, "deadline passed before the call ran");
		return;
	}
	c = call_open(m, body + at, s->body_len - at);
	if (!c) {
		s->on_wire = false;
		caller_fail(m, s, TELA_RESOURCE_EXHAUSTED, "too many calls are being served");
		return;
	}
	count(m->counts, count_calls_local);
	c->local = s;
	s->serving = c;
	c->reply_limit = s->reply_limit;
	c->one_way = s->flags & frame_PacketFlag_one_way;
	c->envelope = frame_Envelope_root(body);
	c->envelope_bytes = body;
	c->envelope_len = s->envelope_len;
	c->pub.deadline_ns = s->deadline_ns;
	if (agreed(m, desc, &a) && service_admits(&a, s->method->id))
		call_start(m, c, &a);
	else
		refuse(m, c, a.code, a.why);
}

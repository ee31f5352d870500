/* callee_admit.c - from a whole request to its chain: what its envelope may ask
 * for, and who runs it. */
#include "callee.h"

/* The service a call is for, by bind index or name. NULL with the status set,
 * or with *ret_rebind.
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

/* Everything that can be decided from the envelope, before the payload is
 * looked at or memory is taken for it. False: the call has its status, or must
 * be bound again. */
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

/* A whole request: `body` is envelope and payload, in `msg` if it came in
 * fragments (then the call takes it). */
void callee_serve(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, struct msg *msg, const struct envelope *e)
{
	uint32_t at = ALIGN8(h->envelope_length);
	struct call *c = call_open(m, body + at, h->body_length - at);
	bool rebind = false;

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
		callee_slot_gone(slot, GONE_REBIND);
		slot->running = NULL;
		count(m->counts, count_rebinds);
		callee_tell(m, s->path, h, frame_Kind_rebind);
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
	const uint8_t *body = s->body;
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

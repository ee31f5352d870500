/* caller.c - calls made: from an envelope in a slot to the completion. caller_session.c has the
 * slots, caller_response.c what comes back, caller_time.c what loss and time do. */
#include "caller.h"
#include "forward.h"
#include "identity.h"
#include "nest.h"
#include "trace.h"

enum { METADATA_MAX = 16, DIRECT_MAX = 16 };

/* ---- requests ---- */

/* A bound call that says no more than its deadline fits the canonical envelope. */
static inline bool plain(const struct caller_session *s, const struct tela_options *o)
{
	return s->bind && (!o || !(o->n_metadata | (uintptr_t)o->key | o->max_reply_bytes |
					 (uintptr_t)o->context));
}

/* The first token among the metadata, if an index stands for it. A one-way call has been accepted
 * before anybody could ask for the token again: it carries it. */
static uint16_t known_token(const struct machine *m, const struct caller_session *s,
	const struct tela_options *o, uint32_t *ret_at)
{
	if (o->flags & TELA_CALL_ONE_WAY)
		return 0;
	for (uint32_t i = 0; s->bind && s->tokens && i < o->n_metadata; i++)
		if (token_is(o->metadata[i].key)) {
			*ret_at = i;
			return token_find(m, s, o->metadata[i].value);
		}
	return 0;
}

uint32_t caller_envelope(const struct machine *m, const struct caller_session *s, uint16_t method,
	const struct tela_options *o, uint32_t budget_us, uint8_t *to, uint16_t *ret_token)
{
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;
	struct frame_Pair_args pairs[METADATA_MAX];
	frame_Id128 key, root;
	frame_Trace trace;
	uint32_t token_at_pair = 0;
	int n;

	*ret_token = o ? known_token(m, s, o, &token_at_pair) : 0;
	if (*ret_token)
		a.identity = token_at(m->tokens, *ret_token)->index;
	if (*ret_token && o->n_metadata == 1 && !o->key && !o->context && !o->max_reply_bytes)
		return envelope_write_proved(to, budget_us, s->bind, method, a.identity);
	a.budget_us = budget_us;
	a.method = method;
	a.bind = s->bind;
	if (!s->bind) {
		a.service = (struct tela_str){s->service->name, strlen(s->service->name)};
		a.schema = s->schema;
	}
	if (o && o->n_metadata) {
		if (o->n_metadata > METADATA_MAX)
			return 0;
		for (uint32_t i = 0; i < o->n_metadata; i++) {
			const char *k = o->metadata[i].key, *v = o->metadata[i].value;

			if (*ret_token && i == token_at_pair)
				continue;
			pairs[a.metadata_len++] = (struct frame_Pair_args){
				.key = {k, strlen(k)}, .value = {v, strlen(v)}};
		}
		a.metadata = pairs;
	}
	if (o && o->key) {
		key = (frame_Id128){.low = o->key[0], .high = o->key[1]};
		a.key = &key;
	}
	if (o && o->context) {
		const struct tela_context *c = o->context;

		root = envelope_id(c->root);
		trace = (frame_Trace){
			.trace = envelope_id(c->trace), .span = c->span, .flags = c->trace_flags};
		a.hops = c->hops;
		if (root.low | root.high)
			a.root = &root;
		if (trace.trace.low | trace.trace.high)
			a.trace = &trace;
	}
	if (o && o->max_reply_bytes)
		a.reply_limit = saturate_u32(o->max_reply_bytes);
	n = frame_Envelope_build(to, ENVELOPE_MAX, &a);
	return n > 0 ? (uint32_t)n : 0;
}

_Static_assert((int)TELA_METHOD_IDEMPOTENT == (int)TELA_CALL_IDEMPOTENT, "either says it");

static inline uint8_t packet_flags(const struct tela_method_desc *m, const struct tela_options *o)
{
	const uint32_t flags = o ? o->flags : 0;

	return (uint8_t)(((m->flags | flags) & TELA_CALL_IDEMPOTENT ? frame_PacketFlag_idempotent
								    : 0) |
			 (flags & TELA_CALL_ONE_WAY ? frame_PacketFlag_one_way : 0));
}

/* A direct call is only for this node itself. */
static __attribute__((cold, noinline)) bool flags_allowed(
	const struct caller_session *s, uint32_t flags)
{
	return !(flags & ~TELA_CALL_FLAGS) && !(flags & TELA_CALL_DIRECT && s->path);
}

/* Whether the session takes a call now: 0, or why not. */
static inline __attribute__((always_inline)) int ready(
	struct machine *m, struct caller_session *s, const struct tela_options *o)
{
	struct path *p = s->path;

	/* A peer that leaves still waits for what is called for its own calls. */
	if (unlikely(p && (p->state == PATH_DOWN || (p->draining && !(o && o->context)))))
		return -ENOTCONN;
	if (unlikely(p && caller_path_holds(p)))
		return -EAGAIN;
	if (unlikely(!s->free || m->n_made >= m->cfg.budgets.in_flight)) {
		caller_ask_credit(m, s);
		return -EAGAIN;
	}
	return unlikely(p && p->throttled) && !throttle_begin(m, p, s->service) ? -EBUSY : 0;
}

/* A message that does not fit its slot. */
static __attribute__((noinline)) int body_in_msg(
	struct machine *m, struct caller_slot *slot, uint32_t head, size_t size)
{
	if (size > MSG_PAYLOAD_MAX)
		return -EMSGSIZE;
	slot->msg = msgpool_get(&m->msgs, head + (uint32_t)size + 8);
	if (!slot->msg)
		return -ENOBUFS;
	slot->body = slot->msg->data;
	return 0;
}

/* The session's next slot is the call's: its envelope, `head` bytes with padding, and room for its
 * payload. What follows cannot fail. */
static inline __attribute__((always_inline)) int slot_take(
	struct machine *m, struct caller_session *s, uint32_t head, size_t size)
{
	struct caller_slot *slot = s->free;

	if (unlikely(size > SLOT_REQUEST_BYTES - 8 - head)) {
		int rc = body_in_msg(m, slot, head, size);

		if (rc)
			return rc;
	} else {
		slot->body = slot->bytes;
	}
	s->free = slot->next_free;
	s->n_busy++;
	m->n_made++;
	slot->state = CALLER_BUILDING;
	slot->on_wire = false;
	slot->call++;
	slot->body_len = head + (uint32_t)size;
	return 0;
}

/* What else the slot says of the call. */
static inline __attribute__((always_inline)) void slot_fill(const struct machine *m,
	struct caller_slot *slot, const struct tela_method_desc *method,
	const struct tela_options *o, uint64_t deadline_us)
{
	slot->method = method;
	slot->flags = packet_flags(method, o);
	slot->deadline_ns = m->now_ns + deadline_us * NS_PER_US;
}

static inline __attribute__((always_inline)) void hand_out(
	struct caller_slot *slot, uint32_t head, size_t size, struct tela_request *ret)
{
	ret->payload = slot->body + head;
	ret->room = size;
	ret->slot = slot;
}

static inline uint32_t budget_of(uint64_t deadline_us)
{
	return (uint32_t)min_u64(deadline_us, UINT32_MAX - 1);
}

/* Any envelope. */
static __attribute__((noinline)) int begin_in_full(struct machine *m, struct caller_session *s,
	const struct tela_method_desc *method, size_t size, const struct tela_options *o,
	uint64_t deadline_us, struct tela_request *ret)
{
	uint8_t scratch[ENVELOPE_MAX];
	struct caller_slot *slot = s->free;
	uint32_t len, head;
	uint16_t token;
	int rc;

	len = caller_envelope(m, s, method->id, o, budget_of(deadline_us), scratch, &token);
	if (!len)
		return -EMSGSIZE;
	head = ALIGN8(len);
	rc = slot_take(m, s, head, size);
	if (rc)
		return rc;
	memset(slot->body + head - 8, 0, 8);
	memcpy(slot->body, scratch, len);
	if (token)
		token_carry(m, slot, token);
	slot_fill(m, slot, method, o, deadline_us);
	if (o)
		slot->flags |= (uint8_t)(o->flags & TELA_CALL_DIRECT);
	slot->bound = false;
	slot->envelope_len = (uint16_t)len;
	slot->reply_limit =
		o && o->max_reply_bytes ? saturate_u32(o->max_reply_bytes) : REPLY_LIMIT_DEFAULT;
	hand_out(slot, head, size, ret);
	return 0;
}

/* In a session that is ready. */
static inline __attribute__((always_inline)) int begin(struct machine *m, struct caller_session *s,
	const struct tela_method_desc *method, size_t size, const struct tela_options *o,
	uint64_t deadline_us, struct tela_request *ret)
{
	struct caller_slot *slot = s->free;
	int rc;

	if (unlikely(!plain(s, o)))
		return begin_in_full(m, s, method, size, o, deadline_us, ret);
	rc = slot_take(m, s, ENVELOPE_BOUND_PADDED, size);
	if (unlikely(rc))
		return rc;
	envelope_write_bound(slot->body, budget_of(deadline_us), s->bind, method->id);
	slot_fill(m, slot, method, o, deadline_us);
	slot->bound = true;
	slot->envelope_len = ENVELOPE_BOUND;
	slot->reply_limit = REPLY_LIMIT_DEFAULT;
	hand_out(slot, ENVELOPE_BOUND_PADDED, size, ret);
	return 0;
}

static void cancel_nested(struct machine *m, void *child)
{
	struct caller_slot *s = child;

	if (s->state > CALLER_BUILDING)
		caller_fail(m, s, TELA_CANCELLED, "nobody waits for the call that it was made for");
}

/* Its envelope, and its payload so far, in a message buffer, which also says where the rest is. */
static int slot_to_msg(struct machine *m, struct caller_slot *s)
{
	struct msg *msg = s->msg;

	if (msg)
		return 0;
	msg = msgpool_get(&m->msgs, SLOT_REQUEST_BYTES);
	if (!msg)
		return -ENOBUFS;
	memcpy(msg->data, s->bytes, ALIGN8(s->body_len));
	s->msg = msg;
	s->body = msg->data;
	return 0;
}

int caller_lend(struct machine *m, struct caller_slot *s, const void *from, uint32_t len)
{
	DCHECK(s->body_len == ALIGN8(s->envelope_len));
	if (slot_to_msg(m, s))
		return -ENOBUFS;
	s->msg->from = from;
	s->body_len += len;
	return 0;
}

/* The call says how its reply may come. */
static int reply_wanted(struct machine *m, const struct tela_options *o, struct tela_request *r)
{
	struct caller_slot *s = r->slot;

	if (slot_to_msg(m, s)) {
		caller_abandon(m, s);
		return -ENOBUFS;
	}
	s->msg->len = s->reply_limit;
	s->reply_limit = 0;
	s->msg->into = o->reply_into;
	s->msg->wants_segments = o->flags & TELA_CALL_SEGMENTS;
	r->payload = s->body + ALIGN8(s->envelope_len);
	return 0;
}

/* A call made for another. */
static void nested(struct machine *m, const struct tela_options *o, struct caller_slot *slot,
	const struct tela_context *context, uint64_t above)
{
	slot->nested = nest_serial(m);
	if (context->trace_flags & TELA_TRACE_SAMPLED)
		trace_out(m, context, above, slot->session->service, slot->method);
	nest_add(m, o, &(struct nest_child){cancel_nested, slot, &slot->nested, slot->nested});
}

/* What few calls are: made for another, direct, or with a word about their reply. */
static __attribute__((noinline)) int begin_special(struct machine *m, struct caller_session *s,
	const struct tela_method_desc *method, size_t size, const struct tela_options *o,
	struct tela_request *ret)
{
	struct tela_options own = *o;
	struct tela_context context;
	uint64_t above = 0, deadline_us = call_deadline_us(method, o);
	int rc;

	if (!flags_allowed(s, o->flags) || (o->reply_into && !o->max_reply_bytes))
		return -EINVAL;
	if (o->parent || o->context) {
		rc = nest_context(m, o, &context);
		if (rc)
			return rc;
		own.context = &context;
		above = context.span;
		if (context.trace_flags & TELA_TRACE_SAMPLED)
			context.span = trace_id(m);
		deadline_us =
			min_u64(deadline_us, caller_budget_left_us(m->now_ns, context.deadline_ns));
	}
	rc = ready(m, s, &own);
	if (!rc)
		rc = begin(m, s, method, size, &own, deadline_us, ret);
	if (!rc && own.context)
		nested(m, o, ret->slot, &context, above);
	if (!rc && (o->reply_into || o->flags & TELA_CALL_SEGMENTS))
		rc = reply_wanted(m, o, ret);
	return rc;
}

enum { FLAGS_PLAIN = TELA_CALL_FLAGS & ~(TELA_CALL_DIRECT | TELA_CALL_SEGMENTS) };

static inline bool special(const struct tela_options *o)
{
	return o && ((uintptr_t)o->parent | (uintptr_t)o->context | (uintptr_t)o->reply_into |
			    (o->flags & ~(uint32_t)FLAGS_PLAIN));
}

int caller_begin(struct machine *m, struct caller_session *s, const struct tela_method_desc *method,
	size_t size, const struct tela_options *o, struct tela_request *ret)
{
	int rc;

	if (unlikely(special(o)))
		return begin_special(m, s, method, size, o, ret);
	rc = ready(m, s, o);
	return rc ? rc : begin(m, s, method, size, o, call_deadline_us(method, o), ret);
}

int caller_begin_open(struct machine *m, struct caller_session *s,
	const struct tela_method_desc *method, size_t size, const struct tela_options *o,
	struct tela_request *ret)
{
	if (unlikely(special(o)))
		return begin_special(m, s, method, size, o, ret);
	return begin(m, s, method, size, o, call_deadline_us(method, o), ret);
}

static __attribute__((cold, noinline)) void transmit_fragments(
	struct machine *m, struct path *p, struct caller_slot *s, uint8_t flags)
{
	const frame_Packet h = caller_header(s, flags);

	s->tx = bulk_tx_start(m, p, &h, NULL, s->body, s->body_len);
	if (!s->tx)
		return; /* tried again when a ping shows it unanswered */
	s->tx->request = s;
	if (s->msg->from) {
		s->tx->split = ALIGN8(s->envelope_len);
		s->tx->rest = s->msg->from;
	}
	s->state = CALLER_SENDING;
	s->on_wire = true;
}

static inline __attribute__((always_inline)) void transmit(
	struct machine *m, struct path *p, struct caller_slot *s, uint8_t flags)
{
	const uint32_t len = s->body_len;
	uint8_t *at, *body = s->body;

	s->state = CALLER_WAITING;
	if (unlikely(len > p->fragment)) {
		transmit_fragments(m, p, s, flags);
		return;
	}
	at = path_append(m, p, WIRE_PACKET + ALIGN8(len));
	if (unlikely(!at))
		return;
	s->on_wire = true;
	wire_packet_store(at, caller_header(s, flags));
	pad_word(body, len);
	copy_words(at + WIRE_PACKET, body, ALIGN8(len));
}

void caller_transmit(struct machine *m, struct path *p, struct caller_slot *s, uint8_t flags)
{
	caller_to_sent(m, p, s);
	transmit(m, p, s, flags);
}

/* In place: it has ended when this returns. */
static __attribute__((noinline)) void send_direct(struct machine *m, struct caller_slot *s)
{
	const uint32_t call = s->call, nesting = m->nesting;

	if (m->direct == DIRECT_MAX) {
		s->on_wire = false;
		caller_fail(
			m, s, TELA_RESOURCE_EXHAUSTED, "too many direct calls inside one another");
		return;
	}
	m->direct++;
	m->nesting = 0; /* it ends inside, however deep the completion is that makes it */
	callee_serve_local(m, s);
	m->nesting = nesting;
	m->direct--;
	if (s->call == call && s->state == CALLER_WAITING)
		caller_fail(m, s, TELA_FAILED_PRECONDITION,
			"a link of a direct call would answer later");
}

/* To this node itself, or over a path that is not up yet. */
static __attribute__((noinline)) void send_else(struct machine *m, struct caller_slot *s)
{
	struct path *p = s->session->path;

	if (p) {
		s->state = CALLER_QUEUED;
		p->queued++;
		return;
	}
	s->state = CALLER_WAITING;
	s->on_wire = true;
	if (unlikely(s->flags & TELA_CALL_DIRECT))
		send_direct(m, s);
	else
		list_add_tail(&m->local, &s->sent);
}

int caller_send(struct machine *m, struct caller_slot *s, tela_done_fn done, void *arg)
{
	struct path *p = s->session->path;

	s->done = done;
	s->arg = arg;
	count(m->counts, count_calls_made);
	m->due_ns = min_u64(m->due_ns, s->deadline_ns);
	if (unlikely(!p || p->state != PATH_UP)) {
		send_else(m, s);
		return 0;
	}
	s->sent_ns = m->now_ns;
	list_add_tail(&p->sent, &s->sent); /* it stood in no list */
	transmit(m, p, s, 0);
	return 0;
}

/* ---- the end of a call ---- */

/* What few calls use. */
__attribute__((cold, noinline)) void caller_slot_clear(struct machine *m, struct caller_slot *s)
{
	if (s->tx)
		bulk_tx_end(m, s->tx);
	if (s->msg)
		msgpool_put(&m->msgs, s->msg);
	if (s->token)
		token_carry(m, s, 0);
	s->tx = NULL;
	s->msg = NULL;
	s->rx = NULL; /* its owner ends it */
	s->resends = 0;
	s->probe_us = 0;
}

void caller_tell(struct machine *m, const struct caller_slot *s, uint8_t kind)
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
	if (s->serving)
		call_detach(m, s->serving);
	else if (!p)
		r.outcome = TELA_NOT_EXECUTED;
	if (!p) {
	} else if (s->on_wire && p->state == PATH_UP) {
		caller_tell(m, s, frame_Kind_cancel);
	}
	caller_finish(m, s, &r);
}

void caller_abandon(struct machine *m, struct caller_slot *s)
{
	if (s->nested)
		trace_out_end(m, s->body, s->envelope_len,
			&(struct tela_result){
				.code = TELA_CANCELLED, .outcome = TELA_NOT_EXECUTED});
	if (s->session->path && s->session->path->throttled)
		throttle_abandon(s->session->path, s->session->service);
	caller_slot_clear(m, s);
	caller_slot_free(s);
	m->n_made--;
}

void caller_accepted(struct machine *m, struct caller_slot *s)
{
	caller_finish(m, s, &(struct tela_result){.code = TELA_OK});
}

void caller_result_of(const struct machine *m, const struct call *c, uint8_t scratch[ENVELOPE_MAX],
	struct tela_result *ret)
{
	struct tela_result r = {.code = c->pub.reply_code, .outcome = c->outcome};

	r.queue_ns = saturate_u32(c->pub.began_ns - c->arrived_ns);
	r.dwell_ns = saturate_u32(m->now_ns - c->pub.began_ns);
	r.envelope_len = call_reply_envelope(c, scratch);
	if (r.envelope_len) {
		frame_Envelope_t e = frame_Envelope_root(scratch);

		r.envelope = scratch;
		if (frame_Envelope_status(e).p)
			r.message = frame_Status_message(frame_Envelope_status(e));
	}
	r.retry_after_us = c->retry_after_us;
	if (r.code == TELA_OK) {
		r.payload = c->reply ? c->reply : c->has_status ? NULL : (const uint8_t *)"";
		r.len = c->reply_len;
	}
	*ret = r;
}

void caller_put_into(const struct caller_slot *s, struct tela_result *r)
{
	uint8_t *into = caller_into(s);

	if (!into || r->code || !r->payload)
		return;
	memcpy(into, r->payload, r->len);
	r->payload = into;
}

void caller_local_done(struct machine *m, struct call *c)
{
	uint8_t scratch[ENVELOPE_MAX] __attribute__((aligned(8)));
	struct caller_slot *s = c->local;
	struct tela_result r;

	caller_result_of(m, c, scratch, &r);
	if (unlikely(s->msg != NULL))
		caller_put_into(s, &r);
	c->local = NULL;
	s->serving = NULL;
	caller_finish(m, s, &r);
}

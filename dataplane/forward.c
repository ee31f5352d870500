#include "forward.h"

#include "caller.h"
#include "nest.h"

enum {
	LEND_ABOVE = 9000, /* more than any packet takes */
	TURNS = 64,        /* of queues that wait, a pass */
};

static struct forward_call *forward_of(const struct call *c)
{
	return &((struct nest *)c->nest->data)->forward;
}

struct tela_service *forward_find(
	struct machine *m, const struct path *from, struct tela_str name, uint64_t schema)
{
	const struct forward_table *t = NULL;
	struct tela_service *other = NULL;

	if (m->cfg.forwards && m->ops->forwards && m->ops->forwards(m->io, from))
		t = atomic_load_explicit(m->cfg.forwards, memory_order_acquire);
	for (uint32_t i = 0; t && i < t->n; i++) {
		struct tela_service *s = t->at[i];

		if (s->name_len != name.len || memcmp(s->desc->name, name.s, name.len) ||
			!atomic_load_explicit(&s->forward->open, memory_order_relaxed))
			continue;
		if (s->desc->schema == schema)
			return s;
		if (!other || atomic_load_explicit(&s->forward->own, memory_order_relaxed))
			other = s;
	}
	return other;
}

/* ---- out ---- */

static void forward_done(void *arg, const struct tela_result *r);

/* Asks an instance that has not been asked. 0, or as forward_route.begin. */
static int ask(struct machine *m, struct call *c, const uint8_t *payload, uint32_t len,
	struct tela_options *o)
{
	struct forward *to = c->svc->forward;
	struct forward_call *f = forward_of(c);
	const bool lent = len > LEND_ABOVE;
	struct tela_request r;
	int rc;

	o->parent = &c->pub;
	o->deadline_us = UINT32_MAX - 1; /* and no longer than its own */
	o->flags = c->accept ? TELA_CALL_ONE_WAY : 0;
	rc = to->route->begin(m, to, f, c->pub.method, lent ? 0 : len, o, &r);
	if (rc)
		return rc;
	f->sent_ns = m->now_ns;
	f->tries++;
	if (!lent) {
		memcpy(r.payload, payload, len);
	} else if (caller_lend(m, r.slot, payload, len)) {
		to->route->ended(m, to, f,
			&(struct tela_result){
				.code = TELA_CANCELLED, .outcome = TELA_NOT_EXECUTED});
		f->instance = FORWARD_NOBODY;
		caller_abandon(m, r.slot);
		return -ENOBUFS;
	}
	return caller_send(m, r.slot, forward_done, c);
}

/* What the request's envelope asks for. False: more than a call made here can. */
static bool options_of(const struct call *c, struct tela_options *o,
	struct tela_pair pairs[CALLER_PAIRS_MAX], uint64_t key[2])
{
	const frame_Envelope_t e = c->envelope;

	if (c->reply_limit != REPLY_LIMIT_DEFAULT)
		o->max_reply_bytes = c->reply_limit;
	if (!e.p)
		return true;
	if (frame_Envelope_metadata_len(e) > CALLER_PAIRS_MAX)
		return false;
	o->metadata = pairs;
	for (; o->n_metadata < frame_Envelope_metadata_len(e); o->n_metadata++) {
		frame_Pair_t p = frame_Envelope_metadata_at(e, o->n_metadata);
		struct tela_str value = frame_Pair_value(p);

		pairs[o->n_metadata] =
			(struct tela_pair){frame_Pair_key(p).s, value.s ? value.s : ""};
	}
	if (tela_call_key(&c->pub, key))
		o->key = key;
	return true;
}

static int send_on(struct machine *m, struct call *c)
{
	struct tela_pair pairs[CALLER_PAIRS_MAX];
	struct tela_options o = {0};
	uint64_t key[2];

	return options_of(c, &o, pairs, key) ? ask(m, c, c->pub.request, c->pub.request_len, &o)
					     : -EMSGSIZE;
}

/* The client is to bind the service anew: somebody else serves it, or by another schema. */
static void bind_again(struct call *c)
{
	call_status(c, TELA_UNAVAILABLE, TELA_NOT_EXECUTED, NULL);
	c->prove_again = true;
}

static enum tela_verdict refuse(struct call *c, uint8_t code, const char *why)
{
	count(c->machine->counts, count_forwards_refused);
	call_status(c, code, TELA_NOT_EXECUTED, why);
	return TELA_ANSWER;
}

static enum tela_verdict refuse_rc(struct call *c, int rc)
{
	if (rc == -ENOTCONN)
		return refuse(c, TELA_UNAVAILABLE, "no node that serves it can be reached");
	return refuse(c, TELA_RESOURCE_EXHAUSTED,
		rc == -EMSGSIZE ? "no room in the envelope to send the call on"
		: rc == -EBUSY  ? "the node that serves it is overloaded"
				: "no memory to send the call on");
}

/* ---- those that wait ---- */

static struct forward_queue *queue_of(const struct call *c)
{
	return c->svc->forward->route->queue(c->machine, c->svc->forward);
}

static void leave_queue(struct forward_queue *q, struct forward_call *f)
{
	f->waits = 0;
	list_del(&f->waiting);
	if (list_empty(&q->calls))
		list_del(&q->of_machine);
}

/* Its client has gone. */
static void cancel_waiting(struct machine *m, void *child)
{
	struct call *c = child;

	leave_queue(queue_of(c), forward_of(c));
	if (call_let_go(m, forward_of(c)->handle))
		call_finish(m, c);
}

/* 0, or -ENOBUFS: no memory. */
static int wait_for_slot(struct machine *m, struct call *c, struct forward_queue *q)
{
	struct forward_call *f = forward_of(c);
	const struct nest_child child = {cancel_waiting, c, &f->waits, nest_serial(m), 0};

	if (!call_own_request(c) || !nest_add(m, &(struct tela_options){.parent = &c->pub}, &child))
		return -ENOBUFS;
	f->waits = child.was;
	if (list_empty(&q->calls))
		list_add_tail(&m->forwards, &q->of_machine);
	list_add_tail(&q->calls, &f->waiting);
	count(m->counts, count_forwards_waited);
	return 0;
}

/* The first of them goes, or ends. False: there is no slot for it. */
static bool turn(struct machine *m, struct forward_queue *q)
{
	struct forward_call *f = list_entry(q->calls.next, struct forward_call, waiting);
	struct call *c = f->call;
	const int rc = send_on(m, c);

	if (rc == -EAGAIN)
		return false;
	leave_queue(q, f);
	if (!rc || !call_let_go(m, f->handle))
		return true;
	if (!c->detached)
		refuse_rc(c, rc);
	call_finish(m, c);
	return true;
}

bool forward_due(struct machine *m)
{
	struct list full;
	bool worked = false;

	list_init(&full);
	for (uint32_t n = 0; n < TURNS && !list_empty(&m->forwards); n++) {
		struct forward_queue *q =
			list_entry(m->forwards.next, struct forward_queue, of_machine);

		list_move_tail(&m->forwards, &q->of_machine);
		if (turn(m, q))
			worked = true;
		else /* nor is there one for those behind it */
			list_move_tail(&full, &q->of_machine);
	}
	while (!list_empty(&full))
		list_move_tail(&m->forwards, full.next);
	return worked;
}

/* ---- in ---- */

/* The datagram goes. */
static void request_gone(struct call *c)
{
	if (c->request_msg)
		return;
	c->pub.request = NULL;
	c->pub.request_len = 0;
	c->envelope = (frame_Envelope_t){NULL};
}

enum tela_verdict forward_enter(struct tela_call *pub, void *self)
{
	struct call *c = call_of(pub);
	struct machine *m = c->machine;
	const bool bound = !c->envelope.p || frame_Envelope_bind(c->envelope);
	const struct forward *to = self;
	struct forward_queue *q = queue_of(c);
	struct forward_call *f;
	int rc;

	if (pub->hops >= FORWARD_HOPS_MAX) {
		count(m->counts, count_forward_hops);
		return refuse(c, TELA_FAILED_PRECONDITION,
			"handed on too often: do nodes send calls on to each other?");
	}
	if (bound && !atomic_load_explicit(&to->open, memory_order_relaxed)) {
		bind_again(c);
		return TELA_ANSWER;
	}
	if (!nest_of(c))
		return refuse_rc(c, -ENOBUFS);
	f = forward_of(c);
	*f = (struct forward_call){.call = c, .instance = FORWARD_NOBODY, .bound = bound};
	list_init(&f->waiting);
	if (call_pend(c, false, &f->handle))
		return refuse(c, TELA_RESOURCE_EXHAUSTED, "no room for a call to be sent on");
	rc = list_empty(&q->calls) ? send_on(m, c) : -EAGAIN; /* none overtakes those that wait */
	if (!rc)
		request_gone(c);
	else if (rc == -EAGAIN)
		rc = wait_for_slot(m, c, q);
	if (rc)
		return refuse_rc(c, rc);
	count(m->counts, count_calls_forwarded);
	return TELA_PENDING;
}

/* ---- back ---- */

static void ended(struct machine *m, struct call *c, const struct tela_result *r)
{
	struct forward_call *f = forward_of(c);

	if (f->instance == FORWARD_NOBODY)
		return;
	c->svc->forward->route->ended(m, c->svc->forward, f, r);
	f->instance = FORWARD_NOBODY;
}

bool forward_again(struct machine *m, const struct caller_slot *s, const struct tela_result *r)
{
	struct tela_pair pairs[CALLER_PAIRS_MAX];
	struct tela_options o = {0};
	struct tela_context context;
	struct forward_call *f;
	uint64_t key[2];
	struct call *c;

	if (s->done != forward_done || r->retry_after_us)
		return false;
	c = s->arg;
	f = forward_of(c);
	if (c->detached || f->tries == FORWARD_TRIES || c->pub.deadline_ns <= m->now_ns)
		return false;
	ended(m, c, r);
	caller_options(m, s, &o, pairs, key, &context);
	if (ask(m, c, caller_payload(s), s->body_len - ALIGN8(s->envelope_len), &o))
		return false;
	count(m->counts, count_forwards_moved);
	return true;
}

/* The callee's own words, unless the machine has judged them otherwise. */
static bool told_by_callee(const struct tela_result *r)
{
	frame_Status_t status;

	if (!r->envelope_len)
		return false;
	status = frame_Envelope_status(frame_Envelope_root(r->envelope));
	return !r->code || (status.p && frame_Status_code(status) == r->code &&
				   frame_Status_outcome(status) == r->outcome);
}

/* It does not know the client's hash any more, and says which it knows. */
static bool schema_refused(const struct tela_result *r)
{
	return r->code == TELA_FAILED_PRECONDITION && r->outcome == TELA_NOT_EXECUTED &&
	       r->envelope && frame_Envelope_has_schema(frame_Envelope_root(r->envelope));
}

static void answer(struct call *c, const struct tela_result *r)
{
	if (forward_of(c)->bound && schema_refused(r)) {
		bind_again(c);
		return;
	}
	if (r->code)
		call_status(c, r->code, r->outcome, r->message.s);
	else
		tela_reply_copy(&c->pub, r->payload ? r->payload : (const uint8_t *)"", r->len);
	if (c->pub.reply_code != r->code)
		return; /* no room for it */
	if (told_by_callee(r) && !call_reply_as(c, r->envelope, r->envelope_len))
		call_status(c, r->code ? r->code : TELA_RESOURCE_EXHAUSTED, r->outcome,
			"no memory for the envelope of the reply");
}

static void forward_done(void *arg, const struct tela_result *r)
{
	struct call *c = arg;
	struct machine *m = c->machine;

	ended(m, c, r);
	if (!call_let_go(m, forward_of(c)->handle))
		return;
	if (!c->detached)
		answer(c, r);
	call_finish(m, c);
}

#include "callee.h"
#include "nest.h"
#include "status.h"
#include "status_view.h"

struct call *call_get(struct machine *m)
{
	struct call *c = m->free_call;

	if (unlikely(!c))
		return NULL;
	m->free_call = c->next_free;
	m->n_calls_busy++;
	c->state = CALL_RUNNING;
	return c;
}

static void msg_drop(struct machine *m, struct msg **msg)
{
	if (*msg)
		message_put(m, *msg);
	*msg = NULL;
}

static void pending_ended(struct machine *m, const struct call *c)
{
	struct latency_series *s = machine_latency(m, LATENCY_CALLEE, c->svc->desc, c->pub.method);

	if (s)
		latency_add(&s->part[LATENCY_PENDING], machine_clock(m) - c->pub.began_ns, 1);
}

static __attribute__((cold, noinline)) void unpin(struct machine *m, struct call *c)
{
	if (!c->goes_out)
		pending_ended(m, c);
	m->n_pending--;
	list_del(&c->of_machine);
	image_pin_add(c->image, m->cfg.core, -1);
	service_in_flight_add(c->svc, m->cfg.core, -1);
	c->pinned = false;
}

void call_put(struct machine *m, struct call *c)
{
	if (unlikely(c->pinned))
		unpin(m, c);
	if (unlikely(c->detached))
		m->n_detached--;
	msg_drop(m, &c->reply_msg);
	msg_drop(m, &c->request_msg);
	msg_drop(m, &c->arena);
	msg_drop(m, &c->nest);
	msg_drop(m, &c->meta);
	call_return(m, c);
}

void call_park(struct machine *m, struct call *c)
{
	c->state = CALL_PENDING;
	if (!c->pinned) {
		c->pinned = true;
		m->n_pending++;
		image_pin_add(c->image, m->cfg.core, 1);
		service_in_flight_add(c->svc, m->cfg.core, 1);
		list_add_tail(&m->pending, &c->of_machine);
		m->due_ns = min_u64(m->due_ns, c->pub.deadline_ns);
		count(m->counts, count_calls_pending);
		callee_in_progress(m, c);
	}
}

__attribute__((cold)) void call_not_answered(
	struct machine *m, struct call *c, enum tela_verdict verdict)
{
	if (verdict == TELA_PENDING && c->prepared) {
		call_park(m, c);
		return;
	}
	if (verdict == TELA_PENDING) {
		call_status(c, TELA_INTERNAL, TELA_EXECUTED,
			"a link said pending without tela_call_pend");
	} else {
		c->cursor = c->cursor ? c->cursor - 1 : UINT32_MAX;
		call_status(c, TELA_UNIMPLEMENTED, TELA_EXECUTED, "no link answers this method");
	}
	call_finish(m, c);
}

/* ---- status and metadata ---- */

static void reply_clear(struct call *c)
{
	msg_drop(c->machine, &c->reply_msg);
	c->reply = NULL;
	c->reply_len = c->reply_room = 0;
	c->replied = true;
}

struct msg *call_meta(struct call *c)
{
	if (!c->meta)
		c->meta = msgpool_get(&c->machine->msgs, META_BYTES);
	return c->meta;
}

void call_status(struct call *c, uint8_t code, uint8_t outcome, const char *message)
{
	reply_clear(c);
	c->pub.reply_code = code;
	c->outcome = outcome;
	c->has_status = false;
	c->retry_after_us = 0;
	if (message)
		status_say(c, message);
}

int tela_reply_metadata(struct tela_call *pub, const char *key, const char *value)
{
	struct call *c = call_of(pub);
	size_t k = strlen(key) + 1, v = strlen(value) + 1;

	if (!call_meta(c))
		return -ENOSPC;
	/* A pair costs its table, two lengths, two ends and padding beside its text: 40 bytes at
	 * most. */
	if (c->meta_used + k + v + 40 > ENVELOPE_MAX - STATUS_MESSAGE_MAX - 96 ||
		c->n_meta == META_PAIRS_MAX)
		return -ENOSPC;
	memcpy(c->meta->data + c->meta_len, key, k);
	memcpy(c->meta->data + c->meta_len + k, value, v);
	c->meta_len += (uint32_t)(k + v);
	c->meta_used += (uint32_t)(k + v + 40);
	c->n_meta++;
	return 0;
}

bool call_reply_as(struct call *c, const uint8_t *envelope, uint32_t len)
{
	if (!call_meta(c))
		return false;
	memcpy(c->meta->data, envelope, len);
	c->meta_len = len;
	c->n_meta = META_WHOLE;
	c->has_status = false;
	return true;
}

uint32_t call_reply_envelope(const struct call *c, uint8_t *to)
{
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;
	struct frame_Status_args status = frame_Status_ARGS_INIT;
	struct frame_Pair_args data[STATUS_DATA_MAX], pairs[META_PAIRS_MAX];
	int n;

	if (!call_needs_envelope(c))
		return 0;
	if (c->n_meta == META_WHOLE) {
		memcpy(to, c->meta->data, c->meta_len);
		return c->meta_len;
	}
	if (c->pub.reply_code || c->has_status) {
		status_args(c, &status, data);
		a.status = &status;
	}
	if (c->tells_schema)
		a.schema = c->svc->desc->schema;
	if (c->n_meta) {
		pairs_of((const char *)c->meta->data, c->n_meta, pairs);
		a.metadata = pairs;
		a.metadata_len = c->n_meta;
	}
	n = frame_Envelope_build(to, ENVELOPE_MAX, &a);
	if (unlikely(n <= 0)) { /* a status must arrive, whatever else does not fit beside it */
		status.data_len = 0;
		n = frame_Envelope_build(to, ENVELOPE_MAX, &a);
	}
	if (unlikely(n <= 0)) {
		a.metadata_len = 0;
		n = frame_Envelope_build(to, ENVELOPE_MAX, &a);
	}
	CHECK(n > 0);
	return (uint32_t)n;
}

/* ---- what links call ---- */

struct tela_str tela_call_metadata(const struct tela_call *call, const char *key)
{
	for (const struct call_pair *p = call_of(call)->added; unlikely(p != NULL); p = p->next) {
		const char *value = p->text + strlen(p->text) + 1;

		if (!strcmp(p->text, key))
			return (struct tela_str){value, strlen(value)};
	}
	return envelope_metadata(call_of(call)->envelope, key);
}

bool tela_call_key(const struct tela_call *call, uint64_t ret_key[2])
{
	frame_Envelope_t e = call_of(call)->envelope;
	frame_Id128 id;

	if (!e.p || !frame_Envelope_key(e, &id))
		return false;
	ret_key[0] = id.low;
	ret_key[1] = id.high;
	return true;
}

/* The request still stands as it arrived, in the buffers of its datagrams. */
static bool segmented(const struct call *c)
{
	return !c->pub.request && c->request_msg && c->request_msg->n_segments;
}

const struct tela_segment *tela_call_segments(
	const struct tela_call *call, struct tela_segment *whole, size_t *ret_n)
{
	const struct call *c = call_of(call);

	if (segmented(c)) {
		*ret_n = c->request_msg->n_segments;
		return segments_of(c->request_msg);
	}
	*whole = (struct tela_segment){call->request, call->request_len};
	*ret_n = 1;
	return whole;
}

void *tela_call_alloc(struct tela_call *pub, size_t size)
{
	struct call *c = call_of(pub);
	void *at;

	if (!c->arena) {
		c->arena = size > MSG_MAX ? NULL : msgpool_get(&c->machine->msgs, (uint32_t)size);
		c->arena_used = 0;
		if (!c->arena)
			return NULL;
	}
	if (size > c->arena->cap - c->arena_used)
		return NULL;
	at = c->arena->data + c->arena_used;
	c->arena_used += (uint32_t)min_u64(ALIGN8((uint32_t)size), c->arena->cap - c->arena_used);
	return at;
}

int tela_call_metadata_add(struct tela_call *pub, const char *key, const char *value)
{
	size_t k = strlen(key) + 1, v = strlen(value) + 1;
	struct call_pair *p = tela_call_alloc(pub, sizeof(*p) + k + v);

	if (!p)
		return -ENOMEM;
	memcpy(p->text, key, k);
	memcpy(p->text + k, value, v);
	p->next = call_of(pub)->added;
	call_of(pub)->added = p;
	return 0;
}

void tela_call_identify(struct tela_call *pub, uint16_t identity, const char *subject)
{
	pub->identity = identity;
	call_of(pub)->subject = subject;
}

const char *tela_call_subject(const struct tela_call *call)
{
	return call_of(call)->subject;
}

int tela_call_replace(struct tela_call *pub, const void *payload, size_t len)
{
	void *copy;

	if (pub->method->verify_request && pub->method->verify_request(payload, len))
		return -EBADMSG;
	copy = tela_call_alloc(pub, len ? len : 1);
	if (!copy) {
		call_status(call_of(pub), TELA_RESOURCE_EXHAUSTED, TELA_EXECUTED,
			"no room to replace the request");
		return -ENOMEM;
	}
	memcpy(copy, payload, len);
	pub->request = copy;
	pub->request_len = (uint32_t)len;
	return 0;
}

/* A reply that may stay in its slot is built there, behind the headers that will precede it;
 * sending it is one copy to the tail of the peer's datagram. (Building at the tail and copying to
 * the slot costs the same copy and needs a reservation that every other packet to that peer would
 * have to go around.) */
void *tela_reply_begin(struct tela_call *pub, size_t size)
{
	struct call *c = call_of(pub);

	if (unlikely(c->replied))
		reply_clear(c);
	c->replied = true;
	pub->reply_code = TELA_OK;
	c->outcome = TELA_EXECUTED;
	c->has_status = false;
	if (likely(c->slot && size <= SLOT_REPLY_BYTES - 8 - WIRE_TIMING &&
		    size <= c->reply_limit)) {
		c->reply = c->slot->bytes + WIRE_TIMING;
		c->reply_room = (uint32_t)size;
		return c->reply;
	}
	if (size > c->reply_limit || size > MSG_PAYLOAD_MAX) {
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_EXECUTED,
			"reply larger than the caller takes");
		return NULL;
	}
	c->reply_msg = callee_msg(c->machine, (uint32_t)size + WIRE_TIMING + ENVELOPE_MAX + 8);
	if (!c->reply_msg) {
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_EXECUTED,
			"no message buffer for the reply");
		return NULL;
	}
	c->reply = c->reply_msg->data + ENVELOPE_MAX + WIRE_TIMING;
	c->reply_room = (uint32_t)size;
	return c->reply;
}

enum tela_verdict tela_reply_commit(struct tela_call *pub, size_t len)
{
	struct call *c = call_of(pub);

	DCHECK(len <= c->reply_room);
	c->reply_len = (uint32_t)len;
	return TELA_ANSWER;
}

enum tela_verdict tela_reply_copy(struct tela_call *call, const void *payload, size_t len)
{
	void *to = tela_reply_begin(call, len);

	if (!to)
		return TELA_ANSWER;
	memcpy(to, payload, len);
	return tela_reply_commit(call, len);
}

enum tela_verdict tela_reply_status(struct tela_call *call, uint8_t code, const char *message)
{
	if (code > TELA_UNAUTHENTICATED)
		code = TELA_UNKNOWN;
	if (code == TELA_OK)
		return tela_reply_copy(call, "", 0);
	call_status(call_of(call), code, TELA_EXECUTED, message);
	return TELA_ANSWER;
}

const void *tela_reply_payload(const struct tela_call *call, size_t *ret_len)
{
	const struct call *c = call_of(call);

	if (ret_len)
		*ret_len = c->reply_len;
	return c->reply;
}

/* ---- pending ---- */

bool call_own_request(struct call *c)
{
	struct machine *m = c->machine;
	uint32_t head = 0, envelope_len = 0;
	struct msg *msg;

	if (segmented(c) || (c->request_msg && c->pub.request >= c->request_msg->data &&
				    c->pub.request < c->request_msg->data + c->request_msg->cap))
		return true; /* reassembled or copied before: it is the call's own already */
	if (c->envelope.p) {
		envelope_len = c->envelope_len;
		head = ALIGN8(envelope_len);
	}
	msg = msgpool_get(&m->msgs, head + c->pub.request_len);
	if (!msg)
		return false;
	if (envelope_len) {
		memcpy(msg->data, c->envelope_bytes, envelope_len);
		c->envelope_bytes = msg->data;
		c->envelope = frame_Envelope_root(msg->data);
	}
	memcpy(msg->data + head, c->pub.request, c->pub.request_len);
	if (c->request_msg)
		message_put(m, c->request_msg);
	c->request_msg = msg;
	c->pub.request = msg->data + head;
	return true;
}

int call_pend(struct call *c, bool keep, struct tela_handle *ret_handle)
{
	if (!c->pinned && c->machine->n_pending >= c->machine->cfg.budgets.pending) {
		count(c->machine->counts, count_pending_full);
		return -ENOBUFS;
	}
	if (keep && !call_own_request(c))
		return -ENOBUFS;
	if (c->replied)
		reply_clear(c);
	c->replied = false;
	c->prepared = true;
	c->work = NULL;
	*ret_handle = (struct tela_handle){c->machine->cfg.core, c->index, c->generation};
	return 0;
}

int tela_call_pend(struct tela_call *pub, struct tela_handle *ret_handle, const void **ret_request,
	size_t *ret_len)
{
	int rc = call_pend(call_of(pub), true, ret_handle);

	if (rc)
		return rc;
	if (ret_request)
		*ret_request = pub->request;
	if (ret_len)
		*ret_len = pub->request_len;
	return 0;
}

void call_detach(struct machine *m, struct call *c)
{
	if (c->detached)
		return;
	c->detached = true;
	atomic_store_explicit(&c->unwanted, true, memory_order_relaxed);
	m->n_detached++;
	if (!c->one_way)
		count(m->counts, count_calls_detached);
	if (c->slot) {
		c->slot->running = NULL;
		c->slot->state = CALLEE_GONE;
		c->slot->gone = GONE_DETACHED;
	}
	if (c->local)
		c->local->serving = NULL;
	/* A reply begun in the slot would be written into a stranger's. */
	if (c->reply && !c->reply_msg)
		c->reply = NULL, c->reply_len = 0;
	c->slot = NULL;
	c->session = NULL;
	c->local = NULL;
	if (unlikely(c->nest != NULL) && !c->one_way)
		nest_orphan(m, c);
}

bool call_detach_allowed(struct machine *m)
{
	if (m->n_detached < m->cfg.budgets.detached)
		return true;
	count(m->counts, count_detached_full);
	return false;
}

bool call_detach_budgeted(struct machine *m, struct call *c)
{
	if (!call_detach_allowed(m))
		return false;
	call_detach(m, c);
	return true;
}

static struct call *named(struct machine *m, struct tela_handle h, enum call_state state)
{
	struct call *c;

	if (h.core != m->cfg.core || h.index >= m->cfg.budgets.calls)
		return NULL;
	c = &m->calls[h.index];
	return c->generation == h.generation && c->state == state ? c : NULL;
}

struct call *call_by_handle(struct machine *m, struct tela_handle h)
{
	return named(m, h, CALL_PENDING);
}

/* The pending call that `h` names, running again; NULL (counted): there is none. */
static struct call *resumed(struct machine *m, struct tela_handle h)
{
	struct call *c = call_by_handle(m, h);

	if (!c) {
		count(m->counts, count_drop_handle);
		c = named(m, h, CALL_CANCELLED);
		if (c)
			call_put(m, c);
		return NULL;
	}
	count(m->counts, count_calls_resumed);
	c->generation++; /* the handle is spent */
	c->state = CALL_RUNNING;
	c->prepared = false;
	return c;
}

/* With the next link; one that goes out, with its own. */
static void go_further(struct machine *m, struct call *c)
{
	if (unlikely(c->goes_out)) {
		m->ops->out(m->io, c, true);
		return;
	}
	c->cursor++;
	call_run(m, c);
}

static void answered(struct machine *m, struct call *c)
{
	if (unlikely(c->goes_out))
		m->ops->out(m->io, c, false);
	else
		call_finish(m, c);
}

int call_resume_with(struct machine *m, struct tela_handle h, const struct tela_status *s)
{
	struct call *c = resumed(m, h);

	if (!c)
		return -ESTALE;
	tela_reply_with(&c->pub, s);
	answered(m, c);
	return 0;
}

int call_resume_lend(struct machine *m, struct tela_handle h, const void *from, size_t len,
	tela_lent_fn done, void *arg)
{
	struct call *c = resumed(m, h);

	if (!c) {
		if (done)
			done(arg);
		return -ESTALE;
	}
	tela_reply_lend(&c->pub, from, len, done, arg);
	answered(m, c);
	return 0;
}

int call_resume_created(struct machine *m, struct tela_handle h, const void *payload, size_t len)
{
	struct call *c = resumed(m, h);

	if (!c)
		return -ESTALE;
	if (len)
		tela_reply_copy(&c->pub, payload, len);
	tela_reply_created(&c->pub);
	answered(m, c);
	return 0;
}

bool call_hold(struct machine *m, struct call *c, struct tela_handle *ret_handle)
{
	if (tela_call_pend(&c->pub, ret_handle, NULL, NULL))
		return false;
	c->cursor = UINT32_MAX; /* no link has been entered */
	call_park(m, c);
	return true;
}

struct call *call_let_go(struct machine *m, struct tela_handle h)
{
	return resumed(m, h);
}

static const char cancelled[] = "cancelled: its service did not drain in time";

/* The caller hears. */
static void cancel(struct machine *m, struct call *c)
{
	if (c->local) {
		caller_fail(m, c->local, TELA_UNAVAILABLE, cancelled);
		return;
	}
	call_status(c, TELA_UNAVAILABLE, TELA_MAYBE_EXECUTED, cancelled);
	callee_reply(m, c);
	c->slot = NULL;
	call_detach(m, c);
	c->pub.reply_code = TELA_OK;
	c->outcome = TELA_EXECUTED;
	c->replied = c->has_status = false;
}

/* Its links are left, and nothing of their plugins is looked at any more. The request stays: a
 * thread may be reading it. */
static void tear(struct machine *m, struct call *c)
{
	if (!c->goes_out) {
		call_status(c, TELA_UNAVAILABLE, TELA_MAYBE_EXECUTED, cancelled);
		call_leave(m, c);
	}
	unpin(m, c);
	c->image = NULL;
	c->chain = NULL;
	c->svc = NULL;
	c->state = CALL_CANCELLED;
	count(m->counts, count_calls_torn);
}

static bool is_torn_by(const struct call *c, const struct tela_service *svc, uint64_t generation)
{
	return c->svc == svc && (generation == UINT64_MAX || c->image->generation == generation);
}

uint32_t call_cancel_all(struct machine *m, const struct tela_service *svc, uint64_t generation)
{
	uint32_t n = 0;

	callee_give_back(m, svc, generation);
	for (bool again = true; again;) {
		again = false;
		list_for_each_safe(e, tmp, &m->pending)
		{
			struct call *c = list_entry(e, struct call, of_machine);

			if ((c->goes_out && !c->detached) || !is_torn_by(c, svc, generation))
				continue; /* what goes out ends with whom it is for */
			if (!c->detached) {
				n++;
				again = c->local; /* its completion may end any of the list */
				cancel(m, c);
			}
			if (again)
				break;
			if (c->goes_out || (!c->work && !nest_cancels(m, c)))
				tear(m, c);
		}
	}
	return n;
}

/* What was made of metadata and status elsewhere, in place of the call's own. */
static void take_meta(struct call *c, const struct call_work *w)
{
	c->retry_after_us = w->retry_after_us;
	if (!w->meta || !call_meta(c))
		return;
	memcpy(c->meta->data, w->meta, META_BYTES);
	c->meta_len = w->meta_len;
	c->n_meta = w->n_meta;
	c->meta_used = w->meta_used;
	c->has_status = w->has_status;
}

int call_worked(struct machine *m, struct tela_handle h, const struct call_work *w)
{
	struct call *c = resumed(m, h);

	if (!c)
		return -ESTALE;
	tela_call_identify(&c->pub, w->identity, w->subject);
	if (w->verdict == TELA_CONTINUE && c->pub.deadline_ns <= m->now_ns) {
		call_status(c, TELA_DEADLINE_EXCEEDED, TELA_MAYBE_EXECUTED,
			"deadline passed while the call was pending");
	} else if (w->verdict == TELA_CONTINUE &&
		   (!w->payload || !tela_call_replace(&c->pub, w->payload, w->len))) {
		take_meta(c, w);
		c->cursor++;
		call_run(m, c);
		return 0;
	} else if (w->verdict != TELA_CONTINUE) {
		if (w->code)
			call_status(c, w->code, w->outcome, NULL);
		else
			tela_reply_copy(&c->pub, w->payload ? w->payload : "", w->len);
		if (c->pub.reply_code == w->code)
			take_meta(c, w);
	} else if (!c->replied) {
		call_status(
			c, TELA_INTERNAL, TELA_EXECUTED, "a link went on with an invalid request");
	}
	call_finish(m, c);
	return 0;
}

int call_resume(struct machine *m, struct tela_handle h, bool go_on, uint8_t code,
	const char *message, const void *payload, size_t len)
{
	struct call *c = resumed(m, h);

	if (!c)
		return -ESTALE;
	if (go_on && c->pub.deadline_ns <= m->now_ns) {
		call_status(c, TELA_DEADLINE_EXCEEDED, TELA_MAYBE_EXECUTED,
			"deadline passed while the call was pending");
	} else if (go_on && payload && tela_call_replace(&c->pub, payload, len)) {
		if (!c->replied)
			call_status(c, TELA_INTERNAL, TELA_EXECUTED,
				"a link resumed with an invalid request");
	} else if (go_on) {
		go_further(m, c);
		return 0;
	} else if (code) {
		tela_reply_status(&c->pub, code, message);
	} else {
		tela_reply_copy(&c->pub, payload, len);
	}
	answered(m, c);
	return 0;
}

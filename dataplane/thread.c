#include "thread.h"

#include "client.h"
#include "mesh.h"
#include "node.h"
#include "out.h"
#include "status.h"
#include "tela_trace.h"

/* ---- the core's side ---- */

static void give_back(struct core *c, struct thread_msg *msg)
{
	struct thread_ring *r = msg->ring; /* once pushed, the message is the thread's again */

	/* Room is certain: the thread never has more messages out than a ring holds. */
	CHECK(xring_push(&r->from_core, msg));
	if (wake_up(&r->thread->wake))
		count(&c->counts, count_wakes);
}

static void copy_message(char to[204], struct tela_str s)
{
	size_t n = s.s ? min_u64(s.len, 203) : 0;

	memcpy(to, s.s ? s.s : "", n);
	to[n] = 0;
}

static void fill_reply(struct tela_reply *reply, size_t room, const struct tela_result *r)
{
	reply->code = r->code;
	reply->outcome = r->outcome;
	reply->resends = r->resends;
	reply->retry_after_us = r->retry_after_us;
	reply->len = reply->envelope_len = 0;
	copy_message(reply->message, r->message);
	if (r->len && r->len <= room) {
		memcpy(reply->payload, r->payload, r->len);
		reply->len = r->len;
	}
	if (r->envelope_len && r->envelope_len <= ENVELOPE_MAX) {
		memcpy(reply->envelope, r->envelope, r->envelope_len);
		reply->envelope_len = r->envelope_len;
	}
}

static void call_done(void *arg, const struct tela_result *r)
{
	struct thread_msg *msg = arg;

	fill_reply(msg->reply, msg->reply_room, r);
	give_back(core_current, msg);
}

static void all_each(void *arg, uint32_t instance, const char *name, const struct tela_result *r)
{
	struct thread_msg *msg = arg;

	(void)name;
	fill_reply(&msg->reply[instance], msg->reply_room, r);
}

static void all_done(void *arg, uint32_t n_ok, uint32_t n_asked)
{
	(void)n_ok;
	(void)n_asked;
	give_back(core_current, arg);
}

static void all_submitted(struct core *c, struct thread_msg *msg)
{
	msg->error = tela_mesh_all(msg->client, msg->method, msg->payload, msg->len, msg->options,
		msg->quorum, all_each, all_done, msg);
	if (msg->error)
		give_back(c, msg);
}

static void call_failed(struct core *c, struct thread_msg *msg, uint8_t code, const char *message,
	uint32_t retry_after_us)
{
	struct tela_reply *reply = msg->reply;

	reply->code = code;
	reply->outcome = TELA_NOT_EXECUTED;
	reply->resends = 0;
	reply->retry_after_us = retry_after_us;
	reply->len = reply->envelope_len = 0;
	copy_message(reply->message, (struct tela_str){message, strlen(message)});
	give_back(c, msg);
}

/* False: no slot free, try in a later pass. */
static bool call_try(struct core *c, struct thread_msg *msg)
{
	struct tela_options o = msg->options ? *msg->options : (struct tela_options){0};
	struct tela_request r;
	int rc;

	if (c->m.now_ns >= msg->deadline_ns) {
		call_failed(c, msg, TELA_DEADLINE_EXCEEDED,
			"deadline passed before a slot was free", 0);
		return true;
	}
	o.deadline_us = (msg->deadline_ns - c->m.now_ns + 999) / NS_PER_US;
	o.flags &= ~(uint32_t)TELA_CALL_SEGMENTS; /* the thread gets a copy of its own */
	o.reply_into = NULL;
	rc = o.flags & TELA_CALL_DIRECT ? -EINVAL
					: out_begin(c, msg->client, msg->method, msg->len, &o, &r);
	if (rc == -EAGAIN)
		return false;
	if (rc == -ENOTCONN) {
		call_failed(c, msg, TELA_UNAVAILABLE, "peer is down", 0);
	} else if (rc == -ESHUTDOWN) {
		call_failed(c, msg, TELA_CANCELLED, client_closed, 0);
	} else if (rc == -EBUSY) {
		call_failed(c, msg, TELA_RESOURCE_EXHAUSTED, "the peer is overloaded",
			client_retry_us(c, msg->client));
	} else if (rc == -EINVAL) {
		call_failed(c, msg, TELA_INVALID_ARGUMENT, "no such option or instance", 0);
	} else if (rc == -ECANCELED || rc == -ELOOP) {
		call_failed(c, msg, rc == -ELOOP ? TELA_FAILED_PRECONDITION : TELA_CANCELLED,
			rc == -ELOOP ? "255 calls, each made for the one before"
				     : "nobody waits for the call that it is made for",
			0);
	} else if (rc) {
		call_failed(c, msg, TELA_RESOURCE_EXHAUSTED,
			rc == -EMSGSIZE ? "request is too large" : "no memory for the request", 0);
	} else {
		memcpy(r.payload, msg->payload, msg->len);
		tela_request_send(&r, call_done, msg);
	}
	return true;
}

static void call_submitted(struct core *c, struct thread_msg *msg)
{
	uint64_t us = msg->client->mesh ? mesh_deadline_us(msg->client, msg->method, msg->options)
					: call_deadline_us(msg->method, msg->options);

	msg->deadline_ns = c->m.now_ns + min_u64(us, UINT32_MAX - 1) * NS_PER_US;
	if (!call_try(c, msg))
		list_add_tail(&c->waiting, &msg->waiting);
}

static void call_identify(
	struct machine *m, struct tela_handle h, uint16_t identity, const char *subject)
{
	struct call *call = call_by_handle(m, h);

	if (call)
		tela_call_identify(&call->pub, identity, subject);
}

static void serve(struct core *c, struct thread_msg *msg)
{
	if (unlikely(msg->skipped))
		count(&c->counts, count_work_skipped);
	switch (msg->op) {
	case THREAD_CALL:
		call_submitted(c, msg);
		return;
	case THREAD_ALL:
		all_submitted(c, msg);
		return;
	case THREAD_ANSWER:
		call_resume(&c->m, msg->handle, false, TELA_OK, NULL, msg->payload, msg->len);
		break;
	case THREAD_STATUS:
		call_resume(&c->m, msg->handle, false, msg->code, msg->message, "", 0);
		break;
	case THREAD_STATUS_WITH:
		call_resume_with(&c->m, msg->handle, msg->payload);
		break;
	case THREAD_CREATED:
		call_resume_created(&c->m, msg->handle, msg->payload, msg->len);
		break;
	case THREAD_WORKED:
		call_worked(&c->m, msg->handle, &msg->work);
		break;
	case THREAD_CONTINUE:
		if (msg->identity)
			call_identify(&c->m, msg->handle, msg->identity, msg->subject);
		call_resume(&c->m, msg->handle, true, TELA_OK, NULL,
			msg->has_payload ? msg->payload : NULL, msg->len);
		break;
	}
	give_back(c, msg);
}

void core_refuse_threads(struct core *c, const struct tela_client *client)
{
	list_for_each_safe(e, tmp, &c->waiting)
	{
		struct thread_msg *msg = list_entry(e, struct thread_msg, waiting);

		if (msg->client != client)
			continue;
		list_del(e);
		call_failed(c, msg, TELA_CANCELLED, client_closed, 0);
	}
}

bool core_serve_threads(struct core *c)
{
	uint32_t n = atomic_load_explicit(&c->n_threads, memory_order_acquire);
	bool worked = false;

	list_for_each_safe(e, tmp, &c->waiting)
	{
		struct thread_msg *msg = list_entry(e, struct thread_msg, waiting);

		list_del(e);
		if (!call_try(c, msg)) {
			list_add_tail(&c->waiting, e);
			break;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		struct thread_ring *r = atomic_load_explicit(&c->thread[i], memory_order_acquire);
		struct thread_msg *msg;

		for (int k = 0; r && k < THREAD_RING_PER_PASS && (msg = xring_pop(&r->to_core));
			k++) {
			serve(c, msg);
			worked = true;
		}
	}
	return worked;
}

bool core_threads_waiting(const struct core *c)
{
	uint32_t n = atomic_load(&c->n_threads);

	for (uint32_t i = 0; i < n; i++) {
		struct thread_ring *r = atomic_load(&c->thread[i]);

		if (r && !xring_empty(&r->to_core))
			return true;
	}
	return false;
}

/* ---- the thread's side ---- */

struct tela_thread *tela_thread_attach(struct tela_node *n)
{
	struct tela_thread *t = NULL;
	size_t size = sizeof(*t) + n->n_cores * sizeof(struct thread_ring);
	uint32_t place = 0;
	int error = ENOMEM;

	if (core_current) {
		errno = EINVAL;
		return NULL;
	}
	t = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
	if (!t || (memset(t, 0, size), wake_init(&t->wake)))
		goto fail;
	t->node = n;
	for (uint32_t i = 0; i < n->n_cores; i++)
		t->ring[i].thread = t;
	pthread_mutex_lock(&n->threads_lock);
	while (place < CORE_THREADS_MAX && n->threads[place])
		place++;
	if (place < CORE_THREADS_MAX) {
		n->threads[place] = t;
		t->place = place;
		for (uint32_t i = 0; i < n->n_cores; i++) {
			struct core *c = n->cores[i];

			atomic_store_explicit(&c->thread[place], &t->ring[i], memory_order_release);
			if (atomic_load(&c->n_threads) <= place)
				atomic_store_explicit(
					&c->n_threads, place + 1, memory_order_release);
		}
	}
	pthread_mutex_unlock(&n->threads_lock);
	if (place < CORE_THREADS_MAX)
		return t;
	error = EBUSY;
	wake_fini(&t->wake);
fail:
	free(t);
	errno = error;
	return NULL;
}

/* Takes back what the cores are done with. */
static void collect(struct tela_thread *t)
{
	struct thread_msg *msg;

	for (uint32_t i = 0; i < t->node->n_cores; i++) {
		while ((msg = xring_pop(&t->ring[i].from_core))) {
			t->ring[i].outstanding--;
			if (msg->op == THREAD_CALL || msg->op == THREAD_ALL)
				msg->done = true;
			else
				free(msg);
		}
	}
}

static uint32_t outstanding(const struct tela_thread *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->node->n_cores; i++)
		n += t->ring[i].outstanding;
	return n;
}

void thread_wait(struct tela_thread *t)
{
	wake_prepare(&t->wake);
	for (uint32_t i = 0; i < t->node->n_cores; i++) {
		if (!xring_empty(&t->ring[i].from_core)) {
			wake_cancel(&t->wake);
			return;
		}
	}
	wake_sleep(&t->wake, 10 * NS_PER_MS);
}

/* Messages that were pushed are the cores' until they come back; a core that has stopped gives none
 * back. */
void tela_thread_detach(struct tela_thread *t)
{
	struct tela_node *n;

	if (!t)
		return;
	n = t->node;
	for (collect(t); outstanding(t) && node_polling(n); collect(t))
		thread_wait(t);
	pthread_mutex_lock(&n->threads_lock);
	n->threads[t->place] = NULL;
	for (uint32_t i = 0; i < n->n_cores; i++)
		atomic_store_explicit(&n->cores[i]->thread[t->place], NULL, memory_order_release);
	pthread_mutex_unlock(&n->threads_lock);
	node_free_thread(n, t);
}

static int push(struct tela_thread *t, uint32_t core, struct thread_msg *msg)
{
	struct thread_ring *r = &t->ring[core];

	collect(t);
	msg->ring = r;
	if (r->outstanding >= XRING_SIZE || !xring_push(&r->to_core, msg))
		return -EAGAIN;
	r->outstanding++;
	wake_up(&t->node->cores[core]->wake);
	return 0;
}

static void copy_work(struct thread_msg *msg, const struct call_work *work)
{
	msg->work = *work;
	msg->work.payload = msg->has_payload ? msg->bytes : NULL;
	msg->work.len = msg->len;
	if (work->meta)
		msg->work.meta = memcpy(msg->bytes + msg->len, work->meta, META_BYTES);
}

int thread_resume(struct tela_thread *t, const struct thread_resume *r)
{
	struct thread_msg *msg;
	int rc;

	if (r->handle.core >= t->node->n_cores)
		return -EINVAL;
	msg = malloc(sizeof(*msg) + r->len + (r->work && r->work->meta ? META_BYTES : 0));
	if (!msg)
		return -ENOMEM;
	*msg = (struct thread_msg){.op = r->op,
		.code = r->code,
		.handle = r->handle,
		.payload = msg->bytes,
		.len = r->len,
		.has_payload = r->payload != NULL,
		.skipped = r->skipped};
	list_init(&msg->waiting);
	if (r->len)
		memcpy(msg->bytes, r->payload, r->len);
	if (r->op == THREAD_STATUS_WITH)
		status_unpack(msg->bytes);
	if (r->work)
		copy_work(msg, r->work);
	if (r->message)
		copy_message(msg->message, (struct tela_str){r->message, strlen(r->message)});
	rc = push(t, r->handle.core, msg);
	if (rc)
		free(msg);
	return rc;
}

int tela_thread_answer(struct tela_thread *t, struct tela_handle h, const void *payload, size_t len)
{
	return thread_resume(
		t, &(struct thread_resume){
			   .handle = h, .op = THREAD_ANSWER, .payload = payload, .len = len});
}

int tela_thread_answer_status(
	struct tela_thread *t, struct tela_handle h, uint8_t code, const char *message)
{
	return thread_resume(
		t, &(struct thread_resume){
			   .handle = h, .op = THREAD_STATUS, .code = code, .message = message});
}

int tela_thread_answer_with(
	struct tela_thread *t, struct tela_handle h, const struct tela_status *s)
{
	size_t len = status_pack(s, NULL);
	void *packed = malloc(len);
	int rc;

	if (!packed)
		return -ENOMEM;
	status_pack(s, packed);
	rc = thread_resume(
		t, &(struct thread_resume){
			   .handle = h, .op = THREAD_STATUS_WITH, .payload = packed, .len = len});
	free(packed);
	return rc;
}

int tela_thread_answer_created(
	struct tela_thread *t, struct tela_handle h, const void *payload, size_t len)
{
	return thread_resume(
		t, &(struct thread_resume){
			   .handle = h, .op = THREAD_CREATED, .payload = payload, .len = len});
}

int tela_thread_continue(
	struct tela_thread *t, struct tela_handle h, const void *payload, size_t len)
{
	return thread_resume(t, &(struct thread_resume){.handle = h,
					.op = THREAD_CONTINUE,
					.payload = payload,
					.len = payload ? len : 0});
}

int tela_thread_continue_as(
	struct tela_thread *t, struct tela_handle h, uint16_t identity, const char *subject)
{
	struct thread_msg *msg = calloc(1, sizeof(*msg));
	int rc;

	if (!msg)
		return -ENOMEM;
	msg->op = THREAD_CONTINUE;
	msg->handle = h;
	msg->identity = identity;
	msg->subject = subject;
	list_init(&msg->waiting);
	rc = h.core < t->node->n_cores ? push(t, h.core, msg) : -EINVAL;
	if (rc)
		free(msg);
	return rc;
}

/* Hands the message to a core and waits until it comes back. */
static int submit(struct tela_thread *t, struct thread_msg *msg)
{
	int rc;

	if (!node_polling(t->node))
		return -ESHUTDOWN;
	list_init(&msg->waiting);
	do
		rc = push(t, t->place % t->node->n_cores, msg);
	while (rc == -EAGAIN && node_polling(t->node) && (thread_wait(t), true));
	if (rc)
		return rc;
	for (collect(t); !msg->done; collect(t)) {
		if (!node_polling(t->node)) {
			collect(t); /* the core's last words */
			return msg->done ? 0 : -ESHUTDOWN;
		}
		thread_wait(t);
	}
	return 0;
}

void tela_thread_sample(struct tela_thread *t, uint32_t one_in)
{
	t->sample = t->until_sample = one_in;
}

/* The options of the thread's next call, of which `own` and `context` outlive it: where nobody has
 * decided before, one in so many begins a trace. */
static const struct tela_options *traced(struct tela_thread *t, const struct tela_options *o,
	struct tela_options *own, struct tela_context *context)
{
	if (!t->sample || (o && (o->parent || o->context)) || --t->until_sample)
		return o;
	t->until_sample = t->sample;
	tela_trace_new(context);
	*own = o ? *o : (struct tela_options){0};
	own->context = context;
	return own;
}

int tela_thread_call(struct tela_thread *t, struct tela_client *c, const struct tela_method_desc *m,
	const void *payload, size_t len, const struct tela_options *o, struct tela_reply *reply)
{
	size_t room = o && o->max_reply_bytes ? o->max_reply_bytes : REPLY_LIMIT_DEFAULT;
	struct thread_msg *msg = calloc(1, sizeof(*msg));
	struct tela_context context;
	struct tela_options own;
	int rc = -ENOMEM;

	memset(reply, 0, sizeof(*reply));
	reply->payload = malloc(room ? room : 1);
	reply->envelope = malloc(ENVELOPE_MAX);
	if (!msg || !reply->payload || !reply->envelope)
		goto fail;
	*msg = (struct thread_msg){.op = THREAD_CALL,
		.client = c,
		.method = m,
		.options = traced(t, o, &own, &context),
		.reply = reply,
		.reply_room = room,
		.payload = payload,
		.len = len};
	rc = submit(t, msg);
	if (rc)
		goto fail;
	free(msg);
	return 0;
fail:
	free(msg);
	tela_reply_free(reply);
	return rc;
}

static bool reply_room(struct tela_reply *reply, size_t room)
{
	reply->payload = malloc(room);
	reply->envelope = malloc(ENVELOPE_MAX);
	return reply->payload && reply->envelope;
}

int tela_thread_all(struct tela_thread *t, struct tela_client *c, const struct tela_method_desc *m,
	const void *payload, size_t len, const struct tela_options *o, uint32_t quorum,
	struct tela_reply *replies)
{
	size_t room = o && o->max_reply_bytes ? o->max_reply_bytes : REPLY_LIMIT_DEFAULT;
	struct thread_msg *msg = calloc(1, sizeof(*msg));
	uint32_t n = tela_mesh_size(c);
	struct tela_context context;
	struct tela_options own;
	int rc = msg ? 0 : -ENOMEM;

	memset(replies, 0, n * sizeof(*replies));
	for (uint32_t i = 0; i < n && !rc; i++)
		rc = reply_room(&replies[i], room) ? 0 : -ENOMEM;
	if (!rc) {
		*msg = (struct thread_msg){.op = THREAD_ALL,
			.client = c,
			.method = m,
			.options = traced(t, o, &own, &context),
			.reply = replies,
			.reply_room = room,
			.payload = payload,
			.len = len,
			.quorum = quorum};
		rc = submit(t, msg);
		rc = rc ? rc : msg->error;
	}
	for (uint32_t i = 0; i < n && rc; i++)
		tela_reply_free(&replies[i]);
	free(msg);
	return rc;
}

void tela_reply_free(struct tela_reply *reply)
{
	free(reply->payload);
	free(reply->envelope);
	reply->payload = reply->envelope = NULL;
	reply->len = reply->envelope_len = 0;
}

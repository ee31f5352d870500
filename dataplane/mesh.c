/* mesh.c - see mesh.h. mesh_open.c makes and shows such a client. */
#include "mesh.h"

#include "caller.h"
#include "nest.h"
#include "node.h"

enum {
	CONNECT_NS = NS_PER_MS,
	BUSY_NS = 100 * NS_PER_US,
	BUDGET_MAX = 100 * 100,
	METADATA_MAX = 16
};

/* ---- calls ---- */

static struct machine *machine_of(const struct mesh_call *k)
{
	return &k->core->core->m;
}

static void call_free(struct mesh_call *k)
{
	list_del(&k->waiting);
	msgpool_put(&machine_of(k)->msgs, k->msg);
	if (k->answer)
		call_put(machine_of(k), k->answer);
	if (k->held)
		call_detach(machine_of(k), k->held);
	k->msg = NULL;
	k->serial++;
	k->next_free = k->core->free;
	k->core->free = k;
}

static void wait_until(struct mesh_call *k, uint64_t due_ns)
{
	k->due_ns = due_ns;
	list_del(&k->waiting);
	list_add_tail(&k->core->waiting, &k->waiting);
}

static void end_with(struct mesh_call *k, const struct tela_result *r)
{
	tela_done_fn done = k->done;
	void *arg = k->arg;
	struct tela_result elsewhere;

	if (unlikely(k->into && !r->code && r->payload)) { /* two attempts shall not write there */
		elsewhere = *r;
		elsewhere.payload = memcpy(k->into, r->payload, r->len);
		r = &elsewhere;
	}
	call_free(k);
	if (done)
		done(arg, r);
}

static void end_failed(struct mesh_call *k, uint8_t code, const char *message)
{
	uint64_t now = machine_of(k)->now_ns;
	struct tela_result r = {.code = code,
		.outcome = k->maybe ? TELA_MAYBE_EXECUTED : TELA_NOT_EXECUTED,
		.message = {message, strlen(message)},
		.retry_after_us =
			saturate_u32((k->again_ns - min_u64(k->again_ns, now)) / NS_PER_US)};

	end_with(k, &r);
}

static void end_answered(struct mesh_call *k)
{
	uint8_t scratch[ENVELOPE_MAX] __attribute__((aligned(8)));
	struct machine *m = machine_of(k);
	struct call *c = k->answer;
	struct tela_result r;

	k->answer = NULL;
	caller_result_of(m, c, scratch, &r);
	end_with(k, &r);
	call_put(m, c);
}

/* Ends it in a later pass. */
static void end_later(struct mesh_call *k)
{
	k->over = true;
	wait_until(k, 0);
}

/* Metadata stands behind the payload as key, zero, value, zero. */
static void keep_metadata(struct mesh_call *k, const struct tela_options *o, char *to)
{
	for (uint32_t i = 0; i < o->n_metadata; i++) {
		size_t key = strlen(o->metadata[i].key) + 1,
		       value = strlen(o->metadata[i].value) + 1;

		memcpy(to, o->metadata[i].key, key);
		memcpy(to + key, o->metadata[i].value, value);
		to += key + value;
	}
	k->n_metadata = o->n_metadata;
}

static size_t metadata_size(const struct tela_options *o)
{
	size_t n = 0;

	for (uint32_t i = 0; o && i < o->n_metadata; i++)
		n += strlen(o->metadata[i].key) + strlen(o->metadata[i].value) + 2;
	return n;
}

static void metadata_of(const struct mesh_call *k, struct tela_pair to[METADATA_MAX])
{
	const char *s = (const char *)k->msg->data + ALIGN8(k->len);

	for (uint32_t i = 0; i < k->n_metadata; i++) {
		to[i].key = s;
		s += strlen(s) + 1;
		to[i].value = s;
		s += strlen(s) + 1;
	}
}

static bool may_repeat(const struct mesh_call *k)
{
	return k->method->flags & TELA_METHOD_IDEMPOTENT ||
	       k->flags & (TELA_CALL_IDEMPOTENT | TELA_CALL_REPEAT);
}

uint64_t mesh_deadline_us(
	const struct tela_client *c, const struct tela_method_desc *m, const struct tela_options *o)
{
	const struct tela_policy *p = &c->mesh->policy;
	uint64_t us = o && o->deadline_us ? o->deadline_us
		      : m->deadline_us    ? m->deadline_us
		      : p->deadline_ms    ? p->deadline_ms * 1000ull
					  : UINT32_MAX - 1ull;

	return min_u64(us, UINT32_MAX - 1ull);
}

/* The instances that `o` allows. */
static uint64_t allowed(const struct mesh *mesh, const struct tela_options *o)
{
	uint64_t all = mesh->balance.n == 64 ? UINT64_MAX : (1ull << mesh->balance.n) - 1;

	if (!o || !o->instance)
		return all;
	for (uint32_t i = 0; i < mesh->balance.n; i++)
		if (!strcmp(mesh->balance.at[i].name, o->instance))
			return 1ull << i;
	return 0;
}

int mesh_core_open(struct mesh_core *mc)
{
	if (mc->open || mc->closed)
		return mc->closed ? -ESHUTDOWN : 0;
	mc->open = true;
	list_add_tail(&mc->core->meshes, &mc->of_core);
	for (uint32_t i = 0; i < mc->mesh->balance.n; i++)
		client_state(mc->core, mc->mesh->instance[i]);
	return 0;
}

static struct mesh_call *call_take(struct mesh_core *mc, size_t size)
{
	struct mesh_call *k = mc->free;

	if (!k)
		return NULL;
	k->msg = msgpool_get(&mc->core->m.msgs, (uint32_t)size);
	if (!k->msg)
		return NULL;
	mc->free = k->next_free;
	return k;
}

static bool any_live(const struct mesh_call *k)
{
	return k->attempt[0].live || k->attempt[1].live;
}

/* Nobody waits for the other attempt any more. */
static void cancel_rest(struct mesh_call *k)
{
	for (int i = 0; i < 2; i++) {
		struct mesh_attempt *a = &k->attempt[i];

		if (!a->live)
			continue;
		k->over = true;
		caller_fail(machine_of(k), a->slot, TELA_CANCELLED, "another answer came first");
	}
}

static void cancel(struct mesh_call *k, const char *why)
{
	k->maybe |= any_live(k);
	cancel_rest(k);
	end_failed(k, TELA_CANCELLED, why);
}

static void cancel_nested(struct machine *m, void *child)
{
	cancel(child, "nobody waits for the call that it was made for");
}

void mesh_core_close(struct mesh_core *mc, const char *why)
{
	bool was_open = mc->open;

	mc->open = false;
	mc->closed = true;
	for (uint32_t i = 0; was_open && i < TELA_MESH_CALLS; i++)
		if (mc->calls[i].msg)
			cancel(&mc->calls[i], why);
	while (!list_empty(&mc->alls))
		mesh_all_due(list_entry(mc->alls.next, struct mesh_all, waiting));
	if (was_open) {
		nest_forget(&mc->core->m, mc->calls, TELA_MESH_CALLS * sizeof(*mc->calls));
		list_del(&mc->of_core);
	}
}

int mesh_begin(struct core *core, struct tela_client *c, const struct tela_method_desc *m,
	size_t size, const struct tela_options *o, struct tela_request *ret)
{
	struct mesh_core *mc = &c->mesh->core[core->index];
	uint64_t only = allowed(c->mesh, o);
	struct tela_context context = {.deadline_ns = UINT64_MAX};
	bool nested = o && (o->parent || o->context);
	struct mesh_call *k;
	int rc;

	if (unlikely(o && (o->flags & (~TELA_CALL_FLAGS | TELA_CALL_DIRECT) ||
				  (o->reply_into && !o->max_reply_bytes))))
		return -EINVAL;
	if (!only || (o && o->n_metadata > METADATA_MAX) || size > MSG_1M - ENVELOPE_MAX - 8)
		return only ? -EMSGSIZE : -EINVAL;
	rc = nested ? nest_context(&core->m, o, &context) : 0;
	if (rc)
		return rc;
	rc = mc->open ? 0 : mesh_core_open(mc);
	if (unlikely(rc))
		return rc;
	k = call_take(mc, ALIGN8((uint32_t)size) + metadata_size(o) + 1);
	if (!k)
		return -EAGAIN;
	*k = (struct mesh_call){.core = mc,
		.msg = k->msg,
		.serial = k->serial,
		.context = context,
		.method = m,
		.only = only,
		.len = (uint32_t)size,
		.flags = o ? o->flags : 0,
		.hash = o ? o->hash : 0,
		.max_reply_bytes = o ? o->max_reply_bytes : 0,
		.into = o ? o->reply_into : NULL,
		.code = TELA_UNAVAILABLE,
		.deadline_ns = core->m.now_ns + mesh_deadline_us(c, m, o) * NS_PER_US};
	list_init(&k->waiting);
	k->deadline_ns = min_u64(k->deadline_ns, context.deadline_ns);
	if (nested)
		nest_add(
			&core->m, o, &(struct nest_child){cancel_nested, k, &k->serial, k->serial});
	if (o && o->n_metadata)
		keep_metadata(k, o, (char *)k->msg->data + ALIGN8(k->len));
	if (o && o->key) {
		k->has_key = true;
		memcpy(k->key, o->key, sizeof(k->key));
	} else if (may_repeat(k)) {
		k->has_key = true;
		k->key[0] = core->m.ops->random(core->m.io);
		k->key[1] = core->m.ops->random(core->m.io);
	}
	*ret = (struct tela_request){
		.payload = k->msg->data, .room = size, .client_core = core, .session = k};
	return 0;
}

void mesh_abandon(struct mesh_call *k)
{
	call_free(k);
}

int mesh_replace(struct mesh_call *k, const struct tela_pair *metadata, uint32_t n,
	const uint8_t *payload, uint32_t len)
{
	const struct tela_options o = {.metadata = metadata, .n_metadata = n};
	struct machine *m = machine_of(k);
	struct msg *msg;

	if (len > MSG_1M - ENVELOPE_MAX - 8)
		return -EMSGSIZE;
	msg = msgpool_get(&m->msgs, (uint32_t)(ALIGN8(len) + metadata_size(&o) + 1));
	if (!msg)
		return -ENOBUFS;
	memcpy(msg->data, payload, len);
	keep_metadata(k, &o, (char *)msg->data + ALIGN8(len));
	msgpool_put(&m->msgs, k->msg);
	k->msg = msg;
	k->len = len;
	return 0;
}

void mesh_answered(struct mesh_call *k, struct call *c, tela_done_fn done, void *arg)
{
	k->done = done;
	k->arg = arg;
	k->answer = c;
	wait_until(k, 0);
}

void mesh_hold(struct mesh_call *k, struct call *c, tela_done_fn done, void *arg)
{
	k->done = done;
	k->arg = arg;
	k->held = c;
	wait_until(k, k->deadline_ns);
}

void mesh_let_go(struct mesh_call *k)
{
	k->held = NULL;
	list_del(&k->waiting);
}

/* ---- attempts ---- */

static void attempt_done(void *arg, const struct tela_result *r);

/* 0, or as client_begin. */
static int attempt(struct mesh_call *k, struct mesh_attempt *a, int instance)
{
	const struct tela_policy *p = &k->core->mesh->policy;
	struct tela_pair metadata[METADATA_MAX];
	struct tela_context above = k->context;
	struct core *core = k->core->core;
	uint64_t left_ns = k->deadline_ns - core->m.now_ns;
	struct tela_options o = {.max_reply_bytes = k->max_reply_bytes,
		.flags = k->flags & (TELA_CALL_IDEMPOTENT | TELA_CALL_ONE_WAY),
		.key = k->has_key ? k->key : NULL,
		.n_metadata = k->n_metadata,
		.metadata = metadata,
		.context = k->context.hops ? &above : NULL};
	struct tela_request r;
	int rc;

	above.hops--; /* counted when the call began */
	if (p->attempt_ms)
		left_ns = min_u64(left_ns, p->attempt_ms * NS_PER_MS);
	o.deadline_us = (left_ns + 999) / NS_PER_US;
	metadata_of(k, metadata);
	rc = client_begin(core, k->core->mesh->instance[instance], k->method, k->len, &o, &r);
	if (rc)
		return rc;
	memcpy(r.payload, k->msg->data, k->len);
	*a = (struct mesh_attempt){.call = k,
		.slot = r.slot,
		.sent_ns = core->m.now_ns,
		.instance = (uint8_t)instance,
		.live = true};
	balance_begin(&k->core->balance, instance, core->m.now_ns);
	return tela_request_send(&r, attempt_done, a);
}

/* Those of the call's instances that may be asked now; *ret_soon: some may be in a moment. One that
 * leaves, or is known not to serve, is for calls that it may be waiting for, and where there is
 * nobody else. */
static uint64_t usable(const struct mesh_call *k, bool *ret_soon)
{
	uint64_t out = atomic_load_explicit(&k->core->mesh->out, memory_order_relaxed);
	uint64_t untried = k->only & ~k->tried, mask = untried & ~out, last = 0;

	*ret_soon = false;
	for (uint64_t m = k->context.hops ? untried : mask; m; m &= m - 1) {
		int i = __builtin_ctzll(m);
		enum client_state s = client_state(k->core->core, k->core->mesh->instance[i]);

		if (s == CLIENT_CONNECTING && mask >> i & 1)
			*ret_soon = true;
		if (k->context.hops && (s == CLIENT_LEAVING || (s == CLIENT_UP && out >> i & 1)))
			last |= 1ull << i;
		if (s != CLIENT_UP)
			mask &= ~(1ull << i);
	}
	return mask ? mask : last;
}

static bool budget_take(struct mesh_call *k)
{
	if (!k->core->mesh->policy.budget_percent)
		return true;
	if (k->core->budget < 100)
		return false;
	k->core->budget -= 100;
	return true;
}

static void budget_earn(struct mesh_core *mc)
{
	mc->budget = (int64_t)min_u64(
		(uint64_t)mc->budget + mc->mesh->policy.budget_percent, BUDGET_MAX);
}

static uint64_t backoff_ns(struct mesh_call *k)
{
	return balance_backoff_ns(
		&k->core->mesh->policy, k->rounds, machine_of(k)->ops->random(machine_of(k)->io));
}

/* Every instance has been tried and none took it. */
static void round_over(struct mesh_call *k, uint64_t soon_ns)
{
	const struct tela_policy *p = &k->core->mesh->policy;
	uint64_t now = machine_of(k)->now_ns;

	k->tried = 0;
	if (soon_ns) { /* no round: somebody is about to answer or to have a slot free */
		wait_until(k, now + soon_ns);
	} else if (k->flags & TELA_CALL_WAIT) {
		wait_until(k, min_u64(max_u64(now + backoff_ns(k), k->again_ns), k->deadline_ns));
		k->rounds++;
	} else if (k->flags & TELA_CALL_FAIL_FAST || k->rounds >= p->retries || !budget_take(k)) {
		end_later(k);
	} else {
		wait_until(k, max_u64(now + backoff_ns(k), k->again_ns));
		k->rounds++;
		if (k->due_ns >= k->deadline_ns)
			end_later(k);
	}
}

/* Not all at once: up to a quarter later. */
static void come_again(struct mesh_call *k, uint32_t after_us)
{
	uint64_t random = machine_of(k)->ops->random(machine_of(k)->io);
	uint64_t us = after_us + (uint64_t)((unsigned __int128)random * (after_us / 4) >> 64);

	k->again_ns = max_u64(k->again_ns, machine_of(k)->now_ns + us * NS_PER_US);
}

/* Goes on to the next instance that can be asked. */
static void try_next(struct mesh_call *k, struct mesh_attempt *a)
{
	struct mesh_core *mc = k->core;
	struct machine *m = machine_of(k);
	bool soon, busy = false;
	uint64_t mask;

	while ((mask = usable(k, &soon))) {
		int i = balance_choose(&mc->mesh->balance, &mc->balance, mask, m->now_ns,
			m->ops->random(m->io), k->hash);
		int rc = attempt(k, a, i);

		if (!rc)
			return;
		k->tried |= 1ull << i;
		busy |= rc == -EAGAIN;
		if (rc == -ENOTCONN) {
			balance_unreached(&mc->balance, i, m->now_ns);
		} else if (rc == -EBUSY) {
			k->code = TELA_RESOURCE_EXHAUSTED;
			come_again(k, client_retry_us(mc->core, mc->mesh->instance[i]));
		} else if (rc != -EAGAIN) {
			k->code = TELA_RESOURCE_EXHAUSTED;
			end_later(k);
			return;
		}
	}
	round_over(k, soon ? CONNECT_NS : busy ? BUSY_NS : 0);
}

static void attempt_done(void *arg, const struct tela_result *r)
{
	struct mesh_attempt *a = arg;
	struct mesh_call *k = a->call;
	uint64_t now = machine_of(k)->now_ns;
	bool over = false, soon;

	a->live = false;
	balance_end(&k->core->balance, a->instance, k->over ? NULL : r, now - a->sent_ns, now);
	if (k->over) /* cancelled: the other one ends the call */
		return;
	if (r->outcome == TELA_EXECUTED) {
		cancel_rest(k);
		end_with(k, r);
		return;
	}
	k->code = r->code;
	k->tried |= 1ull << a->instance;
	k->maybe |= r->outcome == TELA_MAYBE_EXECUTED;
	if (any_live(k))
		return;
	/* Where one is behind others may be too: asking them is a retry as any other. */
	if (balance_shed(r)) {
		come_again(k, r->retry_after_us);
		over = usable(k, &soon) && !(k->flags & TELA_CALL_WAIT) && !budget_take(k);
	}
	if (now >= k->deadline_ns || over ||
		(r->outcome == TELA_MAYBE_EXECUTED && (!may_repeat(k) || !budget_take(k)))) {
		struct tela_result last = *r;

		last.outcome = k->maybe ? TELA_MAYBE_EXECUTED : TELA_NOT_EXECUTED;
		end_with(k, &last);
		return;
	}
	try_next(k, a);
}

/* A second attempt, if there is somebody else to ask and the budget allows it. */
static void hedge(struct mesh_call *k)
{
	struct mesh_core *mc = k->core;
	struct machine *m = machine_of(k);
	uint64_t mask;
	bool soon;
	int i;

	k->hedged = true;
	mask = usable(k, &soon) & ~(1ull << k->attempt[0].instance);
	if (!mask || !budget_take(k))
		return;
	i = balance_choose(
		&mc->mesh->balance, &mc->balance, mask, m->now_ns, m->ops->random(m->io), k->hash);
	if (!attempt(k, &k->attempt[1], i))
		count(m->counts, count_hedges);
}

void mesh_send(struct mesh_call *k, tela_done_fn done, void *arg)
{
	const struct tela_policy *p = &k->core->mesh->policy;

	k->done = done;
	k->arg = arg;
	budget_earn(k->core);
	try_next(k, &k->attempt[0]);
	if (p->hedge_us && k->attempt[0].live && may_repeat(k))
		wait_until(k, k->attempt[0].sent_ns + p->hedge_us * NS_PER_US);
}

/* ---- time ---- */

static void due(struct mesh_call *k, uint64_t now)
{
	list_del(&k->waiting);
	if (k->answer) {
		end_answered(k);
	} else if (any_live(k)) {
		if (!k->hedged)
			hedge(k);
	} else if (now >= k->deadline_ns) {
		end_failed(k, TELA_DEADLINE_EXCEEDED, "deadline passed before an instance took it");
	} else if (k->over) {
		end_failed(k, k->code,
			k->code == TELA_UNAVAILABLE ? "no instance of the service takes calls"
						    : "no instance took it");
	} else {
		count(machine_of(k)->counts, count_retries);
		try_next(k, &k->attempt[0]);
	}
}

bool mesh_due(struct core *core)
{
	uint64_t now = core->m.now_ns;
	bool worked = false;

	list_for_each_safe(e, tmp, &core->meshes)
	{
		struct mesh_core *mc = list_entry(e, struct mesh_core, of_core);

		while (!list_empty(&mc->alls)) {
			mesh_all_due(list_entry(mc->alls.next, struct mesh_all, waiting));
			worked = true;
		}
		list_for_each_safe(w, tmp2, &mc->waiting)
		{
			struct mesh_call *k = list_entry(w, struct mesh_call, waiting);

			if (k->due_ns <= now || k->deadline_ns <= now) {
				due(k, now);
				worked = true;
			}
		}
	}
	return worked;
}

bool mesh_waits(const struct core *core)
{
	for (const struct list *e = core->meshes.next; e != &core->meshes; e = e->next) {
		const struct mesh_core *mc = list_entry(e, struct mesh_core, of_core);

		if (!list_empty(&mc->alls) || !list_empty(&mc->waiting))
			return true;
	}
	return false;
}

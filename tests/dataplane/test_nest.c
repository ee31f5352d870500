/* Calls made for calls: they inherit deadline, root, trace and hops, local or remote; they are
 * cancelled when nobody waits for the call above them; and the ends of a deep tree of local calls
 * take no more stack than those of a shallow one. */
#include "nest.h"
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { LEAF = 1, RELAY = 2, HOLD = 3, FAN = 4, REST = 5, METHODS = 5 };
enum { SEEN_MAX = 512 };

/* What the payload of a request asks for. */
struct work {
	uint32_t depth; /* of relays below this one, then `last` */
	uint32_t last;  /* a method */
	uint32_t n;     /* FAN: so many calls at once; REST: one after the other */
	uint32_t remote;
};

static struct pair *p;
static struct caller_session *local, *remote;
static struct tela_context seen[SEEN_MAX]; /* by handlers, in the order in which they ran */
static uint64_t seen_parent_deadline;
static uint32_t n_seen, n_children, n_held, n_cancelled, n_ended, nested_now, nested_most;
static struct tela_handle held[SEEN_MAX];
static int last_rc;
static bool fire_and_forget;

static const struct tela_method_desc methods[METHODS];

/* A call waiting for those that it made. */
struct waiting {
	struct tela_handle handle;
	struct machine *m;
	struct work work;
	uint32_t left;
	bool used;
};
static struct waiting waiting[SEEN_MAX];

static struct waiting *wait_new(void)
{
	for (int i = 0; i < SEEN_MAX; i++)
		if (!waiting[i].used) {
			waiting[i] = (struct waiting){.used = true};
			return &waiting[i];
		}
	fail();
	return NULL;
}

static void see(const struct tela_call *call)
{
	assert_true(n_seen < SEEN_MAX);
	tela_call_context(call, &seen[n_seen++]);
}

static struct work work_of(const struct tela_call *call)
{
	struct work w;

	assert_int_equal(call->request_len, sizeof(w));
	memcpy(&w, call->request, sizeof(w));
	return w;
}

static void child_done(void *arg, const struct tela_result *r);

static int ask(const struct tela_call *parent, struct waiting *w, uint16_t method)
{
	struct machine *m = call_of(parent)->machine;
	struct tela_options o = {.parent = parent, .deadline_us = 900000000};
	struct tela_request r;
	int rc = -EAGAIN;

	for (int i = 0; i < 2 && rc == -EAGAIN; i++) /* the first may only have asked for slots */
		rc = caller_begin(m, w->work.remote ? remote : local, &methods[method - 1],
			sizeof(w->work), &o, &r);
	if (rc)
		return rc;
	memcpy(r.payload, &w->work, sizeof(w->work));
	caller_send(m, r.slot, child_done, w);
	return 0;
}

/* The call above has all that it waits for. */
static void child_done(void *arg, const struct tela_result *r)
{
	struct waiting *w = arg, now = *w;
	struct call *parent = call_by_handle(w->m, w->handle);

	n_ended++;
	n_cancelled += r->code == TELA_CANCELLED;
	nested_now++;
	if (nested_now > nested_most)
		nested_most = nested_now;
	if (parent && parent->nest)
		n_children = ((struct nest *)parent->nest->data)->n_children;
	if (now.work.n && parent && !r->code) { /* REST: one after the other */
		w->work.n--;
		last_rc = ask(&parent->pub, w, LEAF);
		if (!last_rc)
			goto out;
	} else if (r->code == TELA_CANCELLED && parent) {
		last_rc = ask(&parent->pub, w, LEAF);
	}
	if (--w->left)
		goto out;
	w->used = false;
	call_resume(now.m, now.handle, false, r->code, r->code ? "below" : NULL, "done", 4);
out:
	nested_now--;
}

static enum tela_verdict leaf(struct tela_call *call, void *self)
{
	see(call);
	return tela_reply_copy(call, "leaf", 4);
}

static enum tela_verdict hold(struct tela_call *call, void *self)
{
	see(call);
	if (tela_call_pend(call, &held[n_held], NULL, NULL))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "no room");
	n_held++;
	return TELA_PENDING;
}

static enum tela_verdict refused(struct tela_call *call, struct waiting *w, int rc)
{
	w->used = false;
	return tela_reply_status(
		call, rc == -ELOOP ? TELA_FAILED_PRECONDITION : TELA_RESOURCE_EXHAUSTED, NULL);
}

static enum tela_verdict relay(struct tela_call *call, void *self)
{
	struct waiting *w = wait_new();
	uint16_t method;

	see(call);
	seen_parent_deadline = call->deadline_ns;
	w->work = work_of(call);
	w->m = call_of(call)->machine;
	w->left = 1;
	method = w->work.depth ? RELAY : (uint16_t)w->work.last;
	w->work.depth -= w->work.depth > 0;
	if (fire_and_forget) {
		assert_int_equal(ask(call, w, method), 0);
		w->handle = (struct tela_handle){9, 9, 9}; /* nobody to resume */
		return tela_reply_copy(call, "gone", 4);
	}
	last_rc = tela_call_pend(call, &w->handle, NULL, NULL);
	if (!last_rc)
		last_rc = ask(call, w, method);
	return last_rc ? refused(call, w, last_rc) : TELA_PENDING;
}

static enum tela_verdict fan(struct tela_call *call, void *self)
{
	struct waiting *w = wait_new();

	w->work = work_of(call);
	w->m = call_of(call)->machine;
	w->left = w->work.n;
	w->work.n = 0;
	assert_int_equal(tela_call_pend(call, &w->handle, NULL, NULL), 0);
	for (uint32_t i = 0; i < w->left; i++)
		assert_int_equal(ask(call, w, HOLD), 0);
	return TELA_PENDING;
}

static enum tela_verdict rest(struct tela_call *call, void *self)
{
	struct waiting *w = wait_new();

	w->work = work_of(call);
	w->m = call_of(call)->machine;
	w->left = 1;
	last_rc = tela_call_pend(call, &w->handle, NULL, NULL);
	if (!last_rc)
		last_rc = ask(call, w, LEAF);
	return last_rc ? refused(call, w, last_rc) : TELA_PENDING;
}

static const struct tela_method_desc methods[METHODS] = {{"leaf", LEAF, 0, 0, NULL, NULL},
	{"relay", RELAY, 0, 0, NULL, NULL}, {"hold", HOLD, 0, 0, NULL, NULL},
	{"fan", FAN, 0, 0, NULL, NULL}, {"rest", REST, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Nest", 1, NULL, 0, METHODS, methods};
static const struct tela_link links[] = {{NULL, &desc, LEAF, leaf, NULL},
	{NULL, &desc, RELAY, relay, NULL}, {NULL, &desc, HOLD, hold, NULL},
	{NULL, &desc, FAN, fan, NULL}, {NULL, &desc, REST, rest, NULL}};
static const struct tela_image_link image_links[] = {{&links[0], NULL, "test"},
	{&links[1], NULL, "test"}, {&links[2], NULL, "test"}, {&links[3], NULL, "test"},
	{&links[4], NULL, "test"}};

/* ---- the caller ---- */

struct outcome {
	bool done;
	uint8_t code;
};

static void done(void *arg, const struct tela_result *r)
{
	*(struct outcome *)arg = (struct outcome){true, r->code};
}

static struct caller_slot *start(
	uint16_t method, struct work work, struct outcome *o, const struct tela_options *options)
{
	struct pair_end *e = &p->end[0];
	struct tela_request r;

	*o = (struct outcome){0};
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[method - 1], sizeof(work),
				 options, &r),
		0);
	memcpy(r.payload, &work, sizeof(work));
	caller_send(&e->m, r.slot, done, o);
	return r.slot;
}

static uint8_t call(uint16_t method, struct work work, const struct tela_options *options)
{
	struct outcome o;

	start(method, work, &o, options);
	for (int i = 0; i < 1000000 && !o.done; i++)
		pair_pass(p);
	assert_true(o.done);
	return o.code;
}

/* Both ends serve; end 1 calls itself, and end 0. */
static int set_up(void **state)
{
	static struct pair pair;
	static const struct tela_budgets budgets = {.paths = 8,
		.sessions = 16,
		.slots = 2048,
		.slots_per_session = 1024,
		.calls = 1024,
		.detached = 512,
		.messages_2k = 2048,
		.messages_64k = 8,
		.messages_1m = 2,
		.in_flight = 4096};
	struct net_addr to = {.udp = 7447};
	struct pair_end *e;

	(void)state;
	p = &pair;
	pair_init(p, 7, &desc, image_links, ARRAY_SIZE(image_links), &budgets);
	pair_restart(p, 0, &desc, image_links, ARRAY_SIZE(image_links));
	pair_connect(p, &desc, 1);
	e = &p->end[1];
	to.ip = p->end[0].ip;
	e->path = path_create(&e->m, &to, true);
	local = &e->sessions[0];
	remote = &e->sessions[1];
	assert_int_equal(caller_session_open(&e->m, local, NULL, &desc), 0);
	assert_int_equal(caller_session_open(&e->m, remote, e->path, &desc), 0);
	n_seen = n_children = n_held = n_cancelled = n_ended = nested_now = nested_most = 0;
	fire_and_forget = false;
	memset(waiting, 0, sizeof(waiting));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pair_fini(p);
	return 0;
}

static void assert_quiet(void)
{
	for (int i = 0; i < 2; i++) {
		const struct machine *m = &p->end[i].m;

		assert_int_equal(m->n_made, 0);
		assert_int_equal(m->n_calls_busy, 0);
		assert_int_equal(m->n_detached, 0);
		assert_true(list_empty(&m->ended) && !m->orphans && !m->nesting);
		for (int c = 0; c < MSG_CLASSES; c++)
			assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
	}
}

static bool same_root(const struct tela_context *a, const struct tela_context *b)
{
	return a->root[0] == b->root[0] && a->root[1] == b->root[1];
}

/* ---- tests ---- */

/* Relay, relay, leaf: one root, a hop more each time, no later than the first. */
static void inherits(uint32_t to_remote)
{
	const struct tela_options o = {.deadline_us = 50000};
	uint64_t first;

	assert_int_equal(call(RELAY, (struct work){1, LEAF, 0, to_remote}, &o), TELA_OK);
	assert_int_equal(n_seen, to_remote ? 2 : 3);
	first = seen[0].deadline_ns;
	for (uint32_t i = 0; i < n_seen; i++) {
		assert_int_equal(seen[i].hops, i);
		assert_true(seen[i].root[0] | seen[i].root[1]);
		assert_true(same_root(&seen[i], &seen[0]));
		/* Budgets on the wire are microseconds, rounded up. */
		assert_true(seen[i].deadline_ns <= first + 100 * NS_PER_US);
		assert_false(seen[i].trace[0] | seen[i].trace[1]);
	}
	assert_int_equal(call(LEAF, (struct work){0}, &o), TELA_OK);
	assert_false(same_root(&seen[n_seen - 1], &seen[0])); /* another tree */
	assert_quiet();
}

static void test_inherits_local(void **state)
{
	(void)state;
	inherits(0);
}

static void test_inherits_remote(void **state)
{
	static const struct tela_options o = {.deadline_us = 50000};

	(void)state;
	/* The remote relay at end 0 would call itself by sessions of end 1: one hop here. */
	assert_int_equal(call(RELAY, (struct work){0, LEAF, 0, 1}, &o), TELA_OK);
	assert_int_equal(n_seen, 2);
	assert_true(same_root(&seen[0], &seen[1]));
	assert_int_equal(seen[1].hops, 1);
	assert_true(seen[1].deadline_ns <= seen[0].deadline_ns + 100 * NS_PER_US);
	assert_int_equal(count_read(&p->end[0].counts, count_calls_served), 1);
	/* Bound by now: what it says beside is still there. */
	assert_int_equal(call(RELAY, (struct work){0, LEAF, 0, 1}, &o), TELA_OK);
	assert_true(same_root(&seen[2], &seen[3]) && !same_root(&seen[0], &seen[2]));
	assert_quiet();
}

/* A trace goes along, and a call by a context where there is no call to name. */
static void test_trace_goes_along(void **state)
{
	static const struct tela_context above = {.deadline_ns = UINT64_MAX,
		.root = {3, 4},
		.trace = {5, 6},
		.span = 7,
		.trace_flags = 2, /* not sampled; what else stands there goes along too */
		.hops = 9};
	static const struct tela_options o = {.context = &above};

	(void)state;
	for (uint32_t to_remote = 0; to_remote < 2; to_remote++) {
		n_seen = 0;
		assert_int_equal(call(RELAY, (struct work){0, LEAF, 0, to_remote}, &o), TELA_OK);
		assert_int_equal(n_seen, 2);
		for (uint32_t i = 0; i < 2; i++) {
			assert_true(same_root(&seen[i], &above));
			assert_int_equal(seen[i].hops, 10 + i);
			assert_memory_equal(seen[i].trace, above.trace, 16);
			assert_int_equal(seen[i].trace_flags, 2);
			assert_int_equal(seen[i].span, 7);
		}
	}
	assert_quiet();
}

/* A deadline that has passed, or passes. */
static void test_deadline_of_the_parent(void **state)
{
	static const struct tela_context late = {.deadline_ns = 1, .hops = 1};
	struct tela_options o = {.context = &late};

	(void)state;
	assert_int_equal(call(LEAF, (struct work){0}, &o), TELA_DEADLINE_EXCEEDED);
	assert_int_equal(n_seen, 0);
	o = (struct tela_options){.deadline_us = 3000};
	assert_int_equal(call(RELAY, (struct work){2, HOLD, 0, 0}, &o), TELA_DEADLINE_EXCEEDED);
	for (int i = 0; i < 10000 && n_ended < 3; i++)
		pair_pass(p);
	assert_int_equal(n_ended, 3); /* none of them waits for its 900 s */
	for (uint32_t i = 0; i < n_held; i++)
		assert_int_equal(
			call_resume(&p->end[1].m, held[i], false, TELA_OK, NULL, "", 0), 0);
	pair_run(p, 10 * NS_PER_MS);
	assert_quiet();
}

/* The caller goes: so do calls below, and theirs, here and at the other end. */
static void cancelled(uint32_t depth, uint32_t to_remote)
{
	struct caller_slot *slot;
	struct outcome o;

	slot = start(RELAY, (struct work){depth, HOLD, 0, to_remote}, &o, NULL);
	for (int i = 0; i < 10000 && !n_held; i++)
		pair_pass(p);
	assert_int_equal(n_held, 1);
	caller_fail(&p->end[0].m, slot, TELA_CANCELLED, "enough");
	for (int i = 0; i < 10000 && n_ended <= depth; i++)
		pair_pass(p);
	assert_int_equal(n_cancelled, depth + 1);
	assert_int_equal(last_rc, -ECANCELED); /* nor does anybody begin another one */
	pair_run(p, NS_PER_MS);
	assert_int_equal(call_by_handle(&p->end[!to_remote].m, held[0])->detached, true);
	assert_int_equal(
		call_resume(&p->end[!to_remote].m, held[0], false, TELA_OK, NULL, "", 0), 0);
	pair_run(p, 10 * NS_PER_MS);
	assert_quiet();
}

static void test_cancelled_local(void **state)
{
	(void)state;
	cancelled(3, 0);
}

static void test_cancelled_remote(void **state)
{
	(void)state;
	cancelled(0, 1);
	assert_int_equal(count_read(&p->end[0].counts, count_calls_cancelled), 1);
}

/* A call whose service does not drain is torn from its image, but after those that it has made. */
static void test_torn(void **state)
{
	struct machine *m = &p->end[1].m;
	struct tela_service *s = p->end[1].service;
	struct outcome o;

	(void)state;
	start(FAN, (struct work){.n = 3}, &o, NULL);
	for (int i = 0; i < 10000 && n_held < 3; i++)
		pair_pass(p);
	assert_int_equal(m->n_pending, 4);
	for (int i = 0; i < 3 && m->n_pending; i++) {
		call_cancel_all(m, s, UINT64_MAX);
		pair_run(p, NS_PER_MS);
	}
	assert_true(o.done && o.code == TELA_UNAVAILABLE);
	/* Whoever made them has heard of their ends, and could end in its own way. */
	assert_int_equal(n_ended, 3);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_handle), 0);
	assert_int_equal(m->n_pending, 0);
	assert_int_equal(image_pins(atomic_load(&s->image)), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(call_resume(m, held[i], false, TELA_OK, NULL, "", 0), -ESTALE);
	pair_run(p, 10 * NS_PER_MS);
	assert_quiet();
}

/* More of them than fit the first buffer; the rest of the core does not notice. */
static void test_many_children(void **state)
{
	struct caller_slot *slot;
	struct outcome o;

	(void)state;
	slot = start(FAN, (struct work){.n = 300}, &o, NULL);
	for (int i = 0; i < 10000 && n_held < 300; i++)
		pair_pass(p);
	assert_int_equal(n_held, 300);
	caller_fail(&p->end[0].m, slot, TELA_CANCELLED, "enough");
	for (int i = 0; i < 10000 && n_ended < 300; i++)
		pair_pass(p);
	assert_int_equal(n_cancelled, 300);
	for (uint32_t i = 0; i < 300; i++)
		call_resume(&p->end[1].m, held[i], false, TELA_OK, NULL, "", 0);
	pair_run(p, 10 * NS_PER_MS);
	assert_quiet();
}

/* Places of children that have ended are taken again. */
static void test_one_after_the_other(void **state)
{
	(void)state;
	assert_int_equal(call(REST, (struct work){.n = 400}, NULL), TELA_OK);
	assert_int_equal(n_ended, 401);
	assert_true(n_children > 0 && n_children <= 16);
	assert_quiet();
}

/* A call that has answered leaves those that it made alone. */
static void test_answered_before_they_end(void **state)
{
	(void)state;
	fire_and_forget = true;
	assert_int_equal(call(RELAY, (struct work){0, HOLD, 0, 0}, NULL), TELA_OK);
	pair_run(p, NS_PER_MS);
	assert_int_equal(n_held, 1);
	assert_int_equal(n_ended, 0);
	assert_int_equal(call_resume(&p->end[1].m, held[0], false, TELA_OK, NULL, "x", 1), 0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(n_ended, 1);
	assert_int_equal(n_cancelled, 0);
	assert_quiet();
}

/* The last of 200 ends: 199 completions follow, not inside one another. */
static void test_deep(void **state)
{
	(void)state;
	assert_int_equal(call(RELAY, (struct work){199, LEAF, 0, 0}, NULL), TELA_OK);
	assert_int_equal(n_ended, 200);
	assert_true(nested_most > 8 && nested_most <= 17);
	assert_int_equal(seen[n_seen - 1].hops, 200);
	assert_quiet();
}

/* For ever deeper ends somewhere. */
static void test_too_deep(void **state)
{
	(void)state;
	assert_int_equal(
		call(RELAY, (struct work){400, LEAF, 0, 0}, NULL), TELA_FAILED_PRECONDITION);
	assert_int_equal(n_seen, 256);
	assert_quiet();
}

/* However little memory there is, a call is served or refused, and nothing is left behind. */
static void test_no_memory(void **state)
{
	struct machine *m = &p->end[1].m;
	struct msg *taken[4096];
	uint32_t n = 0, served = 0;

	(void)state;
	assert_int_equal(call(REST, (struct work){.n = 3}, NULL), TELA_OK);
	while (n < ARRAY_SIZE(taken) && (taken[n] = msgpool_get(&m->msgs, MSG_2K)))
		n++;
	assert_in_range(n, 10, ARRAY_SIZE(taken) - 1);
	for (int left = 0; left < 6; left++) {
		uint8_t code = call(left % 2 ? RELAY : REST, (struct work){0, LEAF, 1, 0}, NULL);

		assert_true(code == TELA_OK || code == TELA_RESOURCE_EXHAUSTED);
		served += code == TELA_OK;
		msgpool_put(&m->msgs, taken[--n]);
	}
	assert_in_range(served, 1, 5);
	while (n)
		msgpool_put(&m->msgs, taken[--n]);
	assert_quiet();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_inherits_local),
		TEST(test_inherits_remote),
		TEST(test_trace_goes_along),
		TEST(test_deadline_of_the_parent),
		TEST(test_cancelled_local),
		TEST(test_cancelled_remote),
		TEST(test_torn),
		TEST(test_many_children),
		TEST(test_one_after_the_other),
		TEST(test_answered_before_they_end),
		TEST(test_deep),
		TEST(test_too_deep),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

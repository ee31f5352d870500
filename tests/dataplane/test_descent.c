/* Closed gates: what descends from a call in flight goes on, nothing else does, and what is left at
 * the end is cancelled. */
#include "callee.h"
#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct tela_context context;
static uint64_t *const root = context.root;
static const struct tela_options of_tree = {.deadline_us = 500000, .context = &context};

/* A call that waits at end[1], and its root. */
static struct pair *with_one_in_flight(uint64_t seed, struct outcome *o)
{
	struct pair *p = pair_new(seed, 1);

	call(p, 1, 1, 8, NULL);
	assert_int_equal(start(p, 0, 2, 2, 64, o, NULL), 0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(n_parked, 1);
	tela_call_context(&p->end[1].m.calls[parked[0].index].pub, &context);
	context.deadline_ns = UINT64_MAX;
	return p;
}

static void assert_refused(const struct outcome *o)
{
	assert_true(o->done);
	assert_int_equal(o->times, 1);
	assert_int_equal(o->code, TELA_UNAVAILABLE);
	assert_int_equal(o->outcome, TELA_NOT_EXECUTED);
	assert_int_equal(executions[o->id], 0);
}

static void assert_served(const struct outcome *o, uint32_t times)
{
	assert_true(o->done);
	assert_int_equal(o->code, TELA_OK);
	assert_int_equal(executions[o->id], times);
}

static void finish(struct pair *p, struct outcome *o)
{
	assert_int_equal(call_resume(&p->end[1].m, parked[0], true, TELA_OK, NULL, NULL, 0), 0);
	pair_run(p, NS_PER_MS);
	assert_true(o->done);
}

/* Only the very tree will do. */
static void test_made_up_roots(struct pair *p, uint64_t first)
{
	const uint64_t own[2] = {root[0], root[1]};
	struct outcome o;

	for (uint32_t bit = 0; bit < 128; bit += 3) {
		root[bit / 64] ^= 1ull << bit % 64;
		o = call(p, 1, first + bit, 16, &of_tree);
		assert_refused(&o);
		memcpy(root, own, sizeof(own));
	}
	root[0] = root[1] = UINT64_MAX;
	o = call(p, 1, first + 200, 16, &of_tree);
	assert_refused(&o);
	memcpy(root, own, sizeof(own));
}

static void test_node_drains(void **state)
{
	struct outcome parked_one, o;
	struct pair *p = with_one_in_flight(1, &parked_one);
	struct tela_request r;

	(void)state;
	machine_drain(&p->end[1].m);
	pair_run(p, NS_PER_MS);
	/* The caller knows: only what may be waited for is sent at all. */
	assert_int_equal(
		caller_begin(&p->end[0].m, &p->end[0].sessions[0], &methods[0], 8, NULL, &r),
		-ENOTCONN);
	o = call(p, 1, 3, 16, &of_tree);
	assert_served(&o, 1);
	o = call(p, 5, 4, 100000, &of_tree); /* its first fragment decides */
	assert_served(&o, 1);
	test_made_up_roots(p, 1000);
	finish(p, &parked_one);
	assert_served(&parked_one, 2);   /* its own link, and the one behind */
	o = call(p, 1, 5, 16, &of_tree); /* the tree is no more */
	assert_refused(&o);
	pair_fini(p);
}

/* It says go-away first, and takes what crosses that. */
static void test_node_leaves(void **state)
{
	struct pair *p = pair_new(2, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	machine_leave(&p->end[1].m);
	assert_int_equal(start(p, 0, 1, 2, 8, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	assert_served(&o, 1);
	/* The path stays, for calls that it waits for: and only for them. */
	pair_run(p, 300 * NS_PER_MS);
	assert_true(p->end[0].path->state == PATH_UP && p->end[0].path->draining);
	/* It ends: noticed, though nothing is called. */
	p->end[1].deaf = true;
	pair_run(p, 300 * NS_PER_MS);
	assert_true(p->end[0].path->state != PATH_UP && !p->end[0].path->draining);
	p->end[1].deaf = false;
	p->end[1].m.leaving = false; /* as another that came in its place */
	pair_run(p, 300 * NS_PER_MS);
	assert_true(p->end[0].path->state == PATH_UP && !p->end[0].path->draining);
	pair_fini(p);
}

/* Whoever connects then is told so too. */
static void test_told_when_it_connects(void **state)
{
	struct pair *p = pair_new(3, 0);
	struct outcome o;

	(void)state;
	machine_leave(&p->end[1].m);
	pair_connect(p, &desc, 1);
	pair_run(p, 20 * NS_PER_MS);
	assert_true(p->end[0].path->state == PATH_UP && p->end[0].path->draining);
	context = (struct tela_context){.deadline_ns = UINT64_MAX, .root = {7, 7}};
	assert_int_equal(start(p, 0, 1, 2, 8, &o, &of_tree), 0);
	pair_run(p, NS_PER_MS);
	assert_served(&o, 1);
	pair_fini(p);
}

static void test_service_drains(void **state)
{
	static char why[] = "on purpose";
	struct outcome parked_one, o;
	struct pair *p = with_one_in_flight(4, &parked_one);
	struct tela_service *s = p->end[1].service;

	(void)state;
	atomic_store(&s->refusal, why);
	o = call(p, 1, 3, 16, &of_tree); /* paused is paused */
	assert_refused(&o);
	atomic_store(&s->drains, true);
	o = call(p, 1, 4, 16, &of_tree);
	assert_served(&o, 1);
	o = call(p, 1, 5, 16, NULL);
	assert_refused(&o);
	assert_string_equal(o.message, "on purpose");
	/* Paused, while the node drains. */
	atomic_store(&s->drains, false);
	p->end[1].m.draining = true;
	o = call(p, 1, 6, 16, &of_tree);
	assert_refused(&o);
	p->end[1].m.draining = false;
	atomic_store(&s->refusal, NULL);
	o = call(p, 1, 7, 16, NULL); /* undone */
	assert_served(&o, 1);
	finish(p, &parked_one);
	pair_fini(p);
}

/* ---- what another core may know ---- */

static struct tela_handle asked[8];
static uint32_t n_asked;
static bool ask_full;
static struct machine_ops asking;

static int ask(void *io, const uint64_t id[2], struct tela_handle h)
{
	(void)io;
	assert_true(id[0] == root[0] && id[1] == root[1]);
	if (ask_full)
		return -EAGAIN;
	asked[n_asked++] = h;
	return 0;
}

static struct pair *with_another_core(uint64_t seed)
{
	struct pair *p = pair_new(seed, 1);
	struct machine *m = &p->end[1].m;

	call(p, 1, 1, 8, NULL);
	asking = *m->ops;
	asking.ask = ask;
	m->ops = &asking;
	m->cfg.n_cores = 2;
	m->draining = true;
	n_asked = 0;
	ask_full = false;
	context = (struct tela_context){.deadline_ns = UINT64_MAX, .root = {77, 78}};
	return p;
}

static void test_another_core_is_asked(void **state)
{
	const struct tela_options one_way = {
		.deadline_us = 500000, .context = &context, .flags = TELA_CALL_ONE_WAY};
	struct pair *p = with_another_core(5);
	struct machine *m = &p->end[1].m;
	struct outcome yes, no, word, full;

	(void)state;
	assert_int_equal(start(p, 0, 5, 2, 100, &yes, &of_tree), 0);
	assert_int_equal(start(p, 0, 1, 3, 16, &no, &of_tree), 0);
	assert_int_equal(start(p, 0, 1, 4, 16, &word, &one_way), 0);
	pair_run(p, 5 * NS_PER_MS);
	assert_int_equal(n_asked, 3);
	assert_false(yes.done || no.done || word.done);
	assert_int_equal(m->n_pending, 3);
	callee_asked(m, asked[0], true);
	callee_asked(m, asked[1], false);
	callee_asked(m, asked[2], true);
	callee_asked(m, asked[0], true); /* twice: nothing */
	pair_run(p, 5 * NS_PER_MS);
	assert_served(&yes, 1);
	assert_true(yes.left); /* its leave hook ran */
	assert_refused(&no);
	assert_served(&word, 1);
	ask_full = true;
	full = call(p, 1, 5, 16, &of_tree);
	assert_refused(&full);
	assert_int_equal(m->n_pending, 0);
	p->end[1].m.draining = false;
	assert_quiet(p);
	pair_fini(p);
}

/* Held calls are nobody's proof, and end with their callers. */
static void test_held_calls(void **state)
{
	struct pair *p = with_another_core(6);
	struct machine *m = &p->end[1].m;
	struct tela_options soon = of_tree;
	struct outcome late, second;

	(void)state;
	soon.deadline_us = 3000;
	assert_int_equal(start(p, 0, 5, 2, 16, &late, &soon), 0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(start(p, 0, 1, 3, 16, &second, &of_tree), 0);
	pair_run(p, 10 * NS_PER_MS);
	assert_int_equal(n_asked, 2); /* the first one did not let the second in */
	assert_true(late.done);
	assert_int_equal(late.code, TELA_DEADLINE_EXCEEDED);
	callee_asked(m, asked[0], true);
	callee_asked(m, asked[1], false);
	pair_run(p, NS_PER_MS);
	assert_int_equal(executions[2], 0);
	assert_int_equal(n_left, 0);
	assert_refused(&second);
	assert_int_equal(m->n_pending, 0);
	pair_fini(p);
}

/* ---- the end ---- */

static void test_cancel(void **state)
{
	struct outcome o, local = {.id = 9, .len = 64};
	struct pair *p = with_one_in_flight(7, &o);
	struct pair_end *e = &p->end[1];
	struct tela_request r;
	uint8_t sent[64];

	(void)state;
	assert_int_equal(caller_session_open(&e->m, &e->sessions[0], NULL, &desc), 0);
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[1], 64, NULL, &r), 0);
	fill(r.payload, 9, 64);
	caller_send(&e->m, r.slot, done, &local);
	pair_run(p, NS_PER_MS);
	assert_int_equal(n_parked, 2);
	assert_int_equal(call_cancel_all(&e->m, NULL, UINT64_MAX), 0); /* another service's */
	assert_int_equal(call_cancel_all(&e->m, e->service, 7), 0);    /* another image's */
	assert_int_equal(image_pins(atomic_load(&e->service->image)), 2);
	n_left = 0;
	assert_int_equal(call_cancel_all(&e->m, e->service, UINT64_MAX), 2);
	assert_int_equal(call_cancel_all(&e->m, e->service, UINT64_MAX), 0);
	/* Their links have been left, and nothing holds the image. */
	assert_int_equal(n_left, 2);
	assert_int_equal(e->m.n_pending, 0);
	assert_int_equal(image_pins(atomic_load(&e->service->image)), 0);
	assert_int_equal(e->service->core[0].in_flight, 0);
	pair_run(p, NS_PER_MS);
	for (const struct outcome *i = &o; i; i = i == &o ? &local : NULL) {
		assert_true(i->done);
		assert_int_equal(i->code, TELA_UNAVAILABLE);
		assert_int_equal(i->outcome, TELA_MAYBE_EXECUTED);
		assert_string_equal(i->message, "cancelled: its service did not drain in time");
	}
	/* Their handlers find out when they answer, and may read the request until then. */
	assert_int_equal(e->m.n_calls_busy, 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct call *c = &e->m.calls[parked[i].index];

		assert_null(call_by_handle(&e->m, parked[i]));
		fill(sent, i ? 9 : 2, sizeof(sent));
		assert_memory_equal(c->pub.request, sent, sizeof(sent));
		assert_int_equal(call_resume(&e->m, parked[i], i, TELA_OK, NULL, NULL, 0), -ESTALE);
		assert_int_equal(call_resume(&e->m, parked[i], i, TELA_OK, NULL, NULL, 0), -ESTALE);
	}
	pair_run(p, NS_PER_MS);
	assert_true(o.times == 1 && local.times == 1);
	assert_int_equal(e->m.n_calls_busy, 0);
	assert_int_equal(e->m.n_detached, 0);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_node_drains),
		cmocka_unit_test(test_node_leaves),
		cmocka_unit_test(test_told_when_it_connects),
		cmocka_unit_test(test_service_drains),
		cmocka_unit_test(test_another_core_is_asked),
		cmocka_unit_test(test_held_calls),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

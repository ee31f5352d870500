/* Calls that a node sends on to another one: end 0 calls, end 1 sends on, end 0 serves. What a call
 * asks for arrives, and so does what it is answered; nothing runs twice; what is refused is refused
 * by name; nothing is left behind. */
#include "counted.h"
#include "forward.h"
#include "nest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SPECIAL = 4, MARKED = 5, BACK = 8, INSTANCES = 2, OLDER = 1 };
enum { SEE, REFUSE_FIRST, REFUSE_ALL, CREATE, SAY_STATUS, SHED };

static const struct tela_method_desc sent_methods[] = {{"echo", 1, 0, 0, NULL, NULL},
	{"park", 2, 0, 0, NULL, NULL}, {"refuse", 3, 0, 0, NULL, NULL},
	{"special", 4, 0, 0, NULL, NULL}, {"marked", 5, 0, 0, NULL, NULL}};
static const struct tela_service_desc sent_desc = {"test.Test", 42, NULL, 0, 5, sent_methods};

/* Who sends on at each end; and, at end 1, by another hash of the service too. */
static struct sender {
	struct forward forward; /* first */
	struct tela_service *service;
	struct forward_queue queue;
	uint32_t n_instances, n_ended;
	bool full;     /* no instance has a slot */
	uint32_t room; /* not full: but after so many more calls; 0: never */
} sender[2], other;

/* What the handler saw. */
static struct {
	struct tela_context context;
	uint64_t key[2], now_ns;
	char token[32], pair[32];
	uint32_t runs;
	bool has_key;
} seen;

/* ---- the service behind ---- */

static void copy(char to[32], struct tela_str s)
{
	snprintf(to, 32, "%.*s", (int)s.len, s.s ? s.s : "");
}

static enum tela_verdict unavailable(struct tela_call *call, uint32_t retry_after_us)
{
	call_status(call_of(call), TELA_UNAVAILABLE, TELA_NOT_EXECUTED, "not here");
	call_of(call)->retry_after_us = retry_after_us;
	return TELA_ANSWER;
}

static enum tela_verdict special(struct tela_call *call, void *self)
{
	static const struct tela_pair data[] = {{"which", "word"}};
	struct tela_status s = {
		.name = "validation_failed", .info = "no such word", .data = data, .n_data = 1};
	uint64_t mode;

	(void)self;
	memcpy(&mode, call->request, 8);
	seen.runs++;
	switch (mode) {
	case SEE:
		tela_call_context(call, &seen.context);
		seen.has_key = tela_call_key(call, seen.key);
		seen.now_ns = call->pass->now_ns;
		copy(seen.token, tela_call_metadata(call, "authorization"));
		copy(seen.pair, tela_call_metadata(call, "colour"));
		tela_reply_metadata(call, "left", "yes");
		return tela_reply_copy(call, call->request, call->request_len);
	case REFUSE_FIRST:
		return seen.runs == 1 ? unavailable(call, 0)
				      : tela_reply_copy(call, call->request, call->request_len);
	case REFUSE_ALL:
		return unavailable(call, 0);
	case SHED:
		return unavailable(call, 5000);
	case CREATE:
		tela_reply_copy(call, call->request, call->request_len);
		return tela_reply_created(call);
	default:
		return tela_reply_with(call, &s);
	}
}

static const struct tela_link special_link = {NULL, &desc, SPECIAL, special, NULL};

/* ---- who sends on ---- */

static int begin(struct machine *m, struct forward *to, struct forward_call *f,
	const struct tela_method_desc *method, size_t size, const struct tela_options *o,
	struct tela_request *ret)
{
	struct pair_end *e = m->io;
	struct sender *s = (struct sender *)to;
	int rc = s->full ? -EAGAIN : -ENOTCONN;

	for (uint32_t i = 0; i < s->n_instances && !s->full; i++) {
		if (f->tried >> i & 1)
			continue;
		rc = caller_begin(m, &e->sessions[BACK + i], method, size, o, ret);
		if (rc)
			return rc;
		f->tried |= 1ull << i;
		f->instance = (uint8_t)i;
		s->full = s->room && !--s->room;
		return 0;
	}
	return rc;
}

static void ended(struct machine *m, struct forward *to, const struct forward_call *f,
	const struct tela_result *r)
{
	(void)m;
	(void)r;
	assert_true(f->instance < INSTANCES && f->tried >> f->instance & 1);
	((struct sender *)to)->n_ended++;
}

static struct forward_queue *queue(struct machine *m, struct forward *to)
{
	(void)m;
	return &((struct sender *)to)->queue;
}

static const struct forward_route route = {queue, begin, ended};

/* A service made of `desc`, to be sent on by `s`. */
static void sender_init(struct sender *s, const struct tela_service_desc *d, uint32_t index)
{
	static const struct tela_link link = {.callback = TELA_REQUEST_IN, .enter = forward_enter};
	const struct tela_image_link links[] = {{&link, s, "forward"}};
	char err[100];

	*s = (struct sender){.forward = {&route, true}, .n_instances = 1};
	forward_queue_init(&s->queue);
	s->service = service_create(NULL, d, index);
	assert_true(s->service);
	s->service->forward = &s->forward;
	image_swap(s->service, image_build(s->service, 1, links, 1, err, sizeof(err)));
}

static void sender_fini(struct sender *s)
{
	if (s->service)
		tela_image_free(atomic_load(&s->service->image));
	service_free(s->service);
	s->service = NULL;
}

/* The end sends on what comes to it, back to where it came from. */
static void send_on(struct pair *p, int end)
{
	struct net_addr back = {.ip = p->end[1 - end].ip, .udp = 7447};
	struct pair_end *e = &p->end[end];
	struct path *path = e->path ? e->path : path_create(&e->m, &back, true);
	struct forward_table *t = malloc(sizeof(*t) + 2 * sizeof(t->at[0]));

	assert_true(path && t);
	sender_init(&sender[end], &sent_desc, 1);
	*t = (struct forward_table){.n = 1};
	t->at[0] = sender[end].service;
	atomic_store(&e->forwards, t);
	for (int i = 0; i < INSTANCES; i++)
		assert_int_equal(
			caller_session_open(&e->m, &e->sessions[BACK + i], path, &sent_desc), 0);
}

static struct pair *begin_with(uint64_t seed, const struct tela_budgets *budgets)
{
	static struct pair p;
	struct tela_image_link links[COUNTED_LINKS + 1];

	memset(executions, 0, sizeof(executions));
	memset(&seen, 0, sizeof(seen));
	n_parked = n_left = 0;
	memcpy(links, image_links, sizeof(image_links));
	links[COUNTED_LINKS] = (struct tela_image_link){&special_link, NULL, "test"};
	pair_init(&p, seed, &nobody, NULL, 0, budgets);
	pair_serve(&p, 0, &desc, links, COUNTED_LINKS + 1);
	pair_connect(&p, &desc, 1);
	send_on(&p, 1);
	return &p;
}

/* No call, message or buffer is left at either end. */
static void end_with_nothing(struct pair *p)
{
	pair_run(p, 3 * (uint64_t)NS_PER_S);
	for (int i = 0; i < 2; i++) {
		const struct machine *m = &p->end[i].m;

		assert_int_equal(m->n_made, 0);
		assert_int_equal(m->n_pending, 0);
		assert_int_equal(m->n_calls_busy, 0);
		assert_true(list_empty(&m->forwards));
		for (int c = 0; c < MSG_CLASSES; c++)
			assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
		assert_int_equal(p->end[i].n_held, 0);
	}
	pair_fini(p);
	for (int i = 0; i < 2; i++) {
		sender_fini(&sender[i]);
		free(atomic_load(&p->end[i].forwards));
	}
	sender_fini(&other);
}

static uint64_t counted(const struct pair *p, int end, enum count_id id)
{
	return count_read(&p->end[end].counts, id);
}

/* ---- what arrives ---- */

static void test_all_sizes(void **state)
{
	static const size_t sizes[] = {8, 9, 100, 255, 257, 1000, 1300, 1400, 4000, 8999, 9001,
		65000, 70000, 300000, 1 << 20};
	struct pair *p = begin_with(1, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct outcome o = call(p, 1, i, sizes[i], NULL);

		assert_int_equal(o.code, TELA_OK);
		assert_true(o.own_bytes);
		assert_int_equal(executions[i], 1);
	}
	assert_int_equal(counted(p, 1, count_calls_forwarded), ARRAY_SIZE(sizes));
	assert_int_equal(counted(p, 1, count_binds), 1); /* then by index */
	assert_int_equal(sender[1].n_ended, ARRAY_SIZE(sizes));
	end_with_nothing(p);
}

static void test_what_is_asked(void **state)
{
	static const struct tela_pair pairs[] = {
		{"colour", "blue"}, {"authorization", "Bearer me"}};
	const uint64_t key[2] = {7, 8};
	const struct tela_context above = {
		.deadline_ns = UINT64_MAX, .root = {1, 2}, .trace = {3, 4}, .span = 5, .hops = 2};
	const struct tela_options o = {.metadata = pairs,
		.n_metadata = 2,
		.key = key,
		.context = &above,
		.deadline_us = 400000};
	struct pair *p = begin_with(2, NULL);

	(void)state;
	for (int i = 0; i < 2; i++) { /* before it is bound, and after */
		struct outcome r = call(p, SPECIAL, SEE, 50, &o);
		uint64_t left_ns = seen.context.deadline_ns - seen.now_ns;

		assert_true(r.own_bytes && r.left);
		assert_int_equal(seen.context.hops, 4); /* ours, and that of the node between */
		assert_memory_equal(seen.context.root, above.root, 16);
		assert_memory_equal(seen.context.trace, above.trace, 16);
		assert_true(seen.has_key && seen.key[0] == 7 && seen.key[1] == 8);
		assert_string_equal(seen.token, "Bearer me");
		assert_string_equal(seen.pair, "blue");
		assert_true(left_ns <= 400000 * NS_PER_US && left_ns > 200000 * NS_PER_US);
	}
	end_with_nothing(p);
}

static void test_what_is_answered(void **state)
{
	struct pair *p = begin_with(3, NULL);
	struct outcome o = call(p, 3, 1, 16, NULL);

	(void)state;
	assert_int_equal(o.code, TELA_PERMISSION_DENIED);
	assert_int_equal(o.outcome, TELA_EXECUTED);
	assert_string_equal(o.message, "not for you");
	o = call(p, SPECIAL, SAY_STATUS, 16, NULL);
	assert_int_equal(o.code, TELA_INVALID_ARGUMENT);
	assert_string_equal(o.name, "validation_failed");
	assert_string_equal(o.message, "no such word");
	o = call(p, SPECIAL, CREATE, 16, NULL);
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.own_bytes);
	assert_string_equal(o.name, "created");
	o = call(p, MARKED, 2, 200, NULL);
	assert_true(o.own_bytes && o.left);
	o = call(p, SPECIAL, SHED, 16, NULL); /* for the client to judge, not for us */
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(o.retry_after_us, 5000);
	assert_int_equal(counted(p, 1, count_forwards_moved), 0);
	end_with_nothing(p);
}

static void test_one_way(void **state)
{
	static const struct tela_options one_way = {.flags = TELA_CALL_ONE_WAY};
	static char paused[] = "paused";
	struct pair *p = begin_with(4, NULL);
	struct outcome o = call(p, 1, 1, 64, &one_way);

	(void)state;
	assert_int_equal(o.code, TELA_OK);
	assert_int_equal(executions[1], 1);
	assert_int_equal(counted(p, 0, count_calls_one_way), 1); /* at the callee, as such */
	atomic_store(&p->end[0].service->refusal, paused);
	o = call(p, 1, 2, 64, &one_way); /* the callee accepts it, or not */
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_string_equal(o.message, "paused");
	atomic_store(&p->end[0].service->refusal, NULL);
	end_with_nothing(p);
}

/* ---- how it ends ---- */

static void test_cancel(void **state)
{
	struct pair *p = begin_with(5, NULL);
	struct outcome o;

	(void)state;
	call(p, 1, 0, 8, NULL);
	assert_int_equal(start(p, 0, 2, 1, 64, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(n_parked, 1);
	assert_true(counted(p, 1, count_in_progress) > 0);
	assert_int_equal(p->end[1].m.n_pending, 1);
	caller_path_down(&p->end[0].m, p->end[0].path, "test"); /* gives all up, without a word */
	assert_true(o.done);
	for (uint32_t i = 0; i < p->end[1].m.n_paths && i < 4; i++)
		if (!p->end[1].m.paths[i].initiator && p->end[1].m.paths[i].state == PATH_UP)
			path_down(&p->end[1].m, &p->end[1].m.paths[i], "test");
	pair_run(p, NS_PER_MS);
	assert_int_equal(p->end[1].m.n_pending, 0);
	assert_int_equal(counted(p, 0, count_calls_cancelled), 1);
	assert_int_equal(call_resume(&p->end[0].m, parked[0], false, TELA_OK, NULL, "", 0), 0);
	end_with_nothing(p);
}

/* The node between takes the time that was left, and no longer. */
static void test_deadline(void **state)
{
	static const struct tela_options soon = {.deadline_us = 5000};
	struct pair *p = begin_with(6, NULL);
	struct outcome o;

	(void)state;
	call(p, 1, 0, 8, NULL);
	o = call(p, 2, 1, 64, &soon);
	assert_int_equal(o.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	pair_run(p, NS_PER_MS);
	assert_int_equal(p->end[1].m.n_pending, 0);
	assert_int_equal(call_resume(&p->end[0].m, parked[0], false, TELA_OK, NULL, "", 0), 0);
	end_with_nothing(p);
}

static void test_callee_lost(void **state)
{
	struct pair *p = begin_with(7, NULL);
	struct outcome o;

	(void)state;
	call(p, 1, 0, 8, NULL);
	sender[1].n_instances = 2;
	assert_int_equal(start(p, 0, 2, 1, 64, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	path_down(&p->end[1].m, p->end[1].sessions[BACK].path, "test");
	pair_run(p, NS_PER_MS);
	assert_true(o.done); /* and nobody else is asked: it may have run */
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	assert_int_equal(counted(p, 1, count_forwards_moved), 0);
	assert_int_equal(call_resume(&p->end[0].m, parked[0], false, TELA_OK, NULL, "", 0), 0);
	end_with_nothing(p);
}

static void test_moved_to_another(void **state)
{
	static const struct tela_pair pairs[] = {{"colour", "blue"}};
	const struct tela_options o = {.metadata = pairs, .n_metadata = 1};
	static const size_t sizes[] = {16, 1300, 20000};
	struct pair *p = begin_with(8, NULL);
	struct outcome r;

	(void)state;
	sender[1].n_instances = 2;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		seen.runs = 0;
		r = call(p, SPECIAL, REFUSE_FIRST, sizes[i], &o);
		assert_int_equal(r.code, TELA_OK);
		assert_true(r.own_bytes);
		assert_int_equal(seen.runs, 2);
	}
	assert_int_equal(counted(p, 1, count_forwards_moved), 3);
	r = call(p, SPECIAL, REFUSE_ALL, 16, NULL); /* nobody is left */
	assert_int_equal(r.code, TELA_UNAVAILABLE);
	assert_int_equal(r.outcome, TELA_NOT_EXECUTED);
	assert_string_equal(r.message, "not here");
	assert_int_equal(sender[1].n_ended, 8);
	end_with_nothing(p);
}

/* ---- what is refused ---- */

static void test_not_for_everybody(void **state)
{
	struct pair *p = begin_with(9, NULL);
	struct outcome o;

	(void)state;
	p->end[1].forwards_none = true;
	o = call(p, 1, 1, 64, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_string_equal(o.message, "no such service on this node");
	p->end[1].forwards_none = false;
	o = call(p, 1, 1, 64, NULL);
	assert_int_equal(o.code, TELA_OK);
	o = call(p, 6, 1, 64, NULL); /* a method that it does not have */
	assert_int_equal(o.code, TELA_UNIMPLEMENTED);
	end_with_nothing(p);
}

/* Those that have bound what is sent on no longer are told to bind again. */
static void test_closed(void **state)
{
	struct pair *p = begin_with(10, NULL);
	struct outcome o = call(p, 1, 1, 64, NULL);

	(void)state;
	assert_int_equal(o.code, TELA_OK);
	atomic_store(&sender[1].forward.open, false);
	o = call(p, 1, 2, 20000, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_string_equal(o.message, "no such service on this node");
	assert_true(counted(p, 1, count_rebinds) > 0);
	assert_int_equal(counted(p, 1, count_identities_stale), 0);
	atomic_store(&sender[1].forward.open, true);
	o = call(p, 1, 3, 64, NULL);
	assert_int_equal(o.code, TELA_OK);
	end_with_nothing(p);
}

/* The callee has another schema than the node between believes: the client hears which. */
static void test_schemas(void **state)
{
	static const uint64_t mine[] = {42};
	static const struct tela_service_desc newer = {"test.Test", 50, mine, 1, 5, methods};
	struct pair *p = begin_with(11, NULL);
	struct outcome o;

	(void)state;
	assert_int_equal(caller_session_open(
				 &p->end[0].m, &p->end[0].sessions[1], p->end[0].path, &stranger),
		0);
	assert_int_equal(
		caller_session_open(&p->end[0].m, &p->end[0].sessions[2], p->end[0].path, &newer),
		0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(start(p, 1, 1, 1, 64, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(start(p, 2, 1, 2, 64, &o, NULL), 0); /* knows 42 as an earlier one */
	pair_run(p, NS_PER_MS);
	assert_int_equal(o.code, TELA_OK);
	assert_int_equal(executions[2], 1);
	assert_int_equal(executions[1], 0);
	end_with_nothing(p);
}

/* Two nodes that send on to each other. */
static void test_loop(void **state)
{
	struct pair *p = begin_with(12, NULL);
	struct tela_service *served = p->end[0].service;
	struct outcome o;

	(void)state;
	send_on(p, 0);
	service_table_free(atomic_exchange(&p->end[0].table, service_table_build(NULL, 0)));
	o = call(p, 1, 1, 64, NULL);
	assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_true(strstr(o.message, "handed on too often"));
	assert_int_equal(counted(p, 0, count_forward_hops) + counted(p, 1, count_forward_hops), 1);
	assert_int_equal(
		counted(p, 0, count_calls_forwarded) + counted(p, 1, count_calls_forwarded),
		FORWARD_HOPS_MAX);
	assert_ptr_equal(served, p->end[0].service);
	assert_int_equal(executions[1], 0);
	end_with_nothing(p);
}

/* More at once than the callee has granted slots: they wait, in order. And more than may be
 * pending: those are refused. */
static void test_many_at_once(void **state)
{
	enum { N = 48, PENDING = 40 };
	static const struct tela_budgets few = {.pending = PENDING};
	struct pair *p = begin_with(13, &few);
	struct outcome o[N];
	uint32_t n_ok = 0;

	(void)state;
	for (int i = 0; i < N; i++) /* our own slots first */
		while (start(p, 0, 1, 1000 + (uint64_t)i, 8, &o[i], NULL))
			pair_pass(p);
	pair_run(p, NS_PER_MS);
	p->end[1].sessions[BACK].keeps = true;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++)
			while (start(p, 0, 1, (uint64_t)(N * round + i), 100, &o[i], NULL))
				pair_pass(p);
		pair_run(p, 5 * NS_PER_MS);
	}
	for (int i = 0; i < N; i++) {
		assert_true(o[i].done);
		n_ok += o[i].code == TELA_OK;
		assert_true(o[i].code == TELA_OK || (o[i].code == TELA_RESOURCE_EXHAUSTED &&
							    o[i].outcome == TELA_NOT_EXECUTED));
	}
	assert_true(n_ok >= PENDING);
	assert_true(counted(p, 1, count_forwards_waited) > 0);
	end_with_nothing(p);
}

/* More wait than a pass looks at, and all may go at once: each goes once. */
static void test_turns(void **state)
{
	enum { N = 80 };
	struct pair *p = begin_with(14, NULL);
	struct outcome o[N];

	(void)state;
	p->end[0].sessions[0].keeps = p->end[1].sessions[BACK].keeps = true;
	for (int round = 0; round < 4; round++) { /* the last one waits, with slots for all */
		sender[1].full = round == 3;
		for (int i = 0; i < N; i++)
			while (start(p, 0, 1, (uint64_t)(N * round + i), 100, &o[i], NULL))
				pair_pass(p);
		pair_run(p, NS_PER_MS);
	}
	assert_true(counted(p, 1, count_forwards_waited) >= N);
	sender[1].full = false;
	pair_run(p, 5 * NS_PER_MS);
	for (int i = 0; i < N; i++) {
		assert_int_equal(o[i].times, 1);
		assert_int_equal(o[i].code, TELA_OK);
		assert_int_equal(executions[3 * N + i], 1);
	}
	end_with_nothing(p);
}

/* So many calls to `method`, which all wait at the node between. */
static void start_waiting(
	struct pair *p, uint32_t session, uint64_t first_id, uint32_t n, struct outcome *o)
{
	const uint64_t waited = counted(p, 1, count_forwards_waited);

	for (uint32_t i = 0; i < n; i++)
		while (start(p, session, 1, first_id + i, 100, &o[i], NULL))
			pair_pass(p);
	for (int i = 0; i < 1000 && counted(p, 1, count_forwards_waited) < waited + n; i++)
		pair_pass(p);
	assert_int_equal(counted(p, 1, count_forwards_waited), waited + n);
}

/* A service that nobody has a slot for holds up none of the others, however much waits for it. */
static void test_services_take_turns(void **state)
{
	enum { N = 200, FEW = 3 }; /* of 8 slots */
	struct pair *p = begin_with(15, NULL);
	struct forward_table *t = atomic_load(&p->end[1].forwards);
	struct outcome *o = calloc(N, sizeof(*o)), few[FEW];

	(void)state;
	sender_init(&other, &older, 2);
	t->at[t->n++] = other.service;
	assert_int_equal(caller_session_open(
				 &p->end[0].m, &p->end[0].sessions[OLDER], p->end[0].path, &older),
		0);
	p->end[0].sessions[0].keeps = true;
	sender[1].full = other.full = true;
	start_waiting(p, 0, 0, N, o);
	start_waiting(p, OLDER, N, FEW, few);
	other.full = false;
	pair_run(p, NS_PER_MS);
	for (int i = 0; i < FEW; i++)
		assert_true(few[i].done && few[i].own_bytes);
	for (int i = 0; i < N; i++)
		assert_false(o[i].done);
	/* And both at once go alike: those of the other are not behind all that came before. */
	other.full = true;
	start_waiting(p, OLDER, N + FEW, FEW, few);
	sender[1].full = other.full = false;
	pair_pass(p);
	assert_true(list_empty(&other.queue.calls));
	assert_false(list_empty(&sender[1].queue.calls));
	pair_run(p, 5 * NS_PER_MS);
	for (int i = 0; i < N; i++)
		assert_true(o[i].times == 1 && o[i].own_bytes && executions[i] == 1);
	for (int i = 0; i < FEW; i++)
		assert_true(few[i].own_bytes);
	free(o);
	end_with_nothing(p);
}

/* What comes later does not overtake what waits for the same service. */
static void test_in_order(void **state)
{
	enum { N = 4 };
	struct pair *p = begin_with(16, NULL);
	struct outcome o[N + 1];

	(void)state;
	sender[1].full = true;
	start_waiting(p, 0, 0, N, o);
	assert_int_equal(start(p, 0, 1, N, 100, &o[N], NULL), 0);
	pair_pass(p);
	sender[1].full = false;
	sender[1].room = 1;
	pair_pass(p); /* one has a slot, in the pass that another one arrives in */
	for (int i = 0; i <= N; i++) {
		pair_run(p, NS_PER_MS / 10);
		for (int k = 0; k <= N; k++)
			assert_int_equal(executions[k], k <= i);
		sender[1].full = false;
		sender[1].room = 1;
	}
	end_with_nothing(p);
}

/* Of those that wait and whose client goes, none stays: not behind one that has no slot either. */
static void test_cancel_waiting(void **state)
{
	enum { N = 100 };
	struct pair *p = begin_with(17, NULL);
	struct outcome *o = calloc(N, sizeof(*o));

	(void)state;
	p->end[0].sessions[0].keeps = true;
	sender[1].full = true;
	start_waiting(p, 0, 0, N, o);
	assert_int_equal(p->end[1].m.n_pending, N);
	caller_path_down(&p->end[0].m, p->end[0].path, "test");
	for (uint32_t i = 0; i < p->end[1].m.n_paths && i < 4; i++)
		if (!p->end[1].m.paths[i].initiator && p->end[1].m.paths[i].state == PATH_UP)
			path_down(&p->end[1].m, &p->end[1].m.paths[i], "test");
	pair_pass(p);
	assert_int_equal(p->end[1].m.n_pending, 0);
	assert_true(list_empty(&sender[1].queue.calls));
	assert_int_equal(sender[1].n_ended, 0);
	free(o);
	end_with_nothing(p);
}

/* A bad wire on both ways: every call ends as it should, none runs twice. */
static void test_faults(void **state)
{
	enum { N = 400 };
	static const size_t sizes[] = {8, 200, 1200, 20000};
	struct outcome *o = calloc(N, sizeof(*o));

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct pair *p = begin_with(seed, NULL);

		p->shared_memory = false;
		p->loss = 0.03;
		p->duplicate = 0.03;
		p->reorder = 0.05;
		p->corrupt = 0.01;
		for (int i = 0; i < N; i++)
			while (start(p, 0, 1, (uint64_t)i, sizes[i % 4], &o[i], NULL))
				pair_pass(p);
		pair_run(p, 3 * (uint64_t)NS_PER_S);
		for (int i = 0; i < N; i++) {
			assert_true(o[i].done);
			assert_int_equal(o[i].times, 1);
			assert_true(executions[i] <= 1);
			if (o[i].code == TELA_OK)
				assert_true(o[i].own_bytes && executions[i] == 1);
			else if (o[i].outcome == TELA_NOT_EXECUTED)
				assert_int_equal(executions[i], 0);
		}
		p->loss = p->duplicate = p->reorder = p->corrupt = 0;
		end_with_nothing(p);
	}
	free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_sizes),
		cmocka_unit_test(test_what_is_asked),
		cmocka_unit_test(test_what_is_answered),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_callee_lost),
		cmocka_unit_test(test_moved_to_another),
		cmocka_unit_test(test_not_for_everybody),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_schemas),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_services_take_turns),
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_cancel_waiting),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

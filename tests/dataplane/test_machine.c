/* The protocol machine between two ends: every call ends once, with its own bytes, and runs at most
 * once. */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { IDS = 1 << 16 };

/* ---- the service under test: counts executions by the id in the first 8 bytes ---- */

static uint8_t executions[IDS];
static struct tela_handle parked[64];
static uint32_t n_parked;
static uint32_t n_left;
static uint64_t ran_until_ns; /* deadline of the call that ran last, as its handler sees it */

static void note(struct tela_call *call)
{
	uint64_t id;

	assert_true(call->request_len >= 8);
	memcpy(&id, call->request, 8);
	assert_true(id < IDS);
	executions[id]++;
	ran_until_ns = call->deadline_ns;
}

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	(void)self;
	note(call);
	return tela_reply_copy(call, call->request, call->request_len);
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	(void)self;
	note(call);
	assert_true(n_parked < 64);
	if (tela_call_pend(call, &parked[n_parked], NULL, NULL))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "no room");
	n_parked++;
	return TELA_PENDING;
}

static enum tela_verdict refuse(struct tela_call *call, void *self)
{
	(void)self;
	note(call);
	return tela_reply_status(call, TELA_PERMISSION_DENIED, "not for you");
}

static void leave(struct tela_call *call, void *self)
{
	(void)self;
	n_left++;
	tela_reply_metadata(call, "left", "yes");
}

static int verify_8(const void *payload, size_t len)
{
	(void)payload;
	return len >= 8 ? 0 : -EBADMSG;
}

static const struct tela_method_desc methods[] = {
	{"echo", 1, 0, 2000000, verify_8, NULL}, {"park", 2, 0, 0, verify_8, NULL},
	{"refuse", 3, 0, 0, verify_8, NULL}, {"absent", 4, 0, 0, NULL, NULL},
	{"marked", 5, 0, 0, verify_8, NULL}, {"unknown", 9, 0, 0, NULL, NULL}, /* to the service */
};
static const uint64_t earlier[] = {41};
static const struct tela_service_desc desc = {"test.Test", 42, earlier, 1, 5, methods};
static const struct tela_service_desc older = {"test.Test", 41, NULL, 0, 5, methods};
static const struct tela_service_desc stranger = {"test.Test", 7, NULL, 0, 5, methods};
static const struct tela_service_desc nobody = {"test.Nobody", 42, NULL, 0, 5, methods};

static const struct tela_link links[] = {
	{NULL, &desc, 1, echo, NULL},
	{NULL, &desc, 2, park, leave},
	{NULL, &desc, 3, refuse, NULL},
	{NULL, &desc, 5, echo, leave},
};
static const struct tela_image_link image_links[] = {{&links[0], NULL, "test"},
	{&links[1], NULL, "test"}, {&links[2], NULL, "test"}, {&links[3], NULL, "test"}};

/* ---- calls ---- */

struct outcome {
	bool done;
	uint8_t code, outcome;
	uint32_t times;
	bool own_bytes, left;
	uint64_t id;
	size_t len;
	char message[64];
};

static void fill(uint8_t *to, uint64_t id, size_t len)
{
	memcpy(to, &id, 8);
	for (size_t i = 8; i < len; i++)
		to[i] = (uint8_t)(id * 31 + i * 7 + (i >> 8));
}

static void done(void *arg, const struct tela_result *r)
{
	struct outcome *o = arg;
	uint64_t id;

	o->done = true;
	o->times++;
	o->code = r->code;
	o->outcome = r->outcome;
	o->left = tela_result_metadata(r, "left").s != NULL;
	if (r->message.s)
		snprintf(o->message, sizeof(o->message), "%.*s", (int)r->message.len, r->message.s);
	if (r->code || r->len != o->len)
		return;
	memcpy(&id, r->payload, 8);
	o->own_bytes = id == o->id;
	for (size_t i = 8; i < r->len; i++)
		o->own_bytes &=
			((const uint8_t *)r->payload)[i] == (uint8_t)(id * 31 + i * 7 + (i >> 8));
}

struct tela_str tela_result_metadata(const struct tela_result *r, const char *key)
{
	frame_Envelope_t none = {NULL};

	return envelope_metadata(r->envelope ? frame_Envelope_root(r->envelope) : none, key);
}

static int start(struct pair *p, uint32_t session, unsigned method, uint64_t id, size_t len,
	struct outcome *o, const struct tela_options *options)
{
	struct pair_end *e = &p->end[0];
	struct tela_request r;
	int rc = caller_begin(&e->m, &e->sessions[session], &methods[method - 1], len, options, &r);

	*o = (struct outcome){.id = id, .len = len};
	if (rc)
		return rc;
	fill(r.payload, id, len);
	return caller_send(&e->m, r.slot, done, o);
}

static struct outcome call(struct pair *p, unsigned method, uint64_t id, size_t len,
	const struct tela_options *options)
{
	struct outcome o;

	assert_int_equal(start(p, 0, method, id, len, &o, options), 0);
	for (int i = 0; i < 2000000 && !o.done; i++)
		pair_pass(p);
	assert_true(o.done);
	return o;
}

static struct pair *pair_new(uint64_t seed, uint32_t sessions)
{
	static struct pair p;
	static const struct tela_budgets small = {.paths = 8,
		.sessions = 16,
		.slots = 1024,
		.slots_per_session = 64,
		.calls = 256,
		.detached = 16,
		.messages_2k = 64,
		.messages_64k = 8,
		.messages_1m = 8,
		.in_flight = 1024};

	memset(executions, 0, sizeof(executions));
	n_parked = n_left = 0;
	pair_init(&p, seed, &desc, image_links, ARRAY_SIZE(image_links), &small);
	pair_connect(&p, &desc, sessions);
	return &p;
}

/* Both ends hold nothing but what they were made with. */
static void assert_quiet(struct pair *p)
{
	const struct machine *m = &p->end[0].m;

	assert_int_equal(m->n_made, 0);
	assert_int_equal(p->end[1].m.n_calls_busy, 0);
	for (int i = 0; i < 2; i++) {
		m = &p->end[i].m;
		assert_int_equal(m->n_bulks, 0);
		for (int c = 0; i == 0 && c < MSG_CLASSES; c++)
			assert_int_equal(m->msgs.n_free[c], m->msgs.n[c]);
	}
}

/* ---- tests ---- */

static void test_one_call(void **state)
{
	struct pair *p = pair_new(1, 1);
	struct outcome o = call(p, 1, 5, 32, NULL);

	(void)state;
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.own_bytes);
	assert_int_equal(executions[5], 1);
	assert_int_equal(p->end[0].sessions[0].bind, 1);
	o = call(p, 1, 6, 32, NULL); /* bound now */
	assert_true(o.own_bytes);
	assert_int_equal(count_read(&p->end[1].counts, count_binds), 1);
	assert_int_equal(count_read(&p->end[1].counts, count_envelopes_general), 1);
	assert_quiet(p);
	pair_fini(p);
}

static void test_statuses(void **state)
{
	struct pair *p = pair_new(2, 1);
	struct outcome o = call(p, 3, 1, 16, NULL);

	(void)state;
	assert_int_equal(o.code, TELA_PERMISSION_DENIED);
	assert_int_equal(o.outcome, TELA_EXECUTED);
	assert_string_equal(o.message, "not for you");
	o = call(p, 4, 1, 16, NULL);
	assert_int_equal(o.code, TELA_UNIMPLEMENTED);
	o = call(p, 1, 2, 8, NULL);
	assert_int_equal(o.code, TELA_OK);
	o = call(p, 5, 2, 100, NULL);
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.own_bytes && o.left);
	assert_int_equal(n_left, 1);
	pair_fini(p);
}

static void test_malformed_payload(void **state)
{
	struct pair *p = pair_new(3, 1);
	struct outcome o;
	struct tela_request r;
	struct pair_end *e = &p->end[0];

	(void)state;
	call(p, 1, 1, 8, NULL);
	o = (struct outcome){.len = 4};
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 4, NULL, &r), 0);
	memset(r.payload, 0, 4);
	caller_send(&e->m, r.slot, done, &o);
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_INVALID_ARGUMENT);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_payload), 1);
	pair_fini(p);
}

static void test_schema_and_name(void **state)
{
	static const struct {
		const struct tela_service_desc *as;
		uint8_t code;
	} cases[] = {{&older, TELA_OK}, {&stranger, TELA_FAILED_PRECONDITION},
		{&nobody, TELA_UNAVAILABLE}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pair *p = pair_new(4, 0);
		struct outcome o;

		pair_fini(p);
		p = pair_new(4, 0);
		assert_int_equal(caller_session_open(&p->end[0].m, &p->end[0].sessions[0],
					 p->end[0].path, cases[i].as),
			0);
		o = call(p, 1, 9, 40, NULL);
		assert_int_equal(o.code, cases[i].code);
		assert_int_equal(o.outcome, o.code ? TELA_NOT_EXECUTED : TELA_EXECUTED);
		assert_int_equal(executions[9], o.code ? 0 : 1);
		pair_fini(p);
	}
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {8, 9, 200, 232, 233, 255, 256, 257, 1300, 1352, 1360, 1361,
		2000, 4096, 65536, 100001, 500000, 1 << 20};
	struct pair *p = pair_new(5, 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct tela_options o = {.deadline_us = 5000000, .max_reply_bytes = 2 << 20};
		struct outcome r = call(p, 1, i, sizes[i], &o);

		assert_int_equal(r.code, TELA_OK);
		assert_true(r.own_bytes);
	}
	pair_run(p, 10 * NS_PER_MS);
	assert_quiet(p);
	pair_fini(p);
}

static void test_reply_limit(void **state)
{
	struct pair *p = pair_new(6, 1);
	struct tela_options o = {.max_reply_bytes = 100};
	struct outcome r = call(p, 1, 1, 101, &o);

	(void)state;
	assert_int_equal(r.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(r.outcome, TELA_EXECUTED);
	pair_fini(p);
}

struct load {
	struct outcome o[IDS];
};

static void faults(struct pair *p, double loss, double duplicate, double reorder, double corrupt)
{
	p->loss = loss;
	p->duplicate = duplicate;
	p->reorder = reorder;
	p->corrupt = corrupt;
}

/* `n` calls over a bad wire, as many at once as slots allow. */
static void storm(
	struct pair *p, uint32_t n, uint32_t sessions, size_t len_max, uint64_t deadline_us)
{
	static struct load l;
	struct tela_options o = {.deadline_us = deadline_us};
	uint32_t next = 0, ended = 0;
	uint64_t give_up = p->now_ns + 600 * NS_PER_S;

	while (ended < n) {
		pair_pass(p);
		assert_true(p->now_ns < give_up);
		for (uint32_t s = 0; s < sessions; s++) {
			size_t len = 8 + pair_random(p) % (len_max - 7);

			if (next < n && !start(p, s, 1, next, len, &l.o[next], &o))
				next++;
		}
		for (ended = 0; ended < next && l.o[ended].done; ended++)
			;
	}
	pair_run(p, 100 * NS_PER_MS);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(l.o[i].times, 1);
		assert_true(executions[i] <= 1);
		if (l.o[i].code == TELA_OK)
			assert_true(l.o[i].own_bytes && executions[i] == 1);
		else
			assert_true(l.o[i].outcome != TELA_NOT_EXECUTED || !executions[i]);
	}
}

static void test_bad_wire(void **state)
{
	static const double at[][4] = {{0, 0, 0, 0}, {0.01, 0, 0, 0}, {0, 0.05, 0, 0},
		{0, 0, 0.1, 0}, {0, 0, 0, 0.02}, {0.05, 0.05, 0.05, 0.01}, {0.3, 0.1, 0.2, 0}};

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
			struct pair *p = pair_new(seed, 4);
			uint32_t ok = 0;

			p->shared_memory = false;
			faults(p, at[i][0], at[i][1], at[i][2], at[i][3]);
			storm(p, 400, 4, 300, 10000000);
			for (uint32_t k = 0; k < 400; k++)
				ok += executions[k];
			print_message("seed %lu faults %zu: %u executed, %lu resends\n",
				(unsigned long)seed, i, ok,
				(unsigned long)count_read(&p->end[0].counts, count_resends));
			assert_int_equal(ok, 400); /* nothing is given up within ten seconds */
			if (i == 0)
				assert_int_equal(count_read(&p->end[0].counts, count_resends), 0);
			assert_quiet(p);
			pair_fini(p);
		}
	}
}

static void test_large_on_bad_wire(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct pair *p = pair_new(seed, 2);

		p->shared_memory = false;
		faults(p, 0.01, 0.01, 0.02, 0);
		storm(p, 12, 2, 1 << 20, 20000000);
		for (uint32_t k = 0; k < 12; k++)
			assert_int_equal(executions[k], 1);
		pair_run(p, 4 * NS_PER_S); /* what is retained expires */
		assert_quiet(p);
		for (int c = 0; c < MSG_CLASSES; c++)
			assert_int_equal(p->end[1].m.msgs.n_free[c], p->end[1].m.msgs.n[c]);
		pair_fini(p);
	}
}

static void test_buffers_fail(void **state)
{
	struct pair *p = pair_new(8, 2);

	(void)state;
	p->buffers_fail = 5;
	storm(p, 300, 2, 300, 10000000);
	for (uint32_t k = 0; k < 300; k++)
		assert_int_equal(executions[k], 1);
	assert_int_equal(p->n_buffers, 0);
	assert_quiet(p);
	pair_fini(p);
}

static void test_pending(void **state)
{
	struct pair *p = pair_new(9, 1);
	struct tela_options opt = {.deadline_us = 500000};
	struct outcome o;

	(void)state;
	assert_int_equal(start(p, 0, 2, 3, 64, &o, &opt), 0);
	pair_run(p, 20 * NS_PER_MS);
	assert_false(o.done);
	assert_int_equal(n_parked, 1);
	assert_int_equal(image_pins(atomic_load(&p->end[1].service->image)), 1);
	assert_true(count_read(&p->end[0].counts, count_probes) > 0);
	assert_int_equal(count_read(&p->end[0].counts, count_resends), 0);
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), -ESTALE);
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.left);
	assert_int_equal(n_left, 1);
	assert_int_equal(image_pins(atomic_load(&p->end[1].service->image)), 0);
	assert_int_equal(executions[3], 1);
	assert_quiet(p);
	pair_fini(p);
}

static void test_pending_reply_lost(void **state)
{
	struct pair *p = pair_new(10, 1);
	struct outcome o;

	(void)state;
	assert_int_equal(start(p, 0, 2, 3, 64, &o, NULL), 0);
	pair_run(p, 5 * NS_PER_MS);
	p->end[0].deaf = true; /* the one reply gets lost */
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	pair_run(p, NS_PER_MS);
	p->end[0].deaf = false;
	assert_false(o.done);
	pair_run(p, 200 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_int_equal(executions[3], 1);
	pair_fini(p);
}

static void test_deadline(void **state)
{
	struct pair *p = pair_new(11, 1);
	struct tela_options opt = {.deadline_us = 3000};
	struct outcome o;
	uint64_t began;

	(void)state;
	call(p, 1, 1, 8, NULL);
	began = p->now_ns;
	o = call(p, 2, 4, 64, &opt);
	assert_int_equal(o.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	assert_true(p->now_ns - began < 4 * NS_PER_MS);
	pair_run(p, NS_PER_MS);
	assert_int_equal(count_read(&p->end[1].counts, count_calls_detached), 1);
	/* The slot is free for the next call, and the old handler's answer goes nowhere. */
	assert_int_equal(call(p, 1, 5, 16, NULL).code, TELA_OK);
	assert_int_equal(
		call_resume(&p->end[1].m, parked[0], false, TELA_OK, NULL, "12345678", 8), 0);
	assert_int_equal(n_left, 1);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_detached), 1);
	assert_quiet(p);
	pair_fini(p);
}

/* However long a request waits, is lost or takes to arrive: its handler has no more time than its
 * caller. `late` makes the one that has just been started so. */
static void ends_with_its_caller(uint64_t seed, size_t len, bool up, void (*late)(struct pair *p))
{
	struct pair *p = pair_new(seed, 1);
	struct tela_options opt = {.deadline_us = 40000};
	struct outcome o;
	uint64_t until;

	if (up)
		call(p, 3, 1, 8, NULL); /* refused without a bind packet being needed */
	p->end[0].sessions[0].bind = 0;
	if (!up)
		p->end[1].deaf = true;
	until = p->now_ns + opt.deadline_us * NS_PER_US;
	assert_int_equal(start(p, 0, 1, 2, len, &o, &opt), 0);
	late(p);
	pair_run(p, 20 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_in_range(ran_until_ns, until, until + 50 * NS_PER_US);
	pair_fini(p);
}

static void path_late(struct pair *p)
{
	pair_run(p, 10 * NS_PER_MS);
	p->end[1].deaf = false;
}

static void request_lost(struct pair *p)
{
	p->end[1].deaf = true;
	pair_run(p, 8 * NS_PER_MS);
	p->end[1].deaf = false;
}

static void rest_late(struct pair *p)
{
	for (int i = 0; i < 3; i++)
		pair_pass(p);
	p->end[0].frozen = true;
	pair_run(p, 10 * NS_PER_MS);
	p->end[0].frozen = false;
}

static void test_deadline_of_late_requests(void **state)
{
	(void)state;
	ends_with_its_caller(31, 32, false, path_late);
	ends_with_its_caller(32, 32, true, request_lost);
	ends_with_its_caller(33, 200000, true, request_lost);
	ends_with_its_caller(34, 200000, true, rest_late);
}

static void test_peer_gone(void **state)
{
	struct pair *p = pair_new(12, 1);
	struct outcome o;
	uint64_t began;

	(void)state;
	call(p, 1, 1, 8, NULL);
	p->end[1].frozen = true;
	began = p->now_ns;
	o = call(p, 1, 2, 8, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	assert_true(p->now_ns - began < 200 * NS_PER_MS);
	/* Back as it was: connects again by itself. */
	p->end[1].frozen = false;
	pair_run(p, 500 * NS_PER_MS);
	assert_int_equal(call(p, 1, 3, 8, NULL).code, TELA_OK);
	pair_fini(p);
}

static void test_peer_restarts(void **state)
{
	struct pair *p = pair_new(13, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	pair_restart(p, 1, &desc, image_links, ARRAY_SIZE(image_links));
	o = call(p, 1, 2, 8, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	pair_run(p, 50 * NS_PER_MS);
	assert_int_equal(call(p, 1, 3, 8, NULL).code, TELA_OK);
	assert_int_equal(executions[2], 0);
	pair_fini(p);
}

/* A loop whose every pass is long still sees what is lost, and who has gone. */
static void test_long_passes(void **state)
{
	struct pair *p = pair_new(24, 1);
	struct outcome o;
	uint64_t began;

	(void)state;
	call(p, 1, 1, 8, NULL);
	p->step_ns = 300000;
	p->end[1].deaf = true;
	assert_int_equal(start(p, 0, 1, 2, 8, &o, NULL), 0);
	pair_pass(p);
	pair_pass(p);
	p->end[1].deaf = false;
	pair_run(p, 100 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_true(count_read(&p->end[0].counts, count_resends) > 0);
	p->end[1].frozen = true;
	began = p->now_ns;
	o = call(p, 1, 3, 8, NULL);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_true(p->now_ns - began < 200 * NS_PER_MS);
	pair_fini(p);
}

static void test_stopped_peer_fails_nothing(void **state)
{
	struct pair *p = pair_new(14, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	assert_int_equal(start(p, 0, 1, 2, 8, &o, NULL), 0);
	p->end[1].frozen = true; /* shorter than the silence that counts */
	pair_run(p, 30 * NS_PER_MS);
	p->end[1].frozen = false;
	pair_run(p, 50 * NS_PER_MS);
	assert_true(o.done && o.code == TELA_OK);
	assert_int_equal(executions[2], 1);
	assert_int_equal(count_read(&p->end[0].counts, count_resends),
		0); /* nothing was lost, nothing is sent again */
	pair_fini(p);
}

static void test_no_peer(void **state)
{
	struct pair *p = pair_new(15, 1);
	struct tela_options opt = {.deadline_us = 10000};
	struct outcome o;

	(void)state;
	p->end[1].deaf = true;
	o = call(p, 1, 2, 8, &opt);
	assert_int_equal(o.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	pair_fini(p);
}

/* What the first fragment asks for decides before memory is taken for the others. */
static void test_admitted_before_memory(void **state)
{
	struct pair *p = pair_new(21, 1);
	struct msgpool *pool = &p->end[1].m.msgs;
	struct msg *taken = NULL, *msg;
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	while ((msg = msgpool_get(pool, MSG_1M)) || (msg = msgpool_get(pool, MSG_64K))) {
		msg->next = taken;
		taken = msg;
	}
	o = call(p, 6, 2, 60000, NULL);
	assert_int_equal(o.code, TELA_UNIMPLEMENTED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	o = call(p, 1, 3, 60000, NULL);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	while ((msg = taken)) {
		taken = msg->next;
		msgpool_put(pool, msg);
	}
	o = call(p, 1, 4, 60000, NULL);
	assert_true(o.own_bytes);
	p->end[0].sessions[0].bind = 5;
	o = call(p, 1, 5, 60000, NULL);
	assert_true(o.own_bytes);
	assert_int_equal(count_read(&p->end[1].counts, count_rebinds), 1);
	assert_quiet(p);
	pair_fini(p);
}

/* However many calls are cancelled or late, only so many run without a caller; the others keep
 * their slots. */
static void test_detached_budget(void **state)
{
	const struct tela_options soon = {.deadline_us = 1000};
	struct pair *p = pair_new(22, 4);
	static struct outcome o[32];
	struct machine *callee = &p->end[1].m;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(o); i++)
		assert_int_equal(start(p, i % 4, 2, 100 + i, 16, &o[i], &soon), 0);
	pair_run(p, 5 * NS_PER_MS);
	for (uint32_t i = 0; i < ARRAY_SIZE(o); i++)
		assert_true(o[i].done && o[i].code == TELA_DEADLINE_EXCEEDED);
	assert_int_equal(n_parked, ARRAY_SIZE(o));
	assert_int_equal(callee->n_detached, 16);
	for (uint32_t i = 0; i < n_parked; i++)
		call_resume(callee, parked[i], false, TELA_OK, NULL, "12345678", 8);
	pair_run(p, 5 * NS_PER_MS);
	assert_int_equal(callee->n_detached, 0);
	assert_quiet(p);
	o[0] = call(p, 1, 2, 8, NULL);
	assert_int_equal(o[0].code, TELA_OK);
	pair_fini(p);
}

/* More sessions than the peer takes: calls in them are told, the others go on. */
static void test_sessions_refused(void **state)
{
	struct pair *p = pair_new(23, 4);
	struct pair_end *e = &p->end[0];
	struct outcome o[4], late;

	(void)state;
	p->end[1].m.cfg.budgets.sessions = 2;
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(start(p, i, 1, 10 + i, 40, &o[i], NULL), 0);
	pair_run(p, 5 * NS_PER_MS);
	for (uint32_t i = 0; i < 4; i++) {
		assert_true(o[i].done);
		assert_int_equal(o[i].code, i < 2 ? TELA_OK : TELA_RESOURCE_EXHAUSTED);
		assert_true(i < 2 || o[i].outcome == TELA_NOT_EXECUTED);
	}
	assert_int_equal(start(p, 3, 1, 20, 40, &late, NULL), -EAGAIN);
	assert_int_equal(caller_session_open(&e->m, &e->sessions[8], e->path, &desc), -ENOBUFS);
	assert_int_equal(e->path->queued, 0);
	assert_quiet(p);
	pair_fini(p);
}

static void test_rebind(void **state)
{
	struct pair *p = pair_new(16, 1);
	struct outcome o;

	(void)state;
	call(p, 1, 1, 8, NULL);
	p->end[0].sessions[0].bind = 5; /* an index that the callee does not know */
	o = call(p, 1, 2, 40, NULL);
	assert_int_equal(o.code, TELA_OK);
	assert_true(o.own_bytes);
	assert_int_equal(executions[2], 1);
	assert_int_equal(count_read(&p->end[1].counts, count_rebinds), 1);
	assert_int_equal(p->end[0].sessions[0].bind, 1);
	pair_fini(p);
}

static void test_slots_grow(void **state)
{
	struct pair *p = pair_new(17, 1);
	static struct outcome o[64];
	uint32_t n = 0;

	(void)state;
	call(p, 1, 1, 8, NULL);
	for (int pass = 0; pass < 200 && n < 64; pass++) {
		while (n < 64 && !start(p, 0, 2, 100 + n, 16, &o[n], NULL))
			n++;
		pair_pass(p);
	}
	assert_int_equal(n, 64);
	assert_int_equal(p->end[0].sessions[0].n_slots, 64);
	assert_int_equal(start(p, 0, 1, 200, 16, &(struct outcome){0}, NULL), -EAGAIN);
	pair_run(p, 5 * NS_PER_MS);
	for (uint32_t i = 0; i < n_parked; i++)
		call_resume(&p->end[1].m, parked[i], false, TELA_OK, NULL, "12345678", 8);
	pair_run(p, 5 * NS_PER_MS);
	assert_quiet(p);
	pair_fini(p);
}

/* Nobody remembers the refusal of a call that got no slot. One that was sent once surely does not
 * run; of one that was sent twice, the other copy may. */
static void test_refused_without_a_slot(void **state)
{
	static const struct tela_budgets one_session = {.paths = 8,
		.sessions = 16,
		.slots = 8,
		.calls = 8,
		.messages_2k = 8,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 64};
	static struct pair pair;
	struct pair *p = &pair;
	struct outcome o;

	(void)state;
	pair_init(p, 23, &desc, image_links, ARRAY_SIZE(image_links), &one_session);
	pair_connect(p, &desc, 2);
	assert_int_equal(call(p, 1, 1, 8, NULL).code, TELA_OK);
	assert_int_equal(start(p, 1, 1, 2, 8, &o, NULL), 0);
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	p->end[1].deaf = true;
	assert_int_equal(start(p, 1, 1, 3, 8, &o, NULL), 0);
	pair_run(p, 5 * NS_PER_MS);
	p->end[1].deaf = false;
	pair_run(p, 20 * NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	pair_fini(p);
}

static void test_draining(void **state)
{
	struct pair *p = pair_new(18, 1);
	struct outcome o;
	struct tela_request r;

	(void)state;
	call(p, 1, 1, 8, NULL);
	machine_drain(&p->end[1].m);
	assert_int_equal(start(p, 0, 1, 2, 8, &o, NULL), 0); /* crosses the go-away */
	pair_run(p, NS_PER_MS);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(
		caller_begin(&p->end[0].m, &p->end[0].sessions[0], &methods[0], 8, NULL, &r),
		-ENOTCONN);
	pair_fini(p);
}

static void test_local(void **state)
{
	struct pair *p = pair_new(19, 0);
	struct pair_end *e = &p->end[1];
	struct outcome o = {.id = 7, .len = 500};
	struct tela_request r;

	(void)state;
	assert_int_equal(caller_session_open(&e->m, &e->sessions[0], NULL, &desc), 0);
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 500, NULL, &r), 0);
	fill(r.payload, 7, 500);
	caller_send(&e->m, r.slot, done, &o);
	assert_false(o.done); /* never inside */
	pair_pass(p);
	assert_true(o.done && o.own_bytes);
	assert_int_equal(count_read(&e->counts, count_calls_local), 1);
	assert_int_equal(count_read(&e->counts, count_tx_datagrams), 0);
	assert_int_equal(e->m.n_made, 0);
	/* One whose time is over before it is its turn does not run. */
	o = (struct outcome){.id = 8, .len = 8};
	assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 8,
				 &(struct tela_options){.deadline_us = 1}, &r),
		0);
	fill(r.payload, 8, 8);
	caller_send(&e->m, r.slot, done, &o);
	pair_pass(p);
	assert_true(o.done);
	assert_int_equal(o.code, TELA_DEADLINE_EXCEEDED);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	assert_int_equal(executions[8], 0);
	pair_fini(p);
}

/* Any bytes at all: counted, never more than answered, never a crash (under ASan: never a read
 * beyond). */
static void test_noise(void **state)
{
	struct pair *p = pair_new(20, 1);
	uint8_t bytes[1600];

	(void)state;
	call(p, 1, 1, 8, NULL);
	for (int i = 0; i < 200000; i++) {
		uint32_t len = (uint32_t)(pair_random(p) % 200);
		uint64_t sent = p->sent;

		for (uint32_t k = 0; k < len; k += 8) {
			uint64_t r = pair_random(p);

			memcpy(bytes + k, &r, 8);
		}
		if (len > 12 && i % 2) { /* looks like one of ours */
			uint8_t head[] = {1, 0, 30, 0};

			memcpy(bytes, head, 4);
			uint64_t number = p->end[1].m.paths[0].rx_number + 1;

			memcpy(bytes + 4, &p->end[1].m.paths[0].id, 4);
			if (i % 4 == 1)
				memcpy(bytes + 8, &number, 8);
			if (len > 40)
				bytes[30] = (uint8_t)(bytes[30] % 24);
		}
		pair_inject(p, 1, bytes, len);
		assert_true(p->sent - sent <= 1);
		if (i % 64 == 0)
			pair_pass(p);
	}
	/* Numbers taken by what knew the connection id may cost the path; then a new one is made.
	 */
	if (call(p, 1, 2, 8, NULL).code)
		pair_run(p, 500 * NS_PER_MS);
	assert_int_equal(call(p, 1, 3, 8, NULL).code, TELA_OK);
	assert_true(count_read(&p->end[1].counts, count_drop_kind) &&
		    count_read(&p->end[1].counts, count_drop_packet_length));
	pair_fini(p);
}

static void test_version_answer(void **state)
{
	struct pair *p = pair_new(21, 1);
	uint8_t question[] = {9, 0, 30, 0, 1, 2, 3, 4, 5};
	uint32_t n;

	(void)state;
	call(p, 1, 1, 8, NULL);
	pair_run(p, NS_PER_MS);
	n = p->n_wire;
	pair_inject(p, 1, question, 9);
	assert_int_equal(p->n_wire, n + 1);
	assert_int_equal(p->wire[n]->len, 8);
	assert_memory_equal(p->wire[n]->bytes, ((uint8_t[]){0, 1, 1, 0, 1, 2, 3, 4}), 8);
	pair_inject(p, 1, question, 7); /* too short to be answered */
	assert_int_equal(p->n_wire, n + 1);
	pair_inject(p, 1, p->wire[n]->bytes, 8); /* an answer is not answered */
	assert_int_equal(p->n_wire, n + 1);
	assert_int_equal(count_read(&p->end[1].counts, count_drop_version), 3);
	pair_fini(p);
}

static void test_cookie_first(void **state)
{
	struct pair *p = pair_new(22, 1);

	(void)state;
	p->end[0].deaf = true; /* hellos arrive, their cookies do not come back */
	pair_run(p, 100 * NS_PER_MS);
	assert_true(count_read(&p->end[1].counts, count_cookies) > 1);
	assert_int_equal(p->end[1].m.n_paths, 0); /* no memory was taken for it */
	p->end[0].deaf = false;
	pair_run(p, 500 * NS_PER_MS);
	assert_int_equal(p->end[1].m.n_paths, 1);
	pair_fini(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_call),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_malformed_payload),
		cmocka_unit_test(test_schema_and_name),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_reply_limit),
		cmocka_unit_test(test_bad_wire),
		cmocka_unit_test(test_large_on_bad_wire),
		cmocka_unit_test(test_buffers_fail),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_pending_reply_lost),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_of_late_requests),
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_peer_restarts),
		cmocka_unit_test(test_long_passes),
		cmocka_unit_test(test_stopped_peer_fails_nothing),
		cmocka_unit_test(test_no_peer),
		cmocka_unit_test(test_admitted_before_memory),
		cmocka_unit_test(test_detached_budget),
		cmocka_unit_test(test_sessions_refused),
		cmocka_unit_test(test_rebind),
		cmocka_unit_test(test_slots_grow),
		cmocka_unit_test(test_refused_without_a_slot),
		cmocka_unit_test(test_draining),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_version_answer),
		cmocka_unit_test(test_cookie_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

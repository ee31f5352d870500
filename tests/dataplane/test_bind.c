/* Caller and callee of different versions: either may know the other's hash, the caller by one more
 * question; else the call ends surely not executed. */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { ECHO = 1, FUSSY = 2, IDS = 4096, LARGE = 20000 };

/* ---- the service, and who calls it ---- */

static uint8_t executions[IDS];
static uint64_t latest_deadline_ns;

static uint64_t id_of(const struct tela_call *call)
{
	uint64_t id;

	assert_true(call->request_len >= 8);
	memcpy(&id, call->request, 8);
	assert_true(id < IDS);
	return id;
}

/* Sends the request back if its caller's metadata and key have come along, where it has any. */
static enum tela_verdict echo(struct tela_call *call, void *self)
{
	const struct tela_str want = tela_call_metadata(call, "want");
	uint64_t key[2];

	(void)self;
	executions[id_of(call)]++;
	latest_deadline_ns = call->deadline_ns;
	if (want.s &&
		(strcmp(want.s, "all") || !tela_call_key(call, key) || key[0] != 7 || key[1] != 8))
		return tela_reply_status(call, TELA_DATA_LOSS, "options are gone");
	return tela_reply_copy(call, call->request, call->request_len);
}

/* A status of the same code as that of a refused bind, from one that ran. */
static enum tela_verdict fussy(struct tela_call *call, void *self)
{
	(void)self;
	executions[id_of(call)]++;
	return tela_reply_status(call, TELA_FAILED_PRECONDITION, "not today");
}

static const struct tela_method_desc methods[] = {
	{"echo", ECHO, 0, 2000000, NULL, NULL}, {"fussy", FUSSY, 0, 2000000, NULL, NULL}};
static const uint64_t before_41[] = {40}, before_42[] = {40, 41}, before_43[] = {40, 41, 42};

#define VERSION(name, hash, ...)                                                                   \
	static const struct tela_service_desc name = {"test.Test", hash, __VA_ARGS__, 2, methods}
VERSION(v41, 41, before_41, 1);
VERSION(v42, 42, before_42, 2);
VERSION(v43, 43, before_43, 3);
VERSION(stranger, 7, NULL, 0);

static const struct tela_link links[] = {
	{NULL, &v42, ECHO, echo, NULL}, {NULL, &v42, FUSSY, fussy, NULL}};
static const struct tela_link odd_links[] = {
	{NULL, &stranger, ECHO, echo, NULL}, {NULL, &stranger, FUSSY, fussy, NULL}};

struct tela_str tela_result_metadata(const struct tela_result *r, const char *key)
{
	frame_Envelope_t none = {NULL};

	return envelope_metadata(r->envelope ? frame_Envelope_root(r->envelope) : none, key);
}

static struct pair the_pair;

static const struct tela_image_link *image_of(const struct tela_service_desc *desc)
{
	static const struct tela_image_link image[] = {
		{&links[0], NULL, "test"}, {&links[1], NULL, "test"}};
	static const struct tela_image_link odd[] = {
		{&odd_links[0], NULL, "test"}, {&odd_links[1], NULL, "test"}};

	return desc == &stranger ? odd : image;
}

static void serve(struct pair *p, const struct tela_service_desc *desc, bool again)
{
	if (again)
		pair_restart(p, 1, desc, image_of(desc), 2);
	else
		pair_init(p, 1, desc, image_of(desc), 2, NULL);
}

static struct pair *between(
	const struct tela_service_desc *caller, const struct tela_service_desc *callee)
{
	memset(executions, 0, sizeof(executions));
	serve(&the_pair, callee, false);
	pair_connect(&the_pair, caller, 1);
	return &the_pair;
}

/* ---- calls ---- */

struct outcome {
	uint32_t times;
	uint8_t code, outcome;
	bool own_bytes;
	uint64_t id;
	char message[64];
};

static void done(void *arg, const struct tela_result *r)
{
	struct outcome *o = arg;

	o->times++;
	o->code = r->code;
	o->outcome = r->outcome;
	if (r->message.s)
		snprintf(o->message, sizeof(o->message), "%.*s", (int)r->message.len, r->message.s);
	o->own_bytes = r->len >= 8 && !memcmp(r->payload, &o->id, 8);
	for (size_t i = 8; i < r->len; i++)
		o->own_bytes &= ((const uint8_t *)r->payload)[i] == (uint8_t)(o->id + i);
}

static void start(struct pair *p, struct outcome *o, uint64_t id, unsigned method, size_t len,
	const struct tela_options *options)
{
	struct pair_end *e = &p->end[0];
	struct tela_request r;

	assert_int_equal(
		caller_begin(&e->m, &e->sessions[0], &methods[method - 1], len, options, &r), 0);
	*o = (struct outcome){.id = id};
	memcpy(r.payload, &id, 8);
	for (size_t i = 8; i < len; i++)
		((uint8_t *)r.payload)[i] = (uint8_t)(id + i);
	caller_send(&e->m, r.slot, done, o);
}

static void finish(struct pair *p, const struct outcome *o)
{
	for (int i = 0; i < 3000000 && !o->times; i++)
		pair_pass(p);
	assert_int_equal(o->times, 1);
}

static struct outcome call(struct pair *p, uint64_t id, unsigned method, size_t len,
	const struct tela_options *options)
{
	struct outcome o;

	start(p, &o, id, method, len, options);
	finish(p, &o);
	return o;
}

static void assert_echoed(const struct outcome *o)
{
	assert_string_equal(o->message, "");
	assert_int_equal(o->code, TELA_OK);
	assert_true(o->own_bytes);
	assert_int_equal(executions[o->id], 1);
}

static uint64_t refused(const struct pair *p)
{
	return count_read(&p->end[1].counts, count_calls_refused);
}

/* ---- tests ---- */

static void test_who_knows_whom(void **state)
{
	static const struct {
		const struct tela_service_desc *caller, *callee;
		uint64_t refusals, bound_as; /* 0: not bound */
	} cases[] = {
		{&v42, &v42, 0, 42}, /* the same */
		{&v41, &v42, 0, 41}, /* the callee knows the caller's */
		{&v43, &v42, 1, 42}, /* the caller knows the callee's */
		{&stranger, &v42, 1, 0},
		{&v42, &stranger, 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pair *p = between(cases[i].caller, cases[i].callee);
		struct caller_session *s = &p->end[0].sessions[0];
		struct outcome o = call(p, 1, ECHO, 32, NULL);

		assert_int_equal(refused(p), cases[i].refusals);
		if (cases[i].bound_as) {
			assert_echoed(&o);
			assert_int_equal(s->bind, 1);
			assert_int_equal(s->schema, cases[i].bound_as);
			o = call(p, 2, ECHO, 32, NULL); /* bound: nobody asks again */
			assert_echoed(&o);
			assert_int_equal(refused(p), cases[i].refusals);
			assert_int_equal(count_read(&p->end[1].counts, count_binds), 1);
		} else {
			assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
			assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
			assert_string_equal(
				o.message, "schemas differ and neither side knows the other's");
			assert_int_equal(executions[1], 0);
			assert_int_equal(s->bind, 0);
			o = call(p, 2, ECHO, 32, NULL);
			assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
		}
		pair_fini(p);
	}
}

static void test_many_at_once(void **state)
{
	struct pair *p = between(&v43, &v42);
	struct outcome o[SLOT_BLOCK];

	(void)state;
	for (uint32_t i = 0; i < SLOT_BLOCK; i++)
		start(p, &o[i], i, ECHO, 100, NULL);
	for (uint32_t i = 0; i < SLOT_BLOCK; i++) {
		finish(p, &o[i]);
		assert_echoed(&o[i]);
	}
	assert_int_equal(refused(p), SLOT_BLOCK); /* each asked once more, none twice */
	pair_fini(p);
}

static void test_options_and_deadline(void **state)
{
	const uint64_t key[2] = {7, 8};
	const struct tela_pair metadata[] = {{"want", "all"}};
	const struct tela_options o = {.deadline_us = 50000,
		.key = key,
		.metadata = metadata,
		.n_metadata = 1,
		.max_reply_bytes = 64};
	struct pair *p = between(&v43, &v42);
	struct outcome got;
	uint64_t begun;

	(void)state;
	call(p, 1, FUSSY, 8, NULL);
	p->end[0].sessions[0].bind = 0; /* a path that is up, a service that is not bound */
	p->end[0].sessions[0].schema = 43;
	p->delay_ns = 5 * NS_PER_MS;
	begun = p->now_ns;
	got = call(p, 2, ECHO, 64, &o);
	assert_echoed(&got);
	/* One clock for both: the second try got what the first had left, give or take passes. */
	assert_true(latest_deadline_ns <= begun + 50 * NS_PER_MS + p->delay_ns + 100000);
	assert_true(p->now_ns < begun + 50 * NS_PER_MS);
	pair_fini(p);
}

static void test_large_request(void **state)
{
	struct pair *p = between(&v43, &v42);
	struct outcome o = call(p, 1, ECHO, LARGE, NULL);

	(void)state;
	assert_echoed(&o);
	assert_int_equal(refused(p), 1);
	assert_int_equal(p->end[0].m.n_bulks, 0);
	pair_fini(p);
}

static void test_status_of_a_handler(void **state)
{
	struct pair *p = between(&v43, &v42);
	struct outcome o = call(p, 1, FUSSY, 8, NULL);

	(void)state;
	assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
	assert_int_equal(o.outcome, TELA_EXECUTED);
	assert_string_equal(o.message, "not today");
	assert_int_equal(executions[1], 1);
	pair_fini(p);
}

/* The callee becomes another one while the session lives. */
static void test_callee_changes(void **state)
{
	struct pair *p = between(&v43, &v42);
	struct caller_session *s = &p->end[0].sessions[0];
	struct outcome o = call(p, 1, ECHO, 8, NULL);

	(void)state;
	assert_echoed(&o);
	s->bind = 9; /* an index that it does not know: rebind, and from the start */
	o = call(p, 2, ECHO, 8, NULL);
	assert_echoed(&o);
	assert_int_equal(refused(p), 2);
	assert_int_equal(s->schema, 42);
	serve(p, &v43, true);
	o = call(p, 3, ECHO, 8, NULL); /* finds out */
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	pair_run(p, 2 * NS_PER_S);
	o = call(p, 4, ECHO, 8, NULL);
	assert_echoed(&o);
	assert_int_equal(s->schema, 43);
	assert_int_equal(refused(p), 0);
	pair_fini(p);
}

/* What a node does that takes a service away, and adds one; publish.c has the waiting. */
static void take_away(struct pair_end *e)
{
	uint32_t at = 0;

	service_table_free(atomic_exchange(&e->table, service_table_build(&e->service, 0)));
	tela_image_free(image_swap(e->service, NULL));
	atomic_store(&e->service->leave.unnamed, true);
	while (!callee_unbind(&e->m, &at))
		;
	service_free(e->service);
	e->service = NULL;
}

/* The session lives on while its service goes, and comes again: under the same schema, an earlier
 * one that the caller knows, one of which neither side knows the other's, and its own once more. */
static void test_callee_comes_again(void **state)
{
	static const struct {
		const struct tela_service_desc *desc;
		uint64_t bound_as; /* 0: refused */
		uint16_t bind;
	} comes[] = {{&v43, 43, 1}, {&v42, 42, 2}, {&stranger, 0, 0}, {&v43, 43, 1}, {&v42, 42, 2}};
	struct pair *p = between(&v43, &v43);
	struct caller_session *s = &p->end[0].sessions[0];
	struct outcome o = call(p, 1, ECHO, 8, NULL);
	uint64_t id = 2;

	(void)state;
	assert_echoed(&o);
	for (size_t i = 0; i < ARRAY_SIZE(comes); i++) {
		take_away(&p->end[1]);
		for (int k = 0; k < 2; k++) { /* bound, and then by name */
			o = call(p, id++, ECHO, 8, NULL);
			assert_int_equal(o.code, TELA_UNAVAILABLE);
			assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
			assert_string_equal(o.message, "no such service on this node");
		}
		pair_serve(p, 1, comes[i].desc, image_of(comes[i].desc), 2);
		for (int k = 0; k < 2; k++) {
			o = call(p, id++, ECHO, 8, NULL);
			if (comes[i].bound_as) {
				assert_echoed(&o);
				assert_int_equal(s->schema, comes[i].bound_as);
				assert_int_equal(s->bind, comes[i].bind);
			} else {
				assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
				assert_int_equal(executions[id - 1], 0);
			}
		}
	}
	pair_fini(p);
}

/* No callee makes a caller ask more than once, whatever it says its hash is. */
static void test_second_refusal(void **state)
{
	struct pair *p = between(&v43, &stranger);
	struct caller_session *s = &p->end[0].sessions[0];
	struct outcome o;

	(void)state;
	s->schema = 42; /* as if it had said so before */
	o = call(p, 1, ECHO, 8, NULL);
	assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
	assert_int_equal(refused(p), 1);
	assert_int_equal(s->schema, 43); /* the next call begins with its own */
	pair_fini(p);
}

/* The refusal that is on the wire says from now on that the call has run. */
static bool forge_executed(struct pair *p)
{
	for (uint32_t i = 0; i < p->n_wire; i++) {
		uint8_t *at = p->wire[i]->bytes + p->wire[i]->bytes[2];
		frame_Packet h = frame_Packet_load(at);
		const uint8_t *status;
		int32_t vtable;
		uint16_t outcome;

		if (p->wire[i]->to || h.kind != frame_Kind_response || !h.envelope_length)
			continue;
		status = frame_Envelope_status(frame_Envelope_root(at + WIRE_PACKET + WIRE_TIMING))
				 .p;
		memcpy(&vtable, status, 4);
		memcpy(&outcome, status - vtable + 6, 2); /* the slot of its second field */
		assert_true(outcome && status[outcome] == TELA_NOT_EXECUTED);
		at[status - at + outcome] = TELA_MAYBE_EXECUTED;
		return true;
	}
	return false;
}

static void test_executed_is_not_repeated(void **state)
{
	struct pair *p = between(&v43, &v42);
	struct outcome o;

	(void)state;
	start(p, &o, 1, ECHO, 8, NULL);
	while (!forge_executed(p))
		pair_pass(p);
	finish(p, &o);
	assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	assert_int_equal(executions[1], 0);
	assert_int_equal(refused(p), 1);
	pair_fini(p);
}

/* Once, and at most once, on any wire. */
static void test_bad_wire(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct pair *p = between(&v43, &v42);
		struct outcome o[4];

		p->seed = seed;
		p->shared_memory = false;
		p->loss = 0.1;
		p->duplicate = 0.2;
		p->reorder = 0.2;
		p->corrupt = 0.02;
		for (uint32_t i = 0; i < 4; i++)
			start(p, &o[i], i, ECHO, i == 3 ? 4000 : 40, NULL);
		for (uint32_t i = 0; i < 4; i++) {
			finish(p, &o[i]);
			assert_true(executions[i] <= 1);
			if (i < 3)
				assert_echoed(&o[i]);
			else if (o[i].code) /* the refusal of a large one is not kept */
				assert_int_equal(o[i].outcome, TELA_NOT_EXECUTED);
		}
		pair_fini(p);
	}
}

static void test_local(void **state)
{
	static const struct {
		const struct tela_service_desc *caller;
		uint8_t code;
	} cases[] = {{&v41, TELA_OK}, {&v42, TELA_OK}, {&v43, TELA_OK},
		{&stranger, TELA_FAILED_PRECONDITION}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pair *p = between(&v42, &v42);
		struct pair_end *e = &p->end[1];
		struct tela_request r;
		struct outcome o = {.id = 5};

		assert_int_equal(
			caller_session_open(&e->m, &e->sessions[0], NULL, cases[i].caller), 0);
		assert_int_equal(caller_begin(&e->m, &e->sessions[0], &methods[0], 8, NULL, &r), 0);
		memcpy(r.payload, &o.id, 8);
		caller_send(&e->m, r.slot, done, &o);
		finish(p, &o);
		assert_int_equal(o.code, cases[i].code);
		assert_int_equal(executions[5], cases[i].code == TELA_OK);
		pair_fini(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_knows_whom),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_options_and_deadline),
		cmocka_unit_test(test_large_request),
		cmocka_unit_test(test_status_of_a_handler),
		cmocka_unit_test(test_callee_changes),
		cmocka_unit_test(test_callee_comes_again),
		cmocka_unit_test(test_second_refusal),
		cmocka_unit_test(test_executed_is_not_repeated),
		cmocka_unit_test(test_bad_wire),
		cmocka_unit_test(test_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

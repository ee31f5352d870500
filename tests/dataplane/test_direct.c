/* test_direct.c - calls in place: the chain runs, and the completion, before the call that sends
 * returns; from a handler, inside one another up to a bound, out of the deepest completion; and
 * what would answer later, which it cannot. */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { DOUBLE = 1, ASK = 2, HOLD = 3, DEEPER = 4, RELAY = 5, METHODS = 5, RELAYS_MAX = 64 };

static struct pair *p;
static struct caller_session *local, *remote;
static const struct tela_method_desc methods[METHODS];
static struct tela_handle held;
static uint32_t n_ran, n_leaves, deepest;

struct outcome {
	uint32_t times, value;
	uint8_t code, outcome;
};

static void done(void *arg, const struct tela_result *r)
{
	struct outcome *o = arg;

	o->times++;
	o->code = r->code;
	o->outcome = r->outcome;
	if (r->len == sizeof(o->value))
		memcpy(&o->value, r->payload, sizeof(o->value));
}

/* The first time it may only have asked for slots. */
static int begin(struct machine *m, uint16_t method, uint32_t value, const struct tela_options *o,
	struct tela_request *ret)
{
	int rc = -EAGAIN;

	for (int i = 0; i < 2 && rc == -EAGAIN; i++)
		rc = caller_begin(m, local, &methods[method - 1], sizeof(value), o, ret);
	if (!rc)
		memcpy(ret->payload, &value, sizeof(value));
	return rc;
}

static struct outcome direct(
	struct machine *m, uint16_t method, uint32_t value, struct tela_options options)
{
	struct outcome o = {0};
	struct tela_request r;

	options.flags |= TELA_CALL_DIRECT;
	assert_int_equal(begin(m, method, value, &options, &r), 0);
	caller_send(m, r.slot, done, &o);
	assert_int_equal(o.times, 1);
	return o;
}

static struct machine *machine_of(const struct tela_call *call)
{
	return call_of(call)->machine;
}

static uint32_t value_of(const struct tela_call *call)
{
	uint32_t value;

	assert_int_equal(call->request_len, sizeof(value));
	memcpy(&value, call->request, sizeof(value));
	return value;
}

static enum tela_verdict twice(struct tela_call *call, void *self)
{
	uint32_t value = 2 * value_of(call);

	n_ran++;
	return tela_reply_copy(call, &value, sizeof(value));
}

static void left(struct tela_call *call, void *self)
{
	n_leaves++;
}

/* Uses what it asks for at once, with its own reply half made. */
static enum tela_verdict ask(struct tela_call *call, void *self)
{
	const struct tela_options o = {.parent = call};
	uint32_t *reply = tela_reply_begin(call, sizeof(*reply)), value = value_of(call);
	struct outcome got = direct(machine_of(call), DOUBLE, value, o);

	assert_non_null(reply);
	assert_int_equal(got.code, TELA_OK);
	assert_int_equal(value_of(call), value); /* its request is where it was */
	*reply = got.value + 1;
	return tela_reply_commit(call, sizeof(*reply));
}

static enum tela_verdict hold(struct tela_call *call, void *self)
{
	assert_int_equal(tela_call_pend(call, &held, NULL, NULL), 0);
	return TELA_PENDING;
}

/* Itself, until it is refused. */
static enum tela_verdict deeper(struct tela_call *call, void *self)
{
	uint32_t depth = value_of(call);
	struct outcome got = direct(machine_of(call), DEEPER, depth + 1, (struct tela_options){0});

	if (got.code == TELA_OK) {
		assert_int_equal(got.outcome, TELA_EXECUTED);
		return tela_reply_copy(call, &got.value, sizeof(got.value));
	}
	assert_int_equal(got.code, TELA_RESOURCE_EXHAUSTED);
	assert_int_equal(got.outcome, TELA_NOT_EXECUTED);
	deepest = depth;
	return tela_reply_copy(call, &depth, sizeof(depth));
}

struct relay {
	struct machine *m;
	struct tela_handle handle;
};
static struct relay relays[RELAYS_MAX];

/* Completions one inside the other, each of which makes a direct call. */
static void relayed(void *arg, const struct tela_result *r)
{
	const struct relay *relay = arg;
	struct outcome got = direct(relay->m, DOUBLE, 21, (struct tela_options){0});

	assert_int_equal(r->code, TELA_OK);
	assert_int_equal(got.code, TELA_OK);
	assert_int_equal(got.value, 42);
	call_resume(relay->m, relay->handle, false, TELA_OK, NULL, &got.value, sizeof(got.value));
}

static enum tela_verdict relay(struct tela_call *call, void *self)
{
	uint32_t depth = value_of(call);
	struct relay *r = &relays[depth];
	const uint16_t next = depth ? RELAY : DOUBLE;
	struct tela_request request;

	r->m = machine_of(call);
	depth -= depth > 0;
	assert_int_equal(tela_call_pend(call, &r->handle, NULL, NULL), 0);
	assert_int_equal(begin(r->m, next, depth, NULL, &request), 0);
	caller_send(r->m, request.slot, relayed, r);
	return TELA_PENDING;
}

static const struct tela_method_desc methods[METHODS] = {{"double", DOUBLE, 0, 0, NULL, NULL},
	{"ask", ASK, 0, 0, NULL, NULL}, {"hold", HOLD, 0, 0, NULL, NULL},
	{"deeper", DEEPER, 0, 0, NULL, NULL}, {"relay", RELAY, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Direct", 1, NULL, 0, METHODS, methods};
static const struct tela_link links[] = {{NULL, &desc, DOUBLE, twice, left},
	{NULL, &desc, ASK, ask, NULL}, {NULL, &desc, HOLD, hold, NULL},
	{NULL, &desc, DEEPER, deeper, NULL}, {NULL, &desc, RELAY, relay, NULL}};
static const struct tela_image_link image_links[] = {{&links[0], NULL, "test"},
	{&links[1], NULL, "test"}, {&links[2], NULL, "test"}, {&links[3], NULL, "test"},
	{&links[4], NULL, "test"}};

static int set_up(void **state)
{
	static struct pair pair;
	struct pair_end *e = &pair.end[1];

	(void)state;
	p = &pair;
	pair_init(p, 7, &desc, image_links, ARRAY_SIZE(image_links), NULL);
	pair_connect(p, &desc, 1);
	local = &e->sessions[0];
	remote = &p->end[0].sessions[0];
	assert_int_equal(caller_session_open(&e->m, local, NULL, &desc), 0);
	pair_run(p, NS_PER_MS);
	n_ran = n_leaves = deepest = 0;
	return 0;
}

static int tear_down(void **state)
{
	const struct machine *m = &p->end[1].m;

	(void)state;
	pair_run(p, NS_PER_MS);
	assert_int_equal(m->n_made, 0);
	assert_int_equal(m->n_calls_busy, 0);
	assert_int_equal(m->n_detached, 0);
	assert_int_equal(m->direct, 0);
	assert_int_equal(m->nesting, 0);
	pair_fini(p);
	return 0;
}

static uint64_t counted(enum count_id id)
{
	return count_read(&p->end[1].counts, id);
}

static void test_in_place(void **state)
{
	static char why[] = "a rest";
	struct outcome o = direct(&p->end[1].m, DOUBLE, 4, (struct tela_options){0});

	(void)state;
	assert_int_equal(o.code, TELA_OK);
	assert_int_equal(o.outcome, TELA_EXECUTED);
	assert_int_equal(o.value, 8);
	assert_int_equal(n_leaves, 1);
	assert_int_equal(counted(count_calls_local), 1);
	/* What is wrong with it is a status, as ever. */
	atomic_store(&p->end[1].service->refusal, why);
	o = direct(&p->end[1].m, DOUBLE, 4, (struct tela_options){0});
	assert_int_equal(o.code, TELA_UNAVAILABLE);
	assert_int_equal(o.outcome, TELA_NOT_EXECUTED);
	atomic_store(&p->end[1].service->refusal, NULL);
	assert_int_equal(n_ran, 1);
}

/* From the other end, through a handler that goes pending for nothing. */
static void test_from_a_handler(void **state)
{
	struct outcome o = {0};
	struct tela_request r;
	uint32_t value = 20;

	(void)state;
	assert_int_equal(
		caller_begin(&p->end[0].m, remote, &methods[ASK - 1], sizeof(value), NULL, &r), 0);
	memcpy(r.payload, &value, sizeof(value));
	caller_send(&p->end[0].m, r.slot, done, &o);
	for (int i = 0; i < 1000 && !o.times; i++)
		pair_pass(p);
	assert_int_equal(o.times, 1);
	assert_int_equal(o.code, TELA_OK);
	assert_int_equal(o.value, 41);
	assert_int_equal(counted(count_calls_pending), 0);
}

static void test_only_here(void **state)
{
	const struct tela_options o = {.flags = TELA_CALL_DIRECT},
				  unknown = {.flags = TELA_CALL_FLAGS + 1};
	struct tela_request r;

	(void)state;
	assert_int_equal(
		caller_begin(&p->end[0].m, remote, &methods[0], sizeof(uint32_t), &o, &r), -EINVAL);
	assert_int_equal(
		caller_begin(&p->end[1].m, local, &methods[0], sizeof(uint32_t), &unknown, &r),
		-EINVAL);
}

static void test_what_answers_later(void **state)
{
	struct machine *m = &p->end[1].m;
	struct outcome o = direct(m, HOLD, 0, (struct tela_options){0});
	const uint32_t value = 1;

	(void)state;
	assert_int_equal(o.code, TELA_FAILED_PRECONDITION);
	assert_int_equal(o.outcome, TELA_MAYBE_EXECUTED);
	/* Its handler ends it for nobody. */
	assert_int_equal(call_resume(m, held, false, TELA_OK, NULL, &value, sizeof(value)), 0);
	assert_int_equal(counted(count_drop_detached), 1);
}

static void test_deeper(void **state)
{
	struct outcome o = direct(&p->end[1].m, DEEPER, 1, (struct tela_options){0});

	(void)state;
	assert_int_equal(o.code, TELA_OK);
	assert_int_equal(o.value, 16);
	assert_int_equal(deepest, 16);
}

static void test_out_of_completions(void **state)
{
	struct outcome o = {0};
	struct machine *m = &p->end[1].m;
	struct tela_request r;

	(void)state;
	assert_int_equal(begin(m, RELAY, 40, NULL, &r), 0);
	caller_send(m, r.slot, done, &o);
	for (int i = 0; i < 1000 && !o.times; i++)
		pair_pass(p);
	assert_int_equal(o.code, TELA_OK);
	assert_int_equal(o.value, 42);
	assert_int_equal(n_ran, 42);
}

static void test_one_way(void **state)
{
	struct outcome o =
		direct(&p->end[1].m, DOUBLE, 4, (struct tela_options){.flags = TELA_CALL_ONE_WAY});

	(void)state;
	assert_int_equal(o.code, TELA_OK);
	assert_int_equal(o.value, 0);
	assert_int_equal(n_ran, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_place),
		TEST(test_from_a_handler),
		TEST(test_only_here),
		TEST(test_what_answers_later),
		TEST(test_deeper),
		TEST(test_out_of_completions),
		TEST(test_one_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

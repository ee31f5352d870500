/* Spans as a machine tells them: begun and ended in order, each below the one that was open, on
 * both sides of a call; nothing where a trace is not sampled; and a full ring counted, not waited
 * for. */
#include "counted.h"

#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SEEN_MAX = 4096 };

struct seen {
	struct tela_trace_event e;
	char name[160], text[300];
};

static struct seen seen[SEEN_MAX];
static uint32_t n_seen;
static struct pair *p;
static const char *long_name; /* what the handler says in its own span, NULL: little */

static void see(void *arg, const struct tela_trace_event *e)
{
	struct seen *s = &seen[n_seen++];

	(void)arg;
	assert_true(n_seen <= SEEN_MAX);
	s->e = *e;
	snprintf(s->name, sizeof(s->name), "%s", e->name);
	snprintf(s->text, sizeof(s->text), "%s", e->text);
}

static void drain(int end)
{
	n_seen = 0;
	trace_drain(p->end[end].m.traces, 1000, see, NULL);
}

/* ---- a service that says something ---- */

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	(void)self;
	if (!tela_call_sampled(call) && call->request_len == 8)
		assert_true(tela_trace_begin(call));
	tela_trace_enter(call);
	return TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	(void)self;
	tela_trace_leave(call);
}

static enum tela_verdict serve(struct tela_call *call, void *self)
{
	struct tela_span outer = tela_span_begin(call, "outer"), inner;

	(void)self;
	tela_span_attribute(call, "colour", long_name ? long_name : "red");
	inner = tela_span_begin(call, long_name ? long_name : "inner");
	tela_span_event(call, "half", NULL);
	tela_span_error(call, "too late");
	tela_span_end(call, inner);
	tela_span_end(call, outer);
	if (call->request_len > 100)
		return tela_reply_error(call, "conflict", NULL);
	return tela_reply_copy(call, call->request, call->request_len);
}

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter, .leave = leave},
	{.service = &desc, .method = 1, .enter = serve},
};
static const struct tela_image_link il[] = {{&links[0], NULL, "tracer"}, {&links[1], NULL, "t"}};

static int set_up(void **state)
{
	static struct pair pair;
	static const struct tela_budgets budgets = {.paths = 4,
		.sessions = 4,
		.slots = 64,
		.slots_per_session = 8,
		.calls = 64,
		.detached = 16,
		.messages_2k = 64,
		.messages_64k = 4,
		.messages_1m = 1,
		.in_flight = 64};

	(void)state;
	p = &pair;
	pair_init(p, 5, &desc, il, ARRAY_SIZE(il), &budgets);
	pair_connect(p, &desc, 1);
	long_name = NULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		for (int c = 0; c < MSG_CLASSES; c++)
			assert_int_equal(p->end[i].m.msgs.n_free[c], p->end[i].m.msgs.n[c]);
	pair_fini(p);
	return 0;
}

static void assert_event(uint32_t at, enum tela_trace_op op, const char *name, const char *text)
{
	assert_true(at < n_seen);
	assert_int_equal(seen[at].e.op, op);
	assert_string_equal(seen[at].name, name);
	assert_string_equal(seen[at].text, text);
}

/* In and what is below it, `above` being what the caller had open. Returns the span's id. */
static uint64_t assert_served(uint64_t above, const char *status, uint8_t result)
{
	uint64_t in, outer, inner;

	drain(1);
	assert_int_equal(n_seen, 9);
	assert_event(0, TELA_TRACE_BEGIN, "test.Test.echo", "");
	assert_int_equal(seen[0].e.span_kind, TELA_SPAN_IN);
	assert_int_equal(seen[0].e.above, above);
	in = seen[0].e.span;
	assert_event(1, TELA_TRACE_BEGIN, "outer", "");
	assert_int_equal(seen[1].e.span_kind, TELA_SPAN_OWN);
	assert_int_equal(seen[1].e.above, in);
	outer = seen[1].e.span;
	assert_event(2, TELA_TRACE_ATTRIBUTE, "colour", "red");
	assert_int_equal(seen[2].e.span, outer);
	assert_event(3, TELA_TRACE_BEGIN, "inner", "");
	assert_int_equal(seen[3].e.above, outer);
	inner = seen[3].e.span;
	assert_event(4, TELA_TRACE_EVENT, "half", "");
	assert_event(5, TELA_TRACE_ERROR, "", "too late");
	assert_int_equal(seen[4].e.span, inner);
	assert_int_equal(seen[5].e.span, inner);
	assert_event(6, TELA_TRACE_END, "", "");
	assert_int_equal(seen[6].e.span, inner);
	assert_int_equal(seen[7].e.op, TELA_TRACE_END);
	assert_int_equal(seen[7].e.span, outer);
	assert_event(8, TELA_TRACE_END, status, "");
	assert_int_equal(seen[8].e.span, in);
	assert_int_equal(seen[8].e.result, result);
	for (uint32_t i = 0; i < n_seen; i++) {
		assert_memory_equal(seen[i].e.trace, seen[0].e.trace, 16);
		assert_int_equal(seen[i].e.at_ns, seen[0].e.at_ns); /* all of it in one pass */
	}
	assert_true(seen[0].e.at_ns > NS_PER_S && in && outer && inner);
	return in;
}

/* ---- tests ---- */

/* A trace that begins where the call is served. */
static void test_begun_here(void **state)
{
	(void)state;
	assert_int_equal(call(p, 1, 1, 8, NULL).code, TELA_OK);
	assert_served(0, "", TELA_KIND_OK);
	assert_true(seen[0].e.trace[0] && seen[0].e.trace[1]);
	drain(0);
	assert_int_equal(n_seen, 0);
}

static void test_not_sampled(void **state)
{
	static const struct tela_context above = {
		.deadline_ns = UINT64_MAX, .root = {1, 2}, .trace = {3, 4}, .span = 5};
	static const struct tela_options o = {.context = &above};

	(void)state;
	assert_int_equal(call(p, 1, 1, 16, NULL).code, TELA_OK);
	assert_int_equal(call(p, 1, 1, 16, &o).code, TELA_OK); /* decided above: no */
	drain(0);
	assert_int_equal(n_seen, 0);
	drain(1);
	assert_int_equal(n_seen, 0);
	assert_int_equal(count_read(&p->end[1].counts, count_spans), 0);
}

/* Out at one end, in below it at the other; twice, for the second call is bound. */
static void test_across(void **state)
{
	struct tela_context above;
	struct tela_options o = {.context = &above};

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint64_t out;

		tela_trace_new(&above);
		assert_true(above.trace[0] | above.trace[1]);
		assert_int_equal(above.trace_flags, TELA_TRACE_SAMPLED);
		assert_int_equal(call(p, 1, 1, 16, &o).code, TELA_OK);
		drain(0);
		assert_int_equal(n_seen, 2);
		assert_event(0, TELA_TRACE_BEGIN, "test.Test.echo", "");
		assert_int_equal(seen[0].e.span_kind, TELA_SPAN_OUT);
		assert_int_equal(seen[0].e.above, 0);
		assert_memory_equal(seen[0].e.trace, above.trace, 16);
		assert_event(1, TELA_TRACE_END, "ok", "");
		assert_true(seen[1].e.at_ns > seen[0].e.at_ns);
		out = seen[0].e.span;
		assert_int_equal(seen[1].e.span, out);
		assert_served(out, "", TELA_KIND_OK);
		assert_memory_equal(seen[0].e.trace, above.trace, 16);
	}
}

static void test_failed(void **state)
{
	struct tela_context above;
	struct tela_options o = {.context = &above};

	(void)state;
	tela_trace_new(&above);
	assert_int_equal(call(p, 1, 1, 200, &o).code, TELA_ABORTED);
	assert_served((drain(0), seen[0].e.span), "conflict", TELA_KIND_ERROR);
	assert_int_equal(seen[8].e.code, TELA_ABORTED);
	tela_trace_new(&above);
	assert_int_equal(call(p, 6, 1, 200, &o).code, TELA_UNIMPLEMENTED); /* runs nothing */
	drain(0);
	assert_int_equal(n_seen, 2);
	assert_event(1, TELA_TRACE_END, "not_implemented", "not executed");
	assert_int_equal(seen[1].e.result, TELA_KIND_ERROR);
	drain(1);
	assert_int_equal(n_seen, 0);
}

static void test_abandoned(void **state)
{
	struct tela_context above;
	struct tela_options o = {.context = &above};
	struct tela_request r;

	(void)state;
	tela_trace_new(&above);
	assert_int_equal(
		caller_begin(&p->end[0].m, &p->end[0].sessions[0], &methods[0], 16, &o, &r), 0);
	caller_abandon(&p->end[0].m, r.slot);
	drain(0);
	assert_int_equal(n_seen, 2);
	assert_event(1, TELA_TRACE_END, "cancelled", "not executed");
}

/* Names and texts are cut, not dropped. */
static void test_long(void **state)
{
	static char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	long_name = text;
	assert_int_equal(call(p, 1, 1, 8, NULL).code, TELA_OK);
	drain(1);
	assert_int_equal(n_seen, 9);
	assert_int_equal(strlen(seen[2].text), TRACE_TEXT_MAX);
	assert_int_equal(strlen(seen[3].name), 127);
}

static void test_full(void **state)
{
	uint64_t lost;

	(void)state;
	for (int i = 0; i < 300; i++)
		assert_int_equal(call(p, 1, 1, 8, NULL).code, TELA_OK);
	lost = count_read(&p->end[1].counts, count_trace_lost);
	drain(1);
	assert_true(lost > 0 && n_seen > 300);
	assert_int_equal(n_seen + lost, 300 * 9);
	assert_int_equal(count_read(&p->end[1].counts, count_spans), 900);
	assert_int_equal(call(p, 1, 1, 8, NULL).code, TELA_OK);
	assert_served(0, "", TELA_KIND_OK);
}

/* No memory for the context: the call is served, and not traced. */
static void test_no_memory(void **state)
{
	struct machine *m = &p->end[1].m;
	struct tela_context above;
	struct tela_options o = {.context = &above};
	struct msg *taken[1024];
	uint32_t n = 0;

	(void)state;
	while (n < ARRAY_SIZE(taken) && (taken[n] = msgpool_get(&m->msgs, MSG_2K)))
		n++;
	tela_trace_new(&above);
	assert_int_equal(call(p, 1, 1, 16, &o).code, TELA_OK);
	drain(1);
	assert_int_equal(n_seen, 0);
	while (n)
		msgpool_put(&m->msgs, taken[--n]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_begun_here),
		TEST(test_not_sampled),
		TEST(test_across),
		TEST(test_failed),
		TEST(test_abandoned),
		TEST(test_long),
		TEST(test_full),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

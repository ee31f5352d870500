/* Traces that begin in attached threads: one in so many of their calls, told by the core that
 * executes it; and what a blocking link adds to one from its worker. */
#include "bare_node.h"

#include "tela_mesh.h"
#include "tela_trace.h"
#include "worker.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SEEN_MAX = 256, MANY = 2000 };

struct seen {
	struct tela_trace_event e;
	char name[64];
};

static struct tela_node *node;
static struct tela_client *client, *mesh;
static struct tela_thread *thread;
static struct seen seen[SEEN_MAX];
static uint32_t n_seen, n_ended, n_events;

static void see(void *arg, const struct tela_trace_event *e)
{
	struct seen *s = &seen[n_seen];

	(void)arg;
	n_events++;
	if (!strcmp(e->name, "one of many"))
		return;
	n_ended += e->op == TELA_TRACE_END;
	if (e->op != TELA_TRACE_BEGIN)
		return;
	n_seen++;
	assert_true(n_seen <= SEEN_MAX);
	s->e = *e;
	snprintf(s->name, sizeof(s->name), "%s", e->name);
}

/* ---- a service ---- */

static const struct tela_method_desc methods[] = {{"leaf", 1, 0, 0, NULL, NULL},
	{"block", 2, 0, 0, NULL, NULL}, {"talk", 3, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 3, methods};

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	(void)self;
	tela_trace_enter(call);
	return TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	(void)self;
	tela_trace_leave(call);
}

static enum tela_verdict leaf(struct tela_call *call, void *self)
{
	(void)self;
	return tela_reply_copy(call, call->request, call->request_len);
}

/* On a worker: a span of its own, and a call below it. */
static enum tela_verdict block(struct tela_call *call, void *self)
{
	struct tela_span s = tela_span_begin(call, "blocked");
	struct tela_options o = {.parent = call};
	struct tela_reply r;

	(void)self;
	if (tela_thread_call(tela_thread_self(), client, &methods[0], "12345678", 8, &o, &r))
		return tela_reply_error(call, "internal_error", NULL);
	tela_reply_free(&r);
	tela_span_end(call, s);
	return tela_reply_copy(call, "", 0);
}

static enum tela_verdict talk(struct tela_call *call, void *self)
{
	(void)self;
	for (int i = 0; i < MANY; i++)
		tela_span_end(call, tela_span_begin(call, "one of many"));
	return tela_reply_copy(call, "", 0);
}

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter, .leave = leave},
	{.service = &desc, .method = 1, .enter = leaf},
	{.service = &desc, .method = 2, .enter = block, .blocking = true},
	{.service = &desc, .method = 3, .enter = talk, .blocking = true},
};
static const struct tela_image_link image[] = {{&links[0], NULL, "t", false},
	{&links[1], NULL, "t", false}, {&links[2], NULL, "t", false},
	{&links[3], NULL, "t", false}};

/* ---- tests ---- */

static void call(struct tela_client *c, uint32_t method, const struct tela_options *o)
{
	struct tela_reply r;

	assert_int_equal(
		tela_thread_call(thread, c, &methods[method - 1], "12345678", 8, o, &r), 0);
	assert_int_equal(r.code, TELA_OK);
	tela_reply_free(&r);
}

/* So many spans have begun, and all of them ended. */
static void told(uint32_t n)
{
	for (int i = 0; i < 1000000 && (n_seen < n || n_ended < n); i++) {
		tela_node_poll(node);
		sched_yield();
	}
	tela_node_poll(node);
	assert_int_equal(n_seen, n);
	assert_int_equal(n_ended, n);
}

static int set_up(void **state)
{
	(void)state;
	n_seen = n_ended = n_events = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tela_thread_sample(thread, 0);
	return 0;
}

static void assert_span(uint32_t at, enum tela_span_kind kind, const char *name, uint64_t above)
{
	const struct tela_trace_event *e = &seen[at].e;

	assert_string_equal(seen[at].name, name);
	assert_int_equal(e->span_kind, kind);
	assert_int_equal(e->above, above);
	assert_true(e->span && (e->trace[0] | e->trace[1]));
}

/* The span below `above` in that trace; there is one. */
static uint32_t below(const struct tela_trace_event *above)
{
	uint32_t found = SEEN_MAX;

	for (uint32_t i = 0; i < n_seen; i++)
		if (seen[i].e.above == above->span && seen[i].e.trace[0] == above->trace[0]) {
			assert_int_equal(found, SEEN_MAX);
			found = i;
		}
	assert_true(found < SEEN_MAX);
	return found;
}

/* One call in three, whether of a client of one node or of many. */
static void test_sampled(void **state)
{
	uint64_t trace = 0;

	(void)state;
	tela_thread_sample(thread, 3);
	for (int i = 0; i < 9; i++)
		call(i % 2 ? client : mesh, 1, NULL);
	told(6);
	for (uint32_t i = 0; i < n_seen; i++) {
		if (seen[i].e.above)
			continue;
		assert_span(i, TELA_SPAN_OUT, "test.Test.leaf", 0);
		assert_span(below(&seen[i].e), TELA_SPAN_IN, "test.Test.leaf", seen[i].e.span);
		assert_int_not_equal(seen[i].e.trace[0], trace);
		trace = seen[i].e.trace[0];
	}
	tela_thread_sample(thread, 0);
	call(client, 1, NULL);
	told(6);
}

/* Of calls that are part of another one, whoever made that has decided. */
static void test_decided_above(void **state)
{
	struct tela_context context = {.deadline_ns = UINT64_MAX, .root = {1, 2}, .trace = {3, 4}};
	const struct tela_options o = {.context = &context};

	(void)state;
	tela_thread_sample(thread, 2);
	for (int i = 0; i < 4; i++)
		call(client, 1, &o);
	told(0);
	call(client, 1, NULL);
	told(0);
	call(client, 1, NULL);
	told(2);
	tela_thread_sample(thread, 0);
	tela_trace_new(&context);
	call(client, 1, &o);
	told(4);
}

static void test_all(void **state)
{
	struct tela_reply r;

	(void)state;
	tela_thread_sample(thread, 1);
	assert_int_equal(tela_thread_all(thread, mesh, &methods[0], "12345678", 8, NULL, 0, &r), 0);
	assert_int_equal(r.code, TELA_OK);
	tela_reply_free(&r);
	told(2);
	assert_span(0, TELA_SPAN_OUT, "test.Test.leaf", 0);
}

/* out, in, the worker's own span, and the call that it makes. */
static void test_from_a_worker(void **state)
{
	uint32_t at = SEEN_MAX;

	(void)state;
	tela_thread_sample(thread, 1);
	call(client, 2, NULL);
	told(5);
	for (uint32_t i = 0; i < n_seen; i++)
		at = seen[i].e.above ? at : i;
	assert_span(at, TELA_SPAN_OUT, "test.Test.block", 0);
	at = below(&seen[at].e);
	assert_int_equal(seen[at].e.span_kind, TELA_SPAN_IN);
	at = below(&seen[at].e);
	assert_string_equal(seen[at].name, "blocked");
	assert_int_equal(seen[at].e.span_kind, TELA_SPAN_OWN);
	at = below(&seen[at].e);
	assert_span(at, TELA_SPAN_OUT, "test.Test.leaf", seen[at].e.above);
	assert_int_equal(seen[below(&seen[at].e)].e.span_kind, TELA_SPAN_IN);
}

/* What finds the worker's ring full is counted as that of a core is. */
static void test_lost_by_a_worker(void **state)
{
	uint64_t lost = tela_node_counter(node, "trace_lost");
	uint64_t spans = tela_node_counter(node, "spans");

	(void)state;
	tela_thread_sample(thread, 1);
	call(client, 3, NULL);
	lost = tela_node_counter(node, "trace_lost") - lost;
	assert_true(lost > 0);
	assert_int_equal(tela_node_counter(node, "spans") - spans, MANY + 2); /* out and in */
	tela_node_poll(node);
	assert_int_equal(n_events + lost, 2 * MANY + 4);
}

static void make_node(void)
{
	const struct tela_mesh_instance self = {.peer = NULL};
	const struct tela_mesh_config one = {.instances = &self, .n_instances = 1};
	struct tela_service *service;
	char err[200] = "";

	node = bare_node_create(2, &bare_node_small);
	CHECK(node);
	tela_node_on_trace(node, see, NULL);
	service = tela_service_add(node, &desc);
	client = tela_client_open(node, NULL, &desc, 0);
	mesh = tela_mesh_open(node, &desc, &one, err, sizeof(err));
	CHECK(service && client && mesh && !workers_start(node, 1));
	tela_image_publish(service,
		tela_image_build(service, image, ARRAY_SIZE(image), err, sizeof(err)), NULL, NULL);
	bare_node_start(node);
	thread = tela_thread_attach(node);
	CHECK(thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sampled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_decided_above, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_from_a_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lost_by_a_worker, set_up, tear_down),
	};
	int failed;

	make_node();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tela_thread_detach(thread);
	workers_stop(node);
	bare_node_destroy(node);
	return failed;
}

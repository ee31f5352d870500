/* test_client.c - which of a peer's cores a client calls, when one of them takes no calls: what a
 * path refuses is asked of it once, however many sessions there are. */
#include "bare_node.h"
#include "client.h"
#include "thread.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SESSIONS = 100, PATHS = 2, ECHO = 1 };

static const struct tela_method_desc method = {"echo", ECHO, 0, 0, NULL, NULL};
static const struct tela_service_desc service = {"test.Echo", 1, NULL, 0, 1, &method};

static struct tela_node *node;
static struct tela_client *client;

static struct path *path(int k)
{
	return node->cores[0]->peer_path[k];
}

/* Begins a call and gives it up. Returns the core that it would have gone to, or why to none. */
static int begin(struct caller_session **ret)
{
	const struct caller_slot *slot;
	struct tela_request r;
	int rc = tela_request_begin(client, &method, 8, NULL, &r);

	if (rc)
		return rc;
	slot = r.slot;
	if (ret)
		*ret = slot->session;
	tela_request_abandon(&r);
	return slot->session->path == path(1);
}

static void path_is(int k, enum path_state state, bool draining, uint32_t n_held)
{
	path(k)->state = (uint8_t)state;
	path(k)->draining = draining;
	path(k)->congest.n_held = n_held;
}

static int setup(void **state)
{
	const struct tela_budgets budgets = {
		.paths = 4, .sessions = 2 * SESSIONS, .slots = 64, .calls = 64, .in_flight = 4096};
	struct core *core;

	(void)state;
	node = bare_node_create(1, &budgets);
	if (!node)
		return -1;
	core = node->cores[0];
	free(core->peer_path);
	core->peer_path = calloc(SPREAD_MAX, sizeof(*core->peer_path));
	snprintf(node->peers[0].name, sizeof(node->peers[0].name), "server");
	node->n_peers = 1;
	core_current = core;
	client = tela_client_open(node, "server", &service, SESSIONS);
	if (!client || begin(NULL)) /* waits for the first path */
		return -1;
	path(0)->peer_cores = PATHS;
	path(0)->peer_sessions = SESSIONS;
	path_is(0, PATH_UP, false, 0);
	if (begin(NULL) < 0 || !path(1))
		return -1;
	path(1)->peer_sessions = SESSIONS;
	path_is(1, PATH_UP, false, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	core_current = NULL;
	for (int k = 0; k < PATHS; k++)
		path_is(k, PATH_CONNECTING, false, 0);
	node->n_peers = 0; /* as it was made */
	bare_node_destroy(node);
	return 0;
}

static const struct refused {
	enum path_state state;
	bool draining;
	uint32_t n_held;
	int rc; /* where both cores are so */
} refuses[] = {{PATH_DOWN, false, 0, -ENOTCONN}, {PATH_UP, true, 0, -ENOTCONN},
	{PATH_UP, false, CONGEST_HELD_CALLS, -EAGAIN}};

static void test_all_sessions_in_turn(void **state)
{
	struct caller_session *s = NULL;
	bool used[PATHS][SESSIONS] = {{false}};

	(void)state;
	for (int i = 0; i < PATHS * SESSIONS; i++) {
		int k = begin(&s);

		assert_in_range(k, 0, 1);
		assert_false(used[k][s->number]);
		used[k][s->number] = true;
	}
}

static void test_goes_to_the_other_core(void **state)
{
	(void)state;
	for (size_t r = 0; r < ARRAY_SIZE(refuses); r++)
		for (int k = 0; k < PATHS; k++) {
			path_is(k, refuses[r].state, refuses[r].draining, refuses[r].n_held);
			for (int i = 0; i < 3 * SESSIONS; i++)
				assert_int_equal(begin(NULL), !k);
			path_is(k, PATH_UP, false, 0);
		}
	/* Nothing waits for a core that is away while another can be called. */
	for (int k = 0; k < PATHS; k++) {
		path_is(k, PATH_CONNECTING, false, 0);
		for (int i = 0; i < 3 * SESSIONS; i++)
			assert_int_equal(begin(NULL), !k);
		path_is(k, PATH_UP, false, 0);
	}
}

static void test_nobody_takes_it(void **state)
{
	(void)state;
	for (size_t r = 0; r < ARRAY_SIZE(refuses); r++) {
		for (int k = 0; k < PATHS; k++)
			path_is(k, refuses[r].state, refuses[r].draining, refuses[r].n_held);
		for (int i = 0; i < 10; i++)
			assert_int_equal(begin(NULL), refuses[r].rc);
	}
	/* One that holds back comes again sooner than one that is down. */
	path_is(0, PATH_DOWN, false, 0);
	assert_int_equal(begin(NULL), -EAGAIN);
	/* Where none can be called now, a call waits for one that may come. */
	path_is(1, PATH_CONNECTING, false, 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(begin(NULL), 1);
	path_is(0, PATH_CONNECTING, false, 0);
	path_is(1, PATH_DOWN, false, 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(begin(NULL), 0);
}

/* ---- closed ---- */

static _Atomic bool looked;

/* Stays attached while its ring is looked at: the main thread is no core that a grace period waits
 * for. */
static void *call(void *arg)
{
	struct tela_thread *t = tela_thread_attach(node);
	struct tela_reply r;

	CHECK(t && !tela_thread_call(t, arg, &method, "12345678", 8, NULL, &r));
	CHECK(r.code == TELA_CANCELLED && r.outcome == TELA_NOT_EXECUTED);
	tela_reply_free(&r);
	while (!atomic_load(&looked))
		sched_yield();
	tela_thread_detach(t);
	return NULL;
}

/* As tela_client_close() asks for it, up to the last look. */
static void close_it(struct tela_client *c, void (*between)(struct core *core))
{
	atomic_store(&node->closing, c);
	atomic_store(&node->n_closing, 1);
	while (core_close(node->cores[0]), atomic_load(&node->n_closing))
		between(node->cores[0]);
}

static void serve_threads(struct core *core)
{
	core_serve_threads(core);
}

static void begin_none(struct core *core)
{
	(void)core;
	assert_int_equal(begin(NULL), -ESHUTDOWN);
}

/* A call that a thread has handed to the core is not met after the last look. */
static void test_closed_under_a_thread(void **state)
{
	struct core *core = node->cores[0];
	struct tela_client *own = tela_client_open(node, NULL, &service, 1);
	pthread_t caller;

	(void)state;
	assert_non_null(own);
	atomic_store(&node->polling, true); /* as if it did */
	assert_int_equal(pthread_create(&caller, NULL, call, own), 0);
	while (!core_threads_waiting(core))
		sched_yield();
	close_it(own, serve_threads);
	assert_false(core_threads_waiting(core));
	atomic_store(&looked, true);
	pthread_join(caller, NULL);
	atomic_store(&node->polling, false);
}

/* Not while some of its sessions are left, either. */
static void test_closed_takes_no_call(void **state)
{
	(void)state;
	close_it(client, begin_none);
	assert_int_equal(begin(NULL), -ESHUTDOWN);
	assert_int_equal(node->cores[0]->m.n_sessions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_sessions_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_to_the_other_core, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_takes_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_under_a_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_takes_no_call, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

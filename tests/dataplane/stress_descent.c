/* stress_descent.c - a closed gate on a node's real loops: a core that does not know a tree asks
 * the others. Calls of the tree of one that waits on core 0 are made on core 1, and come through
 * while it waits; others never do. */
#include "bare_node.h"

#include <sched.h>

enum { CORES = 3, CALLERS = 2, ROUNDS = 20, CALLS = 100 };
enum { PARK = 1, ECHO = 2 };

static struct tela_node *node;
static struct tela_client *client;
static struct tela_service *service;
static struct tela_context context; /* of the call that waits */
static struct tela_handle parked;
static _Atomic uint32_t n_parked, n_served, n_calling;

static enum tela_verdict park(struct tela_call *call, void *self)
{
	CHECK(!tela_call_pend(call, &parked, NULL, NULL));
	tela_call_context(call, &context);
	context.deadline_ns = UINT64_MAX;
	atomic_fetch_add(&n_parked, 1);
	return TELA_PENDING;
}

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	atomic_fetch_add(&n_served, 1);
	return tela_reply_copy(call, call->request, call->request_len);
}

static const struct tela_method_desc methods[] = {
	{"park", PARK, 0, 0, NULL, NULL}, {"echo", ECHO, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 2, methods};
static const struct tela_link links[] = {
	{NULL, &desc, PARK, park, NULL}, {NULL, &desc, ECHO, echo, NULL}};

static void publish(void)
{
	struct tela_image_link il[] = {{&links[0], NULL, "test"}, {&links[1], NULL, "test"}};
	struct tela_image *image;
	char err[200] = "";

	image = tela_image_build(service, il, ARRAY_SIZE(il), err, sizeof(err));
	CHECK(image);
	tela_image_publish(service, image, NULL, NULL);
}

static uint8_t call(struct tela_thread *t, uint16_t method, const struct tela_context *of)
{
	struct tela_options o = {.deadline_us = 60000000, .context = of};
	struct tela_reply r;
	uint64_t value = 5;
	uint8_t code;

	CHECK(!tela_thread_call(t, client, &methods[method - 1], &value, sizeof(value), &o, &r));
	code = r.code;
	CHECK(code == TELA_OK || (code == TELA_UNAVAILABLE && r.outcome == TELA_NOT_EXECUTED));
	tela_reply_free(&r);
	return code;
}

/* Its place is the first: its calls are made on core 0. */
static void *parker(void *arg)
{
	CHECK(call(arg, PARK, NULL) == TELA_OK);
	atomic_fetch_sub(&n_calling, 1);
	return NULL;
}

static void *caller(void *arg)
{
	struct tela_context other = context;

	other.root[0] ^= 1;
	for (uint32_t i = 0; i < CALLS; i++) {
		CHECK(call(arg, ECHO, &context) == TELA_OK);
		CHECK(call(arg, ECHO, &other) == TELA_UNAVAILABLE);
		CHECK(call(arg, ECHO, NULL) == TELA_UNAVAILABLE);
	}
	atomic_fetch_sub(&n_calling, 1);
	return NULL;
}

static void wait_for(const _Atomic uint32_t *what, uint32_t value)
{
	for (uint64_t i = 0; atomic_load(what) != value; i++) {
		CHECK(i < 1u << 30);
		tela_node_poll(node);
		sched_yield();
	}
}

static void one_round(struct tela_thread *const t[CALLERS + 1])
{
	pthread_t thread[CALLERS + 1];
	uint32_t before = atomic_load(&n_served), parked_before = atomic_load(&n_parked);

	atomic_store(&n_calling, 1);
	CHECK(!pthread_create(&thread[0], NULL, parker, t[0]));
	wait_for(&n_parked, parked_before + 1);
	tela_service_drain(service, "on purpose");
	atomic_fetch_add(&n_calling, CALLERS);
	for (int i = 1; i <= CALLERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, caller, t[i]));
	wait_for(&n_calling, 1);
	CHECK(atomic_load(&n_served) == before + CALLERS * CALLS);
	while (!tela_service_settled(service))
		sched_yield();
	CHECK(tela_service_in_flight(service) == 1);
	for (int i = 1; i <= CALLERS; i++)
		CHECK(!pthread_join(thread[i], NULL));
	CHECK(!tela_thread_answer(t[1], parked, "", 0));
	wait_for(&n_calling, 0);
	CHECK(!pthread_join(thread[0], NULL));
	CHECK(call(t[1], ECHO, &context) == TELA_UNAVAILABLE); /* the tree is no more */
	tela_service_admit(service, true, NULL);
	CHECK(call(t[1], ECHO, NULL) == TELA_OK);
}

/* The gate closes for good while a call waits, which is then cancelled. */
static void *cancelled(void *arg)
{
	struct tela_reply r;

	CHECK(!tela_thread_call(arg, client, &methods[0], "", 0, NULL, &r));
	CHECK(r.code == TELA_UNAVAILABLE && r.outcome == TELA_MAYBE_EXECUTED);
	tela_reply_free(&r);
	atomic_fetch_sub(&n_calling, 1);
	return NULL;
}

static void test_cancel(struct tela_thread *const t[CALLERS + 1])
{
	uint32_t before = atomic_load(&n_parked);
	pthread_t thread;

	atomic_store(&n_calling, 1);
	CHECK(!pthread_create(&thread, NULL, cancelled, t[0]));
	wait_for(&n_parked, before + 1);
	tela_service_cancel(service, UINT64_MAX);
	wait_for(&n_calling, 0);
	CHECK(!pthread_join(thread, NULL));
	while (tela_service_in_flight(service)) /* though its handler has not heard */
		sched_yield();
	CHECK(!tela_thread_answer(t[1], parked, "", 0));
	while (tela_node_in_flight(node)) /* it has now */
		sched_yield();
}

int main(void)
{
	const struct tela_budgets budgets = {.calls = 256, .messages_2k = 256, .messages_64k = 4};
	struct tela_thread *t[CALLERS + 1];

	node = bare_node_create(CORES, &budgets);
	CHECK(node);
	service = tela_service_add(node, &desc);
	CHECK(service);
	publish();
	client = tela_client_open(node, NULL, &desc, 1);
	CHECK(client);
	bare_node_start(node);
	for (int i = 0; i <= CALLERS; i++) {
		t[i] = tela_thread_attach(node);
		CHECK(t[i]);
	}
	for (int i = 0; i < ROUNDS; i++)
		one_round(t);
	CHECK(tela_node_counter(node, "calls_descended") >= ROUNDS * CALLERS * CALLS);
	test_cancel(t);
	for (int i = 0; i <= CALLERS; i++)
		tela_thread_detach(t[i]);
	bare_node_destroy(node);
	return 0;
}

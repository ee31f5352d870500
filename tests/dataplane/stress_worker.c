/* stress_worker.c - links that block, on a node's real loops: they run on workers while the cores
 * go on; what they answer arrives whole; what waits too long is refused, or not started; and the
 * watchdog names who does not come back, a worker or a core. */
#include "bare_node.h"

#include "worker.h"

#include <sched.h>

enum { CORES = 2, WORKERS = 3, CALLERS = 4, CALLS = 1500, FLOOD = 400 };
enum { ADD = 1, HOLD = 2, QUICK = 3, PASS = 4, HOG = 5 };

static struct tela_node *node;
static struct tela_client *client;
static struct tela_service *service;
static _Atomic bool release_workers, release_core, flood;
static _Atomic uint32_t n_held, n_left, n_on_core, n_started, n_ended, n_refused, n_calling;

static uint64_t value_of(const struct tela_call *call)
{
	uint64_t value;

	CHECK(call->request_len >= sizeof(value));
	memcpy(&value, call->request, sizeof(value));
	return value;
}

/* Everything that a link may do, off the cores. */
static enum tela_verdict add_one(struct tela_call *call, void *self)
{
	uint64_t value = value_of(call) + 1, *again = tela_call_alloc(call, sizeof(value));
	struct tela_handle h;

	CHECK(self == &service && !tela_core_self() && !tela_call_core(call) && tela_thread_self());
	CHECK(again && tela_call_pend(call, &h, NULL, NULL) == -ENOBUFS);
	if (value % 7 == 0)
		sched_yield();
	CHECK(!tela_reply_metadata(call, "of", "a worker"));
	if (value % 5 == 0)
		return tela_reply_status(call, TELA_OUT_OF_RANGE, "five");
	return tela_reply_copy(call, &value, sizeof(value));
}

static enum tela_verdict hold(struct tela_call *call, void *self)
{
	atomic_fetch_add(&n_held, 1);
	while (!atomic_load(&release_workers))
		sched_yield();
	return tela_reply_copy(call, call->request, call->request_len);
}

static enum tela_verdict quick(struct tela_call *call, void *self)
{
	uint64_t value = value_of(call) + 1;

	CHECK(tela_core_self());
	atomic_fetch_add(&n_on_core, 1);
	return tela_reply_copy(call, &value, sizeof(value));
}

/* The next link runs on the core again, with another request. */
static enum tela_verdict pass_on(struct tela_call *call, void *self)
{
	uint64_t value = value_of(call) + 100;

	CHECK(!tela_core_self() && !tela_call_replace(call, &value, sizeof(value)));
	return TELA_CONTINUE;
}

static enum tela_verdict hog(struct tela_call *call, void *self)
{
	while (!atomic_load(&release_core))
		sched_yield();
	return tela_reply_copy(call, call->request, call->request_len);
}

static void leave(struct tela_call *call, void *self)
{
	CHECK(tela_core_self() && self == &service);
	atomic_fetch_add(&n_left, 1);
}

static const struct tela_method_desc methods[] = {{"add", ADD, 0, 0, NULL, NULL},
	{"hold", HOLD, 0, 0, NULL, NULL}, {"quick", QUICK, 0, 0, NULL, NULL},
	{"pass", PASS, 0, 0, NULL, NULL}, {"hog", HOG, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 5, methods};
static const struct tela_link links[] = {{NULL, &desc, ADD, add_one, leave, true},
	{NULL, &desc, HOLD, hold, NULL, true}, {NULL, &desc, QUICK, quick, NULL},
	{NULL, &desc, PASS, pass_on, NULL}, {NULL, &desc, PASS, quick, NULL},
	{NULL, &desc, HOG, hog, NULL}};

static void publish(void)
{
	struct tela_image_link il[ARRAY_SIZE(links)];
	struct tela_image *image;
	char err[200] = "";

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		il[i] = (struct tela_image_link){&links[i], &service, "test"};
	il[3].blocking = true; /* as a configuration says it */
	image = tela_image_build(service, il, ARRAY_SIZE(links), err, sizeof(err));
	CHECK(image);
	tela_image_publish(service, image, NULL, NULL);
}

/* ---- callers ---- */

static void call_one(struct tela_thread *t, uint16_t method, uint64_t value, uint64_t expect)
{
	struct tela_options o = {.deadline_us = 60000000};
	struct tela_reply r;
	uint64_t got;

	CHECK(!tela_thread_call(t, client, &methods[method - 1], &value, sizeof(value), &o, &r));
	if (method == ADD) {
		frame_Envelope_t e;

		CHECK(r.envelope);
		e = frame_Envelope_root(r.envelope);
		CHECK(frame_Envelope_metadata_len(e) == 1);
	}
	if (method == ADD && expect % 5 == 0) {
		CHECK(r.code == TELA_OUT_OF_RANGE && !strcmp(r.message, "five"));
	} else {
		CHECK(r.code == TELA_OK && r.len == sizeof(got));
		memcpy(&got, r.payload, sizeof(got));
		CHECK(got == expect);
	}
	tela_reply_free(&r);
}

static void *caller(void *arg)
{
	struct tela_thread *t = tela_thread_attach(node);
	uint64_t seed = (uintptr_t)arg + 1;

	CHECK(t && !tela_thread_self());
	for (uint64_t i = 0; i < CALLS; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		if (seed >> 62 == 0)
			call_one(t, PASS, i, i + 101);
		else if (seed >> 62 == 1)
			call_one(t, QUICK, i, i + 1);
		else
			call_one(t, ADD, i, i + 1);
	}
	tela_thread_detach(t);
	atomic_fetch_sub(&n_calling, 1);
	return NULL;
}

static void flooded(void *arg, const struct tela_result *r)
{
	(void)arg;
	if (r->code == TELA_RESOURCE_EXHAUSTED) {
		CHECK(r->outcome == TELA_NOT_EXECUTED);
		atomic_fetch_add(&n_refused, 1);
	}
	atomic_fetch_add(&n_ended, 1);
}

/* On core 0: more calls of `hold` than wait for a worker. */
static bool flood_task(struct tela_core *core, void *arg)
{
	struct tela_options o = {.deadline_us = 300000};
	struct tela_request r;
	uint64_t value = 1;

	(void)core;
	(void)arg;
	while (atomic_load(&flood) && atomic_load(&n_started) < FLOOD &&
		!tela_request_begin(client, &methods[HOLD - 1], sizeof(value), &o, &r)) {
		memcpy(r.payload, &value, sizeof(value));
		tela_request_send(&r, flooded, NULL);
		atomic_fetch_add(&n_started, 1);
	}
	return false;
}

/* ---- what is tried ---- */

static void wait_until(bool (*is_so)(void))
{
	for (int i = 0; !is_so(); i++) {
		const struct timespec tick = {.tv_nsec = 1000000};

		CHECK(i < 120000);
		tela_node_poll(node);
		nanosleep(&tick, NULL);
	}
}

static bool none_calls(void)
{
	return !atomic_load(&n_calling);
}

static bool all_started(void)
{
	return atomic_load(&n_started) == FLOOD && atomic_load(&n_held) == WORKERS;
}

static bool workers_named(void)
{
	return tela_node_counter(node, "worker_stalls") == WORKERS;
}

static bool all_ended(void)
{
	return atomic_load(&n_ended) == FLOOD;
}

static bool none_in_flight(void)
{
	return !tela_service_in_flight(service) && !tela_node_workers_busy(node);
}

static bool core_named(void)
{
	struct tela_core_info info;

	for (uint32_t i = 0; i < CORES; i++) {
		CHECK(!tela_node_core_info(node, i, &info));
		if (info.stalled && !strcmp(info.running, "test.Test.hog"))
			return true;
	}
	return false;
}

static bool none_stalled(void)
{
	struct tela_core_info info;

	for (uint32_t i = 0; i < CORES; i++) {
		CHECK(!tela_node_core_info(node, i, &info));
		if (info.stalled)
			return false;
	}
	return true;
}

static void *hog_caller(void *arg)
{
	struct tela_thread *t = tela_thread_attach(node);

	call_one(t, HOG, 9, 9);
	tela_thread_detach(t);
	return arg;
}

static void run_calls(void)
{
	pthread_t thread[CALLERS];

	atomic_store(&n_calling, CALLERS);
	for (uintptr_t i = 0; i < CALLERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, caller, (void *)i));
	wait_until(none_calls);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(thread[i], NULL);
	CHECK(atomic_load(&n_left) && atomic_load(&n_on_core));
	CHECK(tela_node_counter(node, "calls_worked") > CALLERS * CALLS / 4);
}

static void run_flood(void)
{
	struct tela_thread *t = tela_thread_attach(node);
	uint32_t refused;

	atomic_store(&flood, true);
	wait_until(all_started);
	call_one(t, QUICK, 5, 6); /* every worker is held, no core is */
	CHECK(tela_node_workers_busy(node) == WORKERS);
	wait_until(workers_named);
	wait_until(all_ended); /* by their deadline, or refused */
	/* Workers may or may not have taken theirs when the ring was full. */
	refused = atomic_load(&n_refused);
	CHECK(refused >= FLOOD - XRING_SIZE - WORKERS && refused <= FLOOD - XRING_SIZE);
	CHECK(tela_node_counter(node, "workers_full") == atomic_load(&n_refused));
	atomic_store(&release_workers, true);
	wait_until(none_in_flight);
	CHECK(atomic_load(&n_held) == WORKERS); /* nobody waited for the others any more */
	CHECK(tela_node_counter(node, "work_skipped") == FLOOD - refused - WORKERS);
	tela_thread_detach(t);
}

static void run_hog(void)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, hog_caller, NULL));
	wait_until(core_named);
	CHECK(tela_node_counter(node, "stalls") >= 1);
	atomic_store(&release_core, true);
	pthread_join(thread, NULL);
	wait_until(none_stalled);
}

int main(void)
{
	static const struct tela_budgets budgets = {.paths = 1,
		.sessions = 1,
		.slots = 8,
		.calls = 1024,
		.detached = 1024,
		.messages_2k = 1024,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 1024};
	char err[200] = "";
	struct tela_image_link alone = {&links[0], &service, "test"};

	node = bare_node_create(CORES, &budgets);
	CHECK(node);
	service = tela_service_add(node, &desc);
	client = tela_client_open(node, NULL, &desc, 0);
	CHECK(service && client);
	CHECK(!tela_image_build(service, &alone, 1, err, sizeof(err)) && strstr(err, "no workers"));
	CHECK(!workers_start(node, WORKERS));
	publish();
	CHECK(!tela_task_add(node, 0, flood_task, NULL));
	bare_node_start(node);
	run_calls();
	node->stall_warn_ms = 200;
	CHECK(!watchdog_start(node));
	run_flood();
	run_hog();
	printf("%llu calls worked, %llu skipped, %u refused\n",
		(unsigned long long)tela_node_counter(node, "calls_worked"),
		(unsigned long long)tela_node_counter(node, "work_skipped"),
		atomic_load(&n_refused));
	workers_stop(node);
	watchdog_stop(node);
	bare_node_destroy(node);
	return 0;
}

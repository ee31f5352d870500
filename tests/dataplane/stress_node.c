/* stress_node.c - a node's real loops, attached threads and the control thread, all at once: calls
 * are made and waited for, parked ones answered by other threads, threads come and go, and images
 * are swapped under all of it. Every call ends once with what it should; every call is counted by
 * one image; no link runs on an instance that is gone. */
#include "bare_node.h"

#include <sched.h>

enum { CORES = 2, CALLERS = 3, ANSWERERS = 2, CALLS = 4000, QUEUE = 4096 };

enum { LIVE = 0x11fe11fe, DEAD = 0xdeaddead };

struct instance {
	uint32_t magic;
	uint64_t generation;
};

static struct tela_node *node;
static struct tela_client *client;
static struct tela_service *service;
static _Atomic uint64_t n_ok, n_late, n_full, n_resumed, n_created, n_again;
static _Atomic uint32_t n_calling;
static uint64_t swaps, retired_calls;

/* ---- parked calls, on their way to the threads that answer ---- */

static struct {
	pthread_mutex_t lock;
	struct tela_handle handle[QUEUE];
	uint64_t value[QUEUE];
	uint32_t n;
} parked = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool park_put(struct tela_handle h, uint64_t value)
{
	bool room;

	pthread_mutex_lock(&parked.lock);
	room = parked.n < QUEUE;
	if (room) {
		parked.handle[parked.n] = h;
		parked.value[parked.n++] = value;
	}
	pthread_mutex_unlock(&parked.lock);
	return room;
}

static bool park_get(struct tela_handle *ret_h, uint64_t *ret_value)
{
	bool any;

	pthread_mutex_lock(&parked.lock);
	any = parked.n > 0;
	if (any) {
		*ret_h = parked.handle[--parked.n];
		*ret_value = parked.value[parked.n];
	}
	pthread_mutex_unlock(&parked.lock);
	return any;
}

/* ---- the service ---- */

static void check_live(const void *self)
{
	CHECK(((const struct instance *)self)->magic == LIVE);
}

static uint64_t value_of(const struct tela_call *call)
{
	uint64_t value;

	CHECK(call->request_len >= sizeof(value));
	memcpy(&value, call->request, sizeof(value));
	return value;
}

static enum tela_verdict add_one(struct tela_call *call, void *self)
{
	uint64_t value = value_of(call) + 1;

	check_live(self);
	CHECK(call->generation == ((struct instance *)self)->generation);
	return tela_reply_copy(call, &value, sizeof(value));
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	struct tela_handle h;
	const void *request;
	size_t len;

	check_live(self);
	if (tela_call_pend(call, &h, &request, &len))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "no message buffer");
	CHECK(len >= sizeof(uint64_t));
	CHECK(park_put(h, *(const uint64_t *)request));
	return TELA_PENDING;
}

/* Runs after a parked call was resumed too: the instance it began with is still there. */
static void leave(struct tela_call *call, void *self)
{
	(void)call;
	check_live(self);
}

static const struct tela_method_desc methods[] = {
	{"add", 1, 0, 0, NULL, NULL}, {"park", 2, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 2, methods};
static const struct tela_link links[] = {{NULL, &desc, 1, add_one, leave},
	{NULL, &desc, 2, park, leave}, {NULL, &desc, 2, add_one, NULL}};

/* ---- threads ---- */

static void call_one(struct tela_thread *t, uint64_t seed, uint64_t value)
{
	uint64_t payload[16] = {value};
	bool late = seed % 17 == 0;
	const struct tela_method_desc *m = &methods[seed >> 8 & 1];
	struct tela_options o = {.deadline_us = late ? 200 : 60000000, .max_reply_bytes = 64};
	struct tela_status_view s;
	struct tela_reply r;
	uint64_t got;

	CHECK(!tela_thread_call(t, client, m, payload, sizeof(payload), &o, &r));
	switch (r.code) {
	case TELA_OK:
		CHECK(r.len == sizeof(got));
		memcpy(&got, r.payload, sizeof(got));
		CHECK(got == value + 1);
		tela_thread_status(&r, &s);
		CHECK(s.kind == TELA_KIND_OK || s.kind == TELA_KIND_CREATED);
		atomic_fetch_add(&n_created, s.kind == TELA_KIND_CREATED);
		atomic_fetch_add(&n_ok, 1);
		break;
	case TELA_DEADLINE_EXCEEDED:
		CHECK(late);
		atomic_fetch_add(&n_late, 1);
		break;
	default:
		CHECK(r.code == TELA_RESOURCE_EXHAUSTED);
		atomic_fetch_add(&n_full, 1);
	}
	tela_reply_free(&r);
}

static void *call(void *arg)
{
	uint64_t me = (uintptr_t)arg, seed = me + 1;
	struct tela_thread *t = tela_thread_attach(node);

	CHECK(t);
	for (uint64_t i = 0; i < CALLS; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		call_one(t, seed >> 33, me << 32 | i);
		if (seed >> 57 == 0) { /* come and go */
			tela_thread_detach(t);
			t = tela_thread_attach(node);
			CHECK(t);
			atomic_fetch_add(&n_again, 1);
		}
	}
	tela_thread_detach(t);
	atomic_fetch_sub(&n_calling, 1);
	return NULL;
}

/* By an answer, or by letting the next link answer. */
static void *answer(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 100, value;
	struct tela_thread *t = tela_thread_attach(node);
	struct tela_handle h;

	CHECK(t);
	while (atomic_load(&n_calling)) {
		int rc;

		if (!park_get(&h, &value)) {
			sched_yield();
			continue;
		}
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		if (seed >> 60 == 0)
			sched_yield(); /* some wait a little longer */
		do {
			uint64_t next = value + 1;

			if ((seed >> 40 & 3) == 1)
				rc = tela_thread_answer(t, h, &next, sizeof(next));
			else if ((seed >> 40 & 3) == 3)
				rc = tela_thread_answer_created(t, h, &next, sizeof(next));
			else
				rc = tela_thread_continue(t, h, seed >> 41 & 1 ? &value : NULL,
					seed >> 41 & 1 ? sizeof(value) : 0);
		} while (rc == -EAGAIN);
		CHECK(!rc);
		atomic_fetch_add(&n_resumed, 1);
	}
	tela_thread_detach(t);
	return NULL;
}

/* ---- images: the control thread ---- */

static void retired(void *arg, uint64_t generation, uint64_t calls)
{
	struct instance *i = arg;

	CHECK(i->magic == LIVE && i->generation == generation);
	i->magic = DEAD;
	free(i);
	retired_calls += calls;
}

static struct instance *current;

static void swap(void)
{
	struct instance *self = malloc(sizeof(*self));
	struct tela_image_link il[3];
	struct tela_image *i;
	char err[200];

	CHECK(self);
	for (int k = 0; k < 3; k++)
		il[k] = (struct tela_image_link){&links[k], self, "test"};
	i = tela_image_build(service, il, 3, err, sizeof(err));
	CHECK(i);
	*self = (struct instance){LIVE, current ? current->generation + 1 : 1};
	tela_image_publish(service, i, retired, current);
	current = self;
	swaps++;
}

int main(void)
{
	static const struct tela_budgets budgets = {.paths = 1,
		.sessions = 1,
		.slots = 8,
		.calls = 256,
		.detached = 128,
		.messages_2k = 256,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 128};
	pthread_t thread[CALLERS + ANSWERERS];
	struct tela_handle h;
	uint64_t value, served;

	node = bare_node_create(CORES, &budgets);
	CHECK(node);
	service = tela_service_add(node, &desc);
	client = tela_client_open(node, NULL, &desc, 0);
	CHECK(service && client);
	swap();
	bare_node_start(node);
	atomic_store(&n_calling, CALLERS);
	for (uintptr_t i = 0; i < CALLERS + ANSWERERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, i < CALLERS ? call : answer, (void *)i));
	while (atomic_load(&n_calling)) {
		tela_node_poll(node);
		if (atomic_load(&node->n_retiring) < 32)
			swap();
		tela_service_admit(service, true, NULL);
		(void)tela_service_in_flight(service);
		(void)tela_node_in_flight(node);
		(void)tela_node_counter(node, "calls_served");
		sched_yield();
	}
	for (int i = 0; i < CALLERS + ANSWERERS; i++)
		pthread_join(thread[i], NULL);
	/* What was parked by calls whose time had passed is still held: answered now. */
	for (struct tela_thread *t = tela_thread_attach(node); t; t = NULL) {
		while (park_get(&h, &value))
			while (tela_thread_answer(t, h, &value, sizeof(value)) == -EAGAIN)
				sched_yield();
		tela_thread_detach(t);
	}
	while (tela_service_in_flight(service) || atomic_load(&node->n_retiring)) {
		tela_node_poll(node);
		sched_yield();
	}
	served = tela_node_counter(node, "calls_served");
	CHECK(retired_calls + tela_image_calls(tela_service_image(service)) == served);
	CHECK(n_ok + n_late + n_full == CALLERS * CALLS);
	CHECK(n_ok > n_late && n_resumed && n_created && n_full == 0);
	CHECK(tela_node_counter(node, "calls_done") == CALLERS * CALLS);
	printf("%llu calls: %llu ok, %llu too late; %llu parked and answered, %llu images, threads "
	       "attached again %llu times\n",
		(unsigned long long)(CALLERS * CALLS), (unsigned long long)n_ok,
		(unsigned long long)n_late, (unsigned long long)n_resumed,
		(unsigned long long)swaps, (unsigned long long)n_again);
	bare_node_destroy(node);
	free(current);
	return 0;
}

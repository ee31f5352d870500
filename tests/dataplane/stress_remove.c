/* stress_remove.c - services are added and removed as fast as it goes while callers call: one that
 * stays never fails, one that comes and goes answers or was surely not executed. Callers from other
 * nodes have bound it, so each core looks at it through binds too, as requests do. An instance is
 * poisoned when its image is retired, a descriptor when its service is removed; what a reader still
 * holds of either shows, with or without a sanitizer. Some calls wait for a thread that does not
 * answer before the service has gone: they are cancelled, and it may read their requests until it
 * does. */
#include "bare_node.h"
#include "callee.h"

#include <sched.h>
#include <time.h>

enum { CORES = 2, CALLERS = 2, ROUNDS = 60, WAITING = 4096, SESSIONS = 200, DESCRIPTORS = 64 };

enum { LIVE = 0x11fe11fe, DEAD = 0xdeaddead };

struct instance {
	_Atomic uint32_t magic, parked;
};

static struct tela_node *node;
static struct tela_client *stays_client, *comes_client;
static struct instance always = {LIVE}, instances[ROUNDS];
static _Atomic bool ending;
static _Atomic uint64_t n_stays, n_comes, n_refused, n_bound;
static uint32_t n_removed;

/* Calls that wait for the thread that is to answer them: those of `kept` no sooner than they are
 * torn from their service. */
static struct waiting {
	struct tela_handle handle;
	const void *request;
	const struct instance *kept; /* NULL: at once */
} waiting[WAITING];
static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t n_kept;
static _Atomic uint64_t n_torn;

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct instance *i = self;

	CHECK(atomic_load(&i->magic) == LIVE);
	CHECK(call->service->n_methods <= 2 && call->method->id == 1);
	return tela_reply_copy(call, call->request, call->request_len);
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	struct instance *i = self;
	struct waiting w = {.kept = atomic_fetch_add(&i->parked, 1) % 2 ? i : NULL};

	CHECK(!tela_call_pend(call, &w.handle, &w.request, NULL));
	pthread_mutex_lock(&waiting_lock);
	for (int k = 0;; k++) {
		CHECK(k < WAITING);
		if (waiting[k].request)
			continue;
		waiting[k] = w;
		break;
	}
	pthread_mutex_unlock(&waiting_lock);
	atomic_fetch_add(&n_kept, w.kept != NULL);
	return TELA_PENDING;
}

static void leave(struct tela_call *call, void *self)
{
	struct instance *i = self;

	CHECK(atomic_load(&i->magic) == LIVE);
	CHECK(call->method->id == 2);
}

static void *answer(void *unused)
{
	struct tela_thread *t = tela_thread_attach(node);

	CHECK(t);
	while (!atomic_load(&ending)) {
		pthread_mutex_lock(&waiting_lock);
		for (int k = 0; k < WAITING; k++) {
			struct waiting *w = &waiting[k];

			if (!w->request || (w->kept && atomic_load(&w->kept->magic) == LIVE))
				continue;
			CHECK(!memcmp(w->request, "tela", 4));
			CHECK(!tela_thread_answer(t, w->handle, "tela", 4));
			atomic_fetch_add(&n_torn, w->kept != NULL);
			w->request = NULL;
		}
		pthread_mutex_unlock(&waiting_lock);
		sched_yield();
	}
	tela_thread_detach(t);
	return unused;
}

static const struct tela_method_desc methods[] = {
	{.name = "echo", .id = 1}, {.name = "park", .id = 2}};
static const struct tela_service_desc stays_desc = {
	.name = "test.Stays", .schema = 1, .n_methods = 1, .methods = methods};
/* The callers' own, and those of the service, which are written over when it has gone. */
static const struct tela_service_desc comes_desc = {
	.name = "test.Comes", .schema = 2, .n_methods = 2, .methods = methods};
static struct tela_service_desc comes[DESCRIPTORS];
static const struct tela_link stays_link = {.service = &stays_desc, .method = 1, .enter = enter};
static const struct tela_link comes_links[] = {
	{.service = &comes_desc, .method = 1, .enter = enter},
	{.service = &comes_desc, .method = 2, .enter = park, .leave = leave}};

/* ---- who calls ---- */

static void *call(void *arg)
{
	struct tela_client *client = arg;
	struct tela_thread *t = tela_thread_attach(node);
	_Atomic uint64_t *n = client == stays_client ? &n_stays : &n_comes;
	const struct tela_options o = {.deadline_us = 60000000};

	CHECK(t);
	for (uint32_t i = 0; !atomic_load(&ending); i++) {
		bool parks = client == comes_client && i % 8 == 0;
		struct tela_reply r;

		CHECK(!tela_thread_call(t, client, &methods[parks], "tela", 4, &o, &r));
		CHECK(r.code == TELA_OK ||
			(client == comes_client && r.code == TELA_UNAVAILABLE &&
				(r.outcome == TELA_NOT_EXECUTED ||
					(parks && r.outcome == TELA_MAYBE_EXECUTED))));
		atomic_fetch_add(r.code ? &n_refused : n, 1);
		tela_reply_free(&r);
	}
	tela_thread_detach(t);
	return NULL;
}

/* ---- a core's side: sessions of other nodes ---- */

struct caller {
	struct callee_session *sessions;
	struct envelope named, bound;
	uint8_t bytes[ENVELOPE_MAX];
	uint32_t next;
};

static struct caller callers[CORES];

static void make_caller(struct caller *c, struct core *core)
{
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;
	int n;

	a.service = (struct tela_str){comes_desc.name, strlen(comes_desc.name)};
	a.schema = comes_desc.schema;
	a.method = 1;
	a.budget_us = 1000000;
	n = frame_Envelope_build(c->bytes, sizeof(c->bytes), &a);
	CHECK(n > 0 && !envelope_read(c->bytes, (uint32_t)n, &c->named));
	c->bound = (struct envelope){.budget_us = 1000000, .bind = 1, .method = 1};
	c->sessions = core->m.callee_sessions;
	CHECK(core->m.n_callee_sessions >= SESSIONS);
}

/* The next request of one of the sessions: by its bind if there is one, else by name, which binds.
 */
static bool request(struct tela_core *tela_core, void *arg)
{
	struct core *core = core_private(tela_core);
	struct caller *c = arg;
	struct callee_session *s = &c->sessions[c->next++ % SESSIONS];
	bool bound = s->n_binds;
	struct admission a;
	const struct refusal *no = callee_admit(&core->m, s, bound ? &c->bound : &c->named, &a);

	if (no) {
		CHECK(no->rebind ? bound : no->code == TELA_UNAVAILABLE);
		s->n_binds = no->rebind ? 0 : s->n_binds;
		return true;
	}
	CHECK(a.svc->desc->schema == 2);
	CHECK(atomic_load(&((struct instance *)a.chain->links[0].self)->magic) == LIVE);
	image_count_call(a.image, core->index);
	atomic_fetch_add(&n_bound, bound);
	if (!bound)
		s->binds[s->n_binds++] = (struct bind){a.svc, 2, a.image->generation};
	return true;
}

/* ---- the control side ---- */

static void tick(void)
{
	const struct timespec moment = {.tv_nsec = 20000};

	tela_node_poll(node);
	nanosleep(&moment, NULL);
}

static struct tela_service *add(
	const struct tela_service_desc *desc, const struct tela_link *links, struct instance *self)
{
	const struct tela_image_link l[] = {{links, self, "test"}, {links + 1, self, "test"}};
	struct tela_service *s = tela_service_add(node, desc);
	struct tela_image *image;
	char err[200];

	CHECK(s && !tela_service_add(node, desc) && errno == EEXIST);
	image = tela_image_build(s, l, desc->n_methods, err, sizeof(err));
	CHECK(image);
	tela_image_publish(s, image, NULL, NULL);
	return s;
}

static void retired(void *arg, uint64_t generation, uint64_t calls)
{
	struct instance *i = arg;

	(void)generation;
	(void)calls;
	atomic_store(&i->magic, DEAD);
}

static void removed(void *arg)
{
	struct tela_service *s = arg;
	struct tela_service_desc *desc = (struct tela_service_desc *)(uintptr_t)s->desc;

	memset(desc, 0xdb, sizeof(*desc));
	tela_service_free(s);
	n_removed++;
}

static void take_away(struct tela_service *s, struct instance *i)
{
	uint32_t before = n_removed;

	CHECK(tela_service_remove(s, removed, s) == -EBUSY);
	tela_service_admit(s, false, "removed");
	tela_image_publish(s, NULL, retired, i);
	CHECK(tela_service_remove(s, removed, s) == -EBUSY);
	while (atomic_load(&i->magic) == LIVE) {
		tela_service_cancel(s, UINT64_MAX);
		tick();
	}
	CHECK(!tela_service_in_flight(s));
	CHECK(!tela_service_remove(s, removed, s));
	CHECK(tela_service_remove(s, removed, s) == -EBUSY);
	CHECK(!tela_service_find(node, "test.Comes"));
	while (n_removed == before)
		tick();
}

static void one_round(int round)
{
	struct tela_service_desc *desc = &comes[round % DESCRIPTORS];
	uint64_t calls, bound = atomic_load(&n_bound), refused;
	uint32_t kept = atomic_load(&n_kept);
	struct tela_service *s;

	*desc = comes_desc;
	instances[round].magic = LIVE;
	s = add(desc, comes_links, &instances[round]);
	while (atomic_load(&n_kept) < kept + 1 || atomic_load(&n_bound) < bound + SESSIONS)
		tick();
	take_away(s, &instances[round]);
	refused = atomic_load(&n_refused);
	calls = atomic_load(&n_stays);
	while (atomic_load(&n_refused) == refused || atomic_load(&n_stays) == calls)
		tick();
}

/* The last place is given, one more is refused, and a place that was given back is there again. */
static void test_places(void)
{
	static char names[SERVICES_MAX][16];
	static struct tela_service_desc descs[SERVICES_MAX];
	static struct tela_service *s[SERVICES_MAX];
	uint32_t n, before = n_removed;

	for (n = 0; n < SERVICES_MAX; n++) {
		snprintf(names[n], sizeof(names[n]), "test.N%u", n);
		descs[n] = stays_desc;
		descs[n].name = names[n];
		s[n] = tela_service_add(node, &descs[n]);
		if (!s[n])
			break;
	}
	CHECK(n == SERVICES_MAX - 1 && errno == E2BIG); /* one stays */
	CHECK(!tela_service_remove(s[7], removed, s[7]));
	s[7] = tela_service_add(node, &descs[n]);
	CHECK(s[7] && s[7]->index == 8); /* before the core side has let go of the other one */
	for (uint32_t i = 0; i < n; i++)
		CHECK(!tela_service_remove(s[i], removed, s[i]));
	while (n_removed < before + SERVICES_MAX)
		tick();
	CHECK(node->n_services == 1);
}

int main(void)
{
	const struct tela_budgets budgets = {
		.slots = 4096, .calls = 256, .messages_2k = 256, .messages_64k = 4};
	pthread_t thread[2 * CALLERS], answering;

	node = bare_node_create(CORES, &budgets);
	CHECK(node);
	add(&stays_desc, &stays_link, &always);
	stays_client = tela_client_open(node, NULL, &stays_desc, 1);
	comes_client = tela_client_open(node, NULL, &comes_desc, 1);
	CHECK(stays_client && comes_client);
	test_places(); /* cores that do not poll yet */
	for (uint32_t i = 0; i < CORES; i++) {
		make_caller(&callers[i], node->cores[i]);
		CHECK(!tela_task_add(node, i, request, &callers[i]));
	}
	bare_node_start(node);
	for (int i = 0; i < 2 * CALLERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, call, i % 2 ? stays_client : comes_client));
	CHECK(!pthread_create(&answering, NULL, answer, NULL));
	for (int i = 0; i < ROUNDS; i++)
		one_round(i);
	test_places();
	atomic_store(&ending, true);
	for (int i = 0; i < 2 * CALLERS; i++)
		CHECK(!pthread_join(thread[i], NULL));
	CHECK(!pthread_join(answering, NULL));
	CHECK(n_torn);
	printf("%d rounds: %llu calls of what stays, none failed; %llu of what comes and goes, "
	       "%llu "
	       "refused, %llu by binds, %llu torn\n",
		ROUNDS, (unsigned long long)n_stays, (unsigned long long)n_comes,
		(unsigned long long)n_refused, (unsigned long long)n_bound,
		(unsigned long long)n_torn);
	bare_node_destroy(node);
	return 0;
}

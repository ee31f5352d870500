/* stress_close.c - clients are opened and closed while they are used: by calls of data cores, each
 * of which the one before it has begun; by threads that wait for calls whose handler never answers;
 * by threads whose calls have found no slot. Every one of them ends once, before the close returns,
 * and what the client and its descriptor stood in is gone then: a sanitizer sees who still looks.
 * The callers' side has all of its slots again. */
#include "bare_node.h"
#include "client.h"
#include "tela_mesh.h"
#include "thread.h"

#include <time.h>

enum {
	CORES = 2,
	ROUNDS = 20,
	CHAINS = 4,
	SLOTS = 16,
	THREADS = 32,
	OTHERS = 20,
	GO = 1,
	PARK = 2,
	NEST = 3
};

static struct tela_node *node;
static const struct tela_method_desc methods[] = {{"go", GO, 0, 0, NULL, NULL},
	{"park", PARK, 0, 0, NULL, NULL}, {"nest", NEST, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Closed", 1, NULL, 0, 3, methods};

/* ---- the service ---- */

static struct tela_handle parked[CORES][SLOTS * ROUNDS + SLOTS];
static _Atomic uint32_t n_parked[CORES], n_nested;
static struct tela_client *_Atomic nest_client;

static enum tela_verdict go(struct tela_call *call, void *self)
{
	(void)self;
	return tela_reply_copy(call, "tela", 4);
}

static void keep(struct tela_call *call)
{
	unsigned core = tela_core_index(tela_core_self());
	uint32_t n = atomic_load(&n_parked[core]);

	CHECK(n < ARRAY_SIZE(parked[0]));
	CHECK(!tela_call_pend(call, &parked[core][n], NULL, NULL));
	atomic_store(&n_parked[core], n + 1);
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	(void)self;
	keep(call);
	return TELA_PENDING;
}

static void nested(void *arg, const struct tela_result *r)
{
	(void)arg;
	CHECK(r->code == TELA_CANCELLED && r->outcome == TELA_MAYBE_EXECUTED);
	atomic_fetch_add(&n_nested, 1);
}

/* Stays pending after the call that it has made has ended. */
static enum tela_verdict nest(struct tela_call *call, void *self)
{
	const struct tela_options o = {.parent = call};
	struct tela_request r;

	(void)self;
	keep(call);
	CHECK(!tela_request_begin(atomic_load(&nest_client), &methods[1], 0, &o, &r));
	CHECK(!tela_request_send(&r, nested, NULL));
	return TELA_PENDING;
}

static const struct tela_link links[] = {{.service = &desc, .method = GO, .enter = go},
	{.service = &desc, .method = PARK, .enter = park},
	{.service = &desc, .method = NEST, .enter = nest}};

static void moment(void)
{
	static const struct timespec t = {.tv_nsec = 100000};

	nanosleep(&t, NULL);
}

/* ---- calls of data cores ---- */

struct row {
	struct tela_client *client;
	_Atomic uint64_t calls;
	_Atomic bool over;
};

static struct row chains[CORES][CHAINS];
static _Atomic uint32_t round_of[CORES], wanted;

static void call_again(struct row *c);

static void chain_done(void *arg, const struct tela_result *r)
{
	struct row *c = arg;

	CHECK(!atomic_load(&c->over));
	CHECK(r->code == TELA_OK || r->code == TELA_CANCELLED);
	atomic_fetch_add(&c->calls, 1);
	call_again(c);
}

static void call_again(struct row *c)
{
	struct tela_request r;
	int rc = tela_request_begin(c->client, &methods[0], 0, NULL, &r);

	CHECK(!rc || rc == -ESHUTDOWN);
	if (rc)
		atomic_store(&c->over, true);
	else
		CHECK(!tela_request_send(&r, chain_done, c));
}

static bool begin_chains(struct tela_core *core, void *arg)
{
	unsigned at = tela_core_index(core);
	uint32_t round = atomic_load(&wanted);

	(void)arg;
	if (atomic_load(&round_of[at]) == round)
		return false;
	for (int i = 0; i < CHAINS; i++)
		call_again(&chains[at][i]);
	atomic_store(&round_of[at], round);
	return true;
}

/* ---- calls of threads ---- */

struct caller {
	pthread_t thread;
	struct tela_thread *_Atomic attached;
	struct tela_client *_Atomic client; /* to be called next */
	uint16_t method;
	struct tela_reply reply;
};

static struct caller callers[THREADS];
static _Atomic bool ending;

static void *call(void *arg)
{
	struct caller *c = arg;
	const struct tela_options o = {.deadline_us = 120000000};
	struct tela_thread *t = tela_thread_attach(node);
	struct tela_client *client;

	CHECK(t);
	atomic_store(&c->attached, t);
	while (!atomic_load(&ending)) {
		client = atomic_load(&c->client);
		if (!client) {
			moment();
			continue;
		}
		CHECK(!tela_thread_call(t, client, &methods[c->method - 1], "", 0, &o, &c->reply));
		CHECK(c->reply.code == TELA_CANCELLED);
		CHECK(!strcmp(c->reply.message, client_closed));
		tela_reply_free(&c->reply);
		atomic_store(&c->client, NULL);
	}
	tela_thread_detach(t);
	return NULL;
}

static void tick(void)
{
	tela_node_poll(node);
	moment();
}

/* Until the core has it: nobody may call once closing has begun. */
static void submit(struct caller *c, struct tela_client *client, uint16_t method)
{
	struct tela_thread *t;
	uint32_t before;

	while (!(t = atomic_load(&c->attached)))
		tick();
	before = atomic_load(&t->ring[t->place % CORES].to_core.head);
	c->method = method;
	atomic_store(&c->client, client);
	while (atomic_load(&t->ring[t->place % CORES].to_core.head) == before)
		tick();
}

static uint32_t all_parked(void)
{
	return atomic_load(&n_parked[0]) + atomic_load(&n_parked[1]);
}

/* ---- the owner of the clients ---- */

static struct tela_client *open_client(const struct tela_service_desc *d, bool mesh)
{
	static const struct tela_mesh_instance here = {0};
	static const struct tela_mesh_config config = {.instances = &here, .n_instances = 1};
	char err[200] = "";
	struct tela_client *c = mesh ? tela_mesh_open(node, d, &config, err, sizeof(err))
				     : tela_client_open(node, NULL, d, 3);

	CHECK(c);
	return c;
}

static bool is(const void *descriptor, void *arg)
{
	return descriptor == arg;
}

static void close_client(struct tela_client *c, struct tela_service_desc *d)
{
	CHECK(tela_node_clients_use(node, is, d));
	tela_client_close(c);
	CHECK(!tela_node_clients_use(node, is, d));
	memset(d, 0xdb, sizeof(*d));
	free(d);
}

static struct tela_service_desc *copy(void)
{
	struct tela_service_desc *d = malloc(sizeof(*d));

	CHECK(d);
	*d = desc;
	return d;
}

/* Answers that nobody waits for any more. */
static void answer_all(struct tela_thread *t)
{
	for (unsigned core = 0; core < CORES; core++) {
		for (uint32_t i = 0; i < atomic_load(&n_parked[core]); i++)
			while (tela_thread_answer(t, parked[core][i], "", 0) == -EAGAIN)
				tick();
		atomic_store(&n_parked[core], 0);
	}
	while (tela_node_in_flight(node))
		tick();
}

static void chains_of(struct tela_client *client)
{
	for (int i = 0; i < CORES * CHAINS; i++) {
		struct row *c = &chains[i / CHAINS][i % CHAINS];

		c->client = client;
		atomic_store(&c->calls, 0);
		atomic_store(&c->over, false);
	}
	atomic_fetch_add(&wanted, 1);
	for (int i = 0; i < CORES * CHAINS; i++)
		while (atomic_load(&chains[i / CHAINS][i % CHAINS].calls) < 100)
			tick();
}

static uint64_t chains_over(void)
{
	uint64_t calls = 0;

	for (int i = 0; i < CORES * CHAINS; i++) {
		CHECK(atomic_load(&chains[i / CHAINS][i % CHAINS].over));
		calls += atomic_load(&chains[i / CHAINS][i % CHAINS].calls);
	}
	return calls;
}

static void returned(int first, int end)
{
	for (int i = first; i < end; i++)
		while (atomic_load(&callers[i].client))
			tick();
}

/* One client for cores and for threads, of which some wait for a slot behind those of another. */
static uint64_t one_round(struct tela_thread *t, bool mesh)
{
	struct tela_service_desc *d = copy(), *others = copy();
	struct tela_client *client = open_client(d, mesh), *other;

	chains_of(client);
	other = tela_client_open(node, NULL, others, 1);
	CHECK(other);
	for (int i = 0; i < THREADS; i++)
		submit(&callers[i], i < OTHERS ? other : client, PARK);
	while (all_parked() < CORES)
		tick();
	close_client(client, d);
	returned(OTHERS, THREADS);
	close_client(other, others);
	returned(0, OTHERS);
	answer_all(t);
	return chains_over();
}

/* The call that is left is cancelled after the memory of its child has gone. */
static void nested_round(struct tela_thread *t, bool mesh)
{
	struct tela_service_desc *above = copy(), *below = copy();
	struct tela_client *client = open_client(above, false);
	uint32_t before = atomic_load(&n_nested);

	atomic_store(&nest_client, open_client(below, mesh));
	submit(&callers[0], client, NEST);
	while (all_parked() < 2)
		tick();
	close_client(atomic_load(&nest_client), below);
	CHECK(atomic_load(&n_nested) == before + 1);
	close_client(client, above);
	while (atomic_load(&callers[0].client))
		tick();
	answer_all(t);
}

static void publish(void)
{
	struct tela_image_link l[ARRAY_SIZE(links)];
	struct tela_service *s = tela_service_add(node, &desc);
	struct tela_image *image;
	char err[200];

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		l[i] = (struct tela_image_link){&links[i], NULL, "test", false};
	image = s ? tela_image_build(s, l, ARRAY_SIZE(links), err, sizeof(err)) : NULL;
	CHECK(image);
	tela_image_publish(s, image, NULL, NULL);
}

int main(void)
{
	const struct tela_budgets budgets = {.slots = 64,
		.slots_per_session = SLOTS / 2,
		.calls = 256,
		.messages_2k = 256,
		.messages_64k = 2,
		.messages_1m = 1,
		.in_flight = SLOTS};
	uint32_t blocks;
	uint64_t calls = 0;
	struct tela_thread *t;

	node = bare_node_create(CORES, &budgets);
	CHECK(node);
	blocks = node->cores[0]->m.n_caller_blocks;
	publish();
	tela_client_close(NULL);
	tela_client_close(open_client(&desc, true)); /* of cores that do not poll yet */
	CHECK(!node->clients);
	for (uint32_t i = 0; i < CORES; i++)
		CHECK(!tela_task_add(node, i, begin_chains, NULL));
	bare_node_start(node);
	t = tela_thread_attach(node);
	CHECK(t);
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&callers[i].thread, NULL, call, &callers[i]));
	for (int i = 0; i < ROUNDS; i++) {
		calls += one_round(t, i % 2);
		nested_round(t, i % 2);
	}
	atomic_store(&ending, true);
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(callers[i].thread, NULL));
	tela_thread_detach(t);
	CHECK(!node->clients);
	bare_node_stop(node);
	for (uint32_t i = 0; i < CORES; i++) {
		const struct machine *m = &node->cores[i]->m;

		CHECK(m->n_caller_blocks == blocks && !m->n_sessions && !m->n_made);
		CHECK(!m->n_calls_busy && list_empty(&m->sessions));
		CHECK(list_empty(&node->cores[i]->meshes) && list_empty(&node->cores[i]->waiting));
	}
	printf("%d clients closed with %llu calls of cores on their way, none lost\n", 4 * ROUNDS,
		(unsigned long long)calls);
	bare_node_destroy(node);
	return 0;
}

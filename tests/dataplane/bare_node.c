#include "bare_node.h"
#include "names.h"
#include "state.h"

#include <time.h>
#include <x86intrin.h>

const struct tela_budgets bare_node_small = {.paths = 1,
	.sessions = 1,
	.slots = 8,
	.calls = 16,
	.detached = 8,
	.messages_2k = 64,
	.messages_64k = 1,
	.messages_1m = 1,
	.in_flight = 16};

static pthread_t threads[IMAGE_CORES_MAX];
static uint32_t n_threads;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* EAL would know; a few milliseconds are near enough for deadlines. */
static uint64_t measure_tsc_hz(void)
{
	uint64_t from_ns = clock_ns(), from = __rdtsc(), ns;

	do
		ns = clock_ns() - from_ns;
	while (ns < 5 * NS_PER_MS);
	return (uint64_t)((unsigned __int128)(__rdtsc() - from) * NS_PER_S / ns);
}

static bool make_core(
	struct tela_node *n, uint32_t index, uint64_t tsc_hz, const struct tela_budgets *budgets)
{
	struct core *c = aligned_alloc(
		CACHE_LINE, (sizeof(*c) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
	struct machine_config mc = {.node_id = 1,
		.incarnation = 1,
		.core = (uint16_t)index,
		.n_cores = (uint16_t)n->n_cores,
		.peer_silence_ns = NS_PER_S,
		.budgets = *budgets,
		.services = &n->table};

	n->cores[index] = c;
	if (!c)
		return false;
	memset(c, 0, sizeof(*c));
	c->node = n;
	c->index = index;
	c->memory.node = NUMA_ANY;
	c->idle = TELA_IDLE_ADAPTIVE;
	c->wake.fd = -1;
	list_init(&c->waiting);
	list_init(&c->meshes);
	core_seed(c);
	c->tsc_hz = tsc_hz;
	c->tsc_mult = (uint64_t)(((unsigned __int128)NS_PER_S << 32) / tsc_hz);
	c->peer_path = calloc(1, sizeof(*c->peer_path));
	c->peer_shown = calloc(1, sizeof(*c->peer_shown));
	return c->peer_path && c->peer_shown && !wake_init(&c->wake) &&
	       !machine_init(&c->m, &mc, &core_machine_ops, c, &c->counts);
}

struct tela_node *bare_node_create(uint32_t n_cores, const struct tela_budgets *budgets)
{
	struct tela_node *n = calloc(1, sizeof(*n));
	uint64_t tsc_hz = measure_tsc_hz();
	bool made;

	if (!n)
		return NULL;
	snprintf(n->name, sizeof(n->name), "bare");
	snprintf(n->budgets_owner, sizeof(n->budgets_owner), "node");
	n->cleaned = true; /* there is no EAL to stop */
	n->n_cores = n_cores;
	pthread_mutex_init(&n->threads_lock, NULL);
	pthread_mutex_init(&n->services_lock, NULL);
	pthread_mutex_init(&n->closing_lock, NULL);
	pthread_mutex_init(&n->logs_lock, NULL);
	n->cores = calloc(n_cores, sizeof(*n->cores));
	n->ports = calloc(1, sizeof(*n->ports));
	n->peers = calloc(1, sizeof(*n->peers));
	made = n->cores && n->ports && n->peers;
	for (uint32_t i = 0; made && i < n_cores; i++)
		made = make_core(n, i, tsc_hz, budgets);
	n->store = storage_create(n);
	n->names = names_create();
	made = made && !directory_create(n) && !ask_cores_init(n);
	if (made && n->store && n->names && !reclaimer_start(n))
		return n;
	tela_node_destroy(n);
	return NULL;
}

static void *loop(void *core)
{
	core_main(core);
	return NULL;
}

void bare_node_start(struct tela_node *n)
{
	atomic_store(&n->polling, true);
	for (n_threads = 0; n_threads < n->n_cores; n_threads++)
		CHECK(!pthread_create(&threads[n_threads], NULL, loop, n->cores[n_threads]));
}

void bare_node_stop(struct tela_node *n)
{
	for (uint32_t i = 0; i < n->n_cores; i++) {
		atomic_store(&n->cores[i]->stop, true);
		wake_up(&n->cores[i]->wake);
	}
	for (; n_threads; n_threads--)
		pthread_join(threads[n_threads - 1], NULL);
}

void bare_node_destroy(struct tela_node *n)
{
	bare_node_stop(n);
	tela_node_destroy(n);
}

#include "shim.h"

#include "crc32c.h"
#include "echo.h"
#include "envelope.h"
#include "hand.h"
#include "image.h"
#include "node.h"
#include "xring.h"

/* ---- envelopes ---- */

void shim_envelope_write(uint8_t *to, uint32_t budget_us, uint16_t bind, uint16_t method)
{
	envelope_write_bound(to, budget_us, bind, method);
}

uint64_t shim_envelope_read(const uint8_t *from, uint32_t len)
{
	struct envelope e;

	return envelope_read(from, len, &e) ? 0 : (uint64_t)e.budget_us + e.bind + e.method;
}

uint64_t shim_envelope_read_general(const uint8_t *from, uint32_t len)
{
	struct envelope e;

	return envelope_read_general(from, len, &e) ? 0 : (uint64_t)e.budget_us + e.bind + e.method;
}

int shim_envelope_build(
	uint8_t *to, size_t room, uint32_t budget_us, uint16_t bind, uint16_t method)
{
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;

	a.budget_us = budget_us;
	a.bind = bind;
	a.method = method;
	return frame_Envelope_build(to, room, &a);
}

int shim_envelope_build_named(uint8_t *to, size_t room, const char *service, uint64_t schema)
{
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;

	a.budget_us = 1000;
	a.method = 1;
	a.service = (struct tela_str){service, strlen(service)};
	a.schema = schema;
	return frame_Envelope_build(to, room, &a);
}

/* ---- echo.Message ---- */

int shim_message_build(uint8_t *to, size_t room, const uint8_t *data, size_t len)
{
	struct echo_Message_args a = echo_Message_ARGS_INIT;

	a.data = (struct tela_bytes){data, len};
	return echo_Message_build(to, room, &a);
}

uint64_t shim_message_read(const uint8_t *from, size_t len)
{
	struct tela_bytes b;

	if (echo_Message_verify(from, len))
		return UINT64_MAX;
	b = echo_Message_data(echo_Message_root(from));
	return b.len ? (uint64_t)b.data[0] + b.data[b.len - 1] : 0;
}

/* ---- chains ---- */

static uint64_t counted;

/* What each link does, and what is called directly: nothing. Anything that one call waits for from
 * the one before, a counter in memory even, would hide what the walk costs. */
static __attribute__((noinline)) enum tela_verdict pass(struct tela_call *call, void *self)
{
	__asm__ volatile("" : : "r"(call), "r"(self) : "memory");
	return TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	__asm__ volatile("" : : "r"(call), "r"(self) : "memory");
}

static const struct tela_method_desc methods[] = {{"a", 1, 0, 0, NULL, NULL},
	{"b", 2, 0, 0, NULL, NULL}, {"c", 3, 0, 0, NULL, NULL}, {"d", 4, 0, 0, NULL, NULL},
	{"e", 5, 0, 0, NULL, NULL}, {"f", 6, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"bench.Bench", 1, NULL, 0, 6, methods};
static const struct tela_link plain = {TELA_REQUEST_IN, NULL, 0, pass, NULL};
static const struct tela_link leaving = {TELA_REQUEST_IN, NULL, 0, pass, leave};

static struct tela_node node; /* without cores: a grace period is over at once */
static struct tela_service *swapped;
static struct tela_image *images[2][SHIM_LINKS_MAX + 1];
static struct service_table *table;
static char names[SHIM_SERVICES][24];

static struct tela_image *build(struct tela_service *s, unsigned n, const struct tela_link *link)
{
	struct tela_image_link links[SHIM_LINKS_MAX];
	struct tela_image *i;
	char err[200];

	for (unsigned k = 0; k < n; k++)
		links[k] = (struct tela_image_link){link, &counted, "bench"};
	i = image_build(s, 1, links, n, err, sizeof(err));
	CHECK(i);
	return i;
}

void shim_images_make(void)
{
	static struct tela_service_desc descs[SHIM_SERVICES];
	struct tela_service *services[SHIM_SERVICES];

	for (unsigned i = 0; i < SHIM_SERVICES; i++) {
		snprintf(names[i], sizeof(names[i]), "package%u.Service", i);
		descs[i] = desc;
		descs[i].name = names[i];
		services[i] = service_create(&node, &descs[i], i);
		CHECK(services[i]);
	}
	table = service_table_build(services, SHIM_SERVICES);
	CHECK(table && !reclaimer_start(&node));
	swapped = service_create(&node, &desc, 0);
	CHECK(swapped);
	for (unsigned n = 0; n <= SHIM_LINKS_MAX; n++) {
		images[0][n] = build(swapped, n, &plain);
		images[1][n] = build(swapped, n, &leaving);
	}
}

static const struct chain *chain_of(unsigned n, bool hooks)
{
	return image_method(images[hooks][n], 3);
}

uint64_t shim_chain_walk(unsigned n)
{
	enum tela_verdict v;

	return chain_walk(chain_of(n, false), 0, NULL, &v) + v;
}

uint64_t shim_chain_direct(unsigned n)
{
	const struct chain *c = chain_of(0, false); /* the same way to it */
	unsigned i;

	for (i = c->n_links; i < n; i++)
		if (pass(NULL, &counted) != TELA_CONTINUE)
			break;
	return i;
}

uint64_t shim_chain_walk_leave(unsigned n, bool hooks)
{
	const struct chain *c = chain_of(n, hooks);
	enum tela_verdict v;
	uint32_t at = chain_walk(c, 0, NULL, &v);

	if (c->n_leaves)
		chain_leave(c, at, NULL);
	return at;
}

const void *shim_table_find(const char *name, size_t len)
{
	return service_table_find(table, name, len);
}

const char *shim_table_name(unsigned i)
{
	return names[i];
}

const void *shim_image_method(uint32_t method)
{
	return image_method(images[0][4], method);
}

const void *shim_image_build(unsigned n)
{
	struct tela_image *i = build(swapped, n, &plain);

	tela_image_free(i);
	return i;
}

void shim_image_swap(unsigned n)
{
	tela_image_publish(swapped, build(swapped, n, &plain), NULL, NULL);
	tela_node_poll(&node);
	if (unlikely(swapped->generation % 4096 == 0))
		shim_image_settle(); /* so that memory stays bounded */
}

void shim_image_settle(void)
{
	node_reclaim_barrier(&node);
	tela_node_poll(&node);
}

/* ---- the rest ---- */

uint32_t shim_crc32c(const void *data, size_t len)
{
	return crc32c(0, data, len);
}

uint64_t shim_xring(unsigned n)
{
	static struct xring ring;
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		xring_push(&ring, (void *)(uintptr_t)(i + 1));
	for (unsigned i = 0; i < n; i++)
		sum += (uintptr_t)xring_pop(&ring);
	return sum;
}

/* ---- hand-over between two threads ---- */

static struct {
	struct hand_ring there, back;
	pthread_t thread;
	_Atomic bool stop;
} hand;

static void *hand_back(void *arg)
{
	uintptr_t what[HAND_BURST];

	while (!atomic_load_explicit(&hand.stop, memory_order_relaxed)) {
		uint32_t n = hand_take(&hand.there, what, HAND_BURST);

		for (uint32_t i = 0; i < n; i++)
			hand_put(&hand.back, what[i]);
		if (n)
			hand_publish(&hand.back);
	}
	return arg;
}

static cpu_set_t all; /* CPUs that we may use */

/* Each to one end of them. */
static void pin(pthread_t thread, bool last)
{
	cpu_set_t one;
	int cpu = last ? CPU_SETSIZE - 1 : 0;

	while (!CPU_ISSET(cpu, &all))
		cpu += last ? -1 : 1;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_setaffinity_np(thread, sizeof(one), &one);
}

void shim_hand_start(void)
{
	sched_getaffinity(0, sizeof(all), &all);
	atomic_store(&hand.stop, false);
	CHECK(!pthread_create(&hand.thread, NULL, hand_back, NULL));
	pin(hand.thread, true);
	pin(pthread_self(), false);
}

void shim_hand_stop(void)
{
	atomic_store(&hand.stop, true);
	pthread_join(hand.thread, NULL);
	sched_setaffinity(0, sizeof(all), &all);
}

static void hand_round(unsigned n)
{
	uintptr_t what[HAND_BURST];

	for (unsigned i = 0; i < n; i++)
		hand_put(&hand.there, i + 1);
	hand_publish(&hand.there);
	for (unsigned left = n; left;)
		left -= hand_take(&hand.back, what, HAND_BURST);
}

double shim_hand(unsigned n)
{
	uint64_t least = UINT64_MAX, took;
	struct timespec from, to;

	for (int i = 0; i < 1000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &from);
		hand_round(n);
		clock_gettime(CLOCK_MONOTONIC, &to);
		took = (uint64_t)(to.tv_sec - from.tv_sec) * NS_PER_S +
		       (uint64_t)(to.tv_nsec - from.tv_nsec);
		least = min_u64(least, took);
	}
	return (double)least / 1e9;
}

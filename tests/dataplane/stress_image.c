/* stress_image.c - readers walk chains while a writer publishes and retires images as fast as it
 * can. An instance is poisoned as soon as its image is retired, and its memory not used again: a
 * reader that still holds it sees that, with or without a sanitizer. What a retired image says it
 * executed is what the readers counted. */
#include "bare_node.h"

#include <sched.h>
#include <urcu-qsbr.h>

enum {
	READERS = 3,
	IMAGES = 2000,
	HELD = 8,
	PAST = 100 /* generations that a pin is held for */,
	LINKS = 3
};

enum { LIVE = 0x11fe11fe, DEAD = 0xdeaddead };

struct instance {
	uint32_t magic;
	uint64_t generation;
};

struct reader {
	struct core *core;
	pthread_t thread;
	uint64_t counted[IMAGES + 2]; /* calls by generation */
	struct {
		struct tela_image *image;
		const struct instance *self;
		uint64_t generation;
	} held[HELD];
	uint64_t pins, moved; /* pins held across grace periods */
};

static struct tela_service *service;
static struct reader readers[READERS];
static uint64_t retired_calls[IMAGES + 2];
static uint64_t n_retired;
static struct instance instances[IMAGES + 2];
static _Atomic bool stop;
static __thread uint32_t rests;

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	const struct instance *i = self;

	(void)call;
	CHECK(i->magic == LIVE);
	if (rests++ % 64 == 0) { /* a pass may take long: the image stays for all of it */
		sched_yield();
		CHECK(i->magic == LIVE);
	}
	return i->generation % 2 ? TELA_CONTINUE : TELA_ANSWER;
}

static const struct tela_method_desc method = {"m", 1, 0, 0, NULL, NULL};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 1, &method};
static const struct tela_link link_ = {NULL, &desc, 1, enter, NULL};

/* As a call would: the image found in this pass, its chain walked, counted; now and then pinned. */
static void run(struct reader *r, uint64_t seed)
{
	struct tela_image *i = atomic_load_explicit(&service->image, memory_order_acquire);
	const struct chain *c = image_method(i, 1);
	enum tela_verdict v;

	CHECK(c->n_links == LINKS);
	image_count_call(i, r->core->index);
	r->counted[i->generation]++;
	chain_walk(c, 0, NULL, &v);
	CHECK(v == (i->generation % 2 ? TELA_CONTINUE : TELA_ANSWER));
	if (seed >> 8 & 63)
		return;
	seed %= HELD;
	if (r->held[seed].image) { /* resumed under the image that it began with */
		const struct instance *self = r->held[seed].self;

		CHECK(self->magic == LIVE && self->generation == r->held[seed].generation);
		if (i->generation - r->held[seed].generation < PAST)
			return;
		r->moved++;
		image_pin_add(r->held[seed].image, r->core->index, -1);
		r->held[seed].image = NULL;
	} else {
		image_pin_add(i, r->core->index, 1);
		r->held[seed].image = i;
		r->held[seed].self = c->links[0].self;
		r->held[seed].generation = i->generation;
		r->pins++;
	}
}

/* As core_main() has it: `passes` first, then the quiescent state. */
static void quiescent(struct core *c)
{
	atomic_store_explicit(&c->passes,
		atomic_load_explicit(&c->passes, memory_order_relaxed) + 1, memory_order_release);
	rcu_quiescent_state();
}

static void *read_chains(void *arg)
{
	struct reader *r = arg;
	uint64_t seed = r->core->index + 1;

	rcu_register_thread();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		for (int i = 0; i < 16; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			run(r, seed >> 20);
		}
		quiescent(r->core);
		if (seed >> 60 == 0) { /* as a core that goes to sleep */
			rcu_thread_offline();
			sched_yield();
			rcu_thread_online();
		}
	}
	for (int i = 0; i < HELD; i++)
		if (r->held[i].image)
			image_pin_add(r->held[i].image, r->core->index, -1);
	quiescent(r->core);
	rcu_unregister_thread();
	return NULL;
}

static void retired(void *arg, uint64_t generation, uint64_t calls)
{
	struct instance *i = arg;

	CHECK(i == &instances[generation] && i->magic == LIVE && i->generation == generation);
	i->magic = DEAD;
	retired_calls[generation] = calls;
	n_retired++;
}

static void publish(uint64_t generation)
{
	struct instance *self = &instances[generation];
	struct tela_image_link links[LINKS];
	struct tela_image *i;
	char err[200];

	*self = (struct instance){LIVE, generation};
	for (int k = 0; k < LINKS; k++)
		links[k] = (struct tela_image_link){&link_, self, "test"};
	i = tela_image_build(service, links, LINKS, err, sizeof(err));
	CHECK(i && !tela_image_generation(i));
	/* The argument is the old one's: it is what is retired. */
	tela_image_publish(service, i, retired, &instances[generation - 1]);
	CHECK(tela_image_generation(i) == generation);
}

int main(void)
{
	static const struct tela_budgets budgets = {.paths = 1,
		.sessions = 1,
		.slots = 8,
		.calls = 8,
		.messages_2k = 1,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 8};
	struct tela_node *n = bare_node_create(READERS, &budgets);
	uint64_t calls = 0, pins = 0, moved = 0, counted[IMAGES + 2] = {0};

	CHECK(n);
	service = tela_service_add(n, &desc);
	CHECK(service);
	publish(1);
	for (uint32_t i = 0; i < READERS; i++) {
		readers[i].core = n->cores[i];
		CHECK(!pthread_create(&readers[i].thread, NULL, read_chains, &readers[i]));
	}
	for (uint64_t g = 2; g <= IMAGES; g++) {
		publish(g);
		tela_node_poll(n);
		if (g % 16 == 0)
			sched_yield();
		while (atomic_load(&n->n_retiring) > 64) {
			sched_yield();
			tela_node_poll(n);
		}
	}
	atomic_store(&stop, true);
	for (uint32_t i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		pins += readers[i].pins;
		moved += readers[i].moved;
		for (uint64_t g = 1; g <= IMAGES; g++)
			counted[g] += readers[i].counted[g];
	}
	node_reclaim_barrier(n);
	tela_node_poll(n);
	CHECK(n_retired == IMAGES - 1 && !n->retiring && !atomic_load(&n->n_retiring));
	retired_calls[IMAGES] = tela_image_calls(tela_service_image(service));
	for (uint64_t g = 1; g <= IMAGES; g++) {
		CHECK(retired_calls[g] == counted[g]);
		calls += counted[g];
	}
	CHECK(pins && moved && calls);
	printf("%d images, %llu calls, %llu pins, %llu of them held past a newer image\n", IMAGES,
		(unsigned long long)calls, (unsigned long long)pins, (unsigned long long)moved);
	bare_node_destroy(n);
	return 0;
}

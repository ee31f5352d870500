/* passer.c - for stress_object.c: a link that sees every call, and of one method takes it, to let
 * it go on from a thread of this object. What it may not find is told by magic numbers: the state
 * of an instance that has ended, or one of another build than the code that runs. */
#include "../../../dataplane/base.h"
#include "../../../dataplane/tela_plugin.h"

#include <pthread.h>

enum { LIVE = 0x11fe11fe, DEAD = 0xdeaddead, ROOM = 256, PARK = 2 };

/* A table of this build: another object of the same name has its own, elsewhere. */
static uint64_t build[64];

struct passer {
	uint32_t magic;
	const uint64_t *build;
	pthread_mutex_t lock; /* a test: a data core takes a lock of its own accord */
	struct tela_handle parked[ROOM];
	uint32_t n;
	struct tela_node *node;
};

static void check(const struct passer *p)
{
	CHECK(p->magic == LIVE && p->build == build && build[63] == 63);
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct passer *p = self;
	struct tela_handle h;
	bool room;

	check(p);
	if (call->method->id != PARK)
		return TELA_CONTINUE;
	pthread_mutex_lock(&p->lock);
	room = p->n < ROOM && !tela_call_pend(call, &h, NULL, NULL);
	if (room)
		p->parked[p->n++] = h;
	pthread_mutex_unlock(&p->lock);
	return room ? TELA_PENDING : TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	(void)call;
	check(self);
}

static bool take(struct passer *p, struct tela_handle *ret)
{
	bool any;

	pthread_mutex_lock(&p->lock);
	any = p->n > 0;
	if (any)
		*ret = p->parked[--p->n];
	pthread_mutex_unlock(&p->lock);
	return any;
}

static int work(struct tela_worker_run *r, void *self)
{
	struct passer *p = self;
	struct tela_thread *t = tela_thread_attach(p->node);
	struct tela_handle h;

	CHECK(t);
	while (!tela_worker_wait(r, 50 * NS_PER_US)) {
		check(p);
		while (take(p, &h))
			while (tela_thread_continue(t, h, NULL, 0) == -EAGAIN)
				tela_worker_wait(r, 1);
	}
	tela_thread_detach(t);
	return 0;
}

static const struct tela_worker worker[] = {{.name = "passer", .run = work}};
static const struct tela_workers workers = {.list = worker, .n = 1};

static int start(struct tela_hook *h, void **ret_self)
{
	struct passer *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	for (unsigned i = 0; i < ARRAY_SIZE(build); i++)
		build[i] = i;
	p->build = build;
	p->node = h->node;
	pthread_mutex_init(&p->lock, NULL);
	p->magic = LIVE;
	h->workers = &workers;
	*ret_self = p;
	return 0;
}

static void stop(struct tela_hook *h)
{
	struct passer *p = h->self;

	check(p);
	CHECK(!p->n); /* a call that it still held would have held its image */
	p->magic = DEAD;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter, .leave = leave}};
static const struct tela_plugin plugin = {.abi = TELA_PLUGIN_ABI,
	.name = "passer",
	.version = "1",
	.links = links,
	.n_links = 1,
	.start = start,
	.stop = stop};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);
__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}

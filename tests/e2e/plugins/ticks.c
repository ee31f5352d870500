/* ticks.c - workers that are tasks of a data core: one of every pass, one of every 5 ms, and one
 * that ends with an error while the file is there that its configuration names. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "tela_plugin.h"

struct options {
	bool all;
	uint32_t core;
	const char *die;
};

struct ticks {
	_Atomic uint64_t often, slow, elsewhere;
	const char *die;
	struct tela_worker list[3];
	struct tela_workers workers;
};

static int often(struct tela_core *core, void *self)
{
	struct ticks *t = self;

	atomic_fetch_add(core == tela_core_self() ? &t->often : &t->elsewhere, 1);
	return 0;
}

static int slow(struct tela_core *core, void *self)
{
	struct ticks *t = self;

	(void)core;
	atomic_fetch_add(&t->slow, 1);
	return 1;
}

static int dies(struct tela_core *core, void *self)
{
	struct ticks *t = self;

	(void)core;
	return access(t->die, F_OK) ? 0 : -EIO;
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct ticks *t = calloc(1, sizeof(*t));
	const struct options *o = h->values;

	if (!t)
		return -ENOMEM;
	t->die = o->die;
	t->list[0] = (struct tela_worker){.name = "often", .task = often, .core = o->core};
	t->list[1] = (struct tela_worker){.name = "slow", .task = slow, .period_ms = 5};
	t->list[2] = (struct tela_worker){.name = "dies", .task = dies, .period_ms = 5};
	t->workers = (struct tela_workers){.list = t->list, .n = 3, .max_restarts = 63};
	if (o->all)
		t->workers.strategy = TELA_ONE_FOR_ALL;
	h->workers = &t->workers;
	*ret_self = t;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct ticks *t = self;

	emit(arg, "often", atomic_load(&t->often));
	emit(arg, "slow", atomic_load(&t->slow));
	emit(arg, "elsewhere", atomic_load(&t->elsewhere));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, all, .help = "are ended and started again when one ends"),
	TELA_CONFIG(struct options, core, .max = 99, .help = "that the first one runs on"),
	TELA_CONFIG(struct options, die, .fallback = "/nowhere", .help = "it does, if that exists"),
};

static const struct tela_plugin plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "ticks",
	.version = "1",
	.keys = keys,
	.n_keys = sizeof(keys) / sizeof(keys[0]),
	.values_size = sizeof(struct options),
	.start = start,
	.stop = stop,
	.stats = stats,
};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);

const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}

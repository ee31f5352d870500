/* watcher.c - says on standard error which services come and go, and when one that a worker of it
 * waits for is there. */
#include <errno.h>
#include <stdio.h>

#include "tela_discovery.h"
#include "tela_plugin.h"

static struct tela_node *node;

static int wait(struct tela_worker_run *r, void *self)
{
	static const char *const names[] = {"echo.Echo", "calculator.Calculator", NULL};
	static const char *const never[] = {"no.Such", NULL};

	(void)r;
	(void)self;
	fprintf(stderr, "watcher: no.Such: %d\n", -tela_wait_for_services(node, never, 1000));
	fprintf(stderr, "watcher: echo and calculator: %d\n",
		-tela_wait_for_services(node, names, 60000000));
	return 0;
}

static const struct tela_worker worker = {.name = "waits", .run = wait, .restart = TELA_TEMPORARY};
static const struct tela_workers workers = {.list = &worker, .n = 1};

static void served(void *arg, const char *of, const char *service)
{
	(void)arg;
	fprintf(stderr, "watcher: at start %s %s\n", of ? of : ".", service);
}

static int start(struct tela_hook *h, void **ret_self)
{
	*ret_self = &node;
	node = h->node;
	h->workers = &workers;
	tela_services_served(node, served, NULL);
	return 0;
}

static void seen(struct tela_hook *h, const struct tela_seen *s)
{
	(void)h;
	fprintf(stderr, "watcher: %s %s %s %016llx\n", s->node ? s->node : ".", s->service,
		s->serves ? "comes" : "goes", (unsigned long long)s->incarnation);
}

static const struct tela_plugin plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "watcher",
	.version = "1",
	.start = start,
	.seen = seen,
};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);

const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}

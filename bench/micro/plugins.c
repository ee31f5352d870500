/* plugins.c - what the shipped plugins add to a call: their links, walked and left as a core does.
 */
#include "shim.h"

#include "builtin.h"
#include "node.h"

static struct core core;
static struct core *cores[] = {&core};
static struct tela_node node = {.n_cores = 1, .cores = cores};
static struct tela_image *images[SHIM_PLUGINS];

static enum tela_verdict handle(struct tela_call *call, void *self)
{
	__asm__ volatile("" : : "r"(call), "r"(self) : "memory");
	return TELA_ANSWER;
}

static const struct tela_method_desc methods[] = {{"a", 1, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"bench.Bench", 1, NULL, 0, 1, methods};
static const struct tela_link serve = {.service = &desc, .method = 1, .enter = handle};

static const struct tela_pair no_limit[] = {{"burst", "1000000"}, {"rate", "1000000000"}};
static const struct tela_plugin_config limits = {2, no_limit}, none = {0, NULL};

static void *start(const struct tela_plugin *p, const struct tela_plugin_config *config)
{
	struct tela_hook h = {.node = &node, .service = "bench", .config = config};
	void *self = NULL;

	CHECK(!p->start(&h, &self));
	return self;
}

void shim_plugins_make(void)
{
	struct tela_service *s = service_create(&node, &desc, 0);
	struct tela_image_link links[SHIM_PLUGINS] = {{0}};
	uint32_t n = 0;
	char err[200];

	CHECK(s);
	core.m.io = &core; /* as a core's own machine has it */
	for (unsigned i = 0; i < SHIM_PLUGINS; i++) {
		if (i == SHIM_REQUEST)
			links[n++] = (struct tela_image_link){
				request_plugin.links, start(&request_plugin, &none), "request"};
		if (i == SHIM_RATE_LIMIT)
			links[n++] = (struct tela_image_link){rate_limit_plugin.links,
				start(&rate_limit_plugin, &limits), "rate_limit"};
		links[n] = (struct tela_image_link){&serve, NULL, "bench"};
		images[i] = image_build(s, 1, links, n + 1, err, sizeof(err));
		CHECK(images[i]);
	}
}

uint64_t shim_plugins(unsigned upto)
{
	static struct call call = {.machine = &core.m,
		.pub = {.method = &methods[0], .service = &desc, .identity = 7}};
	const struct chain *c = image_method(images[upto], 1);
	enum tela_verdict v;
	uint32_t last = chain_walk(c, 0, &call.pub, &v);

	if (c->n_leaves)
		chain_leave(c, last, &call.pub);
	core.m.now_ns += 1000; /* the pass's clock moves on */
	return last;
}

/* plugins.c - what the shipped plugins add to a call: their links, walked and left as a core does,
 * on a request of calculator.Calculator/add whose caller has proved who it is. */
#include "shim.h"

#include "../../control/keys.h"
#include "builtin.h"
#include "calculator_rpc.h"
#include "identity.h"
#include "node.h"

#include <unistd.h>

static struct core core;
static struct core *cores[] = {&core};
static struct tela_node node = {.n_cores = 1, .cores = cores};
static struct tela_image *images[SHIM_PLUGINS];
static struct call call;

static enum tela_verdict handle(struct tela_call *c, void *self)
{
	__asm__ volatile("" : : "r"(c), "r"(self) : "memory");
	return TELA_ANSWER;
}

static const struct tela_link serve = {
	.service = &calculator_Calculator_service, .method = 1, .enter = handle};

/* alice, until the year 3000. */
static const char secret[] = "a secret for the benchmark";
static const char token[] =
	"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiAiYWxpY2UiLCAiZXhwIjogMzI1MDM2ODAwMDB9."
	"hOX7ifMcsx9pXAJqmiMxSeA_Vpt8SP61oFe1TFcbiQM";

static char secret_file[] = "/tmp/tela-micro-XXXXXX";
static const struct tela_pair no_limit[] = {{"burst", "1000000"}, {"rate", "1000000000"}};
static const struct tela_pair with_secret[] = {{"secret_file", secret_file}};
static const struct tela_plugin_config limits = {2, no_limit}, secrets = {1, with_secret}, none;

static void wrong_key(void *arg, uint32_t pair, const char *path, const char *what)
{
	fprintf(stderr, "%s: %s\n", path, what);
}

static void *start(const struct tela_plugin *p, const struct tela_plugin_config *config)
{
	char why[200] = "";
	void *values = NULL; /* the instance's, as long as this runs */
	struct tela_hook h = {.node = &node,
		.service = "calculator",
		.schema = &calculator_Calculator_service,
		.config = config,
		.error = why,
		.error_len = sizeof(why)};
	void *self = NULL;

	CHECK(!keys_read(p, config, &values, wrong_key, NULL));
	h.values = values;
	if (p->start(&h, &self)) {
		fprintf(stderr, "%s: %s\n", p->name, why);
		abort();
	}
	return self;
}

/* A machine that serves no wire: auth's thread answers it. */
static void make_core(void)
{
	static _Atomic(struct service_table *) services;
	static const struct machine_config config = {.n_cores = 1,
		.incarnation = 1,
		.budgets = {.paths = 1,
			.sessions = 1,
			.slots = 8,
			.slots_per_session = 8,
			.calls = 16,
			.detached = 16,
			.messages_2k = 16,
			.messages_64k = 2,
			.messages_1m = 1,
			.in_flight = 16,
			.pending = 16,
			.identities = 1},
		.services = &services};
	struct machine_config mc = config;

	core.node = &node;
	core.wake.fd = -1;
	list_init(&core.waiting);
	list_init(&core.meshes);
	core_seed(&core);
	pthread_mutex_init(&node.threads_lock, NULL);
	atomic_store(&node.polling, true);
	CHECK(!wake_init(&core.wake));
	CHECK(!machine_init(&core.m, &mc, &core_machine_ops, &core, &core.counts));
}

static void make_call(void)
{
	static uint64_t request[64], envelope[ENVELOPE_MAX / 8];
	const struct calculator_Operands_args operands = {.a = 1, .b = 2};
	const struct frame_Pair_args pair = {
		.key = {"authorization", 13}, .value = {token, sizeof(token) - 1}};
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;
	int n = calculator_Operands_build(request, sizeof(request), &operands);

	a.metadata = &pair;
	a.metadata_len = 1;
	CHECK(n > 0 && frame_Envelope_build(envelope, sizeof(envelope), &a) > 0);
	call.machine = &core.m;
	call.envelope = frame_Envelope_root(envelope);
	call.pub = (struct tela_call){.method = &calculator_Calculator_service.methods[0],
		.service = &calculator_Calculator_service,
		.request = (const uint8_t *)request,
		.request_len = (uint32_t)n,
		.deadline_ns = UINT64_MAX,
		.pass = &core.m.pass};
}

/* Until the thread of auth has verified the token, calls with it wait. */
static void learn_token(struct tela_image *image, struct tela_service *s)
{
	struct call *c = call_get(&core.m);

	CHECK(c);
	memset((uint8_t *)c + CALL_FRESH_FIRST, 0, CALL_FRESH_END - CALL_FRESH_FIRST);
	c->pub = call.pub;
	c->envelope = call.envelope;
	c->envelope_bytes = (const uint8_t *)call.envelope.p; /* never copied: see below */
	c->image = image;
	c->chain = image_method(image, 1);
	c->svc = s;
	c->session = NULL;
	c->slot = NULL;
	c->local = NULL;
	c->detached = true;
	core.m.n_detached++;
	call_run(&core.m, c);
	while (core.m.n_calls_busy)
		core_serve_threads(&core);
}

/* The call's session has shown the token: from here on it carries an index. */
static void prove(struct tela_service *s)
{
	static uint8_t datagram[256];
	static struct path path;
	static struct callee_slot slot;
	static struct callee_session session = {.path = &path, .n_binds = 1};
	const struct proof *p;

	path.open = (struct dgram){.buf = datagram, .data = datagram, .room = sizeof(datagram)};
	session.binds[0].service = s;
	call.session = &session;
	call.slot = &slot;
	call.svc = s;
	shim_plugins(SHIM_AUTH);
	CHECK(session.proofs);
	p = core.m.proofs[session.proofs - 1].at;
	CHECK(p->index);
	call.prover = p->prover;
	call.proof = p->proof;
	call.proved = true;
	call.envelope.p = NULL;
}

void shim_plugins_make(void)
{
	struct tela_service *s = service_create(&node, &calculator_Calculator_service, 0);
	static const struct {
		const struct tela_plugin *plugin;
		const struct tela_plugin_config *config;
	} of[SHIM_PLUGINS] = {
		[SHIM_REQUEST] = {&request_plugin, &none},
		[SHIM_TRACER] = {&tracer_plugin, &none},
		[SHIM_AUTH] = {&auth_plugin, &secrets},
		[SHIM_RATE_LIMIT] = {&rate_limit_plugin, &limits},
		[SHIM_VALIDATE] = {&validate_plugin, &none},
	};
	struct tela_image_link links[SHIM_PLUGINS] = {{0}};
	int fd = mkstemp(secret_file);
	uint32_t n = 0;
	char err[200];

	CHECK(s && fd >= 0 && write(fd, secret, sizeof(secret) - 1) == sizeof(secret) - 1);
	close(fd);
	make_core();
	make_call();
	for (unsigned i = 0; i < SHIM_PLUGINS; i++) {
		if (of[i].plugin)
			links[n++] = (struct tela_image_link){of[i].plugin->links,
				start(of[i].plugin, of[i].config), of[i].plugin->name};
		links[n] = (struct tela_image_link){&serve, NULL, "calculator"};
		images[i] = image_build(s, 1, links, n + 1, err, sizeof(err));
		CHECK(images[i]);
	}
	unlink(secret_file);
	learn_token(images[SHIM_AUTH], s);
	prove(s);
}

/* Drops what a sampled call took, as the call's end does. */
static __attribute__((cold, noinline)) void forget(void)
{
	msgpool_put(&core.m.msgs, call.nest);
	call.nest = NULL;
	call.pub.context = NULL;
}

uint64_t shim_plugins(unsigned upto)
{
	const struct chain *c = image_method(images[upto], 1);
	enum tela_verdict v;
	uint32_t last = chain_walk(c, 0, &call.pub, &v);

	CHECK(v == TELA_ANSWER && last == c->n_links - 1u); /* nobody refused it */
	if (c->n_leaves)
		chain_leave(c, last, &call.pub);
	if (unlikely(call.nest != NULL))
		forget();
	core.m.now_ns += 1000; /* the pass's clock moves on */
	return last;
}

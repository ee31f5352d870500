/* builtin_test.c - the plugins that the tests' telad has linked in: a service and three plugins
 * around it. */
#include "test_plugins.h"

#include "../../control/builtin.h"
#include "recorder_test.h"

#include "../../dataplane/tela_registry.h"

static enum tela_verdict go_on(struct tela_call *call, void *self)
{
	(void)call;
	(void)self;
	return TELA_CONTINUE;
}

static int verify(const void *payload, size_t len)
{
	(void)payload;
	return len == 3 ? -EBADMSG : 0; /* so that a test can give a request that is not valid */
}

static const struct tela_method_desc methods[] = {
	{.name = "Ping", .id = 1, .verify_request = verify}};
static const struct tela_service_desc desc = {
	.name = TEST_SERVICE, .schema = TEST_SCHEMA, .n_methods = 1, .methods = methods};
static const struct tela_service_desc other = {
	.name = "test.Other", .schema = 1, .n_methods = 1, .methods = methods};

static const struct tela_link serve[] = {{.service = &desc, .method = 1, .enter = go_on}};
static const struct tela_link serve_other[] = {{.service = &other, .method = 1, .enter = go_on}};
static const struct tela_link every[] = {{.callback = TELA_REQUEST_IN, .enter = go_on}};

static int start_fails(struct tela_hook *h, void **ret_self)
{
	(void)ret_self;
	snprintf(h->error, h->error_len, "on purpose");
	return -EIO;
}

static int start_counts(struct tela_hook *h, void **ret_self)
{
	static const uint8_t value[] = {1, 2, 255};
	int rc;

	/* The first of them has the name; all are in the bag. */
	(void)tela_name_register(
		h->owner, "counts.first", (struct tela_bytes){value, sizeof(value)}, NULL, 0);
	rc = tela_bag_add(h->owner, "counts", (struct tela_bytes){(const uint8_t *)"one", 3});
	*ret_self = rc ? NULL : malloc(8);
	return rc || *ret_self ? rc : -ENOMEM;
}

static void stop_counts(struct tela_hook *h)
{
	free(h->self);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	(void)self;
	emit(arg, "seen", 7);
}

struct options {
	uint32_t limit;
	struct {
		uint32_t rate;
	} limits;
	const char *note;
	struct tela_list names;
	struct tela_map allow;
	uint64_t pause;
};

static const struct tela_config_key limit_keys[] = {
	TELA_CONFIG(struct options, limit, .fallback = "10", .help = "of it"),
	TELA_CONFIG(struct options, limits.rate, .min = 1, .max = 1000, .unit = "calls/s",
		.help = "of another"),
	TELA_CONFIG(struct options, note, .help = "any text"),
	TELA_CONFIG(struct options, names, .max = 3, .help = "of them"),
	TELA_CONFIG(struct options, allow, .help = "what each may"),
	TELA_CONFIG_AS(DURATION, struct options, pause, .fallback = "20ms", .help = "between them"),
};

#define KEYS                                                                                       \
	.keys = limit_keys, .n_keys = ARRAY_SIZE(limit_keys), .values_size = sizeof(struct options)
static const char *const needs_auth[] = {"auth", NULL};
static const char *const wraps_service[] = {"svc", NULL};
static const char *const needs_ghost[] = {"ghost", NULL};
static const char *const plain_name[] = {"plain", NULL};

static const struct tela_plugin svc = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "svc",
	.version = "1.0",
	.links = serve,
	.serves = &desc,
	KEYS};
static const struct tela_plugin svc2 = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "svc2",
	.version = "1.0",
	.links = serve_other,
	.serves = &other,
	.needs = needs_auth};
static const struct tela_plugin plain = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "plain",
	.version = "1.0",
	.links = every,
	KEYS};
static const struct tela_plugin counts = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "counts",
	.version = "1.1",
	.links = every,
	.start = start_counts,
	.stop = stop_counts,
	.stats = stats};
static const struct tela_plugin auth = {
	.abi = TELA_PLUGIN_ABI, .n_links = 1, .name = "auth", .version = "1.0", .links = every};
static const struct tela_plugin limit = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "limit",
	.version = "1.0",
	.links = every,
	.needs = needs_auth};
static const struct tela_plugin wrapper = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "wrapper",
	.version = "1.0",
	.links = every,
	.wraps = wraps_service};
static const struct tela_plugin lonely = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "lonely",
	.version = "1.0",
	.links = every,
	.needs = needs_ghost};
static const struct tela_plugin snake = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "snake",
	.version = "1.0",
	.links = every,
	.needs = plain_name,
	.wraps = plain_name};
static const struct tela_plugin failing = {.abi = TELA_PLUGIN_ABI,
	.n_links = 1,
	.name = "failing",
	.version = "1.0",
	.links = every,
	.start = start_fails};

const struct tela_plugin *const tela_builtin_plugins[] = {&svc, &svc2, &plain, &counts, &auth,
	&limit, &wrapper, &lonely, &snake, &failing, &recorder, &recorder_a, &recorder_b, &crew,
	NULL};

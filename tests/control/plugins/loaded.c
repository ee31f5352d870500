/* loaded.c - one source for every object of the tests; what is wrong with it is chosen when it is
 * compiled. */
#include "../test_plugins.h"

#include <unistd.h>

#ifndef PLUGIN_NAME
#define PLUGIN_NAME "loaded"
#endif
#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION "1.0"
#endif

static enum tela_verdict go_on(struct tela_call *call, void *self)
{
	(void)call;
	(void)self;
	return TELA_CONTINUE;
}

#if defined(SERVES_REC) /* what the recorder serves */
static const struct tela_method_desc method = {.name = "Ping", .id = 1};
static const struct tela_service_desc desc = {
	.name = "test.Rec", .schema = 7, .n_methods = 1, .methods = &method};
#elif defined(OTHER_SCHEMA)
static const struct tela_service_desc desc = {.name = TEST_SERVICE, .schema = TEST_SCHEMA + 1};
#else
static const struct tela_service_desc desc = {.name = TEST_SERVICE, .schema = TEST_SCHEMA};
#endif
static const struct tela_link links[] = {{.service = &desc, .method = 1, .enter = go_on}};

struct options {
	const char *who;
};

__attribute__((unused)) static int start_hangs(struct tela_hook *h, void **ret_self)
{
	(void)h;
	(void)ret_self;
	for (;;)
		pause();
	return 0;
}

__attribute__((unused)) static void stop_hangs(struct tela_hook *h)
{
	(void)h;
	for (;;)
		pause();
}

__attribute__((unused)) static int start_fails(struct tela_hook *h, void **ret_self)
{
	(void)ret_self;
	snprintf(h->error, h->error_len, "no licence for %s",
		((const struct options *)h->values)->who);
	return -EACCES;
}

#ifdef CONSTRUCTOR_HANGS
static __attribute__((constructor)) void hang(void)
{
	for (;;)
		pause();
}
#endif

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, who, .fallback = "anybody", .help = "has no licence"),
};

static const struct tela_plugin plugin = {
#ifdef WRONG_ABI
	.abi = TELA_PLUGIN_ABI + 7,
#else
	.abi = TELA_PLUGIN_ABI,
#endif
	.n_links = 1,
	.name = PLUGIN_NAME,
	.version = PLUGIN_VERSION,
	.links = links,
	.keys = keys,
	.n_keys = sizeof(keys) / sizeof(keys[0]),
	.values_size = sizeof(struct options),
#ifdef SERVES_REC
	.serves = &desc,
#endif
#ifdef START_HANGS
	.start = start_hangs,
#endif
#ifdef START_FAILS
	.start = start_fails,
#endif
#ifdef STOP_HANGS
	.stop = stop_hangs,
#endif
};

#ifdef NO_ENTRY
#define ENTRY another_name
#else
#define ENTRY tela_plugin_v1
#endif

__attribute__((visibility("default"))) const struct tela_plugin *ENTRY(void);

const struct tela_plugin *ENTRY(void)
{
	return &plugin;
}

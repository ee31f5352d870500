/* probe.c - a plugin that does nothing but go on; what is wrong with it is chosen when it is
 * compiled. */
#include "base.h"
#include "echo_rpc.h"
#include "tela_plugin.h"

#include <stdio.h>
#include <unistd.h>

struct options {
	const char *who;
};

static enum tela_verdict go_on(struct tela_call *call, void *self)
{
	(void)call;
	(void)self;
	return TELA_CONTINUE;
}

#ifdef OTHER_SCHEMA
static const struct tela_service_desc other = {
	.name = "echo.Echo", .schema = echo_Echo_SCHEMA_HASH + 1};
static const struct tela_link links[] = {
	{.service = &other, .method = echo_Echo_echo_ID, .enter = go_on}};
#else
static const struct tela_link links[] = {{.callback = TELA_REQUEST_IN, .enter = go_on}};
#endif

static int start(struct tela_hook *h, void **ret_self)
{
	(void)ret_self;
#ifdef START_FAILS
	snprintf(h->error, h->error_len, "no licence for %s",
		((const struct options *)h->values)->who);
	return -EACCES;
#endif
#ifdef START_HANGS
	for (;;)
		pause();
#endif
	(void)h;
	return 0;
}

static void stop(struct tela_hook *h)
{
	(void)h;
#ifdef STOP_HANGS
	for (;;)
		pause();
#endif
}

#ifdef LOAD_HANGS
static __attribute__((constructor)) void load(void)
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
	.abi = TELA_PLUGIN_ABI + 1,
#else
	.abi = TELA_PLUGIN_ABI,
#endif
	.name = PLUGIN_NAME,
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
};

#ifdef NO_ENTRY
#define ENTRY another_name
#else
#define ENTRY tela_plugin_v1
#endif

__attribute__((visibility("default"))) const struct tela_plugin *ENTRY(void);
__attribute__((visibility("default"))) const struct tela_plugin *ENTRY(void)
{
	return &plugin;
}

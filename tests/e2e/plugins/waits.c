/* waits.c - a link in front of echo.Echo/echo that takes as many milliseconds as the message says:
 * waits.so says that it blocks, and so waits on a worker; holds.so holds the core. */
#include "echo_rpc.h"
#include "tela_plugin.h"

#include <string.h>
#include <time.h>

static enum tela_verdict take_time(struct tela_call *call, void *self)
{
	struct tela_bytes data = echo_Message_data(echo_Echo_echo_request(call));
	uint64_t ms = 0;
	struct timespec t;

	(void)self;
	if (data.len >= sizeof(ms))
		memcpy(&ms, data.data, sizeof(ms));
	t = (struct timespec){
		.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	if (ms)
		nanosleep(&t, NULL);
	return TELA_CONTINUE;
}

static const struct tela_link links[] = {{
	.service = &echo_Echo_service,
	.method = echo_Echo_echo_ID,
	.enter = take_time,
#ifndef HOLDS
	.blocking = true,
#endif
}};

static const char *const wraps[] = {"echo", NULL};

static const struct tela_plugin plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = PLUGIN_NAME,
	.version = "1.0",
	.wraps = wraps,
	.links = links,
	.n_links = 1,
};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);

const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}

/* echo_count.c - a method that echo's later schema has and the service does not: how many bytes. */
#include "base.h"
#include "echo_next_rpc.h"
#include "tela_plugin.h"

static enum tela_verdict count(struct tela_call *call, void *self)
{
	struct tela_bytes data = echo_Message_data(echo_Echo_count_request(call));
	struct echo_Message_args reply = {.hops = (uint32_t)data.len};

	(void)self;
	return echo_Echo_count_reply(call, &reply);
}

static const struct tela_link links[] = {
	{.service = &echo_Echo_service, .method = echo_Echo_count_ID, .enter = count},
};

static const struct tela_plugin plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "echo_count",
	.version = "1.0",
	.links = links,
	.n_links = ARRAY_SIZE(links),
};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);
__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}

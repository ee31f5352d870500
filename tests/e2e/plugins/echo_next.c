/* echo_next.c - echo, served by a later version of its schema: for callers that are behind. */
#include "base.h"
#include "echo_next_rpc.h"
#include "tela_plugin.h"

/* A field that older callers do not know goes back to them too. */
static enum tela_verdict echo(struct tela_call *call, void *self)
{
	struct echo_Message_args reply = {
		.data = echo_Message_data(echo_Echo_echo_request(call)), .hops = 7};

	(void)self;
	return echo_Echo_echo_reply(call, &reply);
}

static const struct tela_link links[] = {
	{.service = &echo_Echo_service, .method = echo_Echo_echo_ID, .enter = echo},
};

static const struct tela_plugin plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "echo_next",
	.version = "2.0",
	.serves = &echo_Echo_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);
__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}

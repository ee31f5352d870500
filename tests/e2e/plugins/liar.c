/* liar.c - a peer that says of itself what no node would, as its configuration key `how` tells. */
#include <stdio.h>
#include <stdlib.h>

#include "node_rpc.h"
#include "tela_plugin.h"

enum { SERVICES = 300 };

struct options {
	const char *how;
};

static uint64_t version = 1;

static bool is(void *self, const char *how)
{
	return !strcmp(self, how);
}

static enum tela_verdict beat(struct tela_call *call, void *self)
{
	version += is(self, "flood");
	if (is(self, "beat"))
		return tela_reply_copy(call, "no table at all", 16);
	return tela_node_Node_beat_reply(
		call, &(struct tela_node_Beat_args){.incarnation = 7, .version = version});
}

static enum tela_verdict announcement(struct tela_call *call, void *self)
{
	static struct tela_node_Service_args services[SERVICES];
	static char names[SERVICES][16];
	struct tela_node_Announcement_args a = {.node = {"liar", 4},
		.incarnation = 7,
		.version = is(self, "version") ? 0 : version,
		.services = services,
		.services_len = is(self, "many")    ? SERVICES
				: is(self, "flood") ? 200
						    : 1};

	if (is(self, "garbage"))
		return tela_reply_copy(call, "no table at all", 16);
	for (uint32_t i = 0; i < SERVICES; i++) {
		int n = snprintf(names[i], sizeof(names[i]), "lie.L%u", i);

		services[i] = (struct tela_node_Service_args){.name = {names[i], (size_t)n},
			.schema = i + 1,
			.serves = true,
			.weight = 1};
	}
	if (is(self, "name"))
		services[0].name = (struct tela_str){"two\nlines", 9};
	if (is(self, "status"))
		services[0].status = 200;
	return tela_node_Node_announcement_reply(call, &a);
}

static int start(struct tela_hook *h, void **ret_self)
{
	const struct options *o = h->values;

	*ret_self = strdup(o->how ? o->how : "");
	return *ret_self ? 0 : -1;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const struct tela_link links[] = {
	{.service = &tela_node_Node_service, .method = tela_node_Node_beat_ID, .enter = beat},
	{.service = &tela_node_Node_service,
		.method = tela_node_Node_announcement_ID,
		.enter = announcement},
};

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, how, .help = "it lies; unless given, it does not"),
};

static const struct tela_plugin plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "liar",
	.version = "1",
	.keys = keys,
	.n_keys = sizeof(keys) / sizeof(keys[0]),
	.values_size = sizeof(struct options),
	.serves = &tela_node_Node_service,
	.links = links,
	.n_links = 2,
	.start = start,
	.stop = stop,
};

__attribute__((visibility("default"))) const struct tela_plugin *tela_plugin_v1(void);

const struct tela_plugin *tela_plugin_v1(void)
{
	return &plugin;
}

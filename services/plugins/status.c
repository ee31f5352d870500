/* status.c - says with every status where it comes from, and whom to ask.
 *
 * Hooks:   status: adds to the metadata of every reply that ends with one.
 */
#include "svc.h"

enum { CONTACT_MAX = 120 };

struct options {
	bool node;
	const char *contact;
};

struct status {
	char node[TELA_NAME_MAX + 1], contact[CONTACT_MAX + 1];
};

/* On a data core. What finds no room in the envelope is left out. */
static void seen(struct tela_call *call, const struct tela_status_view *view, void *self)
{
	const struct status *s = self;

	(void)view;
	if (s->node[0])
		(void)tela_reply_metadata(call, "node", s->node);
	if (s->contact[0])
		(void)tela_reply_metadata(call, "contact", s->contact);
}

/* ---- hooks ---- */

static int start(struct tela_hook *h, void **ret_self)
{
	struct status *s = calloc(1, sizeof(*s));
	const struct options *o = h->values;

	if (!s)
		return svc_fail(h, -ENOMEM, "no memory");
	if (o->node)
		snprintf(s->node, sizeof(s->node), "%s", tela_node_name(h->node));
	if (o->contact)
		snprintf(s->contact, sizeof(s->contact), "%s", o->contact);
	*ret_self = s;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, node, .fallback = "true",
		.help = "whether the node's name is told, as \"node\""),
	TELA_CONFIG(struct options, contact, .max = CONTACT_MAX,
		.help = "told as \"contact\"; nothing unless given"),
};

static const struct tela_link links[] = {
	{.callback = TELA_STATUS, .status = seen},
};

const struct tela_plugin status_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "status",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(status_plugin);

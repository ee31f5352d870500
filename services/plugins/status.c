/* status.c - says with every status where it comes from, and whom to ask.
 *
 * Hooks:   status: adds to the metadata of every reply that ends with one.
 * Options: node     whether the node's name is told, as "node": true or false; true
 *          contact  told as "contact"; nothing
 */
#include "svc.h"

enum { CONTACT_MAX = 120 };

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

static int options(struct tela_hook *h, struct status *s)
{
	const char *node = tela_config_str(h->config, "node", "true");
	const char *contact = tela_config_str(h->config, "contact", "");

	if (strcmp(node, "true") && strcmp(node, "false"))
		return svc_fail(h, -EINVAL, "node: expected true or false, found \"%s\"", node);
	if (strlen(contact) > CONTACT_MAX)
		return svc_fail(h, -EINVAL, "contact: expected at most %d bytes, found %zu",
			CONTACT_MAX, strlen(contact));
	if (!strcmp(node, "true"))
		snprintf(s->node, sizeof(s->node), "%s", tela_node_name(h->node));
	snprintf(s->contact, sizeof(s->contact), "%s", contact);
	return 0;
}

static int config(struct tela_hook *h)
{
	struct status s = {0};

	return options(h, &s);
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct status *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return svc_fail(h, -ENOMEM, "no memory");
	rc = options(h, s);
	if (rc) {
		free(s);
		return rc;
	}
	*ret_self = s;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const char *const keys[] = {"node", "contact", NULL};

static const struct tela_link links[] = {
	{.callback = TELA_STATUS, .status = seen},
};

const struct tela_plugin status_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "status",
	.version = "1.0",
	.keys = keys,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(status_plugin);

#include "dial.h"

#include "admin.h"
#include "stack.h"

#include "../dataplane/tela_mesh.h"

enum { DIAL_PEERS_BYTES = 1024 };

struct kept_client {
	struct kept_client *next;
	struct tela_client *client;
	const struct tela_service_desc *service;
	char peer[DIAL_PEERS_BYTES]; /* names, and for several how they are called */
};

struct kept_service {
	struct kept_service *next;
	struct tela_service_desc desc;
	char name[];
};

struct kept_method {
	char name[DIAL_METHOD_MAX + 1];
	struct kept_method *next;
	struct tela_method_desc desc;
};

static struct kept_client *clients;
static struct kept_service *services;
static struct kept_method *methods;
static uint32_t n_clients, n_services, n_methods;

/* Room for one more of them, zeroed. */
static void *keep(uint32_t *n, size_t size)
{
	void *kept = *n < DIAL_MAX ? calloc(1, size) : NULL;

	if (kept)
		++*n;
	else
		errno = *n < DIAL_MAX ? ENOMEM : EMFILE;
	return kept;
}

struct tela_client *dial_client(
	struct control *c, const char *peer, const struct tela_service_desc *service)
{
	struct kept_client *k;

	for (k = clients; k; k = k->next)
		if (k->service == service && !strcmp(k->peer, peer ? peer : ""))
			return k->client;
	k = keep(&n_clients, sizeof(*k));
	if (!k)
		return NULL;
	snprintf(k->peer, sizeof(k->peer), "%s", peer ? peer : "");
	k->service = service;
	k->client = tela_client_open(c->node, peer, service, 1);
	if (!k->client) {
		int error = errno;

		free(k);
		n_clients--;
		errno = error;
		return NULL;
	}
	k->next = clients;
	clients = k;
	return k->client;
}

/* Cuts `names` in place. Instances that it found, -1: too many. */
static int split_names(char *names, struct tela_mesh_instance at[TELA_MESH_INSTANCES_MAX])
{
	int n = 0;

	for (char *next; names; names = next) {
		next = strchr(names, ',');
		if (next)
			*next++ = 0;
		if (n == TELA_MESH_INSTANCES_MAX)
			return -1;
		at[n++].peer = strcmp(names, ".") ? names : NULL;
	}
	return n;
}

static struct tela_client *mesh_open(struct control *c, struct request *r, char *names,
	const struct tela_policy *policy, int balance, const char *zone,
	const struct tela_service_desc *service)
{
	struct tela_mesh_instance at[TELA_MESH_INSTANCES_MAX] = {{0}};
	struct tela_mesh_config config = {.instances = at,
		.policy = policy,
		.balance = balance,
		.anywhere = zone,
		.zone = zone};
	struct tela_client *client;
	char why[200] = "";
	int n = split_names(names, at);

	config.n_instances = n < 0 ? TELA_MESH_INSTANCES_MAX + 1 : (uint32_t)n;
	client = tela_mesh_open(c->node, service, &config, why, sizeof(why));
	if (!client)
		request_fail(r, -errno, "%s", why);
	return client;
}

struct tela_client *dial_mesh(struct control *c, struct request *r, const char *peers,
	const struct dial_how *how, const struct tela_service_desc *service)
{
	const struct tela_policy *p = tela_policy_named(how->policy ? how->policy : "mesh");
	int b = tela_balance_named(how->balance ? how->balance : "round_robin");
	struct tela_policy policy;
	char key[DIAL_PEERS_BYTES], names[DIAL_PEERS_BYTES];
	struct kept_client *k;

	if (!p || b < 0 || strlen(peers) + (how->zone ? strlen(how->zone) : 0) > sizeof(key) - 64) {
		request_fail(r, -EINVAL,
			!p      ? "policy: expected mesh or malla"
			: b < 0 ? "balance: expected round_robin, least, weighted or hash"
				: "node: too many names, or zone: too long");
		return NULL;
	}
	policy = *p;
	policy.hedge_us = how->hedge_us;
	snprintf(key, sizeof(key), "%s,%s/%d/%u/%s", peers, p->name, b, how->hedge_us,
		how->zone ? how->zone : "");
	for (k = clients; k; k = k->next)
		if (k->service == service && !strcmp(k->peer, key))
			return k->client;
	k = keep(&n_clients, sizeof(*k));
	if (!k) {
		dial_refused(r, peers);
		return NULL;
	}
	snprintf(names, sizeof(names), "%s", peers);
	k->client = mesh_open(c, r, names, &policy, b, how->zone, service);
	if (!k->client) {
		free(k);
		n_clients--;
		return NULL;
	}
	memcpy(k->peer, key, sizeof(key));
	k->service = service;
	k->next = clients;
	clients = k;
	return k->client;
}

void dial_refused(struct request *r, const char *peer)
{
	int rc = -errno;

	if (rc == -ENOENT)
		request_fail(r, rc, "no peer is named '%.64s'", peer);
	else if (rc == -EMFILE)
		request_fail(r, -EAGAIN, "%d services of peers have been called already: no more",
			DIAL_MAX);
	else
		request_fail(r, rc, "no client for '%.64s': out of memory", peer ? peer : "");
}

const struct tela_service_desc *dial_known_service(struct control *c, const char *name)
{
	struct stack *s = stack_find(c, name);

	if (s && s->desc) {
		plugin_keep(s->serves, "a client refers to its schema");
		return s->desc;
	}
	for (struct plugin *p = registry_first(c->registry); p; p = p->next) {
		const struct tela_service_desc *d = p->desc->serves;

		if (!d || p->state == PLUGIN_UNLOADING ||
			(strcmp(p->name, name) && strcmp(d->name, name)))
			continue;
		plugin_keep(p, "a client refers to its schema");
		return d;
	}
	return NULL;
}

const struct tela_service_desc *dial_service(const char *name, uint64_t schema)
{
	struct kept_service *k;

	for (k = services; k; k = k->next)
		if (k->desc.schema == schema && !strcmp(k->name, name))
			return &k->desc;
	k = keep(&n_services, sizeof(*k) + strlen(name) + 1);
	if (!k)
		return NULL;
	strcpy(k->name, name);
	k->desc = (struct tela_service_desc){.name = k->name, .schema = schema};
	k->next = services;
	services = k;
	return &k->desc;
}

const struct tela_method_desc *dial_method(uint16_t id, const char *name, bool idempotent)
{
	uint16_t flags = idempotent ? TELA_METHOD_IDEMPOTENT : 0;
	struct kept_method *k;
	char shown[sizeof(k->name)];

	if (name)
		snprintf(shown, sizeof(shown), "%s", name);
	else
		snprintf(shown, sizeof(shown), "%u", id);
	for (k = methods; k; k = k->next)
		if (k->desc.id == id && k->desc.flags == flags && !strcmp(k->name, shown))
			return &k->desc;
	k = keep(&n_methods, sizeof(*k));
	if (!k)
		return NULL;
	strcpy(k->name, shown);
	k->desc = (struct tela_method_desc){.name = k->name, .id = id, .flags = flags};
	k->next = methods;
	methods = k;
	return &k->desc;
}

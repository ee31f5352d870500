/* mesh_open.c - how a client of many instances is made and shown; see mesh.h. */
#include "mesh.h"

#include "node.h"
#include "say.h"

enum { BUDGET_FIRST = 10 * 100 }; /* ten, before any call has earned one */

static const struct tela_policy presets[] = {
	{.name = "mesh",
		.deadline_ms = 15000,
		.retries = 1000,
		.backoff_ms = 5,
		.backoff_max_ms = 1000,
		.jitter_percent = 50,
		.budget_percent = 20},
	{.name = "malla",
		.attempt_ms = 15000,
		.retries = 5,
		.backoff_ms = 1000,
		.backoff_max_ms = 1000},
};

const struct tela_policy *tela_policy_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(presets); i++)
		if (!strcmp(presets[i].name, name))
			return &presets[i];
	return NULL;
}

int tela_balance_named(const char *name)
{
	static const char *const names[] = {"round_robin", "least", "weighted", "hash"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -EINVAL;
}

static uint64_t name_hash(const char *s)
{
	uint64_t h = 14695981039346656037ull;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 1099511628211ull;
	return h;
}

static int check(const struct tela_mesh_config *c, char *err, size_t err_len)
{
	if (!c->n_instances || c->n_instances > TELA_MESH_INSTANCES_MAX)
		return say(err, err_len, -EINVAL, "%u instances: expected 1 to %d", c->n_instances,
			TELA_MESH_INSTANCES_MAX);
	for (uint32_t i = 0; i < c->n_instances; i++)
		for (uint32_t j = 0; j < i; j++) {
			const char *a = c->instances[i].peer, *b = c->instances[j].peer;

			if (!strcmp(a ? a : "", b ? b : ""))
				return say(err, err_len, -EINVAL, "%s is named twice",
					a ? a : "this node");
		}
	if (c->zone && strlen(c->zone) > TELA_NAME_MAX)
		return say(err, err_len, -EINVAL, "a zone of %zu bytes: expected at most %d",
			strlen(c->zone), TELA_NAME_MAX);
	if (c->policy && c->policy->jitter_percent > 100)
		return say(err, err_len, -EINVAL, "a jitter of %u %%: expected at most 100",
			c->policy->jitter_percent);
	return 0;
}

static void configure(struct mesh *mesh, const struct tela_mesh_config *c)
{
	struct balance_config *b = &mesh->balance;
	uint64_t zone = 0, local = 0;

	b->n = c->n_instances;
	b->how = c->balance;
	for (uint32_t i = 0; i < b->n; i++) {
		const struct tela_mesh_instance *from = &c->instances[i];
		struct balance_instance *to = &b->at[i];

		snprintf(to->name, sizeof(to->name), "%s", from->peer ? from->peer : "");
		to->name_hash = name_hash(to->name);
		to->weight = from->weight ? from->weight : 1;
		mesh->given[i] = (struct mesh_given){from->weight, from->zone};
		if (!from->peer)
			local = 1ull << i;
		if (c->zone && from->zone && !strcmp(c->zone, from->zone))
			zone |= 1ull << i;
	}
	if (c->anywhere)
		local = 0;
	mesh->given_first = local ? local : zone;
	b->first = mesh->given_first;
	if (c->zone && !local)
		snprintf(mesh->zone, sizeof(mesh->zone), "%s", c->zone);
}

static int open_cores(struct mesh *mesh, struct tela_node *n)
{
	for (uint32_t i = 0; i < n->n_cores; i++) {
		struct mesh_core *mc = &mesh->core[i];

		mc->mesh = mesh;
		mc->core = n->cores[i];
		mc->budget = BUDGET_FIRST;
		list_init(&mc->of_core);
		list_init(&mc->waiting);
		list_init(&mc->alls);
		mc->all = calloc(MESH_ALLS, sizeof(*mc->all));
		mc->calls = calloc(TELA_MESH_CALLS, sizeof(*mc->calls));
		if (!mc->calls || !mc->all)
			return -ENOMEM;
		for (uint32_t k = MESH_ALLS; k-- > 0;) {
			mc->all[k].next_free = mc->free_all;
			mc->free_all = &mc->all[k];
		}
		for (uint32_t k = TELA_MESH_CALLS; k-- > 0;) {
			mc->calls[k].next_free = mc->free;
			mc->free = &mc->calls[k];
		}
	}
	return 0;
}

void mesh_free(struct mesh *mesh)
{
	for (uint32_t i = 0; mesh && i < mesh->n_cores; i++)
		free(mesh->core[i].calls), free(mesh->core[i].all);
	free(mesh);
}

static void mesh_close(struct mesh *mesh)
{
	for (uint32_t i = 0; mesh && i < mesh->balance.n; i++)
		tela_client_close(mesh->instance[i]);
	mesh_free(mesh);
}

struct tela_client *tela_mesh_open(struct tela_node *n, const struct tela_service_desc *service,
	const struct tela_mesh_config *c, char *err, size_t err_len)
{
	struct tela_client *client;
	struct mesh *mesh;

	if (check(c, err, err_len)) {
		errno = EINVAL;
		return NULL;
	}
	mesh = calloc(1, sizeof(*mesh) + n->n_cores * sizeof(mesh->core[0]));
	if (!mesh)
		goto no_memory;
	mesh->n_cores = n->n_cores;
	mesh->policy = c->policy ? *c->policy : presets[0];
	mesh->policy.name = NULL;
	configure(mesh, c);
	for (uint32_t i = 0; i < c->n_instances; i++) {
		mesh->instance[i] = tela_client_open(n, c->instances[i].peer, service, 1);
		if (!mesh->instance[i] && errno == ENOENT) {
			say(err, err_len, 0, "no peer is named \"%s\"", c->instances[i].peer);
			mesh_close(mesh);
			errno = ENOENT;
			return NULL;
		}
		if (!mesh->instance[i])
			goto no_memory;
	}
	if (open_cores(mesh, n))
		goto no_memory;
	client = client_of_mesh(n, service, mesh);
	if (client) {
		directory_steer(n, client);
		return client;
	}
no_memory:
	mesh_close(mesh);
	say(err, err_len, 0, "no memory");
	errno = ENOMEM;
	return NULL;
}

uint32_t tela_mesh_size(const struct tela_client *c)
{
	return c->mesh ? c->mesh->balance.n : 0;
}

const char *tela_mesh_name(const struct tela_client *c, uint32_t instance)
{
	return c->mesh->balance.at[instance].name[0] ? c->mesh->balance.at[instance].name : NULL;
}

bool tela_mesh_view(
	const struct tela_client *c, uint32_t core, uint32_t instance, struct tela_mesh_view *ret)
{
	const struct mesh *mesh = c->mesh;
	const struct balance_state *s;

	if (!mesh || core >= mesh->n_cores || instance >= mesh->balance.n)
		return false;
	s = &mesh->core[core].balance.at[instance];
	*ret = (struct tela_mesh_view){
		.peer = mesh->balance.at[instance].name[0] ? mesh->balance.at[instance].name : NULL,
		.calls = atomic_load_explicit(&s->calls, memory_order_relaxed),
		.failures = atomic_load_explicit(&s->failures, memory_order_relaxed),
		.ejections = atomic_load_explicit(&s->ejections, memory_order_relaxed),
		.ejected = atomic_load_explicit(&s->ejected, memory_order_relaxed)};
	return true;
}

/* directory.c - see tela_discovery.h. One list of served services for each node; written by the
 * control thread under a lock, so that others may look. Clients of many instances get of it a bit
 * for each instance that is known not to serve, one for each of their zone, and weights. */
#include "mesh.h"
#include "node.h"
#include "tela_discovery.h"

#include <time.h>

struct served {
	uint32_t n;
	const char *zone; /* NULL: none */
	struct served_service {
		uint32_t weight;
		const char *name;
	} at[];
};

struct directory {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct served *of[]; /* [1 + peer], this node first; NULL: not known */
};

int directory_create(struct tela_node *n)
{
	struct directory *d = calloc(1, sizeof(*d) + (n->n_peers + 1) * sizeof(d->of[0]));
	pthread_condattr_t clock;

	if (!d)
		return -ENOMEM;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, &clock);
	pthread_condattr_destroy(&clock);
	n->directory = d;
	return 0;
}

void directory_destroy(struct tela_node *n)
{
	struct directory *d = n->directory;

	if (!d)
		return;
	for (uint32_t i = 0; i <= n->n_peers; i++)
		free(d->of[i]);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static const struct served_service *find(const struct served *s, const char *name)
{
	for (uint32_t i = 0; s && i < s->n; i++)
		if (!strcmp(s->at[i].name, name))
			return &s->at[i];
	return NULL;
}

/* ---- clients ---- */

static bool is_system(const char *service)
{
	return !strncmp(service, "tela.", 5);
}

void directory_steer(const struct tela_node *n, struct tela_client *c)
{
	struct mesh *mesh = c->mesh;
	uint64_t out = 0, first;

	if (!mesh)
		return;
	first = mesh->given_first;
	pthread_mutex_lock(&n->directory->lock);
	for (uint32_t i = 0; i < mesh->balance.n; i++) {
		const struct served *s = n->directory->of[1 + mesh->instance[i]->peer];
		const struct served_service *service = find(s, c->service->name);
		const struct mesh_given *given = &mesh->given[i];

		if (s && !service && !is_system(c->service->name))
			out |= 1ull << i;
		if (!given->weight)
			atomic_store_explicit(&mesh->balance.at[i].weight,
				service ? service->weight : 1, memory_order_relaxed);
		if (!given->zoned && *mesh->zone && s && s->zone && !strcmp(s->zone, mesh->zone))
			first |= 1ull << i;
	}
	atomic_store_explicit(&mesh->balance.first, first, memory_order_relaxed);
	atomic_store_explicit(&mesh->out, out, memory_order_relaxed);
	pthread_mutex_unlock(&n->directory->lock);
}

/* ---- what is known ---- */

static struct served *copy(
	const char *zone, const char *const *services, const uint32_t *weights, uint32_t n_services)
{
	size_t bytes = zone ? strlen(zone) + 1 : 0;
	struct served *s;
	char *text;

	for (uint32_t i = 0; i < n_services; i++)
		bytes += strlen(services[i]) + 1;
	s = malloc(sizeof(*s) + n_services * sizeof(s->at[0]) + bytes);
	if (!s)
		return NULL;
	text = (char *)&s->at[n_services];
	s->n = n_services;
	s->zone = zone ? text : NULL;
	if (zone)
		text = stpcpy(text, zone) + 1;
	for (uint32_t i = 0; i < n_services; i++) {
		s->at[i] = (struct served_service){weights[i], text};
		text = stpcpy(text, services[i]) + 1;
	}
	return s;
}

int tela_node_discovered(struct tela_node *n, const char *peer, const char *zone,
	const char *const *services, const uint32_t *weights, uint32_t n_services)
{
	struct directory *d = n->directory;
	int index = peer ? node_peer(n, peer) : -1;
	struct served *fresh = NULL, *old;

	if (peer && index < 0)
		return -ENOENT;
	if (services && !(fresh = copy(zone, services, weights, n_services)))
		return -ENOMEM;
	pthread_mutex_lock(&d->lock);
	old = d->of[1 + index];
	d->of[1 + index] = fresh;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	free(old);
	pthread_mutex_lock(&n->threads_lock); /* plugins open clients on another thread */
	for (struct tela_client *c = n->clients; c; c = c->next)
		directory_steer(n, c);
	pthread_mutex_unlock(&n->threads_lock);
	return 0;
}

static bool served_by_somebody(const struct tela_node *n, const char *name)
{
	for (uint32_t i = 0; i <= n->n_peers; i++)
		if (find(n->directory->of[i], name))
			return true;
	return false;
}

int tela_wait_for_services(struct tela_node *n, const char *const *services, uint64_t deadline_us)
{
	struct directory *d = n->directory;
	struct timespec end;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)(deadline_us / 1000000);
	end.tv_nsec += (long)(deadline_us % 1000000) * 1000;
	if (end.tv_nsec >= (long)NS_PER_S) {
		end.tv_nsec -= (long)NS_PER_S;
		end.tv_sec++;
	}
	pthread_mutex_lock(&d->lock);
	for (; *services && !rc; services++)
		while (!served_by_somebody(n, *services) && !rc)
			rc = -pthread_cond_timedwait(&d->changed, &d->lock, &end);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void tela_services_served(struct tela_node *n,
	void (*each)(void *arg, const char *node, const char *service), void *arg)
{
	struct directory *d = n->directory;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i <= n->n_peers; i++)
		for (uint32_t k = 0; d->of[i] && k < d->of[i]->n; k++)
			each(arg, i ? n->peers[i - 1].name : NULL, d->of[i]->at[k].name);
	pthread_mutex_unlock(&d->lock);
}

void tela_service_keep_local(struct tela_service *s)
{
	atomic_store_explicit(&s->local_only, true, memory_order_relaxed);
}

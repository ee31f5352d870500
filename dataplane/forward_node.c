/* forward_node.c - which nodes calls of client processes are sent on to: forward.h, tela_forward.h.
 *
 * A service that is sent on is never changed: where its methods change, another one takes its
 * place, and those that had bound the old one are told to bind again. None is freed before the
 * node, for clients are not; one that has been before is used again.
 */
#include "balance.h"
#include "client.h"
#include "forward.h"
#include "node.h"
#include "tela_forward.h"

struct sent_core {
	struct forward_queue queue;
	struct balance balance;
};

struct sent_service {
	struct forward forward; /* first: what the image's link has */
	struct tela_service_desc desc;
	struct tela_service *service;
	struct sent_service *next;
	struct tela_method_desc *methods;
	/* Instances, by place: a client is there before its bit is set. */
	struct tela_client *client[TELA_MESH_INSTANCES_MAX];
	uint32_t n_clients;
	_Atomic uint64_t usable;
	struct balance_config balance;
	struct sent_core core[];
};

/* ---- on data cores ---- */

/* Those that can be asked now; else those that soon can. */
static uint64_t reachable(
	struct core *core, const struct sent_service *s, uint64_t mask, bool nested)
{
	uint64_t by[CLIENT_DOWN + 1] = {0};

	for (uint64_t m = mask; m; m &= m - 1)
		by[client_state(core, s->client[__builtin_ctzll(m)])] |= m & -m;
	return by[CLIENT_UP]           ? by[CLIENT_UP]
	       : by[CLIENT_CONNECTING] ? by[CLIENT_CONNECTING]
	       : nested                ? by[CLIENT_LEAVING]
				       : 0;
}

static int begin(struct machine *m, struct forward *to, struct forward_call *f,
	const struct tela_method_desc *method, size_t size, const struct tela_options *o,
	struct tela_request *ret)
{
	struct sent_service *s = container_of(to, struct sent_service, forward);
	struct core *core = core_of(m);
	struct balance *b = &s->core[core->index].balance;
	uint64_t left = atomic_load_explicit(&s->usable, memory_order_acquire) & ~f->tried, mask;
	bool busy = false;

	while ((mask = reachable(core, s, left, f->call->pub.hops))) {
		int i = balance_choose(&s->balance, b, mask, m->now_ns, m->ops->random(m->io), 0);
		int rc = client_begin(core, s->client[i], method, size, o, ret);

		if (!rc) {
			f->instance = (uint8_t)i;
			f->tried |= 1ull << i;
			balance_begin(b, i, m->now_ns);
			return 0;
		}
		left &= ~(1ull << i);
		busy |= rc == -EAGAIN;
		if (rc == -ENOTCONN)
			balance_unreached(b, i, m->now_ns);
		else if (rc != -EAGAIN)
			return rc;
	}
	return busy ? -EAGAIN : -ENOTCONN;
}

static void ended(struct machine *m, struct forward *to, const struct forward_call *f,
	const struct tela_result *r)
{
	struct sent_service *s = container_of(to, struct sent_service, forward);

	balance_end(&s->core[core_of(m)->index].balance, f->instance, r, m->now_ns - f->sent_ns,
		m->now_ns);
}

static struct forward_queue *queue(struct machine *m, struct forward *to)
{
	struct sent_service *s = container_of(to, struct sent_service, forward);

	return &s->core[core_of(m)->index].queue;
}

static const struct forward_route route = {queue, begin, ended};
static const struct tela_link link_on = {.callback = TELA_REQUEST_IN, .enter = forward_enter};

/* ---- made ---- */

static void sent_free(struct sent_service *s)
{
	if (!s)
		return;
	if (s->service)
		tela_image_free(atomic_load(&s->service->image));
	service_free(s->service);
	free(s->methods);
	free(s);
}

/* Descriptors and their names in one piece, behind them that of the service; NULL: no memory. */
static struct tela_method_desc *copy_methods(const struct tela_forward *f, char **ret_name)
{
	size_t bytes = f->n_methods * sizeof(struct tela_method_desc) + strlen(f->service) + 1;
	struct tela_method_desc *to;
	char *text;

	for (uint32_t i = 0; i < f->n_methods; i++)
		bytes += strlen(f->methods[i].name) + 1;
	to = calloc(1, bytes);
	if (!to)
		return NULL;
	text = (char *)(to + f->n_methods);
	for (uint32_t i = 0; i < f->n_methods; i++) {
		to[i] = (struct tela_method_desc){.name = text,
			.id = f->methods[i].id,
			.flags = f->methods[i].idempotent ? TELA_METHOD_IDEMPOTENT : 0};
		text = stpcpy(text, f->methods[i].name) + 1;
	}
	*ret_name = strcpy(text, f->service);
	return to;
}

static struct sent_service *sent_create(
	struct tela_node *n, const struct tela_forward *f, enum tela_balance balance)
{
	struct tela_image_link link = {&link_on, NULL, "forward", false};
	struct sent_service *s = aligned_alloc(
		CACHE_LINE, (sizeof(*s) + n->n_cores * sizeof(s->core[0]) + CACHE_LINE - 1) &
				    ~(size_t)(CACHE_LINE - 1));
	struct tela_image *image = NULL;
	char err[200], *name;

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s) + n->n_cores * sizeof(s->core[0]));
	for (uint32_t i = 0; i < n->n_cores; i++)
		forward_queue_init(&s->core[i].queue);
	s->forward.route = &route;
	s->balance.how = balance;
	s->balance.n = TELA_MESH_INSTANCES_MAX;
	s->methods = copy_methods(f, &name);
	if (s->methods) {
		s->desc = (struct tela_service_desc){.name = name,
			.schema = f->schema,
			.n_methods = f->n_methods,
			.methods = s->methods};
		s->service = service_create(n, &s->desc, SERVICES_MAX + n->n_forwarded);
	}
	link.self = &s->forward;
	if (s->service)
		image = image_build(s->service, n->n_cores, &link, 1, err, sizeof(err));
	if (!image) {
		sent_free(s);
		return NULL;
	}
	image_swap(s->service, image);
	s->service->forward = &s->forward;
	atomic_store(&s->service->shed_ns, n->shed_us * NS_PER_US);
	return s;
}

/* What cores find from now on. 0 or -ENOMEM. */
static int publish(struct tela_node *n, struct sent_service *fresh)
{
	struct forward_table *t =
		malloc(sizeof(*t) + (n->n_forwarded + 1) * sizeof(struct tela_service *));
	struct forward_table *old;

	if (!t)
		return -ENOMEM;
	fresh->next = n->forwarded;
	n->forwarded = fresh;
	n->n_forwarded++;
	t->n = 0;
	for (struct sent_service *s = n->forwarded; s; s = s->next)
		t->at[t->n++] = s->service;
	old = atomic_exchange_explicit(&n->forwards, t, memory_order_acq_rel);
	if (old)
		node_free_later(n, old);
	return 0;
}

static bool same_methods(const struct sent_service *s, const struct tela_forward *f)
{
	bool same = s->desc.n_methods == f->n_methods;

	for (uint32_t i = 0; same && i < f->n_methods; i++)
		same = s->methods[i].id == f->methods[i].id &&
		       !strcmp(s->methods[i].name, f->methods[i].name) &&
		       !(s->methods[i].flags & TELA_METHOD_IDEMPOTENT) == !f->methods[i].idempotent;
	return same;
}

static bool same_service(const struct sent_service *s, const struct tela_forward *f)
{
	return s->desc.schema == f->schema && !strcmp(s->desc.name, f->service);
}

/* Its place among the instances, made if need be; or -errno. */
static int place_of(struct tela_node *n, struct sent_service *s, const char *peer)
{
	const int index = node_peer(n, peer);
	struct tela_client *c;

	if (index < 0)
		return -ENOENT;
	for (uint32_t i = 0; i < s->n_clients; i++)
		if (s->client[i]->peer == index)
			return (int)i;
	if (s->n_clients == TELA_MESH_INSTANCES_MAX)
		return -E2BIG;
	c = tela_client_open(n, peer, &s->desc, 1);
	if (!c)
		return -errno;
	s->client[s->n_clients] = c;
	return (int)s->n_clients++;
}

/* Goes on with the peers for which there is a place. */
static int steer(struct tela_node *n, struct sent_service *s, const struct tela_forward *f)
{
	uint64_t usable = 0;
	int rc = 0;

	for (uint32_t i = 0; i < f->n_peers; i++) {
		int place = place_of(n, s, f->peers[i].peer);

		if (place < 0) {
			rc = place;
			continue;
		}
		atomic_store_explicit(
			&s->balance.at[place].weight, f->peers[i].weight, memory_order_relaxed);
		usable |= 1ull << place;
	}
	atomic_store_explicit(&s->forward.own, f->own, memory_order_relaxed);
	atomic_store_explicit(&s->usable, usable, memory_order_release);
	atomic_store_explicit(&s->forward.open, usable != 0, memory_order_release);
	return rc;
}

int tela_node_forward(struct tela_node *n, const struct tela_forward *f, enum tela_balance balance)
{
	struct sent_service *now = NULL;
	int rc;

	if (balance == TELA_BALANCE_HASH || !*f->service)
		return -EINVAL;
	for (struct sent_service *s = n->forwarded; s; s = s->next)
		if (same_service(s, f) && same_methods(s, f))
			now = s;
	if (!now && f->n_peers) {
		if (n->n_forwarded == TELA_FORWARDS_MAX)
			return -E2BIG;
		now = sent_create(n, f, balance);
		if (!now || publish(n, now)) {
			sent_free(now);
			return -ENOMEM;
		}
	}
	rc = now ? steer(n, now, f) : 0;
	for (struct sent_service *s = n->forwarded; s; s = s->next)
		if (s != now && same_service(s, f))
			atomic_store_explicit(&s->forward.open, false, memory_order_release);
	return rc;
}

bool tela_node_has_clients(const struct tela_node *n)
{
	for (uint32_t i = 0; i < n->n_ports; i++)
		if (n->ports[i].forwards)
			return true;
	return false;
}

void tela_node_forwards(const struct tela_node *n,
	void (*emit)(void *arg, const struct tela_forward_view *v), void *arg)
{
	for (const struct sent_service *s = n->forwarded; s; s = s->next) {
		uint64_t usable = atomic_load_explicit(&s->forward.open, memory_order_relaxed)
					  ? atomic_load_explicit(&s->usable, memory_order_relaxed)
					  : 0;

		for (uint32_t i = 0; i < s->n_clients; i++) {
			struct tela_forward_view v = {.service = s->desc.name,
				.peer = n->peers[s->client[i]->peer].name,
				.schema = s->desc.schema,
				.serves = usable >> i & 1};

			for (uint32_t c = 0; c < n->n_cores; c++) {
				const struct balance_state *b = &s->core[c].balance.at[i];

				v.calls += atomic_load_explicit(&b->calls, memory_order_relaxed);
				v.failures +=
					atomic_load_explicit(&b->failures, memory_order_relaxed);
				v.ejections +=
					atomic_load_explicit(&b->ejections, memory_order_relaxed);
			}
			emit(arg, &v);
		}
	}
}

void forward_node_free(struct tela_node *n)
{
	free(atomic_load(&n->forwards));
	for (struct sent_service *s = n->forwarded, *next; s; s = next) {
		next = s->next;
		sent_free(s);
	}
}

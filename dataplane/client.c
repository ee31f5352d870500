#include "client.h"

#include "caller.h"
#include "mesh.h"
#include "node.h"
#include "out.h"

/* Sessions that one call looks at for a free slot; the next call goes on with the others. */
enum { TRIES = 64 };

/* Core c of n calls the cores c, c + n, c + 2n... of a peer that has more than n, and c modulo its
 * number of one that has not: every core of the peer is called, and as few frames as can be come to
 * a core that they are not for. */
static uint32_t spread_max(const struct tela_node *n, int peer)
{
	return peer < 0 ? 1 : (SPREAD_MAX + n->n_cores - 1) / n->n_cores;
}

/* Plugins open clients on the lifecycle thread, the node's owner on its own. */
static void enter(struct tela_node *n, struct tela_client *c)
{
	pthread_mutex_lock(&n->threads_lock);
	c->next = n->clients;
	n->clients = c;
	pthread_mutex_unlock(&n->threads_lock);
}

static void *lines_in(void *memory)
{
	return (void *)(((uintptr_t)memory + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1));
}

struct tela_client *tela_client_open(struct tela_node *n, const char *peer,
	const struct tela_service_desc *service, unsigned sessions)
{
	struct tela_client *c;
	int index = -1;

	if (peer && (index = node_peer(n, peer)) < 0) {
		errno = ENOENT;
		return NULL;
	}
	sessions = sessions ? sessions : 1;
	c = calloc(1, sizeof(*c) + n->n_cores * sizeof(c->core[0]));
	if (!c)
		return NULL;
	c->node = n;
	c->service = service;
	c->peer = index;
	c->n_sessions = peer ? sessions : 1;
	for (uint32_t i = 0; i < n->n_cores; i++) {
		/* As many as a peer with the most cores takes; most pages are never touched. */
		c->core[i].memory = calloc((size_t)c->n_sessions * spread_max(n, index) + 1,
			sizeof(struct caller_session));
		c->core[i].session = lines_in(c->core[i].memory);
		if (!c->core[i].memory) {
			client_free(c);
			errno = ENOMEM;
			return NULL;
		}
	}
	enter(n, c);
	return c;
}

struct tela_client *client_of_mesh(
	struct tela_node *n, const struct tela_service_desc *service, struct mesh *mesh)
{
	struct tela_client *c = calloc(1, sizeof(*c) + n->n_cores * sizeof(c->core[0]));

	if (!c)
		return NULL;
	c->node = n;
	c->service = service;
	c->peer = -1;
	c->mesh = mesh;
	enter(n, c);
	return c;
}

bool tela_node_clients_use(
	struct tela_node *n, bool (*in)(const void *descriptor, void *arg), void *arg)
{
	bool used = false;

	pthread_mutex_lock(&n->threads_lock);
	for (const struct tela_client *c = n->clients; c && !used; c = c->next)
		used = in(c->service, arg);
	pthread_mutex_unlock(&n->threads_lock);
	return used;
}

void client_free(struct tela_client *c)
{
	if (c)
		mesh_free(c->mesh);
	for (uint32_t i = 0; c && i < c->node->n_cores; i++)
		free(c->core[i].memory);
	free(c);
}

/* The k-th path from this core to a peer; made when first needed. */
static struct path *peer_path(struct core *core, int peer, uint32_t k)
{
	struct path **at = &core->peer_path[(uint32_t)peer * SPREAD_MAX + k], *p = *at;
	struct net_addr to;

	if (p)
		return p;
	node_peer_addr(core->node, core, (uint32_t)peer, &to);
	p = path_create(&core->m, &to, true);
	if (p) {
		p->peer_index = peer;
		p->wanted_core = (uint16_t)(core->index + k * core->node->n_cores);
		*at = p;
	}
	return p;
}

/* Sessions on one more path. Returns whether there is at least one. */
static bool open_sessions(struct core *core, struct tela_client *c, struct path *p)
{
	struct client_core *cc = &c->core[core->index];
	uint32_t n = 0;

	while (n < c->n_sessions &&
		!caller_session_open(&core->m, &cc->session[cc->n_sessions], p, c->service)) {
		cc->n_sessions++;
		n++;
	}
	if (n)
		cc->end[cc->n_paths++] = cc->n_sessions;
	return n;
}

/* How many cores the peer has is known when the first path is up. */
static __attribute__((noinline)) void client_spread(
	struct core *core, struct tela_client *c, const struct path *first)
{
	struct client_core *cc = &c->core[core->index];
	uint32_t n_cores = core->node->n_cores;

	cc->spread = true;
	for (uint32_t k = 1; core->index + k * n_cores < min_u32(first->peer_cores, SPREAD_MAX);
		k++) {
		struct path *p = peer_path(core, c->peer, k);

		if (!p || !open_sessions(core, c, p))
			return; /* the budgets say so */
	}
}

static int client_open(struct core *core, struct tela_client *c)
{
	struct client_core *cc = &c->core[core->index];
	struct path *p = NULL;

	if (cc->error)
		return cc->error;
	if (c->peer >= 0 && !(p = peer_path(core, c->peer, 0)))
		return -ENOBUFS;
	if (!open_sessions(core, c, p)) /* fewer than wanted do too, none does not */
		return cc->error = -ENOBUFS;
	cc->spread = !p;
	cc->open = true;
	return 0;
}

/* Of the paths that it has, the best. */
enum client_state client_state(struct core *core, struct tela_client *c)
{
	struct client_core *cc = &c->core[core->index];
	bool connecting = false, leaving = false;

	if (unlikely(!cc->open) && client_open(core, c))
		return CLIENT_DOWN;
	for (uint32_t i = 0; i < cc->n_sessions; i++) {
		const struct path *p = cc->session[i].path;

		if (!p || (p->state == PATH_UP && !p->draining))
			return CLIENT_UP;
		connecting |= p->state == PATH_CONNECTING;
		leaving |= p->state == PATH_UP;
	}
	return connecting ? CLIENT_CONNECTING : leaving ? CLIENT_LEAVING : CLIENT_DOWN;
}

/* The next calls are the next sessions', and none of thousands is in a cache. */
static inline void fetch_ahead(const struct caller_session *s)
{
	const struct caller_slot *slot = (s + 2)->free;

	__builtin_prefetch(s + 5, 1);
	if (slot) {
		__builtin_prefetch(slot, 1);
		__builtin_prefetch(&slot->session, 1);
		__builtin_prefetch(slot->bytes, 1);
		__builtin_prefetch(slot->bytes + CACHE_LINE, 1);
	}
}

/* The session behind those of the path that session `at` is of. */
static uint32_t path_end(const struct client_core *cc, uint32_t at)
{
	uint32_t k = 0;

	while (cc->end[k] <= at)
		k++;
	return cc->end[k];
}

/* `up`: only where a call can go now. */
static inline __attribute__((always_inline)) int begin_among(struct machine *machine,
	struct client_core *cc, bool up, const struct tela_method_desc *m, size_t size,
	const struct tela_options *o, struct tela_request *ret)
{
	int rc = -ENOTCONN;
	uint32_t tries = 0;

	for (uint32_t seen = 0; seen < cc->n_sessions && tries < TRIES; tries++) {
		const uint32_t at = cc->next;
		struct caller_session *s = &cc->session[at];
		uint32_t end = at + 1;
		int got = -ENOTCONN;

		if (unlikely(cc->n_sessions > FETCH_SESSIONS) && cc->n_sessions - at > 5)
			fetch_ahead(s);
		if (!up || s->path->state == PATH_UP)
			got = caller_begin(machine, s, m, size, o, ret);
		if (unlikely(got == -EAGAIN || (got == -EBUSY && rc == -ENOTCONN)))
			rc = got;
		/* What a path refuses it refuses to all of its sessions. */
		if (unlikely(got && s->path) &&
			(got == -ENOTCONN || got == -EBUSY || caller_path_holds(s->path)))
			end = path_end(cc, at);
		cc->next = unlikely(end == cc->n_sessions) ? 0 : end;
		if (likely(got != -EAGAIN && got != -ENOTCONN && got != -EBUSY))
			return got;
		seen += end - at;
	}
	return rc;
}

uint32_t client_retry_us(struct core *core, struct tela_client *c)
{
	struct client_core *cc = &c->core[core->index];
	uint32_t least = 0;

	for (uint32_t k = 0, at = 0; k < cc->n_paths; at = cc->end[k++]) {
		uint32_t us = throttle_wait_us(&core->m, cc->session[at].path, c->service);

		if (us && (!least || us < least))
			least = us;
	}
	return least;
}

/* Any client, whatever state it is in. */
static __attribute__((noinline)) int begin_somewhere(struct core *core, struct tela_client *c,
	const struct tela_method_desc *m, size_t size, const struct tela_options *o,
	struct tela_request *ret)
{
	struct client_core *cc = &c->core[core->index];
	int rc;

	if (c->mesh)
		return mesh_begin(core, c, m, size, o, ret);
	rc = cc->open ? 0 : client_open(core, c);
	if (rc)
		return rc;
	if (!cc->spread && cc->session->path->state == PATH_UP)
		client_spread(core, c, cc->session->path);
	/* What can be called now is not kept waiting for a core that cannot. */
	for (bool up = cc->n_paths > 1;; up = false) {
		rc = begin_among(&core->m, cc, up, m, size, o, ret);
		if (rc != -ENOTCONN || !up)
			return rc;
	}
}

/* Most calls find the next session open; then nothing but its turn is to be seen to. */
int client_begin(struct core *core, struct tela_client *c, const struct tela_method_desc *m,
	size_t size, const struct tela_options *o, struct tela_request *ret)
{
	struct client_core *cc = &c->core[core->index];
	struct caller_session *s;

	ret->session = NULL;
	ret->client_core = core;
	if (unlikely(!cc->spread || cc->n_sessions > FETCH_SESSIONS))
		return begin_somewhere(core, c, m, size, o, ret);
	s = &cc->session[cc->next];
	if (unlikely(!caller_is_open(&core->m, s)))
		return begin_somewhere(core, c, m, size, o, ret);
	cc->next = unlikely(cc->next + 1 == cc->n_sessions) ? 0 : cc->next + 1;
	return caller_begin_open(&core->m, s, m, size, o, ret);
}

int tela_request_begin(struct tela_client *c, const struct tela_method_desc *m, size_t size,
	const struct tela_options *o, struct tela_request *ret)
{
	DCHECK(core_current);
	return out_begin(core_current, c, m, size, o, ret);
}

static __attribute__((noinline)) int send_else(struct tela_request *r, tela_done_fn done, void *arg)
{
	if (out_is(r->client_core, r->session))
		out_send(r, done, arg);
	else
		mesh_send(r->session, done, arg);
	return 0;
}

int tela_request_send(struct tela_request *r, tela_done_fn done, void *arg)
{
	struct core *core = r->client_core;

	if (unlikely(r->session != NULL))
		return send_else(r, done, arg);
	return caller_send(&core->m, r->slot, done, arg);
}

void tela_request_abandon(struct tela_request *r)
{
	struct core *core = r->client_core;

	if (out_is(core, r->session))
		out_abandon(r);
	else if (r->session)
		mesh_abandon(r->session);
	else
		caller_abandon(&core->m, r->slot);
}

int tela_request_lend(struct tela_client *c, const struct tela_method_desc *m, const void *payload,
	size_t len, const struct tela_options *o, tela_done_fn done, void *arg)
{
	bool seen = o && o->parent && call_of(o->parent)->image->n_out; /* by links */
	bool lent = len > PORT_MTU_MAX && len <= MSG_PAYLOAD_MAX && !c->mesh && !seen;
	struct tela_request r;
	int rc = tela_request_begin(c, m, lent ? 0 : len, o, &r);

	if (rc)
		return rc;
	if (!lent)
		memcpy(r.payload, payload, len);
	else
		rc = caller_lend(&core_current->m, r.slot, payload, (uint32_t)len);
	if (rc)
		tela_request_abandon(&r);
	return rc ? rc : tela_request_send(&r, done, arg);
}

struct tela_core *tela_core_self(void)
{
	return (struct tela_core *)core_current;
}

struct tela_core *tela_call_core(const struct tela_call *call)
{
	const struct machine *m = call_of(call)->machine;

	/* A worker's machine is no core's. */
	return m->io ? (struct tela_core *)core_of(call_of(call)->machine) : NULL;
}

uint64_t tela_core_now(const struct tela_core *core)
{
	return core_private(core)->m.now_ns;
}

unsigned tela_core_index(const struct tela_core *core)
{
	return core_private(core)->index;
}

int tela_core_answer(struct tela_core *core, struct tela_handle h, const void *payload, size_t len)
{
	return call_resume(&core_private(core)->m, h, false, TELA_OK, NULL, payload, len);
}

int tela_core_answer_status(
	struct tela_core *core, struct tela_handle h, uint8_t code, const char *message)
{
	return call_resume(&core_private(core)->m, h, false, code, message, "", 0);
}

int tela_core_answer_with(struct tela_core *core, struct tela_handle h, const struct tela_status *s)
{
	return call_resume_with(&core_private(core)->m, h, s);
}

int tela_core_answer_created(
	struct tela_core *core, struct tela_handle h, const void *payload, size_t len)
{
	return call_resume_created(&core_private(core)->m, h, payload, len);
}

int tela_core_answer_lend(struct tela_core *core, struct tela_handle h, const void *from,
	size_t len, tela_lent_fn done, void *arg)
{
	return call_resume_lend(&core_private(core)->m, h, from, len, done, arg);
}

int tela_core_continue(
	struct tela_core *core, struct tela_handle h, const void *payload, size_t len)
{
	return call_resume(&core_private(core)->m, h, true, TELA_OK, NULL, payload, len);
}

const struct tela_call *tela_core_call(struct tela_core *core, struct tela_handle h)
{
	const struct call *c = call_by_handle(&core_private(core)->m, h);

	return c ? &c->pub : NULL;
}

struct tela_str tela_result_metadata(const struct tela_result *r, const char *key)
{
	frame_Envelope_t none = {NULL};

	return envelope_metadata(r->envelope ? frame_Envelope_root(r->envelope) : none, key);
}

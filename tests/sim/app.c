/* app.c - the services, and the calls made to them. What a call is to do stands in its record, so
 * the handlers need no protocol of their own; a call is known by the id in its first 8 bytes, or,
 * if it has fewer, by its request key. */
#include "sim.h"

#include "caller.h"

enum { PATIENCE_NS = 20000000, PROBE_LARGE = 200000, PROBE_HUGE = 3 << 20, PROBE_ATTEMPTS = 6 };

/* ---- the services ---- */

static struct record *record_of(struct node *n, const struct tela_call *call)
{
	uint64_t id, key[2];

	if (call->request_len >= 8) {
		struct tela_segment whole;
		size_t pieces;

		memcpy(&id, tela_call_segments(call, &whole, &pieces)->data, 8);
	} else {
		if (!tela_call_key(call, key) || key[1] != ~key[0])
			sim_violation("node %u: a call of %u bytes has not its key", n->index,
				call->request_len);
		id = key[0];
	}
	return oracle_record(n->sim, id, "a request");
}

static enum tela_verdict gate_enter(struct tela_call *call, void *self)
{
	struct node *n = self;
	struct record *r = record_of(n, call);
	struct tela_str s;

	n->call_record[call_of(call)->index] = r->id;
	oracle_executes(n, r, call);
	n->spent_ns += n->sim->s.handler_ns;
	if (r->metadata) {
		s = tela_call_metadata(call, "who");
		if (!s.s || s.len != 3 || memcmp(s.s, "sim", 3))
			sim_violation("call %u has lost its metadata", r->id);
	}
	return TELA_CONTINUE;
}

static void gate_leave(struct tela_call *call, void *self)
{
	struct node *n = self;
	struct record *r = &n->sim->record[n->call_record[call_of(call)->index]];

	if (++r->leaves > r->executions)
		sim_violation("call %u has left %u times and was entered %u times", r->id,
			r->leaves, r->executions);
	if (r->metadata)
		r->marked = !tela_reply_metadata(call, "left", "yes");
}

/* A reply in memory of the service's own, exactly as long as it is lent. */
struct lent_reply {
	struct list of_node;
	struct node *node;
	uint8_t bytes[];
};

static void lent_back(void *arg)
{
	struct lent_reply *l = arg;

	if (!l->node->n_lent--)
		sim_violation("node %u: a reply comes back twice", l->node->index);
	list_del(&l->of_node);
	free(l);
}

static struct lent_reply *to_lend(struct node *n, const struct record *r)
{
	struct lent_reply *l = malloc(sizeof(*l) + r->reply_len);

	CHECK(l);
	l->node = n;
	list_add_tail(&n->replies_lent, &l->of_node);
	n->n_lent++;
	oracle_fill(l->bytes, r->id, SALT_REPLY, r->reply_len);
	return l;
}

static bool replies_lent(const struct record *r)
{
	return rng_mix(r->id) % 3 == 0;
}

void app_end(struct node *n)
{
	while (!list_empty(&n->replies_lent))
		lent_back(list_entry(n->replies_lent.next, struct lent_reply, of_node));
}

static enum tela_verdict reply(struct tela_call *call, struct node *n, const struct record *r)
{
	uint8_t *to;

	if (replies_lent(r)) {
		struct lent_reply *l = to_lend(n, r);

		return tela_reply_lend(call, l->bytes, r->reply_len, lent_back, l);
	}
	to = tela_reply_begin(call, r->reply_len);
	if (!to)
		return TELA_ANSWER;
	oracle_fill(to, r->id, SALT_REPLY, r->reply_len);
	return tela_reply_commit(call, r->reply_len);
}

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	struct node *n = self;
	struct record *r = &n->sim->record[n->call_record[call_of(call)->index]];
	uint32_t *own;

	if (r->alloc && call->request && (own = tela_call_alloc(call, 100))) {
		memset(own, 0x5a, 100);
		if (tela_call_replace(call, call->request, call->request_len) == -EBADMSG)
			sim_violation("call %u: its own request no longer verifies", r->id);
	}
	return reply(call, n, r);
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	struct node *n = self;
	struct sim *sim = n->sim;
	struct record *r = &sim->record[n->call_record[call_of(call)->index]];
	struct parked *p = &sim->parked[sim->n_parked];

	if (r->early_reply)
		tela_reply_begin(call, r->reply_len);
	if (tela_call_pend(call, &p->handle, &p->request, &p->len))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "no room to wait");
	CHECK(++sim->n_parked < sim->records_cap);
	sim->n_pended++;
	p->record = r->id;
	p->node = n->index;
	p->life = n->life;
	sim_at(sim, sim->now_ns + r->park_ns, EVENT_TODO, n->index,
		(uint64_t)TODO_RESUME << 32 | (uint32_t)(p - sim->parked), NULL);
	trace(sim, "parks", n->index, r->id, r->park_ns, 0);
	return TELA_PENDING;
}

static enum tela_verdict refuse(struct tela_call *call, void *self)
{
	(void)self;
	return tela_reply_status(call, TELA_PERMISSION_DENIED, "not for you");
}

static int verify(const void *payload, size_t len)
{
	uint64_t id;

	if (len < 8)
		return 0;
	memcpy(&id, payload, 8);
	return oracle_record(sim_now, id, "a payload")->invalid ? -EBADMSG : 0;
}

static const struct tela_method_desc methods[] = {
	{"echo", METHOD_ECHO, 0, 2000000, verify, NULL},
	{"park", METHOD_PARK, 0, 0, verify, NULL},
	{"refuse", METHOD_REFUSE, 0, 0, verify, NULL},
	{"nobody", METHOD_NOBODY, 0, 0, verify, NULL},
	{"chain", METHOD_CHAIN, 0, 0, verify, NULL},
	{"repeat", METHOD_REPEAT, TELA_METHOD_IDEMPOTENT, 0, verify, NULL},
	{"bytes", METHOD_BYTES, TELA_METHOD_SEGMENTS, 0, NULL, NULL},
	{"keep_bytes", METHOD_KEEP_BYTES, TELA_METHOD_SEGMENTS, 0, NULL, NULL},
};
static const uint64_t before_42[] = {41}, before_43[] = {42};

/* Three versions of each schema: the first is what older callers know, the second is served, the
 * third takes its place now and then and accepts only the second's callers. */
#define VERSIONS(name)                                                                             \
	{                                                                                          \
		{name, 41, NULL, 0, ARRAY_SIZE(methods), methods},                                 \
			{name, 42, before_42, 1, ARRAY_SIZE(methods), methods},                    \
			{name, 43, before_43, 1, ARRAY_SIZE(methods), methods},                    \
	}
static const struct tela_service_desc desc[SERVICES][3] = {
	VERSIONS("sim.Alpha"), VERSIONS("sim.Beta")};
const struct tela_service_desc *const app_desc[SERVICES][2] = {
	{&desc[0][1], &desc[0][2]}, {&desc[1][1], &desc[1][2]}};

uint32_t app_links(struct node *n, struct tela_image_link *to)
{
	static const struct tela_link gate = {TELA_REQUEST_IN, NULL, 0, gate_enter, gate_leave};
	static const struct tela_link link[SERVICES][8] = {
		{{NULL, &desc[0][1], METHOD_ECHO, echo, NULL},
			{NULL, &desc[0][1], METHOD_PARK, park, NULL},
			{NULL, &desc[0][1], METHOD_REFUSE, refuse, NULL},
			{NULL, &desc[0][1], METHOD_CHAIN, park, NULL},
			{NULL, &desc[0][1], METHOD_CHAIN, echo, NULL},
			{NULL, &desc[0][1], METHOD_REPEAT, echo, NULL},
			{NULL, &desc[0][1], METHOD_BYTES, echo, NULL},
			{NULL, &desc[0][1], METHOD_KEEP_BYTES, park, NULL}},
		{{NULL, &desc[1][1], METHOD_ECHO, echo, NULL},
			{NULL, &desc[1][1], METHOD_PARK, park, NULL},
			{NULL, &desc[1][1], METHOD_REFUSE, refuse, NULL},
			{NULL, &desc[1][1], METHOD_CHAIN, park, NULL},
			{NULL, &desc[1][1], METHOD_CHAIN, echo, NULL},
			{NULL, &desc[1][1], METHOD_REPEAT, echo, NULL},
			{NULL, &desc[1][1], METHOD_BYTES, echo, NULL},
			{NULL, &desc[1][1], METHOD_KEEP_BYTES, park, NULL}}};
	uint32_t count = 0;

	to[count++] = (struct tela_image_link){&gate, n, "gate"};
	for (uint32_t s = 0; s < SERVICES; s++)
		for (uint32_t i = 0; i < ARRAY_SIZE(link[s]); i++)
			to[count++] = (struct tela_image_link){&link[s][i], n, "sim"};
	return count;
}

static bool parked_same(struct node *n, const struct parked *p, const struct record *r)
{
	const struct call *c = call_by_handle(&n->m, p->handle);
	const struct tela_segment *s;
	struct tela_segment whole;
	size_t pieces;

	if (p->request)
		return oracle_same(p->request, r->id, SALT_REQUEST, p->len);
	s = tela_call_segments(&c->pub, &whole, &pieces);
	return oracle_same_pieces(s, pieces, r->id, SALT_REQUEST, p->len);
}

/* A parked call goes on, whoever still waits for it. */
static void resume(struct node *n, uint32_t what)
{
	struct sim *sim = n->sim;
	struct parked *p = &sim->parked[what];
	struct record *r = &sim->record[p->record];
	uint8_t bytes[64];
	int rc;

	if (p->node != n->index || p->life != n->life || p->over)
		return; /* ended with its process */
	p->over = true;
	if (!call_by_handle(&n->m, p->handle))
		sim_violation("call %u is parked and its handle names nothing", r->id);
	if (p->len != r->len || !parked_same(n, p, r))
		sim_violation("call %u is parked and its request has changed", r->id);
	trace(sim, "resumes", n->index, r->id, r->how, 0);
	if (r->method == METHOD_CHAIN && r->len >= 8 && r->len <= sizeof(bytes)) {
		oracle_fill(bytes, r->id, SALT_REPLACED, r->len);
		rc = call_resume(&n->m, p->handle, true, TELA_OK, NULL, bytes, r->len);
	} else if (r->method == METHOD_CHAIN) {
		rc = call_resume(&n->m, p->handle, true, TELA_OK, NULL, NULL, 0);
	} else if (r->how) {
		rc = call_resume(&n->m, p->handle, false, TELA_NOT_FOUND, "not here", "", 0);
	} else if (replies_lent(r)) {
		struct lent_reply *l = to_lend(n, r);

		rc = call_resume_lend(&n->m, p->handle, l->bytes, r->reply_len, lent_back, l);
	} else {
		uint8_t *payload = malloc(r->reply_len ? r->reply_len : 1);

		CHECK(payload);
		oracle_fill(payload, r->id, SALT_REPLY, r->reply_len);
		rc = call_resume(&n->m, p->handle, false, TELA_OK, NULL, payload, r->reply_len);
		free(payload);
	}
	if (rc || call_resume(&n->m, p->handle, false, TELA_OK, NULL, "", 0) != -ESTALE)
		sim_violation("call %u: its handle is good %s", r->id, rc ? "never" : "twice");
}

/* ---- callers ---- */

static uint32_t peer_of(const struct sim *sim, uint32_t node, uint32_t k)
{
	if (sim->s.hub && !k && node)
		return 0;
	return (node + 1 + k) % sim->s.n_nodes;
}

static const struct tela_service_desc *caller_desc(const struct node *n, uint32_t session)
{
	bool other =
		rng_mix(n->sim->s.seed ^ n->index << 8 ^ session) % 100 < n->sim->s.other_schema;

	return &desc[session % SERVICES][other ? 0 : 1];
}

void app_connect(struct node *n)
{
	struct sim *sim = n->sim;
	bool hub_twice = false;

	n->n_peers = 0;
	for (uint32_t k = 0; k < sim->s.n_peers; k++) {
		uint32_t other = peer_of(sim, n->index, k);
		struct peer *p = &n->peer[n->n_peers];
		struct net_addr to = {.ip = 0x0a000001u + other, .udp = 7447};

		if (sim->s.hub && other == 0 && hub_twice)
			continue;
		hub_twice |= other == 0;
		memset(p, 0, sizeof(*p));
		p->node = other;
		to.netif = wire_netif(sim, n->index, other);
		p->path = path_create(&n->m, &to, true);
		CHECK(p->path);
		while (p->n_open < sim->s.n_sessions &&
			!caller_session_open(
				&n->m, &p->session[p->n_open], p->path, caller_desc(n, p->n_open)))
			p->n_open++;
		CHECK(p->n_open == sim->s.n_sessions);
		n->n_peers++;
	}
	memset(&n->local, 0, sizeof(n->local));
	CHECK(!caller_session_open(&n->m, &n->local, NULL, &desc[0][1]));
	n->local_open = true;
}

static uint32_t draw_len(struct sim *sim, struct rng *r)
{
	if (rng_below(r, 100) < sim->s.big)
		return (uint32_t)rng_scale(r, 300, sim->s.biggest);
	return rng_below(r, 20) ? (uint32_t)rng_below(r, 320) : 0;
}

static void draw_method(struct sim *sim, struct rng *rng, struct record *r)
{
	static const enum method some[] = {METHOD_ECHO, METHOD_ECHO, METHOD_ECHO, METHOD_ECHO,
		METHOD_REPEAT, METHOD_REFUSE, METHOD_NOBODY, METHOD_BYTES, METHOD_BYTES};

	r->method = (uint8_t)some[rng_below(rng, ARRAY_SIZE(some))];
	if (rng_below(rng, 100) < sim->s.park)
		r->method = rng_below(rng, 3)   ? METHOD_PARK
			    : rng_below(rng, 2) ? METHOD_KEEP_BYTES
						: METHOD_CHAIN;
	r->park_ns = rng_scale(rng, 1000, 50 * NS_PER_MS);
	r->how = rng_below(rng, 4) == 0;
	r->early_reply = rng_below(rng, 4) == 0;
	r->alloc = rng_below(rng, 8) == 0;
	r->metadata = rng_below(rng, 8) == 0;
}

static struct record *draw_call(struct sim *sim, uint32_t caller)
{
	struct rng *rng = &sim->app_rng;
	struct record *r = oracle_new(sim);

	if (!r)
		return NULL;
	draw_method(sim, rng, r);
	r->caller = caller;
	r->peer = (uint32_t)rng_below(rng, sim->s.n_peers);
	r->session = (uint32_t)rng_below(rng, sim->s.n_sessions);
	r->len = draw_len(sim, rng);
	r->reply_len = draw_len(sim, rng);
	r->keyed = rng_below(rng, 10) == 0 || r->len < 8;
	r->invalid = rng_below(rng, 40) == 0 && r->len >= 8 && r->method != METHOD_BYTES &&
		     r->method != METHOD_KEEP_BYTES;
	if (rng_below(rng, 20) == 0)
		r->reply_limit = (uint32_t)rng_scale(rng, 16, 4096);
	r->deadline_us = (uint32_t)rng_scale(rng, 5000, 300000);
	if (rng_below(rng, 100) < sim->s.hurried)
		r->deadline_us = (uint32_t)rng_scale(rng, 20, 5000);
	else if (rng_below(rng, 20) == 0)
		r->deadline_us = (uint32_t)rng_scale(rng, 300000, 2000000);
	if (sim->s.huge) {
		r->deadline_us = 50000 + r->len / 2 + r->reply_len / 2;
		if (r->reply_len > REPLY_LIMIT_DEFAULT)
			r->reply_limit = MSG_PAYLOAD_MAX;
	}
	r->cancelled = rng_below(rng, 100) < sim->s.cancel;
	if (rng_below(rng, 100) < sim->s.local)
		r->peer = UINT32_MAX;
	r->one_way = rng_below(rng, 100) < sim->s.one_way;
	r->lends = rng_below(rng, 3) == 0 && r->len > 9000;
	r->goes_into = rng_below(rng, 6) == 0;
	r->in_segments = rng_below(rng, 3) == 0;
	return r;
}

void app_load(struct sim *sim)
{
	uint64_t last = sim->s.n_calls / ((sim->s.burst + 1) / 2) + 1;
	uint32_t caller = (uint32_t)rng_below(&sim->app_rng, sim->s.n_nodes);

	for (uint64_t i = rng_between(&sim->app_rng, 1, sim->s.burst); i; i--) {
		struct record *r = sim->n_records < sim->s.n_calls ? draw_call(sim, caller) : NULL;

		if (r)
			node_todo(&sim->node[caller], TODO_CALL, r->id);
	}
	if (sim->n_records < sim->s.n_calls)
		sim_at(sim, sim->now_ns + rng_below(&sim->app_rng, 2 * sim->s.load_ns / last),
			EVENT_LOAD, 0, 0, NULL);
}

/* ---- making a call ---- */

static struct caller_session *session_of(struct node *n, struct record *r)
{
	struct peer *p;

	if (r->peer == UINT32_MAX) {
		r->callee = n->index;
		r->service = 0;
		return &n->local;
	}
	p = &n->peer[r->peer % n->n_peers];
	r->callee = p->node;
	r->service = (uint8_t)(r->session % SERVICES);
	return &p->session[r->session % p->n_open];
}

static int make(struct node *n, struct record *r)
{
	static const struct tela_pair who = {"who", "sim"};
	uint64_t key[2] = {r->id, ~(uint64_t)r->id};
	struct tela_options o = {.deadline_us = r->deadline_us,
		.max_reply_bytes = r->reply_limit,
		.flags = (r->one_way ? TELA_CALL_ONE_WAY : 0) |
			 (r->in_segments ? TELA_CALL_SEGMENTS : 0)};
	struct caller_session *s = session_of(n, r);
	struct tela_request request;
	int rc;

	if (r->keyed)
		o.key = key;
	if (r->metadata)
		o.metadata = &who, o.n_metadata = 1;
	if (r->goes_into) {
		o.max_reply_bytes = r->reply_limit ? r->reply_limit : REPLY_LIMIT_DEFAULT;
		/* Exactly what may be written there, so that a sanitizer sees more. */
		o.reply_into = r->into =
			malloc(r->reply_len <= o.max_reply_bytes ? r->reply_len + 1u : 1);
	}
	rc = caller_begin(&n->m, s, &methods[r->method - 1], r->lends ? 0 : r->len, &o, &request);
	if (!rc && r->lends) {
		r->lent = malloc(r->len);
		rc = caller_lend(&n->m, request.slot, r->lent, r->len);
		if (rc)
			caller_abandon(&n->m, request.slot);
		request.payload = r->lent;
	}
	if (rc) {
		oracle_take_back(r);
		return rc;
	}
	if (r->id % 64 == 63 && !r->probe && !n->sim->s.study) { /* built, and not sent after all */
		caller_abandon(&n->m, request.slot);
		oracle_take_back(r);
		return -ECANCELED;
	}
	oracle_fill(request.payload, r->id, SALT_REQUEST, r->len);
	oracle_made(n, r, request.slot);
	n->sim->starting++;
	rc = caller_send(&n->m, request.slot, app_done, (void *)(uintptr_t)r->id);
	n->sim->starting--;
	if (rc)
		sim_violation("call %u: caller_send says %d", r->id, rc);
	if (r->cancelled)
		sim_at(n->sim,
			n->sim->now_ns + rng_below(&n->sim->app_rng, r->deadline_us * 1000ull),
			EVENT_TODO, n->index, (uint64_t)TODO_CANCEL << 32 | r->id, NULL);
	return 0;
}

static void start(struct node *n, struct record *r)
{
	int rc = make(n, r);

	if (!r->made_ns)
		r->made_ns = n->sim->now_ns; /* asked for */
	if (rc == -EMSGSIZE)
		sim_violation("call %u of %u bytes does not fit", r->id, r->len);
	if (n->sim->s.study && rc == -EBUSY)
		study_refused();
	else if ((rc == -EAGAIN || rc == -EBUSY || rc == -ENOTCONN || rc == -ENOBUFS) &&
		 n->sim->now_ns - r->made_ns < (r->probe ? 10 * NS_PER_S : PATIENCE_NS))
		sim_at(n->sim, n->sim->now_ns + rng_between(&n->sim->app_rng, 20000, 100000),
			EVENT_TODO, n->index, (uint64_t)TODO_CALL << 32 | r->id, NULL);
	else if (rc && r->probe)
		sim_violation("node %u cannot call node %u for ten seconds: %s", r->caller,
			r->callee, strerror(-rc));
}

void app_todo(struct node *n, const struct todo *t)
{
	struct record *r = &n->sim->record[t->what]; /* of TODO_CALL and TODO_CANCEL */

	switch (t->kind) {
	case TODO_CALL:
		start(n, r);
		break;
	case TODO_RESUME:
		resume(n, t->what);
		break;
	case TODO_CANCEL:
		if (r->state == RECORD_MADE && r->life == n->life)
			caller_fail(&n->m, r->slot, TELA_CANCELLED, "cancelled");
		break;
	case TODO_DRAIN:
		if (t->what == n->life)
			machine_drain(&n->m);
		break;
	case TODO_LINK_DOWN:
		machine_link_down(&n->m, (uint16_t)t->what);
		break;
	}
}

/* ---- when all is well again, everybody reaches everybody ---- */

static void probe(struct sim *sim, uint32_t caller, uint32_t peer, uint32_t attempt, uint32_t len)
{
	struct record *r = oracle_new(sim);
	uint64_t wait_ns = attempt * attempt * rng_below(&sim->app_rng, 50 * NS_PER_MS);

	CHECK(r);
	r->method = METHOD_ECHO;
	r->caller = caller;
	r->peer = peer;
	r->len = r->reply_len = len;
	r->reply_limit = len > REPLY_LIMIT_DEFAULT ? len : 0;
	r->deadline_us = 3000000;
	r->probe = true;
	r->attempt = (uint8_t)attempt;
	sim->node[caller].n_probes++;
	sim_at(sim, sim->now_ns + wait_ns, EVENT_TODO, caller, (uint64_t)TODO_CALL << 32 | r->id,
		NULL);
}

void app_probe(struct sim *sim)
{
	uint32_t large = sim->s.n_nodes <= 40 && !sim->s.scarce ? PROBE_LARGE : 100;

	if (sim->s.huge && !sim->s.scarce)
		large = PROBE_HUGE; /* every fragment number that a window can tell apart, twice */

	for (uint32_t i = 0; i < sim->s.n_nodes; i++)
		for (uint32_t k = 0; k < sim->node[i].n_peers; k++)
			probe(sim, i, k, 0, k ? 100 : large);
}

/* A path that nobody used may have been lost unnoticed: the first calls show it. With few budgets
 * others may hold what is wanted, and slots that were granted are not returned. */
static void probed(struct record *r, uint8_t code)
{
	struct sim *sim = sim_now;

	sim->node[r->caller].n_probes--;
	if (!code)
		return;
	if (r->attempt < PROBE_ATTEMPTS) {
		probe(sim, r->caller, r->peer, r->attempt + 1u, r->len);
		return;
	}
	if (code != TELA_RESOURCE_EXHAUSTED ||
		(!sim->s.scarce && sim->node[r->callee].m.n_callee_blocks))
		sim_violation(
			"node %u reaches node %u no more: code %u", r->caller, r->callee, code);
}

void app_done(void *arg, const struct tela_result *result)
{
	struct sim *sim = sim_now;
	struct record *r = oracle_record(sim, (uintptr_t)arg, "a completion"), *next;

	oracle_done(r, result);
	if (r->probe)
		probed(r, result->code);
	else if (sim->o.study)
		study_done(sim, r);
	/* Now and then the completion calls again at once. */
	if (sim->phase == PHASE_LOAD && sim->s.n_calls && rng_below(&sim->app_rng, 8) == 0) {
		next = draw_call(sim, r->caller);
		if (next)
			start(sim->current, next);
	}
}

struct tela_str tela_result_metadata(const struct tela_result *r, const char *key)
{
	frame_Envelope_t none = {NULL};

	return envelope_metadata(r->envelope ? frame_Envelope_root(r->envelope) : none, key);
}

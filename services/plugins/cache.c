/* cache.c - answers a request that was answered before, without running the method.
 *
 * Hooks:   request_in, enter (answers what is kept; else takes a place) and leave (keeps the
 * reply). Only idempotent methods, only plain ok replies, and only for the identity that asked.
 *          Stands below auth and rate_limit, so that they see every call. Each core keeps its own.
 */
#include "call_starts.h"
#include "svc.h"

enum { PLACES_MAX = 1 << 20, BYTES_MIN = 64, BYTES_MAX = 65536 };

#define TTL_MAX_NS (24 * 3600 * NS_PER_S)
#define ASKED_NS   (60 * NS_PER_S) /* then its call is taken for forgotten */

enum state { FREE, ASKED, KEPT };

struct place {
	const struct tela_call *call; /* ASKED: whose reply will stand here */
	uint64_t hash, expires_ns;
	uint32_t request_len, reply_len;
	uint16_t method, identity;
	uint8_t state;
	uint8_t bytes[]; /* request, padded to 8, then reply */
};

struct cache_core {
	_Atomic uint64_t hits, misses, kept;
	const struct tela_call *answered; /* by enter: leave has nothing to keep */
	uint8_t *places;
	struct call_starts asked; /* hash of what a call under way asked */
} cache_aligned;

struct cache {
	uint64_t ttl_ns;
	uint32_t mask, stride, bytes, n_cores;
	struct tela_list methods;
	struct cache_core core[];
};

struct options {
	struct tela_list methods;
	uint64_t ttl;
	uint32_t places, bytes;
};

/* ---- on a data core ---- */

static bool listed(const struct tela_list *methods, const char *name)
{
	const char *const *at = methods->at;

	for (uint32_t i = 0; i < methods->n; i++)
		if (!strcmp(at[i], name))
			return true;
	return false;
}

static bool takes(const struct cache *c, const struct tela_call *call)
{
	return call->method->flags & TELA_METHOD_IDEMPOTENT && call->request &&
	       call->request_len <= c->bytes &&
	       (!c->methods.n || listed(&c->methods, call->method->name));
}

/* FNV-1a by words: a look-up, not a secret. */
static uint64_t hash_of(const struct tela_call *call)
{
	uint64_t h = 14695981039346656037ull ^ call->method->id ^ (uint64_t)call->identity << 16, w;
	uint32_t i;

	for (i = 0; i + 8 <= call->request_len; i += 8) {
		memcpy(&w, call->request + i, 8);
		h = (h ^ w) * 1099511628211ull;
		h ^= h >> 29;
	}
	for (w = 0; i < call->request_len; i++)
		w = w << 8 | call->request[i];
	h = (h ^ w) * 1099511628211ull;
	return h ^ h >> 32;
}

static struct place *place_of(const struct cache *c, const struct cache_core *core, uint64_t hash)
{
	return (struct place *)(core->places + (hash & c->mask) * c->stride);
}

static bool same(const struct place *p, const struct tela_call *call, uint64_t hash)
{
	return p->hash == hash && p->method == call->method->id && p->identity == call->identity &&
	       p->request_len == call->request_len &&
	       !memcmp(p->bytes, call->request, call->request_len);
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct cache *c = self;
	struct tela_core *self_core = tela_call_core(call);
	struct cache_core *core = &c->core[tela_core_index(self_core)];
	uint64_t hash, now = tela_core_now(self_core);
	struct place *p;

	if (!takes(c, call))
		return TELA_CONTINUE;
	hash = hash_of(call);
	p = place_of(c, core, hash);
	if (p->state == KEPT && p->expires_ns > now && same(p, call, hash)) {
		svc_up(&core->hits);
		core->answered = call;
		return tela_reply_copy(call, p->bytes + ALIGN8(p->request_len), p->reply_len);
	}
	svc_up(&core->misses);
	if (p->state == ASKED && p->expires_ns > now)
		return TELA_CONTINUE; /* taken by a call that is under way */
	call_starts_set(&core->asked, call, hash);
	*p = (struct place){.call = call,
		.hash = hash,
		.expires_ns = now + ASKED_NS,
		.request_len = call->request_len,
		.method = call->method->id,
		.identity = call->identity,
		.state = ASKED};
	memcpy(p->bytes, call->request, call->request_len);
	return TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	struct cache *c = self;
	struct tela_core *self_core = tela_call_core(call);
	struct cache_core *core = &c->core[tela_core_index(self_core)];
	const void *reply;
	struct place *p;
	uint64_t hash;
	size_t len;

	if (core->answered == call) {
		core->answered = NULL;
		return;
	}
	if (!call_starts_take(&core->asked, call, &hash))
		return;
	/* The request may be gone by now, or another: what was asked stands in the place. */
	p = place_of(c, core, hash);
	if (p->state != ASKED || p->call != call)
		return;
	p->state = FREE;
	reply = tela_reply_payload(call, &len);
	if (!tela_reply_is_plain(call) || !reply || ALIGN8(p->request_len) + len > c->bytes)
		return;
	memcpy(p->bytes + ALIGN8(p->request_len), reply, len);
	p->reply_len = (uint32_t)len;
	p->expires_ns = tela_core_now(self_core) + c->ttl_ns;
	p->state = KEPT;
	svc_up(&core->kept);
}

/* ---- hooks ---- */

static void destroy(struct cache *c)
{
	for (uint32_t i = 0; c && i < c->n_cores; i++)
		free(c->core[i].places);
	free(c);
}

static struct cache *make(uint32_t n_cores, const struct options *o)
{
	struct cache *c = svc_zalloc(sizeof(struct cache) + n_cores * sizeof(struct cache_core));

	if (!c)
		return NULL;
	c->n_cores = n_cores;
	c->ttl_ns = o->ttl;
	c->mask = o->places - 1;
	c->bytes = o->bytes;
	c->stride = ALIGN8((uint32_t)sizeof(struct place) + c->bytes + 8);
	c->methods = o->methods;
	for (uint32_t i = 0; i < n_cores; i++) {
		c->core[i].places = calloc(o->places, c->stride);
		if (!c->core[i].places) {
			destroy(c);
			return NULL;
		}
	}
	return c;
}

static int start(struct tela_hook *h, void **ret_self)
{
	const struct options *o = h->values;

	*ret_self = make(tela_node_n_cores(h->node), o);
	return *ret_self ? 0 : svc_fail(h, -ENOMEM, "no memory for %u places", o->places);
}

static void stop(struct tela_hook *h)
{
	destroy(h->self);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct cache *c = self;

	emit(arg, "hits", SVC_SUM(c->core, hits, c->n_cores));
	emit(arg, "misses", SVC_SUM(c->core, misses, c->n_cores));
	emit(arg, "kept", SVC_SUM(c->core, kept, c->n_cores));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, methods,
		.help = "those whose replies are kept; all idempotent ones unless given"),
	TELA_CONFIG_AS(DURATION, struct options, ttl, .min = NS_PER_MS, .max = TTL_MAX_NS,
		.fallback = "1s", .help = "how long a reply is good"),
	TELA_CONFIG(struct options, places, .min = 1, .max = PLACES_MAX, .power_of_two = true,
		.fallback = "1024", .help = "replies kept on each core"),
	TELA_CONFIG(struct options, bytes, .min = BYTES_MIN, .max = BYTES_MAX, .fallback = "1024",
		.help = "most of a request and its reply together"),
};
static const char *const may_need[] = {"auth", "rate_limit", NULL};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter, .leave = leave},
};

const struct tela_plugin cache_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "cache",
	.version = "1.0",
	.may_need = may_need,
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(cache_plugin);

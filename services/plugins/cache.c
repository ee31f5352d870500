/* cache.c - answers a request that was answered before, without running the method.
 *
 * Hooks:   request_in, enter (answers what is kept; else takes a place) and leave (keeps the
 * reply). Only idempotent methods, only plain ok replies, and only for the identity that asked.
 *          Stands below auth and rate_limit, so that they see every call. Each core keeps its own.
 * Options: methods  names with commas between; all idempotent ones
 *          ttl_ms   how long a reply is good, 1 to 86400000; 1000
 *          places   replies kept on each core, a power of two up to 1048576; 1024
 *          bytes    most bytes of a request and its reply together, 64 to 65536; 1024
 */
#include "call_starts.h"
#include "svc.h"

enum { TTL_MAX_MS = 86400000, PLACES_MAX = 1 << 20, BYTES_MIN = 64, BYTES_MAX = 65536 };
enum { METHODS_MAX = 256 };

#define ASKED_NS (60 * NS_PER_S) /* then its call is taken for forgotten */

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
	char methods[METHODS_MAX];
	struct cache_core core[];
};

struct options {
	const char *methods;
	int64_t ttl_ms, places, bytes;
};

/* ---- on a data core ---- */

/* Is `name` among them? */
static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += n)
		if ((at == list || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

static bool takes(const struct cache *c, const struct tela_call *call)
{
	return call->method->flags & TELA_METHOD_IDEMPOTENT && call->request &&
	       call->request_len <= c->bytes &&
	       (!c->methods[0] || listed(c->methods, call->method->name));
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

static int options(struct tela_hook *h, struct options *o)
{
	int rc = svc_option_int(h, "ttl_ms", 1000, 1, TTL_MAX_MS, &o->ttl_ms);

	o->methods = tela_config_str(h->config, "methods", "");
	if (strlen(o->methods) >= METHODS_MAX)
		return svc_fail(h, -EINVAL, "methods: expected at most %d bytes, found %zu",
			METHODS_MAX - 1, strlen(o->methods));
	if (!rc)
		rc = svc_option_int(h, "places", 1024, 1, PLACES_MAX, &o->places);
	if (!rc)
		rc = svc_option_int(h, "bytes", 1024, BYTES_MIN, BYTES_MAX, &o->bytes);
	if (!rc && o->places & (o->places - 1))
		rc = svc_fail(h, -EINVAL, "places: expected a power of two, found %lld",
			(long long)o->places);
	return rc;
}

static int config(struct tela_hook *h)
{
	struct options o;

	return options(h, &o);
}

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
	c->ttl_ns = (uint64_t)o->ttl_ms * NS_PER_MS;
	c->mask = (uint32_t)o->places - 1;
	c->bytes = (uint32_t)o->bytes;
	c->stride = ALIGN8((uint32_t)sizeof(struct place) + c->bytes + 8);
	snprintf(c->methods, sizeof(c->methods), "%s", o->methods);
	for (uint32_t i = 0; i < n_cores; i++) {
		c->core[i].places = calloc((size_t)o->places, c->stride);
		if (!c->core[i].places) {
			destroy(c);
			return NULL;
		}
	}
	return c;
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct options o = {0}; /* the compiler does not see that 0 means filled */
	int rc = options(h, &o);

	if (rc)
		return rc;
	*ret_self = make(tela_node_n_cores(h->node), &o);
	return *ret_self ? 0
			 : svc_fail(h, -ENOMEM, "no memory for %lld places", (long long)o.places);
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

static const char *const keys[] = {"methods", "ttl_ms", "places", "bytes", NULL};
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
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(cache_plugin);

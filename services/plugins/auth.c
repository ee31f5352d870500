/* auth.c - lets in who proves to be somebody, and only to the methods that he may call.
 *
 * Hooks:   request_in, enter. The token stands in the metadata "authorization", with or without
 *          "Bearer " (auth_token.h). One that was never seen is verified by a thread while its call
 *          is pending; then it is known to all cores until it expires, and calls of the sessions
 *          that have sent it carry an index in its place (tela_call_prove). Later links find the
 *          caller's identity and subject in the call.
 * Answers: unauthorized (no token), token_invalid, token_expired, forbidden, overloaded.
 */
#include <fcntl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "auth_rules.h"
#include "auth_token.h"
#include "svc.h"
#include "svc_ring.h"
#include "svc_worker.h"

enum { TOKENS_MAX = 65536, QUEUE = 256, METHODS = 256, SUBJECTS = 4096 };

#define TICK_NS NS_PER_MS
/* No link runs for so long: the watchdog ends the process first. */
#define REUSE_NS (60 * NS_PER_S)
#define SWEEP_NS (100 * NS_PER_MS)

static const char prefix[] = "Bearer ";

/* Written by the thread before it is linked; then only `next` and `expired` change. */
struct known {
	struct known *_Atomic next;
	_Atomic bool expired;
	uint16_t identity, len;
	uint64_t proof; /* place, and above its bits any number, another one for each token */
	uint64_t hash, rules;
	const char *subject;
	int64_t expires_s;
	struct known *unlinked; /* among those that wait to be freed */
	uint64_t unlinked_ns;
	char token[];
};

struct question {
	struct tela_handle handle;
	struct tela_context context;
	uint64_t method_rules;
	uint16_t len;
	char token[AUTH_TOKEN_MAX];
};

struct options {
	const char *secret_file;
	struct tela_map allow; /* of lists of subjects */
	uint32_t tokens;
};

struct auth {
	struct auth_rules rules;
	uint64_t anonymous;
	uint32_t mask, n_cores;
	struct known *_Atomic *bucket, *_Atomic *place;
	_Atomic uint64_t method_rules[METHODS]; /* of each id, once computed */
	struct svc_count *refused;
	struct svc_ring ring; /* of struct question */
	struct svc_worker worker;
	struct tela_node *node;
	const struct tela_log *log;
	/* The thread's own. */
	struct tela_thread *thread;
	struct known *unlinked;
	uint32_t n_known;
	uint32_t *free_place; /* those behind n_known */
	uint64_t swept_ns;
	uint32_t n_subjects;
	char (*subject)[AUTH_SUBJECT_MAX + 1]; /* identity - 1 */
	size_t secret_len;
	uint8_t secret[AUTH_SECRET_MAX + 2];
	_Atomic uint64_t verified, failed;
};

/* ---- on a data core ---- */

/* Of its last 16 bytes alone: they are of its signature, so those of two tokens that were verified
 * differ by chance, and whoever makes up others finds nothing in their place. */
static uint64_t hash_of(const char *token, size_t len)
{
	size_t n = min_u64(len, 16);
	uint64_t w[2] = {0}, h;

	memcpy(w, token + len - n, n);
	h = (w[0] ^ len) * 0x9e3779b97f4a7c15ull ^ w[1];
	h *= 0xc2b2ae3d27d4eb4full;
	return h ^ h >> 32;
}

static const struct known *find(const struct auth *a, const char *token, size_t len)
{
	uint64_t hash = hash_of(token, len);
	const struct known *k =
		atomic_load_explicit(&a->bucket[hash & a->mask], memory_order_acquire);

	while (k && (k->hash != hash || k->len != len || memcmp(k->token, token, len)))
		k = atomic_load_explicit(&k->next, memory_order_acquire);
	return k && !atomic_load_explicit(&k->expired, memory_order_relaxed) ? k : NULL;
}

/* Of a token that was verified on an earlier call of the session. NULL: it has ended. */
static const struct known *proved(const struct auth *a, uint64_t proof)
{
	const struct known *k =
		atomic_load_explicit(&a->place[proof & a->mask], memory_order_acquire);

	return k && k->proof == proof && !atomic_load_explicit(&k->expired, memory_order_relaxed)
		       ? k
		       : NULL;
}

/* The rules that name the method, as bits. */
static uint64_t rules_for(struct auth *a, const struct tela_method_desc *m)
{
	uint64_t bits;

	if (m->id >= METHODS)
		return auth_rules_of_method(&a->rules, m->name);
	bits = atomic_load_explicit(&a->method_rules[m->id], memory_order_relaxed);
	if (unlikely(!bits)) {
		bits = AUTH_RULES_COMPUTED | auth_rules_of_method(&a->rules, m->name);
		atomic_store_explicit(&a->method_rules[m->id], bits, memory_order_relaxed);
	}
	return bits & ~AUTH_RULES_COMPUTED;
}

static enum tela_verdict refuse(const struct auth *a, struct tela_call *call, const char *status)
{
	svc_count_up(svc_count_of(a->refused, call));
	return tela_reply_error(call, status, NULL);
}

static enum tela_verdict ask(
	struct auth *a, struct tela_call *call, struct tela_str token, uint64_t method_rules)
{
	struct tela_handle handle;
	struct question *q;

	if (token.len > AUTH_TOKEN_MAX)
		return refuse(a, call, "token_invalid");
	if (!svc_ring_reserve(&a->ring))
		return refuse(a, call, "overloaded");
	if (tela_call_pend(call, &handle, NULL, NULL)) {
		svc_ring_release(&a->ring, 1);
		return refuse(a, call, "overloaded");
	}
	token = auth_without(tela_call_metadata(call, "authorization"), prefix);
	q = svc_ring_cell(&a->ring);
	q->handle = handle;
	tela_call_context(call, &q->context);
	q->method_rules = method_rules;
	q->len = (uint16_t)token.len;
	memcpy(q->token, token.s, token.len);
	svc_ring_publish(q);
	return TELA_PENDING;
}

static enum tela_verdict let_in(
	const struct auth *a, struct tela_call *call, const struct known *k, uint64_t method_rules)
{
	if (unlikely(!(k->rules & method_rules))) {
		tela_log(call, TELA_LOG_INFO, "%s may not call it", k->subject);
		return refuse(a, call, "forbidden");
	}
	tela_call_identify(call, k->identity, k->subject);
	return TELA_CONTINUE;
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct auth *a = self;
	uint64_t method_rules = rules_for(a, call->method), proof;
	const struct known *k;
	struct tela_str token;

	if (likely(tela_call_proof(call, a, &proof))) {
		k = proved(a, proof);
		return likely(k) ? let_in(a, call, k, method_rules) : tela_reply_prove(call);
	}
	token = auth_without(tela_call_metadata(call, "authorization"), prefix);
	if (!token.s)
		return method_rules & a->anonymous ? TELA_CONTINUE
						   : refuse(a, call, "unauthorized");
	k = find(a, token.s, token.len);
	if (unlikely(!k))
		return ask(a, call, token, method_rules);
	tela_call_prove(call, a, k->proof);
	return let_in(a, call, k, method_rules);
}

/* ---- on the thread ---- */

static void unlink_expired(struct auth *a, int64_t now_s, uint64_t now_ns)
{
	for (uint32_t i = 0; i <= a->mask; i++) {
		struct known *_Atomic *at = &a->bucket[i];
		struct known *k;

		while ((k = atomic_load_explicit(at, memory_order_relaxed))) {
			if (k->expires_s > now_s) {
				at = &k->next;
				continue;
			}
			atomic_store_explicit(&k->expired, true, memory_order_relaxed);
			atomic_store_explicit(at,
				atomic_load_explicit(&k->next, memory_order_relaxed),
				memory_order_release);
			atomic_store_explicit(
				&a->place[k->proof & a->mask], NULL, memory_order_relaxed);
			k->unlinked_ns = now_ns;
			/* A core may still walk over it: its `next` stays. */
			a->free_place[--a->n_known] = (uint32_t)k->proof & a->mask;
			k->unlinked = a->unlinked;
			a->unlinked = k;
		}
	}
}

static void sweep(struct auth *a, uint64_t now_ns)
{
	struct known **at = &a->unlinked, *k;

	if (now_ns - a->swept_ns < SWEEP_NS)
		return;
	a->swept_ns = now_ns;
	unlink_expired(a, time(NULL), now_ns);
	while ((k = *at)) {
		if (now_ns - k->unlinked_ns < REUSE_NS) {
			at = &k->unlinked;
			continue;
		}
		*at = k->unlinked;
		free(k);
	}
}

/* The number of a subject, from 1; 0: there are too many. */
static uint16_t identity_of(struct auth *a, const char *subject)
{
	for (uint32_t i = 0; i < a->n_subjects; i++)
		if (!strcmp(a->subject[i], subject))
			return (uint16_t)(i + 1);
	if (a->n_subjects == SUBJECTS)
		return 0;
	snprintf(a->subject[a->n_subjects], sizeof(a->subject[0]), "%s", subject);
	return (uint16_t)++a->n_subjects;
}

/* All cores know it from here on, if there is room; else each call with it is verified. */
static void remember(struct auth *a, const struct question *q, const struct auth_claims *claims,
	uint16_t identity, uint64_t rules)
{
	struct known *k = a->n_known <= a->mask ? calloc(1, sizeof(*k) + q->len) : NULL;
	struct known *_Atomic *bucket;
	uint64_t random;

	if (!k)
		return;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
		free(k);
		return;
	}
	k->proof = (random & ~(uint64_t)a->mask) | a->free_place[a->n_known];
	k->hash = hash_of(q->token, q->len);
	k->len = q->len;
	memcpy(k->token, q->token, q->len);
	k->identity = identity;
	k->subject = a->subject[identity - 1];
	k->rules = rules;
	k->expires_s = claims->expires_s;
	bucket = &a->bucket[k->hash & a->mask];
	atomic_store_explicit(
		&k->next, atomic_load_explicit(bucket, memory_order_relaxed), memory_order_relaxed);
	atomic_store_explicit(bucket, k, memory_order_release); /* pairs with find() */
	atomic_store_explicit(&a->place[k->proof & a->mask], k, memory_order_release);
	a->n_known++;
}

/* 0, or -EAGAIN: the core cannot take the answer now. */
static int answer(struct auth *a, const struct question *q)
{
	struct tela_status no = {0};
	struct auth_claims claims;
	uint16_t identity = 0;
	uint64_t rules = 0;

	no.name =
		auth_token_verify(q->token, q->len, a->secret, a->secret_len, time(NULL), &claims);
	if (!no.name) {
		identity = identity_of(a, claims.subject);
		rules = auth_rules_of_subject(&a->rules, claims.subject);
		if (!identity)
			no.name = "overloaded";
		else if (!find(a, q->token, q->len))
			remember(a, q, &claims, identity, rules);
		if (identity && !(rules & q->method_rules))
			no.name = "forbidden";
	}
	atomic_fetch_add_explicit(no.name ? &a->failed : &a->verified, 1, memory_order_relaxed);
	if (no.name) {
		tela_log_of(a->log, &(struct tela_log_about){.context = &q->context}, TELA_LOG_INFO,
			"a token of %s is refused: %s", identity ? claims.subject : "nobody",
			no.name);
		return tela_thread_answer_with(a->thread, q->handle, &no);
	}
	return tela_thread_continue_as(a->thread, q->handle, identity, a->subject[identity - 1]);
}

/* Each question once: what the core does not take now is asked again. */
static void answer_all(struct auth *a)
{
	const struct question *q;

	while ((q = svc_ring_peek(&a->ring)) != NULL) {
		if (answer(a, q))
			return;
		svc_ring_pop(&a->ring);
		svc_ring_release(&a->ring, 1);
	}
}

static void run(struct svc_worker *w)
{
	struct auth *a = container_of(w, struct auth, worker);

	a->thread = tela_thread_attach(a->node);
	svc_worker_ready(w, a->thread ? 0 : -errno);
	if (!a->thread)
		return;
	while (!svc_worker_wait(w, TICK_NS)) {
		answer_all(a);
		sweep(a, svc_worker_now());
	}
	answer_all(a);
	tela_thread_detach(a->thread);
}

/* ---- hooks ---- */

static int read_secret(struct tela_hook *h, const char *path, struct auth *a)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, a->secret, sizeof(a->secret));
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return svc_fail(
			h, -error, "secret_file: %s cannot be read: %s", path, strerror(error));
	if (n && a->secret[n - 1] == '\n')
		n--;
	if (n < AUTH_SECRET_MIN || n > AUTH_SECRET_MAX)
		return svc_fail(h, -EINVAL,
			"secret_file: expected %s to hold %d to %d bytes, found %s%zd", path,
			AUTH_SECRET_MIN, AUTH_SECRET_MAX, n > AUTH_SECRET_MAX ? "more than " : "",
			n > AUTH_SECRET_MAX ? (ssize_t)AUTH_SECRET_MAX : n);
	a->secret_len = (size_t)n;
	return 0;
}

static int options(struct tela_hook *h, struct auth *a)
{
	const struct options *o = h->values;
	const char *wrong = auth_rules_set(&a->rules, &o->allow);

	if (wrong)
		return svc_fail(h, -EINVAL,
			"allow: expected names of letters, digits and _.@-, or *, found '%.60s'",
			wrong);
	return read_secret(h, o->secret_file, a);
}

static int config(struct tela_hook *h)
{
	struct auth *a = calloc(1, sizeof(*a));
	int rc = a ? options(h, a) : svc_fail(h, -ENOMEM, "no memory");

	free(a);
	return rc;
}

static void free_list(struct known *k, bool unlinked)
{
	for (struct known *next; k; k = next) {
		next = unlinked ? k->unlinked : atomic_load(&k->next);
		free(k);
	}
}

static void destroy(struct auth *a)
{
	for (uint32_t i = 0; a->bucket && i <= a->mask; i++)
		free_list(atomic_load(&a->bucket[i]), false);
	free_list(a->unlinked, true);
	svc_ring_fini(&a->ring);
	free(a->bucket);
	free(a->place);
	free(a->free_place);
	free(a->refused);
	free(a->subject);
	OPENSSL_cleanse(a->secret, sizeof(a->secret));
	free(a);
}

static int make(struct tela_hook *h, struct auth *a)
{
	const uint32_t tokens = ((const struct options *)h->values)->tokens;
	int rc = options(h, a);

	if (rc)
		return rc;
	a->node = h->node;
	a->log = h->log;
	a->n_cores = tela_node_n_cores(h->node);
	a->mask = tokens - 1;
	a->anonymous = auth_rules_of_anonymous(&a->rules);
	a->bucket = calloc(tokens, sizeof(*a->bucket));
	a->place = calloc(tokens, sizeof(*a->place));
	a->free_place = calloc(tokens, sizeof(*a->free_place));
	a->refused = svc_counts_create(a->n_cores);
	a->subject = calloc(SUBJECTS, sizeof(*a->subject));
	for (uint32_t i = 0; a->free_place && i <= a->mask; i++)
		a->free_place[i] = i;
	if (!a->bucket || !a->place || !a->free_place || !a->refused || !a->subject ||
		svc_ring_init(&a->ring, QUEUE, sizeof(struct question)))
		return svc_fail(h, -ENOMEM, "no memory");
	return svc_worker_start(&a->worker, "auth", run, h);
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct auth *a = svc_zalloc(sizeof(*a));
	int rc;

	if (!a)
		return svc_fail(h, -ENOMEM, "no memory");
	rc = make(h, a);
	if (rc)
		destroy(a);
	else
		*ret_self = a;
	return rc;
}

static void stop(struct tela_hook *h)
{
	struct auth *a = h->self;

	svc_worker_stop(&a->worker);
	destroy(a);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct auth *a = self;

	emit(arg, "refused", svc_counts_sum(a->refused, a->n_cores));
	emit(arg, "verified", atomic_load_explicit(&a->verified, memory_order_relaxed));
	emit(arg, "failed", atomic_load_explicit(&a->failed, memory_order_relaxed));
}

static const struct tela_config_key subjects = {.type = TELA_CONFIG_LIST, .min = 1, .max = 64};
static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, secret_file, .required = true,
		.help = "the secret that tokens are signed with: 16 bytes or more, a newline at "
			"the end "
			"aside"),
	TELA_CONFIG(struct options, allow, .of = &subjects, .min = 1, .max = AUTH_RULES_MAX,
		.fallback = "*:*",
		.help = "for each method, or *, who may call it: subjects, anonymous, or *"),
	TELA_CONFIG(struct options, tokens, .min = 1, .max = TOKENS_MAX, .power_of_two = true,
		.fallback = "4096", .help = "tokens kept as verified"),
};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter},
};

const struct tela_plugin auth_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "auth",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(auth_plugin);

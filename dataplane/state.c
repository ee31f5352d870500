#include "state.h"

#include "image.h"
#include "node.h"
#include "siphash.h"

#include <sys/random.h>

enum { CHAINS = 16384, OVERHEAD = 32 };

struct item {
	_Atomic(struct item *) next;
	uint32_t key_len, value_len;
	bool list;
	_Alignas(8) uint8_t bytes[]; /* value, padded to 8, then key */
};

struct tela_storage {
	pthread_mutex_t lock;
	struct tela_node *node;
	/* Keys may be a caller's, who must not know which of them share a chain. */
	uint64_t seed[2];
	_Atomic(_Atomic(struct item *) *) chains; /* made by the first writer */
	uint32_t n, max_n;
	uint64_t bytes, max_bytes;
};

struct tela_storage *storage_create(struct tela_node *node)
{
	struct tela_storage *t = calloc(1, sizeof(*t));

	if (!t || getrandom(t->seed, sizeof(t->seed), 0) != sizeof(t->seed)) {
		free(t);
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->node = node;
	t->max_n = TELA_STORAGE_ENTRIES;
	t->max_bytes = TELA_STORAGE_BYTES;
	return t;
}

void storage_destroy(struct tela_storage *t)
{
	_Atomic(struct item *) *chains = t ? atomic_load(&t->chains) : NULL;

	for (uint32_t i = 0; chains && i < CHAINS; i++) {
		struct item *next;

		for (struct item *x = atomic_load(&chains[i]); x; x = next) {
			next = atomic_load(&x->next);
			free(x);
		}
	}
	free(chains);
	if (t)
		pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ---- items ---- */

static uint64_t hash_of(const struct tela_storage *t, struct tela_bytes key)
{
	uint64_t words[TELA_KEY_MAX / 8 + 2] = {key.len};

	memcpy(words + 1, key.data, key.len);
	return siphash_words(t->seed, words, 1 + (unsigned)(key.len + 7) / 8);
}

static uint8_t *key_of(struct item *x)
{
	return x->bytes + ((x->value_len + 7u) & ~7u);
}

static struct tela_bytes value_of(const struct item *x)
{
	return (struct tela_bytes){x->bytes, x->value_len};
}

static uint64_t cost(size_t key_len, size_t value_len)
{
	return key_len + value_len + OVERHEAD;
}

/* Where the item stands, or where a new one would: the link to it. */
static _Atomic(struct item *) *find(
	const struct tela_storage *t, _Atomic(struct item *) *chains, struct tela_bytes key)
{
	_Atomic(struct item *) *at = &chains[hash_of(t, key) % CHAINS];
	struct item *x;

	while ((x = atomic_load_explicit(at, memory_order_acquire)) &&
		(x->key_len != key.len || memcmp(key_of(x), key.data, key.len)))
		at = &x->next;
	return at;
}

static struct item *look(const struct tela_storage *t, struct tela_bytes key)
{
	_Atomic(struct item *) *chains =
		atomic_load_explicit(&((struct tela_storage *)t)->chains, memory_order_acquire);

	if (!chains || !key.len || key.len > TELA_KEY_MAX)
		return NULL;
	return atomic_load_explicit(find(t, chains, key), memory_order_acquire);
}

static struct item *item_create(struct tela_bytes key, struct tela_bytes value, bool list)
{
	struct item *x = malloc(sizeof(*x) + ((value.len + 7) & ~(size_t)7) + key.len);

	if (!x)
		return NULL;
	atomic_init(&x->next, NULL);
	x->key_len = (uint32_t)key.len;
	x->value_len = (uint32_t)value.len;
	x->list = list;
	if (value.len)
		memcpy(x->bytes, value.data, value.len);
	memcpy(key_of(x), key.data, key.len);
	return x;
}

/* ---- writers ---- */

/* 0 with the lock taken. */
static int enter(struct tela_storage *t, struct tela_bytes key)
{
	if (tela_core_self())
		return -EPERM;
	if (!key.len || key.len > TELA_KEY_MAX)
		return -EINVAL;
	pthread_mutex_lock(&t->lock);
	if (!atomic_load_explicit(&t->chains, memory_order_relaxed)) {
		_Atomic(struct item *) *chains = calloc(CHAINS, sizeof(*chains));

		if (!chains) {
			pthread_mutex_unlock(&t->lock);
			return -ENOMEM;
		}
		atomic_store_explicit(&t->chains, chains, memory_order_release);
	}
	return 0;
}

static int leave(struct tela_storage *t, int rc)
{
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static int put_locked(
	struct tela_storage *t, struct tela_bytes key, struct tela_bytes value, bool list)
{
	_Atomic(struct item *) *at = find(t, atomic_load(&t->chains), key);
	struct item *old = atomic_load(at), *x;
	uint64_t before = old ? cost(old->key_len, old->value_len) : 0;

	if (value.len > TELA_VALUE_MAX)
		return -E2BIG;
	if ((!old && t->n >= t->max_n) ||
		t->bytes - before + cost(key.len, value.len) > t->max_bytes)
		return -ENOSPC;
	x = item_create(key, value, list);
	if (!x)
		return -ENOMEM;
	if (old)
		atomic_init(&x->next, atomic_load(&old->next));
	atomic_store_explicit(at, x, memory_order_release);
	t->n += !old;
	t->bytes += cost(key.len, value.len) - before;
	if (old)
		node_free_later(t->node, old);
	return 0;
}

int tela_storage_put(struct tela_storage *t, struct tela_bytes key, struct tela_bytes value)
{
	int rc = enter(t, key);

	return rc ? rc : leave(t, put_locked(t, key, value, false));
}

int tela_storage_put_new(struct tela_storage *t, struct tela_bytes key, struct tela_bytes value)
{
	int rc = enter(t, key);

	if (rc)
		return rc;
	return leave(t, look(t, key) ? -EEXIST : put_locked(t, key, value, false));
}

int tela_storage_delete(struct tela_storage *t, struct tela_bytes key)
{
	int rc = enter(t, key);
	_Atomic(struct item *) *at;
	struct item *old;

	if (rc)
		return rc;
	at = find(t, atomic_load(&t->chains), key);
	old = atomic_load(at);
	if (old) {
		/* A reader that stands on it goes on to what follows. */
		atomic_store_explicit(at, atomic_load(&old->next), memory_order_release);
		t->n--;
		t->bytes -= cost(old->key_len, old->value_len);
		node_free_later(t->node, old);
	}
	return leave(t, 0);
}

int tela_storage_bound(struct tela_storage *t, uint32_t max_entries, uint64_t max_bytes)
{
	int rc = 0;

	if (tela_core_self())
		return -EPERM;
	if (max_entries > TELA_STORAGE_ENTRIES || max_bytes > TELA_STORAGE_BYTES)
		return -EINVAL;
	pthread_mutex_lock(&t->lock);
	if ((max_entries && t->n > max_entries) || (max_bytes && t->bytes > max_bytes)) {
		rc = -ENOSPC;
	} else {
		t->max_n = max_entries ? max_entries : t->max_n;
		t->max_bytes = max_bytes ? max_bytes : t->max_bytes;
	}
	return leave(t, rc);
}

/* ---- readers ---- */

struct tela_bytes tela_storage_get(
	const struct tela_storage *t, struct tela_bytes key, struct tela_bytes fallback)
{
	const struct item *x = look(t, key);

	return x ? value_of(x) : fallback;
}

int64_t tela_storage_copy(struct tela_storage *t, struct tela_bytes key, void *to, size_t room)
{
	int64_t len = enter(t, key);
	const struct item *x;

	if (len)
		return len;
	x = look(t, key);
	len = x ? (int64_t)x->value_len : -ENOENT;
	if (x)
		memcpy(to, x->bytes, min_u64(room, x->value_len));
	leave(t, 0);
	return len;
}

int64_t tela_storage_each(struct tela_storage *t,
	bool (*fn)(void *arg, struct tela_bytes key, struct tela_bytes value), void *arg)
{
	_Atomic(struct item *) *chains;
	int64_t n = 0;
	bool more = true;

	if (tela_core_self())
		return -EPERM;
	pthread_mutex_lock(&t->lock);
	chains = atomic_load(&t->chains);
	for (uint32_t i = 0; chains && more && i < CHAINS; i++)
		for (struct item *x = atomic_load(&chains[i]); x && more;
			x = atomic_load(&x->next)) {
			more = fn(arg, (struct tela_bytes){key_of(x), x->key_len}, value_of(x));
			n++;
		}
	leave(t, 0);
	return n;
}

void tela_storage_size(struct tela_storage *t, uint32_t *ret_entries, uint64_t *ret_bytes)
{
	pthread_mutex_lock(&t->lock);
	*ret_entries = t->n;
	*ret_bytes = t->bytes;
	pthread_mutex_unlock(&t->lock);
}

struct tela_storage *tela_service_storage(struct tela_service *s)
{
	return s->storage;
}

/* ---- the node's store: a key is the domain, a zero byte, the key ---- */

struct store_key {
	struct tela_bytes key;
	char text[TELA_KEY_MAX];
};

/* An empty key if they are too long, which is then refused. */
static void make_key(struct store_key *k, const char *domain, const char *key)
{
	size_t a = strlen(domain), b = strlen(key);

	k->key = (struct tela_bytes){(const uint8_t *)k->text, 0};
	if (!a || !b || a + 1 + b > sizeof(k->text))
		return;
	memcpy(k->text, domain, a + 1);
	memcpy(k->text + a + 1, key, b);
	k->key.len = a + 1 + b;
}

int tela_store_put(
	struct tela_node *n, const char *domain, const char *key, struct tela_bytes value)
{
	struct store_key k;

	make_key(&k, domain, key);
	return tela_storage_put(n->store, k.key, value);
}

struct tela_bytes tela_store_get(
	struct tela_node *n, const char *domain, const char *key, struct tela_bytes fallback)
{
	struct store_key k;

	make_key(&k, domain, key);
	return tela_storage_get(n->store, k.key, fallback);
}

int64_t tela_store_copy(
	struct tela_node *n, const char *domain, const char *key, void *to, size_t room)
{
	struct store_key k;

	make_key(&k, domain, key);
	return tela_storage_copy(n->store, k.key, to, room);
}

int tela_store_delete(struct tela_node *n, const char *domain, const char *key)
{
	struct store_key k;

	make_key(&k, domain, key);
	return tela_storage_delete(n->store, k.key);
}

int tela_store_increment(
	struct tela_node *n, const char *domain, const char *key, int64_t by, int64_t *ret)
{
	struct store_key k;
	struct item *x;
	int64_t v;
	int rc;

	make_key(&k, domain, key);
	rc = enter(n->store, k.key);
	if (rc)
		return rc;
	x = look(n->store, k.key);
	if (!x || x->list || x->value_len != sizeof(v))
		return leave(n->store, x ? -EINVAL : -ENOENT);
	memcpy(&v, x->bytes, sizeof(v));
	if (__builtin_add_overflow(v, by, &v))
		return leave(n->store, -ERANGE);
	rc = put_locked(
		n->store, k.key, (struct tela_bytes){(const uint8_t *)&v, sizeof(v)}, false);
	if (!rc && ret)
		*ret = v;
	return leave(n->store, rc);
}

/* A list is entries of a length of 4 bytes and that many bytes. */
struct tela_bytes tela_list_next(struct tela_bytes list, size_t *at)
{
	const uint8_t *p = list.data;
	uint32_t len;

	if (!p || *at > list.len || list.len - *at < sizeof(len))
		return (struct tela_bytes){NULL, 0};
	memcpy(&len, p + *at, sizeof(len));
	if (len > list.len - *at - sizeof(len))
		return (struct tela_bytes){NULL, 0};
	p += *at + sizeof(len);
	*at += sizeof(len) + len;
	return (struct tela_bytes){p, len};
}

static bool is_listed(struct tela_bytes list, struct tela_bytes entry)
{
	struct tela_bytes e;
	size_t at = 0;

	while ((e = tela_list_next(list, &at)).data)
		if (e.len == entry.len && !memcmp(e.data, entry.data, e.len))
			return true;
	return false;
}

static int add_locked(struct tela_storage *t, struct tela_bytes key, struct tela_bytes entry)
{
	struct item *old = look(t, key);
	uint32_t len = (uint32_t)entry.len;
	size_t before = old ? old->value_len : 0;
	uint8_t *list;
	int rc;

	if (old && !old->list)
		return -EINVAL;
	if (entry.len > TELA_VALUE_MAX)
		return -E2BIG;
	if (old && is_listed(value_of(old), entry))
		return 0;
	list = malloc(sizeof(len) + entry.len + before);
	if (!list)
		return -ENOMEM;
	memcpy(list, &len, sizeof(len));
	if (entry.len)
		memcpy(list + sizeof(len), entry.data, entry.len);
	if (old)
		memcpy(list + sizeof(len) + entry.len, old->bytes, before);
	rc = put_locked(t, key, (struct tela_bytes){list, sizeof(len) + entry.len + before}, true);
	free(list);
	return rc;
}

int tela_store_add(
	struct tela_node *n, const char *domain, const char *key, struct tela_bytes entry)
{
	struct store_key k;
	int rc;

	make_key(&k, domain, key);
	rc = enter(n->store, k.key);
	return rc ? rc : leave(n->store, add_locked(n->store, k.key, entry));
}

int tela_store_update(struct tela_node *n, const char *domain, const char *key, size_t room,
	int64_t (*fn)(void *arg, struct tela_bytes old, void *to, size_t room), void *arg)
{
	void *to = room > TELA_VALUE_MAX ? NULL : malloc(room + 1);
	struct store_key k;
	struct item *x;
	int64_t len;
	int rc;

	make_key(&k, domain, key);
	rc = room > TELA_VALUE_MAX ? -E2BIG : !to ? -ENOMEM : enter(n->store, k.key);
	if (!rc) {
		x = look(n->store, k.key);
		len = fn(arg, x ? value_of(x) : (struct tela_bytes){NULL, 0}, to, room);
		rc = len < 0 ? (int)len
		     : (uint64_t)len > room
			     ? -E2BIG
			     : put_locked(n->store, k.key, (struct tela_bytes){to, (size_t)len},
				       x && x->list);
		leave(n->store, rc);
	}
	free(to);
	return rc;
}

#include "names.h"

#include "base.h"
#include "siphash.h"

#include <pthread.h>

enum { CHAINS = 1024 };

struct entry {
	_Atomic(struct entry *) next;
	_Atomic(struct tela_owner *) owner;
	bool bag;
	uint32_t value_len;
	_Alignas(8) uint8_t bytes[]; /* value, padded to 8, then the key and its zero */
};

struct names {
	pthread_mutex_t lock;
	uint32_t n;
	_Atomic(struct entry *) chain[CHAINS];
};

struct tela_owner {
	struct tela_node *node;
	uint32_t n_entries;
	bool closed;
	char name[];
};

struct names *names_create(void)
{
	struct names *t = calloc(1, sizeof(*t));

	if (t)
		pthread_mutex_init(&t->lock, NULL);
	return t;
}

void names_destroy(struct names *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < CHAINS; i++) {
		struct entry *next;

		for (struct entry *e = atomic_load(&t->chain[i]); e; e = next) {
			next = atomic_load(&e->next);
			free(e);
		}
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ---- entries ---- */

static const char *key_of(const struct entry *e)
{
	return (const char *)e->bytes + ((e->value_len + 7u) & ~7u);
}

static bool is_key(const char *key)
{
	return key && *key && strnlen(key, TELA_KEY_MAX + 1) <= TELA_KEY_MAX;
}

static _Atomic(struct entry *) *chain_of(struct names *t, const char *key)
{
	static const uint64_t seed[2] = {0x74656c612e6e616dull, 0x6573616e64626167ull};
	uint64_t words[TELA_KEY_MAX / 8 + 1] = {0};
	size_t len = strlen(key);

	memcpy(words, key, len);
	return &t->chain[siphash_words(seed, words, (unsigned)(len + 7) / 8) % CHAINS];
}

static bool is(const struct entry *e, bool bag, const char *key)
{
	return e->bag == bag && !strcmp(key_of(e), key);
}

/* The first one from `e` on. */
static struct entry *find(struct entry *e, bool bag, const char *key)
{
	while (e && !is(e, bag, key))
		e = atomic_load_explicit(&e->next, memory_order_acquire);
	return e;
}

static struct entry *find_first(struct names *t, bool bag, const char *key)
{
	return find(atomic_load_explicit(chain_of(t, key), memory_order_acquire), bag, key);
}

static void show(const struct entry *e, struct tela_entry *ret)
{
	ret->holder = atomic_load_explicit(&e->owner, memory_order_acquire)->name;
	ret->value = (struct tela_bytes){e->bytes, e->value_len};
}

/* ---- writers ---- */

/* 0 with the lock taken. */
static int enter(struct tela_owner *o, const char *key)
{
	if (tela_core_self())
		return -EPERM;
	if (!is_key(key))
		return -EINVAL;
	pthread_mutex_lock(&node_names(o->node)->lock);
	return 0;
}

static int leave(struct tela_owner *o, int rc)
{
	pthread_mutex_unlock(&node_names(o->node)->lock);
	return rc;
}

/* Behind all others of its chain, so that a bag has its entries in their order. */
static int add_locked(struct tela_owner *o, bool bag, const char *key, struct tela_bytes value)
{
	struct names *t = node_names(o->node);
	_Atomic(struct entry *) *at = chain_of(t, key);
	size_t padded = (value.len + 7) & ~(size_t)7;
	struct entry *e;

	if (o->closed)
		return -ESHUTDOWN;
	if (value.len > TELA_ENTRY_MAX)
		return -E2BIG;
	if (t->n == TELA_ENTRIES_MAX)
		return -ENOSPC;
	e = malloc(sizeof(*e) + padded + strlen(key) + 1);
	if (!e)
		return -ENOMEM;
	atomic_init(&e->next, NULL);
	atomic_init(&e->owner, o);
	e->bag = bag;
	e->value_len = (uint32_t)value.len;
	if (value.len)
		memcpy(e->bytes, value.data, value.len);
	strcpy((char *)e->bytes + padded, key);
	while (atomic_load(at))
		at = &atomic_load(at)->next;
	atomic_store_explicit(at, e, memory_order_release);
	t->n++;
	o->n_entries++;
	return 0;
}

/* Takes those of the owner out of one chain, all of them or (`key`) those of that key; how many. A
 * reader that stands on one goes on to what follows. */
static int drop_locked(struct tela_owner *o, _Atomic(struct entry *) *at, bool bag, const char *key)
{
	struct entry *e;
	int n = 0;

	while ((e = atomic_load(at))) {
		if (atomic_load(&e->owner) != o || (key && !is(e, bag, key))) {
			at = &e->next;
			continue;
		}
		atomic_store_explicit(at, atomic_load(&e->next), memory_order_release);
		node_free_later(o->node, e);
		n++;
	}
	node_names(o->node)->n -= (uint32_t)n;
	o->n_entries -= (uint32_t)n;
	return n;
}

int tela_name_register(struct tela_owner *o, const char *name, struct tela_bytes value,
	char *holder, size_t holder_len)
{
	int rc = enter(o, name);
	struct entry *e;

	if (rc)
		return rc;
	e = find_first(node_names(o->node), false, name);
	if (!e)
		return leave(o, add_locked(o, false, name, value));
	if (holder && holder_len)
		snprintf(holder, holder_len, "%s", atomic_load(&e->owner)->name);
	return leave(o, -EEXIST);
}

int tela_name_unregister(struct tela_owner *o, const char *name)
{
	int rc = enter(o, name);

	if (rc)
		return rc;
	rc = drop_locked(o, chain_of(node_names(o->node), name), false, name);
	return leave(o, rc ? 0 : -ENOENT);
}

int tela_bag_add(struct tela_owner *o, const char *key, struct tela_bytes value)
{
	int rc = enter(o, key);

	return rc ? rc : leave(o, add_locked(o, true, key, value));
}

int tela_bag_remove(struct tela_owner *o, const char *key)
{
	int rc = enter(o, key);

	return rc ? rc : leave(o, drop_locked(o, chain_of(node_names(o->node), key), true, key));
}

/* ---- readers ---- */

bool tela_name_find(struct tela_node *n, const char *name, struct tela_entry *ret)
{
	const struct entry *e = is_key(name) ? find_first(node_names(n), false, name) : NULL;

	if (e)
		show(e, ret);
	return e != NULL;
}

int64_t tela_name_copy(struct tela_node *n, const char *name, void *to, size_t room)
{
	struct tela_owner reader = {.node = n};
	int64_t len = enter(&reader, name);
	const struct entry *e;

	if (len)
		return len;
	e = find_first(node_names(n), false, name);
	len = e ? (int64_t)e->value_len : -ENOENT;
	if (e && room)
		memcpy(to, e->bytes, min_u64(room, e->value_len));
	leave(&reader, 0);
	return len;
}

bool tela_bag_next(struct tela_node *n, const char *key, const void **at, struct tela_entry *ret)
{
	const struct entry *e = *at;

	if (!is_key(key))
		return false;
	e = e ? find(atomic_load_explicit(
			     &((struct entry *)(uintptr_t)e)->next, memory_order_acquire),
			true, key)
	      : find_first(node_names(n), true, key);
	if (e)
		show(e, ret);
	*at = e ? e : *at;
	return e != NULL;
}

uint32_t tela_bag_count(struct tela_node *n, const char *key)
{
	struct tela_owner reader = {.node = n};
	bool locked = !tela_core_self() && !enter(&reader, key);
	struct tela_entry e;
	const void *at = NULL;
	uint32_t count = 0;

	while (tela_bag_next(n, key, &at, &e))
		count++;
	if (locked)
		leave(&reader, 0);
	return count;
}

int64_t tela_registry_each(struct tela_node *n,
	bool (*fn)(void *arg, const char *key, bool bag, const struct tela_entry *e), void *arg)
{
	struct tela_owner reader = {.node = n};
	struct names *t = node_names(n);
	struct tela_entry found;
	int64_t count = enter(&reader, "any");
	bool more = true;

	if (count)
		return count;
	for (uint32_t i = 0; more && i < CHAINS; i++)
		for (struct entry *e = atomic_load(&t->chain[i]); e && more;
			e = atomic_load(&e->next)) {
			show(e, &found);
			more = fn(arg, key_of(e), e->bag, &found);
			count++;
		}
	leave(&reader, 0);
	return count;
}

/* ---- owners ---- */

struct tela_owner *tela_owner_create(struct tela_node *n, const char *name)
{
	struct tela_owner *o = calloc(1, sizeof(*o) + strlen(name) + 1);

	if (!o)
		return NULL;
	o->node = n;
	strcpy(o->name, name);
	return o;
}

void tela_owner_close(struct tela_owner *o)
{
	struct names *t = node_names(o->node);

	pthread_mutex_lock(&t->lock);
	o->closed = true;
	for (uint32_t i = 0; o->n_entries && i < CHAINS; i++)
		drop_locked(o, &t->chain[i], false, NULL);
	pthread_mutex_unlock(&t->lock);
}

/* A core may still read its name. */
void tela_owner_free(struct tela_owner *o)
{
	if (!o)
		return;
	tela_owner_close(o);
	node_free_later(o->node, o);
}

void tela_owner_move(struct tela_owner *from, struct tela_owner *to, bool names, bool bags)
{
	struct names *t = node_names(from->node);

	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; from->n_entries && i < CHAINS; i++)
		for (struct entry *e = atomic_load(&t->chain[i]); e; e = atomic_load(&e->next)) {
			if (atomic_load(&e->owner) != from || !(e->bag ? bags : names))
				continue;
			atomic_store_explicit(&e->owner, to, memory_order_release);
			from->n_entries--;
			to->n_entries++;
		}
	pthread_mutex_unlock(&t->lock);
}

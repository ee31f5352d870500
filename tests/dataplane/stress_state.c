/* stress_state.c - storage and store: each call with each of its errors, then readers as data cores
 * are against writers. A value is its key and a number, many times: one that is torn, or freed and
 * used again, is seen. */
#include "bare_node.h"
#include "state.h"

#include <sched.h>
#include <urcu-qsbr.h>

enum { READERS = 3, WRITERS = 2, ROUNDS = 20000, KEYS = 64, WORDS = 12 };

static const struct tela_method_desc method = {"m", 1, 0, 0, NULL, NULL};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 1, &method};
static struct tela_node *node;
static struct tela_storage *storage;
static _Atomic bool stop;

/* For a thread that is the only one; cores alone may call it otherwise. */
static bool is(const char *key, const char *value)
{
	struct tela_bytes v = tela_storage_get(storage, text(key), raw("-", 1));

	return v.len == strlen(value) && !memcmp(v.data, value, v.len);
}

/* ---- each call ---- */

static bool count_entry(void *arg, struct tela_bytes key, struct tela_bytes value)
{
	CHECK(key.len == 1 && value.data && (uintptr_t)value.data % 8 == 0);
	return ++*(int *)arg < 2;
}

static void test_storage(void)
{
	static char big[TELA_VALUE_MAX + 1];
	struct tela_bytes none = raw("", 0), long_key = raw(big, TELA_KEY_MAX + 1);
	uint64_t bytes;
	uint32_t n;
	char to[2];
	int seen = 0;

	CHECK(is("a", "-") && tela_storage_delete(storage, text("a")) == 0);
	CHECK(!tela_storage_put(storage, text("a"), text("one")) && is("a", "one"));
	CHECK(!tela_storage_put(storage, text("a"), text("twenty")) && is("a", "twenty"));
	CHECK(tela_storage_put_new(storage, text("a"), text("x")) == -EEXIST && is("a", "twenty"));
	CHECK(!tela_storage_put_new(storage, text("b"), none) && is("b", ""));
	CHECK(tela_storage_copy(storage, text("a"), to, sizeof(to)) == 6 && !memcmp(to, "tw", 2));
	CHECK(tela_storage_copy(storage, text("z"), to, sizeof(to)) == -ENOENT);
	CHECK(tela_storage_put(storage, none, text("x")) == -EINVAL);
	CHECK(tela_storage_put(storage, long_key, text("x")) == -EINVAL);
	CHECK(tela_storage_put(storage, text("a"), raw(big, sizeof(big))) == -E2BIG);
	tela_storage_size(storage, &n, &bytes);
	CHECK(n == 2 && bytes == 2 * 32 + 1 + 6 + 1);
	CHECK(!tela_storage_put(storage, text("c"), text("c")));
	CHECK(tela_storage_each(storage, count_entry, &seen) == 2 && seen == 2);

	/* Full: by entries, by bytes; what was there stays and may be replaced. */
	CHECK(tela_storage_bound(storage, TELA_STORAGE_ENTRIES + 1, 0) == -EINVAL);
	CHECK(tela_storage_bound(storage, 2, 0) == -ENOSPC);
	CHECK(!tela_storage_bound(storage, 3, 0));
	CHECK(tela_storage_put(storage, text("d"), text("d")) == -ENOSPC && is("d", "-"));
	CHECK(!tela_storage_put(storage, text("a"), text("new")) && is("a", "new"));
	CHECK(!tela_storage_delete(storage, text("b")) && is("b", "-"));
	CHECK(!tela_storage_put(storage, text("d"), text("d")));
	tela_storage_size(storage, &n, &bytes);
	CHECK(!tela_storage_bound(storage, TELA_STORAGE_ENTRIES, bytes));
	CHECK(tela_storage_put(storage, text("a"), text("news")) == -ENOSPC && is("a", "new"));
	CHECK(!tela_storage_bound(storage, 0, TELA_STORAGE_BYTES));
	for (const char *k = "acd"; *k; k++)
		CHECK(!tela_storage_delete(storage, raw(k, 1)));
	tela_storage_size(storage, &n, &bytes);
	CHECK(n == 0 && bytes == 0);
}

static bool note_entry(void *arg, struct tela_bytes key, struct tela_bytes value)
{
	char **at = arg;

	(void)value;
	*(*at)++ = (char)*key.data;
	return true;
}

/* Keys may be a caller's, who must not know which of them share a chain: no two tables put theirs
 * into the same places. */
static void test_places(void)
{
	struct tela_storage *t[2];
	char order[2][KEYS + 1] = {"", ""}, *at;

	for (int i = 0; i < 2; i++) {
		t[i] = storage_create(node);
		CHECK(t[i]);
		for (char k = '!'; k < '!' + KEYS; k++)
			CHECK(!tela_storage_put(t[i], raw(&k, 1), raw(&k, 1)));
		at = order[i];
		CHECK(tela_storage_each(t[i], note_entry, &at) == KEYS);
		storage_destroy(t[i]);
	}
	CHECK(strcmp(order[0], order[1]) != 0);
}

static int64_t append(void *arg, struct tela_bytes old, void *to, size_t room)
{
	size_t n = old.data ? old.len : 0;

	if (arg)
		return -ECANCELED;
	if (n + 1 > room)
		return (int64_t)n + 1;
	if (n)
		memcpy(to, old.data, n);
	((char *)to)[n] = '+';
	return (int64_t)n + 1;
}

static void test_store(void)
{
	static char long_key[TELA_KEY_MAX];
	struct tela_bytes v, none = {NULL, 0};
	int64_t n = 5;
	size_t at = 0;

	memset(long_key, 'k', sizeof(long_key) - 1);
	CHECK(tela_store_put(node, "d", long_key, text("x")) == -EINVAL);
	CHECK(tela_store_put(node, "", "k", text("x")) == -EINVAL);
	/* Domain and key are apart: "a" "bc" is not "ab" "c". */
	CHECK(!tela_store_put(node, "a", "bc", text("1")));
	CHECK(!tela_store_get(node, "ab", "c", none).data);
	CHECK(tela_store_get(node, "a", "bc", none).len == 1);
	CHECK(tela_store_increment(node, "a", "n", 1, &n) == -ENOENT && n == 5);
	CHECK(tela_store_increment(node, "a", "bc", 1, &n) == -EINVAL);
	CHECK(!tela_store_put(node, "a", "n", raw(&n, sizeof(n))));
	CHECK(!tela_store_increment(node, "a", "n", -7, &n) && n == -2);
	CHECK(tela_store_increment(node, "a", "n", INT64_MIN, NULL) == -ERANGE);
	CHECK(tela_store_copy(node, "a", "n", &n, sizeof(n)) == 8 && n == -2);
	/* Lists: the latest first, each once. */
	CHECK(tela_store_add(node, "a", "n", text("x")) == -EINVAL);
	CHECK(!tela_store_add(node, "a", "l", text("one")) &&
		!tela_store_add(node, "a", "l", text("")));
	CHECK(!tela_store_add(node, "a", "l", text("one")));
	v = tela_store_get(node, "a", "l", none);
	CHECK(tela_list_next(v, &at).len == 0 && tela_list_next(v, &at).len == 3);
	CHECK(!tela_list_next(v, &at).data);
	at = 0;
	CHECK(!tela_list_next(raw("\xff\xff\xff\xff", 4), &at).data);
	CHECK(tela_store_increment(node, "a", "l", 1, NULL) == -EINVAL);
	/* Update. */
	CHECK(!tela_store_update(node, "a", "u", 2, append, NULL));
	CHECK(!tela_store_update(node, "a", "u", 2, append, NULL));
	CHECK(tela_store_update(node, "a", "u", 2, append, NULL) == -E2BIG);
	CHECK(tela_store_update(node, "a", "u", 2, append, node) == -ECANCELED);
	CHECK(tela_store_get(node, "a", "u", none).len == 2);
	CHECK(!tela_store_delete(node, "a", "u") && !tela_store_get(node, "a", "u", none).data);
}

/* ---- readers against writers ---- */

static void check_value(struct tela_bytes v, uint64_t key)
{
	const uint64_t *w = (const void *)v.data;

	CHECK(v.len == WORDS * 8);
	for (int i = 0; i < WORDS; i++)
		CHECK(w[i] == (w[0] & ~(uint64_t)0xff) + key);
}

/* As core_main() has it: `passes` first, then the quiescent state. */
static void *read_all(void *arg)
{
	struct core *c = arg;
	uint64_t found = 0;

	rcu_register_thread();
	while (!found || !atomic_load_explicit(&stop, memory_order_relaxed)) {
		for (uint64_t k = 0; k < KEYS; k++) {
			struct tela_bytes v =
				tela_storage_get(storage, raw(&k, sizeof(k)), raw(NULL, 0));

			if (!v.data)
				continue;
			check_value(v, k);
			found++;
			if (k == 7) { /* a pass may take long */
				sched_yield();
				check_value(v, k);
			}
		}
		atomic_store_explicit(&c->passes,
			atomic_load_explicit(&c->passes, memory_order_relaxed) + 1,
			memory_order_release);
		rcu_quiescent_state();
	}
	rcu_unregister_thread();

	return NULL;
}

static void *write_all(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 1;

	for (uint64_t r = 1; r <= ROUNDS; r++) {
		uint64_t k, w[WORDS];
		struct tela_bytes key = raw(&k, sizeof(k));

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		k = (seed >> 33) % KEYS;
		if (seed >> 61 == 0) {
			CHECK(!tela_storage_delete(storage, key));
			continue;
		}
		for (int i = 0; i < WORDS; i++)
			w[i] = (r << 8) + k;
		CHECK(!tela_storage_put(storage, key, raw(w, sizeof(w))));
		CHECK(!tela_store_increment(node, "s", "n", 1, NULL));
	}
	return NULL;
}

static void test_together(void)
{
	pthread_t reader[READERS], writer[WRITERS];
	int64_t zero = 0, puts = 0;

	CHECK(!tela_store_put(node, "s", "n", raw(&zero, sizeof(zero))));
	for (uintptr_t i = 0; i < READERS; i++)
		CHECK(!pthread_create(&reader[i], NULL, read_all, node->cores[i]));
	for (uintptr_t i = 0; i < WRITERS; i++)
		CHECK(!pthread_create(&writer[i], NULL, write_all, (void *)i));
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	CHECK(tela_store_copy(node, "s", "n", &puts, sizeof(puts)) == 8);
	printf("%d rounds, %lld puts, none torn and none lost\n", ROUNDS * WRITERS,
		(long long)puts);
	CHECK(puts > ROUNDS && puts <= ROUNDS * WRITERS);
}

int main(void)
{
	static const struct tela_budgets budgets = {.paths = 1,
		.sessions = 1,
		.slots = 8,
		.calls = 8,
		.messages_2k = 1,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 8};
	struct tela_service *service;

	node = bare_node_create(READERS, &budgets);
	CHECK(node);
	service = tela_service_add(node, &desc);
	CHECK(service);
	storage = tela_service_storage(service);
	test_storage();
	test_places();
	test_store();
	test_together();
	bare_node_destroy(node);
	return 0;
}

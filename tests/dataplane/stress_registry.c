/* stress_registry.c - names and bags: each call with each of its errors, then readers as data cores
 * are, against owners that come, hand on to a successor and end. A name that has a holder all the
 * time is found by every look, and a value is whole and its holder's. */
#include "bare_node.h"
#include "tela_registry.h"

#include <sched.h>
#include <urcu-qsbr.h>

enum { READERS = 3, WRITERS = 2, ROUNDS = 4000, WORDS = 12 };

static struct tela_node *node;
static _Atomic bool stop;

static bool is(struct tela_bytes v, const char *value)
{
	return v.len == strlen(value) && !memcmp(v.data, value, v.len) &&
	       (uintptr_t)v.data % 8 == 0;
}

/* For a thread that is the only one; cores alone may call it otherwise. */
static bool held(const char *name, const char *value, const char *holder)
{
	struct tela_entry e;

	return tela_name_find(node, name, &e) && is(e.value, value) && !strcmp(e.holder, holder);
}

/* ---- each call ---- */

static void test_names(struct tela_owner *a, struct tela_owner *b)
{
	static char big[TELA_ENTRY_MAX + 1], long_key[TELA_KEY_MAX + 2];
	struct tela_entry e;
	char holder[8] = "", to[2];

	memset(long_key, 'k', TELA_KEY_MAX + 1);
	CHECK(!tela_name_find(node, "n", &e));
	CHECK(tela_name_unregister(a, "n") == -ENOENT);
	CHECK(!tela_name_register(a, "n", text("one"), NULL, 0) && held("n", "one", "a"));
	CHECK(tela_name_register(b, "n", text("two"), holder, sizeof(holder)) == -EEXIST);
	CHECK(!strcmp(holder, "a") && held("n", "one", "a"));
	CHECK(tela_name_register(a, "n", text("two"), NULL, 0) == -EEXIST);
	CHECK(tela_name_unregister(b, "n") == -ENOENT && held("n", "one", "a"));
	CHECK(tela_name_copy(node, "n", to, sizeof(to)) == 3 && !memcmp(to, "on", 2));
	CHECK(tela_name_copy(node, "m", to, sizeof(to)) == -ENOENT);
	CHECK(!tela_name_unregister(a, "n") && !tela_name_find(node, "n", &e));
	CHECK(!tela_name_register(b, "n", raw("", 0), NULL, 0) && held("n", "", "b"));
	CHECK(tela_name_register(a, "", text("x"), NULL, 0) == -EINVAL);
	CHECK(tela_name_register(a, long_key, text("x"), NULL, 0) == -EINVAL);
	CHECK(!tela_name_find(node, long_key, &e) && !tela_bag_count(node, long_key));
	long_key[TELA_KEY_MAX] = 0;
	CHECK(!tela_name_register(a, long_key, text("x"), NULL, 0) && held(long_key, "x", "a"));
	CHECK(tela_name_register(a, "big", raw(big, sizeof(big)), NULL, 0) == -E2BIG);
	CHECK(!tela_name_register(a, "big", raw(big, TELA_ENTRY_MAX), NULL, 0));
}

static void test_bags(struct tela_owner *a, struct tela_owner *b)
{
	static const char *const order[] = {"1", "2", "2", "3"};
	struct tela_entry e;
	const void *at = NULL;
	int n = 0;

	CHECK(!tela_bag_count(node, "n")); /* a name of it is another thing */
	CHECK(!tela_bag_add(a, "n", text("1")) && !tela_bag_add(b, "n", text("2")));
	CHECK(!tela_bag_add(b, "n", text("2")) && !tela_bag_add(a, "n", text("3")));
	while (tela_bag_next(node, "n", &at, &e))
		CHECK(is(e.value, order[n++]));
	CHECK(n == 4 && tela_bag_count(node, "n") == 4);
	CHECK(tela_bag_remove(b, "n") == 2 && tela_bag_remove(b, "n") == 0);
	CHECK(tela_bag_count(node, "n") == 2);
}

static bool count_some(void *arg, const char *key, bool bag, const struct tela_entry *e)
{
	CHECK(*key && *e->holder && (bag || *e->holder != 'c'));
	return ++*(int *)arg < 3;
}

static void test_owners(struct tela_owner *a, struct tela_owner *b)
{
	struct tela_owner *c = tela_owner_create(node, "c");
	int seen = 0;

	CHECK(c);
	tela_owner_move(b, c, false, true);
	CHECK(held("n", "", "b"));
	tela_owner_move(b, c, true, false);
	CHECK(held("n", "", "c"));
	tela_owner_move(c, b, true, true);
	CHECK(held("n", "", "b"));
	tela_owner_move(a, c, false, true);
	CHECK(tela_bag_remove(a, "n") == 0 && tela_bag_count(node, "n") == 2);
	CHECK(tela_registry_each(node, count_some, &seen) == 3 && seen == 3);
	tela_owner_close(c);
	CHECK(!tela_bag_count(node, "n") && tela_bag_add(c, "n", text("x")) == -ESHUTDOWN);
	CHECK(tela_name_register(c, "z", text("x"), NULL, 0) == -ESHUTDOWN);
	tela_owner_free(c);
	CHECK(tela_name_copy(node, "big", NULL, 0) == TELA_ENTRY_MAX && held("n", "", "b"));
	tela_owner_free(NULL);
}

static void test_full(void)
{
	struct tela_owner *o = tela_owner_create(node, "many");
	char name[16];
	int n = 0, rc;

	CHECK(o);
	do {
		snprintf(name, sizeof(name), "m%d", n++);
		rc = tela_name_register(o, name, text("x"), NULL, 0);
	} while (!rc);
	CHECK(rc == -ENOSPC && n == TELA_ENTRIES_MAX + 1 && held("m0", "x", "many"));
	CHECK(!tela_name_unregister(o, "m0"));
	CHECK(!tela_name_register(o, "again", text("x"), NULL, 0));
	tela_owner_free(o);
	CHECK(tela_registry_each(node, count_some, &n) == 0);
}

/* ---- together: each writer hands a name, and a bag's entry, from owner to owner ---- */

static void check_entry(const struct tela_entry *e, uint64_t writer)
{
	const uint64_t *w = (const uint64_t *)(const void *)e->value.data;

	CHECK(e->value.len == WORDS * sizeof(*w) && w[0] >> 32 == writer);
	for (int i = 1; i < WORDS; i++)
		CHECK(w[i] == w[0]);
	CHECK(e->holder[0] == 'o' && e->holder[1] == (char)('0' + writer) && !e->holder[2]);
}

static void *read_all(void *arg)
{
	struct core *c = arg;
	uint64_t found = 0;

	rcu_register_thread();
	while (!found || !atomic_load_explicit(&stop, memory_order_relaxed)) {
		for (uint64_t k = 0; k < WRITERS; k++) {
			char name[3] = {'n', (char)('0' + k), 0};
			struct tela_entry e;
			const void *at = NULL;

			CHECK(tela_name_find(node, name, &e));
			check_entry(&e, k);
			if (found % 16 == 0) { /* a pass may take long */
				sched_yield();
				check_entry(&e, k);
			}
			for (int n = 0; tela_bag_next(node, "bag", &at, &e) && n < 64; n++)
				check_entry(&e, (uint64_t)(e.holder[1] - '0'));
			found++;
		}
		atomic_store_explicit(&c->passes,
			atomic_load_explicit(&c->passes, memory_order_relaxed) + 1,
			memory_order_release);
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

static struct tela_owner *owners[WRITERS];

static struct tela_owner *create(uint64_t writer)
{
	char name[3] = {'o', (char)('0' + writer), 0};
	struct tela_owner *o = tela_owner_create(node, name);

	CHECK(o);
	return o;
}

static struct tela_bytes make_value(uint64_t w[WORDS], uint64_t writer, uint64_t round)
{
	for (int i = 0; i < WORDS; i++)
		w[i] = writer << 32 | round;
	return raw(w, WORDS * sizeof(*w));
}

static void *write_all(void *arg)
{
	uint64_t writer = (uintptr_t)arg, w[WORDS];

	for (uint64_t r = 1; r <= ROUNDS; r++) {
		struct tela_owner *next = create(writer), *old = owners[writer];
		struct tela_bytes value = make_value(w, writer, r);

		CHECK(!tela_bag_add(next, "bag", value));
		CHECK(!tela_name_register(next, writer ? "x1" : "x0", value, NULL, 0));
		tela_owner_move(old, next, true, false);
		tela_owner_free(old); /* its entry in the bag goes */
		CHECK(!tela_name_unregister(next, writer ? "x1" : "x0"));
		owners[writer] = next;
	}
	return NULL;
}

static void test_together(void)
{
	pthread_t reader[READERS], writer[WRITERS];
	uint64_t w[WORDS];

	for (uint64_t i = 0; i < WRITERS; i++) {
		owners[i] = create(i);
		CHECK(!tela_name_register(
			owners[i], i ? "n1" : "n0", make_value(w, i, 0), NULL, 0));
	}
	for (uintptr_t i = 0; i < READERS; i++)
		CHECK(!pthread_create(&reader[i], NULL, read_all, node->cores[i]));
	for (uintptr_t i = 0; i < WRITERS; i++)
		CHECK(!pthread_create(&writer[i], NULL, write_all, (void *)i));
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);
	CHECK(tela_bag_count(node, "bag") == WRITERS);
	for (int i = 0; i < WRITERS; i++)
		tela_owner_free(owners[i]);
	CHECK(!tela_bag_count(node, "bag"));
	printf("%d owners, each name found by every look\n", ROUNDS * WRITERS);
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
	struct tela_owner *a, *b;

	node = bare_node_create(READERS, &budgets);
	CHECK(node);
	a = tela_owner_create(node, "a");
	b = tela_owner_create(node, "b");
	CHECK(a && b);
	test_names(a, b);
	test_bags(a, b);
	test_owners(a, b);
	tela_owner_free(a);
	tela_owner_free(b);
	test_full();
	test_together();
	bare_node_destroy(node);
	return 0;
}

/* test_kv_table.c - the table alone: what it answers, its limits, its memory; then two writers and
 * two readers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>

#include <cmocka.h>

#include "kv_slab.h"
#include "kv_table.h"

static struct kv_table *table(uint64_t items, uint64_t bytes)
{
	struct kv_table *t = kv_table_create(items, bytes);

	assert_non_null(t);
	return t;
}

static int put(struct kv_table *t, const char *key, const char *value)
{
	bool existed = false;
	int rc = kv_table_put(t, (const uint8_t *)key, strlen(key), (const uint8_t *)value,
		strlen(value), &existed);

	return rc ? rc : existed;
}

static int put_n(struct kv_table *t, uint64_t key, const void *value, size_t len)
{
	bool existed = false;
	int rc = kv_table_put(t, (const uint8_t *)&key, sizeof(key), value, len, &existed);

	return rc ? rc : existed;
}

static int remove_n(struct kv_table *t, uint64_t key)
{
	bool existed = false;
	int rc = kv_table_remove(t, (const uint8_t *)&key, sizeof(key), &existed);

	return rc ? rc : existed;
}

static uint8_t room[KV_VALUE_MAX], bytes[KV_VALUE_MAX + 1];

static void expect(struct kv_table *t, const char *key, const char *value)
{
	size_t len = 0;
	int rc = kv_table_get(t, (const uint8_t *)key, strlen(key), room, &len);

	if (!value) {
		assert_int_equal(rc, -ENOENT);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(len, strlen(value));
	assert_memory_equal(room, value, len);
}

static void test_put_get_remove(void **state)
{
	struct kv_table *t = table(16, KV_BYTES_MIN);
	struct kv_table_stats s;
	bool existed;

	(void)state;
	expect(t, "a", NULL);
	assert_int_equal(put(t, "a", "first"), 0);
	assert_int_equal(put(t, "b", ""), 0);
	assert_int_equal(put(t, "", "no key"), 0);
	assert_int_equal(put(t, "a", "the second one"), 1);
	expect(t, "a", "the second one");
	expect(t, "b", "");
	expect(t, "", "no key");
	expect(t, "aa", NULL);
	kv_table_stats(t, &s);
	assert_int_equal(s.items, 3);
	assert_int_equal(s.bytes, 1 + 14 + 1 + 6);
	assert_int_equal(kv_table_remove(t, (const uint8_t *)"a", 1, &existed), 0);
	assert_true(existed);
	assert_int_equal(kv_table_remove(t, (const uint8_t *)"a", 1, &existed), 0);
	assert_false(existed);
	expect(t, "a", NULL);
	kv_table_stats(t, &s);
	assert_int_equal(s.items, 2);
	assert_int_equal(s.bytes, 1 + 6);
	kv_table_destroy(t);
}

/* Keys that are prefixes of each other, or differ behind a zero byte only, are not the same. */
static void test_keys_with_zeros(void **state)
{
	static const uint8_t zeros[KV_KEY_MAX];
	struct kv_table *t = table(1024, KV_BYTES_MIN);
	size_t len;
	bool existed;

	(void)state;
	for (size_t n = 0; n <= KV_KEY_MAX; n++)
		assert_int_equal(kv_table_put(t, zeros, n, (uint8_t *)&n, sizeof(n), &existed), 0);
	for (size_t n = 0; n <= KV_KEY_MAX; n++) {
		assert_int_equal(kv_table_get(t, zeros, n, room, &len), 0);
		assert_int_equal(len, sizeof(n));
		assert_memory_equal(room, &n, sizeof(n));
	}
	kv_table_destroy(t);
}

static void test_every_size(void **state)
{
	struct kv_table *t = table(16, KV_BYTES_MIN);
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8));
	for (size_t n = 0; n <= KV_VALUE_MAX; n += n < 600 ? 1 : 977) {
		uint64_t key = 1;

		assert_true(put_n(t, key, bytes, n) >= 0);
		memset(room, 0xee, sizeof(room));
		assert_int_equal(kv_table_get(t, (uint8_t *)&key, 8, room, &len), 0);
		assert_int_equal(len, n);
		assert_memory_equal(room, bytes, n);
		if (n < KV_VALUE_MAX)
			assert_int_equal(room[n], 0xee);
	}
	assert_true(put_n(t, 2, bytes, KV_VALUE_MAX) >= 0);
	kv_table_destroy(t);
}

static void test_limits(void **state)
{
	struct kv_table *t = table(16, KV_BYTES_MIN);
	bool existed;
	size_t len;

	(void)state;
	assert_int_equal(kv_table_put(t, bytes, KV_KEY_MAX, bytes, KV_VALUE_MAX, &existed), 0);
	assert_int_equal(kv_table_put(t, bytes, KV_KEY_MAX + 1, bytes, 1, &existed), -EMSGSIZE);
	assert_int_equal(kv_table_put(t, bytes, 1, bytes, KV_VALUE_MAX + 1, &existed), -EMSGSIZE);
	assert_int_equal(kv_table_get(t, bytes, KV_KEY_MAX + 1, room, &len), -EMSGSIZE);
	assert_int_equal(kv_table_remove(t, bytes, KV_KEY_MAX + 1, &existed), -EMSGSIZE);
	kv_table_destroy(t);
	assert_null(kv_table_create(0, KV_BYTES_MIN));
	assert_int_equal(errno, EINVAL);
	assert_null(kv_table_create(KV_ITEMS_MAX + 1, KV_BYTES_MIN));
	assert_null(kv_table_create(1, KV_BYTES_MIN - 1));
	assert_null(kv_table_create(1, KV_BYTES_MAX + 1));
}

/* Every item that the limit allows finds a slot, at the most items a bucket that there can be. */
static void test_items_to_the_limit(void **state)
{
	uint64_t n = 3 << 14;
	struct kv_table *t = table(n, 16 << 20);
	struct kv_table_stats s;

	(void)state;
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(put_n(t, i, &i, sizeof(i)), 0);
	assert_int_equal(put_n(t, n, &n, sizeof(n)), -ENOSPC);
	assert_int_equal(put_n(t, 7, &n, sizeof(n)), 1);
	kv_table_stats(t, &s);
	assert_int_equal(s.items, n);
	assert_int_equal(s.full, 1);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(remove_n(t, i), 1);
	kv_table_stats(t, &s);
	assert_int_equal(s.items, 0);
	assert_int_equal(s.bytes, 0);
	kv_table_destroy(t);
}

/* Memory ends, is said to, and comes back: twenty times the arena goes through it. */
static void test_memory_ends_and_returns(void **state)
{
	struct kv_table *t = table(4096, KV_BYTES_MIN);
	uint64_t held = 0;

	(void)state;
	while (put_n(t, held, bytes, 40000) == 0)
		held++;
	assert_in_range(held, 100, 208);
	assert_int_equal(put_n(t, held, bytes, 40000), -ENOSPC);
	assert_int_equal(put_n(t, held, bytes, 8), -ENOSPC);
	for (unsigned round = 0; round < 20; round++) {
		for (uint64_t i = 0; i < held; i++)
			assert_int_equal(remove_n(t, i), 1);
		for (uint64_t i = 0; i < held; i++)
			assert_int_equal(put_n(t, i, bytes, 40000 - round), 0);
	}
	/* A small item takes a large block when there is no other. */
	assert_int_equal(remove_n(t, 0), 1);
	assert_int_equal(put_n(t, held, bytes, 8), 0);
	kv_table_destroy(t);
}

static void test_slab_reuses_what_was_freed(void **state)
{
	struct kv_slab s;
	uint32_t ref, n = 0;

	(void)state;
	assert_int_equal(kv_slab_init(&s, KV_SLAB_BYTES - 1), -EINVAL);
	assert_int_equal(kv_slab_init(&s, KV_SLAB_BYTES + 5), 0);
	assert_int_equal(kv_slab_alloc(&s, KV_BLOCK_UNITS * 8, &ref), -ENOSPC);
	while (kv_slab_alloc(&s, KV_BLOCK_UNITS * 8 - 1, &ref) == 0)
		n++;
	assert_int_equal(n, 4);
	assert_true(kv_slab_free(&s, 1));
	assert_int_equal(kv_slab_alloc(&s, 1, &ref), 0);
	assert_int_equal(ref, 1);
	assert_int_equal(kv_slab_block(&s, ref)->seq, 1);
	kv_slab_fini(&s);
}

/* ---- together ----
 *
 * Keys 0 .. SHARED - 1 are written and removed by both writers; writer w alone writes and now and
 * then removes key MINE + w, and writes STAYS + w, which is never removed. A value is words that
 * are all the same: version << 8 | writer; its length follows from the version. A reader that sees
 * two words differ, a length that does not follow, an older version of a writer's own key than it
 * saw before, or no STAYS, has found a bug.
 */
enum { SHARED = 4, MINE = 100, STAYS = 200, WRITERS = 2, ROUNDS = 20000, WORDS_MAX = 1000 };

struct together {
	struct kv_table *t;
	_Atomic uint32_t writing;
	_Atomic uint64_t bad, seen, busy;
};

struct writer {
	struct together *g;
	uint64_t id;
};

static size_t words_for(uint64_t stamp)
{
	return 1 + (stamp >> 8) * 7 % WORDS_MAX;
}

static void count_rc(struct together *g, int rc)
{
	if (rc == -EAGAIN)
		atomic_fetch_add(&g->busy, 1);
	else if (rc < 0)
		atomic_fetch_add(&g->bad, 1);
}

static void *writer(void *arg)
{
	struct writer *w = arg;
	uint64_t value[WORDS_MAX];

	for (uint64_t version = 1; version <= ROUNDS; version++) {
		uint64_t stamp = version << 8 | w->id;
		size_t n = words_for(stamp);

		for (size_t i = 0; i < n; i++)
			value[i] = stamp;
		count_rc(w->g, put_n(w->g->t, version % SHARED, value, n * 8));
		count_rc(w->g, put_n(w->g->t, MINE + w->id, value, n * 8));
		count_rc(w->g, put_n(w->g->t, STAYS + w->id, value, n * 8));
		if (version % 3 == 0)
			count_rc(w->g, remove_n(w->g->t, (version + 1) % SHARED));
		if (version % 64 == 0)
			count_rc(w->g, remove_n(w->g->t, MINE + w->id));
	}
	atomic_fetch_sub(&w->g->writing, 1);
	return NULL;
}

/* The stamp of `key`, 0 if it was not found or could not be read. */
static uint64_t read_stamp(struct together *g, uint64_t key, uint64_t *value)
{
	size_t len = 0;
	int rc = kv_table_get(g->t, (uint8_t *)&key, sizeof(key), (uint8_t *)value, &len);

	if (rc) {
		count_rc(g, rc == -ENOENT && key < STAYS ? 0 : rc);
		return 0;
	}
	atomic_fetch_add_explicit(&g->seen, 1, memory_order_relaxed);
	if (len != words_for(value[0]) * 8)
		atomic_fetch_add(&g->bad, 1);
	for (size_t i = 1; i < len / 8; i++)
		if (value[i] != value[0])
			atomic_fetch_add(&g->bad, 1);
	return value[0];
}

static void *reader(void *arg)
{
	struct together *g = arg;
	uint64_t *value = malloc(KV_VALUE_MAX), last[2 * WRITERS] = {0};

	while (value && atomic_load(&g->writing)) {
		for (uint64_t key = 0; key < SHARED; key++)
			read_stamp(g, key, value);
		for (uint64_t w = 0; w < 2 * WRITERS; w++) {
			uint64_t key = w < WRITERS ? MINE + w : STAYS + w - WRITERS;
			uint64_t stamp = read_stamp(g, key, value);

			if (stamp && stamp < last[w])
				atomic_fetch_add(&g->bad, 1);
			if (stamp)
				last[w] = stamp;
		}
	}
	free(value);
	return NULL;
}

static void test_writers_and_readers(void **state)
{
	struct together g = {.t = table(64, KV_BYTES_MIN), .writing = WRITERS};
	struct writer w[WRITERS];
	pthread_t writers[WRITERS], readers[2];
	struct kv_table_stats s;
	uint64_t held = 0;

	(void)state;
	for (uint64_t i = 0; i < WRITERS; i++) {
		uint64_t first = i;

		w[i] = (struct writer){&g, i};
		assert_int_equal(put_n(g.t, STAYS + i, &first, sizeof(first)), 0);
		assert_int_equal(pthread_create(&writers[i], NULL, writer, &w[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader, &g), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(g.bad, 0);
	assert_true(g.seen > 0);
	for (uint64_t key = 0; key < STAYS + WRITERS; key++) {
		int rc = remove_n(g.t, key);

		assert_true(rc >= 0);
		held += (uint64_t)rc;
	}
	kv_table_stats(g.t, &s);
	assert_int_equal(s.items, 0);
	assert_int_equal(s.bytes, 0);
	assert_int_equal(s.busy, g.busy);
	assert_true(held <= SHARED + 2 * WRITERS);
	print_message(
		"read %llu, busy %llu\n", (unsigned long long)g.seen, (unsigned long long)g.busy);
	kv_table_destroy(g.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get_remove),
		cmocka_unit_test(test_keys_with_zeros),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_items_to_the_limit),
		cmocka_unit_test(test_memory_ends_and_returns),
		cmocka_unit_test(test_slab_reuses_what_was_freed),
		cmocka_unit_test(test_writers_and_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

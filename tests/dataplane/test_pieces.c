/* test_pieces.c - the small things that the machine stands on: message buffers, lists, counters,
 * CRC32C and SipHash against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "count.h"
#include "crc32c.h"
#include "list.h"
#include "msgpool.h"
#include "siphash.h"

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

/* ---- msgpool ---- */

static void test_msgpool_sizes(void **state)
{
	static const struct {
		uint32_t size;
		uint32_t cap;
	} cases[] = {{0, MSG_2K}, {1, MSG_2K}, {MSG_2K, MSG_2K}, {MSG_2K + 1, MSG_64K},
		{MSG_64K, MSG_64K}, {MSG_64K + 1, 2 * MSG_PAGE - MSG_HEADER}, {MSG_1M, MSG_1M},
		{MSG_MAX, 257 * MSG_PAGE - MSG_HEADER}};
	const uint32_t n[MSG_CLASSES] = {2, 2, 16};
	struct msgpool p;

	(void)state;
	assert_int_equal(msgpool_init(&p, n), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct msg *m = msgpool_get(&p, cases[i].size);

		assert_non_null(m);
		assert_int_equal(m->cap, cases[i].cap);
		assert_int_equal(m->len, 0);
		assert_int_equal((uintptr_t)m->data % 8, 0);
		memset(m->data, 0xa5, m->cap); /* all of it is there, and nobody else's */
		msgpool_put(&p, m);
	}
	assert_null(msgpool_get(&p, MSG_MAX + 1));
	assert_null(msgpool_get(&p, UINT32_MAX));
	for (int c = 0; c < MSG_CLASSES; c++)
		assert_int_equal(p.n_free[c], p.n[c]);
	assert_int_equal(p.n[2], 16 * MSG_PAGES_OF_1M);
	msgpool_fini(&p);
	assert_null(p.memory);
}

/* Whatever comes and goes, no two overlap, and the arena becomes whole again. */
static void test_msgpool_runs(void **state)
{
	enum { HELD = 64 };
	const uint32_t n[MSG_CLASSES] = {0, 0, 20};
	struct msg *m[HELD] = {NULL};
	uint64_t random = 1;
	struct msgpool p;
	uint32_t refused = 0;

	(void)state;
	assert_int_equal(msgpool_init(&p, n), 0);
	for (int i = 0; i < 20000; i++) {
		uint32_t k = (random = random * 6364136223846793005u + 1442695040888963407u) >> 58;
		uint32_t size = (uint32_t)(random >> 20) % (1u << (random >> 40) % 25);

		if (m[k]) {
			assert_int_equal(m[k]->len, k + 1);
			assert_int_equal(m[k]->data[m[k]->cap - 1], k + 1);
			msgpool_put(&p, m[k]);
			m[k] = NULL;
		} else if ((m[k] = msgpool_get(&p, size))) {
			assert_true(m[k]->cap >= size && m[k]->cap < size + 2 * MSG_PAGE);
			m[k]->len = k + 1;
			m[k]->data[m[k]->cap - 1] = (uint8_t)(k + 1);
		} else {
			refused++;
		}
	}
	assert_true(refused > 100 && refused < 10000);
	for (uint32_t k = 0; k < HELD; k++)
		if (m[k])
			msgpool_put(&p, m[k]);
	assert_int_equal(p.n_free[2], p.n[2]);
	m[0] = msgpool_get(&p, MSG_MAX);
	assert_non_null(m[0]);
	assert_null(msgpool_get(&p, MSG_MAX));
	/* Small ones keep out of the way of the next large one. */
	m[1] = msgpool_get(&p, 100000);
	msgpool_put(&p, m[0]);
	assert_non_null(msgpool_get(&p, MSG_MAX));
	msgpool_fini(&p);
}

static void test_msgpool_takes_the_next_larger(void **state)
{
	const uint32_t n[MSG_CLASSES] = {1, 1, 1};
	struct msg *m[MSG_CLASSES];
	struct msgpool p;

	(void)state;
	assert_int_equal(msgpool_init(&p, n), 0);
	for (int c = 0; c < MSG_CLASSES; c++) {
		m[c] = msgpool_get(&p, 100);
		assert_non_null(m[c]);
		assert_int_equal(m[c]->class, c);
		m[c]->len = 7;
	}
	assert_null(msgpool_get(&p, MSG_1M)); /* the arena is no longer whole */
	assert_non_null(msgpool_get(&p, MSG_1M - MSG_PAGE));
	assert_null(msgpool_get(&p, 1));
	msgpool_put(&p, m[1]);
	assert_null(msgpool_get(&p, MSG_64K + 1)); /* a smaller one does not do */
	assert_ptr_equal(msgpool_get(&p, 1), m[1]);
	assert_int_equal(m[1]->len, 0);
	msgpool_fini(&p);
}

static void test_msgpool_of_nothing(void **state)
{
	const uint32_t n[MSG_CLASSES] = {0, 0, 0};
	struct msgpool p;

	(void)state;
	assert_int_equal(msgpool_init(&p, n), 0);
	assert_null(msgpool_get(&p, 0));
	msgpool_fini(&p);
}

/* Buffers do not overlap: each is filled with its own number and read back. */
static void test_msgpool_apart(void **state)
{
	const uint32_t n[MSG_CLASSES] = {64, 8, 2};
	struct msg *m[72 + 2 * MSG_PAGES_OF_1M];
	struct msgpool p;

	(void)state;
	assert_int_equal(msgpool_init(&p, n), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(m); i++) {
		m[i] = msgpool_get(&p, 1);
		assert_non_null(m[i]);
		memset(m[i]->data, (int)i + 1, m[i]->cap);
	}
	assert_null(msgpool_get(&p, 1));
	for (uint32_t i = 0; i < ARRAY_SIZE(m); i++)
		for (uint32_t k = 0; k < m[i]->cap; k++)
			if (m[i]->data[k] != (uint8_t)(i + 1))
				fail_msg("buffer %u, byte %u", i, k);
	for (uint32_t i = 0; i < ARRAY_SIZE(m); i++)
		msgpool_put(&p, m[i]);
	for (int c = 0; c < MSG_CLASSES; c++)
		assert_int_equal(p.n_free[c], p.n[c]);
	msgpool_fini(&p);
}

/* ---- list ---- */

struct item {
	int value;
	struct list of;
};

static void assert_values(struct list *head, const int *values, int n)
{
	int i = 0;

	list_for_each_safe(e, tmp, head)
	{
		assert_true(i < n);
		assert_int_equal(list_entry(e, struct item, of)->value, values[i++]);
	}
	assert_int_equal(i, n);
}

static void test_list(void **state)
{
	struct item item[4];
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	for (int i = 0; i < 4; i++) {
		item[i].value = i;
		list_add_tail(&head, &item[i].of);
	}
	assert_values(&head, (int[]){0, 1, 2, 3}, 4);
	list_del(&item[0].of);
	list_del(&item[2].of);
	assert_values(&head, (int[]){1, 3}, 2);
	assert_true(list_empty(&item[2].of));
	list_del(&item[2].of); /* twice does no harm */
	list_add_tail(&head, &item[0].of);
	assert_values(&head, (int[]){1, 3, 0}, 3);
	list_for_each_safe(e, tmp, &head) list_del(e); /* while walking */
	assert_true(list_empty(&head));
}

/* ---- counters ---- */

static void test_count_list(void **state)
{
	static const char *const events[] = {"rx_frames", "calls_served", "envelopes_general"};
	static const char *const drops[] = {"drop_short", "drop_replay", "drop_reply_gone"};
	static struct counts c;
	uint32_t n_drops = 0, found = 0;

	(void)state;
	for (int i = 0; i < COUNT_N; i++) {
		const struct count_info *info = &count_info[i];

		assert_true(info->name && info->name[0] && info->help && info->help[0]);
		assert_int_equal(info->drop, !strncmp(info->name, "drop_", 5));
		n_drops += info->drop;
		for (int k = 0; k < i; k++)
			assert_string_not_equal(info->name, count_info[k].name);
		for (size_t k = 0; k < ARRAY_SIZE(events); k++)
			found += !strcmp(info->name, events[k]) || !strcmp(info->name, drops[k]);
	}
	assert_int_equal(found, 6);
	assert_true(n_drops > 30);
	assert_string_equal(count_info[count_drop_crc].name, "drop_crc");
	count(&c, count_drop_crc);
	count_add(&c, count_drop_crc, 41);
	assert_int_equal(count_read(&c, count_drop_crc), 42);
	assert_int_equal(count_read(&c, count_drop_crc - 1), 0);
	assert_int_equal(count_read(&c, count_drop_crc + 1), 0);
}

/* ---- CRC32C: RFC 3720, B.4 ---- */

static void test_crc32c_vectors(void **state)
{
	static const uint8_t read10[48] = {0x01,
		0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
	uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
	const struct {
		const void *data;
		size_t len;
		uint32_t crc;
	} cases[] = {{zeros, 32, 0x8a9136aa}, {ones, 32, 0x62a8ab43}, {up, 32, 0x46dd794e},
		{down, 32, 0x113fdb5c}, {read10, 48, 0xd9963a56}, {"123456789", 9, 0xe3069283},
		{"", 0, 0}};

	(void)state;
	for (int i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(crc32c(0, cases[i].data, cases[i].len), cases[i].crc);
		assert_int_equal(crc32c_portable(0, cases[i].data, cases[i].len), cases[i].crc);
	}
}

/* The processor's way and the table's, at every length and alignment, whole and in two parts. */
static void test_crc32c_ways(void **state)
{
	uint8_t bytes[300 + 8];
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
	for (size_t at = 0; at < 8; at++) {
		for (size_t len = 0; len <= 300; len++) {
			uint32_t crc = crc32c_portable(0, bytes + at, len);
			size_t cut = len * 3 / 7;

			assert_int_equal(crc32c(0, bytes + at, len), crc);
			assert_int_equal(
				crc32c(crc32c(0, bytes + at, cut), bytes + at + cut, len - cut),
				crc);
		}
	}
}

/* ---- SipHash-2-4: the reference implementation's vectors, key 00..0f, message 00 01 02 ... ----
 */

static void test_siphash(void **state)
{
	static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	static const uint64_t words[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	const uint64_t other[2] = {key[0] ^ 1, key[1]};

	(void)state;
	assert_true(siphash_words(key, words, 0) == 0x726fdb47dd0e0e31);
	assert_true(siphash_words(key, words, 1) == 0x93f5f5799a932462);
	assert_true(siphash_words(key, words, 2) == 0x3f2acc7f57c29bdb);
	assert_true(siphash_words(other, words, 1) != 0x93f5f5799a932462);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msgpool_sizes),
		cmocka_unit_test(test_msgpool_runs),
		cmocka_unit_test(test_msgpool_takes_the_next_larger),
		cmocka_unit_test(test_msgpool_of_nothing),
		cmocka_unit_test(test_msgpool_apart),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_count_list),
		cmocka_unit_test(test_crc32c_vectors),
		cmocka_unit_test(test_crc32c_ways),
		cmocka_unit_test(test_siphash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

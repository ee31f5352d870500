/* test_envelope.c - the canonical envelope is one that any FlatBuffers reader takes, and whatever
 * is not canonical goes through the verifier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "envelope.h"

static const struct {
	uint32_t budget_us;
	uint16_t bind, method;
} values[] = {
	{0, 0, 0}, {1, 2, 3}, {ENVELOPE_NO_DEADLINE, UINT16_MAX, UINT16_MAX}, {2000000, 1, 0x1234}};

/* In memory of exactly its length, so that a read beyond it shows. */
static int read_exactly(const uint8_t *from, uint32_t len, struct envelope *ret)
{
	uint8_t *copy = malloc(len ? len : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, from, len);
	rc = envelope_read(copy, len, ret);
	if (!rc && ret->table.p) {
		struct tela_str name = frame_Envelope_service(ret->table);
		frame_Status_t status = frame_Envelope_status(ret->table);
		volatile uint64_t sum = frame_Envelope_schema(ret->table);

		for (size_t i = 0; name.s && i <= name.len; i++)
			sum += (uint8_t)name.s[i];
		sum += envelope_metadata(ret->table, "x").len;
		if (status.p)
			sum += frame_Status_message(status).len;
		(void)sum;
		ret->table.p = NULL;
	}
	free(copy);
	return rc;
}

static void test_canonical_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		uint8_t bytes[ENVELOPE_BOUND_PADDED];
		struct envelope fast, general;

		envelope_write_bound(bytes, values[i].budget_us, values[i].bind, values[i].method);
		assert_true(envelope_is_bound(bytes, ENVELOPE_BOUND));
		assert_int_equal(frame_Envelope_verify(bytes, ENVELOPE_BOUND), 0);
		assert_int_equal(envelope_read(bytes, ENVELOPE_BOUND, &fast), 0);
		assert_null(fast.table.p);
		assert_int_equal(envelope_read_general(bytes, ENVELOPE_BOUND, &general), 0);
		assert_non_null(general.table.p);
		assert_int_equal(fast.budget_us, values[i].budget_us);
		assert_int_equal(fast.bind, values[i].bind);
		assert_int_equal(fast.method, values[i].method);
		assert_int_equal(fast.reply_limit, REPLY_LIMIT_DEFAULT);
		assert_int_equal(general.budget_us, fast.budget_us);
		assert_int_equal(general.bind, fast.bind);
		assert_int_equal(general.method, fast.method);
		assert_int_equal(general.reply_limit, fast.reply_limit);
		envelope_patch_budget(bytes, 77);
		assert_int_equal(envelope_read(bytes, ENVELOPE_BOUND, &fast), 0);
		assert_int_equal(fast.budget_us, 77);
		assert_int_equal(fast.bind, values[i].bind);
	}
}

/* The layout with an identity index is one that any reader takes, and no other means the same. */
static void test_proved(void **state)
{
	uint8_t bytes[ENVELOPE_MAX];
	struct envelope e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		uint32_t len = envelope_write_proved(
			bytes, values[i].budget_us, values[i].bind, values[i].method, 0x8765);

		assert_int_equal(len, ENVELOPE_PROVED);
		assert_int_equal(frame_Envelope_verify(bytes, len), 0);
		for (int patched = 0; patched < 2; patched++) {
			frame_Envelope_t t = frame_Envelope_root(bytes);

			assert_int_equal(envelope_read(bytes, len, &e), 0);
			assert_ptr_equal(e.table.p, t.p);
			assert_int_equal(e.budget_us, patched ? 77 : values[i].budget_us);
			assert_int_equal(e.budget_us, frame_Envelope_budget_us(t));
			assert_int_equal(e.bind, values[i].bind);
			assert_int_equal(e.bind, frame_Envelope_bind(t));
			assert_int_equal(e.method, values[i].method);
			assert_int_equal(e.method, frame_Envelope_method(t));
			assert_int_equal(frame_Envelope_identity(t), 0x8765);
			assert_int_equal(e.reply_limit, REPLY_LIMIT_DEFAULT);
			assert_null(frame_Envelope_service(t).s);
			assert_int_equal(frame_Envelope_hops(t), 0);
			envelope_patch_budget_general(bytes, 77);
		}
	}
	for (uint32_t at = 0; at < 24; at++) /* what it does not match is verified */
		for (int bit = 0; bit < 8; bit++) {
			envelope_write_proved(bytes, 1, 2, 3, 4);
			bytes[at] ^= (uint8_t)(1 << bit);
			assert_int_equal(!!read_exactly(bytes, ENVELOPE_PROVED, &e),
				!!frame_Envelope_verify(bytes, ENVELOPE_PROVED));
		}
}

/* Every length below the whole, and the padding counted in. */
static void test_lengths(void **state)
{
	uint8_t bytes[ENVELOPE_BOUND_PADDED];
	struct envelope e;

	(void)state;
	envelope_write_bound(bytes, 1, 2, 3);
	for (uint32_t len = 0; len < ENVELOPE_BOUND; len++)
		assert_int_equal(read_exactly(bytes, len, &e), -EBADMSG);
	assert_false(envelope_is_bound(bytes, ENVELOPE_BOUND_PADDED));
	assert_int_equal(read_exactly(bytes, ENVELOPE_BOUND_PADDED, &e), 0);
	assert_int_equal(e.method, 3);
}

/* One byte changed, in every way: refused, or the same fields as the general reader finds. */
static void test_every_byte_changed(void **state)
{
	uint32_t refused = 0, taken = 0, by_compares = 0;

	(void)state;
	for (uint32_t at = 0; at < ENVELOPE_BOUND; at++) {
		for (uint32_t change = 1; change < 256; change++) {
			uint8_t bytes[ENVELOPE_BOUND_PADDED];
			struct envelope e, general;

			envelope_write_bound(bytes, 1000, 2, 3);
			bytes[at] ^= (uint8_t)change;
			if (read_exactly(bytes, ENVELOPE_BOUND, &e)) {
				assert_int_equal(
					frame_Envelope_verify(bytes, ENVELOPE_BOUND), -EBADMSG);
				refused++;
				continue;
			}
			taken++;
			by_compares += envelope_is_bound(bytes, ENVELOPE_BOUND);
			assert_int_equal(envelope_read_general(bytes, ENVELOPE_BOUND, &general), 0);
			assert_int_equal(e.budget_us, general.budget_us);
			assert_int_equal(e.bind, general.bind);
			assert_int_equal(e.method, general.method);
			assert_int_equal(e.reply_limit, general.reply_limit);
		}
	}
	/* Values may be anything, and so may the two bytes of padding. */
	assert_true(by_compares >= 10 * 255);
	assert_true(taken >= by_compares && refused > 1000);
}

static void test_general_fields(void **state)
{
	uint8_t bytes[ENVELOPE_MAX];
	struct frame_Pair_args pairs[] = {
		{.key = {"a", 1}, .value = {"one", 3}}, {.key = {"ab", 2}, .value = {NULL, 0}}};
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;
	struct envelope e;
	int n;

	(void)state;
	a.budget_us = 5;
	a.method = 6;
	a.service = (struct tela_str){"test.Test", 9};
	a.schema = 42;
	a.reply_limit = 100;
	a.metadata = pairs;
	a.metadata_len = 2;
	n = frame_Envelope_build(bytes, sizeof(bytes), &a);
	assert_true(n > 0);
	assert_int_equal(envelope_read(bytes, (uint32_t)n, &e), 0);
	assert_int_equal(e.budget_us, 5);
	assert_int_equal(e.bind, 0);
	assert_int_equal(e.method, 6);
	assert_int_equal(e.reply_limit, 100);
	assert_int_equal(frame_Envelope_schema(e.table), 42);
	assert_string_equal(frame_Envelope_service(e.table).s, "test.Test");
	assert_string_equal(envelope_metadata(e.table, "a").s, "one");
	assert_non_null(envelope_metadata(e.table, "ab").s); /* there, and empty */
	assert_int_equal(envelope_metadata(e.table, "ab").len, 0);
	assert_null(envelope_metadata(e.table, "abc").s);
	assert_null(envelope_metadata(e.table, "").s);
	assert_null(envelope_metadata((frame_Envelope_t){NULL}, "a").s);
}

static void test_at_most_one_kib(void **state)
{
	static char text[ENVELOPE_MAX + 1];
	static uint8_t bytes[2 * ENVELOPE_MAX];
	struct frame_Envelope_args a = frame_Envelope_ARGS_INIT;
	struct envelope e;
	bool refused = false, taken = false;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	for (size_t len = 900; len < ENVELOPE_MAX; len++) {
		int n;

		a.service = (struct tela_str){text, len};
		n = frame_Envelope_build(bytes, sizeof(bytes), &a);
		assert_true(n > 0);
		assert_int_equal(frame_Envelope_verify(bytes, (size_t)n), 0);
		if (n <= ENVELOPE_MAX)
			assert_int_equal(envelope_read(bytes, (uint32_t)n, &e), 0), taken = true;
		else
			assert_int_equal(envelope_read(bytes, (uint32_t)n, &e), -EBADMSG),
				refused = true;
	}
	assert_true(refused && taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_both_ways),
		cmocka_unit_test(test_proved),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_every_byte_changed),
		cmocka_unit_test(test_general_fields),
		cmocka_unit_test(test_at_most_one_kib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

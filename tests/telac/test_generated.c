/* test_generated.c - what telac's C does with input that is wrong, and at its limits. Run with
 * sanitizers: damaged buffers stand in memory of exactly their size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crafted.h"
#include "random_wide.h"
#include "tela_fb_print.h"
#include "wide_rpc.h"

static struct random_args random_state;

/* What is accepted is printed, which reads all of it; telac-random reads it by generated readers.
 */
static void read_if(int err, const struct tela_fb_desc_type *type, const uint8_t *exact, size_t len,
	int *accepted)
{
	static char text[1 << 16];
	size_t n;

	if (err)
		return;
	assert_int_not_equal(tela_fb_print(type, exact, len, 0, text, sizeof(text), &n), -EBADMSG);
	++*accepted;
}

static void check_damaged(const uint8_t *bytes, size_t len, int *accepted)
{
	uint8_t *exact = malloc(len ? len : 1);

	memcpy(exact, bytes, len);
	read_if(test_wide_Wide_verify(exact, len), test_wide_Wide_DESC, exact, len, accepted);
	read_if(frame_Envelope_verify(exact, len), frame_Envelope_DESC, exact, len, accepted);
	free(exact);
}

static size_t build_some(struct random_args *r, uint8_t *buf, size_t room, unsigned turn)
{
	struct test_wide_Wide_args wide;
	struct frame_Envelope_args envelope;
	int len;

	r->used = 0;
	if (turn & 1) {
		random_wide(r, &wide, 1);
		len = test_wide_Wide_build(buf, room, &wide);
	} else {
		random_envelope(r, &envelope);
		len = frame_Envelope_build(buf, room, &envelope);
	}
	assert_true(len > 0);
	return (size_t)len;
}

static void every_truncation(void **state)
{
	struct random_args *r = &random_state;
	static uint8_t buf[1 << 15];
	int accepted = 0;
	unsigned turn;
	size_t len, cut;

	(void)state;
	r->state = 7;
	for (turn = 0; turn < 20; turn++) {
		len = build_some(r, buf, sizeof(buf), turn);
		for (cut = 0; cut < len; cut++)
			check_damaged(buf, cut, &accepted);
	}
	assert_int_equal(frame_Envelope_verify(NULL, 0), -EBADMSG);
}

static void random_flips(void **state)
{
	struct random_args *r = &random_state;
	static uint8_t buf[1 << 15], bad[1 << 15];
	int accepted = 0;
	unsigned turn, flips;
	size_t len;

	(void)state;
	for (turn = 0; turn < 20000; turn++) {
		r->state = 99 + turn;
		len = build_some(r, buf, sizeof(buf), turn);
		memcpy(bad, buf, len);
		for (flips = 1 + (unsigned)random_below(r, 4); flips; flips--)
			bad[random_below(r, len)] ^= (uint8_t)(1u << random_below(r, 8));
		check_damaged(bad, len, &accepted);
	}
	/* flips in content are fine: if nothing passed, the test would have tested nothing */
	assert_in_range(accepted, 1000, 20000);
}

static void many_paths_cost_little(void **state)
{
	uint8_t buf[1024];
	struct tela_fb_verifier v;
	uint32_t root = 0;
	unsigned levels;
	size_t len;

	(void)state;
	for (levels = 1; levels < 12; levels++) {
		len = build_crafted(buf, levels);
		assert_true(tela_fb_verify_start(&v, buf, len, 0, NULL, &root));
		assert_int_equal(v.budget, 16 + len / 2);
		assert_int_equal(test_wide_Wide_fb_verify(&v, root), levels == 1);
		/* a table, 8 entries, and at each a table */
		if (levels == 1)
			assert_int_equal(16 + len / 2 - v.budget, 1 + 8 + 8);
	}
}

/* A tree as dense as trees get: one string under many names. */
static void dense_trees_fit(void **state)
{
	static uint8_t buf[6 + 8 + 8 + 8 + 4 * 5000 + 8];
	uint8_t vtable[] = {56, 0, 8, 0};
	size_t pos = 4 + 56 + 0, i, n = 4000;

	(void)state;
	memset(buf, 0, sizeof(buf));
	memcpy(buf + 4, vtable, 4);
	buf[4 + 54] = 4; /* field `texts`, id 25 */
	tela_fb_store_u32(buf, (uint32_t)pos);
	tela_fb_store_u32(buf + pos, 56);
	tela_fb_store_u32(buf + pos + 4, 4);
	tela_fb_store_u32(buf + pos + 8, (uint32_t)n);
	for (i = 0; i < n; i++)
		tela_fb_store_u32(buf + pos + 12 + 4 * i, (uint32_t)(4 * (n - i)));
	pos += 12 + 4 * n;
	assert_int_equal(test_wide_Wide_verify(buf, pos + 5), 0);
	assert_int_equal(test_wide_Wide_texts_len(test_wide_Wide_root(buf)), n);
}

/* Depth 64 builds and verifies, depth 65 does neither. */
static void depth_is_limited(void **state)
{
	struct calculator_Expression_args chain[66];
	uint8_t buf[4096];
	uint32_t root;
	int len;
	unsigned i;

	(void)state;
	memset(chain, 0, sizeof(chain));
	for (i = 0; i < 65; i++)
		chain[i].left = &chain[i + 1];
	len = calculator_Expression_build(buf, sizeof(buf), &chain[2]);
	assert_true(len > 0);
	assert_int_equal(calculator_Expression_verify(buf, (size_t)len), 0);
	assert_int_equal(calculator_Expression_size(&chain[1]), 0);
	assert_int_equal(calculator_Expression_build(buf, sizeof(buf), &chain[1]), -EINVAL);
	/* what writes does not check again: so it can make what the verifier must not follow */
	len = (int)calculator_Expression_fb_put(buf, 4, &chain[1], &root);
	tela_fb_store_u32(buf, root);
	assert_int_equal(calculator_Expression_verify(buf, (size_t)len), -EBADMSG);
	chain[65].left = &chain[65]; /* for ever */
	assert_int_equal(calculator_Expression_size(&chain[65]), 0);
}

static void mistakes_are_refused(void **state)
{
	const double one = 1;
	struct kv_Item_args item = kv_Item_ARGS_INIT;
	struct calculator_Series_args series = calculator_Series_ARGS_INIT;
	struct echo_Message_args message = echo_Message_ARGS_INIT;
	uint8_t buf[64];

	(void)state;
	assert_int_equal(kv_Item_build(buf, sizeof(buf), &item), -EINVAL); /* key is required */
	assert_int_equal(calculator_Series_size(&series), 0);
	series.values = &one;
	series.values_len = SIZE_MAX;
	assert_int_equal(calculator_Series_size(&series), 0);
	series.values_len = ((size_t)1 << 31) / 8;
	assert_int_equal(calculator_Series_size(&series), 0);
	message.data.len = 5; /* of nothing */
	assert_int_equal(echo_Message_size(&message), 0);
	message.data.len = 0;
	assert_int_equal(echo_Message_size(&message), 12);
}

static void small_message_is_small(void **state)
{
	uint8_t data[32] = {1, 2, 3}, buf[56];
	const struct echo_Message_args a = {{data, sizeof(data)}};
	const struct echo_Delayed_args delayed = {7, {data, sizeof(data)}};

	(void)state;
	assert_int_equal(echo_Delayed_size(&delayed), 60);
	assert_int_equal(echo_Message_build(buf, sizeof(buf), &a), 56);
	assert_int_equal(echo_Message_verify(buf, 56), 0);
	assert_memory_equal(echo_Message_data(echo_Message_root(buf)).data, data, 32);
}

static void required_is_verified(void **state)
{
	/* an empty table: no key */
	const uint8_t buf[] = {8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0};

	(void)state;
	assert_int_equal(kv_Empty_verify(buf, sizeof(buf)), 0);
	assert_int_equal(kv_Value_verify(buf, sizeof(buf)), 0);
	assert_int_equal(kv_Key_verify(buf, sizeof(buf)), -EBADMSG);
}

static void absent_reads_as_default(void **state)
{
	const test_wide_Wide_t none = {NULL};
	test_wide_Inner inner;

	(void)state;
	assert_int_equal(test_wide_Wide_u16(none), 60000);
	assert_int_equal(test_wide_Wide_small(none), test_wide_Small_high);
	assert_int_equal(test_wide_Flags_last, 1 << 15);
	assert_string_equal(test_wide_Flags_name(test_wide_Flags_second), "second");
	assert_string_equal(test_wide_Flags_name(3), "?");
	assert_false(test_wide_Wide_inner(none, &inner));
	assert_null(test_wide_Wide_text(none).s);
	assert_int_equal(test_wide_Wide_doubles_len(none), 0);
}

static void methods_have_their_attributes(void **state)
{
	const struct tela_method_desc *other = &test_wide_Service_methods[0],
				      *m = &test_wide_Service_methods[1];

	(void)state;
	assert_int_equal(other->id, 1);
	assert_int_equal(other->n_attributes, 1);
	assert_string_equal(tela_method_attribute(other, "method_id"), "1");
	assert_null(tela_method_attribute(other, "idempotent"));
	assert_int_equal(m->n_attributes, 5);
	assert_string_equal(tela_method_attribute(m, "deadline_us"), "4294967295");
	assert_string_equal(
		tela_method_attribute(m, "idempotent"), "0"); /* flatc's word for none */
	assert_string_equal(tela_method_attribute(m, "streaming"), "none");
	assert_string_equal(tela_method_attribute(m, "note"), "a \"quote\", a \\, what?"
							      "?/ and \xc3\xa9");
}

static void bytes_have_no_type(void **state)
{
	const struct tela_method_desc *m = test_wide_Blobs_methods;
	/* Of which types they are, as callers and handlers have them. */
	int (*call)(struct tela_client *, const void *, size_t, const struct tela_options *,
		tela_done_fn, void *) = test_wide_Blobs_mirror_call;
	int (*lend)(struct tela_client *, const void *, size_t, const struct tela_options *,
		tela_done_fn, void *) = test_wide_Blobs_store_lend;
	int (*wait)(struct tela_thread *, struct tela_client *, const struct test_wide_Leaf_args *,
		const struct tela_options *, struct tela_reply *, struct tela_bytes *) =
		test_wide_Blobs_load_wait;
	enum tela_verdict (*reply)(struct tela_call *, const void *, size_t) =
		test_wide_Blobs_load_reply;
	enum tela_verdict (*reply_lend)(struct tela_call *, const void *, size_t, tela_lent_fn,
		void *) = test_wide_Blobs_mirror_reply_lend;
	const struct tela_result result = {.payload = "abc", .len = 3};
	const struct tela_call request = {.request = (const uint8_t *)"de", .request_len = 2};

	(void)state;
	(void)call, (void)lend, (void)wait, (void)reply, (void)reply_lend;
	assert_int_equal(m[0].flags, TELA_METHOD_SEGMENTS);
	assert_true(!m[0].verify_request && m[0].verify_response == test_wide_Leaf_verify);
	assert_true(!m[0].request && m[0].response == test_wide_Leaf_DESC);
	assert_int_equal(m[1].flags, TELA_METHOD_IDEMPOTENT);
	assert_true(m[1].verify_request == test_wide_Leaf_verify && !m[1].verify_response);
	assert_true(m[1].request == test_wide_Leaf_DESC && !m[1].response);
	assert_int_equal(m[2].flags, TELA_METHOD_IDEMPOTENT | TELA_METHOD_SEGMENTS);
	assert_true(!m[2].verify_request && !m[2].verify_response && !m[2].request);
	assert_int_equal(m[3].flags, 0);
	assert_true(m[4].verify_request == test_wide_Raw_verify && m[4].request);
	assert_memory_equal(test_wide_Blobs_load_result(&result).data, "abc", 3);
	assert_int_equal(test_wide_Blobs_whole_result(&result).len, 3);
	assert_int_equal(test_wide_Blobs_whole_request(&request).len, 2);
	assert_memory_equal(test_wide_Blobs_whole_request(&request).data, "de", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_truncation),
		cmocka_unit_test(random_flips),
		cmocka_unit_test(many_paths_cost_little),
		cmocka_unit_test(dense_trees_fit),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(mistakes_are_refused),
		cmocka_unit_test(small_message_is_small),
		cmocka_unit_test(required_is_verified),
		cmocka_unit_test(absent_reads_as_default),
		cmocka_unit_test(methods_have_their_attributes),
		cmocka_unit_test(bytes_have_no_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

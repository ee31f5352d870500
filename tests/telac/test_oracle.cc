// test_oracle.cc - telac's code against flatc's C++ code, on seeded content, both ways.
//
// oracle.h says how.

#include "crafted.h"
#include "oracle.h"
#include "random_wide.h"

#include "calculator_generated.h"
#include "echo_generated.h"
#include "frame_generated.h"
#include "kv_generated.h"
#include "wide_generated.h"

namespace
{

template <class T> bool same_outer(const T &a, const T &b)
{
	T x, y;
	test_wide_Outer_store(&x, &a);
	test_wide_Outer_store(&y, &b);
	return std::memcmp(&x, &y, sizeof(T)) == 0;
}

void compare(test_wide_Leaf_t t, const test_wide_Leaf_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(same(test_wide_Leaf_class(t), a->class_));
	CHECK(test_wide_Leaf_n(t) == a->n);
}

void compare_scalars(test_wide_Wide_t t, const test_wide_Wide_args *a)
{
	CHECK(test_wide_Wide_b(t) == a->b);
	CHECK(test_wide_Wide_i8(t) == a->i8);
	CHECK(test_wide_Wide_u8(t) == a->u8);
	CHECK(test_wide_Wide_i16(t) == a->i16);
	CHECK(test_wide_Wide_u16(t) == a->u16);
	CHECK(test_wide_Wide_i32(t) == a->i32);
	CHECK(test_wide_Wide_u32(t) == a->u32);
	CHECK(test_wide_Wide_i64(t) == a->i64);
	CHECK(test_wide_Wide_u64(t) == a->u64);
	CHECK(same(test_wide_Wide_f32(t), a->f32));
	CHECK(same(test_wide_Wide_f64(t), a->f64));
	CHECK(test_wide_Wide_small(t) == a->small);
	CHECK(test_wide_Wide_large(t) == a->large);
	CHECK(test_wide_Wide_flags(t) == a->flags);
	CHECK(same(test_wide_Wide_infinite(t), a->infinite));
	CHECK(same(test_wide_Wide_neither(t), a->neither));
}

void compare_vectors(test_wide_Wide_t t, const test_wide_Wide_args *a)
{
	CHECK(relaxed || test_wide_Wide_has_bools(t) == !!a->bools);
	CHECK(test_wide_Wide_bools_len(t) == a->bools_len);
	CHECK(test_wide_Wide_shorts_len(t) == a->shorts_len);
	CHECK(test_wide_Wide_doubles_len(t) == a->doubles_len);
	CHECK(test_wide_Wide_ulongs_len(t) == a->ulongs_len);
	CHECK(test_wide_Wide_smalls_len(t) == a->smalls_len);
	CHECK(test_wide_Wide_outers_len(t) == a->outers_len);
	CHECK(test_wide_Wide_texts_len(t) == a->texts_len);
	for (size_t i = 0; i < a->bools_len; i++)
		CHECK(test_wide_Wide_bools_at(t, i) == a->bools[i]);
	for (size_t i = 0; i < a->shorts_len; i++)
		CHECK(test_wide_Wide_shorts_at(t, i) == a->shorts[i]);
	for (size_t i = 0; i < a->doubles_len; i++)
		CHECK(same(test_wide_Wide_doubles_at(t, i), a->doubles[i]));
	for (size_t i = 0; i < a->ulongs_len; i++)
		CHECK(test_wide_Wide_ulongs_at(t, i) == a->ulongs[i]);
	for (size_t i = 0; i < a->smalls_len; i++)
		CHECK(test_wide_Wide_smalls_at(t, i) == a->smalls[i]);
	for (size_t i = 0; i < a->outers_len; i++)
		CHECK(same_outer(test_wide_Wide_outers_at(t, i), a->outers[i]));
	for (size_t i = 0; i < a->texts_len; i++)
		CHECK(same(test_wide_Wide_texts_at(t, i), a->texts[i]));
}

void compare(test_wide_Wide_t t, const test_wide_Wide_args *a)
{
	test_wide_Outer outer;
	test_wide_Inner inner = {};

	CHECK(!t.p == !a);
	if (!a)
		return;
	compare_scalars(t, a);
	compare_vectors(t, a);
	CHECK(test_wide_Wide_outer(t, &outer) == !!a->outer);
	CHECK(!a->outer || same_outer(outer, *a->outer));
	CHECK(test_wide_Wide_inner(t, &inner) == !!a->inner);
	CHECK(!a->inner ||
		(inner.a == a->inner->a && inner.b == a->inner->b && inner.c == a->inner->c));
	CHECK(same(test_wide_Wide_text(t), a->text));
	CHECK(same(test_wide_Wide_bytes(t), a->bytes));
	compare(test_wide_Wide_leaf(t), a->leaf);
	CHECK(test_wide_Wide_leaves_len(t) == a->leaves_len);
	for (size_t i = 0; i < a->leaves_len; i++)
		compare(test_wide_Wide_leaves_at(t, i), &a->leaves[i]);
	CHECK(!test_wide_Wide_leaves_at(t, a->leaves_len).p);
	compare(test_wide_Wide_again(t), a->again);
	CHECK(test_wide_Wide_root_len(t) == a->root_len);
	for (size_t i = 0; i < a->root_len; i++)
		compare(test_wide_Wide_root_at(t, i), &a->root[i]);
}

void compare(calculator_Expression_t t, const calculator_Expression_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(calculator_Expression_op(t) == a->op);
	CHECK(same(calculator_Expression_value(t), a->value));
	compare(calculator_Expression_left(t), a->left);
	compare(calculator_Expression_right(t), a->right);
}

void compare(frame_Pair_t t, const frame_Pair_args &a)
{
	CHECK(same(frame_Pair_key(t), a.key) && same(frame_Pair_value(t), a.value));
}

void compare(frame_Status_t t, const frame_Status_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(frame_Status_code(t) == a->code && frame_Status_outcome(t) == a->outcome);
	CHECK(same(frame_Status_name(t), a->name) && same(frame_Status_message(t), a->message));
	CHECK(frame_Status_retry_after_us(t) == a->retry_after_us);
	CHECK(frame_Status_http(t) == a->http && frame_Status_result(t) == a->result);
	CHECK(frame_Status_data_len(t) == a->data_len);
	for (size_t i = 0; i < a->data_len; i++)
		compare(frame_Status_data_at(t, i), a->data[i]);
}

void compare(frame_Envelope_t t, const frame_Envelope_args *a)
{
	frame_Trace trace;
	frame_Id128 id;

	CHECK(frame_Envelope_budget_us(t) == a->budget_us && frame_Envelope_bind(t) == a->bind);
	CHECK(frame_Envelope_method(t) == a->method && frame_Envelope_schema(t) == a->schema);
	CHECK(frame_Envelope_identity(t) == a->identity && frame_Envelope_hops(t) == a->hops);
	CHECK(frame_Envelope_reply_limit(t) == a->reply_limit);
	CHECK(same(frame_Envelope_service(t), a->service));
	CHECK(frame_Envelope_trace(t, &trace) == !!a->trace);
	CHECK(!a->trace || !std::memcmp(&trace, a->trace, sizeof(trace)));
	CHECK(frame_Envelope_root_(t, &id) == !!a->root);
	CHECK(!a->root || !std::memcmp(&id, a->root, sizeof(id)));
	CHECK(frame_Envelope_key(t, &id) == !!a->key);
	CHECK(!a->key || !std::memcmp(&id, a->key, sizeof(id)));
	CHECK(frame_Envelope_metadata_len(t) == a->metadata_len);
	for (size_t i = 0; i < a->metadata_len; i++)
		compare(frame_Envelope_metadata_at(t, i), a->metadata[i]);
	compare(frame_Envelope_status(t), a->status);
}

void compare(echo_Delayed_t t, const echo_Delayed_args *a)
{
	CHECK(echo_Delayed_delay_us(t) == a->delay_us && same(echo_Delayed_data(t), a->data));
}

void compare(kv_Item_t t, const kv_Item_args *a)
{
	CHECK(same(kv_Item_key(t), a->key) && same(kv_Item_value(t), a->value));
}

int one_turn(random_args *r)
{
	test_wide_Wide_args wide;
	calculator_Expression_args expression;
	frame_Envelope_args envelope;
	echo_Delayed_args delayed = {uint32_t(random_bits(r)), random_blob(r, 1)};
	kv_Item_args item = {random_blob(r, 0), random_blob(r, 1)};

	random_wide(r, &wide, 2);
	random_expression(r, &expression, 4);
	random_envelope(r, &envelope);
	BOTH_WAYS(test::wide::Wide, test_wide_Wide, wide);
	BOTH_WAYS(calculator::Expression, calculator_Expression, expression);
	BOTH_WAYS(frame::Envelope, frame_Envelope, envelope);
	BOTH_WAYS(echo::Delayed, echo_Delayed, delayed);
	BOTH_WAYS(kv::Item, kv_Item, item);
	return SAME_VERDICT(test::wide::Wide, test_wide_Wide, wide) +
	       SAME_VERDICT(frame::Envelope, frame_Envelope, envelope) +
	       SAME_VERDICT(calculator::Expression, calculator_Expression, expression) +
	       SAME_VERDICT(kv::Item, kv_Item, item);
}

// Some 300 bytes that C++ visits 8^5 times, and we no more often than they have pairs of bytes.
// What no table is reached twice in is accepted by both, dense as it may be.
void crafted_bytes()
{
	alignas(8) uint8_t buf[8192];
	tela_fb_verifier ours;
	uint32_t root;
	size_t len = build_crafted(buf, 5);

	flatbuffers::Verifier theirs(buf, len);
	CHECK(len < 320 && theirs.VerifyBuffer<test::wide::Wide>(nullptr));
	flatbuffers::Verifier limited(buf, len, 64, 32768); // tables
	CHECK(!limited.VerifyBuffer<test::wide::Wide>(nullptr));
	CHECK(tela_fb_verify_start(&ours, buf, len, 0, nullptr, &root));
	CHECK(ours.budget == 16 + len / 2 && !test_wide_Wide_fb_verify(&ours, root));
	CHECK(test_wide_Wide_verify(buf, len) == -EBADMSG);

	len = build_zeros(buf, 1500);
	flatbuffers::Verifier dense(buf, len);
	CHECK(dense.VerifyBuffer<test::wide::Wide>(nullptr));
	CHECK(test_wide_Wide_verify(buf, len) == 0);
	CHECK(test_wide_Wide_root_len(test_wide_Wide_root(buf)) == 1500);
}

} // namespace

int main(int argc, char **argv)
{
	crafted_bytes();
	return all_turns(argc, argv, 2000, one_turn);
}

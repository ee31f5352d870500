// test_oracle.cc - telac's code against flatc's C++ code, on seeded content, both ways.
//
// Arguments are built by our builder, accepted by both verifiers, unpacked by the C++ readers and
// built again by the C++ builder; what comes out passes our verifier too. Our readers read both
// buffers, which must say what was asked for, the second one by way of everything in C++.

#include "random_wide.h"

#include "calculator_generated.h"
#include "echo_generated.h"
#include "frame_generated.h"
#include "kv_generated.h"
#include "wide_generated.h"

#include <cstdio>
#include <memory>
#include <vector>

namespace {

unsigned long long seed;
int turn;
bool relaxed; // the object API does not tell an empty vector or string from an absent one

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			std::fprintf(stderr, "%s:%d: %s (seed %llu, turn %d)\n", __FILE__, __LINE__, \
				#cond, seed, turn);                                                \
			std::exit(1);                                                              \
		}                                                                                  \
	} while (0)

std::string text(tela_str s)
{
	return s.s ? std::string(s.s, s.len) : std::string();
}

std::vector<uint8_t> bytes(tela_bytes b)
{
	return b.data ? std::vector<uint8_t>(b.data, b.data + b.len) : std::vector<uint8_t>();
}

bool same(tela_str a, tela_str b)
{
	return (relaxed || !a.s == !b.s) && a.len == b.len && text(a) == text(b);
}

bool same(tela_bytes a, tela_bytes b)
{
	return (relaxed || !a.data == !b.data) && a.len == b.len && bytes(a) == bytes(b);
}

bool same(double a, double b)
{
	return std::memcmp(&a, &b, sizeof(a)) == 0;
}

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
	CHECK(!a->inner || (inner.a == a->inner->a && inner.b == a->inner->b && inner.c == a->inner->c));
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

void compare(frame_Status_t t, const frame_Status_args *a)
{
	CHECK(!t.p == !a);
	if (!a)
		return;
	CHECK(frame_Status_code(t) == a->code && frame_Status_outcome(t) == a->outcome);
	CHECK(same(frame_Status_name(t), a->name) && same(frame_Status_message(t), a->message));
	CHECK(frame_Status_retry_after_us(t) == a->retry_after_us);
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
	for (size_t i = 0; i < a->metadata_len; i++) {
		CHECK(same(frame_Pair_key(frame_Envelope_metadata_at(t, i)), a->metadata[i].key));
		CHECK(same(frame_Pair_value(frame_Envelope_metadata_at(t, i)), a->metadata[i].value));
	}
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

template <class Cpp, class Args, class Size, class Build, class Verify, class Root>
void both_ways(const Args *a, Size size, Build build, Verify verify, Root root)
{
	const size_t n = size(a);
	std::vector<uint64_t> aligned(n / 8 + 2, UINT64_C(0xabababababababab));
	uint8_t *ours = reinterpret_cast<uint8_t *>(aligned.data());

	CHECK(n && build(ours, n - 1, a) == -ENOSPC && ours[0] == 0xab);
	CHECK(build(ours, n, a) == int(n) && ours[n] == 0xab);
	CHECK(verify(ours, n) == 0);
	compare(root(ours), a);
	// From here on all that is known of the arguments is what C++ reads.
	flatbuffers::Verifier cpp(ours, n);
	CHECK(cpp.VerifyBuffer<Cpp>(nullptr));
	std::unique_ptr<typename Cpp::NativeTableType> object(
		flatbuffers::GetRoot<Cpp>(ours)->UnPack());

	flatbuffers::FlatBufferBuilder theirs;
	theirs.Finish(Cpp::Pack(theirs, object.get()));
	CHECK(verify(theirs.GetBufferPointer(), theirs.GetSize()) == 0);
	relaxed = true;
	compare(root(theirs.GetBufferPointer()), a);
	relaxed = false;

	std::vector<uint8_t> moved(n + 8);
	for (size_t shift = 1; shift < 8; shift += 3) {
		std::memcpy(moved.data() + shift, ours, n);
		CHECK(verify(moved.data() + shift, n) == 0);
		compare(root(moved.data() + shift), a);
	}
}

// Both verifiers say the same of a damaged buffer. (Ours may refuse for its budget what names one
// table twice; a flip that makes such a buffer is not among these seeds.)
template <class Cpp, class Args, class Size, class Build, class Verify>
int same_verdict(random_args *r, const Args *a, Size size, Build build, Verify verify)
{
	const size_t n = size(a);
	std::vector<uint64_t> aligned(n / 8 + 1);
	uint8_t *buf = reinterpret_cast<uint8_t *>(aligned.data());
	int accepted = 0;

	for (int i = 0; i < 20; i++) {
		build(buf, n, a);
		const size_t cut = random_below(r, 8) ? n : random_below(r, n);
		for (auto flips = random_below(r, 4); flips; flips--)
			buf[random_below(r, n)] ^= uint8_t(1u << random_below(r, 8));
		flatbuffers::Verifier cpp(buf, cut);
		const bool theirs = cpp.VerifyBuffer<Cpp>(nullptr);
		CHECK((verify(buf, cut) == 0) == theirs);
		accepted += theirs;
	}
	return accepted;
}

#define SAME_VERDICT(cpp, c, args) same_verdict<cpp>(r, &args, c##_size, c##_build, c##_verify)

#define BOTH_WAYS(cpp, c, args)                                                                    \
	both_ways<cpp>(&args, c##_size, c##_build, c##_verify, c##_root)

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

} // namespace

int main(int argc, char **argv)
{
	auto r = std::make_unique<random_args>();
	int accepted = 0;

	seed = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 1;
	for (turn = 0; turn < 2000; turn++) {
		r->state = seed * 1000003 + unsigned(turn);
		r->used = 0;
		accepted += one_turn(r.get());
	}
	std::printf("seed %llu: %d of %d damaged buffers accepted\n", seed, accepted, turn * 80);
	return 0;
}

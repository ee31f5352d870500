// oracle.h - a table's arguments through our builder and C++'s readers and builder, and back.
//
// Arguments are built by our builder, accepted by both verifiers, unpacked by the C++ readers and
// built again by the C++ builder; what comes out passes our verifier too. Our readers read both
// buffers, which must say what was asked for, the second one by way of everything in C++: who
// includes this has a compare(handle, arguments) for each table that says whether they do.
#pragma once

#include "random_args.h"

#include <flatbuffers/flatbuffers.h>

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
			std::fprintf(stderr, "%s:%d: %s (seed %llu, turn %d)\n", __FILE__,         \
				__LINE__, #cond, seed, turn);                                      \
			std::exit(1);                                                              \
		}                                                                                  \
	} while (0)

inline std::string text(tela_str s)
{
	return s.s ? std::string(s.s, s.len) : std::string();
}

inline std::vector<uint8_t> bytes(tela_bytes b)
{
	return b.data ? std::vector<uint8_t>(b.data, b.data + b.len) : std::vector<uint8_t>();
}

inline bool same(tela_str a, tela_str b)
{
	return (relaxed || !a.s == !b.s) && a.len == b.len && text(a) == text(b);
}

inline bool same(tela_bytes a, tela_bytes b)
{
	return (relaxed || !a.data == !b.data) && a.len == b.len && bytes(a) == bytes(b);
}

inline bool same(double a, double b)
{
	return std::memcmp(&a, &b, sizeof(a)) == 0;
}

// C++ reads words where they stand, and what is aligned in a buffer only is where its start is too.
using aligned_bytes = std::unique_ptr<uint8_t, void (*)(void *)>;

inline aligned_bytes make_aligned(size_t n, int fill)
{
	void *p = std::aligned_alloc(256, (n | 255) + 1);

	return aligned_bytes(static_cast<uint8_t *>(std::memset(p, fill, n)), std::free);
}

template <class Cpp>
bool cpp_accepts(const uint8_t *buf, size_t len, const char *identifier, bool prefixed)
{
	flatbuffers::Verifier v(buf, len);

	return prefixed ? v.VerifySizePrefixedBuffer<Cpp>(identifier)
			: v.VerifyBuffer<Cpp>(identifier);
}

template <class Cpp, class Args, class Size, class Build, class Verify, class Root, class Compare>
void both_ways(const Args *a, Size size, Build build, Verify verify, Root root, Compare compare,
	bool prefixed, const char *identifier = nullptr)
{
	const size_t n = size(a);
	const aligned_bytes aligned = make_aligned(n + 8, 0xab);
	uint8_t *ours = aligned.get();

	CHECK(n && build(ours, n - 1, a) == -ENOSPC && ours[0] == 0xab);
	CHECK(build(ours, n, a) == int(n) && ours[n] == 0xab);
	CHECK(verify(ours, n) == 0);
	compare(root(ours), a);
	// From here on all that is known of the arguments is what C++ reads.
	CHECK(cpp_accepts<Cpp>(ours, n, identifier, prefixed));
	const Cpp *read = prefixed ? flatbuffers::GetSizePrefixedRoot<Cpp>(ours)
				   : flatbuffers::GetRoot<Cpp>(ours);
	std::unique_ptr<typename Cpp::NativeTableType> object(read->UnPack());

	flatbuffers::FlatBufferBuilder theirs;
	const auto packed = Cpp::Pack(theirs, object.get());
	prefixed ? theirs.FinishSizePrefixed(packed, identifier)
		 : theirs.Finish(packed, identifier);
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
int same_verdict(random_args *r, const Args *a, Size size, Build build, Verify verify,
	bool prefixed, const char *identifier = nullptr)
{
	const size_t n = size(a);
	const aligned_bytes aligned = make_aligned(n, 0);
	uint8_t *buf = aligned.get();
	int accepted = 0;

	for (int i = 0; i < 20; i++) {
		build(buf, n, a);
		const size_t cut = random_below(r, 8) ? n : random_below(r, n);
		for (auto flips = random_below(r, 4); flips; flips--)
			buf[random_below(r, n)] ^= uint8_t(1u << random_below(r, 8));
		const bool theirs = cpp_accepts<Cpp>(buf, cut, identifier, prefixed);
		CHECK((verify(buf, cut) == 0) == theirs);
		accepted += theirs;
	}
	return accepted;
}

// A table alone and behind its size. The last argument, if there is one: its identifier.
#define SAME_VERDICT(cpp, c, args, ...)                                                            \
	(same_verdict<cpp>(r, &args, c##_size, c##_build, c##_verify, false, ##__VA_ARGS__) +      \
		same_verdict<cpp>(r, &args, c##_size_prefixed, c##_build_prefixed,                 \
			c##_verify_prefixed, true, ##__VA_ARGS__))

#define BOTH_WAYS(cpp, c, args, ...)                                                               \
	do {                                                                                       \
		const auto compare_them = [](auto t, const auto *a) { compare(t, a); };            \
		both_ways<cpp>(&args, c##_size, c##_build, c##_verify, c##_root, compare_them,     \
			false, ##__VA_ARGS__);                                                     \
		both_ways<cpp>(&args, c##_size_prefixed, c##_build_prefixed, c##_verify_prefixed,  \
			c##_root_prefixed, compare_them, true, ##__VA_ARGS__);                     \
	} while (0)

// Turns from the seed in the first argument, each one giving what it accepted of damaged buffers.
template <class Turn> int all_turns(int argc, char **argv, int turns, Turn one_turn)
{
	auto r = std::make_unique<random_args>();
	int accepted = 0;

	seed = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 1;
	for (turn = 0; turn < turns; turn++) {
		r->state = seed * 1000003 + unsigned(turn);
		r->used = 0;
		accepted += one_turn(r.get());
	}
	std::printf("seed %llu: %d damaged buffers accepted\n", seed, accepted);
	CHECK(accepted > turns); // if none passed, no two verdicts would have been compared
	return 0;
}

} // namespace

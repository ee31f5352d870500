// messages.cc - the messages of messages.h by C++ FlatBuffers, and the benchmarks of both. Each
// pair works on bytes of the same builder where it verifies and reads.
#include "messages.h"

#include "calculator_generated.h"
#include "frame_generated.h"

#include <benchmark/benchmark.h>

#include <vector>

#define NOINLINE __attribute__((noinline))

namespace
{

using flatbuffers::FlatBufferBuilder;

struct functions {
	size_t (*build)(uint8_t *, double);
	bool (*verify)(const uint8_t *, size_t);
	double (*read)(const uint8_t *);
};

// ---- C++ ----

FlatBufferBuilder builder; // used again, as one would

template <class T> size_t finish(flatbuffers::Offset<T> root)
{
	builder.Finish(root);
	return builder.GetSize();
}

NOINLINE size_t small_build(uint8_t *, double a)
{
	builder.Clear();
	return finish(calculator::CreateOperands(builder, a, 2));
}

NOINLINE size_t small_build_batch(uint8_t *, double a)
{
	size_t len = 0;

	for (int i = 0; i < MESSAGE_BATCH; i++) {
		builder.Clear();
		len += finish(calculator::CreateOperands(builder, a + i, 2));
		asm volatile("" ::: "memory");
	}
	return len;
}

template <class T> NOINLINE bool verify(const uint8_t *from, size_t len)
{
	flatbuffers::Verifier v(from, len);
	return v.VerifyBuffer<T>(nullptr);
}

NOINLINE double small_read(const uint8_t *from)
{
	const auto *t = flatbuffers::GetRoot<calculator::Operands>(from);
	return t->a() + t->b();
}

NOINLINE size_t medium_build(uint8_t *, double a)
{
	auto &b = builder;
	b.Clear();
	const frame::Id128 id(1, 2);
	const frame::Trace trace(frame::Id128(3, 4), 5, 6, 0);
	const flatbuffers::Offset<frame::Pair> pairs[4] = {
		frame::CreatePairDirect(b, "tenant", "blue"),
		frame::CreatePairDirect(b, "region", "eu-central"),
		frame::CreatePairDirect(b, "user-agent", "bench"),
		frame::CreatePairDirect(b, "session", "0123456789abcdef"),
	};
	const auto status = frame::CreateStatusDirect(
		b, 5, frame::Outcome_executed, "NOT_FOUND", "no such key in this bucket", 7);
	const auto metadata = b.CreateVector(pairs, 4);
	const auto service = b.CreateString("kv.Kv", 5);
	frame::EnvelopeBuilder e(b);
	e.add_budget_us(uint32_t(a));
	e.add_method(3);
	e.add_service(service);
	e.add_schema(99);
	e.add_trace(&trace);
	e.add_root(&id);
	e.add_metadata(metadata);
	e.add_status(status);
	return finish(e.Finish());
}

double ends(const flatbuffers::String *s)
{
	return s ? double(s->size()) + s->c_str()[0] : 0;
}

NOINLINE double medium_read(const uint8_t *from)
{
	const auto *t = flatbuffers::GetRoot<frame::Envelope>(from);
	double sum = t->budget_us() + t->bind() + t->method() + double(t->schema()) +
		     t->identity() + t->hops() + t->reply_limit() + ends(t->service());

	sum += double((t->trace() ? t->trace()->span() : 0) + (t->root() ? t->root()->low() : 0) +
		      (t->key() ? t->key()->low() : 0));
	if (t->metadata())
		for (const auto *pair : *t->metadata())
			sum += ends(pair->key()) + ends(pair->value());
	if (const auto *s = t->status())
		sum += s->code() + s->outcome() + s->retry_after_us() + ends(s->name()) +
		       ends(s->message());
	return sum;
}

flatbuffers::Offset<calculator::Expression> tree(int depth, double a)
{
	if (depth == 1)
		return calculator::CreateExpression(builder, calculator::Op_literal, a);
	const auto left = tree(depth - 1, a), right = tree(depth - 1, a);
	return calculator::CreateExpression(builder, calculator::Op_add, 0, left, right);
}

NOINLINE size_t large_build(uint8_t *, double a)
{
	builder.Clear();
	return finish(tree(MESSAGE_TREE_DEPTH, a));
}

NOINLINE double sum_of(const calculator::Expression *t)
{
	return t->op() + t->value() + (t->left() ? sum_of(t->left()) : 0) +
	       (t->right() ? sum_of(t->right()) : 0);
}

NOINLINE double large_read(const uint8_t *from)
{
	return sum_of(flatbuffers::GetRoot<calculator::Expression>(from));
}

// ---- both ----

void build(benchmark::State &state, functions f)
{
	std::vector<uint64_t> to(MESSAGE_ROOM / 8);
	double a = 1;

	for (auto _ : state)
		benchmark::DoNotOptimize(f.build(reinterpret_cast<uint8_t *>(to.data()), a += 1));
}

struct message {
	std::vector<uint64_t> words = std::vector<uint64_t>(MESSAGE_ROOM / 8);
	const uint8_t *at = reinterpret_cast<uint8_t *>(words.data());
	size_t len;

	explicit message(functions ours)
	    : len(ours.build(reinterpret_cast<uint8_t *>(words.data()), 7))
	{
	}
};

void verify_one(benchmark::State &state, functions ours, functions f)
{
	const message m(ours);

	for (auto _ : state)
		benchmark::DoNotOptimize(f.verify(m.at, m.len));
	if (!f.verify(m.at, m.len))
		state.SkipWithError("not valid");
}

void read_one(benchmark::State &state, functions ours, functions f)
{
	const message m(ours);

	for (auto _ : state)
		benchmark::DoNotOptimize(f.read(m.at));
	if (f.read(m.at) != ours.read(m.at))
		state.SkipWithError("wrong");
}

#define BOTH(size, table)                                                                          \
	const functions size##_tela = {                                                            \
		message_##size##_build, message_##size##_verify, message_##size##_read};           \
	const functions size##_cpp = {size##_build, verify<table>, size##_read};                   \
	BENCHMARK_CAPTURE(build, size##_tela, size##_tela);                                        \
	BENCHMARK_CAPTURE(build, size##_cpp, size##_cpp);                                          \
	BENCHMARK_CAPTURE(verify_one, size##_tela, size##_tela, size##_tela);                      \
	BENCHMARK_CAPTURE(verify_one, size##_cpp, size##_tela, size##_cpp);                        \
	BENCHMARK_CAPTURE(read_one, size##_tela, size##_tela, size##_tela);                        \
	BENCHMARK_CAPTURE(read_one, size##_cpp, size##_tela, size##_cpp)

BENCHMARK_CAPTURE(build, batch_tela, functions{message_small_build_batch, nullptr, nullptr});
BENCHMARK_CAPTURE(build, batch_cpp, functions{small_build_batch, nullptr, nullptr});
BOTH(small, calculator::Operands);
BOTH(medium, frame::Envelope);
BOTH(large, calculator::Expression);

} // namespace

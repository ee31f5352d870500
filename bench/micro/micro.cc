// micro.cc - each piece of the hot path beside its yardstick, with Google Benchmark.
//
//   envelope   our writer and reader | C++ FlatBuffers' builder, verifier and accessors
//   message    echo.Message of 32 and 256 bytes | the same
//   small, medium, large    build, verify, read | the same: messages.h
//   chain      0 to 16 links | direct calls of the same function, not inlined
//   lookup     a service by name, a method by id | std::unordered_map
//   image      build; build, publish and retire | an allocation of that size
//   crc32c     64 and 1,500 bytes | memcpy of them
//   xring      push and pop | a mutex and a deque
//   hand       frames handed to another thread and back, by bursts
//
// At the end a table says what follows from the figures. CI runs it with --benchmark_min_time=0.01;
// a test looks at no time.
#include "shim.h"

#include "echo_generated.h"
#include "frame_generated.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <unistd.h>

#define NOINLINE __attribute__((noinline))

using benchmark::DoNotOptimize;

// ---- envelope ----

NOINLINE static size_t cpp_envelope_build(
	flatbuffers::FlatBufferBuilder &b, uint32_t budget_us, uint16_t bind, uint16_t method)
{
	b.Clear();
	frame::EnvelopeBuilder e(b);
	e.add_budget_us(budget_us);
	e.add_bind(bind);
	e.add_method(method);
	b.Finish(e.Finish());
	return b.GetSize();
}

NOINLINE static uint64_t cpp_envelope_read(const uint8_t *from, size_t len)
{
	flatbuffers::Verifier v(from, len);

	if (!v.VerifyBuffer<frame::Envelope>(nullptr))
		return 0;
	const frame::Envelope *e = flatbuffers::GetRoot<frame::Envelope>(from);
	return uint64_t(e->budget_us()) + e->bind() + e->method();
}

static void envelope_encode_tela(benchmark::State &state)
{
	alignas(8) uint8_t to[SHIM_ENVELOPE];
	uint32_t budget = 1;

	for (auto _ : state) {
		shim_envelope_write(to, budget++, 2, 3);
		DoNotOptimize(to);
	}
}
BENCHMARK(envelope_encode_tela);

static void envelope_encode_cpp(benchmark::State &state)
{
	flatbuffers::FlatBufferBuilder b;
	uint32_t budget = 1;

	for (auto _ : state)
		DoNotOptimize(cpp_envelope_build(b, budget++, 2, 3));
}
BENCHMARK(envelope_encode_cpp);

static void envelope_verify_read_tela(benchmark::State &state)
{
	alignas(8) uint8_t from[SHIM_ENVELOPE];

	shim_envelope_write(from, 1000, 2, 3);
	for (auto _ : state)
		DoNotOptimize(shim_envelope_read(from, 28));
	if (shim_envelope_read(from, 28) != 1005)
		state.SkipWithError("wrong");
}
BENCHMARK(envelope_verify_read_tela);

static void envelope_verify_read_cpp(benchmark::State &state)
{
	alignas(8) uint8_t from[SHIM_ENVELOPE];

	shim_envelope_write(from, 1000, 2, 3);
	for (auto _ : state)
		DoNotOptimize(cpp_envelope_read(from, 28));
	if (cpp_envelope_read(from, 28) != 1005) // the same bytes mean the same to both
		state.SkipWithError("wrong");
}
BENCHMARK(envelope_verify_read_cpp);

static void envelope_general_build_tela(benchmark::State &state)
{
	alignas(8) uint8_t to[1024];
	uint32_t budget = 1;

	for (auto _ : state)
		DoNotOptimize(shim_envelope_build(to, sizeof(to), budget++, 2, 3));
}
BENCHMARK(envelope_general_build_tela);

static void envelope_general_read_tela(benchmark::State &state)
{
	alignas(8) uint8_t from[SHIM_ENVELOPE];

	shim_envelope_write(from, 1000, 2, 3);
	for (auto _ : state)
		DoNotOptimize(shim_envelope_read_general(from, 28));
}
BENCHMARK(envelope_general_read_tela);

static void envelope_named_build_tela(benchmark::State &state)
{
	alignas(8) uint8_t to[1024];

	for (auto _ : state)
		DoNotOptimize(shim_envelope_build_named(to, sizeof(to), "echo.Echo", 42));
}
BENCHMARK(envelope_named_build_tela);

static void envelope_named_read_tela(benchmark::State &state)
{
	alignas(8) uint8_t from[1024];
	int len = shim_envelope_build_named(from, sizeof(from), "echo.Echo", 42);

	for (auto _ : state)
		DoNotOptimize(shim_envelope_read(from, uint32_t(len)));
}
BENCHMARK(envelope_named_read_tela);

static void envelope_named_read_cpp(benchmark::State &state)
{
	alignas(8) uint8_t from[1024];
	int len = shim_envelope_build_named(from, sizeof(from), "echo.Echo", 42);

	for (auto _ : state)
		DoNotOptimize(cpp_envelope_read(from, size_t(len)));
}
BENCHMARK(envelope_named_read_cpp);

// ---- echo.Message ----

NOINLINE static size_t cpp_message_build(
	flatbuffers::FlatBufferBuilder &b, const uint8_t *data, size_t len)
{
	b.Clear();
	b.Finish(echo::CreateMessage(b, b.CreateVector(data, len)));
	return b.GetSize();
}

NOINLINE static uint64_t cpp_message_read(const uint8_t *from, size_t len)
{
	flatbuffers::Verifier v(from, len);

	if (!v.VerifyBuffer<echo::Message>(nullptr))
		return UINT64_MAX;
	const auto *d = flatbuffers::GetRoot<echo::Message>(from)->data();
	return d && d->size() ? uint64_t(d->Get(0)) + d->Get(d->size() - 1) : 0;
}

static void message_build_tela(benchmark::State &state)
{
	std::vector<uint8_t> data(size_t(state.range(0)), 7), to(data.size() + 64);

	for (auto _ : state)
		DoNotOptimize(shim_message_build(to.data(), to.size(), data.data(), data.size()));
}
BENCHMARK(message_build_tela)->Arg(32)->Arg(256);

static void message_build_cpp(benchmark::State &state)
{
	std::vector<uint8_t> data(size_t(state.range(0)), 7);
	flatbuffers::FlatBufferBuilder b;

	for (auto _ : state)
		DoNotOptimize(cpp_message_build(b, data.data(), data.size()));
}
BENCHMARK(message_build_cpp)->Arg(32)->Arg(256);

static void message_verify_read(benchmark::State &state, uint64_t (*read)(const uint8_t *, size_t))
{
	std::vector<uint8_t> data(size_t(state.range(0)), 7), from(data.size() + 64);
	int len = shim_message_build(from.data(), from.size(), data.data(), data.size());

	for (auto _ : state)
		DoNotOptimize(read(from.data(), size_t(len)));
	if (read(from.data(), size_t(len)) != 14)
		state.SkipWithError("wrong");
}

static void message_verify_read_tela(benchmark::State &state)
{
	message_verify_read(state, shim_message_read);
}
BENCHMARK(message_verify_read_tela)->Arg(32)->Arg(256);

static void message_verify_read_cpp(benchmark::State &state)
{
	message_verify_read(state, cpp_message_read);
}
BENCHMARK(message_verify_read_cpp)->Arg(32)->Arg(256);

// ---- chains ----

static void chain_walk(benchmark::State &state)
{
	for (auto _ : state)
		DoNotOptimize(shim_chain_walk(unsigned(state.range(0))));
}
BENCHMARK(chain_walk)->Arg(0)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Arg(16);

static void chain_direct(benchmark::State &state)
{
	for (auto _ : state)
		DoNotOptimize(shim_chain_direct(unsigned(state.range(0))));
}
BENCHMARK(chain_direct)->Arg(0)->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Arg(16);

static void chain_no_leave_hooks(benchmark::State &state)
{
	for (auto _ : state)
		DoNotOptimize(shim_chain_walk_leave(unsigned(state.range(0)), false));
}
BENCHMARK(chain_no_leave_hooks)->Arg(0)->Arg(16);

static void chain_leave_hooks(benchmark::State &state)
{
	for (auto _ : state)
		DoNotOptimize(shim_chain_walk_leave(unsigned(state.range(0)), true));
}
BENCHMARK(chain_leave_hooks)->Arg(0)->Arg(16);

static void plugins(benchmark::State &state)
{
	for (auto _ : state)
		DoNotOptimize(shim_plugins(unsigned(state.range(0))));
}
BENCHMARK(plugins)->DenseRange(SHIM_BARE, SHIM_PLUGINS - 1);

// ---- look-ups ----

static void lookup_service_tela(benchmark::State &state)
{
	unsigned i = 0;

	for (auto _ : state) {
		const char *name = shim_table_name(i++ % SHIM_SERVICES);

		DoNotOptimize(shim_table_find(name, strlen(name)));
	}
}
BENCHMARK(lookup_service_tela);

static void lookup_service_map(benchmark::State &state)
{
	std::unordered_map<std::string, unsigned> map;
	unsigned i = 0;

	for (unsigned k = 0; k < SHIM_SERVICES; k++)
		map[shim_table_name(k)] = k;
	for (auto _ : state)
		DoNotOptimize(map.find(shim_table_name(i++ % SHIM_SERVICES)));
}
BENCHMARK(lookup_service_map);

static void lookup_method_tela(benchmark::State &state)
{
	uint32_t i = 0;

	for (auto _ : state)
		DoNotOptimize(shim_image_method(i++ % 8));
}
BENCHMARK(lookup_method_tela);

NOINLINE static const void *map_find(const std::unordered_map<uint32_t, int> &map, uint32_t method)
{
	auto at = map.find(method);

	return at == map.end() ? nullptr : &at->second;
}

static void lookup_method_map(benchmark::State &state)
{
	std::unordered_map<uint32_t, int> map = {{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}, {6, 0}};
	uint32_t i = 0;

	for (auto _ : state)
		DoNotOptimize(map_find(map, i++ % 8));
}
BENCHMARK(lookup_method_map);

// ---- images ----

static void image_build(benchmark::State &state)
{
	for (auto _ : state)
		DoNotOptimize(shim_image_build(unsigned(state.range(0))));
}
BENCHMARK(image_build)->Arg(0)->Arg(4)->Arg(16);

static void image_swap(benchmark::State &state)
{
	for (auto _ : state)
		shim_image_swap(unsigned(state.range(0)));
	shim_image_settle();
}
BENCHMARK(image_swap)->Arg(4)->Arg(16)->UseRealTime();

static void image_allocation(benchmark::State &state)
{
	for (auto _ : state) {
		void *p = calloc(1, 4600); // about an image of 6 methods and 16 links

		DoNotOptimize(p);
		free(p);
	}
}
BENCHMARK(image_allocation);

// ---- the rest ----

static void crc32c_tela(benchmark::State &state)
{
	std::vector<uint8_t> data(size_t(state.range(0)), 7);

	for (auto _ : state)
		DoNotOptimize(shim_crc32c(data.data(), data.size()));
	state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_tela)->Arg(64)->Arg(1500);

NOINLINE static void *copy(void *to, const void *from, size_t len)
{
	return memcpy(to, from, len);
}

static void crc32c_memcpy(benchmark::State &state)
{
	std::vector<uint8_t> data(size_t(state.range(0)), 7), to(data.size());

	for (auto _ : state)
		DoNotOptimize(copy(to.data(), data.data(), data.size()));
	state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_memcpy)->Arg(64)->Arg(1500);

static void xring_push_pop(benchmark::State &state)
{
	for (auto _ : state)
		DoNotOptimize(shim_xring(unsigned(state.range(0))));
	state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(xring_push_pop)->Arg(1)->Arg(32);

static void xring_mutex_deque(benchmark::State &state)
{
	std::deque<void *> q;
	std::mutex lock;

	for (auto _ : state) {
		for (int64_t i = 0; i < state.range(0); i++) {
			std::lock_guard<std::mutex> held(lock);
			q.push_back(&q);
		}
		for (int64_t i = 0; i < state.range(0); i++) {
			std::lock_guard<std::mutex> held(lock);
			DoNotOptimize(q.front());
			q.pop_front();
		}
	}
	state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(xring_mutex_deque)->Arg(1)->Arg(32);

// From one core to another and back: two hand-overs an item.
static void hand_between_cores(benchmark::State &state)
{
	shim_hand_start();
	for (auto _ : state)
		state.SetIterationTime(shim_hand(unsigned(state.range(0))));
	shim_hand_stop();
	state.SetItemsProcessed(2 * state.iterations() * state.range(0));
}
BENCHMARK(hand_between_cores)->Arg(1)->Arg(8)->Arg(32)->UseManualTime()->Iterations(5);

// ---- what follows ----

class Figures : public benchmark::ConsoleReporter
{
public:
	std::map<std::string, double> ns;
	bool failed = false;

	Figures() : ConsoleReporter(isatty(1) ? OO_Defaults : OO_Tabular)
	{
	}

	void ReportRuns(const std::vector<Run> &runs) override
	{
		for (const Run &r : runs) {
			failed |= r.error_occurred;
			if (!r.error_occurred && r.run_type == Run::RT_Iteration)
				ns[r.run_name.function_name +
					(r.run_name.args.empty() ? "" : "/" + r.run_name.args)] =
					r.GetAdjustedCPUTime();
		}
		ConsoleReporter::ReportRuns(runs);
	}

	void beside(const char *what, const std::string &ours, const std::string &theirs)
	{
		if (ns.count(ours) && ns.count(theirs))
			printf("%-38s %9.1f %9.1f %8.2f\n", what, ns[ours], ns[theirs],
				ns[ours] / ns[theirs]);
	}

	void table()
	{
		printf("\n%-38s %9s %9s %8s\n", "ns", "tela", "yardstick", "ratio");
		beside("envelope: encode", "envelope_encode_tela", "envelope_encode_cpp");
		beside("envelope: verify and read", "envelope_verify_read_tela",
			"envelope_verify_read_cpp");
		beside("envelope: the same by the general path", "envelope_general_read_tela",
			"envelope_verify_read_cpp");
		beside("unbound envelope: verify and read", "envelope_named_read_tela",
			"envelope_named_read_cpp");
		for (const char *n : {"/32", "/256"}) {
			beside((std::string("message: build, bytes ") + n).c_str(),
				std::string("message_build_tela") + n,
				std::string("message_build_cpp") + n);
			beside((std::string("message: verify and read, bytes ") + n).c_str(),
				std::string("message_verify_read_tela") + n,
				std::string("message_verify_read_cpp") + n);
		}
		for (const std::string size : {"small", "medium", "large"})
			for (const std::string what : {"build", "verify_one", "read_one"})
				beside((size + " message: " + what.substr(0, what.find('_')))
						.c_str(),
					what + "/" + size + "_tela", what + "/" + size + "_cpp");
		beside("32 small messages: build", "build/batch_tela", "build/batch_cpp");
		beside("service by name (std::unordered_map)", "lookup_service_tela",
			"lookup_service_map");
		beside("method by id (std::unordered_map)", "lookup_method_tela",
			"lookup_method_map");
		beside("image of 16 links (calloc and free)", "image_build/16", "image_allocation");
		beside("crc32c of 1,500 bytes (memcpy)", "crc32c_tela/1500", "crc32c_memcpy/1500");
		beside("xring, 32 through (mutex and deque)", "xring_push_pop/32",
			"xring_mutex_deque/32");
		if (ns.count("chain_walk/16") && ns.count("chain_direct/16") &&
			ns.count("chain_no_leave_hooks/16")) {
			double walk = (ns["chain_walk/16"] - ns["chain_walk/0"]) / 16;
			double direct = (ns["chain_direct/16"] - ns["chain_direct/0"]) / 16;
			double absent =
				(ns["chain_no_leave_hooks/16"] - ns["chain_no_leave_hooks/0"] -
					(ns["chain_walk/16"] - ns["chain_walk/0"])) /
				16;

			printf("%-38s %9.2f %9.2f\n", "a link (a direct call)", walk, direct);
			printf("%-38s %9.2f\n", "one link beyond a direct call", walk - direct);
			printf("%-38s %9.2f\n", "an absent leave hook", absent);
		}
		if (ns.count("plugins/0") && ns.count("plugins/5")) {
			static const char *const adds[] = {"request adds to a call",
				"tracer, one call in 1,000 sampled", "auth, with a token of 132 bytes",
				"rate_limit", "validate, of two doubles"};

			for (int i = 0; i < 5; i++)
				printf("%-38s %9.2f\n", adds[i],
					ns["plugins/" + std::to_string(i + 1)] -
						ns["plugins/" + std::to_string(i)]);
			printf("%-38s %9.2f\n", "all of these plugins",
				ns["plugins/5"] - ns["plugins/0"]);
		}
	}
};

int main(int argc, char **argv)
{
	Figures figures;

	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
#ifndef NDEBUG
	printf("built with assertions: no figures for anything but a look\n");
#endif
	shim_images_make();
	shim_plugins_make();
	benchmark::RunSpecifiedBenchmarks(&figures);
	figures.table();
	return figures.failed;
}

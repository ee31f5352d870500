// fuzz_telac.cc - any bytes as a buffer of a schema with all that telac covers: our verifier and
// flatc's in C++ agree on them as verdict.h says, and what ours accepts is read wholly, the same by
// both.
//
// The first byte: 1 for the schema whose tables lead to each other, 2 for a size prefix.

#include "verdict.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	const exact b(data + 1, len - 1);
	const verdict v = judge(data[0] & 1, b, data[0] & 2);

	if (v.wrong.empty())
		return 0;
	std::fprintf(stderr, "%s\n", v.wrong.c_str());
	std::abort();
}

// fuzz_verify.cc - any bytes as a buffer: our verifier and flatc's in C++ agree on them as
// verdict.h says, what ours accepts is read wholly, the same by both, and whatever it is it is
// printed within bounds.
//
// The first byte from 252 on chooses one of two schemas with all that telac covers: 1 more for the
// one whose tables lead to each other, 2 more for a size prefix. Below that fuzz_tables.h says what
// it is.

#include "fuzz_tables.h"
#include "verdict.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	if (data[0] < 252) {
		fuzz_tables(data, len);
		return 0;
	}
	const exact b(data + 1, len - 1);
	const verdict v = judge(data[0] & 1, b, data[0] & 2);

	if (v.wrong.empty())
		return 0;
	std::fprintf(stderr, "%s\n", v.wrong.c_str());
	std::abort();
}

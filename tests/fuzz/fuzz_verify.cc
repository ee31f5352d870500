// fuzz_verify.cc - any bytes as a buffer: our verifier and flatc's in C++ agree on them as
// verdict.h says, what ours accepts is read wholly, the same by both, and whatever it is it is
// printed within bounds.
//
// The first byte from 252 on chooses one of two schemas with all that telac covers: 1 more for the
// one whose tables lead to each other, 2 more for a size prefix. 251: the rest is the plan of a
// buffer of that one (shapes.h). Below that fuzz_tables.h says what it is.

#include "fuzz_tables.h"
#include "shapes.h"
#include "verdict.h"

static void check(unsigned schema, const exact &b, bool prefixed)
{
	const verdict v = judge(schema, b, prefixed);

	if (v.wrong.empty())
		return;
	std::fprintf(stderr, "%s\n", v.wrong.c_str());
	std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	if (data[0] == 251) {
		const std::string s = shape(data + 1, len - 1).bytes();
		check(1, exact(s.data(), s.size()), false);
	} else if (data[0] > 251) {
		check(data[0] & 1, exact(data + 1, len - 1), data[0] & 2);
	} else {
		fuzz_tables(data, len);
	}
	return 0;
}

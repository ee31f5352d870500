// kinds_cpp.cc - the verdicts of C++ FlatBuffers for fuzz_kinds.c. Not watched by sanitizers: it is
// not what is tested, and it makes pointers from offsets that it has not yet checked.
#include "fuzz_kinds.h"

#include "monster_generated.h"

namespace
{

template <class T> bool accepts(const uint8_t *buf, size_t len)
{
	flatbuffers::Verifier v(buf, len);
	return v.VerifyBuffer<T>(nullptr);
}

} // namespace

bool kinds_cpp_accepts(unsigned which, const uint8_t *buf, size_t len)
{
	using namespace depot::stock;
	flatbuffers::Verifier v(buf, len);

	switch (which) {
	case 0:
		return accepts<Options>(buf, len);
	case 1:
		return accepts<Rack>(buf, len);
	case 2:
		return accepts<Bin>(buf, len);
	case 3:
		return VerifyTicketBuffer(v);
	case 4:
		return accepts<Index>(buf, len);
	case 5:
		return accepts<Parcel>(buf, len);
	case 6:
		return accepts<Tags>(buf, len);
	case 7:
		return accepts<House>(buf, len);
	case 8:
		return accepts<Item>(buf, len);
	default:
		return VerifySizePrefixedTicketBuffer(v);
	}
}

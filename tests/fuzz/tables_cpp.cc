// tables_cpp.cc - the verdicts of C++ FlatBuffers for fuzz_tables.c. Not watched by sanitizers: it
// is not what is tested, and it makes pointers from offsets that it has not yet checked.
#include "fuzz_tables.h"

#include "calculator_generated.h"
#include "echo_generated.h"
#include "frame_generated.h"
#include "kv_generated.h"
#include "monster_generated.h"

namespace
{

template <class T> bool accepts(const uint8_t *buf, size_t len)
{
	flatbuffers::Verifier v(buf, len);
	return v.VerifyBuffer<T>(nullptr);
}

bool accepts_ticket(const uint8_t *buf, size_t len)
{
	flatbuffers::Verifier v(buf, len);
	return depot::stock::VerifyTicketBuffer(v);
}

bool accepts_prefixed(const uint8_t *buf, size_t len)
{
	flatbuffers::Verifier v(buf, len);
	return depot::stock::VerifySizePrefixedTicketBuffer(v);
}

using namespace depot::stock;

bool (*const verdicts[TABLES + KINDS])(const uint8_t *, size_t) = {
	accepts<frame::Envelope>,
	accepts<echo::Message>,
	accepts<echo::Delayed>,
	accepts<kv::Item>,
	accepts<kv::Key>,
	accepts<kv::Value>,
	accepts<kv::Stats>,
	accepts<calculator::Operands>,
	accepts<calculator::Series>,
	accepts<calculator::Expression>,
	accepts<Options>,
	accepts<Rack>,
	accepts<Bin>,
	accepts_ticket,
	accepts<Index>,
	accepts<Parcel>,
	accepts<Tags>,
	accepts<House>,
	accepts<Item>,
	accepts_prefixed,
};

} // namespace

bool tables_cpp_accepts(unsigned which, const uint8_t *buf, size_t len)
{
	return verdicts[which](buf, len);
}

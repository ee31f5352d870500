// oracle.cc - a batch of random schemas and messages: what ours and C++ write is accepted and read
// identically by both, and so is what Python and JavaScript wrote; damaged buffers get the verdict
// and are read as tela_fb_verify.h says.
//
//     oracle OUT DAMAGE SEED IN...       packs (packs.py) in, a pack of all buffers and their text
//     out, and in OUT.json what tela_fb_print() made of them, a line each
//
// The C is compiled with sanitizers, and every buffer ends where its memory ends.

#include "json.h"
#include "shapes.h"

#include <cstdarg>
#include <map>
#include <memory>

namespace
{

// ---- packs ----

#pragma pack(push, 1)
struct head {
	char what, prefixed;
	uint16_t schema;
	uint32_t message, len;
};
#pragma pack(pop)

struct record : head {
	std::string data;
};

std::string read_file(const char *path)
{
	std::string all;
	char part[65536];
	FILE *f = std::fopen(path, "rb");

	if (!f) {
		std::perror(path);
		std::exit(2);
	}
	while (size_t n = std::fread(part, 1, sizeof(part), f))
		all.append(part, n);
	std::fclose(f);
	return all;
}

std::vector<record> read_pack(const char *path)
{
	const std::string all = read_file(path);
	std::vector<record> records;

	for (size_t at = 0; at < all.size();) {
		record r;
		std::memcpy(static_cast<head *>(&r), all.data() + at, sizeof(head));
		r.data.assign(all, at + sizeof(head), r.len);
		at += sizeof(head) + r.len;
		records.push_back(r);
	}
	return records;
}

// ---- state ----

struct message {
	uint16_t schema = 0;
	uint32_t number = 0;
	std::string text, expected;
};

message m;        // the one at work
const char *kept; // where a buffer goes that failed
FILE *out, *json;
uint64_t state;   // of the random source
unsigned damages; // of each buffer
arena memory;
struct {
	uint64_t buffers, bytes, damaged, both, budget, shared, printed;
} counts;

uint64_t random_next()
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15); // splitmix64

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t random_below(uint64_t n)
{
	return random_next() % n;
}

[[noreturn]] __attribute__((format(printf, 4, 5))) void fail(
	const exact *b, char what, bool prefixed, const char *format, ...)
{
	va_list args;

	std::printf("FAILED: schema %s, message %u, written by %c%s: ", oracle_ours[m.schema].name,
		m.number, what, prefixed ? " with a size prefix" : "");
	va_start(args, format);
	std::vprintf(format, args);
	va_end(args);
	std::printf("\n");
	if (b) {
		FILE *f = std::fopen(kept, "wb");
		if (f && std::fwrite(b->p, 1, b->len, f) == b->len)
			std::printf("the buffer of %zu bytes is in %s\n", b->len, kept);
		if (f)
			std::fclose(f);
	}
	std::exit(1);
}

// Whether a number is there or a default is the writer's choice.
std::string values(std::string text)
{
	for (size_t i = 1; i < text.size(); i++) {
		if (text[i] == '~' && text[i - 1] == ' ')
			text[i] = '=';
	}
	return text;
}

// ---- a buffer as it was written ----

void put_record(char what, bool prefixed, const void *data, size_t len)
{
	const head h = {what, prefixed ? 'p' : '-', m.schema, m.number, uint32_t(len)};

	if (std::fwrite(&h, sizeof(h), 1, out) != 1 ||
		(len && std::fwrite(data, len, 1, out) != 1)) {
		std::perror("writing the pack");
		std::exit(2);
	}
}

// Printed, and read back by libflatbuffers, it is the same.
void check_printed(const exact &b, char what, bool prefixed, const std::string &dump)
{
	const printed all(m.schema, b, prefixed, 64 * b.len + 4096),
		text(m.schema, b, prefixed, 64 * b.len + 4096, TELA_FB_PRINT_TEXT);
	std::string wrong = all.wrong + text.wrong;

	if (!wrong.empty() || all.err || text.err)
		fail(&b, what, prefixed, "%s (error %d)", wrong.c_str(), all.err);
	if (std::fprintf(json, "%s\n%s\n", all.text.c_str(), text.text.c_str()) < 0)
		fail(&b, what, prefixed, "cannot write down what is printed");
	if (json_depth(all.text) > JSON_DEPTH_MAX)
		return;
	const std::string back = read_json(m.schema, all.text, &wrong);
	if (!wrong.empty())
		fail(&b, what, prefixed, "%s", wrong.c_str());
	if (!is_utf8(dump))
		return;
	counts.printed++;
	if (values(back) != values(dump))
		fail(&b, what, prefixed, "printed as JSON, libflatbuffers reads:%s",
			difference(values(back), values(dump)).c_str());
}

// What both read of it, the same and what was asked for; returns the offsets in it.
std::vector<site> check_whole(const exact &b, char what, bool prefixed)
{
	text_buffer ours, shifted, theirs_text;
	walk w = {b.p, UINT64_MAX};
	const exact moved(b.p, b.len, 1 + random_below(7));
	uint32_t used;
	uint64_t leaves;

	counts.buffers++;
	counts.bytes += b.len;
	if (!theirs[m.schema].verify(b.p, b.len, prefixed))
		fail(&b, what, prefixed, "the C++ verifier refuses it");
	if (verify_ours(m.schema, b, prefixed))
		fail(&b, what, prefixed, "our verifier refuses it");
	if (verify_ours(m.schema, moved, prefixed))
		fail(&b, what, prefixed, "our verifier refuses it at an odd address");
	const uint64_t lost = oracle_not_found();
	dump_ours(m.schema, b, prefixed, &ours);
	dump_ours(m.schema, moved, prefixed, &shifted);
	if (oracle_not_found() != lost)
		fail(&b, what, prefixed, "an element is not found by its key");
	theirs[m.schema].dump(b.p, prefixed, &theirs_text, &w);
	const std::string text = ours.str();
	if (text != theirs_text.str())
		fail(&b, what, prefixed, "ours and C++ read:%s",
			difference(text, theirs_text.str()).c_str());
	if (text != shifted.str())
		fail(&b, what, prefixed, "elsewhere ours reads:%s",
			difference(text, shifted.str()).c_str());
	if (!m.expected.empty() && values(text) != values(m.expected))
		fail(&b, what, prefixed, "read and wanted:%s",
			difference(values(text), values(m.expected)).c_str());
	if (oracle_ours[m.schema].visits(b.p, b.len, prefixed, &used, &leaves) ||
		used != w.visits || leaves != w.leaf_visits)
		fail(&b, what, prefixed, "ours made %u visits, the walk %llu", used,
			static_cast<unsigned long long>(w.visits));
	if (what == 'C') {
		if (w.string_twice && w.strings.size() <= 64)
			fail(&b, what, prefixed, "a string that is to be shared is there twice");
		if (w.vtable_twice && w.vtables.size() <= 32 && w.vtable_bytes <= 1024)
			fail(&b, what, prefixed, "a vtable that is to be shared is there twice");
		if (w.misaligned)
			fail(&b, what, prefixed, "a vector is not aligned as asked for");
	}
	check_printed(b, what, prefixed, text);
	put_record(what, prefixed, b.p, b.len);
	put_record('d', prefixed, text.data(), text.size());
	return w.sites;
}

// ---- damage ----

template <class T> void store(std::string &data, size_t at, uint64_t v)
{
	const T value = T(v);

	if (at + sizeof(value) <= data.size())
		std::memcpy(&data[at], &value, sizeof(value));
}

uint32_t load(const std::string &data, size_t at)
{
	uint32_t v = 0;

	if (at + sizeof(v) <= data.size())
		std::memcpy(&v, &data[at], sizeof(v));
	return v;
}

// A number that is near some edge of a buffer of `len` bytes.
uint64_t edge(size_t len)
{
	static const uint32_t fixed[] = {0, 1, 2, 3, 4, 5, 6, 8, 0x3fffffff, 0x40000000, 0x7ffffffe,
		0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};

	switch (random_below(3)) {
	case 0:
		return fixed[random_below(sizeof(fixed) / sizeof(*fixed))];
	case 1:
		return len - 4 + random_below(9);
	default:
		return random_below(len + 8);
	}
}

// Makes the offset at one site lead to where another one leads, if that is behind it.
void retarget(std::string &data, const std::vector<site> &sites, bool same_type)
{
	for (int tries = 0; tries < 20; tries++) {
		const site &a = sites[random_below(sites.size())],
			   &b = sites[random_below(sites.size())];
		if (b.to <= a.at || b.to == a.to || (same_type && std::strcmp(a.type, b.type)))
			continue;
		store<uint32_t>(data, a.at, b.to - a.at);
		return;
	}
}

// Many paths: every offset, or nearly, leads to the next thing of its type.
void funnel(std::string &data, const std::vector<site> &sites)
{
	const uint64_t spared = random_below(4);

	for (const site &a : sites) {
		uint32_t next = UINT32_MAX;
		for (const site &b : sites) {
			if (b.to > a.at && b.to < next && !std::strcmp(a.type, b.type))
				next = b.to;
		}
		if (next != UINT32_MAX && random_below(4) >= spared)
			store<uint32_t>(data, a.at, next - a.at);
	}
}

void damage_once(std::string &data, const std::vector<site> &sites)
{
	const size_t n = data.size();
	size_t at;

	switch (random_below(sites.empty() ? 6 : 10)) {
	case 0:
		data[random_below(n)] ^= char(1u << random_below(8));
		return;
	case 1:
		store<uint32_t>(data, random_below(n) & ~size_t(3), edge(n));
		return;
	case 2:
		store<uint16_t>(data, random_below(n) & ~size_t(1), edge(64));
		return;
	case 3:
		if (n > 1)
			data.resize(
				n - 1 -
				random_below(random_below(4) ? std::min<size_t>(n - 1, 8) : n - 1));
		return;
	case 4:
		data.append(random_below(12), char(random_below(2) ? 0 : 0xff));
		return;
	case 5: // a few bytes back and forth, as in vtables
		at = random_below(n) & ~size_t(1);
		store<uint16_t>(data, at, load(data, at) + random_below(9) - 4);
		return;
	case 6:
	case 7:
		retarget(data, sites, true);
		return;
	case 8:
		retarget(data, sites, false);
		return;
	default: // a length, or where a table's vtable is
		at = sites[random_below(sites.size())].to;
		store<uint32_t>(
			data, at, random_below(2) ? edge(n) : load(data, at) + random_below(5) - 2);
	}
}

void check_damaged(const exact &b, char what, bool prefixed)
{
	const verdict v = judge(m.schema, b, prefixed);

	counts.damaged++;
	counts.both += v.ours && v.theirs;
	counts.budget += v.theirs && !v.ours;
	counts.shared += v.shared;
	if (!v.wrong.empty())
		fail(&b, what, prefixed, "damaged: %s", v.wrong.c_str());
}

void damage(const exact &b, char what, bool prefixed, const std::vector<site> &sites)
{
	for (unsigned i = 0; i < damages; i++) {
		std::string data(reinterpret_cast<const char *>(b.p), b.len);
		if (random_below(16) == 0 && sites.size() < 300) {
			funnel(data, sites);
		} else {
			for (auto n = 1 + random_below(random_below(3) ? 2 : 6); n && !data.empty();
				n--)
				damage_once(data, sites);
		}
		check_damaged(exact(data.data(), data.size()), what, prefixed);
	}
}

void check(const void *data, size_t len, char what, bool prefixed)
{
	const exact b(data, len);

	damage(b, what, prefixed, check_whole(b, what, prefixed));
}

// ---- writing ----

void write_ours(bool prefixed)
{
	const auto &ours = oracle_ours[m.schema];
	std::string first;

	// what is in the padding of arguments does not count
	for (int round = 0; round < 2; round++) {
		memory.used = 0;
		memory.fill = round ? 0x55 : 0xaa;
		text_in in = {m.text.c_str(), &memory};
		const void *args;
		size_t n = ours.size(&in, &args);
		n = prefixed ? ours.size_prefixed(args) : n;
		const auto build = prefixed ? ours.build_prefixed : ours.build;
		if (!n)
			fail(nullptr, 'C', prefixed, "it cannot be measured");
		exact b(std::string(n, char(0xab)).data(), n);
		if (build(b.p, n - 1, args) != -ENOSPC || b.p[0] != 0xab)
			fail(nullptr, 'C', prefixed, "no -ENOSPC for %zu bytes in %zu", n, n - 1);
		const int built = build(b.p, n, args);
		if (built != int(n))
			fail(&b, 'C', prefixed, "built %d bytes, %zu measured", built, n);
		const std::string now(reinterpret_cast<const char *>(b.p), n);
		if (round && now != first)
			fail(&b, 'C', prefixed, "other bytes for the same arguments:%s", "");
		first = now;
	}
	check(first.data(), first.size(), 'C', prefixed);
}

void write_theirs(bool prefixed, bool forced)
{
	flatbuffers::FlatBufferBuilder b;
	memory.used = 0;
	text_in in = {m.text.c_str(), &memory};

	b.ForceDefaults(forced);
	theirs[m.schema].build(&in, b, prefixed);
	check(b.GetBufferPointer(), b.GetSize(), forced ? 'F' : '+', prefixed);
}

// A buffer with many paths: accepted, or refused because the visits do not fit and for nothing
// else.
void check_crafted(const record &r)
{
	const exact b(r.data.data(), r.data.size());
	text_buffer text;
	walk w = {b.p, 1000000}; // about where the C++ verifier gives up
	uint32_t used;
	uint64_t leaves;
	bool whole = true;
	const int err = oracle_ours[m.schema].visits(b.p, b.len, false, &used, &leaves);
	const printed text_of(m.schema, b, false, 1 << 20);

	if (r.what == 'Z') {
		if (!err || theirs[m.schema].verify(b.p, b.len, false))
			fail(&b, r.what, false, "it is not valid, and accepted");
		return;
	}
	if (!text_of.wrong.empty() || text_of.text.size() > 64 * (16 + b.len))
		fail(&b, r.what, false, "%s: %zu bytes printed", text_of.wrong.c_str(),
			text_of.text.size());
	try {
		theirs[m.schema].dump(b.p, false, &text, &w);
	} catch (walk::too_long &) {
		whole = false;
	}
	if (whole && !theirs[m.schema].verify(b.p, b.len, false))
		fail(&b, r.what, false, "the C++ verifier refuses it");
	if (used > 16 + b.len / 2 || leaves > 64 + 4 * b.len)
		fail(&b, r.what, false, "%u and %llu visits in %zu bytes", used,
			(unsigned long long)leaves, b.len);
	if (whole && w.fits(b.len) && r.what == 'X')
		fail(&b, r.what, false, "it has %llu and %llu visits", (unsigned long long)w.visits,
			(unsigned long long)w.leaf_visits);
	if (err != (r.what == 'X' ? -EBADMSG : 0) || verify_ours(m.schema, b, false) != err)
		fail(&b, r.what, false, "verdict %d after %u and %llu visits", err, used,
			(unsigned long long)leaves);
}

// As many plans as each buffer has damaged copies.
void check_shapes(const record &r)
{
	for (unsigned i = 0; i < damages; i++) {
		uint64_t plan[4];
		for (uint64_t &part : plan)
			part = random_next();
		// nine bytes make the shape, the others change it
		const size_t len = 9 + (random_below(2) ? 0 : random_below(20));
		const std::string s = shape(reinterpret_cast<uint8_t *>(plan), len).bytes();
		check_damaged(exact(s.data(), s.size()), r.what, false);
	}
}

void one(const record &r, std::map<std::pair<uint16_t, uint32_t>, message> &messages)
{
	message &at = messages[{r.schema, r.message}];

	at.schema = r.schema;
	at.number = r.message;
	if (r.what == 'w') {
		at.text = r.data;
		return;
	}
	if (r.what == 'e')
		at.expected = r.data;
	m = at;
	if (std::strchr("XYZ", r.what)) {
		check_crafted(r);
		if (!r.message)
			check_shapes(r);
	} else if (r.what == 'e') {
		for (bool prefixed : {false, true}) {
			write_ours(prefixed);
			write_theirs(prefixed, false);
			write_theirs(prefixed, true);
		}
	} else {
		check(r.data.data(), r.data.size(), r.what, r.prefixed == 'p');
	}
}

} // namespace

int main(int argc, char **argv)
{
	std::map<std::pair<uint16_t, uint32_t>, message> messages;

	if (argc < 5) {
		std::fprintf(stderr, "usage: oracle OUT DAMAGE SEED IN...\n");
		return 2;
	}
	std::setvbuf(stdout, nullptr, _IOLBF, 0);
	out = std::fopen(argv[1], "wb");
	if (!out) {
		std::perror(argv[1]);
		return 2;
	}
	json = std::fopen((std::string(argv[1]) + ".json").c_str(), "w");
	if (!json) {
		std::perror("the file of what is printed");
		return 2;
	}
	const std::string beside = std::string(argv[1]) + ".failed";
	kept = beside.c_str();
	damages = unsigned(std::atoi(argv[2]));
	state = std::strtoull(argv[3], nullptr, 0);
	memory.room = 64 << 20;
	memory.data = static_cast<uint8_t *>(std::malloc(memory.room));
	for (int i = 4; i < argc; i++) {
		for (const record &r : read_pack(argv[i]))
			one(r, messages);
	}
	std::free(memory.data);
	if (std::fclose(json) + std::fclose(out)) {
		std::perror(argv[1]);
		return 2;
	}
	std::printf(
		"%llu buffers of %llu bytes, %llu of them the same again by way of JSON; of %llu "
		"damaged ones both accept %llu, ours stops %llu of %llu that share tables or "
		"vectors\n",
		(unsigned long long)counts.buffers, (unsigned long long)counts.bytes,
		(unsigned long long)counts.printed, (unsigned long long)counts.damaged,
		(unsigned long long)counts.both, (unsigned long long)counts.budget,
		(unsigned long long)counts.shared);
	return 0;
}

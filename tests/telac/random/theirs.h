// theirs.h - what the generated theirs.cc gives to oracle.cc, and the walk that its readers report
// to.
#pragma once

#include "ours.h"

#include <flatbuffers/flatbuffers.h>

#include <map>
#include <string>
#include <unordered_set>
#include <vector>

// Where an offset of a buffer stands, where it leads to, and to what.
struct site {
	uint32_t at, to;
	const char *type;
};

// Counts what tela_fb_verify.h says a verifier visits, and sees which tables and vectors several
// paths lead to. Strings and vtables may always be shared.
struct walk {
	struct too_long {
	};

	const uint8_t *buf;
	uint64_t most; // visits, after which too_long is thrown
	uint64_t visits = 0;
	uint64_t leaf_visits = 0,
		 union_visits = 0; // of vectors of strings and unions; of the latter
	bool shared_table = false, shared_vector = false;
	std::vector<site> sites = {};
	std::unordered_set<const void *> seen = {};
	// what only ours does: of each string and vtable that is to be shared, the first one's
	// place
	std::map<std::string, const void *> strings = {}, vtables = {};
	size_t vtable_bytes = 0;
	unsigned nested = 0; // inside a buffer that is a field
	bool has_nested = false;
	bool string_twice = false, vtable_twice = false, misaligned = false;

	void charge(uint64_t n)
	{
		visits += n;
		if (visits > most)
			throw too_long();
	}

	void reach(const void *from, const void *to, const char *type)
	{
		const auto at = static_cast<const uint8_t *>(from),
			   there = static_cast<const uint8_t *>(to);

		if (from)
			sites.push_back({uint32_t(at - buf), uint32_t(there - buf), type});
	}

	void table(const void *from, const void *to, const uint8_t *vtable, const char *type,
		bool once)
	{
		charge(1);
		reach(from, to, type);
		shared_table |= !seen.insert(to).second;
		if (!once || nested)
			return;
		const size_t n = flatbuffers::ReadScalar<uint16_t>(vtable);
		const auto known = vtables.emplace(
			std::string(reinterpret_cast<const char *>(vtable), n), vtable);
		vtable_bytes += known.second ? n : 0;
		vtable_twice |= known.first->second != vtable;
	}

	// A string that is to be shared.
	void once(const flatbuffers::String *s)
	{
		if (s && !nested)
			string_twice |= strings.emplace(s->str(), s).first->second != s;
	}

	void aligned(const uint8_t *p, size_t align)
	{
		misaligned |= p && !nested && size_t(p - buf) % align;
	}

	void string(const void *from, const void *to)
	{
		reach(from, to, "string");
	}

	void vector(const void *from, const void *to)
	{
		if (!to)
			return;
		reach(from, to, "vector");
		shared_vector |= !seen.insert(to).second;
	}

	// One of tables, each of which is visited.
	template <class T> void refs(const void *from, const T *to)
	{
		vector(from, to);
		if (to)
			charge(to->size());
	}

	// One of strings or unions.
	template <class T> void leaves(const void *from, const T *to, bool unions)
	{
		vector(from, to);
		if (!to)
			return;
		leaf_visits += to->size();
		union_visits += unions ? to->size() : 0;
		if (leaf_visits > most)
			throw too_long();
	}

	void enter_nested()
	{
		nested++;
		has_nested = true;
	}

	// Whether our verifier must accept it for all that it visits. Of strings in less than 1 MiB
	// it looks at each entry once; where there are nested buffers too this does not say.
	bool fits(size_t len) const
	{
		return visits <= TELA_FB_VISITS(len) &&
		       (leaf_visits <= TELA_FB_LEAVES(len) ||
			       (!has_nested && len < 1 << 20 &&
				       union_visits + len / 4 <= TELA_FB_LEAVES_AGAIN(len)));
	}
};

inline flatbuffers::Offset<flatbuffers::String> parse_string(
	flatbuffers::FlatBufferBuilder &b, text_in *in)
{
	size_t n;
	const auto *p = reinterpret_cast<const char *>(text_hex(in, &n));

	return b.CreateString(p, n);
}

inline void dump_string(text_out *o, walk *w, const void *from, const flatbuffers::String *s)
{
	if (s)
		w->string(from, s);
	text_put_hex(o, '"', s ? s->c_str() : nullptr, s ? s->size() : 0);
}

struct oracle_theirs {
	bool (*verify)(const uint8_t *buf, size_t len, bool prefixed);
	void (*build)(text_in *in, flatbuffers::FlatBufferBuilder &b, bool prefixed);
	void (*dump)(const uint8_t *buf, bool prefixed, text_out *o, walk *w);
};

extern const oracle_theirs theirs[];

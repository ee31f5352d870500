// verdict.h - what ours and C++ must say of any bytes as a buffer of a schema (tela_fb_verify.h has
// the rule):
//
// - what ours accepts C++ does too, and both read the same of it;
// - what C++ accepts ours does too if no table in it is reached by two paths, or if its visits fit;
//   vectors of strings may be shared and overlap, those of unions too as long as their leaves fit;
// - what ours accepts is printed, at least in part, and what C++ refuses is not printed whole.
#pragma once

#include "theirs.h"

#include <tela_fb_print.h>

#include <cerrno>
#include <memory>

// A buffer at the end of its own memory, `shift` behind a multiple of 16.
struct exact {
	std::unique_ptr<uint8_t, decltype(&std::free)> memory;
	uint8_t *p;
	size_t len;

	exact(const void *data, size_t n, size_t shift = 0)
	    : memory(static_cast<uint8_t *>(std::malloc(n + shift + !(n + shift))), &std::free),
	      p(memory.get() + shift), len(n)
	{
		std::memcpy(p, data, n);
	}
};

struct text_buffer : text_out {
	text_buffer() : text_out{nullptr, 0, 0}
	{
	}
	~text_buffer()
	{
		std::free(p);
	}
	text_buffer(const text_buffer &) = delete;
	std::string str() const
	{
		return std::string(p, len);
	}
};

// The first line in which two texts differ, for a person.
inline std::string difference(const std::string &a, const std::string &b)
{
	size_t i = 0, from;

	while (i < a.size() && i < b.size() && a[i] == b[i])
		i++;
	from = i ? a.rfind('\n', i - 1) : std::string::npos;
	from = from == std::string::npos ? 0 : from + 1;
	return "\n  " + a.substr(from, std::min(a.find('\n', i), from + 200) - from) + "\n  " +
	       b.substr(from, std::min(b.find('\n', i), from + 200) - from);
}

inline void dump_ours(unsigned schema, const exact &b, bool prefixed, text_out *o)
{
	const auto &ours = oracle_ours[schema];

	(prefixed ? ours.dump_prefixed : ours.dump)(b.p, o);
}

inline int verify_ours(unsigned schema, const exact &b, bool prefixed)
{
	const auto &ours = oracle_ours[schema];

	return (prefixed ? ours.verify_prefixed : ours.verify)(b.p, b.len);
}

// What tela_fb_print() makes of it in so much room, which it must keep to.
struct printed {
	int err;
	std::string text, wrong = {};

	printed(unsigned schema, const exact &b, bool prefixed, size_t room, unsigned flags = 0)
	{
		const exact out(std::string(room, char(0x55)).data(), room);
		const auto text_at = reinterpret_cast<char *>(out.p);
		size_t len = room;

		err = tela_fb_print(oracle_ours[schema].type, b.p, b.len,
			flags | (prefixed ? TELA_FB_PRINT_PREFIXED : 0), text_at, room, &len);
		if (room ? len >= room || std::strlen(text_at) != len : len != 0)
			wrong = "printing: " + std::to_string(len) + " bytes in " +
				std::to_string(room);
		else if (err && err != -ENOSPC && err != -EBADMSG)
			wrong = "printing: error " + std::to_string(err);
		else
			text.assign(text_at, len);
		if (wrong.empty() && room > 4 &&
			!err == (len >= 3 && !std::strcmp(text_at + len - 3, "...")))
			wrong = "printing: error " + std::to_string(err) + " and " + text;
	}
};

struct verdict {
	bool ours, theirs;
	bool shared = false;    // several paths lead to a table or vector
	std::string wrong = {}; // what must not be
};

inline std::string judge_printing(unsigned schema, const exact &b, bool prefixed, bool ours,
	bool theirs, const std::string &wrong)
{
	const char *identifier = oracle_ours[schema].identifier;
	const printed cut(schema, b, prefixed, b.len % 61, TELA_FB_PRINT_TEXT),
		all(schema, b, prefixed, 16 * b.len + 4096);

	if (!wrong.empty() || !cut.wrong.empty() || !all.wrong.empty())
		return wrong + cut.wrong + all.wrong;
	if (ours && (all.err == -EBADMSG || cut.err == -EBADMSG))
		return "ours accepts it and prints " + all.text;
	if (!all.err && !theirs &&
		(!identifier || tela_fb_has_identifier(b.p, b.len, prefixed ? 4 : 0, identifier)))
		return "C++ refuses it and ours prints " + all.text;
	return "";
}

inline verdict judge(unsigned schema, const exact &b, bool prefixed)
{
	text_buffer ours, other;
	walk w = {b.p, 64 * uint64_t(b.len) + 1024};
	uint32_t used = 0;
	uint64_t leaves = 0;
	bool whole = true;
	verdict v = {
		verify_ours(schema, b, prefixed) == 0, theirs[schema].verify(b.p, b.len, prefixed)};

	if ((oracle_ours[schema].visits(b.p, b.len, prefixed, &used, &leaves) == 0) != v.ours)
		v.wrong = "our verifier contradicts itself";
	v.wrong = judge_printing(schema, b, prefixed, v.ours, v.theirs, v.wrong);
	if (v.ours)
		dump_ours(schema, b, prefixed, &ours);
	if (v.ours && !v.theirs)
		v.wrong = "ours accepts what C++ refuses";
	if (!v.theirs || !v.wrong.empty())
		return v;
	try {
		theirs[schema].dump(b.p, prefixed, &other, &w);
	} catch (walk::too_long &) {
		whole = false;
	}
	v.shared = w.shared_table || w.shared_vector;
	// Of trees of tables the visits of tables fit by themselves.
	const bool tree = whole && !w.shared_table;
	if (tree && w.visits > TELA_FB_VISITS(b.len))
		v.wrong = "a tree of " + std::to_string(w.visits) + " visits";
	else if (v.ours && whole && (w.visits != used || (!w.has_nested && leaves > w.leaf_visits)))
		v.wrong = "ours accepts it after " + std::to_string(used) + " and " +
			  std::to_string(leaves) + " visits, the walk made " +
			  std::to_string(w.visits) + " and " + std::to_string(w.leaf_visits);
	else if (v.ours && whole && ours.str() != other.str())
		v.wrong = "ours and C++ read:" + difference(ours.str(), other.str());
	else if (!v.ours && whole && w.fits(b.len))
		v.wrong = "ours refuses what fits, of " + std::to_string(w.visits) + " and " +
			  std::to_string(w.leaf_visits) + " visits";
	return v;
}

// json.h - what libflatbuffers reads from the JSON that tela_fb_print() makes of a message.
#pragma once

#include "verdict.h"

#include <flatbuffers/idl.h>
#include <flatbuffers/util.h>

// The message that the text is one of, as C++ dumps it. `wrong` says why there is none.
inline std::string read_json(unsigned schema, const std::string &json, std::string *wrong)
{
	static std::map<unsigned, std::unique_ptr<flatbuffers::Parser>> parsers;
	static const char *here[] = {".", nullptr};
	auto &parser = parsers[schema];
	text_buffer text;

	if (!parser) {
		const std::string file = std::string(oracle_ours[schema].name) + ".fbs";
		std::string fbs;

		flatbuffers::IDLOptions options;

		options.lang_to_generate = options.kCpp; // which has all of the language
		parser.reset(new flatbuffers::Parser(options));
		if (!flatbuffers::LoadFile(file.c_str(), false, &fbs) ||
			!parser->Parse(fbs.c_str(), here, file.c_str())) {
			*wrong = file + ": " + parser->error_;
			return "";
		}
	}
	if (!parser->ParseJson(json.c_str())) {
		*wrong = "libflatbuffers: " + parser->error_.substr(0, 500);
		return "";
	}
	const exact b(parser->builder_.GetBufferPointer(), parser->builder_.GetSize());
	if (!theirs[schema].verify(b.p, b.len, false)) {
		*wrong = "the C++ verifier refuses what libflatbuffers made of " +
			 json.substr(0, 500);
		return "";
	}
	walk w = {b.p, UINT64_MAX};
	theirs[schema].dump(b.p, false, &text, &w);
	return text.str();
}

// Brackets inside each other. libflatbuffers takes 64 levels, with one more where a union is chosen, and
// a message may have more.
enum { JSON_DEPTH_MAX = 60 };

inline int json_depth(const std::string &json)
{
	int depth = 0, most = 0;
	bool quoted = false;

	for (size_t i = 0; i < json.size(); i++) {
		if (json[i] == '"')
			quoted = !quoted;
		else if (quoted)
			i += json[i] == '\\';
		else if (json[i] == '{' || json[i] == '[')
			most = std::max(most, ++depth);
		else if (json[i] == '}' || json[i] == ']')
			depth--;
	}
	return most;
}

// Whether all strings of a dump are UTF-8: only those come back as they were.
inline bool is_utf8(const std::string &dump)
{
	for (size_t at = 0; (at = dump.find('"', at)) != std::string::npos;) {
		std::string s;
		for (at++; dump[at] != '\n'; at += 2)
			s += char(text_nibble(dump[at]) << 4 | text_nibble(dump[at + 1]));
		const char *p = s.data(), *end = p + s.size();
		while (p < end) {
			if (flatbuffers::FromUTF8(&p) < 0)
				return false;
		}
	}
	return true;
}

/* typed_parts.h - what the files behind typed.h share. C++ only. */
#pragma once

#include "typed.h"

#include <flatbuffers/idl.h>
#include <flatbuffers/reflection.h>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

struct typed_schema {
	std::vector<uint64_t> bytes;      /* as the node sent them, aligned */
	const reflection::Schema *theirs; /* in `bytes`; verified and checked */
	flatbuffers::Parser parser;       /* has read it as text */
	const reflection::Schema *ours;   /* as the parser wrote it anew */
	std::vector<uint8_t> ours_bytes;
};

namespace typed
{

enum {
	BFBS_MAX = 256 << 10,
	TABLES_MAX = 1 << 14, /* in a schema; what is done for each pair of them ends soon */
	TEXT_MAX = 4 << 20,
	BODY_MAX = 1 << 20,
	DEPTH_MAX = 60, /* libflatbuffers itself goes to 64 */
	IDENTIFIER_MAX = 255,
	STRUCT_MAX = 1 << 15, /* bytes; libflatbuffers counts to 64 Ki, padding included */
};

/* Ends what was asked, with a sentence for people. */
struct error : std::runtime_error {
	using std::runtime_error::runtime_error;
};

/* A text that is being written. Throws where it would become too long. */
struct text {
	std::string s;

	text &operator<<(const std::string &more)
	{
		if (s.size() + more.size() > TEXT_MAX)
			throw error("too large: more than 4 MiB as text");
		s += more;
		return *this;
	}
};

/* ---- typed_text.cc ---- */

/* Without control characters and what is not UTF-8, so that a terminal shows it as it is. */
std::string clean(const std::string &s);
/* The shortest text that reads back as the same value. */
std::string number(double v, bool single);
/* Every name is one and every index leads somewhere, else throws. */
void check(const reflection::Schema &s);
/* Of one that libflatbuffers wrote: structs hold what is read of them. */
void check_layout(const reflection::Schema &s);
struct types {
	std::set<const reflection::Enum *> enums;
	std::set<const reflection::Object *> objects;
};

/* Everything that a value of it may contain, itself included, into `all`. */
void reach(const reflection::Schema &s, const reflection::Object &from, types &all);
/* For people, with comments and services; or what JSON needs, for the parser. */
std::string schema_text(const reflection::Schema &s, bool for_people);
std::string method_text(const reflection::Schema &s, const reflection::Service &service,
	const reflection::RPCCall &method);

/* ---- typed_json.cc ---- */

struct node {
	enum { NOTHING, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT } kind;
	unsigned line, column;   /* from 1; columns are characters */
	std::string s;           /* of a number as it stands there; of a string, decoded */
	std::vector<node> items; /* of an array or object */
	std::vector<node> keys;  /* of an object: strings */
};

/* Strict JSON (RFC 8259) of bounded depth. */
node json_parse(const char *json, size_t len);
std::string json_quote(const std::string &s);

/* ---- typed_build.cc ---- */

/* Checks `n` as a table against the schema and writes JSON that libflatbuffers takes. */
std::string build_json(const reflection::Schema &s, const reflection::Object &table, const node &n);

/* ---- typed_print.cc ---- */

std::string print(const reflection::Schema &s, const reflection::Object &table,
	const uint8_t *bytes, unsigned flags);
std::string make_template(const reflection::Schema &s, const reflection::Object &table);

/* ---- of a schema that was checked ---- */

inline bool is_integer(reflection::BaseType t)
{
	return t >= reflection::UType && t <= reflection::ULong;
}

inline bool is_real(reflection::BaseType t)
{
	return t == reflection::Float || t == reflection::Double;
}

inline bool is_scalar(reflection::BaseType t)
{
	return is_integer(t) || is_real(t);
}

/* What a vector or an array is of, or the value itself. */
struct type {
	reflection::BaseType base;
	int index;

	const reflection::Object *object(const reflection::Schema &s) const
	{
		return base == reflection::Obj ? s.objects()->Get(unsigned(index)) : nullptr;
	}
	const reflection::Enum *enumeration(const reflection::Schema &s) const
	{
		return index >= 0 && (is_integer(base) || base == reflection::Union)
			       ? s.enums()->Get(unsigned(index))
			       : nullptr;
	}
};

inline bool is_repeated(const reflection::Type &t)
{
	return t.base_type() == reflection::Vector || t.base_type() == reflection::Array;
}

inline type type_of(const reflection::Type &t)
{
	return {is_repeated(t) ? t.element() : t.base_type(), t.index()};
}

const char *scalar_name(reflection::BaseType t);
const reflection::EnumVal *enum_value(const reflection::Enum &e, int64_t v);
const char *attribute(
	const flatbuffers::Vector<flatbuffers::Offset<reflection::KeyValue>> *a, const char *key);
/* In order of id. */
std::vector<const reflection::Field *> fields_of(const reflection::Object &o);
const reflection::Object *find_object(const reflection::Schema &s, const std::string &name);

} // namespace typed

/* typed_build.cc - JSON from a person, checked against the schema, as JSON for libflatbuffers.
 *
 * The parser of libflatbuffers would do alone, but its messages have no path, and its line and
 * column are those of the token after the one that is wrong. So all that can be wrong is looked at
 * here; what it still refuses, it refuses by name. */
#include "typed_parts.h"

#include <cerrno>
#include <cfloat>
#include <cmath>
#include <cstring>

namespace typed
{

using reflection::Enum;
using reflection::Field;
using reflection::Object;
using reflection::Schema;
using std::string;

struct builder {
	const Schema &s;
	text out;
	std::vector<string> path;

	[[noreturn]] void fail(const node &n, const string &what) const
	{
		string where = std::to_string(n.line) + ":" + std::to_string(n.column) + ": ";

		for (size_t i = 0; i < path.size(); i++)
			where += (i && path[i][0] != '[' ? "." : "") + path[i];
		throw error(where + (path.empty() ? "" : ": ") + what);
	}

	static string found(const node &n)
	{
		switch (n.kind) {
		case node::NOTHING:
			return "null";
		case node::STRING:
			return "\"" + clean(n.s.substr(0, 60)) + "\"";
		case node::ARRAY:
			return "an array";
		case node::OBJECT:
			return "an object";
		default:
			return n.s.substr(0, 60);
		}
	}

	[[noreturn]] void expected(const node &n, const string &what) const
	{
		fail(n, "expected " + what + ", found " + found(n));
	}

	/* "a, b, c", of many only the first. */
	template <class T, class F> static string list(const T &all, F name)
	{
		string out;
		unsigned n = 0;

		for (const auto *one : all) {
			if (n == 12)
				return out + ", ...";
			out += (n++ ? ", " : "") + name(one);
		}
		return out;
	}

	/* ---- scalars ---- */

	static void limits(reflection::BaseType base, int64_t *min, uint64_t *max)
	{
		unsigned bits = 8 * unsigned(flatbuffers::GetTypeSize(base));
		bool is_signed = base == reflection::Byte || base == reflection::Short ||
				 base == reflection::Int || base == reflection::Long;

		*max = UINT64_MAX >> (64 - bits + is_signed);
		*min = is_signed ? -int64_t(*max) - 1 : 0;
	}

	void integer(const node &n, reflection::BaseType base)
	{
		bool negative = n.s[0] == '-';
		uint64_t max, v;
		int64_t min;

		limits(base, &min, &max);
		errno = 0;
		v = strtoull(n.s.c_str() + negative, nullptr, 10);
		if (n.kind == node::NUMBER && n.s.find_first_of(".eE") == string::npos && !errno &&
			(negative ? v <= uint64_t(0) - uint64_t(min) : v <= max)) {
			out << n.s;
			return;
		}
		expected(n, string("an integer from ") + std::to_string(min) + " to " +
				    std::to_string(max) + " (" + scalar_name(base) + ")");
	}

	void real(const node &n, reflection::BaseType base)
	{
		double v = n.kind == node::NUMBER ? strtod(n.s.c_str(), nullptr) : 0;

		if (n.kind == node::STRING && (n.s == "nan" || n.s == "inf" || n.s == "-inf"))
			out << n.s;
		else if (n.kind == node::NUMBER && std::isfinite(v) &&
			 (base == reflection::Double || std::fabs(v) <= double(FLT_MAX)))
			out << n.s;
		else
			expected(n, string("a number (") + scalar_name(base) + ")");
	}

	static string names_of(const Enum &e)
	{
		return list(
			*e.values(), [](const reflection::EnumVal *v) { return v->name()->str(); });
	}

	/* Names, several of them where they are flags, or the number itself. */
	void enumerated(const node &n, const Enum &e, reflection::BaseType base)
	{
		bool flags = attribute(e.attributes(), "bit_flags");
		size_t at = 0, next;

		if (n.kind == node::NUMBER) {
			integer(n, base);
			return;
		}
		if (n.kind != node::STRING)
			expected(n, "a name or number of " + e.name()->str());
		do {
			next = flags ? n.s.find(' ', at) : string::npos;
			string word = n.s.substr(at, next == string::npos ? next : next - at);
			bool known = false;

			for (const auto *v : *e.values())
				known = known || v->name()->str() == word;
			if (!known)
				expected(n, "one of " + names_of(e) + " (" + e.name()->str() + ")");
			at = next + 1;
		} while (next != string::npos);
		out << json_quote(n.s);
	}

	/* ---- values ---- */

	/* As it stands there: for what libflatbuffers alone understands. */
	void verbatim(const node &n)
	{
		bool object = n.kind == node::OBJECT;

		if (n.kind == node::STRING) {
			out << json_quote(n.s);
			return;
		}
		if (!object && n.kind != node::ARRAY) {
			out << n.s << (n.kind == node::NOTHING ? "null" : "");
			return;
		}
		out << (object ? "{" : "[");
		for (size_t i = 0; i < n.items.size(); i++) {
			out << (i ? "," : "");
			if (object)
				out << json_quote(n.keys[i].s) << ":";
			verbatim(n.items[i]);
		}
		out << (object ? "}" : "]");
	}

	void one(const node &n, type of)
	{
		const Enum *e = of.enumeration(s);

		if (of.object(s))
			table(n, *of.object(s));
		else if (e && is_integer(of.base))
			enumerated(n, *e, of.base);
		else if (of.base == reflection::Bool && n.kind == node::BOOLEAN)
			out << n.s;
		else if (of.base == reflection::Bool)
			expected(n, "true or false");
		else if (is_integer(of.base))
			integer(n, of.base);
		else if (is_real(of.base))
			real(n, of.base);
		else if (n.kind == node::STRING)
			out << json_quote(n.s);
		else
			expected(n, "a string");
	}

	void vector(const node &n, const reflection::Type &t, const node *types)
	{
		type of = type_of(t);

		if (n.kind == node::STRING && of.base == reflection::UByte && of.index < 0 &&
			t.base_type() == reflection::Vector) {
			out << "[";
			for (size_t i = 0; i < n.s.size(); i++)
				out << (i ? "," : "") << std::to_string(uint8_t(n.s[i]));
			out << "]";
			return;
		}
		if (n.kind != node::ARRAY)
			expected(n, of.base == reflection::UByte ? "an array of numbers or a string"
								 : "an array");
		if (t.base_type() == reflection::Array && n.items.size() != t.fixed_length())
			expected(n, std::to_string(t.fixed_length()) + " elements");
		if (of.base == reflection::Union && !types)
			fail(n, "expected its types in \"" + path.back() + "_type\"");
		if (types && (types->kind != node::ARRAY || types->items.size() != n.items.size()))
			fail(n, "expected as many elements as its types have");
		out << "[";
		for (size_t i = 0; i < n.items.size(); i++) {
			out << (i ? "," : "");
			path.push_back("[" + std::to_string(i) + "]");
			if (of.base == reflection::Union)
				variant(n.items[i], *of.enumeration(s),
					types ? &types->items[i] : nullptr);
			else
				one(n.items[i], of);
			path.pop_back();
		}
		out << "]";
	}

	/* A union's value, by its type. */
	void variant(const node &n, const Enum &e, const node *chosen)
	{
		for (const auto *v : *e.values()) {
			bool named = chosen &&
				     (chosen->kind == node::STRING
						     ? chosen->s == v->name()->str()
						     : chosen->s == std::to_string(v->value()));

			if (!named)
				continue;
			if (!v->value() || !v->union_type())
				fail(n, "a value where its type says that there is none");
			one(n, type_of(*v->union_type()));
			return;
		}
		fail(chosen ? *chosen : n,
			"expected its type in \"" + path.back() + "_type\": one of " + names_of(e));
	}

	/* ---- tables and structs ---- */

	static const node *find(const node &n, const string &name)
	{
		for (size_t i = 0; i < n.keys.size(); i++)
			if (n.keys[i].s == name && n.items[i].kind != node::NOTHING)
				return &n.items[i];
		return nullptr;
	}

	static const Field *find_field(const Object &o, const string &name)
	{
		for (const auto *f : *o.fields())
			if (f->name()->str() == name)
				return f;
		return nullptr;
	}

	void field(const node &n, const node &whole, const Field &f)
	{
		const node *types = find(whole, f.name()->str() + "_type");
		type of = type_of(*f.type());

		if (f.deprecated())
			fail(n, "it is deprecated: nothing may be given for it");
		if ((n.kind == node::OBJECT && attribute(f.attributes(), "nested_flatbuffer")) ||
			(n.kind != node::ARRAY && attribute(f.attributes(), "flexbuffer")) ||
			(n.kind == node::STRING && attribute(f.attributes(), "hash")))
			verbatim(n);
		else if (is_repeated(*f.type()))
			vector(n, *f.type(), of.base == reflection::Union ? types : nullptr);
		else if (of.base == reflection::Union)
			variant(n, *of.enumeration(s), types);
		else
			one(n, of);
	}

	void complete(const node &n, const Object &o)
	{
		for (const auto *f : fields_of(o))
			if ((f->required() || o.is_struct()) && !find(n, f->name()->str()))
				fail(n, "field '" + f->name()->str() + "' is missing, which " +
						o.name()->str() + " requires");
	}

	void table(const node &n, const Object &o)
	{
		std::set<string> seen;
		bool first = true;

		if (n.kind != node::OBJECT)
			expected(n, "an object (" + o.name()->str() + ")");
		out << "{";
		for (size_t i = 0; i < n.keys.size(); i++) {
			const string &key = n.keys[i].s;
			const Field *f = find_field(o, key);

			if (!f)
				fail(n.keys[i], o.name()->str() + " has no field \"" +
							clean(key.substr(0, 60)) + "\"; it has " +
							list(fields_of(o), [](const Field *one) {
								return one->name()->str();
							}));
			if (!seen.insert(key).second)
				fail(n.keys[i], "\"" + key + "\" is given twice");
			if (n.items[i].kind == node::NOTHING)
				continue;
			out << (first ? "" : ",") << json_quote(key) << ":";
			first = false;
			path.push_back(key);
			field(n.items[i], n, *f);
			path.pop_back();
		}
		out << "}";
		complete(n, o);
	}
};

string build_json(const Schema &s, const Object &o, const node &n)
{
	builder b = {s, {}, {}};

	b.table(n, o);
	return b.out.s;
}

} // namespace typed

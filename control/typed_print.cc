/* typed_print.cc - a verified FlatBuffer as JSON, and an empty one to copy.
 *
 * Not by libflatbuffers' own writer: it gives a double 12 places behind the point, so 1e-13 would
 * be shown as 0, and writes nan, which is no JSON. */
#include "typed_parts.h"

#include <algorithm>

namespace typed
{

using flatbuffers::GetAnyFieldF;
using flatbuffers::GetAnyFieldI;
using flatbuffers::Table;
using reflection::Enum;
using reflection::Field;
using reflection::Object;
using reflection::Schema;
using std::string;

/* Brackets, commas and indentation. */
struct emitter {
	text out;
	bool one_line;
	unsigned depth;
	bool empty; /* nothing stands behind the last bracket yet */

	void begin(const char *bracket)
	{
		out << bracket;
		depth++;
		empty = true;
	}

	void end(const char *bracket)
	{
		depth--;
		if (!empty)
			line();
		out << bracket;
		empty = false;
	}

	void line()
	{
		if (!one_line)
			out << "\n" << string(2 * depth, ' ');
	}

	void item()
	{
		out << (empty ? "" : ",");
		line();
		empty = false;
	}

	void key(const string &name)
	{
		item();
		out << json_quote(name) << (one_line ? ":" : ": ");
	}
};

/* ---- values ---- */

struct value_printer {
	const Schema &s;
	emitter e;
	unsigned flags;

	static string integer(int64_t v, reflection::BaseType base)
	{
		if (base == reflection::Bool)
			return v ? "true" : "false";
		return base == reflection::ULong ? std::to_string(uint64_t(v)) : std::to_string(v);
	}

	static string real(double v, reflection::BaseType base)
	{
		string n = number(v, base == reflection::Float);

		return n.find_first_of("ni") == string::npos ? n : "\"" + n + "\"";
	}

	static string enumerated(const Enum &e, int64_t v, reflection::BaseType base)
	{
		const auto *named = enum_value(e, v);
		uint64_t left = uint64_t(v);
		string names;

		if (named || !attribute(e.attributes(), "bit_flags"))
			return named ? json_quote(named->name()->str()) : integer(v, base);
		for (const auto *flag : *e.values()) {
			if (!(left & uint64_t(flag->value())))
				continue;
			left &= ~uint64_t(flag->value());
			names += (names.empty() ? "" : " ") + flag->name()->str();
		}
		return left || names.empty() ? integer(v, base) : json_quote(names);
	}

	void scalar(type of, const uint8_t *at)
	{
		const Enum *names = of.enumeration(s);
		int64_t v;

		if (is_real(of.base)) {
			e.out << real(flatbuffers::GetAnyValueF(of.base, at), of.base);
			return;
		}
		v = flatbuffers::GetAnyValueI(of.base, at);
		e.out << (names ? enumerated(*names, v, of.base) : integer(v, of.base));
	}

	void structure(const Object &o, const uint8_t *at)
	{
		e.begin("{");
		for (const auto *f : fields_of(o)) {
			type of = type_of(*f->type());
			size_t n = f->type()->base_type() == reflection::Array
					   ? f->type()->fixed_length()
					   : 1,
			       size = of.object(s) ? size_t(of.object(s)->bytesize())
						   : flatbuffers::GetTypeSize(of.base);
			bool array = f->type()->base_type() == reflection::Array;

			e.key(f->name()->str());
			e.out << (array ? "[" : "");
			for (size_t i = 0; i < n; i++) {
				e.out << (i ? (e.one_line ? "," : ", ") : "");
				if (of.object(s))
					structure(*of.object(s), at + f->offset() + i * size);
				else
					scalar(of, at + f->offset() + i * size);
			}
			e.out << (array ? "]" : "");
		}
		e.end("}");
	}

	/* A table, struct or string that an offset at `at` leads to, or that stands there. */
	void pointed(type of, const uint8_t *at)
	{
		const uint8_t *there = at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at);

		if (of.base == reflection::String)
			e.out << json_quote(
				reinterpret_cast<const flatbuffers::String *>(there)->str());
		else
			table(*of.object(s), *reinterpret_cast<const Table *>(there));
	}

	static bool is_text(const string &bytes)
	{
		return clean(bytes).size() == bytes.size() &&
		       std::none_of(bytes.begin(), bytes.end(),
			       [](char c) { return static_cast<unsigned char>(c) < 0x20; }) &&
		       clean(bytes) == bytes;
	}

	void vector(type of, const flatbuffers::VectorOfAny &v)
	{
		const Object *o = of.object(s);
		bool inside = o && o->is_struct();
		size_t size = inside               ? size_t(o->bytesize())
			      : is_scalar(of.base) ? flatbuffers::GetTypeSize(of.base)
						   : sizeof(flatbuffers::uoffset_t);

		if (of.base == reflection::UByte && of.index < 0 && (flags & TYPED_TEXT)) {
			string bytes(reinterpret_cast<const char *>(v.Data()), v.size());

			if (is_text(bytes)) {
				e.out << json_quote(bytes);
				return;
			}
		}
		e.begin("[");
		for (unsigned i = 0; i < v.size(); i++) {
			if (is_scalar(of.base))
				e.out << (i ? (e.one_line ? "," : ", ") : "");
			else
				e.item();
			if (inside)
				structure(*o, v.Data() + i * size);
			else if (is_scalar(of.base))
				scalar(of, v.Data() + i * size);
			else
				pointed(of, v.Data() + i * size);
		}
		e.end("]");
	}

	void variant(const Field &f, const Table &t, const uint8_t *at)
	{
		const Enum &u = *type_of(*f.type()).enumeration(s);
		uint8_t chosen = t.GetField<uint8_t>(
			flatbuffers::voffset_t(f.offset() - sizeof(flatbuffers::voffset_t)), 0);
		type of = chosen ? type_of(*enum_value(u, chosen)->union_type())
				 : type{reflection::None, -1};

		if (!chosen) /* a value of no type was not verified either */
			return;
		e.key(f.name()->str());
		if (of.object(s) && of.object(s)->is_struct())
			structure(*of.object(s),
				at + flatbuffers::ReadScalar<flatbuffers::uoffset_t>(at));
		else
			pointed(of, at);
	}

	void field(const Field &f, const Table &t)
	{
		const uint8_t *at = t.GetAddressOf(f.offset());
		type of = type_of(*f.type());

		if (of.base == reflection::UType && !at)
			return; /* of a union that is not there */
		if (is_scalar(of.base) && !is_repeated(*f.type())) {
			const Enum *names = of.enumeration(s);

			if (f.optional() && !at)
				return;
			e.key(f.name()->str());
			if (is_real(of.base))
				e.out << real(GetAnyFieldF(t, f), of.base);
			else if (names)
				e.out << enumerated(*names, GetAnyFieldI(t, f), of.base);
			else
				e.out << integer(GetAnyFieldI(t, f), of.base);
			return;
		}
		if (!at)
			return;
		if (of.base == reflection::Union) {
			variant(f, t, at);
			return;
		}
		e.key(f.name()->str());
		if (f.type()->base_type() == reflection::Vector)
			vector(of, *t.GetPointer<const flatbuffers::VectorOfAny *>(f.offset()));
		else if (of.object(s) && of.object(s)->is_struct())
			structure(*of.object(s), at);
		else
			pointed(of, at);
	}

	void table(const Object &o, const Table &t)
	{
		e.begin("{");
		for (const auto *f : fields_of(o))
			if (!f->deprecated())
				field(*f, t);
		e.end("}");
	}
};

string print(const Schema &s, const Object &o, const uint8_t *bytes, unsigned flags)
{
	value_printer p = {s, {{}, (flags & TYPED_ONE_LINE) != 0, 0, true}, flags};

	p.table(o, *flatbuffers::GetAnyRoot(bytes));
	return p.e.out.s;
}

/* ---- templates ---- */

struct template_printer {
	const Schema &s;
	emitter e;
	std::vector<const Object *> inside;

	void one(type of, const Field &f)
	{
		const Enum *names = of.enumeration(s);

		if (of.object(s))
			object(*of.object(s));
		else if (of.base == reflection::String)
			e.out << "\"\"";
		else if (is_real(of.base))
			e.out << value_printer::real(f.default_real(), of.base);
		else if (names && !enum_value(*names, f.default_integer()))
			e.out << json_quote(names->values()->Get(0)->name()->str());
		else if (names)
			e.out << value_printer::enumerated(*names, f.default_integer(), of.base);
		else
			e.out << value_printer::integer(f.default_integer(), of.base);
	}

	/* Shown already further out, or too far in. */
	bool again(const Object *o)
	{
		return o && (std::find(inside.begin(), inside.end(), o) != inside.end() ||
				    inside.size() == 4);
	}

	/* The first type that ends somewhere, and a value of it. */
	void variant(const Field &f)
	{
		const Enum &u = *type_of(*f.type()).enumeration(s);
		unsigned i = 1;

		while (i < u.values()->size() &&
			again(type_of(*u.values()->Get(i)->union_type()).object(s)))
			i++;
		if (i == u.values()->size() && !f.required())
			return;
		i = i < u.values()->size() ? i : 1;
		if (i == u.values()->size())
			return;
		e.key(f.name()->str() + "_type");
		e.out << json_quote(u.values()->Get(i)->name()->str());
		e.key(f.name()->str());
		one(type_of(*u.values()->Get(i)->union_type()), f);
	}

	/* A struct has all of its fields, and an end. */
	void field(const Field &f, bool in_struct)
	{
		type of = type_of(*f.type());
		bool left_out =
			!in_struct &&
			(again(of.object(s)) || attribute(f.attributes(), "nested_flatbuffer") ||
				attribute(f.attributes(), "flexbuffer"));
		size_t n =
			f.type()->base_type() == reflection::Array ? f.type()->fixed_length() : 1;

		if (f.deprecated() || of.base == reflection::UType)
			return;
		if (of.base == reflection::Union && !is_repeated(*f.type())) {
			variant(f);
			return;
		}
		if (of.base == reflection::Union) {
			e.key(f.name()->str() + "_type");
			e.out << "[]";
		}
		e.key(f.name()->str());
		if (left_out && !f.required()) {
			e.out << "null";
			return;
		}
		if (!is_repeated(*f.type())) {
			one(of, f);
			return;
		}
		if (of.base == reflection::UByte && of.index < 0 &&
			f.type()->base_type() == reflection::Vector) {
			e.out << "\"\"";
			return;
		}
		e.out << "[";
		for (size_t i = 0; i < n && !left_out && of.base != reflection::Union; i++) {
			e.out << (i ? ", " : "");
			one(of, f);
		}
		e.out << "]";
	}

	void object(const Object &o)
	{
		if (inside.size() > DEPTH_MAX)
			throw error("tables that require each other without end");
		inside.push_back(&o);
		e.begin("{");
		for (const auto *f : fields_of(o))
			field(*f, o.is_struct());
		e.end("}");
		inside.pop_back();
	}
};

string make_template(const Schema &s, const Object &o)
{
	template_printer p = {s, {{}, false, 0, true}, {}};

	p.object(o);
	return p.e.out.s;
}

} // namespace typed

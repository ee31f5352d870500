/* typed_text.cc - a binary schema, checked and written as text. */
#include "typed_parts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

namespace typed
{

using reflection::Enum;
using reflection::Field;
using reflection::Object;
using reflection::Schema;
using std::string;
using attributes = flatbuffers::Vector<flatbuffers::Offset<reflection::KeyValue>>;
using docs = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;

/* ---- small things ---- */

static const char *const scalar_names[] = {"none", "ubyte", "bool", "byte", "ubyte", "short",
	"ushort", "int", "uint", "long", "ulong", "float", "double", "string"};

const char *scalar_name(reflection::BaseType t)
{
	return scalar_names[t];
}

string clean(const string &s)
{
	string out;

	for (const char *p = s.c_str(), *end = p + s.size(); p < end;) {
		const char *from = p;
		int code = flatbuffers::FromUTF8(&p);

		if (code < 0 || p > end) {
			out += '?';
			p = from + 1;
		} else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
			out += '?';
		} else {
			out.append(from, p);
		}
	}
	return out;
}

string number(double v, bool single)
{
	char text[40];

	if (std::isnan(v))
		return "nan";
	if (std::isinf(v))
		return v > 0 ? "inf" : "-inf";
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (single ? strtof(text, nullptr) == float(v) : strtod(text, nullptr) == v)
			break;
	}
	return strpbrk(text, ".e") ? text : string(text) + ".0";
}

const reflection::EnumVal *enum_value(const Enum &e, int64_t v)
{
	for (const auto *value : *e.values())
		if (value->value() == v)
			return value;
	return nullptr;
}

const char *attribute(const attributes *a, const char *key)
{
	if (a)
		for (const auto *pair : *a)
			if (pair->key()->str() == key)
				return pair->value() ? pair->value()->c_str() : "";
	return nullptr;
}

std::vector<const Field *> fields_of(const Object &o)
{
	std::vector<const Field *> all(o.fields()->begin(), o.fields()->end());

	std::sort(all.begin(), all.end(),
		[](const Field *a, const Field *b) { return a->id() < b->id(); });
	return all;
}

const Object *find_object(const Schema &s, const string &name)
{
	for (const auto *o : *s.objects())
		if (o->name()->str() == name)
			return o;
	return nullptr;
}

static string namespace_of(const string &full)
{
	size_t dot = full.rfind('.');

	return dot == string::npos ? "" : full.substr(0, dot);
}

static string last_of(const string &full)
{
	return full.substr(full.rfind('.') + 1);
}

/* Last names that declarations of several namespaces have. */
static std::set<string> repeated_names(const Schema &s)
{
	std::set<string> once, twice;
	auto take = [&](const string &full) {
		if (!once.insert(last_of(full)).second)
			twice.insert(last_of(full));
	};

	for (const auto *e : *s.enums())
		take(e->name()->str());
	for (const auto *o : *s.objects())
		take(o->name()->str());
	return twice;
}

/* ---- check ---- */

static void check_name(const string &s, bool dotted)
{
	bool begins = true;

	if (s.empty() || s.size() > IDENTIFIER_MAX)
		throw error("a name in it is empty or longer than 255 characters");
	for (char c : s) {
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (begins || !(c >= '0' && c <= '9')) &&
			(begins || !dotted || c != '.'))
			throw error("'" + clean(s) + "' in it is no name");
		begins = c == '.';
	}
	if (begins)
		throw error("'" + clean(s) + "' in it is no name");
}

/* Before anything reads them: the two of a type that are enums in C++ must be among their values.
 */
static void check_base(const reflection::Type &t, const string &where)
{
	const auto &raw = reinterpret_cast<const flatbuffers::Table &>(t);

	for (auto at : {reflection::Type::VT_BASE_TYPE, reflection::Type::VT_ELEMENT}) {
		int v = raw.GetField<int8_t>(flatbuffers::voffset_t(at), 0);

		if (v < 0 || v >= reflection::MaxBaseType)
			throw error(where + " is of no type that there is");
	}
}

static void check_type(
	const Schema &s, const reflection::Type &t, bool in_struct, const string &where)
{
	type of = type_of(t);
	bool repeated = is_repeated(t), ok = false;

	if (is_scalar(of.base))
		ok = of.index < int(s.enums()->size());
	else if (of.base == reflection::String)
		ok = !in_struct;
	else if (of.base == reflection::Union)
		ok = !in_struct && of.index >= 0 && of.index < int(s.enums()->size()) &&
		     s.enums()->Get(unsigned(of.index))->is_union();
	else if (of.base == reflection::Obj)
		ok = of.index >= 0 && of.index < int(s.objects()->size()) &&
		     (!in_struct || s.objects()->Get(unsigned(of.index))->is_struct());
	if (repeated)
		ok = ok && (t.base_type() == reflection::Array) == in_struct &&
		     (!in_struct || t.fixed_length() > 0);
	if (!ok)
		throw error(where + " is of no type that there is");
}

static void check_attributes(const attributes *a)
{
	for (unsigned i = 0; a && i < a->size(); i++)
		check_name(a->Get(i)->key()->str(), false);
}

static void check_object(const Schema &s, const Object &o)
{
	const Field *before = nullptr;
	unsigned id = 0;

	check_name(o.name()->str(), true);
	check_attributes(o.attributes());
	for (const auto *f : *o.fields()) {
		check_name(f->name()->str(), false);
		check_base(*f->type(), o.name()->str() + "." + f->name()->str());
	}
	for (const auto *f : fields_of(o)) {
		string where = o.name()->str() + "." + f->name()->str();
		bool is_union = type_of(*f->type()).base == reflection::Union,
		     after_type = before && type_of(*before->type()).base == reflection::UType;

		check_attributes(f->attributes());
		check_type(s, *f->type(), o.is_struct(), where);
		if (f->id() != id++)
			throw error("the ids of " + o.name()->str() + " have gaps");
		if (is_union != after_type ||
			(is_union && before->name()->str() != f->name()->str() + "_type"))
			throw error(where +
				    " is a union without its type, or a type without its union");
		before = f;
	}
	if (before && type_of(*before->type()).base == reflection::UType)
		throw error(o.name()->str() + " ends with the type of no union");
}

static void check_enum(const Schema &s, const Enum &e)
{
	check_name(e.name()->str(), true);
	check_attributes(e.attributes());
	check_base(*e.underlying_type(), e.name()->str());
	for (const auto *v : *e.values()) {
		check_name(v->name()->str(), false);
		if (v->union_type())
			check_base(*v->union_type(), e.name()->str() + "." + v->name()->str());
	}
	if (!e.values()->size() ||
		(!e.is_union() && (!is_integer(e.underlying_type()->base_type()) ||
					  e.underlying_type()->base_type() == reflection::UType)))
		throw error(e.name()->str() + " has no values or no type");
	for (unsigned i = 0; i < e.values()->size(); i++) {
		const auto *v = e.values()->Get(i);

		/* libflatbuffers verifies a union's value by the place of its type in this list. */
		if (e.is_union() && v->value() != int64_t(i))
			throw error("the types of union " + e.name()->str() +
				    " are not numbered from 0");
		if (e.is_union() && v->value() && !v->union_type())
			throw error(e.name()->str() + "." + v->name()->str() + " has no type");
		if (e.is_union() && v->value() && v->union_type()->base_type() != reflection::Obj &&
			v->union_type()->base_type() != reflection::String)
			throw error(e.name()->str() + "." + v->name()->str() +
				    " is neither a table nor a string");
		if (e.is_union() && v->value())
			check_type(s, *v->union_type(), false, e.name()->str());
	}
}

void check_layout(const Schema &s)
{
	for (const auto *o : *s.objects()) {
		for (unsigned i = 0; o->is_struct() && i < o->fields()->size(); i++) {
			const Field &f = *o->fields()->Get(i);
			type of = type_of(*f.type());
			int64_t size = of.object(s) ? of.object(s)->bytesize()
						    : int64_t(flatbuffers::GetTypeSize(of.base)),
				n = is_repeated(*f.type()) ? f.type()->fixed_length() : 1;

			if (size <= 0 || f.offset() + n * size > o->bytesize())
				throw error("struct " + o->name()->str() + " is too large");
		}
	}
}

void check(const Schema &s)
{
	std::set<string> names;

	for (const auto *e : *s.enums())
		check_enum(s, *e);
	for (const auto *o : *s.objects()) {
		check_object(s, *o);
		names.insert(o->name()->str());
	}
	for (unsigned i = 0; s.services() && i < s.services()->size(); i++) {
		const auto &v = *s.services()->Get(i);

		check_name(v.name()->str(), true);
		if (!v.calls())
			throw error("service " + v.name()->str() + " has no methods");
		for (const auto *m : *v.calls()) {
			check_name(m->name()->str(), false);
			check_attributes(m->attributes());
			if (!names.count(m->request()->name()->str()) ||
				!names.count(m->response()->name()->str()))
				throw error("method " + m->name()->str() +
					    " takes or answers what is not there");
		}
	}
}

/* ---- text ---- */

/* An attribute that the parser knows, and what it makes of a value depends on. */
static bool is_builtin(const string &key)
{
	static const char *const known[] = {"key", "shared", "hash", "force_align", "bit_flags",
		"nested_flatbuffer", "flexbuffer", "deprecated", "required"};

	return std::find(std::begin(known), std::end(known), key) != std::end(known);
}

struct printer {
	const Schema &s;
	bool for_people;
	text out = {};
	string in = ""; /* namespace */
	std::set<string> repeated = repeated_names(s);

	/* As it is written here. The parser takes a short name that it does not know yet for the
	 * next declaration of that name, in whichever namespace that stands. */
	string name(const string &full)
	{
		return namespace_of(full) == in && !repeated.count(last_of(full)) ? last_of(full)
										  : full;
	}

	void enter(const string &full)
	{
		string to = namespace_of(full);

		if (to != in)
			out << "namespace " << to << ";\n\n";
		in = to;
	}

	void print_docs(const docs *d, const string &indent)
	{
		if (d && for_people)
			for (const auto *line : *d)
				out << indent << "///" << clean(line->str()) << "\n";
	}

	/* Those that the parser must know; people see all of them. */
	void print_attributes(const attributes *a, std::vector<string> all, bool of_field = false)
	{
		for (unsigned i = 0; a && i < a->size(); i++) {
			string k = a->Get(i)->key()->str(), v;

			if (k == "id" || (!is_builtin(k) && !for_people) ||
				std::find(all.begin(), all.end(), k) != all.end())
				continue;
			if (a->Get(i)->value())
				v = clean(a->Get(i)->value()->str());
			/* A vector's may exceed what the library takes; no value depends on it. */
			if (of_field && !for_people && k == "force_align" &&
				strtoul(v.c_str(), nullptr, 10) > FLATBUFFERS_MAX_ALIGNMENT)
				v = std::to_string(FLATBUFFERS_MAX_ALIGNMENT);
			for (size_t at = 0; (at = v.find_first_of("\"\\", at)) != string::npos;
				at += 2)
				v.insert(at, 1, '\\');
			all.push_back(v.empty() || v == "0" || k == "deprecated" || k == "required"
					      ? k
					      : k + ": \"" + v + "\"");
		}
		for (size_t i = 0; i < all.size(); i++)
			out << (i ? ", " : " (") << all[i] << (i + 1 == all.size() ? ")" : "");
	}

	string type_text(const reflection::Type &t)
	{
		type of = type_of(t);
		string one = of.object(s)        ? name(of.object(s)->name()->str())
			     : of.enumeration(s) ? name(of.enumeration(s)->name()->str())
						 : scalar_name(of.base);

		if (t.base_type() == reflection::Array)
			return "[" + one + ":" + std::to_string(t.fixed_length()) + "]";
		return t.base_type() == reflection::Vector ? "[" + one + "]" : one;
	}

	string default_text(const Field &f)
	{
		const Enum *e = type_of(*f.type()).enumeration(s);
		reflection::BaseType base = f.type()->base_type();
		int64_t v = f.default_integer();

		if (f.optional() && is_scalar(base))
			return " = null";
		if (is_real(base))
			return f.default_real() == 0 ? ""
						     : " = " + number(f.default_real(),
								       base == reflection::Float);
		if (!is_integer(base) || (!v && !(for_people && e && enum_value(*e, 0))))
			return "";
		if (e && enum_value(*e, v))
			return " = " + enum_value(*e, v)->name()->str();
		if (base == reflection::Bool)
			return v ? " = true" : "";
		return " = " + (base == reflection::ULong ? std::to_string(uint64_t(v))
							  : std::to_string(v));
	}

	/* A union's type field is written by the union itself. */
	static bool is_implied(const Field &f)
	{
		type of = type_of(*f.type());

		return of.base == reflection::UType;
	}

	void print_field(const Field &f, bool in_struct)
	{
		std::vector<string> flags;

		if (is_implied(f))
			return;
		if (f.required())
			flags.push_back("required");
		if (f.deprecated())
			flags.push_back("deprecated");
		if (f.key())
			flags.push_back("key");
		print_docs(f.documentation(), "  ");
		out << "  " << f.name()->str() << " : " << type_text(*f.type())
		    << (in_struct ? "" : default_text(f));
		print_attributes(f.attributes(), flags, true);
		out << ";\n";
	}

	void print_object(const Object &o)
	{
		enter(o.name()->str());
		print_docs(o.documentation(), "");
		out << (o.is_struct() ? "struct " : "table ") << last_of(o.name()->str());
		print_attributes(o.attributes(), {});
		out << " {\n";
		for (const auto *f : fields_of(o))
			print_field(*f, o.is_struct());
		out << "}\n\n";
	}

	void print_enum(const Enum &e)
	{
		bool flags = !e.is_union() && attribute(e.attributes(), "bit_flags");

		enter(e.name()->str());
		print_docs(e.documentation(), "");
		out << (e.is_union() ? "union " : "enum ") << last_of(e.name()->str());
		if (!e.is_union())
			out << string(" : ") << scalar_name(e.underlying_type()->base_type());
		print_attributes(e.attributes(), {});
		out << " {\n";
		for (const auto *v : *e.values()) {
			uint64_t n = uint64_t(v->value());

			if (e.is_union() && !n)
				continue;
			if (flags && (!n || (n & (n - 1))))
				throw error(e.name()->str() + "." + v->name()->str() +
					    " is not one bit");
			print_docs(v->documentation(), "  ");
			out << "  " << v->name()->str()
			    << (e.is_union() ? " : " + type_text(*v->union_type()) : "") << " = "
			    << (flags ? std::to_string(__builtin_ctzll(n))
				       : e.underlying_type()->base_type() == reflection::ULong
					       ? std::to_string(n)
					       : std::to_string(v->value()))
			    << ",\n";
		}
		out << "}\n\n";
	}

	/* Prints it behind those that it contains; its size at least, less padding. */
	size_t print_struct(const Object &o, std::map<const Object *, size_t> &done, int depth)
	{
		size_t size = 0;

		if (done.count(&o))
			return done[&o];
		if (depth > DEPTH_MAX)
			throw error("structs inside each other without end");
		for (const auto *f : *o.fields()) {
			type of = type_of(*f->type());
			size_t one = of.object(s) ? print_struct(*of.object(s), done, depth + 1)
						  : flatbuffers::GetTypeSize(of.base);

			size += one * (is_repeated(*f->type()) ? f->type()->fixed_length() : 1);
			if (size > STRUCT_MAX)
				throw error("struct " + o.name()->str() + " is too large");
		}
		done[&o] = size;
		print_object(o);
		return size;
	}

	void print_structs(const std::set<const Object *> &wanted)
	{
		std::map<const Object *, size_t> done;

		for (const auto *o : *s.objects())
			if (o->is_struct() && wanted.count(o))
				print_struct(*o, done, 0);
	}

	void print_types(const types &wanted)
	{
		for (const auto *e : *s.enums())
			if (!e->is_union() && wanted.enums.count(e))
				print_enum(*e);
		print_structs(wanted.objects);
		for (const auto *e : *s.enums())
			if (e->is_union() && wanted.enums.count(e))
				print_enum(*e);
		for (const auto *o : *s.objects())
			if (!o->is_struct() && wanted.objects.count(o))
				print_object(*o);
	}

	void print_method(const reflection::RPCCall &m)
	{
		print_docs(m.documentation(), "  ");
		out << "  " << m.name()->str() << "(" << name(m.request()->name()->str())
		    << ") : " << name(m.response()->name()->str());
		print_attributes(m.attributes(), {});
		out << ";\n";
	}

	void begin_service(const reflection::Service &v)
	{
		enter(v.name()->str());
		print_docs(v.documentation(), "");
		out << "rpc_service " << last_of(v.name()->str()) << " {\n";
	}
};

/* Attributes of the schema's own, which must be declared. */
static void declare_attributes(printer &p)
{
	std::set<string> all;
	auto take = [&](const attributes *a) {
		for (unsigned i = 0; a && i < a->size(); i++)
			all.insert(a->Get(i)->key()->str());
	};

	for (const auto *e : *p.s.enums())
		take(e->attributes());
	for (const auto *o : *p.s.objects()) {
		take(o->attributes());
		for (const auto *f : *o->fields())
			take(f->attributes());
	}
	for (unsigned i = 0; p.s.services() && i < p.s.services()->size(); i++)
		for (const auto *m : *p.s.services()->Get(i)->calls())
			take(m->attributes());
	for (const auto &k : all)
		if (!is_builtin(k) && k != "id")
			p.out << "attribute \"" << k << "\";\n";
	p.out << (all.empty() ? "" : "\n");
}

static bool is_identifier(const string &s)
{
	return s.size() == flatbuffers::kFileIdentifierLength && clean(s) == s &&
	       s.find_first_of("\"\\") == string::npos;
}

string schema_text(const Schema &s, bool for_people)
{
	printer p = {s, for_people};
	types all = {
		{s.enums()->begin(), s.enums()->end()}, {s.objects()->begin(), s.objects()->end()}};

	if (for_people)
		declare_attributes(p);
	p.print_types(all);
	for (unsigned i = 0; for_people && s.services() && i < s.services()->size(); i++) {
		p.begin_service(*s.services()->Get(i));
		for (const auto *m : *s.services()->Get(i)->calls())
			p.print_method(*m);
		p.out << "}\n\n";
	}
	if (for_people && s.root_table() && find_object(s, s.root_table()->name()->str())) {
		p.enter(s.root_table()->name()->str());
		p.out << "root_type " << last_of(s.root_table()->name()->str()) << ";\n";
		if (s.file_ident() && is_identifier(s.file_ident()->str()))
			p.out << "file_identifier \"" << s.file_ident()->str() << "\";\n";
	}
	return p.out.s;
}

void reach(const Schema &s, const Object &from, types &all)
{
	std::vector<const Object *> waiting = {&from};
	auto take = [&](type of) {
		if (of.object(s))
			waiting.push_back(of.object(s));
		if (!of.enumeration(s) || !all.enums.insert(of.enumeration(s)).second)
			return;
		for (const auto *v : *of.enumeration(s)->values())
			if (of.enumeration(s)->is_union() && v->union_type() &&
				type_of(*v->union_type()).object(s))
				waiting.push_back(type_of(*v->union_type()).object(s));
	};

	while (!waiting.empty()) {
		const Object *o = waiting.back();

		waiting.pop_back();
		if (!all.objects.insert(o).second)
			continue;
		for (const auto *f : *o->fields())
			take(type_of(*f->type()));
	}
}

string method_text(
	const Schema &s, const reflection::Service &service, const reflection::RPCCall &method)
{
	printer p = {s, true};
	types all;

	p.begin_service(service);
	p.print_method(method);
	p.out << "}\n\n";
	reach(s, *find_object(s, method.request()->name()->str()), all);
	reach(s, *find_object(s, method.response()->name()->str()), all);
	p.print_types(all);
	while (p.out.s.size() > 1 && p.out.s[p.out.s.size() - 2] == '\n')
		p.out.s.pop_back();
	return p.out.s;
}

} // namespace typed

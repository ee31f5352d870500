// test_typed.cc - JSON by schema (control/typed.h): every table of the schemas given there and
// back, what is said of wrong JSON, and schemas, replies and JSON damaged at random.
//
// usage: test_typed TURNS FILE.bfbs ...    TURNS of damage for each file; TELA_SEED: the first seed

#include "../../control/typed.h"

#include <flatbuffers/idl.h>
#include <flatbuffers/reflection.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace
{

using std::string;
using bytes = std::vector<uint8_t>;

unsigned long seed;
string about; // what is being tested, for messages

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			std::fprintf(stderr, "%s:%d: %s (seed %lu: %s)\n", __FILE__, __LINE__,     \
				#cond, seed, about.c_str());                                       \
			std::exit(1);                                                              \
		}                                                                                  \
	} while (0)

char err[1024];

// A text of typed.h as a string; "!" and the error if there is none.
string take(char *text)
{
	string s = text ? text : string("!") + err;

	std::free(text);
	return s;
}

struct open_schema {
	typed_schema *s;

	explicit open_schema(const bytes &bfbs)
	    : s(typed_open(bfbs.data(), bfbs.size(), err, sizeof(err)))
	{
	}
	~open_schema()
	{
		typed_close(s);
	}
	open_schema(const open_schema &) = delete;

	string build(const string &table, const string &json, bytes *ret) const
	{
		size_t len = 0;
		uint8_t *b = typed_build(
			s, table.c_str(), json.data(), json.size(), &len, err, sizeof(err));

		if (!b)
			return err;
		ret->assign(b, b + len);
		std::free(b);
		return "";
	}

	string print(const string &table, const bytes &b, unsigned flags = TYPED_ONE_LINE) const
	{
		return take(
			typed_print(s, table.c_str(), b.data(), b.size(), flags, err, sizeof(err)));
	}

	// There and back: what is printed of what was built, or the error.
	string echo(const string &table, const string &json, unsigned flags = TYPED_ONE_LINE) const
	{
		bytes b;
		string failed = build(table, json, &b);

		return failed.empty() ? print(table, b, flags) : "!" + failed;
	}
};

bytes read_file(const char *path)
{
	std::ifstream f(path, std::ios::binary);

	CHECK(f.good());
	return bytes(std::istreambuf_iterator<char>(f), {});
}

// Names of the tables and services of a schema that is right.
struct names {
	std::vector<string> tables, services, methods;

	explicit names(const bytes &bfbs)
	{
		const auto *s = reflection::GetSchema(bfbs.data());

		for (const auto *o : *s->objects())
			if (!o->is_struct())
				tables.push_back(o->name()->str());
		for (unsigned i = 0; s->services() && i < s->services()->size(); i++) {
			services.push_back(s->services()->Get(i)->name()->str());
			methods.push_back(s->services()->Get(i)->calls()->Get(0)->name()->str());
		}
	}
};

// ---- what is right ----

void check_same(const reflection::Type &a, const reflection::Type &b)
{
	CHECK(a.base_type() == b.base_type() && a.element() == b.element());
	CHECK(a.index() == b.index() && a.fixed_length() == b.fixed_length());
}

void check_same(const reflection::Field &a, const reflection::Field &b)
{
	CHECK(a.name()->str() == b.name()->str() && a.id() == b.id() && a.offset() == b.offset());
	CHECK(a.default_integer() == b.default_integer());
	CHECK(std::to_string(a.default_real()) == std::to_string(b.default_real()));
	CHECK(a.deprecated() == b.deprecated() && a.required() == b.required());
	CHECK(a.key() == b.key() && a.optional() == b.optional());
	check_same(*a.type(), *b.type());
}

// Types are in the order of their names, so indices are the same too.
void check_same(const reflection::Schema &a, const reflection::Schema &b)
{
	CHECK(a.objects()->size() == b.objects()->size() && a.enums()->size() == b.enums()->size());
	for (unsigned i = 0; i < a.objects()->size(); i++) {
		const auto &x = *a.objects()->Get(i), &y = *b.objects()->Get(i);

		CHECK(x.name()->str() == y.name()->str() && x.is_struct() == y.is_struct());
		CHECK(x.bytesize() == y.bytesize() && x.minalign() == y.minalign());
		CHECK(x.fields()->size() == y.fields()->size());
		for (unsigned f = 0; f < x.fields()->size(); f++)
			check_same(*x.fields()->Get(f), *y.fields()->Get(f));
	}
	for (unsigned i = 0; i < a.enums()->size(); i++) {
		const auto &x = *a.enums()->Get(i), &y = *b.enums()->Get(i);

		CHECK(x.name()->str() == y.name()->str() && x.is_union() == y.is_union());
		CHECK(x.values()->size() == y.values()->size());
		check_same(*x.underlying_type(), *y.underlying_type());
		for (unsigned v = 0; v < x.values()->size(); v++) {
			const auto &n = *x.values()->Get(v), &m = *y.values()->Get(v);

			CHECK(n.name()->str() == m.name()->str() && n.value() == m.value());
			if (n.union_type())
				check_same(*n.union_type(), *m.union_type());
		}
	}
}

// The text is the same schema for libflatbuffers.
void check_text(const open_schema &s, const names &n, const bytes &bfbs)
{
	flatbuffers::Parser again;
	string text;

	if (n.services.empty())
		return;
	text = take(typed_text(s.s, n.services[0].c_str(), nullptr, err, sizeof(err)));
	about = text;
	again.opts.lang_to_generate = flatbuffers::IDLOptions::kCpp;
	CHECK(again.Parse(text.c_str()));
	again.Serialize();
	check_same(*reflection::GetSchema(again.builder_.GetBufferPointer()),
		*reflection::GetSchema(bfbs.data()));
}

void check_tables(const open_schema &s, const names &n)
{
	for (const auto &table : n.tables) {
		string empty = take(typed_template(s.s, table.c_str(), err, sizeof(err))), once;

		about = table + ": " + empty;
		once = s.echo(table, empty);
		about += once;
		if (once.find("vectors of unions cannot be shown") != string::npos)
			continue;
		CHECK(table != "test.every.All");
		if (table == "test.every.One") {
			CHECK(s.echo(table, once).find("hashed") != string::npos);
			continue;
		}
		about = table + ": " + empty + " -> " + once;
		CHECK(once[0] == '{');
		CHECK(s.echo(table, once) == once);
		CHECK(s.echo(table, s.echo(table, once, TYPED_TEXT)) == once);
	}
}

struct pair {
	const char *table, *json, *expected;
};

const pair wide_pairs[] = {
	{"test.wide.Leaf", R"({"class": "a\u00e9\ud83d\ude00\n\"\\\u0001\u007f"})",
		R"({"class":"aé😀\n\"\\\u0001\u007f","n":-1})"},
	{"test.wide.Leaf", R"({"class": "", "n": null})", R"({"class":"","n":-1})"},
	{"test.wide.Leaf", R"({"n": 1})",
		"!1:1: field 'class' is missing, which test.wide.Leaf requires"},
	{"test.wide.Leaf", "{\"class\":\n  7}", "!2:3: class: expected a string, found 7"},
	{"test.wide.Wide", R"({"i8": 128})",
		"!1:8: i8: expected an integer from -128 to 127 (byte), found 128"},
	{"test.wide.Wide", R"({"u8": -1})",
		"!1:8: u8: expected an integer from 0 to 255 (ubyte), found -1"},
	{"test.wide.Wide", R"({"u64": 18446744073709551616})",
		"!1:9: u64: expected an integer from 0 to 18446744073709551615 (ulong), found "
		"18446744073709551616"},
	{"test.wide.Wide", R"({"i32": 1.0})",
		"!1:9: i32: expected an integer from -2147483648 to 2147483647 (int), found 1.0"},
	{"test.wide.Wide", R"({"b": 1})", "!1:7: b: expected true or false, found 1"},
	{"test.wide.Wide", R"({"gone": "x"})",
		"!1:10: gone: it is deprecated: nothing may be given for it"},
	{"test.wide.Wide", R"({"small": "huge"})",
		"!1:11: small: expected one of low, zero, high (test.wide.Small), found \"huge\""},
	{"test.wide.Wide", R"({"inner": {"a": 1, "c": 3}})",
		"!1:11: inner: field 'b' is missing, which test.wide.Inner requires"},
	{"test.wide.Wide", R"({"leaves": [{"class": "x"}, {"class": []}]})",
		"!1:39: leaves[1].class: expected a string, found an array"},
	{"test.wide.Wide", R"({"texts": {}})", "!1:11: texts: expected an array, found an object"},
	{"test.wide.Wide", R"({"i8": 1, "i8": 2})", "!1:11: \"i8\" is given twice"},
	{"test.wide.Wide", R"({"f32": 1e39})", "!1:9: f32: expected a number (float), found 1e39"},
	{"test.wide.Leaf", R"({"clasp": 1})",
		"!1:2: test.wide.Leaf has no field \"clasp\"; it has class, n"},
	{"test.wide.Leaf", "", "!1:1: expected a value, found the end"},
	{"test.wide.Leaf", "[]", "!1:1: expected an object (test.wide.Leaf), found an array"},
	{"test.wide.Leaf", "{\"n\": 01}", "!1:7: a number that begins with 0"},
	{"test.wide.Leaf", "{\"n\": 1,}", "!1:9: expected the name of a field in '\"', found '}'"},
	{"test.wide.Leaf", "{\"n\": 1} x", "!1:10: expected nothing more, found 'x'"},
	{"test.wide.Leaf", "{\"n\" 1}", "!1:6: expected ':', found '1'"},
	{"test.wide.Leaf", "{\"é\": \n\t nul}", "!2:3: expected a value, found 'n'"},
	{"test.wide.Leaf", "{\"class\": \"\xff\"}", "!1:12: a string that is not UTF-8"},
	{"test.wide.Leaf", "{\"class\": \"a\nb\"}",
		"!1:13: a control character in a string: write it as an escape"},
	{"test.wide.Leaf", R"({"class": "\ud800x"})",
		"!1:18: expected the second half of a surrogate pair"},
	{"test.wide.Leaf", "{\"class\": \"", "!1:12: a string without its closing '\"'"},
	{"test.wide.Leaf", "{\"class\": \x1b",
		"!1:11: expected a value, found a control character"},
};

// Of these only the fields named are compared.
const pair wide_parts[] = {
	{"test.wide.Wide", R"({"u64": 18446744073709551615, "i64": -9223372036854775808})",
		R"("i64":-9223372036854775808,"u64":18446744073709551615)"},
	{"test.wide.Wide", R"({"f32": 0.1, "f64": 1e-13})", R"("f32":0.1,"f64":1e-13)"},
	{"test.wide.Wide", R"({"f32": 16777217, "f64": 0.30000000000000004})",
		R"("f32":16777216.0,"f64":0.30000000000000004)"},
	{"test.wide.Wide", R"({"f32": "-inf", "f64": "nan"})", R"("f32":"-inf","f64":"nan")"},
	{"test.wide.Wide", R"({"flags": "first last", "large": 5})",
		R"("large":5,"flags":"first last")"},
	{"test.wide.Wide", R"({"bytes": "h\u00e9", "texts": ["", "a"], "smalls": ["low", 7]})",
		R"("bytes":[104,195,169],"smalls":["low",7],"texts":["","a"])"},
	{"test.wide.Wide",
		R"({"outer": {"x": true, "inner": {"a":1,"b":2,"c":3}, "y": 0.5,)"
		R"( "flags": 0, "z": 2, "w": -1}})",
		R"("outer":{"x":true,"inner":{"a":1,"b":2,"c":3},"y":0.5,"flags":0,"z":2.0,"w":-1})"},
};

const pair every_pairs[] = {
	{"test.every.One", R"({"shape": {"side": 2}, "shape_type": "other"})",
		R"({"shape_type":"other","shape":{"side":2},"flag":0,"hashed":0})"},
	{"test.every.One", R"({"shape_type": 4, "shape": "name", "flag": "red blue"})",
		R"({"shape_type":"label","shape":"name","flag":"red blue","hashed":0})"},
	{"test.every.One",
		R"({"shape_type": "test_every_Grid", "shape": {"cells": [1,2,3], "flag": 1}})",
		R"({"shape_type":"test_every_Grid","shape":{"cells":[1,2,3],"flag":"red"},)"
		R"("flag":0,"hashed":0})"},
	{"test.every.One", R"({"shape": {}})",
		"!1:11: shape: expected its type in \"shape_type\": one of NONE, Circle, other, "
		"test_every_Grid, label"},
	{"test.every.One", R"({"board": {"grids": [], "x": 1}})",
		"!1:21: board.grids: expected 2 elements, found an array"},
	{"test.every.All", R"({"shapes": [{}]})",
		"!1:12: shapes: expected its types in \"shapes_type\""},
	{"test.every.All", R"({"shapes_type": ["Circle"], "shapes": [{}, {}]})",
		"!1:39: shapes: expected as many elements as its types have"},
	{"test.every.Square", R"({"side": 0})", R"({"side":0})"},
	{"test.every.Square", R"({})", R"({})"},
};

template <size_t N> void check_pairs(const open_schema &s, const pair (&pairs)[N], bool whole)
{
	for (const auto &p : pairs) {
		string got = s.echo(p.table, p.json);

		about = string(p.json) + " -> " + got;
		CHECK(whole ? got == p.expected : got.find(p.expected) != string::npos);
	}
}

// Deep JSON, deep tables and long JSON end in a sentence.
void check_bounds(const open_schema &s)
{
	string deep = "{}";

	for (int i = 0; i < 40; i++)
		deep = "{\"again\":" + deep + "}";
	CHECK(s.echo("test.wide.Wide", deep)[0] == '{');
	for (int i = 0; i < 30; i++)
		deep = "{\"again\":" + deep + "}";
	CHECK(s.echo("test.wide.Wide", deep).find("more than 60 levels") != string::npos);
	CHECK(s.echo("test.wide.Wide", string(1 << 20, '[')).find("more than 60") != string::npos);
	CHECK(s.echo("test.wide.Wide", string((1 << 20) + 1, ' ')).find("1 MiB") != string::npos);
	CHECK(s.echo("test.wide.Nothing", "{}") == "!the schema has no table test.wide.Nothing");
}

// A schema from text; what is hostile in these is well formed.
bytes compile(const string &fbs)
{
	flatbuffers::Parser p;

	about = fbs.substr(0, 200);
	CHECK(p.Parse(fbs.c_str()));
	p.Serialize();
	return bytes(p.builder_.GetBufferPointer(),
		p.builder_.GetBufferPointer() + p.builder_.GetSize());
}

// A number in the middle of a schema that is otherwise right.
template <class T, class Of> void check_poked(Of of, unsigned vt, T value, const char *expected)
{
	bytes bfbs = compile("table T { a : int; b : T; }");
	const auto *field = reflection::GetSchema(bfbs.data())->objects()->Get(0)->fields()->Get(1);
	auto *there = const_cast<void *>(static_cast<const void *>(of(field)));

	CHECK(static_cast<flatbuffers::Table *>(there)->SetField<T>(
		flatbuffers::voffset_t(vt), value, T(0)));
	CHECK(!open_schema(bfbs).s);
	about = err;
	CHECK(about == expected);
}

void check_refusals()
{
	auto field = [](const reflection::Field *f) { return f; };
	auto type = [](const reflection::Field *f) { return f->type(); };

	static const pair refusals[] = {
		{"", "struct A { x : [ubyte:40000]; } table T { a : A; }", "struct A is too large"},
		{"", "struct A { x : [ubyte:256]; } struct B { x : [A:256]; } table T { b : B; }",
			"struct B is too large"},
		{"", "table A { } union U { A = 3 } table T { u : U; }",
			"the types of union U are not numbered from 0"},
	};

	for (const auto &r : refusals) {
		open_schema s(compile(r.json));

		about += string(" -> ") + err;
		CHECK(!s.s && string(err) == r.expected);
	}
	check_poked<uint16_t>(field, reflection::Field::VT_ID, 5, "the ids of T have gaps");
	check_poked<int32_t>(
		type, reflection::Type::VT_INDEX, 1, "T.b is of no type that there is");
	check_poked<int8_t>(
		type, reflection::Type::VT_BASE_TYPE, 92, "T.b is of no type that there is");
	CHECK(!open_schema(bytes()).s);
	CHECK(!open_schema(bytes((256 << 10) + 1)).s && strstr(err, "256 KiB"));
}

flatbuffers::voffset_t field_offset(const bytes &bfbs, const string &table, const string &field)
{
	for (const auto *o : *reflection::GetSchema(bfbs.data())->objects())
		for (const auto *f : *o->fields())
			if (o->name()->str() == table && f->name()->str() == field)
				return f->offset();
	CHECK(false);
}

// Few bytes that stand for a great many.
void check_swelling(const bytes &wide)
{
	string fbs = "table T5 { x : int; }\n";
	flatbuffers::FlatBufferBuilder b;
	open_schema s(wide);

	for (int i = 4; i >= 0; i--) {
		string n = std::to_string(i), next = std::to_string(i + 1);

		fbs += "table T" + n + " { ";
		for (int f = 0; f < 60; f++)
			fbs += "f" + std::to_string(f) + " : T" + next + "; ";
		fbs += "}\n";
	}
	CHECK(take(typed_template(open_schema(compile(fbs)).s, "T0", err, sizeof(err))) ==
		"!too large: more than 4 MiB as text");
	std::vector<flatbuffers::Offset<flatbuffers::String>> same(
		1000, b.CreateString(string(100000, 'a')));
	auto vector = b.CreateVector(same);
	auto start = b.StartTable();

	b.AddOffset(field_offset(wide, "test.wide.Wide", "texts"), vector);
	b.Finish(flatbuffers::Offset<flatbuffers::Table>(b.EndTable(start)));
	CHECK(s.print("test.wide.Wide",
		      bytes(b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize())) ==
		"!too large: more than 4 MiB as text");
}

// ---- what is not ----

std::mt19937 random_source;

uint32_t below(uint32_t n)
{
	return uint32_t(random_source() % n);
}

void damage(bytes &b)
{
	static const uint32_t words[] = {0, 1, 2, 4, 8, 255, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0xfffffffc, 100, 65536};

	for (unsigned n = 1 + below(4); n && b.size() > 8; n--) {
		size_t at = below(uint32_t(b.size() - 4)), from = below(uint32_t(b.size() - 4));

		switch (below(6)) {
		case 0:
			b[at] ^= uint8_t(1 << below(8));
			break;
		case 1:
			b[at] = uint8_t(below(20));
			break;
		case 2:
			std::memcpy(&b[at & ~size_t(3)], &words[below(14)], 4);
			break;
		case 3:
			std::memcpy(&b[at & ~size_t(1)], &words[below(14)], 2);
			break;
		case 4:
			std::memmove(&b[at & ~size_t(3)], &b[from & ~size_t(3)], 4);
			break;
		default:
			if (!below(8))
				b.resize(at);
		}
	}
}

bool clean(const string &s)
{
	for (char c : s)
		if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f)
			return false;
	return true;
}

// Whatever a schema is, nothing worse comes of it than an error, in words that can be shown.
bool try_schema(const bytes &bfbs, const names &n)
{
	open_schema s(bfbs);

	if (!s.s) {
		CHECK(*err && clean(err));
		return false;
	}
	for (size_t i = 0; i < n.services.size(); i++) {
		const char *service = n.services[i].c_str();

		json_decref(typed_methods(s.s, service, err, sizeof(err)));
		CHECK(clean(take(typed_text(s.s, service, nullptr, err, sizeof(err)))));
		CHECK(clean(
			take(typed_text(s.s, service, n.methods[i].c_str(), err, sizeof(err)))));
	}
	for (const auto &table : n.tables)
		CHECK(clean(
			s.echo(table, take(typed_template(s.s, table.c_str(), err, sizeof(err))))));
	return true;
}

unsigned damage_schemas(const bytes &right, const names &n, unsigned turns)
{
	unsigned opened = 0;

	for (unsigned i = 0; i < turns; i++) {
		bytes wrong = right;

		random_source.seed(++seed);
		damage(wrong);
		opened += try_schema(wrong, n);
	}
	return opened;
}

// Replies and JSON, of a schema that is right.
unsigned damage_values(const open_schema &s, const names &n, unsigned turns)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < turns; i++) {
		const string &table = n.tables[i % n.tables.size()];
		string json = take(typed_template(s.s, table.c_str(), err, sizeof(err)));
		bytes b, text(json.begin(), json.end());

		random_source.seed(++seed);
		CHECK(s.build(table, json, &b).empty());
		damage(b);
		json = s.print(table, b);
		CHECK(clean(json));
		shown += json[0] == '{';
		damage(text);
		CHECK(clean(s.echo(table, string(text.begin(), text.end()))));
	}
	return shown;
}

} // namespace

int main(int argc, char **argv)
{
	const char *first = std::getenv("TELA_SEED");

	seed = first ? std::strtoul(first, nullptr, 10) : 1;
	for (int i = 2; i < argc; i++) {
		bytes bfbs = read_file(argv[i]);
		unsigned turns = unsigned(std::atoi(argv[1])), opened, shown;
		names n(bfbs);
		open_schema s(bfbs);
		string file = argv[i];

		about = file + ": " + err;
		CHECK(s.s);
		check_text(s, n, bfbs);
		check_tables(s, n);
		if (file.find("wide.bfbs") != string::npos) {
			check_pairs(s, wide_pairs, true);
			check_pairs(s, wide_parts, false);
			check_bounds(s);
			check_refusals();
			check_swelling(bfbs);
		} else if (file.find("every.bfbs") != string::npos) {
			check_pairs(s, every_pairs, true);
		}
		opened = damage_schemas(bfbs, n, turns);
		shown = damage_values(s, n, turns);
		std::printf(
			"%s: of %u damaged schemas %u opened, of as many replies %u were shown\n",
			argv[i], turns, opened, shown);
	}
	return 0;
}

/* typed.cc - a schema from a node, opened; and the calls of typed.h. */
#include "typed_parts.h"

#include <algorithm>
#include <cstring>
#include <memory>

using reflection::Object;
using reflection::Schema;
using std::string;

/* Runs `what`; a sentence into `err` and `failed` if it cannot be done. */
template <class T, class F> static T guarded(char *err, size_t err_len, T failed, F what)
{
	try {
		return what();
	} catch (const typed::error &e) {
		snprintf(err, err_len, "%s", e.what());
	} catch (const std::bad_alloc &) {
		snprintf(err, err_len, "out of memory");
	}
	return failed;
}

static char *copy_of(const string &s)
{
	char *text = static_cast<char *>(malloc(s.size() + 1));

	if (!text)
		throw std::bad_alloc();
	memcpy(text, s.c_str(), s.size() + 1);
	return text;
}

/* ---- open ---- */

static const Schema *take(typed_schema &s, const void *bfbs, size_t len)
{
	if (len > typed::BFBS_MAX)
		throw typed::error("the schema has more than 256 KiB");
	s.bytes.resize(len / 8 + 1);
	if (len)
		memcpy(s.bytes.data(), bfbs, len);

	const auto *bytes = reinterpret_cast<const uint8_t *>(s.bytes.data());
	flatbuffers::Verifier v(bytes, len, 32, typed::TABLES_MAX);

	if (len < 8 || !reflection::SchemaBufferHasIdentifier(bytes) ||
		!reflection::VerifySchemaBuffer(v))
		throw typed::error("what the node sent is no valid binary schema");
	return reflection::GetSchema(bytes);
}

static string first_line(const string &s)
{
	string line = s.substr(0, s.find('\n'));

	return typed::clean(line);
}

static void reread(typed_schema &s)
{
	string text = typed::schema_text(*s.theirs, false);

	s.parser.opts.strict_json = true;
	s.parser.opts.json_nested_legacy_flatbuffers = true; /* bytes are bytes */
	s.parser.opts.binary_schema_builtins = true;
	s.parser.opts.lang_to_generate =
		flatbuffers::IDLOptions::kCpp; /* which may have all there is */
	if (!s.parser.Parse(text.c_str()))
		throw typed::error("the schema contradicts itself: " + first_line(s.parser.error_));
	s.parser.Serialize();
	s.ours_bytes.assign(s.parser.builder_.GetBufferPointer(),
		s.parser.builder_.GetBufferPointer() + s.parser.builder_.GetSize());
	s.parser.builder_.Clear();
	s.ours = reflection::GetSchema(s.ours_bytes.data());
	typed::check(*s.ours);
	typed::check_layout(*s.ours);
}

struct typed_schema *typed_open(const void *bfbs, size_t len, char *err, size_t err_len)
{
	return guarded<typed_schema *>(err, err_len, nullptr, [&] {
		std::unique_ptr<typed_schema> s(new typed_schema());

		s->theirs = take(*s, bfbs, len);
		typed::check(*s->theirs);
		reread(*s);
		return s.release();
	});
}

void typed_close(struct typed_schema *s)
{
	delete s;
}

/* ---- methods ---- */

static const reflection::Service &service_of(const typed_schema &s, const char *name)
{
	const auto *all = s.theirs->services();

	for (unsigned i = 0; all && i < all->size(); i++)
		if (all->Get(i)->name()->str() == name)
			return *all->Get(i);
	throw typed::error(string("the schema has no service ") + typed::clean(name));
}

static unsigned attribute_number(const reflection::RPCCall &m, const char *key, unsigned max)
{
	const char *text = typed::attribute(m.attributes(), key);
	unsigned long v = text ? strtoul(text, nullptr, 10) : 0;

	return v <= max ? unsigned(v) : 0;
}

static unsigned method_id(const reflection::RPCCall &m)
{
	return attribute_number(m, "method_id", UINT16_MAX);
}

/* What one side of a method takes or gives: the name of a table, or what is none. */
static string payload_name(const reflection::RPCCall &m, const char *side, const Object &o)
{
	const char *bytes = typed::attribute(m.attributes(), "bytes");

	if (bytes && (!strcmp(bytes, side) || !strcmp(bytes, "both")))
		return TYPED_BYTES;
	return o.name()->str();
}

static json_t *method_row(const reflection::RPCCall &m)
{
	unsigned deadline_us = attribute_number(m, "deadline_us", UINT32_MAX);
	bool idempotent = typed::attribute(m.attributes(), "idempotent") != nullptr;
	string doc;

	for (unsigned i = 0; m.documentation() && i < m.documentation()->size() && i < 8; i++)
		doc += typed::clean(m.documentation()->Get(i)->str().substr(0, 500));
	doc.erase(0, doc.find_first_not_of(' '));
	return json_pack("{s:s,s:i,s:s,s:s,s:o,s:o,s:s%}", "method", m.name()->c_str(), "id",
		int(method_id(m)), "request", payload_name(m, "request", *m.request()).c_str(),
		"response", payload_name(m, "response", *m.response()).c_str(), "deadline_us",
		deadline_us ? json_integer(deadline_us) : json_null(), "idempotent",
		idempotent ? json_true() : json_null(), "doc", doc.c_str(), doc.size());
}

json_t *typed_methods(const struct typed_schema *s, const char *service, char *err, size_t err_len)
{
	return guarded<json_t *>(err, err_len, nullptr, [&] {
		const auto &calls = *service_of(*s, service).calls();
		std::vector<const reflection::RPCCall *> all(calls.begin(), calls.end());
		json_t *rows = json_array();

		std::stable_sort(all.begin(), all.end(),
			[](const reflection::RPCCall *a, const reflection::RPCCall *b) {
				return method_id(*a) < method_id(*b);
			});
		for (const auto *m : all)
			json_array_append_new(rows, method_row(*m));
		return rows;
	});
}

/* ---- texts ---- */

static const Object &object_of(const Schema &s, const char *name)
{
	const Object *o = typed::find_object(s, name);

	if (!o || o->is_struct())
		throw typed::error(string("the schema has no table ") + typed::clean(name));
	return *o;
}

char *typed_text(const struct typed_schema *s, const char *service, const char *method, char *err,
	size_t err_len)
{
	return guarded<char *>(err, err_len, nullptr, [&] {
		const auto &v = service_of(*s, service);

		if (!method)
			return copy_of(typed::schema_text(*s->theirs, true));
		for (const auto *m : *v.calls())
			if (m->name()->str() == method)
				return copy_of(typed::method_text(*s->theirs, v, *m));
		throw typed::error(v.name()->str() + " has no method " + typed::clean(method));
	});
}

char *typed_template(const struct typed_schema *s, const char *table, char *err, size_t err_len)
{
	return guarded<char *>(err, err_len, nullptr, [&] {
		return copy_of(typed::make_template(*s->ours, object_of(*s->ours, table)));
	});
}

/* ---- JSON ---- */

/* What stands in front of a table, if it is the schema's root and there is one. The library takes a
 * string of four characters, none of them 0, for granted. */
static string identifier_of(const Schema &s, const char *table)
{
	if (!s.file_ident() || s.file_ident()->size() != flatbuffers::kFileIdentifierLength ||
		strlen(s.file_ident()->c_str()) != flatbuffers::kFileIdentifierLength ||
		!s.root_table() || s.root_table()->name()->str() != table)
		return "";
	return s.file_ident()->str();
}

uint8_t *typed_build(struct typed_schema *s, const char *table, const char *json, size_t len,
	size_t *ret_len, char *err, size_t err_len)
{
	return guarded<uint8_t *>(err, err_len, nullptr, [&] {
		typed::node body = typed::json_parse(json, len);
		string text = typed::build_json(*s->ours, object_of(*s->ours, table), body);
		auto &b = s->parser.builder_;
		uint8_t *bytes;

		b.Clear();
		s->parser.file_identifier_ = identifier_of(*s->theirs, table);
		if (!s->parser.SetRootType(table) || !s->parser.ParseJson(text.c_str()))
			throw typed::error("1:1: " + first_line(s->parser.error_));
		*ret_len = b.GetSize();
		bytes = static_cast<uint8_t *>(malloc(*ret_len));
		if (!bytes)
			throw std::bad_alloc();
		memcpy(bytes, b.GetBufferPointer(), *ret_len);
		b.Clear();
		return bytes;
	});
}

/* libflatbuffers 2.0.8 asserts that it need not verify one. */
static void refuse_union_vectors(const Schema &s, const Object &from)
{
	typed::types all;

	typed::reach(s, from, all);
	for (const auto *o : all.objects)
		for (const auto *f : *o->fields())
			if (typed::is_repeated(*f->type()) &&
				f->type()->element() == reflection::Union)
				throw typed::error("vectors of unions cannot be shown, and " +
						   o->name()->str() + "." + f->name()->str() +
						   " is one");
}

char *typed_print(const struct typed_schema *s, const char *table, const void *bytes, size_t len,
	unsigned flags, char *err, size_t err_len)
{
	return guarded<char *>(err, err_len, nullptr, [&] {
		const Object &o = object_of(*s->ours, table);
		/* libflatbuffers 2.0.8 reads the offset that stands in a field before it looks
		 * whether that is inside of the buffer: up to 64 KiB behind a table. Zeros stand
		 * there, which lead to nothing that it then takes. */
		std::vector<uint64_t> aligned(len / 8 + 1 + (UINT16_MAX + 1) / 8 + 1);
		const auto *data = reinterpret_cast<const uint8_t *>(aligned.data());

		refuse_union_vectors(*s->ours, o);
		if (len)
			memcpy(aligned.data(), bytes, len);
		if (len < 8 || !flatbuffers::Verify(*s->ours, o, data, len))
			throw typed::error("what the node answered is no valid " + o.name()->str());
		return copy_of(typed::print(*s->ours, o, data, flags));
	});
}

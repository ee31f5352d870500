/* emit_rpc.c - typed calls, replies and method tables of an rpc_service. */
#include "emit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BFBS_MAX = 256 << 10 }; /* what telactl takes in one line of a node */

static void emit_ids(struct emit *e, const struct service *v)
{
	size_t i;

	out_docs(e, "", &v->docs);
	out(e, "#define %s_SCHEMA_HASH UINT64_C(0x%016" PRIx64 ")\n\n", v->c_name, v->hash);
	out(e, "enum {\n");
	for (i = 0; i < v->n_methods; i++)
		out(e, "\t%s_%s_ID = %u,\n", v->c_name, v->methods[i].name, v->methods[i].id);
	out(e, "};\n\n");
}

/* The file's binary schema, once, for reflection. `first` is the first service that the file owns.
 */
static void emit_bfbs(struct emit *e, const struct service *first)
{
	const struct schema *s = e->s;
	size_t i;

	if (s->bfbs_len > BFBS_MAX) {
		out(e, "/* %s is too large for reflection: %zu bytes as a binary schema. */\n",
			s->file, s->bfbs_len);
		out(e, "#define %s_BFBS NULL, 0\n\n", first->c_name);
		return;
	}

	out(e,
		"/* %s as flatc's binary schema, for reflection. A program that only calls may "
		"define\n * TELA_NO_SCHEMA and be %zu bytes smaller. */\n",
		s->file, s->bfbs_len);
	out(e,
		"#ifndef TELA_NO_SCHEMA\n"
		"static const uint8_t %s_bfbs[] __attribute__((unused, aligned(8))) = {",
		first->c_name);
	for (i = 0; i < s->bfbs_len; i++)
		out(e, "%s0x%02x,", i % 16 ? " " : "\n\t", s->bfbs[i]);
	out(e,
		"\n};\n#define %s_BFBS %s_bfbs, sizeof(%s_bfbs)\n#else\n#define %s_BFBS NULL, 0\n"
		"#endif\n\n",
		first->c_name, first->c_name, first->c_name, first->c_name);
}

/* As a C string; a schema may hold any byte there. */
static void out_string(struct emit *e, const char *s)
{
	out(e, "\"");
	for (; *s; s++) {
		const unsigned char c = (unsigned char)*s;

		/* Three octal digits end by themselves, whatever follows; ? could begin a trigraph.
		 */
		if (c < ' ' || c > '~' || c == '"' || c == '\\' || c == '?')
			out(e, "\\%03o", c);
		else
			out(e, "%c", c);
	}
	out(e, "\"");
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct attribute *)a)->key, ((const struct attribute *)b)->key);
}

static void emit_attributes(struct emit *e, const struct service *v, const struct method *m)
{
	size_t i;

	if (!m->attributes.n)
		return;
	qsort(m->attributes.at, m->attributes.n, sizeof(*m->attributes.at), by_key);
	out(e, "static const struct tela_attribute %s_%s_attributes[] = {\n", v->c_name, m->name);
	for (i = 0; i < m->attributes.n; i++) {
		out(e, "\t{");
		out_string(e, m->attributes.at[i].key);
		out(e, ", ");
		out_string(e, m->attributes.at[i].value);
		out(e, "},\n");
	}
	out(e, "};\n\n");
}

static const char *flags_of(const struct method *m)
{
	if (m->idempotent && m->segments)
		return "TELA_METHOD_IDEMPOTENT | TELA_METHOD_SEGMENTS";
	return m->idempotent ? "TELA_METHOD_IDEMPOTENT"
	       : m->segments ? "TELA_METHOD_SEGMENTS"
			     : "0";
}

/* What knows a payload's type; NULL: it is bytes. */
static void out_typed(struct emit *e, bool bytes, const struct object *o, const char *tail)
{
	out(e, "%s%s", bytes ? "NULL" : o->c_name, bytes ? "" : tail);
}

static void emit_method(struct emit *e, const struct service *v, const struct method *m)
{
	out(e, "\t{\"%s\", %u, %s, %" PRIu32 ", ", m->name, m->id, flags_of(m), m->deadline_us);
	out_typed(e, m->request_bytes, m->request, "_verify");
	out(e, ", ");
	out_typed(e, m->response_bytes, m->response, "_verify");
	if (m->attributes.n)
		out(e, ", %s_%s_attributes, %zu, ", v->c_name, m->name, m->attributes.n);
	else
		out(e, ", NULL, 0, ");
	out_typed(e, m->request_bytes, m->request, "_DESC");
	out(e, ", ");
	out_typed(e, m->response_bytes, m->response, "_DESC");
	out(e, "},\n");
}

static void emit_descriptors(struct emit *e, const struct service *v, const struct service *first)
{
	size_t i;

	for (i = 0; i < v->n_methods; i++)
		emit_attributes(e, v, &v->methods[i]);
	out(e, "static const struct tela_method_desc %s_methods[] __attribute__((unused)) = {\n",
		v->c_name);
	for (i = 0; i < v->n_methods; i++)
		emit_method(e, v, &v->methods[i]);
	out(e, "};\n\n");
	if (v->n_compatible) {
		out(e, "/* Hashes of earlier versions that lint found compatible. */\n");
		out(e, "static const uint64_t %s_compatible[] __attribute__((unused)) = {\n",
			v->c_name);
		for (i = 0; i < v->n_compatible; i++)
			out(e, "\tUINT64_C(0x%016" PRIx64 "),\n", v->compatible[i]);
		out(e, "};\n\n");
	}
	out(e, "static const struct tela_service_desc %s_service __attribute__((unused)) = {\n",
		v->c_name);
	out(e, "\t\"%s\", %s_SCHEMA_HASH, %s%s, %zu, %zu, %s_methods, %s_BFBS};\n\n", v->name,
		v->c_name, v->n_compatible ? v->c_name : "NULL",
		v->n_compatible ? "_compatible" : "", v->n_compatible, v->n_methods, v->c_name,
		first->c_name);
}

static void emit_server(struct emit *e, const struct service *v)
{
	size_t i;

	out(e, "/* One link for each method; NULL: not served. */\nstruct %s_server {\n",
		v->c_name);
	for (i = 0; i < v->n_methods; i++) {
		out_docs(e, "\t", &v->methods[i].docs);
		out(e, "\tenum tela_verdict (*%s)(struct tela_call *call, void *self);\n",
			v->methods[i].member);
	}
	out(e, "};\n\n");
	out(e, "/* The link for method `id`, NULL if there is none. */\n");
	out(e,
		"static inline tela_enter_fn %s_server_method(const struct %s_server *s, uint16_t "
		"id)\n"
		"{\n\tswitch (id) {\n",
		v->c_name, v->c_name);
	for (i = 0; i < v->n_methods; i++)
		out(e, "\tcase %s_%s_ID:\n\t\treturn s->%s;\n", v->c_name, v->methods[i].name,
			v->methods[i].member);
	out(e, "\tdefault:\n\t\treturn NULL;\n\t}\n}\n\n");
}

/* ---- what a handler uses ---- */

static void emit_request(struct emit *e, const struct service *v, const struct method *m)
{
	out_docs(e, "", &m->docs);
	if (m->segments)
		out(e,
			"/* In the pieces that it came in: as tela_call_segments(). */\n"
			"static inline const struct tela_segment *%s_%s_request(\n"
			"\tconst struct tela_call *call, struct tela_segment *whole, size_t "
			"*ret_n)\n"
			"{\n\treturn tela_call_segments(call, whole, ret_n);\n}\n\n",
			v->c_name, m->name);
	else if (m->request_bytes)
		out(e,
			"static inline struct tela_bytes %s_%s_request(const struct tela_call "
			"*call)\n"
			"{\n\tsize_t len;\n\tconst void *bytes = tela_call_request(call, &len);\n\n"
			"\treturn (struct tela_bytes){(const uint8_t *)bytes, len};\n}\n\n",
			v->c_name, m->name);
	else
		out(e,
			"static inline %s_t %s_%s_request(const struct tela_call *call)\n{\n"
			"\treturn %s_root(tela_call_request(call, NULL));\n}\n\n",
			m->request->c_name, v->c_name, m->name, m->request->c_name);
}

static void emit_reply_bytes(struct emit *e, const struct service *v, const struct method *m)
{
	out(e,
		"static inline enum tela_verdict %s_%s_reply(\n"
		"\tstruct tela_call *call, const void *bytes, size_t len)\n"
		"{\n\treturn tela_reply_copy(call, bytes, len);\n}\n\n",
		v->c_name, m->name);
	out(e,
		"/* From where they stand, which is lent until `done`: as tela_reply_lend(). */\n"
		"static inline enum tela_verdict %s_%s_reply_lend(struct tela_call *call,\n"
		"\tconst void *bytes, size_t len, tela_lent_fn done, void *arg)\n"
		"{\n\treturn tela_reply_lend(call, bytes, len, done, arg);\n}\n\n",
		v->c_name, m->name);
}

static void emit_reply(struct emit *e, const struct service *v, const struct method *m)
{
	const char *response = m->response->c_name;

	if (m->response_bytes) {
		emit_reply_bytes(e, v, m);
		return;
	}
	out(e,
		"static inline enum tela_verdict %s_%s_reply(\n"
		"\tstruct tela_call *call, const struct %s_args *a)\n{\n",
		v->c_name, m->name, response);
	out(e, "\tconst size_t size = %s_size(a);\n\tvoid *into;\n\n", response);
	out(e,
		"\tif (!size)\n\t\treturn tela_reply_status(call, TELA_INTERNAL, \"%s cannot be "
		"built\");\n",
		m->response->name);
	out(e, "\tinto = tela_reply_begin(call, size);\n\tif (!into)\n\t\treturn TELA_ANSWER;\n");
	out(e, "\treturn tela_reply_commit(call, (size_t)%s_build(into, size, a));\n}\n\n",
		response);
}

/* ---- what a caller uses ---- */

/* The request as parameters, and as what is handed on. */
static void out_params(struct emit *e, const struct method *m)
{
	if (m->request_bytes)
		out(e, "const void *bytes, size_t len");
	else
		out(e, "const struct %s_args *a", m->request->c_name);
}

static const char *arguments(const struct method *m)
{
	return m->request_bytes ? "bytes, len" : "a";
}

/* The type of what a call brings. */
static void out_result_type(struct emit *e, const struct method *m)
{
	out(e, "%s%s", m->response_bytes ? "struct tela_bytes" : m->response->c_name,
		m->response_bytes ? "" : "_t");
}

static void emit_call(struct emit *e, const struct service *v, size_t at)
{
	const struct method *m = &v->methods[at];

	out(e,
		"/* On a data core: 0, %sor as tela_request_begin() has it. */\n"
		"static inline int %s_%s_call(struct tela_client *c, ",
		m->request_bytes ? "" : "-EINVAL (cannot be built), ", v->c_name, m->name);
	out_params(e, m);
	out(e, ",\n\tconst struct tela_options *o, tela_done_fn done, void *arg)\n{\n");
	if (!m->request_bytes)
		out(e, "\tconst size_t size = %s_size(a);\n", m->request->c_name);
	out(e, "\tstruct tela_request r;\n\tint err;\n\n");
	if (!m->request_bytes)
		out(e, "\tif (!size)\n\t\treturn -EINVAL;\n");
	out(e,
		"\terr = tela_request_begin(c, &%s_methods[%zu], %s, o, &r);\n"
		"\tif (err)\n\t\treturn err;\n",
		v->c_name, at, m->request_bytes ? "len" : "size");
	if (m->request_bytes)
		out(e, "\tif (len)\n\t\tmemcpy(r.payload, bytes, len);\n");
	else
		out(e, "\t%s_build(r.payload, size, a);\n", m->request->c_name);
	out(e, "\treturn tela_request_send(&r, done, arg);\n}\n\n");
	if (m->request_bytes)
		out(e,
			"/* From where they stand, which is lent until `done`: as "
			"tela_request_lend(). */\n"
			"static inline int %s_%s_lend(struct tela_client *c, const void *bytes, "
			"size_t len,\n"
			"\tconst struct tela_options *o, tela_done_fn done, void *arg)\n{\n"
			"\treturn tela_request_lend(c, &%s_methods[%zu], bytes, len, o, done, "
			"arg);\n}\n\n",
			v->c_name, m->name, v->c_name, at);
}

static void emit_result(struct emit *e, const struct service *v, const struct method *m)
{
	if (m->response_bytes) {
		out(e,
			"/* Of a call with TELA_CALL_SEGMENTS, see tela_result_segments(). */\n"
			"static inline struct tela_bytes %s_%s_result(const struct tela_result "
			"*r)\n"
			"{\n\treturn (struct tela_bytes){(const uint8_t *)r->payload, r->len};\n"
			"}\n\n",
			v->c_name, m->name);
		return;
	}
	out(e, "/* Absent unless the call ended well, and of a one-way call. */\n");
	out(e, "static inline %s_t %s_%s_result(const struct tela_result *r)\n{\n",
		m->response->c_name, v->c_name, m->name);
	out(e, "\treturn %s_root(r->len ? r->payload : NULL);\n}\n\n", m->response->c_name);
}

/* A request that must be built first. */
static void emit_wait_built(struct emit *e, const struct service *v, size_t at)
{
	const char *request = v->methods[at].request->c_name;

	out(e,
		"\tconst size_t size = %s_size(a);\n\tuint64_t small[512];\n\tvoid *payload = "
		"small;\n"
		"\tint err;\n\n\tif (!size)\n\t\treturn -EINVAL;\n"
		"\tif (size > sizeof(small) && !(payload = malloc(size)))\n\t\treturn -ENOMEM;\n"
		"\t%s_build(payload, size, a);\n"
		"\terr = tela_thread_call(t, c, &%s_methods[%zu], payload, size, o, reply);\n"
		"\tif (payload != small)\n\t\tfree(payload);\n",
		request, request, v->c_name, at);
}

static void emit_wait(struct emit *e, const struct service *v, size_t at)
{
	const struct method *m = &v->methods[at];

	out(e,
		"/* On an attached thread, until the call has ended; *ret lives as long as *reply "
		"does.\n"
		" * 0, %s-ENOMEM, or as tela_thread_call() has it. */\n"
		"static inline int %s_%s_wait(struct tela_thread *t, struct tela_client *c,\n\t",
		m->request_bytes ? "" : "-EINVAL (cannot be built), ", v->c_name, m->name);
	out_params(e, m);
	out(e, ", const struct tela_options *o, struct tela_reply *reply,\n\t");
	out_result_type(e, m);
	out(e, " *ret)\n{\n");
	if (m->request_bytes)
		out(e,
			"\tconst int err = tela_thread_call(t, c, &%s_methods[%zu], bytes, len, o, "
			"reply);\n\n",
			v->c_name, at);
	else
		emit_wait_built(e, v, at);
	if (m->response_bytes)
		out(e, "\tif (!err)\n"
		       "\t\t*ret = (struct tela_bytes){(const uint8_t *)reply->payload, "
		       "reply->len};\n");
	else
		out(e, "\tif (!err)\n\t\t*ret = %s_root(reply->len ? reply->payload : NULL);\n",
			m->response->c_name);
	out(e, "\treturn err;\n}\n\n");
}

/* The same calls, and nobody waits for what they answer. */
static void emit_sending(struct emit *e, const struct service *v, const struct method *m)
{
	out(e,
		"/* One-way, on a data core: as %s_%s_call(); `done` (NULL: nobody) hears whether "
		"it was\n * accepted. */\n"
		"static inline int %s_%s_send(struct tela_client *c, ",
		v->c_name, m->name, v->c_name, m->name);
	out_params(e, m);
	out(e,
		",\n\tconst struct tela_options *o, tela_done_fn done, void *arg)\n{\n"
		"\tconst struct tela_options one_way = tela_options_one_way(o);\n\n"
		"\treturn %s_%s_call(c, %s, &one_way, done, arg);\n}\n\n",
		v->c_name, m->name, arguments(m));
	out(e,
		"/* One-way, on an attached thread: as %s_%s_wait(), until it is accepted or "
		"refused. */\n"
		"static inline int %s_%s_send_wait(struct tela_thread *t, struct tela_client *c,\n"
		"\t",
		v->c_name, m->name, v->c_name, m->name);
	out_params(e, m);
	out(e, ", const struct tela_options *o, struct tela_reply *reply)\n{\n"
	       "\tconst struct tela_options one_way = tela_options_one_way(o);\n\t");
	out_result_type(e, m);
	out(e,
		" none;\n\n"
		"\treturn %s_%s_wait(t, c, %s, &one_way, reply, &none);\n}\n\n",
		v->c_name, m->name, arguments(m));
}

static void emit_service(struct emit *e, const struct service *v, const struct service *first)
{
	size_t i;

	emit_ids(e, v);
	emit_descriptors(e, v, first);
	for (i = 0; i < v->n_methods; i++) {
		emit_request(e, v, &v->methods[i]);
		emit_reply(e, v, &v->methods[i]);
		emit_call(e, v, i);
		emit_result(e, v, &v->methods[i]);
		emit_wait(e, v, i);
		emit_sending(e, v, &v->methods[i]);
	}
	emit_server(e, v);
}

void emit_rpc(struct emit *e)
{
	const struct schema *s = e->s;
	const struct service *first = NULL;
	size_t i;

	out(e, "/* %s_rpc.h - made by telac from %s: do not edit.\n", e->stem, s->file);
	out(e, " *\n * Typed calls and replies; tela.h says on which threads they may be used.\n "
	       "*/\n");
	out(e, "#pragma once\n\n#include <stdlib.h>\n\n#include <tela.h>\n\n#include \"%s.h\"\n\n",
		e->stem);
	for (i = 0; i < s->n_services; i++) {
		if (!schema_owns(s, s->services[i].file))
			continue;
		if (!first)
			emit_bfbs(e, first = &s->services[i]);
		emit_service(e, &s->services[i], first);
	}
}

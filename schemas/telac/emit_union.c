/* emit_union.c - unions: their arguments, and what verifies, measures and puts a value of one of
 * their members. The value stands behind the table, as a child of its kind would.
 */
#include "emit.h"

#include <inttypes.h>

void emit_union_args(struct emit *e, const struct enumeration *n)
{
	size_t i;

	out_docs(e, "", &n->docs);
	out(e, "struct %s_args {\n\t%s type; /* which of these; zero: none */\n\tunion {\n",
		n->c_name, n->c_name);
	for (i = 0; i < n->n_values; i++) {
		const struct enum_value *m = &n->values[i];
		const struct object *o = type_object(e->s, &m->type);

		if (!m->value)
			continue;
		out_docs(e, "\t\t", &m->docs);
		if (!o)
			out(e, "\t\tstruct tela_str %s;\n", m->member);
		else if (o->is_struct)
			out(e, "\t\tconst %s *%s;\n", o->c_name, m->member);
		else
			out(e, "\t\tconst struct %s_args *%s;\n", o->c_name, m->member);
	}
	if (n->n_values == 1)
		out(e, "\t\tconst void *nothing_;\n");
	out(e, "\t};\n};\n\n");
}

static void verify_head(struct emit *e, const struct enumeration *n)
{
	out(e,
		"static inline bool %s_fb_verify(\n"
		"\tstruct tela_fb_verifier *v, %s type, uint32_t at)",
		n->c_name, n->c_name);
}

static void measure_head(struct emit *e, const struct enumeration *n)
{
	out(e,
		"static inline uint64_t %s_fb_measure(\n"
		"\tuint64_t pos, const struct %s_args *a, unsigned depth%s)",
		n->c_name, n->c_name, share_parameter(n->shares));
}

static void put_head(struct emit *e, const struct enumeration *n)
{
	out(e,
		"static inline uint32_t %s_fb_put(\n"
		"\tuint8_t *buf, uint32_t pos, uint32_t ref, const struct %s_args *a%s)",
		n->c_name, n->c_name, share_parameter(n->shares));
}

void emit_union_prototypes(struct emit *e, const struct enumeration *n)
{
	verify_head(e, n);
	out(e, ";\n");
	measure_head(e, n);
	out(e, ";\n");
	put_head(e, n);
	out(e, ";\n\n");
}

/* A value of a type that this schema does not know cannot be read, so it may be anything. */
static void emit_union_verify(struct emit *e, const struct enumeration *n)
{
	size_t i;

	verify_head(e, n);
	out(e, "\n{\n\t(void)v;\n\t(void)at;\n\tswitch (type) {\n");
	for (i = 0; i < n->n_values; i++) {
		const struct enum_value *m = &n->values[i];
		const struct object *o = type_object(e->s, &m->type);

		if (!m->value)
			continue;
		out(e, "\tcase %s_%s:\n\t\treturn ", n->c_name, m->name);
		if (!o)
			out(e, "!at || tela_fb_verify_string(v, at);\n");
		else if (o->is_struct)
			out(e, "tela_fb_verify_struct(v, at, %" PRIu32 ", %" PRIu32 ");\n", o->size,
				o->align);
		else
			out(e, "!at || %s_fb_verify(v, at);\n", o->c_name);
	}
	out(e, "\tdefault:\n\t\treturn true;\n\t}\n}\n\n");
}

static void emit_union_measure(struct emit *e, const struct enumeration *n)
{
	size_t i;

	measure_head(e, n);
	out(e, "\n{\n\t(void)depth;\n\tswitch (a->type) {\n");
	for (i = 0; i < n->n_values; i++) {
		const struct enum_value *m = &n->values[i];
		const struct object *o = type_object(e->s, &m->type);

		out(e, "\tcase %s_%s:\n\t\treturn ", n->c_name, m->name);
		if (!m->value)
			out(e, "pos;\n");
		else if (!o)
			out(e, "a->%s.s ? tela_fb_measure_str(pos, a->%s) : 0;\n", m->member,
				m->member);
		else if (o->is_struct)
			out(e,
				"a->%s ? tela_fb_measure_struct(pos, %" PRIu32 ", %" PRIu32
				") : 0;\n",
				m->member, o->size, o->align);
		else
			out(e, "a->%s ? %s_fb_measure(pos, a->%s, depth%s) : 0;\n", m->member,
				o->c_name, m->member, share_argument(o->shares));
	}
	out(e, "\tdefault:\n\t\treturn 0;\n\t}\n}\n\n");
}

static void put_member(struct emit *e, const struct enumeration *n, const struct enum_value *m)
{
	const struct object *o = type_object(e->s, &m->type);

	out(e, "\tcase %s_%s:\n", n->c_name, m->name);
	if (!o) {
		out(e, "\t\treturn tela_fb_put_str(buf, pos, ref, a->%s);\n", m->member);
		return;
	}
	if (o->is_struct) {
		out(e, "\t\tat = tela_fb_pad(buf, pos, (uint32_t)tela_fb_up(pos, %" PRIu32 "));\n",
			o->align);
		out(e, "\t\t%s_store(buf + at, a->%s);\n", o->c_name, m->member);
		out(e, "\t\tpos = at + %s_SIZE;\n\t\tbreak;\n", o->c_name);
		return;
	}
	out(e, "\t\tpos = %s_fb_put(buf, pos, a->%s, &at%s);\n\t\tbreak;\n", o->c_name, m->member,
		share_argument(o->shares));
}

/* Without a member, which only a vector can have, the offset leads to itself. */
static void emit_union_put(struct emit *e, const struct enumeration *n)
{
	size_t i;

	put_head(e, n);
	out(e, "\n{\n\tuint32_t at = ref;\n\n\tswitch (a->type) {\n");
	for (i = 0; i < n->n_values; i++) {
		if (n->values[i].value)
			put_member(e, n, &n->values[i]);
	}
	out(e, "\tdefault:\n\t\tbreak;\n\t}\n");
	out(e, "\ttela_fb_put_ref(buf, ref, at);\n\treturn pos;\n}\n\n");
}

void emit_union(struct emit *e, const struct enumeration *n)
{
	emit_union_verify(e, n);
	emit_union_measure(e, n);
	emit_union_put(e, n);
}

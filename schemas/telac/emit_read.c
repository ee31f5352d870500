/* emit_read.c - readers of a table's fields. */
#include "emit.h"

#include <inttypes.h>

/* "static inline TYPE echo_Message_data" up to its arguments; `tail` "" or "_len", "_at". */
static void out_head(struct emit *e, const struct object *o, const struct field *f,
	const char *type, const char *tail, const char *more)
{
	out(e, "static inline %s%s_%s%s(%s_t t%s)\n{\n", type, o->c_name,
		*tail ? f->name : f->reader, tail, o->c_name, more);
}

static void read_scalar(struct emit *e, const struct object *o, const struct field *f)
{
	char type[256];

	snprintf(type, sizeof(type), "%s ", c_scalar(e, &f->type));
	out_head(e, o, f, type, "", "");
	out(e,
		"\tconst uint8_t *p = tela_fb_field(t.p, %u);\n\n"
		"\treturn p ? tela_fb_load_%s(p) : %s;\n}\n\n",
		slot_of(f), c_short(&f->type), c_default(f));
}

/* An optional scalar, or a struct: both may be absent, and are not read then. */
static void read_absentable(struct emit *e, const struct object *o, const struct field *f)
{
	const bool scalar = field_kind(e->s, f) == KIND_OPTIONAL;
	const char *type = scalar ? c_scalar(e, &f->type) : type_object(e->s, &f->type)->c_name;
	char more[512];

	out(e, "/* Whether it is there; *ret is written only then. */\n");
	snprintf(more, sizeof(more), ", %s *ret", type);
	out_head(e, o, f, "bool ", "", more);
	out(e,
		"\tconst uint8_t *p = tela_fb_field(t.p, %u);\n\n"
		"\tif (p)\n\t\t*ret = %s%s(p);\n\treturn p != NULL;\n}\n\n",
		slot_of(f), scalar ? "tela_fb_load_" : type, scalar ? c_short(&f->type) : "_load");
}

static void read_table(struct emit *e, const struct object *o, const struct field *f)
{
	const char *inner = type_object(e->s, &f->type)->c_name;
	char type[512];

	snprintf(type, sizeof(type), "%s_t ", inner);
	out_head(e, o, f, type, "", "");
	out(e, "\tconst %s_t ret = {tela_fb_follow(t.p, %u)};\n\n\treturn ret;\n}\n\n", inner,
		slot_of(f));
}

/* What the bytes hold, verified with what is around them. */
static void read_nested(struct emit *e, const struct object *o, const struct field *f)
{
	char type[512];

	if (!f->nested)
		return;
	snprintf(type, sizeof(type), "%s_t ", f->nested->c_name);
	out_head(e, o, f, type, "_root", "");
	out(e, "\tconst uint8_t *vector = tela_fb_follow(t.p, %u);\n", slot_of(f));
	out(e, "\tconst %s_t ret = {vector ? tela_fb_root(vector + 4) : NULL};\n\n",
		f->nested->c_name);
	out(e, "\treturn ret;\n}\n\n");
}

static void read_length(struct emit *e, const struct object *o, const struct field *f)
{
	out_head(e, o, f, "size_t ", "_len", "");
	out(e, "\treturn tela_fb_length(t.p, %u);\n}\n\n", slot_of(f));
}

static void read_element(struct emit *e, const struct object *o, const struct field *f)
{
	const enum kind kind = field_kind(e->s, f);
	const struct object *inner = type_object(e->s, &f->type);
	const char *name = inner ? inner->c_name : NULL;
	char type[512];

	snprintf(type, sizeof(type), "%s%s ",
		kind == KIND_STRINGS ? "struct tela_str"
		: inner              ? name
				     : c_scalar(e, &f->type),
		kind == KIND_TABLES ? "_t" : "");
	out_head(e, o, f, type, "_at", ", size_t i");
	if (kind == KIND_STRINGS) {
		out(e, "\treturn tela_fb_as_str(tela_fb_follow_element(t.p, %u, i));\n}\n\n",
			slot_of(f));
		return;
	}
	if (kind == KIND_TABLES) {
		out(e,
			"\tconst %sret = {tela_fb_follow_element(t.p, %u, i)};\n\n"
			"\treturn ret;\n}\n\n",
			type, slot_of(f));
		return;
	}
	out(e, "\tconst uint8_t *p = tela_fb_element(t.p, %u, i, %" PRIu32 ");\n", slot_of(f),
		element_size(e->s, f));
	if (kind == KIND_SCALARS) {
		out(e, "\n\treturn p ? tela_fb_load_%s(p) : 0;\n}\n\n", c_short(&f->type));
		return;
	}
	out(e, "\t%s v;\n\n\tif (p)\n\t\treturn %s_load(p);\n", name, name);
	out(e, "\tmemset(&v, 0, sizeof(v));\n\treturn v;\n}\n\n");
}

/* Statement that returns member `m` as `value`, where the type says that it is that one. */
static void read_member(struct emit *e, const struct enum_value *m, const char *value)
{
	const struct object *o = type_object(e->s, &m->type);

	if (!o)
		out(e, "\treturn tela_fb_as_str(%s);\n}\n\n", value);
	else if (!o->is_struct)
		out(e, "\tconst %s_t ret = {%s};\n\n\treturn ret;\n}\n\n", o->c_name, value);
	else
		out(e,
			"\tconst uint8_t *p = %s;\n\n"
			"\tif (p)\n\t\t*ret = %s_load(p);\n\treturn p != NULL;\n}\n\n",
			value, o->c_name);
}

/* A union, or a vector of them: its type, and a reader for each member, absent if it is another. */
static void read_union(struct emit *e, const struct object *o, const struct field *f)
{
	const struct enumeration *u = type_union(e->s, &f->type);
	const bool vector = f->type.base == BASE_VECTOR;
	const char *i = vector ? ", size_t i" : "", *at = vector ? "_at" : "";
	char type[512], tail[300], more[600], value[900];
	size_t k;

	snprintf(type, sizeof(type), "%s ", u->c_name);
	snprintf(tail, sizeof(tail), "_type%s", at);
	out_head(e, o, f, type, tail, i);
	if (vector)
		out(e, "\tconst uint8_t *p = tela_fb_element(t.p, %u, i, 1);\n", slot_of(f - 1));
	else
		out(e, "\tconst uint8_t *p = tela_fb_field(t.p, %u);\n", slot_of(f - 1));
	out(e, "\n\treturn p ? tela_fb_load_u8(p) : 0;\n}\n\n");
	for (k = 0; k < u->n_values; k++) {
		const struct enum_value *m = &u->values[k];
		const struct object *inner = type_object(e->s, &m->type);

		if (!m->value)
			continue;
		out_docs(e, "", &m->docs);
		snprintf(tail, sizeof(tail), "_as_%s%s", m->name, at);
		snprintf(type, sizeof(type), "%s%s ", inner ? inner->c_name : "struct tela_str",
			inner ? "_t" : "");
		snprintf(more, sizeof(more), "%s", i);
		if (inner && inner->is_struct)
			snprintf(more, sizeof(more), "%s, %s *ret", i, inner->c_name);
		out_head(e, o, f, inner && inner->is_struct ? "bool " : type, tail, more);
		snprintf(value, sizeof(value),
			"%s_%s_type%s(t%s) == %s_%s ? tela_fb_follow%s(t.p, %u%s) : NULL",
			o->c_name, f->name, at, vector ? ", i" : "", u->c_name, m->name,
			vector ? "_element" : "", slot_of(f), vector ? ", i" : "");
		read_member(e, m, value);
	}
}

static void read_field(struct emit *e, const struct object *o, const struct field *f)
{
	out(e, "static inline bool %s_has_%s(%s_t t)\n{\n", o->c_name, f->name, o->c_name);
	out(e, "\treturn tela_fb_field(t.p, %u) != NULL;\n}\n\n", slot_of(f));
	out_docs(e, "", &f->docs);
	switch (field_kind(e->s, f)) {
	case KIND_SCALAR:
		read_scalar(e, o, f);
		return;
	case KIND_OPTIONAL:
	case KIND_STRUCT:
		read_absentable(e, o, f);
		return;
	case KIND_TABLE:
		read_table(e, o, f);
		return;
	case KIND_STRING:
		out_head(e, o, f, "struct tela_str ", "", "");
		out(e, "\treturn tela_fb_as_str(tela_fb_follow(t.p, %u));\n}\n\n", slot_of(f));
		return;
	case KIND_BYTES:
		out_head(e, o, f, "struct tela_bytes ", "", "");
		out(e, "\treturn tela_fb_as_bytes(tela_fb_follow(t.p, %u));\n}\n\n", slot_of(f));
		read_nested(e, o, f);
		return;
	case KIND_UNIONS:
		read_length(e, o, f);
		/* fallthrough */
	case KIND_UNION:
		read_union(e, o, f);
		return;
	default:
		read_length(e, o, f);
		out(e, "/* Element i; zero or absent behind the end. */\n");
		read_element(e, o, f);
		emit_find(e, o, f);
	}
}

void emit_readers(struct emit *e, const struct object *o)
{
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		if (!field_is_hidden(&o->fields[i]))
			read_field(e, o, &o->fields[i]);
	}
}

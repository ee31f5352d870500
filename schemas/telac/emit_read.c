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
		return;
	default:
		read_length(e, o, f);
		out(e, "/* Element i; zero or absent behind the end. */\n");
		read_element(e, o, f);
	}
}

void emit_readers(struct emit *e, const struct object *o)
{
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		if (!o->fields[i].deprecated)
			read_field(e, o, &o->fields[i]);
	}
}

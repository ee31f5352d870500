/* emit_verify.c - what checks a table before it is read: one line of straight code for each field.
 */
#include "emit_build.h"

#include <inttypes.h>

static void verify_simple(struct emit *e, const struct field *f)
{
	const char *required = f->required ? "true" : "false";

	out(e, "\tif (!tela_fb_verify_");
	switch (field_kind(e->s, f)) {
	case KIND_STRING:
		out(e, "str(v, &t, %u, %s))\n", slot_of(f), required);
		break;
	case KIND_STRINGS:
		out(e, "strs(v, &t, %u, %s))\n", slot_of(f), required);
		break;
	case KIND_BYTES:
	case KIND_SCALARS:
	case KIND_STRUCTS:
		out(e, "vector(v, &t, %u, %" PRIu32 ", %s))\n", slot_of(f), element_size(e->s, f),
			required);
		break;
	default:
		out(e, "inline(v, &t, %u, %" PRIu32 ", %" PRIu32 ", %s))\n", slot_of(f),
			field_size(e->s, f), field_align(e->s, f), required);
	}
	out(e, "\t\treturn false;\n");
}

static void verify_table(struct emit *e, const struct field *f)
{
	out(e,
		"\tif (!tela_fb_verify_ref(v, &t, %u, %s, &to) || (to && !%s_fb_verify(v, to)))\n"
		"\t\treturn false;\n",
		slot_of(f), f->required ? "true" : "false", type_object(e->s, &f->type)->c_name);
}

static void verify_tables(struct emit *e, const struct field *f)
{
	out(e, "\tif (!tela_fb_verify_refs(v, &t, %u, %s, &from, &n))\n\t\treturn false;\n",
		slot_of(f), f->required ? "true" : "false");
	out(e, "\tfor (; n; n--, from += 4) {\n");
	out(e, "\t\tif (!%s_fb_verify(v, tela_fb_verify_entry(v, from)))\n",
		type_object(e->s, &f->type)->c_name);
	out(e, "\t\t\treturn false;\n\t}\n");
}

static void verify_nested(struct emit *e, const struct field *f)
{
	out(e, "\tif (!tela_fb_verify_ref(v, &t, %u, %s, &to))\n\t\treturn false;\n", slot_of(f),
		f->required ? "true" : "false");
	out(e, "\tif (to && (!tela_fb_verify_nested(v, to, &outer, &to) ||\n");
	out(e, "\t\t!%s_fb_verify(v, to) || !tela_fb_leave_nested(v, &outer)))\n",
		f->nested->c_name);
	out(e, "\t\treturn false;\n");
}

bool has_nested(const struct object *o)
{
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		if (o->fields[i].nested && !o->fields[i].deprecated)
			return true;
	}
	return false;
}

static void verify_union(struct emit *e, const struct field *f)
{
	const char *u = type_union(e->s, &f->type)->c_name;
	const char *required = f->required ? "true" : "false";

	if (f->type.base != BASE_VECTOR) {
		out(e, "\tif (!tela_fb_verify_union(v, &t, %u, %s, &type, &to) ||\n", slot_of(f),
			required);
		out(e, "\t\t!%s_fb_verify(v, type, to))\n\t\treturn false;\n", u);
		return;
	}
	out(e,
		"\tif (!tela_fb_verify_all_values(v, &t, %u, %s, %s_fb_verify))\n\t\treturn "
		"false;\n",
		slot_of(f), required, u);
}

void emit_verifier(struct emit *e, const struct object *o)
{
	const bool one = has_kind(e, o, KIND_UNION);
	size_t i;

	out(e, "static inline bool %s_fb_verify(struct tela_fb_verifier *v, uint32_t at)\n{\n",
		o->c_name);
	out(e, "\tstruct tela_fb_table t;\n");
	if (has_kind(e, o, KIND_TABLES))
		out(e, "\tuint32_t from, n;\n");
	if (has_nested(o))
		out(e, "\tstruct tela_fb_outer outer;\n");
	if (one || has_nested(o) || has_kind(e, o, KIND_TABLE))
		out(e, "\tuint32_t to;\n");
	if (one)
		out(e, "\tuint8_t type;\n");
	out(e, "\n\tif (!tela_fb_enter(v, at, &t))\n\t\treturn false;\n");
	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];
		const enum kind kind = field_kind(e->s, f);

		if (field_is_hidden(f))
			continue;
		if (kind == KIND_UNION || kind == KIND_UNIONS)
			verify_union(e, f);
		else if (f->nested)
			verify_nested(e, f);
		else if (kind == KIND_TABLE)
			verify_table(e, f);
		else if (kind == KIND_TABLES)
			verify_tables(e, f);
		else
			verify_simple(e, f);
	}
	out(e, "\treturn tela_fb_leave(v);\n}\n\n");
}

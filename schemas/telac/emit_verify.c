/* emit_verify.c - what checks a table before it is read: one line of straight code for each field.
 */
#include "emit.h"

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
	out(e, "\t\tif (!tela_fb_verify_entry(v, from, &to) || !%s_fb_verify(v, to))\n",
		type_object(e->s, &f->type)->c_name);
	out(e, "\t\t\treturn false;\n\t}\n");
}

void emit_verifier(struct emit *e, const struct object *o)
{
	bool tables = false, vectors = false;
	size_t i;

	for (i = 0; i < o->n_order; i++) {
		const enum kind kind = field_kind(e->s, &o->fields[o->order[i]]);

		tables = tables || kind == KIND_TABLE || kind == KIND_TABLES;
		vectors = vectors || kind == KIND_TABLES;
	}
	out(e, "static inline bool %s_fb_verify(struct tela_fb_verifier *v, uint32_t at)\n{\n",
		o->c_name);
	out(e, "\tstruct tela_fb_table t;\n");
	if (tables)
		out(e, vectors ? "\tuint32_t from, n, to;\n" : "\tuint32_t to;\n");
	out(e, "\n\tif (!tela_fb_enter(v, at, &t))\n\t\treturn false;\n");
	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];
		const enum kind kind = field_kind(e->s, f);

		if (f->deprecated)
			continue;
		if (kind == KIND_TABLE)
			verify_table(e, f);
		else if (kind == KIND_TABLES)
			verify_tables(e, f);
		else
			verify_simple(e, f);
	}
	out(e, "\treturn tela_fb_leave(v);\n}\n\n");
}

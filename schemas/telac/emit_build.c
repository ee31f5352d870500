/* emit_build.c - builders.
 *
 * The general path writes what is present and differs from its default. It takes three functions a
 * table: its shape (bytes of table and vtable), the end of it and its children (measure), and
 * writing (put). Children follow their table in the order of their ids.
 *
 * A root table without tables or vectors of offsets in it has a second path, emit_whole.c: where
 * all its references are there, everything up to its first child is a constant image.
 */
#include "emit.h"
#include "emit_build.h"

#include <inttypes.h>
#include <string.h>

bool is_vector(enum kind kind)
{
	return kind >= KIND_SCALARS;
}

bool is_child(enum kind kind)
{
	return kind >= KIND_STRING;
}

void out_present(struct emit *e, const struct field *f)
{
	switch (field_kind(e->s, f)) {
	case KIND_SCALAR:
		if (base_is_real(f->type.base))
			out(e, "!tela_fb_same_%s(a->%s, %s)", c_short(&f->type), f->member,
				c_default(f));
		else
			out(e, "a->%s != %s", f->member, c_default(f));
		return;
	case KIND_STRING:
		out(e, "a->%s.s", f->member);
		return;
	case KIND_BYTES:
		out(e, "a->%s.data", f->member);
		return;
	case KIND_UNION:
		out(e, "a->%s.type", f->member);
		return;
	case KIND_UTYPE:
	case KIND_UTYPES:
		out_present(e, f + 1);
		return;
	default:
		out(e, "a->%s", f->member);
	}
}

static void emit_shape(struct emit *e, const struct object *o)
{
	size_t i;

	out(e, "static inline struct tela_fb_shape %s_fb_shape(const struct %s_args *a)\n{\n",
		o->c_name, o->c_name);
	out(e, "\tstruct tela_fb_shape s = {4, 4, 4};\n\n");
	if (!o->n_order)
		out(e, "\t(void)a;\n");
	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];

		if (f->deprecated)
			continue;
		out(e, "\tif (");
		out_present(e, f);
		out(e, ")\n\t\ttela_fb_shape_add(&s, %u, %" PRIu32 ", %" PRIu32 ");\n",
			slot_of(f) + 2, field_size(e->s, f), field_align(e->s, f));
	}
	out(e, "\treturn s;\n}\n\n");
}

void out_measure(struct emit *e, const struct field *f, const char *indent)
{
	const enum kind kind = field_kind(e->s, f);

	out(e, "%spos = tela_fb_measure_", indent);
	switch (kind) {
	case KIND_STRING:
		out(e, f->shared ? "shared(pos, x, a->%s);\n" : "str(pos, a->%s);\n", f->member);
		return;
	case KIND_STRINGS:
		out(e, "strs(pos, a->%s, a->%s_len, %" PRIu32 ");\n", f->member, f->member,
			element_align(e->s, f));
		return;
	case KIND_BYTES:
		out(e, "vector(pos, a->%s.data, a->%s.len, 1, %" PRIu32 ", 0);\n", f->member,
			f->member, element_align(e->s, f));
		return;
	default:
		out(e, "vector(pos, a->%s, a->%s_len, %" PRIu32 ", %" PRIu32 ", 0);\n", f->member,
			f->member, element_size(e->s, f), element_align(e->s, f));
	}
}

/* Lengths without a pointer are a mistake of the caller's, and so is a required field left out. */
void out_mistakes(struct emit *e, const struct object *o)
{
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];
		const enum kind kind = field_kind(e->s, f);

		if (field_is_hidden(f))
			continue;
		if (!f->required && (!is_child(kind) || kind == KIND_TABLE || kind == KIND_UNION))
			continue;
		out(e, "\tif (!");
		out_present(e, f);
		if (!f->required)
			out(e, " && a->%s%slen", f->member, is_vector(kind) ? "_" : ".");
		out(e, ")\n\t\treturn 0;\n");
	}
}

/* What has functions of its own for verifying, measuring and putting: a table, or a union. */
static const char *c_inner(struct emit *e, const struct field *f)
{
	const struct enumeration *u = type_union(e->s, &f->type);

	return u ? u->c_name : type_object(e->s, &f->type)->c_name;
}

static const char *inner_share(struct emit *e, const struct field *f)
{
	const struct enumeration *u = type_union(e->s, &f->type);

	return share_argument(u ? u->shares : type_object(e->s, &f->type)->shares);
}

static void measure_child(struct emit *e, const struct field *f)
{
	const enum kind kind = field_kind(e->s, f);
	const bool vector = kind == KIND_TABLES || kind == KIND_UNIONS;

	if (kind == KIND_UTYPES)
		return; /* with its union */
	out(e, "\tif (");
	out_present(e, f);
	if (kind == KIND_TABLE || kind == KIND_UNION) {
		out(e, " && pos)\n\t\tpos = %s_fb_measure(pos, %sa->%s, depth + 1%s);\n",
			c_inner(e, f), kind == KIND_UNION ? "&" : "", f->member, inner_share(e, f));
		return;
	}
	out(e, ")%s\n", vector ? " {" : "");
	if (kind == KIND_UNIONS)
		out(e, "\t\tpos = tela_fb_measure_vector(pos, a->%s, a->%s_len, 1, 4, 0);\n",
			f->member, f->member);
	out_measure(e, f, "\t\t");
	if (!vector)
		return;
	out(e, "\t\tfor (i = 0; i < a->%s_len && pos; i++)\n", f->member);
	out(e, "\t\t\tpos = %s_fb_measure(pos, &a->%s[i], depth + 1%s);\n\t}\n", c_inner(e, f),
		f->member, inner_share(e, f));
}

bool has_kind(struct emit *e, const struct object *o, enum kind kind)
{
	size_t i;

	for (i = 0; i < o->n_order; i++) {
		if (field_kind(e->s, &o->fields[o->order[i]]) == kind)
			return true;
	}
	return false;
}

static void emit_measure(struct emit *e, const struct object *o)
{
	size_t i;

	out(e,
		"static inline uint64_t %s_fb_measure(\n"
		"\tuint64_t pos, const struct %s_args *a, unsigned depth%s)\n{\n",
		o->c_name, o->c_name, share_parameter(o->shares));
	out(e, "\tconst struct tela_fb_shape s = %s_fb_shape(a);\n", o->c_name);
	if (has_kind(e, o, KIND_TABLES) || has_kind(e, o, KIND_UNIONS))
		out(e, "\tsize_t i;\n");
	if (o->shared_vtable)
		out(e, "\tuint16_t vtable[%zu];\n", 2 + o->n_fields);
	out(e, "\n\tif (depth > TELA_FB_DEPTH_MAX)\n\t\treturn 0;\n");
	out_mistakes(e, o);
	if (o->shared_vtable) {
		out(e, "\t%s_fb_vtable(a, &s, vtable);\n", o->c_name);
		out(e, "\tpos = tela_fb_measure_shared_table(pos, x, &s, vtable);\n");
	} else
		out(e, "\tpos = tela_fb_measure_table(pos, &s);\n");
	for (i = 0; i < o->n_fields; i++) {
		if (!o->fields[i].deprecated && is_child(field_kind(e->s, &o->fields[i])))
			measure_child(e, &o->fields[i]);
	}
	out(e, "\treturn pos;\n}\n\n");
}

/* The inline part: a value, or for a child the place of its offset. */
static void put_slot(struct emit *e, const struct object *o, const struct field *f)
{
	const enum kind kind = field_kind(e->s, f);

	out(e, "\tif (");
	out_present(e, f);
	out(e, ")%s\n", is_child(kind) ? "" : " {");
	out(e, "\t\t%s = ", is_child(kind) ? f->c_ref : "field");
	if (o->shared_vtable)
		out(e, "tela_fb_step(at, &next, %" PRIu32 ");\n", field_size(e->s, f));
	else
		out(e, "tela_fb_put_slot(buf, at, s.vsize, %u, &next, %" PRIu32 ");\n", slot_of(f),
			field_size(e->s, f));
	if (kind == KIND_SCALAR)
		out(e, "\t\ttela_fb_store_%s(buf + field, a->%s);\n\t}\n", c_short(&f->type),
			f->member);
	else if (kind == KIND_UTYPE)
		out(e, "\t\tbuf[field] = a->%s.type;\n\t}\n", f[1].member);
	else if (kind == KIND_OPTIONAL)
		out(e, "\t\ttela_fb_store_%s(buf + field, *a->%s);\n\t}\n", c_short(&f->type),
			f->member);
	else if (kind == KIND_STRUCT)
		out(e, "\t\t%s_store(buf + field, a->%s);\n\t}\n",
			type_object(e->s, &f->type)->c_name, f->member);
}

/* Writes a child that is no table and holds none; `ref` is where its offset stands. */
void out_put(struct emit *e, const struct field *f, const char *ref)
{
	const struct object *o = type_object(e->s, &f->type);

	if (field_kind(e->s, f) == KIND_STRUCTS && struct_has_padding(e->s, o)) {
		out(e, "pos = %s_fb_put_vector(buf, pos, %s, a->%s, a->%s_len, %" PRIu32 ");\n",
			o->c_name, ref, f->member, f->member, element_align(e->s, f));
		return;
	}
	switch (field_kind(e->s, f)) {
	case KIND_STRING:
		out(e, "pos = tela_fb_put_%s(buf, pos, %s, %sa->%s);\n",
			f->shared ? "shared" : "str", ref, f->shared ? "x, " : "", f->member);
		return;
	case KIND_STRINGS:
		out(e, "pos = tela_fb_put_strs(buf, pos, %s, a->%s, a->%s_len, %" PRIu32 ");\n",
			ref, f->member, f->member, element_align(e->s, f));
		return;
	case KIND_BYTES:
		out(e,
			"pos = tela_fb_put_vector(buf, pos, %s, a->%s.data, a->%s.len, 1, %" PRIu32
			");\n",
			ref, f->member, f->member, element_align(e->s, f));
		return;
	default:
		out(e,
			"pos = tela_fb_put_vector(buf, pos, %s, a->%s, a->%s_len, %" PRIu32
			", %" PRIu32 ");\n",
			ref, f->member, f->member, element_size(e->s, f), element_align(e->s, f));
	}
}

static void put_child(struct emit *e, const struct field *f)
{
	const enum kind kind = field_kind(e->s, f);

	if (kind == KIND_UTYPES)
		return; /* with its union */
	if (kind == KIND_TABLE) {
		out(e, "\tif (%s) {\n", f->c_ref);
		out(e, "\t\tpos = %s_fb_put(buf, pos, a->%s, &child%s);\n", c_inner(e, f),
			f->member, inner_share(e, f));
		out(e, "\t\ttela_fb_put_ref(buf, %s, child);\n\t}\n", f->c_ref);
		return;
	}
	if (kind == KIND_UNION) {
		out(e, "\tif (%s)\n\t\tpos = %s_fb_put(buf, pos, %s, &a->%s%s);\n", f->c_ref,
			c_inner(e, f), f->c_ref, f->member, inner_share(e, f));
		return;
	}
	if (kind != KIND_TABLES && kind != KIND_UNIONS) {
		out(e, "\tif (%s)\n\t\t", f->c_ref);
		out_put(e, f, f->c_ref);
		return;
	}
	out(e, "\tif (%s) {\n", f->c_ref);
	if (kind == KIND_UNIONS) {
		out(e, "\t\tfirst = tela_fb_put_length(buf, pos, %s, a->%s_len, 4);\n", f[-1].c_ref,
			f->member);
		out(e, "\t\tfor (i = 0; i < a->%s_len; i++)\n", f->member);
		out(e, "\t\t\tbuf[first + i] = a->%s[i].type;\n", f->member);
		out(e, "\t\tpos = first + (uint32_t)i;\n");
	}
	out(e, "\t\tfirst = tela_fb_put_length(buf, pos, %s, a->%s_len, %" PRIu32 ");\n", f->c_ref,
		f->member, element_align(e->s, f));
	out(e, "\t\tpos = first + 4 * (uint32_t)a->%s_len;\n", f->member);
	if (kind == KIND_UNIONS) {
		out(e, "\t\tfor (i = 0; i < a->%s_len; i++)\n", f->member);
		out(e, "\t\t\tpos = %s_fb_put(buf, pos, first + 4 * (uint32_t)i, &a->%s[i]%s);\n",
			c_inner(e, f), f->member, inner_share(e, f));
		out(e, "\t}\n");
		return;
	}
	out(e, "\t\tfor (i = 0; i < a->%s_len; i++) {\n", f->member);
	out(e, "\t\t\tpos = %s_fb_put(buf, pos, &a->%s[i], &child%s);\n", c_inner(e, f), f->member,
		inner_share(e, f));
	out(e, "\t\t\ttela_fb_put_ref(buf, first + 4 * (uint32_t)i, child);\n\t\t}\n\t}\n");
}

static void put_variables(struct emit *e, const struct object *o)
{
	const bool tables = has_kind(e, o, KIND_TABLES);
	const bool inlines = has_kind(e, o, KIND_SCALAR) || has_kind(e, o, KIND_OPTIONAL) ||
			     has_kind(e, o, KIND_STRUCT) || has_kind(e, o, KIND_UTYPE);
	size_t i;

	out(e, "\tconst struct tela_fb_shape s = %s_fb_shape(a);\n", o->c_name);
	out(e,
		o->shared_vtable ? "\tuint16_t vtable[%zu];\n\tuint32_t at;\n"
				 : "\tconst uint32_t at = tela_fb_put_table(buf, pos, &s);\n",
		2 + o->n_fields);
	if (o->n_order)
		out(e, "\tuint32_t next = 4;\n");
	if (inlines)
		out(e, "\tuint32_t field;\n");
	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];

		if (!f->deprecated && is_child(field_kind(e->s, f)))
			out(e, "\tuint32_t %s = 0;\n", f->c_ref);
	}
	if (tables || has_kind(e, o, KIND_UNIONS))
		out(e, "\tuint32_t first;\n\tsize_t i;\n");
	if (tables || has_kind(e, o, KIND_TABLE))
		out(e, "\tuint32_t child;\n");
	out(e, "\n");
}

static void emit_put(struct emit *e, const struct object *o)
{
	size_t i;

	out(e,
		"static inline uint32_t %s_fb_put(\n"
		"\tuint8_t *buf, uint32_t pos, const struct %s_args *a, uint32_t *ret_at%s)\n{\n",
		o->c_name, o->c_name, share_parameter(o->shares));
	put_variables(e, o);
	if (o->shared_vtable) {
		out(e, "\t%s_fb_vtable(a, &s, vtable);\n", o->c_name);
		out(e, "\tat = tela_fb_put_shared_table(buf, pos, x, &s, vtable);\n");
	}
	for (i = 0; i < o->n_order; i++)
		put_slot(e, o, &o->fields[o->order[i]]);
	out(e, "\tpos = at + s.size;\n\t*ret_at = at;\n");
	for (i = 0; i < o->n_fields; i++) {
		if (!o->fields[i].deprecated && is_child(field_kind(e->s, &o->fields[i])))
			put_child(e, &o->fields[i]);
	}
	out(e, "\treturn pos;\n}\n\n");
}

/* The vtable by itself, to be compared with those that are there. */
static void emit_vtable(struct emit *e, const struct object *o)
{
	size_t i;

	out(e,
		"static inline void %s_fb_vtable(\n"
		"\tconst struct %s_args *a, const struct tela_fb_shape *s, uint16_t *vtable)\n{\n",
		o->c_name, o->c_name);
	out(e, "\tuint32_t next = 4;\n\n");
	out(e, "\t(void)a;\n\t(void)next;\n");
	out(e, "\tmemset(vtable, 0, s->vsize);\n\tvtable[0] = (uint16_t)s->vsize;\n");
	out(e, "\tvtable[1] = (uint16_t)s->size;\n");
	for (i = 0; i < o->n_order; i++) {
		const struct field *f = &o->fields[o->order[i]];

		out(e, "\tif (");
		out_present(e, f);
		out(e, ")\n\t\tvtable[%u] = (uint16_t)tela_fb_step(0, &next, %" PRIu32 ");\n",
			slot_of(f) / 2, field_size(e->s, f));
	}
	out(e, "}\n\n");
}

void emit_builder(struct emit *e, const struct object *o)
{
	emit_shape(e, o);
	if (o->shared_vtable)
		emit_vtable(e, o);
	emit_measure(e, o);
	emit_put(e, o);
}

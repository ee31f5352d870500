/* emit_desc.c - the descriptor of a schema, for who prints its messages: what tela_fb.h says of it.
 *
 * Names are written in the order in which the lists before them name them, so their places are
 * counted and not looked up.
 */
#include "emit.h"

#include <inttypes.h>
#include <string.h>

struct places {
	uint32_t types, fields, values, names; /* how many so far; of names, their bytes */
};

/* The place of the next of the names. */
static uint32_t name_at(struct places *p, const char *text)
{
	const uint32_t at = p->names;

	p->names += (uint32_t)strlen(text) + 1;
	return at;
}

static bool is_described(const struct object *o, const struct field *f)
{
	return o->is_struct || !field_is_hidden(f);
}

static uint32_t count_fields(const struct object *o)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < o->n_fields; i++)
		n += is_described(o, &o->fields[i]);
	return n;
}

/* Number of a type: objects stand first. */
static void out_number(struct emit *e, const struct object *o, const struct enumeration *n)
{
	if (o)
		out(e, "%zu, ", (size_t)(o - e->s->objects));
	else if (n)
		out(e, "%zu, ", e->s->n_objects + (size_t)(n - e->s->enums));
	else
		out(e, "TELA_FB_NO_TYPE, ");
}

static void list_types(struct emit *e, const char *c, struct places *p)
{
	const struct schema *s = e->s;
	size_t i;

	for (i = 0; i < s->n_objects + s->n_enums; i++) {
		const struct object *o = i < s->n_objects ? &s->objects[i] : NULL;
		const struct enumeration *n = o ? NULL : &s->enums[i - s->n_objects];
		const uint32_t first = o ? p->fields : p->values;
		const uint32_t many = o ? count_fields(o) : (uint32_t)n->n_values;

		out(e,
			"\t\t{offsetof(struct %s_fb_desc, types[%zu]), %" PRIu32 ", %" PRIu32
			", %" PRIu32 ", ",
			c, i, name_at(p, o ? o->name : n->name), first, many);
		if (o)
			out(e, "%" PRIu32 ", %" PRIu32 ", TELA_FB_IS_%s, 0},\n", o->size, o->align,
				o->is_struct ? "STRUCT" : "TABLE");
		else
			out(e, "0, 0, TELA_FB_IS_%s, %d},\n", n->is_union ? "UNION" : "ENUM",
				n->bit_flags);
		*(o ? &p->fields : &p->values) += many;
	}
}

static void list_field(struct emit *e, const struct field *f, struct places *p)
{
	static const char *const units[BASE_COUNT] = {"", "UTYPE", "BOOL", "BYTE", "UBYTE", "SHORT",
		"USHORT", "INT", "UINT", "LONG", "ULONG", "FLOAT", "DOUBLE", "STRING", "", "OBJECT",
		"UNION", ""};
	const struct type *t = &f->type;
	const enum base unit = type_unit(t);
	const char *form = unit == t->base ? "ONE" : t->base == BASE_ARRAY ? "ARRAY" : "VECTOR";
	const struct enumeration *n = type_union(e->s, t);

	out(e, "\t\t{%" PRIu32 ", ", name_at(p, f->name));
	out_number(e, f->nested ? f->nested : type_object(e->s, t), n ? n : type_enum(e->s, t));
	out(e, "%u, %u, TELA_FB_%s, TELA_FB_%s, %d, %d},\n", slot_of(f),
		t->base == BASE_ARRAY ? t->length : 0, units[unit], form, f->required,
		f->nested != NULL);
}

static void list_fields(struct emit *e, struct places *p)
{
	const struct schema *s = e->s;
	size_t i, k;

	for (i = 0; i < s->n_objects; i++) {
		for (k = 0; k < s->objects[i].n_fields; k++) {
			if (is_described(&s->objects[i], &s->objects[i].fields[k]))
				list_field(e, &s->objects[i].fields[k], p);
		}
	}
}

static void list_values(struct emit *e, struct places *p)
{
	const struct schema *s = e->s;
	size_t i, k;

	for (i = 0; i < s->n_enums; i++) {
		for (k = 0; k < s->enums[i].n_values; k++) {
			const struct enum_value *v = &s->enums[i].values[k];
			const struct type none = {BASE_NONE, BASE_NONE, -1, 0};

			if (v->value == INT64_MIN)
				out(e, "\t\t{INT64_MIN, ");
			else
				out(e, "\t\t{INT64_C(%" PRId64 "), ", v->value);
			out(e, "%" PRIu32 ", ", name_at(p, v->name));
			out_number(e, type_object(e->s, s->enums[i].is_union ? &v->type : &none),
				NULL);
			out(e, "},\n");
		}
	}
}

/* In the order of the lists. */
static void list_names(struct emit *e)
{
	const struct schema *s = e->s;
	size_t i, k;

	for (i = 0; i < s->n_objects; i++)
		out(e, "\t\t\"%s\\0\"\n", s->objects[i].name);
	for (i = 0; i < s->n_enums; i++)
		out(e, "\t\t\"%s\\0\"\n", s->enums[i].name);
	for (i = 0; i < s->n_objects; i++) {
		for (k = 0; k < s->objects[i].n_fields; k++) {
			if (is_described(&s->objects[i], &s->objects[i].fields[k]))
				out(e, "\t\t\"%s\\0\"\n", s->objects[i].fields[k].name);
		}
	}
	for (i = 0; i < s->n_enums; i++) {
		for (k = 0; k < s->enums[i].n_values; k++)
			out(e, "\t\t\"%s\\0\"\n", s->enums[i].values[k].name);
	}
}

/* How many of each there will be. */
static struct places count_all(const struct schema *s)
{
	struct places p = {0};
	size_t i, k;

	p.types = (uint32_t)(s->n_objects + s->n_enums);
	for (i = 0; i < s->n_objects; i++) {
		const struct object *o = &s->objects[i];

		name_at(&p, o->name);
		p.fields += count_fields(o);
		for (k = 0; k < o->n_fields; k++) {
			if (is_described(o, &o->fields[k]))
				name_at(&p, o->fields[k].name);
		}
	}
	for (i = 0; i < s->n_enums; i++) {
		name_at(&p, s->enums[i].name);
		p.values += (uint32_t)s->enums[i].n_values;
		for (k = 0; k < s->enums[i].n_values; k++)
			name_at(&p, s->enums[i].values[k].name);
	}
	return p;
}

static void out_desc(struct emit *e, const char *c)
{
	const struct places n = count_all(e->s);
	struct places p = {0};

	out(e, "/* What %s says of its messages, for tela_fb_print(). */\n", e->s->file);
	out(e, "static const struct %s_fb_desc {\n\tstruct tela_fb_desc head;\n", c);
	out(e, "\tstruct tela_fb_desc_type types[%" PRIu32 "];\n", n.types);
	out(e, "\tstruct tela_fb_desc_field fields[%" PRIu32 "];\n", n.fields ? n.fields : 1);
	out(e, "\tstruct tela_fb_desc_value values[%" PRIu32 "];\n", n.values ? n.values : 1);
	out(e, "\tchar names[%" PRIu32 "];\n} %s_fb_desc __attribute__((unused)) = {\n",
		n.names + 1, c);
	out(e, "\t{sizeof(struct %s_fb_desc), %" PRIu32 ", offsetof(struct %s_fb_desc, types),\n",
		c, n.types, c);
	out(e, "\t\toffsetof(struct %s_fb_desc, fields), offsetof(struct %s_fb_desc, values),\n", c,
		c);
	out(e, "\t\toffsetof(struct %s_fb_desc, names)},\n\t{\n", c);
	list_types(e, c, &p);
	out(e, "\t},\n\t{\n");
	list_fields(e, &p);
	out(e, "%s\t},\n\t{\n", n.fields ? "" : "\t\t{0, 0, 0, 0, 0, 0, 0, 0},\n");
	list_values(e, &p);
	out(e, "%s\t},\n", n.values ? "" : "\t\t{0, 0, 0},\n");
	list_names(e);
	out(e, "};\n\n");
}

void emit_desc(struct emit *e)
{
	const struct schema *s = e->s;
	const char *c = NULL; /* the file's first table names it */
	size_t i;

	for (i = 0; i < s->n_objects; i++) {
		const struct object *o = &s->objects[i];

		if (o->is_struct || !schema_owns(s, o->file))
			continue;
		if (!c)
			out_desc(e, c = o->c_name);
		out(e, "#define %s_DESC (&%s_fb_desc.types[%zu])\n", o->c_name, c, i);
	}
}

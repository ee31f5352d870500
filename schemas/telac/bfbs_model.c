/* bfbs_model.c - see bfbs_model.h. flatc would not write what this rejects: the file is damaged, or
 * a newer flatc's. So the messages name what is wrong rather than teach.
 */
#include "bfbs_model.h"

#include <ctype.h>
#include <string.h>

/* An identifier, or several with dots between them. */
static bool is_name(const char *s, bool dots)
{
	bool start = true;

	for (; *s; s++) {
		if (start ? !isalpha((unsigned char)*s) && *s != '_'
			  : !isalnum((unsigned char)*s) && *s != '_' && !(dots && *s == '.'))
			return false;
		start = *s == '.';
	}
	return !start;
}

static bool fits(enum base b, int64_t v)
{
	const unsigned bits = 8 * base_size(b);

	switch (b) {
	case BASE_BOOL:
		return v == 0 || v == 1;
	case BASE_BYTE:
	case BASE_SHORT:
	case BASE_INT:
		return v >= -((int64_t)1 << (bits - 1)) && v < (int64_t)1 << (bits - 1);
	case BASE_UTYPE:
	case BASE_UBYTE:
	case BASE_USHORT:
	case BASE_UINT:
		return v >= 0 && v < (int64_t)1 << bits;
	default:
		return true;
	}
}

/* NONE is 0, and every other member a table, a struct or a string, each with a value of its own. */
static const char *check_union(struct schema *s, const struct enumeration *e)
{
	bool seen[UINT8_MAX + 1] = {false};
	size_t i;

	for (i = 0; i < e->n_values; i++) {
		const struct enum_value *v = &e->values[i];
		const struct type *t = &v->type;
		const bool object =
			t->base == BASE_OBJ && t->index >= 0 && (size_t)t->index < s->n_objects;

		if (seen[v->value] || t->element != BASE_NONE || t->length ||
			(v->value ? !object && t->base != BASE_STRING : t->base != BASE_NONE))
			return schema_format(
				s, "union %s cannot have a member %s", e->name, v->name);
		seen[v->value] = true;
	}
	return seen[0] ? NULL : schema_format(s, "union %s has no NONE", e->name);
}

static const char *check_enum(struct schema *s, const struct enumeration *e)
{
	size_t i;

	if (!is_name(e->name, true))
		return "an enum has no proper name";
	if (!base_is_scalar(e->base) || base_is_real(e->base) ||
		e->is_union != (e->base == BASE_UTYPE))
		return schema_format(s, "enum %s is not of an integer type", e->name);
	for (i = 0; i < e->n_values; i++) {
		if (!is_name(e->values[i].name, false))
			return schema_format(s, "enum %s has a value without a name", e->name);
		if (!fits(e->base, e->values[i].value))
			return schema_format(
				s, "%s.%s does not fit its type", e->name, e->values[i].name);
	}
	return e->is_union ? check_union(s, e) : NULL;
}

static bool type_is_sound(const struct schema *s, const struct type *t)
{
	const enum base b = type_unit(t);

	if ((t->base == BASE_ARRAY) != (t->length != 0))
		return false;
	if (b == BASE_NONE || b == BASE_VECTOR || b == BASE_ARRAY)
		return false;
	if (b == BASE_OBJ)
		return t->index >= 0 && (size_t)t->index < s->n_objects;
	if (b == BASE_UNION || b == BASE_UTYPE)
		return t->index >= 0 && (size_t)t->index < s->n_enums &&
		       s->enums[t->index].is_union;
	return t->index < 0 || ((size_t)t->index < s->n_enums && s->enums[t->index].base == b);
}

/* The type of a union stands in the field before it. */
static bool union_is_paired(const struct object *o, size_t i)
{
	const enum base b = type_unit(&o->fields[i].type);
	const struct field *type, *value;
	size_t n;

	if (b != BASE_UNION && b != BASE_UTYPE)
		return true;
	if (o->is_struct || (b == BASE_UNION ? i == 0 : i + 1 == o->n_fields))
		return false;
	type = &o->fields[b == BASE_UNION ? i - 1 : i];
	value = type + 1;
	n = strlen(value->name);
	return type_unit(&type->type) == BASE_UTYPE && type_unit(&value->type) == BASE_UNION &&
	       type->type.index == value->type.index && type->deprecated == value->deprecated &&
	       (type->type.base == BASE_VECTOR) == (value->type.base == BASE_VECTOR) &&
	       !strncmp(type->name, value->name, n) && !strcmp(type->name + n, "_type");
}

static const char *check_field(struct schema *s, const struct object *o, size_t i)
{
	const struct field *f = &o->fields[i];

	if (!is_name(f->name, false))
		return schema_format(s, "%s has a field without a name", o->name);
	if (!type_is_sound(s, &f->type) || (f->type.base == BASE_ARRAY && !o->is_struct))
		return schema_format(s, "%s.%s has an impossible type", o->name, f->name);
	if (!union_is_paired(o, i))
		return schema_format(s, "union %s.%s has no type beside it", o->name, f->name);
	if (f->id != i || i > (UINT16_MAX - 4) / 2)
		return schema_format(s, "the ids of %s are not 0, 1, 2, ...", o->name);
	if (!o->is_struct && f->offset != 4 + 2 * i)
		return schema_format(s, "%s.%s is not where its id says", o->name, f->name);
	if (base_is_scalar(f->type.base) && !fits(f->type.base, f->default_integer))
		return schema_format(
			s, "the default of %s.%s does not fit its type", o->name, f->name);
	return NULL;
}

/* Structs lie as C would lay them out. */
static const char *check_struct(struct schema *s, const struct object *o)
{
	uint32_t end = 0, align = 1;
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];
		const struct object *inner = type_object(s, &f->type);
		uint32_t size;

		if (f->type.base == BASE_VECTOR ||
			(!inner && !base_is_scalar(type_unit(&f->type))) ||
			(base_is_scalar(f->type.base) && f->optional))
			return schema_format(
				s, "struct %s has a field that is no plain scalar", o->name);
		if (inner && (!inner->is_struct || !inner->size || inner->align > ALIGN_MAX))
			return schema_format(s, "struct %s contains what is no struct", o->name);
		size = field_size(s, f);
		if (size > UINT16_MAX || o->size > UINT16_MAX)
			return schema_format(s,
				"struct %s has more than 65,535 bytes, and places of fields are 16 "
				"bits",
				o->name);
		if (field_align(s, f) > align)
			align = field_align(s, f);
		if (!field_align(s, f) || f->offset % field_align(s, f) || f->offset < end ||
			f->offset - end >= field_align(s, f))
			return schema_format(s, "%s.%s is misplaced", o->name, f->name);
		end = f->offset + size;
	}
	if (o->align < align || o->align > ALIGN_MAX || (o->align & (o->align - 1)) ||
		o->size < end || o->size % o->align || o->size - end >= o->align || !end)
		return schema_format(s, "the size or alignment of struct %s is wrong", o->name);
	return NULL;
}

/* Appends `o` to the order of structs behind those that it contains; false if it contains itself.
 */
static bool settle(struct schema *s, struct object *o, unsigned depth)
{
	size_t i;

	if (o->settled)
		return true;
	if (depth > 64)
		return false;
	for (i = 0; i < o->n_fields; i++) {
		const struct object *inner = type_object(s, &o->fields[i].type);

		if (inner && !settle(s, &s->objects[inner - s->objects], depth + 1))
			return false;
	}
	o->settled = true;
	s->structs[s->n_structs++] = o;
	return true;
}

static const char *check_structs(struct schema *s)
{
	const char *why = NULL;
	size_t i;

	s->structs = schema_alloc(s, s->n_objects + 1, sizeof(struct object *));
	for (i = 0; i < s->n_objects && !why; i++) {
		if (s->objects[i].is_struct)
			why = check_struct(s, &s->objects[i]);
	}
	for (i = 0; i < s->n_objects && !why; i++) {
		if (s->objects[i].is_struct && !settle(s, &s->objects[i], 1))
			why = schema_format(s, "struct %s contains itself, or too many structs",
				s->objects[i].name);
	}
	return why;
}

const char *model_check_types(struct schema *s)
{
	const char *why = NULL;
	size_t i, k;

	for (i = 0; i < s->n_enums && !why; i++)
		why = check_enum(s, &s->enums[i]);
	for (i = 0; i < s->n_objects && !why; i++) {
		const struct object *o = &s->objects[i];

		if (!is_name(o->name, true))
			return "a table or struct has no proper name";
		if (i && strcmp(s->objects[i - 1].name, o->name) >= 0)
			return schema_format(s, "%s is out of order", o->name);
		for (k = 0; k < o->n_fields && !why; k++)
			why = check_field(s, o, k);
	}
	return why ? why : check_structs(s);
}

const char *model_check_services(struct schema *s)
{
	size_t i, k;

	if (*s->ident && strlen(s->ident) != 4)
		return "a file identifier is not of 4 bytes";
	if (s->root && s->root->is_struct)
		return "the root is no table";
	for (i = 0; i < s->n_services; i++) {
		const struct service *v = &s->services[i];

		if (!is_name(v->name, true))
			return "a service has no proper name";
		for (k = 0; k < v->n_methods; k++) {
			if (!is_name(v->methods[k].name, false))
				return schema_format(s, "%s has a method without a name", v->name);
			if (v->methods[k].request->is_struct || v->methods[k].response->is_struct)
				return schema_format(s, "%s.%s does not take and give tables",
					v->name, v->methods[k].name);
		}
	}
	return NULL;
}

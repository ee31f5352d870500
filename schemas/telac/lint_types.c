/* lint_types.c - two versions of a table, a struct, an enum or a union. */
#include "lint_walk.h"

#include <inttypes.h>
#include <string.h>

static const char *base_name(enum base b)
{
	static const char *const names[BASE_COUNT] = {
		[BASE_UTYPE] = "type of a union",
		[BASE_BOOL] = "bool",
		[BASE_BYTE] = "byte",
		[BASE_UBYTE] = "ubyte",
		[BASE_SHORT] = "short",
		[BASE_USHORT] = "ushort",
		[BASE_INT] = "int",
		[BASE_UINT] = "uint",
		[BASE_LONG] = "long",
		[BASE_ULONG] = "ulong",
		[BASE_FLOAT] = "float",
		[BASE_DOUBLE] = "double",
		[BASE_STRING] = "string",
		[BASE_OBJ] = "table",
		[BASE_UNION] = "union",
	};

	return b < BASE_COUNT && names[b] ? names[b] : "none";
}

/* As a schema writes it: [kv.Item]. */
static const char *type_text(struct lint_walk *w, const struct schema *s, const struct type *t)
{
	const struct object *o = type_object(s, t);
	const struct enumeration *e = lint_enum_of(s, t);
	const char *name = o ? o->name : (e ? e->name : base_name(type_unit(t)));

	if (t->base == BASE_ARRAY)
		return schema_format(w->lint->newer, "[%s:%u]", name, t->length);
	return t->base == BASE_VECTOR ? schema_format(w->lint->newer, "[%s]", name) : name;
}

static const char *last_part_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

/* In each other's place, and the only ones of their names: a rename. */
static bool renamed_object(
	const struct lint_walk *w, const struct object *o, const struct object *n)
{
	return !lint_object(w->newer, o->name) && !lint_object(w->older, n->name);
}

static bool renamed_enum(
	const struct lint_walk *w, const struct enumeration *o, const struct enumeration *n)
{
	return !lint_enum(w->newer, o->name) && !lint_enum(w->older, n->name);
}

enum { TYPE_SAME, TYPE_RENAMED, TYPE_OTHER };

/* Meets what both refer to. flatc compares the last part of a type's name, so `RENAMED` fails too.
 */
static int compare_types(struct lint_walk *w, const struct type *o, const struct type *n)
{
	const struct object *oo = type_object(w->older, o), *no = type_object(w->newer, n);
	const struct enumeration *oe = lint_enum_of(w->older, o), *ne = lint_enum_of(w->newer, n);
	const char *was = oo ? oo->name : (oe ? oe->name : ""),
		   *is = no ? no->name : (ne ? ne->name : "");
	bool renamed;

	if (o->base != n->base || o->element != n->element || o->length != n->length ||
		!oo != !no || !oe != !ne)
		return TYPE_OTHER;
	if (oo && strcmp(was, is) && !renamed_object(w, oo, no))
		return TYPE_OTHER;
	if (oe && strcmp(was, is) && !renamed_enum(w, oe, ne))
		return TYPE_OTHER;
	renamed = strcmp(last_part_of(was), last_part_of(is));
	if (oo)
		lint_meet_objects(w, oo, no);
	if (oe)
		lint_meet_enums(w, oe, ne);
	return renamed ? TYPE_RENAMED : TYPE_SAME;
}

/* ---- fields ---- */

static const struct field *field_named(const struct object *o, const char *name)
{
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		if (!strcmp(o->fields[i].name, name))
			return &o->fields[i];
	}
	return NULL;
}

/* A deprecated field is neither written nor asked for. */
static bool is_required(const struct field *f)
{
	return f->required && !f->deprecated;
}

static const char *default_text(struct lint_walk *w, const struct field *f)
{
	if (f->optional && base_is_scalar(f->type.base))
		return "null";
	if (base_is_real(f->type.base))
		return schema_format(w->lint->newer, "%.17g", f->default_real);
	if (f->type.base == BASE_ULONG)
		return schema_format(w->lint->newer, "%" PRIu64, (uint64_t)f->default_integer);
	return schema_format(w->lint->newer, "%" PRId64, f->default_integer);
}

/* Attributes that change what the bytes of a field mean. */
static void compare_attributes(
	struct lint_walk *w, const struct about *a, const struct field *o, const struct field *n)
{
	static const char *const keys[] = {"nested_flatbuffer", "flexbuffer", "force_align"};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const char *was = attribute_find(&o->attributes, keys[i]),
			   *is = attribute_find(&n->attributes, keys[i]);

		if (!was != !is)
			lint_breaks(w, a, "`%s` was %s: the bytes mean something else", keys[i],
				is ? "added" : "removed");
		else if (was && strcmp(was, is))
			lint_breaks(w, a, "`%s` was \"%s\" and is now \"%s\"", keys[i], was, is);
	}
}

static void compare_flags(
	struct lint_walk *w, const struct about *a, const struct field *o, const struct field *n)
{
	if (is_required(o) && n->deprecated)
		lint_breaks(w, a,
			"deprecated, and was required: the new side leaves it out and the old one "
			"rejects that");
	else if (is_required(o) && !is_required(n))
		lint_breaks(w, a,
			"no longer required: the new side may leave it out and the old one rejects "
			"that");
	else if (!is_required(o) && is_required(n))
		lint_breaks(w, a,
			"now required: the old side may leave it out and the new one rejects that");
	else if (n->deprecated && !o->deprecated)
		lint_allows(
			w, a, "deprecated: no longer written, so the old side sees it as absent");
	else if (o->deprecated && !n->deprecated)
		lint_allows(w, a, "no longer deprecated: absent in what the old side writes");
}

/* One field, by its id. */
static void compare_field(
	struct lint_walk *w, const struct object *in, const struct field *o, const struct field *n)
{
	const struct about a = {"field", in->name, n->name, in, NULL, false};
	const int types = compare_types(w, &o->type, &n->type);

	if (types != TYPE_SAME)
		lint_breaks(w, &a, "type was %s and is now %s%s", type_text(w, w->older, &o->type),
			type_text(w, w->newer, &n->type),
			types == TYPE_RENAMED
				? ": the same bytes if nothing else is said of it, but code that "
				  "names it breaks, and flatc --conform fails"
				: "");
	if (types != TYPE_OTHER && strcmp(o->name, n->name))
		lint_allows(w, &a, "renamed from %s: names of fields are not on the wire", o->name);
	if (types == TYPE_OTHER)
		return;
	if (o->key != n->key)
		lint_breaks(w, &a, "`key` was %s: one side searches what the other does not sort",
			n->key ? "added" : "removed");
	if (in->is_struct)
		return;
	if (strcmp(default_text(w, o), default_text(w, n)))
		lint_breaks(w, &a,
			"default was %s and is now %s: each side reads absence as its own",
			default_text(w, o), default_text(w, n));
	compare_flags(w, &a, o, n);
	compare_attributes(w, &a, o, n);
}

static void added_field(struct lint_walk *w, const struct object *in, const struct field *f)
{
	const struct about a = {"field", in->name, f->name, in, NULL, false};

	if (in->is_struct)
		lint_breaks(w, &a, "added: a struct never changes");
	else if (is_required(f))
		lint_breaks(w, &a, "added as required: what the old side writes has none");
	else if (f->key)
		lint_breaks(w, &a, "added as `key`: what the old side writes is not sorted by it");
	else
		lint_allows(w, &a, "added with id %u: the old side skips it", f->id);
}

/* `n`: what its table is now. */
static void removed_field(struct lint_walk *w, const struct object *n, const struct field *f,
	const struct field *heir)
{
	const struct about a = {"field", n->name, f->name, n, NULL, false};

	if (n->is_struct)
		lint_breaks(w, &a, "removed: a struct never changes");
	else if (heir)
		lint_breaks(w, &a, "removed, and %s has its id %u", heir->name, f->id);
	else
		lint_breaks(w, &a,
			"removed: id %u could come back as something else; keep it, with "
			"(deprecated)",
			f->id);
}

/* The fields of one id do not have one name: each is new, gone or moved, or it is a rename. */
static void compare_strangers(struct lint_walk *w, const struct object *o, const struct object *n,
	const struct field *fo, const struct field *fn)
{
	const struct field *before = field_named(o, fn->name), *after = field_named(n, fo->name);
	const struct about a = {"field", n->name, fn->name, n, NULL, false};

	if (!before && !after && compare_types(w, &fo->type, &fn->type) != TYPE_OTHER) {
		compare_field(w, n, fo, fn);
		return;
	}
	if (before)
		lint_breaks(w, &a, "moved: %s was %u and is now %u",
			n->is_struct ? "its place" : "id", before->id, fn->id);
	else
		lint_breaks(w, &a,
			"added with id %u, which was that of %s: fields are added at the end, or "
			"with (id: ...)",
			fn->id, fo->name);
	if (!after)
		removed_field(w, n, fo, fn);
}

static bool is_utype(const struct field *f)
{
	return type_unit(&f->type) == BASE_UTYPE;
}

static void compare_fields(struct lint_walk *w, const struct object *o, const struct object *n)
{
	size_t i;

	for (i = 0; i < o->n_fields || i < n->n_fields; i++) {
		const struct field *fo = i < o->n_fields ? &o->fields[i] : NULL,
				   *fn = i < n->n_fields ? &n->fields[i] : NULL;
		const struct field *before = fn ? field_named(o, fn->name) : NULL;

		if ((!fo || is_utype(fo)) && (!fn || is_utype(fn)))
			continue; /* the union's own field follows and says it all */
		if (fo && fn && !strcmp(fo->name, fn->name)) {
			compare_field(w, n, fo, fn);
		} else if (fo && fn) {
			compare_strangers(w, o, n, fo, fn);
		} else if (fn && before) {
			const struct about a = {"field", n->name, fn->name, n, NULL, false};

			lint_breaks(w, &a, "moved: %s was %u and is now %u",
				n->is_struct ? "its place" : "id", before->id, fn->id);
		} else if (fn) {
			added_field(w, n, fn);
		} else if (!field_named(n, fo->name)) {
			removed_field(w, n, fo, NULL);
		}
	}
}

void lint_objects(struct lint_walk *w, const struct object *o, const struct object *n)
{
	const struct about a = {n->is_struct ? "struct" : "table", n->name, NULL, n, NULL, false};

	if (strcmp(o->name, n->name)) {
		if (renamed_object(w, o, n))
			lint_allows(w, &a, "renamed from %s: names of types are not on the wire",
				o->name);
		else
			w->stands_for = o->name;
	}
	if (o->is_struct != n->is_struct) {
		lint_breaks(w, &a, "was a %s and is now a %s", o->is_struct ? "struct" : "table",
			n->is_struct ? "struct" : "table");
		return;
	}
	compare_fields(w, o, n);
	if (o->size != n->size || o->align != n->align)
		lint_breaks(w, &a, "was %u bytes aligned to %u and is now %u aligned to %u",
			o->size, o->align, n->size, n->align);
}

/* ---- enums and unions ---- */

static const struct enum_value *value_named(const struct enumeration *e, const char *name)
{
	size_t i;

	for (i = 0; i < e->n_values; i++) {
		if (!strcmp(e->values[i].name, name))
			return &e->values[i];
	}
	return NULL;
}

static const struct enum_value *value_of(const struct enumeration *e, int64_t value)
{
	size_t i;

	for (i = 0; i < e->n_values; i++) {
		if (e->values[i].value == value)
			return &e->values[i];
	}
	return NULL;
}

/* As a number, also of an ulong. */
static const char *value_text(struct lint_walk *w, const struct enumeration *e, int64_t v)
{
	return e->base == BASE_ULONG ? schema_format(w->lint->newer, "%" PRIu64, (uint64_t)v)
				     : schema_format(w->lint->newer, "%" PRId64, v);
}

/* One number in both, whatever it is called. */
static void compare_value(struct lint_walk *w, const struct about *a, const struct enumeration *n,
	const struct enum_value *vo, const struct enum_value *vn)
{
	if (n->is_union && compare_types(w, &vo->type, &vn->type) == TYPE_OTHER) {
		lint_breaks(w, a, "member %s was %s and is now %s", value_text(w, n, vn->value),
			type_text(w, w->older, &vo->type), type_text(w, w->newer, &vn->type));
		return;
	}
	if (strcmp(vo->name, vn->name))
		lint_allows(w, a, "renamed from %s: names of values are not on the wire", vo->name);
}

static void compare_values(
	struct lint_walk *w, const struct enumeration *o, const struct enumeration *n)
{
	const char *kind = n->is_union ? "member" : "value";
	size_t i;

	for (i = 0; i < n->n_values; i++) {
		const struct enum_value *vn = &n->values[i], *named = value_named(o, vn->name),
					*held = value_of(o, vn->value);
		const struct about a = {kind, n->name, vn->name, NULL, n, false};

		if (named && named->value != vn->value)
			lint_breaks(w, &a, "was %s and is now %s", value_text(w, o, named->value),
				value_text(w, n, vn->value));
		else if (held && !named && value_named(n, held->name))
			lint_breaks(w, &a, "added as %s, which was %s", value_text(w, n, vn->value),
				held->name);
		else if (held)
			compare_value(w, &a, n, held, vn);
		else
			lint_allows(w, &a, "added as %s: the old side meets a %s it does not know",
				value_text(w, n, vn->value), kind);
	}
	for (i = 0; i < o->n_values; i++) {
		const struct enum_value *vo = &o->values[i];
		const struct about a = {kind, n->name, vo->name, NULL, n, false};

		if (!value_named(n, vo->name) && !value_of(n, vo->value))
			lint_breaks(w, &a,
				"removed: the old side still writes it, and %s could come back as "
				"something else",
				value_text(w, o, vo->value));
	}
}

void lint_enums(struct lint_walk *w, const struct enumeration *o, const struct enumeration *n)
{
	const struct about a = {n->is_union ? "union" : "enum", n->name, NULL, NULL, n, false};

	if (strcmp(o->name, n->name)) {
		if (renamed_enum(w, o, n))
			lint_allows(w, &a, "renamed from %s: names of types are not on the wire",
				o->name);
		else
			w->stands_for = o->name;
	}
	if (o->is_union != n->is_union) {
		lint_breaks(w, &a, "was %s and is now %s", o->is_union ? "a union" : "an enum",
			n->is_union ? "a union" : "an enum");
		return;
	}
	if (o->base != n->base)
		lint_breaks(w, &a, "was of %s and is now of %s", base_name(o->base),
			base_name(n->base));
	if (o->bit_flags != n->bit_flags)
		lint_allows(w, &a, "`bit_flags` was %s", n->bit_flags ? "added" : "removed");
	compare_values(w, o, n);
}

/* emit_types.c - enums, structs and the arguments of builders. */
#include "emit.h"

#include <inttypes.h>

/* C11 has enumerators of type int only: larger ones become macros. */
static void emit_enumerators(struct emit *e, const struct enumeration *n)
{
	bool small = true;
	size_t i;

	for (i = 0; i < n->n_values; i++)
		small = small && n->values[i].value <= INT32_MAX &&
			n->values[i].value >= (n->base == BASE_ULONG ? 0 : INT32_MIN);
	if (!n->n_values)
		return;
	if (small)
		out(e, "enum {\n");
	for (i = 0; i < n->n_values; i++) {
		const struct enum_value *v = &n->values[i];

		out_docs(e, small ? "\t" : "", &v->docs);
		if (small)
			out(e, "\t%s_%s = %" PRId64 ",\n", n->c_name, v->name, v->value);
		else if (n->base == BASE_ULONG || n->base == BASE_UINT)
			out(e, "#define %s_%s ((%s)UINT64_C(%" PRIu64 "))\n", n->c_name, v->name,
				n->c_name, (uint64_t)v->value);
		else if (v->value == INT64_MIN)
			out(e, "#define %s_%s INT64_MIN\n", n->c_name, v->name);
		else
			out(e, "#define %s_%s ((%s)INT64_C(%" PRId64 "))\n", n->c_name, v->name,
				n->c_name, v->value);
	}
	out(e, small ? "};\n\n" : "\n");
}

static bool seen_before(const struct enumeration *n, size_t at)
{
	size_t i;

	for (i = 0; i < at; i++) {
		if (n->values[i].value == n->values[at].value)
			return true;
	}
	return false;
}

void emit_enum(struct emit *e, const struct enumeration *n)
{
	const struct type type = {n->base, BASE_NONE, -1, 0};
	size_t i;

	out_docs(e, "", &n->docs);
	out(e, "typedef %s %s;\n", c_scalar(e, &type), n->c_name);
	emit_enumerators(e, n);
	out(e, "/* \"?\" for a value without a name%s. */\n",
		n->bit_flags ? ", such as two flags" : "");
	out(e, "static inline const char *%s_name(%s v)\n{\n\tswitch (v) {\n", n->c_name,
		n->c_name);
	for (i = 0; i < n->n_values; i++) {
		if (!seen_before(n, i))
			out(e, "\tcase %s_%s:\n\t\treturn \"%s\";\n", n->c_name, n->values[i].name,
				n->values[i].name);
	}
	out(e, "\tdefault:\n\t\treturn \"?\";\n\t}\n}\n\n");
}

static void emit_padding(struct emit *e, uint32_t from, uint32_t to)
{
	if (to > from)
		out(e, "\tuint8_t padding%" PRIu32 "_[%" PRIu32 "];\n", from, to - from);
}

static void emit_members(struct emit *e, const struct object *o)
{
	uint32_t end = 0;
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];
		const struct object *inner = type_object(e->s, &f->type);
		/* any byte may stand in a buffer, only two may in a C bool */
		const bool is_bool = type_unit(&f->type) == BASE_BOOL;
		const char *type = is_bool ? "uint8_t" : c_scalar(e, &f->type);

		emit_padding(e, end, f->offset);
		out_docs(e, "\t", &f->docs);
		out(e, "\t%s %s", inner ? inner->c_name : type, f->member);
		if (f->type.base == BASE_ARRAY)
			out(e, "[%u]", f->type.length);
		out(e, ";\n");
		end = f->offset + field_size(e->s, f);
	}
	emit_padding(e, end, o->size);
}

/* fb_scrub: zeroes what lies between members, those of structs inside too. */
static void emit_scrub(struct emit *e, const struct object *o)
{
	uint32_t end = 0, to;
	size_t i;

	out(e, "\nstatic inline void %s_fb_scrub(uint8_t *p)\n{\n", o->c_name);
	for (i = 0; i <= o->n_fields; i++) {
		const struct field *f = &o->fields[i];
		const struct object *inner;

		to = i < o->n_fields ? f->offset : o->size;
		if (to > end)
			out(e, "\tmemset(p + %" PRIu32 ", 0, %" PRIu32 ");\n", end, to - end);
		if (i == o->n_fields)
			break;
		end = to + field_size(e->s, f);
		inner = type_object(e->s, &f->type);
		if (!inner || !struct_has_padding(e->s, inner))
			continue;
		if (f->type.base == BASE_ARRAY)
			out(e, "\tfor (size_t i = 0; i < %u; i++)\n\t", f->type.length);
		out(e, "\t%s_fb_scrub(p + %u%s", inner->c_name, f->offset,
			f->type.base == BASE_ARRAY ? " + i * " : ");\n");
		if (f->type.base == BASE_ARRAY)
			out(e, "%" PRIu32 ");\n", inner->size);
	}
	out(e, "}\n");
}

/* Padding is written as zero whatever the caller's copy has there: it may be left over from
 * anything. */
static void emit_store(struct emit *e, const struct object *o)
{
	const bool padded = struct_has_padding(e->s, o);
	const char *c = o->c_name;

	if (padded)
		emit_scrub(e, o);
	out(e,
		"\nstatic inline void %s_store(void *p, const %s *v)\n{\n"
		"\tmemcpy(p, v, sizeof(*v));\n",
		c, c);
	if (padded)
		out(e, "\t%s_fb_scrub((uint8_t *)p);\n", c);
	out(e, "}\n\n");
	if (!padded)
		return;
	out(e,
		"static inline uint32_t %s_fb_put_vector(\n"
		"\tuint8_t *buf, uint32_t pos, uint32_t ref, const %s *v, size_t n, uint32_t "
		"align)\n{\n"
		"\tsize_t i;\n\n"
		"\tpos = tela_fb_put_length(buf, pos, ref, n, align);\n"
		"\tfor (i = 0; i < n; i++, pos += %s_SIZE)\n"
		"\t\t%s_store(buf + pos, &v[i]);\n\treturn pos;\n}\n\n",
		c, c, c, c);
}

void emit_struct(struct emit *e, const struct object *o)
{
	const char *c = o->c_name;
	size_t i;

	out_docs(e, "", &o->docs);
	out(e, "typedef struct %s {\n", c);
	emit_members(e, o);
	out(e, "} %s;\n\nenum { %s_SIZE = %" PRIu32 " };\n", c, c, o->size);
	out(e, "TELA_FB_ASSERT(sizeof(%s) == %s_SIZE, \"%s\");\n", c, c, o->name);
	for (i = 0; i < o->n_fields; i++)
		out(e, "TELA_FB_ASSERT(offsetof(%s, %s) == %u, \"%s.%s\");\n", c,
			o->fields[i].member, o->fields[i].offset, o->name, o->fields[i].name);
	out(e,
		"\nstatic inline %s %s_load(const void *p)\n{\n\t%s v;\n\n"
		"\tmemcpy(&v, p, sizeof(v));\n\treturn v;\n}\n",
		c, c, c);
	emit_store(e, o);
	emit_key(e, o);
}

static void emit_arg(struct emit *e, const struct field *f)
{
	const struct object *o = type_object(e->s, &f->type);

	out_docs(e, "\t", &f->docs);
	switch (field_kind(e->s, f)) {
	case KIND_SCALAR:
	case KIND_UTYPE:
		out(e, "\t%s %s;\n", c_scalar(e, &f->type), f->member);
		return;
	case KIND_OPTIONAL:
		out(e, "\tconst %s *%s;\n", c_scalar(e, &f->type), f->member);
		return;
	case KIND_STRUCT:
		out(e, "\tconst %s *%s;\n", o->c_name, f->member);
		return;
	case KIND_STRING:
		out(e, "\tstruct tela_str %s;\n", f->member);
		return;
	case KIND_TABLE:
		out(e, "\tconst struct %s_args *%s;\n", o->c_name, f->member);
		return;
	case KIND_UNION:
		out(e, "\tstruct %s_args %s;\n", type_union(e->s, &f->type)->c_name, f->member);
		return;
	case KIND_BYTES:
		out(e, "\tstruct tela_bytes %s;\n", f->member);
		return;
	case KIND_UNIONS:
		out(e, "\tconst struct %s_args *%s;\n", type_union(e->s, &f->type)->c_name,
			f->member);
		break;
	case KIND_UTYPES:
	case KIND_SCALARS:
		out(e, "\tconst %s *%s;\n", c_scalar(e, &f->type), f->member);
		break;
	case KIND_STRUCTS:
		out(e, "\tconst %s *%s;\n", o->c_name, f->member);
		break;
	case KIND_STRINGS:
		out(e, "\tconst struct tela_str *%s;\n", f->member);
		break;
	case KIND_TABLES:
		out(e, "\tconst struct %s_args *%s;\n", o->c_name, f->member);
		break;
	}
	out(e, "\tsize_t %s_len;\n", f->member);
}

/* No member, and a first one of nothing: C++ warns of what an initializer leaves out. */
static void emit_union_init(struct emit *e, const struct enumeration *n)
{
	const bool string = n->n_values > 1 && n->values[1].type.base == BASE_STRING;

	out(e, string ? "{0, {{NULL, 0}}}" : "{0, {NULL}}");
}

static void emit_arg_init(struct emit *e, const struct field *f)
{
	switch (field_kind(e->s, f)) {
	case KIND_SCALAR:
		out(e, "%s", c_default(f));
		return;
	case KIND_STRING:
	case KIND_BYTES:
		out(e, "{NULL, 0}");
		return;
	case KIND_UNION:
		emit_union_init(e, type_union(e->s, &f->type));
		return;
	case KIND_OPTIONAL:
	case KIND_STRUCT:
	case KIND_TABLE:
		out(e, "NULL");
		return;
	default:
		out(e, "NULL, 0");
	}
}

void emit_args(struct emit *e, const struct object *o)
{
	const char *separator = "";
	size_t i;

	out_docs(e, "", &o->docs);
	out(e, "struct %s_args {\n", o->c_name);
	for (i = 0; i < o->n_fields; i++) {
		if (!field_is_hidden(&o->fields[i]))
			emit_arg(e, &o->fields[i]);
	}
	if (!o->n_order)
		out(e, "\tuint8_t nothing_;\n");
	out(e, "};\n\n/* Every field at its default. */\n#define %s_ARGS_INIT {", o->c_name);
	for (i = 0; i < o->n_fields; i++) {
		if (field_is_hidden(&o->fields[i]))
			continue;
		out(e, "%s", separator);
		emit_arg_init(e, &o->fields[i]);
		separator = ", ";
	}
	out(e, "%s}\n\n", o->n_order ? "" : "0");
}

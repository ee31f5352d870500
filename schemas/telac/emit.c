/* emit.c - the data header as a whole, and what its parts share. */
#include "emit.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

void out(struct emit *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(e->f, format, args);
	va_end(args);
}

/* One of the characters U+202A to U+202E and U+2066 to U+2069, which turn the text behind them. */
static bool turns_text(const char *s)
{
	return (!strncmp(s, "\xe2\x80", 2) && s[2] >= '\xaa' && s[2] <= '\xae') ||
	       (!strncmp(s, "\xe2\x81", 2) && s[2] >= '\xa6' && s[2] <= '\xa9');
}

/* A doc line must not end the comment it stands in, nor bring along what compilers warn of there:
 * control characters, trigraphs, text that runs the other way. */
static void out_line(struct emit *e, const char *line)
{
	for (; *line; line++) {
		while (turns_text(line))
			line += 3;
		if (line[0] == '*' && line[1] == '/')
			fputs("* ", e->f);
		else if (line[0] == '/' && line[1] == '*')
			fputs("/ ", e->f);
		else if (line[0] == '?' && line[1] == '?')
			fputs("? ", e->f);
		else if (*line)
			fputc((unsigned char)*line < ' ' ? ' ' : *line, e->f);
		else
			break;
	}
}

void out_docs(struct emit *e, const char *indent, const struct texts *docs)
{
	size_t i;

	for (i = 0; i < docs->n; i++) {
		const char *line = docs->lines[i];

		out(e, "%s%s", indent, i ? " *" : "/*");
		if (*line && *line != ' ')
			fputc(' ', e->f);
		out_line(e, line);
		out(e, i + 1 == docs->n ? " */\n" : "\n");
	}
}

const char *last_part(const char *full_name)
{
	const char *dot = strrchr(full_name, '.');

	return dot ? dot + 1 : full_name;
}

const char *c_scalar(struct emit *e, const struct type *t)
{
	static const char *const names[BASE_COUNT] = {
		[BASE_UTYPE] = "uint8_t",
		[BASE_BOOL] = "bool",
		[BASE_BYTE] = "int8_t",
		[BASE_UBYTE] = "uint8_t",
		[BASE_SHORT] = "int16_t",
		[BASE_USHORT] = "uint16_t",
		[BASE_INT] = "int32_t",
		[BASE_UINT] = "uint32_t",
		[BASE_LONG] = "int64_t",
		[BASE_ULONG] = "uint64_t",
		[BASE_FLOAT] = "float",
		[BASE_DOUBLE] = "double",
	};
	const struct enumeration *n = type_enum(e->s, t);

	return n ? n->c_name : names[type_unit(t)];
}

const char *c_short(const struct type *t)
{
	static const char *const names[BASE_COUNT] = {
		[BASE_UTYPE] = "u8",
		[BASE_BOOL] = "bool",
		[BASE_BYTE] = "i8",
		[BASE_UBYTE] = "u8",
		[BASE_SHORT] = "i16",
		[BASE_USHORT] = "u16",
		[BASE_INT] = "i32",
		[BASE_UINT] = "u32",
		[BASE_LONG] = "i64",
		[BASE_ULONG] = "u64",
		[BASE_FLOAT] = "f32",
		[BASE_DOUBLE] = "f64",
	};

	return names[type_unit(t)];
}

/* Digits enough to come back as the same number, and a form that C takes for a floating one. */
static const char *real_default(const struct field *f, char *text, size_t room)
{
	const bool single = f->type.base == BASE_FLOAT;
	const double v = f->default_real;

	if (isnan(v))
		return single ? "__builtin_nanf(\"\")" : "__builtin_nan(\"\")";
	if (isinf(v) || (single && isinf((float)v)))
		snprintf(text, room, "%s__builtin_inf%s()", v < 0 ? "-" : "", single ? "f" : "");
	else {
		snprintf(text, room, "%.*g", single ? 9 : 17, v);
		if (!strpbrk(text, ".e"))
			strcat(text, ".0");
		if (single)
			strcat(text, "f");
	}
	return text;
}

const char *c_default(const struct field *f)
{
	static char text[64];
	const int64_t v = f->default_integer;

	switch (f->type.base) {
	case BASE_BOOL:
		return v ? "true" : "false";
	case BASE_FLOAT:
	case BASE_DOUBLE:
		return real_default(f, text, sizeof(text));
	case BASE_ULONG:
		snprintf(text, sizeof(text), "UINT64_C(%" PRIu64 ")", (uint64_t)v);
		return text;
	case BASE_UINT:
		snprintf(text, sizeof(text), "UINT32_C(%" PRIu64 ")", (uint64_t)v);
		return text;
	case BASE_INT:
		if (v == INT32_MIN)
			return "INT32_MIN";
		break;
	case BASE_LONG:
		if (v == INT64_MIN)
			return "INT64_MIN";
		snprintf(text, sizeof(text), "INT64_C(%" PRId64 ")", v);
		return text;
	default:
		break;
	}
	snprintf(text, sizeof(text), "%" PRId64, v);
	return text;
}

/* Headers of the other files that this one's declarations come from. */
static void emit_includes(struct emit *e)
{
	const struct schema *s = e->s;
	const char *last = "";
	size_t i;

	for (i = 0; i < s->n_objects + s->n_enums; i++) {
		const char *file =
			i < s->n_objects ? s->objects[i].file : s->enums[i - s->n_objects].file;
		const char *base = strrchr(file, '/');
		size_t n;

		if (schema_owns(s, file) || !strcmp(file, last))
			continue;
		last = file;
		base = base ? base + 1 : file;
		n = strlen(base);
		if (n > 4 && !strcmp(base + n - 4, ".fbs"))
			n -= 4;
		out(e, "#include \"%.*s.h\"\n", (int)n, base);
	}
}

static bool owns(struct emit *e, const struct object *o)
{
	return !o->is_struct && schema_owns(e->s, o->file);
}

static void emit_unions(struct emit *e, void (*part)(struct emit *, const struct enumeration *))
{
	const struct schema *s = e->s;
	size_t i;

	for (i = 0; i < s->n_enums; i++) {
		if (s->enums[i].is_union && schema_owns(s, s->enums[i].file))
			part(e, &s->enums[i]);
	}
}

static void emit_tables(struct emit *e)
{
	static void (*const parts[])(struct emit *, const struct object *) = {
		emit_args, emit_readers, emit_key, emit_verifier, emit_builder, emit_whole};
	const struct schema *s = e->s;
	size_t i, k;

	for (i = 0; i < s->n_objects; i++) {
		const char *c = s->objects[i].c_name;

		if (!owns(e, &s->objects[i]))
			continue;
		out(e, "/* A %s inside a verified buffer; p NULL: absent. */\n",
			s->objects[i].name);
		out(e, "typedef struct %s_t {\n\tconst uint8_t *p;\n} %s_t;\n", c, c);
		out(e, "struct %s_args;\n", c);
		out(e,
			"static inline bool %s_fb_verify(struct tela_fb_verifier *v, uint32_t "
			"at);\n",
			c);
		out(e,
			"static inline uint64_t %s_fb_measure(\n"
			"\tuint64_t pos, const struct %s_args *a, unsigned depth%s);\n",
			c, c, share_parameter(s->objects[i].shares));
		out(e,
			"static inline uint32_t %s_fb_put(\n"
			"\tuint8_t *buf, uint32_t pos, const struct %s_args *a, uint32_t "
			"*ret_at%s);\n\n",
			c, c, share_parameter(s->objects[i].shares));
		if (s->objects[i].key)
			emit_key_prototype(e, &s->objects[i]);
	}
	emit_unions(e, emit_union_args);
	emit_unions(e, emit_union_prototypes);
	for (k = 0; k < sizeof(parts) / sizeof(*parts); k++) {
		for (i = 0; i < s->n_objects; i++) {
			if (owns(e, &s->objects[i]))
				parts[k](e, &s->objects[i]);
		}
	}
	emit_unions(e, emit_union);
}

void emit_data(struct emit *e)
{
	const struct schema *s = e->s;
	size_t i;

	out(e, "/* %s.h - made by telac from %s: do not edit.\n", e->stem, s->file);
	out(e, " *\n * Readers, verifiers and builders; tela_fb.h says what they ask and "
	       "promise.\n */\n");
	out(e, "#pragma once\n\n#include <tela_fb_verify.h>\n");
	for (i = 0; i < s->n_objects && !s->objects[i].shares; i++)
		;
	if (i < s->n_objects)
		out(e, "#include <tela_fb_share.h>\n");
	emit_includes(e);
	out(e, "\n");
	for (i = 0; i < s->n_enums; i++) {
		if (schema_owns(s, s->enums[i].file))
			emit_enum(e, &s->enums[i]);
	}
	for (i = 0; i < s->n_structs; i++) {
		if (schema_owns(s, s->structs[i]->file))
			emit_struct(e, s->structs[i]);
	}
	emit_tables(e);
	emit_desc(e);
}

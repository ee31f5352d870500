/* emit_whole.c - root, verify, size and build of a whole buffer, alone and behind its size.
 *
 * The short path: for a table with nothing but scalars, structs, strings and flat vectors in it,
 * all of whose pointers are set, the bytes from the root offset to the end of the table lie at
 * constant places. Those up to the table's fields are copied from an image, and the values, which
 * leave no gap, stored behind it, defaults too. Any argument left out takes the general path, which
 * writes only what is present. The verifier knows that layout again by comparing with the image.
 */
#include "emit_build.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Image of a head: root offset, padding, vtable, table. Larger ones gain nothing by it. */
enum { IMAGE_MAX = 192 };

struct image {
	uint8_t bytes[IMAGE_MAX];
	uint32_t table, end;
	uint32_t places[IMAGE_MAX]; /* of each field */
};

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static uint32_t place(struct emit *e, const struct object *o, struct image *m)
{
	uint32_t next = 4, i;

	for (i = 0; i < o->n_order; i++) {
		m->places[o->order[i]] = next;
		next += field_size(e->s, &o->fields[o->order[i]]);
	}
	return next;
}

/* What stands before the first vtable: root offset and identifier. */
static uint32_t start_of(struct emit *e, const struct object *o)
{
	return schema_identifier(e->s, o) ? 8 : 4;
}

static bool make_image(struct emit *e, const struct object *o, struct image *m)
{
	uint32_t vsize = 4, size, align = 4, i;

	if (o->n_fields > IMAGE_MAX)
		return false;
	if (has_kind(e, o, KIND_TABLE) || has_kind(e, o, KIND_TABLES) ||
		has_kind(e, o, KIND_STRINGS) || has_kind(e, o, KIND_UNION) ||
		has_kind(e, o, KIND_UNIONS) || o->shares)
		return false;
	for (i = 0; i < o->n_order; i++) {
		const struct field *f = &o->fields[o->order[i]];

		align = field_align(e->s, f) > align ? field_align(e->s, f) : align;
		vsize = slot_of(f) + 2 > vsize ? slot_of(f) + 2 : vsize;
	}
	size = place(e, o, m);
	/* as tela_fb_table_at() does */
	m->table = ((start_of(e, o) + vsize + 4 + align - 1) & ~(align - 1)) - 4;
	m->end = m->table + size;
	if (m->end > IMAGE_MAX)
		return false;
	memset(m->bytes, 0, sizeof(m->bytes));
	put16(m->bytes, m->table);
	if (schema_identifier(e->s, o))
		memcpy(m->bytes + 4, schema_identifier(e->s, o), 4);
	put16(m->bytes + m->table, vsize);
	put16(m->bytes + m->table - vsize, vsize);
	put16(m->bytes + m->table - vsize + 2, size);
	for (i = 0; i < o->n_order; i++) {
		const struct field *f = &o->fields[o->order[i]];

		put16(m->bytes + m->table - vsize + slot_of(f), m->places[o->order[i]]);
	}
	return true;
}

/* fb_full: does the short path apply? */
static void emit_full(struct emit *e, const struct object *o)
{
	const char *separator = "";
	size_t i;

	out(e, "static inline bool %s_fb_full(const struct %s_args *a)\n{\n", o->c_name, o->c_name);
	out(e, "\t(void)a;\n\treturn ");
	for (i = 0; i < o->n_order; i++) {
		const struct field *f = &o->fields[o->order[i]];

		if (field_kind(e->s, f) == KIND_SCALAR)
			continue;
		out(e, "%s", separator);
		out_present(e, f);
		separator = " && ";
	}
	out(e, "%s;\n}\n\n", *separator ? "" : "true");
}

static void size_short(struct emit *e, const struct object *o, const struct image *m)
{
	size_t i;

	out(e, "\tif (%s_fb_full(a)) {\n\t\tpos = %" PRIu32 ";\n", o->c_name, m->end);
	for (i = 0; i < o->n_fields; i++) {
		if (!o->fields[i].deprecated && is_child(field_kind(e->s, &o->fields[i])))
			out_measure(e, &o->fields[i], "\t\t");
	}
	out(e, "\t\treturn (size_t)pos;\n\t}\n");
}

/* The rest of a function that gives the size of all from `start` on. */
static void out_whole_size(struct emit *e, const struct object *o, uint32_t start)
{
	if (!o->shares) {
		out(e, "\treturn (size_t)%s_fb_measure(%u, a, 1);\n}\n\n", o->c_name, start);
		return;
	}
	out(e, "\tstruct tela_fb_shares x;\n\n\ttela_fb_shares_start(&x);\n");
	out(e, "\treturn (size_t)tela_fb_measure_shares(%s_fb_measure(%u, a, 1, &x), &x);\n}\n\n",
		o->c_name, start);
}

/* Statements that write all from `start` on. */
static void out_whole_put(struct emit *e, const struct object *o, const char *into, uint32_t start)
{
	if (!o->shares) {
		out(e, "\t%s%s_fb_put(buf, %u, a, &root);\n", into, o->c_name, start);
		return;
	}
	out(e, "\ttela_fb_shares_start(&x);\n");
	out(e, "\t%stela_fb_put_shares(buf, %s_fb_put(buf, %u, a, &root, &x), &x);\n", into,
		o->c_name, start);
}

static void emit_size(struct emit *e, const struct object *o, const struct image *m)
{
	out(e, "/* Bytes that %s_build() will write; 0 if it cannot be built. */\n", o->c_name);
	out(e, "static inline size_t %s_size(const struct %s_args *a)\n{\n", o->c_name, o->c_name);
	if (m) {
		out(e, "\tuint64_t pos;\n\n");
		size_short(e, o, m);
	}
	out_whole_size(e, o, start_of(e, o));
}

static void emit_image(struct emit *e, const char *name, const struct image *m, uint32_t end)
{
	uint32_t i;

	out(e, "\tstatic const uint8_t %s[%" PRIu32 "] = {", name, end);
	for (i = 0; i < end; i++)
		out(e, "%s%u,", i % 16 ? " " : "\n\t\t", m->bytes[i]);
	out(e, "\n\t};\n");
}

static void build_short(struct emit *e, const struct object *o, const struct image *m)
{
	char ref[16];
	size_t i;

	out(e, "\tif (%s_fb_full(a)) {\n\t\tmemcpy(buf, image, sizeof(image));\n", o->c_name);
	for (i = 0; i < o->n_order; i++) {
		const struct field *f = &o->fields[o->order[i]];
		const uint32_t at = m->table + m->places[o->order[i]];

		if (field_kind(e->s, f) == KIND_SCALAR)
			out(e, "\t\ttela_fb_store_%s(buf + %" PRIu32 ", a->%s);\n",
				c_short(&f->type), at, f->member);
		else if (field_kind(e->s, f) == KIND_OPTIONAL)
			out(e, "\t\ttela_fb_store_%s(buf + %" PRIu32 ", *a->%s);\n",
				c_short(&f->type), at, f->member);
		else if (field_kind(e->s, f) == KIND_STRUCT)
			out(e, "\t\t%s_store(buf + %" PRIu32 ", a->%s);\n",
				type_object(e->s, &f->type)->c_name, at, f->member);
	}
	out(e, "\t\tpos = %" PRIu32 ";\n", m->end);
	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];

		if (f->deprecated || !is_child(field_kind(e->s, f)))
			continue;
		snprintf(ref, sizeof(ref), "%" PRIu32, m->table + m->places[i]);
		out(e, "\t\t");
		out_put(e, f, ref);
	}
	out(e, "\t\treturn (int)pos;\n\t}\n");
}

static void emit_build(struct emit *e, const struct object *o, const struct image *m)
{
	out(e, "/* Bytes written to `into`, which has room for `room`; -EINVAL, -ENOSPC: nothing "
	       "written. */\n");
	out(e, "static inline int %s_build(void *into, size_t room, const struct %s_args *a)\n{\n",
		o->c_name, o->c_name);
	if (m)
		emit_image(e, "image", m, m->table + 4);
	out(e, "\tuint8_t *buf = (uint8_t *)into;\n\tconst size_t size = %s_size(a);\n", o->c_name);
	out(e, "\tuint32_t pos, root;\n%s\n", o->shares ? "\tstruct tela_fb_shares x;\n" : "");
	out(e, "\tif (!size)\n\t\treturn -EINVAL;\n\tif (size > room)\n\t\treturn -ENOSPC;\n");
	if (m)
		build_short(e, o, m);
	out_whole_put(e, o, "pos = ", start_of(e, o));
	out(e, "\ttela_fb_store_u32(buf, root);\n");
	if (schema_identifier(e->s, o))
		out(e, "\tmemcpy(buf + 4, %s_IDENTIFIER, 4);\n", o->c_name);
	out(e, "\treturn (int)pos;\n}\n\n");
}

/* 4 bytes, whatever they are: letters as they are, all others as octal numbers. */
static void emit_identifier(struct emit *e, const struct object *o)
{
	const char *c = o->c_name, *p;

	out(e, "/* Stands in every buffer of this table; what has another one does not verify. "
	       "*/\n");
	out(e, "#define %s_IDENTIFIER \"", c);
	for (p = schema_identifier(e->s, o); *p; p++)
		out(e, isalnum((unsigned char)*p) ? "%c" : "\\%03o", (unsigned char)*p);
	out(e, "\"\n\n");
	out(e, "static inline bool %s_has_identifier(const void *buf, size_t len)\n{\n", c);
	out(e, "\treturn tela_fb_has_identifier(buf, len, 0, %s_IDENTIFIER);\n}\n\n", c);
}

/* fb_verify_whole: a buffer in the layout of the image. What stands at a constant place inside of
 * the head needs no look; children are checked as everywhere. */
static void emit_verify_whole(struct emit *e, const struct object *o, const struct image *m)
{
	size_t i;

	out(e, "static inline bool %s_fb_verify_whole(const struct tela_fb_verifier *v)\n{\n",
		o->c_name);
	out(e, "\t(void)v;\n\treturn ");
	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];
		const uint32_t at = m->table + m->places[i];

		if (f->deprecated || !is_child(field_kind(e->s, f)))
			continue;
		if (field_kind(e->s, f) == KIND_STRING)
			out(e, "tela_fb_verify_str_at(v, %" PRIu32 ") && ", at);
		else
			out(e, "tela_fb_verify_vector_at(v, %" PRIu32 ", %" PRIu32 ") && ", at,
				element_size(e->s, f));
	}
	out(e, "true;\n}\n\n");
}

/* Is there a vector of strings or unions in it, or might one be in what it refers to? */
static bool may_look_again(struct emit *e, const struct object *o)
{
	static const enum kind kinds[] = {
		KIND_STRINGS, KIND_TABLE, KIND_TABLES, KIND_UNION, KIND_UNIONS};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (has_kind(e, o, kinds[i]))
			return true;
	}
	return has_nested(o);
}

/* `m`: NULL if there is no short path. */
static void emit_verify(
	struct emit *e, const struct object *o, const struct image *m, bool prefixed)
{
	const bool identified = schema_identifier(e->s, o);
	const char *c = o->c_name;

	out(e, "static inline int %s_verify%s(const void *buf, size_t len)\n{\n", c,
		prefixed ? "_prefixed" : "");
	if (m)
		emit_image(e, "head", m, m->table + 4);
	out(e, "\tstruct tela_fb_verifier v;\n\tuint32_t root;\n\n");
	if (m) {
		out(e, "\tif (len >= %" PRIu32 " && tela_fb_verify_begin(&v, buf, len) &&\n",
			m->end);
		out(e, "\t\t!memcmp(buf, head, sizeof(head)))\n");
		out(e, "\t\treturn %s_fb_verify_whole(&v) ? 0 : -EBADMSG;\n", c);
	}
	out(e,
		"\tif (!tela_fb_verify_start(&v, buf, len, %s, %s%s, &root))\n"
		"\t\treturn -EBADMSG;\n",
		prefixed ? "4" : "0", identified ? c : "NULL", identified ? "_IDENTIFIER" : "");
	out(e, "\tif (%s_fb_verify(&v, root)", c);
	if (may_look_again(e, o))
		out(e, " || tela_fb_verify_again(&v, buf, len, root, %s_fb_verify)", c);
	out(e, ")\n\t\treturn 0;\n\treturn -EBADMSG;\n}\n\n");
}

/* Behind a size, as in a file or a stream of buffers. The size counts for alignment. */
static void emit_prefixed(struct emit *e, const struct object *o)
{
	const char *c = o->c_name;

	out(e, "/* The same of a buffer with its size before it, 4 bytes that all of these count. "
	       "*/\n");
	out(e, "static inline %s_t %s_root_prefixed(const void *buf)\n{\n", c, c);
	out(e, "\treturn %s_root(buf ? (const uint8_t *)buf + 4 : NULL);\n}\n\n", c);
	emit_verify(e, o, NULL, true);
	out(e, "static inline size_t %s_size_prefixed(const struct %s_args *a)\n{\n", c, c);
	out_whole_size(e, o, start_of(e, o) + 4);
	out(e,
		"static inline int %s_build_prefixed(void *into, size_t room, const struct %s_args "
		"*a)\n"
		"{\n\tuint8_t *buf = (uint8_t *)into;\n\tconst size_t size = %s_size_prefixed(a);\n"
		"\tuint32_t root;\n%s\n",
		c, c, c, o->shares ? "\tstruct tela_fb_shares x;\n" : "");
	out(e, "\tif (!size)\n\t\treturn -EINVAL;\n\tif (size > room)\n\t\treturn -ENOSPC;\n");
	out_whole_put(e, o, "", start_of(e, o) + 4);
	out(e, "\ttela_fb_store_u32(buf, (uint32_t)size - 4);\n");
	out(e, "\ttela_fb_store_u32(buf + 4, root - 4);\n");
	if (schema_identifier(e->s, o))
		out(e, "\tmemcpy(buf + 8, %s_IDENTIFIER, 4);\n", c);
	out(e, "\treturn (int)size;\n}\n\n");
}

void emit_whole(struct emit *e, const struct object *o)
{
	struct image image;
	const bool is_short = make_image(e, o, &image);
	const bool knows = is_short && !has_nested(o) && !schema_identifier(e->s, o);
	const char *c = o->c_name;

	if (schema_identifier(e->s, o))
		emit_identifier(e, o);
	out(e, "/* The table that a verified buffer holds. */\n");
	out(e, "static inline %s_t %s_root(const void *buf)\n{\n", c, c);
	out(e, "\tconst %s_t ret = {tela_fb_root(buf)};\n\n\treturn ret;\n}\n\n", c);
	if (knows)
		emit_verify_whole(e, o, &image);
	out(e, "/* 0, or -EBADMSG for what must not be read. */\n");
	emit_verify(e, o, knows ? &image : NULL, false);
	if (is_short)
		emit_full(e, o);
	emit_size(e, o, is_short ? &image : NULL);
	emit_build(e, o, is_short ? &image : NULL);
	emit_prefixed(e, o);
}

/* tela_fb_print.h - prints a FlatBuffer as JSON by the descriptor that telac made of its schema.
 *
 * Any bytes may be printed: each is checked before it is read, by the rules of the table's own
 * verifier, and the text ends where they are broken. Work and output are bounded: no more than
 * `room` is written, and no more than four values visited for every byte of the buffer.
 *
 * The text is JSON on one line, as libflatbuffers reads it back: enums and flags by name, what is
 * absent left out, a union behind its type, a nested buffer as an object, "nan" and "inf" as
 * strings. Control characters are escaped, and each byte of a string that is no UTF-8 is \ufffd. A
 * double is as short as it can be and still the same.
 *
 * Context:   any thread, no memory is taken; it formats numbers, so not for a data core in a hurry.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "tela_fb_verify.h"

enum {
	TELA_FB_PRINT_TEXT = 1,     /* a [ubyte] that is text is a string, and not its numbers */
	TELA_FB_PRINT_PREFIXED = 2, /* the buffer stands behind its size, which `len` counts */
};

struct tela_fb_printer {
	struct tela_fb_verifier v;
	const struct tela_fb_desc *desc;
	char *out;
	size_t at, room;
	uint64_t visits; /* left */
	unsigned flags;
	int err;
};

/* ---- what the descriptor says ---- */

static inline const char *tela_fb_desc_name(const struct tela_fb_desc *d, uint32_t name)
{
	return (const char *)d + d->names + name;
}

static inline const struct tela_fb_desc_type *tela_fb_desc_type_at(
	const struct tela_fb_desc *d, uint32_t i)
{
	return (const struct tela_fb_desc_type *)((const uint8_t *)d + d->types) + i;
}

static inline const struct tela_fb_desc_field *tela_fb_desc_fields(
	const struct tela_fb_desc *d, const struct tela_fb_desc_type *t)
{
	return (const struct tela_fb_desc_field *)((const uint8_t *)d + d->fields) + t->first;
}

static inline const struct tela_fb_desc_value *tela_fb_desc_values(
	const struct tela_fb_desc *d, const struct tela_fb_desc_type *t)
{
	return (const struct tela_fb_desc_value *)((const uint8_t *)d + d->values) + t->first;
}

/* The value of an enum or union that is `v`, NULL if none is. */
static inline const struct tela_fb_desc_value *tela_fb_desc_find(
	const struct tela_fb_desc *d, const struct tela_fb_desc_type *t, int64_t v)
{
	const struct tela_fb_desc_value *values = tela_fb_desc_values(d, t);
	uint32_t i;

	for (i = 0; i < t->n; i++) {
		if (values[i].value == v)
			return &values[i];
	}
	return NULL;
}

/* Bytes of a field, or of an element; 0 if `unit` is none that there is. */
static inline uint32_t tela_fb_desc_size(
	const struct tela_fb_desc *d, const struct tela_fb_desc_field *f)
{
	static const uint8_t sizes[] = {0, 1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8};

	if (f->unit <= TELA_FB_DOUBLE)
		return sizes[f->unit];
	if (f->unit == TELA_FB_OBJECT &&
		tela_fb_desc_type_at(d, f->type)->kind == TELA_FB_IS_STRUCT)
		return tela_fb_desc_type_at(d, f->type)->size;
	return 4;
}

/* ---- text ---- */

static inline bool tela_fb_print_end(struct tela_fb_printer *p, int err)
{
	p->err = err;
	return false;
}

static inline bool tela_fb_print_bytes(struct tela_fb_printer *p, const char *s, size_t n)
{
	if (n > p->room - p->at)
		return tela_fb_print_end(p, -ENOSPC);
	memcpy(p->out + p->at, s, n);
	p->at += n;
	return true;
}

static inline bool tela_fb_print_text(struct tela_fb_printer *p, const char *s)
{
	return tela_fb_print_bytes(p, s, strlen(s));
}

static inline bool tela_fb_print_visit(struct tela_fb_printer *p)
{
	if (!p->visits)
		return tela_fb_print_end(p, -ENOSPC);
	p->visits--;
	return true;
}

/* Length of the UTF-8 character that begins at `s`, 0: none does. */
static inline unsigned tela_fb_utf8(const uint8_t *s, size_t n)
{
	const unsigned len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = s[0];
	unsigned i;

	if (len == 1)
		return 1;
	if (c < 0xc2 || c > 0xf4 || len > n)
		return 0;
	c &= 0x7fu >> len;
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

/* C0, DEL and C1: nothing for a terminal. */
static inline bool tela_fb_is_control(const uint8_t *s, unsigned len)
{
	return (len == 1 && (s[0] < 0x20 || s[0] == 0x7f)) ||
	       (len == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

static inline bool tela_fb_is_text(const uint8_t *s, size_t n)
{
	unsigned len;

	for (; n; s += len, n -= len) {
		len = tela_fb_utf8(s, n);
		if (!len || tela_fb_is_control(s, len))
			return false;
	}
	return true;
}

static inline bool tela_fb_print_string(struct tela_fb_printer *p, const uint8_t *s, size_t n)
{
	char escaped[8];
	unsigned len;
	bool ok = tela_fb_print_text(p, "\"");

	for (; ok && n; s += len, n -= len) {
		len = tela_fb_utf8(s, n);
		if (!len) {
			ok = tela_fb_print_text(p, "\\ufffd");
			len = 1;
		} else if (tela_fb_is_control(s, len)) {
			snprintf(escaped, sizeof(escaped), "\\u%04x", s[len - 1]);
			ok = tela_fb_print_text(p, escaped);
		} else {
			ok = (s[0] != '"' && s[0] != '\\') || tela_fb_print_text(p, "\\");
			ok = ok && tela_fb_print_bytes(p, (const char *)s, len);
		}
	}
	return ok && tela_fb_print_text(p, "\"");
}

/* The name of something, behind a comma unless it is the first; `tail` follows it. */
static inline bool tela_fb_print_key(
	struct tela_fb_printer *p, uint32_t name, const char *tail, bool *first)
{
	const bool ok = *first || tela_fb_print_text(p, ",");

	*first = false;
	return ok && tela_fb_print_text(p, "\"") &&
	       tela_fb_print_text(p, tela_fb_desc_name(p->desc, name)) &&
	       tela_fb_print_text(p, tail) && tela_fb_print_text(p, "\":");
}

/* ---- scalars ---- */

static inline bool tela_fb_print_real(struct tela_fb_printer *p, double v, bool single)
{
	int digits = single ? 6 : 15;
	char text[40], *point;

	if (v != v)
		return tela_fb_print_text(p, "\"nan\"");
	if (v - v != 0)
		return tela_fb_print_text(p, v < 0 ? "\"-inf\"" : "\"inf\"");
	do
		snprintf(text, sizeof(text), "%.*g", digits, v);
	while ((single ? (double)strtof(text, NULL) != v : strtod(text, NULL) != v) &&
		digits++ < 17);
	for (point = text; *point; point++) { /* whatever the locale has there */
		if (!strchr("+-0123456789einf", *point))
			*point = '.';
	}
	return tela_fb_print_text(p, text);
}

/* All bits of `v` by name, one blank between them; *ret_done false: they have none. */
static inline bool tela_fb_print_flags(
	struct tela_fb_printer *p, const struct tela_fb_desc_type *t, uint64_t v, bool *ret_done)
{
	const struct tela_fb_desc_value *values = tela_fb_desc_values(p->desc, t);
	const char *before = "\"";
	uint64_t left = v;
	uint32_t i;

	for (i = 0; i < t->n; i++)
		left &= ~(uint64_t)values[i].value;
	*ret_done = v && !left;
	for (i = 0; i < t->n && *ret_done; i++) {
		if (!(v & (uint64_t)values[i].value))
			continue;
		if (!tela_fb_print_text(p, before) ||
			!tela_fb_print_text(p, tela_fb_desc_name(p->desc, values[i].name)))
			return false;
		before = " ";
	}
	return !*ret_done || tela_fb_print_text(p, "\"");
}

static inline bool tela_fb_print_integer(
	struct tela_fb_printer *p, int64_t v, bool is_unsigned, uint32_t type)
{
	const struct tela_fb_desc_value *known;
	char text[24];
	bool done;

	if (type != TELA_FB_NO_TYPE) {
		const struct tela_fb_desc_type *t = tela_fb_desc_type_at(p->desc, type);

		known = tela_fb_desc_find(p->desc, t, v);
		if (known)
			return tela_fb_print_text(p, "\"") &&
			       tela_fb_print_text(p, tela_fb_desc_name(p->desc, known->name)) &&
			       tela_fb_print_text(p, "\"");
		if (t->bit_flags) {
			if (!tela_fb_print_flags(p, t, (uint64_t)v, &done) || done)
				return done && !p->err;
		}
	}
	snprintf(text, sizeof(text), is_unsigned ? "%llu" : "%lld", (long long)v);
	return tela_fb_print_text(p, text);
}

static inline bool tela_fb_print_scalar(
	struct tela_fb_printer *p, const struct tela_fb_desc_field *f, const uint8_t *at)
{
	switch (f->unit) {
	case TELA_FB_BOOL:
		return tela_fb_print_text(p, *at ? "true" : "false");
	case TELA_FB_UTYPE:
	case TELA_FB_UBYTE:
		return tela_fb_print_integer(p, *at, false, f->type);
	case TELA_FB_BYTE:
		return tela_fb_print_integer(p, tela_fb_load_i8(at), false, f->type);
	case TELA_FB_SHORT:
		return tela_fb_print_integer(p, tela_fb_load_i16(at), false, f->type);
	case TELA_FB_USHORT:
		return tela_fb_print_integer(p, tela_fb_load_u16(at), false, f->type);
	case TELA_FB_INT:
		return tela_fb_print_integer(p, tela_fb_load_i32(at), false, f->type);
	case TELA_FB_UINT:
		return tela_fb_print_integer(p, tela_fb_load_u32(at), false, f->type);
	case TELA_FB_LONG:
	case TELA_FB_ULONG:
		return tela_fb_print_integer(
			p, tela_fb_load_i64(at), f->unit == TELA_FB_ULONG, f->type);
	case TELA_FB_FLOAT:
		return tela_fb_print_real(p, (double)tela_fb_load_f32(at), true);
	default:
		return tela_fb_print_real(p, tela_fb_load_f64(at), false);
	}
}

static inline bool tela_fb_print_struct(struct tela_fb_printer *p, uint32_t type, const uint8_t *at)
{
	const struct tela_fb_desc_type *t = tela_fb_desc_type_at(p->desc, type);
	const struct tela_fb_desc_field *f = tela_fb_desc_fields(p->desc, t), *end = f + t->n;
	bool first = true, ok = tela_fb_print_text(p, "{");
	uint32_t i;

	for (; ok && f < end; f++) {
		const uint32_t size = tela_fb_desc_size(p->desc, f);
		const bool array = f->form == TELA_FB_ARRAY;

		ok = tela_fb_print_key(p, f->name, "", &first) &&
		     (!array || tela_fb_print_text(p, "["));
		for (i = 0; ok && i < (array ? f->length : 1u); i++) {
			const uint8_t *part = at + f->at + i * size;

			ok = (!i || tela_fb_print_text(p, ",")) &&
			     (f->unit == TELA_FB_OBJECT ? tela_fb_print_struct(p, f->type, part)
							: tela_fb_print_scalar(p, f, part));
		}
		ok = ok && (!array || tela_fb_print_text(p, "]"));
	}
	return ok && tela_fb_print_text(p, "}");
}

/* ---- what offsets lead to: all of it is checked here ---- */

static inline bool tela_fb_print_table(struct tela_fb_printer *p, uint32_t type, uint32_t at);

static inline bool tela_fb_print_str(struct tela_fb_printer *p, uint32_t at)
{
	if (!tela_fb_verify_string(&p->v, at))
		return tela_fb_print_end(p, -EBADMSG);
	return tela_fb_print_string(p, p->v.buf + at + 4, tela_fb_load_u32(p->v.buf + at));
}

/* A table, or a struct that stands alone. */
static inline bool tela_fb_print_object(struct tela_fb_printer *p, uint32_t type, uint32_t at)
{
	const struct tela_fb_desc_type *t = tela_fb_desc_type_at(p->desc, type);

	if (t->kind == TELA_FB_IS_TABLE)
		return tela_fb_print_table(p, type, at);
	if (!tela_fb_verify_struct(&p->v, at, t->size, t->align))
		return tela_fb_print_end(p, -EBADMSG);
	return tela_fb_print_struct(p, type, p->v.buf + at);
}

/* The value of a union at `at`, by its member; null where there is none, or none that is known. */
static inline bool tela_fb_print_member(
	struct tela_fb_printer *p, const struct tela_fb_desc_value *m, uint32_t at)
{
	if (!m || !m->value)
		return tela_fb_print_text(p, "null");
	return m->type == TELA_FB_NO_TYPE ? tela_fb_print_str(p, at)
					  : tela_fb_print_object(p, m->type, at);
}

static inline bool tela_fb_print_nested(
	struct tela_fb_printer *p, const struct tela_fb_desc_field *f, uint32_t at)
{
	struct tela_fb_outer outer;
	uint32_t root;

	if (!tela_fb_verify_nested(&p->v, at, &outer, &root))
		return tela_fb_print_end(p, -EBADMSG);
	return tela_fb_print_table(p, f->type, root) && tela_fb_leave_nested(&p->v, &outer);
}

/* One element of a vector that stands at `at`. */
static inline bool tela_fb_print_element(
	struct tela_fb_printer *p, const struct tela_fb_desc_field *f, uint32_t at)
{
	if (f->unit <= TELA_FB_DOUBLE)
		return tela_fb_print_scalar(p, f, p->v.buf + at);
	if (f->unit == TELA_FB_STRING)
		return tela_fb_print_str(p, tela_fb_verify_entry(&p->v, at));
	if (tela_fb_desc_type_at(p->desc, f->type)->kind == TELA_FB_IS_STRUCT)
		return tela_fb_print_struct(p, f->type, p->v.buf + at);
	return tela_fb_print_table(p, f->type, tela_fb_verify_entry(&p->v, at));
}

static inline bool tela_fb_print_vector(
	struct tela_fb_printer *p, const struct tela_fb_desc_field *f, uint32_t at)
{
	const uint32_t size = tela_fb_desc_size(p->desc, f);
	uint32_t n, i;
	bool ok;

	if (!tela_fb_verify_elements(&p->v, at, size, &n))
		return tela_fb_print_end(p, -EBADMSG);
	if (f->unit == TELA_FB_UBYTE && f->type == TELA_FB_NO_TYPE &&
		(p->flags & TELA_FB_PRINT_TEXT) && tela_fb_is_text(p->v.buf + at + 4, n))
		return tela_fb_print_string(p, p->v.buf + at + 4, n);
	ok = tela_fb_print_text(p, "[");
	for (i = 0; ok && i < n; i++)
		ok = tela_fb_print_visit(p) && (!i || tela_fb_print_text(p, ",")) &&
		     tela_fb_print_element(p, f, at + 4 + i * size);
	return ok && tela_fb_print_text(p, "]");
}

static inline bool tela_fb_print_unions(struct tela_fb_printer *p, const struct tela_fb_table *t,
	const struct tela_fb_desc_field *f, bool *first)
{
	const struct tela_fb_desc_type *u = tela_fb_desc_type_at(p->desc, f->type);
	uint32_t types, at, n, i;
	bool ok;

	if (!tela_fb_verify_unions(&p->v, t, f->at, f->required, &types, &at, &n))
		return tela_fb_print_end(p, -EBADMSG);
	if (at == 4) /* absent */
		return true;
	ok = tela_fb_print_key(p, f->name, "_type", first) && tela_fb_print_text(p, "[");
	for (i = 0; ok && i < n; i++)
		ok = tela_fb_print_visit(p) && (!i || tela_fb_print_text(p, ",")) &&
		     tela_fb_print_integer(p, p->v.buf[types + i], false, f->type);
	ok = ok && tela_fb_print_text(p, "]") && tela_fb_print_key(p, f->name, "", first) &&
	     tela_fb_print_text(p, "[");
	for (i = 0; ok && i < n; i++)
		ok = tela_fb_print_visit(p) && (!i || tela_fb_print_text(p, ",")) &&
		     tela_fb_print_member(p, tela_fb_desc_find(p->desc, u, p->v.buf[types + i]),
			     tela_fb_verify_entry(&p->v, at + 4 * i));
	return ok && tela_fb_print_text(p, "]");
}

static inline bool tela_fb_print_union(struct tela_fb_printer *p, const struct tela_fb_table *t,
	const struct tela_fb_desc_field *f, bool *first)
{
	const struct tela_fb_desc_type *u = tela_fb_desc_type_at(p->desc, f->type);
	const struct tela_fb_desc_value *m;
	uint32_t to;
	uint8_t type;

	if (!tela_fb_verify_union(&p->v, t, f->at, f->required, &type, &to))
		return tela_fb_print_end(p, -EBADMSG);
	if (!type)
		return true;
	m = tela_fb_desc_find(p->desc, u, type);
	if (!tela_fb_print_key(p, f->name, "_type", first) ||
		!tela_fb_print_integer(p, type, false, f->type))
		return false;
	if (!m ||
		(!to && (m->type == TELA_FB_NO_TYPE ||
				tela_fb_desc_type_at(p->desc, m->type)->kind == TELA_FB_IS_TABLE)))
		return true;
	return tela_fb_print_key(p, f->name, "", first) && tela_fb_print_member(p, m, to);
}

static inline bool tela_fb_print_field(struct tela_fb_printer *p, const struct tela_fb_table *t,
	const struct tela_fb_desc_field *f, bool *first)
{
	const bool object = f->unit == TELA_FB_OBJECT && f->form == TELA_FB_ONE;
	const struct tela_fb_desc_type *type =
		object ? tela_fb_desc_type_at(p->desc, f->type) : NULL;
	uint32_t at;

	if (f->unit == TELA_FB_UNION)
		return (f->form == TELA_FB_ONE ? tela_fb_print_union : tela_fb_print_unions)(
			p, t, f, first);
	if (f->form == TELA_FB_ONE &&
		(object ? type->kind == TELA_FB_IS_STRUCT : f->unit != TELA_FB_STRING)) {
		const uint32_t size = tela_fb_desc_size(p->desc, f);

		if (!tela_fb_verify_inline(
			    &p->v, t, f->at, size, object ? type->align : size, f->required))
			return tela_fb_print_end(p, -EBADMSG);
		at = tela_fb_verify_slot(&p->v, t, f->at);
		return !at || (tela_fb_print_key(p, f->name, "", first) &&
				      (object ? tela_fb_print_struct(p, f->type, p->v.buf + at)
					      : tela_fb_print_scalar(p, f, p->v.buf + at)));
	}
	if (!tela_fb_verify_ref(&p->v, t, f->at, f->required, &at))
		return tela_fb_print_end(p, -EBADMSG);
	if (!at)
		return true;
	if (!tela_fb_print_key(p, f->name, "", first))
		return false;
	if (f->nested)
		return tela_fb_print_nested(p, f, at);
	if (f->form == TELA_FB_VECTOR)
		return tela_fb_print_vector(p, f, at);
	return object ? tela_fb_print_table(p, f->type, at) : tela_fb_print_str(p, at);
}

static inline bool tela_fb_print_table(struct tela_fb_printer *p, uint32_t type, uint32_t at)
{
	const struct tela_fb_desc_type *d = tela_fb_desc_type_at(p->desc, type);
	const struct tela_fb_desc_field *f = tela_fb_desc_fields(p->desc, d), *end = f + d->n;
	struct tela_fb_table t;
	bool first = true;

	if (!tela_fb_enter(&p->v, at, &t))
		return tela_fb_print_end(p, -EBADMSG);
	if (!tela_fb_print_visit(p) || !tela_fb_print_text(p, "{"))
		return false;
	for (; f < end; f++) {
		if (!tela_fb_print_field(p, &t, f, &first))
			return false;
	}
	return tela_fb_leave(&p->v) && tela_fb_print_text(p, "}");
}

/* Prints the table of `type` (T_DESC of a generated header) that the `len` bytes at `buf` hold. The
 * text has *ret_len bytes and a 0 behind them, as long as `room` is not 0; "..." ends it unless it
 * is whole. 0 (all of it), -ENOSPC (it was cut), -EBADMSG (the buffer is not valid: it is printed
 * as far as it is), -EINVAL (`type` is NULL, or no table). */
static inline int tela_fb_print(const struct tela_fb_desc_type *type, const void *buf, size_t len,
	unsigned flags, char *out, size_t room, size_t *ret_len)
{
	struct tela_fb_printer p;
	uint32_t root;

	*ret_len = 0;
	if (room)
		out[0] = 0;
	if (!type || type->kind != TELA_FB_IS_TABLE)
		return -EINVAL;
	memset(&p, 0, sizeof(p));
	p.desc = (const struct tela_fb_desc *)((const uint8_t *)type - type->at);
	p.out = out;
	p.room = room > 4 ? room - 4 : 0; /* for what may follow */
	p.visits = 64 + 4 * (uint64_t)len;
	p.flags = flags;
	if (!tela_fb_verify_start(
		    &p.v, buf, len, flags & TELA_FB_PRINT_PREFIXED ? 4 : 0, NULL, &root))
		p.err = -EBADMSG;
	else
		tela_fb_print_table(&p, (uint32_t)(type - tela_fb_desc_type_at(p.desc, 0)), root);
	if (p.err && room > 4) {
		memcpy(p.out + p.at, "...", 3);
		p.at += 3;
	}
	if (room)
		out[p.at] = 0;
	*ret_len = p.at;
	return p.err;
}

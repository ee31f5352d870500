/* text.h - the text that all writers of a random message read and all readers print (content.py
 * says how it looks), for C and C++; and what arguments of ours are kept in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory for one message, given back at once ---- */

struct arena {
	uint8_t *data;
	size_t used, room;
	uint8_t fill; /* what memory holds before it is written: padding must not get into a buffer
		       */
};

static inline void *arena_take(struct arena *a, size_t bytes)
{
	uint8_t *p = a->data + a->used;

	bytes = (bytes + 31) & ~(size_t)15;
	if (bytes > a->room - a->used) {
		fprintf(stderr, "the arena of %zu bytes is full\n", a->room);
		abort();
	}
	a->used += bytes;
	memset(p, a->fill, bytes);
	return p;
}

/* ---- reading ---- */

struct text_in {
	const char *p;
	struct arena *arena;
};

static inline void text_skip(struct text_in *in)
{
	while (*in->p == ' ' || *in->p == '\n')
		in->p++;
}

static inline void text_fail(const struct text_in *in, const char *wanted)
{
	fprintf(stderr, "the text of a message: %s wanted at: %.40s\n", wanted, in->p);
	abort();
}

/* Steps over the name of a field. */
static inline void text_name(struct text_in *in, const char *name)
{
	const size_t n = strlen(name);

	text_skip(in);
	if (strncmp(in->p, name, n) || in->p[n] != ' ')
		text_fail(in, name);
	in->p += n;
}

/* Whether `c` comes next, which is stepped over then. */
static inline bool text_is(struct text_in *in, char c)
{
	text_skip(in);
	if (*in->p != c)
		return false;
	in->p++;
	return true;
}

static inline void text_expect(struct text_in *in, char c)
{
	const char wanted[] = {c, 0};

	if (!text_is(in, c))
		text_fail(in, wanted);
}

static inline uint64_t text_number(struct text_in *in)
{
	char *end;
	uint64_t v;

	text_skip(in);
	if (*in->p == 'x')
		v = strtoull(in->p + 1, &end, 16);
	else if (*in->p == '-')
		v = (uint64_t)strtoll(in->p, &end, 10);
	else
		v = strtoull(in->p, &end, 10);
	in->p = end;
	return v;
}

static inline float text_f32(struct text_in *in)
{
	const uint32_t bits = (uint32_t)text_number(in);
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static inline double text_f64(struct text_in *in)
{
	const uint64_t bits = text_number(in);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* A scalar field that is set; false: left at its default, or absent. */
static inline bool text_set(struct text_in *in)
{
	if (text_is(in, '='))
		return true;
	if (!text_is(in, '-')) {
		text_expect(in, '~');
		text_number(in);
	}
	return false;
}

static inline unsigned text_nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Bytes in hex up to the next blank, and a 0 behind them. */
static inline uint8_t *text_hex(struct text_in *in, size_t *ret_n)
{
	const size_t n = strcspn(in->p, " \n") / 2;
	uint8_t *p = (uint8_t *)arena_take(in->arena, n + 1);
	size_t i;

	for (i = 0; i < n; i++, in->p += 2)
		p[i] = (uint8_t)(text_nibble(in->p[0]) << 4 | text_nibble(in->p[1]));
	p[n] = 0;
	*ret_n = n;
	return p;
}

/* ---- printing ---- */

struct text_out {
	char *p;
	size_t len, room;
};

static inline char *text_room(struct text_out *o, size_t n)
{
	if (o->room - o->len < n) {
		o->room = 2 * o->room + n;
		o->p = (char *)realloc(o->p, o->room);
		if (!o->p)
			abort();
	}
	return o->p + o->len;
}

static inline void text_put(struct text_out *o, const char *s, size_t n)
{
	memcpy(text_room(o, n), s, n);
	o->len += n;
}

#define TEXT(o, literal) text_put(o, literal, sizeof(literal) - 1)

static inline void text_put_bits(struct text_out *o, uint64_t bits, unsigned digits)
{
	char *p = text_room(o, digits + 1);
	unsigned i;

	*p++ = 'x';
	for (i = digits; i--; bits >>= 4)
		p[i] = "0123456789abcdef"[bits & 15];
	o->len += digits + 1;
}

static inline void text_put_u64(struct text_out *o, uint64_t v)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[sizeof(digits) - ++n] = (char)('0' + v % 10);
	while (v /= 10);
	text_put(o, digits + sizeof(digits) - n, n);
}

static inline void text_put_i64(struct text_out *o, int64_t v)
{
	if (v < 0)
		TEXT(o, "-");
	text_put_u64(o, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static inline void text_put_f32(struct text_out *o, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	text_put_bits(o, bits, 8);
}

static inline void text_put_f64(struct text_out *o, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	text_put_bits(o, bits, 16);
}

/* `mark` is " for a string, # for bytes; `data` NULL: absent. Every byte of it is read. */
static inline void text_put_hex(struct text_out *o, char mark, const void *data, size_t n)
{
	const uint8_t *bytes = (const uint8_t *)data;
	char *p;
	size_t i;

	if (!data) {
		TEXT(o, "-\n");
		return;
	}
	p = text_room(o, 2 * n + 2);
	*p++ = mark;
	for (i = 0; i < n; i++) {
		*p++ = "0123456789abcdef"[bytes[i] >> 4];
		*p++ = "0123456789abcdef"[bytes[i] & 15];
	}
	*p = '\n';
	o->len += 2 * n + 2;
}

static inline void text_put_vector(struct text_out *o, bool there, size_t n)
{
	if (!there) {
		TEXT(o, "-\n");
		return;
	}
	TEXT(o, "[");
	text_put_u64(o, n);
	TEXT(o, "\n");
}

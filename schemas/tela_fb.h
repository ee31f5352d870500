/* tela_fb.h - what the headers made by telac stand on: reading and building FlatBuffers.
 *
 * Readers load with memcpy, so a buffer may stand at any address; where the format asks for
 * alignment it is relative to the start of the buffer. A reader must only be given what its
 * verifier accepted: tela_fb_verify.h, which every generated header includes, too.
 *
 * Builders write front to back: root offset, vtable, table, then its children in the order of their
 * ids. Sizes are measured first; what writes afterwards does not check again.
 *
 * Context:   any thread, no memory is taken.
 * Errors:    a size, -ENOSPC (does not fit), -EINVAL (cannot be built).
 * Units:     positions count bytes from the start of the buffer.
 * Only tela_str and tela_bytes are for others than generated code.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tela_fb.h loads FlatBuffers as they are: a little-endian host is required"
#endif

#ifdef __cplusplus
#define TELA_FB_ASSERT(cond, text) static_assert(cond, text)
#else
#define TELA_FB_ASSERT(cond, text) _Static_assert(cond, text)
#endif

/* A string or bytes inside a buffer; a NULL pointer says that the field is absent. */
struct tela_str {
	const char *s; /* s[len] is 0 */
	size_t len;
};

struct tela_bytes {
	const uint8_t *data;
	size_t len;
};

#define TELA_FB_SIZE_MAX  0x7ffffffeu
#define TELA_FB_DEPTH_MAX 64 /* tables inside each other, the root included */

/* ---- loads and stores ---- */

#define TELA_FB_SCALAR(name, type)                                                                 \
	static inline type tela_fb_load_##name(const uint8_t *p)                                   \
	{                                                                                          \
		type v;                                                                            \
                                                                                                   \
		memcpy(&v, p, sizeof(v));                                                          \
		return v;                                                                          \
	}                                                                                          \
	static inline void tela_fb_store_##name(uint8_t *p, type v)                                \
	{                                                                                          \
		memcpy(p, &v, sizeof(v));                                                          \
	}

TELA_FB_SCALAR(u8, uint8_t)
TELA_FB_SCALAR(i8, int8_t)
TELA_FB_SCALAR(u16, uint16_t)
TELA_FB_SCALAR(i16, int16_t)
TELA_FB_SCALAR(u32, uint32_t)
TELA_FB_SCALAR(i32, int32_t)
TELA_FB_SCALAR(u64, uint64_t)
TELA_FB_SCALAR(i64, int64_t)
TELA_FB_SCALAR(f32, float)
TELA_FB_SCALAR(f64, double)
#undef TELA_FB_SCALAR

/* Any byte may stand where a bool is: only a comparison makes it one. */
static inline bool tela_fb_load_bool(const uint8_t *p)
{
	return *p != 0;
}

static inline void tela_fb_store_bool(uint8_t *p, bool v)
{
	*p = v ? 1 : 0;
}

/* A float is its default when its bits are: -0.0 is kept, and a NaN equals itself. */
static inline bool tela_fb_same_f32(float a, float b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static inline bool tela_fb_same_f64(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* ---- readers: `table` NULL is an absent table, `slot` the place in the vtable ---- */

static inline const uint8_t *tela_fb_field(const uint8_t *table, unsigned slot)
{
	const uint8_t *vtable;
	uint16_t offset;

	if (!table)
		return NULL;
	vtable = table - tela_fb_load_i32(table);
	if (slot >= tela_fb_load_u16(vtable))
		return NULL;
	offset = tela_fb_load_u16(vtable + slot);
	return offset ? table + offset : NULL;
}

/* What the offset in field `slot` leads to. */
static inline const uint8_t *tela_fb_follow(const uint8_t *table, unsigned slot)
{
	const uint8_t *field = tela_fb_field(table, slot);

	return field ? field + tela_fb_load_u32(field) : NULL;
}

static inline const uint8_t *tela_fb_root(const void *buf)
{
	const uint8_t *p = (const uint8_t *)buf;

	return p ? p + tela_fb_load_u32(p) : NULL;
}

static inline size_t tela_fb_length(const uint8_t *table, unsigned slot)
{
	const uint8_t *vector = tela_fb_follow(table, slot);

	return vector ? tela_fb_load_u32(vector) : 0;
}

/* Element `i`, NULL at the end and behind it. */
static inline const uint8_t *tela_fb_element(
	const uint8_t *table, unsigned slot, size_t i, size_t size)
{
	const uint8_t *vector = tela_fb_follow(table, slot);

	if (!vector || i >= tela_fb_load_u32(vector))
		return NULL;
	return vector + 4 + i * size;
}

static inline const uint8_t *tela_fb_follow_element(const uint8_t *table, unsigned slot, size_t i)
{
	const uint8_t *e = tela_fb_element(table, slot, i, 4);

	return e ? e + tela_fb_load_u32(e) : NULL;
}

static inline struct tela_str tela_fb_as_str(const uint8_t *vector)
{
	struct tela_str ret = {NULL, 0};

	if (vector) {
		ret.s = (const char *)vector + 4;
		ret.len = tela_fb_load_u32(vector);
	}
	return ret;
}

static inline struct tela_bytes tela_fb_as_bytes(const uint8_t *vector)
{
	struct tela_bytes ret = {NULL, 0};

	if (vector) {
		ret.data = vector + 4;
		ret.len = tela_fb_load_u32(vector);
	}
	return ret;
}

/* ---- the order of keys: that of C++, by bytes and then by length ---- */

static inline int tela_fb_order_str(struct tela_str x, struct tela_str y)
{
	const size_t n = x.len < y.len ? x.len : y.len;
	const int order = n ? memcmp(x.s, y.s, n) : 0;

	return order ? order : (x.len > y.len) - (x.len < y.len);
}

/* NaNs stand behind all numbers, so that this is an order. */
static inline int tela_fb_order_real(double x, double y)
{
	if (x != x || y != y)
		return (x != x) - (y != y);
	return (x > y) - (x < y);
}

static inline void tela_fb_swap(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t part[64];
	size_t k;

	for (; n; n -= k, a += k, b += k) {
		k = n < sizeof(part) ? n : sizeof(part);
		memcpy(part, a, k);
		memcpy(a, b, k);
		memcpy(b, part, k);
	}
}

/* Lets element `i` of the first `n` sink below all that are larger. */
static inline void tela_fb_sink(
	uint8_t *base, size_t i, size_t n, size_t size, int (*order)(const void *, const void *))
{
	size_t child;

	for (; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && order(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (order(base + i * size, base + child * size) >= 0)
			return;
		tela_fb_swap(base + i * size, base + child * size, size);
	}
}

/* In place, and n log n whatever there is: arguments may be a stranger's. */
static inline void tela_fb_sort(
	void *v, size_t n, size_t size, int (*order)(const void *, const void *))
{
	uint8_t *base = (uint8_t *)v;
	size_t i;

	for (i = n / 2; i-- > 0;)
		tela_fb_sink(base, i, n, size, order);
	for (i = n; i-- > 1;) {
		tela_fb_swap(base, base + i * size, size);
		tela_fb_sink(base, 0, i, size, order);
	}
}

/* ---- descriptors: what a schema says of its messages (tela_fb_print.h prints by them) ----
 *
 * One constant object a schema, without a pointer in it: it needs no relocation, and may be copied
 * as it is. Types have numbers; everything else is found from the head. Fields that are deprecated
 * are not there, nor is the type of a union, which stands in the slot before it.
 */

#define TELA_FB_NO_TYPE UINT32_MAX

/* What a field is, or its elements are: numbers of reflection.BaseType. */
enum tela_fb_unit {
	TELA_FB_UTYPE = 1,
	TELA_FB_BOOL,
	TELA_FB_BYTE,
	TELA_FB_UBYTE,
	TELA_FB_SHORT,
	TELA_FB_USHORT,
	TELA_FB_INT,
	TELA_FB_UINT,
	TELA_FB_LONG,
	TELA_FB_ULONG,
	TELA_FB_FLOAT,
	TELA_FB_DOUBLE,
	TELA_FB_STRING,
	TELA_FB_OBJECT = 15, /* a table or a struct */
	TELA_FB_UNION,
};

enum tela_fb_form { TELA_FB_ONE, TELA_FB_VECTOR, TELA_FB_ARRAY };

enum tela_fb_kind { TELA_FB_IS_TABLE, TELA_FB_IS_STRUCT, TELA_FB_IS_ENUM, TELA_FB_IS_UNION };

/* Begins a descriptor; these places count bytes from here. */
struct tela_fb_desc {
	uint32_t size; /* of all of it */
	uint32_t n_types;
	uint32_t types, fields, values, names;
};

struct tela_fb_desc_type {
	uint32_t at;    /* bytes from the head to this */
	uint32_t name;  /* in full; names are places among `names`, and end in 0 */
	uint32_t first; /* of its fields, by id, or of its values */
	uint32_t n;
	uint32_t size, align; /* of a struct */
	uint16_t kind;        /* enum tela_fb_kind */
	uint16_t bit_flags;
};

struct tela_fb_desc_field {
	uint32_t name;
	uint32_t type;   /* its enum, table, struct or union; the table in its bytes */
	uint16_t at;     /* slot in the vtable, or place in the struct */
	uint16_t length; /* of an array */
	uint8_t unit;    /* enum tela_fb_unit */
	uint8_t form;    /* enum tela_fb_form */
	uint8_t required;
	uint8_t nested; /* its bytes are a buffer with a table of `type` */
};

struct tela_fb_desc_value {
	int64_t value; /* the bits of an ulong */
	uint32_t name;
	uint32_t type; /* of a union's member, TELA_FB_NO_TYPE: a string */
};

/* ---- measuring: positions in 64 bits, 0 once it cannot be built ---- */

/* What of a table is present: bytes from its start to its end, of its vtable, and the alignment. */
struct tela_fb_shape {
	uint32_t size, vsize, align;
};

static inline void tela_fb_shape_add(
	struct tela_fb_shape *s, uint32_t vsize, uint32_t size, uint32_t align)
{
	s->size += size;
	s->vsize = vsize > s->vsize ? vsize : s->vsize;
	s->align = align > s->align ? align : s->align;
}

static inline uint64_t tela_fb_up(uint64_t pos, uint32_t align)
{
	return (pos + align - 1) & ~((uint64_t)align - 1);
}

/* Where the table stands when its vtable may begin at `pos`: fields begin 4 bytes into it, aligned.
 */
static inline uint64_t tela_fb_table_at(uint64_t pos, const struct tela_fb_shape *s)
{
	return tela_fb_up(pos + s->vsize + 4, s->align) - 4;
}

static inline uint64_t tela_fb_measure_table(uint64_t pos, const struct tela_fb_shape *s)
{
	pos = tela_fb_table_at(pos, s) + s->size;
	return pos <= TELA_FB_SIZE_MAX ? pos : 0;
}

/* A vector of `n` elements (at `p`, which may be NULL if there are none) and `extra` bytes. */
static inline uint64_t tela_fb_measure_vector(
	uint64_t pos, const void *p, size_t n, uint32_t size, uint32_t align, uint32_t extra)
{
	if (!pos || (!p && n) || n > TELA_FB_SIZE_MAX / size)
		return 0;
	pos = tela_fb_up(pos + 4, align) + (uint64_t)n * size + extra;
	return pos <= TELA_FB_SIZE_MAX ? pos : 0;
}

static inline uint64_t tela_fb_measure_str(uint64_t pos, struct tela_str s)
{
	return tela_fb_measure_vector(pos, s.s, s.len, 1, 4, 1);
}

static inline uint64_t tela_fb_measure_struct(uint64_t pos, uint32_t size, uint32_t align)
{
	pos = tela_fb_up(pos, align) + size;
	return pos <= TELA_FB_SIZE_MAX ? pos : 0;
}

static inline uint64_t tela_fb_measure_strs(
	uint64_t pos, const struct tela_str *s, size_t n, uint32_t align)
{
	size_t i;

	pos = tela_fb_measure_vector(pos, s, n, 4, align, 0);
	for (i = 0; i < n && pos; i++)
		pos = s[i].s ? tela_fb_measure_str(pos, s[i]) : 0;
	return pos;
}

/* ---- writing what has been measured ---- */

static inline uint32_t tela_fb_pad(uint8_t *buf, uint32_t pos, uint32_t to)
{
	if (to != pos)
		memset(buf + pos, 0, to - pos);
	return to;
}

/* Writes the vtable with every field absent and the head of the table; returns where the table is.
 */
static inline uint32_t tela_fb_put_table(uint8_t *buf, uint32_t pos, const struct tela_fb_shape *s)
{
	const uint32_t at = (uint32_t)tela_fb_table_at(pos, s);
	uint8_t *vtable = buf + at - s->vsize;

	memset(buf + pos, 0, at - pos);
	tela_fb_store_u16(vtable, (uint16_t)s->vsize);
	tela_fb_store_u16(vtable + 2, (uint16_t)s->size);
	tela_fb_store_u32(buf + at, s->vsize);
	return at;
}

/* Enters the field that stands `*offset` into the table, and steps over it; returns where it is. */
static inline uint32_t tela_fb_put_slot(uint8_t *buf, uint32_t table, uint32_t vsize, unsigned slot,
	uint32_t *offset, uint32_t size)
{
	const uint32_t at = table + *offset;

	tela_fb_store_u16(buf + table - vsize + slot, (uint16_t)*offset);
	*offset += size;
	return at;
}

static inline void tela_fb_put_ref(uint8_t *buf, uint32_t at, uint32_t to)
{
	tela_fb_store_u32(buf + at, to - at);
}

/* The length of a vector that the offset at `ref` leads to; returns where its elements begin. */
static inline uint32_t tela_fb_put_length(
	uint8_t *buf, uint32_t pos, uint32_t ref, size_t n, uint32_t align)
{
	const uint32_t at = (uint32_t)tela_fb_up((uint64_t)pos + 4, align);

	/* Side by side they are one word: who copies the message by words does not wait for two. */
	if (ref + 8 == at) {
		tela_fb_store_u64(buf + ref, 4 | (uint64_t)n << 32);
		return at;
	}
	tela_fb_pad(buf, pos, at - 4);
	tela_fb_store_u32(buf + at - 4, (uint32_t)n);
	tela_fb_put_ref(buf, ref, at - 4);
	return at;
}

static inline uint32_t tela_fb_put_vector(uint8_t *buf, uint32_t pos, uint32_t ref, const void *p,
	size_t n, uint32_t size, uint32_t align)
{
	const uint32_t bytes = (uint32_t)(n * size);

	pos = tela_fb_put_length(buf, pos, ref, n, align);
	if (bytes)
		memcpy(buf + pos, p, bytes);
	return pos + bytes;
}

static inline uint32_t tela_fb_put_str(uint8_t *buf, uint32_t pos, uint32_t ref, struct tela_str s)
{
	pos = tela_fb_put_vector(buf, pos, ref, s.s, s.len, 1, 4);
	buf[pos] = 0;
	return pos + 1;
}

static inline uint32_t tela_fb_put_strs(uint8_t *buf, uint32_t pos, uint32_t ref,
	const struct tela_str *s, size_t n, uint32_t align)
{
	const uint32_t first = tela_fb_put_length(buf, pos, ref, n, align);
	size_t i;

	pos = first + 4 * (uint32_t)n;
	for (i = 0; i < n; i++)
		pos = tela_fb_put_str(buf, pos, first + 4 * (uint32_t)i, s[i]);
	return pos;
}

/* Past a field, where another part has seen to the vtable; returns where it is. */
static inline uint32_t tela_fb_step(uint32_t table, uint32_t *offset, uint32_t size)
{
	const uint32_t at = table + *offset;

	*offset += size;
	return at;
}

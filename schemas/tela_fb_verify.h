/* tela_fb_verify.h - whether bytes may be read as a FlatBuffer: what the verifiers made by telac
 * stand on.
 *
 * What it accepts: every buffer that the C++ library's verifier accepts (depth 64, alignment
 * checked) and in which no table is reached by two paths, with the exceptions below; and of the
 * rest what fits. Strings, vectors and vtables may be shared by any number of tables, and vectors
 * may overlap.
 *
 * What it costs: a constant for every byte, so that no small buffer can hold a core. It counts
 *
 * - visits: one for each table and each element of a vector of tables, and allows one for every
 *   two bytes. All buffers without a table on two paths fit, as an element and a table take four
 *   bytes at least and belong to one path. What a visit costs is bounded by the table's fields.
 * - leaves: one for each element of a vector of strings or unions, and allows one for every byte,
 *   four times what vectors that stand apart can have. Where vectors are shared so often that this
 *   is not enough, all is looked at once more, now with TELA_FB_SEEN bytes and a little more on
 *   the stack: they keep which elements lead to strings, so that each is looked at once only, and
 *   the last vectors of unions. This second time four leaves a byte are allowed.
 *
 * So these alone are refused although C++ accepts them, each only once its buffer has used up its
 * leaves:
 *
 * - vectors of unions named again, with the same types or others, if more than 256 turn by turn.
 *   An element is two offsets and may be valid with one type and not with another, so n bytes can
 *   hold n * sqrt(n) elements that all differ: no constant for each byte pays for that;
 * - vectors of strings that are also bytes of a buffer nested beside them, both named again and
 *   again: that buffer has another end, so what was known of them is forgotten when it begins;
 * - beyond 1 MiB, where a bit stands for 2 elements, and so on to 16 MiB with 16: overlapping
 *   vectors that begin and end within the same few elements, named by fields which share bytes.
 *
 * and one that has nothing to do with cost: a nested buffer may have up to 1,024 tables around it,
 * over all buffers that it is inside. C++ goes on until its stack ends.
 */
#pragma once

#include "tela_fb.h"

enum {
	TELA_FB_AROUND_MAX = 1024, /* tables around a nested buffer; it has that depth again */
	TELA_FB_SEEN = 32 << 10,   /* bytes of bits of a second look */
	TELA_FB_SEEN_VALUES = 256, /* vectors that it remembers */
	TELA_FB_SIZE_MIN = 12,     /* root offset, vtable, table: as the C++ verifier has it */
};

/* What a verifier allows for so many bytes; the last one when it looks a second time. */
#define TELA_FB_VISITS(len)       (16 + (len) / 2)
#define TELA_FB_LEAVES(len)       (16 + (len))
#define TELA_FB_LEAVES_AGAIN(len) (4 * (uint64_t)TELA_FB_LEAVES(len))

struct tela_fb_seen;

struct tela_fb_verifier {
	const uint8_t *buf;
	uint32_t len;
	uint32_t depth;
	uint32_t around;           /* tables around this buffer */
	uint32_t budget;           /* visits left */
	uint64_t leaves;           /* left */
	bool again;                /* the leaves did not suffice: a second look may accept it */
	struct tela_fb_seen *seen; /* that of the second look */
};

struct tela_fb_table {
	uint32_t at;     /* position of the table */
	uint32_t vtable; /* and of its vtable */
	uint32_t vsize;
};

/* The whole of [at, at + n), n smaller than the buffer, as the C++ library has it. Every buffer has
 * TELA_FB_SIZE_MIN bytes, so for less the first question need not be asked. */
static inline bool tela_fb_inside(const struct tela_fb_verifier *v, uint64_t at, uint64_t n)
{
	if (!(__builtin_constant_p(n < TELA_FB_SIZE_MIN) && n < TELA_FB_SIZE_MIN) && n >= v->len)
		return false;
	return at <= v->len - n;
}

static inline bool tela_fb_charge(struct tela_fb_verifier *v, uint32_t visits)
{
	if (visits > v->budget)
		return false;
	v->budget -= visits;
	return true;
}

/* The offset at `at` and the position that it leads to. */
static inline bool tela_fb_verify_offset(
	const struct tela_fb_verifier *v, uint32_t at, uint32_t *ret_to)
{
	uint64_t to;

	if ((at & 3) || !tela_fb_inside(v, at, 4))
		return false;
	to = (uint64_t)at + tela_fb_load_u32(v->buf + at);
	*ret_to = (uint32_t)to;
	return to > at && to < v->len;
}

/* Behind the root offset, which stands at `start`. */
static inline bool tela_fb_has_identifier(
	const void *buf, size_t len, uint32_t start, const char *identifier)
{
	return buf && len >= start + 8 &&
	       memcmp((const uint8_t *)buf + start + 4, identifier, 4) == 0;
}

/* Is it to be looked at, at all? */
static inline bool tela_fb_verify_begin(struct tela_fb_verifier *v, const void *buf, size_t len)
{
	if (!buf || len < TELA_FB_SIZE_MIN || len > TELA_FB_SIZE_MAX)
		return false;
	v->buf = (const uint8_t *)buf;
	v->len = (uint32_t)len;
	v->depth = v->around = 0;
	v->budget = TELA_FB_VISITS(v->len);
	v->leaves = TELA_FB_LEAVES(v->len);
	v->again = false;
	v->seen = NULL;
	return true;
}

/* The root offset stands at `start`: 0, or 4 where the size of the rest is before it. */
static inline bool tela_fb_verify_start(struct tela_fb_verifier *v, const void *buf, size_t len,
	uint32_t start, const char *identifier, uint32_t *ret_root)
{
	if (!tela_fb_verify_begin(v, buf, len))
		return false;
	if (start && tela_fb_load_u32((const uint8_t *)buf) != len - 4)
		return false;
	if (identifier && !tela_fb_has_identifier(buf, len, start, identifier))
		return false;
	return tela_fb_verify_offset(v, start, ret_root);
}

/* A table begins at `at`; every enter that succeeds is left again. */
static inline bool tela_fb_enter(struct tela_fb_verifier *v, uint32_t at, struct tela_fb_table *ret)
{
	uint64_t vtable;

	if (v->depth == TELA_FB_DEPTH_MAX || !tela_fb_charge(v, 1))
		return false;
	if ((at & 3) || !tela_fb_inside(v, at, 4))
		return false;
	vtable = (uint64_t)((int64_t)at - tela_fb_load_i32(v->buf + at)); /* huge if negative */
	if ((vtable & 1) || !tela_fb_inside(v, vtable, 2))
		return false;
	ret->at = at;
	ret->vtable = (uint32_t)vtable;
	ret->vsize = tela_fb_load_u16(v->buf + vtable);
	if ((ret->vsize & 1) || !tela_fb_inside(v, vtable, ret->vsize))
		return false;
	v->depth++;
	return true;
}

static inline bool tela_fb_leave(struct tela_fb_verifier *v)
{
	v->depth--;
	return true;
}

/* Position of a field, 0 if it is absent (no field stands at the root offset). */
static inline uint32_t tela_fb_verify_slot(
	const struct tela_fb_verifier *v, const struct tela_fb_table *t, unsigned slot)
{
	uint16_t offset;

	if (slot >= t->vsize)
		return 0;
	offset = tela_fb_load_u16(v->buf + t->vtable + slot);
	return offset ? t->at + offset : 0;
}

/* A scalar or a struct. */
static inline bool tela_fb_verify_inline(const struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, uint32_t size, uint32_t align, bool required)
{
	const uint32_t at = tela_fb_verify_slot(v, t, slot);

	if (!at)
		return !required;
	return !(at & (align - 1)) && tela_fb_inside(v, at, size);
}

/* An offset field; *ret_to is 0 if it is absent and need not be there. */
static inline bool tela_fb_verify_ref(const struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, bool required, uint32_t *ret_to)
{
	const uint32_t at = tela_fb_verify_slot(v, t, slot);

	*ret_to = 0;
	if (!at)
		return !required;
	return tela_fb_verify_offset(v, at, ret_to);
}

static inline bool tela_fb_verify_elements(
	const struct tela_fb_verifier *v, uint32_t at, uint32_t size, uint32_t *ret_n)
{
	if ((at & 3) || !tela_fb_inside(v, at, 4))
		return false;
	*ret_n = tela_fb_load_u32(v->buf + at);
	return tela_fb_inside(v, at, 4 + (uint64_t)*ret_n * size);
}

static inline bool tela_fb_verify_string(const struct tela_fb_verifier *v, uint32_t at)
{
	uint32_t n;

	return tela_fb_verify_elements(v, at, 1, &n) &&
	       tela_fb_inside(v, (uint64_t)at + 4 + n, 1) && !v->buf[at + 4 + n];
}

/* A string, or a vector, by the place of its offset. */
static inline bool tela_fb_verify_str_at(const struct tela_fb_verifier *v, uint32_t ref)
{
	uint32_t at;

	return tela_fb_verify_offset(v, ref, &at) && tela_fb_verify_string(v, at);
}

static inline bool tela_fb_verify_vector_at(
	const struct tela_fb_verifier *v, uint32_t ref, uint32_t size)
{
	uint32_t at, n;

	return tela_fb_verify_offset(v, ref, &at) && tela_fb_verify_elements(v, at, size, &n);
}

static inline bool tela_fb_verify_str(const struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, bool required)
{
	uint32_t at;

	return tela_fb_verify_ref(v, t, slot, required, &at) &&
	       (!at || tela_fb_verify_string(v, at));
}

/* A vector of scalars or structs. */
static inline bool tela_fb_verify_vector(const struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, uint32_t size, bool required)
{
	uint32_t at, n;

	return tela_fb_verify_ref(v, t, slot, required, &at) &&
	       (!at || tela_fb_verify_elements(v, at, size, &n));
}

/* A vector of offsets: *ret_at is the first of *ret_n. */
static inline bool tela_fb_verify_offsets(const struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, bool required, uint32_t *ret_at,
	uint32_t *ret_n)
{
	uint32_t at;

	*ret_n = 0;
	if (!tela_fb_verify_ref(v, t, slot, required, &at))
		return false;
	*ret_at = at + 4;
	return !at || tela_fb_verify_elements(v, at, 4, ret_n);
}

/* One of tables, all charged for. */
static inline bool tela_fb_verify_refs(struct tela_fb_verifier *v, const struct tela_fb_table *t,
	unsigned slot, bool required, uint32_t *ret_at, uint32_t *ret_n)
{
	return tela_fb_verify_offsets(v, t, slot, required, ret_at, ret_n) &&
	       tela_fb_charge(v, *ret_n);
}

/* The position that an entry of a vector of offsets leads to, UINT32_MAX where that is outside:
 * nothing can stand there. An entry of 0 leads to itself: the C++ verifier lets that pass where it
 * reads as something valid, and so does this one. */
static inline uint32_t tela_fb_verify_entry(const struct tela_fb_verifier *v, uint32_t at)
{
	const uint64_t to = (uint64_t)at + tela_fb_load_u32(v->buf + at);

	return to < v->len ? (uint32_t)to : UINT32_MAX;
}

static inline bool tela_fb_charge_leaves(struct tela_fb_verifier *v, uint32_t n)
{
	v->again = n > v->leaves;
	if (v->again)
		return false;
	v->leaves -= n;
	return true;
}

/* The `n` entries from `at` on lead to strings. */
static inline bool tela_fb_verify_entries(struct tela_fb_verifier *v, uint32_t at, uint32_t n)
{
	if (!tela_fb_charge_leaves(v, n))
		return false;
	for (; n; n--, at += 4) {
		if (!tela_fb_verify_string(v, tela_fb_verify_entry(v, at)))
			return false;
	}
	return true;
}

static bool tela_fb_verify_unseen(struct tela_fb_verifier *v, uint32_t at, uint32_t n);

static inline bool tela_fb_verify_strs(
	struct tela_fb_verifier *v, const struct tela_fb_table *t, unsigned slot, bool required)
{
	uint32_t at, n;

	if (!tela_fb_verify_offsets(v, t, slot, required, &at, &n))
		return false;
	return v->seen ? tela_fb_verify_unseen(v, at, n) : tela_fb_verify_entries(v, at, n);
}

/* A union: its type, 0 if absent, stands in the slot before its value's. */
static inline bool tela_fb_verify_union(const struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, bool required, uint8_t *ret_type,
	uint32_t *ret_to)
{
	const uint32_t at = tela_fb_verify_slot(v, t, slot - 2);

	*ret_type = 0;
	if (at && !tela_fb_inside(v, at, 1))
		return false;
	if (at)
		*ret_type = v->buf[at];
	return tela_fb_verify_ref(v, t, slot, required, ret_to);
}

/* A struct that stands alone, as the value of a union; `at` 0: absent, which it must not be. */
static inline bool tela_fb_verify_struct(
	const struct tela_fb_verifier *v, uint32_t at, uint32_t size, uint32_t align)
{
	return at && !(at & (align - 1)) && tela_fb_inside(v, at, size);
}

/* A vector of unions: the first of *ret_n types and of as many values. */
static inline bool tela_fb_verify_unions(const struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, bool required, uint32_t *ret_types,
	uint32_t *ret_at, uint32_t *ret_n)
{
	uint32_t types, n = 0;

	if (!tela_fb_verify_ref(v, t, slot - 2, false, &types) ||
		!tela_fb_verify_offsets(v, t, slot, required, ret_at, ret_n))
		return false;
	*ret_types = types + 4;
	if (!types || *ret_at == 4)
		return !types && *ret_at == 4;
	return tela_fb_verify_elements(v, types, 1, &n) && n == *ret_n;
}

/* The value `at` of a union's member of that type: U_fb_verify() of a generated header. */
typedef bool (*tela_fb_verify_fn)(struct tela_fb_verifier *v, uint8_t type, uint32_t at);

static inline bool tela_fb_verify_values(struct tela_fb_verifier *v, uint32_t types, uint32_t at,
	uint32_t n, tela_fb_verify_fn verify)
{
	if (!tela_fb_charge_leaves(v, n))
		return false;
	for (; n; n--, types++, at += 4) {
		if (!verify(v, v->buf[types], tela_fb_verify_entry(v, at)))
			return false;
	}
	return true;
}

static bool tela_fb_verify_unseen_values(struct tela_fb_verifier *v, uint32_t types, uint32_t at,
	uint32_t n, tela_fb_verify_fn verify);

/* A vector of unions, and what is in it. */
static inline bool tela_fb_verify_all_values(struct tela_fb_verifier *v,
	const struct tela_fb_table *t, unsigned slot, bool required, tela_fb_verify_fn verify)
{
	uint32_t types, at, n;

	if (!tela_fb_verify_unions(v, t, slot, required, &types, &at, &n))
		return false;
	return v->seen ? tela_fb_verify_unseen_values(v, types, at, n, verify)
		       : tela_fb_verify_values(v, types, at, n, verify);
}

/* ---- buffers inside buffers ---- */

/* What a verifier comes back to behind a nested buffer. */
struct tela_fb_outer {
	const uint8_t *buf;
	uint32_t len, depth;
};

static bool tela_fb_forget(struct tela_fb_verifier *v);

/* Goes into the buffer that the bytes at `at` are, with what is left to visit. As in C++, positions
 * and depth count from its start, and it needs no identifier. */
static inline bool tela_fb_verify_nested(struct tela_fb_verifier *v, uint32_t at,
	struct tela_fb_outer *ret_outer, uint32_t *ret_root)
{
	uint32_t n;

	if (!tela_fb_verify_elements(v, at, 1, &n) || n < TELA_FB_SIZE_MIN ||
		v->around + v->depth > TELA_FB_AROUND_MAX)
		return false;
	ret_outer->buf = v->buf;
	ret_outer->len = v->len;
	ret_outer->depth = v->depth;
	v->buf += at + 4;
	v->len = n;
	v->around += v->depth;
	v->depth = 0;
	if (v->seen && !tela_fb_forget(v))
		return false;
	return tela_fb_verify_offset(v, 0, ret_root);
}

static inline bool tela_fb_leave_nested(
	struct tela_fb_verifier *v, const struct tela_fb_outer *outer)
{
	v->buf = outer->buf;
	v->len = outer->len;
	v->depth = outer->depth;
	v->around -= outer->depth;
	return true;
}

/* ---- a second look ----
 *
 * Whether an entry leads to a string does not depend on who asks, but in a nested buffer, where it
 * must end earlier. So a bit that was set inside of one is right around it too, and those of its
 * bytes are cleared before it. Functions here are never inline: they are seldom called.
 */

/* A vector of unions without a table in it that is valid. */
struct tela_fb_seen_values {
	const uint8_t *buf; /* the positions count from here */
	uint32_t len, types, at;
	tela_fb_verify_fn verify; /* its union's */
};

struct tela_fb_seen {
	const uint8_t *start;
	uint32_t shift; /* a bit stands for 1 << shift bytes */
	uint64_t bits[TELA_FB_SEEN / 8];
	uint64_t full[TELA_FB_SEEN / 8 / 64]; /* which of `bits` are all ones */
	struct tela_fb_seen_values values[TELA_FB_SEEN_VALUES];
};

/* Those of the bits in word `w` that are among [first, end), which meets it. */
static inline uint64_t tela_fb_seen_mask(uint32_t w, uint32_t first, uint32_t end)
{
	uint64_t mask = UINT64_MAX;

	if (first > w * 64)
		mask <<= first - w * 64;
	if (end < w * 64 + 64)
		mask &= UINT64_MAX >> (w * 64 + 64 - end);
	return mask;
}

/* The first word from `w` on that has a zero; one behind the last if none has. */
static inline uint32_t tela_fb_seen_next(const struct tela_fb_seen *x, uint32_t w)
{
	uint64_t open;

	for (; w < TELA_FB_SEEN / 8; w = (w | 63) + 1) {
		open = ~x->full[w / 64] >> w % 64;
		if (open)
			return w + (uint32_t)__builtin_ctzll(open);
	}
	return w;
}

static inline void tela_fb_seen_set(struct tela_fb_seen *x, uint32_t w, uint64_t bits)
{
	x->bits[w] = bits;
	x->full[w / 64] &= ~(UINT64_C(1) << w % 64);
	x->full[w / 64] |= (uint64_t)(bits == UINT64_MAX) << w % 64;
}

/* The entries from `at` on, whole bits of them only if they have not been seen; what is before and
 * behind those always. */
__attribute__((noinline, unused)) static bool tela_fb_verify_unseen(
	struct tela_fb_verifier *v, uint32_t at, uint32_t n)
{
	struct tela_fb_seen *x = v->seen;
	const uint32_t base = (uint32_t)(v->buf - x->start), from = base + at, to = from + 4 * n;
	const uint32_t first = (uint32_t)(((uint64_t)from + (1u << x->shift) - 1) >> x->shift);
	const uint32_t end = to >> x->shift;
	uint64_t open;
	uint32_t w;

	if (first >= end)
		return tela_fb_verify_entries(v, at, n);
	if (!tela_fb_verify_entries(v, at, ((first << x->shift) - from) / 4) ||
		!tela_fb_verify_entries(v, (end << x->shift) - base, (to - (end << x->shift)) / 4))
		return false;
	for (w = first / 64; (w = tela_fb_seen_next(x, w)) <= (end - 1) / 64; w++) {
		const uint64_t mask = tela_fb_seen_mask(w, first, end);

		for (open = mask & ~x->bits[w]; open; open &= open - 1) {
			const uint32_t bit = w * 64 + (uint32_t)__builtin_ctzll(open);

			if (!tela_fb_verify_entries(
				    v, (bit << x->shift) - base, (1u << x->shift) / 4))
				return false;
		}
		tela_fb_seen_set(x, w, x->bits[w] | mask);
	}
	return true;
}

/* Clears the bits of a nested buffer's bytes, at a leaf for 64. */
__attribute__((noinline, unused)) static bool tela_fb_forget(struct tela_fb_verifier *v)
{
	struct tela_fb_seen *x = v->seen;
	const uint32_t base = (uint32_t)(v->buf - x->start);
	const uint32_t first = base >> x->shift, end = ((base + v->len - 1) >> x->shift) + 1;
	uint32_t w;

	if (!tela_fb_charge_leaves(v, (end - 1) / 64 - first / 64 + 1))
		return false;
	for (w = first / 64; w <= (end - 1) / 64; w++)
		tela_fb_seen_set(x, w, x->bits[w] & ~tela_fb_seen_mask(w, first, end));
	return true;
}

/* A vector of unions that may have been seen; what has a table in it is not kept. */
__attribute__((noinline, unused)) static bool tela_fb_verify_unseen_values(
	struct tela_fb_verifier *v, uint32_t types, uint32_t at, uint32_t n,
	tela_fb_verify_fn verify)
{
	const struct tela_fb_seen_values one = {v->buf, v->len, types, at, verify};
	const uint32_t base = (uint32_t)(v->buf - v->seen->start), budget = v->budget;
	struct tela_fb_seen_values *kept =
		&v->seen->values[(((base + at) / 4 + types) * UINT32_C(0x9e3779b1) >> 16) %
				 TELA_FB_SEEN_VALUES];

	if (kept->buf == one.buf && kept->len == one.len && kept->types == types &&
		kept->at == at && kept->verify == verify)
		return true;
	if (!tela_fb_verify_values(v, types, at, n, verify))
		return false;
	if (v->budget == budget)
		*kept = one;
	return true;
}

/* All of it once more, where the first look has used up its leaves: the root is at `root`. */
__attribute__((noinline, unused)) static bool tela_fb_verify_again(struct tela_fb_verifier *v,
	const void *buf, size_t len, uint32_t root,
	bool (*verify)(struct tela_fb_verifier *, uint32_t))
{
	struct tela_fb_seen seen;
	uint32_t words;
	bool ok;

	if (!v->again || !tela_fb_verify_begin(v, buf, len))
		return false;
	seen.start = v->buf;
	seen.shift = 2;
	while (v->len >> seen.shift >= 8 * TELA_FB_SEEN)
		seen.shift++;
	words = (v->len >> seen.shift) / 64 + 1;
	memset(seen.bits, 0, words * sizeof(*seen.bits));
	memset(seen.full, 0, sizeof(seen.full));
	memset(seen.values, 0, sizeof(seen.values));
	v->leaves = TELA_FB_LEAVES_AGAIN(v->len);
	v->seen = &seen;
	ok = verify(v, root);
	v->seen = NULL;
	return ok;
}

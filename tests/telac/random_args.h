/* random_args.h - seeded arguments for builders, for the tests of telac.
 *
 * A generator gives numbers with many zeros and extremes among them; what arguments point to lives
 * in its arena until reset.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tela_fb.h>

struct random_args {
	uint64_t state;
	size_t used;
	uint64_t arena[1 << 16];
};

static inline uint64_t random_next(struct random_args *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t random_below(struct random_args *r, uint64_t n)
{
	return random_next(r) % n;
}

static inline uint64_t random_bits(struct random_args *r)
{
	switch (random_below(r, 4)) {
	case 0:
		return 0;
	case 1:
		return random_below(r, 4);
	case 2:
		return ~(uint64_t)0;
	default:
		return random_next(r);
	}
}

static inline double random_real(struct random_args *r)
{
	return random_below(r, 3) ? (double)(int64_t)random_next(r) / 1024.0 : 0.0;
}

static inline void *random_alloc(struct random_args *r, size_t bytes)
{
	void *p = &r->arena[r->used];

	r->used += (bytes + 7) / 8 + 1;
	if (r->used > sizeof(r->arena) / 8)
		abort();
	return p;
}

/* Any bytes, `absent` of 4 times none at all. */
static inline struct tela_bytes random_blob(struct random_args *r, unsigned absent)
{
	struct tela_bytes b = {NULL, 0};
	uint8_t *p;
	size_t i;

	if (random_below(r, 4) < absent)
		return b;
	b.len = random_below(r, 40);
	b.data = p = (uint8_t *)random_alloc(r, b.len);
	for (i = 0; i < b.len; i++)
		p[i] = (uint8_t)random_next(r);
	return b;
}

static inline struct tela_str random_str(struct random_args *r, unsigned absent)
{
	const struct tela_bytes b = random_blob(r, absent);
	struct tela_str s;

	s.s = (const char *)b.data;
	s.len = b.len;
	return s;
}

/* Of arguments with a member for each kind of number. */
#define RANDOM_NUMBERS(r, a)                                                                       \
	do {                                                                                       \
		(a)->i8 = (int8_t)random_bits(r);                                                  \
		(a)->u8 = (uint8_t)random_bits(r);                                                 \
		(a)->i16 = (int16_t)random_bits(r);                                                \
		(a)->u16 = (uint16_t)random_bits(r);                                               \
		(a)->i32 = (int32_t)random_bits(r);                                                \
		(a)->u32 = (uint32_t)random_bits(r);                                               \
		(a)->i64 = (int64_t)random_bits(r);                                                \
		(a)->u64 = random_bits(r);                                                         \
		(a)->f32 = (float)random_real(r);                                                  \
		(a)->f64 = random_real(r);                                                         \
	} while (0)

/* The vector `values` of `n` as member `field`, if `there`; the number is taken only then. */
#define RANDOM_VECTOR(a, field, there, values, n)                                                  \
	do {                                                                                       \
		(a)->field = (there) ? (values) : NULL;                                            \
		(a)->field##_len = (a)->field ? (n) : 0;                                           \
	} while (0)

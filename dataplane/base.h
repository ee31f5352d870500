/* base.h - the small things everything leans on. Assert: bugs are asserted, not returned. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
#define CACHE_LINE    64
#define cache_aligned __attribute__((aligned(CACHE_LINE)))
#undef container_of /* DPDK and liburcu have one each */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define ALIGN8(x)                       (((x) + 7u) & ~7u)

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#ifndef NS_PER_S /* DPDK's headers have one of the same value */
#define NS_PER_S 1000000000ull
#endif

/* Stays in release builds: off the hot path only. */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (unlikely(!(cond)))                                                             \
			check_failed(__FILE__, __LINE__, #cond);                                   \
	} while (0)

/* Vanishes with NDEBUG but still type-checks. */
#ifdef NDEBUG
#define DCHECK(cond) ((void)sizeof(cond))
#else
#define DCHECK(cond) CHECK(cond)
#endif

static inline __attribute__((noreturn, cold)) void check_failed(
	const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
	abort();
}

/* A word at any address, read and written in one piece: volatile, so that the compiler neither
 * makes wider ones of several nor a call of memcpy(). */
typedef volatile uint64_t any_word __attribute__((may_alias, aligned(1)));

/* Copies `len` bytes, a multiple of 8, word by word: what was just written in words is then
 * forwarded from the store buffer, while wider loads would wait for it to reach the cache; and a
 * message is too short for a call of memcpy() to pay. */
static inline __attribute__((always_inline)) void copy_words(
	void *to, const void *from, uint32_t len)
{
	const any_word *f = (const any_word *)from;
	any_word *t = (any_word *)to;

	for (; len >= 32; len -= 32, f += 4, t += 4) {
		t[0] = f[0];
		t[1] = f[1];
		t[2] = f[2];
		t[3] = f[3];
	}
	if (len & 16) {
		t[0] = f[0];
		t[1] = f[1];
		f += 2;
		t += 2;
	}
	if (len & 8)
		*t = *f;
}

/* Zeroes `len` bytes, a multiple of 8 and known when it is compiled. GCC makes "rep stos" of a
 * memset() of more than 64: 20 cycles before it begins, in every call. */
static inline __attribute__((always_inline)) void zero_words(void *to, uint32_t len)
{
	any_word *t = (any_word *)to;

#pragma GCC unroll 32
	for (uint32_t i = 0; i < len / 8; i++)
		t[i] = 0;
}

/* Zeroes what a message of `len` bytes leaves of its last word. */
static inline void pad_word(uint8_t *message, uint32_t len)
{
	if (unlikely(len % 8))
		memset(message + len, 0, 8);
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Serial number arithmetic (RFC 1982): is `a` after `b`? */
static inline bool serial_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

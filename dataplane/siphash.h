/* siphash.h - SipHash-2-4 (Aumasson and Bernstein, 2012): the keyed hash behind the handshake's
 * stateless cookie. */
#pragma once

#include <stdint.h>

static inline uint64_t siphash_rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

#define SIPHASH_ROUND(v)                                                                           \
	do {                                                                                       \
		v[0] += v[1], v[1] = siphash_rotl(v[1], 13) ^ v[0], v[0] = siphash_rotl(v[0], 32); \
		v[2] += v[3], v[3] = siphash_rotl(v[3], 16) ^ v[2];                                \
		v[0] += v[3], v[3] = siphash_rotl(v[3], 21) ^ v[0];                                \
		v[2] += v[1], v[1] = siphash_rotl(v[1], 17) ^ v[2], v[2] = siphash_rotl(v[2], 32); \
	} while (0)

/* Hash of `n` 64-bit words under a 128-bit key. */
static inline uint64_t siphash_words(const uint64_t key[2], const uint64_t *words, unsigned n)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull,
		key[0] ^ 0x6c7967656e657261ull, key[1] ^ 0x7465646279746573ull};
	uint64_t last = (uint64_t)(n * 8 & 0xff) << 56;

	for (unsigned i = 0; i <= n; i++) {
		uint64_t m = i < n ? words[i] : last;

		v[3] ^= m;
		SIPHASH_ROUND(v);
		SIPHASH_ROUND(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		SIPHASH_ROUND(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* checksum.h - the Internet checksum (RFC 1071): the one's complement sum of 16-bit words, in the
 * order they are in memory, so that the result is stored as it is on any machine.
 */
#pragma once

#include "base.h"

/* Adds `len` bytes, as if a zero followed an odd one, to a sum that checksum_fold() ends. Only the
 * last piece may be odd. 64 bits take the carries of 4 GiB. */
static inline uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t word;
	uint16_t half;

	for (; len >= 4; len -= 4, p += 4) {
		memcpy(&word, p, 4);
		sum += word;
	}
	if (len >= 2) {
		memcpy(&half, p, 2);
		sum += half;
		p += 2;
		len -= 2;
	}
	if (len) {
		half = 0;
		memcpy(&half, p, 1);
		sum += half;
	}
	return sum;
}

/* The checksum to store; over data that holds a right one: 0. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* bytes_pattern.h - what the service `bytes` sends, and how it sums up what it is sent. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What `get` and `get_lent` send. */
static inline uint8_t bytes_at(uint64_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

/* What `sum` makes of bytes, those before these taken into `sum`. */
static inline uint64_t bytes_sum(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + b[i];
	return sum;
}

/* bytes_desc.h - a service of plain bytes, as its callers and its server see it.
 *
 * There is no schema, so what telac would write stands here by hand: no verifiers, for bytes are
 * always valid, and TELA_METHOD_SEGMENTS where the handler takes them as they arrived.
 */
#pragma once

#include "tela.h"

enum {
	BYTES_PUT = 1,   /* takes anything in pieces; answers struct bytes_taken */
	BYTES_PUT_WHOLE, /* the same, in one piece */
	BYTES_SUM,       /* the same as put, and has read all of it: `sum` */
	BYTES_GET, /* 8 bytes of request: a length, little-endian; answers so many: bytes_at() */
	BYTES_GET_LENT, /* the same, from memory of the service's own */
};

/* Little-endian, as are both ends today. */
struct bytes_taken {
	uint64_t len, pieces, sum;
};

static const struct tela_method_desc bytes_methods[] = {
	{.name = "put", .id = BYTES_PUT, .flags = TELA_METHOD_SEGMENTS},
	{.name = "put_whole", .id = BYTES_PUT_WHOLE},
	{.name = "sum", .id = BYTES_SUM, .flags = TELA_METHOD_SEGMENTS},
	{.name = "get", .id = BYTES_GET, .flags = TELA_METHOD_IDEMPOTENT},
	{.name = "get_lent", .id = BYTES_GET_LENT, .flags = TELA_METHOD_IDEMPOTENT},
};

/* Changes with what the methods mean: two sides that differ refuse each other. */
static const struct tela_service_desc bytes_service = {.name = "bytes.Bytes",
	.schema = 0x62797465732e3031,
	.n_methods = sizeof(bytes_methods) / sizeof(*bytes_methods),
	.methods = bytes_methods};

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

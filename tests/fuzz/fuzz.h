/* fuzz.h - bytes of an input taken one after the other; zeros when they have run out. */
#pragma once

#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct feed {
	const uint8_t *at, *end;
};

static inline bool feed_empty(const struct feed *f)
{
	return f->at == f->end;
}

/* As many of `n` bytes as there are. */
static inline const uint8_t *feed_bytes(struct feed *f, size_t n, uint32_t *ret_len)
{
	const uint8_t *at = f->at;

	*ret_len = (uint32_t)min_u64(n, (uint64_t)(f->end - f->at));
	f->at += *ret_len;
	return at;
}

static inline uint8_t feed_u8(struct feed *f)
{
	return f->at < f->end ? *f->at++ : 0;
}

static inline uint16_t feed_u16(struct feed *f)
{
	uint16_t low = feed_u8(f);

	return (uint16_t)(low | feed_u8(f) << 8);
}

static inline uint32_t feed_u32(struct feed *f)
{
	uint32_t low = feed_u16(f);

	return low | (uint32_t)feed_u16(f) << 16;
}

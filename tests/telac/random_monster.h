/* random_monster.h - seeded arguments of what monster.fbs declares. */
#pragma once

#include "random_args.h"

#include "monster.h"

/* NULL, or a place with some value. */
#define RANDOM_OPTION(r, type)                                                                     \
	(random_below(r, 2) ? NULL : (const type *)random_value(r, sizeof(type)))

static inline const void *random_value(struct random_args *r, size_t size)
{
	const uint64_t bits = random_bits(r);
	void *p = random_alloc(r, size);

	memcpy(p, &bits, size);
	return p;
}

static inline void random_options(struct random_args *r, struct depot_stock_Options_args *a)
{
	bool *k = (bool *)random_alloc(r, sizeof(*k));

	a->a = RANDOM_OPTION(r, int8_t);
	a->b = RANDOM_OPTION(r, uint8_t);
	a->c = RANDOM_OPTION(r, int16_t);
	a->d = RANDOM_OPTION(r, uint16_t);
	a->e = RANDOM_OPTION(r, int32_t);
	a->f = RANDOM_OPTION(r, uint32_t);
	a->g = RANDOM_OPTION(r, int64_t);
	a->h = RANDOM_OPTION(r, uint64_t);
	a->i = RANDOM_OPTION(r, float);
	a->j = RANDOM_OPTION(r, double);
	*k = random_below(r, 2);
	a->k = random_below(r, 2) ? k : NULL;
	a->l = RANDOM_OPTION(r, depot_stock_Grade);
	a->plain = (int32_t)random_bits(r);
}

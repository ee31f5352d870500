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

static inline void random_shelf(struct random_args *r, depot_stock_Shelf *s)
{
	uint8_t *p = (uint8_t *)s;
	size_t i;

	for (i = 0; i < sizeof(*s); i++) /* padding too, which must not reach the buffer */
		p[i] = (uint8_t)random_next(r);
	for (i = 0; i < 3; i++)
		s->lit[i] = (uint8_t)random_below(r, 2);
	s->loads[0] = (float)random_real(r);
	s->loads[1] = (float)random_real(r);
	s->total = random_real(r);
}

static inline void random_rack(struct random_args *r, struct depot_stock_Rack_args *a)
{
	depot_stock_Shelf *s = (depot_stock_Shelf *)random_alloc(r, 4 * sizeof(*s));
	size_t i;

	for (i = 0; i < 4; i++)
		random_shelf(r, &s[i]);
	a->shelf = random_below(r, 2) ? &s[3] : NULL;
	a->shelves = random_below(r, 3) ? s : NULL;
	a->shelves_len = a->shelves ? random_below(r, 4) : 0;
}

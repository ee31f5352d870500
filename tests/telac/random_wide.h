/* random_wide.h - seeded arguments of test.wide.Wide and of the project's own schemas. */
#pragma once

#include "random_args.h"

#include "calculator.h"
#include "echo.h"
#include "frame.h"
#include "kv.h"
#include "wide.h"

static inline test_wide_Outer random_outer(struct random_args *r)
{
	test_wide_Outer o;

	memset(&o, 0xee, sizeof(o)); /* padding must not reach the buffer */
	o.x = (uint8_t)random_below(r, 2);
	o.inner.a = (uint8_t)random_bits(r);
	o.inner.b = (uint16_t)random_bits(r);
	o.inner.c = (uint8_t)random_bits(r);
	o.y = random_real(r);
	o.flags = (test_wide_Flags)random_bits(r);
	o.z = (float)random_real(r);
	o.w = (int8_t)random_bits(r);
	return o;
}

static inline void random_leaf(struct random_args *r, struct test_wide_Leaf_args *a)
{
	a->class_ = random_str(r, 0);
	a->n = (int32_t)random_bits(r);
}

static inline void random_wide_scalars(struct random_args *r, struct test_wide_Wide_args *a)
{
	const struct test_wide_Wide_args start = test_wide_Wide_ARGS_INIT;

	*a = start;
	if (random_below(r, 3) == 0)
		return;
	a->b = random_below(r, 2);
	RANDOM_NUMBERS(r, a);
	a->small = (test_wide_Small)random_bits(r);
	a->large = random_bits(r);
	a->flags = (test_wide_Flags)random_bits(r);
	a->infinite = (float)random_real(r);
	a->neither = random_real(r);
}

static inline void random_wide_vectors(struct random_args *r, struct test_wide_Wide_args *a)
{
	const size_t n = random_below(r, 5);
	int16_t *shorts = (int16_t *)random_alloc(r, 2 * n);
	double *doubles = (double *)random_alloc(r, 8 * n);
	uint64_t *ulongs = (uint64_t *)random_alloc(r, 8 * n);
	bool *bools = (bool *)random_alloc(r, n);
	test_wide_Small *smalls = (test_wide_Small *)random_alloc(r, n);
	test_wide_Outer *outers = (test_wide_Outer *)random_alloc(r, n * sizeof(*outers));
	struct tela_str *texts = (struct tela_str *)random_alloc(r, n * sizeof(*texts));
	const uint64_t present = random_next(r);
	size_t i;

	for (i = 0; i < n; i++) {
		shorts[i] = (int16_t)random_bits(r);
		doubles[i] = random_real(r);
		ulongs[i] = random_bits(r);
		bools[i] = random_below(r, 2);
		smalls[i] = (test_wide_Small)random_bits(r);
		outers[i] = random_outer(r);
		texts[i] = random_str(r, 0);
	}
	RANDOM_VECTOR(a, shorts, present & 1, shorts, n);
	RANDOM_VECTOR(a, doubles, present & 2, doubles, n);
	RANDOM_VECTOR(a, ulongs, present & 4, ulongs, n);
	RANDOM_VECTOR(a, bools, present & 8, bools, n);
	RANDOM_VECTOR(a, smalls, present & 16, smalls, n);
	RANDOM_VECTOR(a, outers, present & 32, outers, n);
	RANDOM_VECTOR(a, texts, present & 64, texts, n);
}

static inline void random_wide(struct random_args *r, struct test_wide_Wide_args *a, unsigned depth)
{
	test_wide_Outer *outer = (test_wide_Outer *)random_alloc(r, sizeof(*outer));
	test_wide_Inner *inner = (test_wide_Inner *)random_alloc(r, sizeof(*inner));
	struct test_wide_Leaf_args *leaves =
		(struct test_wide_Leaf_args *)random_alloc(r, 3 * sizeof(*leaves));
	struct test_wide_Wide_args *more =
		(struct test_wide_Wide_args *)random_alloc(r, 3 * sizeof(*more));
	size_t i;

	random_wide_scalars(r, a);
	random_wide_vectors(r, a);
	*outer = random_outer(r);
	*inner = outer->inner;
	a->outer = random_below(r, 2) ? outer : NULL;
	a->inner = random_below(r, 2) ? inner : NULL;
	a->text = random_str(r, 2);
	a->bytes = random_blob(r, 2);
	for (i = 0; i < 3; i++)
		random_leaf(r, &leaves[i]);
	a->leaf = random_below(r, 2) ? leaves : NULL;
	RANDOM_VECTOR(a, leaves, random_below(r, 2), leaves, random_below(r, 4));
	if (depth && random_below(r, 2)) {
		for (i = 0; i < 3; i++)
			random_wide(r, &more[i], depth - 1);
		a->again = random_below(r, 2) ? more : NULL;
		a->root = more;
		a->root_len = random_below(r, 3);
	}
}

static inline void random_expression(
	struct random_args *r, struct calculator_Expression_args *a, unsigned depth)
{
	struct calculator_Expression_args *arms =
		(struct calculator_Expression_args *)random_alloc(r, 2 * sizeof(*arms));

	memset(a, 0, sizeof(*a));
	a->op = (calculator_Op)random_below(r, 5);
	a->value = random_real(r);
	if (!depth)
		return;
	random_expression(r, &arms[0], depth - 1);
	random_expression(r, &arms[1], depth - 1);
	a->left = random_below(r, 4) ? &arms[0] : NULL;
	a->right = random_below(r, 4) ? &arms[1] : NULL;
}

static inline void random_envelope(struct random_args *r, struct frame_Envelope_args *a)
{
	frame_Id128 *ids = (frame_Id128 *)random_alloc(r, 2 * sizeof(*ids));
	frame_Trace *trace = (frame_Trace *)random_alloc(r, sizeof(*trace));
	struct frame_Pair_args *pairs =
		(struct frame_Pair_args *)random_alloc(r, 4 * sizeof(*pairs));
	struct frame_Status_args *status =
		(struct frame_Status_args *)random_alloc(r, sizeof(*status));
	size_t i;

	memset(a, 0, sizeof(*a));
	ids[0].low = random_bits(r), ids[0].high = random_bits(r);
	ids[1].low = random_bits(r), ids[1].high = random_bits(r);
	trace->trace = ids[1], trace->span = random_bits(r);
	trace->flags = (uint32_t)random_bits(r), trace->reserved = 0;
	status->code = (uint8_t)random_bits(r);
	status->outcome = (frame_Outcome)random_below(r, 3);
	status->name = random_str(r, 2);
	status->message = random_str(r, 2);
	status->retry_after_us = (uint32_t)random_bits(r);
	status->http = (uint16_t)random_bits(r);
	status->result = (frame_Result)random_below(r, 4);
	status->data = random_below(r, 2) ? pairs : NULL;
	status->data_len = status->data ? random_below(r, 5) : 0;
	for (i = 0; i < 4; i++) {
		pairs[i].key = random_str(r, 0);
		pairs[i].value = random_str(r, 1);
	}
	a->budget_us = (uint32_t)random_bits(r);
	a->bind = (uint16_t)random_bits(r);
	a->method = (uint16_t)random_bits(r);
	a->service = random_str(r, 2);
	a->schema = random_bits(r);
	a->identity = (uint16_t)random_bits(r);
	a->hops = (uint8_t)random_bits(r);
	a->trace = random_below(r, 2) ? trace : NULL;
	a->root = random_below(r, 2) ? &ids[0] : NULL;
	a->key = random_below(r, 2) ? &ids[1] : NULL;
	RANDOM_VECTOR(a, metadata, random_below(r, 2), pairs, random_below(r, 5));
	a->status = random_below(r, 2) ? status : NULL;
	a->reply_limit = (uint32_t)random_bits(r);
}

#include "messages.h"

#include "calculator.h"
#include "frame.h"

/* ---- small ---- */

size_t message_small_build(uint8_t *to, double a)
{
	const struct calculator_Operands_args args = {a, 2};

	return (size_t)calculator_Operands_build(to, MESSAGE_ROOM, &args);
}

size_t message_small_build_batch(uint8_t *to, double a)
{
	size_t len = 0;

	for (int i = 0; i < MESSAGE_BATCH; i++) {
		const struct calculator_Operands_args args = {a + i, 2};

		len += (size_t)calculator_Operands_build(to + len, MESSAGE_ROOM - len, &args);
		__asm__ volatile("" ::: "memory"); /* somebody may have looked at each */
	}
	return len;
}

bool message_small_verify(const uint8_t *from, size_t len)
{
	return calculator_Operands_verify(from, len) == 0;
}

double message_small_read(const uint8_t *from)
{
	const calculator_Operands_t t = calculator_Operands_root(from);

	return calculator_Operands_a(t) + calculator_Operands_b(t);
}

/* ---- medium ---- */

static const frame_Id128 id = {1, 2};
static const frame_Trace trace = {{3, 4}, 5, 6, 0};

size_t message_medium_build(uint8_t *to, double a)
{
	static const struct frame_Pair_args pairs[4] = {
		{{"tenant", 6}, {"blue", 4}},
		{{"region", 6}, {"eu-central", 10}},
		{{"user-agent", 10}, {"bench", 5}},
		{{"session", 7}, {"0123456789abcdef", 16}},
	};
	static const struct frame_Status_args status = {
		5, frame_Outcome_executed, {"NOT_FOUND", 9}, {"no such key in this bucket", 26}, 7};
	struct frame_Envelope_args args = frame_Envelope_ARGS_INIT;

	args.budget_us = (uint32_t)a;
	args.method = 3;
	args.service.s = "kv.Kv";
	args.service.len = 5;
	args.schema = 99;
	args.trace = &trace;
	args.root = &id;
	args.metadata = pairs;
	args.metadata_len = 4;
	args.status = &status;
	return (size_t)frame_Envelope_build(to, MESSAGE_ROOM, &args);
}

bool message_medium_verify(const uint8_t *from, size_t len)
{
	return frame_Envelope_verify(from, len) == 0;
}

static double ends(struct tela_str s)
{
	return s.s ? (double)s.len + s.s[0] : 0;
}

double message_medium_read(const uint8_t *from)
{
	const frame_Envelope_t t = frame_Envelope_root(from);
	const frame_Status_t status = frame_Envelope_status(t);
	frame_Trace tr = {{0, 0}, 0, 0, 0};
	frame_Id128 root = {0, 0}, key = {0, 0};
	double sum = frame_Envelope_budget_us(t) + frame_Envelope_bind(t) +
		     frame_Envelope_method(t) + (double)frame_Envelope_schema(t) +
		     frame_Envelope_identity(t) + frame_Envelope_hops(t) +
		     frame_Envelope_reply_limit(t) + ends(frame_Envelope_service(t));
	size_t i, n = frame_Envelope_metadata_len(t);

	frame_Envelope_trace(t, &tr);
	frame_Envelope_root_(t, &root);
	frame_Envelope_key(t, &key);
	sum += (double)(tr.span + root.low + key.low);
	for (i = 0; i < n; i++) {
		const frame_Pair_t pair = frame_Envelope_metadata_at(t, i);

		sum += ends(frame_Pair_key(pair)) + ends(frame_Pair_value(pair));
	}
	if (status.p)
		sum += frame_Status_code(status) + frame_Status_outcome(status) +
		       frame_Status_retry_after_us(status) + ends(frame_Status_name(status)) +
		       ends(frame_Status_message(status));
	return sum;
}

/* ---- large ---- */

size_t message_large_build(uint8_t *to, double a)
{
	static struct calculator_Expression_args nodes[1 << MESSAGE_TREE_DEPTH];
	size_t i;

	for (i = 1; i < 1 << MESSAGE_TREE_DEPTH; i++) {
		const bool leaf = i >= 1 << (MESSAGE_TREE_DEPTH - 1);

		nodes[i].op = leaf ? calculator_Op_literal : calculator_Op_add;
		nodes[i].value = leaf ? a : 0;
		nodes[i].left = leaf ? NULL : &nodes[2 * i];
		nodes[i].right = leaf ? NULL : &nodes[2 * i + 1];
	}
	return (size_t)calculator_Expression_build(to, MESSAGE_ROOM, &nodes[1]);
}

bool message_large_verify(const uint8_t *from, size_t len)
{
	return calculator_Expression_verify(from, len) == 0;
}

static double sum_of(calculator_Expression_t t)
{
	const calculator_Expression_t left = calculator_Expression_left(t);
	const calculator_Expression_t right = calculator_Expression_right(t);

	return calculator_Expression_op(t) + calculator_Expression_value(t) +
	       (left.p ? sum_of(left) : 0) + (right.p ? sum_of(right) : 0);
}

double message_large_read(const uint8_t *from)
{
	return sum_of(calculator_Expression_root(from));
}

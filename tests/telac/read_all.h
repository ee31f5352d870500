/* read_all.h - touches everything that the readers of a table can reach, for sanitizers to watch.
 */
#pragma once

#include "random_wide.h"

static inline uint64_t read_str(struct tela_str s)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; s.s && i <= s.len; i++) /* the terminator too */
		sum += (uint8_t)s.s[i];
	return sum;
}

static inline uint64_t read_bytes(struct tela_bytes b)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < b.len; i++)
		sum += b.data[i];
	return sum;
}

static inline uint64_t read_leaf(test_wide_Leaf_t t)
{
	return t.p ? read_str(test_wide_Leaf_class(t)) + (uint64_t)test_wide_Leaf_n(t) : 0;
}

static inline uint64_t read_wide_scalars(test_wide_Wide_t t)
{
	test_wide_Inner inner = {0};
	test_wide_Outer outer = {0};

	test_wide_Wide_inner(t, &inner);
	test_wide_Wide_outer(t, &outer);
	return inner.b + outer.flags + test_wide_Wide_b(t) + (uint64_t)test_wide_Wide_i8(t) +
	       test_wide_Wide_u8(t) + (uint64_t)test_wide_Wide_i16(t) + test_wide_Wide_u16(t) +
	       (uint64_t)test_wide_Wide_i32(t) + test_wide_Wide_u32(t) +
	       (uint64_t)test_wide_Wide_i64(t) + test_wide_Wide_u64(t) +
	       (uint64_t)(test_wide_Wide_f32(t) > 1) + (uint64_t)(test_wide_Wide_f64(t) > 1) +
	       (uint64_t)test_wide_Wide_small(t) + test_wide_Wide_large(t) +
	       test_wide_Wide_flags(t) + (uint64_t)(test_wide_Wide_infinite(t) > 1) +
	       (uint64_t)(test_wide_Wide_neither(t) > 1);
}

static inline uint64_t read_wide(test_wide_Wide_t t)
{
	uint64_t sum = read_str(test_wide_Wide_text(t)) + read_bytes(test_wide_Wide_bytes(t));
	size_t i;

	if (!t.p)
		return 0;
	sum += read_wide_scalars(t) + read_leaf(test_wide_Wide_leaf(t));
	for (i = 0; i < test_wide_Wide_bools_len(t); i++)
		sum += test_wide_Wide_bools_at(t, i);
	for (i = 0; i < test_wide_Wide_shorts_len(t); i++)
		sum += (uint64_t)test_wide_Wide_shorts_at(t, i);
	for (i = 0; i < test_wide_Wide_doubles_len(t); i++)
		sum += test_wide_Wide_doubles_at(t, i) > 1;
	for (i = 0; i < test_wide_Wide_ulongs_len(t); i++)
		sum += test_wide_Wide_ulongs_at(t, i);
	for (i = 0; i < test_wide_Wide_smalls_len(t); i++)
		sum += (uint64_t)test_wide_Wide_smalls_at(t, i);
	for (i = 0; i < test_wide_Wide_outers_len(t); i++)
		sum += test_wide_Wide_outers_at(t, i).flags;
	for (i = 0; i < test_wide_Wide_texts_len(t); i++)
		sum += read_str(test_wide_Wide_texts_at(t, i));
	for (i = 0; i < test_wide_Wide_leaves_len(t); i++)
		sum += read_leaf(test_wide_Wide_leaves_at(t, i));
	sum += read_wide(test_wide_Wide_again(t));
	for (i = 0; i < test_wide_Wide_root_len(t); i++)
		sum += read_wide(test_wide_Wide_root_at(t, i));
	return sum;
}

static inline uint64_t read_pair(frame_Pair_t pair)
{
	return read_str(frame_Pair_key(pair)) + read_str(frame_Pair_value(pair));
}

static inline uint64_t read_envelope(frame_Envelope_t t)
{
	const frame_Status_t status = frame_Envelope_status(t);
	frame_Trace trace = {{0, 0}, 0, 0, 0};
	frame_Id128 id = {0, 0};
	uint64_t sum = 0;
	size_t i;

	frame_Envelope_trace(t, &trace);
	frame_Envelope_root_(t, &id);
	sum += trace.span + id.low + frame_Envelope_schema(t) + frame_Envelope_reply_limit(t);
	sum += read_str(frame_Envelope_service(t)) + read_str(frame_Status_name(status));
	sum += read_str(frame_Status_message(status)) + frame_Status_retry_after_us(status);
	for (i = 0; i < frame_Envelope_metadata_len(t); i++)
		sum += read_pair(frame_Envelope_metadata_at(t, i));
	sum += frame_Status_http(status) + frame_Status_result(status);
	for (i = 0; i < frame_Status_data_len(status); i++)
		sum += read_pair(frame_Status_data_at(status, i));
	return sum;
}

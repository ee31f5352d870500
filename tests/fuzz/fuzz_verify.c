/* fuzz_verify.c - any bytes through the verifiers that telac made: what one of them accepts is read
 * wholly, terminators too. The first byte chooses the table, the rest is the buffer; from 10 on it
 * and the rest are for fuzz_kinds. */
#include "calculator.h"
#include "echo.h"
#include "envelope.h"
#include "fuzz.h"
#include "fuzz_kinds.h"
#include "kv.h"

static uint64_t sum;

static void read_str(struct tela_str s)
{
	for (size_t i = 0; s.s && i <= s.len; i++)
		sum += (uint8_t)s.s[i];
}

static void read_bytes(struct tela_bytes b)
{
	for (size_t i = 0; i < b.len; i++)
		sum += b.data[i];
}

static void read_envelope(const uint8_t *p, size_t len)
{
	frame_Envelope_t t = frame_Envelope_root(p);
	frame_Status_t status = frame_Envelope_status(t);
	frame_Trace trace = {0};
	frame_Id128 id = {0};

	frame_Envelope_trace(t, &trace);
	frame_Envelope_root_(t, &id);
	frame_Envelope_key(t, &id);
	sum += trace.span + id.low + frame_Envelope_schema(t) + frame_Envelope_reply_limit(t) +
	       frame_Envelope_budget_us(t) + frame_Envelope_bind(t) + frame_Envelope_method(t) +
	       frame_Envelope_identity(t) + frame_Envelope_hops(t);
	read_str(frame_Envelope_service(t));
	if (status.p) {
		read_str(frame_Status_name(status));
		read_str(frame_Status_message(status));
		sum += frame_Status_code(status) + frame_Status_outcome(status) +
		       frame_Status_retry_after_us(status);
	}
	for (size_t i = 0; i < frame_Envelope_metadata_len(t); i++) {
		read_str(frame_Pair_key(frame_Envelope_metadata_at(t, i)));
		read_str(frame_Pair_value(frame_Envelope_metadata_at(t, i)));
	}
	sum += envelope_metadata(t, "key").len;
}

static void read_message(const uint8_t *p, size_t len)
{
	read_bytes(echo_Message_data(echo_Message_root(p)));
}

static void read_delayed(const uint8_t *p, size_t len)
{
	sum += echo_Delayed_delay_us(echo_Delayed_root(p));
	read_bytes(echo_Delayed_data(echo_Delayed_root(p)));
}

static void read_item(const uint8_t *p, size_t len)
{
	CHECK(kv_Item_key(kv_Item_root(p)).data); /* required */
	read_bytes(kv_Item_key(kv_Item_root(p)));
	read_bytes(kv_Item_value(kv_Item_root(p)));
}

static void read_key(const uint8_t *p, size_t len)
{
	CHECK(kv_Key_key(kv_Key_root(p)).data);
	read_bytes(kv_Key_key(kv_Key_root(p)));
}

static void read_value(const uint8_t *p, size_t len)
{
	sum += kv_Value_found(kv_Value_root(p));
	read_bytes(kv_Value_value(kv_Value_root(p)));
}

static void read_stats(const uint8_t *p, size_t len)
{
	sum += kv_Stats_items(kv_Stats_root(p)) + kv_Stats_bytes_limit(kv_Stats_root(p));
}

static void read_operands(const uint8_t *p, size_t len)
{
	sum += calculator_Operands_a(calculator_Operands_root(p)) >
	       calculator_Operands_b(calculator_Operands_root(p));
}

static void read_series(const uint8_t *p, size_t len)
{
	calculator_Series_t t = calculator_Series_root(p);

	for (size_t i = 0; i < calculator_Series_values_len(t); i++)
		sum += calculator_Series_values_at(t, i) > 1;
}

static void walk(calculator_Expression_t t, int depth)
{
	CHECK(depth <= TELA_FB_DEPTH_MAX);
	if (!t.p)
		return;
	sum += (uint64_t)calculator_Expression_op(t) + (calculator_Expression_value(t) > 1);
	walk(calculator_Expression_left(t), depth + 1);
	walk(calculator_Expression_right(t), depth + 1);
}

static void read_expression(const uint8_t *p, size_t len)
{
	walk(calculator_Expression_root(p), 0);
}

static const struct {
	int (*verify)(const void *, size_t);
	void (*read)(const uint8_t *, size_t);
} tables[] = {
	{frame_Envelope_verify, read_envelope},
	{echo_Message_verify, read_message},
	{echo_Delayed_verify, read_delayed},
	{kv_Item_verify, read_item},
	{kv_Key_verify, read_key},
	{kv_Value_verify, read_value},
	{kv_Stats_verify, read_stats},
	{calculator_Operands_verify, read_operands},
	{calculator_Series_verify, read_series},
	{calculator_Expression_verify, read_expression},
};

/* Both ways to read an envelope agree. */
static void envelope_ways(const uint8_t *p, uint32_t len)
{
	struct envelope fast, general;

	if (envelope_read(p, len, &fast))
		return;
	CHECK(!envelope_read_general(p, len, &general));
	CHECK(fast.budget_us == general.budget_us && fast.bind == general.bind &&
		fast.method == general.method && fast.reply_limit == general.reply_limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = size ? size - 1 : 0;
	uint8_t which = size ? data[0] : 0;
	uint8_t *copy;

	if (which >= ARRAY_SIZE(tables)) {
		fuzz_kinds(data, size);
		return 0;
	}
	copy = calloc(1, len + !len); /* exactly its length */
	CHECK(copy);
	if (len)
		memcpy(copy, data + 1, len);
	if (!tables[which].verify(copy, len))
		tables[which].read(copy, len);
	if (which == 0)
		envelope_ways(copy, (uint32_t)len);
	free(copy);
	return 0;
}

#include "envelope.h"

/* All of the second canonical layout but its values. */
static const uint8_t proved[24] = {
	20, 0, 0, 0, 16, 0, 14, 0, 4, 0, 8, 0, 10, 0, 0, 0, 0, 0, 12, 0, 16, 0, 0, 0};

uint32_t envelope_write_proved(
	uint8_t *to, uint32_t budget_us, uint16_t bind, uint16_t method, uint16_t identity)
{
	memcpy(to, proved, sizeof(proved));
	memcpy(to + 24, &budget_us, 4);
	memcpy(to + 28, &bind, 2);
	memcpy(to + 30, &method, 2);
	memcpy(to + 32, &identity, 2);
	return ENVELOPE_PROVED;
}

int envelope_read_general(const uint8_t *from, uint32_t len, struct envelope *ret)
{
	frame_Envelope_t t;

	if (len == ENVELOPE_PROVED && !memcmp(from, proved, sizeof(proved))) {
		memcpy(&ret->budget_us, from + 24, 4);
		memcpy(&ret->bind, from + 28, 2);
		memcpy(&ret->method, from + 30, 2);
		ret->reply_limit = REPLY_LIMIT_DEFAULT;
		ret->table = frame_Envelope_root(from);
		return 0;
	}
	if (len > ENVELOPE_MAX || frame_Envelope_verify(from, len))
		return -EBADMSG;
	t = frame_Envelope_root(from);
	ret->table = t;
	ret->budget_us = frame_Envelope_budget_us(t);
	ret->bind = frame_Envelope_bind(t);
	ret->method = frame_Envelope_method(t);
	ret->reply_limit = frame_Envelope_reply_limit(t);
	return 0;
}

struct tela_str envelope_metadata(frame_Envelope_t table, const char *key)
{
	size_t want = strlen(key), n;

	if (!table.p)
		return (struct tela_str){NULL, 0};
	n = frame_Envelope_metadata_len(table);
	for (size_t i = 0; i < n; i++) {
		frame_Pair_t pair = frame_Envelope_metadata_at(table, i);
		struct tela_str k = frame_Pair_key(pair);

		if (k.len == want && !memcmp(k.s, key, want)) {
			struct tela_str v = frame_Pair_value(pair);

			return v.s ? v : (struct tela_str){"", 0};
		}
	}
	return (struct tela_str){NULL, 0};
}

/* A field of an envelope that our writer built, by its place in the vtable; NULL: absent. */
static uint8_t *field_of(uint8_t *to, uint32_t slot)
{
	uint32_t table;
	int32_t back;
	uint16_t field;

	memcpy(&table, to, sizeof(table));
	memcpy(&back, to + table, sizeof(back));
	memcpy(&field, to + table - back + slot, sizeof(field));
	return field ? to + table + field : NULL;
}

void envelope_patch_budget_general(uint8_t *to, uint32_t budget_us)
{
	uint8_t *field = field_of(to, 4);

	if (field) /* absent: it was 0 already, and time does not go back */
		memcpy(field, &budget_us, sizeof(budget_us));
}

void envelope_patch_identity(uint8_t *to, uint16_t identity)
{
	uint8_t *field = field_of(to, 14);

	if (field)
		memcpy(field, &identity, sizeof(identity));
}

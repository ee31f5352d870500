/* envelope.h - the metadata beside a payload: one canonical layout read with a few compares, any
 * other one in general.
 *
 * A bound call needs three words: what is left of its deadline, its bind index, its method. Our
 * writer lays them out in one way only (28 bytes, the FlatBuffers table below), so a reader that
 * finds those constants knows every offset. A table laid out otherwise, by another FlatBuffers
 * library or with more fields, goes through the verifier that telac made. Nothing is read before
 * either of the two has succeeded.
 *
 *   0  root offset 16 | 4  vtable: size 10, table size 12, offsets 4 8 10 | 14 padding
 *  16  vtable is 12 bytes back | 20 budget_us | 24 bind | 26 method
 *
 * With the identity index of a caller that has proved who it is (identity.h) it has one layout too:
 *
 *   0  root offset 20 | 4  vtable: size 16, table size 14, offsets 4 8 10 0 0 12
 *  20  vtable is 16 bytes back | 24 budget_us | 28 bind | 30 method | 32 identity
 */
#pragma once

#include "base.h"
#include "frame.h"

enum {
	ENVELOPE_MAX = 1024,
	ENVELOPE_BOUND = 28,
	ENVELOPE_BOUND_PADDED = 32,
	ENVELOPE_PROVED = 34,
	REPLY_LIMIT_DEFAULT = 1 << 20,
};

#define ENVELOPE_NO_DEADLINE UINT32_MAX

/* Constants of the canonical layout, little-endian words. */
#define ENVELOPE_WORD0   (16ull | 10ull << 32 | 12ull << 48)
#define ENVELOPE_WORD1   (4ull | 8ull << 16 | 10ull << 32)
#define ENVELOPE_SOFFSET 12u

/* Ids as two words, the first half first, and back. GCC 12 at -O3 forgets to exchange the halves
 * where it makes one load and one store of them and one is tested as well; the empty asm keeps them
 * apart. */
static inline void envelope_id_words(const frame_Id128 *id, uint64_t ret[2])
{
	uint64_t high = id->high, low = id->low;

	__asm__("" : "+r"(high), "+r"(low));
	ret[0] = high;
	ret[1] = low;
}

static inline frame_Id128 envelope_id(const uint64_t words[2])
{
	uint64_t high = words[0], low = words[1];

	__asm__("" : "+r"(high), "+r"(low));
	return (frame_Id128){.low = low, .high = high};
}

struct envelope {
	uint32_t budget_us;
	uint16_t bind, method;
	uint32_t reply_limit;
	frame_Envelope_t
		table; /* .p NULL on the canonical path: every other field has its default */
};

/* Writes ENVELOPE_BOUND_PADDED bytes. */
static inline void envelope_write_bound(
	uint8_t *to, uint32_t budget_us, uint16_t bind, uint16_t method)
{
	uint64_t w[4] = {ENVELOPE_WORD0, ENVELOPE_WORD1,
		ENVELOPE_SOFFSET | (uint64_t)budget_us << 32, bind | (uint32_t)method << 16};

	memcpy(to, w, sizeof(w));
}

/* With an identity index; returns its length. */
uint32_t envelope_write_proved(
	uint8_t *to, uint32_t budget_us, uint16_t bind, uint16_t method, uint16_t identity);

/* A resent request carries what is left of its deadline by then. `to` must hold a canonical
 * envelope. */
static inline void envelope_patch_budget(uint8_t *to, uint32_t budget_us)
{
	memcpy(to + 20, &budget_us, sizeof(budget_us));
}

/* The same in any envelope that our writer built. */
void envelope_patch_budget_general(uint8_t *to, uint32_t budget_us);
/* Another index, where it has one. */
void envelope_patch_identity(uint8_t *to, uint16_t identity);

static inline bool envelope_is_bound(const uint8_t *from, uint32_t len)
{
	uint64_t w0, w1;
	uint32_t soffset;

	if (len != ENVELOPE_BOUND)
		return false;
	memcpy(&w0, from, 8);
	memcpy(&w1, from + 8, 8);
	memcpy(&soffset, from + 16, 4);
	return w0 == ENVELOPE_WORD0 && (w1 & 0xffffffffffffull) == ENVELOPE_WORD1 &&
	       soffset == ENVELOPE_SOFFSET;
}

/* Any valid layout. 0 or -EBADMSG. */
int envelope_read_general(const uint8_t *from, uint32_t len, struct envelope *ret);

/* Reads the envelope of a request; `from` may stand at any alignment. 0 or -EBADMSG. */
static inline int envelope_read(const uint8_t *from, uint32_t len, struct envelope *ret)
{
	if (unlikely(!envelope_is_bound(from, len))) {
		struct envelope general = {0}; /* so that only this one stands in memory */
		int rc = envelope_read_general(from, len, &general);

		*ret = general;
		return rc;
	}
	memcpy(&ret->budget_us, from + 20, 4);
	memcpy(&ret->bind, from + 24, 2);
	memcpy(&ret->method, from + 26, 2);
	ret->reply_limit = REPLY_LIMIT_DEFAULT;
	ret->table.p = NULL;
	return 0;
}

/* Value of `key` among an envelope's metadata; {NULL, 0} if absent. */
struct tela_str envelope_metadata(frame_Envelope_t table, const char *key);

/* tela_fb_share.h - builders of schemas that ask for it: what is written once for several places.
 *
 * An offset leads forwards only, so shared strings stand at the end of the buffer; until they are
 * there, the offsets that are to lead to one are a chain, each holding the place of the one before.
 * The first 64 different strings and 32 vtables of a buffer are remembered; what comes after those
 * is written where it is named. Measuring and writing come to the same, as they see the same in
 * turn.
 */
#pragma once

#include "tela_fb.h"

enum {
	TELA_FB_SHARED_STRINGS = 64,
	TELA_FB_SHARED_SLOTS = 128, /* by hash, then the next: never full */
	TELA_FB_SHARED_VTABLES = 32,
	TELA_FB_SHARED_WORDS = 512, /* of all these vtables */
};

struct tela_fb_shared_str {
	const char *s;
	uint32_t len, hash;
	uint32_t last; /* the offset that was met last, 0: none yet */
};

struct tela_fb_shares {
	uint32_t n_strings, n_vtables, n_words;
	uint8_t slots[TELA_FB_SHARED_SLOTS]; /* number of a string from 1 on */
	struct tela_fb_shared_str strings[TELA_FB_SHARED_STRINGS];
	struct {
		uint32_t at, words; /* place in the buffer, and in `words` */
	} vtables[TELA_FB_SHARED_VTABLES];
	uint16_t words[TELA_FB_SHARED_WORDS];
};

static inline void tela_fb_shares_start(struct tela_fb_shares *x)
{
	x->n_strings = x->n_vtables = x->n_words = 0;
	memset(x->slots, 0, sizeof(x->slots));
}

/* The one that is equal, or this one from now on; NULL: there is no more room to remember. */
static inline struct tela_fb_shared_str *tela_fb_share_str(
	struct tela_fb_shares *x, struct tela_str s)
{
	uint32_t hash = UINT32_C(0x811c9dc5), slot;
	struct tela_fb_shared_str *e;
	size_t i;

	for (i = 0; i < s.len; i++)
		hash = (hash ^ (uint8_t)s.s[i]) * UINT32_C(0x01000193);
	for (slot = hash % TELA_FB_SHARED_SLOTS; x->slots[slot];
		slot = (slot + 1) % TELA_FB_SHARED_SLOTS) {
		e = &x->strings[x->slots[slot] - 1];
		if (e->hash == hash && e->len == s.len && memcmp(e->s, s.s, s.len) == 0)
			return e;
	}
	if (x->n_strings == TELA_FB_SHARED_STRINGS)
		return NULL;
	e = &x->strings[x->n_strings];
	x->slots[slot] = (uint8_t)++x->n_strings;
	e->s = s.s;
	e->len = (uint32_t)s.len;
	e->hash = hash;
	e->last = 0;
	return e;
}

static inline uint64_t tela_fb_measure_shared(
	uint64_t pos, struct tela_fb_shares *x, struct tela_str s)
{
	if (!pos || s.len > TELA_FB_SIZE_MAX)
		return 0;
	return tela_fb_share_str(x, s) ? pos : tela_fb_measure_str(pos, s);
}

static inline uint32_t tela_fb_put_shared(
	uint8_t *buf, uint32_t pos, uint32_t ref, struct tela_fb_shares *x, struct tela_str s)
{
	struct tela_fb_shared_str *e = tela_fb_share_str(x, s);

	if (!e)
		return tela_fb_put_str(buf, pos, ref, s);
	tela_fb_store_u32(buf + ref, e->last);
	e->last = ref;
	return pos;
}

static inline uint64_t tela_fb_measure_shares(uint64_t pos, const struct tela_fb_shares *x)
{
	uint32_t i;

	for (i = 0; i < x->n_strings && pos; i++) {
		const struct tela_str s = {x->strings[i].s, x->strings[i].len};

		pos = tela_fb_measure_str(pos, s);
	}
	return pos;
}

static inline uint32_t tela_fb_put_shares(
	uint8_t *buf, uint32_t pos, const struct tela_fb_shares *x)
{
	uint32_t i, ref, before, at;

	for (i = 0; i < x->n_strings; i++) {
		const struct tela_str s = {x->strings[i].s, x->strings[i].len};

		ref = x->strings[i].last;
		before = tela_fb_load_u32(buf + ref);
		pos = tela_fb_put_str(buf, pos, ref, s);
		at = ref + tela_fb_load_u32(buf + ref);
		while (before) {
			ref = before;
			before = tela_fb_load_u32(buf + ref);
			tela_fb_put_ref(buf, ref, at);
		}
	}
	return pos;
}

/* Where an equal vtable is; UINT32_MAX: there is none, and this one, if there is room to remember
 * it, will be at `at`. */
static inline uint32_t tela_fb_share_vtable(
	struct tela_fb_shares *x, const uint16_t *vtable, uint32_t at)
{
	const uint32_t n = vtable[0] / 2;
	uint32_t i;

	for (i = 0; i < x->n_vtables; i++) {
		const uint16_t *w = x->words + x->vtables[i].words;

		if (w[0] == vtable[0] && memcmp(w, vtable, vtable[0]) == 0)
			return x->vtables[i].at;
	}
	if (i < TELA_FB_SHARED_VTABLES && n <= TELA_FB_SHARED_WORDS - x->n_words) {
		memcpy(x->words + x->n_words, vtable, vtable[0]);
		x->vtables[i].at = at;
		x->vtables[i].words = x->n_words;
		x->n_vtables++;
		x->n_words += n;
	}
	return UINT32_MAX;
}

static inline uint64_t tela_fb_measure_shared_table(uint64_t pos, struct tela_fb_shares *x,
	const struct tela_fb_shape *s, const uint16_t *vtable)
{
	struct tela_fb_shape alone = *s;

	if (tela_fb_share_vtable(x, vtable, 0) != UINT32_MAX)
		alone.vsize = 0;
	return tela_fb_measure_table(pos, &alone);
}

static inline uint32_t tela_fb_put_shared_table(uint8_t *buf, uint32_t pos,
	struct tela_fb_shares *x, const struct tela_fb_shape *s, const uint16_t *vtable)
{
	const uint32_t own = (uint32_t)tela_fb_table_at(pos, s) - s->vsize;
	const uint32_t shared = tela_fb_share_vtable(x, vtable, own);
	struct tela_fb_shape alone = *s;
	uint32_t at;

	if (shared == UINT32_MAX) {
		at = tela_fb_put_table(buf, pos, s);
		memcpy(buf + own, vtable, s->vsize);
		return at;
	}
	alone.vsize = 0;
	at = tela_fb_pad(buf, pos, (uint32_t)tela_fb_table_at(pos, &alone));
	memset(buf + at, 0, s->size);
	tela_fb_store_u32(buf + at, at - shared);
	return at;
}

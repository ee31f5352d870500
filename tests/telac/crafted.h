/* crafted.h - small buffers of test.wide.Wide that cost much to verify. */
#pragma once

#include "wide.h"

/* `levels` tables of one vector each, whose 8 entries all name the next: 8^levels paths. */
static inline size_t build_crafted(uint8_t *buf, unsigned levels)
{
	uint8_t vtable[74] = {74, 0, 8, 0};
	size_t pos = 4 + sizeof(vtable) + 2;
	unsigned level, i;

	vtable[62] = 4; /* field `root`, id 29 */
	memcpy(buf + 6, vtable, sizeof(vtable));
	tela_fb_store_u32(buf, (uint32_t)pos);
	for (level = 0; level < levels; level++) {
		tela_fb_store_u32(buf + pos, (uint32_t)pos - 6);
		tela_fb_store_u32(buf + pos + 4, 4);
		tela_fb_store_u32(buf + pos + 8, 8);
		for (i = 0; i < 8; i++)
			tela_fb_store_u32(buf + pos + 12 + 4 * i, 32 - 4 * i);
		pos += 44;
	}
	tela_fb_store_u32(buf + pos, (uint32_t)pos - 6);
	tela_fb_store_u32(buf + pos + 4, 4);
	tela_fb_store_u32(buf + pos + 8, 0);
	return pos + 12;
}

/* A vector of `n` tables whose entries are 0: each entry is a table too, without fields. */
static inline size_t build_zeros(uint8_t *buf, uint32_t n)
{
	uint8_t vtable[74] = {74, 0, 8, 0};
	const size_t pos = 4 + sizeof(vtable) + 2;

	vtable[62] = 4; /* field `root` */
	memset(buf, 0, pos + 12 + 4 * (size_t)n + 4);
	memcpy(buf + 6, vtable, sizeof(vtable));
	tela_fb_store_u32(buf, (uint32_t)pos);
	tela_fb_store_u32(buf + pos, (uint32_t)pos - 6);
	tela_fb_store_u32(buf + pos + 4, 4);
	tela_fb_store_u32(buf + pos + 8, n);
	return pos + 12 + 4 * (size_t)n + 4;
}

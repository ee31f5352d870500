/* session.c - where the blocks of a session's slots stand, beyond its first.
 *
 * There are as many chunks as all sessions can need: one that has a chunk has two blocks at least,
 * and one more for each further chunk.
 */
#include "machine.h"

static bool first_of_chunk(uint32_t b)
{
	return b == 1 || b % CHUNK_BLOCKS == 0;
}

void session_block_enter(
	struct machine *m, struct slot_chunk *chunk[CHUNKS_MAX], uint32_t b, void *block)
{
	struct slot_chunk **c = &chunk[b / CHUNK_BLOCKS];

	if (!b)
		return;
	if (first_of_chunk(b)) {
		CHECK(m->free_chunk);
		*c = m->free_chunk;
		m->free_chunk = (*c)->next_free;
	}
	(*c)->block[b % CHUNK_BLOCKS] = block;
}

void session_block_leave(struct machine *m, struct slot_chunk *chunk[CHUNKS_MAX], uint32_t b)
{
	struct slot_chunk *c = chunk[b / CHUNK_BLOCKS];

	if (!b || !first_of_chunk(b))
		return;
	c->next_free = m->free_chunk;
	m->free_chunk = c;
}

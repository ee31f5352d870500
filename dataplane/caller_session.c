/* caller_session.c - a caller's sessions: slots in hand, and how more are granted. */
#include "caller.h"

/* Puts the slots of block `b` on the free list, lowest on top. */
static void block_offer(struct caller_session *s, uint32_t b)
{
	for (int i = SLOT_BLOCK - 1; i >= 0; i--) {
		struct caller_slot *slot = &s->block[b][i];

		slot->next_free = s->free;
		s->free = slot;
	}
	s->n_slots = (uint16_t)(s->n_slots + SLOT_BLOCK);
}

static bool block_take(struct machine *m, struct caller_session *s)
{
	uint32_t b = s->n_owned / SLOT_BLOCK;

	if (!m->n_caller_blocks || b == SLOT_BLOCKS_MAX)
		return false;
	s->block[b] = m->caller_blocks[--m->n_caller_blocks];
	s->first = s->block[0];
	memset(s->block[b], 0, SLOT_BLOCK * sizeof(struct caller_slot));
	for (uint32_t i = 0; i < SLOT_BLOCK; i++) {
		struct caller_slot *slot = &s->block[b][i];

		slot->session = s;
		slot->index = (uint16_t)(s->n_owned + i);
		list_init(&slot->sent);
	}
	s->n_owned = (uint16_t)(s->n_owned + SLOT_BLOCK);
	return true;
}

int caller_session_open(struct machine *m, struct caller_session *s, struct path *p,
	const struct tela_service_desc *service)
{
	if (p && (p->n_out == m->cfg.budgets.sessions ||
			 (p->state == PATH_UP && p->n_out >= p->peer_sessions)))
		return -ENOBUFS;
	if (!block_take(m, s))
		return -ENOBUFS;
	s->path = p;
	s->service = service;
	s->schema = service->schema;
	block_offer(s, 0);
	if (p) {
		s->number = p->n_out;
		p->out[p->n_out++] = s;
	}
	list_add_tail(&m->sessions, &s->of_machine);
	m->n_sessions++;
	return 0;
}

void caller_ask_credit(struct machine *m, struct caller_session *s)
{
	struct path *p = s->path;
	uint32_t most = min_u32(p ? p->peer_slots : SLOTS_MAX, m->cfg.budgets.slots_per_session);
	frame_Packet h = {.kind = frame_Kind_credit, .session = s->number};
	frame_Credit body;

	if (s->n_slots >= most || (p && s->number >= p->peer_sessions))
		return;
	if (!p) { /* local: nobody to ask */
		if (s->n_slots < s->n_owned || block_take(m, s))
			block_offer(s, s->n_slots / SLOT_BLOCK);
		return;
	}
	if (p->state != PATH_UP ||
		(s->credit_asked_ns && m->now_ns - s->credit_asked_ns < 4 * p->rto_ns))
		return;
	body = (frame_Credit){.slots = (uint16_t)min_u32(2u * s->n_slots, most)};
	s->credit_asked_ns = m->now_ns;
	path_packet(m, p, h, &body, sizeof(body));
}

void caller_credit(struct machine *m, struct path *p, const frame_Packet *h, uint16_t slots)
{
	struct caller_session *s = h->session < p->n_out ? p->out[h->session] : NULL;

	if (!s || slots > m->cfg.budgets.slots_per_session) {
		count(m->counts, count_drop_session);
		return;
	}
	s->credit_asked_ns = 0;
	while (s->n_slots + SLOT_BLOCK <= slots) {
		if (s->n_slots == s->n_owned && !block_take(m, s))
			return;
		block_offer(s, s->n_slots / SLOT_BLOCK);
	}
}

void caller_session_close(struct caller_session *s)
{
	s->free = NULL;
	s->n_slots = 0;
}

/* Back to the slots that every session has; those in hand beyond them wait to be granted again. */
void caller_session_restart(struct caller_session *s)
{
	s->bind = 0;
	s->schema = s->service->schema;
	s->credit_asked_ns = 0;
	s->free = NULL;
	s->n_slots = SLOT_BLOCK;
	for (int i = SLOT_BLOCK - 1; i >= 0; i--) {
		struct caller_slot *slot = &s->block[0][i];

		if (slot->state == CALLER_FREE) {
			slot->next_free = s->free;
			s->free = slot;
		}
	}
}

/* caller_session.c - a caller's sessions: slots in hand, how more are granted, and given back.
 *
 * A session of which most slots stay free for LOOKS_UNUSED looks asks for fewer, and does not use
 * the others from then on; what the callee then has taken back is free here too. A slot that was
 * given back and granted again must not take an old call for a new one: its numbers go on where
 * those of all given back have ended (`floor`).
 */
#include "caller.h"
#include "identity.h"

enum { LOOKS_UNUSED = 8, LOOKS_A_TIME = 16 };

#define LOOK_NS    (50 * NS_PER_MS) /* from one look at a session to the next, at least */
#define LOOKING_NS NS_PER_MS        /* from some sessions to the next ones */
/* A callee that grants no more than it said may have been told otherwise (tela_node_limits). */
#define ASK_MORE_NS (100 * NS_PER_MS)

/* Puts the slots of block `b` on the free list, lowest on top. */
static void block_offer(struct caller_session *s, uint32_t b)
{
	struct caller_slot *block = caller_slot_at(s, b * SLOT_BLOCK);

	for (int i = SLOT_BLOCK - 1; i >= 0; i--) {
		struct caller_slot *slot = &block[i];

		if (serial_after(s->floor, slot->call))
			slot->call = s->floor;
		slot->next_free = s->free;
		s->free = slot;
	}
	s->n_slots = (uint16_t)(s->n_slots + SLOT_BLOCK);
}

static bool block_take(struct machine *m, struct caller_session *s)
{
	uint32_t b = s->n_owned / SLOT_BLOCK;
	struct caller_slot *block;

	if (!m->n_caller_blocks || b == SLOT_BLOCKS_MAX)
		return false;
	block = m->caller_blocks[--m->n_caller_blocks];
	if (!b)
		s->first = block;
	session_block_enter(m, s->chunk, b, block);
	memset(block, 0, SLOT_BLOCK * sizeof(*block));
	for (uint32_t i = 0; i < SLOT_BLOCK; i++) {
		struct caller_slot *slot = &block[i];

		slot->session = s;
		slot->index = (uint16_t)(s->n_owned + i);
		slot->call = s->floor;
		list_init(&slot->sent);
	}
	s->n_owned = (uint16_t)(s->n_owned + SLOT_BLOCK);
	return true;
}

/* That of one that was closed, with what the callee remembers of it, or the next one. */
static bool number_take(struct machine *m, struct path *p, struct caller_session *s)
{
	uint32_t end = m->cfg.budgets.sessions;
	struct session_end *e, **at = &p->spare;

	if (p->state == PATH_UP)
		end = min_u32(end, p->peer_sessions);
	while ((e = *at) && e->number >= end)
		at = &e->next;
	if (e) {
		s->number = e->number;
		s->floor = e->floor;
		s->credits = e->credits;
		*at = e->next;
		e->next = m->free_session_end;
		m->free_session_end = e;
	} else if (p->n_out < end) {
		s->number = p->n_out++;
	} else {
		return false;
	}
	p->out[s->number] = s;
	return true;
}

/* There are as many places as a core can have sessions: only where others have been opened
 * elsewhere meanwhile may there be none, and the number is lost until the path is another. */
static void number_keep(struct machine *m, struct path *p, const struct caller_session *s)
{
	struct session_end *e = m->free_session_end;

	if (!e)
		return;
	m->free_session_end = e->next;
	*e = (struct session_end){p->spare, s->number, s->floor, s->credits};
	p->spare = e;
}

int caller_session_open(struct machine *m, struct caller_session *s, struct path *p,
	const struct tela_service_desc *service)
{
	if (!m->n_caller_blocks || (p && !number_take(m, p, s)))
		return -ENOBUFS;
	block_take(m, s);
	s->path = p;
	s->service = service;
	s->schema = service->schema;
	block_offer(s, 0);
	list_add_tail(&m->sessions, &s->of_machine);
	m->n_sessions++;
	return 0;
}

static void ask(struct machine *m, struct caller_session *s, uint32_t slots)
{
	frame_Packet h = {.kind = frame_Kind_credit, .session = s->number};
	frame_Credit body = {.slots = (uint16_t)slots, .floor = s->floor};

	s->credits += s->credits == UINT32_MAX ? 2 : 1; /* 0: who asks does not count */
	h.call = s->credits;
	s->credit_asked_ns = m->now_ns;
	path_packet(m, s->path, h, &body, sizeof(body));
}

void caller_ask_credit(struct machine *m, struct caller_session *s)
{
	struct path *p = s->path;
	uint32_t most = min_u32(SLOTS_MAX, m->cfg.budgets.slots_per_session);
	uint64_t again_ns;

	if (s->n_slots >= most || (p && s->number >= p->peer_sessions))
		return;
	s->unused = 0;
	if (!p) { /* local: nobody to ask */
		if (s->n_slots < s->n_owned || block_take(m, s))
			block_offer(s, s->n_slots / SLOT_BLOCK);
		return;
	}
	again_ns = s->n_slots >= p->peer_slots ? ASK_MORE_NS : 4 * p->rto_ns;
	if (p->state != PATH_UP ||
		(s->credit_asked_ns && m->now_ns - s->credit_asked_ns < again_ns))
		return;
	ask(m, s, min_u32(2u * s->n_slots, most));
}

/* Whether no call is under way in the block before slot `end`; then `floor` is behind its calls. */
static bool block_unused(struct caller_session *s, uint32_t end)
{
	const struct caller_slot *block = caller_slot_at(s, end - SLOT_BLOCK);

	for (uint32_t i = 0; i < SLOT_BLOCK; i++)
		if (block[i].state != CALLER_FREE)
			return false;
	for (uint32_t i = 0; i < SLOT_BLOCK; i++)
		if (serial_after(block[i].call, s->floor))
			s->floor = block[i].call;
	return true;
}

/* Blocks in hand that are not granted are others'. */
static void blocks_release(struct machine *m, struct caller_session *s)
{
	while (s->n_owned > s->n_slots && block_unused(s, s->n_owned)) {
		s->n_owned = (uint16_t)(s->n_owned - SLOT_BLOCK);
		m->caller_blocks[m->n_caller_blocks++] = caller_slot_at(s, s->n_owned);
		session_block_leave(m, s->chunk, s->n_owned / SLOT_BLOCK);
	}
}

void caller_credit(
	struct machine *m, struct path *p, const frame_Packet *h, const frame_Credit *granted)
{
	struct caller_session *s = caller_session_of(m, p, h->session);
	uint32_t slots = min_u32(granted->slots, m->cfg.budgets.slots_per_session);

	if (!s) {
		count(m->counts, count_drop_session);
		return;
	}
	if (h->call && h->call != s->credits)
		return; /* of an earlier question */
	if (granted->most)
		p->peer_slots = granted->most;
	/* At the callee's limit the time of the question stays, so that the next is not at once. */
	if (s->n_slots < p->peer_slots || slots > s->n_slots)
		s->credit_asked_ns = 0;
	s->keeps = !h->call; /* it knows no other way */
	while ((uint32_t)s->n_slots + SLOT_BLOCK <= slots) {
		if (s->n_slots == s->n_owned && !block_take(m, s))
			return;
		block_offer(s, s->n_slots / SLOT_BLOCK);
	}
	if (h->call && granted->slots <= s->n_slots)
		blocks_release(m, s);
}

/* ---- given back ---- */

/* The free list anew, lowest on top, without those that are not granted any more. */
static void free_list_make(struct caller_session *s)
{
	s->free = NULL;
	for (int i = s->n_slots - 1; i >= 0; i--) {
		struct caller_slot *slot = caller_slot_at(s, (uint32_t)i);

		if (slot->state != CALLER_FREE)
			continue;
		slot->next_free = s->free;
		s->free = slot;
	}
}

/* From here on only the others are used, whether or not the callee hears of it. */
static void give_back(struct machine *m, struct caller_session *s)
{
	uint32_t keep = s->n_slots / 2 / SLOT_BLOCK * SLOT_BLOCK;

	while (s->n_slots > keep && s->n_slots > SLOT_BLOCK && block_unused(s, s->n_slots))
		s->n_slots = (uint16_t)(s->n_slots - SLOT_BLOCK);
	free_list_make(s);
	if (s->path)
		ask(m, s, s->n_slots);
	else
		blocks_release(m, s);
}

static void look(struct machine *m, struct caller_session *s)
{
	if (s->n_owned <= SLOT_BLOCK || !s->n_slots || s->keeps ||
		(s->path && s->path->state != PATH_UP) ||
		2u * s->n_busy + SLOT_BLOCK > s->n_owned) {
		s->unused = 0;
	} else if (++s->unused >= LOOKS_UNUSED) {
		s->unused = 0;
		give_back(m, s);
	}
}

void caller_look(struct machine *m)
{
	m->slots_ns = m->now_ns + LOOKING_NS;
	for (uint32_t n = 0; n < LOOKS_A_TIME && !list_empty(&m->sessions); n++) {
		struct caller_session *s =
			list_entry(m->sessions.next, struct caller_session, of_machine);

		if (s->look_ns > m->now_ns)
			return;
		s->look_ns = m->now_ns + LOOK_NS;
		list_del(&s->of_machine);
		list_add_tail(&m->sessions, &s->of_machine);
		look(m, s);
	}
}

void caller_session_close(struct caller_session *s)
{
	s->free = NULL;
	s->n_slots = 0;
}

void caller_session_end(struct machine *m, struct caller_session *s, const char *why)
{
	struct path *p = s->path;
	bool more = s->n_owned > SLOT_BLOCK;

	caller_session_close(s); /* a completion finds no slot here */
	for (uint32_t i = 0; s->n_busy && i < s->n_owned; i++)
		if (caller_slot_at(s, i)->state >= CALLER_HELD)
			caller_fail(m, caller_slot_at(s, i), TELA_CANCELLED, why);
	blocks_release(m, s);
	CHECK(!s->n_owned);
	if (p) {
		if (more && p->state == PATH_UP)
			ask(m, s, SLOT_BLOCK);
		p->out[s->number] = &m->no_session;
		number_keep(m, p, s);
	}
	tokens_forget(m, s);
	list_del(&s->of_machine);
	m->n_sessions--;
}

/* Back to the slots that every session has; those in hand beyond them wait to be granted again. */
void caller_session_restart(struct caller_session *s)
{
	s->bind = 0;
	s->schema = s->service->schema;
	s->credit_asked_ns = 0;
	s->keeps = false;
	s->n_slots = SLOT_BLOCK;
	free_list_make(s);
}

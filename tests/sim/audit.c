/* audit.c - what must hold of a machine between two passes: everything that was taken from a pool
 * is in exactly one hand, every list says what the states say, and no timer is forgotten. */
#include "sim.h"

#define KEPT_AT_MOST_NS (3 * NS_PER_S)

struct held {
	const struct node *n;
	const struct machine *m;
	uint32_t msgs[MSG_CLASSES], txs, rxs, active;
	uint32_t caller_blocks, callee_blocks, chunks, callee_sessions, busy_callers, calls,
		detached, pending, retained, arriving;
	uint32_t dgrams, in_wheel; /* held back for pacing */
	uint32_t segments, held, lent;
	uint64_t reassembly, due_ns;
};

#define HOLDS(h, cond, ...)                                                                        \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			char why[200];                                                             \
                                                                                                   \
			snprintf(why, sizeof(why), __VA_ARGS__);                                   \
			sim_violation("node %u: %s (%s)", (h)->n->index, why, #cond);              \
		}                                                                                  \
	} while (0)

static void hold_msg(struct held *h, const struct msg *msg)
{
	if (!msg)
		return;
	HOLDS(h, msg->class < MSG_CLASSES, "a message of class %u", msg->class);
	h->msgs[msg->class] += msg->units;
	h->segments += msg->n_segments;
	h->lent += msg->lent;
	for (uint32_t i = 0; i < msg->n_segments; i++) {
		uintptr_t owner = segments_owners(msg)[i];

		if (owner & SEGMENT_OWN)
			hold_msg(h, (const struct msg *)(owner ^ SEGMENT_OWN));
		else
			h->held += owner != 0;
	}
}

static void hold_tx(struct held *h, const struct bulk_tx *t)
{
	if (!t)
		return;
	h->txs++;
	HOLDS(h, !t->active || h->m->bulks[t->place] == t, "a sender is not in its place");
	HOLDS(h, t->acked <= t->next && t->next <= t->limit && t->limit <= t->n,
		"a sender has sent %u of %u, to %u, acknowledged %u", t->next, t->n, t->limit,
		t->acked);
	HOLDS(h, t->active || t->next == t->limit, "a sender could go on and does not");
	h->active += t->active;
}

static void hold_rx(struct held *h, const struct bulk_rx *r)
{
	if (!r)
		return;
	h->rxs++;
	HOLDS(h, r->have < r->n, "a message is complete and still awaited");
	h->reassembly += r->msg->cap;
	hold_msg(h, r->msg);
}

static void due(struct held *h, uint64_t at_ns)
{
	h->due_ns = min_u64(h->due_ns, at_ns);
}

static uint32_t chunks_of(uint32_t slots)
{
	const uint32_t blocks = slots / SLOT_BLOCK;

	return blocks > 1 ? (blocks + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS : 0;
}

/* ---- callers ---- */

static bool in_sent(const struct caller_slot *s)
{
	return s->state == CALLER_WAITING || s->state == CALLER_SENDING ||
	       s->state == CALLER_RECEIVING;
}

static void audit_caller_slot(struct held *h, const struct caller_slot *s)
{
	HOLDS(h, s->state != CALLER_BUILDING, "a call is being built between passes");
	if (s->state == CALLER_FREE) {
		HOLDS(h, !s->msg && !s->tx && !s->rx, "a free slot holds something");
		HOLDS(h, list_empty(&s->sent), "a free slot stands in a list");
		return;
	}
	h->busy_callers++;
	hold_msg(h, s->msg);
	hold_tx(h, s->tx);
	hold_rx(h, s->rx);
	due(h, s->deadline_ns);
	if (s->state == CALLER_RUNNING)
		due(h, s->probe_ns);
	HOLDS(h, !s->session->path || in_sent(s) != list_empty(&s->sent),
		"a call in state %u is %s", s->state,
		in_sent(s) ? "not watched for an answer" : "watched for an answer");
}

static void audit_caller_session(struct held *h, const struct caller_session *s)
{
	uint32_t busy = 0, busy_granted = 0, free = 0, before = h->busy_callers;

	HOLDS(h, s->n_slots <= s->n_owned && s->n_slots >= SLOT_BLOCK, "%u slots of %u", s->n_slots,
		s->n_owned);
	h->caller_blocks += s->n_owned / SLOT_BLOCK;
	h->chunks += chunks_of(s->n_owned);
	for (uint32_t i = 0; i < s->n_owned; i++) {
		const struct caller_slot *slot = caller_slot_at(s, i);

		HOLDS(h, slot->session == s && slot->index == i, "slot %u is another's", i);
		audit_caller_slot(h, slot);
		busy_granted += slot->state != CALLER_FREE && i < s->n_slots;
	}
	busy = h->busy_callers - before;
	HOLDS(h, busy == s->n_busy, "%u slots are busy, %u are said to be", busy, s->n_busy);
	for (const struct caller_slot *slot = s->free; slot; slot = slot->next_free) {
		HOLDS(h, slot->state == CALLER_FREE, "slot %u is free and in use", slot->index);
		HOLDS(h, slot->index < s->n_slots, "slot %u is free and not granted", slot->index);
		HOLDS(h, ++free <= s->n_slots, "more slots are free than there are");
	}
	HOLDS(h, free + busy_granted == s->n_slots, "%u slots: %u free and %u busy", s->n_slots,
		free, busy_granted);
}

static void audit_callers(struct held *h)
{
	const struct list *e;

	for (e = h->m->sessions.next; e != &h->m->sessions; e = e->next)
		audit_caller_session(h,
			list_entry((struct list *)(uintptr_t)e, struct caller_session, of_machine));
	HOLDS(h, h->busy_callers == h->m->n_made, "%u calls made are under way, %u are said to be",
		h->busy_callers, h->m->n_made);
}

/* ---- callees ---- */

static bool will_expire(
	const struct expiry *e, const struct msg *msg, const struct callee_slot *slot)
{
	return msg->place < e->n && e->at[msg->place] == msg && msg->owner == slot;
}

static void audit_callee_slot(struct held *h, const struct callee_slot *slot)
{
	switch (slot->state) {
	case CALLEE_RECEIVING:
		HOLDS(h, slot->rx && slot->rx->msg, "a request arrives into nothing");
		hold_rx(h, slot->rx);
		HOLDS(h, will_expire(&h->m->arriving, slot->rx->msg, slot),
			"a request that arrives has no end");
		h->arriving++;
		break;
	case CALLEE_RUNNING:
		HOLDS(h,
			slot->running && slot->running->slot == slot &&
				slot->running->state == CALL_PENDING,
			"a slot runs a call that is not its own");
		HOLDS(h, !slot->tx && !slot->msg, "a slot that runs keeps an old reply");
		break;
	case CALLEE_REPLIED:
		hold_tx(h, slot->tx);
		hold_msg(h, slot->msg);
		HOLDS(h, !slot->msg || will_expire(&h->m->retained, slot->msg, slot),
			"a reply is kept for ever");
		h->retained += slot->msg != NULL;
		HOLDS(h, slot->msg || !slot->tx, "a reply in fragments has no buffer");
		break;
	default:
		HOLDS(h, !slot->tx && !slot->msg, "a slot in state %u keeps something",
			slot->state);
	}
}

static void audit_callee_session(struct held *h, const struct callee_session *s)
{
	h->callee_sessions++;
	h->callee_blocks += s->n_slots / SLOT_BLOCK;
	h->chunks += chunks_of(s->n_slots);
	HOLDS(h, s->n_slots <= h->m->cfg.budgets.slots_per_session && s->n_slots,
		"%u slots granted", s->n_slots);
	for (uint32_t i = 0; i < s->n_slots; i++)
		audit_callee_slot(h, callee_slot_at(s, i));
}

static void audit_call(struct held *h, const struct call *c)
{
	if (c->state == CALL_FREE) {
		HOLDS(h, !c->reply_msg && !c->request_msg && !c->arena && !c->meta,
			"a call that is over holds a message");
		return;
	}
	HOLDS(h, c->state == CALL_PENDING && c->pinned, "a call runs between passes");
	h->calls++;
	h->pending++;
	h->detached += c->detached;
	hold_msg(h, c->reply_msg);
	hold_msg(h, c->request_msg);
	hold_msg(h, c->arena);
	hold_msg(h, c->meta);
	if (c->detached) {
		HOLDS(h, !c->slot && !c->local, "a detached call has a caller");
	} else if (c->local) {
		HOLDS(h, c->local->serving == c && c->local->state == CALLER_WAITING,
			"a local call is not its caller's");
	} else {
		HOLDS(h, c->slot && c->slot->running == c && c->slot->state == CALLEE_RUNNING,
			"a call is not its slot's");
		/* Late, and left with its slot: only for want of room among the detached. */
		if (c->pub.deadline_ns > h->m->now_ns ||
			!count_read(h->m->counts, count_detached_full))
			due(h, c->pub.deadline_ns);
	}
}

/* ---- paths and pools ---- */

static uint32_t count_queued(const struct path *p)
{
	uint32_t queued = 0;

	for (uint32_t i = 0; i < p->n_out; i++)
		for (uint32_t k = 0; k < p->out[i]->n_owned; k++)
			queued += caller_slot_at(p->out[i], k)->state == CALLER_QUEUED;
	return queued;
}

static void audit_path(struct held *h, const struct path *p)
{
	const struct held_dgram *d = p->congest.first;
	uint64_t sent = 0;
	uint32_t n = 0;

	for (; d && n < CONGEST_HELD; d = d->next)
		n++;
	HOLDS(h, n == p->congest.n_held, "a path holds back %u datagrams, %u are said to be", n,
		p->congest.n_held);
	HOLDS(h, !n == list_empty(&p->congest.wheel) || !p->congest.wheel.next,
		"a path with %u datagrams held back is %s the wheel", n, n ? "not in" : "in");
	h->dgrams += n;
	h->in_wheel += n > 0;
	HOLDS(h, path_find(h->m, p->id) == p, "path %08x is not found", p->id);
	HOLDS(h, !p->open.buf && !p->dirty, "a datagram has not been flushed");
	for (uint32_t i = 0; i < p->n_in; i++)
		if (p->in[i])
			audit_callee_session(h, p->in[i]);
	for (const struct list *e = p->sent.next; e != &p->sent; e = e->next) {
		const struct caller_slot *s =
			list_entry((struct list *)(uintptr_t)e, struct caller_slot, sent);

		HOLDS(h, s->session->path == p && in_sent(s), "a call waits on another's path");
		HOLDS(h, s->sent_ns >= sent, "calls do not wait in order of sending");
		sent = s->sent_ns;
	}
	HOLDS(h, count_queued(p) == p->queued, "%u calls queue, %u are said to", count_queued(p),
		p->queued);
	HOLDS(h, p->state != PATH_UP || !p->queued, "%u calls queue for a path that is up",
		p->queued);
}

static void audit_paths(struct held *h)
{
	uint32_t paths = 0;

	for (uint32_t i = 0; i < h->m->cfg.budgets.paths; i++)
		if (h->m->paths[i].state != PATH_FREE) {
			paths++;
			audit_path(h, &h->m->paths[i]);
		}
	HOLDS(h, paths == h->m->n_paths, "%u paths, %u are said to be", paths, h->m->n_paths);
	HOLDS(h, h->in_wheel == h->m->wheel.n && h->dgrams == h->m->wheel.n_held,
		"%u paths and %u datagrams in the wheel, %u and %u are said to be", h->in_wheel,
		h->dgrams, h->m->wheel.n, h->m->wheel.n_held);
}

static void audit_pools(struct held *h)
{
	const struct machine *m = h->m;
	const struct tela_budgets *b = &m->cfg.budgets;
	const uint32_t messages[MSG_CLASSES] = {b->messages_2k, b->messages_64k, b->messages_1m};
	uint32_t bulks = msgpool_most(messages), free = 0;

	for (int c = 0; c < MSG_CLASSES; c++)
		HOLDS(h, m->msgs.n_free[c] + h->msgs[c] == m->msgs.n[c],
			"%u messages of class %d: %u free and %u in use", m->msgs.n[c], c,
			m->msgs.n_free[c], h->msgs[c]);
	for (const struct bulk_tx *t = m->free_bulk_tx; t && free <= bulks; t = t->next_free)
		free++;
	HOLDS(h, free + h->txs == bulks, "%u senders: %u free and %u in use", bulks, free, h->txs);
	HOLDS(h, h->active == m->n_bulks, "%u senders active, %u listed", h->active, m->n_bulks);
	free = 0;
	for (const struct bulk_rx *r = m->free_bulk_rx; r && free <= bulks; r = r->next_free)
		free++;
	HOLDS(h, free + h->rxs == bulks, "%u receivers: %u free and %u in use", bulks, free,
		h->rxs);
	free = 0;
	for (const struct call *c = m->free_call; c && free <= b->calls; c = c->next_free)
		free++;
	HOLDS(h, free + h->calls == b->calls && h->calls == m->n_calls_busy,
		"%u calls: %u free and %u in use, %u said to be", b->calls, free, h->calls,
		m->n_calls_busy);
	HOLDS(h, h->detached == m->n_detached, "%u calls detached, %u said to be", h->detached,
		m->n_detached);
	HOLDS(h, h->caller_blocks + m->n_caller_blocks == b->in_flight / SLOT_BLOCK,
		"%u blocks of slots in callers' hands, %u free of %u", h->caller_blocks,
		m->n_caller_blocks, b->in_flight / SLOT_BLOCK);
	HOLDS(h, h->callee_blocks + m->n_callee_blocks == b->slots / SLOT_BLOCK,
		"%u blocks of slots granted, %u free of %u", h->callee_blocks, m->n_callee_blocks,
		b->slots / SLOT_BLOCK);
	free = 0;
	for (const struct slot_chunk *c = m->free_chunk; c; c = c->next_free)
		if (++free > b->slots + b->in_flight)
			break;
	HOLDS(h, free + h->chunks == (b->in_flight / SLOT_BLOCK + b->slots / SLOT_BLOCK) / 2,
		"%u chunks free, %u of sessions", free, h->chunks);
	free = 0;
	for (const struct callee_session *s = m->free_callee_session; s; s = s->next_free)
		if (++free > b->slots)
			break;
	HOLDS(h, free + h->callee_sessions == b->slots / SLOT_BLOCK, "%u sessions free, %u served",
		free, h->callee_sessions);
}

static void audit_images(struct held *h)
{
	const struct node *n = h->n;
	uint32_t pins = 0, in_flight = 0;

	for (uint32_t i = 0; i < SERVICES; i++) {
		pins += image_pins(atomic_load(&n->service[i]->image));
		in_flight += atomic_load(&n->service[i]->core[0].in_flight);
	}
	for (const struct tela_image *i = n->old; i; i = i->next)
		pins += image_pins(i);
	HOLDS(h, pins == h->pending + h->lent && in_flight == pins,
		"%u calls are pending, %u replies lent: they pin %u images and %u services",
		h->pending, h->lent, pins, in_flight);
	HOLDS(h, h->lent == n->n_lent, "%u replies are lent, %u have not come back", h->lent,
		n->n_lent);
}

void audit_node(const struct node *n)
{
	struct held h = {.n = n, .m = &n->m, .due_ns = UINT64_MAX};

	if (!n->up)
		return;
	for (uint32_t i = 0; i < n->m.cfg.budgets.calls; i++)
		audit_call(&h, &n->m.calls[i]);
	audit_callers(&h);
	audit_paths(&h);
	audit_pools(&h);
	audit_images(&h);
	HOLDS(&h, h.retained == n->m.retained.n && h.arriving == n->m.arriving.n,
		"%u replies kept and %u requests arriving, %u and %u have an end", h.retained,
		h.arriving, n->m.retained.n, n->m.arriving.n);
	HOLDS(&h, h.reassembly == n->m.reassembly_bytes, "%llu bytes of messages arrive",
		(unsigned long long)h.reassembly);
	due(&h, min_u64(expiry_due(&n->m.retained), expiry_due(&n->m.arriving)));
	HOLDS(&h, expiry_due(&n->m.retained) <= n->m.now_ns + KEPT_AT_MOST_NS || !h.retained,
		"a reply is kept for very long");
	HOLDS(&h, n->m.due_ns <= h.due_ns, "something is due %llu us before the machine looks",
		(unsigned long long)(n->m.due_ns - h.due_ns) / 1000);
	HOLDS(&h, h.segments == n->m.segments_held, "%u buffers are for messages, %u said to be",
		h.segments, n->m.segments_held);
	HOLDS(&h, h.segments <= n->m.cfg.budgets.segments, "%u buffers are for messages, %u may be",
		h.segments, n->m.cfg.budgets.segments);
	HOLDS(&h, h.held == n->n_held, "messages hold %u datagrams, %u are held", h.held,
		n->n_held);
	HOLDS(&h, !n->n_borrowed, "%u frames may still read messages", n->n_borrowed);
	HOLDS(&h, n->n_buffers == n->n_tx + h.dgrams, "%u buffers are out, %u are to be sent",
		n->n_buffers, n->n_tx + h.dgrams);
}

void audit_rest(const struct node *n)
{
	const struct machine *m = &n->m;
	struct held h = {.n = n, .m = m};
	uint32_t paths = 0;

	HOLDS(&h, n->up && !n->paused, "is not there");
	audit_node(n);
	HOLDS(&h, !m->n_made && !m->n_calls_busy && !m->n_bulks, "%u calls made, %u served",
		m->n_made, m->n_calls_busy);
	for (int c = 0; c < MSG_CLASSES; c++)
		HOLDS(&h, m->msgs.n_free[c] == m->msgs.n[c], "%u messages of class %d are in use",
			m->msgs.n[c] - m->msgs.n_free[c], c);
	HOLDS(&h, !m->retained.n && !m->arriving.n && m->due_ns == UINT64_MAX,
		"%u things are kept, something is due", m->retained.n + m->arriving.n);
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++) {
		const struct path *p = &m->paths[i];

		paths += p->state != PATH_FREE;
		HOLDS(&h, !p->initiator || p->state == PATH_FREE || p->state == PATH_UP,
			"the path to %08x is in state %u", p->peer.ip, p->state);
	}
	for (const struct list *e = m->sessions.next; e != &m->sessions; e = e->next) {
		const struct caller_session *s =
			list_entry((struct list *)(uintptr_t)e, struct caller_session, of_machine);

		HOLDS(&h, s->n_owned <= SLOT_BLOCK || (s->path && s->path->state != PATH_UP),
			"%u slots are kept for nothing", s->n_owned);
	}
	/* A ping and its answer now and then. */
	HOLDS(&h, n->sent <= 4 * paths,
		"sends %llu datagrams a second on %u paths, and has nothing "
		"to say",
		(unsigned long long)n->sent, paths);
}

#include "caller.h"

/* ---- sending ---- */

static void activate(struct machine *m, struct bulk_tx *t)
{
	if (t->active)
		return;
	t->active = true;
	t->place = m->n_bulks;
	m->bulks[m->n_bulks++] = t;
}

static void deactivate(struct machine *m, struct bulk_tx *t)
{
	if (!t->active)
		return;
	t->active = false;
	m->bulks[t->place] = m->bulks[--m->n_bulks];
	m->bulks[t->place]->place = t->place;
}

static uint32_t fragments(const struct path *p, uint32_t len)
{
	return (len + p->fragment - 1) / p->fragment;
}

struct bulk_tx *bulk_tx_start(struct machine *m, struct path *p, const frame_Packet *head,
	const frame_Timing *timing, const uint8_t *body, uint32_t len)
{
	struct bulk_tx *t = m->free_bulk_tx;
	uint32_t n = fragments(p, len);

	if (!t || n > WIRE_FRAGMENTS_MAX) {
		count(m->counts, count_drop_no_message);
		return NULL;
	}
	m->free_bulk_tx = t->next_free;
	*t = (struct bulk_tx){
		.body = body, .split = len, .head = *head, .path = p, .len = len, .n = (uint16_t)n};
	if (timing)
		t->timing = *timing;
	t->limit = len > BULK_UNASKED ? BULK_ASKED : (uint16_t)n;
	activate(m, t);
	return t;
}

void bulk_tx_end(struct machine *m, struct bulk_tx *t)
{
	deactivate(m, t);
	t->next_free = m->free_bulk_tx;
	m->free_bulk_tx = t;
}

void bulk_tx_acked(struct machine *m, struct bulk_tx *t, uint16_t upto, uint16_t limit)
{
	if (upto > t->next || limit > t->n || limit < t->limit || upto < t->acked)
		return; /* late or forged: says nothing new */
	t->acked = upto;
	t->limit = limit;
	if (t->next < t->limit)
		activate(m, t);
}

void bulk_tx_gap(struct machine *m, struct bulk_tx *t, uint16_t first, uint16_t n)
{
	uint32_t end = min_u32((uint32_t)first + n, t->next);

	if (first >= end)
		return;
	activate(m, t);
	for (uint32_t i = 0; i < t->n_holes; i++) {
		struct hole *h = &t->holes[i];

		if (first <= h->end && end >= h->first) {
			h->first = (uint16_t)min_u32(h->first, first);
			h->end = h->end > end ? h->end : (uint16_t)end;
			return;
		}
	}
	/* One for which there is no room is named again when it has become the first. */
	if (t->n_holes < BULK_HOLES)
		t->holes[t->n_holes++] = (struct hole){first, (uint16_t)end};
}

/* A whole fragment needs no padding; where the device copies what it sends, this is done without
 * copying it before. */
static bool send_fragment(struct machine *m, struct bulk_tx *t, uint16_t index, bool resent)
{
	uint32_t at = (uint32_t)index * t->path->fragment;
	uint32_t len = min_u32(t->len - at, t->path->fragment);
	uint32_t timing = index == 0 && t->head.kind == frame_Kind_response ? WIRE_TIMING : 0;
	uint32_t padded = ALIGN8(WIRE_PACKET + timing + len);
	bool in_two = at < t->split && at + len > t->split;
	bool borrow = t->borrows && len == t->path->fragment && !t->path->congest.paced && !in_two;
	uint8_t *to = borrow ? path_append_next(m, t->path, WIRE_PACKET + timing)
			     : path_append(m, t->path, padded);
	frame_Packet h = t->head;

	if (!to)
		return false;
	if (index == 0 && t->request)
		caller_patch_budget(m, t->request); /* it may have waited for its turn */
	h.fragment = index;
	h.length = (uint16_t)(WIRE_PACKET + timing + len);
	if (resent) {
		h.flags |= frame_PacketFlag_resent;
		count(m->counts, count_resends);
		congest_loss(m, t->path);
	}
	if (!borrow)
		memset(to + padded - 8, 0, 8);
	wire_packet_store(to, h);
	if (timing)
		frame_Timing_store(to + WIRE_PACKET, &t->timing);
	if (borrow)
		path_send_from(
			m, t->path, at < t->split ? t->body + at : t->rest + (at - t->split), len);
	else
		bulk_copy(to + WIRE_PACKET + timing, t->body, t->split, t->rest, at, len);
	return true;
}

/* A paced path takes a fragment when its time has come; none where a ring is full and much waits
 * for it: more would be lost. */
static inline bool may_send(struct machine *m, const struct bulk_tx *t)
{
	if (unlikely(m->tx_waits & machine_netif_bit(t->path->peer.netif)))
		return false;
	return likely(!t->path->congest.paced) || !congest_waits(m, t->path);
}

/* What the receiver misses, the hole named first first. False: no buffer. */
static bool send_again(struct machine *m, struct bulk_tx *t, uint32_t *budget)
{
	while (t->n_holes) {
		struct hole *h = &t->holes[0];

		for (; h->first < h->end; (*budget)--, h->first++)
			if (!*budget || !may_send(m, t))
				return true;
			else if (!send_fragment(m, t, h->first, true))
				return false;
		t->n_holes--;
		memmove(h, h + 1, t->n_holes * sizeof(*h));
	}
	return true;
}

static bool send_turns(struct machine *m)
{
	uint32_t waiting = 0; /* one after the other */
	bool worked = false;

	/* In turns, so that none waits for another's whole window. */
	for (uint32_t budget = BULK_PER_PASS; waiting < m->n_bulks && budget;) {
		uint32_t turn = min_u32(budget, BULK_TURN), given = turn;
		struct bulk_tx *t;

		if (m->bulk_turn >= m->n_bulks)
			m->bulk_turn = 0;
		t = m->bulks[m->bulk_turn];
		t->borrows = m->ops->borrows && t->path->integrity == frame_Integrity_none &&
			     m->ops->borrows(m->io, t->path);
		budget -= turn;
		if (unlikely(t->n_holes) && !send_again(m, t, &turn))
			return true;
		for (; turn && !t->n_holes && t->next < t->limit && may_send(m, t);
			turn--, t->next++)
			if (!send_fragment(m, t, t->next, false))
				return true;
		budget += turn;
		waiting = turn == given ? waiting + 1 : 0;
		worked |= turn < given;
		if (t->n_holes || t->next < t->limit)
			m->bulk_turn++;
		else
			deactivate(m, t); /* another one has taken its place */
	}
	return worked;
}

bool bulk_send(struct machine *m)
{
	bool worked;

	if (likely(!m->n_bulks))
		return false;
	worked = send_turns(m);
	if (m->ops->settle)
		m->ops->settle(m->io); /* any message may end from here on */
	return worked;
}

/* ---- receiving ---- */

static bool rx_fits(const struct machine *m, const struct path *p, uint32_t len, uint32_t bytes)
{
	return m->free_bulk_rx && len <= MSG_BODY_MAX && fragments(p, len) <= WIRE_FRAGMENTS_MAX &&
	       m->reassembly_bytes + bytes <= (uint64_t)m->cfg.budgets.reassembly_kib * 1024;
}

/* Into `msg`. */
static struct bulk_rx *rx_begin(struct machine *m, const struct path *p, uint32_t len,
	uint16_t envelope_len, struct msg *msg)
{
	struct bulk_rx *r = m->free_bulk_rx;
	uint32_t n = fragments(p, len);

	m->free_bulk_rx = r->next_free;
	m->reassembly_bytes += msg->cap;
	*r = (struct bulk_rx){.machine = m,
		.path = p,
		.msg = msg,
		.len = len,
		.fragment = p->fragment,
		.n = (uint16_t)n,
		.limit = len > BULK_UNASKED ? BULK_ASKED : (uint16_t)n,
		.envelope_len = envelope_len,
		.progress_ns = m->now_ns};
	return r;
}

struct bulk_rx *bulk_rx_start(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len)
{
	struct msg *msg = rx_fits(m, p, len, len) ? msgpool_get(&m->msgs, len) : NULL;

	if (!msg) {
		count(m->counts, count_drop_no_message);
		return NULL;
	}
	return rx_begin(m, p, len, envelope_len, msg);
}

struct bulk_rx *bulk_rx_start_segments(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len)
{
	struct msg *msg = rx_fits(m, p, len, 0) ? segments_get(m, p, fragments(p, len)) : NULL;

	return msg ? rx_begin(m, p, len, envelope_len, msg)
		   : bulk_rx_start(m, p, len, envelope_len);
}

struct bulk_rx *bulk_rx_start_into(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len, uint8_t *into)
{
	struct msg *msg = rx_fits(m, p, len, 0)
				  ? msgpool_get(&m->msgs, ALIGN8(envelope_len) + CACHE_LINE)
				  : NULL;
	struct bulk_rx *r;

	if (!msg) {
		count(m->counts, count_drop_no_message);
		return NULL;
	}
	r = rx_begin(m, p, len, envelope_len, msg);
	r->into = into;
	return r;
}

const uint8_t *bulk_envelope(const struct msg *msg, uint16_t envelope_len)
{
	return msg->n_segments ? (const uint8_t *)segments_of(msg)->data - ALIGN8(envelope_len)
			       : msg->data;
}

struct msg *bulk_rx_take(struct machine *m, struct bulk_rx *r)
{
	struct msg *msg = r->msg;

	m->reassembly_bytes -= msg->cap;
	r->msg = NULL;
	return msg;
}

void bulk_rx_end(struct machine *m, struct bulk_rx *r)
{
	if (r->msg)
		message_put(m, bulk_rx_take(m, r));
	r->next_free = m->free_bulk_rx;
	m->free_bulk_rx = r;
}

static uint64_t *seen_word(struct bulk_rx *r, uint32_t index)
{
	return &r->seen[index / 64 % (BULK_SEEN / 64)];
}

static bool seen(const struct bulk_rx *r, uint32_t index)
{
	return r->seen[index / 64 % (BULK_SEEN / 64)] >> index % 64 & 1;
}

/* The memory of a large message is in no cache: where a later fragment goes is fetched meanwhile.
 */
static inline void fetch_place(const struct bulk_rx *r, const uint8_t *to, uint32_t at)
{
	if (at + (BULK_AHEAD + 2) * r->fragment > r->len)
		return;
	to += BULK_AHEAD * r->fragment;
	for (uint32_t i = 0; i < r->fragment; i += CACHE_LINE)
		__builtin_prefetch(to + i, 1);
}

/* False: no memory for it. */
static bool rx_keep(
	struct bulk_rx *r, uint32_t index, uint32_t at, const uint8_t *body, uint32_t len)
{
	uint32_t head = ALIGN8(r->envelope_len), skip = at < head ? head - at : 0;
	uint8_t *to;

	if (unlikely(r->msg->n_segments != 0))
		return segments_keep(r->machine, r->path, r->msg, index, body, len, skip);
	to = r->msg->data + at;
	if (unlikely(r->into != NULL)) {
		if (skip)
			memcpy(r->msg->data, body, skip);
		to = r->into + (at + skip - head);
		body += skip;
		len -= skip;
	}
	fetch_place(r, to, at);
	memcpy(to, body, len);
	return true;
}

int bulk_rx_fragment(struct bulk_rx *r, uint16_t index, const uint8_t *body, uint32_t len)
{
	uint32_t at = (uint32_t)index * r->fragment;

	if (index >= r->n || index >= r->limit + BULK_FIRST ||
		len != min_u32(r->len - at, r->fragment))
		return -EBADMSG;
	if (index < r->first_missing || seen(r, index))
		return 0;
	if (unlikely(!rx_keep(r, index, at, body, len)))
		return 0;
	*seen_word(r, index) |= 1ull << index % 64;
	r->have++;
	if (index >= r->highest)
		r->highest = index + 1;
	/* The place of what is behind the window is that of what comes a whole window later. */
	for (; r->first_missing < r->highest && seen(r, r->first_missing); r->first_missing++)
		*seen_word(r, r->first_missing) &= ~(1ull << r->first_missing % 64);
	return r->have == r->n;
}

static void gap_report(
	struct machine *m, struct path *p, frame_Packet h, uint32_t first, uint32_t end)
{
	frame_Gap gap = {.first = (uint16_t)first, .count = (uint16_t)(end - first)};

	h.kind = frame_Kind_gap;
	path_packet(m, p, h, &gap, sizeof(gap));
	count(m->counts, count_gaps_reported);
}

/* Names what is missing of these, as many holes as a sender keeps. */
static void holes_report(struct machine *m, struct path *p, const struct bulk_rx *r, frame_Packet h,
	uint32_t first, uint32_t end)
{
	for (uint32_t n = 0, to; n < BULK_HOLES; n++, first = to) {
		while (first < end && seen(r, first))
			first++;
		for (to = first; to < end && !seen(r, to); to++)
			;
		if (first == to)
			return;
		gap_report(m, p, h, first, to);
	}
}

/* A hole is named when it shows, and again when the first one has been so for longer than an answer
 * takes: what was sent again is lost too. Whoever asks is told all that may be lost, if nothing new
 * has come for so long. */
static void holes(struct machine *m, struct path *p, struct bulk_rx *r, frame_Packet h, bool force)
{
	uint32_t from = r->reported > r->first_missing ? r->reported : r->first_missing;

	if (r->have != r->had) {
		r->had = r->have;
		r->progress_ns = m->now_ns;
	}
	if (r->first_missing != r->was_first) {
		r->was_first = r->first_missing;
		r->named_ns = m->now_ns;
	}
	if (unlikely(force && m->now_ns - r->progress_ns >= p->rto_ns))
		holes_report(m, p, r, h, r->first_missing, r->limit);
	else if (unlikely(force))
		gap_report(m, p, h, r->first_missing, r->first_missing + 1u);
	else if (unlikely(r->first_missing < r->highest && m->now_ns - r->named_ns >= p->rto_ns))
		holes_report(m, p, r, h, r->first_missing, r->highest);
	else if (likely(from >= r->highest || from + 1 == r->highest))
		return; /* the usual: the next one has come */
	else
		holes_report(m, p, r, h, from, r->highest);
	if (r->first_missing >= r->reported || m->now_ns - r->named_ns >= p->rto_ns)
		r->named_ns = m->now_ns;
}

void bulk_rx_report(struct machine *m, struct path *p, struct bulk_rx *r, const frame_Packet *about,
	bool from_callee, bool force)
{
	uint32_t limit = min_u32(r->n, r->first_missing + m->cfg.budgets.window);
	frame_Packet h = {.session = about->session,
		.slot = about->slot,
		.call = about->call,
		.fragment = r->first_missing,
		.flags = from_callee ? frame_PacketFlag_from_callee : 0};

	holes(m, p, r, h, force);
	r->reported = r->highest;
	/* The credit is there as soon as the memory is. */
	if (force || r->first_missing - r->acked_at >= BULK_ACK_EVERY || r->limit == BULK_ASKED ||
		(r->first_missing != r->acked_at && m->now_ns - r->acked_ns >= BULK_ACK_NS)) {
		frame_Window w = {.limit = limit > r->limit ? (uint16_t)limit : r->limit};

		h.kind = frame_Kind_acknowledge;
		path_packet(m, p, h, &w, sizeof(w));
		r->acked_at = r->first_missing;
		r->limit = w.limit;
		r->acked_ns = m->now_ns;
	}
}

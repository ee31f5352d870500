#include "machine.h"

/* ---- sending ---- */

static void activate(struct machine *m, struct bulk_tx *t)
{
	if (t->active)
		return;
	t->active = true;
	t->place = (uint16_t)m->n_bulks;
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

struct bulk_tx *bulk_tx_start(struct machine *m, struct path *p, const frame_Packet *head,
	const frame_Timing *timing, const uint8_t *body, uint32_t len)
{
	struct bulk_tx *t = m->free_bulk_tx;
	uint32_t n = (len + p->fragment - 1) / p->fragment;

	if (!t || n > WIRE_FRAGMENTS_MAX) {
		count(m->counts, count_drop_no_message);
		return NULL;
	}
	m->free_bulk_tx = t->next_free;
	*t = (struct bulk_tx){.body = body, .head = *head, .path = p, .len = len, .n = (uint16_t)n};
	if (timing)
		t->timing = *timing;
	t->limit = (uint16_t)min_u32(n, BULK_WINDOW);
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
	/* One range at a time: a second one that does not touch it waits for the next report. */
	if (t->again == t->again_end) {
		t->again = first;
		t->again_end = (uint16_t)end;
	} else if (first <= t->again_end && end >= t->again) {
		t->again = (uint16_t)min_u32(t->again, first);
		t->again_end = t->again_end > end ? t->again_end : (uint16_t)end;
	}
	activate(m, t);
}

static bool send_fragment(struct machine *m, struct bulk_tx *t, uint16_t index, bool resent)
{
	uint32_t at = (uint32_t)index * t->path->fragment;
	uint32_t len = min_u32(t->len - at, t->path->fragment);
	uint32_t timing = index == 0 && t->head.kind == frame_Kind_response ? WIRE_TIMING : 0;
	uint32_t padded = ALIGN8(WIRE_PACKET + timing + len);
	uint8_t *to = path_append(m, t->path, padded);
	frame_Packet h = t->head;

	if (!to)
		return false;
	h.fragment = index;
	h.length = (uint16_t)(WIRE_PACKET + timing + len);
	if (resent) {
		h.flags |= frame_PacketFlag_resent;
		count(m->counts, count_resends);
	}
	memset(to + padded - 8, 0, 8);
	frame_Packet_store(to, &h);
	if (timing)
		frame_Timing_store(to + WIRE_PACKET, &t->timing);
	memcpy(to + WIRE_PACKET + timing, t->body + at, len);
	return true;
}

bool bulk_send(struct machine *m)
{
	uint32_t budget = BULK_PER_PASS;
	uint32_t i = 0;
	bool worked = m->n_bulks > 0;

	while (i < m->n_bulks && budget) {
		struct bulk_tx *t = m->bulks[i];

		for (; budget && t->again < t->again_end; budget--, t->again++)
			if (!send_fragment(m, t, t->again, true))
				return worked;
		for (; budget && t->next < t->limit; budget--, t->next++)
			if (!send_fragment(m, t, t->next, false))
				return worked;
		if (t->again < t->again_end || t->next < t->limit)
			i++;
		else
			deactivate(m, t); /* another one has taken its place */
	}
	return worked;
}

/* ---- receiving ---- */

struct bulk_rx *bulk_rx_start(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len)
{
	struct bulk_rx *r = m->free_bulk_rx;
	uint32_t n = (len + p->fragment - 1) / p->fragment;

	if (!r || n > WIRE_FRAGMENTS_MAX || len > MSG_1M) {
		count(m->counts, count_drop_no_message);
		return NULL;
	}
	*r = (struct bulk_rx){.next_free = r->next_free,
		.len = len,
		.fragment = p->fragment,
		.n = (uint16_t)n,
		.envelope_len = envelope_len};
	r->msg = msgpool_get(&m->msgs, len);
	if (!r->msg) {
		count(m->counts, count_drop_no_message);
		return NULL;
	}
	m->free_bulk_rx = r->next_free;
	return r;
}

void bulk_rx_end(struct machine *m, struct bulk_rx *r)
{
	if (r->msg)
		msgpool_put(&m->msgs, r->msg);
	r->msg = NULL;
	r->next_free = m->free_bulk_rx;
	m->free_bulk_rx = r;
}

int bulk_rx_fragment(struct bulk_rx *r, uint16_t index, const uint8_t *body, uint32_t len)
{
	uint32_t at = (uint32_t)index * r->fragment;

	if (index >= r->n || len != min_u32(r->len - at, r->fragment))
		return -EBADMSG;
	if (r->seen[index / 64] & 1ull << index % 64)
		return 0;
	r->seen[index / 64] |= 1ull << index % 64;
	memcpy(r->msg->data + at, body, len);
	r->have++;
	if (index >= r->highest)
		r->highest = index + 1;
	while (r->first_missing < r->highest &&
		(r->seen[r->first_missing / 64] & 1ull << r->first_missing % 64))
		r->first_missing++;
	return r->have == r->n;
}

/* End of the hole that starts at first_missing. */
static uint16_t hole_end(const struct bulk_rx *r)
{
	uint16_t end = r->first_missing;

	while (end < r->highest && !(r->seen[end / 64] & 1ull << end % 64))
		end++;
	return end;
}

void bulk_rx_report(struct machine *m, struct path *p, struct bulk_rx *r, const frame_Packet *about,
	bool from_callee, bool force)
{
	frame_Packet h = {.session = about->session,
		.slot = about->slot,
		.call = about->call,
		.fragment = r->first_missing,
		.flags = from_callee ? frame_PacketFlag_from_callee : 0};

	/* A hole is named once when it shows, and again when it has become the first. */
	if (r->first_missing < r->highest && (force || r->reported <= r->first_missing)) {
		frame_Gap gap = {.first = r->first_missing,
			.count = (uint16_t)(hole_end(r) - r->first_missing)};

		h.kind = frame_Kind_gap;
		path_packet(m, p, h, &gap, sizeof(gap));
		r->reported = (uint16_t)(gap.first + gap.count);
		count(m->counts, count_gaps_reported);
	} else if (force && r->have < r->n) {
		frame_Gap gap = {.first = r->first_missing, .count = 1};

		h.kind = frame_Kind_gap;
		path_packet(m, p, h, &gap, sizeof(gap));
		count(m->counts, count_gaps_reported);
	}
	if (force || r->first_missing - r->acked_at >= BULK_ACK_EVERY) {
		frame_Window w = {.limit = (uint16_t)min_u32(r->n, r->first_missing + BULK_WINDOW)};

		h.kind = frame_Kind_acknowledge;
		path_packet(m, p, h, &w, sizeof(w));
		r->acked_at = r->first_missing;
	}
}

/* callee.c - requests in fragments, and such as come again. callee_request.c has those of one
 * packet, and what runs; callee_session.c the slots, callee_admit.c who may not run, callee_reply.c
 * what is kept of replies. */
#include "callee.h"

void callee_receive(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	const struct refusal *no;
	struct admission a;
	struct envelope e;
	struct bulk_rx *rx;

	if (h->fragment) {
		/* The first one was lost. Ask once; its sender resends it, or is told by a
		 * ping. */
		frame_Gap gap = {.first = 0, .count = 1};
		frame_Packet about = {.kind = frame_Kind_gap,
			.flags = frame_PacketFlag_from_callee,
			.session = h->session,
			.slot = h->slot,
			.call = h->call};

		if (h->fragment == 1 && path_packet(m, s->path, about, &gap, sizeof(gap)))
			count(m->counts, count_gaps_reported);
		return;
	}
	if (envelope_read(body, h->envelope_length, &e)) {
		count(m->counts, count_drop_envelope);
		return;
	}
	callee_slot_clear(m, slot);
	slot->call = h->call;
	callee_slot_gone(slot, GONE_REFUSED);
	no = callee_admit(m, s, &e, &a);
	if (no && (no->rebind || no->shed))
		(no->shed ? shed_refuse : callee_rebind)(m, s->path, slot, h);
	else if (no)
		callee_refuse_as(m, s->path, h, no);
	if (no)
		return;
	rx = (callee_wants_segments(a.chain->method) ? bulk_rx_start_segments : bulk_rx_start)(
		m, s->path, h->body_length, h->envelope_length);
	if (!rx) {
		callee_refuse(m, s->path, h, TELA_RESOURCE_EXHAUSTED,
			"no message buffer for a request of this size");
		return;
	}
	slot->state = CALLEE_RECEIVING;
	slot->rx = rx;
	rx->deadline_ns = m->now_ns + e.budget_us * NS_PER_US;
	callee_await(m, slot);
	bulk_rx_fragment(rx, 0, body, len);
	bulk_rx_report(m, s->path, rx, h, true, false);
}

static void receive(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	struct bulk_rx *rx = slot->rx;
	uint64_t deadline_ns = rx->deadline_ns;
	uint16_t had = rx->have;
	const uint8_t *at;
	struct envelope e;
	struct msg *msg;
	int rc = -EBADMSG;

	if (rx->len == h->body_length && rx->envelope_len == h->envelope_length)
		rc = bulk_rx_fragment(rx, h->fragment, body, len);
	if (rc < 0) {
		count(m->counts, count_drop_fragment);
		return;
	}
	if (rc == 0) {
		bulk_rx_report(m, s->path, rx, h, true,
			rx->have == had && h->flags & frame_PacketFlag_resent);
		return;
	}
	expiry_del(&m->arriving, rx->msg);
	msg = bulk_rx_take(m, rx);
	bulk_rx_end(m, rx);
	slot->rx = NULL;
	callee_slot_gone(slot, GONE_REFUSED);
	at = bulk_envelope(msg, h->envelope_length);
	if (envelope_read(at, h->envelope_length, &e)) {
		count(m->counts, count_drop_envelope);
		message_put(m, msg);
		return;
	}
	/* Its time runs since the first fragment came. */
	if (e.budget_us != ENVELOPE_NO_DEADLINE)
		e.budget_us = deadline_ns <= m->now_ns
				      ? 0
				      : saturate_u32((deadline_ns - m->now_ns + 999) / NS_PER_US);
	callee_serve_message(m, s, slot, h, msg, &e);
}

void callee_duplicate(struct machine *m, struct callee_session *s, struct callee_slot *slot,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	/* The first fragment asks, and so does any that its sender repeats because it
	 * has heard nothing more. */
	bool late = h->fragment && !(h->flags & frame_PacketFlag_resent);

	switch (slot->state) {
	case CALLEE_RECEIVING:
		receive(m, s, slot, h, body, len);
		return;
	case CALLEE_RUNNING:
		count(m->counts, count_in_progress);
		callee_tell(m, s->path, h, frame_Kind_in_progress);
		return;
	case CALLEE_REPLIED:
		if (late)
			return;
		count(m->counts, count_duplicates_answered);
		if (slot->tx)
			bulk_tx_gap(m, slot->tx, slot->tx->acked, 1);
		else
			callee_send_reply(m, s, slot);
		return;
	default:
		if (late)
			return;
		callee_tell_gone(m, s->path, slot, h);
	}
}

/* caller_time.c - what loss and time do to calls made: resends, probes, deadlines, paths that come
 * and go. */
#include "caller.h"
#include "identity.h"

static void resend(struct machine *m, struct path *p, struct caller_slot *s)
{
	frame_Packet h;

	if (s->state == CALLER_SENDING && s->tx->active) {
		caller_to_sent(m, p, s); /* it has more to send: nobody owes it an answer */
		return;
	}
	list_del(&s->sent);
	if (s->resends < UINT16_MAX)
		s->resends++;
	count(m->counts, count_resends);
	congest_loss(m, p);
	caller_patch_budget(m, s);
	switch (s->state) {
	case CALLER_SENDING:
		bulk_tx_gap(m, s->tx, s->tx->acked, 1);
		caller_to_sent(m, p, s);
		break;
	case CALLER_RECEIVING:
		h = (frame_Packet){
			.session = s->session->number, .slot = s->index, .call = s->call};
		bulk_rx_report(m, p, s->rx, &h, false, true);
		caller_to_sent(m, p, s);
		break;
	default:
		caller_transmit(m, p, s, frame_PacketFlag_resent);
	}
}

void caller_resend(struct machine *m, struct path *p, uint64_t before_ns)
{
	/* Each one goes to the tail with the time of now, so this ends. */
	while (!list_empty(&p->sent)) {
		struct caller_slot *s = list_entry(p->sent.next, struct caller_slot, sent);

		if (s->sent_ns >= before_ns || s->sent_ns == m->now_ns)
			return;
		resend(m, p, s);
	}
}

static void send_first(struct machine *m, struct path *p, const struct caller_slot *s)
{
	frame_Packet h = caller_header(s, frame_PacketFlag_resent);
	uint8_t *to = path_append(m, p, ALIGN8(WIRE_PACKET + p->fragment));

	if (!to)
		return;
	h.length = (uint16_t)(WIRE_PACKET + p->fragment);
	wire_packet_store(to, h);
	bulk_copy(to + WIRE_PACKET, s->body, ALIGN8(s->envelope_len), caller_payload(s), 0,
		p->fragment);
}

static void probe(struct machine *m, struct caller_slot *s)
{
	struct path *p = s->session->path;

	count(m->counts, count_probes);
	caller_patch_budget(m, s);
	if (s->resends < UINT16_MAX)
		s->resends++; /* its answer is no sample for anything */
	if (s->body_len > p->fragment) {
		/* The first fragment is enough to ask. */
		caller_to_sent(m, p, s);
		s->state = CALLER_WAITING;
		send_first(m, p, s);
		return;
	}
	caller_transmit(m, p, s, frame_PacketFlag_resent);
}

static uint64_t slot_due(struct machine *m, struct caller_slot *s)
{
	if (s->deadline_ns <= m->now_ns) {
		caller_fail(m, s, TELA_DEADLINE_EXCEEDED, "deadline passed");
		return UINT64_MAX;
	}
	if (s->state != CALLER_RUNNING)
		return s->deadline_ns;
	if (s->probe_ns <= m->now_ns) {
		probe(m, s);
		return s->deadline_ns;
	}
	return min_u64(s->deadline_ns, s->probe_ns);
}

uint64_t caller_due(struct machine *m)
{
	uint64_t due = UINT64_MAX;

	list_for_each_safe(e, tmp, &m->sessions)
	{
		struct caller_session *s = list_entry(e, struct caller_session, of_machine);

		for (uint32_t i = 0; s->n_busy && i < s->n_owned; i++) {
			struct caller_slot *slot = caller_slot_at(s, i);

			if (slot->state >= CALLER_HELD)
				due = min_u64(due, slot_due(m, slot));
		}
	}
	return due;
}

/* Calls `each` for every slot in use of the path's sessions. */
static void for_busy(struct machine *m, struct path *p,
	void (*each)(struct machine *, struct caller_slot *, void *), void *arg)
{
	for (uint32_t n = 0; n < p->n_out; n++) {
		struct caller_session *s = p->out[n];

		for (uint32_t i = 0; s->n_busy && i < s->n_owned; i++) {
			struct caller_slot *slot = caller_slot_at(s, i);

			if (slot->state >= CALLER_QUEUED)
				each(m, slot, arg);
		}
	}
}

static void send_queued(struct machine *m, struct caller_slot *s, void *arg)
{
	if (s->state != CALLER_QUEUED)
		return;
	caller_patch_budget(m, s);
	caller_transmit(m, arg, s, 0);
}

/* Calls of sessions that the peer does not take are told so; later ones find no slot there. */
static void refuse_sessions(struct machine *m, struct path *p)
{
	for (uint32_t n = p->peer_sessions; n < p->n_out; n++) {
		struct caller_session *s = p->out[n];

		caller_session_close(s);
		for (uint32_t i = 0; s->n_busy && i < s->n_owned; i++)
			if (caller_slot_at(s, i)->state == CALLER_QUEUED)
				caller_fail(m, caller_slot_at(s, i), TELA_RESOURCE_EXHAUSTED,
					"the peer takes no more sessions");
	}
}

void caller_path_up(struct machine *m, struct path *p)
{
	refuse_sessions(m, p);
	for_busy(m, p, send_queued, p);
	p->queued = 0;
}

static void fail_if_queued(struct machine *m, struct caller_slot *s, void *arg)
{
	if (s->state == CALLER_QUEUED)
		caller_fail(m, s, TELA_UNAVAILABLE, arg);
}

void caller_fail_queued(struct machine *m, struct path *p, const char *why)
{
	for_busy(m, p, fail_if_queued, (void *)(uintptr_t)why);
}

static void fail_if_sent(struct machine *m, struct caller_slot *s, void *arg)
{
	if (s->state > CALLER_QUEUED)
		caller_fail(m, s, TELA_UNAVAILABLE, arg);
}

/* A completion may make new calls at once: they queue for the next path and are not ended with the
 * old ones. */
void caller_path_down(struct machine *m, struct path *p, const char *why)
{
	for (uint32_t n = 0; n < p->n_out; n++) {
		struct caller_session *s = caller_session_of(m, p, n);

		if (!s)
			continue;
		caller_session_restart(s);
		tokens_forget(m, s);
	}
	for_busy(m, p, fail_if_sent, (void *)(uintptr_t)why);
}

/* callee_reply.c - replies with an envelope; what is kept of replies for duplicates, and given up.
 * callee_request.c sends them. */
#include "callee.h"
#include "lend.h"

enum {
	RETAIN_NS_AFTER_DEADLINE = 1000000000,
	RETAIN_MAX_NS = 2000000000,
	ARRIVING_IDLE_NS = 2000000000,
	EVICT_MAX = 16,
};

static uint64_t retained_max(const struct machine *m)
{
	return (uint64_t)m->cfg.budgets.retained_kib * 1024;
}

void callee_in_progress(struct machine *m, const struct call *c)
{
	frame_Packet h;

	if (!c->slot)
		return;
	h = (frame_Packet){.kind = frame_Kind_in_progress,
		.session = c->session->number,
		.slot = c->slot->index,
		.call = c->slot->call};
	count(m->counts, count_in_progress);
	path_packet(m, c->session->path, h, NULL, 0);
}

void callee_await(struct machine *m, struct callee_slot *slot)
{
	const struct bulk_rx *rx = slot->rx;
	uint64_t expires_ns = min_u64(rx->deadline_ns, rx->progress_ns + ARRIVING_IDLE_NS);

	expiry_add(&m->arriving, rx->msg, slot, expires_ns);
	m->due_ns = min_u64(m->due_ns, expires_ns);
}

void reply_retain(struct machine *m, struct callee_slot *slot, uint64_t deadline_ns)
{
	uint64_t expires_ns =
		min_u64(deadline_ns, m->now_ns + RETAIN_MAX_NS) + RETAIN_NS_AFTER_DEADLINE;

	while (m->retained.bytes + slot->msg->cap > retained_max(m) && callee_evict(m))
		;
	expiry_add(&m->retained, slot->msg, slot, expires_ns);
	m->due_ns = min_u64(m->due_ns, expires_ns);
}

static void evict(struct machine *m, const struct msg *msg)
{
	struct callee_slot *slot = msg->owner;

	callee_slot_clear(m, slot);
	callee_slot_gone(slot, GONE_EXECUTED);
}

bool callee_evict(struct machine *m)
{
	const struct msg *msg = expiry_first(&m->retained);

	if (msg)
		evict(m, msg);
	return msg;
}

void callee_give_back(struct machine *m, const struct tela_service *svc, uint64_t generation)
{
	for (uint32_t i = 0; i < m->retained.n;) {
		const struct msg *msg = m->retained.at[i];

		if (lend_is_of(msg, svc, generation)) {
			evict(m, msg);
			i = 0; /* the heap is another */
		} else {
			i++;
		}
	}
}

struct msg *callee_msg(struct machine *m, uint32_t size)
{
	struct msg *msg = size > retained_max(m) ? NULL : msgpool_get(&m->msgs, size);

	for (int i = 0; unlikely(!msg) && i < EVICT_MAX && callee_evict(m); i++)
		msg = msgpool_get(&m->msgs, size);
	return msg;
}

/* Replies that nobody has released, and requests that nobody completes in time. */
static uint64_t kept_expire(struct machine *m)
{
	while (expiry_due(&m->retained) <= m->now_ns)
		callee_evict(m);
	while (expiry_due(&m->arriving) <= m->now_ns) {
		struct callee_slot *slot = expiry_first(&m->arriving)->owner;
		const struct bulk_rx *rx = slot->rx;

		if (rx->deadline_ns > m->now_ns && rx->progress_ns + ARRIVING_IDLE_NS > m->now_ns) {
			expiry_del(&m->arriving, rx->msg);
			callee_await(m, slot);
		} else {
			callee_slot_clear(m, slot);
			callee_slot_gone(slot, GONE_REFUSED);
		}
	}
	return min_u64(expiry_due(&m->retained), expiry_due(&m->arriving));
}

/* Puts an envelope in front of the payload. The payload moves only if it stands
 * in the slot. */
static bool reply_envelope(struct machine *m, struct call *c, const uint8_t *envelope, uint32_t len,
	uint8_t **ret_body)
{
	uint32_t head = WIRE_TIMING + ALIGN8(len);
	uint8_t *body = c->slot->bytes;

	if (c->reply_msg) {
		body = c->reply_msg->data + ENVELOPE_MAX + WIRE_TIMING - head;
	} else if (head + c->reply_len <= SLOT_REPLY_BYTES - 8) {
		if (c->reply_len)
			memmove(body + head, c->reply, c->reply_len);
	} else {
		c->reply_msg = callee_msg(m, head + c->reply_len + 8);
		if (!c->reply_msg)
			return false;
		body = c->reply_msg->data;
		if (c->reply_len)
			memcpy(body + head, c->reply, c->reply_len);
	}
	memset(body + head - 8, 0, 8);
	memcpy(body + WIRE_TIMING, envelope, len);
	*ret_body = body;
	return true;
}

__attribute__((cold)) uint32_t reply_with_envelope(
	struct machine *m, struct call *c, uint8_t **ret_body)
{
	uint8_t scratch[ENVELOPE_MAX];
	uint32_t len = call_reply_envelope(c, scratch);

	if (!reply_envelope(m, c, scratch, len, ret_body)) {
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_EXECUTED,
			"no message buffer for the reply");
		c->n_meta = 0;
		len = call_reply_envelope(c, scratch);
		reply_envelope(m, c, scratch, len, ret_body);
	}
	return len;
}

__attribute__((cold)) void reply_rebind(struct machine *m, struct call *c)
{
	const frame_Packet about = {
		.session = c->session->number, .slot = c->slot->index, .call = c->slot->call};

	if (c->proved)
		count(m->counts, count_identities_stale);
	c->slot->running = NULL;
	callee_rebind(m, c->session->path, c->slot, &about);
}

uint64_t callee_due(struct machine *m)
{
	uint64_t due = kept_expire(m);

	list_for_each_safe(e, tmp, &m->pending)
	{
		struct call *c = list_entry(e, struct call, of_machine);

		if (c->detached || c->local || c->goes_out)
			continue; /* a local caller keeps its own time */
		if (c->pub.deadline_ns <= m->now_ns)
			call_detach_budgeted(m, c);
		else
			due = min_u64(due, c->pub.deadline_ns);
	}
	return due;
}

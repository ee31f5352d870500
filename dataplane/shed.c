#include "callee.h"

/* Of what the call in hand has waited, this loop was away for so long. */
static uint64_t away_ns(const struct machine *m)
{
	const struct shed *s = &m->shed;
	uint64_t since_ns = m->now_ns - s->back_ns;

	return since_ns < s->queue_ns ? min_u64(s->away_ns, s->queue_ns - since_ns) : 0;
}

/* What the calls of this pass explain, or of the last one if it has not been counted yet. */
static uint64_t worked(const struct machine *m)
{
	uint64_t served = count_read(m->counts, count_calls_served) - m->shed.served;

	return 2 * served * m->shed.call_ns;
}

uint64_t shed_late(const struct machine *m, uint64_t now_ns)
{
	return min_u64(now_ns - min_u64(now_ns, m->now_ns), worked(m) + SHED_LATE_NS);
}

void shed_gap(struct machine *m, uint64_t gap_ns)
{
	struct shed *s = &m->shed;
	uint64_t worked_ns = worked(m);

	if (gap_ns <= worked_ns)
		return;
	s->away_ns = gap_ns - worked_ns;
	s->back_ns = m->now_ns;
}

void shed_took(struct machine *m, uint64_t call_ns)
{
	struct shed *s = &m->shed;

	/* One that was preempted meanwhile shall not count for much. */
	if (s->call_ns)
		call_ns = min_u64(call_ns, 4 * s->call_ns + 100);
	s->call_ns = s->call_ns - s->call_ns / 8 + call_ns / 8 + 1;
}

/* A call for a service whose calls may wait `target_ns`: is it refused? */
bool shed_call(struct machine *m, uint64_t target_ns)
{
	struct shed *s = &m->shed;
	const uint64_t interval_ns = SHED_INTERVALS * shed_target(m);

	if (s->queue_ns + s->late_ns - away_ns(m) <= target_ns)
		return false;
	if (m->now_ns >= s->until_ns && (!s->above_ns || m->now_ns - s->above_ns < interval_ns))
		return false;
	s->until_ns = max_u64(s->until_ns, m->now_ns + interval_ns);
	return true;
}

static void make_body(struct shed *s, uint32_t retry_after_us)
{
	static const char name[] = SHED_NAME, message[] = "calls wait too long here";
	struct frame_Status_args status = frame_Status_ARGS_INIT;
	struct frame_Envelope_args e = frame_Envelope_ARGS_INIT;
	int n;

	status.code = TELA_RESOURCE_EXHAUSTED;
	status.outcome = TELA_NOT_EXECUTED;
	status.name = (struct tela_str){name, sizeof(name) - 1};
	status.message = (struct tela_str){message, sizeof(message) - 1};
	status.retry_after_us = retry_after_us;
	e.status = &status;
	memset(s->body, 0, sizeof(s->body));
	n = frame_Envelope_build(s->body + WIRE_TIMING, sizeof(s->body) - WIRE_TIMING, &e);
	CHECK(n > 0);
	s->envelope_len = (uint16_t)n;
	s->body_len = ALIGN8((uint32_t)n);
	s->retry_after_us = retry_after_us;
}

void shed_tell(struct machine *m, struct path *p, const frame_Packet *about)
{
	struct shed *s = &m->shed;
	uint64_t waited_us = (s->queue_ns + s->late_ns) / NS_PER_US;
	uint32_t retry_after_us =
		saturate_u32(waited_us / SHED_RETRY_STEP_US + 1) * SHED_RETRY_STEP_US;
	frame_Timing timing = {.queue_ns = s->queue_ns};

	if (retry_after_us != s->retry_after_us)
		make_body(s, retry_after_us);
	frame_Timing_store(s->body, &timing);
	path_packet(m, p,
		(frame_Packet){.kind = frame_Kind_response,
			.session = about->session,
			.slot = about->slot,
			.call = about->call,
			.body_length = s->body_len,
			.envelope_length = s->envelope_len},
		s->body, WIRE_TIMING + s->body_len);
}

void shed_refuse(
	struct machine *m, struct path *p, struct callee_slot *slot, const frame_Packet *about)
{
	callee_slot_gone(slot, GONE_SHED);
	count(m->counts, count_calls_refused);
	count(m->counts, count_calls_shed);
	shed_tell(m, p, about);
}

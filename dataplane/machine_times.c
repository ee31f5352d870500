/* What a machine knows of time: its own gaps, and where the times of calls are kept. */
#include "machine.h"

__attribute__((cold)) void machine_gap(struct machine *m, uint64_t gap_ns, uint64_t now_ns)
{
	uint64_t second = now_ns / NS_PER_S;
	uint64_t passed = min_u64(second - m->gap_second, GAP_SECONDS);

	for (uint64_t i = 0; i < passed; i++)
		m->gap_s[(second - i) % GAP_SECONDS] = 0;
	m->gap_second = second;
	m->gap_s[second % GAP_SECONDS] = max_u64(m->gap_s[second % GAP_SECONDS], gap_ns);
	m->gap10_ns = 0;
	for (uint32_t i = 0; i < GAP_SECONDS; i++)
		m->gap10_ns = max_u64(m->gap10_ns, m->gap_s[i]);
	m->gap_look_ns = m->gap10_ns ? (second + 1) * NS_PER_S : UINT64_MAX;
}

void machine_look(struct machine *m)
{
	struct latency_turn *t = m->latency.turn;

	m->latency.look_ns = m->now_ns + LATENCY_LOOK_NS;
	latency_choose(&t[LATENCY_CALLEE], count_read(m->counts, count_calls_served), SAMPLE_CALLS);
	latency_choose(&t[LATENCY_CALLER], count_read(m->counts, count_calls_done), SAMPLE_CALLS);
}

struct latency_series *machine_latency(struct machine *m, enum latency_side side,
	const struct tela_service_desc *service, const struct tela_method_desc *method)
{
	uint32_t at = side + 2u * method->id;

	for (int i = 0; i < 8 && service->name[i]; i++)
		at = at * 31 + (uint8_t)service->name[i];
	for (uint32_t i = 0; i < m->latency.n; i++, at++) {
		struct latency_series *s = &m->latency.series[at & (m->latency.n - 1)];

		if (!atomic_load_explicit(&s->used, memory_order_relaxed)) {
			s->side = (uint8_t)side;
			s->method_id = method->id;
			snprintf(s->service, sizeof(s->service), "%s", service->name);
			snprintf(s->method, sizeof(s->method), "%s", method->name);
			atomic_store_explicit(&s->used, true, memory_order_release);
			return s;
		}
		if (s->side == side && s->method_id == method->id &&
			!strncmp(s->service, service->name, LATENCY_NAME_MAX))
			return s;
	}
	count(m->counts, count_latency_full);
	return NULL;
}

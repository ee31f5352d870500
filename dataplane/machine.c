#include "machine.h"

#include "crc32c.h"
#include "identity.h"
#include "nest.h"
#include "report.h"
#include "slab.h"

enum { LOCAL_PER_PASS = 32, EARLY_BYTES = 700, LOOP_GAP_NS = 100000 };

/* ---- memory: all of it at start ---- */

static void *take(size_t n, size_t size, size_t *total)
{
	size_t bytes = n * size + CACHE_LINE;

	*total += bytes;
	return slab_take(bytes);
}

static void give(void *p, size_t n, size_t size)
{
	slab_give(p, n * size + CACHE_LINE);
}

static uint32_t messages_kib(const struct tela_budgets *b)
{
	return min_u32(2 * b->messages_2k + 64 * b->messages_64k, UINT32_MAX / 2) +
	       MSG_PAGES_OF_1M * 64 * b->messages_1m;
}

static uint32_t window_of(uint32_t fragments)
{
	return min_u32(fragments < BULK_WINDOW_MIN ? BULK_WINDOW_MIN : fragments, BULK_WINDOW_MAX);
}

static uint32_t slots_of(uint32_t slots)
{
	return min_u32(slots & ~(SLOT_BLOCK - 1u), SLOTS_MAX);
}

static void budgets_default(struct tela_budgets *b)
{
	const struct tela_budgets d = {.paths = 64,
		.sessions = 256,
		.slots = 16384,
		.slots_per_session = 1024,
		.calls = 4096,
		.detached = 1024,
		.messages_2k = 2048,
		.messages_64k = 64,
		.messages_1m = 40,
		.in_flight = 16384,
		.window = 256,
		.pending = UINT32_MAX,
		.retained_kib = UINT32_MAX,
		.reassembly_kib = UINT32_MAX,
		.latencies = 64,
		.identities = 512};
	const uint32_t *from = (const uint32_t *)&d;
	uint32_t *to = (uint32_t *)b;

	for (size_t i = 0; i < sizeof(d) / sizeof(*from); i++)
		if (!to[i])
			to[i] = from[i];
	b->slots_per_session = slots_of(b->slots_per_session);
	b->paths = min_u32(b->paths, 4096);
	b->sessions = min_u32(b->sessions, UINT16_MAX);
	b->window = window_of(b->window);
	b->pending = min_u32(b->pending, b->calls);
	while (b->latencies & (b->latencies - 1)) /* a power of two */
		b->latencies &= b->latencies - 1;
	b->identities = min_u32(b->identities, UINT16_MAX);
	b->retained_kib = min_u32(b->retained_kib, messages_kib(b));
	b->reassembly_kib = min_u32(b->reassembly_kib, messages_kib(b));
}

struct sizes {
	uint32_t caller_slots, callee_slots, sessions, bulks, conn;
};

static struct sizes sizes_of(const struct tela_budgets *b)
{
	struct sizes s = {.caller_slots = (b->in_flight + SLOT_BLOCK - 1) & ~(SLOT_BLOCK - 1u),
		.callee_slots = (b->slots + SLOT_BLOCK - 1) & ~(SLOT_BLOCK - 1u),
		.conn = 64};
	const uint32_t messages[MSG_CLASSES] = {b->messages_2k, b->messages_64k, b->messages_1m};

	s.sessions = s.callee_slots / SLOT_BLOCK;
	s.bulks = msgpool_most(messages);
	while (s.conn < 4 * b->paths)
		s.conn *= 2;
	return s;
}

static bool take_all(struct machine *m, size_t *bytes)
{
	const struct tela_budgets *b = &m->cfg.budgets;
	struct sizes n = sizes_of(b);
	uint32_t classes[MSG_CLASSES] = {b->messages_2k, b->messages_64k, b->messages_1m};

	m->paths = take(b->paths, sizeof(*m->paths), bytes);
	m->conn_key = take(n.conn, sizeof(*m->conn_key), bytes);
	m->conn_index = take(n.conn, sizeof(*m->conn_index), bytes);
	m->caller_slots = take(n.caller_slots, sizeof(*m->caller_slots), bytes);
	m->caller_blocks = take(n.caller_slots / SLOT_BLOCK, sizeof(void *), bytes);
	m->callee_slots = take(n.callee_slots, sizeof(*m->callee_slots), bytes);
	m->callee_blocks = take(n.callee_slots / SLOT_BLOCK, sizeof(void *), bytes);
	m->callee_sessions = take(n.sessions, sizeof(*m->callee_sessions), bytes);
	m->calls = take(b->calls, sizeof(*m->calls), bytes);
	m->bulk_txs = take(n.bulks, sizeof(*m->bulk_txs), bytes);
	m->bulk_rxs = take(n.bulks, sizeof(*m->bulk_rxs), bytes);
	m->bulks = take(n.bulks, sizeof(void *), bytes);
	m->retained.at = take(n.bulks, sizeof(void *), bytes);
	m->arriving.at = take(n.bulks, sizeof(void *), bytes);
	m->latency.series = take(b->latencies, sizeof(*m->latency.series), bytes);
	m->latency.n = b->latencies;
	m->ends = take(ENDS_MAX, sizeof(*m->ends), bytes);
	m->proofs = take(b->identities, sizeof(*m->proofs), bytes);
	m->tokens = take(b->identities, sizeof(*m->tokens), bytes);
	return m->paths && m->conn_key && m->conn_index && m->caller_slots && m->caller_blocks &&
	       m->callee_slots && m->callee_blocks && m->callee_sessions && m->calls &&
	       m->bulk_txs && m->bulk_rxs && m->bulks && m->retained.at && m->arriving.at &&
	       m->latency.series && m->ends && m->proofs && m->tokens && !msgpool_init(&m->msgs, classes);
}

static bool path_tables(struct machine *m)
{
	const struct tela_budgets *b = &m->cfg.budgets;

	for (uint32_t i = 0; i < b->paths; i++) {
		m->paths[i].n_in = (uint16_t)b->sessions;
		m->paths[i].in = calloc(b->sessions, sizeof(void *));
		m->paths[i].out = calloc(b->sessions, sizeof(void *));
		if (!m->paths[i].in || !m->paths[i].out)
			return false;
	}
	return true;
}

/* Threads the free lists through the slabs. */
static void slabs_init(struct machine *m)
{
	const struct tela_budgets *b = &m->cfg.budgets;
	struct sizes n = sizes_of(b);

	for (uint32_t i = n.caller_slots / SLOT_BLOCK; i-- > 0;)
		m->caller_blocks[m->n_caller_blocks++] = m->caller_slots + i * SLOT_BLOCK;
	for (uint32_t i = n.callee_slots / SLOT_BLOCK; i-- > 0;)
		m->callee_blocks[m->n_callee_blocks++] = m->callee_slots + i * SLOT_BLOCK;
	for (uint32_t i = n.sessions; i-- > 0;) {
		m->callee_sessions[i].next_free = m->free_callee_session;
		m->free_callee_session = &m->callee_sessions[i];
	}
	for (uint32_t i = b->calls; i-- > 0;) {
		m->calls[i].machine = m;
		m->calls[i].index = i;
		list_init(&m->calls[i].of_machine);
		m->calls[i].next_free = m->free_call;
		m->free_call = &m->calls[i];
	}
	for (uint32_t i = n.bulks; i-- > 0;) {
		m->bulk_txs[i].next_free = m->free_bulk_tx;
		m->free_bulk_tx = &m->bulk_txs[i];
		m->bulk_rxs[i].next_free = m->free_bulk_rx;
		m->free_bulk_rx = &m->bulk_rxs[i];
	}
	for (uint16_t i = (uint16_t)b->identities; i; i--) {
		m->proofs[i - 1].next_free = m->free_proofs;
		m->tokens[i - 1].next = m->free_token;
		m->free_proofs = m->free_token = i;
	}
	m->conn_mask = n.conn - 1;
}

int machine_init(struct machine *m, const struct machine_config *cfg, const struct machine_ops *ops,
	void *io, struct counts *counts)
{
	size_t bytes = 0;

	memset(m, 0, sizeof(*m));
	m->cfg = *cfg;
	if (m->cfg.n_cores < 2)
		m->cfg.n_cores = 1, m->cfg.core = 0;
	m->landed = m->cfg.core;
	m->ops = ops;
	m->io = io;
	m->counts = counts;
	budgets_default(&m->cfg.budgets);
	list_init(&m->sessions);
	list_init(&m->pending);
	list_init(&m->local);
	list_init(&m->ended);
	m->due_ns = m->gap_look_ns = UINT64_MAX;
	for (int i = 0; i < 2; i++)
		m->latency.turn[i] = (struct latency_turn){1, 1, 1, 0};
	m->shed.target_ns = SHED_NEVER;
	m->cookie_key[0] = ops->random(io);
	m->cookie_key[1] = ops->random(io);
	if (!take_all(m, &bytes) || !path_tables(m) || wheel_init(&m->wheel, &bytes) ||
		!(m->reports = report_ring_create()) || !(m->traces = report_ring_create())) {
		machine_fini(m);
		return -ENOMEM;
	}
	m->bytes = bytes + m->msgs.bytes + 2 * REPORT_BYTES;
	slabs_init(m);
	return 0;
}

void machine_fini(struct machine *m)
{
	const struct tela_budgets *b = &m->cfg.budgets;
	struct sizes n = sizes_of(b);

	for (uint32_t i = 0; m->paths && i < b->paths; i++) {
		if (m->paths[i].open.buf)
			m->ops->drop(m->io, m->paths[i].open.buf);
		congest_end(m, &m->paths[i]);
		free(m->paths[i].in);
		free(m->paths[i].out);
	}
	give(m->paths, b->paths, sizeof(*m->paths));
	give(m->conn_key, n.conn, sizeof(*m->conn_key));
	give(m->conn_index, n.conn, sizeof(*m->conn_index));
	give(m->caller_slots, n.caller_slots, sizeof(*m->caller_slots));
	give(m->caller_blocks, n.caller_slots / SLOT_BLOCK, sizeof(void *));
	give(m->callee_slots, n.callee_slots, sizeof(*m->callee_slots));
	give(m->callee_blocks, n.callee_slots / SLOT_BLOCK, sizeof(void *));
	give(m->callee_sessions, n.sessions, sizeof(*m->callee_sessions));
	give(m->calls, b->calls, sizeof(*m->calls));
	give(m->bulk_txs, n.bulks, sizeof(*m->bulk_txs));
	give(m->bulk_rxs, n.bulks, sizeof(*m->bulk_rxs));
	give(m->bulks, n.bulks, sizeof(void *));
	give(m->retained.at, n.bulks, sizeof(void *));
	give(m->arriving.at, n.bulks, sizeof(void *));
	give(m->latency.series, b->latencies, sizeof(*m->latency.series));
	give(m->ends, ENDS_MAX, sizeof(*m->ends));
	give(m->proofs, b->identities, sizeof(*m->proofs));
	give(m->tokens, b->identities, sizeof(*m->tokens));
	report_ring_free(m->reports);
	report_ring_free(m->traces);
	msgpool_fini(&m->msgs);
	wheel_fini(&m->wheel);
	memset(m, 0, sizeof(*m));
}

size_t machine_bytes(const struct machine *m)
{
	return m->bytes;
}

#define BUDGET(name) (offsetof(struct tela_budgets, name) / sizeof(uint32_t))

void machine_budget_bytes(const struct machine *m, size_t ret_bytes[MACHINE_BUDGETS])
{
	const struct tela_budgets *b = &m->cfg.budgets;
	const struct sizes n = sizes_of(b);

	memset(ret_bytes, 0, MACHINE_BUDGETS * sizeof(*ret_bytes));
	ret_bytes[BUDGET(paths)] =
		b->paths * (sizeof(struct path) + 2 * b->sessions * sizeof(void *)) +
		n.conn * (sizeof(*m->conn_key) + sizeof(*m->conn_index)) +
		CONGEST_HELD * sizeof(struct held_dgram); /* what paths hold back */
	ret_bytes[BUDGET(slots)] = n.callee_slots * sizeof(struct callee_slot) +
				   n.sessions * (sizeof(struct callee_session) + sizeof(void *));
	ret_bytes[BUDGET(calls)] = b->calls * sizeof(struct call);
	ret_bytes[BUDGET(messages_2k)] = b->messages_2k * (size_t)(MSG_HEADER + MSG_2K);
	ret_bytes[BUDGET(messages_64k)] = b->messages_64k * (size_t)(MSG_HEADER + MSG_64K);
	ret_bytes[BUDGET(messages_1m)] =
		b->messages_1m * (size_t)MSG_PAGES_OF_1M * (MSG_PAGE + sizeof(uint32_t)) +
		n.bulks * (sizeof(struct bulk_tx) + sizeof(struct bulk_rx) + 3 * sizeof(void *));
	ret_bytes[BUDGET(in_flight)] = n.caller_slots * sizeof(struct caller_slot) +
				       n.caller_slots / SLOT_BLOCK * sizeof(void *);
	ret_bytes[BUDGET(latencies)] = b->latencies * sizeof(struct latency_series);
	ret_bytes[BUDGET(identities)] =
		b->identities * (sizeof(struct proofs) + sizeof(struct token));
}

struct session_bytes machine_session_bytes(void)
{
	return (struct session_bytes){
		.served = sizeof(struct callee_session) + SLOT_BLOCK * sizeof(struct callee_slot),
		.served_slot = sizeof(struct callee_slot),
		.made = sizeof(struct caller_session) + SLOT_BLOCK * sizeof(struct caller_slot),
		.made_slot = sizeof(struct caller_slot)};
}

/* ---- a pass ---- */

/* The longest gap of the last ten seconds, each of which has its own. */
static __attribute__((cold, noinline)) void gap_note(
	struct machine *m, uint64_t gap_ns, uint64_t now_ns)
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

void machine_begin(struct machine *m, uint64_t now_ns)
{
	uint64_t gap = m->now_ns ? now_ns - m->now_ns : 0;

	m->gap_ns = gap > LOOP_GAP_NS + m->slept_ns ? gap : 0;
	if (unlikely(m->gap_ns && !m->slept_ns)) {
		count(m->counts, count_loop_gaps);
		gap_note(m, gap, now_ns);
	}
	if (unlikely(now_ns >= m->gap_look_ns))
		gap_note(m, 0, now_ns);
	m->waited_ns = saturate_u32(now_ns - m->emptied_ns);
	if (likely(!m->rx_left))
		m->emptied_ns = now_ns;
	m->shed.late_ns = 0;
	m->now_ns = now_ns;
	if (unlikely(m->gap_ns))
		shed_gap(m, gap);
	m->shed.served = count_read(m->counts, count_calls_served);
	if (likely(m->waited_ns <= shed_target(m)))
		m->shed.above_ns = 0;
	m->slept_ns = 0;
}

/* How many calls are looked at. */
static void latency_look(struct machine *m)
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

bool machine_timers(struct machine *m)
{
	bool worked = false;
	uint32_t left = m->n_paths;

	for (uint32_t i = 0; left && i < m->cfg.budgets.paths; i++) {
		if (m->paths[i].state == PATH_FREE)
			continue;
		left--;
		worked |= path_timers(m, &m->paths[i]);
	}
	if (unlikely(m->now_ns >= m->latency.look_ns))
		latency_look(m);
	if (unlikely(m->now_ns >= m->due_ns)) {
		m->due_ns = UINT64_MAX; /* completions may lower it meanwhile */
		uint64_t due = min_u64(caller_due(m), callee_due(m));

		m->due_ns = min_u64(m->due_ns, due);
		worked = true;
	}
	if (unlikely(m->now_ns >= m->slots_ns))
		caller_look(m);
	if (unlikely(m->wheel.n))
		worked |= wheel_turn(m);
	return bulk_send(m) || worked;
}

bool machine_local(struct machine *m)
{
	uint32_t n = 0;

	for (; n < LOCAL_PER_PASS && !list_empty(&m->local); n++) {
		struct caller_slot *s = list_entry(m->local.next, struct caller_slot, sent);

		list_del(&s->sent);
		callee_serve_local(m, s);
	}
	if (unlikely(m->orphans))
		nest_cancel(m);
	return call_finish_late(m) || n > 0;
}

bool machine_flush_early(struct machine *m)
{
	struct path *p = m->last_path;

	if (!p || !p->open.buf || p->open.len < EARLY_BYTES)
		return false;
	path_flush(m, p, m->now_ns);
	return true;
}

void machine_flush(struct machine *m, uint64_t now_ns)
{
	for (uint32_t i = 0; i < m->n_dirty; i++) {
		path_flush(m, m->dirty[i], now_ns);
		m->dirty[i]->dirty = false;
	}
	m->n_dirty = 0;
}

uint64_t machine_idle_ns(const struct machine *m)
{
	if (!list_empty(&m->local) || !list_empty(&m->ended) || m->orphans || m->n_bulks ||
		m->wheel.n)
		return 0;
	return m->due_ns <= m->now_ns ? 0 : m->due_ns - m->now_ns;
}

uint64_t machine_quiet_ns(const struct machine *m)
{
	uint64_t due = m->now_ns + machine_idle_ns(m);
	uint32_t left = m->n_paths;

	for (uint32_t i = 0; left && i < m->cfg.budgets.paths; i++) {
		if (m->paths[i].state == PATH_FREE)
			continue;
		left--;
		due = min_u64(due, path_due_ns(m, &m->paths[i]));
	}
	return due > m->now_ns ? due - m->now_ns : 0;
}

void machine_limits(struct machine *m, uint32_t window, uint32_t slots_per_session)
{
	m->cfg.budgets.window = window_of(window);
	m->cfg.budgets.slots_per_session = slots_of(slots_per_session);
}

void machine_link_down(struct machine *m, uint16_t netif)
{
	if (!m->ops->shared_memory(m->io, netif))
		return; /* a cable may come back sooner than a call is given up */
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++)
		if (m->paths[i].state == PATH_UP && m->paths[i].peer.netif == netif)
			path_down(m, &m->paths[i], "link is down");
}

void machine_leave(struct machine *m)
{
	m->leaving = true;
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++)
		if (m->paths[i].state == PATH_UP)
			path_go_away(m, &m->paths[i]);
}

void machine_drain(struct machine *m)
{
	if (!m->leaving)
		machine_leave(m);
	m->draining = true;
}

/* ---- packets ---- */

static void on_ping(struct machine *m, struct path *p, const frame_Probe *probe)
{
	frame_Packet h = {.kind = frame_Kind_pong};
	frame_Probe body = {
		.nonce = probe->nonce, .loop_gap_us = saturate_u32(m->gap10_ns / NS_PER_US)};

	p->peer_gap_us = probe->loop_gap_us;
	count(m->counts, count_pongs);
	path_packet(m, p, h, &body, sizeof(body));
}

/* What was sent before the ping and is not answered by now was lost: path_timers sees that. */
static void on_pong(struct path *p, const frame_Probe *probe)
{
	p->peer_gap_us = probe->loop_gap_us;
	if (probe->nonce != p->ping_nonce || !p->ping_ns)
		return;
	p->pong_ns = p->ping_ns;
	p->ping_ns = p->ping_wait_ns = 0;
}

/* Kinds with a body of one size. */
static void small_packet(
	struct machine *m, struct path *p, const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	bool from_callee = h->flags & frame_PacketFlag_from_callee;

	if (len != 8 && !(len == sizeof(frame_Probe) &&
				(h->kind == frame_Kind_ping || h->kind == frame_Kind_pong))) {
		count(m->counts, count_drop_body);
		return;
	}
	switch (h->kind) {
	case frame_Kind_acknowledge: {
		frame_Window w = frame_Window_load(body);

		(from_callee ? caller_acknowledge : callee_acknowledge)(m, p, h, w.limit);
		break;
	}
	case frame_Kind_gap: {
		frame_Gap g = frame_Gap_load(body);

		(from_callee ? caller_gap : callee_gap)(m, p, h, g.first, g.count);
		break;
	}
	case frame_Kind_credit: {
		frame_Credit c = frame_Credit_load(body);

		(from_callee ? caller_credit : callee_credit)(m, p, h, &c);
		break;
	}
	case frame_Kind_go_away:
		p->draining = p->initiator;
		break;
	default: {
		frame_Probe probe;

		if (len != sizeof(probe)) {
			count(m->counts, count_drop_body);
			return;
		}
		probe = frame_Probe_load(body);
		if (h->kind == frame_Kind_ping)
			on_ping(m, p, &probe);
		else
			on_pong(p, &probe);
	}
	}
}

static void rare_packet(
	struct machine *m, struct path *p, const frame_Packet *h, uint8_t *body, uint32_t len)
{
	switch (h->kind) {
	case frame_Kind_in_progress:
		caller_in_progress(m, p, h);
		break;
	case frame_Kind_cancel:
		callee_cancel(m, p, h);
		break;
	case frame_Kind_release:
		callee_release(m, p, h);
		break;
	case frame_Kind_bind:
		caller_bind(m, p, h, body, len);
		break;
	case frame_Kind_rebind:
		caller_rebind(m, p, h);
		break;
	case frame_Kind_acknowledge:
	case frame_Kind_gap:
	case frame_Kind_credit:
	case frame_Kind_ping:
	case frame_Kind_pong:
	case frame_Kind_go_away:
		small_packet(m, p, h, body, len);
		break;
	default:
		count(m->counts, count_drop_kind);
	}
}

/* The packet behind this one, NULL: there is none. Nothing is believed yet: it is only looked
 * ahead. */
static inline const uint8_t *packet_after(const uint8_t *at, const uint8_t *end)
{
	uint16_t length;

	memcpy(&length, at + offsetof(frame_Packet, length), sizeof(length));
	at += ALIGN8((uint32_t)length);
	return end - at >= WIRE_PACKET && length >= WIRE_PACKET ? at : NULL;
}

/* With thousands of sessions none is in a cache when its packet comes. So the session of the packet
 * after the next is fetched, and of the next, whose session was fetched before, the slot. */
static inline void fetch_ahead(const struct path *p, const uint8_t *at, bool slot)
{
	bool request = at[0] == frame_Kind_request;
	frame_Packet h = frame_Packet_load(at);
	const uint8_t *line;

	if (h.session >= (request ? p->n_in : p->n_out))
		return;
	line = request ? (const uint8_t *)p->in[h.session] : (const uint8_t *)p->out[h.session];
	if (slot && line && h.slot < SLOT_BLOCK) {
		line = request ? (const uint8_t *)(p->in[h.session]->first + h.slot)
			       : (const uint8_t *)(p->out[h.session]->first + h.slot);
		__builtin_prefetch(line + CACHE_LINE);
	}
	__builtin_prefetch(line);
}

static void packets(struct machine *m, struct path *p, uint8_t *at, uint8_t *end)
{
	const uint8_t *next, *second;
	bool many = m->n_sessions > FETCH_SESSIONS;

	while (end - at >= WIRE_PACKET) {
		frame_Packet h = frame_Packet_load(at);
		uint8_t *body = at + WIRE_PACKET;

		if (unlikely(h.length < WIRE_PACKET || (ptrdiff_t)h.length > end - at)) {
			count(m->counts, count_drop_packet_length);
			return;
		}
		if (unlikely(many) && (next = packet_after(at, end))) {
			if ((second = packet_after(next, end)))
				fetch_ahead(p, second, false);
			fetch_ahead(p, next, true);
		}
		at += ALIGN8((uint32_t)h.length); /* the padding of the last may be absent */
		if (likely(h.kind == frame_Kind_request))
			callee_request(m, p, &h, body, h.length - WIRE_PACKET);
		else if (likely(h.kind == frame_Kind_response))
			caller_response(m, p, &h, body, h.length - WIRE_PACKET);
		else
			rare_packet(m, p, &h, body, h.length - WIRE_PACKET);
		if (unlikely(p->state != PATH_UP))
			return; /* a packet may have ended its own path */
	}
	if (unlikely(at < end))
		count(m->counts, count_drop_packet_length);
}

/* ---- datagrams ---- */

/* Other versions agree on eight bytes only. The answer names the versions spoken and is no longer
 * than the question. */
static void other_version(
	struct machine *m, const struct net_addr *from, const uint8_t *data, uint32_t len)
{
	uint8_t answer[WIRE_VERSION_BYTES] = {0, WIRE_VERSION, WIRE_VERSION, 0};

	count(m->counts, count_drop_version);
	if (len < WIRE_VERSION_BYTES || data[0] == 0)
		return; /* itself an answer: never answered, or two nodes would go on for ever */
	memcpy(answer + 4, data + 4, 4);
	m->ops->send_raw(m->io, from, answer, sizeof(answer));
	count(m->counts, count_version_answers);
}

/* Handshake packets stand alone, before or beside a path. */
static void alone(
	struct machine *m, struct path *p, const struct net_addr *from, uint8_t *at, uint32_t len)
{
	frame_Packet h;

	if (len < WIRE_PACKET) {
		count(m->counts, count_drop_handshake);
		return;
	}
	h = frame_Packet_load(at);
	if (h.length < WIRE_PACKET || h.length > len || h.kind < frame_Kind_hello ||
		h.kind > frame_Kind_refuse)
		count(m->counts, count_drop_handshake);
	else
		handshake_packet(m, p, from, &h, at + WIRE_PACKET, h.length - WIRE_PACKET);
}

static struct path *path_of(struct machine *m, uint32_t connection)
{
	struct path *p = m->last_path;

	if (likely(p && p->id == connection && p->state != PATH_FREE))
		return p;
	p = path_find(m, connection);
	if (p)
		m->last_path = p;
	return p;
}

/* The kind of the first packet, for datagrams that may be part of a handshake. */
static bool is_handshake(const uint8_t *at, uint32_t len)
{
	return len >= WIRE_PACKET && at[0] >= frame_Kind_hello && at[0] <= frame_Kind_refuse;
}

/* Trailer. Returns the length without it, 0 if it is wrong (counted). */
static uint32_t check_trailer(
	struct machine *m, const uint8_t *data, uint32_t len, uint8_t integrity)
{
	uint32_t crc;

	if (integrity == frame_Integrity_none)
		return len;
	if (integrity != frame_Integrity_crc32c) {
		count(m->counts, count_drop_integrity);
		return 0;
	}
	len -= WIRE_CRC;
	memcpy(&crc, data + len, WIRE_CRC);
	if (unlikely(crc != crc32c(0, data, len))) {
		count(m->counts, count_drop_crc);
		return 0;
	}
	return len;
}

void machine_rx(struct machine *m, const struct net_addr *from, uint8_t *data, uint32_t len)
{
	frame_Datagram h;
	struct path *p;
	uint8_t integrity;
	uint32_t end;

	if (unlikely(len == 0 || data[0] != WIRE_VERSION)) {
		other_version(m, from, data, len);
		return;
	}
	if (unlikely(len < WIRE_DATAGRAM + WIRE_CRC)) {
		count(m->counts, count_drop_datagram_header);
		return;
	}
	h = frame_Datagram_load(data);
	integrity = h.flags & WIRE_INTEGRITY_MASK;
	if (unlikely(h.header_length < WIRE_DATAGRAM || h.header_length > WIRE_HEADER_MAX ||
		     (uint32_t)h.header_length + WIRE_CRC > len || h.zero ||
		     (h.flags & ~WIRE_INTEGRITY_MASK))) {
		count(m->counts, count_drop_datagram_header);
		return;
	}
	end = check_trailer(m, data, len, integrity);
	if (unlikely(end < h.header_length))
		return;
	p = h.connection ? path_of(m, h.connection) : NULL;
	if (unlikely(!h.connection ||
		     (p && is_handshake(data + h.header_length, end - h.header_length)))) {
		if (integrity == frame_Integrity_crc32c)
			alone(m, p, from, data + h.header_length, end - h.header_length);
		else
			count(m->counts, count_drop_integrity);
		return;
	}
	if (unlikely(!p || p->state != PATH_UP)) {
		handshake_unknown(m, from, h.connection, len);
		return;
	}
	if (unlikely(from->ip != p->peer.ip || from->udp != p->peer.udp ||
		     from->netif != p->peer.netif)) {
		count(m->counts, count_drop_source);
		return;
	}
	if (unlikely(integrity != p->integrity)) {
		count(m->counts, count_drop_integrity);
		return;
	}
	if (unlikely(!path_replay_check(p, (uint64_t)h.number_high << 32 | h.number_low))) {
		count(m->counts, count_drop_replay);
		return;
	}
	count(m->counts, count_rx_datagrams);
	m->latency.age_ns = h.age * (uint32_t)WIRE_STAMP_NS;
	path_stamps(m, p, h.stamp, h.echo, h.wait);
	packets(m, p, data + h.header_length, data + end);
}

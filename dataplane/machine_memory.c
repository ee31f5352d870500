/* The memory of a machine: all of it is taken at start. */
#include "machine.h"

#include "identity.h"
#include "report.h"
#include "slab.h"

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
		.segments = 4096,
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
	uint32_t caller_slots, callee_slots, sessions, chunks, bulks, conn;
};

static struct sizes sizes_of(const struct tela_budgets *b)
{
	struct sizes s = {.caller_slots = (b->in_flight + SLOT_BLOCK - 1) & ~(SLOT_BLOCK - 1u),
		.callee_slots = (b->slots + SLOT_BLOCK - 1) & ~(SLOT_BLOCK - 1u),
		.conn = 64};
	const uint32_t messages[MSG_CLASSES] = {b->messages_2k, b->messages_64k, b->messages_1m};

	s.sessions = s.callee_slots / SLOT_BLOCK;
	s.chunks = (s.caller_slots + s.callee_slots) / SLOT_BLOCK / 2;
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
	m->session_ends = take(n.caller_slots / SLOT_BLOCK, sizeof(*m->session_ends), bytes);
	m->callee_slots = take(n.callee_slots, sizeof(*m->callee_slots), bytes);
	m->callee_blocks = take(n.callee_slots / SLOT_BLOCK, sizeof(void *), bytes);
	m->callee_sessions = take(n.sessions, sizeof(*m->callee_sessions), bytes);
	m->chunks = take(n.chunks, sizeof(*m->chunks), bytes);
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
	       m->session_ends && m->callee_slots && m->callee_blocks && m->callee_sessions &&
	       m->chunks && m->calls && m->bulk_txs && m->bulk_rxs && m->bulks && m->retained.at &&
	       m->arriving.at && m->latency.series && m->ends && m->proofs && m->tokens &&
	       !msgpool_init(&m->msgs, classes);
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

	for (uint32_t i = n.caller_slots / SLOT_BLOCK; i-- > 0;) {
		m->caller_blocks[m->n_caller_blocks++] = m->caller_slots + i * SLOT_BLOCK;
		m->session_ends[i].next = m->free_session_end;
		m->free_session_end = &m->session_ends[i];
	}
	for (uint32_t i = n.callee_slots / SLOT_BLOCK; i-- > 0;)
		m->callee_blocks[m->n_callee_blocks++] = m->callee_slots + i * SLOT_BLOCK;
	for (uint32_t i = n.sessions; i-- > 0;) {
		m->callee_sessions[i].next_free = m->free_callee_session;
		m->free_callee_session = &m->callee_sessions[i];
	}
	for (uint32_t i = n.chunks; i-- > 0;) {
		m->chunks[i].next_free = m->free_chunk;
		m->free_chunk = &m->chunks[i];
	}
	for (uint32_t i = b->calls; i-- > 0;) {
		m->calls[i].machine = m;
		m->calls[i].pub.pass = &m->pass;
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
	m->pass.core = m->cfg.core;
	m->ops = ops;
	m->io = io;
	m->counts = counts;
	budgets_default(&m->cfg.budgets);
	list_init(&m->sessions);
	list_init(&m->pending);
	list_init(&m->local);
	list_init(&m->ended);
	list_init(&m->forwards);
	m->due_ns = m->gap_look_ns = UINT64_MAX;
	for (int i = 0; i < 2; i++)
		m->latency.turn[i] = (struct latency_turn){1, 1, 1, 0};
	m->shed.target_ns = SHED_NEVER;
	m->cookie_key[0] = ops->random(io);
	m->cookie_key[1] = ops->random(io);
	if (!take_all(m, &bytes) || !path_tables(m) || wheel_init(&m->wheel, &bytes) ||
		!(m->reports = report_ring_create()) || !(m->traces = report_ring_create()) ||
		!(m->logs = report_ring_create())) {
		machine_fini(m);
		return -ENOMEM;
	}
	m->bytes = bytes + m->msgs.bytes + 3 * REPORT_BYTES;
	slabs_init(m);
	m->n_callee_sessions = sizes_of(&m->cfg.budgets).sessions;
	m->no_session.first = m->caller_slots; /* fetch_ahead() may look there */
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
	give(m->session_ends, n.caller_slots / SLOT_BLOCK, sizeof(*m->session_ends));
	give(m->callee_slots, n.callee_slots, sizeof(*m->callee_slots));
	give(m->callee_blocks, n.callee_slots / SLOT_BLOCK, sizeof(void *));
	give(m->callee_sessions, n.sessions, sizeof(*m->callee_sessions));
	give(m->chunks, n.chunks, sizeof(*m->chunks));
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
	report_ring_free(m->logs);
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
				   n.sessions * (sizeof(struct callee_session) + sizeof(void *) +
							sizeof(struct slot_chunk) / 2);
	ret_bytes[BUDGET(calls)] = b->calls * sizeof(struct call);
	ret_bytes[BUDGET(messages_2k)] = b->messages_2k * (size_t)(MSG_HEADER + MSG_2K);
	ret_bytes[BUDGET(messages_64k)] = b->messages_64k * (size_t)(MSG_HEADER + MSG_64K);
	ret_bytes[BUDGET(messages_1m)] =
		b->messages_1m * (size_t)MSG_PAGES_OF_1M * (MSG_PAGE + sizeof(uint32_t)) +
		n.bulks * (sizeof(struct bulk_tx) + sizeof(struct bulk_rx) + 3 * sizeof(void *));
	ret_bytes[BUDGET(in_flight)] = n.caller_slots * sizeof(struct caller_slot) +
				       n.caller_slots / SLOT_BLOCK *
					       (sizeof(void *) + sizeof(struct session_end) +
						       sizeof(struct slot_chunk) / 2);
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

void machine_limits(struct machine *m, uint32_t window, uint32_t slots_per_session)
{
	m->cfg.budgets.window = window_of(window);
	m->cfg.budgets.slots_per_session = slots_of(slots_per_session);
}

#include "machine.h"

#include "crc32c.h"
#include "hand.h"

enum {
	RTO_FLOOR_NS = 50000,
	RTO_CEILING_NS = 200000000,
	RTO_FIRST_NS = 2000000,
	REPLAY_JUMP_MAX = 1 << 24
};

#define HEAD_REFRESH_NS (5 * NS_PER_S)
#define WATCH_NS        (10 * NS_PER_S)
#define LEAVING_NS      (20 * NS_PER_MS)
#define CONNECT_NS      NS_PER_S
#define URGENT_KINDS                                                                               \
	(1u << frame_Kind_acknowledge | 1u << frame_Kind_gap | 1u << frame_Kind_credit |           \
		1u << frame_Kind_cancel | 1u << frame_Kind_go_away)

/* ---- datagrams out ---- */

static bool path_open(struct machine *m, struct path *p)
{
	struct dgram *d = &p->open;

	if (unlikely(!p->head_ok))
		return false;
	d->buf = m->ops->get(m->io, p, &d->data, &d->room);
	if (unlikely(!d->buf))
		return false;
	if (p->integrity == frame_Integrity_crc32c)
		d->room -= WIRE_CRC;
	d->len = p->header_len;
	d->urgent = false;
	if (!p->dirty) {
		if (unlikely(m->n_dirty == MACHINE_DIRTY)) {
			path_flush_midway(m, m->dirty[0]);
			m->dirty[0]->dirty = false;
			m->dirty[0] = m->dirty[--m->n_dirty];
		}
		p->dirty = true;
		m->dirty[m->n_dirty++] = p;
	}
	return true;
}

uint8_t *path_append_next(struct machine *m, struct path *p, uint32_t len)
{
	struct dgram *d = &p->open;

	path_flush_midway(m, p);
	if (!path_open(m, p) || d->len + len > d->room)
		return NULL;
	d->len += len;
	return d->data + d->len - len;
}

bool path_packet(struct machine *m, struct path *p, frame_Packet h, const void *body, uint32_t len)
{
	uint32_t padded = ALIGN8(WIRE_PACKET + len);
	uint8_t *at = path_append(m, p, padded);

	if (!at)
		return false;
	h.length = (uint16_t)(WIRE_PACKET + len);
	memset(at + padded - 8, 0, 8);
	wire_packet_store(at, h);
	if (len)
		memcpy(at + WIRE_PACKET, body, len);
	/* What opens a peer's window or saves it work overtakes what is held back. Pings and
	 * answers do not: they say something about what was sent before them. */
	if (1u << h.kind & URGENT_KINDS)
		p->open.urgent = true;
	return true;
}

/* Header and stamps. */
static inline __attribute__((always_inline)) void write_header(
	struct machine *m, struct path *p, const struct dgram *d, uint64_t now_ns)
{
	uint64_t age = (now_ns - m->now_ns) / WIRE_STAMP_NS;
	uint64_t number;
	frame_Datagram h;

	number = ++p->tx_number;
	h = (frame_Datagram){
		.version = WIRE_VERSION,
		.flags = p->integrity,
		.header_length = p->header_len,
		.connection = p->peer_id,
		.number_low = (uint32_t)number,
		.number_high = (uint32_t)(number >> 32),
		.stamp = wire_stamp(now_ns) | 1, /* never 0: that is "none" in an echo */
		.echo = p->last_stamp ? (p->last_stamp + wire_stamp(now_ns - p->last_stamp_ns)) | 1
				      : 0,
		.age = saturate_u16(age),
		.wait = saturate_u16(p->last_wait_ns / WIRE_STAMP_NS),
	};
	memset(d->data + WIRE_DATAGRAM, 0, p->header_len - WIRE_DATAGRAM);
	wire_datagram_store(d->data, h);
}

void path_send(struct machine *m, struct path *p, struct dgram *d, uint64_t now_ns)
{
	write_header(m, p, d, now_ns);
	if (p->integrity == frame_Integrity_crc32c) {
		uint32_t crc = crc32c(0, d->data, d->len);

		memcpy(d->data + d->len, &crc, WIRE_CRC);
		d->len += WIRE_CRC;
	}
	p->congest.tx_bytes += d->len;
	m->urgent = d->urgent;
	m->ops->send(m->io, p, d->buf, d->len);
	count(m->counts, count_tx_datagrams);
	d->buf = NULL;
}

void path_send_from(struct machine *m, struct path *p, const void *more, uint32_t more_len)
{
	struct dgram *d = &p->open;

	DCHECK(!p->congest.paced && p->integrity == frame_Integrity_none);
	write_header(m, p, d, m->now_ns);
	p->congest.tx_bytes += d->len + more_len;
	m->urgent = false;
	m->ops->send_from(m->io, p, d->buf, d->len, more, more_len);
	count(m->counts, count_tx_datagrams);
	d->buf = NULL;
}

void path_flush(struct machine *m, struct path *p, uint64_t now_ns)
{
	if (!p->open.buf)
		return;
	if (likely(!p->congest.paced) || congest_pass(m, p))
		path_send(m, p, &p->open, now_ns);
}

/* With the pass's time a datagram seems to have been under way since the pass began, to be a queue
 * of its network where a pass takes long. */
void path_flush_midway(struct machine *m, struct path *p)
{
	if (p->open.buf)
		path_flush(m, p, unlikely(p->congest.network) ? machine_clock(m) : m->now_ns);
}

/* ---- datagrams in: replay and round trip ---- */

bool path_replay_check(struct path *p, uint64_t number)
{
	uint64_t word, bit;

	/* No loss explains a jump so far; a forged number must not carry the window away from the
	 * peer's. */
	if (number - p->rx_number > REPLAY_JUMP_MAX && number > p->rx_number)
		return false;
	if (number > p->rx_number) {
		/* Words that the window has moved into are new ground. */
		for (uint64_t i = 1; i <= REPLAY_WORDS && i <= number / 64 - p->rx_number / 64; i++)
			p->replay[(p->rx_number / 64 + i) % REPLAY_WORDS] = 0;
		p->rx_number = number;
	} else if (p->rx_number - number >= REPLAY_WINDOW - 64) {
		return false;
	}
	word = number / 64 % REPLAY_WORDS;
	bit = 1ull << (number % 64);
	if (p->replay[word] & bit)
		return false;
	p->replay[word] |= bit;
	return true;
}

/* RFC 6298, with a floor of tens of microseconds in place of a second. */
void path_rtt_sample(struct path *p, uint64_t rtt_ns)
{
	uint64_t delta;

	if (!p->srtt_ns) {
		p->srtt_ns = rtt_ns;
		p->rttvar_ns = rtt_ns / 2;
	} else {
		delta = rtt_ns > p->srtt_ns ? rtt_ns - p->srtt_ns : p->srtt_ns - rtt_ns;
		p->rttvar_ns = p->rttvar_ns - p->rttvar_ns / 4 + delta / 4;
		p->srtt_ns = p->srtt_ns - p->srtt_ns / 8 + rtt_ns / 8;
	}
	p->rto_ns = max_u64(RTO_FLOOR_NS, p->srtt_ns + 4 * p->rttvar_ns);
	p->rto_ns = min_u64(p->rto_ns, RTO_CEILING_NS);
}

/* How long a datagram has waited in the rings, in stamps, from its time under way by two clocks:
 * that is longer by this than one which did not wait, and not longer than since the rings were last
 * empty. So the way itself, the clocks' difference and its drift need not be known. */
static inline uint32_t path_queued(const struct machine *m, struct path *p, uint32_t way)
{
	uint32_t most = m->waited_ns / WIRE_STAMP_NS, queued = way - p->way;

	if (unlikely(!p->last_stamp) || (int32_t)queued < 0)
		queued = 0;
	else if (queued > most)
		queued = most;
	p->way = way - queued;
	return queued;
}

void path_stamps(struct machine *m, struct path *p, uint32_t stamp, uint32_t echo, uint16_t wait)
{
	uint32_t back = wire_stamp(m->now_ns) - echo;
	uint64_t rtt_ns, waited_ns, net_ns;

	shed_waited(m, path_queued(m, p, wire_stamp(m->now_ns) - stamp) * WIRE_STAMP_NS,
		m->shed.late_ns);
	p->last_rx_ns = m->now_ns;
	p->silent_since_ns = 0;
	p->last_stamp = stamp;
	p->last_stamp_ns = m->now_ns;
	p->last_wait_ns = m->waited_ns;
	/* A loop that was away measures itself, not the path. */
	if (!echo || m->gap_ns || back > INT32_MAX)
		return;
	rtt_ns = (uint64_t)back * WIRE_STAMP_NS;
	/* Or was: what was stamped before may have left after it. */
	if (unlikely(rtt_ns > m->now_ns - m->shed.back_ns) && m->shed.away_ns > rtt_ns / 8)
		return;
	path_rtt_sample(p, rtt_ns);
	/* Nobody knows how much of the longest wait it was. What may have waited for long says that
	 * there is a queue, if it was late even so; never that the path is shorter than was known.
	 */
	waited_ns = wait * (uint64_t)WIRE_STAMP_NS + m->waited_ns;
	net_ns = rtt_ns > waited_ns && wait != UINT16_MAX ? rtt_ns - waited_ns : 0;
	if (waited_ns > CONGEST_SURE_NS)
		net_ns = max_u64(net_ns, min_u64(rtt_ns, p->congest.min_ns));
	congest_sample(m, p, net_ns);
}

/* ---- connection ids ---- */

static uint32_t conn_place(const struct machine *m, uint32_t id)
{
	uint32_t at = id & m->conn_mask;

	while (m->conn_key[at] && m->conn_key[at] != id)
		at = (at + 1) & m->conn_mask;
	return at;
}

struct path *path_find(const struct machine *m, uint32_t id)
{
	uint32_t at = conn_place(m, id);

	return m->conn_key[at] ? &m->paths[m->conn_index[at]] : NULL;
}

/* Paths come and go rarely; with open addressing it is simplest to enter all of them anew. */
static void conn_rebuild(struct machine *m)
{
	memset(m->conn_key, 0, (m->conn_mask + 1) * sizeof(*m->conn_key));
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++) {
		struct path *p = &m->paths[i];

		if (p->state != PATH_FREE) {
			uint32_t at = conn_place(m, p->id);

			m->conn_key[at] = p->id;
			m->conn_index[at] = (uint16_t)i;
		}
	}
	m->last_path = NULL;
}

void path_new_id(struct machine *m, struct path *p)
{
	uint32_t id;

	do
		id = (uint32_t)m->ops->random(m->io);
	while (!id || path_find(m, id) || hand_core_of_id(id, m->cfg.n_cores) != m->cfg.core);
	p->id = id;
	conn_rebuild(m);
}

/* ---- life ---- */

static void path_reset(struct machine *m, struct path *p)
{
	if (p->open.buf)
		m->ops->drop(m->io, p->open.buf);
	p->open.buf = NULL;
	congest_end(m, p);
	p->congest = (struct congest){0};
	p->peer_id = 0;
	p->integrity = frame_Integrity_none;
	p->draining = p->asks = false;
	p->throttled = 0;
	memset(p->throttle, 0, sizeof(p->throttle));
	p->last_stamp = 0;
	p->last_rx_ns = p->silent_since_ns = p->ask_ns = 0;
	p->tx_number = p->rx_number = 0;
	memset(p->replay, 0, sizeof(p->replay));
	p->srtt_ns = p->rttvar_ns = 0;
	p->rto_ns = RTO_FIRST_NS;
	p->answered_ns = p->pong_ns = p->ping_ns = p->ping_wait_ns = 0;
	p->peer_gap_us = p->peer_pause_us = 0;
	p->cookie = 0;
	p->cookie_time = 0;
	p->hello_ns = m->now_ns;
	p->hello_wait_ns = 5 * NS_PER_MS;
	p->connecting_ns = m->now_ns;
	p->fragment = 0;
}

struct path *path_create(struct machine *m, const struct net_addr *peer, bool initiator)
{
	struct path *p = NULL;

	for (uint32_t i = 0; i < m->cfg.budgets.paths && !p; i++)
		if (m->paths[i].state == PATH_FREE)
			p = &m->paths[i];
	if (!p)
		return NULL;
	list_init(&p->sent);
	p->peer = *peer;
	p->initiator = initiator;
	p->dirty = p->head_ok = false;
	p->peer_index = -1;
	p->queued = 0;
	p->node = p->incarnation = 0;
	p->n_out = 0;
	p->attempt = 0;
	p->settled = false;
	if (initiator && m->cfg.n_cores > 1) /* by it a peer's refuse finds the core */
		p->peer.own_udp = hand_udp(m->cfg.core, 0);
	path_reset(m, p);
	p->state = PATH_CONNECTING;
	path_new_id(m, p);
	m->n_paths++;
	return p;
}

static void path_clean(struct machine *m, struct path *p)
{
	for (uint32_t i = 0; i < m->n_dirty; i++)
		if (m->dirty[i] == p)
			m->dirty[i] = m->dirty[--m->n_dirty];
	p->dirty = false;
}

void path_down(struct machine *m, struct path *p, const char *why)
{
	bool was_up = p->state == PATH_UP;

	if (was_up)
		count(m->counts, count_paths_down);
	path_clean(m, p);
	callee_path_down(m, p);
	path_reset(m, p);
	if (p->initiator) {
		p->state = PATH_CONNECTING;
		path_new_id(m, p);
		caller_path_down(m, p, why);
	} else {
		caller_path_down(m, p, why);
		p->state = PATH_FREE;
		m->n_paths--;
		conn_rebuild(m);
	}
}

/* ---- time ---- */

static void path_ping(struct machine *m, struct path *p)
{
	frame_Probe body = {
		.nonce = ++p->ping_nonce, .loop_gap_us = saturate_u32(m->gap10_ns / NS_PER_US)};
	frame_Packet h = {.kind = frame_Kind_ping};

	path_packet(m, p, h, &body, sizeof(body));
	p->ping_ns = m->now_ns;
	count(m->counts, count_pings);
}

/* Silence after which the peer is down: longer than its loop's pauses, those that it has made and
 * those that it expects where it runs. It begins with the question that is not answered, and an
 * answer may take an RTO. */
static uint64_t silence_limit(const struct machine *m, const struct path *p)
{
	uint64_t pauses_us = max_u64(3ull * p->peer_gap_us, p->peer_pause_us);

	return max_u64(m->cfg.peer_silence_ns, pauses_us * NS_PER_US) + p->rto_ns;
}

/* The same for a peer that has not answered at all yet: it may just be starting. */
static uint64_t connect_limit(const struct machine *m, const struct path *p)
{
	return max_u64(CONNECT_NS, 5 * silence_limit(m, p));
}

/* How long a question about requests waits for an answer, and since when. */
static uint64_t probe_wait(const struct machine *m, const struct path *p, uint64_t *ret_since)
{
	const struct caller_slot *oldest = list_entry(p->sent.next, struct caller_slot, sent);
	uint64_t wait =
		max_u64(p->rto_ns, max_u64(m->gap10_ns, (uint64_t)p->peer_gap_us * NS_PER_US));

	*ret_since = max_u64(p->ping_wait_ns ? p->ping_ns : oldest->sent_ns, p->last_rx_ns);
	return p->ping_wait_ns ? p->ping_wait_ns : min_u64(wait, 10 * NS_PER_MS);
}

/* What is still unanswered: is the answer late, and is the peer still there? A request is never
 * sent again on time alone; one ping asks, and its answer shows what was lost (design, section 3).
 */
static bool path_probe(struct machine *m, struct path *p)
{
	struct caller_slot *oldest;
	uint64_t wait, since;

	if (list_empty(&p->sent)) {
		p->ping_wait_ns = 0;
		if (!p->asks)
			p->silent_since_ns = 0;
		return false;
	}
	oldest = list_entry(p->sent.next, struct caller_slot, sent);
	/* Answers to later requests prove that this one, or its answer, was lost on the way; a
	 * quarter of a round trip is left for packets that overtake each other (RACK, RFC 8985). A
	 * ping and its answer travel behind what was sent before them, and leave no doubt. */
	since = p->answered_ns > p->srtt_ns / 4 ? p->answered_ns - p->srtt_ns / 4 : 0;
	since = max_u64(since, p->pong_ns);
	if (oldest->sent_ns < since) {
		caller_resend(m, p, since);
		return true;
	}
	wait = probe_wait(m, p, &since);
	/* The pass that ends an absence has not looked at all that came meanwhile; but a loop whose
	 * every pass is long must ask too. */
	if (m->now_ns - since < wait + m->gap_ns)
		return false;
	if (!p->silent_since_ns)
		p->silent_since_ns = m->now_ns;
	path_ping(m, p);
	p->ping_wait_ns = min_u64(2 * wait, max_u64(20 * NS_PER_MS, p->rto_ns));
	return true;
}

/* Asks for the link address again in good time, and notices one that has changed. */
static void path_refresh(struct machine *m, struct path *p)
{
	p->refresh_ns = m->now_ns + HEAD_REFRESH_NS;
	if (!p->open.buf && !p->congest.n_held) /* these have room for the present one */
		m->ops->resolve(m->io, p);
}

/* Nothing of ours is under way to a peer that made this path, so its silence would not show; it is
 * asked now and then, and given up when it has not answered for long: its sessions are for others.
 */
static bool path_watch(struct machine *m, struct path *p)
{
	if (likely(p->initiator || m->now_ns - p->last_rx_ns < WATCH_NS))
		return false;
	if (m->now_ns - p->last_rx_ns > WATCH_NS + 10 * silence_limit(m, p)) {
		path_down(m, p, "peer has gone");
		return true;
	}
	if (m->now_ns - p->ping_ns > WATCH_NS / 5)
		path_ping(m, p);
	return false;
}

/* Whether a call of ours is under way on it. */
static bool path_busy(const struct path *p)
{
	for (uint32_t n = 0; n < p->n_out; n++)
		if (p->out[n]->n_busy)
			return true;
	return false;
}

void path_go_away(struct machine *m, struct path *p)
{
	frame_Farewell body = {.code = TELA_UNAVAILABLE};
	frame_Packet h = {.kind = frame_Kind_go_away};

	path_packet(m, p, h, &body, sizeof(body));
}

/* Little is sent to a peer that said go-away, nothing but what it still waits for itself, so little
 * would show that it has ended, or ended and come back: it is asked now and then. */
static bool path_leaving(struct machine *m, struct path *p)
{
	uint64_t silent_ns = m->now_ns - p->last_rx_ns;

	if (path_busy(p) || silent_ns < LEAVING_NS)
		return false;
	if (silent_ns > LEAVING_NS + silence_limit(m, p)) {
		path_down(m, p, "peer has gone away");
		return true;
	}
	if (m->now_ns - p->ping_ns < LEAVING_NS)
		return false;
	path_ping(m, p);
	return true;
}

/* No answer is owed but to calls in progress, which are probed seldom: is the peer still there?
 * Several questions within the silence that counts, so that a lost one does not. */
static void path_ask(struct machine *m, struct path *p)
{
	uint64_t every_ns = silence_limit(m, p) / 16;

	p->ask_ns = m->now_ns + every_ns;
	p->asks = list_empty(&p->sent) && m->now_ns - p->last_rx_ns >= every_ns && path_busy(p);
	if (!p->asks)
		return;
	if (!p->silent_since_ns)
		p->silent_since_ns = m->now_ns;
	path_ping(m, p);
}

bool path_timers(struct machine *m, struct path *p)
{
	bool worked = false;

	if (p->state == PATH_UP) {
		if (unlikely(p->draining) && path_leaving(m, p))
			return true;
		if (unlikely(m->now_ns >= p->refresh_ns))
			path_refresh(m, p);
		if (unlikely(m->now_ns >= p->congest.look_ns))
			congest_look(m, p);
		if (unlikely(m->now_ns >= p->ask_ns))
			path_ask(m, p);
		worked = path_probe(m, p) || path_watch(m, p);
		if (p->state != PATH_UP)
			return true;
		/* Our own absence is not the peer's; long passes are no absence. */
		if (p->silent_since_ns && m->gap_ns > silence_limit(m, p) / 4)
			p->silent_since_ns += m->gap_ns;
		if (p->silent_since_ns && m->now_ns > p->silent_since_ns &&
			m->now_ns - p->silent_since_ns > silence_limit(m, p)) {
			path_down(m, p, "peer is silent");
			return true;
		}
	}
	if (p->initiator && p->state != PATH_UP && m->now_ns >= p->hello_ns) {
		handshake_hello(m, p);
		p->connecting_ns += m->gap_ns; /* our own absence is not its */
		if (p->state == PATH_CONNECTING && m->now_ns > p->connecting_ns &&
			m->now_ns - p->connecting_ns > connect_limit(m, p)) {
			p->state = PATH_DOWN;
			caller_fail_queued(m, p, "peer does not answer");
		}
		worked = true;
	}
	return worked;
}

uint64_t path_due_ns(const struct machine *m, const struct path *p)
{
	const struct congest *c = &p->congest;
	uint64_t due = p->refresh_ns, since, wait;

	if (p->state != PATH_UP)
		return p->initiator ? p->hello_ns : UINT64_MAX;
	if (!p->initiator) /* path_watch() */
		due = min_u64(due, max_u64(p->last_rx_ns + WATCH_NS, p->ping_ns + WATCH_NS / 5));
	if (c->network && !c->slow_start)
		due = min_u64(due, c->look_ns);
	if (p->draining && !path_busy(p)) /* path_leaving() */
		due = min_u64(due, max_u64(p->last_rx_ns, p->ping_ns) + LEAVING_NS);
	if (p->silent_since_ns)
		due = min_u64(due, p->silent_since_ns + silence_limit(m, p));
	if (path_busy(p))
		due = min_u64(due, p->ask_ns);
	if (list_empty(&p->sent))
		return due;
	wait = probe_wait(m, p, &since);
	return min_u64(due, since + wait);
}

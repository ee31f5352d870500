#include "machine.h"

#include "crc32c.h"
#include "nest.h"

enum { LOCAL_PER_PASS = 32, EARLY_BYTES = 700, LOOP_GAP_NS = 100000 };

/* ---- a pass ---- */

void machine_begin(struct machine *m, uint64_t now_ns)
{
	uint64_t gap = m->now_ns ? now_ns - m->now_ns : 0;

	m->gap_ns = gap > LOOP_GAP_NS + m->slept_ns ? gap : 0;
	if (unlikely(m->gap_ns && !m->slept_ns)) {
		count(m->counts, count_loop_gaps);
		machine_gap(m, gap, now_ns);
	}
	if (unlikely(now_ns >= m->gap_look_ns))
		machine_gap(m, 0, now_ns);
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
		machine_look(m);
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
	if (unlikely(!list_empty(&m->forwards)) && forward_due(m))
		n++;
	return call_finish_late(m) || n > 0;
}

bool machine_flush_early(struct machine *m)
{
	struct path *p = m->last_path;

	if (!p || !p->open.buf || p->open.len < EARLY_BYTES)
		return false;
	path_flush_midway(m, p);
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
		uint8_t *body = at + WIRE_PACKET;
		frame_Packet h;

		memcpy(&h, at, sizeof(h)); /* not by value: the compiler would make two copies */
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
	h = wire_datagram_load(data);
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

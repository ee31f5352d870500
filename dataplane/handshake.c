/* handshake.c - how two cores come to share a path.
 *
 *   initiator                           acceptor
 *     hello, connection 0   ------->    remembers nothing: answers with a keyed hash of what it saw
 *                           <-------    cookie
 *     hello with the cookie ------->    the sender receives at its address: makes the path
 *                           <-------    accept: its connection id, incarnation, limits
 *
 * All four are of one size, so an answer is never larger than its question, and all carry CRC32C. A
 * hello that comes again is answered with the same accept. A datagram with an unknown connection id
 * is answered with a refuse that names it; its sender takes that as a hint only, and asks with a
 * hello.
 */
#include "machine.h"

#include "crc32c.h"
#include "hand.h"
#include "siphash.h"

enum {
	COOKIE_SECONDS = 10,
	HANDSHAKE_BYTES_MAX = 128,
	PAUSE_UNSAID_US = 1000000,
	PAUSE_MAX_US = 60000000,
};

/* One packet outside of a path's flow of datagrams. `connection` is the receiver's. */
static void send_alone(struct machine *m, const struct net_addr *to, uint32_t connection,
	uint8_t kind, const void *body, uint32_t len)
{
	uint8_t bytes[HANDSHAKE_BYTES_MAX] = {0};
	uint8_t header_len = wire_header_length(NET_HEAD_IPV4);
	frame_Datagram d = {.version = WIRE_VERSION,
		.flags = frame_Integrity_crc32c,
		.header_length = header_len,
		.connection = connection,
		.stamp = wire_stamp(m->now_ns) | 1};
	frame_Packet h = {.kind = kind, .length = (uint16_t)(WIRE_PACKET + len)};
	uint32_t total = header_len + ALIGN8(WIRE_PACKET + len), crc;

	CHECK(total + WIRE_CRC <= sizeof(bytes));
	frame_Datagram_store(bytes, &d);
	wire_packet_store(bytes + header_len, h);
	memcpy(bytes + header_len + WIRE_PACKET, body, len);
	crc = crc32c(0, bytes, total);
	memcpy(bytes + total, &crc, WIRE_CRC);
	m->ops->send_raw(m->io, to, bytes, total + WIRE_CRC);
}

static frame_Hello own_hello(const struct machine *m, uint16_t netif)
{
	return (frame_Hello){
		.node = m->cfg.node_id,
		.incarnation = m->cfg.incarnation,
		.cores = m->cfg.n_cores,
		.core = m->cfg.core,
		.mtu = m->ops->mtu(m->io, netif),
		.loop_gap_us = saturate_u32(m->gap10_ns / NS_PER_US),
		.sessions = (uint16_t)m->cfg.budgets.sessions,
		.slots = (uint16_t)m->cfg.budgets.slots_per_session,
		.version_low = WIRE_VERSION,
		.version_high = WIRE_VERSION,
		.integrity_offered =
			(uint8_t)(1u << frame_Integrity_crc32c |
				  (m->ops->shared_memory(m->io, netif) ? 1u << frame_Integrity_none
								       : 0)),
		.pause_us = saturate_u32(max_u64(1, m->cfg.pause_ns / NS_PER_US)),
	};
}

void handshake_hello(struct machine *m, struct path *p)
{
	frame_Hello h = own_hello(m, p->peer.netif);

	p->hello_ns = m->now_ns + p->hello_wait_ns;
	if (m->ops->resolve(m->io, p)) {
		p->hello_ns = m->now_ns + min_u64(p->hello_wait_ns, 20 * NS_PER_MS);
		return;
	}
	p->header_len = wire_header_length(p->head.len);
	p->head_ok = true;
	p->hello_wait_ns =
		min_u64(2 * p->hello_wait_ns, p->state == PATH_DOWN ? NS_PER_S : 100 * NS_PER_MS);
	h.connection = p->id;
	h.wanted_core = p->wanted_core;
	h.cookie = p->cookie;
	h.cookie_time = p->cookie_time;
	send_alone(m, &p->peer, 0, frame_Kind_hello, &h, sizeof(h));
}

/* ---- acceptor ---- */

static uint64_t cookie_make(
	const struct machine *m, const struct net_addr *from, const frame_Hello *h, uint32_t time)
{
	uint64_t words[4] = {(uint64_t)from->ip << 32 | (uint64_t)from->udp << 16 | from->netif,
		(uint64_t)h->connection << 32 | time, h->node, h->incarnation};
	uint64_t cookie = siphash_words(m->cookie_key, words, 4);

	return cookie ? cookie : 1;
}

/* Limits both sides keep to. The larger header decides, so that a fragment fits either way. */
static void path_agree(struct machine *m, struct path *p, const frame_Hello *h)
{
	uint32_t mtu = min_u32(h->mtu, m->ops->mtu(m->io, p->peer.netif));
	uint32_t overhead = 28 + p->header_len + WIRE_CRC + WIRE_PACKET + WIRE_TIMING;

	p->fragment = (mtu - overhead) & ~7u;
	p->peer_gap_us = h->loop_gap_us;
	p->peer_pause_us = h->pause_us ? min_u32(h->pause_us, PAUSE_MAX_US) : PAUSE_UNSAID_US;
	p->peer_sessions = h->sessions;
	p->peer_slots = h->slots;
	p->peer_cores = h->cores;
	p->peer_core = h->core;
	p->node = h->node;
	p->incarnation = h->incarnation;
	p->peer_id = h->connection;
}

/* The envelope is whole in the first packet: nothing smaller than this is a usable MTU. */
static bool hello_sane(const frame_Hello *h)
{
	return h->mtu >= 1280 && h->connection && h->incarnation && h->sessions &&
	       h->version_low <= WIRE_VERSION && h->version_high >= WIRE_VERSION &&
	       (h->integrity_offered & 1u << frame_Integrity_crc32c);
}

static void send_accept(struct machine *m, const struct path *p)
{
	frame_Hello h = own_hello(m, p->peer.netif);

	h.connection = p->id;
	h.integrity = p->integrity;
	h.wanted_core = m->landed;
	send_alone(m, &p->peer, p->peer_id, frame_Kind_accept, &h, sizeof(h));
}

static bool same_place(const struct net_addr *a, const struct net_addr *b)
{
	return a->ip == b->ip && a->udp == b->udp && a->netif == b->netif;
}

/* Paths that this hello shows to be dead: the same core of the same node asks anew, or has
 * restarted. */
static void retire_older(struct machine *m, const struct net_addr *from, const frame_Hello *h)
{
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++) {
		struct path *p = &m->paths[i];

		if (p->state != PATH_UP || p->node != h->node)
			continue;
		if (p->incarnation != h->incarnation)
			path_down(m, p, "peer has restarted");
		else if (!p->initiator && p->peer_core == h->core && same_place(&p->peer, from))
			path_down(m, p, "peer has connected anew");
	}
}

static struct path *accepted_before(
	struct machine *m, const struct net_addr *from, const frame_Hello *h)
{
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++) {
		struct path *p = &m->paths[i];

		if (p->state == PATH_UP && !p->initiator && p->peer_id == h->connection &&
			p->incarnation == h->incarnation && same_place(&p->peer, from))
			return p;
	}
	return NULL;
}

static void send_cookie(
	struct machine *m, const struct net_addr *from, const frame_Hello *h, uint32_t time)
{
	frame_Hello answer = own_hello(m, from->netif);

	answer.connection = h->connection;
	answer.wanted_core = m->landed;
	answer.cookie_time = time;
	answer.cookie = cookie_make(m, from, h, time);
	send_alone(m, from, h->connection, frame_Kind_cookie, &answer, sizeof(answer));
	count(m->counts, count_cookies);
}

static void on_hello(struct machine *m, const struct net_addr *from, const frame_Hello *h)
{
	uint32_t seconds = (uint32_t)(m->now_ns / NS_PER_S);
	struct path *p;
	bool shared;

	if (!h->cookie) {
		send_cookie(m, from, h, seconds);
		return;
	}
	if (seconds - h->cookie_time > COOKIE_SECONDS ||
		cookie_make(m, from, h, h->cookie_time) != h->cookie) {
		count(m->counts, count_drop_cookie);
		send_cookie(m, from, h, seconds);
		return;
	}
	p = accepted_before(m, from, h);
	if (!p) {
		retire_older(m, from, h);
		p = path_create(m, from, false);
		if (!p) {
			count(m->counts, count_drop_paths_full);
			return;
		}
		if (m->ops->resolve(m->io, p)) {
			/* Not known yet: the next hello finds it. */
			path_down(m, p, "no link address");
			return;
		}
		p->head_ok = true;
		p->header_len = wire_header_length(p->head.len);
		path_agree(m, p, h);
		shared = m->ops->shared_memory(m->io, from->netif) &&
			 (h->integrity_offered & 1u << frame_Integrity_none);
		p->integrity = shared ? frame_Integrity_none : frame_Integrity_crc32c;
		p->state = PATH_UP;
		p->last_rx_ns = m->now_ns;
		congest_begin(m, p, UINT64_MAX, shared);
		count(m->counts, count_handshakes);
	}
	send_accept(m, p);
	if (m->leaving) /* what it calls for calls in flight here may come */
		path_go_away(m, p);
}

/* ---- initiator ---- */

/* Where the device spreads by addresses, our UDP port decides which core gets a datagram, there and
 * here. The cookie shows both; another port is tried while it is not the right one. (What still
 * comes to the wrong core is handed over.) */
static bool try_another(struct machine *m, struct path *p, const frame_Hello *h)
{
	uint16_t most = m->ops->attempts ? m->ops->attempts(m->io, p->peer.netif) : 0;

	if (p->settled || (m->landed == m->cfg.core && h->wanted_core == h->core) ||
		p->attempt + 1 >= most) {
		p->settled = true;
		return false;
	}
	p->peer.own_udp = hand_udp(m->cfg.core, ++p->attempt);
	p->cookie = 0;
	count(m->counts, count_ports_tried);
	handshake_hello(m, p);
	return true;
}

static void on_cookie(struct machine *m, struct path *p, const frame_Hello *h)
{
	if (p->state != PATH_UP && try_another(m, p, h))
		return;
	if (p->cookie == h->cookie && p->cookie_time == h->cookie_time)
		return; /* a duplicate: the hello that carries it is on its way */
	p->asked_ns = m->now_ns;
	p->cookie = h->cookie;
	p->cookie_time = h->cookie_time;
	handshake_hello(m, p);
}

static void on_accept(struct machine *m, struct path *p, const frame_Hello *h)
{
	if (p->state == PATH_UP) {
		if (p->peer_id == h->connection && p->incarnation == h->incarnation)
			return;
		/* The peer no longer has what this path stood on. */
		path_down(m, p,
			p->incarnation != h->incarnation ? "peer has restarted"
							 : "peer has lost the path");
		return;
	}
	if (h->integrity > frame_Integrity_crc32c ||
		(h->integrity == frame_Integrity_none &&
			!m->ops->shared_memory(m->io, p->peer.netif))) {
		count(m->counts, count_drop_handshake);
		return;
	}
	path_agree(m, p, h);
	p->integrity = h->integrity;
	p->state = PATH_UP;
	p->cookie = 0;
	p->last_rx_ns = m->now_ns;
	congest_begin(m, p, m->now_ns - p->asked_ns, p->integrity == frame_Integrity_none);
	count(m->counts, count_handshakes);
	caller_path_up(m, p);
}

/* A refuse to an unknown connection id names it; one to a hello says that the peer is draining. */
static void on_refuse(
	struct machine *m, struct path *p, const struct net_addr *from, const frame_Farewell *f)
{
	if (p) {
		if (p->state == PATH_CONNECTING) {
			p->state = PATH_DOWN;
			caller_fail_queued(m, p, "peer refuses: it is draining");
		}
		return;
	}
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++) {
		p = &m->paths[i];
		if (p->state != PATH_UP || !p->initiator || p->peer_id != f->reserved2 ||
			!same_place(&p->peer, from))
			continue;
		if (m->now_ns >= p->hello_ns) { /* at most one question in a while, whoever sends
						   the hints */
			p->hello_wait_ns = 5 * NS_PER_MS;
			handshake_hello(m, p);
		}
		return;
	}
	count(m->counts, count_drop_connection);
}

void handshake_unknown(
	struct machine *m, const struct net_addr *from, uint32_t connection, uint32_t question_len)
{
	frame_Farewell f = {.code = TELA_UNAVAILABLE, .reserved2 = connection};

	count(m->counts, count_drop_connection);
	if (question_len >= wire_header_length(NET_HEAD_IPV4) + WIRE_PACKET + sizeof(f) + WIRE_CRC)
		send_alone(m, from, 0, frame_Kind_refuse, &f, sizeof(f));
}

void handshake_packet(struct machine *m, struct path *p, const struct net_addr *from,
	const frame_Packet *h, const uint8_t *body, uint32_t len)
{
	frame_Hello hello;

	if (h->kind == frame_Kind_refuse && len == sizeof(frame_Farewell)) {
		frame_Farewell f = frame_Farewell_load(body);

		on_refuse(m, p, from, &f);
		return;
	}
	if (len != WIRE_HELLO) {
		count(m->counts, count_drop_handshake);
		return;
	}
	hello = frame_Hello_load(body);
	if (!hello_sane(&hello))
		count(m->counts, count_drop_handshake);
	else if (h->kind == frame_Kind_hello && !p)
		on_hello(m, from, &hello);
	else if (h->kind == frame_Kind_cookie && p && p->initiator && hello.connection == p->id &&
		 from->own_udp == p->peer.own_udp)
		on_cookie(m, p, &hello);
	else if (h->kind == frame_Kind_accept && p && p->initiator)
		on_accept(m, p, &hello);
	else
		count(m->counts, count_drop_handshake);
}

/* net.c - bursts in and bursts out of one queue; UDP datagrams up and down.
 *
 * A frame is checked once, from the outside in, and each check has a drop reason. Lengths are taken
 * from the headers only after they were held against what was received.
 */
#include "dpdk.h"
#include "fault.h"
#include "hand.h"
#include "neigh.h"
#include "net_wire.h"

enum { PREFETCH = 2 };

static struct port_guard *guard_of(const struct netif *nif)
{
	return &nif->port->guard[nif->queue];
}

int netif_init(struct netif *nif, struct port *port, uint16_t queue, uint16_t index,
	uint16_t udp_port, struct rte_mempool *pool, struct counts *counts)
{
	memset(nif, 0, sizeof(*nif));
	nif->port = port;
	nif->pool = pool;
	nif->counts = counts;
	nif->queue = queue;
	nif->index = index;
	nif->udp_port = udp_port;
	if (port->loss <= 0 && port->duplicate <= 0 && port->reorder <= 0)
		return 0;
	atomic_store(&nif->fault,
		fault_create(port->loss, port->duplicate, port->reorder, port->fault_seed + queue));
	return atomic_load(&nif->fault) ? 0 : -ENOMEM;
}

static void free_queued(struct netif *nif)
{
	rte_pktmbuf_free_bulk(nif->out, nif->n_out);
	for (uint16_t i = 0; i < nif->n_backlog; i++)
		rte_pktmbuf_free(nif->backlog[(nif->backlog_head + i) % NET_BACKLOG]);
	rte_pktmbuf_free_bulk(nif->first, nif->n_first);
	nif->n_out = nif->n_backlog = nif->n_first = 0;
}

/* Frames that were worked on: not at once, so that answers do not wait for it. */
static void free_done(struct netif *nif)
{
	rte_pktmbuf_free_bulk(nif->in, nif->n_done);
	nif->n_done = 0;
}

void netif_fini(struct netif *nif)
{
	free_queued(nif);
	free_done(nif);
	fault_destroy(atomic_exchange(&nif->fault, NULL));
}

/* ---- out ---- */

/* Hands over `n` frames; returns how many the device took. */
static uint16_t transmit(struct netif *nif, struct rte_mbuf **m, uint16_t n)
{
	uint64_t bytes = 0;
	uint16_t sent;

	for (uint16_t i = 0; i < n; i++)
		bytes += m[i]->pkt_len;
	sent = rte_eth_tx_burst(nif->port->id, nif->queue, m, n);
	for (uint16_t i = sent; i < n; i++)
		bytes -= m[i]->pkt_len;
	count_add(nif->counts, count_tx_frames, sent);
	count_add(nif->counts, count_tx_bytes, bytes);
	return sent;
}

enum { NET_URGENT = 0x7e1a };

void net_mark(struct rte_mbuf *m, bool urgent)
{
	m->hash.usr = urgent ? NET_URGENT : 0;
}

/* False: the ring is full again. */
static bool transmit_first(struct netif *nif)
{
	uint16_t sent = transmit(nif, nif->first, nif->n_first);

	nif->n_first = (uint16_t)(nif->n_first - sent);
	memmove(nif->first, nif->first + sent, nif->n_first * sizeof(*nif->first));
	return !nif->n_first;
}

/* What was queued first goes first. Twice at most: a ring ends somewhere. */
static void transmit_backlog(struct netif *nif)
{
	for (int part = 0; part < 2 && nif->n_backlog; part++) {
		uint16_t n = (uint16_t)min_u32(nif->n_backlog, NET_BACKLOG - nif->backlog_head),
			 sent;

		sent = transmit(nif, nif->backlog + nif->backlog_head, n);
		nif->backlog_head = (uint16_t)((nif->backlog_head + sent) % NET_BACKLOG);
		nif->n_backlog = (uint16_t)(nif->n_backlog - sent);
		if (sent < n)
			return;
	}
}

/* Bytes that stand elsewhere come into the frame: there is room for the largest. */
static void take_in(struct rte_mbuf *m)
{
	struct rte_mbuf *more = m->next;

	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len),
		rte_pktmbuf_mtod(more, const void *), more->data_len);
	m->data_len = (uint16_t)m->pkt_len;
	m->next = NULL;
	m->nb_segs = 1;
	rte_pktmbuf_free_seg(more);
}

/* What is urgent has places of its own, and goes before the rest. */
static void keep_for_later(struct netif *nif, struct rte_mbuf **m, uint16_t n)
{
	count_add(nif->counts, count_tx_refused, n);
	for (uint16_t i = 0; i < n; i++) {
		if (m[i]->nb_segs > 1)
			take_in(m[i]);
		if (m[i]->hash.usr == NET_URGENT && nif->n_first < NET_FIRST) {
			nif->first[nif->n_first++] = m[i];
		} else if (nif->n_backlog < NET_BACKLOG) {
			nif->backlog[(nif->backlog_head + nif->n_backlog++) % NET_BACKLOG] = m[i];
		} else {
			count(nif->counts, count_drop_tx_full);
			rte_pktmbuf_free(m[i]);
		}
	}
}

/* What a dead link refused: nothing stale goes out when it comes back. */
static __attribute__((cold, noinline)) unsigned drop_all(struct netif *nif)
{
	count_add(nif->counts, count_drop_link_down, nif->n_out + nif->n_backlog + nif->n_first);
	free_queued(nif);
	return 0;
}

/* Whether the device has the queue that this netif is for. */
static bool has_queue(const struct netif *nif)
{
	return !nif->lend ||
	       nif->queue < atomic_load_explicit(&nif->port->live, memory_order_relaxed);
}

static __attribute__((noinline)) unsigned lend_all(struct netif *nif)
{
	uint32_t n = nif->lend(nif, nif->out, nif->n_out);

	rte_pktmbuf_free_bulk(nif->out + n, nif->n_out - n);
	nif->n_out = 0;
	return 0;
}

/* The device is tried even if the link is down as far as we know: the control side may not have
 * seen it rise yet. */
static unsigned flush(struct netif *nif)
{
	uint16_t sent = 0;

	if (unlikely(!has_queue(nif)))
		return lend_all(nif);
	if (unlikely(!port_enter(guard_of(nif))))
		return drop_all(nif);
	if (unlikely(nif->n_first + nif->n_backlog) && (!nif->n_first || transmit_first(nif)))
		transmit_backlog(nif);
	if (likely(!(nif->n_first + nif->n_backlog)))
		sent = transmit(nif, nif->out, nif->n_out);
	port_leave(guard_of(nif));
	if (unlikely(sent < nif->n_out))
		keep_for_later(nif, nif->out + sent, (uint16_t)(nif->n_out - sent));
	nif->n_out = 0;
	if (unlikely(nif->n_first + nif->n_backlog) &&
		!atomic_load_explicit(&nif->port->up, memory_order_relaxed))
		return drop_all(nif);
	return nif->n_first + nif->n_backlog;
}

static inline void enqueue(struct netif *nif, struct rte_mbuf *m)
{
	nif->out[nif->n_out++] = m;
	if (nif->n_out == NET_BURST)
		flush(nif);
}

void netif_forward(struct netif *nif, struct rte_mbuf *m)
{
	enqueue(nif, m);
}

static __attribute__((cold, noinline)) void out_with_faults(
	struct netif *nif, struct fault *f, struct rte_mbuf *m)
{
	struct rte_mbuf *out[FAULT_OUT_MAX];
	unsigned n = fault_send(f, m, nif->counts, out);

	for (unsigned i = 0; i < n; i++)
		enqueue(nif, out[i]);
}

void net_out(struct netif *nif, struct rte_mbuf *m)
{
	struct fault *f = atomic_load_explicit(&nif->fault, memory_order_acquire);

	if (unlikely(f != NULL))
		out_with_faults(nif, f, m);
	else
		enqueue(nif, m);
}

unsigned netif_flush(struct netif *nif)
{
	struct fault *f = atomic_load_explicit(&nif->fault, memory_order_acquire);

	if (unlikely(f != NULL)) {
		struct rte_mbuf *m = fault_flush(f);

		if (m)
			enqueue(nif, m);
	}
	return nif->n_out || nif->n_backlog || nif->n_first ? flush(nif) : 0;
}

/* ---- datagrams down ---- */

void net_put_ether(uint8_t *frame, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	memcpy(frame + ETHER_DST, dst, 6);
	memcpy(frame + ETHER_SRC, src, 6);
	put16(frame + ETHER_TYPE, type);
}

void net_put_ip(uint8_t *ip, uint8_t protocol, uint32_t src, uint32_t dst)
{
	memset(ip, 0, IPV4_LEN);
	ip[0] = 0x45;
	put16(ip + IPV4_FRAGMENT, IPV4_DONT_FRAGMENT);
	ip[IPV4_TTL] = IPV4_HOPS;
	ip[IPV4_PROTOCOL] = protocol;
	memcpy(ip + IPV4_SRC, &src, 4);
	memcpy(ip + IPV4_DST, &dst, 4);
}

/* Without the length. */
static uint64_t pseudo_sum(const uint8_t *ip)
{
	return checksum_add(htons(IPV4_UDP), ip + IPV4_SRC, 8);
}

static void make_head(const struct netif *nif, const struct net_addr *to, const uint8_t mac[6],
	struct net_head *h)
{
	uint8_t *ip = h->bytes + ETHER_LEN, *udp = ip + IPV4_LEN;

	memset(h, 0, sizeof(*h));
	h->len = NET_HEAD_IPV4;
	h->ip_offset = ETHER_LEN;
	h->udp_offset = ETHER_LEN + IPV4_LEN;
	net_put_ether(h->bytes, mac, nif->port->mac, ETHERTYPE_IPV4);
	net_put_ip(ip, IPV4_UDP, nif->port->ip, to->ip);
	put16(udp + UDP_SRC, to->own_udp ? to->own_udp : nif->udp_port);
	put16(udp + UDP_DST, to->udp);
	h->ip_sum = (uint16_t)~checksum_fold(checksum_add(0, ip, IPV4_LEN));
	h->pseudo_sum = (uint16_t)~checksum_fold(pseudo_sum(ip));
}

int netif_head(
	struct netif *nif, const struct net_addr *to, uint64_t now_ns, struct net_head *ret_head)
{
	const struct port *p = nif->port;
	bool on_link = !((to->ip ^ p->ip) & p->netmask);
	uint32_t next = on_link ? to->ip : p->gateway;
	enum neigh_verdict verdict;
	uint8_t mac[6];

	if (!next || (on_link && !neigh_plausible(p, next)) || IN_MULTICAST(ntohl(to->ip)) ||
		to->ip == INADDR_BROADCAST)
		return -EHOSTUNREACH;
	verdict = neigh_find(p, next, now_ns, mac);
	if (verdict != NEIGH_KNOWN) {
		int ret = neigh_ask(nif->port, next, now_ns);

		if (!ret)
			net_arp_ask(nif, next, verdict == NEIGH_STALE ? mac : NULL);
		if (ret == -ENOSPC)
			count(nif->counts, count_drop_neigh_full);
	}
	if (verdict == NEIGH_UNKNOWN)
		return -EAGAIN;
	make_head(nif, to, mac, ret_head);
	return 0;
}

struct rte_mbuf *netif_alloc(
	struct netif *nif, uint8_t head_len, uint8_t **ret_data, uint32_t *ret_room)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(nif->pool);

	if (unlikely(!m)) {
		count(nif->counts, count_drop_no_mbuf);
		return NULL;
	}
	*ret_data = rte_pktmbuf_mtod_offset(m, uint8_t *, head_len);
	*ret_room = nif->port->mtu - (uint32_t)(IPV4_LEN + UDP_LEN);
	return m;
}

void netif_free(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
}

static uint16_t udp_checksum(uint64_t pseudo, const uint8_t *udp, uint32_t len)
{
	uint16_t sum = checksum_fold(checksum_add(pseudo + htons((uint16_t)len), udp, len));

	return sum ? sum : 0xffff; /* 0 would say that there is none */
}

/* The device wants the pseudo header's sum, not inverted, and where the headers end. */
static void offload(struct rte_mbuf *m, const struct net_head *h, uint8_t *udp, uint32_t len)
{
	uint16_t sum = (uint16_t)~checksum_fold((uint64_t)h->pseudo_sum + htons((uint16_t)len));

	memcpy(udp + UDP_CHECKSUM, &sum, 2);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM;
	m->l2_len = ETHER_LEN;
	m->l3_len = IPV4_LEN;
}

/* Headers and lengths of a datagram of `len` bytes. */
static inline __attribute__((always_inline)) void write_heads(
	struct netif *nif, struct rte_mbuf *m, const struct net_head *head, uint32_t len)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *), *ip = frame + ETHER_LEN,
		*udp = ip + IPV4_LEN;
	uint32_t udp_len = UDP_LEN + len, ip_len = IPV4_LEN + udp_len;
	uint16_t id = nif->ip_id++, sum;

	DCHECK(head->len == NET_HEAD_IPV4 && ip_len <= nif->port->mtu);
	memcpy(frame, head->bytes, NET_HEAD_IPV4);
	put16(ip + IPV4_LENGTH, (uint16_t)ip_len);
	put16(ip + IPV4_ID, id);
	put16(udp + UDP_LENGTH, (uint16_t)udp_len);
	m->data_len = (uint16_t)(ETHER_LEN + ip_len);
	m->pkt_len = m->data_len;
	if (nif->port->tx_checksum) {
		offload(m, head, udp, udp_len);
	} else {
		sum = checksum_fold((uint64_t)head->ip_sum + htons((uint16_t)ip_len) + htons(id));
		memcpy(ip + IPV4_CHECKSUM, &sum, 2);
		if (!nif->port->shared_memory) {
			sum = udp_checksum(head->pseudo_sum, udp, udp_len);
			memcpy(udp + UDP_CHECKSUM, &sum, 2);
		}
	}
}

void netif_send(struct netif *nif, struct rte_mbuf *m, const struct net_head *head, uint32_t len)
{
	write_heads(nif, m, head, len);
	net_out(nif, m);
}

bool netif_borrows(const struct netif *nif)
{
	return nif->borrow && has_queue(nif) &&
	       !atomic_load_explicit(&nif->fault, memory_order_relaxed);
}

static void nothing(void *bytes, void *arg)
{
	(void)bytes;
	(void)arg;
}

void netif_send_from(struct netif *nif, struct rte_mbuf *m, const struct net_head *head,
	uint32_t len, const void *more, uint32_t more_len)
{
	struct rte_mbuf *x = rte_pktmbuf_alloc(nif->borrow);
	struct rte_mbuf_ext_shared_info *shared;

	write_heads(nif, m, head, len + more_len);
	m->data_len = (uint16_t)(m->data_len - more_len);
	if (unlikely(!x)) {
		memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), more, more_len);
		m->data_len = (uint16_t)m->pkt_len;
		net_out(nif, m);
		return;
	}
	shared = rte_mbuf_to_priv(x);
	shared->free_cb = nothing;
	rte_mbuf_ext_refcnt_set(shared, 1);
	rte_pktmbuf_attach_extbuf(
		x, (void *)(uintptr_t)more, RTE_BAD_IOVA, (uint16_t)more_len, shared);
	x->data_len = (uint16_t)more_len;
	m->next = x;
	m->nb_segs = 2;
	enqueue(nif, m);
}

/* ---- in ---- */

/* The device's word where it has one. */
static bool ip_checksum_bad(const struct rte_mbuf *m, const uint8_t *ip, uint32_t ip_len)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

	if (flags == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		return false;
	return flags == RTE_MBUF_F_RX_IP_CKSUM_BAD || checksum_fold(checksum_add(0, ip, ip_len));
}

static bool udp_checksum_bad(
	const struct rte_mbuf *m, const uint8_t *ip, const uint8_t *udp, uint32_t len)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (!(udp[UDP_CHECKSUM] | udp[UDP_CHECKSUM + 1]) || flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return false;
	if (flags == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return true;
	return checksum_fold(checksum_add(pseudo_sum(ip) + htons((uint16_t)len), udp, len));
}

static int udp_input(struct netif *nif, struct rte_mbuf *m, const uint8_t *ip, uint8_t *udp,
	uint32_t len, net_deliver_fn deliver, void *arg)
{
	struct net_addr from;
	uint16_t dst;

	if (unlikely(len < UDP_LEN))
		return count_drop_udp_length;
	dst = get16(udp + UDP_DST);
	if (unlikely(dst != nif->udp_port && !hand_is_udp(dst, nif->n_cores)))
		return count_drop_udp_port;
	if (unlikely(get16(udp + UDP_LENGTH) != len))
		return count_drop_udp_length;
	/* Before the checksum: the core that it is for has the work with it. */
	if (nif->steer && nif->steer(nif, m, dst, udp + UDP_LEN, len - UDP_LEN))
		return NET_KEPT;
	if (unlikely(udp_checksum_bad(m, ip, udp, len)))
		return count_drop_udp_checksum;
	from.ip = raw32(ip + IPV4_SRC);
	from.udp = get16(udp + UDP_SRC);
	from.netif = nif->index;
	from.own_udp = dst == nif->udp_port ? 0 : dst;
	deliver(arg, &from, udp + UDP_LEN, len - UDP_LEN);
	return NET_DONE;
}

/* RFC 1122 3.2.1.3: addresses that no datagram comes from. */
static bool source_bad(const struct netif *nif, uint32_t ip)
{
	uint32_t host = ntohl(ip);

	return host >> 24 == 0 || host >> 24 == 127 || host >= 0xe0000000 || ip == nif->port->ip;
}

static int ip_input(struct netif *nif, struct rte_mbuf *m, uint8_t *frame, uint32_t len,
	net_deliver_fn deliver, void *arg)
{
	uint8_t *ip = frame + ETHER_LEN;
	uint32_t room = len - ETHER_LEN, ip_len, total;

	if (unlikely(room < IPV4_LEN))
		return count_drop_short;
	ip_len = (ip[0] & 15) * 4u;
	total = get16(ip + IPV4_LENGTH);
	if (unlikely(ip[0] >> 4 != 4 || ip_len < IPV4_LEN || total < ip_len))
		return count_drop_ip_header;
	if (unlikely(total > room))
		return count_drop_short;
	if (unlikely(ip_checksum_bad(m, ip, ip_len)))
		return count_drop_ip_checksum;
	if (unlikely(raw32(ip + IPV4_DST) != nif->port->ip ||
		     memcmp(frame + ETHER_DST, nif->port->mac, 6)))
		return count_drop_not_ours; /* broadcast and multicast too */
	if (unlikely(source_bad(nif, raw32(ip + IPV4_SRC))))
		return count_drop_ip_header;
	if (unlikely(get16(ip + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK))
		return count_drop_ip_fragment;
	if (likely(ip[IPV4_PROTOCOL] == IPV4_UDP))
		return udp_input(nif, m, ip, ip + ip_len, total - ip_len, deliver, arg);
	if (ip[IPV4_PROTOCOL] == IPV4_ICMP)
		return net_icmp_input(nif, m, frame, ip_len, total - ip_len);
	return count_drop_protocol;
}

static int input(
	struct netif *nif, struct rte_mbuf *m, uint64_t now_ns, net_deliver_fn deliver, void *arg)
{
	uint8_t *frame;
	uint16_t type;

	/* A memif peer may chain buffers that are smaller than ours. */
	if (unlikely(m->nb_segs > 1) && rte_pktmbuf_linearize(m))
		return count_drop_chained;
	if (unlikely(m->data_len < ETHER_LEN))
		return count_drop_short;
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	type = get16(frame + ETHER_TYPE);
	if (likely(type == ETHERTYPE_IPV4))
		return ip_input(nif, m, frame, m->data_len, deliver, arg);
	if (type == ETHERTYPE_ARP)
		return net_arp_input(nif, m, frame, m->data_len, now_ns);
	return count_drop_ethertype;
}

/* Whether the mbuf is the caller's to free. */
static inline bool settle(struct netif *nif, int verdict)
{
	if (unlikely(verdict >= 0))
		count(nif->counts, (enum count_id)verdict);
	return verdict != NET_KEPT;
}

void net_input(
	struct netif *nif, struct rte_mbuf *m, uint64_t now_ns, net_deliver_fn deliver, void *arg)
{
	nif->in_hand = m;
	if (settle(nif, input(nif, m, now_ns, deliver, arg)))
		rte_pktmbuf_free(m);
}

/* The driver takes another buffer for each one that is kept, and copies into it: if messages hold
 * many, one that is in no cache. So the next burst's are fetched while this one is worked on. */
static void fetch_next(struct netif *nif)
{
	struct rte_mempool_cache *c = rte_mempool_default_cache(nif->pool, rte_lcore_id());
	const uint32_t at = nif->n_held++, head = sizeof(struct rte_mbuf);
	void *some[NET_BURST];
	const uint8_t *m;

	if (unlikely(!c))
		return;
	if (unlikely(c->len < NET_BURST) && !rte_mempool_get_bulk(nif->pool, some, NET_BURST))
		rte_mempool_put_bulk(nif->pool, some, NET_BURST); /* that fills the cache */
	if (unlikely(at >= c->len))
		return;
	m = c->objs[c->len - 1 - at];
	for (uint32_t i = 0; i < head; i += CACHE_LINE)
		__builtin_prefetch(m + i, 1);
	m += head + RTE_PKTMBUF_HEADROOM;
	for (uint32_t i = 0; i < nif->port->mtu; i += CACHE_LINE)
		__builtin_prefetch(m + i, 1);
}

struct rte_mbuf *netif_hold(struct netif *nif)
{
	struct rte_mbuf *m = nif->in_hand;

	if (unlikely(m->pool != nif->pool))
		return NULL;
	rte_mbuf_refcnt_update(m, 1);
	if (nif->port->copies)
		fetch_next(nif);
	return m;
}

/* One queue announces for the port. */
static __attribute__((cold, noinline)) void link_changed(struct netif *nif, bool up)
{
	nif->up = up;
	if (up && nif->queue == 0)
		net_arp_ask(nif, nif->port->ip, NULL);
}

static unsigned receive(struct netif *nif, struct rte_mbuf **m)
{
	unsigned n;

	if (unlikely(!has_queue(nif) || !port_enter(guard_of(nif))))
		return 0;
	n = rte_eth_rx_burst(nif->port->id, nif->queue, m, NET_BURST);
	port_leave(guard_of(nif));
	return n;
}

unsigned netif_burst(struct netif *nif)
{
	bool up = atomic_load_explicit(&nif->port->up, memory_order_acquire);

	if (unlikely(up != nif->up))
		link_changed(nif, up);
	if (nif->n_done)
		free_done(nif);
	nif->n_in = (uint16_t)receive(nif, nif->in);
	nif->n_held = 0;
	return nif->n_in;
}

void netif_input(struct netif *nif, uint64_t now_ns, net_deliver_fn deliver, void *arg)
{
	struct rte_mbuf **m = nif->in;
	unsigned n = nif->n_in, i, n_free = 0;
	uint64_t bytes = 0;

	if (!n)
		return;
	for (i = 0; i < PREFETCH && i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
	for (i = 0; i < n; i++) {
		struct rte_mbuf *this = m[i];

		if (i + PREFETCH < n)
			rte_prefetch0(rte_pktmbuf_mtod(m[i + PREFETCH], void *));
		bytes += this->pkt_len;
		nif->in_hand = this;
		if (likely(settle(nif, input(nif, this, now_ns, deliver, arg))))
			m[n_free++] = this; /* never beyond i */
	}
	nif->n_in = 0;
	nif->n_done = (uint16_t)n_free;
	count_add(nif->counts, count_rx_frames, n);
	count_add(nif->counts, count_rx_bytes, bytes);
}

unsigned netif_rx(struct netif *nif, uint64_t now_ns, net_deliver_fn deliver, void *arg)
{
	unsigned n = netif_burst(nif);

	netif_input(nif, now_ns, deliver, arg);
	return n;
}

/* test_net.c - hand-made frames through net_input(): each is delivered, answered, or dropped under
 * the right name.
 *
 * A port on net_null gives buffers and an address; what is answered is looked at where it waits for
 * the flush.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dpdk.h"
#include "eal.h"
#include "fault.h"
#include "neigh.h"
#include "net_wire.h"
#include "tela_node.h"

enum { UDP = 7447, PAYLOAD = 61 };

static struct port port;
static struct rte_mempool *pool;
static struct counts counts;
static struct netif nif;
static uint64_t now = 1000 * NS_PER_MS * 1000ull;

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 9};
#define US      htonl(0x0a000001)
#define PEER    htonl(0x0a000002)
#define OUTSIDE htonl(0x0b000001)

static struct {
	uint32_t n, len;
	struct net_addr from;
	uint8_t data[2048];
} got;

static void deliver(void *arg, const struct net_addr *from, uint8_t *payload, uint32_t len)
{
	(void)arg;
	got.n++;
	got.len = len;
	got.from = *from;
	memcpy(got.data, payload, len);
}

/* ---- frames ---- */

struct frame {
	uint8_t b[1600];
	uint32_t len;
};

static void fix_ip(uint8_t *ip)
{
	uint32_t ip_len = (ip[0] & 15) * 4u;
	uint16_t sum;

	memset(ip + IPV4_CHECKSUM, 0, 2);
	sum = checksum_fold(checksum_add(0, ip, ip_len));
	memcpy(ip + IPV4_CHECKSUM, &sum, 2);
}

static void fix_udp(uint8_t *ip)
{
	uint8_t *udp = ip + (ip[0] & 15) * 4u;
	uint32_t len = get16(udp + UDP_LENGTH);
	uint16_t sum;

	memset(udp + UDP_CHECKSUM, 0, 2);
	sum = checksum_fold(checksum_add(
		checksum_add(htons(IPV4_UDP) + htons((uint16_t)len), ip + IPV4_SRC, 8), udp, len));
	memcpy(udp + UDP_CHECKSUM, &sum, 2);
}

static struct frame udp_frame(void)
{
	struct frame f = {.len = ETHER_LEN + IPV4_LEN + UDP_LEN + PAYLOAD};
	uint8_t *ip = f.b + ETHER_LEN, *udp = ip + IPV4_LEN;

	net_put_ether(f.b, port.mac, peer_mac, ETHERTYPE_IPV4);
	net_put_ip(ip, IPV4_UDP, PEER, US);
	put16(ip + IPV4_LENGTH, IPV4_LEN + UDP_LEN + PAYLOAD);
	put16(udp + UDP_SRC, 5555);
	put16(udp + UDP_DST, UDP);
	put16(udp + UDP_LENGTH, UDP_LEN + PAYLOAD);
	for (int i = 0; i < PAYLOAD; i++)
		udp[UDP_LEN + i] = (uint8_t)(i * 7);
	fix_ip(ip);
	fix_udp(ip);
	return f;
}

static struct frame arp_frame(uint16_t op, uint32_t sender, uint32_t target)
{
	static const uint8_t head[8] = {0, 1, 8, 0, 6, 4};
	struct frame f = {.len = 60};
	uint8_t *arp = f.b + ETHER_LEN;

	net_put_ether(f.b, port.mac, peer_mac, ETHERTYPE_ARP);
	memcpy(arp, head, 8);
	put16(arp + 6, op);
	memcpy(arp + 8, peer_mac, 6);
	memcpy(arp + 14, &sender, 4);
	memcpy(arp + 24, &target, 4);
	return f;
}

static struct frame ping_frame(uint32_t data)
{
	struct frame f = {.len = ETHER_LEN + IPV4_LEN + 8 + data};
	uint8_t *ip = f.b + ETHER_LEN, *icmp = ip + IPV4_LEN;
	uint16_t sum;

	net_put_ether(f.b, port.mac, peer_mac, ETHERTYPE_IPV4);
	net_put_ip(ip, IPV4_ICMP, PEER, US);
	put16(ip + IPV4_LENGTH, (uint16_t)(IPV4_LEN + 8 + data));
	fix_ip(ip);
	icmp[0] = 8;
	for (uint32_t i = 4; i < 8 + data; i++)
		icmp[i] = (uint8_t)i;
	sum = checksum_fold(checksum_add(0, icmp, 8 + data));
	memcpy(icmp + 2, &sum, 2);
	return f;
}

/* Sends f in; the events and drops it caused are in what counts say. */
static void in(const struct frame *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memset(&counts, 0, sizeof(counts));
	memset(&got, 0, sizeof(got));
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->len), f->b, f->len);
	net_input(&nif, m, now, deliver, NULL);
}

static uint64_t drops(void)
{
	uint64_t n = 0;

	for (int i = 0; i < COUNT_N; i++)
		n += count_info[i].drop ? count_read(&counts, (enum count_id)i) : 0;
	return n;
}

static void drops_as_(const struct frame *f, enum count_id id, int line)
{
	in(f);
	if (got.n || drops() != 1 || count_read(&counts, id) != 1 || nif.n_out)
		fail_msg("line %d: not dropped as %s", line, count_info[id].name);
}
#define drops_as(f, name) drops_as_(&(f), count_##name, __LINE__)

/* The one frame waiting to be sent; the test frees it. */
static struct rte_mbuf *answer(void)
{
	assert_int_equal(nif.n_out, 1);
	nif.n_out = 0;
	return nif.out[0];
}

static int setup(void **state)
{
	(void)state;
	memset(port.neigh, 0, sizeof(port.neigh));
	memset(&counts, 0, sizeof(counts));
	assert_int_equal(netif_init(&nif, &port, 0, 3, UDP, pool, &counts), 0);
	return 0;
}

/* Every test gives back all it took. */
static int teardown(void **state)
{
	(void)state;
	netif_fini(&nif);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	return 0;
}

/* ---- UDP and IPv4 ---- */

static void test_delivers(void **state)
{
	struct frame f = udp_frame();

	(void)state;
	in(&f);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.len, PAYLOAD);
	assert_int_equal(got.from.ip, PEER);
	assert_int_equal(got.from.udp, 5555);
	assert_int_equal(got.from.netif, 3);
	assert_memory_equal(got.data, f.b + NET_HEAD_IPV4, PAYLOAD);
	assert_int_equal(drops(), 0);

	f.len += 9; /* padding of the link is not ours */
	in(&f);
	assert_int_equal(got.len, PAYLOAD);
}

static void test_truncated(void **state)
{
	struct frame f = udp_frame();
	uint32_t whole = f.len;

	(void)state;
	for (f.len = 0; f.len < whole; f.len++)
		drops_as(f, drop_short);
	f = arp_frame(1, PEER, US);
	for (f.len = 0; f.len < ETHER_LEN + 28; f.len++)
		drops_as(f, drop_short);
}

static void test_ethernet(void **state)
{
	struct frame f = udp_frame();

	(void)state;
	put16(f.b + ETHER_TYPE, 0x86dd);
	drops_as(f, drop_ethertype);
	f = udp_frame();
	f.b[5] ^= 1;
	drops_as(f, drop_not_ours);
	memset(f.b, 0xff, 6); /* RFC 1122: unicast IP in a link broadcast */
	drops_as(f, drop_not_ours);
}

/* Changes byte `at` of the IPv4 header to `value` and makes the checksum right again. */
static struct frame with_ip(uint32_t at, uint8_t value)
{
	struct frame f = udp_frame();

	f.b[ETHER_LEN + at] = value;
	fix_ip(f.b + ETHER_LEN);
	return f;
}

static void test_ip_header(void **state)
{
	struct frame f = with_ip(0, 0x65);

	(void)state;
	drops_as(f, drop_ip_header);
	f = udp_frame();
	f.b[ETHER_LEN] = 0x44;
	drops_as(f, drop_ip_header);
	f = with_ip(IPV4_LENGTH + 1, 19);
	drops_as(f, drop_ip_header);
	f = with_ip(IPV4_FRAGMENT, 0x20); /* more fragments */
	drops_as(f, drop_ip_fragment);
	f = with_ip(IPV4_FRAGMENT + 1, 1); /* a later one */
	drops_as(f, drop_ip_fragment);
	f = with_ip(IPV4_PROTOCOL, 6);
	drops_as(f, drop_protocol);
	f = with_ip(IPV4_DST + 3, 7);
	drops_as(f, drop_not_ours);
	f = with_ip(IPV4_DST + 3, 255);
	drops_as(f, drop_not_ours);
	f = with_ip(IPV4_SRC, 127);
	drops_as(f, drop_ip_header);
	f = with_ip(IPV4_SRC, 224);
	drops_as(f, drop_ip_header);
	f = with_ip(IPV4_SRC + 3, 1); /* from ourselves */
	drops_as(f, drop_ip_header);
	for (uint32_t i = 0; i < IPV4_LEN * 8u; i++) { /* no bit flips unnoticed */
		f = udp_frame();
		f.b[ETHER_LEN + i / 8] ^= (uint8_t)(1 << i % 8);
		in(&f);
		assert_int_equal(got.n, 0);
		assert_int_equal(drops(), 1);
	}
}

static void test_ttl_is_not_looked_at(void **state)
{
	struct frame f = with_ip(IPV4_TTL, 0);

	(void)state;
	in(&f);
	assert_int_equal(got.n, 1);
}

static struct frame with_options(struct frame f)
{
	uint8_t *ip = f.b + ETHER_LEN;

	memmove(ip + 32, ip + IPV4_LEN, f.len - ETHER_LEN - IPV4_LEN);
	memset(ip + IPV4_LEN, 1, 12);
	ip[0] = 0x48;
	put16(ip + IPV4_LENGTH, (uint16_t)(get16(ip + IPV4_LENGTH) + 12));
	f.len += 12;
	fix_ip(ip);
	return f;
}

static void test_options_are_skipped(void **state)
{
	struct frame f = with_options(udp_frame());

	(void)state;
	in(&f);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.len, PAYLOAD);
}

static void test_udp(void **state)
{
	struct frame f = udp_frame();
	uint8_t *udp = f.b + ETHER_LEN + IPV4_LEN;

	(void)state;
	put16(udp + UDP_DST, UDP + 1);
	drops_as(f, drop_udp_port);
	for (int by = -1; by <= 1; by += 2) {
		f = udp_frame();
		put16(udp + UDP_LENGTH, (uint16_t)(UDP_LEN + PAYLOAD + by));
		drops_as(f, drop_udp_length);
	}
	f = udp_frame();
	put16(f.b + ETHER_LEN + IPV4_LENGTH, IPV4_LEN + UDP_LEN - 1);
	fix_ip(f.b + ETHER_LEN);
	drops_as(f, drop_udp_length);
	for (uint32_t i = 0; i < PAYLOAD * 8u; i++) {
		f = udp_frame();
		udp[UDP_LEN + i / 8] ^= (uint8_t)(1 << i % 8);
		drops_as(f, drop_udp_checksum);
	}
	memset(udp + UDP_CHECKSUM, 0, 2); /* none given */
	in(&f);
	assert_int_equal(got.n, 1);
}

static void test_chained(void **state)
{
	struct frame f = udp_frame();
	struct rte_mbuf *a = rte_pktmbuf_alloc(pool), *b = rte_pktmbuf_alloc(pool);

	(void)state;
	memset(&got, 0, sizeof(got));
	memcpy(rte_pktmbuf_append(a, 50), f.b, 50);
	memcpy(rte_pktmbuf_append(b, (uint16_t)(f.len - 50)), f.b + 50, f.len - 50);
	assert_int_equal(rte_pktmbuf_chain(a, b), 0);
	net_input(&nif, a, now, deliver, NULL);
	assert_int_equal(got.n, 1);
	assert_memory_equal(got.data, f.b + NET_HEAD_IPV4, PAYLOAD);
}

/* ---- ARP ---- */

static void test_arp_answer(void **state)
{
	struct frame f = arp_frame(1, PEER, US);
	struct rte_mbuf *m;
	uint8_t *arp, mac[6];

	(void)state;
	in(&f);
	assert_int_equal(count_read(&counts, count_arp_requests), 1);
	assert_int_equal(drops(), 0);
	m = answer();
	assert_int_equal(m->pkt_len, ETHER_LEN + 28);
	arp = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_LEN;
	assert_memory_equal(arp - ETHER_LEN, peer_mac, 6);
	assert_int_equal(get16(arp + 6), 2);
	assert_memory_equal(arp + 8, port.mac, 6);
	assert_int_equal(raw32(arp + 14), US);
	assert_memory_equal(arp + 18, peer_mac, 6);
	assert_int_equal(raw32(arp + 24), PEER);
	rte_pktmbuf_free(m);
	assert_int_equal(neigh_find(&port, PEER, now, mac), NEIGH_KNOWN);
	assert_memory_equal(mac, peer_mac, 6);
}

static void test_arp_probe_teaches_nothing(void **state)
{
	struct frame f = arp_frame(1, 0, US);

	(void)state;
	in(&f);
	rte_pktmbuf_free(answer());
	assert_int_equal(count_read(&counts, count_arp_learnt), 0);
}

static void test_arp_refused(void **state)
{
	struct frame f = arp_frame(1, OUTSIDE, US);

	(void)state;
	drops_as(f, drop_arp);
	f = arp_frame(1, US, US); /* somebody has our address */
	drops_as(f, drop_arp);
	f = arp_frame(1, htonl(0x0a0000ff), US); /* broadcast */
	drops_as(f, drop_arp);
	f = arp_frame(2, PEER, US); /* not asked for */
	drops_as(f, drop_arp);
	f = arp_frame(3, PEER, US);
	drops_as(f, drop_arp);
	f = arp_frame(1, PEER, htonl(0x0a000007));
	drops_as(f, drop_not_ours);
	for (int i = 0; i < 6; i++) { /* hardware, protocol, sizes */
		f = arp_frame(1, PEER, US);
		f.b[ETHER_LEN + i] ^= 2;
		drops_as(f, drop_arp);
	}
	f = arp_frame(1, PEER, US);
	f.b[ETHER_LEN + 8] = 3; /* multicast */
	drops_as(f, drop_arp);
	memset(f.b + ETHER_LEN + 8, 0, 6);
	drops_as(f, drop_arp);
}

static void test_neighbours_are_bounded(void **state)
{
	struct frame f;
	uint64_t full = 0, learnt = 0;

	(void)state;
	port.netmask = htonl(0xff000000);
	for (uint32_t i = 0; i < 4 * NEIGH_MAX; i++) {
		f = arp_frame(1, htonl(0x0a010001 + i), US);
		in(&f);
		rte_pktmbuf_free(answer()); /* answered all the same */
		full += count_read(&counts, count_drop_neigh_full);
		learnt += count_read(&counts, count_arp_learnt);
	}
	assert_int_equal(full + learnt, 4 * NEIGH_MAX);
	assert_true(learnt <= NEIGH_MAX && learnt > NEIGH_MAX / 2);
	now += 301 * NS_PER_MS * 1000; /* all expired: room again */
	f = arp_frame(1, PEER, US);
	in(&f);
	rte_pktmbuf_free(answer());
	assert_int_equal(count_read(&counts, count_arp_learnt), 1);
	port.netmask = htonl(0xffffff00);
}

static void test_head_asks(void **state)
{
	struct net_addr to = {.ip = PEER, .udp = 7000}, far = {.ip = OUTSIDE};
	struct frame f = arp_frame(2, PEER, US);
	struct net_head h;

	(void)state;
	assert_int_equal(netif_head(&nif, &far, now, &h), -EHOSTUNREACH);
	assert_int_equal(netif_head(&nif, &to, now, &h), -EAGAIN);
	rte_pktmbuf_free(answer());
	now += 50 * NS_PER_MS;
	assert_int_equal(netif_head(&nif, &to, now, &h), -EAGAIN);
	assert_int_equal(nif.n_out, 0); /* not so soon again */
	now += 60 * NS_PER_MS;
	assert_int_equal(netif_head(&nif, &to, now, &h), -EAGAIN);
	rte_pktmbuf_free(answer());
	in(&f);
	assert_int_equal(count_read(&counts, count_arp_learnt), 1);
	assert_int_equal(netif_head(&nif, &to, now, &h), 0);
	assert_memory_equal(h.bytes, peer_mac, 6);
	assert_int_equal(nif.n_out, 0);

	now += 250 * NS_PER_MS * 1000; /* in its last minute */
	assert_int_equal(netif_head(&nif, &to, now, &h), 0);
	struct rte_mbuf *m = answer();
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), peer_mac, 6);
	rte_pktmbuf_free(m);
	now += 60 * NS_PER_MS * 1000;
	assert_int_equal(netif_head(&nif, &to, now, &h), -EAGAIN);
	rte_pktmbuf_free(answer());
}

static void test_gateway(void **state)
{
	uint32_t gateway = htonl(0x0a0000fe);
	struct net_addr far = {.ip = OUTSIDE, .udp = 7000};
	struct net_head h;

	(void)state;
	port.gateway = gateway;
	assert_int_equal(netif_head(&nif, &far, now, &h), -EAGAIN);
	struct rte_mbuf *m = answer();
	assert_int_equal(raw32(rte_pktmbuf_mtod(m, uint8_t *) + ETHER_LEN + 24), gateway);
	rte_pktmbuf_free(m);
	assert_int_equal(neigh_learn(&port, gateway, peer_mac, now, false), 0);
	assert_int_equal(netif_head(&nif, &far, now, &h), 0);
	assert_int_equal(raw32(h.bytes + ETHER_LEN + IPV4_DST), OUTSIDE);
	port.gateway = 0;
}

/* ---- ICMP ---- */

static void test_ping(void **state)
{
	static const uint32_t sizes[] = {0, 1, 7, 56, 1472};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		uint32_t data = sizes[i / 2];
		struct frame f = ping_frame(data), plain = f;
		struct rte_mbuf *m;
		uint8_t *ip;

		if (i & 1)
			f = with_options(f);
		in(&f);
		assert_int_equal(count_read(&counts, count_icmp_echo), 1);
		m = answer();
		assert_int_equal(m->pkt_len, plain.len);
		ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_LEN;
		assert_memory_equal(ip - ETHER_LEN, peer_mac, 6);
		assert_memory_equal(ip - ETHER_LEN + 6, port.mac, 6);
		assert_int_equal(checksum_fold(checksum_add(0, ip, IPV4_LEN)), 0);
		assert_int_equal(raw32(ip + IPV4_SRC), US);
		assert_int_equal(raw32(ip + IPV4_DST), PEER);
		assert_int_equal(ip[IPV4_LEN], 0);
		assert_int_equal(checksum_fold(checksum_add(0, ip + IPV4_LEN, 8 + data)), 0);
		assert_memory_equal(
			ip + IPV4_LEN + 4, plain.b + ETHER_LEN + IPV4_LEN + 4, 4 + data);
		rte_pktmbuf_free(m);
	}
}

static void test_ping_refused(void **state)
{
	struct frame f = ping_frame(56);

	(void)state;
	f.b[ETHER_LEN + IPV4_LEN + 20] ^= 1;
	drops_as(f, drop_icmp);
	f = ping_frame(56);
	f.b[ETHER_LEN + IPV4_LEN] = 3; /* unreachable */
	drops_as(f, drop_protocol);
	f = ping_frame(56);
	put16(f.b + ETHER_LEN + IPV4_LENGTH, IPV4_LEN + 7);
	fix_ip(f.b + ETHER_LEN);
	drops_as(f, drop_icmp);
	f = ping_frame(1473); /* answer above the MTU */
	drops_as(f, drop_icmp);
}

/* ---- sending ---- */

static struct rte_mbuf *send_one(uint32_t len)
{
	struct net_addr to = {.ip = PEER, .udp = UDP};
	struct net_head h;
	struct rte_mbuf *m;
	uint32_t room;
	uint8_t *data;

	assert_int_equal(neigh_learn(&port, PEER, peer_mac, now, true), 0);
	assert_int_equal(netif_head(&nif, &to, now, &h), 0);
	m = netif_alloc(&nif, h.len, &data, &room);
	assert_non_null(m);
	assert_int_equal((uintptr_t)(data - h.len) % CACHE_LINE, 0);
	assert_int_equal(room, port.mtu - 28);
	assert_true(len <= room);
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 13);
	netif_send(&nif, m, &h, len);
	return m;
}

/* What one host sends, another takes: source and destination swapped, the sum stays. */
static void test_send_and_take(void **state)
{
	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		port.shared_memory = shared;
		for (uint32_t len = 0; len <= 1472; len += len < 40 ? 1 : 179) {
			struct frame f = {0};
			struct rte_mbuf *m;
			uint8_t *ip = f.b + ETHER_LEN;

			send_one(len);
			m = answer();
			f.len = m->pkt_len;
			memcpy(f.b, rte_pktmbuf_mtod(m, void *), f.len);
			rte_pktmbuf_free(m);
			assert_int_equal(!get16(ip + IPV4_LEN + UDP_CHECKSUM), shared);
			memcpy(f.b, port.mac, 6);
			memcpy(ip + IPV4_SRC, &(uint32_t){PEER}, 4);
			memcpy(ip + IPV4_DST, &(uint32_t){US}, 4);
			in(&f);
			assert_int_equal(got.n, 1);
			assert_int_equal(got.len, len);
		}
	}
	port.shared_memory = false;
}

static void test_backlog(void **state)
{
	(void)state;
	port_poll_link(&port);
	/* The core may not touch the device: everything is dropped, nothing leaks. */
	for (uint16_t q = 0; q < PORT_QUEUES_MAX; q++)
		atomic_store(&port.guard[q].closed, true);
	for (int i = 0; i < 100; i++)
		send_one(10);
	assert_int_equal(netif_flush(&nif), 0);
	assert_int_equal(count_read(&counts, count_drop_link_down), 100);
	for (uint16_t q = 0; q < PORT_QUEUES_MAX; q++)
		atomic_store(&port.guard[q].closed, false);
	send_one(10);
	assert_int_equal(netif_flush(&nif), 0);
	assert_int_equal(count_read(&counts, count_tx_frames), 1);
	assert_int_equal(count_read(&counts, count_tx_bytes), NET_HEAD_IPV4 + 10);
}

/* ---- a full transmit ring ---- */

static uint32_t ring_room, n_went,
	went[1024]; /* frames that it takes; the lengths of what it took */

static uint16_t ring_burst(void *queue, struct rte_mbuf **m, uint16_t n)
{
	uint16_t sent = (uint16_t)(n < ring_room ? n : ring_room);

	(void)queue;
	for (uint16_t i = 0; i < sent; i++)
		went[n_went++] = m[i]->pkt_len;
	rte_pktmbuf_free_bulk(m, sent);
	ring_room -= sent;
	return sent;
}

static void send_marked(uint32_t len, bool urgent)
{
	uint8_t *data;
	uint32_t room;
	struct rte_mbuf *m = netif_alloc(&nif, NET_HEAD_IPV4, &data, &room);
	struct net_head head = {.len = NET_HEAD_IPV4};

	assert_non_null(m);
	net_mark(m, urgent);
	netif_send(&nif, m, &head, len);
}

/* Control frames overtake what waits, in their own order and bounded: beyond their places they wait
 * as others, and what finds none is dropped and counted. */
static void test_urgent_first(void **state)
{
	const eth_tx_burst_t usual = rte_eth_fp_ops[port.id].tx_pkt_burst;
	uint32_t i;

	(void)state;
	port_poll_link(&port);
	rte_eth_fp_ops[port.id].tx_pkt_burst = ring_burst;
	ring_room = n_went = 0;
	for (i = 0; i < 100; i++)
		send_marked(100 + i, i >= 90);
	assert_int_equal(netif_flush(&nif), 100);
	ring_room = 5;
	assert_int_equal(netif_flush(&nif), 95);
	send_marked(300, true);
	send_marked(301, false);
	ring_room = 1000;
	assert_int_equal(netif_flush(&nif), 0);
	assert_int_equal(n_went, 102);
	for (i = 0; i < 10; i++)
		assert_int_equal(went[i], NET_HEAD_IPV4 + 190 + i);
	for (; i < 100; i++)
		assert_int_equal(went[i], NET_HEAD_IPV4 + 90 + i);
	assert_int_equal(went[100], NET_HEAD_IPV4 + 300); /* there was room: nothing is sorted */
	assert_int_equal(went[101], NET_HEAD_IPV4 + 301);

	ring_room = n_went = 0;
	memset(&counts, 0, sizeof(counts));
	for (i = 0; i < NET_BACKLOG + NET_FIRST + 10; i++)
		send_marked(100, i >= NET_BACKLOG - 10);
	assert_int_equal(netif_flush(&nif), NET_BACKLOG + NET_FIRST);
	assert_int_equal(count_read(&counts, count_drop_tx_full), 10);
	ring_room = 1000;
	assert_int_equal(netif_flush(&nif), 0);
	assert_int_equal(n_went, NET_BACKLOG + NET_FIRST);
	rte_eth_fp_ops[port.id].tx_pkt_burst = usual;
}

static void test_pool_empty(void **state)
{
	struct rte_mbuf *all[600];
	uint8_t *data;
	uint32_t room, n = 0;

	(void)state;
	while (n < ARRAY_SIZE(all) && (all[n] = netif_alloc(&nif, NET_HEAD_IPV4, &data, &room)))
		n++;
	assert_true(n < ARRAY_SIZE(all));
	assert_int_equal(count_read(&counts, count_drop_no_mbuf), 1);
	rte_pktmbuf_free_bulk(all, n);
}

/* ---- bursts ---- */

static uint16_t n_arrived;

static uint16_t arrived_burst(void *queue, struct rte_mbuf **m, uint16_t n)
{
	const struct frame f = udp_frame();
	uint16_t took = n_arrived;

	(void)queue;
	(void)n;
	n_arrived = 0;
	for (uint16_t i = 0; i < took; i++) {
		m[i] = rte_pktmbuf_alloc(pool);
		assert_non_null(m[i]);
		memcpy(rte_pktmbuf_append(m[i], (uint16_t)f.len), f.b, f.len);
	}
	return took;
}

/* Answers do not wait until what they answer is freed; the next burst does, and the end. */
static void test_burst_freed_late(void **state)
{
	const eth_rx_burst_t usual = rte_eth_fp_ops[port.id].rx_pkt_burst;

	(void)state;
	rte_eth_fp_ops[port.id].rx_pkt_burst = arrived_burst;
	nif.up = atomic_load(&port.up); /* nothing to announce */
	memset(&got, 0, sizeof(got));
	n_arrived = 3;
	assert_int_equal(netif_rx(&nif, now, deliver, NULL), 3);
	assert_int_equal(got.n, 3);
	assert_int_equal(rte_mempool_in_use_count(pool), 3);
	assert_int_equal(netif_rx(&nif, now, deliver, NULL), 0);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	assert_int_equal(nif.n_done, 0); /* once */
	n_arrived = 2;
	assert_int_equal(netif_rx(&nif, now, deliver, NULL), 2);
	rte_eth_fp_ops[port.id].rx_pkt_burst = usual; /* the rest is netif_fini()'s */
}

/* ---- faults ---- */

static void run_faults(double loss, double duplicate, double reorder, uint64_t seed,
	uint32_t *order, uint32_t *n_order)
{
	struct fault *f = fault_create(loss, duplicate, reorder, seed);
	struct rte_mbuf *out[FAULT_OUT_MAX];

	assert_non_null(f);
	memset(&counts, 0, sizeof(counts));
	*n_order = 0;
	for (uint32_t i = 0; i < 10000; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		unsigned n;

		memcpy(rte_pktmbuf_append(m, 4), &i, 4);
		n = fault_send(f, m, &counts, out);
		for (unsigned j = 0; j < n; j++) {
			order[(*n_order)++] = *rte_pktmbuf_mtod(out[j], uint32_t *);
			rte_pktmbuf_free(out[j]);
		}
	}
	fault_destroy(f);
}

static void test_faults(void **state)
{
	static uint32_t a[40000], b[40000];
	uint32_t n_a, n_b;

	(void)state;
	run_faults(0.1, 0.05, 0.02, 42, a, &n_a);
	assert_in_range(count_read(&counts, count_fault_loss), 800, 1200);
	assert_in_range(count_read(&counts, count_fault_duplicate), 350, 550);
	assert_in_range(count_read(&counts, count_fault_reorder), 100, 250);
	assert_in_range(10000 - count_read(&counts, count_fault_loss) +
				count_read(&counts, count_fault_duplicate) - n_a,
		0, 1); /* one may be held at the end */
	run_faults(0.1, 0.05, 0.02, 42, b, &n_b);
	assert_int_equal(n_a, n_b);
	assert_memory_equal(a, b, n_a * sizeof(*a));
	run_faults(0.1, 0.05, 0.02, 43, b, &n_b);
	assert_true(n_a != n_b || memcmp(a, b, n_a * sizeof(*a)));
	run_faults(0, 0, 1, 1, a, &n_a); /* never further than a handful apart */
	for (uint32_t i = 0; i < n_a; i++)
		assert_in_range(a[i] + 8 - i, 0, 16);
}

static void held_frame_goes_in_time(void **state)
{
	struct fault *f = fault_create(0, 0, 1, 1);
	struct rte_mbuf *out[FAULT_OUT_MAX], *m = NULL;

	(void)state;
	assert_int_equal(fault_send(f, rte_pktmbuf_alloc(pool), &counts, out), 0);
	for (int i = 0; i < 2000 && !m; i++)
		m = fault_flush(f);
	assert_non_null(m);
	rte_pktmbuf_free(m);
	fault_destroy(f);
}

/* ---- CPUs and addresses ---- */

static void test_refusals(void **state)
{
	struct tela_port_config bad = {.name = "p", .device = "net_null7", .address = "10.0.0.1"};
	struct tela_node_config again = {.n_cores = 1};
	struct port p;
	char err[256] = "";

	(void)state;
	assert_int_equal(port_probe(&p, &bad, err, sizeof(err)), -EINVAL);
	bad.address = "10.0.0.1/33";
	assert_int_equal(port_probe(&p, &bad, err, sizeof(err)), -EINVAL);
	bad.address = "10.0.0.1/24";
	bad.gateway = "10.0.1.1";
	assert_int_equal(port_probe(&p, &bad, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "gateway"));
	assert_int_equal(eal_start(&again, err, sizeof(err)), -EALREADY);
	assert_true(eal_is_pci("0000:01:00.0") && eal_is_pci("01:00.0,x=1") &&
		    !eal_is_pci("net_null0"));
}

static int start(void)
{
	struct tela_core_config core = {.cpu = 0};
	struct tela_port_config c = {
		.name = "test", .device = "net_null0", .address = "10.0.0.1/24", .mtu = 1500};
	struct tela_node_config node = {.name = "test_net",
		.cores = &core,
		.n_cores = 1,
		.ports = &c,
		.n_ports = 1,
		.no_huge = true,
		.share_cpu = true,
		.memory_mib = 64};
	char err[256] = "";

	if (!eal_start(&node, err, sizeof(err)) && !port_probe(&port, &c, err, sizeof(err))) {
		pool = port_pool_create(&port, 0, 511, 0);
		if (pool && !port_open(&port, 1, &pool, err, sizeof(err)) &&
			!port_start(&port, err, sizeof(err)))
			return 0;
	}
	fprintf(stderr, "%s\n", err);
	return -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_delivers), TEST(test_truncated),
		TEST(test_ethernet), TEST(test_ip_header), TEST(test_ttl_is_not_looked_at),
		TEST(test_options_are_skipped), TEST(test_udp), TEST(test_chained),
		TEST(test_arp_answer), TEST(test_arp_probe_teaches_nothing), TEST(test_arp_refused),
		TEST(test_neighbours_are_bounded), TEST(test_head_asks), TEST(test_gateway),
		TEST(test_ping), TEST(test_ping_refused), TEST(test_send_and_take),
		TEST(test_backlog), TEST(test_urgent_first), TEST(test_pool_empty),
		TEST(test_burst_freed_late), TEST(test_faults), TEST(held_frame_goes_in_time),
		TEST(test_refusals)};
	int failed = 1;

	if (!start())
		failed = cmocka_run_group_tests(tests, NULL, NULL);
	port_close(&port);
	port_pool_free(pool);
	eal_stop();
	return failed;
}

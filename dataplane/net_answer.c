/* net_answer.c - what a host answers by itself: ARP and ICMP echo. Rare frames, answered in the
 * mbuf they came in. */
#include "dpdk.h"
#include "neigh.h"
#include "net_wire.h"

enum {
	ARP_HARDWARE = 0, /* Ethernet: 1 */
	ARP_PROTOCOL = 2,
	ARP_SIZES = 4, /* 6 and 4 */
	ARP_OP = 6,
	ARP_SENDER_MAC = 8,
	ARP_SENDER_IP = 14,
	ARP_TARGET_MAC = 18,
	ARP_TARGET_IP = 24,
	ARP_LEN = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,

	ICMP_TYPE = 0,
	ICMP_CODE = 1,
	ICMP_CHECKSUM = 2,
	ICMP_LEN = 8,
	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO = 8,
};

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t nobody[6];

static bool is_host_mac(const uint8_t mac[6])
{
	return !(mac[0] & 1) && memcmp(mac, nobody, 6);
}

static void put_arp(const struct port *p, uint8_t *frame, uint16_t op, const uint8_t dst[6],
	const uint8_t target[6], uint32_t target_ip)
{
	uint8_t *arp = frame + ETHER_LEN;

	net_put_ether(frame, dst, p->mac, ETHERTYPE_ARP);
	put16(arp + ARP_HARDWARE, 1);
	put16(arp + ARP_PROTOCOL, ETHERTYPE_IPV4);
	put16(arp + ARP_SIZES, 6 << 8 | 4);
	put16(arp + ARP_OP, op);
	memcpy(arp + ARP_SENDER_MAC, p->mac, 6);
	memcpy(arp + ARP_SENDER_IP, &p->ip, 4);
	memcpy(arp + ARP_TARGET_MAC, target, 6);
	memcpy(arp + ARP_TARGET_IP, &target_ip, 4);
}

void net_arp_ask(struct netif *nif, uint32_t ip, const uint8_t *mac)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(nif->pool);

	if (!m) {
		count(nif->counts, count_drop_no_mbuf);
		return;
	}
	m->data_len = ETHER_LEN + ARP_LEN;
	m->pkt_len = ETHER_LEN + ARP_LEN;
	put_arp(nif->port, rte_pktmbuf_mtod(m, uint8_t *), ARP_REQUEST, mac ? mac : broadcast,
		nobody, ip);
	count(nif->counts, count_arp_asked);
	net_out(nif, m);
}

/* NET_DONE or a drop reason. A probe (RFC 5227) comes from 0.0.0.0 and teaches nothing. */
static int learn(struct netif *nif, const uint8_t *arp, uint16_t op, bool for_us, uint64_t now_ns)
{
	uint32_t ip = raw32(arp + ARP_SENDER_IP);
	int ret;

	if (!ip && op == ARP_REQUEST)
		return NET_DONE;
	if (!is_host_mac(arp + ARP_SENDER_MAC) || !neigh_plausible(nif->port, ip))
		return count_drop_arp;
	ret = neigh_learn(nif->port, ip, arp + ARP_SENDER_MAC, now_ns, op == ARP_REQUEST && for_us);
	if (!ret)
		count(nif->counts, count_arp_learnt);
	if (ret == -ENOSPC)
		return count_drop_neigh_full;
	return ret && op == ARP_REPLY ? count_drop_arp : NET_DONE;
}

int net_arp_input(
	struct netif *nif, struct rte_mbuf *m, uint8_t *frame, uint32_t len, uint64_t now_ns)
{
	uint8_t *arp = frame + ETHER_LEN, target[6];
	bool for_us;
	uint16_t op;
	int verdict;

	if (len < ETHER_LEN + ARP_LEN)
		return count_drop_short;
	op = get16(arp + ARP_OP);
	if (get16(arp + ARP_HARDWARE) != 1 || get16(arp + ARP_PROTOCOL) != ETHERTYPE_IPV4 ||
		get16(arp + ARP_SIZES) != (6 << 8 | 4) || (op != ARP_REQUEST && op != ARP_REPLY))
		return count_drop_arp;
	for_us = raw32(arp + ARP_TARGET_IP) == nif->port->ip;
	verdict = learn(nif, arp, op, for_us, now_ns);
	if (op != ARP_REQUEST || verdict == count_drop_arp)
		return verdict;
	if (!for_us)
		return verdict != NET_DONE ? verdict : count_drop_not_ours;
	if (!is_host_mac(arp + ARP_SENDER_MAC))
		return count_drop_arp;
	if (verdict != NET_DONE) /* table full: answered all the same */
		count(nif->counts, (enum count_id)verdict);
	memcpy(target, arp + ARP_SENDER_MAC, 6);
	put_arp(nif->port, frame, ARP_REPLY, target, target, raw32(arp + ARP_SENDER_IP));
	m->data_len = ETHER_LEN + ARP_LEN;
	m->pkt_len = ETHER_LEN + ARP_LEN;
	count(nif->counts, count_arp_requests);
	net_out(nif, m);
	return NET_KEPT;
}

int net_icmp_input(
	struct netif *nif, struct rte_mbuf *m, uint8_t *frame, uint32_t ip_len, uint32_t len)
{
	uint8_t *ip = frame + ETHER_LEN, *icmp = ip + ip_len, mac[6];
	uint32_t from = raw32(ip + IPV4_SRC);
	uint16_t sum;

	if (len < ICMP_LEN)
		return count_drop_icmp;
	if (icmp[ICMP_TYPE] != ICMP_ECHO)
		return count_drop_protocol;
	/* An answer longer than the MTU would need fragments. */
	if (icmp[ICMP_CODE] || checksum_fold(checksum_add(0, icmp, len)) ||
		IPV4_LEN + len > nif->port->mtu || !is_host_mac(frame + ETHER_SRC))
		return count_drop_icmp;
	memcpy(mac, frame + ETHER_SRC, 6);
	icmp[ICMP_TYPE] = ICMP_ECHO_REPLY;
	memset(icmp + ICMP_CHECKSUM, 0, 2);
	sum = checksum_fold(checksum_add(0, icmp, len));
	memcpy(icmp + ICMP_CHECKSUM, &sum, 2);

	/* Options are not echoed: the new headers end where the ICMP header begins. */
	frame = (uint8_t *)rte_pktmbuf_adj(m, (uint16_t)(ip_len - IPV4_LEN));
	ip = frame + ETHER_LEN;
	net_put_ether(frame, mac, nif->port->mac, ETHERTYPE_IPV4);
	net_put_ip(ip, IPV4_ICMP, nif->port->ip, from);
	put16(ip + IPV4_LENGTH, (uint16_t)(IPV4_LEN + len));
	put16(ip + IPV4_ID, nif->ip_id++);
	sum = checksum_fold(checksum_add(0, ip, IPV4_LEN));
	memcpy(ip + IPV4_CHECKSUM, &sum, 2);
	m->data_len =
		(uint16_t)(ETHER_LEN + IPV4_LEN + len); /* without the padding of short frames */
	m->pkt_len = m->data_len;
	m->ol_flags = 0;
	count(nif->counts, count_icmp_echo);
	net_out(nif, m);
	return NET_KEPT;
}

/* net_wire.h - frames byte by byte, and what net.c and net_answer.c share. Private to the two. */
#pragma once

#include <arpa/inet.h>

#include "checksum.h"
#include "net.h"
#include "port.h"

enum {
	ETHER_DST = 0,
	ETHER_SRC = 6,
	ETHER_TYPE = 12,
	ETHER_LEN = 14,

	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP = 0x0806,

	IPV4_LENGTH = 2,
	IPV4_ID = 4,
	IPV4_FRAGMENT = 6,
	IPV4_TTL = 8,
	IPV4_PROTOCOL = 9,
	IPV4_CHECKSUM = 10,
	IPV4_SRC = 12,
	IPV4_DST = 16,
	IPV4_LEN = 20,
	IPV4_FRAGMENT_MASK = 0x3fff, /* more fragments, and the offset */
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV4_HOPS = 64,
	IPV4_ICMP = 1,
	IPV4_UDP = 17,

	UDP_SRC = 0,
	UDP_DST = 2,
	UDP_LENGTH = 4,
	UDP_CHECKSUM = 6,
	UDP_LEN = 8,
};

/* What became of a frame: a drop reason (enum count_id), or one of these. */
enum { NET_DONE = -1, NET_KEPT = -2 /* the mbuf is on its way out again */ };

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Addresses and checksums stay in the order they have in memory. */
static inline uint32_t raw32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Queues a whole frame, through the fault injector if there is one. Takes `m`. */
void net_out(struct netif *nif, struct rte_mbuf *m);
void net_put_ether(uint8_t *frame, const uint8_t dst[6], const uint8_t src[6], uint16_t type);
/* A header without options, its length, identification and checksum 0. */
void net_put_ip(uint8_t *ip, uint8_t protocol, uint32_t src, uint32_t dst);

/* `frame` of `len` bytes is the whole of `m`. */
int net_arp_input(
	struct netif *nif, struct rte_mbuf *m, uint8_t *frame, uint32_t len, uint64_t now_ns);
/* `icmp` of `len` bytes is in `frame`, behind an IPv4 header of `ip_len` bytes. */
int net_icmp_input(
	struct netif *nif, struct rte_mbuf *m, uint8_t *frame, uint32_t ip_len, uint32_t len);
/* Asks who has `ip`; `mac` NULL: everybody. `ip` our own: the announcement of RFC 5227. */
void net_arp_ask(struct netif *nif, uint32_t ip, const uint8_t *mac);

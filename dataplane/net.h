/* net.h - one queue of one port as a proper IP host: Ethernet, ARP, IPv4, UDP, ICMP echo.
 *
 * A netif belongs to one data core. It hands up UDP payloads for the node's port, answers ARP and
 * ICMP echo itself, and sends datagrams whose Ethernet, IP and UDP headers come from a template
 * made once per path. Every frame that goes no further is counted under a name (count.h). Nothing
 * here allocates but mbufs.
 *
 * A UDP checksum of 0 is accepted, as RFC 768 says (Tela's own CRC is in the datagram); none is
 * made where the port is shared memory. The IPv4 header's is always made and checked: it costs 3
 * ns.
 *
 * IPv6 and VLAN: struct net_head has room and offsets for both; only untagged IPv4 is built and
 * taken today. Sources: RFC 826 (ARP), 5227 (probes, announcements), 791, 768, 792, 1071
 * (checksum), 1122 (host requirements).
 */
#pragma once

#include "base.h"
#include "count.h"

struct rte_mbuf;
struct rte_mempool;
struct core;
struct port;

enum {
	NET_HEAD_MAX = 14 + 4 + 40 + 8, /* Ethernet, VLAN, IPv6, UDP */
	NET_HEAD_IPV4 = 14 + 20 + 8,
	NET_BURST = 32,
	NET_BACKLOG = 256, /* frames a full transmit ring may keep waiting; the rest are dropped and
			      counted */
	NET_BACKLOG_LONG = NET_BACKLOG / 2, /* large messages wait while more than so many do */
	NET_FIRST = 32, /* of those, what goes before all others once there is room again */
};

/* Where a datagram comes from or goes to. Addresses in network byte order, the UDP port in host
 * order. */
struct net_addr {
	uint32_t ip;
	uint16_t udp;
	uint16_t netif;   /* index among the core's */
	uint16_t own_udp; /* our end, 0: the node's port */
};

/* Ethernet, IP and UDP headers as they stand before a datagram; lengths and checksums patched per
 * datagram. */
struct net_head {
	uint8_t bytes[NET_HEAD_MAX];
	uint8_t len;
	uint8_t ip_offset, udp_offset;
	uint16_t ip_sum, pseudo_sum; /* of what stays the same in the IPv4 header, in the UDP pseudo
					header */
};

struct netif {
	struct port *port;
	struct rte_mempool *pool, *borrow; /* borrow: of a port that copies, else NULL */
	struct counts *counts;
	uint16_t queue, index, port_index; /* port_index: of the core's first netif at this port */
	uint16_t udp_port;                 /* the node's own */
	uint16_t ip_id;
	uint16_t n_cores; /* of the node, if each has UDP ports of its own (hand.h); else 0 */
	bool up;          /* as last seen; a rise is announced (gratuitous ARP) */
	struct rte_mbuf *in_hand; /* the frame that is worked on */
	uint16_t n_in, n_out, n_backlog, backlog_head, n_first;
	uint16_t n_held; /* of those of the last burst */
	uint16_t n_done; /* of `in`: worked on, freed before the next burst */
	struct rte_mbuf *in[NET_BURST];
	struct rte_mbuf *out[NET_BURST];
	struct rte_mbuf *backlog[NET_BACKLOG]; /* a ring */
	struct rte_mbuf *first[NET_FIRST];     /* urgent ones: they overtake those in `backlog` */
	_Atomic(struct fault *)
		fault; /* NULL: none injected; replaced by the control side (tela_node_faults) */
	/* Of a node with several cores, else NULL. steer: whether a datagram is another core's,
	 * which then has the buffer. lend: sends by the core that has the queue, where this one is
	 * not there; returns how many went. */
	bool (*steer)(struct netif *nif, struct rte_mbuf *m, uint16_t udp, const uint8_t *datagram,
		uint32_t len);
	uint32_t (*lend)(struct netif *nif, struct rte_mbuf **m, uint32_t n);
	struct core *core;
};

/* 0 or -ENOMEM (the fault injector's own memory, if the port has one). [control] */
int netif_init(struct netif *nif, struct port *port, uint16_t queue, uint16_t index,
	uint16_t udp_port, struct rte_mempool *pool, struct counts *counts);
/* Returns what it still holds to the pool. [control], the core being out of its loop */
void netif_fini(struct netif *nif);

/* What netif_rx hands up: the payload of a UDP datagram with good checksums, addressed to us. The
 * memory is the mbuf's and ends when the callback returns. */
typedef void (*net_deliver_fn)(
	void *arg, const struct net_addr *from, uint8_t *payload, uint32_t len);

/* Marks an mbuf that netif_send() gets: kept waiting by a full ring, it goes before those that are
 * not urgent. What mbufs without it hold there does not matter. */
void net_mark(struct rte_mbuf *m, bool urgent);

/* One burst, at most NET_BURST frames, taken from the device and kept in nif->in; returns how many.
 * Then netif_input() works through them. Two steps, so that a core reads its clock between them,
 * once a pass. */
unsigned netif_burst(struct netif *nif);
void netif_input(struct netif *nif, uint64_t now_ns, net_deliver_fn deliver, void *arg);
/* Both, for whoever has a clock already. */
unsigned netif_rx(struct netif *nif, uint64_t now_ns, net_deliver_fn deliver, void *arg);

/* What netif_rx does with each frame: takes `m`, which a test or a fuzzer may have made. */
void net_input(
	struct netif *nif, struct rte_mbuf *m, uint64_t now_ns, net_deliver_fn deliver, void *arg);

/* Inside a callback of netif_input or net_input: the frame stays, with what was handed up, until it
 * is given to netif_free(). NULL: it cannot, it is of another core's pool. */
struct rte_mbuf *netif_hold(struct netif *nif);

/* Fills the template for datagrams to `to` (through the gateway where it is not on the link). 0;
 * -EAGAIN: the link address is not known yet and has been asked for (at most once in 100 ms per
 * neighbour); -EHOSTUNREACH. Call it again every few seconds for a path in use: in the last of a
 * neighbour's 5 minutes that asks again, and a neighbour that got another address is found at all.
 */
int netif_head(
	struct netif *nif, const struct net_addr *to, uint64_t now_ns, struct net_head *ret_head);

/* A buffer for one datagram: *ret_data is where its first byte goes, behind `head_len` bytes left
 * for the template; *ret_room how many bytes fit (the port's MTU minus IP and UDP headers). The
 * frame begins on a cache line: from there memif copies it in whole vectors, and packets stand on
 * multiples of 8 as at the receiver. NULL: pool empty, counted. */
struct rte_mbuf *netif_alloc(
	struct netif *nif, uint8_t head_len, uint8_t **ret_data, uint32_t *ret_room);
void netif_free(struct rte_mbuf *m);

/* Queues the datagram of `len` bytes in `m`: writes the headers from the template, lengths,
 * identification, and checksums (UDP checksum 0 on shared memory). Takes `m`. Sent by netif_flush
 * or when a burst is full. */
void netif_send(struct netif *nif, struct rte_mbuf *m, const struct net_head *head, uint32_t len);

/* Whether netif_send_from() may be used just now. */
bool netif_borrows(const struct netif *nif);
/* The same with `more_len` bytes behind those in `m`, which are read where they stand; what the
 * device has not taken once netif_flush() has returned was copied. */
void netif_send_from(struct netif *nif, struct rte_mbuf *m, const struct net_head *head,
	uint32_t len, const void *more, uint32_t more_len);

/* A whole frame that another core has made for this queue. Takes `m`. */
void netif_forward(struct netif *nif, struct rte_mbuf *m);

/* Hands what is queued to the device, once; what it refuses waits its turn, bounded by NET_BACKLOG.
 * Never spins. What it refuses while the link is down is dropped, so that nothing stale goes out
 * later. Returns how many frames wait. */
unsigned netif_flush(struct netif *nif);

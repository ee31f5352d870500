/* port.h - an ethdev as the node uses it. Cold: opened once, link polled by the control side.
 *
 * In order: port_probe() finds out what the device is; pools of port_pool_create() are made to its
 * measure, one a queue; port_open(), port_start(); port_poll_link() every few milliseconds;
 * port_close(), then the pools.
 *
 * Context: control thread, except the fields marked read by cores. Errors: -errno with a sentence.
 */
#pragma once

#include "base.h"
#include "numa.h"
#include "port_guard.h"

struct tela_port_config;
struct rte_mempool;

enum { PORT_QUEUES_MAX = 16, PORT_MTU_MIN = 1280, PORT_MTU_MAX = 9000, NEIGH_MAX = 256 };

/* A neighbour's link address; written by whichever core sees the ARP packet, read by all (neigh.h).
 */
struct neigh {
	_Atomic uint32_t ip; /* network byte order, 0: free */
	_Atomic uint32_t asked_ms;
	_Atomic uint64_t state;
};

struct port {
	/* read by cores */
	uint16_t id;  /* of the ethdev */
	uint16_t mtu; /* largest IP packet */
	uint16_t n_queues;
	_Atomic uint16_t live; /* of these, the first so many can be used (memif: as many as the
				peer has) */
	bool interrupts;       /* set before port_open(): receive interrupts are wanted */
	bool lent;             /* set before port_open(): buffers of other pools are sent too */
	bool copies;           /* all that it sends, before it returns: memif */
	bool forwards;         /* calls that come by it may be sent on (forward.h) */
	bool hashes;           /* spreads datagrams over its queues by a hash of their addresses */
	uint8_t mac[6];
	uint32_t ip, netmask, gateway; /* network byte order; gateway 0: none */
	bool shared_memory; /* memif, ring, vhost, virtio-user: no bit can be corrupted between the
			       nodes */
	bool tx_checksum, rx_checksum; /* the device computes and checks IPv4 and UDP checksums */
	_Atomic bool up;
	_Atomic bool neigh_busy; /* somebody writes the table (neigh.c) */
	struct neigh neigh[NEIGH_MAX];
	struct port_guard guard[PORT_QUEUES_MAX];
	/* control side */
	uint16_t max_queues;         /* from port_probe() */
	uint16_t mbuf_room;          /* an mbuf's data room for the MTU, headroom included */
	int socket;                  /* NUMA node of the device, NUMA_ANY: it has none */
	struct numa_place elsewhere; /* asked for its buffers in vain, NUMA_ANY: none was */
	char name[64], driver[64], device[256];
	double loss, duplicate, reorder;
	uint64_t fault_seed;
	bool open, started, guarded, memif_client, memif_server;
	uint64_t retry_ns; /* when a memif client tries to connect again */
	void *rte_device;
};

/* Probes the device and reads what it is: MTU, MAC, queues, mbuf_room, socket. */
int port_probe(struct port *p, const struct tela_port_config *c, char *err, size_t err_len);
/* A pool for one queue: `n` buffers on the port's socket (its device's or else the caller's
 * `socket`); on any if that has no memory for them (`elsewhere`). */
struct rte_mempool *port_pool_create(struct port *p, uint16_t queue, uint32_t n, int socket);
/* A pool of the few buffers that netif_send_from() has under way. */
struct rte_mempool *port_borrow_pool_create(struct port *p, uint16_t queue, int socket);
void port_pool_free(struct rte_mempool *pool);
/* Bytes of memory such a pool takes. */
size_t port_pool_bytes(const struct port *p, uint32_t n);
/* How many queue pairs to open for so many cores: fewer where the device has no more; more where
 * the peer decides how many it uses (memif server). */
uint16_t port_queues(const struct port *p, uint32_t n_cores);
/* How many UDP ports are worth trying on it: struct machine_ops. */
uint16_t port_attempts(const struct port *p);
/* Configures `n_queues` queue pairs, of port_queues(), from `pools`, one per queue. */
int port_open(struct port *p, uint16_t n_queues, struct rte_mempool *const *pools, char *err,
	size_t err_len);
/* A memif client whose server is not there yet is no error: port_poll_link() goes on trying. */
int port_start(struct port *p, char *err, size_t err_len);
/* A descriptor that has an event whenever something has come to the queue after
 * port_interrupt(true), once it is started; -1: the driver has none. `ret_level`: the event lasts
 * until the queue is empty, else until it is seen. */
int port_interrupt_fd(const struct port *p, uint16_t queue, bool *ret_level);
/* Switches them. A full fence stands between that and a look at the queue. [the queue's core] */
void port_interrupt(const struct port *p, uint16_t queue, bool on);
/* The cores must be out of their loops. */
void port_close(struct port *p);
/* Reads the link state (polled: not every driver raises an interrupt for both directions) and
 * connects a memif client again. Returns whether it changed. */
bool port_poll_link(struct port *p);

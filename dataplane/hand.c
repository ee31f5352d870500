#include "hand.h"

#include "dpdk.h"
#include "node.h"

/* Buffers stand on cache lines: the low bits say what is to be done with one. */
enum {
	HAND_SEND = 1 << 5,
	HAND_PORT = HAND_SEND - 1,
};

_Static_assert(NODE_PORTS_MAX <= HAND_PORT + 1 && 2 * HAND_SEND <= CACHE_LINE, "it fits");
_Static_assert(
	(int)HAND_CORES >= (int)PORT_QUEUES_MAX && HAND_UDP + HAND_CORES * HAND_TRIES <= UINT16_MAX,
	"every core has its UDP ports");

uint32_t hand_core_of(
	const uint8_t *datagram, uint32_t len, uint16_t udp, uint32_t n_cores, uint32_t own)
{
	uint32_t id, at;
	frame_Hello h;

	if (unlikely(len < WIRE_VERSION_BYTES || datagram[0] != WIRE_VERSION))
		return own;
	memcpy(&id, datagram + 4, 4);
	if (likely(id))
		return hand_core_of_id(id, n_cores);
	at = datagram[2];
	if (len >= at + WIRE_PACKET + WIRE_HELLO && datagram[at] == frame_Kind_hello) {
		h = frame_Hello_load(datagram + at + WIRE_PACKET);
		return h.wanted_core % n_cores;
	}
	return hand_is_udp(udp, n_cores) ? (uint32_t)(udp - HAND_UDP) / HAND_TRIES : own;
}

/* ---- rings ---- */

static struct hand_ring *ring(const struct core *c, uint32_t from, uint32_t to)
{
	return &c->hand[from * c->node->n_cores + to];
}

int hand_init(struct tela_node *n)
{
	size_t bytes = n->n_cores * n->n_cores * sizeof(*n->hand);

	if (n->n_cores < 2)
		return 0;
	n->hand = aligned_alloc(CACHE_LINE, bytes);
	if (!n->hand)
		return -ENOMEM;
	memset(n->hand, 0, bytes);
	for (uint32_t i = 0; i < n->n_cores; i++)
		n->cores[i]->hand = n->hand;
	return 0;
}

void hand_fini(struct tela_node *n)
{
	uintptr_t what;

	for (uint32_t i = 0; n->hand && i < n->n_cores * n->n_cores; i++) {
		hand_publish(&n->hand[i]);
		while (hand_take(&n->hand[i], &what, 1))
			rte_pktmbuf_free((struct rte_mbuf *)(what & ~(uintptr_t)(CACHE_LINE - 1)));
	}
	free(n->hand);
	n->hand = NULL;
}

static bool put(struct core *c, uint32_t to, struct rte_mbuf *m, uintptr_t tag)
{
	if (unlikely(!hand_put(ring(c, c->index, to), (uintptr_t)m | tag))) {
		count(&c->counts, count_drop_hand_full);
		return false;
	}
	c->hand_put |= 1u << to;
	count(&c->counts, count_handed_out);
	return true;
}

bool hand_steer(
	struct netif *nif, struct rte_mbuf *m, uint16_t udp, const uint8_t *datagram, uint32_t len)
{
	struct core *c = nif->core;
	uint32_t to = hand_core_of(datagram, len, udp, c->node->n_cores, c->index);

	if (likely(to == c->index))
		return false;
	if (!put(c, to, m, nif->port_index))
		rte_pktmbuf_free(m);
	return true;
}

/* Frames for a queue that is not there go by the core that has the one in its place. */
uint32_t hand_lend(struct netif *nif, struct rte_mbuf **m, uint32_t n)
{
	struct core *c = nif->core;
	uint32_t live = atomic_load_explicit(&nif->port->live, memory_order_relaxed), sent = 0;
	uint32_t to = live ? nif->queue % live % c->node->n_cores : c->index;

	if (unlikely(to == c->index)) /* no queue at all: the link is down */
		return 0;
	while (sent < n && put(c, to, m[sent], HAND_SEND | nif->port_index))
		sent++;
	return sent;
}

void hand_flush(struct core *c)
{
	uint32_t put = c->hand_put;

	c->hand_put = 0;
	for (; put; put &= put - 1) {
		uint32_t to = (uint32_t)__builtin_ctz(put);

		hand_publish(ring(c, c->index, to));
		if (wake_up(&c->node->cores[to]->wake))
			count(&c->counts, count_wakes);
	}
}

uint32_t hand_serve(struct core *c)
{
	uintptr_t what[HAND_BURST];
	uint32_t total = 0;

	for (uint32_t from = 0; from < c->node->n_cores; from++) {
		uint32_t n =
			from == c->index ? 0 : hand_take(ring(c, from, c->index), what, HAND_BURST);

		total += n;
		c->m.landed = (uint16_t)from;
		for (uint32_t i = 0; i < n; i++) {
			uintptr_t tag = what[i] & (CACHE_LINE - 1);
			struct rte_mbuf *m = (struct rte_mbuf *)(what[i] ^ tag);
			struct netif *nif = &c->netif[tag & HAND_PORT];

			if (tag & HAND_SEND)
				netif_forward(nif, m);
			else
				net_input(nif, m, c->m.now_ns, core_deliver, c);
		}
	}
	c->m.landed = c->m.cfg.core;
	if (total)
		count_add(&c->counts, count_handed_in, total);
	return total;
}

bool hand_waiting(const struct core *c)
{
	for (uint32_t from = 0; c->hand && from < c->node->n_cores; from++)
		if (!hand_empty(ring(c, from, c->index)))
			return true;
	return false;
}

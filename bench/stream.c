/* stream.c - *stream*: frames one way over an ethdev, as fast as the receiver takes them, nothing
 * above Ethernet: what a large message is held against.
 *
 * The client allocates and hands over, the server receives and frees; nobody looks at the bytes.
 * With
 * --copy the client fills each frame from a message of 8 MiB: the same stream with one memcpy. What
 * the client's ring took is counted; a memif refuses what it cannot hold, so that is what arrives
 * but for the ring's own length.
 */
#include "dpdk.h"
#include "yardstick.h"

enum { BURST = 32, WARM_UP_NS = 200000000, MESSAGE = 8 << 20 };

static int server(void *arg)
{
	struct yardstick *y = arg;
	struct rte_mbuf *m[BURST];

	rte_eth_promiscuous_enable(y->port.id);
	while (!atomic_load_explicit(&y->stop, memory_order_relaxed)) {
		uint16_t n;

		if (!port_enter(&y->port.guard[0]))
			continue;
		n = rte_eth_rx_burst(y->port.id, 0, m, BURST);
		port_leave(&y->port.guard[0]);
		rte_pktmbuf_free_bulk(m, n);
	}
	return 0;
}

/* Broadcast: nobody has to be asked who the other one is. */
static void head(const struct yardstick *y, struct rte_mbuf *m)
{
	uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *);

	m->data_len = (uint16_t)y->frame_bytes;
	m->pkt_len = y->frame_bytes;
	memset(f, 0xff, 6);
	memcpy(f + 6, y->port.mac, 6);
	f[12] = 0x88; /* IEEE 802's local experimental type */
	f[13] = 0xb5;
}

static uint16_t transmit(struct yardstick *y, struct rte_mbuf **m, uint16_t n)
{
	uint16_t sent;

	if (!port_enter(&y->port.guard[0]))
		return 0;
	sent = rte_eth_tx_burst(y->port.id, 0, m, n);
	port_leave(&y->port.guard[0]);
	return sent;
}

static int client(void *arg)
{
	struct yardstick *y = arg;
	uint64_t now = yardstick_ticks();
	uint64_t begin = now + (uint64_t)(WARM_UP_NS / y->ns_per_tick);
	uint64_t end = begin + (uint64_t)(y->seconds * 1e9 / y->ns_per_tick);
	uint32_t copied = y->copy ? y->frame_bytes - 14 : 0, at = 0;
	uint8_t *message = calloc(1, MESSAGE);
	struct rte_mbuf *m[BURST];
	uint16_t n = 0, sent;

	CHECK(message);
	memset(message, 0x5a, MESSAGE);
	yardstick_begin(y, begin);
	while (now < end && !atomic_load_explicit(&y->stop, memory_order_relaxed)) {
		while (n < BURST && (m[n] = rte_pktmbuf_alloc(y->pool))) {
			head(y, m[n]);
			if (at + copied > MESSAGE)
				at = 0;
			memcpy(rte_pktmbuf_mtod_offset(m[n], uint8_t *, 14), message + at, copied);
			at += copied;
			n++;
		}
		sent = transmit(y, m, n);
		n = (uint16_t)(n - sent);
		memmove(m, m + sent, n * sizeof(*m));
		now = yardstick_ticks();
		yardstick_count(y, now, sent);
	}
	rte_pktmbuf_free_bulk(m, n);
	free(message);
	return 0;
}

int main(int argc, char **argv)
{
	static struct yardstick y;

	yardstick_options(&y, "tela-stream", argc, argv);
	return yardstick_run(&y, "tela-stream", y.server ? server : client);
}

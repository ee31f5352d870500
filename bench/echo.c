/* echo.c - *echo*: the bare packet echo over an ethdev, nothing above Ethernet.
 *
 * Both sides do what a forwarder does: a burst in, addresses swapped, the same mbufs out again. The
 * client puts N frames on their way once and keeps them going. With one frame in flight each round
 * trip is timed; with more, one frame in SAMPLE carries a time stamp, so that the clock costs
 * nothing of what is measured.
 *
 * A burst is half of what is in flight at 64: with larger ones all frames end up in one burst, and
 * each side waits while the other works, which halves the rate.
 *
 * Frames lost on the way (a kernel device; a restarted peer) are noticed by silence and put on
 * their way again.
 */
#include "dpdk.h"
#include "yardstick.h"

enum { BURST = 32, SAMPLE = 64, STAMP = 16, SILENCE_NS = 50000000, WARM_UP_NS = 200000000 };

/* One load and one store of 16 bytes. With smaller stores the driver's copy, which loads 16 bytes
 * at once, has to wait for them to leave the store buffer: that alone halved the rate. */
static inline void swap_addresses(struct rte_mbuf *m)
{
	typedef uint8_t bytes16 __attribute__((vector_size(16)));
	uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *);
	bytes16 v;

	memcpy(&v, f, sizeof(v));
	v = __builtin_shufflevector(v, v, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
	memcpy(f, &v, sizeof(v));
}

static inline uint16_t receive(struct yardstick *y, struct rte_mbuf **m)
{
	uint16_t n;

	if (!port_enter(&y->port.guard[0]))
		return 0;
	n = rte_eth_rx_burst(y->port.id, 0, m, BURST);
	port_leave(&y->port.guard[0]);
	return n;
}

/* Sends all, however long it takes: an echo has nothing else to do, and what it holds is bounded by
 * what is in flight. Gives up when told to stop or when the link goes. */
static inline void transmit(struct yardstick *y, struct rte_mbuf **m, uint16_t n)
{
	uint16_t sent = 0;

	while (sent < n && port_enter(&y->port.guard[0])) {
		sent = (uint16_t)(sent +
				  rte_eth_tx_burst(y->port.id, 0, m + sent, (uint16_t)(n - sent)));
		port_leave(&y->port.guard[0]);
		if (unlikely(sent < n) &&
			(atomic_load_explicit(&y->stop, memory_order_relaxed) ||
				!atomic_load_explicit(&y->port.up, memory_order_relaxed)))
			break;
	}
	if (unlikely(sent < n))
		rte_pktmbuf_free_bulk(m + sent, n - sent);
}

static int server(void *arg)
{
	struct yardstick *y = arg;
	struct rte_mbuf *m[BURST];

	rte_eth_promiscuous_enable(y->port.id);
	while (!atomic_load_explicit(&y->stop, memory_order_relaxed)) {
		uint16_t n = receive(y, m);

		if (!n)
			continue;
		for (uint16_t i = 0; i < n; i++)
			swap_addresses(m[i]);
		transmit(y, m, n);
	}
	return 0;
}

static void stamp(struct rte_mbuf *m, uint64_t ticks)
{
	memcpy(rte_pktmbuf_mtod(m, uint8_t *) + STAMP, &ticks, sizeof(ticks));
}

static uint64_t stamp_of(const struct rte_mbuf *m)
{
	uint64_t ticks;

	memcpy(&ticks, rte_pktmbuf_mtod(m, const uint8_t *) + STAMP, sizeof(ticks));
	return ticks;
}

/* Nobody's; both sides are promiscuous, and an echo needs no ARP then. */
static const uint8_t server_mac[6] = {0x02, 0, 0, 0, 0, 0x01};

/* Puts `n` frames on their way; which of them are timed, their stamps say from now on. */
static void put(struct yardstick *y, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(y->pool);
		uint8_t *f;

		if (!m)
			return;
		m->data_len = (uint16_t)y->frame_bytes;
		m->pkt_len = y->frame_bytes;
		f = rte_pktmbuf_mtod(m, uint8_t *);
		memset(f, 0, y->frame_bytes);
		memcpy(f, server_mac, 6);
		memcpy(f + 6, y->port.mac, 6);
		f[12] = 0x88; /* IEEE 802's local experimental type */
		f[13] = 0xb5;
		stamp(m, i % SAMPLE ? 0 : yardstick_ticks());
		transmit(y, &m, 1);
	}
}

static inline void take(struct yardstick *y, struct rte_mbuf *m, uint64_t now, bool warm)
{
	uint64_t sent;

	swap_addresses(m);
	sent = stamp_of(m);
	if (likely(!sent))
		return;
	if (warm)
		hist_add(&y->rtt, (uint64_t)((double)(now - sent) * y->ns_per_tick));
	stamp(m, now);
}

static int client(void *arg)
{
	struct yardstick *y = arg;
	uint64_t now = yardstick_ticks(), last = now;
	uint64_t silence = (uint64_t)(SILENCE_NS / y->ns_per_tick);
	uint64_t begin = now + (uint64_t)(WARM_UP_NS / y->ns_per_tick);
	uint64_t end = begin + (uint64_t)(y->seconds * 1e9 / y->ns_per_tick);
	struct rte_mbuf *m[BURST];

	rte_eth_promiscuous_enable(y->port.id);
	yardstick_begin(y, begin);
	receive(y, m); /* a memif server can only send once the client has posted buffers */
	put(y, y->in_flight);
	while (now < end && !atomic_load_explicit(&y->stop, memory_order_relaxed)) {
		uint16_t n = receive(y, m);

		now = yardstick_ticks();
		if (!n) {
			if (unlikely(now - last > silence)) {
				y->lost += y->in_flight;
				put(y, y->in_flight);
				last = now;
			}
			continue;
		}
		last = now;
		for (uint16_t i = 0; i < n; i++)
			take(y, m[i], now, now >= begin);
		transmit(y, m, n);
		yardstick_count(y, now, n);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct yardstick y;

	yardstick_options(&y, "tela-echo", argc, argv);
	return yardstick_run(&y, "tela-echo", y.server ? server : client);
}

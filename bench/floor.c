/* floor.c - *floor*: an echo of calls in the same bytes as ours, and no protocol at all.
 *
 * Request: packet header, canonical envelope checked by compares, a typed payload; the server looks
 * the method up, calls it through a pointer, and answers with packet header, timing and payload.
 * Calls share datagrams as ours do: what a burst produced goes out at its end. No paths, sessions,
 * slots, deadlines, loss, duplicates, verification or time: what a protocol costs is the distance
 * from here.
 */
#include "dpdk.h"
#include "yardstick.h"

#include "echo.h"
#include "envelope.h"
#include "wire.h"

enum {
	BURST = 32,
	SAMPLE = 16,
	FIRST = 72 /* Ethernet, IPv4, UDP, datagram header */,
	DATA = 32,
	METHODS = 8,
	CALLS_MAX = 8192,
	WARM_UP_NS = 200000000
};

static const uint8_t server_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
static uint32_t payload_bytes, request_bytes, reply_bytes;

/* ---- datagrams being filled ---- */

struct out {
	struct rte_mbuf *burst[BURST];
	uint16_t n;
	uint32_t room; /* of a frame */
	struct rte_mbuf *open;
	uint8_t *at, *end;
};

static void flush(struct yardstick *y, struct out *o)
{
	uint16_t sent = 0;

	if (o->open)
		o->open->data_len = (uint16_t)(o->at - rte_pktmbuf_mtod(o->open, uint8_t *)),
		o->open->pkt_len = o->open->data_len;
	o->open = NULL;
	while (sent < o->n && port_enter(&y->port.guard[0])) {
		sent = (uint16_t)(sent + rte_eth_tx_burst(y->port.id, 0, o->burst + sent,
						 (uint16_t)(o->n - sent)));
		port_leave(&y->port.guard[0]);
		if (unlikely(sent < o->n && atomic_load_explicit(&y->stop, memory_order_relaxed)))
			break;
	}
	if (unlikely(sent < o->n))
		rte_pktmbuf_free_bulk(o->burst + sent, o->n - sent);
	o->n = 0;
}

static bool open_frame(struct yardstick *y, struct out *o)
{
	static const uint8_t type[2] = {0x88, 0xb5};

	if (o->n == BURST)
		flush(y, o);
	if (o->open)
		o->open->data_len = (uint16_t)(o->at - rte_pktmbuf_mtod(o->open, uint8_t *)),
		o->open->pkt_len = o->open->data_len;
	o->open = rte_pktmbuf_alloc(y->pool);
	if (!o->open)
		return false;
	o->burst[o->n++] = o->open;
	o->at = rte_pktmbuf_mtod(o->open, uint8_t *);
	o->end = o->at + o->room;
	memset(o->at, 0, FIRST);
	memcpy(o->at, server_mac, 6);
	memcpy(o->at + 6, y->port.mac, 6);
	memcpy(o->at + 12, type, 2);
	o->at += FIRST;
	return true;
}

static inline uint8_t *append(struct yardstick *y, struct out *o, uint32_t len)
{
	uint8_t *at;

	if (unlikely(!o->open || o->at + len > o->end) && !open_frame(y, o))
		return NULL;
	at = o->at;
	o->at += len;
	return at;
}

static uint16_t receive(struct yardstick *y, struct rte_mbuf **m)
{
	uint16_t n;

	if (!port_enter(&y->port.guard[0]))
		return 0;
	n = rte_eth_rx_burst(y->port.id, 0, m, BURST);
	port_leave(&y->port.guard[0]);
	return n;
}

/* ---- server ---- */

typedef void (*method_fn)(uint8_t *to, const uint8_t *payload);

static void echo(uint8_t *to, const uint8_t *payload)
{
	memcpy(to, payload, payload_bytes);
}

static method_fn volatile methods[METHODS] = {echo, echo, echo, echo, echo, echo, echo, echo};

static inline void serve_one(struct yardstick *y, struct out *o, const uint8_t *at)
{
	frame_Packet h = frame_Packet_load(at);
	uint16_t method;
	uint8_t *to;

	if (unlikely(h.kind != frame_Kind_request ||
		     !envelope_is_bound(at + WIRE_PACKET, h.envelope_length)))
		return;
	memcpy(&method, at + WIRE_PACKET + 26, sizeof(method));
	to = append(y, o, reply_bytes);
	if (unlikely(!to))
		return;
	h.kind = frame_Kind_response;
	h.envelope_length = 0;
	h.length = (uint16_t)(WIRE_PACKET + WIRE_TIMING + payload_bytes);
	frame_Packet_store(to, &h);
	memset(to + WIRE_PACKET, 0, WIRE_TIMING);
	methods[method % METHODS](
		to + WIRE_PACKET + WIRE_TIMING, at + WIRE_PACKET + ENVELOPE_BOUND_PADDED);
}

static int server(void *arg)
{
	struct yardstick *y = arg;
	struct rte_mbuf *m[BURST];
	struct out o = {.room = (uint32_t)y->port.mtu + 14};

	while (!atomic_load_explicit(&y->stop, memory_order_relaxed)) {
		uint16_t n = receive(y, m);

		for (uint16_t i = 0; i < n; i++) {
			const uint8_t *at = rte_pktmbuf_mtod(m[i], const uint8_t *),
				      *end = at + m[i]->data_len;

			for (at += FIRST; at + request_bytes <= end; at += request_bytes)
				serve_one(y, &o, at);
		}
		rte_pktmbuf_free_bulk(m, n);
		if (o.n)
			flush(y, &o);
	}
	return 0;
}

/* ---- client ---- */

static uint64_t sent_at[CALLS_MAX];

static inline void issue(
	struct yardstick *y, struct out *o, uint32_t slot, uint32_t call, uint64_t now)
{
	uint8_t *to = append(y, o, request_bytes);
	uint64_t data[DATA / 8] = {call, call * 3ull, call * 5ull, call * 7ull};
	struct echo_Message_args a = {.data = {(const uint8_t *)data, DATA}};
	frame_Packet h = {.kind = frame_Kind_request,
		.length = (uint16_t)(WIRE_PACKET + ENVELOPE_BOUND_PADDED + payload_bytes),
		.slot = (uint16_t)slot,
		.call = call,
		.body_length = ENVELOPE_BOUND_PADDED + payload_bytes,
		.envelope_length = ENVELOPE_BOUND};

	if (unlikely(!to))
		return;
	frame_Packet_store(to, &h);
	envelope_write_bound(to + WIRE_PACKET, 15000000, 1, 1);
	echo_Message_build(to + WIRE_PACKET + ENVELOPE_BOUND_PADDED, payload_bytes, &a);
	sent_at[slot] = y->in_flight < SAMPLE || call % SAMPLE == 0 ? now : 0;
}

static uint32_t take(
	struct yardstick *y, struct out *o, struct rte_mbuf *m, uint64_t now, bool warm)
{
	const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *), *end = at + m->data_len;
	uint32_t n = 0;

	for (at += FIRST; at + reply_bytes <= end; at += reply_bytes, n++) {
		frame_Packet h = frame_Packet_load(at);
		struct tela_bytes data =
			echo_Message_data(echo_Message_root(at + WIRE_PACKET + WIRE_TIMING));
		uint64_t first;

		memcpy(&first, data.data, 8);
		if (unlikely(h.slot >= y->in_flight || first != h.call))
			y->lost++;
		if (sent_at[h.slot] && warm)
			hist_add(&y->rtt, (uint64_t)((double)(yardstick_ticks() - sent_at[h.slot]) *
						     y->ns_per_tick));
		issue(y, o, h.slot, h.call + 1,
			h.call % SAMPLE == SAMPLE - 1 || y->in_flight < SAMPLE ? yardstick_ticks()
									       : now);
	}
	return n;
}

static int client(void *arg)
{
	struct yardstick *y = arg;
	uint64_t now = yardstick_ticks();
	uint64_t begin = now + (uint64_t)(WARM_UP_NS / y->ns_per_tick);
	uint64_t end = begin + (uint64_t)(y->seconds * 1e9 / y->ns_per_tick);
	struct out o = {.room = (uint32_t)y->port.mtu + 14};
	struct rte_mbuf *m[BURST];

	rte_eth_promiscuous_enable(y->port.id);
	yardstick_begin(y, begin);
	receive(y, m);
	for (uint32_t i = 0; i < y->in_flight; i++)
		issue(y, &o, i, i, now);
	flush(y, &o);
	while (now < end && !atomic_load_explicit(&y->stop, memory_order_relaxed)) {
		uint16_t n = receive(y, m);
		uint32_t calls = 0;

		now = yardstick_ticks();
		for (uint16_t i = 0; i < n; i++)
			calls += take(y, &o, m[i], now, now >= begin);
		rte_pktmbuf_free_bulk(m, n);
		if (o.n)
			flush(y, &o);
		yardstick_count(y, now, calls);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct yardstick y;

	yardstick_options(&y, "tela-floor", argc, argv);
	payload_bytes = (uint32_t)echo_Message_size(
		&(struct echo_Message_args){.data = {(const uint8_t *)"", DATA}});
	request_bytes = ALIGN8(WIRE_PACKET + ENVELOPE_BOUND_PADDED + payload_bytes);
	reply_bytes = ALIGN8(WIRE_PACKET + WIRE_TIMING + payload_bytes);
	y.frame_bytes = request_bytes;
	if (y.in_flight > CALLS_MAX)
		y.in_flight = CALLS_MAX;
	return yardstick_run(&y, "tela-floor", y.server ? server : client);
}

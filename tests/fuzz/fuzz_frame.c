/* fuzz_frame.c - the frame path from the Ethernet header up: net_input(), and behind it the machine
 * of a core that has one service.
 *
 * The first byte of an input says what the rest is, in pieces of two bytes of length and as many
 * bytes:
 *   0  frames as they come
 *   1  datagrams, in a frame with good Ethernet, IP and UDP headers
 *   2  packets, in a datagram with a good header, on a path made by a handshake before
 * Bit 2 chooses shared memory (no CRC) for the path. Each mbuf must come back to its pool, and the
 * machine must be empty when its paths are down.
 */
#include "fuzz.h"

#include "core.h"
#include "crc32c.h"
#include "dpdk.h"
#include "eal.h"
#include "neigh.h"
#include "net_wire.h"
#include "tela_node.h"

enum { UDP = 7447, PEER_UDP = 7448, ROOM = 1900, PEER_ID = 0x1234, HEADER = 32 };

#define US   htonl(0x0a000001)
#define PEER htonl(0x0a000002)

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 9}, own_mac[6] = {2, 0, 0, 0, 0, 1};
static struct port port;
static struct rte_mempool *pool;
static struct core core;
static struct netif netif, *const nif = &netif;
static struct tela_service *service;
static _Atomic(struct service_table *) table;
static uint64_t now_ns, number;
static struct tela_handle parked;
static bool is_parked;

/* ---- the service ---- */

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	return tela_reply_copy(call, call->request, call->request_len);
}

static enum tela_verdict park(struct tela_call *call, void *self)
{
	if (is_parked || tela_call_pend(call, &parked, NULL, NULL))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, NULL);
	is_parked = true;
	return TELA_PENDING;
}

static const struct tela_method_desc methods[] = {
	{"echo", 1, 0, 0, NULL, NULL}, {"park", 2, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 42, NULL, 0, 2, methods};
static const struct tela_link links[] = {
	{NULL, &desc, 1, echo, NULL}, {NULL, &desc, 2, park, NULL}};
static const struct tela_image_link image_links[] = {
	{&links[0], NULL, "test"}, {&links[1], NULL, "test"}};

/* ---- once a process ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct tela_core_config cpu = {.cpu = 0};
	struct tela_port_config c = {
		.name = "fuzz", .device = "net_null0", .address = "10.0.0.1/24", .mtu = 1500};
	struct tela_node_config node = {.name = "fuzz_frame",
		.cores = &cpu,
		.n_cores = 1,
		.ports = &c,
		.n_ports = 1,
		.no_huge = true,
		.share_cpu = true,
		.memory_mib = 64};
	char err[256] = "";
	struct tela_image *image;

	(void)argc;
	(void)argv;
	if (eal_start(&node, err, sizeof(err)) || port_probe(&port, &c, err, sizeof(err)) ||
		!(pool = port_pool_create(&port, 0, 511, 0)) ||
		port_open(&port, 1, &pool, err, sizeof(err)) ||
		port_start(&port, err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		exit(1);
	}
	service = service_create(NULL, &desc, 0);
	CHECK(service);
	image = image_build(service, 1, image_links, 2, err, sizeof(err));
	CHECK(image);
	image_swap(service, image);
	atomic_store(&table, service_table_build(&service, 1));
	atexit(eal_stop);
	return 0;
}

/* ---- in and out ---- */

static void deliver(void *arg, const struct net_addr *from, uint8_t *payload, uint32_t len)
{
	machine_rx(arg, from, payload, len);
}

static void frame_in(const uint8_t *bytes, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	CHECK(m);
	len = min_u32(len, ROOM);
	if (len)
		memcpy(rte_pktmbuf_append(m, (uint16_t)len), bytes, len);
	net_input(nif, m, now_ns, deliver, &core.m);
}

static void datagram_in(const uint8_t *bytes, uint32_t len)
{
	uint8_t frame[ROOM];
	uint8_t *ip = frame + ETHER_LEN, *udp = ip + IPV4_LEN;
	uint16_t sum;

	len = min_u32(len, ROOM - NET_HEAD_IPV4);
	for (uint32_t n = 1; n <= HAND_CORES; n++)
		CHECK(hand_core_of(bytes, len, (uint16_t)(len < 2 ? 0 : bytes[0] << 8 | bytes[1]),
			      n, 0) < n);
	net_put_ether(frame, port.mac, peer_mac, ETHERTYPE_IPV4);
	net_put_ip(ip, IPV4_UDP, PEER, US);
	put16(ip + IPV4_LENGTH, (uint16_t)(IPV4_LEN + UDP_LEN + len));
	sum = checksum_fold(checksum_add(0, ip, IPV4_LEN));
	memcpy(ip + IPV4_CHECKSUM, &sum, 2);
	put16(udp + UDP_SRC, PEER_UDP);
	put16(udp + UDP_DST, UDP);
	put16(udp + UDP_LENGTH, (uint16_t)(UDP_LEN + len));
	memset(udp + UDP_CHECKSUM, 0, 2); /* none */
	if (len)
		memcpy(udp + UDP_LEN, bytes, len);
	frame_in(frame, NET_HEAD_IPV4 + len);
}

static void packets_in(const uint8_t *bytes, uint32_t len, uint32_t connection, uint8_t integrity)
{
	uint8_t to[ROOM] = {0};
	frame_Datagram d = {.version = WIRE_VERSION,
		.flags = integrity,
		.header_length = HEADER,
		.connection = connection,
		.number_low = connection ? (uint32_t)++number : 0,
		.stamp = 1};
	uint32_t crc;

	len = min_u32(len, 1400);
	frame_Datagram_store(to, &d);
	if (len)
		memcpy(to + HEADER, bytes, len);
	len += HEADER;
	if (integrity == frame_Integrity_crc32c || len < WIRE_DATAGRAM + WIRE_CRC) {
		crc = crc32c(0, to, len);
		memcpy(to + len, &crc, WIRE_CRC);
		len += WIRE_CRC;
	}
	datagram_in(to, len);
}

/* What would go to the device comes back to the pool; returns the last frame's datagram. */
static uint32_t take_out(uint8_t *ret, uint32_t room)
{
	uint32_t len = 0;

	for (uint16_t i = 0; i < nif->n_out; i++) {
		struct rte_mbuf *m = nif->out[i];

		if (m->data_len > NET_HEAD_IPV4 && ret) {
			len = min_u32(m->data_len - NET_HEAD_IPV4, room);
			memcpy(ret, rte_pktmbuf_mtod(m, uint8_t *) + NET_HEAD_IPV4, len);
		}
		rte_pktmbuf_free(m);
	}
	nif->n_out = 0;
	return len;
}

static void pass(uint64_t ns)
{
	now_ns += ns;
	machine_begin(&core.m, now_ns);
	machine_timers(&core.m);
	machine_flush(&core.m, now_ns);
	take_out(NULL, 0);
}

/* ---- a path ---- */

static void hello_in(uint64_t cookie, uint32_t cookie_time)
{
	uint8_t packet[WIRE_PACKET + WIRE_HELLO];
	frame_Packet h = {.kind = frame_Kind_hello, .length = sizeof(packet)};
	frame_Hello hello = {.node = 2,
		.incarnation = 3,
		.cookie = cookie,
		.cookie_time = cookie_time,
		.connection = PEER_ID,
		.cores = 1,
		.mtu = 1500,
		.sessions = 4,
		.slots = 8,
		.version_low = WIRE_VERSION,
		.version_high = WIRE_VERSION,
		.integrity_offered = 3};

	frame_Packet_store(packet, &h);
	frame_Hello_store(packet + WIRE_PACKET, &hello);
	packets_in(packet, sizeof(packet), 0, frame_Integrity_crc32c);
}

static struct path *shake(void)
{
	uint8_t answer[256];
	frame_Hello hello;

	hello_in(0, 0);
	CHECK(take_out(answer, sizeof(answer)) >= HEADER + WIRE_PACKET + WIRE_HELLO);
	CHECK(frame_Packet_load(answer + HEADER - 2).kind == frame_Kind_cookie);
	hello = frame_Hello_load(answer + HEADER - 2 + WIRE_PACKET);
	hello_in(hello.cookie, hello.cookie_time);
	CHECK(take_out(answer, sizeof(answer)) >= HEADER + WIRE_PACKET + WIRE_HELLO);
	CHECK(frame_Packet_load(answer + HEADER - 2).kind == frame_Kind_accept);
	hello = frame_Hello_load(answer + HEADER - 2 + WIRE_PACKET);
	CHECK(path_find(&core.m, hello.connection));
	return path_find(&core.m, hello.connection);
}

/* ---- an input ---- */

static void begin(bool shared_memory)
{
	struct machine_config mc = {.node_id = 1,
		.incarnation = 1,
		.n_cores = 1,
		.peer_silence_ns = 50 * NS_PER_MS,
		.services = &table,
		.budgets = {.paths = 3,
			.sessions = 4,
			.slots = 48,
			.slots_per_session = 32,
			.calls = 8,
			.detached = 4,
			.messages_2k = 8,
			.messages_64k = 2,
			.messages_1m = 1,
			.in_flight = 8}};

	now_ns = 1000ull * NS_PER_S; /* DPDK has an int of that name */
	number = 0;
	is_parked = false;
	port.shared_memory = shared_memory;
	memcpy(port.mac, own_mac, 6); /* the device draws one */
	memset(port.neigh, 0, sizeof(port.neigh));
	memset(&core, 0, sizeof(core));
	core.seed[0] = 1; /* one input, one run */
	core.seed[1] = 2;
	CHECK(!netif_init(nif, &port, 0, 0, UDP, pool, &core.counts));
	core.netif = nif;
	core.n_netifs = core.n_polled = 1;
	CHECK(!machine_init(&core.m, &mc, &core_machine_ops, &core, &core.counts));
	machine_begin(&core.m, now_ns);
	CHECK(!neigh_learn(&port, PEER, peer_mac, now_ns, true));
}

static void end(void)
{
	struct machine *m = &core.m;

	machine_flush(m, now_ns);
	for (uint32_t i = 0; i < m->cfg.budgets.paths; i++)
		if (m->paths[i].state != PATH_FREE)
			path_down(m, &m->paths[i], "the end");
	if (is_parked)
		call_resume(m, parked, false, 0, NULL, "", 0);
	CHECK(m->n_calls_busy == 0 && m->n_detached == 0 && m->n_bulks == 0);
	CHECK(m->n_callee_blocks == m->cfg.budgets.slots / SLOT_BLOCK);
	for (int c = 0; c < MSG_CLASSES; c++)
		CHECK(m->msgs.n_free[c] == m->msgs.n[c]);
	machine_fini(m);
	netif_fini(nif);
	CHECK(rte_mempool_in_use_count(pool) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = {data, data + size};
	uint8_t first = feed_u8(&f);
	struct path *p = NULL;

	begin(first & 4);
	if (first % 4 >= 2)
		p = shake();
	for (int i = 0; i < 64 && !feed_empty(&f); i++) {
		uint16_t want = feed_u16(&f);
		uint32_t len;
		const uint8_t *bytes = feed_bytes(&f, want & 2047, &len);

		if (first % 4 == 0)
			frame_in(bytes, len);
		else if (first % 4 == 1)
			datagram_in(bytes, len);
		else if (p->state == PATH_UP)
			packets_in(bytes, len, p->id, p->integrity);
		take_out(NULL, 0);
		if (want & 2048 && is_parked) {
			call_resume(&core.m, parked, false, 0, NULL, bytes, len);
			is_parked = false;
		}
		if (want & 4096)
			pass((want >> 13) * 3 * NS_PER_MS);
	}
	end();
	return 0;
}

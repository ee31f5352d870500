/* pinghost.c - a host on one port and nothing else: answers ARP and ping, echoes UDP datagrams on
 * port 7447, asks for the address in its third argument. For test_net_live.py. Prints "ready", and
 * its counters when told to end.
 *
 * usage: pinghost DEVICE ADDRESS/BITS PEER-ADDRESS [CPU]
 */
#include <arpa/inet.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "eal.h"
#include "net.h"
#include "port.h"
#include "say.h"
#include "tela_node.h"

static struct port port;
static struct netif nif;
static struct counts counts;
static struct net_addr peer = {.udp = 7447};
static _Atomic bool stop;
static _Atomic bool peer_known;
static uint64_t now_ns;

static void on_signal(int signal)
{
	(void)signal;
	atomic_store(&stop, true);
}

static void echo(void *arg, const struct net_addr *from, uint8_t *payload, uint32_t len)
{
	struct net_head head;
	struct rte_mbuf *m;
	uint8_t *data;
	uint32_t room;

	(void)arg;
	if (netif_head(&nif, from, now_ns, &head))
		return;
	m = netif_alloc(&nif, head.len, &data, &room);
	if (!m)
		return;
	memcpy(data, payload, len < room ? len : room);
	netif_send(&nif, m, &head, len < room ? len : room);
}

static int loop(void *arg)
{
	struct net_head head;
	struct timespec t;
	uint64_t next_ns = 0;

	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		now_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
		if (now_ns > next_ns) {
			atomic_store(&peer_known, !netif_head(&nif, &peer, now_ns, &head));
			next_ns = now_ns + 200 * NS_PER_MS;
		}
		if (!netif_rx(&nif, now_ns, echo, NULL) && !netif_flush(&nif))
			usleep(200); /* a test, on shared CPUs */
		netif_flush(&nif);
	}
	return 0;
}

static int start(char **argv, int cpu, struct rte_mempool **pool, char *err, size_t err_len)
{
	struct tela_port_config c = {.name = "p", .device = argv[1], .address = argv[2]};
	struct tela_core_config core = {.cpu = cpu};
	struct tela_node_config node = {.name = "pinghost",
		.ports = &c,
		.n_ports = 1,
		.cores = &core,
		.n_cores = 1,
		.no_huge = true,
		.share_cpu = true,
		.memory_mib = 64};
	int ret = eal_start(&node, err, err_len);

	if (!ret)
		ret = port_probe(&port, &c, err, err_len);
	if (ret)
		return ret;
	*pool = port_pool_create(&port, 0, 4095, 0);
	if (!*pool)
		return say(err, err_len, -ENOMEM, "no memory for buffers");
	ret = port_open(&port, 1, pool, err, err_len);
	if (!ret)
		ret = port_start(&port, err, err_len);
	return ret ? ret : netif_init(&nif, &port, 0, 0, 7447, *pool, &counts);
}

int main(int argc, char **argv)
{
	struct rte_mempool *pool = NULL;
	char err[256] = "";
	bool said = false;

	if (argc < 4 || inet_pton(AF_INET, argv[3], &peer.ip) != 1)
		return 2;
	signal(SIGTERM, on_signal);
	if (start(argv, argc > 4 ? atoi(argv[4]) : 0, &pool, err, sizeof(err))) {
		fprintf(stderr, "pinghost: %s\n", err);
		return 1;
	}
	printf("ready mtu=%u driver=%s\n", port.mtu, port.driver);
	fflush(stdout);
	CHECK(!eal_launch(0, loop, NULL));
	while (!atomic_load(&stop)) {
		port_poll_link(&port);
		if (!said && atomic_load(&peer_known)) {
			said = true;
			printf("peer known\n");
			fflush(stdout);
		}
		usleep(5000);
	}
	eal_wait(0);
	for (int i = 0; i < COUNT_N; i++) {
		if (count_read(&counts, (enum count_id)i))
			printf("%s %lu\n", count_info[i].name,
				count_read(&counts, (enum count_id)i));
	}
	netif_fini(&nif);
	port_close(&port);
	port_pool_free(pool);
	eal_stop();
	return 0;
}

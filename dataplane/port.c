/* port.c - probing, configuring and watching an ethdev.
 *
 * The MTU is the smallest of what the configuration asks, 9,000, what the driver takes, and what
 * the kernel's interface behind it has (af_packet, tap, af_xdp). memif states no limit of its own:
 * a frame that fits one of its buffers (bsize) is one mbuf, so bsize decides.
 *
 * A kernel device is no wire. af_packet pads short frames, knows nothing about checksums when
 * receiving, and on a veth pair the kernel leaves the UDP checksum of what its own sockets send
 * unfinished (CHECKSUM_PARTIAL; the driver does not tell): such datagrams are dropped as
 * drop_udp_checksum until `ethtool -K <peer> tx off` is said on the other end. Datagrams from
 * another af_packet port are unaffected: their checksums are made here.
 */
#include "port.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "dpdk.h"
#include "eal.h"
#include "memif_quirks.h"
#include "say.h"
#include "tela_node.h"

enum {
	ETHER_HEAD = 14,
	ETHER_OVERHEAD = 14 + 4, /* and the frame check sequence */
	BUFFER_SLACK = 4 + 12,   /* a VLAN tag, and room to align the payload */
	DESCRIPTORS = 1024,
	MEMIF_BSIZE_DEFAULT = 2048,
	MEMIF_SERVERS_MAX = 64,
	MEMIF_SERVER_QUEUES =
		8, /* so many cores may a client have; more only cost a little memory */
};

/* Between attempts of a memif client: nobody listened; somebody did, but the link is not up yet. */
#define RETRY_NS 50000000u
#define AGREE_NS 1000000000u

/* ---- what a device string says ---- */

static bool device_is(const char *device, const char *driver)
{
	return !strncmp(device, driver, strlen(driver));
}

/* The value of `key` in "name,key=value,...". */
static bool device_value(const char *device, const char *key, char *ret_value, size_t room)
{
	size_t key_len = strlen(key);

	for (const char *at = strchr(device, ','); at; at = strchr(at + 1, ',')) {
		if (strncmp(at + 1, key, key_len) || at[1 + key_len] != '=')
			continue;
		at += key_len + 2;
		snprintf(ret_value, room, "%.*s", (int)strcspn(at, ","), at);
		return true;
	}
	return false;
}

static bool is_shared_memory(const char *device)
{
	static const char *const drivers[] = {"net_memif", "net_ring", "net_vhost", "eth_vhost",
		"net_virtio_user", "virtio_user"};

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		if (device_is(device, drivers[i]))
			return true;
	}
	return false;
}

/* The socket that the device will listen on, and its type; 0: it does not. */
static int listens_on(const char *device, char *ret_path, size_t room)
{
	char role[16] = "", abstract[8] = "yes", other[8] = "0";

	if (device_is(device, "net_memif")) {
		device_value(device, "role", role, sizeof(role));
		device_value(device, "socket-abstract", abstract, sizeof(abstract));
		return strcmp(role, "client") && !strcmp(abstract, "no") &&
				       device_value(device, "socket", ret_path, room)
			       ? SOCK_SEQPACKET
			       : 0;
	}
	if (device_is(device, "net_vhost") || device_is(device, "eth_vhost")) {
		device_value(device, "client", other, sizeof(other));
		return !strcmp(other, "0") && device_value(device, "iface", ret_path, room)
			       ? SOCK_STREAM
			       : 0;
	}
	if (device_is(device, "net_virtio_user") || device_is(device, "virtio_user")) {
		device_value(device, "server", other, sizeof(other));
		return strcmp(other, "0") && device_value(device, "path", ret_path, room)
			       ? SOCK_STREAM
			       : 0;
	}
	return 0;
}

/* A server that was killed leaves its socket behind, and the next bind fails on it. Only a socket
 * that nobody listens on is removed. */
static void remove_stale_socket(const char *device)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int type = listens_on(device, un.sun_path, sizeof(un.sun_path)), fd;

	if (!type)
		return;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) && errno == ECONNREFUSED)
		unlink(un.sun_path);
	close(fd);
}

/* ---- addresses ---- */

static int parse_addresses(
	struct port *p, const struct tela_port_config *c, char *err, size_t err_len)
{
	char text[64], *slash;
	char *end = NULL;
	struct in_addr ip;
	unsigned long bits = 32;

	snprintf(text, sizeof(text), "%s", c->address ? c->address : "");
	slash = strchr(text, '/');
	if (slash) {
		*slash = '\0';
		bits = strtoul(slash + 1, &end, 10);
	}
	if (!slash || *end || end == slash + 1 || bits < 1 || bits > 32 ||
		inet_pton(AF_INET, text, &ip) != 1)
		return say(err, err_len, -EINVAL,
			"port %s: address \"%s\" is not like 10.0.0.1/24 (IPv6 is not there yet)",
			p->name, c->address ? c->address : "");
	p->ip = ip.s_addr;
	p->netmask = htonl(~0u << (32 - bits));
	p->gateway = 0;
	if (!c->gateway || !*c->gateway)
		return 0;
	if (inet_pton(AF_INET, c->gateway, &ip) != 1 || (ip.s_addr ^ p->ip) & p->netmask)
		return say(err, err_len, -EINVAL, "port %s: gateway \"%s\" is not an address of %s",
			p->name, c->gateway, c->address);
	p->gateway = ip.s_addr;
	return 0;
}

/* ---- probing ---- */

static int find_device(struct port *p, char *err, size_t err_len)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_dev_iterator it;
	uint16_t id;
	int ret;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(p->device, ","), p->device);
	if (eal_is_pci(p->device)) {
		/* EAL probed it by its --allow list; the address may be in its short form. */
		RTE_ETH_FOREACH_MATCHING_DEV(id, name, &it)
		{
			rte_eth_iterator_cleanup(&it);
			p->id = id;
			return 0;
		}
		return say(err, err_len, -ENODEV,
			"port %s: no usable PCI device %s (bound to vfio-pci, and its driver "
			"installed?)",
			p->name, p->device);
	}
	if (device_is(p->device, "net_memif") && !memif_quirks_active())
		return say(err, err_len, -ENOTSUP,
			"port %s: memif needs munmap() and sendmsg() of this library, but "
			"another's are "
			"in front: link libtela before it, or do without LD_PRELOAD",
			p->name);
	remove_stale_socket(p->device);
	ret = rte_dev_probe(p->device);
	if (!ret)
		ret = rte_eth_dev_get_port_by_name(name, &p->id);
	if (ret)
		return say(err, err_len, ret,
			"port %s: cannot open device \"%s\": %s (DPDK's own words are on standard "
			"error)",
			p->name, p->device, strerror(-ret));
	return 0;
}

/* MTU of the kernel's interface behind the device; 0: there is none. */
static uint32_t kernel_mtu(uint32_t if_index)
{
	struct ifreq r = {0};
	uint32_t mtu = 0;
	int fd;

	if (!if_index || !if_indextoname(if_index, r.ifr_name))
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !ioctl(fd, SIOCGIFMTU, &r))
		mtu = (uint32_t)r.ifr_mtu;
	if (fd >= 0)
		close(fd);
	return mtu;
}

static uint32_t memif_bsize(const struct port *p)
{
	char text[16];

	return device_value(p->device, "bsize", text, sizeof(text))
		       ? (uint32_t)strtoul(text, NULL, 10)
		       : MEMIF_BSIZE_DEFAULT;
}

static uint32_t device_mtu(const struct port *p, const struct rte_eth_dev_info *info)
{
	uint32_t overhead = ETHER_OVERHEAD, mtu, kernel;

	if (device_is(p->device, "net_memif"))
		return memif_bsize(p) - ETHER_HEAD;
	if (info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu)
		overhead = info->max_rx_pktlen - info->max_mtu;
	mtu = info->max_rx_pktlen - overhead;
	if (info->max_mtu && info->max_mtu < mtu)
		mtu = info->max_mtu;
	kernel = kernel_mtu(info->if_index);
	return kernel ? min_u32(mtu, kernel) : mtu;
}

static int choose_mtu(struct port *p, uint16_t asked, const struct rte_eth_dev_info *info,
	char *err, size_t err_len)
{
	uint32_t most = min_u32(device_mtu(p, info), PORT_MTU_MAX), frame;

	if (asked > most || most < PORT_MTU_MIN || (asked && asked < PORT_MTU_MIN))
		return say(err, err_len, -EINVAL,
			"port %s: mtu %u is not within %u and %u, the most the device takes%s",
			p->name, asked ? asked : most, PORT_MTU_MIN, most,
			device_is(p->device, "net_memif") ? " (memif: bsize - 14)" : "");
	p->mtu = asked ? asked : (uint16_t)most;
	/* memif copies in one go if an mbuf holds a whole buffer of the peer's; NICs count buffers
	 * in KiB. */
	if (device_is(p->device, "net_memif"))
		frame = (memif_bsize(p) + BUFFER_SLACK + 63) & ~63u;
	else
		frame = ((uint32_t)p->mtu + ETHER_OVERHEAD + BUFFER_SLACK + 1023u) & ~1023u;
	p->mbuf_room = (uint16_t)(RTE_PKTMBUF_HEADROOM +
				  min_u32(frame, UINT16_MAX - RTE_PKTMBUF_HEADROOM));
	return 0;
}

/* What a tap's kernel side and we have are one address; frames to it would stay in the kernel if
 * the tap were in a bridge. The kernel hands us every frame whatever its address, so ours may
 * differ. */
static void choose_mac(struct port *p)
{
	struct rte_ether_addr mac;

	if (rte_eth_macaddr_get(p->id, &mac))
		memset(&mac, 0, sizeof(mac));
	memcpy(p->mac, mac.addr_bytes, sizeof(p->mac));
	if (device_is(p->device, "net_tap")) {
		p->mac[0] |= 2;
		p->mac[5] ^= 1;
	}
}

static void read_checksums(struct port *p, const struct rte_eth_dev_info *info)
{
	const uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

	p->tx_checksum = !p->shared_memory && (info->tx_offload_capa & tx) == tx;
	p->rx_checksum = !p->shared_memory && (info->rx_offload_capa & rx) == rx;
}

/* A virtual device says where the thread was that made it, which means nothing; of a kernel's
 * interface with a device behind it, the kernel knows. */
static int device_socket(const struct port *p, const struct rte_eth_dev_info *info)
{
	char name[IF_NAMESIZE], path[sizeof(name) + 48];
	int socket = NUMA_ANY;
	FILE *f;

	if (eal_is_pci(p->device))
		return rte_eth_dev_socket_id(p->id);
	if (!info->if_index || !if_indextoname(info->if_index, name))
		return NUMA_ANY;
	snprintf(path, sizeof(path), "/sys/class/net/%s/device/numa_node", name);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &socket) != 1)
		socket = NUMA_ANY;
	if (f)
		fclose(f);
	return socket;
}

int port_probe(struct port *p, const struct tela_port_config *c, char *err, size_t err_len)
{
	struct rte_eth_dev_info info;
	char role[16] = "", zero_copy[8] = "no";
	int ret;

	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", c->name ? c->name : "");
	snprintf(p->device, sizeof(p->device), "%s", c->device ? c->device : "");
	p->forwards = c->forward;
	p->loss = c->loss;
	p->duplicate = c->duplicate;
	p->reorder = c->reorder;
	p->fault_seed = c->fault_seed;
	ret = parse_addresses(p, c, err, err_len);
	if (!ret)
		ret = find_device(p, err, err_len);
	if (ret)
		return ret;
	p->open = true;
	ret = rte_eth_dev_info_get(p->id, &info);
	if (ret) {
		port_close(p);
		return say(err, err_len, ret, "port %s: no information from the device", p->name);
	}
	p->rte_device = info.device;
	p->socket = device_socket(p, &info);
	p->elsewhere.node = NUMA_ANY;
	snprintf(p->driver, sizeof(p->driver), "%s", info.driver_name);
	p->max_queues =
		(uint16_t)min_u32(min_u32(info.max_rx_queues, info.max_tx_queues), PORT_QUEUES_MAX);
	p->shared_memory = is_shared_memory(p->device);
	device_value(p->device, "role", role, sizeof(role));
	p->memif_server = device_is(p->device, "net_memif") &&
			  (!strcmp(role, "server") || !strcmp(role, "master"));
	p->memif_client = device_is(p->device, "net_memif") && !p->memif_server;
	p->hashes = !p->shared_memory;
	device_value(p->device, "zero-copy", zero_copy, sizeof(zero_copy));
	p->copies = device_is(p->device, "net_memif") && strcmp(zero_copy, "yes");
	read_checksums(p, &info);
	choose_mac(p);
	ret = choose_mtu(p, c->mtu, &info, err, err_len);
	if (ret)
		port_close(p);
	return ret;
}

/* ---- pools ---- */

/* On the port's socket, or else the caller's; on any if that has no memory. Huge pages EAL takes
 * from where it is told; of ordinary memory it does not know where it comes from. */
static struct rte_mempool *make_pool(struct port *p, const char *name, uint32_t n, uint32_t cache,
	uint16_t priv, uint16_t room, int socket)
{
	bool ordinary = !eal_huge() && eal_sockets() > 1;
	struct rte_mempool *pool;
	int error;

	if (p->socket >= 0)
		socket = p->socket;
	error = ordinary ? numa_prefer(socket) : 0;
	pool = rte_pktmbuf_pool_create(name, n, cache, priv, room, socket);
	if (ordinary && !error)
		numa_default();
	if (!pool) {
		error = -rte_errno;
		pool = rte_pktmbuf_pool_create(name, n, cache, priv, room, SOCKET_ID_ANY);
	}
	if (error)
		p->elsewhere = (struct numa_place){socket, error};
	return pool;
}

struct rte_mempool *port_pool_create(struct port *p, uint16_t queue, uint32_t n, int socket)
{
	enum { CACHE = 256 };
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "port%u-%u", p->id, queue);
	return make_pool(p, name, n, n >= 4 * CACHE ? CACHE : 0, 0, p->mbuf_room, socket);
}

struct rte_mempool *port_borrow_pool_create(struct port *p, uint16_t queue, int socket)
{
	enum { BORROWS = 255, CACHE = 64 };
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "port%u-%u-borrow", p->id, queue);
	return make_pool(p, name, BORROWS, CACHE,
		RTE_ALIGN(sizeof(struct rte_mbuf_ext_shared_info), RTE_MBUF_PRIV_ALIGN), 0, socket);
}

void port_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}

size_t port_pool_bytes(const struct port *p, uint32_t n)
{
	struct rte_mempool_objsz size;

	return (size_t)n * rte_mempool_calc_obj_size(
				   (uint32_t)sizeof(struct rte_mbuf) + p->mbuf_room, 0, &size);
}

/* ---- opening ---- */

uint16_t port_queues(const struct port *p, uint32_t n_cores)
{
	uint32_t n = n_cores;

	if (p->memif_server && n < MEMIF_SERVER_QUEUES)
		n = MEMIF_SERVER_QUEUES;
	if (device_is(p->device, "net_af_packet")) /* all get frames, opened or not */
		n = p->max_queues;
	return (uint16_t)min_u32(n, p->max_queues);
}

/* With one queue here the peer may still have several: a few attempts find out. */
uint16_t port_attempts(const struct port *p)
{
	enum { ONE_QUEUE = 8, SEVERAL = 48 };

	if (!p->hashes)
		return 0;
	return p->n_queues > 1 ? SEVERAL : ONE_QUEUE;
}

static void make_conf(
	const struct port *p, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	/* memif's stated frame limit is that of Ethernet, which it does not keep to: its MTU is not
	 * ethdev's. */
	conf->intr_conf.rxq = p->interrupts;
	conf->rxmode.mtu = device_is(p->device, "net_memif") ? 0 : p->mtu;
	if (p->rx_checksum)
		conf->rxmode.offloads |=
			RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	if (p->tx_checksum)
		conf->txmode.offloads |=
			RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	/* A queue's buffers all come from its one pool, and none is shared; unless it is lent. */
	if (!p->lent)
		conf->txmode.offloads |= info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	if (p->n_queues > 1 && info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_UDP) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
	}
}

static int setup_queues(struct port *p, struct rte_mempool *const *pools)
{
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
	int ret = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &rx, &tx);

	for (uint16_t q = 0; q < p->n_queues && !ret; q++) {
		unsigned socket = (unsigned)pools[q]->socket_id;

		ret = rte_eth_rx_queue_setup(p->id, q, rx, socket, NULL, pools[q]);
		if (!ret)
			ret = rte_eth_tx_queue_setup(p->id, q, tx, socket, NULL);
	}
	return ret;
}

static void set_closed(struct port *p, bool closed)
{
	for (uint16_t q = 0; q < PORT_QUEUES_MAX; q++)
		atomic_store_explicit(&p->guard[q].closed, closed, memory_order_release);
}

/* ---- memif servers: how many queues are rings of the peer's ---- */

static struct port *memif_servers[MEMIF_SERVERS_MAX]; /* interrupt thread */

/* Queue 0 is there whenever the link is up. A core may be inside a burst on one that is no more. */
static void set_live(struct port *p, uint32_t rings)
{
	uint16_t live = (uint16_t)(rings > 1 ? min_u32(rings, p->n_queues) : 1);

	atomic_store_explicit(&p->live, live, memory_order_relaxed);
	for (uint16_t q = 1; q < PORT_QUEUES_MAX; q++)
		atomic_store_explicit(&p->guard[q].closed, q >= live, memory_order_release);
	guard_wait(p->guard, PORT_QUEUES_MAX);
}

static void memif_rings(const char *device, uint32_t rings)
{
	for (uint32_t i = 0; i < MEMIF_SERVERS_MAX; i++) {
		struct port *p = memif_servers[i];
		size_t len = p ? strcspn(p->device, ",") : 0;
		struct rte_eth_link link = {0};

		if (!p)
			continue;
		if (device && !strncmp(p->device, device, len) && !device[len])
			set_live(p, rings);
		else if (!device && !rte_eth_link_get_nowait(p->id, &link) && !link.link_status)
			set_live(p, 1);
	}
}

/* [interrupt thread] */
static int memif_server_add(struct port *p)
{
	uint32_t i = 0;

	while (i < MEMIF_SERVERS_MAX && memif_servers[i])
		i++;
	if (i == MEMIF_SERVERS_MAX)
		return -ENOSPC;
	memif_quirks_tell(memif_rings);
	memif_servers[i] = p;
	return 0;
}

static void memif_server_remove(const struct port *p)
{
	for (uint32_t i = 0; i < MEMIF_SERVERS_MAX; i++)
		if (memif_servers[i] == p)
			memif_servers[i] = NULL;
}

/* ---- opening ---- */

int port_open(struct port *p, uint16_t n_queues, struct rte_mempool *const *pools, char *err,
	size_t err_len)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	int ret = rte_eth_dev_info_get(p->id, &info);

	set_closed(p, true);
	p->n_queues = (uint16_t)min_u32(n_queues, p->max_queues);
	atomic_store(&p->live, p->memif_server ? 1 : p->n_queues);
	if (!ret) {
		make_conf(p, &info, &conf);
		ret = rte_eth_dev_configure(p->id, p->n_queues, p->n_queues, &conf);
	}
	if (!ret)
		ret = setup_queues(p, pools);
	if (ret)
		return say(err, err_len, ret,
			"port %s: the device refuses %u queues with mtu %u: %s", p->name,
			p->n_queues, p->mtu, strerror(-ret));
	if (!device_is(p->device, "net_memif"))
		return 0;
	ret = guard_watch(p->guard, PORT_QUEUES_MAX);
	p->guarded = !ret;
	return ret ? say(err, err_len, ret, "port %s: too many memif ports", p->name) : 0;
}

/* ---- starting and stopping ---- */

struct port_job {
	struct port *port;
	int (*run)(struct port *p);
	int ret;
	sem_t done;
};

static void run_job(void *arg)
{
	struct port_job *j = arg;

	j->ret = j->run(j->port);
	sem_post(&j->done);
}

/* memif works on EAL's interrupt thread and has no lock: stopping it from another one frees what it
 * is at work on. An alarm's callback runs on that thread, so there the two take turns. */
static int on_driver_thread(struct port *p, int (*run)(struct port *p))
{
	struct port_job j = {.port = p, .run = run};
	int ret;

	if (!device_is(p->device, "net_memif"))
		return run(p);
	sem_init(&j.done, 0, 0);
	ret = rte_eal_alarm_set(1, run_job, &j);
	if (ret) {
		sem_destroy(&j.done);
		return ret;
	}
	while (sem_wait(&j.done))
		;
	sem_destroy(&j.done);
	return j.ret;
}

static int stop_device(struct port *p)
{
	return rte_eth_dev_stop(p->id);
}

static int stop_and_close_device(struct port *p)
{
	memif_server_remove(p);
	if (p->started)
		rte_eth_dev_stop(p->id);
	return rte_eth_dev_close(p->id);
}

static int start_device_here(struct port *p)
{
	int ret = p->memif_server ? memif_server_add(p) : 0;

	return ret ? ret : rte_eth_dev_start(p->id);
}

/* ---- link ---- */

static int start_device(struct port *p)
{
	int ret = on_driver_thread(p, start_device_here);

	p->started = !ret;
	if (!ret && p->memif_server)
		atomic_store_explicit(&p->guard[0].closed, false, memory_order_release);
	else if (!ret)
		set_closed(p, false);
	return ret;
}

/* That nobody listens yet is said as an error by the driver, again and again. */
static int start_client(struct port *p)
{
	static const char logger[] = "pmd.net.memif";
	int ret;

	rte_log_set_level_pattern(logger, RTE_LOG_CRIT);
	ret = start_device(p);
	rte_log_set_level_pattern(logger, RTE_LOG_ERR);
	return ret;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A memif client connects when it is started, at no other time. One that found its server listening
 * is given a while to agree with it. */
static void reconnect(struct port *p)
{
	uint64_t now_ns = clock_ns();

	if (now_ns < p->retry_ns)
		return;
	if (p->started) {
		set_closed(p, true);
		guard_wait(p->guard, PORT_QUEUES_MAX);
		on_driver_thread(p, stop_device);
		p->started = false;
	}
	p->retry_ns = now_ns + (start_client(p) ? RETRY_NS : AGREE_NS);
}

int port_start(struct port *p, char *err, size_t err_len)
{
	int ret = p->memif_client ? start_client(p) : start_device(p);

	if (ret && !p->memif_client)
		return say(err, err_len, ret, "port %s: the device does not start: %s", p->name,
			strerror(-ret));
	p->retry_ns = clock_ns() + (ret ? RETRY_NS : AGREE_NS);
	return 0;
}

int port_interrupt_fd(const struct port *p, uint16_t queue, bool *ret_level)
{
	static const char logger[] = "lib.ethdev"; /* that there is none is said as an error */
	int fd;

	/* A tap wakes with its frame, but looks for it only when a signal has come as well, later
	 * perhaps. */
	*ret_level = device_is(p->device, "net_tap");
	rte_log_set_level_pattern(logger, RTE_LOG_CRIT);
	fd = rte_eth_dev_rx_intr_ctl_q_get_fd(p->id, queue);
	rte_log_set_level_pattern(logger, RTE_LOG_ERR);
	return fd;
}

void port_interrupt(const struct port *p, uint16_t queue, bool on)
{
	if (on)
		rte_eth_dev_rx_intr_enable(p->id, queue); /* a tap's are always on */
	else
		rte_eth_dev_rx_intr_disable(p->id, queue);
	atomic_thread_fence(memory_order_seq_cst);
}

bool port_poll_link(struct port *p)
{
	bool was = atomic_load_explicit(&p->up, memory_order_relaxed), is;
	struct rte_eth_link link = {0};

	is = p->started && !rte_eth_link_get_nowait(p->id, &link) &&
	     link.link_status == RTE_ETH_LINK_UP;
	if (was && !is)
		p->retry_ns = 0; /* at once */
	if (!is && p->memif_client)
		reconnect(p);
	if (is == was)
		return false;
	atomic_store_explicit(&p->up, is, memory_order_release);
	return true;
}

void port_close(struct port *p)
{
	if (!p->open)
		return;
	set_closed(p, true);
	guard_wait(p->guard, PORT_QUEUES_MAX);
	atomic_store(&p->up, false);
	on_driver_thread(p, stop_and_close_device);
	if (p->rte_device)
		rte_dev_remove(p->rte_device);
	if (p->guarded)
		guard_unwatch(p->guard);
	p->open = p->started = p->guarded = false;
}

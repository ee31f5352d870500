/* node.c - a node from its configuration: memory, ports, cores, peers; started and taken down in
 * mirrored order. */
#include <rte_config.h>
#include <rte_cycles.h>

#include "log_put.h"
#include "node.h"

#include "out.h"

#include "client.h"
#include "dpdk_telemetry.h"
#include "eal.h"
#include "idle.h"
#include "names.h"
#include "say.h"
#include "state.h"
#include "thread.h"
#include "worker.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <sys/random.h>

enum {
	MBUFS_PER_CORE = 8191,
	SEGMENTS_OF_THESE = 4096, /* may be held by messages */
	PEER_SILENCE_DEFAULT_US = 5000,
	PAUSE_SHARED_MS = 1000,
	SHED_TARGET_US = 20000,
	STALL_WARN_MS = 1000,
	STALL_ABORT_MS = 20000
};

/* ---- what a machine asks of the world ---- */

static void *io_get(void *io, const struct path *p, uint8_t **ret_data, uint32_t *ret_room)
{
	struct core *c = io;

	return netif_alloc(&c->netif[p->peer.netif], p->head.len, ret_data, ret_room);
}

static void io_send(void *io, const struct path *p, void *buf, uint32_t len)
{
	struct core *c = io;

	net_mark(buf, c->m.urgent);
	netif_send(&c->netif[p->peer.netif], buf, &p->head, len);
}

static void io_drop(void *io, void *buf)
{
	(void)io;
	netif_free(buf);
}

static void io_send_from(void *io, const struct path *p, void *buf, uint32_t len, const void *more,
	uint32_t more_len)
{
	struct core *c = io;

	net_mark(buf, false);
	netif_send_from(&c->netif[p->peer.netif], buf, &p->head, len, more, more_len);
}

static bool io_borrows(void *io, const struct path *p)
{
	return netif_borrows(&((struct core *)io)->netif[p->peer.netif]);
}

static void io_settle(void *io)
{
	struct core *c = io;

	for (uint32_t i = 0; i < c->n_polled; i++)
		netif_flush(&c->netif[i]);
}

static void *io_hold(void *io, const struct path *p)
{
	return netif_hold(&((struct core *)io)->netif[p->peer.netif]);
}

static void io_send_raw(void *io, const struct net_addr *to, const void *data, uint32_t len)
{
	struct core *c = io;
	struct netif *nif = &c->netif[to->netif];
	struct net_head head;
	struct rte_mbuf *m;
	uint32_t room;
	uint8_t *at;

	if (netif_head(nif, to, c->m.now_ns, &head))
		return;
	m = netif_alloc(nif, head.len, &at, &room);
	if (!m)
		return;
	if (len > room) {
		netif_free(m);
		return;
	}
	memcpy(at, data, len);
	net_mark(m, true); /* a handshake */
	netif_send(nif, m, &head, len);
}

static int io_resolve(void *io, struct path *p)
{
	struct core *c = io;

	return netif_head(&c->netif[p->peer.netif], &p->peer, c->m.now_ns, &p->head);
}

/* xoroshiro128+ (Blackman and Vigna, 2018), seeded by the kernel: connection ids need not be
 * secret, only unguessable enough; the cookie key is drawn from it once, right after seeding. */
static uint64_t io_random(void *io)
{
	struct core *c = io;
	uint64_t a = c->seed[0], b = c->seed[1], r = a + b;

	b ^= a;
	c->seed[0] = (a << 24 | a >> 40) ^ b ^ (b << 16);
	c->seed[1] = b << 37 | b >> 27;
	return r;
}

static uint64_t io_clock(void *io)
{
	return core_clock(io);
}

static uint16_t io_mtu(void *io, uint16_t netif)
{
	return ((struct core *)io)->netif[netif].port->mtu;
}

static bool io_shared_memory(void *io, uint16_t netif)
{
	return ((struct core *)io)->netif[netif].port->shared_memory;
}

static bool io_forwards(void *io, const struct path *p)
{
	return ((struct core *)io)->netif[p->peer.netif].port->forwards;
}

static uint16_t io_attempts(void *io, uint16_t netif)
{
	return port_attempts(((struct core *)io)->netif[netif].port);
}

const struct machine_ops core_machine_ops = {.get = io_get,
	.send = io_send,
	.drop = io_drop,
	.send_from = io_send_from,
	.borrows = io_borrows,
	.settle = io_settle,
	.hold = io_hold,
	.release = io_drop,
	.send_raw = io_send_raw,
	.resolve = io_resolve,
	.random = io_random,
	.clock = io_clock,
	.mtu = io_mtu,
	.shared_memory = io_shared_memory,
	.attempts = io_attempts,
	.forwards = io_forwards,
	.ask = core_ask,
	.out = out_resumed};

void core_seed(struct core *c)
{
	if (getrandom(c->seed, sizeof(c->seed), 0) != sizeof(c->seed))
		c->seed[0] = rte_rdtsc(), c->seed[1] = (uint64_t)(uintptr_t)c;
	c->seed[0] |= 1;
}

void core_calibrate(struct core *c)
{
	c->tsc_hz = rte_get_tsc_hz();
	c->tsc_mult = (uint64_t)(((unsigned __int128)NS_PER_S << 32) / c->tsc_hz);
}

/* ---- parts ---- */

static uint64_t name_id(const char *name)
{
	uint64_t h = 14695981039346656037ull;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211ull;
	return h ? h : 1;
}

/* The next netif of a core, on queue `queue` of a port, which may not have that many. */
static int add_netif(struct tela_node *n, struct core *c, uint32_t port, uint32_t queue)
{
	struct netif *nif = &c->netif[c->n_netifs];
	int rc = netif_init(nif, &n->ports[port], (uint16_t)queue, (uint16_t)c->n_netifs,
		n->udp_port, n->pools[port][c->index], &c->counts);

	if (rc)
		return rc;
	nif->borrow = n->borrow[port][c->index];
	nif->port_index = (uint16_t)port;
	nif->core = c;
	nif->n_cores = (uint16_t)n->n_cores;
	if (n->n_cores > 1) {
		nif->steer = hand_steer;
		nif->lend = hand_lend;
	}
	c->n_netifs++;
	return 0;
}

/* That messages may hold beyond those of the usual ones that they may. */
static uint32_t more_bufs(const struct tela_budgets *b)
{
	return b->segments - min_u32(b->segments, SEGMENTS_OF_THESE);
}

static int open_port(struct tela_node *n, uint32_t index, char *err, size_t err_len)
{
	struct rte_mempool **pools = n->pools[index], *by_queue[PORT_QUEUES_MAX];
	struct port *p = &n->ports[index];
	uint16_t n_queues;
	int rc;

	for (uint32_t i = 0; i < n->n_cores; i++) {
		uint32_t n_bufs = MBUFS_PER_CORE + more_bufs(&n->cores[i]->m.cfg.budgets);

		pools[i] = port_pool_create(p, (uint16_t)i, n_bufs, eal_socket(i));
		if (p->copies)
			n->borrow[index][i] =
				port_borrow_pool_create(p, (uint16_t)i, eal_socket(i));
		if (!pools[i] || (p->copies && !n->borrow[index][i]))
			return say(err, err_len, -ENOMEM,
				"ports[%u]: no memory for %u packet buffers (%zu MiB): raise "
				"memory_mib",
				index, n_bufs, port_pool_bytes(p, n_bufs) >> 20);
	}
	n_queues = port_queues(p, n->n_cores);
	for (uint32_t q = 0; q < n_queues; q++)
		by_queue[q] = pools[q % n->n_cores];
	p->lent = n_queues < n->n_cores;
	for (uint32_t i = 0; i < n->n_cores; i++)
		p->interrupts |= n->cores[i]->idle == TELA_IDLE_INTERRUPT;
	rc = port_open(p, n_queues, by_queue, err, err_len);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < n->n_cores; i++)
		if (add_netif(n, n->cores[i], index, i))
			return say(err, err_len, -ENOMEM, "ports[%u]: out of memory", index);
	return 0;
}

/* A device may have more queues than the node has cores: they take turns. */
static int open_further_queues(struct tela_node *n, char *err, size_t err_len)
{
	for (uint32_t i = 0; i < n->n_ports; i++)
		for (uint32_t q = n->n_cores; q < n->ports[i].n_queues; q++)
			if (add_netif(n, n->cores[q % n->n_cores], i, q))
				return say(err, err_len, -ENOMEM, "ports[%u]: out of memory", i);
	return 0;
}

/* Of the ports, if those that are on one are all on the same; else of the core's CPU. */
static int memory_node(const struct tela_node *n, uint32_t core)
{
	int node = NUMA_ANY;

	if (eal_sockets() < 2)
		return NUMA_ANY;
	for (uint32_t i = 0; i < n->n_ports; i++) {
		int of_port = n->ports[i].socket;

		if (of_port >= 0 && node >= 0 && of_port != node)
			return eal_socket(core);
		node = of_port >= 0 ? of_port : node;
	}
	return node >= 0 ? node : eal_socket(core);
}

static int make_core(struct tela_node *n, const struct tela_node_config *cfg, uint32_t index,
	char *err, size_t err_len)
{
	struct core *c = aligned_alloc(
		CACHE_LINE, (sizeof(*c) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
	struct machine_config mc = {.node_id = name_id(n->name),
		.incarnation = n->incarnation,
		.core = (uint16_t)index,
		.n_cores = (uint16_t)n->n_cores,
		.budgets = cfg->budgets,
		.services = &n->table,
		.forwards = &n->forwards};

	n->cores[index] = c;
	if (!c)
		return say(err, err_len, -ENOMEM, "out of memory for core %u", index);
	memset(c, 0, sizeof(*c));
	mc.peer_silence_ns =
		(cfg->peer_silence_us ? cfg->peer_silence_us : PEER_SILENCE_DEFAULT_US) * NS_PER_US;
	c->node = n;
	c->index = index;
	c->cpu = cfg->cores[index].cpu;
	c->socket = eal_socket(index);
	c->idle = cfg->cores[index].idle;
	c->wake.fd = c->events = -1;
	list_init(&c->waiting);
	list_init(&c->meshes);
	core_seed(c);
	core_calibrate(c);
	c->n_peers = n->n_peers;
	c->netif = calloc(n->n_ports * PORT_QUEUES_MAX + 1, sizeof(*c->netif));
	c->n_polled = n->n_ports;
	c->peer_path = calloc(n->n_peers * SPREAD_MAX + 1, sizeof(*c->peer_path));
	c->peer_shown = calloc(n->n_peers + 1, sizeof(*c->peer_shown));
	if (!c->netif || !c->peer_path || !c->peer_shown || wake_init(&c->wake) ||
		machine_init(&c->m, &mc, &core_machine_ops, c, &c->counts))
		return say(err, err_len, -ENOMEM, "out of memory for core %u: lower the budgets",
			index);
	return 0;
}

/* In memory of the node that it should be on. */
static int make_core_there(struct tela_node *n, const struct tela_node_config *cfg, uint32_t index,
	char *err, size_t err_len)
{
	struct numa_place place = {.node = memory_node(n, index)};
	int rc;

	if (place.node != NUMA_ANY)
		place.error = numa_prefer(place.node);
	rc = make_core(n, cfg, index, err, err_len);
	if (place.node != NUMA_ANY && !place.error)
		numa_default();
	if (!rc)
		n->cores[index]->memory = place;
	return rc;
}

/* Isolated CPUs have nobody to share with: there a core may spin. */
static bool cpu_isolated(int cpu)
{
	FILE *f = fopen("/sys/devices/system/cpu/isolated", "re");
	int from, to;
	bool found = false;
	char sep;

	while (f && !found && fscanf(f, "%d", &from) == 1) {
		to = from;
		if (fscanf(f, "%c", &sep) == 1 && sep == '-' && fscanf(f, "%d%c", &to, &sep) < 1)
			break;
		found = cpu >= from && cpu <= to;
	}
	if (f)
		fclose(f);
	return found;
}

/* A spinning core on a CPU that nobody else uses is away for no longer than it has shown. */
static void core_idles(struct core *c, const struct tela_node_config *cfg)
{
	const struct tela_core_config *cc = &cfg->cores[c->index];
	bool own = cpu_isolated(c->cpu);

	if (c->idle == TELA_IDLE_AUTO)
		c->idle = own ? TELA_IDLE_SPIN : TELA_IDLE_ADAPTIVE;
	own &= c->idle == TELA_IDLE_SPIN && !cfg->share_cpu;
	c->m.cfg.pause_ns = (cc->pause_ms ? cc->pause_ms : own ? 0 : PAUSE_SHARED_MS) * NS_PER_MS;
}

/* The first port whose subnet holds the address; else the first with a gateway; else the first. */
static uint16_t route(const struct tela_node *n, uint32_t ip)
{
	uint16_t by_gateway = 0;

	for (uint32_t i = n->n_ports; i-- > 0;) {
		const struct port *p = &n->ports[i];

		if (p->gateway)
			by_gateway = (uint16_t)i;
	}
	for (uint32_t i = 0; i < n->n_ports; i++)
		if (!((n->ports[i].ip ^ ip) & n->ports[i].netmask))
			return (uint16_t)i;
	return by_gateway;
}

static int add_peer(struct tela_node *n, const struct tela_peer_config *pc, struct node_peer *p,
	char *err, size_t err_len)
{
	char host[64];
	const char *colon = strchr(pc->address, ':');
	long udp = TELA_UDP_PORT;
	struct in_addr a;

	snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - pc->address) : 63, pc->address);
	if (colon)
		udp = strtol(colon + 1, NULL, 10);
	if (inet_pton(AF_INET, host, &a) != 1 || udp < 1 || udp > 65535)
		return say(err, err_len, -EINVAL,
			"peer %s: expected an address such as 10.0.0.2 or 10.0.0.2:7447, found %s",
			pc->name, pc->address);
	snprintf(p->name, sizeof(p->name), "%s", pc->name);
	p->ip = a.s_addr;
	p->udp = (uint16_t)udp;
	p->netif = route(n, p->ip);
	return 0;
}

int node_peer(const struct tela_node *n, const char *name)
{
	for (uint32_t i = 0; i < n->n_peers; i++)
		if (!strcmp(n->peers[i].name, name))
			return (int)i;
	return -1;
}

void node_peer_addr(
	const struct tela_node *n, const struct core *c, uint32_t peer, struct net_addr *ret)
{
	(void)c;
	*ret = (struct net_addr){
		.ip = n->peers[peer].ip, .udp = n->peers[peer].udp, .netif = n->peers[peer].netif};
}

/* ---- create, start, stop ---- */

static int node_build(
	struct tela_node *n, const struct tela_node_config *cfg, char *err, size_t err_len)
{
	int rc = eal_start(cfg, err, err_len);

	if (rc)
		return rc;
	n->cleaned = false;
	for (uint32_t i = 0; i < n->n_ports; i++) {
		rc = port_probe(&n->ports[i], &cfg->ports[i], err, err_len);
		if (rc)
			return rc;
	}
	for (uint32_t i = 0; i < n->n_cores; i++) {
		rc = make_core_there(n, cfg, i, err, err_len);
		if (rc)
			return rc;
		core_idles(n->cores[i], cfg);
		n->limits.window = n->cores[i]->m.cfg.budgets.window;
		n->limits.slots_per_session = n->cores[i]->m.cfg.budgets.slots_per_session;
	}
	for (uint32_t i = 0; i < n->n_ports; i++) {
		rc = open_port(n, i, err, err_len);
		if (rc)
			return rc;
	}
	rc = open_further_queues(n, err, err_len);
	if (rc)
		return rc;
	if (cfg->n_workers && workers_start(n, min_u32(cfg->n_workers, WORKERS_MAX)))
		return say(err, err_len, -ENOMEM, "cannot start %u workers", cfg->n_workers);
	if (hand_init(n) || ask_cores_init(n))
		return say(err, err_len, -ENOMEM, "out of memory for %u cores", n->n_cores);
	for (uint32_t i = 0; i < cfg->n_peers; i++) {
		rc = add_peer(n, &cfg->peers[i], &n->peers[i], err, err_len);
		if (rc)
			return rc;
	}
	n->store = storage_create(n);
	n->names = names_create();
	if (!n->store || !n->names || reclaimer_start(n))
		return say(err, err_len, -ENOMEM, "cannot start the reclaimer thread");
	if (!cfg->no_dpdk_telemetry)
		dpdk_telemetry_show(n);
	return 0;
}

struct tela_node *tela_node_create(const struct tela_node_config *cfg, char *err, size_t err_len)
{
	struct tela_node *n = calloc(1, sizeof(*n));

	if (!n || cfg->n_ports > NODE_PORTS_MAX || !cfg->n_cores ||
		cfg->n_cores > PORT_QUEUES_MAX) {
		say(err, err_len, 0,
			n ? "a node has 1 to %d cores and at most %d ports" : "out of memory",
			PORT_QUEUES_MAX, NODE_PORTS_MAX);
		free(n);
		return NULL;
	}
	snprintf(n->name, sizeof(n->name), "%s", cfg->name);
	snprintf(n->budgets_owner, sizeof(n->budgets_owner), "%s",
		cfg->budgets_owner ? cfg->budgets_owner : "node");
	n->cleaned = true;
	n->n_cores = cfg->n_cores;
	n->n_ports = cfg->n_ports;
	n->n_peers = cfg->n_peers;
	n->udp_port = cfg->udp_port ? cfg->udp_port : TELA_UDP_PORT;
	n->shed_us = cfg->shed_target_us ? cfg->shed_target_us : SHED_TARGET_US;
	n->stall_warn_ms = STALL_WARN_MS;
	n->stall_abort_ms = STALL_ABORT_MS;
	n->cores = calloc(n->n_cores, sizeof(*n->cores));
	n->ports = calloc(n->n_ports + 1, sizeof(*n->ports));
	n->peers = calloc(n->n_peers + 1, sizeof(*n->peers));
	pthread_mutex_init(&n->threads_lock, NULL);
	pthread_mutex_init(&n->services_lock, NULL);
	pthread_mutex_init(&n->closing_lock, NULL);
	pthread_mutex_init(&n->logs_lock, NULL);
	if (getrandom(&n->incarnation, sizeof(n->incarnation), 0) != sizeof(n->incarnation))
		n->incarnation = rte_rdtsc();
	n->incarnation |= 1;
	if (!n->cores || !n->ports || !n->peers || directory_create(n)) {
		say(err, err_len, 0, "out of memory");
	} else if (!node_build(n, cfg, err, err_len)) {
		return n;
	}
	tela_node_destroy(n);
	return NULL;
}

int tela_node_start(struct tela_node *n, char *err, size_t err_len)
{
	int rc;

	for (uint32_t i = 0; i < n->n_ports; i++) {
		rc = port_start(&n->ports[i], err, err_len);
		if (rc)
			return rc;
	}
	for (uint32_t i = 0; i < n->n_cores; i++) {
		rc = idle_open(n->cores[i], err, err_len);
		if (rc)
			return rc;
	}
	atomic_store(&n->polling, true);
	dpdk_log_through(n);
	for (uint32_t i = 0; i < n->n_cores; i++) {
		rc = eal_launch(i, core_main, n->cores[i]);
		if (rc)
			return say(err, err_len, rc, "cannot start the poll loop of core %u", i);
	}
	if (watchdog_start(n))
		return say(err, err_len, -EAGAIN, "cannot start the watchdog thread");
	return 0;
}

bool node_housekeeping(const struct tela_node *n, cpu_set_t *ret)
{
	if (sched_getaffinity(0, sizeof(*ret), ret))
		return false;
	for (uint32_t i = 0; i < n->n_cores; i++)
		CPU_CLR((size_t)n->cores[i]->cpu, ret);
	return CPU_COUNT(ret) > 0;
}

void node_command(struct tela_node *n, uint32_t command)
{
	for (uint32_t i = 0; i < n->n_cores; i++) {
		atomic_fetch_or(&n->cores[i]->command, command);
		wake_up(&n->cores[i]->wake);
	}
}

int tela_node_limits(struct tela_node *n, const struct tela_limits *l)
{
	if ((l->window && (l->window < BULK_WINDOW_MIN || l->window > BULK_WINDOW_MAX)) ||
		(l->slots_per_session &&
			(l->slots_per_session < SLOT_BLOCK || l->slots_per_session > SLOTS_MAX)))
		return -EINVAL;
	if (l->window)
		n->limits.window = l->window;
	if (l->slots_per_session)
		n->limits.slots_per_session = l->slots_per_session & ~(SLOT_BLOCK - 1u);
	for (uint32_t i = 0; i < n->n_cores; i++) {
		atomic_store(&n->cores[i]->window, n->limits.window);
		atomic_store(&n->cores[i]->slots_per_session, n->limits.slots_per_session);
	}
	node_command(n, CORE_LIMITS);
	return 0;
}

struct tela_limits tela_node_limits_now(const struct tela_node *n)
{
	return n->limits;
}

void tela_node_leave(struct tela_node *n)
{
	node_command(n, CORE_LEAVE);
}

void tela_node_drain(struct tela_node *n)
{
	node_command(n, CORE_DRAIN);
}

uint32_t tela_node_in_flight(const struct tela_node *n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n->n_cores; i++)
		sum += atomic_load_explicit(&n->cores[i]->in_flight, memory_order_relaxed);
	return sum;
}

static void stop_cores(struct tela_node *n)
{
	for (uint32_t i = 0; i < n->n_cores; i++) {
		if (!n->cores[i])
			continue;
		atomic_store(&n->cores[i]->stop, true);
		if (n->cores[i]->wake.fd >= 0)
			wake_up(&n->cores[i]->wake);
	}
	for (uint32_t i = 0; !n->cleaned && i < n->n_cores; i++)
		eal_wait(i);
	atomic_store(&n->polling, false);
	dpdk_log_through(NULL);
}

static void free_images(struct tela_node *n)
{
	tela_node_poll(n);
	while (n->retiring) { /* pinned by calls that nobody will resume any more */
		struct tela_image *i = n->retiring;

		n->retiring = i->next;
		if (i->retired)
			i->retired(i->retired_arg, i->generation, tela_image_calls(i));
		tela_image_free(i);
	}
	for (uint32_t i = 0; i < n->n_services; i++)
		tela_service_free(n->services[i]);
	while (n->leaving) {
		struct tela_service *s = n->leaving;

		n->leaving = s->leave.next;
		tela_service_free(s);
	}
	service_table_free(atomic_load(&n->table));
	forward_node_free(n);
}

static void free_core(struct core *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_netifs; i++)
		netif_fini(&c->netif[i]);
	if (c->m.ops)
		machine_fini(&c->m);
	idle_close(c);
	wake_fini(&c->wake);
	core_tasks_free(c);
	free(c->netif);
	free(c->peer_path);
	free(c->peer_shown);
	free(c);
}

static void close_port(struct tela_node *n, uint32_t index)
{
	port_close(&n->ports[index]);
	for (uint32_t q = 0; q < PORT_QUEUES_MAX; q++) {
		port_pool_free(n->pools[index][q]);
		port_pool_free(n->borrow[index][q]);
	}
}

void tela_node_halt(struct tela_node *n)
{
	dpdk_telemetry_hide(n);
	stop_cores(n);
	for (uint32_t i = 0; i < n->n_ports; i++)
		port_close(&n->ports[i]);
	if (!n->cleaned)
		eal_stop();
}

void tela_node_destroy(struct tela_node *n)
{
	if (!n)
		return;
	dpdk_telemetry_hide(n);
	workers_stop(n);
	watchdog_stop(n);
	if (n->cores)
		stop_cores(n);
	reclaimer_stop(n);
	if (n->cores && n->ports)
		free_images(n);
	workers_free(n);
	while (n->clients) {
		struct tela_client *c = n->clients;

		n->clients = c->next;
		client_free(c);
	}
	hand_fini(n);
	ask_cores_fini(n);
	for (uint32_t i = 0; n->cores && i < n->n_cores; i++)
		free_core(n->cores[i]);
	for (uint32_t i = 0; n->ports && i < n->n_ports; i++)
		close_port(n, i);
	if (!n->cleaned)
		eal_stop();
	pthread_mutex_destroy(&n->threads_lock);
	pthread_mutex_destroy(&n->services_lock);
	pthread_mutex_destroy(&n->closing_lock);
	node_log_free(n);
	directory_destroy(n);
	storage_destroy(n->store);
	names_destroy(n->names);
	free(n->latency_told);
	free(n->cores);
	free(n->ports);
	free(n->peers);
	free(n);
}

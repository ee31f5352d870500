#include "dpdk_telemetry.h"

#include "node.h"

#include <rte_telemetry.h>

/* DPDK has no way to take a command back, so they stay, and find no node. */
static struct {
	pthread_mutex_t lock; /* held while a command runs; services_lock is taken inside */
	const struct tela_node *node;
	bool registered;
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Static_assert(COUNT_N <= RTE_TEL_MAX_DICT_ENTRIES, "one dictionary holds all counters");
_Static_assert(SERVICES_MAX <= RTE_TEL_MAX_ARRAY_ENTRIES, "one array holds all services");

/* A number below `n`, and nothing else. */
static int parse_index(const char *params, uint32_t n, uint32_t *ret)
{
	size_t digits = params ? strspn(params, "0123456789") : 0;
	unsigned long v;

	if (!digits || digits > 6 || params[digits])
		return -EINVAL;
	v = strtoul(params, NULL, 10);
	if (v >= n)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int show_node(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	(void)params;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", n->name);
	rte_tel_data_add_dict_string(d, "version", TELA_VERSION);
	rte_tel_data_add_dict_u64(d, "wire", TELA_WIRE_VERSION);
	rte_tel_data_add_dict_u64(d, "incarnation", n->incarnation);
	rte_tel_data_add_dict_u64(d, "cores", n->n_cores);
	rte_tel_data_add_dict_u64(d, "ports", n->n_ports);
	return rte_tel_data_add_dict_u64(d, "in_flight", tela_node_in_flight(n));
}

/* ---- counters ---- */

static void add_counter(void *arg, const char *name, const char *help, bool drop, uint64_t value)
{
	(void)help;
	(void)drop;
	rte_tel_data_add_dict_u64(arg, name, value);
}

static void add_drop(void *arg, const char *name, const char *help, bool drop, uint64_t value)
{
	if (drop)
		add_counter(arg, name, help, drop, value);
}

static int show_counted(const struct tela_node *n, const char *params, struct rte_tel_data *d,
	void (*emit)(void *arg, const char *name, const char *help, bool drop, uint64_t value))
{
	uint32_t core = UINT32_MAX;

	if (params && *params && parse_index(params, n->n_cores, &core))
		return -EINVAL;
	rte_tel_data_start_dict(d);
	tela_node_counters(n, core, emit, d);
	return 0;
}

static int show_counters(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	return show_counted(n, params, d, add_counter);
}

static int show_drops(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	return show_counted(n, params, d, add_drop);
}

/* ---- cores and ports ---- */

static int show_indices(struct rte_tel_data *d, uint32_t n)
{
	rte_tel_data_start_array(d, RTE_TEL_U64_VAL);
	for (uint32_t i = 0; i < n; i++)
		rte_tel_data_add_array_u64(d, i);
	return 0;
}

static int show_cores(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	(void)params;
	return show_indices(d, n->n_cores);
}

static int show_core(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	struct tela_core_info c;
	uint32_t core;

	if (parse_index(params, n->n_cores, &core) || tela_node_core_info(n, core, &c))
		return -EINVAL;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_int(d, "cpu", c.cpu);
	rte_tel_data_add_dict_int(d, "socket", c.socket);
	rte_tel_data_add_dict_u64(d, "passes", c.passes);
	rte_tel_data_add_dict_u64(d, "busy_ns", c.busy_ns);
	rte_tel_data_add_dict_u64(d, "polled_ns", c.polled_ns);
	rte_tel_data_add_dict_u64(d, "loop_gap_us", c.loop_gap_us);
	rte_tel_data_add_dict_u64(d, "stalled", c.stalled);
	rte_tel_data_add_dict_u64(d, "sessions", c.sessions);
	rte_tel_data_add_dict_u64(d, "calls_served", c.calls_served);
	return rte_tel_data_add_dict_u64(d, "calls_made", c.calls_made);
}

static int show_ports(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	(void)params;
	return show_indices(d, n->n_ports);
}

static int show_port(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	struct tela_port_info p;
	uint32_t port;

	if (parse_index(params, n->n_ports, &port) || tela_node_port_info(n, port, &p))
		return -EINVAL;
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", p.name);
	rte_tel_data_add_dict_string(d, "driver", p.driver);
	rte_tel_data_add_dict_string(d, "address", p.address);
	rte_tel_data_add_dict_string(d, "mac", p.mac);
	/* what /ethdev/stats and the like call it */
	rte_tel_data_add_dict_u64(d, "ethdev", n->ports[port].id);
	rte_tel_data_add_dict_int(d, "socket", p.socket);
	rte_tel_data_add_dict_u64(d, "mtu", p.mtu);
	rte_tel_data_add_dict_u64(d, "queues", p.queues);
	return rte_tel_data_add_dict_string(d, "link", p.up ? "up" : "down");
}

/* ---- services: they come and go ---- */

static int show_services(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	(void)params;
	rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
	pthread_mutex_lock(services_lock(n));
	for (uint32_t i = 0; i < n->n_services; i++)
		if (n->services[i])
			rte_tel_data_add_array_string(d, n->services[i]->desc->name);
	pthread_mutex_unlock(services_lock(n));
	return 0;
}

static int show_service(const struct tela_node *n, const char *params, struct rte_tel_data *d)
{
	int rc = -ENOENT;

	pthread_mutex_lock(services_lock(n));
	for (uint32_t i = 0; rc && params && i < n->n_services; i++) {
		const struct tela_service *s = n->services[i];

		if (!s || strcmp(s->desc->name, params))
			continue;
		rte_tel_data_start_dict(d);
		rte_tel_data_add_dict_u64(d, "published", atomic_load(&s->image) != NULL);
		rte_tel_data_add_dict_u64(d, "admits", !atomic_load(&s->refusal));
		rte_tel_data_add_dict_u64(d, "drains", atomic_load(&s->drains));
		rc = rte_tel_data_add_dict_u64(d, "in_flight", tela_service_in_flight(s));
	}
	pthread_mutex_unlock(services_lock(n));
	return rc;
}

/* ---- commands ---- */

static const struct {
	const char *name;
	int (*show)(const struct tela_node *n, const char *params, struct rte_tel_data *d);
	const char *help;
} commands[] = {
	{"/tela/node", show_node, "The Tela node. Takes no parameters"},
	{"/tela/counters", show_counters,
		"Counters, drops included, of all cores, or of one. Parameters: [int core]"},
	{"/tela/drops", show_drops, "Of these, the drops. Parameters: [int core]"},
	{"/tela/cores", show_cores, "Numbers of the data cores. Takes no parameters"},
	{"/tela/core", show_core, "A data core. Parameters: int core"},
	{"/tela/ports", show_ports, "Numbers of the ports. Takes no parameters"},
	{"/tela/port", show_port, "A port. Parameters: int port"},
	{"/tela/services", show_services, "Names of the services. Takes no parameters"},
	{"/tela/service", show_service, "A service. Parameters: string name"},
};

static int ask(const char *cmd, const char *params, struct rte_tel_data *d)
{
	int rc = -ENODEV;

	pthread_mutex_lock(&shown.lock);
	for (size_t i = 0; shown.node && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(cmd, commands[i].name))
			rc = commands[i].show(shown.node, params, d);
	pthread_mutex_unlock(&shown.lock);
	return rc;
}

void dpdk_telemetry_show(const struct tela_node *n)
{
	/* One that cannot be had is missing there, and no more than that. */
	for (size_t i = 0; !shown.registered && i < ARRAY_SIZE(commands); i++)
		rte_telemetry_register_cmd(commands[i].name, ask, commands[i].help);
	shown.registered = true;
	pthread_mutex_lock(&shown.lock);
	shown.node = n;
	pthread_mutex_unlock(&shown.lock);
}

void dpdk_telemetry_hide(const struct tela_node *n)
{
	pthread_mutex_lock(&shown.lock);
	if (shown.node == n)
		shown.node = NULL;
	pthread_mutex_unlock(&shown.lock);
}

#include "conf_table.h"

#include "log.h"
#include "running.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const huge_names[] = {"auto", "true", "false", NULL};
static const char *const service_level_names[] = {"node", "error", "warn", "info", "debug", NULL};
/* As enum tela_balance has them. */
static const char *const balance_names[] = {"round_robin", "least", "weighted", NULL};
static const char *const idle_names[] = {"auto", "spin", "adaptive", "interrupt", NULL};

/* ---- what a string must look like ---- */

static const char *check_name(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > TELA_NAME_MAX)
		return "expected a name of 1 to 63 characters";
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return "expected a name of letters, digits, '_', '.' and '-'";
	return NULL;
}

static const char *check_text(const char *s)
{
	return *s ? NULL : "expected some text";
}

static const char *check_path(const char *s)
{
	if (!*s)
		return "expected a path";
	return strlen(s) < 108 ? NULL : "expected a path of at most 107 characters";
}

static bool is_ipv4(const char *s, size_t len)
{
	struct in_addr a;
	char text[16];

	if (!len || len >= sizeof(text))
		return false;
	memcpy(text, s, len);
	text[len] = 0;
	return inet_pton(AF_INET, text, &a) == 1;
}

/* Decimal digits and nothing else, in min..max. */
static bool is_number(const char *s, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long v;

	if (!isdigit((unsigned char)*s) || strlen(s) > 6)
		return false;
	v = strtoul(s, &end, 10);
	return !*end && v >= min && v <= max;
}

static const char *check_network(const char *s)
{
	const char *slash = strchr(s, '/');

	if (!slash || !is_ipv4(s, slash - s) || !is_number(slash + 1, 1, 32))
		return "expected an address with its prefix, such as 10.0.0.1/24";
	return NULL;
}

static const char *check_address(const char *s)
{
	return is_ipv4(s, strlen(s)) ? NULL : "expected an address such as 10.0.0.1";
}

static const char *check_endpoint(const char *s)
{
	size_t n = strcspn(s, ":");

	if (!is_ipv4(s, n) || (s[n] && !is_number(s + n + 1, 1, 65535)))
		return "expected an address such as 10.0.0.2 or 10.0.0.2:7447";
	return NULL;
}

/* ---- the tables ---- */

#define NODE(f)    offsetof(struct conf, node.f)
#define BUDGET(f)  offsetof(struct conf, node.budgets.f)
#define PORT(f)    offsetof(struct tela_port_config, f)
#define SERVICE(f) offsetof(struct conf_service, f)
#define PLUGIN(f)  offsetof(struct conf_plugin, f)

static const struct conf_field log_fields[] = {
	{"level", CONF_CHOICE, false, offsetof(struct conf, log_level), .choices = log_level_names,
		.fallback = "info", .help = "least important lines shown"},
	{"format", CONF_CHOICE, false, offsetof(struct conf, log_format),
		.choices = log_format_names, .fallback = "text",
		.help = "text for people, or a JSON object a line for programs"},
	{NULL},
};

static const struct conf_field node_fields[] = {
	{"name", CONF_STRING, true, NODE(name), .check = check_name,
		.help = "of this node in the mesh"},
	{"udp_port", CONF_U16, false, NODE(udp_port), 1, 65535, .fallback = "7447",
		.help = "UDP port of the mesh, the same on every node"},
	{"huge_pages", CONF_CHOICE, false, offsetof(struct conf, huge), .choices = huge_names,
		.fallback = "auto", .help = "auto: when there are enough free ones"},
	{"memory_mib", CONF_U32, false, NODE(memory_mib), 32, 1 << 20, .fallback = "256",
		.help = "memory of the data plane"},
	{"admin", CONF_STRING, false, offsetof(struct conf, admin), .check = check_path,
		.help = "admin socket; /run/tela/NAME.sock unless given"},
	{"probes", CONF_STRING, false, offsetof(struct conf, probes), .check = check_path,
		.help = "/livez and /readyz over HTTP at 127.0.0.1:8080, or a socket's path; none "
			"unless given"},
	{"drain_deadline_ms", CONF_U32, false, offsetof(struct conf, drain_deadline_ms), 0, 3600000,
		.fallback = "5000", .help = "SIGTERM waits so long for calls in flight"},
	{"hook_deadline_ms", CONF_U32, false, offsetof(struct conf, hook_deadline_ms), 1, 600000,
		.fallback = "5000", .help = "a plugin's hook that takes longer is abandoned"},
	{"start_retry_ms", CONF_U32, false, offsetof(struct conf, start_retry_ms), 1, 3600000,
		.fallback = "1000",
		.help = "a service that failed is tried again after that, then twice that, ..."},
	{"start_retry_max_ms", CONF_U32, false, offsetof(struct conf, start_retry_max_ms), 1,
		3600000, .fallback = "60000", .help = "... up to that"},
	{"start_retries", CONF_U32, false, offsetof(struct conf, start_retries), 0, 1000000,
		.fallback = "10", .help = "tries one after another; then it stays failed"},
	{"peer_silence_ms", CONF_U32, false, offsetof(struct conf, peer_silence_ms), 1, 60000,
		.fallback = "5",
		.help = "a peer silent for so long, three of its loop's longest gaps and the "
			"pause_ms of "
			"its core is down"},
	{"discovery", CONF_BOOL, false, offsetof(struct conf, discovery), .fallback = "true",
		.help = "tell peers what is served here, and ask them"},
	{"forward_balance", CONF_CHOICE, false, offsetof(struct conf, forward_balance),
		.choices = balance_names, .fallback = "least",
		.help = "which peer has a call that is sent on: in turn, of two the less busy, or "
			"by "
			"weight"},
	{"zone", CONF_STRING, false, offsetof(struct conf, zone), .check = check_name,
		.help = "told to peers: where this node is"},
	{"heartbeat_ms", CONF_U32, false, offsetof(struct conf, heartbeat_ms), 10, 60000,
		.fallback = "100",
		.help = "peers are asked so often how they and their services are"},
	{"shed_target_us", CONF_U32, false, NODE(shed_target_us), 0, 60000000, .fallback = "20000",
		.help = "calls that waited longer for a core that stays behind are refused; 0: "
			"none"},
	{"share_cpu", CONF_BOOL, false, NODE(share_cpu), .fallback = "false",
		.help = "allow a CPU that already has a poller"},
	{"workers", CONF_U32, false, NODE(n_workers), 0, 64, .fallback = "0",
		.help = "threads for methods and links that block"},
	{"reflection", CONF_BOOL, false, offsetof(struct conf, reflection), .fallback = "true",
		.help = "tell callers what is served and by which schemas, as telactl describe "
			"asks"},
	{"dpdk_telemetry", CONF_BOOL, false, offsetof(struct conf, dpdk_telemetry),
		.fallback = "true",
		.help = "DPDK's telemetry socket, with /tela/counters and the like under it"},
	{"file_prefix", CONF_STRING, false, NODE(file_prefix), .check = check_name,
		.help = "of DPDK's run-time files; made from name and process id unless given"},
	{"log", CONF_MAP, false, 0, .sub = log_fields, .help = "lines on standard error"},
	{NULL},
};

/* clang-format off */
#define BUDGET_FIELD(f, most, text) {#f, CONF_U32, false, BUDGET(f), 1, most, .help = text}
/* clang-format on */

static const struct conf_field budget_fields[] = {
	{"owner", CONF_STRING, false, NODE(budgets_owner), .fallback = "node", .check = check_name,
		.help = "the tenant that they are for, as the table of budgets names it at start; "
			"one "
			"for all by now"},
	BUDGET_FIELD(paths, 65536, "paths to other cores, per core"),
	BUDGET_FIELD(sessions, 1 << 20, "sessions served, per path"),
	BUDGET_FIELD(slots, 1 << 24, "slots of sessions served, per core"),
	BUDGET_FIELD(slots_per_session, 65535, "largest grant to one session"),
	BUDGET_FIELD(calls, 1 << 22, "calls being served at once, per core"),
	BUDGET_FIELD(detached, 1 << 22, "calls that run on without a caller, per core"),
	BUDGET_FIELD(messages_2k, 1 << 22, "message buffers of 2 KiB, per core"),
	BUDGET_FIELD(messages_64k, 1 << 20, "message buffers of 64 KiB, per core"),
	BUDGET_FIELD(messages_1m, 1 << 14, "MiB of memory for larger messages, per core"),
	BUDGET_FIELD(in_flight, 1 << 24, "calls made at once, per core"),
	BUDGET_FIELD(window, 960, "fragments that a sender may be ahead, at least 32"),
	BUDGET_FIELD(pending, 1 << 22, "calls that wait for their handlers, per core"),
	BUDGET_FIELD(
		retained_kib, UINT32_MAX, "KiB of large replies kept for duplicates, per core"),
	BUDGET_FIELD(reassembly_kib, UINT32_MAX, "KiB of messages that are arriving, per core"),
	BUDGET_FIELD(segments, 1 << 17,
		"receive buffers that messages taken as segments may hold, per core"),
	BUDGET_FIELD(latencies, 1 << 14,
		"methods called or served whose times are kept, per core: a power of two, or the "
		"next lower"),
	BUDGET_FIELD(identities, 65535,
		"sessions served that know their callers, and tokens of calls made, per core"),
	{NULL},
};

static const struct conf_field fault_fields[] = {
	{"loss", CONF_RATIO, false, PORT(loss),
		.help = "probability that a datagram sent is dropped"},
	{"duplicate", CONF_RATIO, false, PORT(duplicate), .help = "that it is sent twice"},
	{"reorder", CONF_RATIO, false, PORT(reorder), .help = "that it is held back"},
	{"seed", CONF_U64, false, PORT(fault_seed), 0, UINT64_MAX,
		.help = "the same faults each run"},
	{NULL},
};

static const struct conf_field port_fields[] = {
	{"name", CONF_STRING, true, PORT(name), .check = check_name, .unique = true,
		.help = "for people"},
	{"device", CONF_STRING, true, PORT(device), .check = check_text,
		.help = "as DPDK names it: a PCI address, or "
			"net_memif0,role=server,id=0,socket=PATH"},
	{"address", CONF_STRING, true, PORT(address), .check = check_network,
		.help = "with its prefix: 10.0.0.1/24"},
	{"gateway", CONF_STRING, false, PORT(gateway), .check = check_address,
		.help = "for peers outside of that network"},
	{"mtu", CONF_U16, false, PORT(mtu), 1280, 9000,
		.help = "largest IP packet; what the device takes unless given"},
	{"forward", CONF_BOOL, false, PORT(forward), .fallback = "false",
		.help = "a client process is behind it: its calls for services that this node does "
			"not have are sent on to peers that serve them"},
	{"faults", CONF_MAP, false, 0, .sub = fault_fields, .help = "made on purpose, for tests"},
	{NULL},
};

static const struct conf_field core_fields[] = {
	{"cpu", CONF_INT, true, offsetof(struct tela_core_config, cpu), 0, 4095, .unique = true,
		.help = "the CPU that this data core has to itself"},
	{"idle", CONF_CHOICE, false, offsetof(struct tela_core_config, idle), .choices = idle_names,
		.fallback = "auto",
		.help = "what it does without work: spin, short sleeps, or sleep until a device "
			"interrupts (not memif, af_packet, af_xdp); auto: spin if the CPU is "
			"isolated, else adaptive"},
	{"pause_ms", CONF_U32, false, offsetof(struct tela_core_config, pause_ms), 1, 60000,
		.help = "others may hold its CPU for so long: until then peers do not take it for "
			"gone; 1000, but none if it spins on an isolated CPU that is not shared"},
	{NULL},
};

static const struct conf_field peer_fields[] = {
	{"name", CONF_STRING, true, offsetof(struct tela_peer_config, name), .check = check_name,
		.unique = true, .help = "as calls name it"},
	{"address", CONF_STRING, true, offsetof(struct tela_peer_config, address),
		.check = check_endpoint, .help = "10.0.0.2 or 10.0.0.2:7447"},
	{NULL},
};

static const struct conf_field plugin_fields[] = {
	{"plugin", CONF_STRING, true, PLUGIN(plugin), .check = check_name,
		.help = "name of the plugin"},
	{"as", CONF_STRING, false, PLUGIN(as), .check = check_name,
		.help = "another name for it, so that it may be there twice"},
	{"object", CONF_STRING, false, PLUGIN(object), .check = check_text,
		.help = "shared object to load it from"},
	{"config", CONF_FREE, false, PLUGIN(config),
		.help = "the plugin's own keys, as 'telad --help NAME' lists them"},
	{NULL},
};

const struct conf_field conf_service_fields[] = {
	{"name", CONF_STRING, true, SERVICE(name), .check = check_name, .unique = true,
		.help = "name of a plugin that serves"},
	{"object", CONF_STRING, false, SERVICE(object), .check = check_text,
		.help = "shared object to load it from"},
	{"status", CONF_CHOICE, false, SERVICE(admin), .choices = admin_status_names,
		.fallback = "active", .help = "what it shall be when the node starts"},
	{"global", CONF_BOOL, false, SERVICE(global), .fallback = "true",
		.help = "other nodes hear of it and may call it; false: it never leaves this one"},
	{"weight", CONF_U32, false, SERVICE(weight), 1, 1000000, .fallback = "1",
		.help = "told to peers: of the calls of one of weight 1, so many times more"},
	{"blocking", CONF_STRING, false, SERVICE(blocking), .check = check_text,
		.help = "methods that may wait, and so run on the node's workers: names, or all"},
	{"shed_target_us", CONF_U32, false, SERVICE(shed_target_us), 100, 60000000,
		.help = "as the node's, for this service; the node's unless given"},
	{"shed", CONF_BOOL, false, SERVICE(shed), .fallback = "true",
		.help = "whether its calls are refused so at all"},
	{"log_level", CONF_CHOICE, false, SERVICE(log_level), .choices = service_level_names,
		.fallback = "node", .help = "least important of its lines shown"},
	{"config", CONF_FREE, false, SERVICE(config),
		.help = "the service's own keys, as 'telad --help NAME' lists them"},
	{"plugins", CONF_LIST, false, SERVICE(plugins), .sub = plugin_fields,
		.size = sizeof(struct conf_plugin), .count = SERVICE(n_plugins),
		.line = PLUGIN(line), .max = 64, .help = "links around it, first declared first"},
	{NULL},
};

const struct conf_field conf_root[] = {
	{"node", CONF_MAP, true, 0, .sub = node_fields, .help = "the node itself"},
	{"budgets", CONF_MAP, false, 0, .sub = budget_fields,
		.help = "memory a core may take; defaults are printed at start"},
	{"ports", CONF_LIST, false, NODE(ports), .sub = port_fields,
		.size = sizeof(struct tela_port_config), .count = NODE(n_ports), .max = 32,
		.help = "network ports"},
	{"cores", CONF_LIST, true, NODE(cores), .sub = core_fields,
		.size = sizeof(struct tela_core_config), .count = NODE(n_cores), .min = 1,
		.max = 64, .help = "data cores"},
	{"peers", CONF_LIST, false, NODE(peers), .sub = peer_fields,
		.size = sizeof(struct tela_peer_config), .count = NODE(n_peers), .max = 1024,
		.help = "other nodes"},
	{"services", CONF_LIST, false, offsetof(struct conf, services), .sub = conf_service_fields,
		.size = sizeof(struct conf_service), .count = offsetof(struct conf, n_services),
		.line = SERVICE(line), .max = 256, .help = "what this node serves"},
	{NULL},
};

/* ---- for people ---- */

static void describe_kind(const struct conf_field *f, char *text, size_t size)
{
	size_t n = 0;

	switch (f->kind) {
	case CONF_STRING:
		snprintf(text, size, "text");
		break;
	case CONF_BOOL:
		snprintf(text, size, "true|false");
		break;
	case CONF_RATIO:
		snprintf(text, size, "0.0..1.0");
		break;
	case CONF_CHOICE:
		for (int i = 0; f->choices[i] && n < size; i++)
			n += snprintf(text + n, size - n, "%s%s", i ? "|" : "", f->choices[i]);
		break;
	case CONF_MAP:
	case CONF_FREE:
		snprintf(text, size, "mapping");
		break;
	case CONF_LIST:
		snprintf(text, size, "list");
		break;
	default:
		snprintf(text, size, "%llu..%llu", (unsigned long long)f->min,
			(unsigned long long)f->max);
	}
}

static void describe(
	const struct conf_field *f, int depth, void (*line)(void *arg, const char *text), void *arg)
{
	char text[256], kind[48];

	for (; f->key; f++) {
		describe_kind(f, kind, sizeof(kind));
		snprintf(text, sizeof(text), "%*s%-*s %-20s %s%s%s%s%s", depth * 2, "",
			20 - depth * 2, f->key, kind, f->help, f->required ? " (required)" : "",
			f->fallback ? " [" : "", f->fallback ? f->fallback : "",
			f->fallback ? "]" : "");
		line(arg, text);
		if (f->sub)
			describe(f->sub, depth + 1, line, arg);
	}
}

void conf_describe(void (*line)(void *arg, const char *text), void *arg)
{
	describe(conf_root, 0, line, arg);
}

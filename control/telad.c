/* telad.c - runs one node from a configuration file. */
#include "admin.h"
#include "boot.h"
#include "announce.h"
#include "builtin.h"
#include "discovery.h"
#include "keys.h"
#include "outcall.h"
#include "log.h"
#include "loop.h"
#include "probe.h"
#include "traces.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <getopt.h>
#include <signal.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, OUTCALL_WAIT_MS = 2000, WORKERS_WAIT_MS = 500 };

static const char usage[] =
	"telad - one node of a Tela mesh\n"
	"\n"
	"  telad --config node.yaml             run it; SIGTERM drains, then ends with 0\n"
	"  telad --config node.yaml --check     check the file and every plugin in it, run "
	"nothing\n"
	"  telad --help config                  every key of the file, with its default\n"
	"  telad --help PLUGIN                  the same of a plugin or service that is linked in\n"
	"  telad --version\n"
	"\n"
	"A smallest node, on a shared-memory port:\n"
	"\n"
	"  node: {name: server, share_cpu: true}\n"
	"  ports:\n"
	"    - {name: mem0, device: "
	"\"net_memif0,role=server,id=0,socket=/run/tela/mem0.sock,socket-abstract=no\",\n"
	"       address: 10.77.0.1/24}\n"
	"  cores:\n"
	"    - {cpu: 1}\n"
	"  services:\n"
	"    - name: echo\n"
	"\n"
	"When it prints \"telad: ready\", telactl talks to it: telactl status, telactl --help.\n"
	"Exit status: 0 ended as asked or file is right, 1 it could not run or file is wrong, 2 "
	"usage.\n";

static void print_line(void *arg, const char *text)
{
	fprintf(arg, "%s\n", text);
}

static void say_line(void *arg, const char *text)
{
	(void)arg;
	log_info("%s", text);
}

/* Its keys, as conf_describe() shows those of the file. */
static void describe_plugin(const struct tela_plugin *p)
{
	char type[400];

	if (!p->n_keys)
		printf("%s has no keys\n", p->name);
	for (uint32_t i = 0; i < p->n_keys; i++) {
		const struct tela_config_key *k = &p->keys[i];

		keys_expect(k, type, sizeof(type));
		printf("%-16s %s%s%s%s%s\n%-16s %s\n", k->name, type,
			k->required ? " (required)" : "", k->fallback ? " [" : "",
			k->fallback ? k->fallback : "", k->fallback ? "]" : "", "", k->help);
	}
}

static int help(const char *topic)
{
	if (!topic) {
		fputs(usage, stdout);
		return 0;
	}
	if (!strcmp(topic, "config")) {
		conf_describe(print_line, stdout);
		return 0;
	}
	for (const struct tela_plugin *const *p = tela_builtin_plugins; *p; p++)
		if (!strcmp((*p)->name, topic)) {
			describe_plugin(*p);
			return 0;
		}
	fprintf(stderr,
		"telad: no plugin named '%s' is linked in; telactl plugins NAME shows the "
		"keys of one that a node has loaded\n",
		topic);
	return EXIT_USAGE;
}

struct options {
	const char *config;
	bool check;
};

/* Exit status if there is nothing more to do, -1 to go on. */
static int read_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:kVh", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			o->config = optarg;
			break;
		case 'k':
			o->check = true;
			break;
		case 'V':
			printf("telad %s (wire %d, plugin ABI %d)\n", TELA_VERSION,
				TELA_WIRE_VERSION, TELA_PLUGIN_ABI);
			return 0;
		case 'h':
			return help(optind < argc ? argv[optind] : NULL);
		default:
			fputs("telad --help shows how\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (o->config && optind == argc)
		return -1;
	fprintf(stderr, "telad: %s%s; telad --help shows how\n",
		o->config ? "not understood: " : "--config FILE is missing",
		o->config ? argv[optind] : "");
	return EXIT_USAGE;
}

/* ---- the node ---- */

/* 2 MiB pages free, in MiB. */
static uint64_t free_huge_mib(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long n_free = 0, kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "HugePages_Free: %lu", &n_free);
		sscanf(line, "Hugepagesize: %lu", &kib);
	}
	if (f)
		fclose(f);
	return (uint64_t)n_free * kib / 1024;
}

static void choose_memory(struct conf *conf)
{
	uint64_t there = free_huge_mib();

	conf->node.no_huge = conf->huge == CONF_HUGE_FALSE;
	if (conf->huge != CONF_HUGE_AUTO || there >= conf->node.memory_mib)
		return;
	conf->node.no_huge = true;
	log_info("huge pages: %llu MiB free of %u needed: ordinary memory is used; see the "
		 "installation notes for more speed",
		(unsigned long long)there, conf->node.memory_mib);
}

static void print_ready(struct control *c)
{
	printf("telad: ready name=%s admin=%s", tela_node_name(c->node), c->conf->admin);
	for (struct stack *s = c->stacks; s; s = s->next)
		if (s->status == TELA_SERVICE_FAILED)
			printf(" failed=%s", s->name);
	printf("\n");
	fflush(stdout);
}

/* A service that every node has, unless its configuration lists it differently or says no. */
static const struct conf_service reflection = {.name = "reflection", .global = true, .weight = 1};

/* Its usual clock moves in steps of 4 ms, so that a tick of 5 wakes the thread two or three times,
 * each at a poll core's expense if no CPU is left over. */
static struct event_base *new_event_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER))
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

/* What callers are not told. */
static void report(void *arg, const struct tela_report *r)
{
	(void)arg;
	log_about(TELA_LOG_WARN, r->service, r->method, "%s", r->text);
}

static void told_line(void *arg, const struct tela_log_line *l)
{
	(void)arg;
	if (!l->component || l->level <= log_get_level())
		log_line(l);
}

static int open_node(struct control *c, struct conf *conf)
{
	char err[1024] = "";

	choose_memory(conf);
	conf->node.no_dpdk_telemetry = !conf->dpdk_telemetry;
	c->conf = conf;
	c->started_ns = control_now_ns();
	c->node = tela_node_create(&conf->node, err, sizeof(err));
	if (!c->node) {
		log_error("the node cannot be made: %s", err);
		return -EIO;
	}
	tela_node_print_budgets(c->node, say_line, NULL);
	tela_node_on_report(c->node, report, NULL);
	tela_node_on_log(c->node, told_line, NULL);
	c->traces = traces_create(c);
	evthread_use_pthreads();
	c->base = new_event_base();
	c->lifecycle = lifecycle_create(conf->hook_deadline_ms);
	if (!c->base || !c->lifecycle || !c->traces) {
		log_error("no event loop or lifecycle thread: out of memory or threads");
		return -ENOMEM;
	}
	if (admin_open(c, conf->admin, err, sizeof(err))) {
		log_error("%s", err);
		return -EIO;
	}
	if (conf->probes && !(c->probe = probe_open(c, conf->probes, err, sizeof(err)))) {
		log_error("%s", err);
		return -EIO;
	}
	if (conf->discovery && discovery_open(c, err, sizeof(err))) {
		log_error("%s", err);
		return -EIO;
	}
	for (uint32_t i = 0; i < conf->n_services; i++)
		CHECK(stack_create(c, &conf->services[i]));
	if (conf->reflection && !stack_find(c, reflection.name) &&
		registry_find(c->registry, reflection.name))
		CHECK(stack_create(c, &reflection));
	return 0;
}

/* Links that block and are in the middle of it get a last moment. */
static bool workers_hang(const struct tela_node *n)
{
	const struct timespec tick = {.tv_nsec = 10000000};

	for (int i = 0; i < WORKERS_WAIT_MS / 10 && tela_node_workers_busy(n); i++)
		nanosleep(&tick, NULL);
	return tela_node_workers_busy(n);
}

/* With foreign code that hangs, or that was not stopped and may have threads, nothing can be freed
 * under it: the process then ends as it is. It leaves no files, unless something hangs: that may
 * hold the loader's lock, which closing a port takes. */
static void close_node(struct control *c, int status)
{
	bool hangs;

	admin_close(c->admin);
	c->admin = NULL;
	probe_close(c->probe);
	c->probe = NULL;
	hangs = !discovery_close(c, OUTCALL_WAIT_MS / 1000);
	hangs |= !outcall_destroy(c, OUTCALL_WAIT_MS);
	hangs |= c->node && workers_hang(c->node);
	hangs |= c->lifecycle && lifecycle_abandoned(c->lifecycle);
	fflush(stdout);
	log_tick(true);
	if (c->left_behind && !hangs && c->node)
		tela_node_halt(c->node);
	if (c->left_behind || hangs)
		_exit(status);
	lifecycle_destroy(c->lifecycle);
	if (c->node)
		tela_node_destroy(c->node);
	announce_close(c->announced);
	traces_free(c->traces);
	stack_destroy_all(c);
	if (c->base)
		event_base_free(c->base);
}

static int run(struct conf *conf, struct registry *registry)
{
	struct control c = {.registry = registry};
	int rc = open_node(&c, conf);

	if (!rc)
		rc = loop_run(&c, print_ready);
	close_node(&c, rc ? EXIT_FAILURE : EXIT_SUCCESS);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	int status = read_options(argc, argv, &options);
	struct registry *registry;
	char err[512] = "";
	struct conf *conf;

	if (status >= 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	conf = conf_load(options.config, print_line, stderr);
	if (!conf)
		return EXIT_FAILURE;
	log_set_level((enum tela_log_level)conf->log_level);
	log_set_format((enum log_format)conf->log_format, conf->node.name);
	if (tela_on_dpdk_log(told_line, NULL))
		log_warn("what DPDK says is not part of the log: no memory");
	registry = registry_create(tela_builtin_plugins, err, sizeof(err));
	if (!registry) {
		log_error("%s", err[0] ? err : "out of memory");
		return EXIT_FAILURE;
	}
	/* Objects are only loaded for --check; a node that runs loads them on its lifecycle thread,
	 * and goes on without a service whose object is not right. */
	if (boot_check(conf, registry, options.check, print_line, stderr))
		status = EXIT_FAILURE;
	else if (options.check)
		printf("%s: right\n", options.config);
	else
		status = run(conf, registry);
	registry_destroy(registry);
	conf_free(conf);
	return status < 0 ? EXIT_SUCCESS : status;
}

#include "yardstick.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "dpdk.h"
#include "eal.h"
#include "tela_node.h"

enum { POOL = 4096, LINK_WAIT_MS = 10000 };

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

static const char usage[] =
	"usage: %s server|client --device=DEVICE --cpu=N [options]\n"
	"  --device=ARGS    as in a port's configuration: "
	"net_memif0,role=client,id=0,socket=/run/x\n"
	"  --cpu=N          the CPU to poll on\n"
	"  --in-flight=N    frames (or calls) under way at once, client (64)\n"
	"  --size=BYTES     of a frame, Ethernet header included (90)\n"
	"  --seconds=S      how long to measure, client (2)\n"
	"  --copy           fill each frame from a large message (tela-stream)\n"
	"  --no-huge        ordinary memory in place of huge pages\n"
	"  --share-cpu      allow a CPU that already has a poller\n"
	"  --json           one line of JSON\n";

static __attribute__((noreturn)) void wrong(const char *name)
{
	fprintf(stderr, usage, name);
	exit(2);
}

void yardstick_options(struct yardstick *y, const char *name, int argc, char **argv)
{
	static const struct option options[] = {{"device", required_argument, NULL, 'd'},
		{"cpu", required_argument, NULL, 'c'}, {"in-flight", required_argument, NULL, 'n'},
		{"size", required_argument, NULL, 's'}, {"seconds", required_argument, NULL, 't'},
		{"copy", no_argument, NULL, 'C'}, {"no-huge", no_argument, NULL, 'H'},
		{"share-cpu", no_argument, NULL, 'S'}, {"json", no_argument, NULL, 'j'}, {0}};
	int o;

	memset(y, 0, sizeof(*y));
	y->cpu = -1;
	y->in_flight = 64;
	y->frame_bytes = 90;
	y->seconds = 2;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 'd':
			y->device = optarg;
			break;
		case 'c':
			y->cpu = atoi(optarg);
			break;
		case 'n':
			y->in_flight = (uint32_t)atoi(optarg);
			break;
		case 's':
			y->frame_bytes = (uint32_t)atoi(optarg);
			break;
		case 't':
			y->seconds = atof(optarg);
			break;
		case 'C':
			y->copy = true;
			break;
		case 'H':
			y->no_huge = true;
			break;
		case 'S':
			y->share_cpu = true;
			break;
		case 'j':
			y->json = true;
			break;
		default:
			wrong(name);
		}
	}
	if (optind != argc - 1 || !y->device || y->cpu < 0 || !y->in_flight ||
		y->in_flight > POOL / 4 ||
		(strcmp(argv[optind], "server") && strcmp(argv[optind], "client")))
		wrong(name);
	y->server = !strcmp(argv[optind], "server");
}

static int start(struct yardstick *y, const char *name, char *err, size_t err_len)
{
	struct tela_port_config port = {.name = name,
		.device = y->device,
		.address = y->server ? "10.255.0.1/24" : "10.255.0.2/24"};
	struct tela_core_config core = {.cpu = y->cpu};
	struct tela_node_config c = {.name = name,
		.ports = &port,
		.cores = &core,
		.n_ports = 1,
		.n_cores = 1,
		.no_huge = y->no_huge,
		.share_cpu = y->share_cpu,
		.memory_mib = 128};
	int ret = eal_start(&c, err, err_len);

	if (!ret)
		ret = port_probe(&y->port, &port, err, err_len);
	if (ret)
		return ret;
	if (y->frame_bytes < 60 || y->frame_bytes > y->port.mtu + 14u) {
		snprintf(err, err_len, "--size is from 60 to %u on this device", y->port.mtu + 14u);
		return -EINVAL;
	}
	y->pool = port_pool_create(&y->port, 0, POOL, eal_socket(0));
	if (!y->pool) {
		snprintf(err, err_len, "no memory for %d buffers of %u bytes", POOL,
			y->port.mbuf_room);
		return -ENOMEM;
	}
	ret = port_open(&y->port, 1, &y->pool, err, err_len);
	if (!ret)
		ret = port_start(&y->port, err, err_len);
	y->ns_per_tick = 1e9 / (double)rte_get_tsc_hz();
	return ret;
}

/* A client's core starts when the link is up; a server's at once. */
static bool wait_for_link(struct yardstick *y)
{
	for (int ms = 0; ms < LINK_WAIT_MS && !interrupted; ms++) {
		port_poll_link(&y->port);
		if (atomic_load(&y->port.up) || y->server)
			return true;
		usleep(1000);
	}
	return false;
}

void yardstick_begin(struct yardstick *y, uint64_t begin)
{
	y->window_ticks = (uint64_t)(YARDSTICK_WINDOW_MS * 1e6 / y->ns_per_tick);
	y->begin = y->last = begin;
	y->window_end = begin + y->window_ticks;
}

static int by_count(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double median_rate(struct yardstick *y)
{
	if (!y->n_windows)
		return 0;
	qsort(y->windows, y->n_windows, sizeof(*y->windows), by_count);
	return y->windows[y->n_windows / 2] * (1000.0 / YARDSTICK_WINDOW_MS);
}

static void print(struct yardstick *y, const char *name)
{
	double seconds = (double)(y->last - y->begin) * y->ns_per_tick / 1e9;
	double rate = seconds > 0 ? (double)y->round_trips / seconds : 0, median = median_rate(y);
	uint64_t p50 = hist_percentile(&y->rtt, 50), p99 = hist_percentile(&y->rtt, 99);
	uint64_t p999 = hist_percentile(&y->rtt, 99.9);

	if (y->json)
		printf("{\"bench\":\"%s\",\"driver\":\"%s\",\"frame_bytes\":%u,\"in_flight\":%u,"
		       "\"seconds\":%.3f,\"rate\":%.0f,\"median_rate\":%.0f,\"p50_ns\":%lu,"
		       "\"p99_ns\":%lu,\"p999_ns\":%lu,\"max_ns\":%lu,\"samples\":%lu,\"lost\":%lu}"
		       "\n",
			name, y->port.driver, y->frame_bytes, y->in_flight, seconds, rate, median,
			p50, p99, p999, y->rtt.max_ns, y->rtt.n, y->lost);
	else
		printf("%s: %s, %u-byte frames, %u in flight: %.3f M round trips/s (median of %d "
		       "ms: %.3f M), "
		       "p50 %.2f us, p99 %.2f us, p99.9 %.2f us, %lu lost\n",
			name, y->port.driver, y->frame_bytes, y->in_flight, rate / 1e6,
			YARDSTICK_WINDOW_MS, median / 1e6, (double)p50 / 1e3, (double)p99 / 1e3,
			(double)p999 / 1e3, y->lost);
	fflush(stdout);
}

struct job {
	struct yardstick *y;
	int (*loop)(void *y);
	_Atomic bool done;
};

static int run_job(void *arg)
{
	struct job *job = arg;
	int ret = job->loop(job->y);

	atomic_store(&job->done, true);
	return ret;
}

static void run(struct yardstick *y, int (*loop)(void *y))
{
	struct job job = {.y = y, .loop = loop};

	CHECK(!eal_launch(0, run_job, &job));
	while (!atomic_load(&job.done)) {
		if (interrupted)
			atomic_store(&y->stop, true);
		port_poll_link(&y->port);
		usleep(5000);
	}
	eal_wait(0);
}

int yardstick_run(struct yardstick *y, const char *name, int (*loop)(void *y))
{
	char err[256] = "";
	int ret = 1;

	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (start(y, name, err, sizeof(err))) {
		fprintf(stderr, "%s: %s\n", name, err);
	} else if (!wait_for_link(y)) {
		ret = interrupted ? 0 : 1;
		if (ret)
			fprintf(stderr, "%s: the link did not come up in %d s\n", name,
				LINK_WAIT_MS / 1000);
	} else {
		run(y, loop);
		ret = 0;
		if (!y->server)
			print(y, name);
	}
	port_close(&y->port);
	port_pool_free(y->pool);
	eal_stop();
	return ret;
}

uint64_t yardstick_ticks(void)
{
	return rte_rdtsc();
}

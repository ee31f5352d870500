#include "swap_cost.h"

#include "clock.h"
#include "figures.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLICE_NS = 100000000 };

/* As DPDK names the threads that poll. */
static const char poller[] = "rte-worker";

struct slice {
	double rate;   /* calls a second */
	double cpu_ns; /* of all threads but the poll loops */
	uint32_t steps;
};

/* First word of a file in /proc. */
static int read_word(char *ret, const char *folder, const char *task, const char *file)
{
	char path[320];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s/%s/%s", folder, task, file);
	f = fopen(path, "r");
	n = f ? fscanf(f, "%31s", ret) : 0;
	if (f)
		fclose(f);
	return n == 1 ? 0 : -ENOENT;
}

/* CPU time of a process so far, its poll loops left out (proc(5), schedstat). */
static double process_cpu_ns(int pid)
{
	char folder[64], name[32], ran[32];
	double sum = 0;
	struct dirent *e;
	DIR *d;

	snprintf(folder, sizeof(folder), "/proc/%d/task", pid);
	d = opendir(folder);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || read_word(name, folder, e->d_name, "comm") ||
			!strncmp(name, poller, strlen(poller)) ||
			read_word(ran, folder, e->d_name, "schedstat"))
			continue;
		sum += strtod(ran, NULL);
	}
	if (d)
		closedir(d);
	return sum;
}

static double cpu_ns(const struct swap_cost *c)
{
	return process_cpu_ns(c->server) + process_cpu_ns(getpid());
}

static void burn(double ns)
{
	const uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)ns;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

/* Swaps, or burns `burn_ns` of CPU time in place of each swap. */
static struct slice slice(struct swap_cost *c, double burn_ns)
{
	const double cpu = cpu_ns(c);
	const uint64_t begin = clock_ns(CLOCK_MONOTONIC), done = atomic_load(c->measured);
	struct slice s = {0};
	uint64_t now = begin;

	while (now - begin < SLICE_NS && !atomic_load(&c->storm->stop) && !c->storm->error[0]) {
		if (burn_ns < 0)
			storm_step(c->storm);
		else
			burn(burn_ns);
		s.steps++;
		clock_sleep_until(begin + (uint64_t)(s.steps / c->storm->rate * 1e9));
		now = clock_ns(CLOCK_MONOTONIC);
	}
	s.rate = (double)(atomic_load(c->measured) - done) / (double)(now - begin) * 1e9;
	s.cpu_ns = cpu_ns(c) - cpu;
	return s;
}

/* What other threads of the two processes do anyhow is in both slices of a pair, so it is no part
 * of what is burnt. */
static void *run(void *arg)
{
	struct swap_cost *c = arg;
	double others_ns = 0, sum_ns = 0;
	uint32_t steps = 0;

	while (c->n < c->pairs && !atomic_load(&c->storm->stop) && !c->storm->error[0]) {
		const struct slice swap = slice(c, -1);
		const double burnt = swap.cpu_ns > others_ns ? swap.cpu_ns - others_ns : 0;
		const struct slice control = slice(c, burnt / (swap.steps ? swap.steps : 1));

		others_ns = control.cpu_ns > burnt ? control.cpu_ns - burnt : 0;
		sum_ns += burnt;
		steps += swap.steps;
		if (control.rate > 0)
			c->percent[c->n++] = 100 * (1 - swap.rate / control.rate);
	}
	c->cpu_us = steps ? sum_ns / steps / 1000 : 0;
	atomic_store(&c->done, true);
	return NULL;
}

int swap_cost_start(struct swap_cost *c)
{
	c->n = 0;
	atomic_store(&c->done, false);
	c->server = admin_client_pid(c->storm->admin);
	atomic_store(&c->storm->stop, false);
	return -pthread_create(&c->thread, NULL, run, c);
}

void swap_cost_join(struct swap_cost *c)
{
	pthread_join(c->thread, NULL);
}

void swap_cost_quartiles(const struct swap_cost *c, double ret[3])
{
	double v[SWAP_COST_PAIRS];

	memcpy(v, c->percent, sizeof(v));
	sort_values(v, c->n);
	for (int i = 0; i < 3; i++)
		ret[i] = c->n ? v[(uint32_t)(i + 1) * c->n / 4] : 0;
}

json_t *swap_cost_json(const struct swap_cost *c)
{
	double q[3];

	swap_cost_quartiles(c, q);
	return json_pack("{s:f,s:f,s:f,s:i,s:f,s:f}", "percent", q[1], "lower_quartile", q[0],
		"upper_quartile", q[2], "pairs", (int)c->n, "swaps_per_second", c->storm->rate,
		"cpu_us_per_swap", c->cpu_us);
}

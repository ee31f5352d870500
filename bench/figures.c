#include "figures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

void sort_values(double *v, uint32_t n)
{
	qsort(v, n, sizeof(*v), by_value);
}

double median(const double *v, uint32_t n)
{
	double sorted[FIGURES_ROUNDS];

	if (!n)
		return 0;
	memcpy(sorted, v, n * sizeof(*v));
	sort_values(sorted, n);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

void spread(const double *v, uint32_t n, double *ret_low, double *ret_high)
{
	*ret_low = *ret_high = n ? v[0] : 0;
	for (uint32_t i = 1; i < n; i++) {
		*ret_low = v[i] < *ret_low ? v[i] : *ret_low;
		*ret_high = v[i] > *ret_high ? v[i] : *ret_high;
	}
}

/* ---- yardsticks ---- */

static void add_run(struct yard *all, uint32_t *n, const json_t *run)
{
	uint32_t in_flight = (uint32_t)json_integer_value(json_object_get(run, "in_flight"));
	struct yard *y = NULL;

	for (uint32_t i = 0; i < *n && !y; i++)
		if (all[i].in_flight == in_flight)
			y = &all[i];
	if (!y && *n < 4)
		y = &all[(*n)++];
	if (!y || y->n == FIGURES_ROUNDS)
		return;
	y->in_flight = in_flight;
	y->per_second[y->n++] = json_number_value(json_object_get(run, "median_rate"));
	y->p50_us = json_number_value(json_object_get(run, "p50_ns")) / 1000;
	y->p99_us = json_number_value(json_object_get(run, "p99_ns")) / 1000;
}

int yardsticks_read(struct yardsticks *y, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[4096];

	memset(y, 0, sizeof(*y));
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		json_t *run = json_loads(line, 0, NULL);
		const char *name = json_string_value(json_object_get(run, "bench"));

		if (name && strstr(name, "echo"))
			add_run(y->echo, &y->n_echo, run);
		else if (name && strstr(name, "floor"))
			add_run(y->floor, &y->n_floor, run);
		json_decref(run);
	}
	fclose(f);
	return 0;
}

const struct yard *yardstick_of(const struct yard *y, uint32_t n, uint32_t in_flight)
{
	for (uint32_t i = 0; i < n; i++)
		if (y[i].in_flight == in_flight)
			return &y[i];
	return NULL;
}

/* The rate beside a yardstick's at the same calls in flight (echo knows 64 where we have 60; it is
 * the nearest). */
static double ratio(const struct figure *f, const struct yard *all, uint32_t n)
{
	const struct yard *best = NULL;

	for (uint32_t i = 0; i < n; i++)
		if (!best || llabs((long long)all[i].in_flight - f->in_flight) <
				     llabs((long long)best->in_flight - f->in_flight))
			best = &all[i];
	/* A yardstick may have been left no CPU at all. */
	double yard = best && best->n ? median(best->per_second, best->n) : 0;

	return yard > 0 ? median(f->per_second, f->n) / yard : 0;
}

/* ---- output ---- */

static double us(const struct hist *h, double percent)
{
	return (double)hist_percentile(h, percent) / 1000;
}

void figures_header(FILE *to)
{
	fprintf(to, "%-26s %10s %15s %9s %8s %8s %8s %8s %9s %6s %6s %6s %7s %7s\n", "", "calls/s",
		"(low..high)", "in flight", "p50 us", "p99", "p99.9", "p99.99", "max", "swaps",
		"failed", "resent", "of echo", "of floor");
}

void figures_row(FILE *to, const struct figure *f, const struct yardsticks *y)
{
	double low, high, echo = ratio(f, y->echo, y->n_echo),
			  floor = ratio(f, y->floor, y->n_floor);
	char range[32], of_echo[16] = "-", of_floor[16] = "-";

	spread(f->per_second, f->n, &low, &high);
	snprintf(range, sizeof(range), "(%.2f..%.2f M)", low / 1e6, high / 1e6);
	if (echo > 0)
		snprintf(of_echo, sizeof(of_echo), "%.2f", echo);
	if (floor > 0)
		snprintf(of_floor, sizeof(of_floor), "%.2f", floor);
	fprintf(to,
		"%-26s %10.0f %15s %9u %8.2f %8.2f %8.2f %8.1f %9.1f %6llu %6llu %6llu %7s %7s\n",
		f->name, median(f->per_second, f->n), range, f->in_flight, us(&f->hist, 50),
		us(&f->hist, 99), us(&f->hist, 99.9), us(&f->hist, 99.99),
		(double)f->hist.max_ns / 1000, (unsigned long long)f->swaps,
		(unsigned long long)f->failed, (unsigned long long)f->retransmissions, of_echo,
		of_floor);
}

double figure_gbit(const struct figure *f)
{
	return median(f->per_second, f->n) * f->payload_bytes * 8 / 1e9;
}

json_t *figure_json(const struct figure *f, const struct yardsticks *y)
{
	double low, high;

	spread(f->per_second, f->n, &low, &high);
	return json_pack("{s:s,s:f,s:f,s:f,s:i,s:i,s:i,s:i,s:{s:f,s:f,s:f,s:f,s:f,s:f},s:I,s:I,s:I,"
			 "s:I,s:f,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:f}",
		"name", f->key, "calls_per_second", median(f->per_second, f->n), "low", low, "high",
		high, "in_flight", (int)f->in_flight, "sessions", (int)f->sessions, "payload_bytes",
		(int)f->payload_bytes, "frame_bytes", (int)f->frame_bytes, "latency_us", "p50",
		us(&f->hist, 50), "p90", us(&f->hist, 90), "p99", us(&f->hist, 99), "p99.9",
		us(&f->hist, 99.9), "p99.99", us(&f->hist, 99.99), "max",
		(double)f->hist.max_ns / 1000, "failed", (json_int_t)f->failed, "wrong",
		(json_int_t)f->wrong, "retransmissions", (json_int_t)f->retransmissions, "swaps",
		(json_int_t)f->swaps, "echo_ratio", ratio(f, y->echo, y->n_echo), "floor_ratio",
		ratio(f, y->floor, y->n_floor), "seconds", f->seconds, "rate_asked", f->rate,
		"slow_percent", f->slow_percent, "late", (json_int_t)f->late, "refused",
		(json_int_t)f->refused, "held_back", (json_int_t)f->held_back, "gbit_per_second",
		figure_gbit(f));
}

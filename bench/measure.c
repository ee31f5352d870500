/* measure.c - rounds of load, the checks every one of them makes, and what is shown in the end. */
#include "telabench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WINDOWS_MAX = 4096, WINDOW_MS = 20 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_s(double s)
{
	struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};

	nanosleep(&t, NULL);
}

int wait_for_peer(struct bench *b, double seconds)
{
	struct tela_options o = {.deadline_us = 200000};
	uint8_t data[8] = {0};
	struct echo_Message_args a = {.data = {data, sizeof(data)}};
	double end = now_s() + seconds;

	memset(data, 0xff, sizeof(data)); /* an id far outside of those that are counted */
	while (now_s() < end && !telabench_interrupted()) {
		struct tela_reply reply;
		echo_Message_t m;
		int rc = echo_Echo_echo_wait(b->thread, b->echo, &a, &o, &reply, &m);

		tela_node_poll(b->node); /* it sees links that are up now */
		if (!rc) {
			bool ok = reply.code == TELA_OK;

			tela_reply_free(&reply);
			if (ok)
				return 0;
		}
		sleep_s(0.02);
	}
	fprintf(stderr, "telabench: %s does not answer\n", b->options->peer);
	return -ETIMEDOUT;
}

void check(struct bench *b, bool held, const char *format, ...)
{
	va_list args;

	if (held)
		return;
	b->n_failed_checks++;
	fprintf(stderr, "telabench: CHECK FAILED: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

struct figure *figure_add(
	struct bench *b, const char *key, const char *name, uint32_t in_flight, uint32_t sessions)
{
	struct figure *f = &b->figure[b->n_figures++];

	*f = (struct figure){.key = key,
		.name = name,
		.in_flight = in_flight,
		.sessions = sessions,
		.payload_bytes = b->options->bytes};
	/* Packet header, canonical envelope, the typed payload, in one of the datagrams that they
	 * share. */
	f->frame_bytes = 24 + 32 +
			 (uint32_t)echo_Message_size(&(struct echo_Message_args){
				 .data = {(const uint8_t *)"", b->options->bytes}});
	f->frame_bytes = (f->frame_bytes + 7) & ~7u;
	return f;
}

/* Rate as the median of short windows: where others use the CPUs too, it says what the loop does
 * while it runs; the yardsticks measure the same way. Large messages, of which a window sees few,
 * count over all the time, and so where most windows saw nothing. */
static double watch(struct bench *b, double seconds, double *ret_seconds)
{
	static double window[WINDOWS_MAX];
	const bool large = b->options->bytes > LOAD_BYTES_OWN;
	double begin = now_s(), last = begin, now = begin;
	const uint64_t first = atomic_load(&b->load->measured);
	uint64_t before = first;
	uint32_t n = 0;

	while (now - begin < seconds && !telabench_interrupted()) {
		uint64_t done;

		sleep_s(WINDOW_MS / 1000.0);
		now = now_s();
		done = atomic_load(&b->load->measured);
		if (n < WINDOWS_MAX)
			window[n++] = (double)(done - before) / (now - last);
		before = done;
		last = now;
		tela_node_poll(b->node);
	}
	*ret_seconds = now - begin;
	sort_values(window, n);
	if (!large && n && window[n / 2] > 0)
		return window[n / 2];
	return now > begin ? (double)(before - first) / (now - begin) : 0;
}

void load_on(struct bench *b, struct figure *f, struct tela_client *client, bool stamped)
{
	struct load *l = b->load;

	l->put = b->options->put;
	l->get = b->options->get;
	l->client = l->put || l->get ? b->bytes : client;
	l->in_flight = f->in_flight;
	l->bytes = b->options->bytes;
	l->stamped = stamped;
	l->one_way = b->options->one_way;
	l->per_second = f->rate;
	l->overload = f->rate > 0 || b->options->overload;
	l->slow_65536 = (uint32_t)(f->slow_percent * 655.36);
	l->slow_us = b->options->slow_us;
	l->sample_every = f->in_flight < 16 || f->rate > 0 ? 1 : (f->in_flight < 256 ? 8 : 16);
	load_start(l);
	atomic_store(&b->load_now, l);
	/* Sessions are granted their slots, caches fill. */
	sleep_s(f->warm_up_s > 0 ? f->warm_up_s : 0.2);
}

void load_off(struct bench *b, struct figure *f)
{
	struct load *l = b->load;

	atomic_store(&l->measure, false);
	load_stop(l);
	atomic_store(&b->load_now, NULL);
	f->calls += atomic_load(&l->done);
	f->failed += l->failed;
	f->wrong += l->wrong;
	f->late += l->late;
	f->refused += l->refused;
	f->held_back += l->held_back;
	check(b, !l->failed, "%s: %llu calls failed, the last with %s %s", f->name,
		(unsigned long long)l->failed, tela_code_name(l->last_code), l->last_message);
	check(b, !l->wrong, "%s: %llu replies with other bytes than their request", f->name,
		(unsigned long long)l->wrong);
	check(b, !l->torn, "%s: %llu replies that do not show exactly one image", f->name,
		(unsigned long long)l->torn);
}

void measure(
	struct bench *b, struct figure *f, struct tela_client *client, bool stamped, bool storm)
{
	struct load *l = b->load;
	uint64_t resends = tela_node_counter(b->node, "resends");
	double seconds;

	load_on(b, f, client, stamped);
	if (storm && storm_start(&b->storm))
		check(b, false, "the storm's thread cannot be started");
	atomic_store(&l->measure, true);
	f->per_second[f->n++] = watch(b, b->options->seconds, &seconds);
	if (storm)
		storm_stop(&b->storm);
	load_off(b, f);
	hist_merge(&f->hist, &l->hist);
	f->seconds += seconds;
	f->retransmissions += tela_node_counter(b->node, "resends") - resends;
	if (storm)
		f->swaps = atomic_load(&b->storm.swaps);
	check(b, !storm || !b->storm.error[0], "%s: a change of the chain was refused: %s", f->name,
		b->storm.error);
}

static uint64_t sum_failed(const struct bench *b)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < b->n_figures; i++)
		n += b->figure[i].failed;
	return n;
}

static uint64_t sum_swaps(const struct bench *b)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < b->n_figures; i++)
		n += b->figure[i].swaps;
	return n;
}

static json_t *yard_json(const struct yard *y, uint32_t n)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < n; i++) {
		double low, high;

		spread(y[i].per_second, y[i].n, &low, &high);
		json_array_append_new(list,
			json_pack("{s:i,s:f,s:f,s:f,s:f,s:f}", "in_flight", (int)y[i].in_flight,
				"per_second", median(y[i].per_second, y[i].n), "low", low, "high",
				high, "p50_us", y[i].p50_us, "p99_us", y[i].p99_us));
	}
	return list;
}

static double first_rate(const struct yard *y, uint32_t n)
{
	return n ? median(y[0].per_second, y[0].n) : 0;
}

/* The first figure stands for the run; all of them are in `runs`. */
static void show_json(struct bench *b)
{
	json_t *all = figure_json(&b->figure[0], &b->yardsticks), *runs = json_array();

	for (uint32_t i = 0; i < b->n_figures; i++)
		json_array_append_new(runs, figure_json(&b->figure[i], &b->yardsticks));
	json_object_set_new(all, "runs", runs);
	json_object_set_new(all, "failed", json_integer((json_int_t)sum_failed(b)));
	json_object_set_new(all, "executed_twice", json_integer((json_int_t)b->executed_twice));
	json_object_set_new(all, "swaps", json_integer((json_int_t)sum_swaps(b)));
	json_object_set_new(all, "checks_failed", json_integer(b->n_failed_checks));
	json_object_set_new(all, "echo_per_second",
		json_real(first_rate(b->yardsticks.echo, b->yardsticks.n_echo)));
	json_object_set_new(all, "floor_per_second",
		json_real(first_rate(b->yardsticks.floor, b->yardsticks.n_floor)));
	json_object_set_new(all, "echo", yard_json(b->yardsticks.echo, b->yardsticks.n_echo));
	json_object_set_new(all, "floor", yard_json(b->yardsticks.floor, b->yardsticks.n_floor));
	if (b->swap_cost.n)
		json_object_set_new(all, "swap_cost", swap_cost_json(&b->swap_cost));
	json_object_set_new(all, "version", json_string(TELA_VERSION));
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static void show_yard(FILE *to, const char *name, const struct yard *y, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		fprintf(to, "%-26s %10.0f %15s %9u %8.2f %8.2f\n", name,
			median(y[i].per_second, y[i].n), "", y[i].in_flight, y[i].p50_us,
			y[i].p99_us);
}

/* This node's drops: none is expected but those that faults bring. */
static void show_drop(void *arg, const char *name, const char *help, bool drop, uint64_t value)
{
	static const char *const also[] = {
		"pings", "loop_gaps", "paths_down", "congested", "paced", "calls_throttled"};

	for (size_t i = 0; i < sizeof(also) / sizeof(*also); i++)
		drop |= !strcmp(name, also[i]);
	if (value && drop)
		fprintf(arg, "%-26s %10llu  %s\n", name, (unsigned long long)value, help);
}

void show(struct bench *b)
{
	if (b->options->json) {
		show_json(b);
		return;
	}
	fprintf(b->out, "\n");
	figures_header(b->out);
	for (uint32_t i = 0; i < b->n_figures; i++)
		figures_row(b->out, &b->figure[i], &b->yardsticks);
	show_yard(b->out, "echo (frames)", b->yardsticks.echo, b->yardsticks.n_echo);
	show_yard(b->out, "floor (calls)", b->yardsticks.floor, b->yardsticks.n_floor);
	fprintf(b->out,
		"\n%.2f Gbit/s %s way; %u-byte calls in %u bytes of a shared datagram; %llu "
		"swaps, %llu calls failed, "
		"%llu executed twice, "
		"%u checks failed\n",
		figure_gbit(&b->figure[0]),
		b->options->one_way || b->options->put || b->options->get ? "one" : "each",
		b->options->bytes, b->figure[0].frame_bytes, (unsigned long long)sum_swaps(b),
		(unsigned long long)sum_failed(b), (unsigned long long)b->executed_twice,
		b->n_failed_checks);
	if (b->figure[0].rate > 0)
		fprintf(b->out,
			"open loop: %.0f calls/s asked for, times from when each was due; %llu "
			"were still due at the end, %llu refused by the peer and %llu held back "
			"here: "
			"it is overloaded\n",
			b->figure[0].rate, (unsigned long long)b->figure[0].late,
			(unsigned long long)b->figure[0].refused,
			(unsigned long long)b->figure[0].held_back);
	if (b->figure[0].slow_percent > 0)
		fprintf(b->out, "%g %% of the calls took %u us to answer; times are the others'\n",
			b->figure[0].slow_percent, b->options->slow_us);
	tela_node_counters(b->node, UINT32_MAX, show_drop, b->out);
}

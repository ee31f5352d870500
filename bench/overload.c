/* overload.c - what a peer still does when it is asked for more than it can: its peak in a closed
 * loop, then once, twice and three times that rate in an open one, round by round, so that each
 * share is of a peak that was found just before. */
#include "telabench.h"

#include <errno.h>

enum { LOADS = 3 };

static const struct {
	const char *key, *name;
} loads[LOADS] = {{"load_1", "1 times the peak"}, {"load_2", "2 times"}, {"load_3", "3 times"}};

/* Goodput of each round beside the peak of that round. */
static uint32_t shares(
	const struct figure *f, const struct figure *peak, double ret[FIGURES_ROUNDS])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->n; i++)
		if (peak->per_second[i] > 0)
			ret[n++] = f->per_second[i] / peak->per_second[i];
	return n;
}

static double each_second(const struct figure *f, uint64_t n)
{
	return f->seconds > 0 ? (double)n / f->seconds : 0;
}

static json_t *load_json(const struct bench *b, const struct figure *f, uint32_t load)
{
	json_t *all = figure_json(f, &b->yardsticks);
	double share[FIGURES_ROUNDS], low, high;
	uint32_t n = shares(f, &b->figure[0], share);

	spread(share, n, &low, &high);
	json_object_set_new(all, "load", json_integer(load));
	json_object_set_new(all, "of_peak", json_real(median(share, n)));
	json_object_set_new(all, "of_peak_low", json_real(low));
	json_object_set_new(all, "of_peak_high", json_real(high));
	json_object_set_new(all, "refused_per_second", json_real(each_second(f, f->refused)));
	json_object_set_new(all, "held_back_per_second", json_real(each_second(f, f->held_back)));
	return all;
}

static void overload_json(const struct bench *b)
{
	json_t *list = json_array();
	uint64_t failed = 0;

	for (uint32_t i = 0; i < b->n_figures; i++)
		failed += b->figure[i].failed;
	for (uint32_t i = 0; i < LOADS; i++)
		json_array_append_new(list, load_json(b, &b->figure[1 + i], i + 1));
	list = json_pack("{s:o,s:o,s:I,s:i,s:s}", "peak",
		figure_json(&b->figure[0], &b->yardsticks), "loads", list, "failed",
		(json_int_t)failed, "checks_failed", (int)b->n_failed_checks, "version",
		TELA_VERSION);
	json_dumpf(list, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(list);
}

static double us(const struct figure *f, double percent)
{
	return (double)hist_percentile(&f->hist, percent) / 1000;
}

static void overload_text(const struct bench *b)
{
	const struct figure *peak = &b->figure[0];
	double low, high;

	spread(peak->per_second, peak->n, &low, &high);
	fprintf(b->out,
		"\npeak: %.0f calls/s (%.0f..%.0f), a closed loop of %u in flight, p50 %.1f, "
		"p99 %.1f us\n\n%-18s %12s %8s %14s %9s %9s %11s %12s %11s\n",
		median(peak->per_second, peak->n), low, high, peak->in_flight, us(peak, 50),
		us(peak, 99), "load", "goodput/s", "of peak", "(low..high)", "p50 us", "p99",
		"refused/s", "held back/s", "not made");
	for (uint32_t i = 0; i < LOADS; i++) {
		const struct figure *f = &b->figure[1 + i];
		double share[FIGURES_ROUNDS];
		uint32_t n = shares(f, peak, share);
		char range[32];

		spread(share, n, &low, &high);
		snprintf(range, sizeof(range), "(%.2f..%.2f)", low, high);
		fprintf(b->out, "%-18s %12.0f %8.2f %14s %9.1f %9.1f %11.0f %12.0f %11llu\n",
			f->name, median(f->per_second, f->n), median(share, n), range, us(f, 50),
			us(f, 99), each_second(f, f->refused), each_second(f, f->held_back),
			(unsigned long long)f->late);
	}
	fprintf(b->out,
		"\nTimes are of calls that were served, from when each was due. Refused: by the "
		"peer, surely not executed. Held back:\nby this node, which had been told so. Not "
		"made: still due when the load ended, this node was too slow itself.\n");
}

int overload(struct bench *b)
{
	const struct options *o = b->options;
	struct figure *peak = figure_add(b, "peak", "peak", o->in_flight, o->sessions);
	int rc = wait_for_peer(b, 10);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < LOADS; i++) {
		/* As many under way as come: sessions have slots for some of them. */
		struct figure *f =
			figure_add(b, loads[i].key, loads[i].name, LOAD_IN_FLIGHT_MAX, o->sessions);

		/* A peer finds out that it is behind within twenty of its targets. */
		f->warm_up_s = o->seconds;
	}
	for (uint32_t i = 0; i < o->rounds && !telabench_interrupted(); i++) {
		measure(b, peak, b->echo, false, false);
		for (uint32_t k = 0; k < LOADS && peak->per_second[i] >= 1; k++) {
			struct figure *f = &b->figure[1 + k];

			f->rate = (k + 1) * peak->per_second[i];
			measure(b, f, b->echo, false, false);
		}
		fprintf(b->out, "round %u of %u: peak %.0f calls/s, at 3 times that %.0f\n", i + 1,
			o->rounds, peak->per_second[i],
			b->figure[LOADS].n ? b->figure[LOADS].per_second[i] : 0);
		fflush(b->out);
	}
	check(b, b->figure[LOADS].n == peak->n, "a round had no peak: is the peer's CPU taken?");
	o->json ? overload_json(b) : overload_text(b);
	return b->n_failed_checks ? -EIO : 0;
}

/* figures.h - what a run measured, shown as a table for people and as one JSON object for programs.
 */
#pragma once

#include "hist.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

enum { FIGURES_ROUNDS = 16, FIGURES_MAX = 32 };

/* One kind of run; several rounds of it, of which the median counts. */
struct figure {
	const char *name; /* for people */
	const char *key;  /* for programs */
	uint32_t in_flight, sessions, payload_bytes, frame_bytes;
	double rate;         /* asked for, calls/s; 0: closed loop */
	double slow_percent; /* of the calls were answered slowly, and are in no latency */
	double warm_up_s;    /* of each round; 0: as long as a closed loop takes */
	double per_second[FIGURES_ROUNDS], seconds;
	uint32_t n;
	struct hist hist; /* over all rounds */
	uint64_t calls, failed, wrong, swaps, retransmissions, late, refused, held_back;
};

struct yardsticks { /* medians of what the separate programs measured on the same device; 0: not
		       measured */
	struct yard {
		uint32_t in_flight;
		double per_second[FIGURES_ROUNDS];
		uint32_t n;
		double p50_us, p99_us;
	} echo[4], floor[4];
	uint32_t n_echo, n_floor;
};

void sort_values(double *v, uint32_t n);
double median(const double *v, uint32_t n);
void spread(const double *v, uint32_t n, double *ret_low, double *ret_high);

/* Reads the JSON lines that tela-echo and tela-floor print. 0 or -errno. */
int yardsticks_read(struct yardsticks *y, const char *path);
/* That with as many in flight; NULL if it was not measured. */
const struct yard *yardstick_of(const struct yard *y, uint32_t n, uint32_t in_flight);

/* Data bytes that go each way, in Gbit/s. */
double figure_gbit(const struct figure *f);
void figures_header(FILE *to);
void figures_row(FILE *to, const struct figure *f, const struct yardsticks *y);
json_t *figure_json(const struct figure *f, const struct yardsticks *y);

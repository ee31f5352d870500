/* logger_line.h - what the logger keeps of a call, and the line it becomes; and how many lines a
 * second may. */
#pragma once

#include <time.h>

#include "base.h"
#include "tela.h"

enum { LOGGER_LINE_MAX = 256 };

#define LOGGER_NO_TIME UINT64_MAX

/* Ids only: nothing here points into a schema or a plugin that may be unloaded. */
struct logger_record {
	uint64_t duration_ns; /* LOGGER_NO_TIME: not known */
	uint32_t request_bytes;
	uint16_t method;
	uint8_t code;
};

/* One line with its newline; returns its length, less than LOGGER_LINE_MAX. `now` is wall-clock
 * time. */
static inline size_t logger_line(char line[LOGGER_LINE_MAX], const char *service,
	const struct logger_record *r, const struct timespec *now)
{
	char when[32], took[32] = "-";
	struct tm tm;
	int n;

	gmtime_r(&now->tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	if (r->duration_ns != LOGGER_NO_TIME)
		snprintf(took, sizeof(took), "%llu",
			(unsigned long long)(r->duration_ns / NS_PER_US));
	n = snprintf(line, LOGGER_LINE_MAX,
		"%s.%03ldZ service=%.63s method=%u code=%s bytes=%u us=%s\n", when,
		now->tv_nsec / 1000000, service, r->method, tela_code_name(r->code),
		r->request_bytes, took);
	return n < 0 ? 0 : (size_t)n;
}

/* At most `per_second` lines in each second of a monotonic clock. */
struct logger_rate {
	uint64_t per_second, second, used;
};

static inline bool logger_rate_take(struct logger_rate *r, uint64_t now_ns)
{
	if (now_ns / NS_PER_S != r->second) {
		r->second = now_ns / NS_PER_S;
		r->used = 0;
	}
	if (r->used == r->per_second)
		return false;
	r->used++;
	return true;
}

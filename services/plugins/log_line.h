/* log_line.h - what the log keeps of a call, and the line it becomes; and how many lines a
 * second may. */
#pragma once

#include <time.h>

#include "base.h"
#include "tela.h"

enum { LOG_LINE_MAX = 256 };

#define LOG_NO_TIME UINT64_MAX

/* Ids only: nothing here points into a schema or a plugin that may be unloaded. */
struct log_record {
	uint64_t duration_ns; /* LOG_NO_TIME: not known */
	uint32_t request_bytes;
	uint16_t method;
	uint8_t code;
};

/* One line with its newline; returns its length, less than LOG_LINE_MAX. `now` is wall-clock
 * time. */
static inline size_t log_line(char line[LOG_LINE_MAX], const char *service,
	const struct log_record *r, const struct timespec *now)
{
	char when[32], took[32] = "-";
	struct tm tm;
	int n;

	gmtime_r(&now->tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	if (r->duration_ns != LOG_NO_TIME)
		snprintf(took, sizeof(took), "%llu",
			(unsigned long long)(r->duration_ns / NS_PER_US));
	n = snprintf(line, LOG_LINE_MAX,
		"%s.%03ldZ service=%.63s method=%u code=%s bytes=%u us=%s\n", when,
		now->tv_nsec / 1000000, service, r->method, tela_code_name(r->code),
		r->request_bytes, took);
	return n < 0 ? 0 : (size_t)n;
}

/* At most `per_second` lines in each second of a monotonic clock. */
struct log_rate {
	uint64_t per_second, second, used;
};

static inline bool log_rate_take(struct log_rate *r, uint64_t now_ns)
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

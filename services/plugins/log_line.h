/* log_line.h - what the log keeps of a call, and the line it becomes; and how many lines a
 * second may. */
#pragma once

#include <time.h>

#include "base.h"
#include "tela.h"
#include "tela_fb_print.h"

enum {
	LOG_LINE_MAX = 256,
	LOG_REQUEST_MAX = 1024, /* of a request, and of its text; not counted in the line's */
};

#define LOG_NO_TIME UINT64_MAX

/* Nothing here points into a plugin that may be unloaded: the node keeps what describes its
 * services for as long as it lives. */
struct log_record {
	uint64_t duration_ns;                 /* LOG_NO_TIME: not known */
	const struct tela_fb_desc_type *type; /* of the request, NULL: nobody knows */
	uint32_t request_bytes;
	uint16_t method;
	uint8_t code;
	uint16_t kept; /* bytes of it that follow */
	uint8_t request[];
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

/* Says at the end of such a line what the request was, in at most `most` bytes; returns the line's
 * length now. A request of which not all was kept is printed as far as it goes. */
static inline size_t log_line_request(
	char *line, size_t len, const struct log_record *r, size_t most)
{
	static const char head[] = " request=";
	char *text = line + len + sizeof(head) - 2; /* over the newline */
	size_t n = 0;

	memcpy(line + len - 1, head, sizeof(head) - 1);
	if (!r->kept || tela_fb_print(r->type, r->request, r->kept, TELA_FB_PRINT_TEXT, text,
				most + 1, &n) == -EINVAL)
		text[n++] = '-';
	text[n++] = '\n';
	text[n] = 0;
	return (size_t)(text - line) + n;
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

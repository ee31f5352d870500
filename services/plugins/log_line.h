/* log_line.h - what the log keeps of a call, and the line it becomes; and how many lines a
 * second may. */
#pragma once

#include <time.h>

#include "base.h"
#include "tela.h"
#include "tela_fb_print.h"

enum {
	LOG_LINE_MAX = 400,
	LOG_REQUEST_MAX = 1024, /* of a request, and of its text; not counted in the line's */
};

#define LOG_NO_TIME UINT64_MAX

/* Nothing here points into a plugin that may be unloaded: the node keeps what describes its
 * services for as long as it lives. */
struct log_record {
	uint64_t duration_ns;                 /* LOG_NO_TIME: not known */
	const struct tela_fb_desc_type *type; /* of the request, NULL: nobody knows */
	uint64_t trace[2], span;              /* trace 0, 0: it has none */
	uint32_t request_bytes;
	uint16_t method;
	uint8_t code;
	uint16_t kept; /* bytes of it that follow */
	uint8_t request[];
};

/* How every line begins. */
static inline int log_line_head(char line[LOG_LINE_MAX], const char *service, const char *method,
	uint8_t code, const struct timespec *now)
{
	char when[32];
	struct tm tm;

	gmtime_r(&now->tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	return snprintf(line, LOG_LINE_MAX, "%s.%03ldZ service=%.63s method=%.63s code=%s", when,
		now->tv_nsec / 1000000, service, method, tela_code_name(code));
}

/* One line with its newline; returns its length, less than LOG_LINE_MAX. `now` is wall-clock
 * time. */
static inline size_t log_line(char line[LOG_LINE_MAX], const char *service, const char *method,
	const struct log_record *r, const struct timespec *now)
{
	int n = log_line_head(line, service, method, r->code, now);
	char took[32] = "-", trace[80] = "";

	if (r->trace[0] | r->trace[1])
		snprintf(trace, sizeof(trace), " trace=%016llx%016llx span=%016llx",
			(unsigned long long)r->trace[0], (unsigned long long)r->trace[1],
			(unsigned long long)r->span);
	if (r->duration_ns != LOG_NO_TIME)
		snprintf(took, sizeof(took), "%llu",
			(unsigned long long)(r->duration_ns / NS_PER_US));
	n += snprintf(line + n, LOG_LINE_MAX - (size_t)n, " bytes=%u us=%s%s\n", r->request_bytes,
		took, trace);
	return (size_t)n;
}

/* In place of lines that say the same again. */
static inline size_t log_line_repeated(char line[LOG_LINE_MAX], const char *service,
	const char *method, uint8_t code, uint64_t repeated, const struct timespec *now)
{
	int n = log_line_head(line, service, method, code, now);

	n += snprintf(line + n, LOG_LINE_MAX - (size_t)n, " repeated=%llu\n",
		(unsigned long long)repeated);
	return (size_t)n;
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

/* At most `most` lines of one method and code in each second; how many more there were is told when
 * it is over. Two that meet in a place share it: then some repeats of one are told as more lines.
 */
enum { LOG_REPEATS = 64 };

struct log_repeats {
	uint32_t most; /* 0: all */
	uint64_t second;
	struct log_repeat {
		uint32_t key, lines; /* key: method << 8 | code */
		uint64_t repeated;
	} at[LOG_REPEATS];
};

/* A new second: then what was repeated in the last one is to be told, and forgotten. */
static inline bool log_repeats_due(struct log_repeats *r, uint64_t now_ns)
{
	bool due = now_ns / NS_PER_S != r->second;

	r->second = now_ns / NS_PER_S;
	return due;
}

static inline bool log_repeats_take(struct log_repeats *r, const struct log_record *record)
{
	uint32_t key = (uint32_t)record->method << 8 | record->code;
	struct log_repeat *at = &r->at[(key * 0x9e3779b1u) >> 26];

	if (!r->most)
		return true;
	if (at->key != key && !at->repeated)
		*at = (struct log_repeat){.key = key};
	if (at->key != key || at->lines < r->most) {
		at->lines += at->key == key;
		return true;
	}
	at->repeated++;
	return false;
}

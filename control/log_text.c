#include "log_text.h"

#include "../dataplane/base.h"

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

const char *const log_level_names[] = {"error", "warn", "info", "debug", NULL};
const char *const log_format_names[] = {"text", "json", NULL};

struct out {
	char *at, *end;
};

static void put(struct out *o, const char *bytes, size_t n)
{
	n = min_u64(n, (size_t)(o->end - o->at));
	memcpy(o->at, bytes, n);
	o->at += n;
}

static __attribute__((format(printf, 2, 3))) void print(struct out *o, const char *format, ...)
{
	va_list args;
	char text[128];
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(o, text, min_u64((uint64_t)n, sizeof(text) - 1));
}

/* ---- what may be shown ---- */

/* Bytes of the character that begins at `s`, at most `n` of them; 0: it is none. */
static size_t character(const unsigned char *s, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
	uint32_t c;

	if (len < 2 || len > n)
		return len == 1;
	c = *s & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

void log_text_repair(char *text)
{
	unsigned char *s = (unsigned char *)text;

	for (size_t n = strlen(text), len; n; s += len, n -= len) {
		len = character(s, n);
		if (len)
			continue;
		*s = '?';
		len = 1;
	}
}

/* C0, DEL, C1; and what ends a line or turns its direction round: U+2028, U+2029, U+202A to
 * U+202E, U+2066 to U+2069. */
static bool is_control(const unsigned char *s, size_t len)
{
	if (len == 1)
		return *s < 0x20 || *s == 0x7f;
	if (len == 2)
		return *s == 0xc2 && s[1] < 0xa0;
	return len == 3 && *s == 0xe2 &&
	       ((s[1] == 0x80 && s[2] >= 0xa8 && s[2] <= 0xae) ||
		       (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
}

static void escape_text(struct out *o, const unsigned char *s, size_t len)
{
	static const char known[] = "\n\r\t\\";
	const char *at = len == 1 && *s ? strchr(known, *s) : NULL;

	if (at)
		print(o, "\\%c", "nrt\\"[at - known]);
	else
		for (size_t i = 0; i < len; i++)
			print(o, "\\x%02x", s[i]);
}

static void escape_json(struct out *o, const unsigned char *s, size_t len)
{
	if (*s == '"' || *s == '\\')
		print(o, "\\%c", *s);
	else if (len == 1)
		print(o, "\\u%04x", *s);
	else if (len == 2)
		print(o, "\\u%04x", (*s & 0x1fu) << 6 | (s[1] & 0x3fu));
	else
		print(o, "\\u%04x", (*s & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu));
}

static void put_escaped(struct out *o, enum log_format format, const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + n;
	size_t len;

	for (; s < end; s += len ? len : 1) {
		len = character(s, (size_t)(end - s));
		if (!len && format == LOG_JSON)
			put(o, "\xef\xbf\xbd", 3);
		else if (!len)
			escape_text(o, s, 1);
		else if (format == LOG_JSON && (is_control(s, len) || *s == '"' || *s == '\\'))
			escape_json(o, s, len);
		else if (format == LOG_TEXT && (is_control(s, len) || *s == '\\'))
			escape_text(o, s, len);
		else
			put(o, (const char *)s, len);
	}
}

static void put_name(struct out *o, enum log_format format, const char *name)
{
	put_escaped(o, format, name, strnlen(name, 127));
}

/* ---- the two forms ---- */

static void put_time(struct out *o, uint64_t at_ns, unsigned digits)
{
	time_t seconds = (time_t)(at_ns / NS_PER_S);
	unsigned us = (unsigned)(at_ns % NS_PER_S / NS_PER_US);
	char when[32] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	print(o, "%s.%0*uZ", when, (int)digits, digits == 3 ? us / 1000 : us);
}

static void put_trace(struct out *o, const struct tela_log_line *l, const char *trace,
	const char *span, const char *end)
{
	if (l->trace[0] | l->trace[1])
		print(o, "%s%016" PRIx64 "%016" PRIx64 "%s", trace, l->trace[0], l->trace[1], end);
	if ((l->trace[0] | l->trace[1]) && l->span)
		print(o, "%s%016" PRIx64 "%s", span, l->span, end);
}

/* Who says it, about what; nothing of the node's own. */
static bool put_origin(struct out *o, const struct tela_log_line *l)
{
	char *before = o->at;

	put_name(o, LOG_TEXT, l->component ? l->component : l->service);
	if (*l->method)
		put(o, ".", 1);
	put_name(o, LOG_TEXT, l->method);
	if (*l->plugin) {
		put(o, " plugin=", 8);
		put_name(o, LOG_TEXT, l->plugin);
	}
	put_trace(o, l, " trace=", " span=", "");
	return o->at > before;
}

static void put_text(struct out *o, bool priority, const struct tela_log_line *l, uint32_t repeated)
{
	if (!priority) {
		put_time(o, l->at_ns, 3);
		print(o, " %s", log_level_names[l->level]);
		if (*l->service || l->component)
			put(o, " ", 1);
	}
	if (put_origin(o, l) || !priority)
		put(o, ": ", 2);
	if (repeated)
		print(o, "%u more lines like this one: ", repeated);
	put_escaped(o, LOG_TEXT, l->text, min_u64(l->text_len, LOG_LINE_TEXT));
}

static void put_member(struct out *o, const char *name, const char *value)
{
	if (!*value)
		return;
	print(o, ",\"%s\":\"", name);
	put_name(o, LOG_JSON, value);
	put(o, "\"", 1);
}

static void put_json(
	struct out *o, const char *node, const struct tela_log_line *l, uint32_t repeated)
{
	put(o, "{\"time\":\"", 9);
	put_time(o, l->at_ns, 6);
	print(o, "\",\"level\":\"%s\"", log_level_names[l->level]);
	put_member(o, "node", node);
	put_member(o, "component", l->component ? l->component : "");
	put_member(o, "service", l->service);
	put_member(o, "plugin", l->plugin);
	put_member(o, "method", l->method);
	put_trace(o, l, ",\"trace\":\"", ",\"span\":\"", "\"");
	if (l->core != UINT32_MAX)
		print(o, ",\"core\":%u", l->core);
	if (repeated)
		print(o, ",\"repeated\":%u", repeated);
	put(o, ",\"message\":\"", 12);
	put_escaped(o, LOG_JSON, l->text, min_u64(l->text_len, LOG_LINE_TEXT));
	put(o, "\"}", 2);
}

size_t log_text(char to[LOG_LINE_MAX], enum log_format format, bool priority, const char *node,
	const struct tela_log_line *l, uint32_t repeated)
{
	static const int syslog_priority[] = {3, 4, 6, 7};
	struct out o = {to, to + LOG_LINE_MAX - 1};

	if (priority)
		print(&o, "<%d>", syslog_priority[l->level]);
	if (format == LOG_JSON)
		put_json(&o, node, l, repeated);
	else
		put_text(&o, priority, l, repeated);
	*o.at++ = '\n';
	return (size_t)(o.at - to);
}

#include "log.h"

#include "../dataplane/base.h"

#include <pthread.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static _Atomic int level_now = TELA_LOG_INFO;
static enum log_format format_now;
static char node_name[128]; /* as long as any name that is shown */

void log_set_level(enum tela_log_level level)
{
	atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum tela_log_level log_get_level(void)
{
	return (enum tela_log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

void log_set_format(enum log_format format, const char *node)
{
	format_now = format;
	snprintf(node_name, sizeof(node_name), "%s", node);
}

int log_level_find(const char *name)
{
	for (int i = 0; log_level_names[i]; i++)
		if (!strcmp(log_level_names[i], name))
			return i;
	return -1;
}

/* One write a line, so that lines of several threads do not mix. What cannot be written is lost. */
static void write_line(const struct tela_log_line *l, uint32_t repeated)
{
	char line[LOG_LINE_MAX];
	size_t n = log_text(
		line, format_now, getenv("JOURNAL_STREAM") != NULL, node_name, l, repeated);

	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

/* ---- lines that say the same again: known by where they come from ---- */

enum { SITES = 256, LOOKS = 4 };

static struct site {
	uint64_t key;
	uint64_t second;
	uint32_t lines, more;        /* in that second: written, and not */
	struct tela_log_line latest; /* of those that were not */
	char service[128], plugin[128], method[128], text[160];
} sites[SITES];
static pthread_mutex_t sites_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t n_held; /* sites that have more to tell */

static uint64_t second_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static void tell_more_locked(struct site *s)
{
	if (!s->more)
		return;
	write_line(&s->latest, s->more);
	s->more = 0;
	n_held--;
}

/* One of another place that has been calm for a second gives way. Where there is none, two have the
 * limit in common. */
static struct site *site_locked(uint64_t key, uint64_t second)
{
	struct site *own = &sites[key % SITES], *calm = NULL;

	for (uint64_t i = key; i < key + LOOKS; i++) {
		struct site *s = &sites[i % SITES];

		if (s->key == key)
			return s;
		if (!calm && s->second != second)
			calm = s;
	}
	if (!calm)
		return own;
	tell_more_locked(calm);
	calm->key = key;
	calm->second = second;
	calm->lines = 0;
	return calm;
}

static const char *keep(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
	return to;
}

static void hold_locked(struct site *s, const struct tela_log_line *l)
{
	n_held += !s->more++;
	s->latest = *l;
	s->latest.service = keep(s->service, sizeof(s->service), l->service);
	s->latest.plugin = keep(s->plugin, sizeof(s->plugin), l->plugin);
	s->latest.method = keep(s->method, sizeof(s->method), l->method);
	s->latest.text_len = min_u64(l->text_len, sizeof(s->text));
	s->latest.text = memcpy(s->text, l->text, s->latest.text_len);
}

static bool take_locked(const struct tela_log_line *l, uint64_t key)
{
	uint64_t second = second_now();
	struct site *s = site_locked(key, second);

	if (s->second != second) {
		tell_more_locked(s);
		s->second = second;
		s->lines = 0;
	}
	if (s->lines < LOG_LINES_A_SECOND) {
		s->lines++;
		return true;
	}
	hold_locked(s, l);
	return false;
}

void log_tick(bool all)
{
	uint64_t second;

	if (!n_held)
		return;
	second = second_now();
	pthread_mutex_lock(&sites_lock);
	for (int i = 0; i < SITES; i++)
		if (all || sites[i].second != second)
			tell_more_locked(&sites[i]);
	pthread_mutex_unlock(&sites_lock);
}

/* ---- lines ---- */

/* A place of the program, for one service and plugin; never 0. */
static uint64_t key_of(const struct tela_log_line *l)
{
	uint64_t h = l->place;

	for (const char *s = l->service; *s; s++)
		h = (h ^ (uint8_t)*s) * 1099511628211ull;
	for (const char *s = l->plugin; *s; s++)
		h = (h ^ (uint8_t)*s) * 1099511628211ull;
	h = (h ^ (uint64_t)l->level) * 0x9e3779b97f4a7c15ull;
	return h >> 8 | 1ull << 63;
}

void log_line(const struct tela_log_line *l)
{
	bool may;

	pthread_mutex_lock(&sites_lock);
	may = take_locked(l, key_of(l));
	pthread_mutex_unlock(&sites_lock);
	if (may)
		write_line(l, 0);
}

static void write_about(enum tela_log_level level, const char *service, const char *method,
	const char *format, va_list args)
{
	struct tela_log_line l = {.level = level,
		.core = UINT32_MAX,
		.service = service,
		.plugin = "",
		.method = method,
		.place = (uintptr_t)format};
	char text[LOG_LINE_TEXT];
	struct timespec now;
	int n;

	if (level > log_get_level())
		return;
	n = vsnprintf(text, sizeof(text), format, args);
	clock_gettime(CLOCK_REALTIME, &now);
	l.at_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	l.text = text;
	l.text_len = n < 0 ? 0 : min_u64((uint64_t)n, sizeof(text) - 1);
	log_line(&l);
}

void log_write(enum tela_log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_about(level, "", "", format, args);
	va_end(args);
}

void log_about(
	enum tela_log_level level, const char *service, const char *method, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_about(level, service, method, format, args);
	va_end(args);
}

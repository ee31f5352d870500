#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const log_level_names[] = {"error", "warn", "info", "debug", NULL};

static _Atomic int level_now = LOG_INFO;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&level_now, level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return atomic_load_explicit(&level_now, memory_order_relaxed);
}

int log_level_find(const char *name)
{
	for (int i = 0; log_level_names[i]; i++)
		if (!strcmp(log_level_names[i], name))
			return i;
	return -1;
}

static int prefix(char *line, size_t size, enum log_level level)
{
	static const int syslog_priority[] = {3, 4, 6, 7};
	struct timespec now;
	struct tm tm;
	int n;

	if (getenv("JOURNAL_STREAM"))
		return snprintf(line, size, "<%d>", syslog_priority[level]);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = (int)strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + snprintf(line + n, size - n, ".%03ldZ %s: ", now.tv_nsec / 1000000,
			   log_level_names[level]);
}

static void write_line(enum log_level level, const char *format, va_list args)
{
	char line[1024];
	int n = prefix(line, sizeof(line), level);

	n += vsnprintf(line + n, sizeof(line) - n, format, args);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* One write a line, so that lines of several threads do not mix. What cannot be written is
	 * lost. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

static __attribute__((format(printf, 2, 3))) void write_words(
	enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

/* ---- lines that say the same again: known by their format, where they come from ---- */

enum { SITES = 64 };

static struct site {
	enum log_level level;
	uint64_t second;
	uint32_t lines, more; /* in that second: written, and not */
	char latest[160];     /* of those that were not */
} sites[SITES];
static pthread_mutex_t sites_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t n_held; /* sites that have more to tell */

static void tell_more_locked(struct site *s)
{
	if (!s->more)
		return;
	write_words(s->level, "%u more lines like this one: %s", s->more, s->latest);
	s->more = 0;
	n_held--;
}

/* Whether the line may be written. Two sites that meet in a place have the limit in common. */
static bool take_locked(enum log_level level, const char *format, va_list args)
{
	struct site *s = &sites[((uintptr_t)format * 0x9e3779b97f4a7c15ull) >> 58];
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (s->second != (uint64_t)now.tv_sec) {
		tell_more_locked(s);
		s->second = (uint64_t)now.tv_sec;
		s->lines = 0;
	}
	if (s->lines < LOG_LINES_A_SECOND) {
		s->lines++;
		return true;
	}
	n_held += !s->more++;
	s->level = level;
	vsnprintf(s->latest, sizeof(s->latest), format, args);
	return false;
}

void log_tick(bool all)
{
	struct timespec now;

	if (!n_held)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&sites_lock);
	for (int i = 0; i < SITES; i++)
		if (all || sites[i].second != (uint64_t)now.tv_sec)
			tell_more_locked(&sites[i]);
	pthread_mutex_unlock(&sites_lock);
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list args;
	bool may;

	if (level > log_get_level())
		return;
	va_start(args, format);
	pthread_mutex_lock(&sites_lock);
	may = take_locked(level, format, args);
	pthread_mutex_unlock(&sites_lock);
	va_end(args);
	if (!may)
		return;
	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
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

void log_write(enum log_level level, const char *format, ...)
{
	char line[1024];
	va_list args;
	int n;

	if (level > log_get_level())
		return;
	n = prefix(line, sizeof(line), level);
	va_start(args, format);
	n += vsnprintf(line + n, sizeof(line) - n, format, args);
	va_end(args);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* One write a line, so that lines of several threads do not mix. What cannot be written is
	 * lost. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

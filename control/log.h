/* log.h - one line on stderr for each thing worth telling, on the control side only; data cores
 * count instead.
 *
 * Under journald (JOURNAL_STREAM is set) a line starts with its "<N>" priority, which journald
 * takes off; elsewhere with the time. Any thread but a data core may log. */
#pragma once

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern const char *const log_level_names[]; /* NULL-terminated */

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Index into log_level_names, -1 if there is none of that name. */
int log_level_find(const char *name);
/* At most LOG_LINES_A_SECOND lines of one place in the program go out in a second; how many more
 * there were is told after that, with the latest. */
enum { LOG_LINES_A_SECOND = 100 };
/* At each tick: tells that where nothing has come since; `all`: of this second too. */
void log_tick(bool all);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The least important level that is compiled at all: meson's option log_level. */
#ifndef LOG_BUILT
#define LOG_BUILT LOG_DEBUG
#endif

#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if ((level) <= LOG_BUILT && (level) <= log_get_level())                            \
			log_write(level, __VA_ARGS__);                                             \
	} while (0)

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* log.h - one line on stderr for each thing worth telling: the node's own, and those of services
 * (tela_log.h), which come from the data plane.
 *
 * Under journald (JOURNAL_STREAM is set) a line starts with its "<N>" priority, which journald
 * takes off. log_text.h says what it looks like. Any thread but a data core may log. */
#pragma once

#include "log_text.h"

void log_set_level(enum tela_log_level level); /* of the node's own */
enum tela_log_level log_get_level(void);
/* How lines look from now on, and which node says that they are its own. Before any other thread
 * logs. */
void log_set_format(enum log_format format, const char *node);
/* Index into log_level_names, -1 if there is none of that name. */
int log_level_find(const char *name);

/* At most LOG_LINES_A_SECOND lines of one place in the program go out in a second; how many more
 * there were is told after that, with the latest. */
enum { LOG_LINES_A_SECOND = 100 };
/* At each tick: tells that where nothing has come since; `all`: of this second too. */
void log_tick(bool all);
void log_write(enum tela_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same of a service, and perhaps a method; "": of none. */
void log_about(enum tela_log_level level, const char *service, const char *method,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A line of a service, whatever the node's level: it was asked when it was written. */
void log_line(const struct tela_log_line *l);

#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		if ((level) <= TELA_LOG_BUILT && (level) <= log_get_level())                       \
			log_write(level, __VA_ARGS__);                                             \
	} while (0)

/* The same, about a service. */
#define log_of(level, service, ...)                                                                \
	do {                                                                                       \
		if ((level) <= TELA_LOG_BUILT && (level) <= log_get_level())                       \
			log_about(level, service, "", __VA_ARGS__);                                \
	} while (0)

#define log_error(...) log_at(TELA_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(TELA_LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(TELA_LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(TELA_LOG_DEBUG, __VA_ARGS__)

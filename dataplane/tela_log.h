/* tela_log.h - what a service or plugin has to say to whoever operates the node.
 *
 *      tela_log(call, TELA_LOG_WARN, "shelf %u of %s is empty", shelf, name);
 *      tela_log_of(log, NULL, TELA_LOG_INFO, "%u items expired", n);
 *
 * A line carries its level, the service, and what it is about: the call's method, trace and span,
 * or the plugin. The node's log writes it, as text or as JSON (control/README.md), escaped: what it
 * quotes may come from anybody. Of lines that say the same again and again, some are written and
 * the others counted.
 *
 * Whether a line is wanted is asked first; if not, its arguments are not evaluated. Those less
 * important than TELA_LOG_BUILT (a level, defined before this header is included; TELA_LOG_DEBUG
 * else) are not even compiled. Others are a question of one word, which the operator sets for each
 * service while it runs (telactl log level).
 *
 * No call here waits, takes memory or makes a system call on a data core: format and arguments are
 * copied into a bounded ring of the core, and made into text on the control side. Other threads of
 * the node have a ring in common, with a lock. What finds its ring full is counted (logs_lost).
 *
 * Formats are printf's, less %n, %Lf, wide characters and numbered arguments: from such a
 * conversion on, the format is shown as it stands. All of it is copied before the call returns, at
 * most about 900 bytes; what does not fit ends in "...".
 */
#pragma once

#include "tela.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tela_log_level { TELA_LOG_ERROR, TELA_LOG_WARN, TELA_LOG_INFO, TELA_LOG_DEBUG };

#ifndef TELA_LOG_BUILT
#define TELA_LOG_BUILT TELA_LOG_DEBUG
#endif

/* Of a call. [core], and a link that blocks */
#define tela_log(call, level, ...)                                                                 \
	do {                                                                                       \
		if ((level) <= TELA_LOG_BUILT && tela_log_wanted(call, level))                     \
			tela_log_write(call, level, __VA_ARGS__);                                  \
	} while (0)

struct tela_log; /* where an instance's lines go: tela_hook's `log`, there until `stop` returns */

/* What a line is about, where the call itself is out of reach; what is NULL is not said. */
struct tela_log_about {
	const char *method;
	const struct tela_context *context; /* its trace and span: tela_call_context() */
};

/* Of an instance, from its hooks, workers, tasks and threads; `about` may be NULL. [any] */
#define tela_log_of(log, about, level, ...)                                                        \
	do {                                                                                       \
		if ((level) <= TELA_LOG_BUILT && tela_log_wanted_of(log, level))                   \
			tela_log_write_of(log, about, level, __VA_ARGS__);                         \
	} while (0)

bool tela_log_wanted(const struct tela_call *call, enum tela_log_level level);
void tela_log_write(const struct tela_call *call, enum tela_log_level level, const char *format,
	...) __attribute__((format(printf, 3, 4)));
bool tela_log_wanted_of(const struct tela_log *log, enum tela_log_level level);
void tela_log_write_of(const struct tela_log *log, const struct tela_log_about *about,
	enum tela_log_level level, const char *format, ...) __attribute__((format(printf, 4, 5)));

#ifdef __cplusplus
}
#endif

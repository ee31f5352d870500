/* log_text.h - a line of the log as bytes: for people, or as one JSON object.
 *
 *      2026-11-22T01:02:03.456Z warn echo.Echo.echo trace=4bf9... span=00f0...: it rains
 *      {"time":"2026-11-22T01:02:03.456789Z","level":"warn","node":"a","service":"echo.Echo",
 *       "method":"echo","trace":"4bf9...","span":"00f0...","core":0,"message":"it rains"}
 *
 * Neither holds a control character or what is no UTF-8, whatever was quoted: as text such bytes
 * are \n, \t or \x1b, and a backslash two; in JSON what it has for them, and U+FFFD for a byte that
 * belongs to no character.
 *
 * Context: any; no state. */
#pragma once

#include "../dataplane/tela_node.h"

enum log_format { LOG_TEXT, LOG_JSON };

/* Enough for any line: names of up to 127 bytes, LOG_LINE_TEXT bytes of text; 6 for each of them.
 */
enum { LOG_LINE_TEXT = 1024, LOG_LINE_MAX = 6 * (LOG_LINE_TEXT + 4 * 128) + 512 };

/* One line with its newline; returns its length. `priority`: begins with what journald takes off.
 * `repeated`: it stands for so many more of its kind; 0: for itself. */
size_t log_text(char to[LOG_LINE_MAX], enum log_format format, bool priority, const char *node,
	const struct tela_log_line *l, uint32_t repeated);

/* What is no UTF-8 in it, such as half a character where it was cut, becomes '?'. */
void log_text_repair(char *text);

extern const char *const log_level_names[]; /* NULL-terminated */
extern const char *const log_format_names[];

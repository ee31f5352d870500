/* log_pack.h - a format and its arguments as bytes, to be made into text elsewhere: a data core
 * copies, the control side prints.
 *
 * The bytes hold no pointer: the format itself, and each string that it names, are in them.
 *
 *      format, zero, then for each conversion: a width and a precision if they are given as *,
 *      each an int; then 8 bytes, or of %s a length (2 bytes) and so many bytes
 *
 * What does not fit is left out, and whoever unpacks finds out by the length.
 *
 * Context: any; no state, no memory, no lock, no system call in log_pack(). */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_TEXT_MAX = 1024, LOG_PACKED_MIN = 512 };

/* At most `room` bytes (LOG_PACKED_MIN to 65535) into `to`; returns how many. */
size_t log_pack(uint8_t *to, size_t room, const char *format, va_list args);
/* The other way: at most `room` bytes, the last one a zero; returns how many stand before it, any
 * of which may be zero too. Any bytes may be unpacked. */
size_t log_unpack(char *text, size_t room, const uint8_t *packed, size_t len);
/* Stands for the format: the same for lines of one place. */
uint64_t log_packed_place(const uint8_t *packed, size_t len);

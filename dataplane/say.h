/* say.h - an error with the sentence that goes with it. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* Writes the sentence into `err` and returns `ret`, so that a failing check is one statement. */
static inline __attribute__((format(printf, 4, 5), cold)) int say(
	char *err, size_t err_len, int ret, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, err_len, format, args);
	va_end(args);
	return ret;
}

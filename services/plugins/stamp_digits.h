/* stamp_digits.h - a number in decimal, for a data core: no snprintf, which may look up the locale.
 */
#pragma once

#include <stdint.h>

enum { STAMP_DIGITS = 21 }; /* of UINT64_MAX, and the NUL */

/* Writes `v` to the end of `room` and returns where it begins. */
static inline const char *stamp_digits(char room[STAMP_DIGITS], uint64_t v)
{
	char *p = room + STAMP_DIGITS - 1;

	*p = '\0';
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return p;
}

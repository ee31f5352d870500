/* memif_quirks.h - see memif_quirks.c. */
#pragma once

#include <stdbool.h>

/* Whether what the driver calls is ours: false if something else in the process was found first.
 * [control] */
bool memif_quirks_active(void);

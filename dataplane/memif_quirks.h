/* memif_quirks.h - see memif_quirks.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether what the driver calls is ours: false if something else in the process was found first.
 * [control] */
bool memif_quirks_active(void);

/* Whom to tell about rings, on the interrupt thread: `device`, a server, is connected with so many
 * in each direction; or (NULL) somebody begins to connect to a server that is not connected. Set
 * once, before the first port is opened. */
typedef void (*memif_rings_fn)(const char *device, uint32_t rings);
void memif_quirks_tell(memif_rings_fn fn);

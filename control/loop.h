/* loop.h - the event loop of a node: it starts the services, serves until told to end, drains,
 * stops.
 *
 *      starting -> running -> draining -> stopping -> ended
 *                                 \-----------\------> ended at once on a second signal
 *
 * A tick every 10 ms, or 1 ms while a change is under way, gives the data plane its housekeeping
 * and looks at deadlines. The loop never waits for anything but events.
 *
 * Context:   the control thread. */
#pragma once

#include "control.h"

/* Runs until the node has drained. `ready` is called once, when every service runs or has failed.
 * 0, or -errno if the node could not be started (said in the log). */
int loop_run(struct control *c, void (*ready)(struct control *c));

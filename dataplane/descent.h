/* descent.h - which calls go on while a gate is closed: those that descend from a call in flight.
 *
 * Calls that are made for other calls form trees, and each of them carries the id of its tree's
 * root (nest.h). A core looks for one among its pending calls; what it does not know it asks the
 * other cores of its node, over rings, the call being pending meanwhile.
 *
 * A call in flight is one that is pending: what runs ends in the pass that it began in.
 *
 * Context: data cores; nothing here runs while no gate is closed.
 */
#pragma once

#include "machine.h"

/* Whether a call of that tree is in flight on this core. */
bool descent_here(const struct machine *m, const uint64_t root[2]);

enum descent { DESCENT_NO, DESCENT_YES, DESCENT_ASK };
/* Of a request with this envelope; ASK: other cores of the node may know. */
enum descent descent_of(const struct machine *m, frame_Envelope_t e);

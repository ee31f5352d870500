/* shed.h - a receiver that is behind refuses by queue delay, before a call has cost it anything.
 *
 * After CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012) in the form that
 * Facebook gave it for requests (Maurer, "Fail at Scale", ACM Queue 2015): a queue that empties now
 * and then is good however long it was. A core is behind when everything that it took for
 * SHED_INTERVALS targets has waited longer than the target; from then on it refuses each call that
 * has waited so long, until it has refused none for as long again. So an accepted call has waited
 * for little more than the target, a burst or a pause that is worked off fails nothing, and what is
 * refused costs next to nothing: no chain, no memory, one packet made before.
 *
 * How long a call has waited: its datagram in the receive rings, as path_stamps() finds it, and
 * since this pass began, as the last sampled call has found it; less the time that this loop was
 * away meanwhile. A loop that was preempted is not behind for that, and to refuse all that came
 * while it was away would leave it with nothing to do. A refused call surely did not run, is told
 * RESOURCE_EXHAUSTED and when to come again: after as long as it had waited. Local calls are not
 * refused.
 */
#pragma once

#include "wire.h"

#include <stdbool.h>

enum { SHED_INTERVALS = 20, SHED_BODY_MAX = 152, SHED_RETRY_STEP_US = 1024, SHED_LATE_NS = 100000 };

#define SHED_NEVER UINT64_MAX
#define SHED_NAME  "overloaded"

struct shed {
	_Atomic uint64_t target_ns; /* least of any service's; written by the control side */
	bool look;                  /* what runs now has waited longer than some service's target */
	uint32_t queue_ns;          /* the datagram in hand has waited for so long, */
	uint64_t late_ns;           /* and its pass has lasted for so long already */
	uint64_t above_ns;          /* since when everything has waited too long; 0: it has not */
	uint64_t until_ns;          /* behind until then */
	/* The loop's last absence: more time from one pass to the next than its calls explain. */
	uint64_t away_ns, back_ns; /* how long; when it was over */
	uint64_t call_ns;          /* what a call takes, about; of those that were timed */
	uint64_t served;           /* calls, when the pass began */
	/* What is told, made when the time to come again is another. */
	uint32_t retry_after_us, body_len;
	uint16_t envelope_len;
	uint8_t body[SHED_BODY_MAX];
};

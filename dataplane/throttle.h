/* throttle.h - a caller asks less of a peer that is behind.
 *
 * To refuse a call costs a callee about as much as to serve a short one (shed.h), so that a peer
 * which is asked for three times what it can do may do nothing but refuse. Whose call has been
 * refused so asks on as fast as it is served, and a sixteenth faster: each call that the peer takes
 * is leave to make 17/16 of another. What is beyond that ends here, at once and without a packet,
 * with what the peer has said: surely not executed, and when to come again. As long after the last
 * refusal as THROTTLE_REST times that, it is over.
 *
 * This is the client-side throttling of Beyer et al., "Site Reliability Engineering" (2016),
 * chapter 21, clocked by answers in place of two minutes of history: what the callee serves and
 * leaves unserved changes within a round trip. Per path and service, since services of one core may
 * wait for different times. Who was not refused pays one compare when a response comes.
 */
#pragma once

#include "base.h"

struct machine;
struct path;
struct caller_slot;
struct tela_result;
struct tela_service_desc;

enum {
	THROTTLES = 4, /* services of a path; of more, the one that was refused last */
	THROTTLE_CALL = 16,
	THROTTLE_TAKEN = 17,
	THROTTLE_MOST = 64 * THROTTLE_CALL, /* leave that is not used */
	THROTTLE_REST = 16,
	THROTTLE_RETRY_MAX_US = 1000000, /* that a peer is believed */
};

struct throttle {
	const struct tela_service_desc *service; /* whose name counts, never read; NULL: free */
	uint64_t until_ns;
	uint64_t next_ns; /* a call may go then, whatever has been taken */
	uint32_t retry_us;
	int32_t leave;
};

/* May a call of the service begin? Then it is counted. */
bool throttle_begin(struct machine *m, struct path *p, const struct tela_service_desc *service);
/* The same question, and when to come again, in microseconds; 0: now. */
uint32_t throttle_wait_us(
	const struct machine *m, const struct path *p, const struct tela_service_desc *service);
/* It was not sent after all. */
void throttle_abandon(struct path *p, const struct tela_service_desc *service);
/* The peer has taken a call. */
void throttle_taken(struct path *p, const struct tela_service_desc *service);
/* The peer has said how the slot's call ended; was it refused because the peer is behind? */
void throttle_answered(struct machine *m, struct caller_slot *s, const struct tela_result *r);

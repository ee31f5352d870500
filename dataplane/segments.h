/* segments.h - a message's payload where it arrived: in the buffers of its datagrams, which are
 * held until the message is over, and so never copied.
 *
 * Such a message is a list: where each fragment's share of the payload stands, and whose that
 * memory is. Buffers are held within the budget `segments`, all of a message are reserved when it
 * begins; a message for which too few are left arrives in one piece, copied, as others do
 * (segments_copied). A buffer that cannot be held, of another core's pool, is copied to one of
 * message memory; if there is none, its fragment counts as lost and comes again.
 */
#pragma once

#include "msgpool.h"
#include "tela.h"

struct machine;
struct path;

/* For the payload of `n` fragments, the first of them in the datagram in hand. NULL (counted): that
 * cannot be held, too few buffers are left, or no memory. */
struct msg *segments_get(struct machine *m, const struct path *p, uint32_t n);
/* Fragment `index` is in the datagram in hand, its share of the payload at `body` + `skip`. False:
 * no memory (counted). */
bool segments_keep(struct machine *m, const struct path *p, struct msg *msg, uint32_t index,
	const uint8_t *body, uint32_t len, uint32_t skip);
/* Gives a message back, whatever it holds. */
void message_put(struct machine *m, struct msg *msg);

/* All that have come, in order. */
static inline const struct tela_segment *segments_of(const struct msg *msg)
{
	return (const struct tela_segment *)msg->data;
}

/* Behind them, whose memory each is: what hold() said, or SEGMENT_OWN beside a message; 0: it has
 * not come. */
enum { SEGMENT_OWN = 1 };

static inline uintptr_t *segments_owners(const struct msg *msg)
{
	return (uintptr_t *)(uintptr_t)(segments_of(msg) + msg->n_segments);
}

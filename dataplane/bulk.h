/* bulk.h - messages of several fragments, either way.
 *
 * The receiver drives: it acknowledges cumulatively and opens the window, and names every hole as
 * soon as it shows. A message body above 64 KiB asks for credit first: its sender sends one
 * fragment, and the rest when the receiver has taken memory for it and says so by opening the
 * window, or never, when the receiver refuses the call. The sender keeps no timer of its own; after
 * a ping is answered it sends its first unacknowledged fragment again (a request), or the caller
 * asks for the first missing one (a response). A message is one contiguous buffer; a fragment is
 * copied once out of it and once into the other side's.
 */
#pragma once

#include "msgpool.h"
#include "wire.h"

struct machine;
struct path;

enum {
	BULK_UNASKED = 65536, /* bytes of a message body that need no credit */
	BULK_ASKED = 1,       /* fragments of a longer one that ask for it */
	BULK_FIRST = 64,      /* so many more of it were sent unasked by nodes of Tela 1.0 */
	BULK_WINDOW_MIN = 32,
	BULK_WINDOW_MAX = 960,
	BULK_SEEN = 1024, /* not less than the two together */
	BULK_ACK_EVERY = 16,
	/* A fragment that comes so long after the last acknowledgement has its own: a slow sender
	 * is told of the path's delay as often as a fast one. */
	BULK_ACK_NS = 20000,
	BULK_HOLES = 16,
	BULK_PER_PASS = 64,
	BULK_TURN = 16, /* of these, for one message before the next one's turn */
	BULK_AHEAD = 4, /* fragments: so much earlier is the place of one fetched */
};

/* Fragments that are missing, from one to before another. */
struct hole {
	uint16_t first, end;
};

struct bulk_tx {
	struct bulk_tx *next_free;
	const uint8_t *body; /* envelope padded to 8, then payload */
	const uint8_t *rest; /* what is behind the first `split` bytes, where it stands elsewhere */
	uint32_t split;
	frame_Packet head;   /* kind, flags, session, slot, call, lengths as in every fragment */
	frame_Timing timing; /* responses: goes into fragment 0 */
	struct path *path;
	struct caller_slot *request;    /* whose message it is; NULL: a response */
	uint32_t len, place;            /* in machine->bulks */
	uint16_t n, next, acked, limit; /* fragments: in all, next new one, first unacknowledged,
					   end of the window */
	bool active;                    /* in machine->bulks */
	bool borrows; /* on its path, this turn: a frame's bytes are sent from where they stand */
	uint8_t n_holes; /* to be sent again, before anything new */
	struct hole holes[BULK_HOLES];
};

struct bulk_rx {
	struct bulk_rx *next_free;
	struct machine *machine;
	const struct path *path;
	struct msg *msg; /* the bytes, or a list of segments (segments.h) */
	uint8_t *into;   /* the caller's memory for the payload; NULL: it is in `msg` */
	uint32_t len, fragment;
	uint16_t n, have; /* fragments: in all, that are here */
	uint16_t first_missing, highest /* end of those that are here */, limit /* of the window */;
	uint16_t acked_at; /* first_missing when it was last told */
	uint16_t reported; /* holes below have been named */
	uint16_t had, was_first, envelope_len;
	/* When something new came last; when the first hole was named, or became the first. */
	uint64_t progress_ns, named_ns;
	uint64_t acked_ns;
	uint64_t deadline_ns; /* of a request: after it nobody waits for the rest */
	frame_Timing timing;
	uint64_t seen[BULK_SEEN /
		      64]; /* of those from first_missing on, by index modulo BULK_SEEN */
};

/* NULL: none left (counted as drop_no_message). The body must stay where it is until bulk_tx_end.
 */
struct bulk_tx *bulk_tx_start(struct machine *m, struct path *p, const frame_Packet *head,
	const frame_Timing *timing, const uint8_t *body, uint32_t len);
void bulk_tx_end(struct machine *m, struct bulk_tx *t);
/* Copies a part of a body that stands in two pieces, the first of them `split` bytes. */
static inline void bulk_copy(uint8_t *to, const uint8_t *body, uint32_t split, const uint8_t *rest,
	uint32_t at, uint32_t len)
{
	uint32_t n = at < split ? min_u32(len, split - at) : 0;

	memcpy(to, body + at, n);
	if (n < len)
		memcpy(to + n, rest + (at + n - split), len - n);
}
/* From the receiver: everything below `upto` has arrived, and fragments below `limit` may go. */
void bulk_tx_acked(struct machine *m, struct bulk_tx *t, uint16_t upto, uint16_t limit);
void bulk_tx_gap(struct machine *m, struct bulk_tx *t, uint16_t first, uint16_t count);
/* Sends what windows and datagrams allow, at most BULK_PER_PASS fragments in all. */
bool bulk_send(struct machine *m);

struct bulk_rx *bulk_rx_start(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len);
/* The same for a message that is wanted as segments: it is if they can be held. */
struct bulk_rx *bulk_rx_start_segments(
	struct machine *m, const struct path *p, uint32_t len, uint16_t envelope_len);
/* The same for a message whose payload goes elsewhere, `msg` has the envelope alone. */
struct bulk_rx *bulk_rx_start_into(struct machine *m, const struct path *p, uint32_t len,
	uint16_t envelope_len, uint8_t *into);
/* Where its envelope stands once all is there. */
const uint8_t *bulk_envelope(const struct msg *msg, uint16_t envelope_len);
void bulk_rx_end(
	struct machine *m, struct bulk_rx *r); /* frees the message too, unless it was taken */
/* The message is the caller's now; bulk_rx_end is still due. */
struct msg *bulk_rx_take(struct machine *m, struct bulk_rx *r);
/* One fragment's body. -EBADMSG: not of this message, or not let come; 0: more to come; 1:
 * complete. */
int bulk_rx_fragment(struct bulk_rx *r, uint16_t index, const uint8_t *body, uint32_t len);
/* Acknowledges and opens the window, and reports holes, where that is due; `force` when a duplicate
 * arrived or the peer was probed. */
void bulk_rx_report(struct machine *m, struct path *p, struct bulk_rx *r, const frame_Packet *about,
	bool from_callee, bool force);

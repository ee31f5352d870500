/* path.h - a pair of cores: connection ids, datagram numbers, round trip, the datagram that is
 * being filled.
 *
 * Round trip, loss and replay state belong here, not to a session. A path is made by a handshake
 * (handshake.c); the side that asked keeps it for good and asks again when it is lost, the other
 * side frees it.
 *
 *   CONNECTING -hello, cookie, hello, accept-> UP -silent, link down, new incarnation-> CONNECTING
 * (initiator), freed (acceptor) one that has not answered at all for long:  CONNECTING -> DOWN,
 * asked at a slower rate, calls fail at once
 */
#pragma once

#include "congest.h"
#include "list.h"
#include "net.h"
#include "session.h"
#include "throttle.h"

struct machine;

enum path_state { PATH_FREE, PATH_CONNECTING, PATH_DOWN, PATH_UP };

enum { REPLAY_WORDS = 16, REPLAY_WINDOW = REPLAY_WORDS * 64 };

struct path {
	uint32_t id;      /* the peer puts it into datagrams to us */
	uint32_t peer_id; /* we put it into datagrams to the peer */
	uint8_t state, integrity, header_len;
	bool initiator, dirty, draining, head_ok;
	uint8_t throttled; /* services that are asked for less, in `throttle` */
	bool asks;         /* is pinged for the sake of calls in progress alone */
	struct net_addr peer;
	uint32_t fragment;                 /* body bytes of a fragment */
	uint32_t last_stamp, last_wait_ns; /* that it may have waited before it was taken */
	uint32_t way; /* peer's stamp to our clock without waiting, in stamps */
	uint64_t last_stamp_ns, last_rx_ns;
	/* datagrams */
	struct dgram open;
	uint64_t tx_number, rx_number;
	struct congest congest;
	uint64_t replay[REPLAY_WORDS];
	/* round trip and loss */
	uint64_t srtt_ns, rttvar_ns, rto_ns;
	uint64_t answered_ns; /* latest time of sending among the requests known to have been
				 answered */
	uint64_t pong_ns;     /* when the latest ping that was answered was sent */
	struct list sent;     /* caller slots waiting for an answer, oldest first */
	uint64_t ping_ns, ping_nonce, ping_wait_ns; /* 0: no ping out */
	uint64_t silent_since_ns;                   /* 0: not suspected */
	uint64_t ask_ns;                            /* when `asks` is next looked at */
	uint32_t peer_gap_us, peer_pause_us;
	/* sessions */
	struct callee_session **in; /* [sessions budget] by number */
	struct caller_session **out;
	uint16_t n_in, n_out;      /* sizes of the two */
	struct session_end *spare; /* numbers of sessions that were closed */
	uint16_t peer_sessions, peer_slots;
	/* handshake */
	uint64_t hello_ns, hello_wait_ns, connecting_ns;
	uint64_t asked_ns; /* when the first hello with a cookie went */
	uint64_t cookie;
	uint32_t cookie_time;
	uint64_t node, incarnation; /* of the peer */
	uint16_t peer_cores, peer_core, wanted_core;
	uint16_t attempt; /* number of the UDP port in use, among those of this core */
	bool settled;     /* none is better, or enough have been tried */
	int peer_index;   /* in the configuration; -1: it asked us */
	struct net_head head;
	uint64_t refresh_ns;
	uint32_t queued; /* calls waiting for the path to come up */
	struct throttle throttle[THROTTLES];
};

/* `len` bytes at the tail of the next datagram. */
uint8_t *path_append_next(struct machine *m, struct path *p, uint32_t len);
/* `len` (a multiple of 8) bytes at the tail of the open datagram, or of the next one. NULL: no
 * buffer (counted), or none is so large. */
static inline uint8_t *path_append(struct machine *m, struct path *p, uint32_t len)
{
	struct dgram *d = &p->open;

	DCHECK(len % 8 == 0);
	if (unlikely(!d->buf || d->len + len > d->room))
		return path_append_next(m, p, len);
	d->len += len;
	return d->data + d->len - len;
}

/* Sends the open datagram with more behind it: see machine_ops.send_from. Of paths that are not
 * paced, and without a trailer. */
void path_send_from(struct machine *m, struct path *p, const void *more, uint32_t more_len);
/* A packet of `body` (len bytes, copied) with the header `h`; h->length is filled in. Returns
 * whether it went. */
bool path_packet(struct machine *m, struct path *p, frame_Packet h, const void *body, uint32_t len);
/* Closes the open datagram and sends it, or holds it back if the path is paced. `now_ns` is the
 * time of the flush. */
void path_flush(struct machine *m, struct path *p, uint64_t now_ns);
/* The same in the middle of a pass; harmless if none is open. */
void path_flush_midway(struct machine *m, struct path *p);
/* Header, stamps, trailer; hands it to the device. */
void path_send(struct machine *m, struct path *p, struct dgram *d, uint64_t now_ns);

/* Is `number` new on this path? Marks it seen. */
bool path_replay_check(struct path *p, uint64_t number);
/* Takes stamps of a good datagram: round trip, echo. `wait` in stamp units. */
void path_stamps(struct machine *m, struct path *p, uint32_t stamp, uint32_t echo, uint16_t wait);
void path_rtt_sample(struct path *p, uint64_t rtt_ns);

struct path *path_find(const struct machine *m, uint32_t id);
/* A free path with a fresh id, or NULL (budget). */
struct path *path_create(struct machine *m, const struct net_addr *peer, bool initiator);
/* Gives the path a fresh connection id: what is still under way for the old one is dropped as
 * unknown. */
void path_new_id(struct machine *m, struct path *p);
/* Ends everything on the path: calls made end UNAVAILABLE (maybe or surely not executed), calls
 * served are detached. The acceptor's path is freed, the initiator's starts to connect again. */
void path_down(struct machine *m, struct path *p, const char *why);
/* Pings, losses, silence, connecting: what time brings. Returns whether it did anything. */
bool path_timers(struct machine *m, struct path *p);
/* When that is next due if nothing comes until then. */
uint64_t path_due_ns(const struct machine *m, const struct path *p);
/* Tells the peer to call somebody else, if it can. */
void path_go_away(struct machine *m, struct path *p);

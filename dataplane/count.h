/* count.h - what happened, by name. Each core writes its own words (relaxed, no locked add);
 * readers sum them.
 *
 * The list is the only place where a counter is declared: COUNT_EVENT for what is normal,
 * COUNT_DROP for everything that was thrown away. A sum over cores is inexact while they run, each
 * word is not.
 */
#pragma once

#include "base.h"

#define COUNT_LIST(EVENT, DROP)                                                                    \
	EVENT(rx_frames, "frames received")                                                        \
	EVENT(rx_bytes, "bytes received, Ethernet headers included")                               \
	EVENT(tx_frames, "frames handed to the device")                                            \
	EVENT(tx_bytes, "bytes handed to the device")                                              \
	EVENT(tx_refused, "frames the transmit ring refused at first")                             \
	EVENT(rx_datagrams, "datagrams taken on a path")                                           \
	EVENT(tx_datagrams, "datagrams sent on a path")                                            \
	EVENT(arp_requests, "ARP requests answered")                                               \
	EVENT(arp_asked, "ARP requests sent")                                                      \
	EVENT(arp_learnt, "neighbours learnt or renewed")                                          \
	EVENT(icmp_echo, "ICMP echo requests answered")                                            \
	EVENT(handed_out, "frames handed to another core: theirs, or to go out by their queue")    \
	EVENT(handed_in, "frames taken from another core")                                         \
	EVENT(fault_loss, "datagrams dropped on purpose by the fault injector")                    \
	EVENT(fault_duplicate, "datagrams sent twice on purpose")                                  \
	EVENT(fault_reorder, "datagrams held back on purpose")                                     \
	EVENT(handshakes, "paths made")                                                            \
	EVENT(cookies, "hellos answered with a cookie")                                            \
	EVENT(ports_tried, "UDP ports given up because frames came to another core")               \
	EVENT(version_answers, "datagrams of an unknown version answered")                         \
	EVENT(paths_down, "paths given up: silent, reset or replaced")                             \
	EVENT(pings, "path pings sent")                                                            \
	EVENT(pongs, "path pings answered")                                                        \
	EVENT(calls_made, "requests sent, resends not counted")                                    \
	EVENT(calls_done, "calls ended at the caller, with any status")                            \
	EVENT(calls_failed, "of these, ended with a status other than OK")                         \
	EVENT(calls_served, "requests whose chain was run")                                        \
	EVENT(calls_refused, "requests answered without running: admission, budget, deadline")     \
	EVENT(calls_shed,                                                                          \
		"of these, refused because they had waited too long: the core is behind")          \
	EVENT(calls_throttled,                                                                     \
		"times that a path took no call, since its peer is behind and has refused some")            \
	EVENT(calls_descended,                                                                     \
		"calls that came to a closed gate for one in flight, or asked for one")            \
	EVENT(calls_pending, "calls that went pending")                                            \
	EVENT(pending_full, "links that found no room to go pending")                              \
	EVENT(calls_resumed, "pending calls resumed")                                              \
	EVENT(calls_worked, "calls left to a worker: their link blocks")                           \
	EVENT(workers_full, "calls refused because too many wait for a worker")                    \
	EVENT(work_skipped, "calls that a worker did not start: cancelled, or too late")           \
	EVENT(stalls, "times that the watchdog found a core that did not poll")                    \
	EVENT(worker_stalls, "times that it found a worker that did not come back")                \
	EVENT(calls_detached, "calls that went on without a caller")                               \
	EVENT(detached_full, "looks that found no room to detach a call whose caller has gone")    \
	EVENT(calls_cancelled, "calls under way that their callers cancelled, or a drain did")     \
	EVENT(calls_torn, "calls that a drain ended before their handlers answered")               \
	EVENT(calls_one_way, "one-way requests accepted")                                          \
	EVENT(one_way_replies, "of these, ended: what they answered is told to nobody")            \
	EVENT(one_way_failed, "of these, ended with a status other than OK")                       \
	EVENT(calls_intercepted, "calls that a link of request_out ended in the callee's place")   \
	EVENT(calls_forwarded, "calls of client processes sent on to another node")                \
	EVENT(forwards_refused, "calls that were not sent on: no node, no room, too many hops")    \
	EVENT(forward_hops, "of these, handed on too often")                                       \
	EVENT(forwards_waited, "calls to be sent on that waited for a slot")                       \
	EVENT(forwards_moved, "calls sent on that one node refused, and another one was given")    \
	EVENT(calls_local, "calls served on the core that made them")                              \
	EVENT(retries, "calls tried at all instances once more")                                   \
	EVENT(hedges, "second attempts made because the first took long")                          \
	EVENT(resends, "requests, fragments and responses sent again")                             \
	EVENT(probes, "probes of calls in progress")                                               \
	EVENT(in_progress, "in-progress answers sent")                                             \
	EVENT(duplicates_answered, "duplicates answered from the retained response")               \
	EVENT(binds, "services bound on a session")                                                \
	EVENT(rebinds, "rebind answers sent")                                                      \
	EVENT(identities, "proofs kept for a session: its caller may send an index for a token")   \
	EVENT(identities_used, "calls that came with such an index")                               \
	EVENT(identities_stale, "of these, asked for their token again")                           \
	EVENT(identities_full, "proofs that found no place: their callers send tokens")            \
	EVENT(tokens_full, "tokens that found no place: they are sent with each call")             \
	EVENT(gaps_reported, "gap reports sent")                                                   \
	EVENT(congested, "paths whose delay or loss began to be kept in a window")                 \
	EVENT(window_cuts, "cuts of a congested path's window")                                    \
	EVENT(paced, "datagrams held back for pacing")                                             \
	EVENT(slot_returns, "slots that sessions gave back, as they were not used")                \
	EVENT(slot_grants, "slots granted to sessions")                                            \
	EVENT(wakes, "sleepers woken")                                                             \
	EVENT(sleeps, "sleeps of the poll loop")                                                   \
	EVENT(interrupts, "sleeps that a receive interrupt ended")                                 \
	EVENT(interrupts_missed, "frames that were there after a sleep that none ended")           \
	EVENT(qsbr_wakes, "waits for a grace period that this core woke")                          \
	EVENT(ends_full, "failed calls that found no place among those told apart by reason")      \
	EVENT(segments_copied, "messages for which no receive buffers were left to hold: copied")  \
	EVENT(latency_full, "calls whose times found no place: raise the budget latencies")        \
	EVENT(loop_gaps, "pauses of the poll loop above 100 us")                                   \
	EVENT(envelopes_general, "envelopes read by the general path")                             \
	EVENT(statuses_hidden, "statuses that nobody registered, told as internal_error")          \
	EVENT(reports_lost, "reports to the control side that found its ring full")                \
	EVENT(logs_lost, "lines for the log that found their ring full")                           \
	EVENT(spans, "spans begun in sampled traces")                                              \
	EVENT(trace_lost, "spans, or what they say, that found their ring full")                   \
	DROP(drop_short, "frame shorter than its headers say")                                     \
	DROP(drop_chained, "frame in more buffers than fit one")                                   \
	DROP(drop_ethertype, "neither ARP nor IPv4")                                               \
	DROP(drop_not_ours, "link or IP address of another host")                                  \
	DROP(drop_arp, "malformed or unwanted ARP")                                                \
	DROP(drop_ip_header, "malformed IPv4 header")                                              \
	DROP(drop_ip_fragment, "IPv4 fragment: a Tela datagram is never one")                      \
	DROP(drop_ip_checksum, "wrong IPv4 header checksum")                                       \
	DROP(drop_protocol, "neither UDP nor ICMP echo")                                           \
	DROP(drop_icmp, "malformed ICMP echo request")                                             \
	DROP(drop_udp_port, "UDP port nobody listens on")                                          \
	DROP(drop_udp_length, "wrong UDP length")                                                  \
	DROP(drop_udp_checksum, "wrong UDP checksum")                                              \
	DROP(drop_no_mbuf, "no buffer to send or receive with")                                    \
	DROP(drop_tx_full, "transmit ring and backlog full")                                       \
	DROP(drop_hand_full, "ring to another core full")                                          \
	DROP(drop_link_down, "frame to send while the link is down")                               \
	DROP(drop_neigh_full, "neighbour table full")                                              \
	DROP(drop_version, "unknown wire version")                                                 \
	DROP(drop_datagram_header, "malformed datagram header")                                    \
	DROP(drop_crc, "wrong CRC32C")                                                             \
	DROP(drop_integrity, "integrity other than agreed")                                        \
	DROP(drop_connection, "unknown connection id")                                             \
	DROP(drop_source, "connection id from another address")                                    \
	DROP(drop_replay, "datagram number seen before or too old")                                \
	DROP(drop_packet_length, "packet length beyond the datagram or below its header")          \
	DROP(drop_kind, "packet kind unknown or out of place")                                     \
	DROP(drop_handshake, "malformed or unexpected handshake packet")                           \
	DROP(drop_cookie, "wrong or expired cookie")                                               \
	DROP(drop_paths_full, "no path left for a new peer")                                       \
	DROP(drop_session, "session number out of range")                                          \
	DROP(drop_slot, "slot number not granted")                                                 \
	DROP(drop_stale, "call number older than the slot's")                                      \
	DROP(drop_call, "response or report for a call that is not waiting")                       \
	DROP(drop_fragment, "fragment outside its message or of the wrong size")                   \
	DROP(drop_envelope, "envelope that does not verify")                                       \
	DROP(drop_payload, "payload that does not verify")                                         \
	DROP(drop_body, "packet body of the wrong size or content")                                \
	DROP(drop_reply_limit, "response larger than the caller takes")                            \
	DROP(drop_no_message, "no message buffer for a large message")                             \
	DROP(drop_no_slot_memory, "no slots left for a new session")                               \
	DROP(drop_detached, "reply of a call whose caller has gone")                               \
	DROP(drop_handle, "resume of a call that is not pending")                                  \
	DROP(drop_reply_gone, "duplicate of a call whose response was released")

enum count_id {
#define COUNT_ENUM(name, help) count_##name,
	COUNT_LIST(COUNT_ENUM, COUNT_ENUM)
#undef COUNT_ENUM
		COUNT_N
};

struct counts {
	_Atomic uint64_t v[COUNT_N];
} cache_aligned;

struct count_info {
	const char *name, *help;
	bool drop;
};
extern const struct count_info count_info[COUNT_N];

/* Only the owning core writes, so a plain load and store is enough. */
static inline void count_add(struct counts *c, enum count_id id, uint64_t n)
{
	atomic_store_explicit(&c->v[id], atomic_load_explicit(&c->v[id], memory_order_relaxed) + n,
		memory_order_relaxed);
}

static inline void count(struct counts *c, enum count_id id)
{
	count_add(c, id, 1);
}

static inline uint64_t count_read(const struct counts *c, enum count_id id)
{
	return atomic_load_explicit(&c->v[id], memory_order_relaxed);
}

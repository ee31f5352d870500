/* neigh.h - the ARP table of a port (RFC 826): bounded, shared by the port's cores.
 *
 * Readers are lock-free: one load of a word that holds MAC, validity and age, between two looks at
 * the address. Writers are rare and take turns by trying: who meets another gives up, and ARP asks
 * again.
 *
 * An entry is made only for who we asked, and for who asks us (RFC 826: they are about to talk to
 * us). It is good for 5 minutes; the next look-up in the last one asks again, so that a peer in use
 * never expires. Only addresses of the link's own subnet are ever learnt.
 *
 * Context: data cores.
 */
#pragma once

#include "base.h"

struct port;

enum { NEIGH_EXPIRE_S = 300, NEIGH_RENEW_S = 240, NEIGH_ASK_MS = 100 };

enum neigh_verdict {
	NEIGH_KNOWN,
	NEIGH_STALE,   /* ret_mac is good, but should be asked for again */
	NEIGH_UNKNOWN, /* nothing known */
};

/* ret_mac is written unless unknown. */
enum neigh_verdict neigh_find(
	const struct port *p, uint32_t ip, uint64_t now_ns, uint8_t ret_mac[6]);
/* Whether to ask for `ip` now (not within NEIGH_ASK_MS of the last time); makes the entry. 0,
 * -EAGAIN, -ENOSPC. */
int neigh_ask(struct port *p, uint32_t ip, uint64_t now_ns);
/* `make`: also if there is no entry. 0; -ENOENT, -ENOSPC, -EAGAIN: somebody else writes. */
int neigh_learn(struct port *p, uint32_t ip, const uint8_t mac[6], uint64_t now_ns, bool make);
/* Whether `ip` may be a host of the link: in the subnet, not its network or broadcast address, not
 * us. */
bool neigh_plausible(const struct port *p, uint32_t ip);

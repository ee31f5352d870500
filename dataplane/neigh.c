/* neigh.c - open addressing with a bounded probe: an address is in one of PROBES places or nowhere.
 */
#include "neigh.h"

#include <arpa/inet.h>

#include "port.h"

/* state: MAC in the low 48 bits, then valid, then the time in seconds modulo 2^15. */
enum { PROBES = 8, TIME_BITS = 15 };
#define VALID     (1ull << 48)
#define MAC_MASK  (VALID - 1)
#define TIME_MASK ((1u << TIME_BITS) - 1)

static uint32_t seconds(uint64_t now_ns)
{
	return (uint32_t)(now_ns / NS_PER_S) & TIME_MASK;
}

static uint32_t age_s(uint64_t state, uint64_t now_ns)
{
	return (seconds(now_ns) - (uint32_t)(state >> 49)) & TIME_MASK;
}

/* Fibonacci hashing: the hosts of a subnet, numbered in a row, spread evenly. */
static uint32_t place(uint32_t ip, uint32_t i)
{
	static_assert(NEIGH_MAX == 1 << 8, "as many as the hash's bits say");
	return ((ntohl(ip) * 2654435761u >> 24) + i) % NEIGH_MAX;
}

bool neigh_plausible(const struct port *p, uint32_t ip)
{
	uint32_t host = ntohl(ip & ~p->netmask), hosts = ntohl(~p->netmask);

	if ((ip ^ p->ip) & p->netmask || ip == p->ip || !ip)
		return false;
	return hosts <= 1 || (host && host != hosts); /* RFC 3021: a /31 has hosts only */
}

enum neigh_verdict neigh_find(
	const struct port *p, uint32_t ip, uint64_t now_ns, uint8_t ret_mac[6])
{
	for (uint32_t i = 0; i < PROBES; i++) {
		const struct neigh *n = &p->neigh[place(ip, i)];
		uint64_t state;
		uint32_t age;

		if (atomic_load_explicit(&n->ip, memory_order_acquire) != ip)
			continue;
		state = atomic_load_explicit(&n->state, memory_order_acquire);
		/* Pairs with take(): a state of the place's next owner comes with its address. */
		if (!(state & VALID) || atomic_load_explicit(&n->ip, memory_order_relaxed) != ip)
			return NEIGH_UNKNOWN;
		age = age_s(state, now_ns);
		if (age >= NEIGH_EXPIRE_S)
			return NEIGH_UNKNOWN;
		memcpy(ret_mac, &state, 6); /* little-endian, as everywhere in Tela */
		return age >= NEIGH_RENEW_S ? NEIGH_STALE : NEIGH_KNOWN;
	}
	return NEIGH_UNKNOWN;
}

/* Nobody depends on an entry that is neither valid nor being asked for. */
static bool is_free(const struct neigh *n, uint64_t now_ns)
{
	uint64_t state = atomic_load_explicit(&n->state, memory_order_relaxed);
	uint32_t asked_ms = atomic_load_explicit(&n->asked_ms, memory_order_relaxed);

	if (!atomic_load_explicit(&n->ip, memory_order_relaxed))
		return true;
	if (state & VALID)
		return age_s(state, now_ns) >= NEIGH_EXPIRE_S;
	return (uint32_t)(now_ns / NS_PER_MS) - asked_ms > 10 * NEIGH_ASK_MS;
}

/* The entry of `ip`, made if `make`. Under neigh_busy. */
static int take(struct port *p, uint32_t ip, uint64_t now_ns, bool make, struct neigh **ret)
{
	struct neigh *spare = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		struct neigh *n = &p->neigh[place(ip, i)];

		if (atomic_load_explicit(&n->ip, memory_order_relaxed) == ip) {
			*ret = n;
			return 0;
		}
		if (!spare && is_free(n, now_ns))
			spare = n;
	}
	if (!make)
		return -ENOENT;
	if (!spare)
		return -ENOSPC;
	/* First nothing, then the new address: neigh_find() never joins the old state to it. */
	atomic_store_explicit(&spare->state, 0, memory_order_release);
	atomic_store_explicit(&spare->asked_ms, (uint32_t)(now_ns / NS_PER_MS) - NEIGH_ASK_MS,
		memory_order_relaxed);
	atomic_store_explicit(&spare->ip, ip, memory_order_release);
	*ret = spare;
	return 0;
}

static bool enter(struct port *p)
{
	return !atomic_exchange_explicit(&p->neigh_busy, true, memory_order_acquire);
}

static void leave(struct port *p)
{
	atomic_store_explicit(&p->neigh_busy, false, memory_order_release);
}

int neigh_ask(struct port *p, uint32_t ip, uint64_t now_ns)
{
	uint32_t now_ms = (uint32_t)(now_ns / NS_PER_MS);
	struct neigh *n;
	int ret;

	if (!enter(p))
		return -EAGAIN;
	ret = take(p, ip, now_ns, true, &n);
	if (!ret &&
		now_ms - atomic_load_explicit(&n->asked_ms, memory_order_relaxed) < NEIGH_ASK_MS)
		ret = -EAGAIN;
	if (!ret)
		atomic_store_explicit(&n->asked_ms, now_ms, memory_order_relaxed);
	leave(p);
	return ret;
}

int neigh_learn(struct port *p, uint32_t ip, const uint8_t mac[6], uint64_t now_ns, bool make)
{
	uint64_t state = VALID | (uint64_t)seconds(now_ns) << 49;
	struct neigh *n;
	int ret;

	memcpy(&state, mac, 6);
	if (!enter(p))
		return -EAGAIN;
	ret = take(p, ip, now_ns, make, &n);
	if (!ret)
		atomic_store_explicit(&n->state, state, memory_order_release);
	leave(p);
	return ret;
}

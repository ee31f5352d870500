/* balance.h - which instance a call goes to, and which are left out for a while.
 *
 * Each core keeps its own view: no words are shared. An instance that fails EJECT_AFTER times in a
 * row is left out; after a while one call probes it, and its answer brings it back or leaves it out
 * for twice as long. If all are left out, all are taken.
 *
 * Context: the owning core; the counters may be read by others.
 */
#pragma once

#include "tela_mesh.h"
#include "base.h"

enum { EJECT_AFTER = 5 };

#define EJECT_FIRST_NS (NS_PER_S)
#define EJECT_LAST_NS  (30 * NS_PER_S)

/* The same on all cores. What is atomic changes with what instances announce (directory.c). */
struct balance_instance {
	uint64_t name_hash;
	_Atomic uint32_t weight;
	char name[TELA_NAME_MAX + 1]; /* empty: this node */
};

struct balance_config {
	uint32_t n;
	enum tela_balance how;
	_Atomic uint64_t first; /* mask: the local one, or those of the zone, before others */
	struct balance_instance at[TELA_MESH_INSTANCES_MAX];
};

struct balance_state {
	uint32_t in_flight, failures_in_row, ejected_times;
	uint64_t ejected_until_ns; /* 0: it takes part */
	uint64_t latency_ns;       /* moving average */
	bool probing;
	_Atomic uint64_t calls, failures, ejections;
	_Atomic bool ejected;
};

struct balance {
	uint32_t next; /* round robin */
	struct balance_state at[TELA_MESH_INSTANCES_MAX];
};

/* Among those in `usable`; -1: none. `random` for one call, `hash` for TELA_BALANCE_HASH. */
int balance_choose(const struct balance_config *cfg, struct balance *b, uint64_t usable,
	uint64_t now_ns, uint64_t random, uint64_t hash);
/* A call goes there. */
void balance_begin(struct balance *b, int instance, uint64_t now_ns);
/* Refused by an instance that is behind, which has said when to come again. */
static inline bool balance_shed(const struct tela_result *r)
{
	return r->retry_after_us && r->outcome == TELA_NOT_EXECUTED;
}
/* It has ended so, after `took_ns`; NULL: that says nothing of the instance. */
void balance_end(struct balance *b, int instance, const struct tela_result *r, uint64_t took_ns,
	uint64_t now_ns);
/* It could not even be asked. */
void balance_unreached(struct balance *b, int instance, uint64_t now_ns);

/* How long to wait after so many rounds over all instances: doubled each time up to the policy's
 * most, and shorter by a random part of its jitter; `random` is any word. */
uint64_t balance_backoff_ns(const struct tela_policy *p, uint32_t rounds, uint64_t random);

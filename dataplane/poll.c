/* poll.c - the loop of a data core, on one screen. */
#include <rte_cycles.h>

#include "client.h"
#include "idle.h"
#include "mesh.h"
#include "node.h"

#define _LGPL_SOURCE /* its small functions inline, as liburcu's licence text allows */
#include <urcu-qsbr.h>

enum { CHORES_NS = 2000 };

__thread struct core *core_current __attribute__((tls_model("initial-exec")));

uint64_t core_clock(const struct core *c)
{
	return (uint64_t)((unsigned __int128)rte_rdtsc() * c->tsc_mult >> 32);
}

void core_deliver(void *arg, const struct net_addr *from, uint8_t *payload, uint32_t len)
{
	struct core *c = arg;

	/* What one datagram brought goes out before the next is looked at, if it is enough to be
	 * worth a burst: the peer works on it meanwhile. */
	machine_rx(&c->m, from, payload, len);
	if (machine_flush_early(&c->m))
		netif_flush(&c->netif[from->netif]);
}

/* A node has few services, and seldom cancels. */
static void core_cancel(struct core *c)
{
	const struct service_table *t = atomic_load_explicit(&c->node->table, memory_order_acquire);

	for (uint32_t at = 0; t && at <= t->mask; at++) {
		struct tela_service *s = t->by_hash[at];
		uint64_t generation = s ? atomic_exchange(&s->core[c->index].cancel, 0) : 0;

		if (generation)
			count_add(&c->counts, count_calls_cancelled,
				call_cancel_all(&c->m, s, generation));
	}
}

/* A part of the walk; the command stays until all of them are done. */
static void core_unbind(struct core *c)
{
	if (!c->unbind_at)
		c->unbinding = atomic_load_explicit(&c->node->unbind, memory_order_acquire);
	if (callee_unbind(&c->m, &c->unbind_at)) {
		c->unbind_at = 0;
		/* Pairs with services_poll(): then the service is freed. */
		atomic_store_explicit(&c->unbound, c->unbinding, memory_order_release);
	}
	if (c->unbind_at || c->unbinding != atomic_load(&c->node->unbind))
		atomic_fetch_or(&c->command, CORE_UNBIND);
}

static void serve_commands(struct core *c)
{
	uint32_t command = atomic_exchange_explicit(&c->command, 0, memory_order_acquire);

	if (command & CORE_LEAVE)
		machine_leave(&c->m);
	if (command & CORE_DRAIN)
		machine_drain(&c->m);
	if (command & CORE_ASKED)
		core_asked(c);
	if (command & CORE_CANCEL)
		core_cancel(c);
	if (command & CORE_LIMITS)
		machine_limits(&c->m, atomic_load(&c->window), atomic_load(&c->slots_per_session));
	if (command & CORE_UNBIND)
		core_unbind(c);
	if (command & CORE_CLOSE)
		core_close(c);
	for (uint32_t i = 0; i < c->n_netifs; i++)
		if (command & CORE_LINK_DOWN << c->netif[i].port_index)
			machine_link_down(&c->m, (uint16_t)i);
}

/* Others may look at peers, but not into a path that changes under them. */
static void show_peers(struct core *c)
{
	c->shown_ns = c->m.now_ns + 10 * NS_PER_MS;
	for (uint32_t i = 0; i < c->n_peers; i++) {
		const struct path *p = c->peer_path[i * SPREAD_MAX];
		struct core_peer_shown *s = &c->peer_shown[i];

		if (!p)
			continue;
		atomic_store_explicit(&s->state, p->state, memory_order_relaxed);
		atomic_store_explicit(&s->srtt_ns, p->srtt_ns, memory_order_relaxed);
		atomic_store_explicit(&s->incarnation, p->incarnation, memory_order_relaxed);
	}
}

static void show(struct core *c)
{
	uint32_t n = c->node->n_ports;

	for (uint32_t i = n; i < c->n_netifs; i++)
		if (c->netif[i].queue <
			atomic_load_explicit(&c->netif[i].port->live, memory_order_relaxed))
			n = i + 1;
	c->n_polled = n;
	atomic_store_explicit(&c->sessions, c->m.n_sessions, memory_order_relaxed);
	show_peers(c);
}

void core_peer_view_read(const struct core *c, uint32_t peer, struct core_peer_view *ret)
{
	const struct core_peer_shown *s = &c->peer_shown[peer];

	ret->state = atomic_load_explicit(&s->state, memory_order_relaxed);
	ret->srtt_ns = atomic_load_explicit(&s->srtt_ns, memory_order_relaxed);
	ret->incarnation = atomic_load_explicit(&s->incarnation, memory_order_relaxed);
}

/* What the pass has produced so far goes out; the clock is read only if there is something. */
static bool flush(struct core *c)
{
	uint64_t full = 0;
	bool waits = false;

	if (c->m.n_dirty)
		machine_flush(&c->m, core_clock(c));
	for (uint32_t i = 0; i < c->n_polled; i++) {
		unsigned n = netif_flush(&c->netif[i]);

		waits |= n > 0;
		full |= n > NET_BACKLOG_LONG ? machine_netif_bit(i) : 0;
	}
	c->m.tx_waits = full;
	if (unlikely(c->hand_put))
		hand_flush(c);
	return waits;
}

/* What need not be looked at in every pass, so that a packet is not found later for it. */
static bool chores(struct core *c)
{
	bool worked;

	c->chores_ns = c->m.now_ns + CHORES_NS;
	atomic_store_explicit(&c->in_flight, c->m.n_calls_busy + c->m.n_made, memory_order_relaxed);
	atomic_store_explicit(&c->gap10_ns, c->m.gap10_ns, memory_order_relaxed);
	if (unlikely(atomic_load_explicit(&c->command, memory_order_relaxed)))
		serve_commands(c);
	if (unlikely(c->m.now_ns >= c->shown_ns))
		show(c);
	worked = core_serve_threads(c);
	worked |= mesh_due(c);
	worked |= machine_local(&c->m);
	return machine_timers(&c->m) || worked;
}

bool core_pass(struct core *c)
{
	unsigned frames = 0;
	bool worked;

	c->m.rx_left = false;
	for (uint32_t i = 0; i < c->n_polled; i++) {
		unsigned n = netif_burst(&c->netif[i]);

		frames += n;
		c->m.rx_left |= n == NET_BURST;
	}
	machine_begin(&c->m, core_clock(c));
	for (uint32_t i = 0; i < c->n_polled; i++)
		netif_input(&c->netif[i], c->m.now_ns, core_deliver, c);
	if (c->hand)
		frames += hand_serve(c);
	if (frames)
		flush(c); /* answers do not wait for the housekeeping below */
	worked = frames > 0;
	for (uint32_t i = 0; i < atomic_load_explicit(&c->n_tasks, memory_order_relaxed); i++)
		worked |= core_task_run(c, i);
	worked |= machine_local(&c->m);
	if (c->m.now_ns >= c->chores_ns || c->m.n_bulks)
		worked |= chores(c);
	return flush(c) || worked;
}

/* What the pass has done is visible to whoever reads `passes`; then the grace period may move on.
 */
static void quiescent(struct core *c)
{
	atomic_store_explicit(&c->passes,
		atomic_load_explicit(&c->passes, memory_order_relaxed) + 1, memory_order_release);
	if (unlikely(uatomic_read(&urcu_qsbr_gp.futex) == -1))
		count(&c->counts, count_qsbr_wakes);
	rcu_quiescent_state();
}

static inline void add_ns(_Atomic uint64_t *to, uint64_t ns)
{
	atomic_store_explicit(
		to, atomic_load_explicit(to, memory_order_relaxed) + ns, memory_order_relaxed);
}

int core_main(void *arg)
{
	struct core *c = arg;
	bool worked = false;

	core_current = c;
	rcu_register_thread();
	c->m.now_ns = core_clock(c);
	while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
		uint64_t before = c->m.now_ns;
		bool did = worked;

		worked = core_pass(c);
		/* From one reading of the pass's clock to the next: what the last pass took. */
		add_ns(&c->polled_ns, c->m.now_ns - before);
		if (did)
			add_ns(&c->busy_ns, c->m.now_ns - before);
		quiescent(c);
		if (likely(worked))
			c->idle_passes = 0;
		else
			idle_pass(c);
	}
	callee_give_back(&c->m, NULL, UINT64_MAX);
	rcu_unregister_thread();
	core_current = NULL;
	return 0;
}

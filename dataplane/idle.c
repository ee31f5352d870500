/* idle.c - see idle.h. A core that sleeps is offline for QSBR: no grace period waits for it. */
#include "idle.h"

#include <rte_pause.h>
#include <sched.h>
#include <sys/epoll.h>

#include "mesh.h"
#include "node.h"
#include "say.h"

#define _LGPL_SOURCE /* its small functions inline, as liburcu's licence text allows */
#include <urcu-qsbr.h>

enum {
	SPIN_PASSES = 2000,
	YIELD_PASSES = 200,
	SLEEP_FIRST_NS = 20000,
	SLEEP_LAST_NS = 500000,
	QUIET_NS = 1000000000, /* the longest sleep until an interrupt */
};

/* Left for the core by others, where no device tells of it. */
static bool asked(const struct core *c)
{
	return core_threads_waiting(c) || hand_waiting(c) || atomic_load(&c->command) ||
	       atomic_load(&c->stop);
}

/* What was looked at since the pass is visible, too, to whoever reads `passes` behind a grace
 * period.
 */
static void go_offline(struct core *c)
{
	atomic_store_explicit(&c->passes, atomic_load_explicit(&c->passes, memory_order_relaxed),
		memory_order_release);
	rcu_thread_offline();
}

static void sleep_a_while(struct core *c)
{
	uint64_t ns =
		min_u64((uint64_t)SLEEP_FIRST_NS << min_u32((c->idle_passes - SPIN_PASSES) / 4, 5),
			SLEEP_LAST_NS);

	ns = min_u64(ns, machine_idle_ns(&c->m));
	if (ns < 1000)
		return;
	wake_prepare(&c->wake);
	if (asked(c)) {
		wake_cancel(&c->wake);
		return;
	}
	count(&c->counts, count_sleeps);
	go_offline(c);
	wake_sleep(&c->wake, ns);
	rcu_thread_online();
	c->m.slept_ns = ns; /* chosen, so it is no stall */
}

/* ---- until an interrupt ---- */

/* Whether the core has a queue behind it, so that frames come to it there. */
static bool has_queue(const struct netif *nif)
{
	return nif->queue < nif->port->n_queues;
}

static void interrupts(struct core *c, bool on)
{
	for (uint32_t i = 0; i < c->n_netifs; i++)
		if (has_queue(&c->netif[i]))
			port_interrupt(c->netif[i].port, c->netif[i].queue, on);
}

/* How long nothing needs a pass. What is found only by looking is looked at in short steps. */
static uint64_t quiet_ns(const struct core *c)
{
	uint64_t ns = min_u64(machine_quiet_ns(&c->m), QUIET_NS);

	if (atomic_load_explicit(&c->n_tasks, memory_order_relaxed) || !list_empty(&c->waiting) ||
		mesh_waits(c))
		ns = min_u64(ns, SLEEP_LAST_NS);
	return ns;
}

/* What has happened is forgotten here: the passes that follow look at every queue. */
static void take_events(struct core *c)
{
	struct epoll_event events[PORT_QUEUES_MAX];

	if (epoll_wait(c->events, events, PORT_QUEUES_MAX, 0) > 0)
		count(&c->counts, count_interrupts);
}

static void sleep_for(struct core *c, uint64_t ns)
{
	uint64_t before = core_clock(c), frames;
	bool interrupted;

	count(&c->counts, count_sleeps);
	go_offline(c);
	interrupted = wake_sleep_too(&c->wake, c->events, ns);
	if (interrupted)
		take_events(c);
	rcu_thread_online();
	/* Chosen, so it is no stall; and what comes now has not waited in a ring. */
	c->m.emptied_ns = core_clock(c);
	c->m.slept_ns = c->m.emptied_ns - before;
	if (interrupted)
		return;
	/* A device that does not keep its word shows here: it is no faster than this timer. */
	frames = count_read(&c->counts, count_rx_frames);
	if (core_pass(c))
		c->idle_passes = 0;
	count_add(&c->counts, count_interrupts_missed,
		count_read(&c->counts, count_rx_frames) - frames);
}

static void sleep_until_interrupt(struct core *c)
{
	uint64_t ns;

	if (machine_quiet_ns(&c->m) < 1000)
		return;
	interrupts(c, true);
	c->chores_ns = c->shown_ns = 0; /* all of them: it may be long until the next time */
	if (core_pass(c)) {
		c->idle_passes = 0;
	} else {
		ns = quiet_ns(c);
		wake_prepare(&c->wake);
		if (ns < 1000 || asked(c))
			wake_cancel(&c->wake);
		else
			sleep_for(c, ns);
	}
	interrupts(c, false);
}

/* Pause, then give the CPU away, then sleep, so that a quiet node costs little or nothing. */
void idle_pass(struct core *c)
{
	c->idle_passes++;
	if (c->idle == TELA_IDLE_SPIN)
		return; /* the CPU is ours alone: a pause would only find the next packet later */
	if (c->idle_passes > SPIN_PASSES && c->idle == TELA_IDLE_INTERRUPT) {
		sleep_until_interrupt(c);
	} else if (c->idle_passes > SPIN_PASSES) {
		sleep_a_while(c);
	} else if (c->idle_passes % YIELD_PASSES == 0) {
		rcu_quiescent_state();
		sched_yield();
	} else {
		rte_pause();
	}
}

/* ---- opening ---- */

static int watch(struct core *c, const struct netif *nif, char *err, size_t err_len)
{
	struct epoll_event e = {.events = EPOLLIN};
	bool level;
	int fd = port_interrupt_fd(nif->port, nif->queue, &level);

	if (fd < 0)
		return say(err, err_len, -ENOTSUP,
			"port %s: driver %s has no receive interrupts, as idle: interrupt needs "
			"them; use "
			"adaptive for core %u",
			nif->port->name, nif->port->driver, c->index);
	e.events |= level ? 0 : EPOLLET;
	if (epoll_ctl(c->events, EPOLL_CTL_ADD, fd, &e))
		return say(err, err_len, -errno, "port %s: cannot wait for interrupts: %s",
			nif->port->name, strerror(errno));
	return 0;
}

int idle_open(struct core *c, char *err, size_t err_len)
{
	int rc = 0;

	if (c->idle != TELA_IDLE_INTERRUPT)
		return 0;
	c->events = epoll_create1(EPOLL_CLOEXEC);
	if (c->events < 0)
		return say(err, err_len, -errno, "cannot wait for interrupts: %s", strerror(errno));
	for (uint32_t i = 0; i < c->n_netifs && !rc; i++)
		if (has_queue(&c->netif[i]))
			rc = watch(c, &c->netif[i], err, err_len);
	return rc;
}

void idle_close(struct core *c)
{
	if (c->events >= 0)
		close(c->events);
	c->events = -1;
}

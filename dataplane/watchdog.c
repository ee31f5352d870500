/* watchdog.c - notices a data core that has stopped polling.
 *
 * It counts silence in its own ticks: when the whole process was stopped, so was the watchdog, and
 * no core is blamed for it. A core silent past the first limit is marked (its handler holds it);
 * past the second the process ends with a core dump, since nothing that the core may still read can
 * ever be freed after it.
 */
#include "node.h"
#include "eal.h"

#include <signal.h>

enum { TICK_MS = 50 };

static void watch_core(struct tela_node *n, struct core *c, uint64_t *last, uint32_t *silent_ms)
{
	uint64_t now = atomic_load_explicit(&c->passes, memory_order_relaxed);

	if (now != *last) {
		*last = now;
		*silent_ms = 0;
		atomic_store(&c->stalled, false);
		return;
	}
	*silent_ms += TICK_MS;
	if (*silent_ms >= n->stall_warn_ms && !atomic_exchange(&c->stalled, true))
		fprintf(stderr,
			"<3>%s: core %u (CPU %d) has not polled for %u ms: a handler holds it\n",
			n->name, c->index, c->cpu, *silent_ms);
	if (n->stall_abort_ms && *silent_ms >= n->stall_abort_ms) {
		fprintf(stderr,
			"<2>%s: core %u (CPU %d) has not polled for %u ms: ending with a core "
			"dump\n",
			n->name, c->index, c->cpu, *silent_ms);
		abort();
	}
}

static void *watch(void *arg)
{
	struct tela_node *n = arg;
	uint64_t last[EAL_CORES_MAX] = {0};
	uint32_t silent_ms[EAL_CORES_MAX] = {0};
	struct timespec tick = {.tv_nsec = TICK_MS * 1000000};

	while (!atomic_load(&n->watch_stop)) {
		nanosleep(&tick, NULL);
		for (uint32_t i = 0; i < n->n_cores && !atomic_load(&n->watch_stop); i++)
			watch_core(n, n->cores[i], &last[i], &silent_ms[i]);
	}
	return NULL;
}

int watchdog_start(struct tela_node *n)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	rc = -pthread_create(&n->watchdog, NULL, watch, n);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	n->watching = !rc;
	return rc;
}

void watchdog_stop(struct tela_node *n)
{
	if (!n->watching)
		return;
	atomic_store(&n->watch_stop, true);
	pthread_join(n->watchdog, NULL);
	n->watching = false;
}

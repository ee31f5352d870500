/* watchdog.c - notices a data core that has stopped polling.
 *
 * It counts silence in its own ticks: when the whole process was stopped, so was the watchdog, and
 * no core is blamed for it, nor for a sleep that nobody has ended. A core silent past the first
 * limit is marked, and what it runs is named (it says so in one word, machine_running(), that is
 * true while nothing can be freed under it); past the second the process ends with a core dump,
 * since nothing that the core may still read can ever be freed after it.
 */
#include "eal.h"
#include "log_put.h"
#include "worker.h"

#include <signal.h>

enum { TICK_MS = 50 };

void node_running_name(const struct tela_node *n, uint32_t key, char ret[TELA_RUNNING_MAX])
{
	uint32_t service = (key >> 16) - 1, method = key & UINT16_MAX;
	const struct tela_service_desc *d = NULL;

	pthread_mutex_lock(services_lock(n));
	if (key && service < n->n_services && n->services[service])
		d = n->services[service]->desc;
	snprintf(ret, TELA_RUNNING_MAX, "%s", d ? d->name : "a task or completion");
	for (uint32_t i = 0; d && i < d->n_methods; i++)
		if (d->methods[i].id == method)
			snprintf(ret, TELA_RUNNING_MAX, "%.80s.%.64s", d->name, d->methods[i].name);
	pthread_mutex_unlock(services_lock(n));
}

static void watch_core(struct tela_node *n, struct core *c, uint64_t *last, uint32_t *silent_ms)
{
	uint64_t now = atomic_load_explicit(&c->passes, memory_order_relaxed);
	char name[TELA_RUNNING_MAX];

	if (now != *last || atomic_load(&c->wake.asleep)) {
		*last = now;
		if (atomic_exchange(&c->stalled, false))
			node_log(n, TELA_LOG_INFO, "core %u polls again, after %u ms", c->index,
				*silent_ms);
		*silent_ms = 0;
		return;
	}
	*silent_ms += TICK_MS;
	if (*silent_ms < n->stall_warn_ms)
		return;
	node_running_name(n, atomic_load_explicit(&c->m.running, memory_order_relaxed), name);
	if (!atomic_exchange(&c->stalled, true)) {
		count(&c->counts, count_stalls); /* the watchdog's word alone */
		node_log(n, TELA_LOG_ERROR,
			"core %u (CPU %d) has not polled for %u ms: %s holds it", c->index, c->cpu,
			*silent_ms, name);
	}
	if (n->stall_abort_ms && *silent_ms >= n->stall_abort_ms) {
		fprintf(stderr,
			"<2>%s: core %u (CPU %d) has not polled for %u ms, held by %s: ending with "
			"a core dump\n",
			n->name, c->index, c->cpu, *silent_ms, name);
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
		workers_watch(n, TICK_MS);
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

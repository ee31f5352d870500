/* task.c - stages of one's own in a core's loop. A core reads its places in every pass; one that is
 * taken out may still run until the core has been quiescent. */
#include "node.h"

#define _LGPL_SOURCE /* its small functions inline, as liburcu's licence text allows */
#include <urcu-qsbr.h>

bool core_task_run(struct core *c, uint32_t place)
{
	struct core_task *t = atomic_load_explicit(&c->task[place], memory_order_acquire);

	if (!t || c->m.now_ns < t->due_ns)
		return false;
	t->due_ns = c->m.now_ns + t->period_ns;
	return t->fn((struct tela_core *)c, t->arg);
}

struct tela_task *tela_task_start(
	struct tela_node *n, uint32_t core, tela_task_fn fn, void *arg, uint32_t period_ms)
{
	struct core *c = core < n->n_cores ? n->cores[core] : NULL;
	struct core_task *t = c ? malloc(sizeof(*t)) : NULL;
	uint32_t place = 0;

	if (!t) {
		errno = c ? ENOMEM : EINVAL;
		return NULL;
	}
	*t = (struct core_task){.fn = fn, .arg = arg, .period_ns = period_ms * NS_PER_MS};
	pthread_mutex_lock(&n->threads_lock);
	while (place < CORE_TASKS_MAX && atomic_load(&c->task[place]))
		place++;
	if (place < CORE_TASKS_MAX) {
		t->core = c;
		t->place = place;
		atomic_store_explicit(&c->task[place], t, memory_order_release);
		if (atomic_load(&c->n_tasks) <= place)
			atomic_store_explicit(&c->n_tasks, place + 1, memory_order_release);
	}
	pthread_mutex_unlock(&n->threads_lock);
	if (place < CORE_TASKS_MAX) {
		if (c->wake.fd >= 0)
			wake_up(&c->wake);
		return (struct tela_task *)t;
	}
	free(t);
	errno = EBUSY;
	return NULL;
}

void tela_task_end(struct tela_task *task)
{
	struct core_task *t = (struct core_task *)task;
	struct core *c = t->core;
	struct tela_node *n = c->node;
	uint32_t used;

	pthread_mutex_lock(&n->threads_lock);
	atomic_store_explicit(&c->task[t->place], NULL, memory_order_release);
	for (used = atomic_load(&c->n_tasks); used && !atomic_load(&c->task[used - 1]);)
		used--;
	atomic_store_explicit(&c->n_tasks, used, memory_order_release);
	pthread_mutex_unlock(&n->threads_lock);
	synchronize_rcu();
	(void)atomic_load_explicit(&c->passes, memory_order_acquire); /* what it did is seen */
	free(t);
}

int tela_task_add(struct tela_node *n, uint32_t core, tela_task_fn fn, void *arg)
{
	if (node_polling(n))
		return -EBUSY;
	return tela_task_start(n, core, fn, arg, 0) ? 0 : -errno;
}

void core_tasks_free(struct core *c)
{
	for (uint32_t i = 0; i < CORE_TASKS_MAX; i++)
		free(atomic_load(&c->task[i]));
}

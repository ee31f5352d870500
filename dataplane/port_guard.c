/* port_guard.c - see port_guard.h. */
#include "port_guard.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WATCHED_MAX = 64 };

/* Added and removed by the control thread, walked by the interrupt thread: a mutex, since no core
 * is involved. */
static struct {
	pthread_mutex_t lock;
	struct {
		struct port_guard *guards;
		uint32_t n;
	} at[WATCHED_MAX];
} watched = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

int guard_watch(struct port_guard *guards, uint32_t n)
{
	int ret = -ENOSPC;

	/* Without it (a kernel before 4.14) guard_wait() falls back to the slow global one. */
	membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	pthread_mutex_lock(&watched.lock);
	for (uint32_t i = 0; i < WATCHED_MAX && ret; i++) {
		if (watched.at[i].guards)
			continue;
		watched.at[i].guards = guards;
		watched.at[i].n = n;
		ret = 0;
	}
	pthread_mutex_unlock(&watched.lock);
	return ret;
}

void guard_unwatch(struct port_guard *guards)
{
	pthread_mutex_lock(&watched.lock);
	for (uint32_t i = 0; i < WATCHED_MAX; i++) {
		if (watched.at[i].guards == guards)
			watched.at[i].guards = NULL;
	}
	pthread_mutex_unlock(&watched.lock);
}

void guard_wait(struct port_guard *guards, uint32_t n)
{
	uint32_t seq;

	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		membarrier(MEMBARRIER_CMD_GLOBAL);
	for (uint32_t i = 0; i < n; i++) {
		seq = atomic_load_explicit(
			&guards[i].seq, memory_order_acquire); /* pairs with port_leave() */
		while (seq & 1 && atomic_load_explicit(&guards[i].seq, memory_order_acquire) == seq)
			sched_yield();
	}
}

void guard_wait_watched(void)
{
	pthread_mutex_lock(&watched.lock);
	for (uint32_t i = 0; i < WATCHED_MAX; i++) {
		if (watched.at[i].guards)
			guard_wait(watched.at[i].guards, watched.at[i].n);
	}
	pthread_mutex_unlock(&watched.lock);
}

/* svc_worker.h - a thread that belongs to a plugin instance: started by its start hook, ended by
 * its stop hook, woken by time only. Data cores never wake it (that would be a system call): it
 * looks after its ring every tick.
 *
 * Context: start and stop on the lifecycle thread, ready and wait on the worker itself.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "base.h"

struct tela_hook;

struct svc_worker {
	pthread_t thread;
	void (*run)(struct svc_worker *w);
	sem_t started; /* posted once, by svc_worker_ready */
	sem_t ending;  /* posted once, by svc_worker_stop */
	int rc;
};

/* Starts `run` in a thread called `name` (15 characters show) and waits until it has said that it
 * is ready. 0, or what it said (the thread has then ended), or -errno of the system; then the
 * hook's error says why. */
int svc_worker_start(struct svc_worker *w, const char *name, void (*run)(struct svc_worker *w),
	struct tela_hook *h);
/* Asks the thread to end and waits for it. */
void svc_worker_stop(struct svc_worker *w);

/* `run` calls this once: 0, or -errno, after which it returns. */
void svc_worker_ready(struct svc_worker *w, int rc);
/* Waits so long, or until the thread shall end; true: it shall. Stays true. */
bool svc_worker_wait(struct svc_worker *w, uint64_t ns);
/* CLOCK_MONOTONIC. */
uint64_t svc_worker_now(void);

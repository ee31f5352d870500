/* svc_worker.c - see svc_worker.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np, sem_clockwait */
#endif
#include "svc_worker.h"

#include "svc.h"

#include <time.h>

static void *entry(void *arg)
{
	struct svc_worker *w = arg;

	w->run(w);
	return NULL;
}

static int start(struct svc_worker *w, const char *name)
{
	int rc;

	if (sem_init(&w->started, 0, 0) || sem_init(&w->ending, 0, 0))
		return -errno;
	rc = pthread_create(&w->thread, NULL, entry, w);
	if (rc)
		return -rc;
	pthread_setname_np(w->thread, name);
	while (sem_wait(&w->started) && errno == EINTR)
		;
	if (w->rc)
		pthread_join(w->thread, NULL);
	return w->rc;
}

int svc_worker_start(struct svc_worker *w, const char *name, void (*run)(struct svc_worker *w),
	struct tela_hook *h)
{
	int rc;

	w->run = run;
	w->rc = 0;
	rc = start(w, name);
	return rc ? svc_fail(h, rc, "its thread: %s", strerror(-rc)) : 0;
}

void svc_worker_stop(struct svc_worker *w)
{
	sem_post(&w->ending);
	pthread_join(w->thread, NULL);
	sem_destroy(&w->started);
	sem_destroy(&w->ending);
}

void svc_worker_ready(struct svc_worker *w, int rc)
{
	w->rc = rc;
	sem_post(&w->started);
}

uint64_t svc_worker_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

bool svc_worker_wait(struct svc_worker *w, uint64_t ns)
{
	uint64_t end = svc_worker_now() + ns;
	struct timespec ts = {
		.tv_sec = (time_t)(end / NS_PER_S),
		.tv_nsec = (long)(end % NS_PER_S),
	};
	int rc;

	do
		rc = sem_clockwait(&w->ending, CLOCK_MONOTONIC, &ts);
	while (rc && errno == EINTR);
	if (rc)
		return false;
	sem_post(&w->ending); /* for the next time it is asked */
	return true;
}

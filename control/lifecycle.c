#include "lifecycle.h"

#include "log.h"

#include "../dataplane/base.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* A thread and the job it runs. All fields under the lifecycle's lock. */
struct worker {
	struct lifecycle *l;
	pthread_t thread;
	struct lifecycle_job *job;
	uint64_t since_ns;
	bool abandoned; /* then it touches nothing but itself any more */
};

struct jobs {
	struct lifecycle_job *first, **last;
};

struct lifecycle {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct jobs queue, finished;
	struct worker *worker; /* NULL: none could be made; tried again at each poll */
	bool signalled;        /* a wake-up is on its way: one is enough for many jobs */
	bool ending;
	uint64_t deadline_ns;
	int fd;
	uint32_t n_abandoned;
	char stuck[160]; /* "" if loading works; control thread only, except under lock */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void jobs_push(struct jobs *q, struct lifecycle_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

static struct lifecycle_job *jobs_pop(struct jobs *q)
{
	struct lifecycle_job *job = q->first;

	q->first = job->next;
	if (!q->first)
		q->last = &q->first;
	return job;
}

static struct lifecycle_job *jobs_take_all(struct jobs *q)
{
	struct lifecycle_job *first = q->first;

	q->first = NULL;
	q->last = &q->first;
	return first;
}

/* ---- lifecycle thread ---- */

static void wake_control(struct lifecycle *l)
{
	uint64_t one = 1;

	if (l->signalled)
		return;
	l->signalled = true;
	if (write(l->fd, &one, sizeof(one)) < 0)
		l->signalled = false; /* the timer's poll finds it */
}

/* Runs one job without the lock. False: abandoned meanwhile, and nothing of `l` may be touched. */
static bool run_one_locked(struct worker *w, struct lifecycle_job *job)
{
	struct lifecycle *l = w->l;
	int error = -EDEADLK;

	if (!job->loading || !l->stuck[0]) {
		w->since_ns = now_ns();
		w->job = job;
		pthread_mutex_unlock(&l->lock);
		error = job->run(job);
		pthread_mutex_lock(&l->lock);
		if (w->abandoned)
			return false;
		w->job = NULL;
	}
	job->error = error;
	jobs_push(&l->finished, job);
	wake_control(l);
	return true;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct lifecycle *l = w->l;

	pthread_mutex_lock(&l->lock);
	for (;;) {
		while (!l->queue.first && !l->ending)
			pthread_cond_wait(&l->more, &l->lock);
		if (!l->queue.first)
			break;
		if (!run_one_locked(w, jobs_pop(&l->queue)))
			break;
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- control thread ---- */

/* Signals stay with the control thread, whatever the hooks do. */
static struct worker *worker_start(struct lifecycle *l)
{
	struct worker *w = calloc(1, sizeof(*w));
	sigset_t all, old;
	int rc;

	if (!w)
		return NULL;
	w->l = l;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		free(w);
		return NULL;
	}
	pthread_setname_np(w->thread, "tela-lifecycle");
	return w;
}

struct lifecycle *lifecycle_create(uint32_t deadline_ms)
{
	struct lifecycle *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->more, NULL);
	l->queue.last = &l->queue.first;
	l->finished.last = &l->finished.first;
	l->deadline_ns = deadline_ms * NS_PER_MS;
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->worker = l->fd < 0 ? NULL : worker_start(l);
	if (l->worker)
		return l;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
	return NULL;
}

void lifecycle_destroy(struct lifecycle *l)
{
	bool busy;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->ending = true;
	busy = l->worker && l->worker->job;
	pthread_cond_broadcast(&l->more);
	pthread_mutex_unlock(&l->lock);
	if (busy || l->n_abandoned || !l->worker)
		return; /* a thread that may come back still looks at `l` */
	pthread_join(l->worker->thread, NULL);
	free(l->worker);
	close(l->fd);
	pthread_cond_destroy(&l->more);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void lifecycle_submit(struct lifecycle *l, struct lifecycle_job *job)
{
	pthread_mutex_lock(&l->lock);
	if (!l->queue.first)
		pthread_cond_signal(&l->more);
	jobs_push(&l->queue, job);
	pthread_mutex_unlock(&l->lock);
}

int lifecycle_fd(const struct lifecycle *l)
{
	return l->fd;
}

/* The job of a worker past its deadline; a new worker has then taken over. */
static struct lifecycle_job *overrun_locked(struct lifecycle *l)
{
	struct worker *w = l->worker;
	struct lifecycle_job *job = w ? w->job : NULL;

	if (job && now_ns() - w->since_ns > l->deadline_ns) {
		w->abandoned = true;
		pthread_detach(w->thread);
		l->worker = NULL;
		l->n_abandoned++;
		if (job->loading)
			snprintf(l->stuck, sizeof(l->stuck), "%s", job->what);
	} else {
		job = NULL;
	}
	if (!l->worker)
		l->worker = worker_start(l);
	return job;
}

uint32_t lifecycle_poll(struct lifecycle *l)
{
	struct lifecycle_job *job, *next, *late;
	uint64_t drained;
	uint32_t n = 0;

	pthread_mutex_lock(&l->lock);
	if (l->signalled && read(l->fd, &drained, sizeof(drained)) < 0)
		log_debug("lifecycle: the wake-up was already read");
	l->signalled = false;
	job = jobs_take_all(&l->finished);
	late = overrun_locked(l);
	pthread_mutex_unlock(&l->lock);
	for (; job; job = next, n++) {
		next = job->next;
		job->done(job, job->error);
	}
	if (late) {
		log_error("%s has not returned within %llu ms: its thread is abandoned", late->what,
			(unsigned long long)(l->deadline_ns / NS_PER_MS));
		late->done(late, -ETIMEDOUT);
		n++;
	}
	return n;
}

const char *lifecycle_stuck(const struct lifecycle *l)
{
	return l->stuck[0] ? l->stuck : NULL;
}

uint32_t lifecycle_abandoned(const struct lifecycle *l)
{
	return l->n_abandoned;
}

bool lifecycle_current(struct lifecycle *l, char *ret, size_t size)
{
	bool busy;

	pthread_mutex_lock(&l->lock);
	busy = l->worker && l->worker->job;
	if (busy)
		snprintf(ret, size, "%s", l->worker->job->what);
	pthread_mutex_unlock(&l->lock);
	return busy;
}

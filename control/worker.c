#include "worker.h"

#include "../dataplane/base.h"
#include "../dataplane/tela_node.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

enum { RESTARTS_MAX = 64 };

struct tela_worker_run {
	const struct tela_worker *spec;
	void *self;
	struct tela_node *node;
	struct tela_task *task; /* while it runs, of one that is no thread */
	pthread_t thread;
	sem_t ending; /* posted once, by team_end */
	int result;
	_Atomic bool ended; /* release: `result` is there */
	bool runs;          /* its thread is to be joined. Lifecycle thread, or it alone */
	bool again;         /* control thread: to be started by the next restart */
	_Atomic uint32_t restarts;
};

struct team {
	const struct tela_workers *w;
	uint32_t n, max_restarts;
	uint64_t period_ns;
	uint64_t restarted_ns[RESTARTS_MAX]; /* the last ones, a ring */
	uint32_t n_restarts;
	struct tela_worker_run run[];
};

/* ---- the worker's own thread ---- */

bool tela_worker_wait(struct tela_worker_run *r, uint64_t ns)
{
	struct timespec end;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)(ns / NS_PER_S);
	end.tv_nsec += (long)(ns % NS_PER_S);
	if (end.tv_nsec >= (long)NS_PER_S) {
		end.tv_nsec -= (long)NS_PER_S;
		end.tv_sec++;
	}
	do
		rc = sem_clockwait(&r->ending, CLOCK_MONOTONIC, &end);
	while (rc && errno == EINTR);
	if (rc)
		return false;
	sem_post(&r->ending); /* for the next time it is asked */
	return true;
}

static void *worker_main(void *arg)
{
	struct tela_worker_run *r = arg;
	uint64_t period_ns = r->spec->period_ms * NS_PER_MS;

	if (period_ns)
		while (!r->result && !tela_worker_wait(r, period_ns))
			r->result = r->spec->run(r, r->self);
	else
		r->result = r->spec->run(r, r->self);
	atomic_store_explicit(&r->ended, true, memory_order_release);
	return NULL;
}

/* ---- a data core ---- */

static bool run_task(struct tela_core *core, void *arg)
{
	struct tela_worker_run *r = arg;
	int rc;

	if (atomic_load_explicit(&r->ended, memory_order_relaxed))
		return false;
	rc = r->spec->task(core, r->self);
	if (rc < 0) {
		r->result = rc;
		atomic_store_explicit(&r->ended, true, memory_order_release);
	}
	return rc > 0;
}

/* ---- lifecycle thread ---- */

static int task_start(struct tela_worker_run *r)
{
	r->result = 0;
	atomic_store_explicit(&r->ended, false, memory_order_relaxed);
	r->task = tela_task_start(r->node, r->spec->core, run_task, r, r->spec->period_ms);
	if (r->task)
		return 0;
	r->result = -errno;
	atomic_store_explicit(&r->ended, true, memory_order_release);
	return r->result;
}

/* Signals stay with the control thread, whatever a worker does. */
static int run_start(struct tela_worker_run *r)
{
	sigset_t all, old;
	int rc;

	if (r->spec->task)
		return task_start(r);
	r->result = 0;
	sem_init(&r->ending, 0, 0);
	atomic_store_explicit(&r->ended, false, memory_order_relaxed);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&r->thread, NULL, worker_main, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		sem_destroy(&r->ending);
		r->result = -rc;
		atomic_store_explicit(&r->ended, true, memory_order_release);
		return -rc;
	}
	pthread_setname_np(r->thread, r->spec->name);
	r->runs = true;
	return 0;
}

static void run_end(struct tela_worker_run *r)
{
	if (r->task)
		tela_task_end(r->task);
	r->task = NULL;
	if (!r->runs)
		return;
	sem_post(&r->ending);
	pthread_join(r->thread, NULL);
	sem_destroy(&r->ending);
	r->runs = false;
}

void team_end(struct team *t)
{
	for (uint32_t i = t->n; i-- > 0;)
		run_end(&t->run[i]);
}

void team_free(struct team *t)
{
	free(t);
}

/* A thread's name has 15 characters. */
static const char *check(const struct tela_workers *w)
{
	if (!w->n || !w->list || w->n > TELA_WORKERS_MAX)
		return "expected 1 to 64 workers";
	if (w->max_restarts >= RESTARTS_MAX)
		return "max_restarts: expected at most 63";
	for (uint32_t i = 0; i < w->n; i++)
		if (!w->list[i].run == !w->list[i].task || !w->list[i].name ||
			!w->list[i].name[0] || strlen(w->list[i].name) > 15)
			return "each worker needs `run` or `task`, and a name of 1 to 15 bytes";
	return NULL;
}

struct team *team_start(
	const struct tela_workers *w, struct tela_node *node, void *self, char *err, size_t err_len)
{
	const char *wrong = check(w);
	struct team *t = wrong ? NULL : calloc(1, sizeof(*t) + w->n * sizeof(t->run[0]));

	if (!t) {
		snprintf(err, err_len, "its workers: %s", wrong ? wrong : "out of memory");
		return NULL;
	}
	t->w = w;
	t->n = w->n;
	t->max_restarts = w->max_restarts ? w->max_restarts : 3;
	t->period_ns = (w->period_ms ? w->period_ms : 5000) * NS_PER_MS;
	for (uint32_t i = 0; i < t->n; i++) {
		int rc;

		t->run[i].spec = &w->list[i];
		t->run[i].self = self;
		t->run[i].node = node;
		rc = run_start(&t->run[i]);
		if (!rc)
			continue;
		snprintf(err, err_len, "its worker %s: %s", w->list[i].name, strerror(-rc));
		team_end(t);
		free(t);
		return NULL;
	}
	return t;
}

int team_restart(struct team *t)
{
	int rc = 0;

	for (uint32_t i = t->n; i-- > 0;)
		if (t->w->strategy == TELA_ONE_FOR_ALL || t->run[i].again)
			run_end(&t->run[i]);
	for (uint32_t i = 0; i < t->n && !rc; i++) {
		if (t->w->strategy != TELA_ONE_FOR_ALL && !t->run[i].again)
			continue;
		t->run[i].again = false;
		t->run[i].restarts++;
		rc = run_start(&t->run[i]);
	}
	return rc;
}

/* ---- control thread, not while team_restart runs ---- */

static bool wanted_again(const struct tela_worker_run *r)
{
	return r->spec->restart == TELA_PERMANENT ||
	       (r->spec->restart == TELA_TRANSIENT && r->result);
}

enum team_state team_look(struct team *t, uint64_t now_ns, char *err, size_t err_len)
{
	enum team_state state = TEAM_FINE;

	for (uint32_t i = 0; i < t->n; i++) {
		struct tela_worker_run *r = &t->run[i];
		uint64_t *oldest;

		if (!atomic_load_explicit(&r->ended, memory_order_acquire) || r->again ||
			!wanted_again(r))
			continue;
		/* One restart too many: the one so many before was within the period. */
		oldest = &t->restarted_ns[(t->n_restarts + RESTARTS_MAX - t->max_restarts) %
					  RESTARTS_MAX];
		if (t->n_restarts >= t->max_restarts && now_ns - *oldest < t->period_ns) {
			snprintf(err, err_len, "worker %s ended (%d) more than %u times in %llu ms",
				r->spec->name, r->result, t->max_restarts,
				(unsigned long long)(t->period_ns / NS_PER_MS));
			return TEAM_SPENT;
		}
		t->restarted_ns[t->n_restarts++ % RESTARTS_MAX] = now_ns;
		r->again = true;
		state = TEAM_RESTART;
	}
	return state;
}

const struct tela_workers *team_workers(const struct team *t)
{
	return t->w;
}

bool team_show(const struct team *t, uint32_t i, const char **ret_name, bool *ret_runs,
	uint32_t *ret_restarts)
{
	if (!t || i >= t->n)
		return false;
	*ret_name = t->run[i].spec->name;
	*ret_runs = !atomic_load_explicit(&t->run[i].ended, memory_order_acquire);
	*ret_restarts = t->run[i].restarts;
	return true;
}

#include "outcall.h"

#include "../dataplane/tela_mesh.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

struct outcall_pool {
	struct tela_node *node;
	struct event_base *base;
	struct event *wake; /* activated from a thread: libevent was told to be safe for it */
	pthread_t thread[OUTCALL_THREADS];
	uint32_t n_threads;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct outcall *queue, **queue_last;
	struct outcall *finished;
	uint32_t n_waiting; /* submitted and not done */
	bool ending;
};

/* ---- its threads ---- */

static void run(struct tela_thread *t, struct outcall *call)
{
	uint64_t start = control_now_ns();

	if (t && call->all)
		call->error = tela_thread_all(t, call->client, call->method, call->payload,
			call->len, &call->options, call->quorum, call->all);
	else
		call->error = t ? tela_thread_call(t, call->client, call->method, call->payload,
					  call->len, &call->options, &call->reply)
				: -EBUSY;
	call->took_ns = control_now_ns() - start;
}

static struct outcall *take_locked(struct outcall_pool *c)
{
	struct outcall *call = c->queue;

	c->queue = call->next;
	if (!c->queue)
		c->queue_last = &c->queue;
	return call;
}

static void *outcall_main(void *arg)
{
	struct outcall_pool *c = arg;
	struct tela_thread *t = tela_thread_attach(c->node);

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct outcall *call;

		while (!c->queue && !c->ending)
			pthread_cond_wait(&c->more, &c->lock);
		if (c->ending)
			break;
		call = take_locked(c);
		pthread_mutex_unlock(&c->lock);
		if (!t)
			t = tela_thread_attach(c->node);
		run(t, call);
		pthread_mutex_lock(&c->lock);
		call->next = c->finished;
		c->finished = call;
		event_active(c->wake, 0, 0);
	}
	pthread_mutex_unlock(&c->lock);
	if (t)
		tela_thread_detach(t);
	return NULL;
}

/* ---- control thread ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	outcall_poll(arg);
}

static struct outcall_pool *create(struct control *control)
{
	struct outcall_pool *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->node = control->node;
	c->queue_last = &c->queue;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->more, NULL);
	c->wake = event_new(control->base, -1, 0, on_wake, control);
	if (!c->wake) {
		free(c);
		return NULL;
	}
	control->outcall = c;
	return c;
}

/* One more thread if all are busy; fewer than wanted do the work too. */
static int grow(struct outcall_pool *c)
{
	sigset_t all, old;
	int rc;

	if (c->n_waiting < c->n_threads || c->n_threads == OUTCALL_THREADS)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&c->thread[c->n_threads], NULL, outcall_main, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return c->n_threads ? 0 : -rc;
	pthread_setname_np(c->thread[c->n_threads++], "tela-outcall");
	return 0;
}

bool outcall_submit(struct control *control, struct request *r, struct outcall *call)
{
	struct outcall_pool *c = control->outcall ? control->outcall : create(control);
	int rc = c ? grow(c) : -ENOMEM;

	if (!rc && c->n_waiting >= OUTCALL_QUEUE) {
		request_fail(r, -EAGAIN, "too many calls wait already: %d", OUTCALL_QUEUE);
		return false;
	}
	if (rc) {
		request_fail(r, rc, "no thread can be made for the call: %s", strerror(-rc));
		return false;
	}
	c->n_waiting++;
	call->next = NULL;
	pthread_mutex_lock(&c->lock);
	*c->queue_last = call;
	c->queue_last = &call->next;
	pthread_cond_signal(&c->more);
	pthread_mutex_unlock(&c->lock);
	return true;
}

void outcall_poll(struct control *control)
{
	struct outcall_pool *c = control->outcall;
	struct outcall *call, *next;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	call = c->finished;
	c->finished = NULL;
	pthread_mutex_unlock(&c->lock);
	for (; call; call = next) {
		next = call->next;
		c->n_waiting--;
		call->done(call);
	}
}

bool outcall_destroy(struct control *control, uint32_t wait_ms)
{
	struct outcall_pool *c = control->outcall;
	struct timespec until;

	if (!c)
		return true;
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_broadcast(&c->more);
	pthread_mutex_unlock(&c->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * (long)NS_PER_MS;
	if (until.tv_nsec >= (long)NS_PER_S) {
		until.tv_sec++;
		until.tv_nsec -= (long)NS_PER_S;
	}
	for (uint32_t i = 0; i < c->n_threads; i++)
		if (pthread_timedjoin_np(c->thread[i], NULL, &until))
			return false;
	outcall_poll(control);
	event_free(c->wake);
	free(c);
	control->outcall = NULL;
	return true;
}

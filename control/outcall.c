#include "outcall.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

struct outcall_thread {
	struct tela_node *node;
	struct event_base *base;
	struct event *wake; /* activated from the thread: libevent was told to be safe for it */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct outcall *queue, **queue_last;
	struct outcall *finished;
	uint32_t n_waiting;
	bool ending;
};

/* ---- its thread ---- */

static void run(struct tela_thread *t, struct outcall *call)
{
	uint64_t start = control_now_ns();

	call->error = t ? tela_thread_call(t, call->client, call->method, call->payload, call->len,
				  &call->options, &call->reply)
			: -EBUSY;
	call->took_ns = control_now_ns() - start;
}

static struct outcall *take_locked(struct outcall_thread *c)
{
	struct outcall *call = c->queue;

	c->queue = call->next;
	if (!c->queue)
		c->queue_last = &c->queue;
	return call;
}

static void *outcall_main(void *arg)
{
	struct outcall_thread *c = arg;
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

static int create(struct control *control)
{
	struct outcall_thread *c = calloc(1, sizeof(*c));
	sigset_t all, old;
	int rc;

	if (!c)
		return -ENOMEM;
	c->node = control->node;
	c->queue_last = &c->queue;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->more, NULL);
	c->wake = event_new(control->base, -1, 0, on_wake, control);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = c->wake ? pthread_create(&c->thread, NULL, outcall_main, c) : ENOMEM;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc) {
		pthread_setname_np(c->thread, "tela-outcall");
		control->outcall = c;
		return 0;
	}
	if (c->wake)
		event_free(c->wake);
	free(c);
	return -rc;
}

int outcall_submit(struct control *control, struct outcall *call)
{
	int rc = control->outcall ? 0 : create(control);
	struct outcall_thread *c = control->outcall;

	if (rc)
		return rc;
	if (c->n_waiting >= OUTCALL_QUEUE)
		return -EAGAIN;
	c->n_waiting++;
	call->next = NULL;
	pthread_mutex_lock(&c->lock);
	*c->queue_last = call;
	c->queue_last = &call->next;
	pthread_cond_signal(&c->more);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

void outcall_poll(struct control *control)
{
	struct outcall_thread *c = control->outcall;
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
	struct outcall_thread *c = control->outcall;
	struct timespec until;

	if (!c)
		return true;
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_signal(&c->more);
	pthread_mutex_unlock(&c->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * (long)NS_PER_MS;
	if (until.tv_nsec >= (long)NS_PER_S) {
		until.tv_sec++;
		until.tv_nsec -= (long)NS_PER_S;
	}
	if (pthread_timedjoin_np(c->thread, NULL, &until))
		return false;
	outcall_poll(control);
	event_free(c->wake);
	free(c);
	control->outcall = NULL;
	return true;
}

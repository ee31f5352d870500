/* echo_later.c - see echo_later.h.
 *
 * A place in the ring is taken before the call goes pending, because there is no way back from
 * pending, and given back when the call is answered: so the list of waiting calls never overflows
 * either.
 */
#include "echo_later.h"

#include <time.h>

#include "echo_rpc.h"
#include "svc.h"

#define TICK_IDLE_NS (10 * NS_PER_MS) /* each tick may take a poll loop off its CPU */
#define TICK_BUSY_NS (100 * NS_PER_US)
#define ENDING_NS    (1 * NS_PER_S) /* for the calls that are left at stop */

enum tela_verdict echo_later_queue(struct echo_later *l, struct tela_call *call)
{
	struct echo_later_call *cell, c = {0};
	size_t len;

	if (!svc_ring_reserve(&l->ring))
		return tela_reply_status(call, TELA_RESOURCE_EXHAUSTED, "too many delayed calls");
	if (tela_call_pend(call, &c.handle, &c.request, &len)) {
		svc_ring_release(&l->ring, 1);
		return tela_reply_status(
			call, TELA_RESOURCE_EXHAUSTED, "no room for a pending call");
	}
	cell = svc_ring_cell(&l->ring);
	*cell = c;
	svc_ring_publish(cell);
	return TELA_PENDING;
}

/* ---- on the thread ---- */

static void take(struct echo_later *l, uint64_t now)
{
	const struct echo_later_call *c;

	while ((c = svc_ring_peek(&l->ring)) != NULL) {
		struct echo_later_call *w = &l->waiting[l->n_waiting++];

		*w = *c;
		svc_ring_pop(&l->ring);
		w->due_ns = now + echo_Delayed_delay_us(echo_Delayed_root(w->request)) * NS_PER_US;
	}
}

/* The memory a reply is built in grows to the largest one so far. */
static bool reply_room(struct echo_later *l, size_t size)
{
	uint8_t *more;

	if (size <= l->reply_size)
		return true;
	more = realloc(l->reply, size);
	if (!more)
		return false;
	l->reply = more;
	l->reply_size = size;
	return true;
}

static int answer(struct echo_later *l, const struct echo_later_call *w)
{
	struct echo_Message_args a = {.data = echo_Delayed_data(echo_Delayed_root(w->request))};
	size_t size = echo_Message_size(&a);

	if (!size || !reply_room(l, size))
		return tela_thread_answer_status(
			l->thread, w->handle, TELA_RESOURCE_EXHAUSTED, "no memory for the reply");
	echo_Message_build(l->reply, size, &a);
	return tela_thread_answer(l->thread, w->handle, l->reply, size);
}

/* Answers what is due, or everything when `ending`; what the core cannot take now (-EAGAIN,
 * -ENOMEM) stays. */
static void answer_due(struct echo_later *l, uint64_t now, bool ending)
{
	uint32_t kept = 0, done;

	for (uint32_t i = 0; i < l->n_waiting; i++) {
		const struct echo_later_call *w = &l->waiting[i];
		int rc = -EAGAIN;

		if (ending)
			rc = tela_thread_answer_status(
				l->thread, w->handle, TELA_UNAVAILABLE, "the service stops");
		else if (w->due_ns <= now)
			rc = answer(l, w);
		if (rc)
			l->waiting[kept++] = *w;
	}
	done = l->n_waiting - kept;
	l->n_waiting = kept;
	atomic_fetch_add_explicit(&l->answered, done, memory_order_relaxed);
	if (done)
		svc_ring_release(&l->ring, done);
}

static uint64_t until_next(const struct echo_later *l, uint64_t now)
{
	uint64_t wait = l->n_waiting ? TICK_BUSY_NS : TICK_IDLE_NS;

	for (uint32_t i = 0; i < l->n_waiting; i++)
		if (l->waiting[i].due_ns > now)
			wait = min_u64(wait, l->waiting[i].due_ns - now);
	return wait;
}

/* No link queues any more when the thread is told to end. */
static void answer_rest(struct echo_later *l)
{
	uint64_t start = svc_worker_now(), now = start;
	const struct timespec tick = {.tv_nsec = TICK_BUSY_NS};

	do {
		take(l, now);
		answer_due(l, now, true);
		if (!l->n_waiting)
			return;
		nanosleep(&tick, NULL);
		now = svc_worker_now();
	} while (now - start < ENDING_NS);
	atomic_fetch_add_explicit(&l->given_up, l->n_waiting, memory_order_relaxed);
}

static void run(struct svc_worker *w)
{
	struct echo_later *l = container_of(w, struct echo_later, worker);
	uint64_t now = svc_worker_now();

	errno = 0;
	l->thread = tela_thread_attach(l->node);
	svc_worker_ready(w, l->thread ? 0 : errno ? -errno : -EBUSY);
	if (!l->thread)
		return;
	while (!svc_worker_wait(w, until_next(l, now))) {
		now = svc_worker_now();
		take(l, now);
		answer_due(l, now, false);
	}
	answer_rest(l);
	tela_thread_detach(l->thread);
}

int echo_later_start(struct echo_later *l, struct tela_hook *h, uint32_t places)
{
	int rc;

	memset(l, 0, sizeof(*l));
	l->node = h->node;
	rc = svc_ring_init(&l->ring, places, sizeof(struct echo_later_call));
	if (rc)
		return svc_fail(h, rc, "no memory for %u places", places);
	l->waiting = calloc(places, sizeof(*l->waiting));
	rc = l->waiting ? svc_worker_start(&l->worker, "echo-later", run, h)
			: svc_fail(h, -ENOMEM, "no memory for %u places", places);
	if (rc) {
		free(l->waiting);
		svc_ring_fini(&l->ring);
	}
	return rc;
}

void echo_later_stop(struct echo_later *l)
{
	svc_worker_stop(&l->worker);
	free(l->reply);
	free(l->waiting);
	svc_ring_fini(&l->ring);
}

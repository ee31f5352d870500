#include "worker.h"

#include "log_put.h"
#include "nest.h"
#include "report.h"
#include "say.h"
#include "thread.h"
#include "trace.h"

#include <signal.h>
#include <sys/random.h>

struct worker {
	pthread_t thread;
	struct tela_thread *attached;
	struct worker_pool *pool;
	struct machine m; /* nothing but a pool of buffers for the links' replies */
	struct counts counts;
	struct call call;         /* in hand */
	_Atomic uint32_t running; /* chain->key of the call in hand, 0: none */
	_Atomic uint64_t taken;   /* calls so far */
	uint64_t taken_seen;      /* watchdog's */
	uint32_t silent_ms;
	bool named;
} cache_aligned;

struct worker_pool {
	struct tela_node *node;
	pthread_mutex_t lock; /* of the rings' consuming ends */
	struct wake wake;     /* of the worker that holds it */
	_Atomic bool stop;
	uint32_t n, n_running;
	uint32_t next;      /* ring to look at first */
	struct xring *ring; /* [cores] of struct call: pending, and the worker's to resume */
	struct worker worker[];
};

static __thread struct worker *worker_current;

struct tela_thread *tela_thread_self(void)
{
	return worker_current ? worker_current->attached : NULL;
}

/* ---- a core's side ---- */

enum tela_verdict worker_enter(struct tela_call *pub, void *self)
{
	struct worker_link *l = self;
	struct worker_pool *p = l->pool;
	struct core *core = core_current;
	struct call *c = call_of(pub);
	struct tela_handle h;

	if (xring_full(&p->ring[core->index])) {
		count(&core->counts, count_workers_full);
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_NOT_EXECUTED,
			"too many calls wait for a worker");
		return TELA_ANSWER;
	}
	if (tela_call_pend(pub, &h, NULL, NULL)) {
		call_status(c, TELA_RESOURCE_EXHAUSTED, TELA_NOT_EXECUTED,
			"no message buffer for a pending call");
		return TELA_ANSWER;
	}
	c->work = l;
	nest_of(c); /* for what the link calls */
	atomic_store_explicit(&c->unwanted, false, memory_order_relaxed);
	CHECK(xring_push(&p->ring[core->index], c));
	count(&core->counts, count_calls_worked);
	if (wake_up(&p->wake))
		count(&core->counts, count_wakes);
	return TELA_PENDING;
}

/* ---- a worker's side ---- */

/* For the number of a report. */
static uint64_t draw(void *io)
{
	uint64_t number = 0;

	(void)io;
	return getrandom(&number, sizeof(number), 0) == sizeof(number)
		       ? number
		       : core_clock(worker_current->pool->node->cores[0]);
}

static uint64_t now(void *io)
{
	(void)io;
	return core_clock(worker_current->pool->node->cores[0]);
}

static const struct machine_ops worker_ops = {.random = draw, .clock = now};

static void drop(struct worker *w, struct msg **msg)
{
	if (*msg)
		msgpool_put(&w->m.msgs, *msg);
	*msg = NULL;
}

/* The core must hear of it whatever happens: the call and its image are held until then. */
static void resume(struct worker *w, const struct thread_resume *r)
{
	int rc;

	do
		rc = thread_resume(w->attached, r);
	while ((rc == -EAGAIN || rc == -ENOMEM) && node_polling(w->pool->node) &&
		(thread_wait(w->attached), true));
}

static void hand_back(struct worker *w, struct call *c, enum tela_verdict v, struct tela_handle h,
	const uint8_t *request)
{
	struct call_work done = {.verdict = v};
	struct thread_resume r = {.handle = h, .op = THREAD_WORKED, .work = &done};

	if (v == TELA_PENDING) {
		done.verdict = TELA_ANSWER;
		call_status(c, TELA_INTERNAL, TELA_EXECUTED, "a blocking link said pending");
	}
	if (v != TELA_CONTINUE) {
		r.payload = c->reply;
		r.len = c->reply ? c->reply_len : 0;
	} else if (c->pub.request != request) {
		r.payload = c->pub.request;
		r.len = c->pub.request_len;
	}
	done.code = c->pub.reply_code;
	done.outcome = c->outcome;
	done.identity = c->pub.identity;
	done.subject = c->subject;
	done.has_status = c->has_status;
	done.retry_after_us = c->retry_after_us;
	done.meta = c->meta ? c->meta->data : NULL;
	done.meta_len = c->meta_len;
	done.n_meta = c->n_meta;
	done.meta_used = c->meta_used;
	resume(w, &r);
}

/* A copy of the call for the link to work on. Nobody changes `from` while it is pending. */
static struct call *copy_call(struct worker *w, const struct call *from)
{
	struct call *c = &w->call;

	memset(c, 0, sizeof(*c));
	c->pub = from->pub;
	c->machine = &w->m;
	c->chain = from->chain;
	c->image = from->image;
	c->svc = from->svc;
	c->reply_limit = from->reply_limit;
	c->subject = from->subject;
	c->one_way = from->one_way;
	c->nest = from->nest; /* no core writes there while the call is pending */
	c->request_msg = from->request_msg;
	c->envelope = from->envelope;
	c->envelope_bytes = from->envelope_bytes;
	c->envelope_len = from->envelope_len;
	if (from->meta && call_meta(c)) {
		memcpy(c->meta->data, from->meta->data, META_BYTES);
		c->meta_len = from->meta_len;
		c->n_meta = from->n_meta;
		c->meta_used = from->meta_used;
	}
	return c;
}

static void work(struct worker *w, struct core *core, const struct call *from)
{
	const struct tela_handle h = {core->index, from->index, from->generation};
	const struct worker_link *l = from->work;
	const uint8_t *request = from->pub.request;
	struct msg *nest = from->nest;
	struct call *c;

	if (atomic_load_explicit(&from->unwanted, memory_order_relaxed) ||
		core_clock(core) >= from->pub.deadline_ns) {
		resume(w, &(struct thread_resume){.handle = h,
				  .op = THREAD_STATUS,
				  .code = TELA_DEADLINE_EXCEEDED,
				  .message = "nobody waits any more",
				  .skipped = true});
		return;
	}
	c = copy_call(w, from);
	atomic_store_explicit(&w->running, c->chain->key, memory_order_relaxed);
	hand_back(w, c, l->enter(&c->pub, l->self), h, request);
	atomic_store_explicit(&w->running, 0, memory_order_relaxed);
	drop(w, &c->reply_msg);
	drop(w, &c->arena);
	drop(w, &c->meta);
	if (c->nest != nest)
		drop(w, &c->nest);
}

static struct call *look(struct worker_pool *p, struct core **ret_core)
{
	for (uint32_t i = 0; i < p->node->n_cores; i++) {
		uint32_t at = p->next++ % p->node->n_cores;
		struct call *c = xring_pop(&p->ring[at]);

		*ret_core = p->node->cores[at];
		if (c)
			return c;
	}
	return NULL;
}

static bool idle(const struct worker_pool *p)
{
	for (uint32_t i = 0; i < p->node->n_cores; i++)
		if (!xring_empty(&p->ring[i]))
			return false;
	return !atomic_load(&p->stop);
}

/* With the lock. NULL: it is time to end. */
static struct call *wait_for_work(struct worker_pool *p, struct core **ret_core)
{
	while (!atomic_load(&p->stop)) {
		struct call *c = look(p, ret_core);

		if (c)
			return c;
		wake_prepare(&p->wake);
		if (idle(p))
			wake_sleep(&p->wake, NS_PER_S);
		else
			wake_cancel(&p->wake);
	}
	return NULL;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct worker_pool *p = w->pool;
	struct core *core = NULL;
	struct call *c;

	worker_current = w;
	for (;;) {
		pthread_mutex_lock(&p->lock);
		c = wait_for_work(p, &core);
		pthread_mutex_unlock(&p->lock);
		if (!c)
			break;
		atomic_fetch_add(&w->taken, 1);
		work(w, core, c);
	}
	tela_thread_detach(w->attached);
	return NULL;
}

/* ---- images ---- */

static bool blocks(const struct tela_image_link *l)
{
	return l->link->enter && (l->blocking || l->link->blocking);
}

struct tela_image *worker_build(struct tela_service *s, const struct tela_image_link *links,
	uint32_t n_links, char *err, size_t err_len)
{
	struct tela_image_link all[IMAGE_LINKS_MAX];
	struct tela_link own[IMAGE_LINKS_MAX];
	struct worker_link *work = calloc(IMAGE_LINKS_MAX, sizeof(*work));
	struct tela_image *image = NULL;
	uint32_t n = 0;

	if (!work) {
		say(err, err_len, 0, "out of memory");
		return NULL;
	}
	for (uint32_t i = 0; i < n_links; i++) {
		const struct tela_image_link *l = &links[i];
		bool two = blocks(l) && l->link->leave;

		if (blocks(l) && !s->node->workers) {
			say(err, err_len, 0,
				"plugin %s blocks, but the node has no workers: set node.workers",
				l->plugin);
			goto out;
		}
		if (n + two >= IMAGE_LINKS_MAX) {
			say(err, err_len, 0, "more than %d links in one service", IMAGE_LINKS_MAX);
			goto out;
		}
		all[n] = *l;
		/* Its leave hook runs on the core, with the link's own state: a link before it. */
		if (two) {
			own[n] = *l->link;
			own[n].enter = NULL;
			all[n].link = &own[n];
			all[++n] = *l;
		}
		if (blocks(l)) {
			work[n] = (struct worker_link){s->node->workers, l->link->enter, l->self};
			own[n] = *l->link;
			own[n].enter = worker_enter;
			own[n].leave = NULL;
			all[n].link = &own[n];
			all[n].self = &work[n];
		}
		n++;
	}
	image = image_build(s, s->node->n_cores, all, n, err, err_len);
out:
	if (image)
		image->extra = work;
	else
		free(work);
	return image;
}

/* ---- start and stop ---- */

static void give_up(struct worker *w)
{
	msgpool_fini(&w->m.msgs);
	report_ring_free(w->m.reports);
	report_ring_free(w->m.traces);
}

static int start_one(struct worker_pool *p, struct worker *w, pthread_attr_t *attr)
{
	static const uint32_t buffers[MSG_CLASSES] = {8, 4, 4};
	sigset_t all, old;
	int rc;

	w->pool = p;
	w->m.counts = &w->counts;
	w->m.cfg.budgets.retained_kib = UINT32_MAX / 1024;
	w->m.ops = &worker_ops;
	w->m.reports = report_ring_create();
	w->m.traces = report_ring_create();
	if (!w->m.reports || !w->m.traces || msgpool_init(&w->m.msgs, buffers)) {
		report_ring_free(w->m.reports);
		report_ring_free(w->m.traces);
		return -ENOMEM;
	}
	w->attached = tela_thread_attach(p->node);
	if (!w->attached) {
		rc = -errno;
		give_up(w);
		return rc;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	rc = -pthread_create(&w->thread, attr, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		tela_thread_detach(w->attached);
		give_up(w);
	} else {
		pthread_setname_np(w->thread, "tela-worker");
	}
	return rc;
}

int workers_start(struct tela_node *n, uint32_t n_workers)
{
	size_t bytes = sizeof(struct worker_pool) + n_workers * sizeof(struct worker);
	struct worker_pool *p = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) & ~63ull);
	cpu_set_t housekeeping;
	pthread_attr_t attr;
	int rc = 0;

	if (!p)
		return -ENOMEM;
	memset(p, 0, bytes);
	n->workers = p;
	p->node = n;
	pthread_mutex_init(&p->lock, NULL);
	p->wake.fd = -1;
	p->ring = aligned_alloc(CACHE_LINE, n->n_cores * sizeof(*p->ring));
	if (!p->ring || wake_init(&p->wake))
		return -ENOMEM;
	memset(p->ring, 0, n->n_cores * sizeof(*p->ring));
	pthread_attr_init(&attr);
	if (node_housekeeping(n, &housekeeping))
		pthread_attr_setaffinity_np(&attr, sizeof(housekeeping), &housekeeping);
	for (uint32_t i = 0; i < n_workers && !rc; i++) {
		rc = start_one(p, &p->worker[i], &attr);
		p->n += !rc;
		p->n_running = p->n;
	}
	pthread_attr_destroy(&attr);
	return rc;
}

void workers_stop(struct tela_node *n)
{
	struct worker_pool *p = n->workers;

	if (!p)
		return;
	atomic_store(&p->stop, true);
	wake_up(&p->wake);
	while (p->n_running)
		pthread_join(p->worker[--p->n_running].thread, NULL);
}

void workers_free(struct tela_node *n)
{
	struct worker_pool *p = n->workers;

	if (!p)
		return;
	for (uint32_t i = 0; i < p->n; i++)
		give_up(&p->worker[i]);
	wake_fini(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->ring);
	free(p);
	n->workers = NULL;
}

void workers_poll(struct tela_node *n)
{
	for (uint32_t i = 0; n->workers && i < n->workers->n; i++)
		report_drain(n->workers->worker[i].m.reports, 0, n->on_report, n->on_report_arg);
}

void workers_drain_traces(struct tela_node *n, uint64_t offset_ns)
{
	for (uint32_t i = 0; n->workers && i < n->workers->n; i++)
		trace_drain(
			n->workers->worker[i].m.traces, offset_ns, n->on_trace, n->on_trace_arg);
}

uint64_t workers_counted(const struct tela_node *n, enum count_id id)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; n->workers && i < n->workers->n; i++)
		sum += count_read(&n->workers->worker[i].counts, id);
	return sum;
}

uint32_t tela_service_working(const struct tela_service *s)
{
	const struct worker_pool *p = s->node->workers;
	uint32_t n = 0;

	for (uint32_t i = 0; p && i < p->n; i++)
		n += atomic_load_explicit(&p->worker[i].running, memory_order_relaxed) >> 16 ==
		     s->index + 1;
	return n;
}

uint32_t tela_node_workers_busy(const struct tela_node *n)
{
	uint32_t busy = 0;

	for (uint32_t i = 0; n->workers && i < n->workers->n; i++)
		busy += atomic_load(&n->workers->worker[i].running) != 0;
	return busy;
}

void workers_watch(struct tela_node *n, uint32_t tick_ms)
{
	struct worker_pool *p = n->workers;

	for (uint32_t i = 0; p && i < p->n; i++) {
		struct worker *w = &p->worker[i];
		uint32_t key = atomic_load_explicit(&w->running, memory_order_relaxed);
		uint64_t taken = atomic_load(&w->taken);
		char name[TELA_RUNNING_MAX];

		if (!key || taken != w->taken_seen) {
			w->taken_seen = taken;
			w->silent_ms = 0;
			w->named = false;
			continue;
		}
		w->silent_ms += tick_ms;
		if (w->silent_ms < n->stall_warn_ms || w->named)
			continue;
		w->named = true;
		count(&n->cores[0]->counts, count_worker_stalls); /* the watchdog's word alone */
		node_running_name(n, key, name);
		node_log(n, TELA_LOG_WARN, "worker %u has run %s for %u ms", i, name, w->silent_ms);
	}
}

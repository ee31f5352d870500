/* log.c - a line for each call, written away from the data cores.
 *
 * Hooks:   request_in, enter (notes the time) and leave (puts a record into a ring). A full ring
 * drops the record and counts it; nothing ever waits. A thread of the instance turns records into
 *          lines, at most `rate` a second. Durations have the resolution of a core's pass: a call
 *          that is answered in the pass that received it takes 0.
 */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "log_line.h"
#include "call_starts.h"
#include "svc.h"
#include "svc_ring.h"
#include "svc_worker.h"

enum { BATCH_BYTES = 16384, QUEUE_MAX = 65536, RATE_MAX = 1000000 };

#define TICK_NS (10 * NS_PER_MS)

struct options {
	const char *file;
	uint32_t rate, repeats, queue, request;
};

struct log {
	struct svc_ring ring; /* of struct log_record */
	struct svc_worker worker;
	struct call_starts *starts; /* one for each core */
	struct call_starts *asked;  /* likewise: where `kept` of its call is; NULL: not asked for */
	uint32_t most;              /* bytes of a request, 0: none */
	struct svc_count *dropped;  /* the same */
	uint32_t n_cores;
	const struct tela_service_desc *schema;
	/* The thread's own. */
	struct log_rate rate;
	struct log_repeats repeats;
	int fd;
	bool fd_is_ours;
	char service[TELA_NAME_MAX + 1];
	size_t batch_len;
	char batch[BATCH_BYTES];
	_Atomic uint64_t lines, suppressed, repeated, write_errors;
};

/* ---- on a data core ---- */

/* The beginning of a request, in its call's arena: leave must not read the request itself. */
struct kept {
	uint32_t len;
	uint8_t bytes[];
};

static void keep_request(struct log *l, struct call_starts *asked, struct tela_call *call)
{
	/* One in segments is bytes, of which there is nothing to print. */
	const uint32_t len = call->request ? min_u32(call->request_len, l->most) : 0;
	struct kept *k = tela_call_alloc(call, sizeof(*k) + len);

	if (!k)
		return;
	k->len = len;
	if (len)
		memcpy(k->bytes, call->request, len);
	call_starts_set(asked, call, (uintptr_t)k);
}

static void put_request(
	struct call_starts *asked, const struct tela_call *call, struct log_record *r)
{
	const struct kept *k;
	uint64_t at;

	if (!call_starts_take(asked, call, &at))
		return;
	k = (const struct kept *)(uintptr_t)at;
	r->type = call->method->request;
	r->kept = (uint16_t)k->len;
	memcpy(r->request, k->bytes, k->len);
}

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	struct log *l = self;
	struct tela_core *core = tela_call_core(call);

	call_starts_set(&l->starts[tela_core_index(core)], call, tela_core_now(core));
	if (unlikely(l->most))
		keep_request(l, &l->asked[tela_core_index(core)], call);
	return TELA_CONTINUE;
}

static void leave(struct tela_call *call, void *self)
{
	struct log *l = self;
	struct tela_core *core = tela_call_core(call);
	struct log_record *r;
	uint64_t duration = LOG_NO_TIME, began;

	if (call_starts_take(&l->starts[tela_core_index(core)], call, &began))
		duration = tela_core_now(core) - began;
	if (!svc_ring_reserve(&l->ring)) {
		svc_count_up(svc_count_of(l->dropped, call));
		return;
	}
	r = svc_ring_cell(&l->ring);
	*r = (struct log_record){
		.duration_ns = duration,
		.request_bytes = call->request_len,
		.method = call->method->id,
		.code = call->reply_code,
	};
	if (unlikely(call->context != NULL)) {
		r->trace[0] = call->context->trace[0];
		r->trace[1] = call->context->trace[1];
		r->span = call->context->span;
	}
	if (unlikely(l->most))
		put_request(&l->asked[tela_core_index(core)], call, r);
	svc_ring_publish(r);
}

/* ---- on the thread ---- */

static void flush(struct log *l)
{
	size_t at = 0;

	while (at < l->batch_len) {
		ssize_t n = write(l->fd, l->batch + at, l->batch_len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			atomic_fetch_add_explicit(&l->write_errors, 1, memory_order_relaxed);
			break; /* the rest of this batch is lost, the next one is tried again */
		}
		at += (size_t)n;
	}
	l->batch_len = 0;
}

/* `number`: room for it, for a method that has no name. */
static const char *method_of(const struct log *l, uint16_t id, char number[8])
{
	for (uint32_t i = 0; i < l->schema->n_methods; i++)
		if (l->schema->methods[i].id == id)
			return l->schema->methods[i].name;
	snprintf(number, 8, "%u", id);
	return number;
}

static void write_line(struct log *l, const struct log_record *r, const struct timespec *now)
{
	char *line, number[8];
	size_t len;

	if (l->batch_len + LOG_LINE_MAX + LOG_REQUEST_MAX > sizeof(l->batch))
		flush(l);
	line = l->batch + l->batch_len;
	len = log_line(line, l->service, method_of(l, r->method, number), r, now);
	if (l->most)
		len = log_line_request(line, len, r, l->most);
	l->batch_len += len;
}

static void write_repeated(struct log *l, const struct timespec *now)
{
	char number[8];

	for (int i = 0; i < LOG_REPEATS; i++) {
		struct log_repeat *at = &l->repeats.at[i];

		if (at->repeated) {
			if (l->batch_len + LOG_LINE_MAX > sizeof(l->batch))
				flush(l);
			l->batch_len += log_line_repeated(l->batch + l->batch_len, l->service,
				method_of(l, (uint16_t)(at->key >> 8), number), (uint8_t)at->key,
				at->repeated, now);
		}
		*at = (struct log_repeat){0};
	}
}

/* What is in the ring now; one round is bounded by its size. */
static void drain(struct log *l)
{
	const struct log_record *r;
	uint64_t mono = svc_worker_now();
	struct timespec now;
	uint32_t budget = l->ring.mask + 1;

	clock_gettime(CLOCK_REALTIME, &now);
	if (log_repeats_due(&l->repeats, mono))
		write_repeated(l, &now);
	for (; budget && (r = svc_ring_peek(&l->ring)) != NULL; budget--) {
		if (!log_repeats_take(&l->repeats, r)) {
			atomic_fetch_add_explicit(&l->repeated, 1, memory_order_relaxed);
		} else if (log_rate_take(&l->rate, mono)) {
			write_line(l, r, &now);
			atomic_fetch_add_explicit(&l->lines, 1, memory_order_relaxed);
		} else {
			atomic_fetch_add_explicit(&l->suppressed, 1, memory_order_relaxed);
		}
		svc_ring_pop(&l->ring);
		svc_ring_release(&l->ring, 1);
	}
	flush(l);
}

static void run(struct svc_worker *w)
{
	struct log *l = container_of(w, struct log, worker);

	svc_worker_ready(w, 0);
	while (!svc_worker_wait(w, TICK_NS))
		drain(l);
	drain(l);
	l->repeats.second = UINT64_MAX; /* what was repeated last is told too */
	drain(l);
}

/* ---- hooks ---- */

static void destroy(struct log *l)
{
	if (l->fd_is_ours)
		close(l->fd);
	svc_ring_fini(&l->ring);
	free(l->starts);
	free(l->asked);
	free(l->dropped);
	free(l);
}

static int open_file(struct tela_hook *h, struct log *l, const char *file)
{
	l->fd = STDERR_FILENO;
	if (!file)
		return 0;
	l->fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (l->fd < 0)
		return svc_fail(h, -errno, "file: cannot append to %s: %s", file, strerror(errno));
	l->fd_is_ours = true;
	return 0;
}

static int make(struct tela_hook *h, struct log *l, const struct options *o)
{
	l->n_cores = tela_node_n_cores(h->node);
	l->rate.per_second = o->rate;
	l->repeats.most = o->repeats;
	l->schema = h->schema;
	snprintf(l->service, sizeof(l->service), "%s", h->service);
	l->starts = calloc(l->n_cores, sizeof(*l->starts));
	l->dropped = svc_counts_create(l->n_cores);
	l->most = o->request;
	if (l->most)
		l->asked = calloc(l->n_cores, sizeof(*l->asked));
	if (!l->starts || !l->dropped || (l->most && !l->asked) ||
		svc_ring_init(&l->ring, o->queue, (uint32_t)sizeof(struct log_record) + l->most))
		return svc_fail(h, -ENOMEM, "no memory");
	return open_file(h, l, o->file);
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct log *l = svc_zalloc(sizeof(*l));
	int rc;

	if (!l)
		return svc_fail(h, -ENOMEM, "no memory");
	rc = make(h, l, h->values);
	if (!rc)
		rc = svc_worker_start(&l->worker, "log", run, h);
	if (rc)
		destroy(l);
	else
		*ret_self = l;
	return rc;
}

static void stop(struct tela_hook *h)
{
	struct log *l = h->self;

	svc_worker_stop(&l->worker);
	destroy(l);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct log *l = self;

	emit(arg, "lines", atomic_load_explicit(&l->lines, memory_order_relaxed));
	emit(arg, "dropped", svc_counts_sum(l->dropped, l->n_cores));
	emit(arg, "repeated", atomic_load_explicit(&l->repeated, memory_order_relaxed));
	emit(arg, "suppressed", atomic_load_explicit(&l->suppressed, memory_order_relaxed));
	emit(arg, "write_errors", atomic_load_explicit(&l->write_errors, memory_order_relaxed));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, file,
		.help = "appended to, made if need be; standard error unless given"),
	TELA_CONFIG(struct options, rate, .min = 1, .max = RATE_MAX, .unit = "lines/s",
		.fallback = "1000", .help = "most lines; the others are counted"),
	TELA_CONFIG(struct options, repeats, .max = RATE_MAX, .unit = "lines/s", .fallback = "100",
		.help = "most of one method and code, then only their number; 0: all"),
	TELA_CONFIG(struct options, queue, .min = 1, .max = QUEUE_MAX, .power_of_two = true,
		.fallback = "4096", .help = "records on their way to the thread"),
	TELA_CONFIG(struct options, request, .min = 16, .max = LOG_REQUEST_MAX, .unit = "bytes",
		.help = "say what was asked, as JSON, of so many bytes; unless given, it is not"),
};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .enter = enter, .leave = leave},
};

const struct tela_plugin log_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "log",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(log_plugin);

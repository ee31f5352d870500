/* log_put.c - lines on their way; see tela_log.h.
 *
 * A core's lines go through its own ring, all others' through one of the node, made when it is
 * first needed. A record is what report.h says, its `kind` the level, its text a head, the plugin's
 * name, and the line as log_pack.h has it.
 */
#include "log_put.h"

#include "call.h"
#include "log_pack.h"
#include "node.h"
#include "report.h"

struct tela_log {
	struct tela_node *node;
	const struct tela_service *service;
	char plugin[TELA_NAME_MAX + 1];
};

struct head {
	uint64_t at_ns, trace[2], span;
};

_Static_assert(sizeof(struct head) + TELA_NAME_MAX + 1 + LOG_PACKED_MIN <= REPORT_TEXT_MAX, "fits");

static bool wanted(const struct tela_service *s, enum tela_log_level level)
{
	return (unsigned)level <= atomic_load_explicit(&s->log_level, memory_order_relaxed);
}

/* ---- one line ---- */

struct line {
	enum tela_log_level level;
	const char *service, *method, *plugin; /* "": none */
	const struct tela_context *context;    /* or NULL */
	uint32_t dpdk;                         /* type of DPDK's line, from 1; 0: it is none */
};

/* As the rings have it. */
enum { KIND_LEVELS = 4, KIND_DPDK_MAX = UINT16_MAX / KIND_LEVELS };

static unsigned kind_of(const struct line *l)
{
	return (unsigned)l->level + KIND_LEVELS * min_u32(l->dpdk, KIND_DPDK_MAX);
}

static size_t pack(uint8_t to[REPORT_TEXT_MAX], uint64_t at_ns, const struct line *l,
	const char *format, va_list args)
{
	const struct tela_context *c = l->context;
	struct head h = {.at_ns = at_ns};
	size_t n = sizeof(h), len = strnlen(l->plugin, TELA_NAME_MAX);

	if (c) {
		h.trace[0] = c->trace[0];
		h.trace[1] = c->trace[1];
		h.span = c->span;
	}
	memcpy(to, &h, sizeof(h));
	memcpy(to + n, l->plugin, len);
	to[n + len] = 0;
	n += len + 1;
	return n + log_pack(to + n, REPORT_TEXT_MAX - n, format, args);
}

static void put_from_core(struct machine *m, const struct line *l, const char *format, va_list args)
{
	uint8_t bytes[REPORT_TEXT_MAX];
	size_t len = pack(bytes, m->now_ns, l, format, args);

	if (!report_put(m->logs, kind_of(l), l->service, l->method, bytes, len))
		count(m->counts, count_logs_lost);
}

static struct report_ring *ring_locked(struct tela_node *n)
{
	struct report_ring *r = atomic_load_explicit(&n->logs, memory_order_relaxed);

	if (r)
		return r;
	r = report_ring_create();
	/* Pairs with node_log_drain(): the ring is seen made. */
	atomic_store_explicit(&n->logs, r, memory_order_release);
	return r;
}

static void put_from_thread(
	struct tela_node *n, const struct line *l, const char *format, va_list args)
{
	uint8_t bytes[REPORT_TEXT_MAX];
	size_t len = pack(bytes, core_clock(n->cores[0]), l, format, args);
	struct report_ring *r;

	pthread_mutex_lock(&n->logs_lock);
	r = ring_locked(n);
	if (!r || !report_put(r, kind_of(l), l->service, l->method, bytes, len))
		atomic_fetch_add_explicit(&n->logs_lost, 1, memory_order_relaxed);
	pthread_mutex_unlock(&n->logs_lock);
}

/* ---- of calls ---- */

bool tela_log_wanted(const struct tela_call *call, enum tela_log_level level)
{
	const struct tela_service *s = call_of(call)->svc;

	return s && wanted(s, level);
}

void tela_log_write(
	const struct tela_call *call, enum tela_log_level level, const char *format, ...)
{
	struct call *c = call_of(call);
	const struct line l = {level, call->service->name, call->method->name, "", call->context};
	va_list args;

	va_start(args, format);
	if (c->machine->logs)
		put_from_core(c->machine, &l, format, args);
	else if (c->svc) /* a worker's */
		put_from_thread(c->svc->node, &l, format, args);
	va_end(args);
}

/* ---- of instances ---- */

struct tela_log *tela_log_create(struct tela_service *s, const char *plugin)
{
	struct tela_log *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->node = s->node;
	l->service = s;
	snprintf(l->plugin, sizeof(l->plugin), "%s", plugin);
	return l;
}

void tela_log_free(struct tela_log *l)
{
	free(l);
}

bool tela_log_wanted_of(const struct tela_log *log, enum tela_log_level level)
{
	return wanted(log->service, level);
}

void tela_log_write_of(const struct tela_log *log, const struct tela_log_about *about,
	enum tela_log_level level, const char *format, ...)
{
	const struct line l = {level, log->service->desc->name,
		about && about->method ? about->method : "", log->plugin,
		about ? about->context : NULL};
	va_list args;

	va_start(args, format);
	if (core_current)
		put_from_core(&core_current->m, &l, format, args);
	else
		put_from_thread(log->node, &l, format, args);
	va_end(args);
}

void tela_service_log_level(struct tela_service *s, enum tela_log_level level)
{
	atomic_store_explicit(&s->log_level, (uint32_t)level, memory_order_relaxed);
}

/* ---- of the node ---- */

void node_log(struct tela_node *n, enum tela_log_level level, const char *format, ...)
{
	static const int syslog_priority[] = {3, 4, 6, 7};
	const struct line l = {level, "", "", "", NULL};
	char text[LOG_TEXT_MAX];
	va_list args;

	va_start(args, format);
	if (n->on_log) {
		put_from_thread(n, &l, format, args);
	} else {
		vsnprintf(text, sizeof(text), format, args);
		fprintf(stderr, "<%d>%s: %s\n", syslog_priority[level], n->name, text);
	}
	va_end(args);
}

static void put_dpdk(struct tela_node *n, const struct line *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (core_current)
		put_from_core(&core_current->m, l, format, args);
	else
		put_from_thread(n, l, format, args);
	va_end(args);
}

void log_put_dpdk(struct tela_node *n, const struct tela_log_line *l)
{
	const struct line line = {l->level, "", "", "", NULL, (uint32_t)l->place};

	put_dpdk(n, &line, "%.*s", (int)l->text_len, l->text);
}

/* ---- the control side ---- */

void tela_node_on_log(struct tela_node *n, tela_log_fn fn, void *arg)
{
	n->on_log = fn;
	n->on_log_arg = arg;
}

struct drain {
	const struct tela_node *node;
	uint64_t offset_ns;
};

static void drain_one(void *arg, const struct tela_report *r)
{
	const struct drain *d = arg;
	const uint8_t *packed = (const uint8_t *)r->text + sizeof(struct head);
	const char *plugin = (const char *)packed;
	unsigned dpdk = r->kind / KIND_LEVELS;
	char text[LOG_TEXT_MAX];
	struct head h;
	size_t len;

	memcpy(&h, r->text, sizeof(h));
	packed += strlen(plugin) + 1;
	len = r->text_len - (size_t)(packed - (const uint8_t *)r->text);
	d->node->on_log(d->node->on_log_arg,
		&(struct tela_log_line){.at_ns = h.at_ns + d->offset_ns,
			.level = (enum tela_log_level)(r->kind % KIND_LEVELS),
			.component = dpdk ? LOG_DPDK : NULL,
			.core = r->core,
			.service = r->service,
			.plugin = plugin,
			.method = r->method,
			.trace = {h.trace[0], h.trace[1]},
			.span = h.span,
			.text = text,
			.text_len = log_unpack(text, sizeof(text), packed, len),
			.place = dpdk ? dpdk : log_packed_place(packed, len)});
}

void node_log_drain(struct tela_node *n, uint64_t offset_ns)
{
	struct report_ring *r = atomic_load_explicit(&n->logs, memory_order_acquire);
	struct drain d = {n, offset_ns};

	for (uint32_t i = 0; i < n->n_cores && n->cores[i] && n->cores[i]->m.logs; i++)
		report_drain(n->cores[i]->m.logs, i, n->on_log ? drain_one : NULL, &d);
	if (r)
		report_drain(r, UINT32_MAX, n->on_log ? drain_one : NULL, &d);
}

uint64_t node_logs_lost(const struct tela_node *n)
{
	return atomic_load_explicit(&n->logs_lost, memory_order_relaxed);
}

void node_log_free(struct tela_node *n)
{
	report_ring_free(atomic_load_explicit(&n->logs, memory_order_relaxed));
	pthread_mutex_destroy(&n->logs_lock);
}

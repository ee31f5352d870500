#include "trace.h"

#include "nest.h"
#include "report.h"
#include "status.h"

#include <sys/random.h>

/* In a record's text, before the text itself. */
struct head {
	uint64_t at_ns, trace[2], span, above;
	uint8_t span_kind, code, result, reserved[5];
};

_Static_assert(sizeof(struct head) + TRACE_TEXT_MAX <= REPORT_TEXT_MAX, "it fits");

/* `name` and `more`: two parts of a name, with a point between if there are two. */
static void put(struct machine *m, enum tela_trace_op op, struct head h, const char *name,
	const char *more, const char *text)
{
	uint8_t bytes[sizeof(h) + TRACE_TEXT_MAX];
	size_t len = text ? strnlen(text, TRACE_TEXT_MAX) : 0;

	h.at_ns = machine_clock(m);
	memcpy(bytes, &h, sizeof(h));
	if (len)
		memcpy(bytes + sizeof(h), text, len);
	if (op == TELA_TRACE_BEGIN)
		count(m->counts, count_spans);
	if (!report_put(m->traces, op, name, more, bytes, sizeof(h) + len))
		count(m->counts, count_trace_lost);
}

static struct head head_of(const struct tela_context *c)
{
	return (struct head){.trace = {c->trace[0], c->trace[1]}, .span = c->span};
}

uint64_t trace_id(struct machine *m)
{
	uint64_t id = m->ops->random(m->io);

	return id ? id : 1;
}

/* ---- calls made ---- */

void trace_out(struct machine *m, const struct tela_context *context, uint64_t above,
	const struct tela_service_desc *service, const struct tela_method_desc *method)
{
	struct head h = head_of(context);

	h.above = above;
	h.span_kind = TELA_SPAN_OUT;
	put(m, TELA_TRACE_BEGIN, h, service->name, method->name, NULL);
}

void trace_out_end(
	struct machine *m, const uint8_t *body, uint32_t envelope_len, const struct tela_result *r)
{
	struct tela_status_view s;
	frame_Trace t;
	struct head h;
	char name[TELA_STATUS_NAME_MAX + 1];

	if (envelope_is_bound(body, envelope_len) ||
		!frame_Envelope_trace(frame_Envelope_root(body), &t) ||
		!(t.flags & TELA_TRACE_SAMPLED))
		return;
	h = (struct head){.span = t.span, .code = r->code};
	envelope_id_words(&t.trace, h.trace);
	tela_result_status(r, &s);
	h.result = s.kind;
	memcpy(name, s.name.s, min_u64(s.name.len, TELA_STATUS_NAME_MAX));
	name[min_u64(s.name.len, TELA_STATUS_NAME_MAX)] = 0;
	put(m, TELA_TRACE_END, h, name, "", r->outcome ? tela_outcome_name(r->outcome) : NULL);
}

/* ---- calls served ---- */

/* What is handed on; of a call that is sampled, so it is there. */
static struct nest *nest_in(const struct tela_call *call)
{
	return (struct nest *)(uintptr_t)container_of(call->context, struct nest, context);
}

bool tela_trace_begin(const struct tela_call *call)
{
	struct call *c = call_of(call);
	struct nest *n = call->context ? NULL : nest_of(c);

	if (!n)
		return false;
	n->context.trace[0] = trace_id(c->machine);
	n->context.trace[1] = trace_id(c->machine);
	n->context.span = 0;
	n->context.trace_flags = TELA_TRACE_SAMPLED;
	c->pub.context = &n->context;
	return true;
}

static struct tela_span begin(const struct tela_call *call, enum tela_span_kind kind,
	const char *name, const char *more, const char *text)
{
	struct machine *m = call_of(call)->machine;
	struct nest *n = nest_in(call);
	struct head h = head_of(&n->context);
	struct tela_span s = {trace_id(m), h.span};

	h.above = s.above;
	h.span = n->context.span = s.id;
	h.span_kind = kind;
	put(m, TELA_TRACE_BEGIN, h, name, more, text);
	return s;
}

void tela_trace_enter(const struct tela_call *call)
{
	if (tela_call_sampled(call))
		nest_in(call)->own = begin(call, TELA_SPAN_IN, call->service->name,
			call->method->name, tela_call_subject(call))
					     .id;
}

void tela_trace_leave(const struct tela_call *call)
{
	struct call *c = call_of(call);
	struct head h;

	if (!tela_call_sampled(call) || !nest_in(call)->own)
		return;
	h = head_of(call->context);
	h.span = nest_in(call)->own;
	h.code = call->reply_code;
	h.result = (uint8_t)tela_reply_kind(call);
	put(c->machine, TELA_TRACE_END, h, status_name(c), "", NULL);
}

struct tela_span tela_span_begin(const struct tela_call *call, const char *name)
{
	if (!tela_call_sampled(call))
		return (struct tela_span){0};
	return begin(call, TELA_SPAN_OWN, name, "", NULL);
}

void tela_span_end(const struct tela_call *call, struct tela_span s)
{
	struct head h;

	if (!s.id || !tela_call_sampled(call))
		return;
	h = head_of(call->context);
	h.span = s.id;
	h.result = TELA_KIND_OK;
	nest_in(call)->context.span = s.above;
	put(call_of(call)->machine, TELA_TRACE_END, h, "", "", NULL);
}

static void say(
	const struct tela_call *call, enum tela_trace_op op, const char *name, const char *text)
{
	if (tela_call_sampled(call))
		put(call_of(call)->machine, op, head_of(call->context), name, "", text);
}

void tela_span_event(const struct tela_call *call, const char *name, const char *text)
{
	say(call, TELA_TRACE_EVENT, name, text);
}

void tela_span_attribute(const struct tela_call *call, const char *key, const char *value)
{
	say(call, TELA_TRACE_ATTRIBUTE, key, value);
}

void tela_span_error(const struct tela_call *call, const char *why)
{
	say(call, TELA_TRACE_ERROR, "", why);
}

/* ---- elsewhere ---- */

void tela_trace_new(struct tela_context *ret)
{
	*ret = (struct tela_context){.deadline_ns = UINT64_MAX, .trace_flags = TELA_TRACE_SAMPLED};
	while (getrandom(ret->root, sizeof(ret->root), 0) != sizeof(ret->root))
		;
	while (getrandom(ret->trace, sizeof(ret->trace), 0) != sizeof(ret->trace))
		;
	ret->root[1] |= 1;
	ret->trace[1] |= 1;
}

struct drain {
	uint64_t offset_ns;
	tela_trace_fn fn;
	void *arg;
};

static void drain_one(void *arg, const struct tela_report *r)
{
	const struct drain *d = arg;
	char name[256];
	struct head h;

	memcpy(&h, r->text, sizeof(h));
	snprintf(name, sizeof(name), "%s%s%s", r->service, *r->method ? "." : "", r->method);
	d->fn(d->arg, &(struct tela_trace_event){.at_ns = h.at_ns + d->offset_ns,
			      .trace = {h.trace[0], h.trace[1]},
			      .span = h.span,
			      .above = h.above,
			      .op = (enum tela_trace_op)r->kind,
			      .span_kind = h.span_kind,
			      .code = h.code,
			      .result = h.result,
			      .name = name,
			      .text = r->text + sizeof(h)});
}

void trace_drain(struct report_ring *r, uint64_t offset_ns, tela_trace_fn fn, void *arg)
{
	struct drain d = {offset_ns, fn, arg};

	report_drain(r, 0, fn ? drain_one : NULL, &d);
}

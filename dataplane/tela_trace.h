/* tela_trace.h - spans: what was done for a call whose trace is sampled, where, and for how long.
 *
 * A trace is a tree of spans over many nodes, with W3C's identifiers (trace-context: 16 bytes, 8,
 * and a byte of flags). Whoever begins it decides whether it is sampled; everybody else goes along:
 * calls made with a parent carry the context (tela.h, struct tela_context). Each of them has an
 * *out* span where it is made, by the library, and an *in* span where it is served, by the plugin
 * tracer; services open spans of their own below.
 *
 * What is said of a span goes through a bounded ring of the core to the control side, which keeps
 * the latest (telactl trace); what finds the ring full is counted (trace_lost). Names and texts are
 * copied, names up to 127 bytes and texts up to 255. In a call that is not sampled all of this does
 * nothing and costs a test or two.
 *
 * All of it is for links, completions and tasks on the call's core, and for blocking links. [core]
 */
#pragma once

#include "tela.h"

#ifdef __cplusplus
extern "C" {
#endif

enum tela_span_kind {
	TELA_SPAN_OWN, /* of a service or plugin */
	TELA_SPAN_IN,  /* a call being served */
	TELA_SPAN_OUT, /* a call being made */
};

static inline bool tela_call_sampled(const struct tela_call *call)
{
	return call->context && call->context->trace_flags & TELA_TRACE_SAMPLED;
}

/* Opens a span in the call, below the one that is open; calls made for it from now on belong to
 * this one. Ended in reverse order, at the latest by the call's end. */
struct tela_span {
	uint64_t id, above; /* 0: not sampled */
};
struct tela_span tela_span_begin(const struct tela_call *call, const char *name);
void tela_span_end(const struct tela_call *call, struct tela_span s);

/* Of the span that is open in the call: something happened; a value; it failed. `text` may be
 * NULL. */
void tela_span_event(const struct tela_call *call, const char *name, const char *text);
void tela_span_attribute(const struct tela_call *call, const char *key, const char *value);
void tela_span_error(const struct tela_call *call, const char *why);

/* ---- for whoever traces ---- */

/* The call is the root of a sampled trace from here on. False: no memory, or it has a trace. */
bool tela_trace_begin(const struct tela_call *call);
/* The call's own span; the leave hook ends it with what the reply says. */
void tela_trace_enter(const struct tela_call *call);
void tela_trace_leave(const struct tela_call *call);
/* A sampled trace to be begun by a call made with this context. [any] */
void tela_trace_new(struct tela_context *ret);
/* Of the calls that the thread makes from now on without a parent or a context, one in so many
 * begins a sampled trace; 0: none, as when it was attached. The core that executes the call tells
 * its span. [thread] */
void tela_thread_sample(struct tela_thread *t, uint32_t one_in);

#ifdef __cplusplus
}
#endif

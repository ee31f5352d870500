/* trace.h - from a machine to whoever keeps spans; see tela_trace.h.
 *
 * Nothing is kept of a span here but its id, in the context that is handed on: its beginning, its
 * end and what is said of it are records of a ring, in order, and the control side puts them
 * together.
 */
#pragma once

#include "machine.h"
#include "tela_node.h"
#include "tela_trace.h"

enum { TRACE_TEXT_MAX = 255 };

/* A span's id. */
uint64_t trace_id(struct machine *m);
/* The span in `context`, of a call that is made, below span `above`. */
void trace_out(struct machine *m, const struct tela_context *context, uint64_t above,
	const struct tela_service_desc *service, const struct tela_method_desc *method);
/* It ended; `body` is its request. */
void trace_out_end(
	struct machine *m, const uint8_t *body, uint32_t envelope_len, const struct tela_result *r);
/* Hands out what is there, its times moved on by `offset_ns`. */
void trace_drain(struct report_ring *r, uint64_t offset_ns, tela_trace_fn fn, void *arg);

/* report.h - from a data core to the control side: a bounded ring of records, dropped and counted
 * when full. A record names no memory that a plugin might take along.
 *
 * Context: the core puts, the control thread drains.
 */
#pragma once

#include "tela_node.h"
#include "base.h"

enum { REPORT_BYTES = 64 << 10, REPORT_TEXT_MAX = 1024 };

struct report_ring;

/* NULL: out of memory. */
struct report_ring *report_ring_create(void);
void report_ring_free(struct report_ring *r);
/* All is copied, `text` up to REPORT_TEXT_MAX. `kind`: the ring's users agree on it. False: full. */
bool report_put(struct report_ring *r, unsigned kind, const char *service, const char *method,
	const void *text, size_t len);
/* Hands out what is there; `fn` NULL: lets it go. */
void report_drain(struct report_ring *r, uint32_t core, tela_report_fn fn, void *arg);

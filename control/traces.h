/* traces.h - the latest spans that this node has recorded, for whoever asks.
 *
 * What cores and workers tell of spans (tela_node_on_trace) is put together here: TRACES_SPANS of
 * them are kept, a newer one takes the place of the oldest. A span whose beginning was lost is
 * shown without a name, one without an end is open. An exporter would take its spans from here as
 * they end.
 *
 * Context: control thread. */
#pragma once

#include <jansson.h>

#include "control.h"

enum {
	TRACES_SPANS = 8192,
	TRACES_DETAILS =
		32, /* events, attributes and errors of one span: further ones are counted */
	TRACES_LIST_MAX = 200,
};

struct traces;

/* Listens to the node of `c`. NULL: no memory. */
struct traces *traces_create(struct control *c);
void traces_free(struct traces *t);
/* The latest traces, newest first, at most `limit`: id, first span, how many, how long, errors. */
json_t *traces_list(const struct traces *t, uint32_t limit);
/* The spans of the trace whose id begins with `id`, at least 4 hexadecimal digits, in order of
 * their beginning. NULL with `err` and errno: EINVAL (no such digits), ENOENT (none, or several
 * traces), ENOMEM. */
json_t *traces_show(const struct traces *t, const char *id, char *err, size_t err_len);
/* "4bf92f3577b34da6a3ce929d0e0e4736". */
enum { TRACE_ID_TEXT = 33 };
void trace_id_text(const uint64_t id[2], char ret[TRACE_ID_TEXT]);

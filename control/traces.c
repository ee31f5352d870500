#include "traces.h"

#include "../dataplane/tela_trace.h"

#include <ctype.h>
#include <inttypes.h>

enum { BUCKETS = 2 * TRACES_SPANS, NONE = UINT32_MAX };

enum { NAME_MAX_BYTES = 160 };

struct span {
	uint64_t trace[2], id, above;
	uint64_t began_ns, ended_ns; /* since 1970, 0: not told */
	uint32_t next;               /* in its bucket */
	uint32_t n_details, n_unkept;
	uint8_t kind, code, result;
	bool used, error;
	char name[NAME_MAX_BYTES], status[64];
	json_t *details; /* in order; NULL: none */
};

struct traces {
	struct tela_node *node;
	uint64_t n; /* spans ever */
	uint32_t *bucket;
	struct span *span;
};

void trace_id_text(const uint64_t id[2], char ret[TRACE_ID_TEXT])
{
	snprintf(ret, TRACE_ID_TEXT, "%016" PRIx64 "%016" PRIx64, id[0], id[1]);
}

/* ---- what comes in ---- */

static uint32_t *bucket_of(const struct traces *t, uint64_t id)
{
	return &t->bucket[(id * 0x9e3779b97f4a7c15ull >> 32) % BUCKETS];
}

static struct span *find(const struct traces *t, const struct tela_trace_event *e)
{
	uint32_t at = *bucket_of(t, e->span);

	while (at != NONE && (t->span[at].id != e->span || t->span[at].trace[0] != e->trace[0] ||
				     t->span[at].trace[1] != e->trace[1]))
		at = t->span[at].next;
	return at == NONE ? NULL : &t->span[at];
}

static void forget(struct traces *t, struct span *s)
{
	uint32_t *at = bucket_of(t, s->id), me = (uint32_t)(s - t->span);

	while (*at != me)
		at = &t->span[*at].next;
	*at = s->next;
	json_decref(s->details);
}

/* A new one in the place of the oldest. */
static struct span *enter(struct traces *t, const struct tela_trace_event *e)
{
	uint32_t me = (uint32_t)(t->n++ % TRACES_SPANS), *bucket;
	struct span *s = &t->span[me];

	if (s->used)
		forget(t, s);
	bucket = bucket_of(t, e->span);
	*s = (struct span){
		.trace = {e->trace[0], e->trace[1]}, .id = e->span, .used = true, .next = *bucket};
	*bucket = me;
	return s;
}

static json_t *text_json(const char *s)
{
	json_t *text = json_string(s);

	return text ? text : json_string("?"); /* not UTF-8 */
}

static void detail(struct span *s, const char *what, const struct tela_trace_event *e)
{
	json_t *d;

	if (s->n_details == TRACES_DETAILS) {
		s->n_unkept++;
		return;
	}
	s->n_details++;
	if (!s->details)
		s->details = json_array();
	d = json_pack("{s:o,s:I}", what, text_json(e->op == TELA_TRACE_ERROR ? e->text : e->name),
		"at_ns", (json_int_t)e->at_ns);
	if (e->op != TELA_TRACE_ERROR && *e->text)
		json_object_set_new(
			d, e->op == TELA_TRACE_EVENT ? "text" : "value", text_json(e->text));
	json_array_append_new(s->details, d);
}

static void end(struct span *s, const struct tela_trace_event *e)
{
	s->ended_ns = e->at_ns;
	s->code = e->code;
	s->result = e->result;
	s->error |= e->result == TELA_KIND_ERROR;
	snprintf(s->status, sizeof(s->status), "%s", e->name);
}

static void told(void *arg, const struct tela_trace_event *e)
{
	struct traces *t = arg;
	struct span *s = find(t, e);

	if (!s)
		s = enter(t, e);
	switch (e->op) {
	case TELA_TRACE_BEGIN:
		s->above = e->above;
		s->kind = e->span_kind;
		s->began_ns = e->at_ns;
		snprintf(s->name, sizeof(s->name), "%s", e->name);
		if (*e->text) {
			struct tela_trace_event by = *e;

			by.op = TELA_TRACE_ATTRIBUTE;
			by.name = "subject";
			detail(s, "attribute", &by);
		}
		return;
	case TELA_TRACE_END:
		end(s, e);
		return;
	case TELA_TRACE_EVENT:
		detail(s, "event", e);
		return;
	case TELA_TRACE_ATTRIBUTE:
		detail(s, "attribute", e);
		return;
	case TELA_TRACE_ERROR:
		s->error = true;
		detail(s, "error", e);
		return;
	}
}

/* ---- what goes out ---- */

static const struct span *nth(const struct traces *t, uint64_t i)
{
	return &t->span[i % TRACES_SPANS];
}

static uint64_t first(const struct traces *t)
{
	return t->n > TRACES_SPANS ? t->n - TRACES_SPANS : 0;
}

static bool same(const struct span *a, const struct span *b)
{
	return a->trace[0] == b->trace[0] && a->trace[1] == b->trace[1];
}

struct sum {
	const struct span *top; /* that began first */
	uint64_t from_ns, to_ns;
	uint32_t spans, errors, open;
};

static void add(struct sum *sum, const struct span *s)
{
	uint64_t to = s->ended_ns ? s->ended_ns : s->began_ns;

	if (!sum->top || (s->began_ns && s->began_ns < sum->from_ns)) {
		sum->top = s;
		sum->from_ns = s->began_ns;
	}
	if (to > sum->to_ns)
		sum->to_ns = to;
	sum->spans++;
	sum->errors += s->error;
	sum->open += !s->ended_ns;
}

static json_t *sum_json(const struct sum *s)
{
	char id[TRACE_ID_TEXT];
	json_t *o;

	trace_id_text(s->top->trace, id);
	o = json_pack("{s:s,s:o,s:i,s:i,s:I,s:I}", "trace", id, "name", text_json(s->top->name),
		"spans", (int)s->spans, "errors", (int)s->errors, "began_ns",
		(json_int_t)s->from_ns, "took_ns", (json_int_t)(s->to_ns - s->from_ns));
	json_object_set_new(o, "open", json_integer(s->open));
	return o;
}

/* The spans of a trace stand near each other, so looking them up again is short. */
json_t *traces_list(const struct traces *t, uint32_t limit)
{
	bool *seen = calloc(TRACES_SPANS, sizeof(*seen));
	json_t *list = seen ? json_array() : NULL;

	for (uint64_t i = t->n; list && i-- > first(t) && json_array_size(list) < limit;) {
		struct sum sum = {0};

		if (seen[i % TRACES_SPANS])
			continue;
		for (uint64_t k = i + 1; k-- > first(t);) {
			if (!same(nth(t, k), nth(t, i)))
				continue;
			seen[k % TRACES_SPANS] = true;
			add(&sum, nth(t, k));
		}
		json_array_append_new(list, sum_json(&sum));
	}
	free(seen);
	return list;
}

static json_t *span_json(const struct traces *t, const struct span *s)
{
	static const char *const kinds[] = {"own", "in", "out"};
	char trace[TRACE_ID_TEXT], id[17], above[17];
	json_t *o;

	snprintf(id, sizeof(id), "%016" PRIx64, s->id);
	snprintf(above, sizeof(above), "%016" PRIx64, s->above);
	trace_id_text(s->trace, trace);
	o = json_pack("{s:s,s:s,s:s*,s:s,s:s,s:o,s:I}", "trace", trace, "span", id, "above",
		s->above ? above : NULL, "node", tela_node_name(t->node), "kind",
		s->kind < ARRAY_SIZE(kinds) ? kinds[s->kind] : "?", "name",
		text_json(s->name[0] ? s->name : "(lost)"), "began_ns", (json_int_t)s->began_ns);
	if (s->ended_ns) {
		json_object_set_new(o, "took_ns",
			json_integer(s->ended_ns > s->began_ns && s->began_ns
					     ? (json_int_t)(s->ended_ns - s->began_ns)
					     : 0));
		if (s->kind != TELA_SPAN_OWN)
			json_object_set_new(o, "result", json_string(tela_kind_name(s->result)));
		if (s->status[0])
			json_object_set_new(o, "status", text_json(s->status));
		if (s->code)
			json_object_set_new(o, "code", json_string(tela_code_name(s->code)));
	}
	if (s->error)
		json_object_set_new(o, "error", json_true());
	if (s->details)
		json_object_set(o, "details", s->details);
	if (s->n_unkept)
		json_object_set_new(o, "details_left_out", json_integer(s->n_unkept));
	return o;
}

static bool begins_with(const struct span *s, const char *id)
{
	char text[TRACE_ID_TEXT];

	trace_id_text(s->trace, text);
	return !strncasecmp(text, id, strlen(id));
}

static int by_beginning(const void *a, const void *b)
{
	const struct span *const *x = a, *const *y = b;

	if ((*x)->began_ns != (*y)->began_ns)
		return (*x)->began_ns < (*y)->began_ns ? -1 : 1;
	return *x < *y ? -1 : 1;
}

json_t *traces_show(const struct traces *t, const char *id, char *err, size_t err_len)
{
	size_t len = strlen(id), n = 0;
	const struct span **found;
	json_t *spans;

	if (len < 4 || len > 32 || strspn(id, "0123456789abcdefABCDEF") != len) {
		snprintf(err, err_len, "trace: expected 4 to 32 hexadecimal digits, found '%.40s'",
			id);
		errno = EINVAL;
		return NULL;
	}
	found = calloc(TRACES_SPANS, sizeof(*found));
	if (!found) {
		snprintf(err, err_len, "out of memory");
		errno = ENOMEM;
		return NULL;
	}
	for (uint64_t i = first(t); i < t->n; i++)
		if (begins_with(nth(t, i), id))
			found[n++] = nth(t, i);
	spans = n ? json_array() : NULL;
	if (!n)
		snprintf(err, err_len, "no trace's id begins with %s: the latest %d spans are kept",
			id, TRACES_SPANS);
	qsort(found, n, sizeof(*found), by_beginning);
	for (size_t i = 0; i < n; i++) {
		if (!same(found[i], found[0])) {
			snprintf(err, err_len, "the ids of several traces begin with %s", id);
			json_decref(spans);
			spans = NULL;
			break;
		}
		json_array_append_new(spans, span_json(t, found[i]));
	}
	free(found);
	errno = ENOENT;
	return spans;
}

/* ---- create, free ---- */

struct traces *traces_create(struct control *c)
{
	struct traces *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->node = c->node;
	t->span = calloc(TRACES_SPANS, sizeof(*t->span)); /* its pages are touched when used */
	t->bucket = malloc(BUCKETS * sizeof(*t->bucket));
	if (!t->span || !t->bucket) {
		traces_free(t);
		return NULL;
	}
	memset(t->bucket, 0xff, BUCKETS * sizeof(*t->bucket));
	tela_node_on_trace(c->node, told, t);
	return t;
}

void traces_free(struct traces *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; t->span && i < TRACES_SPANS; i++)
		json_decref(t->span[i].details);
	free(t->span);
	free(t->bucket);
	free(t);
}

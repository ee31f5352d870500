/* hash.c - see hash.h. Types are numbered as they are first met, from the methods by id and the
 * fields by id on, so that neither their names nor their places in the file count.
 */
#include "hash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct walk {
	const struct schema *s;
	uint64_t hash;
	uint32_t *objects, *enums; /* number given, 0: not met */
	const struct object **queue;
	const struct enumeration **enum_queue;
	uint32_t n_objects, n_enums;
};

static void mix(struct walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void mix(struct walk *w, const char *format, ...)
{
	char text[1024];
	va_list args;
	const char *p;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (p = text; *p; p++)
		w->hash = (w->hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
}

static void mix_name(struct walk *w, const char *name)
{
	for (; *name; name++)
		w->hash = (w->hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	mix(w, "\n");
}

static uint32_t meet(struct walk *w, const struct object *o)
{
	uint32_t *number = &w->objects[o - w->s->objects];

	if (!*number) {
		w->queue[w->n_objects] = o;
		*number = ++w->n_objects;
	}
	return *number;
}

static uint32_t meet_enum(struct walk *w, const struct enumeration *e)
{
	uint32_t *number = &w->enums[e - w->s->enums];

	if (!*number) {
		w->enum_queue[w->n_enums] = e;
		*number = ++w->n_enums;
	}
	return *number;
}

static void mix_type(struct walk *w, const struct type *t)
{
	const struct object *o = type_object(w->s, t);
	const struct enumeration *e = type_enum(w->s, t), *u = type_union(w->s, t);

	mix(w, " %d %d", (int)t->base, (int)t->element);
	if (t->length)
		mix(w, " of %u", t->length);
	if (o)
		mix(w, " object %" PRIu32, meet(w, o));
	if (e || u)
		mix(w, " enum %" PRIu32, meet_enum(w, e ? e : u));
}

static void mix_object(struct walk *w, const struct object *o)
{
	size_t i;

	mix(w, "%s %" PRIu32 " %" PRIu32 "\n", o->is_struct ? "struct" : "table", o->size,
		o->align);
	if (schema_identifier(w->s, o))
		mix(w, "identifier %s\n", schema_identifier(w->s, o));
	for (i = 0; i < o->n_fields; i++) {
		const struct field *f = &o->fields[i];

		mix(w, "%u %u", f->id, f->offset);
		mix_type(w, &f->type);
		if (f->nested)
			mix(w, " nested %" PRIu32, meet(w, f->nested));
		mix(w, " %" PRId64 " %a %d %d%s%s\n", f->default_integer, f->default_real,
			f->required, f->deprecated,
			base_is_scalar(f->type.base) && f->optional ? " optional" : "",
			f->key ? " key" : "");
	}
}

static int by_value(const void *a, const void *b)
{
	const int64_t x = (*(const struct enum_value *const *)a)->value;
	const int64_t y = (*(const struct enum_value *const *)b)->value;

	return (x > y) - (x < y);
}

static void mix_enum(struct walk *w, const struct enumeration *e)
{
	const struct enum_value **values = calloc(e->n_values + 1, sizeof(*values));
	size_t i;

	if (!values)
		abort();
	for (i = 0; i < e->n_values; i++)
		values[i] = &e->values[i];
	qsort(values, e->n_values, sizeof(*values), by_value);
	mix(w, "enum %d %d\n", (int)e->base, e->bit_flags);
	for (i = 0; i < e->n_values; i++) {
		mix(w, "%" PRId64, values[i]->value);
		if (e->is_union)
			mix_type(w, &values[i]->type);
		mix(w, "\n");
	}
	free(values);
}

uint64_t hash_service(const struct schema *s, const struct service *v)
{
	struct walk w = {.s = s, .hash = UINT64_C(0xcbf29ce484222325)};
	uint32_t i, k;

	w.objects = calloc(s->n_objects + 1, sizeof(*w.objects));
	w.enums = calloc(s->n_enums + 1, sizeof(*w.enums));
	w.queue = calloc(s->n_objects + 1, sizeof(*w.queue));
	w.enum_queue = calloc(s->n_enums + 1, sizeof(*w.enum_queue));
	if (!w.objects || !w.enums || !w.queue || !w.enum_queue)
		abort();
	mix_name(&w, v->name);
	for (i = 0; i < v->n_methods; i++) {
		const struct method *m = &v->methods[i];

		mix_name(&w, m->name);
		mix(&w, "%u", m->id);
		if (m->streaming)
			mix(&w, " streaming %d", (int)m->streaming);
		if (m->request_bytes || m->response_bytes)
			mix(&w, " bytes %d", m->request_bytes + 2 * m->response_bytes);
		mix(&w, " %" PRIu32, meet(&w, m->request));
		mix(&w, " %" PRIu32 "\n", meet(&w, m->response));
	}
	for (i = k = 0; i < w.n_objects || k < w.n_enums;) { /* both grow meanwhile */
		if (i < w.n_objects)
			mix_object(&w, w.queue[i++]);
		else
			mix_enum(&w, w.enum_queue[k++]);
	}
	free(w.objects);
	free(w.enums);
	free(w.queue);
	free(w.enum_queue);
	return w.hash;
}

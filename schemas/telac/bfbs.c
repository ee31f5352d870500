/* bfbs.c - bounded reader of reflection buffers; see bfbs.h.
 *
 * A cursor that has failed stays failed and answers 0, NULL or empty to everything, so callers look
 * at it where they must rather than after each step. The slots below are those of reflection.fbs.
 */
#include "bfbs.h"
#include "bfbs_cursor.h"
#include "bfbs_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct texts read_texts(struct cursor *c, uint32_t table, unsigned slot)
{
	struct elements e = cursor_vector(c, table, slot);
	struct texts t = {NULL, e.n};
	size_t i;

	t.lines = schema_alloc(c->schema, e.n + 1, sizeof(*t.lines));
	for (i = 0; i < e.n; i++)
		t.lines[i] = cursor_string_at(c, cursor_element(c, &e, i));
	return t;
}

static struct attributes read_attributes(struct cursor *c, uint32_t table, unsigned slot)
{
	struct elements e = cursor_vector(c, table, slot);
	struct attributes a = {NULL, e.n};
	size_t i;

	a.at = schema_alloc(c->schema, e.n + 1, sizeof(*a.at));
	for (i = 0; i < e.n; i++) {
		const uint32_t pair = cursor_table(c, cursor_element(c, &e, i));

		a.at[i].key = cursor_string(c, pair, 4);
		a.at[i].value = cursor_string(c, pair, 6);
	}
	return a;
}

static struct type read_type(struct cursor *c, uint32_t at)
{
	struct type t = {BASE_NONE, BASE_NONE, -1, 0};
	const uint64_t base = cursor_scalar(c, at, 4, 1, 0),
		       element = cursor_scalar(c, at, 6, 1, 0);

	if (!at || base >= BASE_COUNT || element >= BASE_COUNT) {
		cursor_fail(c, "a type is missing or unknown");
		return t;
	}
	t.base = (enum base)base;
	t.element = (enum base)element;
	t.index = (int32_t)(uint32_t)cursor_scalar(c, at, 8, 4, UINT32_MAX);
	t.length = (uint16_t)cursor_scalar(c, at, 10, 2, 0);
	return t;
}

static void read_enum(struct cursor *c, uint32_t at, struct enumeration *e)
{
	struct elements values = cursor_vector(c, at, 6);
	size_t i;

	e->name = cursor_string(c, at, 4);
	e->file = cursor_string(c, at, 16);
	e->is_union = cursor_scalar(c, at, 8, 1, 0);
	e->base = read_type(c, cursor_child(c, at, 10)).base;
	const struct attributes a = read_attributes(c, at, 12);
	e->bit_flags = attribute_find(&a, "bit_flags") != NULL;
	e->docs = read_texts(c, at, 14);
	e->n_values = values.n;
	e->values = schema_alloc(c->schema, values.n + 1, sizeof(*e->values));
	for (i = 0; i < values.n; i++) {
		const uint32_t v = cursor_table(c, cursor_element(c, &values, i));

		e->values[i].name = cursor_string(c, v, 4);
		e->values[i].value = (int64_t)cursor_scalar(c, v, 6, 8, 0);
		if (e->is_union)
			e->values[i].type = read_type(c, cursor_child(c, v, 10));
		e->values[i].docs = read_texts(c, v, 12);
	}
}

static void read_field(struct cursor *c, uint32_t at, struct field *f)
{
	const uint64_t real = cursor_scalar(c, at, 14, 8, 0);

	f->name = cursor_string(c, at, 4);
	f->type = read_type(c, cursor_child(c, at, 6));
	f->id = (uint16_t)cursor_scalar(c, at, 8, 2, 0);
	f->offset = (uint16_t)cursor_scalar(c, at, 10, 2, 0);
	f->default_integer = (int64_t)cursor_scalar(c, at, 12, 8, 0);
	memcpy(&f->default_real, &real, sizeof(real));
	f->deprecated = cursor_scalar(c, at, 16, 1, 0);
	f->required = cursor_scalar(c, at, 18, 1, 0);
	f->key = cursor_scalar(c, at, 20, 1, 0);
	f->attributes = read_attributes(c, at, 22);
	f->docs = read_texts(c, at, 24);
	f->optional = cursor_scalar(c, at, 26, 1, 0);
}

static int by_id(const void *a, const void *b)
{
	return ((const struct field *)a)->id - ((const struct field *)b)->id;
}

static void read_object(struct cursor *c, uint32_t at, struct object *o)
{
	struct elements fields = cursor_vector(c, at, 6);
	size_t i;

	o->name = cursor_string(c, at, 4);
	o->file = cursor_string(c, at, 18);
	o->is_struct = cursor_scalar(c, at, 8, 1, 0);
	o->align = (uint32_t)cursor_scalar(c, at, 10, 4, 0);
	o->size = (uint32_t)cursor_scalar(c, at, 12, 4, 0);
	o->attributes = read_attributes(c, at, 14);
	o->docs = read_texts(c, at, 16);
	o->n_fields = fields.n;
	o->fields = schema_alloc(c->schema, fields.n + 1, sizeof(*o->fields));
	for (i = 0; i < fields.n; i++)
		read_field(c, cursor_table(c, cursor_element(c, &fields, i)), &o->fields[i]);
	if (!c->why)
		qsort(o->fields, o->n_fields, sizeof(*o->fields), by_id);
}

/* The declared object of the name that the table in this slot has. */
static const struct object *read_reference(struct cursor *c, uint32_t table, unsigned slot)
{
	struct schema *s = c->schema;
	const char *name = cursor_string(c, cursor_child(c, table, slot), 4);
	size_t low = 0, high = s->n_objects;

	/* flatc sorts objects by name; model_check() has seen that it did */
	while (low < high) {
		const size_t mid = (low + high) / 2;
		const int order = strcmp(name, s->objects[mid].name);

		if (!order)
			return &s->objects[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	cursor_fail(c, "a request, a response or the root is a table that is not declared");
	return NULL;
}

static void read_service(struct cursor *c, uint32_t at, struct service *v)
{
	struct elements calls = cursor_vector(c, at, 6);
	size_t i;

	v->name = cursor_string(c, at, 4);
	v->docs = read_texts(c, at, 10);
	v->file = cursor_string(c, at, 12);
	v->n_methods = calls.n;
	v->methods = schema_alloc(c->schema, calls.n + 1, sizeof(*v->methods));
	for (i = 0; i < calls.n; i++) {
		const uint32_t call = cursor_table(c, cursor_element(c, &calls, i));
		struct method *m = &v->methods[i];

		m->name = cursor_string(c, call, 4);
		m->request = read_reference(c, call, 6);
		m->response = read_reference(c, call, 8);
		m->attributes = read_attributes(c, call, 10);
		m->docs = read_texts(c, call, 12);
	}
}

static void read_types(struct cursor *c, uint32_t root)
{
	struct schema *s = c->schema;
	struct elements objects = cursor_vector(c, root, 4), enums = cursor_vector(c, root, 6);
	size_t i;

	s->ident = cursor_string(c, root, 8);
	s->n_enums = enums.n;
	s->enums = schema_alloc(s, enums.n + 1, sizeof(*s->enums));
	for (i = 0; i < enums.n; i++)
		read_enum(c, cursor_table(c, cursor_element(c, &enums, i)), &s->enums[i]);
	s->n_objects = objects.n;
	s->objects = schema_alloc(s, objects.n + 1, sizeof(*s->objects));
	for (i = 0; i < objects.n; i++)
		read_object(c, cursor_table(c, cursor_element(c, &objects, i)), &s->objects[i]);
}

static void read_services(struct cursor *c, uint32_t root)
{
	struct schema *s = c->schema;
	struct elements services = cursor_vector(c, root, 14);
	size_t i;

	if (cursor_child(c, root, 12))
		s->root = read_reference(c, root, 12);
	s->n_services = services.n;
	s->services = schema_alloc(s, services.n + 1, sizeof(*s->services));
	for (i = 0; i < services.n; i++)
		read_service(c, cursor_table(c, cursor_element(c, &services, i)), &s->services[i]);
}

int bfbs_read(struct schema *s, const uint8_t *data, size_t len, const char **ret_why)
{
	struct cursor c = {.schema = s};
	const uint32_t root = cursor_start(&c, data, len);

	read_types(&c, root);
	if (!c.why)
		c.why = model_check_types(s);
	if (!c.why)
		read_services(&c, root);
	if (!c.why)
		c.why = model_check_services(s);
	if (!c.why)
		return 0;
	*ret_why = c.why;
	return -EBADMSG;
}

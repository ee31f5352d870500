/* check.c - see check.h. */
#include "check.h"
#include "names.h"
#include "share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
	struct schema *s;
	unsigned refused;
};

/* `name` and, unless NULL, its `part`: the declaration's full name. */
static void refuse(
	struct check *c, const char *file, const char *name, const char *part, const char *why)
{
	const char *slash = strrchr(file, '/');

	if (slash)
		file = slash + 1;
	fprintf(stderr, "%s: %s%s%s: %s\n", *file ? file : c->s->file, name, part ? "." : "",
		part ? part : "", why);
	c->refused++;
}

/* Attributes that change what stands in the buffer or what may be done with it. */
static const char *attribute_reason(const struct field *f)
{
	if (attribute_find(&f->attributes, "flexbuffer"))
		return "telac does not cover `flexbuffer`: nothing would verify what is inside";
	if (attribute_find(&f->attributes, "shared") && f->type.base != BASE_STRING)
		return "`shared` is for strings";
	return NULL;
}

/* A number from 1 to `max` and nothing around it; 0 if it is none. */
static uint32_t number(const char *text, uint32_t max)
{
	unsigned long v;
	char *end;

	if (*text < '0' || *text > '9')
		return 0;
	errno = 0;
	v = strtoul(text, &end, 10);
	return errno || *end || v > max ? 0 : (uint32_t)v;
}

static const char *align_reason(struct field *f)
{
	const char *align = attribute_find(&f->attributes, "force_align");

	if (!align)
		return NULL;
	f->force_align = (uint16_t)number(align, ALIGN_MAX);
	if (!f->force_align || (f->force_align & (f->force_align - 1)))
		return "`force_align` is not a power of two up to 256";
	if (f->type.base != BASE_VECTOR)
		return "`force_align` is for structs and vectors";
	return NULL;
}

/* As flatc looks names up: in the namespace of `scope`, then in those around it. */
static const struct object *find_object(const struct schema *s, const char *scope, const char *name)
{
	size_t n = strlen(scope), i;

	for (;;) {
		while (n && scope[n - 1] != '.')
			n--;
		for (i = 0; i < s->n_objects; i++) {
			const char *full = s->objects[i].name;

			if (!strncmp(full, scope, n) && !strcmp(full + n, name))
				return &s->objects[i];
		}
		if (!n)
			return NULL;
		n--;
	}
}

static const char *nested_reason(struct check *c, const struct object *o, struct field *f)
{
	const char *name = attribute_find(&f->attributes, "nested_flatbuffer");

	if (!name)
		return NULL;
	f->nested = find_object(c->s, o->name, name);
	if (!f->nested || f->nested->is_struct)
		return "what `nested_flatbuffer` names is no table";
	if (field_kind(c->s, f) != KIND_BYTES)
		return "`nested_flatbuffer` is for [ubyte]";
	return NULL;
}

static const char *key_reason(const struct object *o, const struct field *f)
{
	if (o->key)
		return "a second `key`";
	if (f->type.base != BASE_STRING &&
		(!base_is_scalar(f->type.base) || f->type.base == BASE_UTYPE))
		return "a `key` is a scalar or a string";
	if (f->deprecated || (f->optional && f->type.base != BASE_STRING))
		return "a `key` must always be there";
	return NULL;
}

static void check_object(struct check *c, struct object *o)
{
	size_t i;

	o->shared_vtable = !o->is_struct && attribute_find(&o->attributes, "shared_vtable");
	for (i = 0; i < o->n_fields; i++) {
		struct field *f = &o->fields[i];
		const char *why = attribute_reason(f);

		if (!why)
			why = align_reason(f);
		if (!why)
			why = nested_reason(c, o, f);
		if (f->key && !why)
			why = key_reason(o, f);
		if (f->key)
			o->key = f;
		f->shared = attribute_find(&f->attributes, "shared") != NULL;
		if (why)
			refuse(c, o->file, o->name, f->name, why);
	}
}

static void check_streaming(struct check *c, const struct service *v, struct method *m)
{
	static const char *const words[] = {"none", "client", "server", "bidi"};
	const char *streaming = attribute_find(&m->attributes, "streaming");
	unsigned i;

	if (!streaming)
		return;
	for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(streaming, words[i]))
			continue;
		m->streaming = (enum streaming)i;
		if (i)
			refuse(c, v->file, v->name, m->name,
				schema_format(c->s,
					"telac does not make code for methods that stream (%s) yet",
					words[i]));
		return;
	}
	refuse(c, v->file, v->name, m->name, "streaming is none, client, server or bidi");
}

/* What is bytes has a type all the same, as flatc wants one: a table of nothing, so that nobody
 * takes it for what is sent. */
static void check_bytes(struct check *c, const struct service *v, struct method *m)
{
	const char *bytes = attribute_find(&m->attributes, "bytes");
	const bool both = bytes && !strcmp(bytes, "both");
	const struct object *o;

	m->request_bytes = both || (bytes && !strcmp(bytes, "request"));
	m->response_bytes = both || (bytes && !strcmp(bytes, "response"));
	m->segments = attribute_find(&m->attributes, "segments") != NULL;
	if (bytes && !m->request_bytes && !m->response_bytes)
		refuse(c, v->file, v->name, m->name, "bytes is request, response or both");
	else if (m->segments && !m->request_bytes)
		refuse(c, v->file, v->name, m->name,
			"segments are of a request that is bytes (bytes: \"request\", or "
			"\"both\")");
	for (int i = 0; i < 2; i++) {
		o = i ? m->response : m->request;
		if ((i ? m->response_bytes : m->request_bytes) && o->n_fields)
			refuse(c, v->file, v->name, m->name,
				schema_format(c->s,
					"its %s is bytes, and %s has fields: a table without any "
					"stands for bytes",
					i ? "response" : "request", o->name));
	}
}

static void check_method(struct check *c, const struct service *v, struct method *m)
{
	const char *id = attribute_find(&m->attributes, "method_id");
	const char *deadline = attribute_find(&m->attributes, "deadline_us");

	m->id = (uint16_t)number(id ? id : "", UINT16_MAX);
	m->deadline_us = number(deadline ? deadline : "", UINT32_MAX);
	m->idempotent = attribute_find(&m->attributes, "idempotent") != NULL;
	check_bytes(c, v, m);
	if (!id)
		refuse(c, v->file, v->name, m->name,
			"no method_id: it names the method on the wire, e.g. (method_id: \"1\")");
	else if (!m->id)
		refuse(c, v->file, v->name, m->name, "method_id is not a number from 1 to 65535");
	if (deadline && !m->deadline_us)
		refuse(c, v->file, v->name, m->name,
			"deadline_us is not a number from 1 to 4294967295");
}

static int by_method_id(const void *a, const void *b)
{
	return ((const struct method *)a)->id - ((const struct method *)b)->id;
}

static void check_methods(struct check *c, struct service *v)
{
	size_t i;

	for (i = 0; i < v->n_methods; i++)
		check_method(c, v, &v->methods[i]);
	qsort(v->methods, v->n_methods, sizeof(*v->methods), by_method_id);
	for (i = 1; i < v->n_methods; i++) {
		if (v->methods[i].id && v->methods[i].id == v->methods[i - 1].id)
			refuse(c, v->file, v->name, v->methods[i].name,
				schema_format(c->s, "method_id %u is that of %s too",
					v->methods[i].id, v->methods[i - 1].name));
	}
}

unsigned check_services(struct schema *s)
{
	struct check c = {.s = s};
	size_t i;

	for (i = 0; i < s->n_services; i++)
		check_methods(&c, &s->services[i]);
	return c.refused;
}

static void check_coverage(struct check *c, const struct service *v)
{
	size_t i;

	if (!v->n_methods)
		refuse(c, v->file, v->name, NULL, "a service without methods");
	for (i = 0; i < v->n_methods; i++)
		check_streaming(c, v, &v->methods[i]);
}

/* A header includes those of the files that its schema includes, so these must do without it. */
static void check_includes(struct check *c, const struct object *o)
{
	size_t i;

	for (i = 0; i < o->n_fields && !schema_owns(c->s, o->file); i++) {
		const struct field *f = &o->fields[i];
		const struct object *inner = type_object(c->s, &f->type);
		const struct enumeration *u = type_union(c->s, &f->type);

		if ((inner && schema_owns(c->s, inner->file)) || (u && schema_owns(c->s, u->file)))
			refuse(c, o->file, o->name, f->name,
				schema_format(c->s,
					"telac does not cover files that need each other: "
					"this type is declared in %s",
					c->s->file));
	}
}

/* Fields of a table stand by falling alignment, so that none needs padding, then by id. */
static void order_fields(struct schema *s, struct object *o)
{
	uint32_t align;
	size_t i;

	o->order = schema_alloc(s, o->n_fields + 1, sizeof(*o->order));
	for (align = ALIGN_MAX; align; align /= 2) {
		for (i = 0; i < o->n_fields; i++) {
			if (!o->fields[i].deprecated && field_align(s, &o->fields[i]) == align)
				o->order[o->n_order++] = (uint16_t)i;
		}
	}
}

unsigned check_schema(struct schema *s)
{
	struct check c = {.s = s};
	const char *name, *why;
	size_t i;

	if (*s->ident && s->root && !schema_owns(s, s->root->file))
		refuse(&c, s->file, s->root->name, NULL,
			"a root_type with a file_identifier must be declared in the same file");
	for (i = 0; i < s->n_objects; i++)
		check_object(&c, &s->objects[i]);
	for (i = 0; i < s->n_objects; i++)
		check_includes(&c, &s->objects[i]);
	for (i = 0; i < s->n_services; i++)
		check_coverage(&c, &s->services[i]);
	c.refused += check_services(s);
	if (c.refused)
		return c.refused;
	for (i = 0; i < s->n_objects; i++) {
		if (!s->objects[i].is_struct)
			order_fields(s, &s->objects[i]);
	}
	share_find(s);
	why = names_assign(s, &name);
	if (why)
		refuse(&c, s->file, name, NULL, why);
	return c.refused;
}

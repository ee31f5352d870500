/* schema.c - memory of a schema, and questions that several others ask of it. */
#include "schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
	struct chunk *next;
	max_align_t bytes[];
};

void *schema_alloc(struct schema *s, size_t n, size_t size)
{
	struct chunk *c = NULL;

	if (!size || n <= (SIZE_MAX - sizeof(*c)) / size)
		c = calloc(1, sizeof(*c) + n * size);
	if (!c) {
		fputs("telac: out of memory\n", stderr);
		exit(1);
	}
	c->next = s->memory;
	s->memory = c;
	return c->bytes;
}

char *schema_format(struct schema *s, const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = schema_alloc(s, (size_t)n + 1, 1);
	va_start(args, format);
	vsnprintf(text, (size_t)n + 1, format, args);
	va_end(args);
	return text;
}

void schema_free(struct schema *s)
{
	while (s->memory) {
		struct chunk *c = s->memory;

		s->memory = c->next;
		free(c);
	}
}

const char *attribute_find(const struct attributes *a, const char *key)
{
	size_t i;

	for (i = 0; i < a->n; i++) {
		if (!strcmp(a->at[i].key, key))
			return a->at[i].value;
	}
	return NULL;
}

unsigned base_size(enum base b)
{
	static const uint8_t sizes[BASE_COUNT] = {
		[BASE_UTYPE] = 1,
		[BASE_BOOL] = 1,
		[BASE_BYTE] = 1,
		[BASE_UBYTE] = 1,
		[BASE_SHORT] = 2,
		[BASE_USHORT] = 2,
		[BASE_INT] = 4,
		[BASE_UINT] = 4,
		[BASE_FLOAT] = 4,
		[BASE_LONG] = 8,
		[BASE_ULONG] = 8,
		[BASE_DOUBLE] = 8,
	};

	return sizes[b];
}

const struct object *type_object(const struct schema *s, const struct type *t)
{
	return type_unit(t) == BASE_OBJ ? &s->objects[t->index] : NULL;
}

const struct enumeration *type_enum(const struct schema *s, const struct type *t)
{
	return base_is_scalar(type_unit(t)) && t->index >= 0 ? &s->enums[t->index] : NULL;
}

const struct enumeration *type_union(const struct schema *s, const struct type *t)
{
	return type_unit(t) == BASE_UNION ? &s->enums[t->index] : NULL;
}

bool field_is_hidden(const struct field *f)
{
	return f->deprecated || type_unit(&f->type) == BASE_UTYPE;
}

enum kind field_kind(const struct schema *s, const struct field *f)
{
	const struct type *t = &f->type;

	switch (t->base) {
	case BASE_STRING:
		return KIND_STRING;
	case BASE_OBJ:
		return type_object(s, t)->is_struct ? KIND_STRUCT : KIND_TABLE;
	case BASE_UNION:
		return KIND_UNION;
	case BASE_UTYPE:
		return KIND_UTYPE;
	case BASE_VECTOR:
		if (t->element == BASE_UNION || t->element == BASE_UTYPE)
			return t->element == BASE_UNION ? KIND_UNIONS : KIND_UTYPES;
		if (t->element == BASE_STRING)
			return KIND_STRINGS;
		if (t->element == BASE_OBJ)
			return type_object(s, t)->is_struct ? KIND_STRUCTS : KIND_TABLES;
		return t->element == BASE_UBYTE && t->index < 0 ? KIND_BYTES : KIND_SCALARS;
	default:
		return f->optional ? KIND_OPTIONAL : KIND_SCALAR;
	}
}

uint32_t field_size(const struct schema *s, const struct field *f)
{
	if (f->type.base == BASE_ARRAY)
		return f->type.length * element_size(s, f);
	if (field_kind(s, f) == KIND_STRUCT)
		return type_object(s, &f->type)->size;
	return base_is_scalar(f->type.base) ? base_size(f->type.base) : 4;
}

uint32_t field_align(const struct schema *s, const struct field *f)
{
	const struct object *o = type_object(s, &f->type);

	if (o && o->is_struct && f->type.base != BASE_VECTOR)
		return o->align;
	return f->type.base == BASE_ARRAY ? element_size(s, f) : field_size(s, f);
}

uint32_t element_size(const struct schema *s, const struct field *f)
{
	const struct object *o = type_object(s, &f->type);

	if (o && o->is_struct)
		return o->size;
	return base_is_scalar(f->type.element) ? base_size(f->type.element) : 4;
}

/* No vector begins at less than a multiple of 4: its length stands before it. */
uint32_t element_align(const struct schema *s, const struct field *f)
{
	uint32_t align = element_size(s, f);

	if (field_kind(s, f) == KIND_STRUCTS)
		align = type_object(s, &f->type)->align;
	if (f->nested) /* so that who reads words where they stand, as C++ does, may */
		align = 8;
	if (f->force_align > align)
		align = f->force_align;
	return align < 4 ? 4 : align;
}

bool struct_has_padding(const struct schema *s, const struct object *o)
{
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < o->n_fields; i++) {
		const struct object *inner = type_object(s, &o->fields[i].type);

		sum += field_size(s, &o->fields[i]);
		if (inner && struct_has_padding(s, inner))
			return true;
	}
	return sum != o->size;
}

const char *schema_identifier(const struct schema *s, const struct object *o)
{
	return o == s->root && *s->ident ? s->ident : NULL;
}

bool schema_owns(const struct schema *s, const char *file)
{
	const char *slash = strrchr(file, '/');

	return !*file || !strcmp(slash ? slash + 1 : file, s->file);
}

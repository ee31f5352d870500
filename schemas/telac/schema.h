/* schema.h - what telac knows of a schema, independent of the file it came from.
 *
 * Strings point into the file's bytes and everything else into one arena: all live until
 * schema_free(), nothing is freed alone. Fields are in the order of their ids, objects, enums and
 * services in flatc's order (by name), so that output depends on the schema alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ALIGN_MAX = 256 };

/* reflection.BaseType */
enum base {
	BASE_NONE,
	BASE_UTYPE,
	BASE_BOOL,
	BASE_BYTE,
	BASE_UBYTE,
	BASE_SHORT,
	BASE_USHORT,
	BASE_INT,
	BASE_UINT,
	BASE_LONG,
	BASE_ULONG,
	BASE_FLOAT,
	BASE_DOUBLE,
	BASE_STRING,
	BASE_VECTOR,
	BASE_OBJ,
	BASE_UNION,
	BASE_ARRAY,
	BASE_COUNT
};

struct texts {
	const char **lines;
	size_t n;
};

struct attribute {
	const char *key, *value;
};

struct attributes {
	struct attribute *at;
	size_t n;
};

struct type {
	enum base base, element;
	int32_t index;   /* of the object or enum, -1: none */
	uint16_t length; /* of an array */
};

struct enum_value {
	const char *name;
	int64_t value;    /* bits of an ulong too */
	struct type type; /* of a union's member */
	char *member;     /* name as a member of a union in C */
	struct texts docs;
};

struct enumeration {
	const char *name, *file; /* full name; file that declares it, "" if flatc did not say */
	char *c_name;
	struct enum_value *values;
	size_t n_values;
	bool is_union, bit_flags;
	bool shares; /* of a union: as an object does */
	enum base base;
	struct texts docs;
};

struct field {
	const char *name;
	struct type type;
	uint16_t id;
	uint16_t offset; /* slot in the vtable, or place in the struct */
	int64_t default_integer;
	double default_real;
	bool deprecated, required, key, optional;
	bool shared;                 /* a string that is written once for all that are equal */
	uint16_t force_align;        /* of a vector, 0: its own */
	const struct object *nested; /* root of the buffer that these bytes are, else NULL */
	struct attributes attributes;
	struct texts docs;
	char *member; /* name as a C member */
	char *reader; /* as the last part of a C function's name */
	char *c_ref;  /* variable of a builder: where its offset stands */
};

struct object {
	const char *name, *file;
	char *c_name;
	struct field *fields;
	size_t n_fields;
	const struct field *key; /* what vectors of it are sorted by */
	uint16_t *order; /* fields of a table that are not deprecated, as they stand in it */
	size_t n_order;
	bool is_struct, settled;
	bool shared_vtable;   /* equal vtables are written once */
	bool shares;          /* it, or what it leads to, has a part that is shared */
	uint32_t align, size; /* of a struct */
	struct attributes attributes;
	struct texts docs;
};

/* Who sends more than one message. */
enum streaming { STREAMING_NONE, STREAMING_CLIENT, STREAMING_SERVER, STREAMING_BIDI };

struct method {
	char *member; /* of the table of a server */
	const char *name;
	const struct object *request, *response;
	uint16_t id;
	uint32_t deadline_us;
	bool idempotent;
	bool request_bytes, response_bytes; /* no FlatBuffer: any bytes */
	bool segments; /* the handler takes the request in the pieces that it came in */
	enum streaming streaming;
	struct attributes attributes;
	struct texts docs;
};

struct service {
	const char *name, *file;
	char *c_name;
	struct method *methods; /* by id once checked */
	size_t n_methods;
	uint64_t hash;
	const uint64_t *compatible; /* hashes of earlier versions, ascending */
	size_t n_compatible;
	struct texts docs;
};

struct schema {
	const char *file;          /* as named in messages: frame.fbs */
	const char *ident;         /* file_identifier of `root`, "" if it has none */
	const struct object *root; /* NULL: no root_type */
	const uint8_t *bfbs;       /* what it was read from, borrowed */
	size_t bfbs_len;
	struct enumeration *enums;
	size_t n_enums;
	struct object *objects;
	size_t n_objects;
	const struct object **structs; /* each behind those that it contains */
	size_t n_structs;
	struct service *services;
	size_t n_services;
	struct chunk *memory;
};

/* Zeroed, suitably aligned, never NULL: telac ends when memory does. */
void *schema_alloc(struct schema *s, size_t n, size_t size);
char *schema_format(struct schema *s, const char *format, ...)
	__attribute__((format(printf, 2, 3), nonnull(2)));
void schema_free(struct schema *s);

const char *attribute_find(const struct attributes *a, const char *key); /* "" if it has no value */
unsigned base_size(enum base b);                                         /* 0 unless a scalar */

static inline bool base_is_scalar(enum base b)
{
	return b >= BASE_UTYPE && b <= BASE_DOUBLE;
}

/* What a vector or an array consists of; of anything else its own base. */
static inline enum base type_unit(const struct type *t)
{
	return t->base == BASE_VECTOR || t->base == BASE_ARRAY ? t->element : t->base;
}

static inline bool base_is_real(enum base b)
{
	return b == BASE_FLOAT || b == BASE_DOUBLE;
}

/* What a field or an element is, for those who write code for it. */
enum kind {
	KIND_SCALAR,
	KIND_OPTIONAL, /* a scalar that may be absent */
	KIND_STRUCT,
	KIND_UTYPE,  /* which member a union has; the union is the next field */
	KIND_STRING, /* from here on what stands behind the table */
	KIND_TABLE,
	KIND_UNION,
	KIND_BYTES,   /* [ubyte] that is not an enum */
	KIND_SCALARS, /* the other vectors, by element */
	KIND_STRUCTS,
	KIND_STRINGS,
	KIND_TABLES,
	KIND_UNIONS,
	KIND_UTYPES
};

/* A field without a C name: deprecated, or the type of a union, which is read by way of its value.
 */
bool field_is_hidden(const struct field *f);
enum kind field_kind(const struct schema *s, const struct field *f);
const struct object *type_object(const struct schema *s, const struct type *t);
const struct enumeration *type_enum(const struct schema *s, const struct type *t);
const struct enumeration *type_union(const struct schema *s, const struct type *t);
/* Bytes and alignment of a field inside its table or struct, or of a vector's element. */
uint32_t field_size(const struct schema *s, const struct field *f);
uint32_t field_align(const struct schema *s, const struct field *f);
uint32_t element_size(const struct schema *s, const struct field *f);
uint32_t element_align(const struct schema *s, const struct field *f);
/* Bytes of a struct, or of one inside it, that belong to no field. */
bool struct_has_padding(const struct schema *s, const struct object *o);
/* The identifier of buffers of this table, NULL if they have none. */
const char *schema_identifier(const struct schema *s, const struct object *o);
/* Declared in the file that telac was called for, not in one that it includes. */
bool schema_owns(const struct schema *s, const char *file);

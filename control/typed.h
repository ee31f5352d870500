/* typed.h - JSON to and from FlatBuffers by a schema that a node has sent: telactl's `describe` and
 * typed `call`. Implemented in C++ with libflatbuffers, which only telactl links.
 *
 * The schema is hostile until proved otherwise, and so is what is printed by it. A binary schema is
 * verified, each name and index in it is checked, and it is then written as text and parsed anew:
 * libflatbuffers itself trusts the inside of a binary schema and never sees that one. Texts are
 * bounded and hold no control characters.
 *
 * Context:   one thread.
 * Ownership: texts and bytes handed out are to be freed with free().
 * Errors:    NULL, with a sentence in `err`. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct typed_schema;

/* `bfbs` is flatc's binary schema; copied. */
struct typed_schema *typed_open(const void *bfbs, size_t len, char *err, size_t err_len);
void typed_close(struct typed_schema *s);

/* In place of a table's name: what the method takes, or gives, is any bytes. */
#define TYPED_BYTES "(bytes)"

/* The methods of `service`, named in full, by id: objects with method, id, request, response,
 * deadline_us, idempotent and doc. */
json_t *typed_methods(const struct typed_schema *s, const char *service, char *err, size_t err_len);

/* The whole schema as flatc takes it; or, with a method, what it takes and answers. */
char *typed_text(const struct typed_schema *s, const char *service, const char *method, char *err,
	size_t err_len);
/* A JSON object of `table` with every field at its default, to copy and fill in. */
char *typed_template(const struct typed_schema *s, const char *table, char *err, size_t err_len);

/* A FlatBuffer of `table` from JSON. Fields at null are left out; a string for [ubyte] stands for
 * its bytes. `err` begins with line and column: "1:12: left.op: expected ...". */
uint8_t *typed_build(struct typed_schema *s, const char *table, const char *json, size_t len,
	size_t *ret_len, char *err, size_t err_len);

enum {
	TYPED_ONE_LINE = 1,
	TYPED_TEXT = 2, /* a [ubyte] that is text is shown as a string, not as numbers */
};
/* JSON of a FlatBuffer of `table`, which is verified first. */
char *typed_print(const struct typed_schema *s, const char *table, const void *bytes, size_t len,
	unsigned flags, char *err, size_t err_len);

#ifdef __cplusplus
}
#endif

/* emit.h - writes the generated headers. Each emit_x() writes one part, in the order below.
 *
 * What is written follows the project's layout (tabs, functions without surprises), because people
 * read it in debuggers and compiler messages.
 */
#pragma once

#include "schema.h"

#include <stdio.h>

struct emit {
	FILE *f;
	const struct schema *s;
	const char *stem; /* frame of frame.fbs */
};

void out(struct emit *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A comment from doc lines, indented by `indent`; nothing if there are none. */
void out_docs(struct emit *e, const char *indent, const struct texts *docs);
const char *last_part(const char *full_name); /* Message of echo.Message */

/* Names in C: uint32_t, or the enum's; u32 as in tela_fb_load_u32; both of a scalar or an element.
 */
const char *c_scalar(struct emit *e, const struct type *t);
const char *c_short(const struct type *t);
/* The default of a scalar as an expression. Valid until the next call. */
const char *c_default(const struct field *f);

/* The last parameter and argument of what measures and puts a table or union that shares. */
static inline const char *share_parameter(bool shares)
{
	return shares ? ", struct tela_fb_shares *x" : "";
}

static inline const char *share_argument(bool shares)
{
	return shares ? ", x" : "";
}

static inline unsigned slot_of(const struct field *f)
{
	return f->offset;
}

void emit_enum(struct emit *e, const struct enumeration *n);
void emit_struct(struct emit *e, const struct object *o);
void emit_args(struct emit *e, const struct object *o);
void emit_union_args(struct emit *e, const struct enumeration *n);
void emit_union_prototypes(struct emit *e, const struct enumeration *n);
void emit_union(struct emit *e, const struct enumeration *n); /* verify, measure, put */
/* Of objects with a key: sorting, and the order that searching and sorting keep. */
void emit_key_prototype(struct emit *e, const struct object *o);
void emit_key(struct emit *e, const struct object *o);
void emit_find(struct emit *e, const struct object *o, const struct field *f);
void emit_readers(struct emit *e, const struct object *o);
void emit_verifier(struct emit *e, const struct object *o); /* of tables, after all prototypes */
void emit_builder(struct emit *e, const struct object *o);  /* likewise */
void emit_whole(struct emit *e, const struct object *o);    /* root, verify, size, build */

void emit_desc(struct emit *e);                             /* of the whole schema */

void emit_data(struct emit *e); /* NAME.h */
void emit_rpc(struct emit *e);  /* NAME_rpc.h */

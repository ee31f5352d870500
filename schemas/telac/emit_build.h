/* emit_build.h - shared by the two paths of builders, emit_build.c and emit_whole.c. */
#pragma once

#include "emit.h"

bool is_vector(enum kind kind); /* has a member NAME_len */
bool is_child(enum kind kind);  /* stands behind the table, an offset in it */
bool has_kind(struct emit *e, const struct object *o, enum kind kind);
bool has_nested(const struct object *o); /* emit_verify.c */

/* An expression on the arguments `a`: is the field there? */
void out_present(struct emit *e, const struct field *f);
/* Statements that return 0 for what cannot be built. */
void out_mistakes(struct emit *e, const struct object *o);
/* Statements that move `pos` behind a child which is no table. */
void out_measure(struct emit *e, const struct field *f, const char *indent);
void out_put(struct emit *e, const struct field *f, const char *ref);

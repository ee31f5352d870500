/* bfbs.h - reads a binary schema of flatc (reflection.fbs) into a struct schema.
 *
 * The bytes are not trusted: every offset is checked, work is bounded by the size of the file,
 * names are identifiers and ids, types, layouts and defaults fit together. What this accepts, the
 * rest of telac may use without asking again; whether telac can make C of it is check.h's question.
 * Ownership: the schema refers to `data`, which must outlive it.
 */
#pragma once

#include "schema.h"

/* 0, or -EBADMSG with the reason in *ret_why (one line, valid until schema_free()). */
int bfbs_read(struct schema *s, const uint8_t *data, size_t len, const char **ret_why);

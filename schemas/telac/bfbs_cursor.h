/* bfbs_cursor.h - bounds-checked steps through a FlatBuffer whose schema is known to the caller.
 *
 * Positions count from the start of the buffer; 0 is "absent", as no table or vector stands there.
 * After a failure (cursor.why set) every step answers 0, "" or no elements.
 * Each table, string and element visited costs one of a budget that grows with the file, so offsets
 * that all name the same place cannot make the reader's tables larger than the file deserves.
 */
#pragma once

#include "schema.h"

struct cursor {
	struct schema *schema; /* for memory */
	const uint8_t *data;
	uint32_t len;
	uint64_t budget;
	const char *why;
};

struct elements {
	uint32_t at; /* of the first; elements are offsets */
	uint32_t n;
};

void cursor_fail(struct cursor *c, const char *why);
uint32_t cursor_start(struct cursor *c, const uint8_t *data, size_t len); /* the root table */
uint64_t cursor_scalar(
	struct cursor *c, uint32_t table, unsigned slot, unsigned size, uint64_t absent);
uint32_t cursor_child(struct cursor *c, uint32_t table, unsigned slot); /* a table */
uint32_t cursor_table(struct cursor *c, uint32_t at); /* `at`, if one begins there */
const char *cursor_string(struct cursor *c, uint32_t table, unsigned slot);
const char *cursor_string_at(struct cursor *c, uint32_t at);
struct elements cursor_vector(struct cursor *c, uint32_t table, unsigned slot);
uint32_t cursor_element(struct cursor *c, const struct elements *e, size_t i); /* where it leads */

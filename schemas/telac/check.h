/* check.h - refuses what telac does not cover, and gives everything its C name and layout.
 *
 * A declaration that telac cannot translate whole is refused by name, never left out: a reader that
 * silently lacks a field is worse than none.
 */
#pragma once

#include "schema.h"

/* Number of refusals, each printed to stderr as "file: full.name: reason". */
unsigned check_schema(struct schema *s);
/* Only what two nodes must know of a method: reads its id, deadline and `idempotent`, and puts the
 * methods of each service in the order of their ids. Also part of check_schema(). */
unsigned check_services(struct schema *s);

/* names.h - C names for what a schema declares. */
#pragma once

#include "schema.h"

/* Sets every c_name, member and reader. NULL, or why not, with the full name in *ret_name: two
 * declarations would have the same C name. */
const char *names_assign(struct schema *s, const char **ret_name);

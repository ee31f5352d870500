/* hash.h - the hash by which two nodes agree on what a service is. */
#pragma once

#include "schema.h"

/* FNV-1a, 64 bits, over what matters on the wire: names of the service and its methods, method ids,
 * and of every type in reach the ids, types, defaults and flags of fields, values of enums, layout
 * of structs. Not over comments, names of types and fields, or the order of declaration. */
uint64_t hash_service(const struct schema *s, const struct service *v);

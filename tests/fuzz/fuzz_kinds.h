/* fuzz_kinds.h - the second half of fuzz_verify: every kind of declaration, beside C++. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { KINDS = 10 };

/* The first byte chooses a table and whether the rest is a buffer, or a seed of 8 bytes for one
 * that is built and then what to change of it: places of 2 bytes, each with a byte to combine with.
 */
void fuzz_kinds(const uint8_t *data, size_t size);

/* What C++ says of table `which`; NULL where C++ FlatBuffers is not installed. */
__attribute__((weak)) bool kinds_cpp_accepts(unsigned which, const uint8_t *buf, size_t len);

#ifdef __cplusplus
}
#endif

/* fuzz_tables.h - the tables of this project's schemas and every kind of declaration that
 * monster.fbs has. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TABLES = 10, KINDS = 10 };

/* data[0] below 10 is one of the tables, the rest a buffer of it. Of others data[0] % KINDS is the
 * kind; below 128 the rest is the buffer, else a seed to build one from and changes to that. `size`
 * is not 0. */
void fuzz_tables(const uint8_t *data, size_t size);

/* Does C++ accept such a buffer? `which` counts tables, then kinds. Where `buf` is a multiple
 * of 64. */
bool tables_cpp_accepts(unsigned which, const uint8_t *buf, size_t len);

#ifdef __cplusplus
}
#endif

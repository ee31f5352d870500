/* messages.h - a small, a medium and a large message, for micro.cc beside C++ in messages.cc.
 *
 *   small    calculator.Operands: two doubles
 *   medium   frame.Envelope: names, structs, four pairs of metadata, a status
 *   large    calculator.Expression: a tree of 1,023 tables
 *
 * Building writes to `to` and returns the bytes; verifying returns whether it is valid; reading
 * visits every field of a verified buffer and returns a sum that is the same for both.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_TREE_DEPTH = 10, MESSAGE_ROOM = 128 << 10, MESSAGE_BATCH = 32 };

#ifdef __cplusplus
extern "C" {
#endif

size_t message_small_build(uint8_t *to, double a);
/* MESSAGE_BATCH of them, one behind the other: what building costs without the call around it. */
size_t message_small_build_batch(uint8_t *to, double a);
bool message_small_verify(const uint8_t *from, size_t len);
double message_small_read(const uint8_t *from);

size_t message_medium_build(uint8_t *to, double a);
bool message_medium_verify(const uint8_t *from, size_t len);
double message_medium_read(const uint8_t *from);

size_t message_large_build(uint8_t *to, double a);
bool message_large_verify(const uint8_t *from, size_t len);
double message_large_read(const uint8_t *from);

#ifdef __cplusplus
}
#endif

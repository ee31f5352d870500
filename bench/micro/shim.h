/* shim.h - what the micro-benchmarks measure, as functions that are not inlined.
 *
 * The data plane's own headers are C11 (_Atomic, designated initialisers) and do not compile as
 * C++; this one does. Each function does its work once; a call of one costs about as much as a call
 * of its C++ counterpart in micro.cc, which is not inlined either.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SHIM_LINKS_MAX = 16, SHIM_SERVICES = 64, SHIM_ENVELOPE = 32 };

/* ---- envelopes: dataplane/envelope.h and schemas/frame.fbs ---- */

void shim_envelope_write(uint8_t *to, uint32_t budget_us, uint16_t bind, uint16_t method);
/* Verifies and reads; 0 if it is not valid. */
uint64_t shim_envelope_read(const uint8_t *from, uint32_t len);
/* The same through telac's verifier and readers, as for any layout but the canonical one. */
uint64_t shim_envelope_read_general(const uint8_t *from, uint32_t len);
int shim_envelope_build(
	uint8_t *to, size_t room, uint32_t budget_us, uint16_t bind, uint16_t method);
/* One of an unbound call: with service name and schema hash. */
int shim_envelope_build_named(uint8_t *to, size_t room, const char *service, uint64_t schema);

/* ---- echo.Message ---- */

int shim_message_build(uint8_t *to, size_t room, const uint8_t *data, size_t len);
/* Verifies and reads its first and last byte; UINT64_MAX if it is not valid. */
uint64_t shim_message_read(const uint8_t *from, size_t len);

/* ---- chains and images: dataplane/image.h ---- */

/* Makes what the functions below use; SHIM_LINKS_MAX + 1 services of 0 to SHIM_LINKS_MAX links. */
void shim_images_make(void);
/* Walks the chain of `n` links, each of which runs the same small function. */
uint64_t shim_chain_walk(unsigned n);
/* Calls that function `n` times, directly; it is not inlined. */
uint64_t shim_chain_direct(unsigned n);
/* Walks a chain of `n` links and leaves it as a call does; `hooks`: each link has a leave hook. */
uint64_t shim_chain_walk_leave(unsigned n, bool hooks);

const void *shim_table_find(const char *name, size_t len);
const char *shim_table_name(unsigned i);
const void *shim_image_method(uint32_t method);

/* Builds an image of 6 methods with `n` links each, and frees it; returns its address. */
const void *shim_image_build(unsigned n);
/* Builds one, publishes it, and retires what may go: what the control thread does for a swap. */
void shim_image_swap(unsigned n);
/* Waits for all that was retired. */
void shim_image_settle(void);

/* ---- the rest ---- */

uint32_t shim_crc32c(const void *data, size_t len);
/* Pushes `n` pointers and pops them. */
uint64_t shim_xring(unsigned n);
/* Hands `n` frames to another thread, which hands them back, again and again: 2 * n hand-overs. The
 * least that took, in seconds: what the machine's other work added is not of interest. */
double shim_hand(unsigned n);
/* Starts and ends that thread. */
void shim_hand_start(void);
void shim_hand_stop(void);

/* ---- plugins: a handler, and before it as many of them as named ---- */

enum {
	SHIM_BARE,
	SHIM_REQUEST,
	SHIM_TRACER, /* one call in 1,000 is sampled */
	SHIM_AUTH,
	SHIM_RATE_LIMIT,
	SHIM_VALIDATE,
	SHIM_PLUGINS
};

void shim_plugins_make(void);
uint64_t shim_plugins(unsigned upto);

#ifdef __cplusplus
}
#endif

/* wire.h - the datagram around packets, as bytes. The structs are schemas/frame.fbs's; this adds
 * what they cannot say.
 *
 *   | Ethernet IP UDP | Datagram 28, padding | Packet 24, body, padding to 8 | Packet ... | trailer
 * 0, 4 | ^ header_length, a multiple of 8 behind the headers in use
 */
#pragma once

#include "base.h"
#include "frame.h"

enum {
	WIRE_VERSION = 1,
	WIRE_VERSION_BYTES = 8, /* what every version agrees on */
	WIRE_DATAGRAM = 28,
	WIRE_PACKET = 24,
	WIRE_TIMING = 8,
	WIRE_HELLO = 56,
	WIRE_CRC = 4,
	WIRE_INTEGRITY_MASK = 3,
	WIRE_HEADER_MAX = 64, /* the longest header_length taken */
	WIRE_STAMP_NS = 16,
	WIRE_FRAGMENTS_MAX = 1 << 14, /* 16 MiB and an envelope over the smallest MTU */
};

_Static_assert(sizeof(frame_Datagram) == WIRE_DATAGRAM, "datagram header");
_Static_assert(sizeof(frame_Packet) == WIRE_PACKET, "packet header");
_Static_assert(sizeof(frame_Timing) == WIRE_TIMING, "timing");
_Static_assert(sizeof(frame_Hello) == WIRE_HELLO, "hello");

/* First packet on a multiple of 8 behind `head_len` bytes of Ethernet, IP and UDP. */
static inline uint8_t wire_header_length(uint8_t head_len)
{
	return (uint8_t)(ALIGN8(head_len + WIRE_DATAGRAM) - head_len);
}

static inline uint32_t wire_stamp(uint64_t ns)
{
	return (uint32_t)(ns / WIRE_STAMP_NS);
}

static inline uint16_t saturate_u16(uint64_t v)
{
	return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v;
}

static inline uint32_t saturate_u32(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

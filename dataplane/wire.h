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

/* A packet's header from values that stand in registers: as three words, since a copy of a struct
 * filled field by field waits until the fields have left the store buffer. */
static inline void wire_packet_store(uint8_t *to, frame_Packet h)
{
	uint64_t w[3] = {
		h.kind | (uint32_t)h.flags << 8 | (uint32_t)h.length << 16 |
			(uint64_t)h.session << 32,
		h.slot | (uint32_t)h.fragment << 16 | (uint64_t)h.call << 32,
		h.body_length | (uint64_t)h.envelope_length << 32,
	};

	for (int i = 0; i < 3; i++)
		memcpy(to + 8 * i, &w[i], 8);
}

/* A datagram's header, for the same reason. */
static inline void wire_datagram_store(uint8_t *to, frame_Datagram h)
{
	const uint64_t w[3] = {
		h.version | (uint32_t)h.flags << 8 | (uint32_t)h.header_length << 16 |
			(uint32_t)h.zero << 24 | (uint64_t)h.connection << 32,
		h.number_low | (uint64_t)h.number_high << 32,
		h.stamp | (uint64_t)h.echo << 32,
	};
	const uint32_t last = h.age | (uint32_t)h.wait << 16;

	for (int i = 0; i < 3; i++)
		memcpy(to + 8 * i, &w[i], 8);
	memcpy(to + sizeof(w), &last, sizeof(last));
}

static inline frame_Datagram wire_datagram_load(const uint8_t *from)
{
	uint64_t w[3];
	uint32_t last;

	memcpy(w, from, sizeof(w));
	memcpy(&last, from + sizeof(w), sizeof(last));
	return (frame_Datagram){.version = (uint8_t)w[0],
		.flags = (uint8_t)(w[0] >> 8),
		.header_length = (uint8_t)(w[0] >> 16),
		.zero = (uint8_t)(w[0] >> 24),
		.connection = (uint32_t)(w[0] >> 32),
		.number_low = (uint32_t)w[1],
		.number_high = (uint32_t)(w[1] >> 32),
		.stamp = (uint32_t)w[2],
		.echo = (uint32_t)(w[2] >> 32),
		.age = (uint16_t)last,
		.wait = (uint16_t)(last >> 16)};
}

static inline uint16_t saturate_u16(uint64_t v)
{
	return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v;
}

static inline uint32_t saturate_u32(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

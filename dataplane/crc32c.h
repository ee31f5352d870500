/* crc32c.h - CRC-32C (Castagnoli), RFC 3720 appendix B.4: the trailer of a datagram that may be
 * corrupted on its way. Any thread. Start with crc = 0; the value of a whole is that of its parts,
 * one after the other. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* SipHash-2-4 (Aumasson and Bernstein) of one or two words: where a table's keys come from outside,
 * a keyed hash keeps anybody from filling one bucket on purpose. OpenSSL's costs an allocation per
 * call. */
#ifndef COMMON_SIPHASH_H
#define COMMON_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `len` bytes under the 128-bit key k0, k1. */
uint64_t siphash(uint64_t k0, uint64_t k1, const void *data, size_t len);

#endif

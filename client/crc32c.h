/* CRC-32C (Castagnoli, RFC 3720 s12.1), which guards the sections of the portability file. */
#ifndef CLIENT_CRC32C_H
#define CLIENT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of the whole of `data`. */
uint32_t crc32c(const void *data, size_t len);

/* Of data that comes in pieces: `crc` is that of what came before, 0 of nothing. Uses the
 * processor's instruction where there is one; elsewhere each call first builds its tables on the
 * stack (about 10 us), so pieces should be large. */
uint32_t crc32c_more(uint32_t crc, const void *data, size_t len);

/* The same in plain C, for tests and for other processors. */
uint32_t crc32c_more_portable(uint32_t crc, const void *data, size_t len);

#endif

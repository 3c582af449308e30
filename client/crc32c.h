/* CRC-32C (Castagnoli, RFC 3720 s12.1), which guards the sections of the portability file. */
#ifndef CLIENT_CRC32C_H
#define CLIENT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of the whole of `data`. Builds its tables on the stack (about 10 us), so meant for large buffers.
 */
uint32_t crc32c(const void *data, size_t len);

#endif

/* Reading a small local file whole: keys, certificates. */
#ifndef COMMON_READ_FILE_H
#define COMMON_READ_FILE_H

#include "common/error.h"

#include <stddef.h>

/* At most `max` bytes; STICPS_ERR_FILE when it cannot be read, is larger or is no regular file. A
 * NUL follows the bytes, not counted. The caller frees *out. */
enum sticps_err read_file(const char *path, size_t max, char **out, size_t *out_len,
                          struct sticps_error *err) STICPS_MUST_CHECK;

#endif

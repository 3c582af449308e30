/* SHA-256 in hex: how lists are told apart in the state directory and in answers. */
#ifndef CLIENT_SHA256_H
#define CLIENT_SHA256_H

#include "common/error.h"

#include <stddef.h>

/* 64 lower-case digits and a NUL. STICPS_ERR_CRYPTO. */
enum sticps_err sha256_hex(const void *data, size_t len, char out[65],
                           struct sticps_error *err) STICPS_MUST_CHECK;

#endif

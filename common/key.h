/* P-256 keys, kept parsed: an EVP_PKEY is made once and used for the life of the process. */
#ifndef COMMON_KEY_H
#define COMMON_KEY_H

#include "common/error.h"

#include <openssl/evp.h>
#include <stdbool.h>

/* Reads an unencrypted PEM private key from a file. STICPS_ERR_FILE when it cannot be read or is no
 * key on P-256. The caller owns the key (EVP_PKEY_free). */
enum sticps_err key_load(const char *path, EVP_PKEY **out,
                         struct sticps_error *err) STICPS_MUST_CHECK;

bool key_is_p256(const EVP_PKEY *key);

#endif

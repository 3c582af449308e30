/* Passwords: scrypt (RFC 7914) by OpenSSL, and one-time passwords. Hashing takes about a tenth of a
 * second and 32 MiB, so it runs on the worker pool. Callers: auth_routes, user_routes, init. Any
 * thread. */
#ifndef REGISTRY_PASSWORD_H
#define REGISTRY_PASSWORD_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define PASSWORD_MIN_LENGTH 8   /* bytes; NIST SP 800-63B */
#define PASSWORD_MAX_LENGTH 256 /* bytes */
#define PASSWORD_HASH_SIZE 128  /* with the NUL */
#define PASSWORD_ONE_TIME_SIZE 21

/* "scrypt$15$8$1$SALT$HASH" with a fresh salt. STICPS_ERR_CRYPTO. */
enum sticps_err password_hash(const char *password, size_t len, char out[PASSWORD_HASH_SIZE],
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* Does it match? `stored` NULL (an unknown user) costs the same time and is false, as is a string
 * that is not ours. Constant-time comparison. */
bool password_verify(const char *password, size_t len, const char *stored);

/* Twenty letters and digits that are told apart when read aloud (115 bits). */
enum sticps_err password_one_time(char out[PASSWORD_ONE_TIME_SIZE],
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif

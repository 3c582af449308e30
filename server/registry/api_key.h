/* API keys, with which machines act without a session:
 *
 *     sticps_0123456789ab_<64 hexadecimal digits>
 *
 * The prefix is what scanners for leaked secrets look for, the twelve digits are the public id, the
 * rest are 256 random bits. The database has the SHA-256 of the whole text and nothing else of the
 * secret: what cannot be guessed needs no slow hash. What a key is worth is decided there at every
 * request (sql/, caller_id); here only its form is. Callers: credential, key_routes. Any thread. */
#ifndef REGISTRY_API_KEY_H
#define REGISTRY_API_KEY_H

#include "common/error.h"

#include <stdbool.h>

#define API_KEY_PREFIX "sticps_"
#define API_KEY_ID_SIZE 13   /* twelve digits and a NUL */
#define API_KEY_TEXT_SIZE 85 /* with the NUL */

/* A new key. STICPS_ERR_CRYPTO. */
enum sticps_err api_key_make(char text[API_KEY_TEXT_SIZE], char id[API_KEY_ID_SIZE],
                             struct sticps_error *err) STICPS_MUST_CHECK;

/* Does this bearer token mean to be a key? No access token begins like one. */
bool api_key_meant(const char *token);
/* Has it the form of a key? Then `id` is the one that it names. */
bool api_key_parse(const char *token, char id[API_KEY_ID_SIZE]) STICPS_MUST_CHECK;
/* An id alone, as a path names it. */
bool api_key_is_id(const char *text);

#endif

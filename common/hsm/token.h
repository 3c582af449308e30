/* One session with a token, logged in, one private key found: from the URI to C_Sign. Called by
 * hsm_key.c alone, which decides when to open and when to try again. Not thread-safe. */
#ifndef COMMON_HSM_TOKEN_H
#define COMMON_HSM_TOKEN_H

#include "common/error.h"
#include "common/es256.h"
#include "common/hsm/hsm_key.h"
#include "common/hsm/pin.h"

struct token;

/* Errors as hsm_key_load's. `memory` keeps a PIN from being tried twice. The caller owns *out
 * (token_close). */
enum sticps_err token_open(const struct hsm_source *source, struct pin_memory *memory,
                           struct token **out, struct sticps_error *err) STICPS_MUST_CHECK;
/* Ends the session, and with the last one on a module also what the module itself keeps, so that
 * the next token_open sees the tokens as they then are. Accepts NULL. */
void token_close(struct token *token);

enum sticps_err token_sign(struct token *token, const unsigned char digest[ES256_DIGEST],
                           unsigned char raw[ES256_SIGNATURE],
                           struct sticps_error *err) STICPS_MUST_CHECK;

#endif

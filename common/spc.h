/* Service Provider Codes: an OCN (4 characters 0-9 A-Z) or a Resp Org ID (5 characters: two letters
 * for the entity, a letter, two digits). Upper case. */
#ifndef COMMON_SPC_H
#define COMMON_SPC_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

struct spc {
    char text[8]; /* NUL-terminated, NUL-padded: comparable by memcmp and as one integer */
};

/* What people write: lower case is folded, then it must match. STICPS_ERR_SPC otherwise. */
enum sticps_err spc_from_typed(const char *text, size_t len, struct spc *out,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* What a signed object carries: must already be in the canonical form. */
enum sticps_err spc_from_claim(const char *text, size_t len, struct spc *out,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* The code as one integer, for hashing and comparison; never 0. */
uint64_t spc_key(const struct spc *spc);

#endif

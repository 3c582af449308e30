/* The different owners that the rows of a portability file name, each once: an SPC, an LRN, or
 * nobody. Rows refer to them by index; the first two indexes are NPDB_OWNER_UNKNOWN and
 * NPDB_OWNER_NOBODY, as in the file. Called by npdb_build and npdb_assemble. */
#ifndef CLIENT_NPDB_OWNERS_H
#define CLIENT_NPDB_OWNERS_H

#include "client/npdb_format.h"
#include "common/error.h"
#include "common/spc.h"
#include "common/tn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An owner as one integer: spc_key of an SPC, tn_key of an LRN (which has fewer bits), 0 for
 * nobody. No row says "unknown", which is no key of either kind. */
#define NPDB_NOBODY UINT64_C(0)
#define NPDB_UNKNOWN UINT64_C(1)

static inline bool npdb_owner_is_lrn(uint64_t code)
{
    return code > NPDB_UNKNOWN && code >> 56 == 0;
}

struct npdb_owners { /* starts as zeros, which npdb_owners_clear accepts */
    uint64_t *codes;
    size_t len, capacity;
    uint32_t *index; /* open addressing: position in codes plus 1, or 0 */
    uint32_t index_len;
};

/* Before anything else: enters the first two. STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_owners_start(struct npdb_owners *owners,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* The index of `code`, which is added if it is new. STICPS_ERR_NO_MEMORY; STICPS_ERR_NPDB when
 * there are NPDB_MAX_OWNERS already. */
enum sticps_err npdb_owners_add(struct npdb_owners *owners, uint64_t code, uint32_t *index,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* What owners are sorted by in the file, the first two in front. */
static inline uint64_t npdb_owners_rank(const struct npdb_owners *owners, uint32_t index)
{
    return index < NPDB_FIRST_OWNER ? index : owners->codes[index];
}

/* "LRN 12025550000", "1234" or "nobody", for messages. */
#define NPDB_OWNER_TEXT 24
void npdb_owner_text(uint64_t code, char out[NPDB_OWNER_TEXT]);

/* spc_key backwards. */
struct spc npdb_owner_spc(uint64_t code);

void npdb_owners_clear(struct npdb_owners *owners);

#endif

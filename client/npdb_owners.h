/* The different owners that the rows of a portability file name, each once: an SPC, an LRN, or
 * nobody. Rows refer to them by index. Called by npdb_build. */
#ifndef CLIENT_NPDB_OWNERS_H
#define CLIENT_NPDB_OWNERS_H

#include "common/error.h"
#include "common/spc.h"
#include "common/tn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An owner as one integer: spc_key of an SPC, tn_key of an LRN (which has fewer bits), 0 for
 * nobody. */
#define NPDB_NOBODY UINT64_C(0)

static inline bool npdb_owner_is_lrn(uint64_t code)
{
    return code != NPDB_NOBODY && code >> 56 == 0;
}

struct npdb_owners { /* starts as zeros */
    uint64_t *codes;
    size_t len, capacity;
    uint32_t *index; /* open addressing: position in codes plus 1, or 0 */
    uint32_t index_len;
};

/* The index of `code`, which is added if it is new. STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_owners_add(struct npdb_owners *owners, uint64_t code, uint32_t *index,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* "LRN 12025550000", "1234" or "nobody", for messages. */
#define NPDB_OWNER_TEXT 24
void npdb_owner_text(uint64_t code, char out[NPDB_OWNER_TEXT]);

/* spc_key backwards. */
struct spc npdb_owner_spc(uint64_t code);

void npdb_owners_clear(struct npdb_owners *owners);

#endif

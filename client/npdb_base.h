/* An older portability file beneath the rows of a build, which are then changes of it: what no row
 * speaks of stays as it is there. Called by npdb_build. docs/npdb-format.md, "Changes".
 *
 * A row whose owner is NPDB_OWNER_UNKNOWN takes the row of its number or block away. */
#ifndef CLIENT_NPDB_BASE_H
#define CLIENT_NPDB_BASE_H

#include "client/npdb_assemble.h"
#include "client/npdb_npa.h"
#include "client/npdb_owners.h"
#include "client/npdb_reader.h"
#include "common/error.h"

/* What the changes came to. */
struct npdb_changes {
    uint64_t ported_in;   /* numbers that had no row */
    uint64_t moved;       /* that have another owner now */
    uint64_t ported_back; /* that had a row and have none now */
    uint64_t same;        /* numbers and blocks that were already as the change says */
    uint64_t blocks;      /* rows of blocks that are new, changed or gone */
};

void npdb_changes_join(struct npdb_changes *all, const struct npdb_changes *some);

/* Enters the owners of `base`: each gets the index that it has there. `owners` is started and has
 * no others yet. STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_base_owners(const struct npdb *base, struct npdb_owners *owners,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

/* The rows of the section "prefixes" of `base` with changes, sorted by key, each key once. The
 * caller frees *out. STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_base_prefixes(const struct npdb *base, const struct npdb_prefix *changes,
                                   size_t changes_len, struct npdb_prefix **out, size_t *out_len,
                                   struct npdb_changes *counts,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* `npa` has been filled with changes; adds what `base` has. Blocks that hold still are kept as they
 * are. STICPS_ERR_NPDB as npdb_npa_new_local. */
enum sticps_err npdb_base_fill(const struct npdb *base, struct npdb_npa *npa,
                               struct npdb_changes *counts,
                               struct sticps_error *err) STICPS_MUST_CHECK;

#endif

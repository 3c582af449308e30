/* Building a portability file from CSV: files of blocks ("prefix,SPC") and of ported numbers
 * ("TN,LRN" or "TN,SPC"). Called by the public API (npdb_api.c) and tests. Nothing is written
 * unless every row is right; docs/npdb-format.md says what a row may look like.
 *
 *   npdb_input      files, cut into pieces of whole lines
 *   npdb_intake     pieces into rows, by threads
 *   npdb_rows       rows of blocks, and numbers outside the plan: in memory
 *   npdb_spool      ported numbers of the plan: 5 bytes each, in a temporary file
 *   npdb_assemble   NPA by NPA into blocks, by threads, and the file */
#ifndef CLIENT_NPDB_BUILD_H
#define CLIENT_NPDB_BUILD_H

#include "client/npdb_base.h"
#include "client/npdb_csv_options.h"
#include "common/error.h"
#include "sticps/npdb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct npdb_build_options {
    const char *const *blocks; /* paths, borrowed */
    size_t blocks_len;
    const char *const *ports;
    size_t ports_len;
    const struct npdb_csv_options *csv; /* borrowed; NULL: the defaults */
    const char *base; /* NULL; or a portability file, the rows are changes of it (npdb_base.h) */
    const char *output;
    bool last_wins;       /* of rows that contradict each other; else they are an error */
    uint64_t fault_limit; /* reading ends after so many wrong rows; 0: after all */
    uint64_t sequence;    /* for the header; 0 with a base: one more than it has */
    unsigned threads;     /* 0: as many as there are processors, at most 8 */
    /* As sticps_npdb_build_on_fault and sticps_npdb_build_on_progress have them. May be NULL. */
    void (*on_fault)(const char *file, uint64_t line, const char *what, void *arg);
    void *arg; /* of on_fault */
    void (*on_progress)(enum sticps_npdb_stage stage, uint64_t done, uint64_t total, uint64_t rows,
                        void *arg);
    void *progress_arg;
};

struct npdb_build_stats {
    uint64_t bytes, blocks, ports, spcs, lrns, lrns_without_owner;
    uint64_t duplicates;         /* rows that said again what another had said */
    uint64_t overridden;         /* rows that a later one contradicted, with last_wins */
    uint64_t superseded;         /* rows of blocks that one of a later date replaced or ended */
    uint64_t ended;              /* rows that said that a number or block is out of service */
    uint64_t future;             /* rows left out because they are not effective yet */
    uint64_t skipped;            /* rows left out for their status */
    uint64_t faults;             /* rows that are wrong */
    struct npdb_changes changes; /* with a base */
};

/* `stats` may be NULL; it is also filled in, as far as known, when the build fails.
 * STICPS_ERR_NPDB: rows are wrong, err names the first. STICPS_ERR_FILE: a file cannot be read or
 * written. STICPS_ERR_USAGE: too many files. STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_build(const struct npdb_build_options *options, struct npdb_build_stats *stats,
                           struct sticps_error *err) STICPS_MUST_CHECK;

#endif

/* What has changed from one portability file to another, as the CSV that `sticps npdb merge` takes:
 * `sticps npdb diff`. */
#ifndef CLIENT_TOOLS_DIFF_H
#define CLIENT_TOOLS_DIFF_H

#include "client/npdb_reader.h"

#include <stdio.h>

/* What a change of blocks says in place of the owner when the row goes. */
#define DIFF_REMOVED "delete"

struct diff_counts {
    uint64_t ported_in;   /* numbers that only the newer file has a row for */
    uint64_t ported_back; /* that only the older one has a row for */
    uint64_t moved;       /* that have another owner (LRN or SPC) */
    uint64_t blocks_added, blocks_removed, blocks_changed; /* rows of blocks */
};

/* Compares the rows of the two files; what follows from rows, such as the SPC of an LRN, is no
 * change of its own, and neither is the sequence. Changes of ported numbers go to `changes`, of
 * blocks to `block_changes`, both in rising order; either may be NULL. STICPS_ERR_NO_MEMORY. */
enum sticps_err diff_rows(const struct npdb *old, const struct npdb *new, FILE *changes,
                          FILE *block_changes, struct diff_counts *out,
                          struct sticps_error *err) STICPS_MUST_CHECK;

#endif

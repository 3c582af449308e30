/* What a portability file is made of: `sticps npdb info`. */
#ifndef CLIENT_TOOLS_CENSUS_H
#define CLIENT_TOOLS_CENSUS_H

#include "client/npdb_reader.h"

struct census_part {
    uint64_t count, bytes;
};

#define CENSUS_SYMBOLS 11u /* 1, 2, up to 4, 8, ... 1,000 */

struct census {
    struct npdb_figures figures;
    uint64_t sections[NPDB_SECTIONS]; /* bytes */
    uint64_t pages, owners, palette_entries, largest_palette;
    struct census_part blocks; /* the thousands that have ported numbers */
    struct census_part levels[NPDB_BLOCK_MAX_LEVELS + 1], decades, wide, all_ported;
    struct census_part symbols[CENSUS_SYMBOLS]; /* by the smallest 2^i that they do not exceed */
    uint64_t symbol_bytes;                      /* of all blocks, the lists of symbols */
};

/* Reads the head of each block. */
void census_take(const struct npdb *npdb, struct census *out);

#endif

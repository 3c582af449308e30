/* Going through an open portability file row by row. Called by the tools of `sticps npdb` that need
 * every row rather than one: dump, diff, verify. Any thread; nothing is allocated. */
#ifndef CLIENT_TOOLS_WALK_H
#define CLIENT_TOOLS_WALK_H

#include "client/npdb_reader.h"

/* The index of the first row of prefixes whose key is at least `key`. */
uint32_t walk_prefix_from(const struct npdb *npdb, uint64_t key);

/* For each thousand of an NPA (NPA - 200) the owner that the rows of blocks give it: that of the
 * longest prefix, NPDB_OWNER_UNKNOWN without one. */
void walk_own(const struct npdb *npdb, uint32_t npa, uint32_t own[NPDB_PAGE_SLOTS]);

/* What npdb_find says of each number of a thousand. */
void walk_numbers(const struct npdb *npdb, uint32_t npa, uint32_t thousand,
                  uint32_t results[NPDB_BLOCK_NUMBERS]);

/* The first number of a thousand, as ten digits. */
static inline uint64_t walk_number(uint32_t npa, uint32_t thousand)
{
    return ((npa + UINT64_C(200)) * 10000 + 2000 + thousand) * NPDB_BLOCK_NUMBERS;
}

#endif

/* Ported numbers of which two rows say different things: how many such rows there are, and the
 * first few numbers, which npdb_build then looks for in the files to name their lines. */
#ifndef CLIENT_NPDB_CONTRADICTIONS_H
#define CLIENT_NPDB_CONTRADICTIONS_H

#include <stddef.h>
#include <stdint.h>

#define NPDB_MAX_CONTRADICTED 20u

struct npdb_contradictions {                /* starts as zeros */
    uint64_t rows;                          /* that say otherwise than one before them */
    uint64_t number[NPDB_MAX_CONTRADICTED]; /* tn_key; the smallest ones, sorted, each once */
    size_t len;
};

/* Notes one more such row. */
void npdb_contradictions_add(struct npdb_contradictions *all, uint64_t number);

/* Adds those of `some` to `all`. */
void npdb_contradictions_join(struct npdb_contradictions *all,
                              const struct npdb_contradictions *some);

#endif

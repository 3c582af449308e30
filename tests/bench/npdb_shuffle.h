/* The rows of a ports CSV, handed over in any order and written in a random one, without holding
 * all of them: a row waits in a buffer until a random later one takes its place. Called by
 * npdb_workload. Fewer rows than the buffer has room for come out in a wholly random order; of
 * more, one waits for SHUFFLE_ROWS others on average, so they should be handed over in an order
 * that mixes what lies farther apart. */
#ifndef BENCH_NPDB_SHUFFLE_H
#define BENCH_NPDB_SHUFFLE_H

#include "tests/bench/random.h"

#include <stddef.h>
#include <stdint.h>

#define SHUFFLE_ROWS ((size_t)1 << 24) /* 128 MB */
#define SHUFFLE_AHEAD 32               /* rows that wait for their place to reach the cache */
#define SHUFFLE_TEXT ((size_t)1 << 22) /* written at once */

/* A row: the number's ten digits as an integer, times 2^16, plus the index of its LRN. */
static inline uint64_t shuffle_row(uint64_t number, uint32_t lrn)
{
    return number << 16 | lrn;
}

struct shuffle {
    int file;              /* borrowed */
    const char (*lrn)[12]; /* borrowed: for each index ",", ten digits, "\n" */
    struct random random;
    uint64_t *rows;
    size_t len;
    struct {
        uint64_t row;
        size_t place;
    } waiting[SHUFFLE_AHEAD];
    size_t handed;
    char *text;
    size_t text_len;
};

/* Ends the program when there is no memory, as every call does when the file cannot be written. */
void shuffle_init(struct shuffle *shuffle, int file, const char (*lrn)[12], uint64_t seed);

void shuffle_add(struct shuffle *shuffle, uint64_t row);

/* Writes what is left and frees. */
void shuffle_end(struct shuffle *shuffle);

#endif

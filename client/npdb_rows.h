/* The rows of a portability file while it is being built: what each number or prefix was said to
 * be, and where. Called by npdb_build. All rows are in memory, 16 bytes each. */
#ifndef CLIENT_NPDB_ROWS_H
#define CLIENT_NPDB_ROWS_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPDB_MAX_FILES 1000
#define NPDB_MAX_ROWS 0x7fffffffu

struct npdb_row {
    uint64_t key_file; /* tn_key, which has 54 bits, and the number of the file */
    uint32_t line;
    uint32_t owner; /* index in npdb_owners */
};

struct npdb_rows { /* starts as zeros */
    struct npdb_row *rows;
    size_t len, capacity;
};

static inline uint64_t npdb_row_key(const struct npdb_row *row)
{
    return row->key_file >> 10;
}

static inline size_t npdb_row_file(const struct npdb_row *row)
{
    return row->key_file & 1023;
}

/* STICPS_ERR_NO_MEMORY; STICPS_ERR_NPDB when there are more rows or lines than can be counted. */
enum sticps_err npdb_rows_add(struct npdb_rows *rows, uint64_t key, uint32_t owner, size_t file,
                              uint64_t line, struct sticps_error *err) STICPS_MUST_CHECK;

struct npdb_conflicts {
    bool last_wins;
    uint64_t duplicates; /* counted here */
    uint64_t overridden;
    /* Called for each contradiction, unless the last one wins. */
    void (*on_conflict)(const struct npdb_row *first, const struct npdb_row *second, void *arg);
    void *arg;
};

/* Sorts by key and leaves one row for each. */
void npdb_rows_settle(struct npdb_rows *rows, struct npdb_conflicts *conflicts);

/* The row of a key, or NULL. The rows are settled. */
const struct npdb_row *npdb_rows_find(const struct npdb_rows *rows, uint64_t key);

void npdb_rows_clear(struct npdb_rows *rows);

#endif

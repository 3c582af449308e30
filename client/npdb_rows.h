/* The rows of a portability file while it is being built: what each number or prefix was said to
 * be, from when on, and where. Called by npdb_build. All rows are in memory, 24 bytes each. */
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
    uint32_t owner; /* index in npdb_owners, or NPDB_ROW_ENDED */
    uint32_t since; /* yyyymmdd, or 0 for always */
};

/* Nobody has the number from then on, as if it had no row. */
#define NPDB_ROW_ENDED UINT32_MAX

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
enum sticps_err npdb_rows_add(struct npdb_rows *rows, uint64_t key, uint32_t owner, uint32_t since,
                              size_t file, uint64_t line,
                              struct sticps_error *err) STICPS_MUST_CHECK;

struct npdb_conflicts {
    bool last_wins;
    uint64_t duplicates; /* counted here, as sticps_npdb_figure tells them */
    uint64_t overridden;
    uint64_t superseded;
    uint64_t ended;
    /* Called for each contradiction, unless the last one wins. */
    void (*on_conflict)(const struct npdb_row *first, const struct npdb_row *second, void *arg);
    void *arg;
};

/* Sorts by key and leaves at most one row for each: of those with the latest `since` the one that
 * they agree on. One of them that ends the number gives way to one that does not, for a number may
 * change hands on one day. */
void npdb_rows_settle(struct npdb_rows *rows, struct npdb_conflicts *conflicts);

/* The row of a key, or NULL. The rows are settled. */
const struct npdb_row *npdb_rows_find(const struct npdb_rows *rows, uint64_t key);

void npdb_rows_clear(struct npdb_rows *rows);

#endif

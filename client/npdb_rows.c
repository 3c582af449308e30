#include "client/npdb_rows.h"

#include <stdlib.h>
#include <string.h>

enum sticps_err npdb_rows_add(struct npdb_rows *rows, uint64_t key, uint32_t owner, size_t file,
                              uint64_t line, struct sticps_error *err)
{
    if (rows->len >= NPDB_MAX_ROWS || line > UINT32_MAX || file >= NPDB_MAX_FILES)
        return fail(err, STICPS_ERR_NPDB, NULL, "there are more rows than one file can hold");
    if (rows->len == rows->capacity) {
        size_t capacity = rows->capacity == 0 ? 1024 : rows->capacity * 2;
        struct npdb_row *grown = reallocarray(rows->rows, capacity, sizeof(*grown));
        if (grown == NULL)
            return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory after %zu rows", rows->len);
        rows->rows = grown;
        rows->capacity = capacity;
    }
    rows->rows[rows->len++] = (struct npdb_row){key << 10 | file, (uint32_t)line, owner};
    return STICPS_OK;
}

static int by_key_file_line(const void *a, const void *b)
{
    const struct npdb_row *x = a, *y = b;
    if (x->key_file != y->key_file)
        return x->key_file < y->key_file ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

void npdb_rows_settle(struct npdb_rows *rows, struct npdb_conflicts *conflicts)
{
    size_t kept = 0;
    if (rows->len == 0)
        return;
    qsort(rows->rows, rows->len, sizeof(rows->rows[0]), by_key_file_line);
    for (size_t i = 1; i < rows->len; i++) {
        struct npdb_row *held = &rows->rows[kept], *row = &rows->rows[i];
        if (npdb_row_key(row) != npdb_row_key(held)) {
            rows->rows[++kept] = *row;
        } else if (row->owner == held->owner) {
            conflicts->duplicates++;
        } else if (conflicts->last_wins) {
            conflicts->overridden++;
            *held = *row;
        } else {
            conflicts->on_conflict(held, row, conflicts->arg);
        }
    }
    rows->len = kept + 1;
}

const struct npdb_row *npdb_rows_find(const struct npdb_rows *rows, uint64_t key)
{
    size_t low = 0, high = rows->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (npdb_row_key(&rows->rows[middle]) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rows->len && npdb_row_key(&rows->rows[low]) == key ? &rows->rows[low] : NULL;
}

void npdb_rows_clear(struct npdb_rows *rows)
{
    free(rows->rows);
    memset(rows, 0, sizeof(*rows));
}

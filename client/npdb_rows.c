#include "client/npdb_rows.h"

#include <stdlib.h>
#include <string.h>

enum sticps_err npdb_rows_add(struct npdb_rows *rows, uint64_t key, uint32_t owner, uint32_t since,
                              size_t file, uint64_t line, struct sticps_error *err)
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
    rows->rows[rows->len++] = (struct npdb_row){key << 10 | file, (uint32_t)line, owner, since};
    return STICPS_OK;
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Of one key the rows that count come last: the latest, and what ends it before what does not. */
static int by_key_and_weight(const void *a, const void *b)
{
    const struct npdb_row *x = a, *y = b;
    int order = compare(npdb_row_key(x), npdb_row_key(y));
    if (order == 0)
        order = compare(x->since, y->since);
    if (order == 0)
        order = compare(x->owner != NPDB_ROW_ENDED, y->owner != NPDB_ROW_ENDED);
    if (order == 0)
        order = compare(npdb_row_file(x), npdb_row_file(y));
    return order != 0 ? order : compare(x->line, y->line);
}

/* Makes `row` stand for the number that `held` stood for. */
static void settle_one(struct npdb_row *held, const struct npdb_row *row,
                       struct npdb_conflicts *conflicts)
{
    if (held->owner == NPDB_ROW_ENDED) {
        conflicts->ended++;
    } else if (row->owner == held->owner) {
        conflicts->duplicates++;
    } else if (row->since != held->since) {
        conflicts->superseded++;
    } else if (conflicts->last_wins) {
        conflicts->overridden++;
    } else {
        conflicts->on_conflict(held, row, conflicts->arg);
        return; /* so that each is told against the first */
    }
    *held = *row;
}

void npdb_rows_settle(struct npdb_rows *rows, struct npdb_conflicts *conflicts)
{
    size_t kept = 0;
    if (rows->len == 0)
        return;
    qsort(rows->rows, rows->len, sizeof(rows->rows[0]), by_key_and_weight);
    for (size_t i = 0; i < rows->len;) {
        struct npdb_row held = rows->rows[i++];
        for (; i < rows->len && npdb_row_key(&rows->rows[i]) == npdb_row_key(&held); i++)
            settle_one(&held, &rows->rows[i], conflicts);
        if (held.owner == NPDB_ROW_ENDED)
            conflicts->ended++;
        else
            rows->rows[kept++] = held;
    }
    rows->len = kept;
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

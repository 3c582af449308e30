/* What a portability file is compared with: four ways to keep (number, owner) as others do, each
 * with the layout and the settings that suit it best.
 *
 *   LMDB          integer keys (MDB_INTEGERKEY) of 8 bytes, values of 2, put in rising order so
 * that pages are full; one read-only transaction is kept, no lock file SQLite        a table by
 * rowid, which is what it stores smallest and finds fastest for integer keys; mapped, immutable,
 * one prepared statement in one open transaction sorted array  8 bytes each, number and owner
 * packed; binary search open hash     8 bytes each, packed likewise, 7 of 10 cells taken, linear
 * probing
 *
 * They hold the ported numbers alone. For one that is not among them all four look into the same
 * array, which has the owner of each thousand and is counted to none of them. Array and hash lie in
 * ordinary pages, as they would in a file that is mapped.
 *
 * Called by npdb_measure; a failure ends the program. */
#ifndef BENCH_NPDB_PEERS_H
#define BENCH_NPDB_PEERS_H

#include <stddef.h>
#include <stdint.h>

/* A row: ten digits of the number as an integer, times 2^16, plus the owner. */
static inline uint64_t peer_row(uint64_t number, uint32_t owner)
{
    return number << 16 | owner;
}

struct peer_rows {
    uint64_t *rows; /* rising */
    size_t len;
    uint16_t *thousands; /* for each seven digits: the owner of numbers that are not ported */
};

struct peers;

#define PEERS 4
extern const char *const peer_names[PEERS];

/* Fills all four; the two databases lie in `dir`, which must be there, and are removed by
 * peers_free. The rows are borrowed until then. */
struct peers *peers_new(const struct peer_rows *rows, const char *dir);
void peers_free(struct peers *peers);

/* Memory in ordinary pages, all zero: for the rows. */
void *peer_pages(size_t bytes);

/* How many bytes the peer takes for its rows: of its file, or in memory. */
uint64_t peer_bytes(const struct peers *peers, unsigned which);

/* The owner of a number, given as ten digits. */
typedef uint64_t peer_find_fn(const struct peers *peers, uint64_t number);
extern peer_find_fn *const peer_find[PEERS];

#endif

#include "tests/bench/npdb_peers.h"

#include <limits.h>
#include <lmdb.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROWS_AT_ONCE 1000000u /* in one transaction */

struct peers {
    struct peer_rows rows; /* borrowed; the sorted array itself */
    char lmdb_path[PATH_MAX], sqlite_path[PATH_MAX];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    uint64_t lmdb_bytes;
    sqlite3 *db;
    sqlite3_stmt *select;
    uint64_t sqlite_bytes;
    uint64_t *cells; /* 0: free */
    size_t cells_len;
};

const char *const peer_names[PEERS] = {"LMDB", "SQLite", "sorted array", "open hash"};

static void die(const char *what)
{
    fprintf(stderr, "npdb_measure: %s\n", what);
    exit(1);
}

static uint64_t of_thousand(const struct peers *peers, uint64_t number)
{
    return peers->rows.thousands[number / 1000];
}

/* ---- LMDB ---- */

static void lmdb_must(int code)
{
    if (code != 0)
        die(mdb_strerror(code));
}

static void lmdb_fill(struct peers *peers)
{
    MDB_env *env;
    MDB_envinfo info;
    MDB_stat stat;
    const size_t len = peers->rows.len;
    lmdb_must(mdb_env_create(&env));
    lmdb_must(mdb_env_set_mapsize(env, len * 40 + ((size_t)64 << 20)));
    lmdb_must(mdb_env_open(env, peers->lmdb_path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOLOCK, 0600));
    for (size_t i = 0; i < len;) {
        MDB_txn *txn;
        MDB_dbi dbi;
        lmdb_must(mdb_txn_begin(env, NULL, 0, &txn));
        lmdb_must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi));
        for (size_t end = i + ROWS_AT_ONCE; i < end && i < len; i++) {
            size_t number = peers->rows.rows[i] >> 16;
            uint16_t owner = (uint16_t)peers->rows.rows[i];
            MDB_val key = {sizeof(number), &number}, value = {sizeof(owner), &owner};
            lmdb_must(mdb_put(txn, dbi, &key, &value, MDB_APPEND));
        }
        lmdb_must(mdb_txn_commit(txn));
    }
    lmdb_must(mdb_env_info(env, &info));
    lmdb_must(mdb_env_stat(env, &stat));
    peers->lmdb_bytes = (info.me_last_pgno + 1) * stat.ms_psize;
    mdb_env_close(env);
}

static void lmdb_start(struct peers *peers)
{
    lmdb_must(mdb_env_create(&peers->env));
    lmdb_must(mdb_env_open(peers->env, peers->lmdb_path,
                           MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD, 0600));
    lmdb_must(mdb_txn_begin(peers->env, NULL, MDB_RDONLY, &peers->txn));
    lmdb_must(mdb_dbi_open(peers->txn, NULL, MDB_INTEGERKEY, &peers->dbi));
}

static uint64_t lmdb_find(const struct peers *peers, uint64_t number)
{
    MDB_val key = {sizeof(number), &number}, value;
    uint16_t owner;
    if (mdb_get(peers->txn, peers->dbi, &key, &value) != 0)
        return of_thousand(peers, number);
    memcpy(&owner, value.mv_data, sizeof(owner));
    return owner;
}

/* ---- SQLite ---- */

static void sqlite_run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
}

static void sqlite_fill(struct peers *peers)
{
    sqlite3 *db;
    sqlite3_stmt *insert;
    if (sqlite3_open(peers->sqlite_path, &db) != SQLITE_OK)
        die("SQLite cannot open its file");
    sqlite_run(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                   "CREATE TABLE ported (number INTEGER PRIMARY KEY, owner INTEGER NOT NULL);"
                   "BEGIN");
    if (sqlite3_prepare_v2(db, "INSERT INTO ported VALUES (?, ?)", -1, &insert, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    for (size_t i = 0; i < peers->rows.len; i++) {
        sqlite3_bind_int64(insert, 1, (sqlite3_int64)(peers->rows.rows[i] >> 16));
        sqlite3_bind_int(insert, 2, (int)(peers->rows.rows[i] & 0xffff));
        if (sqlite3_step(insert) != SQLITE_DONE)
            die(sqlite3_errmsg(db));
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    sqlite_run(db, "COMMIT");
    sqlite3_close(db);
}

static void sqlite_start(struct peers *peers)
{
    char uri[PATH_MAX + 64];
    sqlite3_stmt *size;
    snprintf(uri, sizeof(uri), "file:%s?mode=ro&immutable=1", peers->sqlite_path);
    if (sqlite3_open_v2(uri, &peers->db,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        die("SQLite cannot open its file again");
    sqlite_run(peers->db, "PRAGMA mmap_size = 2147418112; BEGIN");
    if (sqlite3_prepare_v2(peers->db,
                           "SELECT page_count * page_size FROM pragma_page_count(),"
                           " pragma_page_size()",
                           -1, &size, NULL) != SQLITE_OK ||
        sqlite3_step(size) != SQLITE_ROW)
        die(sqlite3_errmsg(peers->db));
    peers->sqlite_bytes = (uint64_t)sqlite3_column_int64(size, 0);
    sqlite3_finalize(size);
    if (sqlite3_prepare_v3(peers->db, "SELECT owner FROM ported WHERE number = ?", -1,
                           SQLITE_PREPARE_PERSISTENT, &peers->select, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(peers->db));
}

static uint64_t sqlite_find(const struct peers *peers, uint64_t number)
{
    sqlite3_bind_int64(peers->select, 1, (sqlite3_int64)number);
    bool found = sqlite3_step(peers->select) == SQLITE_ROW;
    uint64_t owner = found ? (uint64_t)sqlite3_column_int64(peers->select, 0) : 0;
    sqlite3_reset(peers->select);
    return found ? owner : of_thousand(peers, number);
}

/* ---- the sorted array ---- */

static uint64_t array_find(const struct peers *peers, uint64_t number)
{
    const uint64_t *row = peers->rows.rows; /* the last one that is not above, without a branch */
    for (size_t len = peers->rows.len; len > 1;) {
        size_t half = len / 2;
        row = row[half] >> 16 <= number ? row + half : row;
        len -= half;
    }
    return *row >> 16 == number ? *row & 0xffff : of_thousand(peers, number);
}

/* ---- the hash ---- */

/* Where a number's search starts: the high half of its mixed bits, scaled to the cells. */
static size_t cell_of(const struct peers *peers, uint64_t number)
{
    uint64_t mixed = number * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)((mixed >> 32) * peers->cells_len >> 32);
}

static void hash_fill(struct peers *peers)
{
    peers->cells_len = peers->rows.len * 10 / 7 + 1;
    peers->cells = peer_pages(peers->cells_len * sizeof(*peers->cells));
    for (size_t i = 0; i < peers->rows.len; i++) {
        size_t at = cell_of(peers, peers->rows.rows[i] >> 16);
        while (peers->cells[at] != 0)
            at = at + 1 < peers->cells_len ? at + 1 : 0;
        peers->cells[at] = peers->rows.rows[i];
    }
}

static uint64_t hash_find(const struct peers *peers, uint64_t number)
{
    for (size_t at = cell_of(peers, number); peers->cells[at] != 0;
         at = at + 1 < peers->cells_len ? at + 1 : 0)
        if (peers->cells[at] >> 16 == number)
            return peers->cells[at] & 0xffff;
    return of_thousand(peers, number);
}

/* ---- all four ---- */

void *peer_pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("out of memory");
    (void)madvise(memory, bytes, MADV_NOHUGEPAGE);
    return memory;
}

peer_find_fn *const peer_find[PEERS] = {lmdb_find, sqlite_find, array_find, hash_find};

struct peers *peers_new(const struct peer_rows *rows, const char *dir)
{
    struct peers *peers = calloc(1, sizeof(*peers));
    if (peers == NULL)
        die("out of memory");
    peers->rows = *rows;
    snprintf(peers->lmdb_path, sizeof(peers->lmdb_path), "%s/ported.lmdb", dir);
    snprintf(peers->sqlite_path, sizeof(peers->sqlite_path), "%s/ported.sqlite", dir);
    unlink(peers->lmdb_path);
    unlink(peers->sqlite_path);
    lmdb_fill(peers);
    lmdb_start(peers);
    sqlite_fill(peers);
    sqlite_start(peers);
    hash_fill(peers);
    return peers;
}

void peers_free(struct peers *peers)
{
    mdb_txn_abort(peers->txn);
    mdb_env_close(peers->env);
    sqlite3_finalize(peers->select);
    sqlite3_close(peers->db);
    unlink(peers->lmdb_path);
    unlink(peers->sqlite_path);
    munmap(peers->cells, peers->cells_len * sizeof(*peers->cells));
    free(peers);
}

uint64_t peer_bytes(const struct peers *peers, unsigned which)
{
    const uint64_t bytes[PEERS] = {peers->lmdb_bytes, peers->sqlite_bytes,
                                   peers->rows.len * sizeof(*peers->rows.rows),
                                   peers->cells_len * sizeof(*peers->cells)};
    return bytes[which];
}

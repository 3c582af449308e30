#include "server/db/migrate.h"

#include "server/db/sync.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 10000
#define STATEMENT_MS 30000
#define LOCK_MS 60000
#define STEP_MS (30 * 60 * 1000) /* a step over a large table may take its time */
/* Any number that no other program picks: the bytes of "sticps". */
#define LOCK_KEY "126943972390003"

struct migrator {
    struct db_sync *db;
    const struct migration *list;
    size_t len, applied;
};

static void sha256_hex(const char *text, size_t len, char out[65])
{
    unsigned char digest[32];
    if (EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* "001_accounts.sql" → 1; 0 when the name is not of that form. */
static unsigned long number_of(const char *name)
{
    return strspn(name, "0123456789") >= 3 ? strtoul(name, NULL, 10) : 0;
}

/* The program's own list must count 1, 2, 3, … */
static enum sticps_err check_list(const struct migration *list, size_t len,
                                  struct sticps_error *err)
{
    for (size_t i = 0; i < len; i++)
        if (number_of(list[i].name) != i + 1)
            return fail(err, STICPS_ERR_STATE, list[i].name,
                        "is out of order: step %zu was expected", i + 1);
    return STICPS_OK;
}

static enum sticps_err simple(struct db_sync *db, const char *sql, unsigned timeout_ms,
                              const char *what, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err code = STICPS_OK;
    if (db_sync_script(db, sql, timeout_ms, &result) != DB_OK)
        code = db_sync_fail(&result, what, err);
    db_sync_clear(&result);
    return code;
}

/* Reads what is applied and compares; *applied counts the steps that are. */
static enum sticps_err compare(struct migrator *m, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err code = STICPS_OK;
    if (db_sync_exec(m->db, "SELECT number, name, sha256 FROM schema_migration ORDER BY number", 0,
                     NULL, STATEMENT_MS, &result) != DB_OK) {
        code = db_sync_fail(&result, "cannot read schema_migration", err);
        goto cleanup;
    }
    int rows = PQntuples(result.rows);
    for (int i = 0; i < rows && code == STICPS_OK; i++) {
        const char *name = db_text(result.rows, i, 1);
        char sha256[65];
        if ((size_t)i >= m->len) {
            code = fail(err, STICPS_ERR_STATE, name,
                        "is applied but unknown to this program: the database is newer");
            break;
        }
        sha256_hex(m->list[i].text, m->list[i].len, sha256);
        if (db_int(result.rows, i, 0) != i + 1 || strcmp(name, m->list[i].name) != 0)
            code = fail(err, STICPS_ERR_STATE, m->list[i].name,
                        "does not follow what is applied: found %s at its place", name);
        else if (strcmp(db_text(result.rows, i, 2), sha256) != 0)
            code = fail(err, STICPS_ERR_STATE, name,
                        "was changed after it had been applied; add a new step instead");
    }
    m->applied = (size_t)rows;
cleanup:
    db_sync_clear(&result);
    return code;
}

/* One step and its row, both or neither. */
static enum sticps_err apply(struct migrator *m, const struct migration *step,
                             struct sticps_error *err)
{
    char sha256[65], number[24], what[200];
    sha256_hex(step->text, step->len, sha256);
    snprintf(number, sizeof(number), "%lu", number_of(step->name));
    snprintf(what, sizeof(what), "step %s failed", step->name);
    const char *params[] = {number, step->name, sha256};
    struct db_result result = {0};
    enum sticps_err code;
    /* On failure the caller closes the connection, which rolls the step back. Without the scope a
     * step would see no row of a table with row rules (sql/021_row_rules.sql). */
    if ((code = simple(m->db, "BEGIN; SET LOCAL sticps.scope = '*'", STATEMENT_MS, what, err)) !=
            STICPS_OK ||
        (code = simple(m->db, step->text, STEP_MS, what, err)) != STICPS_OK)
        return code;
    if (db_sync_exec(m->db,
                     "INSERT INTO schema_migration (number, name, sha256) VALUES ($1, $2, $3)", 3,
                     params, STATEMENT_MS, &result) != DB_OK)
        code = db_sync_fail(&result, what, err);
    else
        code = simple(m->db, "COMMIT", STATEMENT_MS, what, err);
    if (code == STICPS_OK)
        m->applied++;
    db_sync_clear(&result);
    return code;
}

static enum sticps_err run(struct migrator *m, size_t *applied, struct sticps_error *err)
{
    enum sticps_err code;
    if ((code = simple(m->db, "SELECT pg_advisory_lock(" LOCK_KEY ")", LOCK_MS,
                       "another program is changing the schema", err)) != STICPS_OK ||
        (code = simple(m->db,
                       "CREATE TABLE IF NOT EXISTS schema_migration ("
                       "number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, "
                       "applied_at timestamptz NOT NULL DEFAULT now())",
                       STATEMENT_MS, "cannot make the table schema_migration", err)) != STICPS_OK ||
        (code = compare(m, err)) != STICPS_OK)
        return code;
    size_t before = m->applied;
    while (m->applied < m->len && code == STICPS_OK)
        code = apply(m, &m->list[m->applied], err);
    if (applied != NULL)
        *applied = m->applied - before;
    return code;
}

enum sticps_err db_migrate_list(const char *conninfo, const struct migration *list, size_t len,
                                size_t *applied, struct sticps_error *err)
{
    struct migrator m = {.list = list, .len = len};
    enum sticps_err code = check_list(list, len, err);
    if (code == STICPS_OK)
        code = db_sync_connect(conninfo, "sticps-migrate", CONNECT_MS, &m.db, err);
    if (code == STICPS_OK)
        code = run(&m, applied, err);
    db_sync_free(m.db); /* and with it the lock */
    return code;
}

enum sticps_err db_migrate(const char *conninfo, size_t *applied, struct sticps_error *err)
{
    return db_migrate_list(conninfo, migrations, migrations_len, applied, err);
}

enum sticps_err db_migrate_check_session(struct db_sync *db, struct sticps_error *err)
{
    struct migrator m = {.db = db, .list = migrations, .len = migrations_len};
    enum sticps_err code = check_list(m.list, m.len, err);
    if (code == STICPS_OK)
        code = compare(&m, err);
    if (code == STICPS_OK && m.applied < m.len)
        code = fail(err, STICPS_ERR_STATE, m.list[m.applied].name,
                    "is not applied yet: run the migration first");
    return code;
}

enum sticps_err db_migrate_check(const char *conninfo, struct sticps_error *err)
{
    struct db_sync *db = NULL;
    enum sticps_err code = db_sync_connect(conninfo, "sticps-migrate", CONNECT_MS, &db, err);
    if (code == STICPS_OK)
        code = db_migrate_check_session(db, err);
    db_sync_free(db);
    return code;
}

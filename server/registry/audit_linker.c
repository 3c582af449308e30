#include "server/registry/audit_linker.h"

#include "server/db/sync.h"
#include "server/http/log.h"
#include "server/http/timer.h"

#include <stdio.h>

#define TIMEOUT_MS 5000
#define RETRY_MS 60000
#define ROWS_PER_STEP 2000 /* some 30 ms of a step that publications wait for */
#define STRING(x) #x
#define NUMBER(x) STRING(x)

/* Links up to the mark, and forgets the mark when nothing is left before it. */
static enum sticps_err link_rows(struct db_sync *db, struct audit_linker *linker,
                                 struct sticps_error *err)
{
    const char *params[] = {linker->upto, linker->horizon, NUMBER(ROWS_PER_STEP)};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "SELECT audit_link_rows($1, $2, $3)", 3, params, TIMEOUT_MS, &result) !=
        DB_OK)
        rc = db_sync_fail(&result, "linking of audit rows", err);
    else if (db_text_or_null(result.rows, 0, 0) != NULL)
        linker->marked = db_int(result.rows, 0, 0) == ROWS_PER_STEP;
    db_sync_clear(&result);
    return rc;
}

static enum sticps_err mark_rows(struct db_sync *db, struct audit_linker *linker,
                                 struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "SELECT upto, horizon FROM audit_mark()", 0, NULL, TIMEOUT_MS, &result) !=
        DB_OK) {
        rc = db_sync_fail(&result, "marking of audit rows", err);
    } else if (db_text_or_null(result.rows, 0, 0) != NULL) {
        snprintf(linker->upto, sizeof(linker->upto), "%s", db_text(result.rows, 0, 0));
        snprintf(linker->horizon, sizeof(linker->horizon), "%s", db_text(result.rows, 0, 1));
        linker->marked = true;
    }
    db_sync_clear(&result);
    return rc;
}

enum sticps_err audit_linker_step(struct db_sync *db, struct audit_linker *linker,
                                  struct sticps_error *err)
{
    if (monotonic_ms() < linker->next_attempt)
        return STICPS_OK;
    enum sticps_err rc = linker->marked ? link_rows(db, linker, err) : STICPS_OK;

    if (rc == STICPS_OK && !linker->marked)
        rc = mark_rows(db, linker, err);
    if (rc == STICPS_OK || rc == STICPS_ERR_FETCH)
        return rc;
    log_error("audit rows are not linked: %s", err->text);
    linker->next_attempt = monotonic_ms() + RETRY_MS;
    return STICPS_OK;
}

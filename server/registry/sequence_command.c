#include "server/registry/sequence_command.h"

#include "server/db/migrate.h"
#include "server/db/sync.h"
#include "server/registry/database.h"

#include <inttypes.h>
#include <stdio.h>

#define TIMEOUT_MS 10000
#define AUDIT_USER "sticps-registryd" /* who did it, in the audit trail */

static enum sticps_err raise_in(struct db_sync *db, enum list_kind kind, int64_t to,
                                struct sticps_error *err)
{
    char text[24];
    const char *params[] = {AUDIT_USER, list_kind_name(kind), text};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    snprintf(text, sizeof(text), "%" PRId64, to);
    if (db_sync_exec(db, "SELECT sequence_raise($1, $2, $3)", 3, params, TIMEOUT_MS, &result) !=
        DB_OK)
        rc = db_sync_fail(&result, "sequence", err);
    else if (db_text_or_null(result.rows, 0, 0) == NULL)
        rc = fail(err, STICPS_ERR_STATE, NULL,
                  "--to %" PRId64 ": the %s has come that far already, and its sequence only goes "
                  "upwards",
                  to, list_kind_name(kind));
    else
        printf("%s: the sequence was %s; the next publication is %" PRId64 "\n",
               list_kind_name(kind), db_text(result.rows, 0, 0), to + 1);
    db_sync_clear(&result);
    return rc;
}

enum sticps_err sequence_raise(const struct config *config, enum list_kind kind, int64_t to,
                               struct sticps_error *err)
{
    struct db_sync *db = NULL;
    enum sticps_err rc =
        database_connect(config, DATABASE_OWNER, "sticps-registryd sequence", TIMEOUT_MS, &db, err);

    if (rc == STICPS_OK)
        rc = db_migrate_check_session(db, err);
    if (rc == STICPS_OK)
        rc = raise_in(db, kind, to, err);
    db_sync_free(db);
    return rc;
}

#include "server/registry/database.h"

#include "server/db/migrate.h"
#include "server/db/sync.h"
#include "server/http/log.h"

#include <stdio.h>

#define TIMEOUT_MS 3000 /* shared by the hosts, if there are several: one may not answer */

const char *database_url(const struct config *config, enum database_role role)
{
    const struct config_database *database = &config->database;
    const char *url = role == DATABASE_OWNER        ? database->owner_url
                      : role == DATABASE_PUBLISHING ? database->publisher_url
                                                    : database->auditor_url;

    return url != NULL ? url : database->url;
}

enum sticps_err database_connect(const struct config *config, enum database_role role,
                                 const char *application_name, unsigned timeout_ms,
                                 struct db_sync **out, struct sticps_error *err)
{
    struct db_sync *db = NULL;
    struct db_result result;
    enum sticps_err rc =
        db_sync_connect(database_url(config, role), application_name, timeout_ms, &db, err);

    if (rc != STICPS_OK)
        return rc;
    if (db_sync_exec(db, "SELECT set_config('sticps.scope', '*', false)", 0, NULL, timeout_ms,
                     &result) != DB_OK)
        rc = db_sync_fail(&result, "the scope of the connection", err);
    db_sync_clear(&result);
    if (rc == STICPS_OK)
        *out = db;
    else
        db_sync_free(db);
    return rc;
}

/* One line of what the role may do too much, of `rows`, which has at least one. */
static void describe(const PGresult *rows, char *out, size_t size)
{
    int more = PQntuples(rows) - 3;
    size_t used = 0;

    for (int i = 0; i < PQntuples(rows) && i < 3 && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 db_text(rows, i, 0));
    if (more > 0 && used < size)
        snprintf(out + used, size - used, " and %d things more", more);
}

/* What the role of database.url may do beyond serving, "" for nothing. */
static enum sticps_err ask_excess(const struct config *config, char *excess, size_t size,
                                  struct sticps_error *err)
{
    struct db_sync *db = NULL;
    struct db_result result;
    enum sticps_err rc =
        db_sync_connect(config->database.url, "sticps-registryd", TIMEOUT_MS, &db, err);

    if (rc != STICPS_OK)
        return rc;
    if (db_sync_exec(db, "SELECT role_excess('sticps_serving')", 0, NULL, TIMEOUT_MS, &result) !=
        DB_OK)
        rc = db_sync_fail(&result, "database.url: its role cannot serve, run sticps-registryd init",
                          err);
    else if (PQntuples(result.rows) > 0)
        describe(result.rows, excess, size);
    db_sync_clear(&result);
    db_sync_free(db);
    return rc;
}

enum sticps_err database_check(const struct config *config, struct sticps_error *err)
{
    char excess[300] = "";
    struct db_sync *db = NULL;
    enum sticps_err rc = db_sync_connect(database_url(config, DATABASE_PUBLISHING),
                                         "sticps-registryd", TIMEOUT_MS, &db, err);

    if (rc == STICPS_OK)
        rc = db_migrate_check_session(db, err);
    db_sync_free(db);
    if (rc == STICPS_OK)
        rc = ask_excess(config, excess, sizeof(excess), err);
    if (rc != STICPS_OK || excess[0] == '\0')
        return rc;
    if (config->lab != CONFIG_ON)
        return fail(err, STICPS_ERR_STATE, "database.url",
                    "the role may do more than serve: it %s; give it the rights of sticps_serving "
                    "alone (docs/database.md)",
                    excess);
    log_warn("LAB SETTING: the role of database.url may do more than serve: it %s", excess);
    return STICPS_OK;
}

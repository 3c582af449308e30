#include "server/db/sync.h"

#include "server/db/conninfo.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct db_sync {
    PGconn *conn;
    PGnotify *notify; /* seen by db_sync_wait, not yet taken */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the connection's socket is ready. False at the deadline. */
static bool wait_socket(PGconn *conn, bool for_writing, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - now_ms();
        if (left <= 0)
            return false;
        struct pollfd polled = {.fd = PQsocket(conn),
                                .events = (short)(POLLIN | (for_writing ? POLLOUT : 0))};
        int ready = poll(&polled, 1, (int)(left > INT32_MAX ? INT32_MAX : left));
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

/* ---- connecting ---- */

static bool finish_connecting(PGconn *conn, int64_t deadline_ms)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (status != PGRES_POLLING_OK) {
        if (status == PGRES_POLLING_FAILED)
            return false;
        struct pollfd polled = {.fd = PQsocket(conn),
                                .events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int64_t left = deadline_ms - now_ms();
        int ready = left > 0 ? poll(&polled, 1, (int)left) : 0;
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return false;
        if (ready > 0)
            status = PQconnectPoll(conn);
    }
    return true;
}

/* One attempt, beginning with that host. */
static enum sticps_err connect_from(const char *conninfo, const char *application_name,
                                    unsigned host, unsigned timeout_ms, struct db_sync **out,
                                    struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    struct conninfo info;
    conninfo_fill(&info, conninfo, application_name, host);
    struct db_sync *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    int64_t deadline_ms = now_ms() + timeout_ms;
    db->conn = PQconnectStartParams(info.keywords, info.values, 1);
    struct db_result result = {0};
    if (db->conn == NULL || PQstatus(db->conn) == CONNECTION_BAD ||
        !finish_connecting(db->conn, deadline_ms)) {
        char why[400];
        conninfo_error(db->conn, why, sizeof(why));
        code = fail(err, STICPS_ERR_FETCH, "database", "cannot be reached: %s",
                    why[0] != '\0' ? why : "no answer in time");
        goto cleanup;
    }
    conninfo_quiet(db->conn, NULL);
    char session[512];
    /* No statement_timeout: a migration may take long, and each call has its own limit. */
    conninfo_session_sql(session, sizeof(session), 0);
    if (PQsetnonblocking(db->conn, 1) != 0 ||
        db_sync_script(db, session, timeout_ms, &result) != DB_OK) {
        code = db_sync_fail(&result, "cannot start a session", err);
        goto cleanup;
    }
    *out = db;
    db = NULL;
cleanup:
    db_sync_clear(&result);
    db_sync_free(db);
    return code;
}

enum sticps_err db_sync_connect(const char *conninfo, const char *application_name,
                                unsigned timeout_ms, struct db_sync **out, struct sticps_error *err)
{
    enum sticps_err code = conninfo_check(conninfo, err);
    if (code != STICPS_OK)
        return code;
    /* Each host may be the one that does not answer; the others then have their share of the time.
     * An attempt that fails before its time is over has asked all of them. */
    unsigned hosts = conninfo_hosts(conninfo), share_ms = timeout_ms / hosts;
    for (unsigned host = 0; host < hosts; host++) {
        int64_t began_ms = now_ms();
        code = connect_from(conninfo, application_name, host, share_ms, out, err);
        if (code != STICPS_ERR_FETCH || now_ms() - began_ms < share_ms)
            break;
    }
    return code;
}

void db_sync_free(struct db_sync *db)
{
    if (db == NULL)
        return;
    PQfreemem(db->notify);
    PQfinish(db->conn);
    free(db);
}

/* ---- statements ---- */

static bool flush_all(PGconn *conn, int64_t deadline_ms)
{
    int left;
    while ((left = PQflush(conn)) > 0) {
        /* The server may have to be rid of its output before it takes more input. */
        if (!wait_socket(conn, true, deadline_ms) || PQconsumeInput(conn) == 0)
            return false;
    }
    return left == 0;
}

/* Collects the results of what was sent; keeps the last, or the first error. NULL and *lost at the
 * deadline or when the connection breaks. */
static PGresult *collect(PGconn *conn, int64_t deadline_ms, bool *lost)
{
    PGresult *kept = NULL;
    bool failed = false;
    for (;;) {
        while (PQisBusy(conn)) {
            if (!wait_socket(conn, false, deadline_ms) || PQconsumeInput(conn) == 0) {
                *lost = true;
                PQclear(kept);
                return NULL;
            }
        }
        PGresult *next = PQgetResult(conn);
        if (next == NULL)
            return kept;
        if (failed) {
            PQclear(next);
            continue;
        }
        ExecStatusType status = PQresultStatus(next);
        failed =
            status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY;
        PQclear(kept);
        kept = next;
    }
}

static enum db_status finish(struct db_sync *db, int sent, unsigned timeout_ms,
                             struct db_result *out)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    bool lost = sent != 1 || !flush_all(db->conn, deadline_ms);
    PGresult *rows = lost ? NULL : collect(db->conn, deadline_ms, &lost);
    db_result_fill(out, rows, db->conn);
    out->rows = rows; /* also of an error: its texts live there until db_sync_clear */
    out->sent = sent == 1;
    if (lost && out->message[0] == '\0')
        out->message = "no answer in time";
    return out->status;
}

enum db_status db_sync_exec(struct db_sync *db, const char *sql, int params_len,
                            const char *const *params, unsigned timeout_ms, struct db_result *out)
{
    return finish(db, PQsendQueryParams(db->conn, sql, params_len, NULL, params, NULL, NULL, 0),
                  timeout_ms, out);
}

enum db_status db_sync_script(struct db_sync *db, const char *sql, unsigned timeout_ms,
                              struct db_result *out)
{
    return finish(db, PQsendQuery(db->conn, sql), timeout_ms, out);
}

void db_sync_clear(struct db_result *result)
{
    PQclear(result->rows);
    *result = (struct db_result){
        .status = DB_UNAVAILABLE, .message = "", .detail = "", .hint = "", .constraint = ""};
}

enum sticps_err db_sync_fail(const struct db_result *result, const char *what,
                             struct sticps_error *err)
{
    char message[300];
    snprintf(message, sizeof(message), "%s", result->message != NULL ? result->message : "");
    message[strcspn(message, "\n")] = '\0';
    return fail(err, result->status == DB_UNAVAILABLE ? STICPS_ERR_FETCH : STICPS_ERR_STATE,
                "database", "%s: %s%s%s%s", what, message[0] != '\0' ? message : "no answer",
                result->sqlstate[0] != '\0' ? " (SQLSTATE " : "", result->sqlstate,
                result->sqlstate[0] != '\0' ? ")" : "");
}

enum sticps_err db_sync_run(struct db_sync *db, const char *sql, int params_len,
                            const char *const *params, unsigned timeout_ms,
                            struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, sql, params_len, params, timeout_ms, &result) != DB_OK)
        rc = db_sync_fail(&result, sql, err);
    db_sync_clear(&result);
    return rc;
}

/* ---- waiting ---- */

/* Looks whether a NOTIFY has arrived; libpq only hands it out, so it is kept for
 * db_sync_notification. */
static bool have_notification(struct db_sync *db)
{
    if (db->notify == NULL)
        db->notify = PQnotifies(db->conn);
    return db->notify != NULL;
}

unsigned db_sync_wait(struct db_sync *db, int fd, int timeout_ms)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    for (;;) {
        /* One may have come in with the answer to a statement. */
        if (have_notification(db))
            return DB_WAIT_NOTIFIED;
        int64_t left = timeout_ms < 0 ? -1 : deadline_ms - now_ms();
        if (timeout_ms >= 0 && left < 0)
            left = 0;
        struct pollfd polled[2] = {{.fd = PQsocket(db->conn), .events = POLLIN},
                                   {.fd = fd, .events = POLLIN}};
        int ready = poll(polled, 2, (int)left);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready == 0 ? DB_WAIT_TIMEOUT : DB_WAIT_LOST;
        unsigned mask = polled[1].revents != 0 ? DB_WAIT_EVENT : 0;
        if (polled[0].revents != 0) {
            if (PQconsumeInput(db->conn) == 0 || PQstatus(db->conn) == CONNECTION_BAD)
                return mask | DB_WAIT_LOST;
            if (have_notification(db))
                mask |= DB_WAIT_NOTIFIED;
        }
        if (mask != 0)
            return mask;
    }
}

bool db_sync_notification(struct db_sync *db, char *channel, size_t channel_size, char *payload,
                          size_t payload_size)
{
    if (!have_notification(db))
        return false;
    if (channel != NULL)
        snprintf(channel, channel_size, "%s", db->notify->relname);
    if (payload != NULL)
        snprintf(payload, payload_size, "%s", db->notify->extra);
    PQfreemem(db->notify);
    db->notify = NULL;
    return true;
}

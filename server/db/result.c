#include "server/db/result.h"

#include <stdlib.h>
#include <string.h>

const char *db_text_or_null(const PGresult *rows, int row, int column)
{
    if (rows == NULL || row >= PQntuples(rows) || column >= PQnfields(rows) ||
        PQgetisnull(rows, row, column))
        return NULL;
    return PQgetvalue(rows, row, column);
}

const char *db_text(const PGresult *rows, int row, int column)
{
    const char *text = db_text_or_null(rows, row, column);
    return text != NULL ? text : "";
}

long long db_int(const PGresult *rows, int row, int column)
{
    return strtoll(db_text(rows, row, column), NULL, 10);
}

bool db_bool(const PGresult *rows, int row, int column)
{
    return db_text(rows, row, column)[0] == 't';
}

static const char *field(const PGresult *rows, int code)
{
    const char *text = rows != NULL ? PQresultErrorField(rows, code) : NULL;
    return text != NULL ? text : "";
}

/* Errors that say something about the moment and nothing about the statement: no connection,
 * resources, shutdown, timeout, system error, read-only standby, deadlock or a lock that was not to
 * be had, a prepared statement that another session has. */
static bool is_outage(const char *sqlstate)
{
    static const char *const prefixes[] = {"08",    "53",    "57P",   "57014", "58",   "25006",
                                           "40001", "40P01", "55P03", "26000", "42P05"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(sqlstate, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return sqlstate[0] == '\0';
}

void db_result_fill(struct db_result *out, PGresult *rows, const PGconn *conn)
{
    *out = (struct db_result){
        .status = DB_UNAVAILABLE, .message = "", .detail = "", .hint = "", .constraint = ""};
    ExecStatusType status = rows != NULL ? PQresultStatus(rows) : PGRES_FATAL_ERROR;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        out->status = DB_OK;
        out->rows = rows;
        return;
    }
    const char *sqlstate = field(rows, PG_DIAG_SQLSTATE);
    strncpy(out->sqlstate, sqlstate, sizeof(out->sqlstate) - 1);
    out->message = field(rows, PG_DIAG_MESSAGE_PRIMARY);
    out->detail = field(rows, PG_DIAG_MESSAGE_DETAIL);
    out->hint = field(rows, PG_DIAG_MESSAGE_HINT);
    out->constraint = field(rows, PG_DIAG_CONSTRAINT_NAME);
    if (out->message[0] == '\0')
        out->message = conn != NULL ? PQerrorMessage(conn) : "no connection";
    out->status = is_outage(out->sqlstate) ? DB_UNAVAILABLE : DB_SQL_ERROR;
}

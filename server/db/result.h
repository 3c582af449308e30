/* What became of a query, for the asynchronous pool and the blocking connection alike. */
#ifndef SERVER_DB_RESULT_H
#define SERVER_DB_RESULT_H

#include <libpq-fe.h>
#include <stdbool.h>

enum db_status {
    DB_OK,         /* `rows` holds the answer */
    DB_SQL_ERROR,  /* the server refused: sqlstate and message say why; nothing was changed */
    DB_UNAVAILABLE /* no connection, lost, queue full, deadline. When `sent`, a write may have
                      happened */
};

struct db_result {
    enum db_status status;
    PGresult *rows;      /* DB_OK only, else NULL; freed by the pool after the callback */
    bool sent;           /* the query reached a connection */
    char sqlstate[6];    /* "23505"; "" when there is none */
    const char *message; /* for logs; "" when there is none; so are the next three */
    const char *detail;
    const char *hint;
    const char *constraint;
};

/* A field as text: "" for SQL NULL or when there is no such row. Borrowed from the rows. */
const char *db_text(const PGresult *rows, int row, int column);
/* NULL for SQL NULL. */
const char *db_text_or_null(const PGresult *rows, int row, int column);
/* A field as an integer; 0 for SQL NULL and for what is none. */
long long db_int(const PGresult *rows, int row, int column);
bool db_bool(const PGresult *rows, int row, int column);

/* Fills a result from what libpq gave; `rows` may be NULL. The texts borrow from `rows`, or from
 * `conn` when there are no rows. SQLSTATE 08…, 53… (resources), 57P… (shutdown, crash),
 * 57014 (timeout), 58… (system), 25006 (read-only standby), 40001, 40P01 and 55P03 (locks), 26000
 * and 42P05 (another session) count as DB_UNAVAILABLE: worth trying again; all else that is no
 * success is DB_SQL_ERROR. */
void db_result_fill(struct db_result *out, PGresult *rows, const PGconn *conn);

#endif

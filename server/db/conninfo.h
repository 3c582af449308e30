/* Connection strings: what is added to the operator's, and errors that do not repeat it. */
#ifndef SERVER_DB_CONNINFO_H
#define SERVER_DB_CONNINFO_H

#include "common/error.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#define CONNINFO_MAX 16
#define CONNINFO_HOSTS_SIZE 1024 /* a longer list is never turned */

/* Keywords and values for PQconnectStartParams: our defaults first (UTF-8, keepalives,
 * tcp_user_timeout, application_name), the operator's string after them, so that it wins. Borrows
 * both texts, and points into itself: not to be copied.
 *
 * `first`: at which of several hosts to begin, counted from 0 and modulo their number. libpq tries
 * them in order, but without blocking it never gives up on one that does not answer; so whoever
 * runs out of time begins at the next one. */
struct conninfo {
    const char *keywords[CONNINFO_MAX];
    const char *values[CONNINFO_MAX];
    char turned[3][CONNINFO_HOSTS_SIZE]; /* host, hostaddr, port */
};
void conninfo_fill(struct conninfo *out, const char *conninfo, const char *application_name,
                   unsigned first);

/* How many hosts the string names; at least 1. */
unsigned conninfo_hosts(const char *conninfo);

/* STICPS_ERR_USAGE when libpq cannot read it; libpq's own text would quote a misplaced password. */
enum sticps_err conninfo_check(const char *conninfo, struct sticps_error *err) STICPS_MUST_CHECK;

/* What is set on every new connection, one text for PQsendQuery. */
void conninfo_session_sql(char *out, size_t size, unsigned statement_timeout_ms);

/* Keeps notices off stderr. A quiet session's end is announced as a notice of severity FATAL:
 * `*ended`, when not NULL, is set by it. */
void conninfo_quiet(PGconn *conn, bool *ended);

/* The connection's last error on one line, without its line break; cut to fit. */
void conninfo_error(const PGconn *conn, char *out, size_t size);

#endif

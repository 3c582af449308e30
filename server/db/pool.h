/* Asynchronous queries on an h2o loop. One pool per server thread (made in thread_start, freed in
 * thread_stop), some connections each; nothing is shared between threads and nothing blocks.
 *
 * A connection is opened at once and opened again with a growing pause (100 ms to 5 s, with jitter)
 * for as long as the server is away. A query takes a free connection or waits in a bounded queue. A
 * statement is prepared by its name the first time that a connection meets it. One query at a time
 * is under way on a connection (docs/decisions/38-no-query-pipelining.md). */
#ifndef SERVER_DB_POOL_H
#define SERVER_DB_POOL_H

#include "common/error.h"
#include "server/db/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct st_h2o_evloop_t;
struct db_pool;

struct db_pool_options {
    const char *conninfo; /* libpq's; copied; its password is never logged. A host name is looked
                             up while the loop waits: give addresses, or a local resolver */
    unsigned connections; /* 0: 4 */
    size_t queue_max;     /* waiting queries; 0: 1,024 */
    unsigned statement_timeout_ms; /* set on the server, but see sessions_change; 0: 4,000 */
    unsigned connect_timeout_ms;   /* for one attempt; 0: 3,000 */
    const char *application_name;  /* "sticps-registryd"; may be NULL */
    bool sessions_change; /* the server's session may be another one for each statement, as behind
                             PgBouncer with pool_mode = transaction: nothing is prepared and nothing
                             is set in it, so its role must bring statement_timeout */
    void (*log)(bool good, const char *text); /* connection lost and found again; may be NULL */
};

enum sticps_err db_pool_new(struct st_h2o_evloop_t *loop, const struct db_pool_options *options,
                            struct db_pool **out, struct sticps_error *err) STICPS_MUST_CHECK;

/* Calls back every query still waiting or running with DB_UNAVAILABLE, closes everything. On the
 * loop's thread, not from a callback. Accepts NULL. */
void db_pool_free(struct db_pool *pool);

/* A statement with a fixed name: prepared once per connection. Static storage. */
struct db_statement {
    const char *name;
    const char *sql; /* "select * from put_entry($1, $2, $3)" */
    int params;
};

typedef void db_callback(const struct db_result *result, void *arg);

/* Runs a statement. `params` are texts, NULL for SQL NULL; copied. `deadline_ms`: time in the queue
 * and on the server together, 0: statement_timeout_ms + 500. The callback runs exactly once on the
 * loop's thread: later, or before db_query returns when the queue is full or nothing can be
 * reached. It may start queries, and must not free the pool.
 *
 * While no connection is open, queries wait for one second of the outage and are refused at once
 * after it. A query that was never sent goes over another connection when its own is lost; one that
 * was sent never does.
 *
 * A statement that does not answer in time is cancelled by the server's statement_timeout; if the
 * server stays silent the connection is dropped at the deadline. */
void db_query(struct db_pool *pool, const struct db_statement *statement, const char *const *params,
              unsigned deadline_ms, db_callback *callback, void *arg);

struct db_pool_state {
    unsigned connected; /* open connections */
    unsigned busy;      /* of these, with a query */
    size_t queued;
    uint64_t queries;  /* finished, all */
    uint64_t failures; /* of these, DB_UNAVAILABLE */
};
void db_pool_state(const struct db_pool *pool, struct db_pool_state *out);

#endif

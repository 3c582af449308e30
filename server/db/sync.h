/* A connection for a thread that may block (the publisher, start-up, tools), with a time limit on
 * every call. Not shared between threads. */
#ifndef SERVER_DB_SYNC_H
#define SERVER_DB_SYNC_H

#include "common/error.h"
#include "server/db/result.h"

#include <stdbool.h>
#include <stddef.h>

struct db_sync;

/* STICPS_ERR_FETCH when the server cannot be reached in time, STICPS_ERR_USAGE for a bad conninfo.
 * The text never holds the password. */
enum sticps_err db_sync_connect(const char *conninfo, const char *application_name,
                                unsigned timeout_ms, struct db_sync **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;
void db_sync_free(struct db_sync *db); /* accepts NULL; closes, so ends any transaction and lock */

/* A result of db_sync_exec and db_sync_script keeps its `rows` also on an error, for its texts.
 *
 * One statement with text parameters (NULL for SQL NULL). The caller clears *out (db_sync_clear)
 * whatever its status. DB_UNAVAILABLE: the connection is of no more use; free it. `out` is never
 * left unset. */
enum db_status db_sync_exec(struct db_sync *db, const char *sql, int params_len,
                            const char *const *params, unsigned timeout_ms, struct db_result *out);
/* The same where the rows do not matter; the error is db_sync_fail's, with the statement. */
enum sticps_err db_sync_run(struct db_sync *db, const char *sql, int params_len,
                            const char *const *params, unsigned timeout_ms,
                            struct sticps_error *err) STICPS_MUST_CHECK;
/* Several statements in one text, no parameters; the last one's result. */
enum db_status db_sync_script(struct db_sync *db, const char *sql, unsigned timeout_ms,
                              struct db_result *out);
void db_sync_clear(struct db_result *result);

/* Fills `err` from a result, for callers that report upwards: STICPS_ERR_FETCH when unavailable,
 * else STICPS_ERR_STATE. */
enum sticps_err db_sync_fail(const struct db_result *result, const char *what,
                             struct sticps_error *err);

#define DB_WAIT_NOTIFIED 1u /* at least one NOTIFY arrived; take them with db_sync_notification */
#define DB_WAIT_EVENT 2u    /* `fd` became readable (and was not read) */
#define DB_WAIT_TIMEOUT 4u
#define DB_WAIT_LOST 8u /* the connection is gone */

/* Waits for a NOTIFY, for `fd` (an eventfd; -1: none), or for `timeout_ms` (negative: for ever). A
 * mask of DB_WAIT_*, never 0. */
unsigned db_sync_wait(struct db_sync *db, int fd, int timeout_ms);
/* Takes the next notification: false when there is none. Texts are cut to fit; either may be NULL.
 */
bool db_sync_notification(struct db_sync *db, char *channel, size_t channel_size, char *payload,
                          size_t payload_size);

#endif

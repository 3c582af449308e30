/* The schema's numbered steps, applied once each and in order.
 *
 * sql/NNN_name.sql are built into the program. Under an advisory lock, and each in a transaction of
 * its own together with its row in the table schema_migration (number, name, sha256, applied_at),
 * the missing ones are run. Refused: an applied step whose text changed since, a step that the
 * program does not know (the database is newer than the program), a gap. */
#ifndef SERVER_DB_MIGRATE_H
#define SERVER_DB_MIGRATE_H

#include "common/error.h"

#include <stddef.h>

struct db_sync;

struct migration {
    const char *name; /* "001_accounts.sql" */
    const char *text; /* NUL-terminated */
    size_t len;
};

/* Those of sql/, sorted by name; generated at build time. */
extern const struct migration migrations[];
extern const size_t migrations_len;

/* Brings the database up to date. `*applied` (may be NULL): how many steps were run.
 * STICPS_ERR_FETCH: not reached, or another program holds the lock for more than 60 s;
 * STICPS_ERR_STATE: refused, or a step failed (the text says which and why); nothing of that step
 * stays. */
enum sticps_err db_migrate(const char *conninfo, size_t *applied,
                           struct sticps_error *err) STICPS_MUST_CHECK;
/* The same with a list of the caller's, for tests. */
enum sticps_err db_migrate_list(const char *conninfo, const struct migration *list, size_t len,
                                size_t *applied, struct sticps_error *err) STICPS_MUST_CHECK;
/* Without changing anything: STICPS_OK when the schema is exactly this program's. */
enum sticps_err db_migrate_check(const char *conninfo, struct sticps_error *err) STICPS_MUST_CHECK;
/* The same over a connection that is there. */
enum sticps_err db_migrate_check_session(struct db_sync *db,
                                         struct sticps_error *err) STICPS_MUST_CHECK;

#endif

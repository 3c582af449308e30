#include "server/registry/floor_check.h"

#include "server/db/sync.h"
#include "server/registry/publication.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* `to`: to which the sequence has to be raised, when no newer database is to be had. */
static enum sticps_err refuse(const struct floor_mark *mark, enum list_kind kind, bool behind,
                              int64_t last, int64_t to, struct sticps_error *err)
{
    const char *name = list_kind_name(kind);
    char found[420];

    if (behind)
        snprintf(found, sizeof(found),
                 "the database ends with %s %" PRId64 ", but %s has seen %" PRId64
                 ": it was put back to an earlier state. Restore a newer backup",
                 name, last, mark->source, mark->sequence);
    else
        snprintf(found, sizeof(found),
                 "the %s %" PRId64
                 " that %s has seen is not the one in the database: there are, or "
                 "were, two databases. Use the right one",
                 name, mark->sequence, mark->source);
    return fail(err, STICPS_ERR_STATE, NULL,
                "%s; if there is none, run: sticps-registryd sequence raise --list %s --to "
                "%" PRId64 " (the highest that any node names; more does no harm)",
                found, name, to);
}

static enum sticps_err check_mark(struct db_sync *db, const struct floor_mark *mark,
                                  enum list_kind kind, int64_t highest, struct sticps_error *err)
{
    char sequence[24];
    const char *params[] = {list_kind_name(kind), sequence, mark->sha256};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    snprintf(sequence, sizeof(sequence), "%" PRId64, mark->sequence);
    if (db_sync_exec(db, "SELECT verdict, last FROM sequence_check($1, $2, $3)", 3, params,
                     PUBLICATION_TIMEOUT_MS, &result) != DB_OK) {
        rc = db_sync_fail(&result, "sequence floor", err);
    } else if (db_text_or_null(result.rows, 0, 0) != NULL) {
        bool behind = strcmp(db_text(result.rows, 0, 0), "BEHIND") == 0;
        int64_t last = db_int(result.rows, 0, 1);

        rc = refuse(mark, kind, behind, last, highest > last ? highest : last + 1, err);
    }
    db_sync_clear(&result);
    return rc;
}

enum sticps_err floor_check(struct db_sync *db, struct sequence_floor *floor, enum list_kind kind,
                            struct sticps_error *err)
{
    struct floor_mark marks[FLOOR_SOURCES];
    size_t len = sequence_floor_marks(floor, kind, marks);
    enum sticps_err rc = STICPS_OK;
    int64_t highest = 0;

    for (size_t i = 0; i < len; i++)
        if (marks[i].sequence > highest)
            highest = marks[i].sequence;
    for (size_t i = 0; i < len && rc == STICPS_OK; i++)
        rc = check_mark(db, &marks[i], kind, highest, err);
    return rc;
}

#include "server/registry/lease.h"

#include "server/db/sync.h"
#include "server/registry/publication.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

/* One row of a function. The caller clears *result, whatever comes back. */
static enum sticps_err call(struct db_sync *db, const char *sql, int params_len, int64_t first,
                            int64_t second, struct db_result *result, struct sticps_error *err)
{
    char texts[2][24];
    const char *params[] = {texts[0], texts[1]};

    snprintf(texts[0], sizeof(texts[0]), "%" PRId64, first);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, second);
    if (db_sync_exec(db, sql, params_len, params, PUBLICATION_TIMEOUT_MS, result) != DB_OK)
        return db_sync_fail(result, "lease of the publisher", err);
    if (PQntuples(result->rows) != 1)
        return fail(err, STICPS_ERR_STATE, NULL, "publisher_lease has no row");
    return STICPS_OK;
}

static enum sticps_err renew(struct db_sync *db, struct lease *lease, uint64_t now_ms,
                             struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = call(db, "SELECT lease_renew($1)", 1, lease->term, 0, &result, err);

    if (rc == STICPS_OK && db_bool(result.rows, 0, 0))
        lease->next_renewal = now_ms + LEASE_RENEW_MS;
    else
        *lease = (struct lease){0};
    db_sync_clear(&result);
    return rc;
}

/* Has the holder had its time? Notes what is seen of it. */
static enum sticps_err watch(struct db_sync *db, struct lease *lease, uint64_t now_ms, bool *over,
                             struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc =
        call(db, "SELECT term, beat, vacant FROM lease_look()", 0, 0, 0, &result, err);

    if (rc == STICPS_OK) {
        int64_t term = db_int(result.rows, 0, 0), beat = db_int(result.rows, 0, 1);

        if (lease->seen_at == 0 || term != lease->seen_term || beat != lease->seen_beat)
            *lease = (struct lease){.seen_term = term, .seen_beat = beat, .seen_at = now_ms};
        *over = db_bool(result.rows, 0, 2) || now_ms - lease->seen_at >= LEASE_WAIT_MS;
    }
    db_sync_clear(&result);
    return rc;
}

/* Only one of those who try finds the lease as it has seen it. */
static enum sticps_err take(struct db_sync *db, struct lease *lease, uint64_t now_ms,
                            struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc =
        call(db, "SELECT lease_take($1, $2)", 2, lease->seen_term, lease->seen_beat, &result, err);

    if (rc == STICPS_OK && db_text_or_null(result.rows, 0, 0) != NULL)
        *lease = (struct lease){.term = db_int(result.rows, 0, 0),
                                .next_renewal = now_ms + LEASE_RENEW_MS};
    db_sync_clear(&result);
    return rc;
}

enum sticps_err lease_step(struct db_sync *db, struct lease *lease, uint64_t now_ms,
                           struct sticps_error *err)
{
    bool over = false;

    if (lease->term != 0)
        return now_ms < lease->next_renewal ? STICPS_OK : renew(db, lease, now_ms, err);
    enum sticps_err rc = watch(db, lease, now_ms, &over, err);
    return rc == STICPS_OK && over ? take(db, lease, now_ms, err) : rc;
}

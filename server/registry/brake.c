#include "server/registry/brake.h"

#include "common/json_write.h"
#include "server/db/sync.h"
#include "server/registry/publication.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REMOVED_SHOWN 100 /* of the lost entries; `publish --dry-run` names them all */

enum sticps_err brake_read_list(struct db_sync *db, enum list_kind kind, int64_t sequence,
                                struct list_content **out, struct sticps_error *err)
{
    char number[24];
    struct db_result result;
    enum sticps_err rc;

    snprintf(number, sizeof(number), "%" PRId64, sequence);
    const char *params[] = {list_kind_name(kind), number};
    if (db_sync_exec(db, "SELECT jws FROM publication WHERE kind = $1 AND sequence = $2", 2, params,
                     PUBLICATION_TIMEOUT_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "last publication", err);
    else if (PQntuples(result.rows) != 1)
        rc = fail(err, STICPS_ERR_STATE, NULL, "there is no publication %" PRId64 " of the %s",
                  sequence, list_kind_name(kind));
    else
        rc = list_content_parse(kind, db_text(result.rows, 0, 0),
                                strlen(db_text(result.rows, 0, 0)), out, err);
    db_sync_clear(&result);
    return rc;
}

enum sticps_err brake_removed(const struct list_items *before, const struct list_items *after,
                              char **out, struct sticps_error *err)
{
    struct list_walk walk = {before, after, 0, 0};
    const struct list_item *old, *new;
    struct json_write removed;
    enum list_change change;
    size_t shown = 0;

    json_write_init(&removed, 1024);
    json_write_raw(&removed, "{", 1);
    while (shown < REMOVED_SHOWN && list_walk_next(&walk, &change, &old, &new)) {
        if (change != LIST_REMOVED)
            continue;
        if (shown++ > 0)
            json_write_raw(&removed, ",", 1);
        json_write_raw(&removed, old->key, strlen(old->key));
    }
    json_write_raw(&removed, "}", 2); /* with its NUL */
    enum sticps_err rc = json_write_check(&removed, err);
    if (rc == STICPS_OK)
        *out = removed.data;
    else
        json_write_clear(&removed);
    return rc;
}

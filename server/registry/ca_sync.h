/* Takes the directory of STI-CAs over into the database, where trustList is published from: each
 * addition and removal with its audit row, in one transaction. The database keeps the last good
 * set, so that a directory that cannot be read changes nothing, whichever node publishes. Called by
 * the publisher thread of the elected node. */
#ifndef REGISTRY_CA_SYNC_H
#define REGISTRY_CA_SYNC_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct db_sync;

struct ca_sync {
    char taken[65]; /* SHA-256 of the set that is in the database; "" to take it over again */
};

/* `term` of the lease, by which this node publishes. `now` in Unix seconds, for the warnings.
 * `*changed`: the database holds other certificates than before.
 *
 * STICPS_ERR_FETCH: the connection is of no more use. STICPS_ERR_FILE: the directory cannot be
 * taken (ca_directory); nothing was changed. */
enum sticps_err ca_sync_run(struct ca_sync *sync, struct db_sync *db, int64_t term,
                            const char *directory, int64_t now, bool *changed,
                            struct sticps_error *err) STICPS_MUST_CHECK;

#endif

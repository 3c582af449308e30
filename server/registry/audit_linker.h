/* Brings new audit rows into the hash chain (docs/transparency.md). The rules are in
 * sql/…_transparency.sql; here is only what must outlive a transaction: the mark. It is kept in
 * memory because a transaction number means nothing in a database that was restored elsewhere.
 * Called by the publisher thread of the elected node. */
#ifndef REGISTRY_AUDIT_LINKER_H
#define REGISTRY_AUDIT_LINKER_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct db_sync;

/* Starts as {0}, and again with every new connection. */
struct audit_linker {
    bool marked;
    char upto[24], horizon[24]; /* of audit_mark */
    uint64_t next_attempt;      /* monotonic ms; after a failure */
};

/* One step: links what is ready, and marks what is new. Cheap when there is nothing to do. What the
 * database refuses is logged and tried again after a minute: it is no reason to stop publishing.
 * STICPS_ERR_FETCH, and no other error: the connection is of no more use. */
enum sticps_err audit_linker_step(struct db_sync *db, struct audit_linker *linker,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif

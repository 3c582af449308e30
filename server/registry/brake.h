/* The brake's part of a publication: what the last list said, and what is held back and why, in the
 * database (sql/017_brake.sql). Called by publication, inside its transaction, under the lock on
 * list_state. The rule itself is in list_diff. */
#ifndef REGISTRY_BRAKE_H
#define REGISTRY_BRAKE_H

#include "common/error.h"
#include "server/registry/list_diff.h"

#include <stdint.h>

struct db_sync;

/* The publication of that number, as a content. STICPS_ERR_FETCH: the connection is of no more use.
 * The caller owns *out (list_content_free). */
enum sticps_err brake_read_list(struct db_sync *db, enum list_kind kind, int64_t sequence,
                                struct list_content **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* Notes that `after` is held back, for every node to see. Audited when the loss is a new one; a
 * confirmation of another loss and a request to publish are void from now on. */
enum sticps_err brake_hold(struct db_sync *db, enum list_kind kind, const struct list_loss *loss,
                           const struct list_items *before, const struct list_items *after,
                           struct sticps_error *err) STICPS_MUST_CHECK;

/* Notes that nothing is held back any more. */
enum sticps_err brake_release(struct db_sync *db, enum list_kind kind,
                              struct sticps_error *err) STICPS_MUST_CHECK;

#endif

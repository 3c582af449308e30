/* The brake's part of a publication: what the last list said, and what is lost against it. What is
 * held back and why is kept by the database (sql/017_brake.sql), the rule itself is in list_diff.
 * Called by publication. */
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

/* The first of those that `after` has lost, as an array literal of PostgreSQL: SPCs and
 * fingerprints need no quoting. The caller frees *out. */
enum sticps_err brake_removed(const struct list_items *before, const struct list_items *after,
                              char **out, struct sticps_error *err) STICPS_MUST_CHECK;

#endif

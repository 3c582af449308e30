/* Whether the database has come as far as every list that was seen (sequence_floor.h). By the
 * publisher's thread: at each look on every node, and again within each publication. */
#ifndef REGISTRY_FLOOR_CHECK_H
#define REGISTRY_FLOOR_CHECK_H

#include "common/error.h"
#include "server/registry/sequence_floor.h"

struct db_sync;

/* STICPS_ERR_STATE when it has not, or holds another list under one of these numbers: the text says
 * what was found, where, and what to do. STICPS_ERR_FETCH: the connection is of no more use. */
enum sticps_err floor_check(struct db_sync *db, struct sequence_floor *floor, enum list_kind kind,
                            struct sticps_error *err) STICPS_MUST_CHECK;

#endif

/* Which node publishes (docs/decisions/03). The lease is a row of the database; this module keeps
 * it alive on the node that has it, and watches it on the others. It decides who works, and never
 * whether a publication is right: each publication checks its term in its own transaction
 * (lease_hold in sql/), so a holder that was paused, cut off or replaced cannot publish however
 * late it learns of it. Time is the monotonic clock of the node that waits, and no other.
 *
 * Called by the publisher's thread. */
#ifndef REGISTRY_LEASE_H
#define REGISTRY_LEASE_H

#include "common/error.h"

#include <stdint.h>

struct db_sync;

#define LEASE_RENEW_MS 1000
#define LEASE_WAIT_MS 3000 /* without a renewal, then it is taken over */

/* Starts as {0}, and again with every new connection: what was known may be of another server. */
struct lease {
    int64_t term;                 /* ours, 0: another node's */
    int64_t seen_term, seen_beat; /* of the holder, at the last look; 0: not looked yet */
    uint64_t seen_at;             /* monotonic ms, when that beat was first seen */
    uint64_t next_renewal;        /* monotonic ms */
};

/* One step, several times a second: renews the lease when it is ours and due, or looks at it and
 * takes it over. lease->term says what came of it. An error (STICPS_ERR_FETCH when the connection
 * is of no more use) leaves the outcome unknown: drop the connection and start with {0}. */
enum sticps_err lease_step(struct db_sync *db, struct lease *lease, uint64_t now_ms,
                           struct sticps_error *err) STICPS_MUST_CHECK;

#endif

/* One publication of either kind: the entries are read and checked once more, the list is signed
 * under the next sequence number, and stored by one statement that refuses when the lease or the
 * sequence has moved meanwhile (DESIGN decision 2). No transaction stays open between two
 * statements. Nothing is served from here. Called by the publisher thread of the elected node. */
#ifndef REGISTRY_PUBLICATION_H
#define REGISTRY_PUBLICATION_H

#include "common/error.h"
#include "common/url.h"
#include "server/registry/list_diff.h"
#include "server/registry/published_list.h"
#include "server/registry/signer.h"

#include <stdbool.h>
#include <stdint.h>

struct db_sync;
struct sequence_floor;

#define PUBLICATION_TIMEOUT_MS 5000 /* for each statement */

struct publication_order {
    enum list_kind kind;
    struct sequence_floor *floor;
    int64_t term; /* of the lease, by which this node publishes */
    const struct signer *signer;
    const struct url_rules *rules; /* for cpsMapping */
    int64_t now;                   /* Unix seconds */
    int64_t exp;                   /* of the new list, Unix seconds */
    const char *reason;            /* first, change, period, request, signer */
    bool only_if_changed;          /* no new list when it would say what the last one says */
    const struct config_brake *brake;
    const struct list_content *last; /* spares reading it, where it is the last one; or NULL */
    bool keep_alive; /* the last list needs a successor, and be it with its own content */
};

struct publication_done {
    int64_t sequence; /* of the new list; 0 when nothing had changed; -1 when another node has taken
                         over or was faster: nothing was done */
    uint64_t build_us;     /* of the publisher's own work: rules, payload, signature */
    struct list_loss held; /* what the brake holds back; .lost is 0 when it holds nothing */
};

/* Where nothing had changed, no new list is stored; entries that wait for their first publication
 * are marked all the same. Where the brake holds, nothing of what is new is published; with
 * keep_alive the last content is signed once more, under the reason "held".
 *
 * STICPS_ERR_FETCH: the connection is of no more use and the outcome may be unknown: drop it and
 * read the state again before anything else. Any other error: nothing was changed. An entry that
 * breaks the rules (STICPS_ERR_SPC, STICPS_ERR_URL) is never published and stops the publication:
 * leaving one SP out in silence would be worse than a list that is a little older. An empty
 * trustList is never published (STICPS_ERR_STATE). */
enum sticps_err publication_make(struct db_sync *db, const struct publication_order *order,
                                 struct publication_done *done,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif

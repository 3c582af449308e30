/* The publisher: a thread with a connection of its own. On every node it watches for new
 * publications of both kinds and puts them up on the list board; on the one that holds the advisory
 * lock it also publishes: the first list, on a change (debounced), each period, on request, and
 * when the last list is signed by another key. trustList is published where config names a
 * directory of STI-CAs, which is read every few seconds.
 *
 * The connection may go at any instant. What became of a COMMIT is then unknown, so the thread
 * starts over: connects, reads the state, and only then decides. It also brings the key of the
 * access tokens, and knows best whether the node is ready. */
#ifndef REGISTRY_PUBLISHER_H
#define REGISTRY_PUBLISHER_H

#include "common/error.h"
#include "server/registry/list_diff.h"
#include "server/registry/published_list.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct publisher;

struct publisher_status {
    bool database;    /* reached at the last look, and of the right schema */
    bool leader;      /* this node publishes */
    int64_t sequence; /* the last cpsMapping known, 0 for none */
    int64_t exp;
    int64_t created; /* of that publication, Unix seconds */
    int64_t entries;
    char database_trouble[256];        /* "" when all is well */
    char trouble[LIST_KINDS][512];     /* of publishing each kind; the same */
    struct list_loss held[LIST_KINDS]; /* what the brake holds back; .lost is 0 for nothing */
};

/* Starts the thread. `daemon` is borrowed until publisher_stop; clock, config, signer, url_rules,
 * sessions and board are used. */
enum sticps_err publisher_start(struct daemon *daemon, struct publisher **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;
/* Ends the thread, after the publication in hand. Accepts NULL. */
void publisher_stop(struct publisher *publisher);

/* Reads the directory of STI-CAs within a moment, rather than when its time has come. Any thread.
 */
void publisher_look(struct publisher *publisher);

/* Any thread; takes a lock, so not for the path of a list request. */
void publisher_status(struct publisher *publisher, struct publisher_status *out);

#endif

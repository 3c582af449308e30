/* What the modules of the publisher's thread share, and nobody else: publisher (the loop: what is
 * loaded, who leads, what is published), publisher_link (the connection, and what others are told)
 * and publisher_due (when a list is to be published). Everything here runs on that thread, apart
 * from what struct publisher_status and the atomics hold. */
#ifndef REGISTRY_PUBLISHER_INTERNAL_H
#define REGISTRY_PUBLISHER_INTERNAL_H

#include "server/db/sync.h"
#include "server/registry/audit_linker.h"
#include "server/registry/ca_sync.h"
#include "server/registry/config.h"
#include "server/registry/lease.h"
#include "server/registry/publisher.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the thread knows of one kind of list. */
struct track {
    int64_t sequence, exp, created; /* of the last publication */
    bool ours;                      /* it is signed by our key under our x5u */
    bool changed;                   /* something differs from it, or may */
    uint64_t changed_at;            /* monotonic ms */
    uint64_t next_attempt;          /* monotonic ms; after a failure */
    uint64_t complained_at;
    uint64_t held_said_at;     /* monotonic ms; that the brake holds */
    struct list_content *last; /* of the last publication, where this node leads; or NULL */
    bool floored; /* the database has not come as far as what was seen, at the last look */
};

struct publisher {
    struct daemon *daemon;
    pthread_t thread;
    int stop_fd;
    atomic_bool stopping;
    pthread_mutex_t lock; /* over status */
    struct publisher_status status;

    /* the thread's own */
    struct db_sync *db;
    struct lease lease;
    bool leader; /* the lease is ours, as of the last look */
    struct track tracks[LIST_KINDS];
    uint64_t looked_at; /* monotonic ms; when the last look began */
    uint64_t next_housekeeping, next_warning;
    struct audit_linker linker;
    struct ca_sync cas;
    bool cas_failed; /* the directory could not be taken at the last look */
    uint64_t next_ca_look;
    atomic_bool look_now;
};

/* ---- publisher_link.c ---- */

/* Connects, checks the schema, listens for news, brings the key of the access tokens, and puts the
 * signers' certificates where every node can serve them. False when that did not work; why is in
 * the status and the log. */
bool publisher_connect(struct publisher *p);
/* Is the leader no more, and knows nothing of who is. */
void publisher_resign(struct publisher *p);
/* Resigns, and closes the connection. */
void publisher_disconnect(struct publisher *p, const char *why);
/* A query on the live connection. False when the connection was lost or the server refused; then it
 * is closed and everything starts over. The caller clears *result when true. */
bool publisher_ask(struct publisher *p, const char *sql, int params_len, const char *const *params,
                   struct db_result *result);

/* Whether the database was reached, and if not, why. Logged when it is new. */
void publisher_set_database(struct publisher *p, bool up, const char *trouble);
/* Publishing a kind has failed, or works ("" for trouble). Logged when it is new, and once a
 * minute. */
void publisher_set_trouble(struct publisher *p, enum list_kind kind, const char *trouble);

/* What the brake holds back of a kind, as the database has it; .lost is 0 for nothing. Logged when
 * it is new, and once a minute on the node that publishes. */
void publisher_set_held(struct publisher *p, enum list_kind kind, const struct list_loss *held);

/* ---- publisher_due.c ---- */

/* Why to publish now, or NULL: first, signer, request, period, change. */
const char *publisher_due(const struct publisher *p, enum list_kind kind, bool requested);
/* For how many ms nothing is due, as far as is known; `limit` at most. */
int publisher_wait(const struct publisher *p, int limit);
/* exp of a list published now, Unix seconds. */
int64_t publisher_exp(const struct publisher *p, enum list_kind kind);

#endif

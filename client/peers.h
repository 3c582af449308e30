/* The CPSs that deliveries go to, one by one: how much is under way to each, and whether it is
 * worth asking at all. A CPS that fails again and again is left in peace for a while, so that calls
 * to its provider are not held up by it and calls to others do not lose their place to it; so is
 * one that asks for it (Retry-After). Called by sending.c, in the loop's thread; peers_list in any.
 * Time is passed in.
 *
 * After PEER_FAILURES failures in a row, without an answer in between, a peer is paused for one
 * second. Then one request may try; when that fails too, the pause doubles, up to 30 s; any answer
 * ends it. */
#ifndef CLIENT_PEERS_H
#define CLIENT_PEERS_H

#include "common/url.h"

#include <stddef.h>
#include <stdint.h>

#define PEER_FAILURES 5
#define PEER_PAUSE_MS 1000         /* the first pause */
#define PEER_PAUSE_MAX_MS 30000    /* the longest for failures */
#define PEER_RETRY_AFTER_MAX_S 300 /* the longest that a peer may ask for */
#define PEERS_KEPT 4096            /* with something to remember */

struct peers;
struct peer;

/* `limit`: requests under way to one peer at most. NULL when out of memory. */
struct peers *peers_new(unsigned limit);
void peers_free(struct peers *peers); /* accepts NULL; whoever entered has left */

enum peer_entry {
    PEER_ENTERED, /* *out is the caller's until peers_leave */
    PEER_PAUSED,  /* *wait_ms says for how long */
    PEER_FULL,    /* `limit` requests are under way */
    PEER_NO_MEMORY
};

/* `url` names host and port; `now` is loop_now(). */
enum peer_entry peers_enter(struct peers *peers, const struct url *url, uint64_t now,
                            struct peer **out, uint64_t *wait_ms);

enum peer_outcome {
    PEER_ANSWERED, /* it lives, whatever it said */
    PEER_FAILED,   /* no answer, or one that says it is ill */
    PEER_UNKNOWN   /* ended by this side; says nothing about the peer */
};

/* `retry_after` in seconds, as the peer asked; -1 when it did not. True when this has paused it. */
bool peers_leave(struct peers *peers, struct peer *peer, enum peer_outcome outcome,
                 int64_t retry_after, uint64_t now);

/* What there is to say of a peer; for statistics. */
struct peer_facts {
    char name[URL_PEER_NAME_SIZE];
    unsigned under_way, failures;
    uint64_t paused_ms; /* 0: not paused */
};

/* Fills in at most `room`, and returns how many there are. Any thread. */
size_t peers_list(struct peers *peers, uint64_t now, struct peer_facts *out, size_t room);

/* How many are paused now; for statistics. */
size_t peers_paused(const struct peers *peers, uint64_t now);

#endif

/* The CPSs that deliveries go to, one by one: how much is under way to each, who waits for his
 * turn, and whether it is worth asking at all. Called by sending.c, and by enum_source.c for the
 * servers of ENUM, in the loop's thread; peers_list in any. Time is passed in.
 *
 * A TLS handshake costs as much as ten requests, and handshakes that begin together end together,
 * which is too late when they are many. So at most PEER_CONNECTING requests to one peer are without
 * a connection at a time; and no more are under way than are of use, which is twice as many, or the
 * part of the limit that the time of an answer is of PEER_SLOW_MS: by default, what it takes for a
 * thousand a second. The others wait, the earliest deadline first, until a connection stands or a
 * request ends. Each peer has a queue of its own, so that a slow one holds up nobody else's calls.
 *
 * A CPS that fails again and again is left in peace for a while, so that calls to its provider are
 * not held up by it; so is one that asks for it (Retry-After). After PEER_FAILURES failures in a
 * row, without an answer in between, a peer is paused for one second. Then one request may try;
 * when that fails too, the pause doubles, up to 30 s; any answer ends it. Nobody waits for a peer
 * that is paused. */
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
#define PEER_CONNECTING 16
#define PEER_SLOW_MS 256

struct peers;
struct peer;

/* A request to a peer, from its wish to its end; embedded in what makes it. Zeroed: away. */
struct peer_visit {
    uint64_t deadline; /* loop_now(); the caller's, before peers_enter */
    enum { PEER_VISIT_AWAY, PEER_VISIT_WAITS, PEER_VISIT_CONNECTS, PEER_VISIT_CONNECTED } state;
    uint64_t since; /* when its connection stood */
    struct peer *peer;
    struct peer_visit *prev, *next; /* while it waits, and must stay where it is */
};

/* `limit`: requests under way to one peer at most; `connecting`: without a connection at most, and
 * twice as many are always of use: PEER_CONNECTING, or `limit` where there are no connections. NULL
 * when out of memory. */
struct peers *peers_new(unsigned limit, unsigned connecting);
void peers_free(struct peers *peers); /* accepts NULL; all visits are away */

enum peer_entry {
    PEER_ENTERED, /* the request may go, and ends with peers_leave */
    PEER_WAITS,   /* peers_next will name it, unless it leaves before */
    PEER_PAUSED,  /* *wait_ms says for how long; the visit is away */
    PEER_FULL,    /* `room` wait already; the same */
    PEER_NO_MEMORY
};

/* `url` names host and port; `now` is loop_now(); so many visits may wait for this peer as `room`
 * says. */
enum peer_entry peers_enter(struct peers *peers, const struct url *url, uint64_t now, size_t room,
                            struct peer_visit *visit, uint64_t *wait_ms);

/* Its connection stands. */
void peers_connected(struct peers *peers, struct peer_visit *visit, uint64_t now);

enum peer_outcome {
    PEER_ANSWERED, /* it lives, whatever it said */
    PEER_FAILED,   /* no answer, or one that says it is ill */
    PEER_UNKNOWN   /* ended by this side; says nothing about the peer */
};

/* `retry_after` in seconds, as the peer asked; -1 when it did not. True when this has paused it.
 * One that waited leaves with PEER_UNKNOWN. */
bool peers_leave(struct peers *peers, struct peer_visit *visit, enum peer_outcome outcome,
                 int64_t retry_after, uint64_t now);

/* Whether peers_next may have somebody to name, after peers_connected or peers_leave. */
bool peers_are_due(const struct peers *peers);

/* One that waits no longer: *entry is PEER_ENTERED or PEER_PAUSED, as from peers_enter. NULL when
 * there is none. */
struct peer_visit *peers_next(struct peers *peers, uint64_t now, enum peer_entry *entry,
                              uint64_t *wait_ms);

/* What there is to say of a peer; for statistics. */
struct peer_facts {
    char name[URL_PEER_NAME_SIZE];
    unsigned under_way, waiting, failures;
    uint64_t paused_ms; /* 0: not paused */
};

/* Fills in at most `room`, and returns how many there are. Any thread. */
size_t peers_list(struct peers *peers, uint64_t now, struct peer_facts *out, size_t room);

/* How many are paused now; for statistics. */
size_t peers_paused(const struct peers *peers, uint64_t now);

#endif

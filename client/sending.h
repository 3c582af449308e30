/* One PASSporT on its way to one CPS, within a deadline: its turn there (peers.h), the tries and
 * the pauses between them, and the request token that the CPS may demand (PROTOCOL section 6).
 * Called by deliver.c, in the loop's thread. */
#ifndef CLIENT_SENDING_H
#define CLIENT_SENDING_H

#include "client/delivery.h"
#include "client/loop.h"
#include "client/peers.h"

#include <stdatomic.h>

struct sending;
struct sticps_client;
struct sticps_signing;

/* What all sendings of a client share. */
struct sender {
    struct sticps_client *client; /* its options, events, loop and fetcher are there */
    void (*settled)(struct sending *sending);
    atomic_bool closed; /* any thread */

    /* the loop's thread only */
    struct peers *peers;
    struct loop_task serve; /* those whose turn has come */
    bool serving;           /* it is posted */
    uint32_t random;
};

/* `settled` is called once for each sending that was started, maybe before sending_start returns;
 * the sending may be gone when it returns. False when out of memory. */
bool sender_open(struct sender *sender, struct sticps_client *client,
                 void (*settled)(struct sending *sending)) STICPS_MUST_CHECK;
void sender_close(struct sender *sender); /* no sending is left; accepts a zeroed one */

/* The first four are set by the caller before sending_start, and outlive it; the rest is zeroed. */
struct sending {
    struct sender *sender;
    struct outcome *outcome; /* has its URL; says how it ended */
    const char *token;       /* the PASSporT, of `len` bytes */
    size_t len;
    uint64_t deadline; /* loop_now() */

    struct peer_visit visit; /* while it waits for its turn, or a request is under way */
    struct loop_timer again; /* the next try; or the end of waiting, for `signing` or a turn */
    struct sticps_signing *signing; /* under way, else NULL */
    char *bearer;                   /* the request token that the CPS has demanded, or NULL */
    bool transient;
};

void sending_start(struct sending *sending);

/* Ends one that waits for its turn, its next try or its request token: the client is being closed,
 * the loop stopped. False, and nothing has happened, when it does not wait. */
bool sending_end_wait(struct sending *sending);

/* Frees what it holds; it is settled, or was never started. */
void sending_clear(struct sending *sending);

#endif

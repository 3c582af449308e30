/* Where accepted PASSporTs wait for their call (PROTOCOL section 6). One interface, so that several
 * nodes can share a store later; store_memory.c is the one for a single node.
 *
 * Called by receive_routes (put) and give_routes (take, wait). Answers come by callback, because a
 * shared store answers later; the callback runs on the thread that asked, possibly before the call
 * returns. All functions may be called from any thread. Time is passed in, in Unix seconds.
 *
 * A PASSporT lives until it is handed over or until iat + max_age. Once handed over its digest is
 * remembered until iat + max_age + max_ahead, so that the same token is not held a second time. */
#ifndef SERVER_CPS_STORE_H
#define SERVER_CPS_STORE_H

#include "common/error.h"
#include "common/tn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

struct store_settings {
    int64_t max_age;    /* seconds */
    int64_t max_ahead;  /* seconds */
    size_t max_entries; /* PASSporTs held, and digests remembered */
    size_t max_bytes;   /* of memory for them */
};

/* The call that PASSporTs belong to. Borrowed. */
struct store_call {
    const struct tn *orig;
    const struct tn *dest;
    size_t dest_len;
};

/* One PASSporT to hold. Borrowed; the store copies it. */
struct store_item {
    const char *text;
    size_t len;
    int64_t iat;
};

/* PASSporTs handed over, newest iat first. The receiver owns the chain. */
struct store_token {
    struct store_token *next;
    int64_t iat;
    uint64_t order; /* rises with every PASSporT held */
    size_t len;
    char text[];
};
void store_tokens_free(struct store_token *tokens); /* accepts NULL */

enum store_result {
    STORE_HELD,   /* all are held now, or were known already */
    STORE_FULL,   /* none was held; try again in a second */
    STORE_FAILED, /* the store could not be reached; none was held */
};

typedef void store_on_put(void *arg, enum store_result result);

/* `tokens` is NULL when nothing is held; ownership passes to the callback. */
typedef void store_on_take(void *arg, enum store_result result, struct store_token *tokens);

/* Somebody who waits for a call's PASSporTs. The caller provides the memory and sets `wake`. */
struct store_waiter {
    /* Called once, from the thread of the put, inside the store's lock: it may only post a message
     * to the waiter's own thread, which then takes. Before the call the waiter is taken off the
     * store. */
    void (*wake)(struct store_waiter *waiter);
    struct store_waiter *next; /* the rest is the store's */
    struct store_waiter **link;
    uint64_t dest, orig;
};

struct store_usage {
    size_t held;       /* PASSporTs that wait for their call */
    size_t remembered; /* digests of those handed over */
    size_t bytes;
};

struct store_ops {
    void (*put)(struct store *store, const struct store_call *call, const struct store_item *items,
                size_t count, int64_t now, store_on_put *done, void *arg);
    void (*take)(struct store *store, const struct tn *dest, const struct tn *orig, int64_t now,
                 store_on_take *done, void *arg);
    bool (*wait)(struct store *store, struct store_waiter *waiter, const struct tn *dest,
                 const struct tn *orig, int64_t now);
    void (*wait_cancel)(struct store *store, struct store_waiter *waiter);
    void (*expire)(struct store *store, int64_t now);
    void (*usage)(struct store *store, struct store_usage *out);
    void (*free)(struct store *store);
};

/* The head of every kind of store. */
struct store {
    const struct store_ops *ops;
};

/* Holds up to three PASSporTs of one call, all or none. One that is held or was handed over already
 * is left out and counts as held; one that has outlived its time is not held either. */
static inline void store_put(struct store *store, const struct store_call *call,
                             const struct store_item *items, size_t count, int64_t now,
                             store_on_put *done, void *arg)
{
    store->ops->put(store, call, items, count, now, done, arg);
}

/* Hands over all PASSporTs of a call, and forgets them under every dest number. */
static inline void store_take(struct store *store, const struct tn *dest, const struct tn *orig,
                              int64_t now, store_on_take *done, void *arg)
{
    store->ops->take(store, dest, orig, now, done, arg);
}

/* Asks to be woken by the next PASSporT for a call. False, and not waiting, when one is held
 * already. Waking hands nothing over: who is gone by then swallows nothing. */
static inline bool store_wait(struct store *store, struct store_waiter *waiter,
                              const struct tn *dest, const struct tn *orig, int64_t now)
{
    return store->ops->wait(store, waiter, dest, orig, now);
}

/* After this `wake` is not called any more. Harmless for a waiter that was woken. */
static inline void store_wait_cancel(struct store *store, struct store_waiter *waiter)
{
    store->ops->wait_cancel(store, waiter);
}

/* Forgets what has outlived its time. Called once a second; no other call depends on it. */
static inline void store_expire(struct store *store, int64_t now)
{
    store->ops->expire(store, now);
}

static inline void store_usage(struct store *store, struct store_usage *out)
{
    store->ops->usage(store, out);
}

static inline void store_free(struct store *store) /* accepts NULL */
{
    if (store != NULL)
        store->ops->free(store);
}

#endif

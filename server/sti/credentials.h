/* The certificates that sign PASSporTs and requests, by their x5u: fetched, checked against the
 * approved STI-CAs and kept checked, so that the usual token costs one signature. One per server
 * thread, used by the CPS's verify and the registry's proof.
 *
 * A checked chain is good until its path's earliest notAfter, its caching headers' expiry, or a
 * change of the anchors, after which it is checked again without a fetch. What was fetched and
 * refused is remembered for 30 s. The number kept is bounded; the one used longest ago goes first.
 */
#ifndef SERVER_STI_CREDENTIALS_H
#define SERVER_STI_CREDENTIALS_H

#include "common/cert.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/spc.h"
#include "server/sti/trust.h"
#include "server/http/counter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CREDENTIALS_KEPT 4096        /* checked chains */
#define CREDENTIALS_REFUSED 1024     /* URLs whose certificate was refused */
#define CREDENTIALS_REMEMBER 30      /* seconds */
#define CREDENTIALS_REFRESH_EVERY 30 /* seconds between two refreshes of one URL */

/* ---- where chains come from: x5u_source, or a test's own ---- */

struct x5u_fetch {
    const char *url; /* stays until `done` was called */
    /* Called once, on the thread of the credentials, never inside fetch(). `fresh`: the network was
     * asked, rather than a cache below. The others as in sticps_x5u_fn (sticps/x5u.h). */
    void (*done)(struct x5u_fetch *fetch, enum sticps_err code, const struct sticps_error *err,
                 const char *pem, size_t len, int64_t expires_at, bool fresh);
};

struct x5u_fetcher {
    void (*fetch)(struct x5u_fetcher *fetcher, struct x5u_fetch *fetch);
    /* The next fetch of this URL must ask the network. */
    void (*forget)(struct x5u_fetcher *fetcher, const char *url);
};

/* ---- the cache ---- */

struct credentials;

enum credential_result {
    CREDENTIAL_READY,     /* chain and spc are there */
    CREDENTIAL_REFUSED,   /* code (436 or 437) and err say why */
    CREDENTIAL_WAITING,   /* the answer comes later, by the callback */
    CREDENTIAL_BUSY,      /* too many fetches under way */
    CREDENTIAL_NO_ANCHORS /* no STI-CAs are known, or their list has expired */
};

/* Borrowed until the next call here, or until the callback returns; cert_chain_ref keeps the chain.
 */
struct credential_answer {
    enum credential_result result;
    enum sticps_err code;
    const struct sticps_error *err;
    struct cert_chain *chain;
    struct spc spc;
    bool fresh; /* the network was asked for it just now */
};

/* Somebody who waits. In the caller's memory; `done` is called at most once, not after a cancel,
 * and may call anything here. */
struct credential_wait {
    void (*done)(struct credential_wait *wait, const struct credential_answer *answer);
    struct credential_wait *next, **at; /* the rest is the cache's; at: NULL when not waiting */
};

/* What the cache was asked and what it had, for metrics. Written by its thread, read by any. */
struct credentials_counters {
    counter hits;    /* answered from the cache: a checked chain */
    counter misses;  /* had to wait for a fetch */
    counter refused; /* answered from the cache: a refusal */
    counter busy;    /* turned away, too many fetches under way */
    counter pending; /* fetches under way now */
};

/* All arguments are borrowed. `max_pending` bounds the fetches under way. */
enum sticps_err credentials_new(struct x5u_fetcher *fetcher, struct trust *trust,
                                const struct clock *clock, size_t max_pending,
                                struct credentials_counters *counters, struct credentials **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;
/* No fetch may be under way. Accepts NULL. */
void credentials_free(struct credentials *credentials);

/* Would credentials_get have an answer, or join a fetch under way, rather than start one? */
bool credentials_known(struct credentials *credentials, const char *x5u, int64_t now);

/* The checked chain of an x5u. On CREDENTIAL_WAITING `wait` is queued; otherwise it is not touched.
 * `now` in Unix seconds. */
void credentials_get(struct credentials *credentials, const char *x5u, int64_t now,
                     struct credential_wait *wait, struct credential_answer *answer);

/* A signature did not match a kept chain: the x5u may have been issued anew under its URL, so ask
 * the network. CREDENTIAL_WAITING, or CREDENTIAL_REFUSED when that was done less than
 * CREDENTIALS_REFRESH_EVERY ago: forged tokens must not make a storm of fetches. Until the new
 * chain is there the kept one goes on serving others. */
void credentials_refresh(struct credentials *credentials, const char *x5u, int64_t now,
                         struct credential_wait *wait, struct credential_answer *answer);

/* Harmless when not waiting (`at` is NULL). */
void credentials_cancel(struct credential_wait *wait);

#endif

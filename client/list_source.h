/* One fetch of a list from beginning to end (PROTOCOL section 2): the conditional request, the
 * signer's certificate, the rules in their order, the commit. A state machine that never waits;
 * called by the public calls in client.c. */
#ifndef CLIENT_LIST_SOURCE_H
#define CLIENT_LIST_SOURCE_H

#include "client/events.h"
#include "client/fetch.h"
#include "client/lists.h"
#include "client/x5u_cache.h"

/* Somebody who looks on while a list passes the rules, to explain it (`sticps doctor`). Called in
 * the loop's thread; what is shown is borrowed until the function returns. */
struct list_watch {
    void *ctx;
    void (*answer)(void *ctx, const struct fetch_answer *answer);      /* whole, of any status */
    void (*opened)(void *ctx, const struct list_candidate *candidate); /* passed rules 2 and 3 */
    void (*chain)(void *ctx, const struct cert_chain *chain);          /* to be judged by rule 4 */
    void (*payload)(void *ctx, const struct signed_list *payload);     /* passed rules 4 to 7 */
};

/* What a fetch works with; all outlive it. */
struct list_source {
    const struct sticps_options *options;
    struct events *events;
    const struct anchors *anchors;
    const struct anchors *crl_signers; /* who may sign the CRL, where the options name one */
    struct fetcher *fetcher;
    struct x5u_cache *x5u;
    struct lists *lists;
    const struct list_watch *watch; /* NULL: nobody looks on */
};

/* As sticps_list_fetch. */
void list_source_fetch(const struct list_source *source, enum sticps_list_kind kind,
                       const char *url, sticps_list_fn *callback, void *ctx);

#endif

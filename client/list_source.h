/* One fetch of a list from beginning to end (PROTOCOL section 2): the conditional request, the
 * signer's certificate, the rules in their order, the commit. A state machine that never waits;
 * called by the public calls in client.c. */
#ifndef CLIENT_LIST_SOURCE_H
#define CLIENT_LIST_SOURCE_H

#include "client/events.h"
#include "client/fetch.h"
#include "client/lists.h"
#include "client/x5u_cache.h"

/* What a fetch works with; all outlive it. */
struct list_source {
    const struct sticps_options *options;
    struct events *events;
    const struct anchors *anchors;
    const struct anchors *crl_signers; /* who may sign the CRL, where the options name one */
    struct fetcher *fetcher;
    struct x5u_cache *x5u;
    struct lists *lists;
};

/* As sticps_list_fetch. */
void list_source_fetch(const struct list_source *source, enum sticps_list_kind kind,
                       const char *url, sticps_list_fn *callback, void *ctx);

#endif

/* One source of a list asked once, from beginning to end (PROTOCOL section 2): the conditional
 * request or the file, the signer's certificate, the rules in their order, the commit. A state
 * machine that never waits; called by list_refresh, in the loop's thread. */
#ifndef CLIENT_LIST_SOURCE_H
#define CLIENT_LIST_SOURCE_H

#include "client/anchor_set.h"
#include "client/fetch.h"
#include "client/lists.h"
#include "client/x5u_cache.h"

/* Somebody who looks on while a list passes the rules, to explain it (`sticps doctor`). Called in
 * the loop's thread; what is shown is borrowed until the function returns. */
struct list_watch {
    void *ctx;
    void (*began)(void *ctx, const char *from);                        /* a URL or a file */
    void (*answer)(void *ctx, const struct fetch_answer *answer);      /* whole, of any status */
    void (*opened)(void *ctx, const struct list_candidate *candidate); /* passed rules 2 and 3 */
    void (*chain)(void *ctx, const struct cert_chain *chain);          /* to be judged by rule 4 */
    void (*payload)(void *ctx, const struct signed_list *payload);     /* passed rules 4 to 7 */
    void (*ended)(void *ctx, enum sticps_err code, const struct sticps_error *err);
};

/* What a fetch works with; all outlive it. */
struct list_source {
    const struct sticps_options *options;
    struct anchor_set *anchors;
    struct anchor_set *crl_signers; /* who may sign the CRL, where the options name one */
    struct fetcher *fetcher;
    struct x5u_cache *x5u;
    struct lists *lists;
    const struct list_watch *watch; /* NULL: nobody looks on */
};

struct list_request {
    enum sticps_list_kind kind;
    const char *from; /* https URL, checked, or the path of a file; outlives the fetch */
    bool is_file;
    bool confirms;       /* another source has given an acceptable list already (list_commit) */
    bool offer;          /* nothing is kept: the result is what passed rules 1 to 7, `previous` 0 */
    unsigned timeout_ms; /* for list and certificate together */
};

/* STICPS_OK with `result`, as sticps_list_fn has it. `retry_after`: seconds for which the source
 * asks to be left in peace; -1 when it does not, or gave a list. */
typedef void list_source_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                            const struct sticps_list_result *result, int64_t retry_after);

/* Calls `callback` once, before it returns when the end is known by then. */
void list_source_fetch(const struct list_source *source, const struct list_request *request,
                       list_source_fn *callback, void *ctx);

#endif

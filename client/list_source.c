#include "client/list_source.h"

#include "common/read_file.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LIST (16 * 1024 * 1024)

/* In the order in which they happen. SIGNER twice when a cached chain fails. */
enum phase { PHASE_LIST, PHASE_SIGNER, PHASE_SIGNER_AGAIN };

struct list_fetch {
    const struct list_source *source;
    struct list_request request;
    enum phase phase;
    uint64_t deadline; /* loop_now() */
    bool conditional;  /* If-None-Match was sent */
    bool chain_cached;
    struct list_state held; /* as it was when the fetch began */
    struct list_candidate candidate;
    char etag[256];
    int64_t retry_after;
    list_source_fn *callback;
    void *ctx;
};

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const char *pem, size_t len, int64_t expires_at);

static int64_t now_of(const struct list_fetch *fetch)
{
    return clock_now(&fetch->source->options->clock);
}

static void fetch_free(struct list_fetch *fetch)
{
    list_candidate_clear(&fetch->candidate);
    list_state_clear(&fetch->held);
    free(fetch);
}

static void finish(struct list_fetch *fetch, enum sticps_err code, const struct sticps_error *err,
                   const struct sticps_list_result *result)
{
    const struct list_watch *watch = fetch->source->watch;
    if (watch != NULL)
        watch->ended(watch->ctx, code, err);
    fetch->callback(fetch->ctx, code, err, result, fetch->retry_after);
    fetch_free(fetch);
}

/* ---- rules 4 to 9 ---- */

/* The CRL is read each time, so that whoever fetches it has only to put it there. One that cannot
 * be relied on refuses every list: it was configured to be asked. *out stays NULL without one. */
static enum sticps_err load_crl(const struct list_fetch *fetch, struct crl **out,
                                struct sticps_error *err)
{
    const struct list_source *source = fetch->source;
    if (source->options->crl_file == NULL)
        return STICPS_OK;
    struct anchors *signers = anchor_set_get(source->crl_signers);
    enum sticps_err code = crl_load(source->options->crl_file, out, err);
    if (code == STICPS_OK)
        code = crl_check(*out, signers, now_of(fetch), STICPS_ERR_SIGNER, err);
    else if (code == STICPS_ERR_FILE)
        code = err->code = STICPS_ERR_SIGNER;
    anchors_free(signers);
    return code;
}

static enum sticps_err check_signer(struct list_fetch *fetch, const struct cert_chain *chain,
                                    struct sticps_error *err)
{
    struct anchors *anchors = anchor_set_get(fetch->source->anchors);
    struct crl *crl = NULL;
    enum sticps_err code = load_crl(fetch, &crl, err);
    if (code == STICPS_OK)
        code = list_accept_signer(&fetch->candidate, chain, anchors, crl, now_of(fetch), err);
    crl_unref(crl);
    anchors_free(anchors);
    return code;
}

static enum sticps_err judge(struct list_fetch *fetch, const struct cert_chain *chain,
                             const char *pem, int64_t chain_expires,
                             struct sticps_list_result *result, struct sticps_error *err)
{
    const struct list_source *source = fetch->source;
    struct signed_list *payload = NULL;
    enum sticps_err code = check_signer(fetch, chain, err);
    if (code == STICPS_OK)
        code =
            list_accept_payload(&fetch->candidate, now_of(fetch), source->options, &payload, err);
    if (code != STICPS_OK)
        return code;
    if (source->watch != NULL)
        source->watch->payload(source->watch->ctx, payload);
    if (fetch->request.offer) {
        code = list_from_held(fetch->request.kind, fetch->candidate.jws, fetch->candidate.jws_len,
                              fetch->candidate.sha256, fetch->request.from, now_of(fetch),
                              &result->list, err);
        result->status = STICPS_LIST_CURRENT; /* at any rate not taken */
        signed_list_free(payload);
        return code;
    }
    jws_clear(&fetch->candidate.parts);        /* read; it is most of a megabyte */
    bool keep = chain_expires > now_of(fetch); /* what may not be cached is not written either */
    struct list_commit commit = {
        .kind = fetch->request.kind,
        .candidate = &fetch->candidate,
        .payload = payload,
        .accepted =
            {
                .fetched_at = now_of(fetch),
                .source = fetch->request.from,
                .etag = fetch->etag,
                .x5u = fetch->candidate.header.x5u,
                .chain = keep ? pem : "",
                .chain_expires = keep ? chain_expires : 0,
            },
        .confirms = fetch->request.confirms,
    };
    code = lists_commit(source->lists, &commit, &result->status, &result->previous, &result->list,
                        err);
    signed_list_free(commit.payload);
    return code;
}

/* ---- the signer's certificate ---- */

static void ask_for_chain(struct list_fetch *fetch)
{
    struct x5u_cache *cache = fetch->source->x5u;
    const char *x5u = fetch->candidate.header.x5u;
    uint64_t now = loop_now();
    if (now >= fetch->deadline) {
        struct sticps_error err = {0};
        fail(&err, STICPS_ERR_FETCH, x5u,
             "the deadline of %u ms for list and certificate together has passed",
             fetch->request.timeout_ms);
        finish(fetch, STICPS_ERR_FETCH, &err, NULL);
        return;
    }
    fetch->chain_cached = x5u_cache_holds(cache, x5u);
    x5u_cache_get(cache, x5u, (unsigned)(fetch->deadline - now), on_chain, fetch);
}

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *fetch_err,
                     const char *pem, size_t len, int64_t expires_at)
{
    struct list_fetch *fetch = ctx;
    const struct list_watch *watch = fetch->source->watch;
    struct sticps_error err = *fetch_err;
    struct sticps_list_result result = {0};
    struct cert_chain *chain = NULL;
    if (code == STICPS_OK)
        code = cert_chain_parse(pem, len, STICPS_ERR_SIGNER, &chain, &err);
    else if (code == STICPS_ERR_BAD_IDENTITY_INFO) /* not about a PASSporT here */
        code = err.code = STICPS_ERR_SIGNER;
    if (code == STICPS_OK && watch != NULL)
        watch->chain(watch->ctx, chain);
    if (code == STICPS_OK)
        code = judge(fetch, chain, pem, expires_at, &result, &err);
    cert_chain_unref(chain);

    /* Rule 4: the STI-PA may have put a new certificate under the old name. */
    if ((code == STICPS_ERR_SIGNER || code == STICPS_ERR_SIGNATURE) && fetch->chain_cached &&
        fetch->phase == PHASE_SIGNER) {
        fetch->phase = PHASE_SIGNER_AGAIN;
        x5u_cache_doubt(fetch->source->x5u, fetch->candidate.header.x5u);
        ask_for_chain(fetch);
        return;
    }
    finish(fetch, code, &err, code == STICPS_OK ? &result : NULL);
    sticps_list_unref(result.list);
}

/* ---- rules 1 to 3 ---- */

/* The bytes to judge: the ones received, or the held ones when the server says they are still
 * current. */
static enum sticps_err choose_bytes(struct list_fetch *fetch, const struct fetch_answer *answer,
                                    const char **body, size_t *len, struct sticps_error *err)
{
    if (answer->status == 200) {
        *body = answer->body;
        *len = answer->body_len;
        memcpy(fetch->etag, answer->etag, strlen(answer->etag) + 1); /* both 256 at most */
        list_state_clear(&fetch->held); /* as large as what was received, and not wanted now */
        return STICPS_OK;
    }
    if (answer->status == 304 && fetch->conditional) {
        *body = fetch->held.jws;
        *len = fetch->held.jws_len;
        memcpy(fetch->etag, fetch->held.etag, strlen(fetch->held.etag) + 1);
        return STICPS_OK;
    }
    fetch->retry_after = answer->retry_after;
    if (answer->status == 304)
        return fail(err, STICPS_ERR_FETCH, fetch->request.from,
                    "the server answers 304, not modified, to a request without a condition");
    return fetch_bad_status(err, fetch->request.from, answer->status);
}

/* Rules 2 and 3, then the certificate is asked for. */
static void open_list(struct list_fetch *fetch, const char *body, size_t len)
{
    const struct list_request *request = &fetch->request;
    const struct list_watch *watch = fetch->source->watch;
    struct sticps_error err = {0};
    enum sticps_err code = list_accept_open(body, len, payload_kind(request->kind),
                                            request->is_file ? NULL : request->from,
                                            fetch->source->options, &fetch->candidate, &err);
    if (code != STICPS_OK) {
        finish(fetch, code, &err, NULL);
        return;
    }
    if (watch != NULL)
        watch->opened(watch->ctx, &fetch->candidate);
    fetch->phase = PHASE_SIGNER;
    ask_for_chain(fetch);
}

static void on_list(void *ctx, enum sticps_err code, const struct sticps_error *fetch_err,
                    const struct fetch_answer *answer)
{
    struct list_fetch *fetch = ctx;
    const struct list_watch *watch = fetch->source->watch;
    struct sticps_error err = *fetch_err;
    const char *body = NULL;
    size_t len = 0;
    if (code == STICPS_OK && watch != NULL)
        watch->answer(watch->ctx, answer);
    if (code == STICPS_OK)
        code = choose_bytes(fetch, answer, &body, &len, &err);
    if (code == STICPS_OK)
        open_list(fetch, body, len);
    else
        finish(fetch, code, &err, NULL);
}

/* ---- asking ---- */

static enum sticps_err ask_network(struct list_fetch *fetch, struct sticps_error *err)
{
    const struct list_state *held = &fetch->held;
    const struct list_request *asked = &fetch->request;
    fetch->conditional = held->jws != NULL && held->exp > now_of(fetch) &&
                         strcmp(held->source, asked->from) == 0 && held->etag[0] != '\0' &&
                         strlen(held->etag) < sizeof(fetch->etag);
    struct fetch_request request = {
        .url = asked->from,
        .timeout_ms = asked->timeout_ms,
        .max_body = MAX_LIST,
        .gzip = true,
        .if_none_match = fetch->conditional ? held->etag : NULL,
    };
    return fetch_start(fetch->source->fetcher, &request, on_list, fetch, err);
}

/* One that cannot be read is a source that gave nothing: the others may. */
static void read_list(struct list_fetch *fetch)
{
    struct sticps_error err = {0};
    char *body = NULL;
    size_t len = 0;
    enum sticps_err code = read_file(fetch->request.from, MAX_LIST, &body, &len, &err);
    if (code == STICPS_ERR_FILE)
        code = err.code = STICPS_ERR_FETCH;
    if (code == STICPS_OK)
        open_list(fetch, body, len);
    else
        finish(fetch, code, &err, NULL);
    free(body);
}

/* The chain that the state keeps spares the second request. */
static enum sticps_err begin(struct list_fetch *fetch, struct sticps_error *err)
{
    const struct list_source *source = fetch->source;
    enum sticps_err code = lists_read(source->lists, fetch->request.kind, &fetch->held, err);
    if (code != STICPS_OK)
        return code;
    const struct list_state *held = &fetch->held;
    if (held->x5u != NULL && held->chain[0] != '\0')
        x5u_cache_offer(source->x5u, held->x5u, held->chain, strlen(held->chain),
                        held->chain_expires);
    fetch->deadline = loop_now() + fetch->request.timeout_ms;
    if (!fetch->request.is_file)
        return ask_network(fetch, err);
    read_list(fetch);
    return STICPS_OK;
}

void list_source_fetch(const struct list_source *source, const struct list_request *request,
                       list_source_fn *callback, void *ctx)
{
    struct sticps_error err = {0};
    struct list_fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL) {
        enum sticps_err code = fail(&err, STICPS_ERR_NO_MEMORY, request->from, "out of memory");
        callback(ctx, code, &err, NULL, -1);
        return;
    }
    fetch->source = source;
    fetch->request = *request;
    fetch->retry_after = -1;
    fetch->callback = callback;
    fetch->ctx = ctx;
    if (source->watch != NULL)
        source->watch->began(source->watch->ctx, request->from);
    enum sticps_err code = begin(fetch, &err);
    if (code != STICPS_OK)
        finish(fetch, code, &err, NULL);
}

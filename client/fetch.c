#include "client/fetch.h"

#include "client/fetch_handle.h"
#include "client/tls_sessions.h"

#include <pthread.h>
#include <stdlib.h>

#define IDLE_KEPT 64 /* fetches, to be used again */

struct fetcher {
    struct loop *loop;
    struct fetch_shared shared;
    struct tls_sessions *sessions; /* the loop's thread only */

    pthread_mutex_t mutex; /* of what is below */
    bool closed;
    struct fetch *active;
    struct fetch *idle; /* by `next` */
    size_t idle_len;
};

struct fetch {
    struct loop_transfer transfer; /* first */
    struct loop_task task;
    struct fetcher *fetcher;
    struct fetch *next, **link; /* in fetcher->active; `next` in fetcher->idle */
    struct fetch_handle handle;
    struct tls_peer *peer; /* while it is at the multi handle */
    bool added;            /* to the multi handle */
    bool *transient;       /* the caller's, or NULL */
    fetch_fn *callback;
    void *ctx;
};

/* ---- one fetch ---- */

static void fetch_free(struct fetch *fetch)
{
    fetch_handle_close(&fetch->handle);
    free(fetch);
}

/* Keeps it for the next one, unless there are enough. */
static void fetch_give_back(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;
    fetch_handle_clear(&fetch->handle);
    fetch->added = false;
    pthread_mutex_lock(&fetcher->mutex);
    bool keep = fetcher->idle_len < IDLE_KEPT;
    if (keep) {
        fetch->next = fetcher->idle;
        fetcher->idle = fetch;
        fetcher->idle_len++;
    }
    pthread_mutex_unlock(&fetcher->mutex);
    if (!keep)
        fetch_free(fetch);
}

static void unlink_active(struct fetch *fetch)
{
    pthread_mutex_lock(&fetch->fetcher->mutex);
    *fetch->link = fetch->next;
    if (fetch->next != NULL)
        fetch->next->link = fetch->link;
    pthread_mutex_unlock(&fetch->fetcher->mutex);
}

static void on_done(struct loop_transfer *transfer, CURLcode result)
{
    struct fetch *fetch = (struct fetch *)transfer;
    unlink_active(fetch);
    tls_sessions_leave(fetch->peer, fetch->handle.easy);
    fetch->peer = NULL;
    struct sticps_error err = {0};
    char *url = NULL;
    curl_easy_getinfo(fetch->handle.easy, CURLINFO_EFFECTIVE_URL, &url);
    enum sticps_err code = fetch_error(&err, url, result, &fetch->handle.trouble);
    if (code != STICPS_OK) {
        if (fetch->transient != NULL)
            *fetch->transient = fetch_is_transient(result, &fetch->handle.trouble);
        fetch->callback(fetch->ctx, code, &err, NULL);
    } else {
        long status = 0;
        int64_t now = clock_now(&fetch->fetcher->shared.options->clock);
        curl_easy_getinfo(fetch->handle.easy, CURLINFO_RESPONSE_CODE, &status);
        struct fetch_answer answer = {
            .status = (int)status,
            .body = fetch->handle.body_len > 0 ? fetch->handle.body : "",
            .body_len = fetch->handle.body_len,
            .etag = fetch->handle.etag,
            .content_type = fetch->handle.content_type,
            .lifetime = caching_lifetime(&fetch->handle.caching, now),
            .retry_after = caching_retry_after(&fetch->handle.caching, now),
            .wants_bearer = fetch->handle.wants_bearer,
            .caching = &fetch->handle.caching,
        };
        fetch->callback(fetch->ctx, STICPS_OK, &err, &answer);
    }
    fetch_give_back(fetch);
}

static void add_to_multi(struct loop_task *task)
{
    struct fetch *fetch = (struct fetch *)((char *)task - offsetof(struct fetch, task));
    fetch->peer =
        tls_sessions_enter(fetch->fetcher->sessions, fetch->handle.peer_name, fetch->handle.easy);
    if (curl_multi_add_handle(loop_multi(fetch->fetcher->loop), fetch->handle.easy) == CURLM_OK)
        fetch->added = true;
    else
        on_done(&fetch->transfer, CURLE_OUT_OF_MEMORY);
}

/* One that was used before, or a new one; NULL when out of memory. */
static struct fetch *fetch_take(struct fetcher *fetcher)
{
    pthread_mutex_lock(&fetcher->mutex);
    struct fetch *fetch = fetcher->idle;
    if (fetch != NULL) {
        fetcher->idle = fetch->next;
        fetcher->idle_len--;
    }
    pthread_mutex_unlock(&fetcher->mutex);
    if (fetch != NULL)
        return fetch;
    fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL)
        return NULL;
    fetch->transfer.done = on_done;
    fetch->task.run = add_to_multi;
    fetch->fetcher = fetcher;
    if (fetch_handle_open(&fetch->handle, &fetcher->shared, &fetch->transfer))
        return fetch;
    free(fetch);
    return NULL;
}

/* False when the fetcher is closed. */
static bool link_active(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;
    pthread_mutex_lock(&fetcher->mutex);
    bool open = !fetcher->closed;
    if (open) {
        fetch->next = fetcher->active;
        fetch->link = &fetcher->active;
        if (fetch->next != NULL)
            fetch->next->link = &fetch->next;
        fetcher->active = fetch;
    }
    pthread_mutex_unlock(&fetcher->mutex);
    return open;
}

enum sticps_err fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                            fetch_fn *callback, void *ctx, struct sticps_error *err)
{
    struct fetch *fetch = fetch_take(fetcher);
    if (fetch == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, request->url, "out of memory");
    fetch->transient = request->transient;
    fetch->callback = callback;
    fetch->ctx = ctx;
    fetch->handle.ctx = ctx;
    if (!fetch_handle_set(&fetch->handle, request)) {
        fetch_free(fetch);
        return fail(err, STICPS_ERR_NO_MEMORY, request->url, "out of memory");
    }
    if (!link_active(fetch)) {
        fetch_free(fetch);
        return fail(err, STICPS_ERR_FETCH, request->url, "the client is being closed");
    }
    loop_post(fetcher->loop, &fetch->task);
    return STICPS_OK;
}

/* ---- the fetcher ---- */

enum sticps_err fetcher_new(struct loop *loop, const struct sticps_options *options,
                            struct fetcher **out, struct sticps_error *err)
{
    struct fetcher *fetcher = calloc(1, sizeof(*fetcher));
    if (fetcher == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    fetcher->loop = loop;
    pthread_mutex_init(&fetcher->mutex, NULL);
    fetcher->sessions = tls_sessions_new(TLS_SESSIONS_KEPT);
    if (!fetch_shared_open(&fetcher->shared, loop, options) || fetcher->sessions == NULL) {
        fetcher_free(fetcher);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    *out = fetcher;
    return STICPS_OK;
}

bool fetcher_add_roots(const struct fetcher *fetcher, X509_STORE *store)
{
    return fetch_shared_add_roots(&fetcher->shared, store);
}

bool fetcher_is_closed(struct fetcher *fetcher)
{
    pthread_mutex_lock(&fetcher->mutex);
    bool closed = fetcher->closed;
    pthread_mutex_unlock(&fetcher->mutex);
    return closed;
}

void fetcher_close(struct fetcher *fetcher)
{
    pthread_mutex_lock(&fetcher->mutex);
    fetcher->closed = true; /* first: no task that runs now may post one that points to a fetch */
    pthread_mutex_unlock(&fetcher->mutex);
    loop_run_posted(fetcher->loop); /* tasks that point to fetches */
    pthread_mutex_lock(&fetcher->mutex);
    struct fetch *fetch = fetcher->active;
    pthread_mutex_unlock(&fetcher->mutex);
    while (fetch != NULL) {
        if (fetch->added)
            curl_multi_remove_handle(loop_multi(fetcher->loop), fetch->handle.easy);
        fetch->handle.trouble.closed = true;
        on_done(&fetch->transfer, CURLE_ABORTED_BY_CALLBACK);
        pthread_mutex_lock(&fetcher->mutex);
        fetch = fetcher->active;
        pthread_mutex_unlock(&fetcher->mutex);
    }
}

void fetcher_free(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    while (fetcher->idle != NULL) {
        struct fetch *fetch = fetcher->idle;
        fetcher->idle = fetch->next;
        fetch_free(fetch);
    }
    tls_sessions_free(fetcher->sessions);
    fetch_shared_close(&fetcher->shared);
    pthread_mutex_destroy(&fetcher->mutex);
    free(fetcher);
}

void fetcher_abandon(struct fetcher *fetcher)
{
    if (fetcher != NULL)
        sockets_abandon(&fetcher->shared.sockets);
}

struct fetch_counts fetcher_counts(const struct fetcher *fetcher)
{
    const struct fetch_shared *shared = &fetcher->shared;
    return (struct fetch_counts){
        .connected = atomic_load_explicit(&shared->connected, memory_order_relaxed),
        .resumed = atomic_load_explicit(&shared->resumed, memory_order_relaxed),
        .reused = atomic_load_explicit(&shared->reused, memory_order_relaxed),
    };
}

#include "client/client.h"

#include "sticps/sticps.h"
#include "sticps/x5u.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

const char *sticps_version(void)
{
    return STICPS_VERSION;
}

/* ---- making and freeing ---- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

/* Never undone: a resolver thread that outlived its deadline may still be in libcurl. */
static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* Who may sign lists, and the CRL: the same, unless others were named for that. */
static enum sticps_err load_anchors(struct sticps_client *client, struct sticps_error *err)
{
    const struct sticps_options *options = client->options;
    enum sticps_err code =
        anchor_set_new(&options->anchors, &client->events, &client->anchors, err);
    if (code == STICPS_OK && options->crl_signers.len > 0)
        return anchor_set_new(&options->crl_signers, &client->events, &client->crl_signers, err);
    client->crl_signers = client->anchors;
    return code;
}

static enum sticps_err make_parts(struct sticps_client *client, struct sticps_error *err)
{
    const struct sticps_options *options = client->options;
    enum sticps_err code = load_anchors(client, err);
    if (code == STICPS_OK)
        code = lists_new(options, &client->gate, &client->lists, err);
    if (code == STICPS_OK)
        code = loop_new(&client->loop, err);
    if (code == STICPS_OK)
        code = fetcher_new(client->loop, options, &client->fetcher, err);
    if (code == STICPS_OK)
        code = x5u_cache_new(client->fetcher, options, &client->events, &client->x5u, err);
    if (code == STICPS_OK && options_name(options, NUMBERS_ENUM))
        code = enum_source_new(client->loop, options, &client->events, &client->enumeration, err);
    if (code == STICPS_OK)
        code = deliverer_new(client, &client->deliverer, err);
    if (code == STICPS_OK)
        code = sticps_client_set_npdb(client, NULL, 0, err); /* what is asked besides the files */
    client->list_source = (struct list_source){
        .options = options,
        .anchors = client->anchors,
        .crl_signers = client->crl_signers,
        .fetcher = client->fetcher,
        .x5u = client->x5u,
        .lists = client->lists,
    };
    client->refresher = (struct list_refresher){
        .source = &client->list_source,
        .events = &client->events,
        .loop = client->loop,
    };
    return code;
}

enum sticps_err sticps_client_new(const struct sticps_options *options, struct sticps_client **out,
                                  struct sticps_error *err)
{
    enum sticps_err code = forks_watch(err);
    if (code != STICPS_OK)
        return code;
    pthread_once(&curl_once, init_curl);
    if (curl_ready != CURLE_OK)
        return fail(err, STICPS_ERR_CRYPTO, NULL, "libcurl cannot start: %s",
                    curl_easy_strerror(curl_ready));
    struct sticps_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    client->forks = forks_count();
    gate_init(&client->gate);
    atomic_init(&client->numbers, NULL);
    client->options = options_copy(options);
    events_init(&client->events, client->options);
    for (int kind = STICPS_LIST_CPS; kind <= STICPS_LIST_CA; kind++)
        list_keeper_init(&client->keepers[kind], &client->refresher, (enum sticps_list_kind)kind);
    code = client->options != NULL ? make_parts(client, err)
                                   : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK)
        *out = client;
    else
        sticps_client_free(client);
    return code;
}

enum sticps_err client_check(const struct sticps_client *client, struct sticps_error *err)
{
    if (client->forks == forks_count())
        return STICPS_OK;
    return fail(err, STICPS_ERR_USAGE, NULL,
                "this client is of the process before the fork; make one of its own in the child");
}

/* In a child. What the loop's thread works on may have been copied in the middle of its work, and
 * libcurl and OpenSSL may hold locks that nobody gives back: none of that is touched. */
static void abandon(struct sticps_client *client)
{
    fetcher_abandon(client->fetcher);
    loop_abandon(client->loop);
    lists_free(client->lists);
    number_sources_free(atomic_load(&client->numbers));
    enum_source_abandon(client->enumeration);
    sticps_options_free(client->options);
    free(client);
}

void sticps_client_free(struct sticps_client *client)
{
    if (client == NULL)
        return;
    if (client_check(client, NULL) != STICPS_OK) {
        abandon(client);
        return;
    }
    if (client->loop != NULL)
        loop_stop_thread(client->loop);
    if (client->deliverer != NULL)
        deliverer_close(client->deliverer);
    if (client->enumeration != NULL)
        enum_source_close(client->enumeration);
    if (client->fetcher != NULL)
        fetcher_close(client->fetcher); /* the callbacks of what is under way */
    deliverer_free(client->deliverer);
    x5u_cache_free(client->x5u);
    struct fetcher *fetcher = client->fetcher;
    loop_free(client->loop); /* its connections use the fetcher's share */
    fetcher_free(fetcher);
    for (int kind = STICPS_LIST_CPS; kind <= STICPS_LIST_CA; kind++)
        list_keeper_destroy(&client->keepers[kind]);
    lists_free(client->lists);
    number_sources_free(atomic_load(&client->numbers));
    enum_source_free(client->enumeration);
    gate_destroy(&client->gate);
    if (client->crl_signers != client->anchors)
        anchor_set_free(client->crl_signers);
    anchor_set_free(client->anchors);
    sticps_options_free(client->options);
    free(client);
}

/* ---- the loop ---- */

int sticps_client_fd(const struct sticps_client *client)
{
    return client_check(client, NULL) == STICPS_OK ? loop_fd(client->loop) : -1;
}

enum sticps_err sticps_client_process(struct sticps_client *client, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    if (loop_has_thread(client->loop))
        return fail(err, STICPS_ERR_USAGE, NULL, "the client runs its loop in its own thread");
    return loop_process(client->loop, err);
}

enum sticps_err sticps_client_start_thread(struct sticps_client *client, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    return code == STICPS_OK ? loop_start_thread(client->loop, err) : code;
}

void sticps_client_stop_thread(struct sticps_client *client)
{
    if (client_check(client, NULL) == STICPS_OK)
        loop_stop_thread(client->loop);
}

/* ---- portability ---- */

enum sticps_err sticps_client_set_npdb(struct sticps_client *client, const char *const *paths,
                                       size_t count, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    struct number_sources *sources = NULL;
    code = number_sources_new(client->options, client->enumeration, paths, count, &sources, err);
    if (code != STICPS_OK)
        return code;
    forks_hold();
    struct number_sources *old = atomic_exchange(&client->numbers, sources);
    gate_wait(&client->gate);
    forks_release();
    number_sources_free(old);
    return STICPS_OK;
}

/* ---- certificates ---- */

enum sticps_err sticps_client_reload(struct sticps_client *client, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    return code != STICPS_OK ? code : list_refresh_look(&client->refresher, true, err);
}

void sticps_x5u_fetch(struct sticps_client *client, const char *url, sticps_x5u_fn *callback,
                      void *ctx)
{
    struct sticps_error err;
    enum sticps_err code = client_check(client, &err);
    if (code != STICPS_OK) {
        callback(ctx, code, &err, NULL, 0, 0);
        return;
    }
    x5u_cache_get(client->x5u, url, client->options->x5u_timeout, callback, ctx);
}

void sticps_x5u_forget(struct sticps_client *client, const char *url)
{
    if (client_check(client, NULL) == STICPS_OK)
        x5u_cache_doubt(client->x5u, url);
}

/* ---- lists ---- */

void sticps_list_fetch(struct sticps_client *client, enum sticps_list_kind kind, const char *url,
                       sticps_list_fn *callback, void *ctx)
{
    struct sticps_error err;
    enum sticps_err code = client_check(client, &err);
    if (code != STICPS_OK) {
        callback(ctx, code, &err, NULL);
        return;
    }
    list_refresh_one(&client->refresher, kind, url, callback, ctx);
}

void sticps_list_refresh(struct sticps_client *client, enum sticps_list_kind kind,
                         sticps_list_fn *callback, void *ctx)
{
    struct sticps_error err;
    enum sticps_err code = client_check(client, &err);
    if (code == STICPS_OK)
        list_refresh_all(&client->refresher, kind, NULL, callback, ctx);
    else
        callback(ctx, code, &err, NULL);
}

enum sticps_err sticps_list_keep_fresh(struct sticps_client *client, enum sticps_list_kind kind,
                                       unsigned seconds, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    return code != STICPS_OK ? code : list_keeper_set(&client->keepers[kind], seconds, err);
}

void sticps_trust_list_fetch(struct sticps_client *client, const char *url,
                             sticps_list_fn *callback, void *ctx)
{
    sticps_list_fetch(client, STICPS_LIST_CA, url, callback, ctx);
}

struct list_wait {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    struct sticps_error err;
    struct sticps_list_result result;
};

static void on_list_wait(void *ctx, enum sticps_err code, const struct sticps_error *err,
                         const struct sticps_list_result *result)
{
    struct list_wait *wait = ctx;
    wait->code = code;
    if (code == STICPS_OK) {
        wait->result = *result;
        sticps_list_ref(result->list);
    } else {
        wait->err = *err;
    }
    loop_signal_set(wait->loop, &wait->done);
}

static enum sticps_err wait_for_list(struct list_wait *wait, struct sticps_list **list,
                                     enum sticps_list_status *status, int64_t *previous,
                                     struct sticps_error *err)
{
    loop_wait(wait->loop, &wait->done);
    if (wait->code != STICPS_OK) {
        if (err != NULL)
            *err = wait->err;
        return wait->code;
    }
    *list = wait->result.list;
    if (status != NULL)
        *status = wait->result.status;
    if (previous != NULL)
        *previous = wait->result.previous;
    return STICPS_OK;
}

enum sticps_err sticps_list_fetch_wait(struct sticps_client *client, enum sticps_list_kind kind,
                                       const char *url, struct sticps_list **list,
                                       enum sticps_list_status *status, int64_t *previous,
                                       struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    struct list_wait wait = {.loop = client->loop};
    sticps_list_fetch(client, kind, url, on_list_wait, &wait);
    return wait_for_list(&wait, list, status, previous, err);
}

enum sticps_err sticps_list_refresh_wait(struct sticps_client *client, enum sticps_list_kind kind,
                                         struct sticps_list **list, enum sticps_list_status *status,
                                         int64_t *previous, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    struct list_wait wait = {.loop = client->loop};
    sticps_list_refresh(client, kind, on_list_wait, &wait);
    return wait_for_list(&wait, list, status, previous, err);
}

enum sticps_err sticps_list_offer_wait(struct sticps_client *client, enum sticps_list_kind kind,
                                       struct sticps_list **offered, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    struct list_wait wait = {.loop = client->loop};
    list_refresh_offer(&client->refresher, kind, on_list_wait, &wait);
    return wait_for_list(&wait, offered, NULL, NULL, err);
}

enum sticps_err sticps_list_recover(struct sticps_client *client, struct sticps_list *offered,
                                    int64_t *previous_floor, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    return code != STICPS_OK ? code : lists_recover(client->lists, offered, previous_floor, err);
}

enum sticps_err sticps_list_load(struct sticps_client *client, enum sticps_list_kind kind,
                                 struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    return code == STICPS_OK ? lists_load(client->lists, kind, err) : code;
}

struct sticps_list *sticps_list_held(struct sticps_client *client, enum sticps_list_kind kind)
{
    return lists_held(client->lists, kind);
}

enum sticps_err sticps_list_reset(struct sticps_client *client, enum sticps_list_kind kind,
                                  int64_t sequence, int64_t *previous_floor, bool *dropped,
                                  struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    return lists_reset(client->lists, kind, sequence, previous_floor, dropped, err);
}

#include "client/list_refresh.h"

#include <stdlib.h>
#include <string.h>

#define REST_MAX_S 3600 /* a mirror must not be able to send its clients away for good */

struct refresh {
    struct loop_task task; /* first */
    struct list_refresher *refresher;
    enum sticps_list_kind kind;
    const struct text_list *urls, *files;
    struct text one; /* of list_refresh_one: our URL, in a list of its own */
    struct text_list only;
    bool offer; /* nothing is kept; the first list that is acceptable ends it */
    uint64_t *rest_until;
    size_t at;         /* the source that is asked now: the URLs, then the files */
    uint64_t deadline; /* loop_now() */

    bool satisfied;
    struct sticps_list_result result; /* its list is a reference of ours */
    struct sticps_error worst;        /* code STICPS_OK before the first failure */
    sticps_list_fn *callback;
    void *ctx;
};

static const struct text_list no_texts;

/* ---- how a source ended ---- */

static size_t sources_len(const struct refresh *refresh)
{
    return refresh->urls->len + refresh->files->len;
}

static bool is_file(const struct refresh *refresh)
{
    return refresh->at >= refresh->urls->len;
}

static const char *source_name(const struct refresh *refresh)
{
    return is_file(refresh) ? refresh->files->items[refresh->at - refresh->urls->len].data
                            : refresh->urls->items[refresh->at].data;
}

/* What concerns this machine befalls every source alike. */
static bool is_local(enum sticps_err code)
{
    return code == STICPS_ERR_NO_MEMORY || code == STICPS_ERR_STATE || code == STICPS_ERR_FILE ||
           code == STICPS_ERR_CRYPTO;
}

static int weight(enum sticps_err code)
{
    if (code == STICPS_OK)
        return 0;
    if (code == STICPS_ERR_FETCH)
        return 1;
    if (is_local(code))
        return 4;
    return code == STICPS_ERR_EQUIVOCATION ? 3 : 2;
}

/* Where there are several, `where` names the one that failed. */
static void note_failure(struct refresh *refresh, enum sticps_err code,
                         const struct sticps_error *err)
{
    struct sticps_error named = *err;
    if (sources_len(refresh) > 1) {
        if (!is_local(code))
            fail(&named, code, source_name(refresh), "%s", err->text);
        events_note(refresh->refresher->events, STICPS_EVENT_SOURCE, code, &named);
    }
    if (weight(code) > weight(refresh->worst.code))
        refresh->worst = named;
}

static void note_success(struct refresh *refresh, const struct sticps_list_result *result)
{
    const struct sticps_error none = {0};
    if (sources_len(refresh) > 1)
        events_note(refresh->refresher->events, STICPS_EVENT_SOURCE, STICPS_OK, &none);
    sticps_list_unref(refresh->result.list);
    refresh->result.list = sticps_list_ref(result->list);
    if (!refresh->satisfied)
        refresh->result.previous = result->previous;
    if (!refresh->satisfied || result->status == STICPS_LIST_TAKEN)
        refresh->result.status = result->status;
    refresh->satisfied = true;
}

/* ---- the end ---- */

static void refresh_free(struct refresh *refresh)
{
    sticps_list_unref(refresh->result.list);
    free(refresh->one.data);
    free(refresh);
}

/* A list that was only offered is neither taken nor current. */
static void note_end(const struct refresh *refresh)
{
    struct events *events = refresh->refresher->events;
    const struct sticps_list *list = refresh->result.list;
    if (!refresh->satisfied)
        events_note(events, STICPS_EVENT_LIST, refresh->worst.code, &refresh->worst);
    else if (!refresh->offer && refresh->result.status == STICPS_LIST_TAKEN)
        events_tell(events, STICPS_EVENT_LIST, sticps_list_source(list),
                    "list %lld is taken, after %lld", (long long)sticps_list_sequence(list),
                    (long long)refresh->result.previous);
    else if (!refresh->offer)
        events_note(events, STICPS_EVENT_LIST, STICPS_OK, &refresh->worst);
}

static void finish(struct refresh *refresh)
{
    const struct sticps_error none = {0};
    note_end(refresh);
    if (refresh->satisfied)
        refresh->callback(refresh->ctx, STICPS_OK, &none, &refresh->result);
    else
        refresh->callback(refresh->ctx, refresh->worst.code, &refresh->worst, NULL);
    refresh_free(refresh);
}

/* ---- one source after the other ---- */

enum sticps_err list_refresh_look(const struct list_refresher *refresher, bool again,
                                  struct sticps_error *err)
{
    const struct list_source *source = refresher->source;
    enum sticps_err code = anchor_set_look(source->anchors, again, err);
    if (source->crl_signers == source->anchors)
        return code;
    enum sticps_err other =
        anchor_set_look(source->crl_signers, again, code != STICPS_OK ? NULL : err);
    return code != STICPS_OK ? code : other;
}

static bool rests(const struct refresh *refresh)
{
    return refresh->rest_until != NULL && !is_file(refresh) &&
           refresh->rest_until[refresh->at] > loop_now();
}

/* Moves to the next source that is to be asked; false when there is none. */
static bool find_source(struct refresh *refresh)
{
    while (refresh->at < refresh->urls->len && rests(refresh))
        refresh->at++;
    bool enough = refresh->satisfied && (is_file(refresh) || refresh->offer);
    return refresh->at < sources_len(refresh) && !enough;
}

static void on_source(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct sticps_list_result *result, int64_t retry_after);

static void ask_next(struct refresh *refresh)
{
    if (!find_source(refresh)) {
        if (!refresh->satisfied && refresh->worst.code == STICPS_OK)
            fail(&refresh->worst, STICPS_ERR_FETCH, refresh->urls->items[0].data,
                 "every source asks to be left in peace for now (Retry-After)");
        finish(refresh);
        return;
    }
    uint64_t now = loop_now();
    uint64_t left = refresh->deadline > now ? refresh->deadline - now : 0;
    unsigned share = (unsigned)(left / (sources_len(refresh) - refresh->at));
    struct list_request request = {
        .kind = refresh->kind,
        .from = source_name(refresh),
        .is_file = is_file(refresh),
        .confirms = refresh->satisfied,
        .offer = refresh->offer,
        .timeout_ms = share > 0 ? share : 1, /* 0 would be for ever */
    };
    list_source_fetch(refresh->refresher->source, &request, on_source, refresh);
}

static void on_source(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct sticps_list_result *result, int64_t retry_after)
{
    struct refresh *refresh = ctx;
    if (code == STICPS_OK)
        note_success(refresh, result);
    else
        note_failure(refresh, code, err);
    if (refresh->rest_until != NULL && !is_file(refresh)) {
        int64_t rest = retry_after < REST_MAX_S ? retry_after : REST_MAX_S;
        refresh->rest_until[refresh->at] = rest > 0 ? loop_now() + (uint64_t)rest * 1000 : 0;
    }
    if (is_local(code)) {
        finish(refresh);
        return;
    }
    refresh->at++;
    ask_next(refresh);
}

static void begin(struct loop_task *task)
{
    struct refresh *refresh = (struct refresh *)task;
    refresh->deadline = loop_now() + refresh->refresher->source->options->list_timeout;
    enum sticps_err code = list_refresh_look(refresh->refresher, false, NULL);
    (void)code; /* the old anchors are in use, and an event has told */
    ask_next(refresh);
}

/* ---- asking ---- */

static enum sticps_err check_anchors(const struct list_refresher *refresher,
                                     struct sticps_error *err)
{
    struct anchors *anchors = anchor_set_get(refresher->source->anchors);
    bool some = anchors_count(anchors) > 0;
    anchors_free(anchors);
    if (some)
        return STICPS_OK;
    return fail(err, STICPS_ERR_USAGE, NULL,
                "no anchor: a list is accepted from a signer below a given certificate only");
}

enum sticps_err list_refresh_check(const struct list_refresher *refresher,
                                   enum sticps_list_kind kind, struct sticps_error *err)
{
    const struct sticps_options *options = refresher->source->options;
    if (options->list_urls[kind].len + options->list_files[kind].len == 0)
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "no source for this list; give the options a URL or a file");
    return check_anchors(refresher, err);
}

/* With `url`, that is the only source. NULL when out of memory. */
static struct refresh *refresh_new(struct list_refresher *refresher, enum sticps_list_kind kind,
                                   const char *url, sticps_list_fn *callback, void *ctx)
{
    struct refresh *refresh = calloc(1, sizeof(*refresh));
    if (refresh == NULL)
        return NULL;
    refresh->task.run = begin;
    refresh->refresher = refresher;
    refresh->kind = kind;
    refresh->urls = &refresher->source->options->list_urls[kind];
    refresh->files = &refresher->source->options->list_files[kind];
    refresh->callback = callback;
    refresh->ctx = ctx;
    if (url != NULL) {
        refresh->one = (struct text){strdup(url), strlen(url), NULL};
        refresh->only = (struct text_list){&refresh->one, 1};
        refresh->urls = &refresh->only;
        refresh->files = &no_texts;
    }
    if (url != NULL && refresh->one.data == NULL) {
        free(refresh);
        return NULL;
    }
    return refresh;
}

/* `refresh` is NULL when out of memory, or with a `code`. */
static void start(struct list_refresher *refresher, struct refresh *refresh, enum sticps_err code,
                  struct sticps_error *err, sticps_list_fn *callback, void *ctx)
{
    if (code == STICPS_OK && refresh == NULL)
        code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK && fetcher_is_closed(refresher->source->fetcher))
        code = fail(err, STICPS_ERR_FETCH, NULL, "the client is being closed");
    if (code == STICPS_OK) {
        loop_post(refresher->loop, &refresh->task);
        return;
    }
    events_note(refresher->events, STICPS_EVENT_LIST, code, err);
    callback(ctx, code, err, NULL);
    if (refresh != NULL)
        refresh_free(refresh);
}

static void start_all(struct list_refresher *refresher, enum sticps_list_kind kind, bool offer,
                      uint64_t *rest_until, sticps_list_fn *callback, void *ctx)
{
    struct sticps_error err = {0};
    enum sticps_err code = list_refresh_check(refresher, kind, &err);
    struct refresh *refresh =
        code == STICPS_OK ? refresh_new(refresher, kind, NULL, callback, ctx) : NULL;
    if (refresh != NULL) {
        refresh->offer = offer;
        refresh->rest_until = rest_until;
    }
    start(refresher, refresh, code, &err, callback, ctx);
}

void list_refresh_all(struct list_refresher *refresher, enum sticps_list_kind kind,
                      uint64_t *rest_until, sticps_list_fn *callback, void *ctx)
{
    start_all(refresher, kind, false, rest_until, callback, ctx);
}

void list_refresh_offer(struct list_refresher *refresher, enum sticps_list_kind kind,
                        sticps_list_fn *callback, void *ctx)
{
    start_all(refresher, kind, true, NULL, callback, ctx);
}

void list_refresh_one(struct list_refresher *refresher, enum sticps_list_kind kind, const char *url,
                      sticps_list_fn *callback, void *ctx)
{
    struct sticps_error err = {0};
    enum sticps_err code = list_url_check(url, &err);
    if (code == STICPS_OK)
        code = check_anchors(refresher, &err);
    struct refresh *refresh =
        code == STICPS_OK ? refresh_new(refresher, kind, url, callback, ctx) : NULL;
    start(refresher, refresh, code, &err, callback, ctx);
}

#include "client/x5u_cache.h"

#include "client/x5u_store.h"
#include "common/cert.h"
#include "common/url.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* uthash otherwise ends the process */
#include <uthash.h>

#define MAX_LIFETIME \
    (24 * 3600)             /* seconds; ATIS-1000074's bound, and used when no header says less */
#define FAILURE_LIFETIME 30 /* seconds */
#define MAX_ENTRIES 1024    /* a sender of PASSporTs chooses the URLs: memory must not be his */
#define MAX_FETCHES 128     /* at once, for the same reason */

struct waiter {
    struct waiter *next;
    sticps_x5u_fn *callback;
    void *ctx;
};

enum x5u_state { X5U_FETCHING, X5U_GOOD, X5U_FAILED };

struct x5u_entry {
    UT_hash_handle hh;
    struct x5u_cache *cache;
    enum x5u_state state;
    int64_t until; /* GOOD: expires; FAILED: ask again; Unix seconds */
    char *pem;     /* GOOD; FETCHING: the one that is doubted, or NULL */
    size_t pem_len;
    bool doubted;              /* GOOD: to be fetched anew */
    int64_t not_doubted_till;  /* a fetch for a doubted one has failed; Unix seconds */
    struct sticps_error error; /* FAILED */
    struct waiter *waiters;    /* FETCHING; whoever comes last stands first */
    char url[];
};

struct x5u_cache {
    struct fetcher *fetcher;
    const struct sticps_options *options;
    struct events *events;
    struct x5u_store *store;   /* NULL: nothing is kept on disk */
    pthread_mutex_t mutex;     /* of the entries */
    struct x5u_entry *entries; /* by URL; the least recently used first */
    unsigned fetching;
    atomic_ullong hits;
};

uint64_t x5u_cache_hits(const struct x5u_cache *cache)
{
    return atomic_load_explicit(&cache->hits, memory_order_relaxed);
}

enum sticps_err x5u_cache_new(struct fetcher *fetcher, const struct sticps_options *options,
                              struct events *events, struct x5u_cache **out,
                              struct sticps_error *err)
{
    struct x5u_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    cache->fetcher = fetcher;
    cache->options = options;
    cache->events = events;
    pthread_mutex_init(&cache->mutex, NULL);
    enum sticps_err code = x5u_store_new(options, &cache->store, err);
    if (code == STICPS_OK)
        *out = cache;
    else
        x5u_cache_free(cache);
    return code;
}

/* ---- entries; all under the mutex ---- */

static void remove_entry(struct x5u_cache *cache, struct x5u_entry *entry)
{
    HASH_DEL(cache->entries, entry);
    free(entry->pem);
    free(entry);
}

static bool add_entry(struct x5u_cache *cache, struct x5u_entry *entry)
{
    HASH_ADD_STR(cache->entries, url, entry);
    return entry->hh.tbl != NULL; /* NULL: out of memory */
}

/* Makes room by dropping the least recently used that nobody waits for. */
static void evict(struct x5u_cache *cache)
{
    struct x5u_entry *entry, *next;
    HASH_ITER(hh, cache->entries, entry, next)
    {
        if (HASH_COUNT(cache->entries) < MAX_ENTRIES)
            return;
        if (entry->state != X5U_FETCHING)
            remove_entry(cache, entry);
    }
}

static struct x5u_entry *new_entry(struct x5u_cache *cache, const char *url)
{
    evict(cache);
    size_t len = strlen(url);
    struct x5u_entry *entry = calloc(1, sizeof(*entry) + len + 1);
    if (entry == NULL)
        return NULL;
    memcpy(entry->url, url, len + 1);
    entry->cache = cache;
    if (!add_entry(cache, entry)) {
        free(entry);
        return NULL;
    }
    return entry;
}

/* The entry for a URL if it still holds, moved to the end of the queue for eviction. */
static struct x5u_entry *find_entry(struct x5u_cache *cache, const char *url, int64_t now)
{
    struct x5u_entry *entry = NULL;
    HASH_FIND_STR(cache->entries, url, entry);
    if (entry == NULL || entry->state == X5U_FETCHING)
        return entry;
    /* a failure whose end lies further ahead than it can be is one of a clock that was set back */
    bool over = entry->until <= now ||
                (entry->state == X5U_FAILED && entry->until - now > FAILURE_LIFETIME);
    if (!over) {
        HASH_DEL(cache->entries, entry);
        if (add_entry(cache, entry))
            return entry;
        free(entry->pem);
        free(entry);
        return NULL;
    }
    remove_entry(cache, entry);
    return NULL;
}

void x5u_cache_free(struct x5u_cache *cache)
{
    if (cache == NULL)
        return;
    struct x5u_entry *entry, *next;
    HASH_ITER(hh, cache->entries, entry, next)
    remove_entry(cache, entry);
    pthread_mutex_destroy(&cache->mutex);
    x5u_store_free(cache->store);
    free(cache);
}

/* ---- a fetch's end ---- */

/* PEM of what was received, and until when it may be kept. */
static enum sticps_err read_answer(const struct x5u_cache *cache, const char *url,
                                   const struct fetch_answer *answer, char **pem, int64_t *until,
                                   struct sticps_error *err)
{
    if (answer->status != 200)
        return fetch_bad_status(err, url, answer->status);
    struct cert_chain *chain = NULL;
    enum sticps_err code =
        cert_chain_parse(answer->body, answer->body_len, STICPS_ERR_BAD_IDENTITY_INFO, &chain, err);
    if (code != STICPS_OK) {
        fail_context(err, "%s", url);
        return code;
    }
    int64_t lifetime = answer->lifetime;
    if (lifetime < 0 || lifetime > MAX_LIFETIME)
        lifetime = MAX_LIFETIME;
    *until = clock_now(&cache->options->clock) + lifetime;
    if (*until > cert_chain_not_after(chain))
        *until = cert_chain_not_after(chain);
    *pem = strdup(cert_chain_pem(chain));
    cert_chain_unref(chain);
    return *pem != NULL ? STICPS_OK : fail(err, STICPS_ERR_NO_MEMORY, url, "out of memory");
}

/* Turns the order of arrival round again. */
static struct waiter *in_order(struct waiter *waiters)
{
    struct waiter *ordered = NULL;
    while (waiters != NULL) {
        struct waiter *next = waiters->next;
        waiters->next = ordered;
        ordered = waiters;
        waiters = next;
    }
    return ordered;
}

static void call_waiters(struct waiter *waiter, enum sticps_err code,
                         const struct sticps_error *err, const char *pem, int64_t until)
{
    size_t len = pem != NULL ? strlen(pem) : 0;
    while (waiter != NULL) {
        struct waiter *next = waiter->next;
        waiter->callback(waiter->ctx, code, err, pem, len, until);
        free(waiter);
        waiter = next;
    }
}

/* Records the outcome and takes over the waiters. The waiters' PEM is `pem`, the entry gets a copy:
 * with callbacks running, the entry may be evicted. */
static struct waiter *settle(struct x5u_entry *entry, enum sticps_err code,
                             const struct sticps_error *err, const char *pem, int64_t until)
{
    struct x5u_cache *cache = entry->cache;
    int64_t now = clock_now(&cache->options->clock);
    pthread_mutex_lock(&cache->mutex);
    cache->fetching--;
    struct waiter *waiters = in_order(entry->waiters);
    entry->waiters = NULL;
    if (code == STICPS_OK) {
        free(entry->pem);
        entry->state = X5U_GOOD;
        entry->until = until;
        entry->doubted = false;
        entry->pem = until > now ? strdup(pem) : NULL;
        entry->pem_len = strlen(pem);
        if (entry->pem == NULL)
            remove_entry(cache, entry);
    } else if (entry->pem != NULL && entry->until > now) {
        entry->state = X5U_GOOD;
        entry->doubted = false;
        entry->not_doubted_till = now + FAILURE_LIFETIME;
    } else if (code == STICPS_ERR_NO_MEMORY) {
        remove_entry(cache, entry); /* our trouble, not the peer's */
    } else {
        free(entry->pem);
        entry->pem = NULL;
        entry->state = X5U_FAILED;
        entry->until = now + FAILURE_LIFETIME;
        entry->error = *err;
    }
    pthread_mutex_unlock(&cache->mutex);
    return waiters;
}

static void on_fetched(void *ctx, enum sticps_err code, const struct sticps_error *fetch_err,
                       const struct fetch_answer *answer)
{
    struct x5u_entry *entry = ctx;
    struct sticps_error err = *fetch_err;
    char *pem = NULL;
    int64_t until = 0;
    if (code == STICPS_OK)
        code = read_answer(entry->cache, entry->url, answer, &pem, &until, &err);
    events_note(entry->cache->events, STICPS_EVENT_X5U, code, &err);
    struct x5u_cache *cache = entry->cache;
    char *url = pem != NULL ? strdup(entry->url) : NULL; /* the entry may not outlive its end */
    call_waiters(settle(entry, code, &err, pem, until), code, &err, pem, until);
    if (url != NULL)
        x5u_store_write(cache->store, url, pem, clock_now(&cache->options->clock), until);
    free(url);
    free(pem);
}

/* ---- asking ---- */

/* Under the mutex. */
static void begin_fetch(struct x5u_cache *cache, struct x5u_entry *entry)
{
    entry->state = X5U_FETCHING;
    cache->fetching++;
}

static void start_fetch(struct x5u_cache *cache, struct x5u_entry *entry, unsigned timeout_ms)
{
    struct fetch_request request = {
        .url = entry->url,
        .timeout_ms = timeout_ms,
        .max_body = CERT_MAX_BYTES,
    };
    struct sticps_error err = {0};
    enum sticps_err code = fetch_start(cache->fetcher, &request, on_fetched, entry, &err);
    if (code != STICPS_OK)
        call_waiters(settle(entry, code, &err, NULL, 0), code, &err, NULL, 0);
}

enum lookup { ANSWERED, WAITING, STARTED };

/* Under the mutex: finds the answer, or puts the waiter in the queue of a fetch. *pem is the
 * caller's. */
static enum lookup look_up(struct x5u_cache *cache, const char *url, struct waiter *waiter,
                           struct x5u_entry **started, char **pem, int64_t *until,
                           struct sticps_error *err)
{
    int64_t now = clock_now(&cache->options->clock);
    struct x5u_entry *entry = find_entry(cache, url, now);
    if (entry != NULL && entry->state == X5U_FAILED) {
        *err = entry->error;
        return ANSWERED;
    }
    if (entry != NULL && entry->state == X5U_GOOD && !entry->doubted) {
        atomic_fetch_add_explicit(&cache->hits, 1, memory_order_relaxed);
        *until = entry->until;
        *pem = strdup(entry->pem);
        if (*pem == NULL)
            fail(err, STICPS_ERR_NO_MEMORY, url, "out of memory");
        return ANSWERED;
    }
    enum lookup result = WAITING;
    if (entry == NULL || entry->state == X5U_GOOD) {
        if (cache->fetching >= MAX_FETCHES) {
            fail(err, STICPS_ERR_FETCH, url, "%d certificates are being fetched already; try again",
                 MAX_FETCHES);
            return ANSWERED;
        }
        if (entry == NULL && (entry = new_entry(cache, url)) == NULL) {
            fail(err, STICPS_ERR_NO_MEMORY, url, "out of memory");
            return ANSWERED;
        }
        begin_fetch(cache, entry);
        *started = entry;
        result = STARTED;
    }
    waiter->next = entry->waiters;
    entry->waiters = waiter;
    return result;
}

/* Takes a chain from the disk when nothing is known of it in memory. Not under the mutex: others
 * need not wait for the disk. */
static void load_stored(struct x5u_cache *cache, const char *url)
{
    int64_t now = clock_now(&cache->options->clock), until = 0;
    if (cache->store == NULL)
        return;
    pthread_mutex_lock(&cache->mutex);
    bool known = find_entry(cache, url, now) != NULL;
    pthread_mutex_unlock(&cache->mutex);
    char *pem = known ? NULL : x5u_store_read(cache->store, url, now, &until);
    if (pem != NULL)
        x5u_cache_offer(cache, url, pem, strlen(pem), until);
    free(pem);
}

void x5u_cache_get(struct x5u_cache *cache, const char *url, unsigned timeout_ms,
                   sticps_x5u_fn *callback, void *ctx)
{
    struct sticps_error err = {0};
    enum sticps_err code = x5u_check(url, strlen(url), cache->options->lab, &err);
    if (code != STICPS_OK) {
        callback(ctx, code, &err, NULL, 0, 0);
        return;
    }
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL) {
        code = fail(&err, STICPS_ERR_NO_MEMORY, url, "out of memory");
        callback(ctx, code, &err, NULL, 0, 0);
        return;
    }
    waiter->callback = callback;
    waiter->ctx = ctx;

    char *pem = NULL;
    int64_t until = 0;
    struct x5u_entry *started = NULL;
    load_stored(cache, url);
    pthread_mutex_lock(&cache->mutex);
    enum lookup result = look_up(cache, url, waiter, &started, &pem, &until, &err);
    pthread_mutex_unlock(&cache->mutex);
    if (result == STARTED) {
        start_fetch(cache, started, timeout_ms);
    } else if (result == ANSWERED) {
        waiter->next = NULL;
        call_waiters(waiter, err.code, &err, pem, until);
    }
    free(pem);
}

bool x5u_cache_holds(struct x5u_cache *cache, const char *url)
{
    int64_t now = clock_now(&cache->options->clock);
    load_stored(cache, url);
    pthread_mutex_lock(&cache->mutex);
    const struct x5u_entry *entry = find_entry(cache, url, now);
    bool holds = entry != NULL && entry->state == X5U_GOOD && !entry->doubted;
    pthread_mutex_unlock(&cache->mutex);
    return holds;
}

void x5u_cache_doubt(struct x5u_cache *cache, const char *url)
{
    int64_t now = clock_now(&cache->options->clock);
    struct x5u_entry *entry = NULL;
    pthread_mutex_lock(&cache->mutex);
    HASH_FIND_STR(cache->entries, url, entry);
    if (entry != NULL && entry->state == X5U_GOOD) {
        int64_t left = entry->not_doubted_till - now; /* more than can be: the clock was set back */
        entry->doubted = left <= 0 || left > FAILURE_LIFETIME;
    }
    pthread_mutex_unlock(&cache->mutex);
}

void x5u_cache_offer(struct x5u_cache *cache, const char *url, const char *pem, size_t len,
                     int64_t expires_at)
{
    int64_t now = clock_now(&cache->options->clock);
    if (expires_at <= now || expires_at - now > MAX_LIFETIME)
        return;
    pthread_mutex_lock(&cache->mutex);
    struct x5u_entry *entry = NULL;
    HASH_FIND_STR(cache->entries, url, entry);
    if (entry == NULL && (entry = new_entry(cache, url)) != NULL) {
        entry->state = X5U_GOOD;
        entry->until = expires_at;
        entry->pem = strndup(pem, len);
        entry->pem_len = len;
        if (entry->pem == NULL)
            remove_entry(cache, entry);
    }
    pthread_mutex_unlock(&cache->mutex);
}

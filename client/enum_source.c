#include "client/enum_source.h"

#include "client/enum_cache.h"
#include "client/enum_query.h"
#include "client/peers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* uthash otherwise ends the process */
#include <uthash.h>

#define MOST_QUERIES 256 /* under way; beyond that the other sources decide */
/* How long an answer is remembered, whatever its TTL. */
#define SHORTEST_S 5
#define LONGEST_S 3600
#define LONGEST_WITHOUT_S 300 /* that the number is not there, or not ported */
#define FAILURE_S 2

struct enum_source {
    struct number_source source;
    struct loop *loop;
    const struct sticps_options *options;
    struct events *events;
    struct enum_cache *cache;
    atomic_uint_fast64_t paused_until; /* loop_now() */
    atomic_uint_fast64_t hits;

    /* the loop's thread only */
    struct enum_resolver *resolver;
    struct peers *servers; /* one, for all of them */
    struct asking *all;
};

/* A number that is asked for. */
struct asking {
    UT_hash_handle hh;
    struct enum_source *source;
    struct peer_visit visit;
    struct link *waiting;
    struct tn tn;
};

/* One number of one wait. */
struct link {
    struct enum_wait *wait;
    struct link *next, **link; /* link: NULL when it waits no more */
};

struct enum_wait {
    struct enum_source *source;
    struct loop_timer timer;
    void (*done)(void *ctx);
    void *ctx;
    size_t len, room, pending;
    struct link links[];
};

static const struct url servers_url = {
    .host = "enum", .host_len = 4, .host_kind = URL_HOST_NAME, .port = 53, .path = ""};

/* ---- looking up ---- */

static enum number_result lookup(const struct number_source *self, const struct tn *tn,
                                 struct number_answer *answer, struct sticps_error *err)
{
    struct enum_source *source = (struct enum_source *)self;
    enum number_result result = NUMBER_NOT_FOUND;
    struct tn lrn;
    uint64_t now = loop_now();
    if (enum_cache_get(source->cache, tn, now, &result, &lrn)) {
        atomic_fetch_add_explicit(&source->hits, 1, memory_order_relaxed);
        if (result == NUMBER_FOUND)
            *answer = (struct number_answer){.ported = true, .lrn = lrn};
        if (result == NUMBER_FAILED)
            fail(err, STICPS_ERR_FETCH, "enum", "ENUM has given no answer of use");
        return result;
    }
    if (now >= atomic_load_explicit(&source->paused_until, memory_order_relaxed))
        return NUMBER_NOT_ASKED;
    fail(err, STICPS_ERR_PAUSED, "enum",
         "the ENUM servers failed again and again, and are left in peace for a while");
    return NUMBER_FAILED;
}

static void keep(struct number_source *self)
{
    (void)self; /* it is the client's */
}

static const struct number_source_ops enum_source_ops = {lookup, keep, NULL};

struct number_source *enum_source_as_number_source(struct enum_source *source)
{
    return &source->source;
}

uint64_t enum_source_hits(const struct enum_source *source)
{
    return atomic_load_explicit(&((struct enum_source *)source)->hits, memory_order_relaxed);
}

/* ---- the answer ---- */

static uint64_t lifetime_ms(const struct enum_answer *answer)
{
    uint64_t most = answer->result == NUMBER_FOUND ? LONGEST_S : LONGEST_WITHOUT_S;
    uint64_t seconds = answer->ttl < most ? answer->ttl : most;
    if (seconds < SHORTEST_S)
        seconds = SHORTEST_S;
    return 1000 * (answer->result == NUMBER_FAILED ? FAILURE_S : seconds);
}

static void note(struct enum_source *source, enum peer_entry entry, uint64_t wait_ms)
{
    if (entry == PEER_PAUSED)
        atomic_store_explicit(&source->paused_until, loop_now() + wait_ms, memory_order_relaxed);
}

static void leave(struct enum_source *source, struct peer_visit *visit,
                  const struct enum_answer *answer, const struct sticps_error *err)
{
    bool silent = answer->result == NUMBER_FAILED && err->code == STICPS_ERR_FETCH;
    if (!peers_leave(source->servers, visit, silent ? PEER_FAILED : PEER_ANSWERED, -1, loop_now()))
        return;
    struct sticps_error paused;
    struct peer_visit none = {0};
    uint64_t wait_ms = 0;
    enum peer_entry entry =
        peers_enter(source->servers, &servers_url, loop_now(), 0, &none, &wait_ms);
    note(source, entry, wait_ms);
    fail(&paused, STICPS_ERR_PAUSED, source->options->enumeration.apex,
         "the ENUM servers fail again and again, and are left in peace for a while");
    events_note(source->events, STICPS_EVENT_PAUSE, STICPS_ERR_PAUSED, &paused);
}

/* Takes the wait's numbers from those that are asked for, and ends it. */
static void end_wait(struct enum_wait *wait)
{
    void (*done)(void *) = wait->done;
    void *ctx = wait->ctx;
    loop_timer_stop(&wait->timer);
    for (size_t i = 0; i < wait->len; i++) {
        struct link *link = &wait->links[i];
        if (link->link == NULL)
            continue;
        *link->link = link->next;
        if (link->next != NULL)
            link->next->link = link->link;
    }
    free(wait);
    if (done != NULL)
        done(ctx);
}

static void on_answer(void *ctx, const struct enum_answer *answer, const struct sticps_error *err)
{
    struct asking *asking = ctx;
    struct enum_source *source = asking->source;
    bool failed = answer->result == NUMBER_FAILED;
    HASH_DEL(source->all, asking);
    enum_cache_put(source->cache, &asking->tn, loop_now() + lifetime_ms(answer), answer->result,
                   &answer->lrn);
    leave(source, &asking->visit, answer, err);
    events_note(source->events, STICPS_EVENT_ENUM, failed ? err->code : STICPS_OK, err);
    while (asking->waiting != NULL) {
        struct link *link = asking->waiting;
        asking->waiting = link->next;
        if (link->next != NULL)
            link->next->link = &asking->waiting;
        link->link = NULL;
        if (--link->wait->pending == 0)
            end_wait(link->wait); /* may ask for other numbers */
    }
    free(asking);
}

/* ---- the question ---- */

static struct asking *asking_new(struct enum_source *source, const struct tn *tn,
                                 const struct peer_visit *visit)
{
    struct asking *asking = calloc(1, sizeof(*asking));
    if (asking == NULL)
        return NULL;
    asking->source = source;
    asking->visit = *visit;
    asking->tn = *tn;
    HASH_ADD(hh, source->all, tn, sizeof(asking->tn), asking);
    if (asking->hh.tbl != NULL &&
        enum_query_start(source->resolver, tn, on_answer, asking, NULL) == STICPS_OK)
        return asking;
    if (asking->hh.tbl != NULL)
        HASH_DEL(source->all, asking);
    free(asking);
    return NULL;
}

/* The one that is asked for already, or a new one; NULL when it cannot be asked for now. */
static struct asking *ask(struct enum_source *source, const struct tn *tn)
{
    struct asking *asking = NULL;
    struct peer_visit visit = {0};
    uint64_t wait_ms = 0;
    HASH_FIND(hh, source->all, tn, sizeof(*tn), asking);
    if (asking != NULL || source->resolver == NULL)
        return asking;
    enum peer_entry entry =
        peers_enter(source->servers, &servers_url, loop_now(), 0, &visit, &wait_ms);
    note(source, entry, wait_ms);
    if (entry != PEER_ENTERED)
        return NULL;
    asking = asking_new(source, tn, &visit);
    if (asking == NULL)
        peers_leave(source->servers, &visit, PEER_UNKNOWN, -1, loop_now());
    return asking;
}

/* ---- waiting ---- */

struct enum_wait *enum_wait_new(struct enum_source *source, size_t room)
{
    struct enum_wait *wait = calloc(1, sizeof(*wait) + room * sizeof(*wait->links));
    if (wait != NULL) {
        wait->source = source;
        wait->room = room;
    }
    return wait;
}

void enum_wait_add(struct enum_wait *wait, const struct tn *tn)
{
    struct asking *asking = wait->len < wait->room ? ask(wait->source, tn) : NULL;
    if (asking == NULL)
        return;
    struct link *link = &wait->links[wait->len++];
    *link = (struct link){wait, asking->waiting, &asking->waiting};
    if (link->next != NULL)
        link->next->link = &link->next;
    asking->waiting = link;
    wait->pending++;
}

static void on_time_up(struct loop_timer *timer)
{
    end_wait((struct enum_wait *)((char *)timer - offsetof(struct enum_wait, timer)));
}

bool enum_wait_start(struct enum_wait *wait, unsigned ms, void (*done)(void *ctx), void *ctx)
{
    if (wait->pending == 0) {
        end_wait(wait);
        return false;
    }
    wait->done = done;
    wait->ctx = ctx;
    loop_timer_set(wait->source->loop, &wait->timer, ms, on_time_up);
    return true;
}

/* ---- life ---- */

enum sticps_err enum_source_new(struct loop *loop, const struct sticps_options *options,
                                struct events *events, struct enum_source **out,
                                struct sticps_error *err)
{
    struct enum_source *source = calloc(1, sizeof(*source));
    enum sticps_err code = STICPS_OK;
    if (source != NULL) {
        source->source.ops = &enum_source_ops;
        source->loop = loop;
        source->options = options;
        source->events = events;
        source->cache = enum_cache_new(options->enumeration.cached);
        source->servers = peers_new(MOST_QUERIES, MOST_QUERIES);
    }
    if (source == NULL || source->cache == NULL || source->servers == NULL)
        code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK)
        code = enum_resolver_new(loop, options, &source->resolver, err);
    if (code == STICPS_OK)
        *out = source;
    else
        enum_source_free(source);
    return code;
}

void enum_source_close(struct enum_source *source)
{
    struct enum_resolver *resolver = source->resolver;
    source->resolver = NULL; /* nothing new is asked for */
    if (resolver != NULL)
        enum_resolver_close(resolver);
    enum_resolver_free(resolver);
}

void enum_source_free(struct enum_source *source)
{
    if (source == NULL)
        return;
    enum_resolver_free(source->resolver);
    peers_free(source->servers);
    enum_cache_free(source->cache);
    free(source);
}

void enum_source_abandon(struct enum_source *source)
{
    if (source == NULL)
        return;
    enum_resolver_abandon(source->resolver);
    enum_cache_free(source->cache);
    free(source);
}

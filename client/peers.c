#include "client/peers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* uthash otherwise ends the process */
#include <uthash.h>

#define SMOOTH 8 /* answers */

struct peer {
    UT_hash_handle hh;
    unsigned under_way;  /* requests, */
    unsigned connecting; /* and of these without a connection yet */
    unsigned waiting;    /* visits between `first` and `last` */
    struct peer_visit *first, *last;
    struct peer *next_due; /* in peers->due, when it is_due */
    bool is_due;
    uint64_t answer_time;  /* smoothed, in 1/SMOOTH ms; 0: not known */
    unsigned failures;     /* since the last answer */
    unsigned pauses;       /* since the last answer */
    uint64_t paused_until; /* 0: not paused since the last answer */
    char name[URL_PEER_NAME_SIZE];
};

struct peers {
    pthread_mutex_t mutex; /* of all that follows */
    struct peer *all;
    struct peer *due; /* one may be able to stop waiting for each of these */
    unsigned limit, connecting;
};

struct peers *peers_new(unsigned limit, unsigned connecting)
{
    struct peers *peers = calloc(1, sizeof(*peers));
    if (peers == NULL)
        return NULL;
    pthread_mutex_init(&peers->mutex, NULL);
    peers->limit = limit;
    peers->connecting = connecting;
    return peers;
}

static void peer_remove(struct peers *peers, struct peer *peer)
{
    HASH_DEL(peers->all, peer);
    free(peer);
}

void peers_free(struct peers *peers)
{
    if (peers == NULL)
        return;
    struct peer *peer, *next;
    HASH_ITER(hh, peers->all, peer, next)
    peer_remove(peers, peer);
    pthread_mutex_destroy(&peers->mutex);
    free(peers);
}

/* Nothing refers to it. */
static bool is_idle(const struct peer *peer)
{
    return peer->under_way == 0 && peer->waiting == 0 && !peer->is_due;
}

/* Forgets the idle peer whose pause ends first. */
static void make_room(struct peers *peers)
{
    struct peer *peer, *next, *oldest = NULL;
    if (HASH_COUNT(peers->all) < PEERS_KEPT)
        return;
    HASH_ITER(hh, peers->all, peer, next)
    if (is_idle(peer) && (oldest == NULL || peer->paused_until < oldest->paused_until))
        oldest = peer;
    if (oldest != NULL)
        peer_remove(peers, oldest);
}

static struct peer *peer_of(struct peers *peers, const struct url *url)
{
    char name[URL_PEER_NAME_SIZE];
    struct peer *peer = NULL;
    if (!url_peer_name(url, name))
        return NULL;
    HASH_FIND_STR(peers->all, name, peer);
    if (peer != NULL)
        return peer;
    make_room(peers);
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    memcpy(peer->name, name, sizeof(name));
    HASH_ADD_STR(peers->all, name, peer);
    if (peer->hh.tbl == NULL) {
        free(peer);
        return NULL;
    }
    return peer;
}

static void forget_if_well(struct peers *peers, struct peer *peer)
{
    if (is_idle(peer) && peer->failures == 0 && peer->paused_until == 0)
        peer_remove(peers, peer);
}

/* ---- those who wait ---- */

static void queue_up(struct peer *peer, struct peer_visit *visit)
{
    struct peer_visit *before = peer->last;
    while (before != NULL && before->deadline > visit->deadline) /* it was here before */
        before = before->prev;
    visit->prev = before;
    visit->next = before != NULL ? before->next : peer->first;
    *(before != NULL ? &before->next : &peer->first) = visit;
    *(visit->next != NULL ? &visit->next->prev : &peer->last) = visit;
    visit->state = PEER_VISIT_WAITS;
    visit->peer = peer;
    peer->waiting++;
}

static void stop_waiting(struct peer_visit *visit)
{
    struct peer *peer = visit->peer;
    *(visit->prev != NULL ? &visit->prev->next : &peer->first) = visit->next;
    *(visit->next != NULL ? &visit->next->prev : &peer->last) = visit->prev;
    visit->state = PEER_VISIT_AWAY;
    peer->waiting--;
}

static void note_due(struct peers *peers, struct peer *peer)
{
    if (peer->waiting == 0 || peer->is_due)
        return;
    peer->is_due = true;
    peer->next_due = peers->due;
    peers->due = peer;
}

/* ---- coming and going; under the mutex ---- */

/* How many requests may be under way. */
static uint64_t useful(const struct peers *peers, const struct peer *peer)
{
    uint64_t count = peer->answer_time * peers->limit / (SMOOTH * PEER_SLOW_MS);
    if (count < 2 * peers->connecting) /* fewer would be served one by one, at more cost each */
        count = 2 * (uint64_t)peers->connecting;
    return count < peers->limit ? count : peers->limit;
}

/* What somebody is told who may wait no longer, or PEER_WAITS. */
static enum peer_entry admit(const struct peers *peers, const struct peer *peer, uint64_t now,
                             uint64_t *wait_ms)
{
    *wait_ms = now < peer->paused_until ? peer->paused_until - now : 0;
    if (*wait_ms > 0 || (peer->paused_until != 0 && peer->under_way > 0)) /* one tries for all */
        return PEER_PAUSED;
    if (peer->connecting >= peers->connecting || peer->under_way >= useful(peers, peer))
        return PEER_WAITS;
    return PEER_ENTERED;
}

static void begin(struct peer *peer, struct peer_visit *visit)
{
    visit->state = PEER_VISIT_CONNECTS;
    visit->peer = peer;
    peer->under_way++;
    peer->connecting++;
}

static enum peer_entry enter(struct peers *peers, const struct url *url, uint64_t now, size_t room,
                             struct peer_visit *visit, uint64_t *wait_ms)
{
    struct peer *peer = peer_of(peers, url);
    if (peer == NULL)
        return PEER_NO_MEMORY;
    enum peer_entry entry = admit(peers, peer, now, wait_ms);
    if (entry == PEER_ENTERED && peer->waiting > 0) /* it is their turn */
        entry = PEER_WAITS;
    if (entry == PEER_WAITS && peer->waiting >= room)
        entry = PEER_FULL;
    if (entry == PEER_ENTERED)
        begin(peer, visit);
    else if (entry == PEER_WAITS)
        queue_up(peer, visit);
    return entry;
}

static void connected(struct peers *peers, struct peer_visit *visit, uint64_t now)
{
    if (visit->state != PEER_VISIT_CONNECTS) /* libcurl has connected for it a second time */
        return;
    visit->state = PEER_VISIT_CONNECTED;
    visit->since = now;
    visit->peer->connecting--;
    note_due(peers, visit->peer);
}

static uint64_t pause_ms(const struct peer *peer)
{
    unsigned doublings = peer->pauses < 16 ? peer->pauses : 16;
    uint64_t ms = (uint64_t)PEER_PAUSE_MS << doublings;
    return ms < PEER_PAUSE_MAX_MS ? ms : PEER_PAUSE_MAX_MS;
}

/* False when it is paused already: what fails then was under way before. */
static bool note_failure(struct peer *peer, uint64_t now)
{
    peer->failures++;
    bool trial = peer->paused_until != 0 && now >= peer->paused_until;
    if (now < peer->paused_until || (peer->failures < PEER_FAILURES && !trial))
        return false;
    peer->paused_until = now + pause_ms(peer);
    peer->pauses++;
    return true;
}

static void note_answer(struct peer *peer, uint64_t ms)
{
    uint64_t before = peer->answer_time > 0 ? peer->answer_time : ms * SMOOTH;
    peer->answer_time = before - before / SMOOTH + ms;
}

/* True when this has paused it. */
static bool judge(struct peer *peer, enum peer_outcome outcome, int64_t retry_after, uint64_t now)
{
    bool paused = false;
    if (outcome == PEER_ANSWERED)
        peer->failures = peer->pauses = 0, peer->paused_until = 0;
    else if (outcome == PEER_FAILED)
        paused = note_failure(peer, now);
    if (retry_after > PEER_RETRY_AFTER_MAX_S)
        retry_after = PEER_RETRY_AFTER_MAX_S;
    if (retry_after > 0 && now + (uint64_t)retry_after * 1000 > peer->paused_until) {
        peer->paused_until = now + (uint64_t)retry_after * 1000;
        paused = true;
    }
    return paused;
}

static bool leave(struct peers *peers, struct peer_visit *visit, enum peer_outcome outcome,
                  int64_t retry_after, uint64_t now)
{
    struct peer *peer = visit->peer;
    bool paused = false;
    if (visit->state == PEER_VISIT_WAITS) {
        stop_waiting(visit);
    } else {
        if (visit->state == PEER_VISIT_CONNECTS)
            peer->connecting--;
        else if (outcome == PEER_ANSWERED)
            note_answer(peer, now - visit->since);
        peer->under_way--;
        visit->state = PEER_VISIT_AWAY;
        paused = judge(peer, outcome, retry_after, now);
        note_due(peers, peer);
    }
    forget_if_well(peers, peer);
    return paused;
}

static struct peer_visit *next(struct peers *peers, uint64_t now, enum peer_entry *entry,
                               uint64_t *wait_ms)
{
    for (struct peer *peer; (peer = peers->due) != NULL;) {
        struct peer_visit *visit = peer->first;
        if (visit != NULL)
            *entry = admit(peers, peer, now, wait_ms);
        if (visit != NULL && *entry != PEER_WAITS) {
            stop_waiting(visit);
            if (*entry == PEER_ENTERED)
                begin(peer, visit);
            return visit;
        }
        peers->due = peer->next_due;
        peer->is_due = false;
        forget_if_well(peers, peer);
    }
    return NULL;
}

/* ---- for sending.c ---- */

enum peer_entry peers_enter(struct peers *peers, const struct url *url, uint64_t now, size_t room,
                            struct peer_visit *visit, uint64_t *wait_ms)
{
    pthread_mutex_lock(&peers->mutex);
    enum peer_entry entry = enter(peers, url, now, room, visit, wait_ms);
    pthread_mutex_unlock(&peers->mutex);
    return entry;
}

void peers_connected(struct peers *peers, struct peer_visit *visit, uint64_t now)
{
    pthread_mutex_lock(&peers->mutex);
    connected(peers, visit, now);
    pthread_mutex_unlock(&peers->mutex);
}

bool peers_leave(struct peers *peers, struct peer_visit *visit, enum peer_outcome outcome,
                 int64_t retry_after, uint64_t now)
{
    pthread_mutex_lock(&peers->mutex);
    bool paused = leave(peers, visit, outcome, retry_after, now);
    pthread_mutex_unlock(&peers->mutex);
    return paused;
}

bool peers_are_due(const struct peers *peers)
{
    return peers->due != NULL;
}

struct peer_visit *peers_next(struct peers *peers, uint64_t now, enum peer_entry *entry,
                              uint64_t *wait_ms)
{
    pthread_mutex_lock(&peers->mutex);
    struct peer_visit *visit = next(peers, now, entry, wait_ms);
    pthread_mutex_unlock(&peers->mutex);
    return visit;
}

/* ---- statistics ---- */

size_t peers_list(struct peers *peers, uint64_t now, struct peer_facts *out, size_t room)
{
    size_t len = 0;
    pthread_mutex_lock(&peers->mutex);
    for (const struct peer *peer = peers->all; peer != NULL; peer = peer->hh.next, len++) {
        if (len >= room)
            continue;
        memcpy(out[len].name, peer->name, sizeof(peer->name));
        out[len].under_way = peer->under_way;
        out[len].waiting = peer->waiting;
        out[len].failures = peer->failures;
        out[len].paused_ms = now < peer->paused_until ? peer->paused_until - now : 0;
    }
    pthread_mutex_unlock(&peers->mutex);
    return len;
}

size_t peers_paused(const struct peers *peers, uint64_t now)
{
    size_t count = 0;
    for (const struct peer *peer = peers->all; peer != NULL; peer = peer->hh.next)
        count += now < peer->paused_until;
    return count;
}

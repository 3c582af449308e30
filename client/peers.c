#include "client/peers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* uthash otherwise ends the process */
#include <uthash.h>

struct peer {
    UT_hash_handle hh;
    unsigned under_way;
    unsigned failures;     /* since the last answer */
    unsigned pauses;       /* since the last answer */
    uint64_t paused_until; /* 0: not paused since the last answer */
    char name[URL_PEER_NAME_SIZE];
};

struct peers {
    pthread_mutex_t mutex; /* of all that follows */
    struct peer *all;
    unsigned limit;
};

struct peers *peers_new(unsigned limit)
{
    struct peers *peers = calloc(1, sizeof(*peers));
    if (peers == NULL)
        return NULL;
    pthread_mutex_init(&peers->mutex, NULL);
    peers->limit = limit;
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

/* Forgets the peer without a request under way whose pause ends first. */
static void make_room(struct peers *peers)
{
    struct peer *peer, *next, *oldest = NULL;
    if (HASH_COUNT(peers->all) < PEERS_KEPT)
        return;
    HASH_ITER(hh, peers->all, peer, next)
    if (peer->under_way == 0 && (oldest == NULL || peer->paused_until < oldest->paused_until))
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
    if (peer->under_way == 0 && peer->failures == 0 && peer->paused_until == 0)
        peer_remove(peers, peer);
}

/* Under the mutex, as is leave. */
static enum peer_entry enter(struct peers *peers, const struct url *url, uint64_t now,
                             struct peer **out, uint64_t *wait_ms)
{
    struct peer *peer = peer_of(peers, url);
    if (peer == NULL)
        return PEER_NO_MEMORY;
    *wait_ms = 0;
    if (now < peer->paused_until) {
        *wait_ms = peer->paused_until - now;
        return PEER_PAUSED;
    }
    if (peer->paused_until != 0 && peer->under_way > 0) /* one tries for all */
        return PEER_PAUSED;
    if (peer->under_way >= peers->limit)
        return PEER_FULL;
    peer->under_way++;
    *out = peer;
    return PEER_ENTERED;
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

static bool leave(struct peers *peers, struct peer *peer, enum peer_outcome outcome,
                  int64_t retry_after, uint64_t now)
{
    bool paused = false;
    peer->under_way--;
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
    forget_if_well(peers, peer);
    return paused;
}

enum peer_entry peers_enter(struct peers *peers, const struct url *url, uint64_t now,
                            struct peer **out, uint64_t *wait_ms)
{
    pthread_mutex_lock(&peers->mutex);
    enum peer_entry entry = enter(peers, url, now, out, wait_ms);
    pthread_mutex_unlock(&peers->mutex);
    return entry;
}

bool peers_leave(struct peers *peers, struct peer *peer, enum peer_outcome outcome,
                 int64_t retry_after, uint64_t now)
{
    pthread_mutex_lock(&peers->mutex);
    bool paused = leave(peers, peer, outcome, retry_after, now);
    pthread_mutex_unlock(&peers->mutex);
    return paused;
}

size_t peers_list(struct peers *peers, uint64_t now, struct peer_facts *out, size_t room)
{
    size_t len = 0;
    pthread_mutex_lock(&peers->mutex);
    for (const struct peer *peer = peers->all; peer != NULL; peer = peer->hh.next, len++) {
        if (len >= room)
            continue;
        memcpy(out[len].name, peer->name, sizeof(peer->name));
        out[len].under_way = peer->under_way;
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

#include "client/tls_sessions.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1 /* uthash otherwise ends the process */
#include <uthash.h>

struct tls_peer {
    UT_hash_handle hh;
    CURLSH *share;
    unsigned users;
    uint64_t used; /* when it was asked for last, in uses of any */
    char name[URL_PEER_NAME_SIZE];
};

struct tls_sessions {
    struct tls_peer *peers;
    size_t kept;
    uint64_t uses;
};

struct tls_sessions *tls_sessions_new(size_t kept)
{
    struct tls_sessions *sessions = calloc(1, sizeof(*sessions));
    if (sessions != NULL)
        sessions->kept = kept;
    return sessions;
}

static void peer_remove(struct tls_sessions *sessions, struct tls_peer *peer)
{
    HASH_DEL(sessions->peers, peer);
    curl_share_cleanup(peer->share);
    free(peer);
}

void tls_sessions_free(struct tls_sessions *sessions)
{
    if (sessions == NULL)
        return;
    struct tls_peer *peer, *next;
    HASH_ITER(hh, sessions->peers, peer, next)
    peer_remove(sessions, peer);
    free(sessions);
}

/* Forgets the peer that nobody uses and was not asked for longest. False when all are in use. */
static bool make_room(struct tls_sessions *sessions)
{
    struct tls_peer *oldest = NULL;
    if (HASH_COUNT(sessions->peers) < sessions->kept)
        return true;
    for (struct tls_peer *peer = sessions->peers; peer != NULL; peer = peer->hh.next)
        if (peer->users == 0 && (oldest == NULL || peer->used < oldest->used))
            oldest = peer;
    if (oldest != NULL)
        peer_remove(sessions, oldest);
    return oldest != NULL;
}

static struct tls_peer *peer_new(const char *name)
{
    struct tls_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    memcpy(peer->name, name, strlen(name) + 1); /* both URL_PEER_NAME_SIZE at most */
    peer->share = curl_share_init();
    if (peer->share == NULL || curl_share_setopt(peer->share, CURLSHOPT_SHARE,
                                                 (long)CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK) {
        curl_share_cleanup(peer->share);
        free(peer);
        return NULL;
    }
    return peer;
}

static struct tls_peer *peer_of(struct tls_sessions *sessions, const char *name)
{
    struct tls_peer *peer = NULL;
    HASH_FIND_STR(sessions->peers, name, peer);
    if (peer != NULL)
        return peer;
    if (!make_room(sessions) || (peer = peer_new(name)) == NULL)
        return NULL;
    HASH_ADD_STR(sessions->peers, name, peer);
    if (peer->hh.tbl == NULL) {
        curl_share_cleanup(peer->share);
        free(peer);
        return NULL;
    }
    return peer;
}

struct tls_peer *tls_sessions_enter(struct tls_sessions *sessions, const char *name, CURL *easy)
{
    struct tls_peer *peer = name[0] != '\0' ? peer_of(sessions, name) : NULL;
    if (peer == NULL || curl_easy_setopt(easy, CURLOPT_SHARE, peer->share) != CURLE_OK)
        return NULL;
    peer->users++;
    peer->used = ++sessions->uses;
    return peer;
}

void tls_sessions_leave(struct tls_peer *peer, CURL *easy)
{
    if (peer == NULL)
        return;
    curl_easy_setopt(easy, CURLOPT_SHARE, NULL);
    peer->users--;
}

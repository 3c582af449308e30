#include "server/http/limits.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct client {
    struct limits_key key;
    unsigned open;
    UT_hash_handle hh;
};

struct limits {
    pthread_mutex_t lock; /* taken once when a connection opens and once when it closes */
    unsigned max_connections, max_per_address, open;
    struct client *clients;
};

struct limits *limits_new(unsigned max_connections, unsigned max_per_address)
{
    struct limits *limits = calloc(1, sizeof(*limits));
    if (limits == NULL)
        abort();
    pthread_mutex_init(&limits->lock, NULL);
    limits->max_connections = max_connections;
    limits->max_per_address = max_per_address;
    return limits;
}

void limits_free(struct limits *limits)
{
    if (limits == NULL)
        return;
    struct client *client, *next;
    HASH_ITER(hh, limits->clients, client, next)
    {
        HASH_DEL(limits->clients, client);
        free(client);
    }
    pthread_mutex_destroy(&limits->lock);
    free(limits);
}

void limits_set(struct limits *limits, unsigned max_connections, unsigned max_per_address)
{
    pthread_mutex_lock(&limits->lock);
    limits->max_connections = max_connections;
    limits->max_per_address = max_per_address;
    pthread_mutex_unlock(&limits->lock);
}

struct limits_key limits_key_of(const struct sockaddr *address)
{
    struct limits_key key;
    memset(&key, 0, sizeof(key));
    if (address->sa_family == AF_INET) {
        key.bytes[0] = 4;
        memcpy(key.bytes + 1, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            key.bytes[0] = 4;
            memcpy(key.bytes + 1, in6->s6_addr + 12, 4);
        } else {
            key.bytes[0] = 6;
            memcpy(key.bytes + 1, in6->s6_addr, 8);
        }
    }
    return key;
}

bool limits_enter(struct limits *limits, const struct limits_key *key, bool is_proxy)
{
    bool entered = false;
    pthread_mutex_lock(&limits->lock);
    if (limits->open < limits->max_connections) {
        struct client *client;
        HASH_FIND(hh, limits->clients, key, sizeof(*key), client);
        if (client == NULL) {
            client = calloc(1, sizeof(*client));
            if (client == NULL)
                abort();
            client->key = *key;
            HASH_ADD(hh, limits->clients, key, sizeof(client->key), client);
        }
        if (is_proxy || client->open < limits->max_per_address) {
            client->open++;
            limits->open++;
            entered = true;
        }
    }
    pthread_mutex_unlock(&limits->lock);
    return entered;
}

void limits_leave(struct limits *limits, const struct limits_key *key)
{
    pthread_mutex_lock(&limits->lock);
    struct client *client;
    HASH_FIND(hh, limits->clients, key, sizeof(*key), client);
    if (client != NULL) {
        limits->open--;
        if (--client->open == 0) {
            HASH_DEL(limits->clients, client);
            free(client);
        }
    }
    pthread_mutex_unlock(&limits->lock);
}

unsigned limits_open(struct limits *limits)
{
    pthread_mutex_lock(&limits->lock);
    unsigned open = limits->open;
    pthread_mutex_unlock(&limits->lock);
    return open;
}

#include "server/registry/token_cache.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 1024 /* of 150 bytes each */

struct place {
    unsigned char digest[32];
    const void *key; /* NULL: free */
    int64_t exp;
    struct identity identity;
};

struct token_cache {
    struct place places[PLACES];
};

struct token_cache *token_cache_new(void)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        abort();
    return cache;
}

void token_cache_free(struct token_cache *cache)
{
    if (cache == NULL)
        return;
    OPENSSL_cleanse(cache, sizeof(*cache));
    free(cache);
}

static size_t place_of(const unsigned char digest[32])
{
    return (((size_t)digest[0] << 8) | digest[1]) % PLACES;
}

const struct identity *token_cache_get(const struct token_cache *cache,
                                       const unsigned char digest[32], const void *key, int64_t now)
{
    const struct place *place = &cache->places[place_of(digest)];

    if (place->key == NULL || place->key != key || place->exp <= now ||
        memcmp(place->digest, digest, sizeof(place->digest)) != 0)
        return NULL;
    return &place->identity;
}

void token_cache_put(struct token_cache *cache, const unsigned char digest[32], const void *key,
                     int64_t exp, const struct identity *identity)
{
    struct place *place = &cache->places[place_of(digest)];

    memcpy(place->digest, digest, sizeof(place->digest));
    place->key = key;
    place->exp = exp;
    place->identity = *identity;
}

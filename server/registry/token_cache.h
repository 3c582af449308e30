/* Access tokens that were found good a moment ago, so that a client which asks again does not pay
 * for the same signature again (libjwt takes longer for it than all the rest of a request takes).
 * One cache per server thread, without a lock; each token has one place, and the next one there
 * takes it over. Nothing here makes a token good: session.c puts in what it has checked, and asks
 * with the key that is in force. */
#ifndef REGISTRY_TOKEN_CACHE_H
#define REGISTRY_TOKEN_CACHE_H

#include "server/registry/session.h"

#include <stdint.h>

struct token_cache;

struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *cache); /* accepts NULL; wipes what it holds */

/* Whose the token is, or NULL: not known, checked with another key, or `now` is not before its
 * `exp`. `digest` is the token's SHA-256; valid until the next put. */
const struct identity *token_cache_get(const struct token_cache *cache,
                                       const unsigned char digest[32], const void *key,
                                       int64_t now);
/* `key` is compared as a pointer and never followed. */
void token_cache_put(struct token_cache *cache, const unsigned char digest[32], const void *key,
                     int64_t exp, const struct identity *identity);

#endif

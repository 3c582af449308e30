/* Certificates by x5u (PROTOCOL section 4): a cache of whole chains, in memory and on disk, with
 * memory for failures, and one fetch at a time per URL however many ask. Called by the public
 * sticps_x5u_fetch and by list_source.
 *
 * What is cached has parsed as a chain; whether it is trusted is decided each time it is used. */
#ifndef CLIENT_X5U_CACHE_H
#define CLIENT_X5U_CACHE_H

#include "client/events.h"
#include "client/fetch.h"
#include "sticps/x5u.h"

struct x5u_cache;

enum sticps_err x5u_cache_new(struct fetcher *fetcher, const struct sticps_options *options,
                              struct events *events, struct x5u_cache **out,
                              struct sticps_error *err) STICPS_MUST_CHECK;
uint64_t x5u_cache_hits(const struct x5u_cache *cache); /* answers from the cache; any thread */
void x5u_cache_free(struct x5u_cache *cache);           /* accepts NULL; no fetch under way */

/* As sticps_x5u_fetch, with the deadline given. The first to ask for a URL sets the deadline of the
 * fetch that all share. */
void x5u_cache_get(struct x5u_cache *cache, const char *url, unsigned timeout_ms,
                   sticps_x5u_fn *callback, void *ctx);

/* Is there a chain that x5u_cache_get would answer with at once? */
bool x5u_cache_holds(struct x5u_cache *cache, const char *url);

/* Doubts a chain, not a failure: the next to ask has it fetched anew. When that fails, the old one
 * stays, and is not doubted again for 30 s: whoever can have a chain doubted (with a bad signature)
 * must not be able to take a good one away while its host is out of reach. */
void x5u_cache_doubt(struct x5u_cache *cache, const char *url);

/* Puts a chain back that the state directory kept, if none is cached. Errors do no harm. */
void x5u_cache_offer(struct x5u_cache *cache, const char *url, const char *pem, size_t len,
                     int64_t expires_at);

#endif

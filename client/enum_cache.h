/* What ENUM has said of numbers, for as long as DNS lets one remember it. Written in the loop's
 * thread, read in any, by as many as want to: a reader takes no lock, never waits and makes no
 * system call. Of a fixed size; a new entry takes the place of the one in its set that ends first.
 *
 * Each entry has a count that is odd while it is written and another afterwards: a reader that
 * meets either change reads again, and after a few times says that there is no entry. Why that is
 * enough: each word is stored with release and loaded with acquire, so a reader that sees a new
 * word sees that the count has moved, too. */
#ifndef CLIENT_ENUM_CACHE_H
#define CLIENT_ENUM_CACHE_H

#include "client/number_source.h"

#include <stdint.h>

struct enum_cache;

/* Room for `entries`, rounded up to a power of two. NULL when out of memory. */
struct enum_cache *enum_cache_new(unsigned entries);
void enum_cache_free(struct enum_cache *cache); /* accepts NULL */

/* Any thread. False when nothing is remembered; *lrn is "" but with NUMBER_FOUND. `now` is
 * loop_now(). */
bool enum_cache_get(struct enum_cache *cache, const struct tn *tn, uint64_t now,
                    enum number_result *result, struct tn *lrn);

/* The loop's thread only. Remembers it until `until`; `lrn` is read with NUMBER_FOUND. */
void enum_cache_put(struct enum_cache *cache, const struct tn *tn, uint64_t until,
                    enum number_result result, const struct tn *lrn);

#endif

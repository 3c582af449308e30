/* How often something may happen for each of many keys: so many a second, and so many at once
 * (a token bucket, kept as GCRA). One table for all threads, of fixed size and without locks; a key
 * costs one atomic word. Callers: dispatch (client addresses), the registry (SPs).
 *
 * Keys are told apart by 32 bits of a keyed hash, which nobody can aim. When more keys are busy
 * than the table has room for, the newest of them are not limited: the limit is against one that
 * asks too much, and many that ask little are left to the limits of connections. */
#ifndef SERVER_HTTP_RATE_H
#define SERVER_HTTP_RATE_H

#include <stddef.h>
#include <stdint.h>

#define RATE_MAX 1000000 /* of both numbers */

struct rate;

/* Without a limit. Never NULL. */
struct rate *rate_new(void);
void rate_free(struct rate *rate); /* accepts NULL */

/* `per_second` 0: no limit. `burst` 0: twice as many. Any thread. */
void rate_set(struct rate *rate, unsigned per_second, unsigned burst);

/* One more for this key: 0 when it may happen and is counted, else the seconds until it may.
 * `now_us` is monotonic. Any thread. */
unsigned rate_take(struct rate *rate, const void *key, size_t len, uint64_t now_us);
/* The same, but nothing is counted. */
unsigned rate_ask(struct rate *rate, const void *key, size_t len, uint64_t now_us);

#endif

/* How long deliveries take: a histogram by powers of two, counted without a lock. Written by
 * deliver.c, in the loop's thread; read by stats.c, in any. */
#ifndef CLIENT_LATENCY_H
#define CLIENT_LATENCY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LATENCY_BUCKETS 16 /* 1, 2, 4 … 32,768 ms */

struct latency {
    atomic_ullong sum;                         /* milliseconds */
    atomic_ullong counts[LATENCY_BUCKETS + 1]; /* of each alone; the last: longer than all */
};

/* The bucket of the shortest time that is not shorter than `ms`. */
static inline size_t latency_bucket(uint64_t ms)
{
    size_t bucket = 0;
    while (bucket < LATENCY_BUCKETS && ms > UINT64_C(1) << bucket)
        bucket++;
    return bucket;
}

static inline void latency_note(struct latency *latency, uint64_t ms)
{
    atomic_fetch_add_explicit(&latency->sum, ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&latency->counts[latency_bucket(ms)], 1, memory_order_relaxed);
}

#endif

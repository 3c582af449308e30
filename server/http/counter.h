/* A number that one thread counts and any thread reads, for metrics: no lock, and no locked
 * instruction either, because only the owner writes. */
#ifndef SERVER_HTTP_COUNTER_H
#define SERVER_HTTP_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

static inline uint64_t counter_read(const counter *value) /* any thread */
{
    return atomic_load_explicit((counter *)value, memory_order_relaxed);
}

static inline void counter_set(counter *value, uint64_t to) /* the owner */
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

static inline void counter_add(counter *value, uint64_t more) /* the owner */
{
    counter_set(value, counter_read(value) + more);
}

#endif

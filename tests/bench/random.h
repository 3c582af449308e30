/* Random numbers for the measuring programs: fast, the same for the same seed, of no use where
 * somebody may guess. */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

/* 64 bits (splitmix64): a counter whose bits are mixed, so that any seed will do. */
static inline uint64_t random_next(struct random *random)
{
    uint64_t bits = random->state += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return bits ^ bits >> 31;
}

/* One of 0 to count - 1. */
static inline uint32_t random_below(struct random *random, uint32_t count)
{
    return (uint32_t)((random_next(random) >> 32) * count >> 32);
}

/* From 0, below 1. */
static inline double random_unit(struct random *random)
{
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* A stream of its own for each (seed, which). */
static inline struct random random_stream(uint64_t seed, uint64_t which)
{
    struct random random = {seed * UINT64_C(0xd1342543de82ef95) + which};
    random.state = random_next(&random);
    return random;
}

#endif

#include "server/http/rate.h"

#include "common/siphash.h"

#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define SLOTS 65536 /* 512 KiB */
#define PROBES 4
#define TRIES 8

/* A slot holds the time, in microseconds, at which its key will have nothing left to its account
 * (48 bits, enough for 8 years of uptime), and 16 bits of the key's hash. One whose time has passed
 * is free for any key. */
struct rate {
    _Atomic uint64_t limit; /* per_second << 32 | burst, so that both change at once */
    uint64_t seed[2];
    _Atomic uint64_t slots[SLOTS];
};

struct rate *rate_new(void)
{
    struct rate *rate = calloc(1, sizeof(*rate));
    if (rate == NULL || RAND_bytes((unsigned char *)rate->seed, sizeof(rate->seed)) != 1)
        abort();
    return rate;
}

void rate_free(struct rate *rate)
{
    free(rate);
}

void rate_set(struct rate *rate, unsigned per_second, unsigned burst)
{
    uint64_t at_once = burst != 0 ? burst : 2 * (uint64_t)per_second;
    atomic_store(&rate->limit, (uint64_t)per_second << 32 | at_once);
}

/* The slot of this key; else a free one; else NULL. `*seen` is what it held. */
static _Atomic uint64_t *find(struct rate *rate, uint64_t hash, uint64_t now_us, uint64_t *seen)
{
    _Atomic uint64_t *unused = NULL;
    for (uint64_t i = 0; i < PROBES; i++) {
        _Atomic uint64_t *slot = &rate->slots[(hash + i) % SLOTS];
        uint64_t value = atomic_load_explicit(slot, memory_order_relaxed);
        bool idle = value >> 16 <= now_us;
        if (!idle && (value & 0xffff) == hash >> 48) {
            *seen = value;
            return slot;
        }
        if (idle && unused == NULL) {
            unused = slot;
            *seen = value;
        }
    }
    return unused;
}

static unsigned judge(struct rate *rate, const void *key, size_t len, uint64_t now_us, bool count)
{
    uint64_t limit = atomic_load_explicit(&rate->limit, memory_order_relaxed);
    uint64_t per_second = limit >> 32, burst = limit & UINT32_MAX;
    if (per_second == 0)
        return 0;
    uint64_t step_us = 1000000 / per_second, room_us = step_us * burst;
    uint64_t hash = siphash(rate->seed[0], rate->seed[1], key, len), seen = 0;
    for (int i = 0; i < TRIES; i++) {
        _Atomic uint64_t *slot = find(rate, hash, now_us, &seen);
        if (slot == NULL)
            return 0;
        uint64_t until_us = (seen >> 16 > now_us ? seen >> 16 : now_us) + step_us;
        if (until_us > now_us + room_us)
            return (unsigned)((until_us - now_us - room_us + 999999) / 1000000);
        if (!count ||
            atomic_compare_exchange_weak_explicit(slot, &seen, until_us << 16 | hash >> 48,
                                                  memory_order_relaxed, memory_order_relaxed))
            return 0;
    }
    return 0; /* so many at the same instant; the next ones are counted */
}

unsigned rate_take(struct rate *rate, const void *key, size_t len, uint64_t now_us)
{
    return judge(rate, key, len, now_us, true);
}

unsigned rate_ask(struct rate *rate, const void *key, size_t len, uint64_t now_us)
{
    return judge(rate, key, len, now_us, false);
}

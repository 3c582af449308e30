#include "client/enum_cache.h"

#include <stdatomic.h>
#include <stdlib.h>

#define WAYS 8 /* entries of a set */
#define MOST_READS 4

/* 40 bytes. */
struct entry {
    atomic_uint_fast64_t count;  /* of writes, doubled; odd: being written */
    atomic_uint_fast64_t number; /* tn_key(), 0: empty */
    atomic_uint_fast64_t until;
    atomic_uint_fast64_t result;
    atomic_uint_fast64_t lrn; /* tn_key() */
};

struct enum_cache {
    uint64_t mask; /* of the set */
    struct entry entries[];
};

struct enum_cache *enum_cache_new(unsigned entries)
{
    uint64_t sets = 1;
    while (sets * WAYS < entries)
        sets *= 2;
    struct enum_cache *cache =
        calloc(1, sizeof(*cache) + (size_t)sets * WAYS * sizeof(struct entry));
    if (cache != NULL)
        cache->mask = sets - 1;
    return cache;
}

void enum_cache_free(struct enum_cache *cache)
{
    free(cache);
}

static struct entry *set_of(struct enum_cache *cache, uint64_t key)
{
    uint64_t spread = key * UINT64_C(0x9e3779b97f4a7c15); /* the golden ratio's bits */
    return &cache->entries[(spread >> 40 & cache->mask) * WAYS];
}

/* ---- reading ---- */

struct reading {
    uint64_t number, until, result, lrn;
};

static uint64_t load(atomic_uint_fast64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static bool read_entry(struct entry *entry, struct reading *out)
{
    for (int i = 0; i < MOST_READS; i++) {
        uint64_t before = load(&entry->count);
        *out = (struct reading){load(&entry->number), load(&entry->until), load(&entry->result),
                                load(&entry->lrn)};
        uint64_t after = atomic_load_explicit(&entry->count, memory_order_relaxed);
        if (before == after && before % 2 == 0)
            return true;
    }
    return false;
}

bool enum_cache_get(struct enum_cache *cache, const struct tn *tn, uint64_t now,
                    enum number_result *result, struct tn *lrn)
{
    uint64_t key = tn_key(tn);
    struct entry *set = set_of(cache, key);
    for (size_t i = 0; i < WAYS; i++) {
        struct reading reading;
        if (load(&set[i].number) != key || !read_entry(&set[i], &reading) ||
            reading.number != key || reading.until <= now)
            continue;
        *result = (enum number_result)reading.result;
        *lrn = (struct tn){.digits = ""};
        if (*result == NUMBER_FOUND)
            tn_from_key(reading.lrn, lrn);
        return true;
    }
    return false;
}

/* ---- writing ---- */

static void store(atomic_uint_fast64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t own(atomic_uint_fast64_t *word) /* nobody else writes */
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* The number's own entry, or the one whose end is next; an empty one has ended long ago. */
static struct entry *choose(struct entry *set, uint64_t key)
{
    struct entry *first = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (own(&set[i].number) == key)
            return &set[i];
        if (own(&set[i].until) < own(&first->until))
            first = &set[i];
    }
    return first;
}

void enum_cache_put(struct enum_cache *cache, const struct tn *tn, uint64_t until,
                    enum number_result result, const struct tn *lrn)
{
    uint64_t key = tn_key(tn);
    struct entry *entry = choose(set_of(cache, key), key);
    uint64_t count = own(&entry->count);
    store(&entry->count, count + 1);
    store(&entry->number, key);
    store(&entry->until, until);
    store(&entry->result, (uint64_t)result);
    store(&entry->lrn, result == NUMBER_FOUND ? tn_key(lrn) : 0);
    store(&entry->count, count + 2);
}

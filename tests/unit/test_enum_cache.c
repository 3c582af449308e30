/* client/enum_cache: what it remembers, for how long, what gives way, and that a reader never meets
 * an entry that is half written. */
#include "client/enum_cache.h"

#include "tests/unit/pki.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static struct tn number(unsigned i)
{
    struct tn tn = {.digits = ""};
    snprintf(tn.digits, sizeof(tn.digits), "1202%07u", i % 10000000);
    return tn;
}

static void check(struct enum_cache *cache, const struct tn *tn, uint64_t now, bool there,
                  enum number_result expected, const char *expected_lrn)
{
    enum number_result result = NUMBER_NOT_ASKED;
    struct tn lrn;
    assert_int_equal(enum_cache_get(cache, tn, now, &result, &lrn), there);
    if (!there)
        return;
    assert_int_equal(result, expected);
    assert_string_equal(lrn.digits, expected_lrn);
}

static void test_kept_until(void **state)
{
    struct enum_cache *cache = enum_cache_new(16);
    const struct tn one = number(1), two = number(2), lrn = {"13035550000"};
    (void)state;
    check(cache, &one, 0, false, NUMBER_FOUND, "");
    enum_cache_put(cache, &one, 100, NUMBER_FOUND, &lrn);
    enum_cache_put(cache, &two, 50, NUMBER_NOT_FOUND, NULL);
    check(cache, &one, 99, true, NUMBER_FOUND, "13035550000");
    check(cache, &one, 100, false, NUMBER_FOUND, "");
    check(cache, &two, 49, true, NUMBER_NOT_FOUND, "");
    enum_cache_put(cache, &two, 200, NUMBER_FAILED, NULL); /* in its own place */
    check(cache, &two, 199, true, NUMBER_FAILED, "");
    check(cache, &one, 99, true, NUMBER_FOUND, "13035550000");
    enum_cache_free(cache);
}

/* One set: what ends first gives way, and nothing else. */
static void test_full(void **state)
{
    struct enum_cache *cache = enum_cache_new(1);
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        const struct tn tn = number(i);
        enum_cache_put(cache, &tn, 100 + (i * 5) % 8, NUMBER_NOT_FOUND, NULL);
    }
    const struct tn more = number(8), first = number(0), second = number(5);
    enum_cache_put(cache, &more, 1000, NUMBER_NOT_FOUND, NULL);
    check(cache, &first, 0, false, NUMBER_NOT_FOUND, "");
    for (unsigned i = 1; i <= 8; i++) {
        const struct tn tn = number(i);
        check(cache, &tn, 0, true, NUMBER_NOT_FOUND, "");
    }
    enum_cache_put(cache, &first, 1000, NUMBER_NOT_FOUND, NULL);
    check(cache, &second, 0, false, NUMBER_NOT_FOUND, "");
    enum_cache_free(cache);
}

/* ---- readers and the writer ---- */

#define NUMBERS 12 /* for 8 places */
#define WRITES 200000

struct race {
    struct enum_cache *cache;
    atomic_bool over;
    atomic_ulong hits;
};

/* The LRN of a number is the number with another beginning, so that a mixture shows. */
static void *read_on(void *argument)
{
    struct race *race = argument;
    for (unsigned i = 0; !atomic_load(&race->over); i++) {
        const struct tn tn = number(i % NUMBERS);
        enum number_result result;
        struct tn lrn;
        if (!enum_cache_get(race->cache, &tn, 1, &result, &lrn))
            continue;
        atomic_fetch_add(&race->hits, 1);
        if (result == NUMBER_FOUND ? memcmp(lrn.digits + 4, tn.digits + 4, 7) != 0
                                   : result != NUMBER_NOT_FOUND || lrn.digits[0] != '\0')
            abort();
    }
    return NULL;
}

static void test_readers_meet_whole_entries(void **state)
{
    struct race race = {.cache = enum_cache_new(1)};
    pthread_t readers[4];
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &race), 0);
    for (unsigned i = 0; i < WRITES || atomic_load(&race.hits) < 1000; i++) {
        const struct tn tn = number(i * 7 % NUMBERS);
        struct tn lrn = tn;
        memcpy(lrn.digits, i % 2 != 0 ? "1303" : "1404", 4);
        enum_cache_put(race.cache, &tn, 2 + i, i % 3 != 0 ? NUMBER_FOUND : NUMBER_NOT_FOUND, &lrn);
    }
    atomic_store(&race.over, true);
    for (size_t i = 0; i < 4; i++)
        pthread_join(readers[i], NULL);
    enum_cache_free(race.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_until),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_readers_meet_whole_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

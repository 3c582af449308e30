/* The rate limiter: by the clock that is passed in, and by many threads at once. */
#include "server/http/rate.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)
#define START (UINT64_C(5000) * SECOND)

static unsigned take(struct rate *rate, const char *key, uint64_t now_us)
{
    return rate_take(rate, key, strlen(key), now_us);
}

/* How many of `tries` at one instant may happen. */
static int taken(struct rate *rate, const char *key, int tries, uint64_t now_us)
{
    int count = 0;
    for (int i = 0; i < tries; i++)
        count += take(rate, key, now_us) == 0;
    return count;
}

static void test_no_limit(void **state)
{
    struct rate *rate = rate_new();
    (void)state;
    assert_int_equal(taken(rate, "a", 100000, START), 100000);
    rate_set(rate, 1, 1);
    assert_int_equal(taken(rate, "a", 10, START), 1);
    rate_set(rate, 0, 5);
    assert_int_equal(taken(rate, "a", 1000, START), 1000);
    rate_free(rate);
    rate_free(NULL);
}

static void test_burst_and_refill(void **state)
{
    struct rate *rate = rate_new();
    (void)state;
    rate_set(rate, 10, 30);
    assert_int_equal(taken(rate, "a", 100, START), 30);
    assert_int_equal(taken(rate, "a", 100, START + SECOND / 20), 0);
    assert_int_equal(taken(rate, "a", 100, START + SECOND / 10), 1);
    assert_int_equal(taken(rate, "a", 100, START + SECOND), 9);
    assert_int_equal(taken(rate, "a", 100, START + 2 * SECOND), 10);
    /* an hour's rest is worth one burst, and no more */
    assert_int_equal(taken(rate, "a", 100, START + 3600 * SECOND), 30);
    rate_free(rate);
}

static void test_default_burst(void **state)
{
    struct rate *rate = rate_new();
    (void)state;
    rate_set(rate, 7, 0);
    assert_int_equal(taken(rate, "a", 100, START), 14);
    rate_set(rate, RATE_MAX, RATE_MAX);
    assert_int_equal(taken(rate, "b", RATE_MAX + 10, START), RATE_MAX);
    rate_free(rate);
}

static void test_when_to_come_again(void **state)
{
    struct rate *rate = rate_new();
    (void)state;
    rate_set(rate, 1, 3);
    assert_int_equal(taken(rate, "a", 3, START), 3);
    assert_int_equal(take(rate, "a", START), 1);
    assert_int_equal(take(rate, "a", START + SECOND - 1), 1);
    assert_int_equal(take(rate, "a", START + SECOND), 0);
    rate_free(rate);
}

/* Refusals cost nothing: who goes on asking is served at the rate all the same. */
static void test_refusals_do_not_count(void **state)
{
    struct rate *rate = rate_new();
    int count = 0;
    (void)state;
    rate_set(rate, 5, 5);
    for (uint64_t now = START; now < START + 10 * SECOND; now += SECOND / 100)
        count += take(rate, "a", now) == 0;
    assert_in_range(count, 5 + 49, 5 + 50);
    rate_free(rate);
}

static void test_asking_counts_nothing(void **state)
{
    struct rate *rate = rate_new();
    (void)state;
    rate_set(rate, 1, 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rate_ask(rate, "a", 1, START), 0);
    assert_int_equal(taken(rate, "a", 5, START), 2);
    assert_int_equal(rate_ask(rate, "a", 1, START), 1);
    rate_free(rate);
}

static void test_keys_are_apart(void **state)
{
    struct rate *rate = rate_new();
    char key[32];
    (void)state;
    rate_set(rate, 1, 4);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        assert_int_equal(taken(rate, key, 10, START), 4);
    }
    assert_int_equal(take(rate, "key 0", START + SECOND / 2) > 0, 1);
    rate_free(rate);
}

/* More busy keys than slots: some are not limited, and next to none meets the account of another:
 * in a full table one in 16,000, for want of more bits. */
static void test_a_full_table_refuses_next_to_nobody(void **state)
{
    struct rate *rate = rate_new();
    char key[32];
    int refused = 0;
    (void)state;
    rate_set(rate, 1, 2);
    for (int i = 0; i < 200000; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        refused += taken(rate, key, 2, START) < 1;
    }
    assert_in_range(refused, 0, 60);
    /* and all is forgotten when it is over */
    assert_int_equal(taken(rate, "another", 10, START + 10 * SECOND), 2);
    rate_free(rate);
}

static struct rate *shared;
static atomic_int total;

static void *ask_often(void *arg)
{
    (void)arg;
    atomic_fetch_add(&total, taken(shared, "one for all", 20000, START));
    return NULL;
}

static void test_threads_share_one_account(void **state)
{
    pthread_t threads[4];
    (void)state;
    shared = rate_new();
    rate_set(shared, 100, 5000);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    /* a few may pass uncounted when all come at the same instant */
    assert_in_range(atomic_load(&total), 5000, 5100);
    rate_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_burst_and_refill),
        cmocka_unit_test(test_default_burst),
        cmocka_unit_test(test_when_to_come_again),
        cmocka_unit_test(test_refusals_do_not_count),
        cmocka_unit_test(test_asking_counts_nothing),
        cmocka_unit_test(test_keys_are_apart),
        cmocka_unit_test(test_a_full_table_refuses_next_to_nobody),
        cmocka_unit_test(test_threads_share_one_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

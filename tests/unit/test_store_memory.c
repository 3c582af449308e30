/* The store of a single node: time is passed in, so that expiry is tested without sleeping. */
#include "common/siphash.h"
#include "server/cps/store_memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1700000000

static struct tn tn(const char *digits)
{
    struct tn out;
    assert_int_equal(tn_from_typed(digits, strlen(digits), 1, &out, NULL), STICPS_OK);
    return out;
}

static struct store *new_store(size_t max_entries, size_t max_bytes)
{
    struct store_settings settings = {60, 5, max_entries, max_bytes};
    struct store *store = NULL;
    assert_int_equal(store_memory_new(&settings, &store, NULL), STICPS_OK);
    return store;
}

static void on_put(void *arg, enum store_result result)
{
    *(int *)arg = (int)result;
}

/* One PASSporT from 12025550100 to `dests`, a list ended by NULL. */
static int put(struct store *store, const char *const *dests, const char *text, int64_t iat,
               int64_t now)
{
    struct tn dest[8], orig = tn("12025550100");
    size_t len = 0;
    for (; dests[len] != NULL; len++)
        dest[len] = tn(dests[len]);
    struct store_call call = {&orig, dest, len};
    struct store_item item = {text, strlen(text), iat};
    int result = -1;
    store_put(store, &call, &item, 1, now, on_put, &result);
    return result;
}

#define DEST "12025550123"
#define OTHER "12025550124"
#define TO(...) ((const char *const[]){__VA_ARGS__, NULL})

static void on_take(void *arg, enum store_result result, struct store_token *tokens)
{
    assert_int_equal(result, STORE_HELD);
    char *out = arg;
    out[0] = '\0';
    for (struct store_token *at = tokens; at != NULL; at = at->next) {
        assert_int_equal(strlen(at->text), at->len);
        strcat(out, at->text);
        strcat(out, " ");
    }
    store_tokens_free(tokens);
}

/* What is handed over for a call from 12025550100, with a space after each. */
static const char *take(struct store *store, const char *dest, int64_t now)
{
    static char out[1024];
    struct tn d = tn(dest), o = tn("12025550100");
    store_take(store, &d, &o, now, on_take, out);
    return out;
}

static void assert_usage(struct store *store, size_t held, size_t remembered)
{
    struct store_usage usage;
    store_usage(store, &usage);
    assert_int_equal(usage.held, held);
    assert_int_equal(usage.remembered, remembered);
    if (held + remembered == 0)
        assert_int_equal(usage.bytes, 0);
    else
        assert_true(usage.bytes > 0);
}

static void hands_over_once(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    assert_string_equal(take(store, DEST, NOW), "");
    assert_int_equal(put(store, TO(DEST), "a.b.c", NOW, NOW), STORE_HELD);
    assert_usage(store, 1, 0);
    assert_string_equal(take(store, OTHER, NOW), "");
    assert_string_equal(take(store, "+1 (202) 555-0123", NOW), "a.b.c ");
    assert_usage(store, 0, 1);
    assert_string_equal(take(store, DEST, NOW), "");
    store_free(store);
}

static void tells_calls_apart(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    struct tn a = tn("12025550100"), b = tn("12025550123");
    struct store_call reversed = {&b, &a, 1};
    struct store_item item = {"x", 1, NOW};
    int result = -1;
    store_put(store, &reversed, &item, 1, NOW, on_put, &result);
    assert_int_equal(result, STORE_HELD);
    assert_string_equal(take(store, DEST, NOW), ""); /* dest and orig are not interchangeable */
    assert_usage(store, 1, 0);
    store_free(store);
}

static void one_passport_for_several_numbers(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    assert_int_equal(put(store, TO(DEST, OTHER, "12025550125"), "a", NOW, NOW), STORE_HELD);
    assert_usage(store, 1, 0);
    assert_string_equal(take(store, OTHER, NOW), "a ");
    assert_string_equal(take(store, DEST, NOW), "");
    assert_string_equal(take(store, "12025550125", NOW), "");
    assert_usage(store, 0, 1);
    store_free(store);
}

static void same_token_is_held_once(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    assert_int_equal(put(store, TO(DEST), "a", NOW, NOW), STORE_HELD);
    assert_int_equal(put(store, TO(DEST), "a", NOW, NOW), STORE_HELD);
    assert_usage(store, 1, 0);
    assert_string_equal(take(store, DEST, NOW), "a ");
    /* handed over: known until iat + max_age + max_ahead, that second included */
    assert_int_equal(put(store, TO(DEST), "a", NOW, NOW + 65), STORE_HELD);
    assert_string_equal(take(store, DEST, NOW + 65), "");
    assert_usage(store, 0, 1);
    store_expire(store, NOW + 66);
    assert_usage(store, 0, 0);
    store_free(store);
}

static void same_token_twice_in_one_body(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    struct tn d = tn(DEST), o = tn("12025550100");
    struct store_call call = {&o, &d, 1};
    struct store_item items[] = {{"a", 1, NOW}, {"b", 1, NOW}, {"a", 1, NOW}};
    int result = -1;
    store_put(store, &call, items, 3, NOW, on_put, &result);
    assert_int_equal(result, STORE_HELD);
    assert_usage(store, 2, 0);
    store_free(store);
}

static void newest_first(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    static const struct {
        const char *text;
        int64_t iat;
    } order[] = {{"b", NOW - 5}, {"d", NOW}, {"a", NOW - 30}, {"c", NOW - 5}, {"e", NOW + 4}};
    for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++)
        assert_int_equal(put(store, TO(DEST), order[i].text, order[i].iat, NOW), STORE_HELD);
    assert_string_equal(take(store, DEST, NOW), "e d c b a "); /* c came after b */
    store_free(store);
}

static void lives_until_iat_plus_age(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    assert_int_equal(put(store, TO(DEST), "a", NOW - 50, NOW), STORE_HELD);
    assert_int_equal(put(store, TO(OTHER), "b", NOW - 50, NOW), STORE_HELD);
    assert_string_equal(take(store, DEST, NOW + 10), "a "); /* the last second counts */
    assert_string_equal(take(store, OTHER, NOW + 11), "");  /* without any timer */
    assert_usage(store, 0, 1);
    store_expire(store, NOW + 1000000);
    assert_usage(store, 0, 0);
    /* what waited so long for its certificate that it is over is not held at all */
    assert_int_equal(put(store, TO(DEST), "late", NOW - 50, NOW + 1000000), STORE_HELD);
    assert_usage(store, 0, 0);
    store_free(store);
}

static void forgets_by_the_second(void **state)
{
    (void)state;
    struct store *store = new_store(1000, 1 << 20);
    char text[16];
    for (int i = 0; i < 66; i++) {
        snprintf(text, sizeof(text), "t%d", i);
        assert_int_equal(put(store, TO(DEST), text, NOW + 5 - i, NOW), STORE_HELD);
    }
    /* the one with iat NOW - 60 lives through NOW; one more second takes one more */
    for (int i = 0; i <= 66; i++) {
        assert_usage(store, (size_t)(66 - i), 0);
        store_expire(store, NOW + 1 + i);
    }
    assert_usage(store, 0, 0);
    store_free(store);
}

static void survives_a_clock_set_back(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    assert_int_equal(put(store, TO(DEST), "a", NOW, NOW), STORE_HELD);
    store_expire(store, NOW - 3600);
    assert_int_equal(put(store, TO(DEST), "b", NOW - 3600, NOW - 3600), STORE_HELD);
    assert_usage(store, 2, 0);
    store_expire(store, NOW - 3600 + 61);
    assert_usage(store, 1, 0); /* b is gone in its time, a is not lost early */
    for (int64_t now = NOW - 3500; now <= NOW + 60; now += 7)
        store_expire(store, now);
    assert_usage(store, 1, 0);
    store_expire(store, NOW + 61);
    assert_usage(store, 0, 0);
    store_free(store);
}

static void full_by_entries(void **state)
{
    (void)state;
    struct store *store = new_store(3, 1 << 20);
    assert_int_equal(put(store, TO(DEST), "a", NOW, NOW), STORE_HELD);
    assert_int_equal(put(store, TO(DEST), "b", NOW, NOW), STORE_HELD);
    struct tn d = tn(DEST), o = tn("12025550100");
    struct store_call call = {&o, &d, 1};
    struct store_item two[] = {{"c", 1, NOW}, {"d", 1, NOW}};
    int result = -1;
    store_put(store, &call, two, 2, NOW, on_put, &result);
    assert_int_equal(result, STORE_FULL);
    assert_usage(store, 2, 0); /* none of the two */
    assert_int_equal(put(store, TO(DEST), "c", NOW, NOW), STORE_HELD);
    assert_int_equal(put(store, TO(DEST), "d", NOW, NOW), STORE_FULL);
    assert_int_equal(put(store, TO(DEST), "a", NOW, NOW), STORE_HELD); /* known: needs no room */
    /* the memory of what was handed over counts; time makes room, without a timer */
    assert_string_equal(take(store, DEST, NOW), "c b a ");
    assert_int_equal(put(store, TO(DEST), "d", NOW, NOW), STORE_FULL);
    assert_int_equal(put(store, TO(DEST), "d", NOW + 66, NOW + 66), STORE_HELD);
    store_free(store);
}

static void full_by_bytes(void **state)
{
    (void)state;
    struct store *store = new_store(100000, 65536);
    char text[4096];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    int held = 0, result = STORE_HELD;
    for (; held < 100 && result == STORE_HELD; held++) {
        snprintf(text, 8, "%06d", held);
        text[6] = 'x';
        result = put(store, TO(DEST), text, NOW, NOW);
    }
    assert_int_equal(result, STORE_FULL);
    assert_in_range(held, 12, 16);
    struct store_usage usage;
    store_usage(store, &usage);
    assert_true(usage.bytes <= 65536);
    store_expire(store, NOW + 100);
    assert_usage(store, 0, 0);
    store_free(store);
}

/* ---- waiters ---- */

struct watcher {
    struct store_waiter waiter;
    int woken;
};

static void on_wake(struct store_waiter *waiter)
{
    ((struct watcher *)waiter)->woken++;
}

static bool wait_for(struct store *store, struct watcher *watcher, const char *dest)
{
    struct tn d = tn(dest), o = tn("12025550100");
    watcher->waiter.wake = on_wake;
    return store_wait(store, &watcher->waiter, &d, &o, NOW);
}

static void waking_hands_nothing_over(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    struct watcher a = {.woken = 0}, b = {.woken = 0}, elsewhere = {.woken = 0};
    assert_true(wait_for(store, &a, DEST));
    assert_true(wait_for(store, &b, DEST));
    assert_true(wait_for(store, &elsewhere, "12025559999"));
    assert_int_equal(put(store, TO(OTHER, DEST), "x", NOW, NOW), STORE_HELD);
    assert_int_equal(a.woken, 1);
    assert_int_equal(b.woken, 1);
    assert_int_equal(elsewhere.woken, 0);
    assert_usage(store, 1, 0);
    /* nobody took it: it is still there, and who asks now need not wait */
    assert_false(wait_for(store, &a, DEST));
    assert_string_equal(take(store, DEST, NOW), "x ");
    assert_int_equal(put(store, TO(DEST), "y", NOW, NOW), STORE_HELD);
    assert_int_equal(a.woken, 1); /* once each time it waits */
    store_wait_cancel(store, &a.waiter);
    store_wait_cancel(store, &b.waiter);
    store_wait_cancel(store, &elsewhere.waiter);
    store_free(store);
}

static void cancelled_is_not_woken(void **state)
{
    (void)state;
    struct store *store = new_store(100, 1 << 20);
    struct watcher a = {.woken = 0}, b = {.woken = 0}, c = {.woken = 0};
    assert_true(wait_for(store, &a, DEST));
    assert_true(wait_for(store, &b, DEST));
    assert_true(wait_for(store, &c, DEST));
    store_wait_cancel(store, &b.waiter);
    store_wait_cancel(store, &b.waiter);
    assert_int_equal(put(store, TO(DEST), "x", NOW, NOW), STORE_HELD);
    assert_int_equal(a.woken, 1);
    assert_int_equal(b.woken, 0);
    assert_int_equal(c.woken, 1);
    assert_string_equal(take(store, DEST, NOW), "x ");
    assert_int_equal(put(store, TO(DEST), "x", NOW, NOW), STORE_HELD); /* known: nothing arrived */
    assert_true(wait_for(store, &b, DEST));
    assert_int_equal(put(store, TO(DEST), "x", NOW, NOW), STORE_HELD);
    assert_int_equal(b.woken, 0);
    store_wait_cancel(store, &b.waiter);
    store_free(store);
}

/* ---- threads ---- */

struct runner {
    struct store *store;
    unsigned number;
    size_t taken;
};

static void on_count(void *arg, enum store_result result, struct store_token *tokens)
{
    assert_int_equal(result, STORE_HELD);
    for (struct store_token *at = tokens; at != NULL; at = at->next)
        ++*(size_t *)arg;
    store_tokens_free(tokens);
}

#define RUNS 5000

/* Puts RUNS tokens of its own under 16 calls that all threads share, and takes every other time. */
static void *run(void *arg)
{
    struct runner *r = arg;
    struct tn o = tn("12025550100");
    for (int i = 0; i < RUNS; i++) {
        char text[32], digits[16];
        snprintf(text, sizeof(text), "%u.%d", r->number, i);
        snprintf(digits, sizeof(digits), "120255501%02d", i % 16);
        struct tn d = tn(digits);
        struct store_call call = {&o, &d, 1};
        struct store_item item = {text, strlen(text), NOW};
        int result = -1;
        store_put(r->store, &call, &item, 1, NOW, on_put, &result);
        if (result != STORE_HELD)
            abort();
        if (i % 2 == 0)
            store_take(r->store, &d, &o, NOW, on_count, &r->taken);
    }
    return NULL;
}

static void threads_lose_and_double_nothing(void **state)
{
    (void)state;
    struct store *store = new_store(100000, 64 << 20);
    struct runner runners[4] = {{NULL, 0, 0}};
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        runners[i] = (struct runner){store, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
    }
    size_t taken = 0;
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        taken += runners[i].taken;
    }
    struct store_usage usage;
    store_usage(store, &usage);
    assert_int_equal(taken + usage.held, 4 * RUNS);
    assert_int_equal(usage.remembered, taken);
    store_free(store);
}

static void refuses_senseless_settings(void **state)
{
    (void)state;
    static const struct store_settings bad[] = {
        {60, 5, 0, 1 << 20}, {-1, 5, 10, 1 << 20}, {60, -1, 10, 1 << 20}, {86401, 5, 10, 1 << 20}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct store *store = NULL;
        assert_int_equal(store_memory_new(&bad[i], &store, NULL), STICPS_ERR_USAGE);
        assert_null(store);
    }
}

/* Key 00..0f, input 00..0e and the empty one: the vectors of the SipHash paper and its reference
 * code. */
static void siphash_vectors(void **state)
{
    (void)state;
    unsigned char input[15];
    for (unsigned char i = 0; i < sizeof(input); i++)
        input[i] = i;
    assert_true(siphash(0x0706050403020100, 0x0f0e0d0c0b0a0908, input, 15) == 0xa129ca6149be45e5);
    assert_true(siphash(0x0706050403020100, 0x0f0e0d0c0b0a0908, input, 0) == 0x726fdb47dd0e0e31);
    assert_true(siphash(0x0706050403020100, 0x0f0e0d0c0b0a0908, input, 8) == 0x93f5f5799a932462);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_vectors),
        cmocka_unit_test(hands_over_once),
        cmocka_unit_test(tells_calls_apart),
        cmocka_unit_test(one_passport_for_several_numbers),
        cmocka_unit_test(same_token_is_held_once),
        cmocka_unit_test(same_token_twice_in_one_body),
        cmocka_unit_test(newest_first),
        cmocka_unit_test(lives_until_iat_plus_age),
        cmocka_unit_test(forgets_by_the_second),
        cmocka_unit_test(survives_a_clock_set_back),
        cmocka_unit_test(full_by_entries),
        cmocka_unit_test(full_by_bytes),
        cmocka_unit_test(waking_hands_nothing_over),
        cmocka_unit_test(cancelled_is_not_woken),
        cmocka_unit_test(threads_lose_and_double_nothing),
        cmocka_unit_test(refuses_senseless_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

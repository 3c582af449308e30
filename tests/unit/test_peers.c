/* When a CPS is left in peace, and when it is asked again. */
#include "client/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LIMIT 4

static struct peers *peers;
static uint64_t now;

static int set_up(void **state)
{
    (void)state;
    now = 1000000;
    peers = peers_new(LIMIT);
    return peers != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    peers_free(peers);
    return 0;
}

static enum peer_entry enter(const char *text, struct peer **out)
{
    struct url url;
    uint64_t wait_ms;
    assert_int_equal(url_parse(text, strlen(text), &url, NULL), STICPS_OK);
    enum peer_entry entry = peers_enter(peers, &url, now, out, &wait_ms);
    if (entry != PEER_PAUSED)
        assert_int_equal(wait_ms, 0);
    return entry;
}

#define A "https://a.example.com/cps/company/1234"
#define B "https://b.example.com/cps/company/1234"

static bool once(const char *url, enum peer_outcome outcome, int64_t retry_after)
{
    struct peer *peer = NULL;
    assert_int_equal(enter(url, &peer), PEER_ENTERED);
    return peers_leave(peers, peer, outcome, retry_after, now);
}

static enum peer_entry look(const char *url)
{
    struct peer *peer = NULL;
    enum peer_entry entry = enter(url, &peer);
    if (entry == PEER_ENTERED)
        peers_leave(peers, peer, PEER_UNKNOWN, -1, now);
    return entry;
}

static void fail_until_paused(const char *url)
{
    for (int i = 1; i < PEER_FAILURES; i++)
        assert_false(once(url, PEER_FAILED, -1));
    assert_true(once(url, PEER_FAILED, -1));
}

static void test_five_failures_in_a_row(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < PEER_FAILURES; i++)
            assert_false(once(A, PEER_FAILED, -1));
        once(A, PEER_ANSWERED, -1); /* ends the row */
    }
    fail_until_paused(A);
    assert_int_equal(look(A), PEER_PAUSED);
    assert_int_equal(look(B), PEER_ENTERED);
    assert_int_equal(peers_paused(peers, now), 1);
}

static void test_host_and_port_make_the_peer(void **state)
{
    (void)state;
    fail_until_paused(A);
    assert_int_equal(look("https://A.EXAMPLE.com:443/elsewhere"), PEER_PAUSED);
    assert_int_equal(look("https://a.example.com:8443/cps/company/1234"), PEER_ENTERED);
}

static void test_one_tries_and_the_pause_doubles(void **state)
{
    (void)state;
    fail_until_paused(A);
    for (uint64_t pause = PEER_PAUSE_MS; pause < 2 * PEER_PAUSE_MAX_MS; pause *= 2) {
        uint64_t ms = pause < PEER_PAUSE_MAX_MS ? pause : PEER_PAUSE_MAX_MS;
        struct peer *trial = NULL;
        now += ms - 1;
        assert_int_equal(look(A), PEER_PAUSED);
        now += 1;
        assert_int_equal(enter(A, &trial), PEER_ENTERED);
        assert_int_equal(look(A), PEER_PAUSED); /* the others wait for it */
        assert_true(peers_leave(peers, trial, PEER_FAILED, -1, now));
    }
    now += PEER_PAUSE_MAX_MS;
    once(A, PEER_ANSWERED, -1);
    fail_until_paused(A); /* from the start again, and for the first length */
    now += PEER_PAUSE_MS;
    assert_int_equal(look(A), PEER_ENTERED);
}

static void test_what_was_under_way_counts_once(void **state)
{
    (void)state;
    struct peer *late[LIMIT] = {NULL};
    for (int i = 1; i < PEER_FAILURES; i++)
        once(A, PEER_FAILED, -1);
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(enter(A, &late[i]), PEER_ENTERED);
    assert_true(peers_leave(peers, late[0], PEER_FAILED, -1, now));
    for (int i = 1; i < LIMIT - 1; i++)
        assert_false(peers_leave(peers, late[i], PEER_FAILED, -1, now + 10));
    now += PEER_PAUSE_MS;
    assert_int_equal(look(A), PEER_PAUSED); /* one is still under way: it is the trial */
    peers_leave(peers, late[LIMIT - 1], PEER_ANSWERED, -1, now);
    assert_int_equal(look(A), PEER_ENTERED);
    assert_int_equal(peers_paused(peers, now), 0);
}

static void test_retry_after(void **state)
{
    (void)state;
    assert_true(once(A, PEER_ANSWERED, 7));
    now += 6999;
    assert_int_equal(look(A), PEER_PAUSED);
    now += 1;
    assert_int_equal(look(A), PEER_ENTERED);
    once(A, PEER_ANSWERED, 0);
    assert_int_equal(look(A), PEER_ENTERED);
    assert_true(once(A, PEER_FAILED, 1000000000));
    now += PEER_RETRY_AFTER_MAX_S * 1000;
    assert_int_equal(look(A), PEER_ENTERED);
}

static void test_limit(void **state)
{
    (void)state;
    struct peer *peer[LIMIT + 1] = {NULL};
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(enter(A, &peer[i]), PEER_ENTERED);
    assert_int_equal(enter(A, &peer[LIMIT]), PEER_FULL);
    assert_int_equal(look(B), PEER_ENTERED);
    peers_leave(peers, peer[0], PEER_UNKNOWN, -1, now);
    assert_int_equal(look(A), PEER_ENTERED);
    for (int i = 1; i < LIMIT; i++)
        peers_leave(peers, peer[i], PEER_ANSWERED, -1, now);
}

/* More troubled peers than are kept: those whose pause ends first are forgotten, and nothing else
 * happens. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    char url[64];
    for (int i = 0; i < PEERS_KEPT + 100; i++) {
        snprintf(url, sizeof(url), "https://c%d.example.com/", i);
        once(url, PEER_ANSWERED, 100);
        now++;
    }
    assert_int_equal(peers_paused(peers, now), PEERS_KEPT);
    assert_int_equal(look("https://c0.example.com/"), PEER_ENTERED);
    assert_int_equal(look("https://c4195.example.com/"), PEER_PAUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_five_failures_in_a_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_host_and_port_make_the_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_tries_and_the_pause_doubles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_under_way_counts_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_retry_after, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

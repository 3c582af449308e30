/* When a CPS is left in peace, and when it is asked again; who waits, and whose turn comes. */
#include "client/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LIMIT 4
#define MANY 64 /* a limit that leaves room for what is of use */
#define ROOM 100

static struct peers *peers;
static uint64_t now;

static int set_up(void **state)
{
    (void)state;
    now = 1000000;
    peers = peers_new(LIMIT, PEER_CONNECTING);
    return peers != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    peers_free(peers);
    return 0;
}

static enum peer_entry enter_with(const char *text, size_t room, struct peer_visit *visit)
{
    struct url url;
    uint64_t wait_ms;
    assert_int_equal(url_parse(text, strlen(text), &url, NULL), STICPS_OK);
    enum peer_entry entry = peers_enter(peers, &url, now, room, visit, &wait_ms);
    if (entry != PEER_PAUSED)
        assert_int_equal(wait_ms, 0);
    return entry;
}

static enum peer_entry enter(const char *text, struct peer_visit *visit)
{
    return enter_with(text, ROOM, visit);
}

static struct peer_visit *next(enum peer_entry expected)
{
    enum peer_entry entry;
    uint64_t wait_ms;
    struct peer_visit *visit = peers_next(peers, now, &entry, &wait_ms);
    if (visit != NULL)
        assert_int_equal(entry, expected);
    return visit;
}

#define A "https://a.example.com/cps/company/1234"
#define B "https://b.example.com/cps/company/1234"

static bool once(const char *url, enum peer_outcome outcome, int64_t retry_after)
{
    struct peer_visit visit = {0};
    assert_int_equal(enter(url, &visit), PEER_ENTERED);
    return peers_leave(peers, &visit, outcome, retry_after, now);
}

static enum peer_entry look(const char *url)
{
    struct peer_visit visit = {0};
    enum peer_entry entry = enter(url, &visit);
    if (entry == PEER_ENTERED || entry == PEER_WAITS)
        peers_leave(peers, &visit, PEER_UNKNOWN, -1, now);
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
        struct peer_visit trial = {0};
        now += ms - 1;
        assert_int_equal(look(A), PEER_PAUSED);
        now += 1;
        assert_int_equal(enter(A, &trial), PEER_ENTERED);
        assert_int_equal(look(A), PEER_PAUSED); /* the others wait for it */
        assert_true(peers_leave(peers, &trial, PEER_FAILED, -1, now));
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
    struct peer_visit late[LIMIT] = {{0}};
    for (int i = 1; i < PEER_FAILURES; i++)
        once(A, PEER_FAILED, -1);
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(enter(A, &late[i]), PEER_ENTERED);
    assert_true(peers_leave(peers, &late[0], PEER_FAILED, -1, now));
    for (int i = 1; i < LIMIT - 1; i++)
        assert_false(peers_leave(peers, &late[i], PEER_FAILED, -1, now + 10));
    now += PEER_PAUSE_MS;
    assert_int_equal(look(A), PEER_PAUSED); /* one is still under way: it is the trial */
    peers_leave(peers, &late[LIMIT - 1], PEER_ANSWERED, -1, now);
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
    struct peer_visit visit[LIMIT + 2] = {{0}};
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(enter(A, &visit[i]), PEER_ENTERED);
    assert_int_equal(enter_with(A, 1, &visit[LIMIT]), PEER_WAITS);
    assert_int_equal(enter_with(A, 1, &visit[LIMIT + 1]), PEER_FULL);
    assert_int_equal(look(B), PEER_ENTERED);
    assert_null(next(PEER_ENTERED));
    peers_leave(peers, &visit[0], PEER_UNKNOWN, -1, now);
    assert_true(peers_are_due(peers));
    assert_int_equal(look(A), PEER_WAITS); /* behind those who were here before */
    assert_ptr_equal(next(PEER_ENTERED), &visit[LIMIT]);
    assert_null(next(PEER_ENTERED));
    assert_false(peers_are_due(peers));
    for (int i = 1; i <= LIMIT; i++)
        peers_leave(peers, &visit[i], PEER_ANSWERED, -1, now);
    assert_int_equal(peers_list(peers, now, NULL, 0), 0); /* nothing is left to say */
}

static void test_the_earliest_deadline_is_first(void **state)
{
    static const uint64_t deadlines[] = {50, 50, 20, 70, 10, 50}, sorted[] = {10, 20, 50, 50, 70};
    (void)state;
    struct peer_visit there[LIMIT] = {{0}}, waiting[6] = {{0}};
    struct peer_facts facts;
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(enter(A, &there[i]), PEER_ENTERED);
    for (int i = 0; i < 6; i++) {
        waiting[i].deadline = deadlines[i];
        assert_int_equal(enter(A, &waiting[i]), PEER_WAITS);
    }
    peers_leave(peers, &waiting[1], PEER_UNKNOWN, -1, now); /* its time was up */
    assert_int_equal(waiting[1].state, PEER_VISIT_AWAY);
    assert_int_equal(peers_list(peers, now, &facts, 1), 1);
    assert_int_equal(facts.under_way, LIMIT);
    assert_int_equal(facts.waiting, 5);
    struct peer_visit *at = &there[0], *before = NULL;
    for (int i = 0; i < 5; i++) {
        peers_leave(peers, at, PEER_ANSWERED, -1, now);
        at = next(PEER_ENTERED);
        assert_non_null(at);
        assert_int_equal(at->deadline, sorted[i]);
        assert_true(i != 3 || before == &waiting[0]); /* of two, who came first */
        before = at;
    }
    peers_leave(peers, at, PEER_ANSWERED, -1, now);
    for (int i = 1; i < LIMIT; i++)
        peers_leave(peers, &there[i], PEER_ANSWERED, -1, now);
    assert_null(next(PEER_ENTERED));
}

/* How many of MANY get in, one after the other being connected and, when `answer_ms` is not
 * negative, answered and followed by the next. */
static unsigned under_way_at_most(int answer_ms)
{
    struct peer_visit visits[MANY] = {{0}}, *order[MANY];
    size_t begun = 0, ended = 0;
    unsigned most = 0;
    struct peer_facts facts;
    peers_free(peers);
    peers = peers_new(MANY, PEER_CONNECTING);
    assert_non_null(peers);
    for (size_t i = 0; i < MANY; i++)
        if (enter(A, &visits[i]) == PEER_ENTERED)
            order[begun++] = &visits[i];
    assert_int_equal(begun, PEER_CONNECTING);
    for (size_t i = 0; i < begun; i++) {
        peers_connected(peers, order[i], now);
        peers_connected(peers, order[i], now); /* libcurl went out twice */
        for (struct peer_visit *at; (at = next(PEER_ENTERED)) != NULL;)
            order[begun++] = at;
        now += answer_ms > 0 ? (uint64_t)answer_ms : 0;
        if (answer_ms >= 0)
            peers_leave(peers, order[ended++], PEER_ANSWERED, -1, now);
        for (struct peer_visit *at; (at = next(PEER_ENTERED)) != NULL;)
            order[begun++] = at;
        peers_list(peers, now, &facts, 1);
        most = facts.under_way > most ? facts.under_way : most;
        assert_true(begun - i - 1 <= PEER_CONNECTING);
    }
    while (ended < begun)
        peers_leave(peers, order[ended++], PEER_UNKNOWN, -1, now);
    for (size_t i = 0; i < MANY; i++)
        if (visits[i].state != PEER_VISIT_AWAY)
            peers_leave(peers, &visits[i], PEER_UNKNOWN, -1, now);
    return most;
}

static void test_no_more_connections_than_are_of_use(void **state)
{
    (void)state;
    assert_int_equal(under_way_at_most(-1), 2 * PEER_CONNECTING); /* nothing is known */
    /* each is answered before the next connects */
    assert_int_equal(under_way_at_most(0), PEER_CONNECTING);
    assert_int_equal(under_way_at_most(PEER_SLOW_MS / 8), PEER_CONNECTING);
}

/* A peer whose answers take `ms`, again and again; then as many as get in, each connected. */
static unsigned room_at(uint64_t ms)
{
    struct peer_visit visits[MANY + 1] = {{0}};
    peers_free(peers);
    peers = peers_new(MANY, PEER_CONNECTING);
    struct peer_visit stays = {0}; /* or the peer would be forgotten */
    assert_int_equal(enter(A, &stays), PEER_ENTERED);
    peers_connected(peers, &stays, now);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(enter(A, &visits[0]), PEER_ENTERED);
        peers_connected(peers, &visits[0], now);
        now += ms;
        peers_leave(peers, &visits[0], PEER_ANSWERED, -1, now);
    }
    unsigned count = 0;
    while (count < MANY && enter(A, &visits[count]) == PEER_ENTERED)
        peers_connected(peers, &visits[count++], now);
    for (unsigned i = 0; i <= count && i < MANY; i++)
        peers_leave(peers, &visits[i], PEER_UNKNOWN, -1, now);
    peers_leave(peers, &stays, PEER_UNKNOWN, -1, now);
    assert_null(next(PEER_ENTERED));
    return count + 1;
}

static void test_a_slow_peer_gets_more(void **state)
{
    (void)state;
    assert_int_equal(room_at(0), 2 * PEER_CONNECTING);
    assert_int_equal(room_at(1), 2 * PEER_CONNECTING);
    assert_int_equal(room_at(PEER_SLOW_MS / 2), MANY / 2);
    assert_int_equal(room_at(PEER_SLOW_MS), MANY);
    assert_int_equal(room_at(100 * PEER_SLOW_MS), MANY);
}

static void test_where_there_are_no_connections(void **state)
{
    (void)state;
    struct peer_visit visits[MANY + 1] = {{0}};
    peers_free(peers);
    peers = peers_new(MANY, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(enter_with(A, 0, &visits[i]), PEER_ENTERED);
    assert_int_equal(enter_with(A, 0, &visits[MANY]), PEER_FULL);
    for (int i = 0; i < MANY; i++)
        peers_leave(peers, &visits[i], PEER_ANSWERED, -1, now);
}

static void test_nobody_waits_for_a_paused_peer(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) { /* it fails; it asks for it */
        struct peer_visit there[LIMIT] = {{0}}, waiting[3] = {{0}};
        peers_free(peers);
        peers = peers_new(LIMIT, PEER_CONNECTING);
        for (int i = 1; kind == 0 && i < PEER_FAILURES; i++)
            once(A, PEER_FAILED, -1);
        for (int i = 0; i < LIMIT; i++)
            assert_int_equal(enter(A, &there[i]), PEER_ENTERED);
        for (int i = 0; i < 3; i++)
            assert_int_equal(enter(A, &waiting[i]), PEER_WAITS);
        assert_true(peers_leave(peers, &there[0], kind == 0 ? PEER_FAILED : PEER_ANSWERED,
                                kind == 0 ? -1 : 7, now));
        for (int i = 0; i < 3; i++)
            assert_ptr_equal(next(PEER_PAUSED), &waiting[i]);
        assert_null(next(PEER_PAUSED));
        assert_int_equal(look(A), PEER_PAUSED);
        for (int i = 1; i < LIMIT; i++)
            peers_leave(peers, &there[i], PEER_UNKNOWN, -1, now);
    }
}

static void test_a_full_peer_holds_up_no_other(void **state)
{
    (void)state;
    struct peer_visit there[LIMIT] = {{0}}, waiting = {0}, other[LIMIT + 1] = {{0}};
    for (int i = 0; i < LIMIT; i++) {
        assert_int_equal(enter(A, &there[i]), PEER_ENTERED);
        assert_int_equal(enter(B, &other[i]), PEER_ENTERED);
    }
    assert_int_equal(enter(A, &waiting), PEER_WAITS);
    assert_int_equal(enter(B, &other[LIMIT]), PEER_WAITS);
    peers_leave(peers, &other[0], PEER_ANSWERED, -1, now);
    assert_ptr_equal(next(PEER_ENTERED), &other[LIMIT]);
    assert_null(next(PEER_ENTERED));
    assert_int_equal(waiting.state, PEER_VISIT_WAITS);
    peers_leave(peers, &waiting, PEER_UNKNOWN, -1, now);
    for (int i = 0; i < LIMIT; i++) {
        peers_leave(peers, &there[i], PEER_ANSWERED, -1, now);
        peers_leave(peers, &other[i + 1], PEER_ANSWERED, -1, now);
    }
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
        cmocka_unit_test_setup_teardown(test_the_earliest_deadline_is_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_more_connections_than_are_of_use, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_slow_peer_gets_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_where_there_are_no_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_a_paused_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_peer_holds_up_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* server/registry/publisher_due: how long the publisher may sleep. */
#include "server/http/timer.h"
#include "server/registry/daemon.h"
#include "server/registry/publisher_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define LIMIT 60000 /* longer than this test may take */
#define DEBOUNCE 1000

static struct config config = {.list.debounce_ms = DEBOUNCE};
static struct daemon node_daemon = {.config = &config};

/* A change whose debounce ends `ms` from now, for a publisher that looked last `ago` ms ago. */
static struct publisher make(int ms, unsigned ago)
{
    struct publisher p = {.daemon = &node_daemon};
    uint64_t now = monotonic_ms();

    p.tracks[LIST_CPS].changed = true;
    p.tracks[LIST_CPS].changed_at = now - DEBOUNCE + (uint64_t)(int64_t)ms;
    p.looked_at = now - ago;
    return p;
}

static void nothing_is_waited_for_longer_than_the_limit(void **state)
{
    struct publisher p = make(0, 10);

    (void)state;
    p.tracks[LIST_CPS].changed = false;
    assert_int_equal(publisher_wait(&p, LIMIT), LIMIT);
    p = make(LIMIT + 1000, 10);
    assert_int_equal(publisher_wait(&p, 200), 200);
}

static void a_debounce_ends_the_sleep(void **state)
{
    struct publisher p = make(50000, 10);
    int wait = publisher_wait(&p, LIMIT);

    (void)state;
    assert_true(wait > 0 && wait <= 50000);
    p = make(-5, 10); /* it ended after the look, while the publisher did something else */
    assert_int_equal(publisher_wait(&p, LIMIT), 0);
}

/* Neither a failure nor anything else that stands in the way makes it turn without pause. */
static void what_is_held_up_is_not_waited_for(void **state)
{
    struct publisher p = make(-20, 10);

    (void)state;
    assert_int_equal(publisher_wait(&p, LIMIT), LIMIT);
    p.tracks[LIST_CPS].next_attempt = monotonic_ms() + 30000;
    int wait = publisher_wait(&p, LIMIT);
    assert_true(wait > 0 && wait <= 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_waited_for_longer_than_the_limit),
        cmocka_unit_test(a_debounce_ends_the_sleep),
        cmocka_unit_test(what_is_held_up_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

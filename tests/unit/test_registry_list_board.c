/* server/registry/list_board: what each server thread serves while a new list is on its way. */
#include "server/registry/daemon.h"
#include "server/registry/list_board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

/* Messages to the threads wait here (--wrap, tests/CMakeLists.txt). */
static struct {
    void (*fn)(void *arg);
    void *arg;
} posted[16];
static size_t posted_count;

bool __wrap_server_post(struct server_thread *thread, void (*fn)(void *arg), void *arg);
bool __wrap_server_post(struct server_thread *thread, void (*fn)(void *arg), void *arg)
{
    (void)thread;
    assert_true(posted_count < sizeof(posted) / sizeof(posted[0]));
    posted[posted_count].fn = fn;
    posted[posted_count++].arg = arg;
    return true;
}

static void run_posted(void)
{
    for (size_t i = 0; i < posted_count; i++)
        posted[i].fn(posted[i].arg);
    posted_count = 0;
}

static struct published_list *list_of(enum list_kind kind, int64_t sequence)
{
    static const char jws[] = "e30.e30.AA";
    struct published_list *list = NULL;

    assert_int_equal(published_list_new(kind, sequence, 2000000000, jws, strlen(jws), &list, NULL),
                     STICPS_OK);
    return list;
}

static void put(struct list_board *board, enum list_kind kind, int64_t sequence)
{
    struct published_list *list = list_of(kind, sequence);

    list_board_put(board, list);
    published_list_unref(list);
}

static int64_t served(struct node *node, enum list_kind kind)
{
    const struct published_list *list = list_board_current(node, kind);

    return list != NULL ? list->sequence : 0;
}

/* What a test works with: two threads, none of which has looked at its messages yet. */
struct stage {
    struct daemon daemon;
    struct node one, other;
};

static int set_up(void **state)
{
    static struct stage stage;

    memset(&stage, 0, sizeof(stage));
    posted_count = 0;
    assert_int_equal(list_board_new(&stage.daemon.board, NULL), STICPS_OK);
    stage.one.daemon = stage.other.daemon = &stage.daemon;
    assert_int_equal(list_board_join(stage.daemon.board, &stage.one, NULL), STICPS_OK);
    assert_int_equal(list_board_join(stage.daemon.board, &stage.other, NULL), STICPS_OK);
    *state = &stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;

    list_board_leave(stage->daemon.board, &stage->one);
    list_board_leave(stage->daemon.board, &stage->other);
    run_posted(); /* what comes late finds that they have left, and keeps no list */
    list_board_free(stage->daemon.board);
    return 0;
}

static void test_no_thread_lags_behind_another(void **state)
{
    struct stage *stage = *state;

    for (int64_t sequence = 7; sequence < 10; sequence++) {
        put(stage->daemon.board, LIST_CPS, sequence);
        assert_int_equal(served(&stage->one, LIST_CPS), sequence);
        if (sequence == 8)
            run_posted();
        assert_int_equal(served(&stage->other, LIST_CPS), sequence);
    }
}

static void test_the_kinds_are_apart(void **state)
{
    struct stage *stage = *state;

    put(stage->daemon.board, LIST_CA, 3);
    assert_int_equal(served(&stage->one, LIST_CPS), 0);
    assert_int_equal(served(&stage->one, LIST_CA), 3);
}

static void test_an_older_list_is_ignored(void **state)
{
    struct stage *stage = *state;

    put(stage->daemon.board, LIST_CPS, 7);
    run_posted();
    put(stage->daemon.board, LIST_CPS, 6);
    assert_int_equal(posted_count, 0);
    assert_int_equal(served(&stage->one, LIST_CPS), 7);
}

static void test_an_idle_thread_lets_go_of_the_list_of_before(void **state)
{
    struct stage *stage = *state;

    put(stage->daemon.board, LIST_CPS, 7);
    const struct published_list *before = list_board_current(&stage->one, LIST_CPS);
    put(stage->daemon.board, LIST_CPS, 8);
    assert_ptr_equal(stage->one.lists[LIST_CPS], before);
    run_posted();
    assert_ptr_not_equal(stage->one.lists[LIST_CPS], before);
}

static void test_who_joins_late_has_the_current_lists(void **state)
{
    struct stage *stage = *state;
    struct node late = {.daemon = &stage->daemon};

    put(stage->daemon.board, LIST_CPS, 7);
    assert_int_equal(list_board_join(stage->daemon.board, &late, NULL), STICPS_OK);
    assert_int_equal(served(&late, LIST_CPS), 7);
    list_board_leave(stage->daemon.board, &late);
    assert_int_equal(served(&late, LIST_CPS), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_no_thread_lags_behind_another),
        TEST(test_the_kinds_are_apart),
        TEST(test_an_older_list_is_ignored),
        TEST(test_an_idle_thread_lets_go_of_the_list_of_before),
        TEST(test_who_joins_late_has_the_current_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

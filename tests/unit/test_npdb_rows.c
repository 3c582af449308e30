/* client/npdb_rows: which of several rows for a prefix counts, whatever their order. */
#include "client/npdb_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#define ENDED NPDB_ROW_ENDED
#define NONE 0u /* no row is left; owners are counted from 1 here */

struct said {
    uint32_t owner, since;
};

static const struct {
    struct said said[4];
    size_t len;
    bool last_wins;
    uint32_t left; /* the owner */
    unsigned duplicates, overridden, superseded, ended, conflicts;
} plans[] = {
    {{{1, 0}}, 1, false, 1, 0, 0, 0, 0, 0},
    {{{1, 0}, {1, 0}, {1, 0}}, 3, false, 1, 2, 0, 0, 0, 0},
    {{{1, 0}, {2, 0}}, 2, false, 1, 0, 0, 0, 0, 1},
    {{{1, 0}, {2, 0}}, 2, true, 2, 0, 1, 0, 0, 0},
    {{{1, 0}, {2, 0}, {3, 0}}, 3, false, 1, 0, 0, 0, 0, 2},

    /* the latest counts, also when the last is to win */
    {{{1, 0}, {2, 20200101}}, 2, false, 2, 0, 0, 1, 0, 0},
    {{{2, 20200102}, {1, 20200101}}, 2, true, 2, 0, 0, 1, 0, 0},
    {{{1, 20200101}, {2, 20200101}}, 2, false, 1, 0, 0, 0, 0, 1},
    {{{1, 20200101}, {2, 20200101}}, 2, true, 2, 0, 1, 0, 0, 0},
    {{{1, 0}, {2, 20200101}, {3, 20200101}}, 3, false, 2, 0, 0, 1, 0, 1},
    {{{1, 0}, {1, 20200101}}, 2, false, 1, 1, 0, 0, 0, 0},
    {{{1, 0}, {2, 20200101}, {1, 20210101}}, 3, false, 1, 0, 0, 2, 0, 0},

    /* what ends, ends what was before, and nothing of the same day or later */
    {{{ENDED, 0}}, 1, false, NONE, 0, 0, 0, 1, 0},
    {{{1, 0}, {ENDED, 20200101}}, 2, false, NONE, 0, 0, 1, 1, 0},
    {{{1, 0}, {ENDED, 20200101}, {2, 20200102}}, 3, false, 2, 0, 0, 1, 1, 0},
    {{{ENDED, 20200101}, {2, 20200101}}, 2, false, 2, 0, 0, 0, 1, 0},
    {{{2, 20200101}, {ENDED, 20200101}}, 2, true, 2, 0, 0, 0, 1, 0},
    {{{1, 0}, {ENDED, 20200101}, {ENDED, 20200101}}, 3, false, NONE, 0, 0, 1, 2, 0},
};

static void on_conflict(const struct npdb_row *first, const struct npdb_row *second, void *arg)
{
    assert_true(npdb_row_key(first) == npdb_row_key(second));
    assert_true(first->owner != second->owner && first->since == second->since);
    ++*(unsigned *)arg;
}

/* The rows for key 7, between those of two neighbours, put in starting with the one at `first`; the
 * lines say in which order they were given. */
static void settle_plan(size_t plan, size_t first)
{
    struct npdb_rows rows = {NULL, 0, 0};
    unsigned conflicts = 0;
    struct npdb_conflicts told = {
        .last_wins = plans[plan].last_wins, .on_conflict = on_conflict, .arg = &conflicts};
    assert_int_equal(npdb_rows_add(&rows, 9, 8, 20300101, 0, 1, NULL), STICPS_OK);
    for (size_t i = 0; i < plans[plan].len; i++) {
        size_t at = (first + i) % plans[plan].len;
        const struct said *said = &plans[plan].said[at];
        assert_int_equal(npdb_rows_add(&rows, 7, said->owner, said->since, 0, at + 2, NULL),
                         STICPS_OK);
    }
    assert_int_equal(npdb_rows_add(&rows, 5, ENDED, 20300101, 0, 1, NULL), STICPS_OK);

    npdb_rows_settle(&rows, &told);
    const struct npdb_row *left = npdb_rows_find(&rows, 7);
    assert_int_equal(left != NULL ? left->owner : NONE, plans[plan].left);
    assert_non_null(npdb_rows_find(&rows, 9));
    assert_null(npdb_rows_find(&rows, 5));
    assert_int_equal(rows.len, plans[plan].left != NONE ? 2 : 1);
    assert_int_equal(told.duplicates, plans[plan].duplicates);
    assert_int_equal(told.overridden, plans[plan].overridden);
    assert_int_equal(told.superseded, plans[plan].superseded);
    assert_int_equal(told.ended, plans[plan].ended + 1);
    assert_int_equal(conflicts, plans[plan].conflicts);
    npdb_rows_clear(&rows);
}

static void the_row_that_counts(void **state)
{
    (void)state;
    for (size_t plan = 0; plan < sizeof(plans) / sizeof(plans[0]); plan++)
        for (size_t first = 0; first < plans[plan].len; first++)
            settle_plan(plan, first);
}

static void no_rows_are_settled(void **state)
{
    (void)state;
    struct npdb_rows rows = {NULL, 0, 0};
    struct npdb_conflicts told = {.last_wins = false};
    npdb_rows_settle(&rows, &told);
    assert_null(npdb_rows_find(&rows, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_row_that_counts),
        cmocka_unit_test(no_rows_are_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

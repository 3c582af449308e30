/* common/spc_index: every code that there can be is told apart, and found where it was put. */
#include "common/spc_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OCNS (36 * 36 * 36 * 36)
#define RESP_ORGS (26 * 26 * 26 * 100)

static struct spc ocn(unsigned number)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct spc spc = {{0}};
    for (int i = 3; i >= 0; i--, number /= 36)
        spc.text[i] = digits[number % 36];
    return spc;
}

static struct spc resp_org(unsigned number)
{
    struct spc spc = {{0}};
    spc.text[4] = (char)('0' + number % 10);
    spc.text[3] = (char)('0' + number / 10 % 10);
    number /= 100;
    for (int i = 2; i >= 0; i--, number /= 26)
        spc.text[i] = (char)('A' + number % 26);
    return spc;
}

static void put_all(struct spc_index *index)
{
    for (unsigned i = 0; i < OCNS; i++) {
        struct spc spc = ocn(i);
        spc_index_put(index, &spc, i);
    }
    for (unsigned i = 0; i < RESP_ORGS; i++) {
        struct spc spc = resp_org(i);
        spc_index_put(index, &spc, OCNS + i);
    }
}

static void test_every_code(void **state)
{
    (void)state;
    struct spc_index *index = spc_index_new(OCNS + RESP_ORGS);
    uint32_t value;
    assert_non_null(index);
    put_all(index);
    for (unsigned i = 0; i < OCNS + RESP_ORGS; i++) {
        struct spc spc = i < OCNS ? ocn(i) : resp_org(i - OCNS);
        assert_true(spc_index_find(index, &spc, &value));
        assert_int_equal(value, i);
    }
    free(index);
}

/* Full to the brim of its room, none is missed and the search for an absent one ends. */
static void test_each_size(void **state)
{
    (void)state;
    for (unsigned count = 0; count < 300; count++) {
        struct spc_index *index = spc_index_new(count);
        uint32_t value = 0;
        assert_non_null(index);
        for (unsigned i = 0; i < count; i++) {
            struct spc spc = ocn(i * 37);
            spc_index_put(index, &spc, ~i);
        }
        for (unsigned i = 0; i < 300; i++) {
            struct spc spc = ocn(i * 37), other = resp_org(i * 37);
            assert_int_equal(spc_index_find(index, &spc, &value), i < count);
            if (i < count)
                assert_int_equal(value, ~i);
            assert_false(spc_index_find(index, &other, &value));
        }
        free(index);
    }
    assert_null(spc_index_new((size_t)1 << 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_each_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

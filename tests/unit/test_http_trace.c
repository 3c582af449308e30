/* traceparent (W3C Trace Context, s3.2.2): the specification's own examples, and what must be
 * ignored. */
#include "server/http/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static void test_valid(void **state)
{
    static const struct {
        const char *value, *parent;
    } cases[] = {
        {"00-" ID "-" SPAN "-01", "00-" ID "-" SPAN "-01"},
        {"00-" ID "-" SPAN "-00", "00-" ID "-" SPAN "-00"},
        {"00-" ID "-" SPAN "-ff", "00-" ID "-" SPAN "-01"}, /* flags not known are not passed on */
        {"00-" ID "-" SPAN "-fe", "00-" ID "-" SPAN "-00"},
        {"cc-" ID "-" SPAN "-01", "00-" ID "-" SPAN "-01"}, /* a later version */
        {"cc-" ID "-" SPAN "-01-what-the-future-will-be-like", "00-" ID "-" SPAN "-01"},
        {"01-" ID "-" SPAN "-01-", "00-" ID "-" SPAN "-01"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct trace trace = {"", ""};
        assert_true(trace_parse(cases[i].value, strlen(cases[i].value), &trace));
        assert_string_equal(trace.id, ID);
        assert_string_equal(trace.parent, cases[i].parent);
    }
}

static void test_invalid(void **state)
{
    static const char *const cases[] = {
        "",
        "00",
        "00-" ID "-" SPAN,
        "00-" ID "-" SPAN "-0",
        "00-" ID "-" SPAN "-011",
        "00-" ID "-" SPAN "-01-more",
        "00-" ID "-" SPAN "-01 ",
        "01-" ID "-" SPAN "-01.more",
        "ff-" ID "-" SPAN "-01",
        "0-" ID "-" SPAN "-01x",
        "0x-" ID "-" SPAN "-01",
        "00_" ID "-" SPAN "-01",
        "00-" ID "_" SPAN "-01",
        "00-" ID "-" SPAN "_01",
        "00-" ID "-" SPAN "-0g",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" ID "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\"-" SPAN "-01",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct trace trace = {"as", "before"};
        if (trace_parse(cases[i], strlen(cases[i]), &trace))
            fail_msg("taken: %s", cases[i]);
        assert_string_equal(trace.id, "as");
        assert_string_equal(trace.parent, "before");
    }
}

static void test_a_nul_is_no_digit(void **state)
{
    char value[] = "00-" ID "-" SPAN "-01";
    struct trace trace;
    (void)state;
    for (size_t i = 0; i < TRACE_PARENT_LEN; i++) {
        char kept = value[i];
        value[i] = '\0';
        assert_false(trace_parse(value, TRACE_PARENT_LEN, &trace));
        value[i] = kept;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_a_nul_is_no_digit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

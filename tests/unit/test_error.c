/* common/error and common/clock. */
#include "common/clock.h"
#include "common/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h> /* its macro fail() is avoided below by writing (fail) */
#include <string.h>

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int i = 0; i < STICPS_ERR_COUNT; i++) {
        const char *name = sticps_err_name((enum sticps_err)i);
        assert_non_null(name);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, sticps_err_name((enum sticps_err)j));
    }
    assert_string_equal(sticps_err_name(STICPS_ERR_ROLLBACK), "ROLLBACK");
    assert_string_equal(sticps_err_name(STICPS_ERR_COUNT), "UNKNOWN");
    assert_string_equal(sticps_err_name((enum sticps_err) - 1), "UNKNOWN");
}

static void verdicts_have_the_status_of_the_protocol(void **state)
{
    (void)state;
    assert_int_equal(sticps_err_http_status(STICPS_ERR_MALFORMED), 400);
    assert_int_equal(sticps_err_http_status(STICPS_ERR_STALE_DATE), 403);
    assert_int_equal(sticps_err_http_status(STICPS_ERR_BAD_IDENTITY_INFO), 436);
    assert_int_equal(sticps_err_http_status(STICPS_ERR_UNSUPPORTED_CREDENTIAL), 437);
    assert_int_equal(sticps_err_http_status(STICPS_ERR_INVALID_IDENTITY_HEADER), 438);
    assert_int_equal(sticps_err_http_status(STICPS_ERR_ROLLBACK), 500);
}

static void what_a_peer_sent_cannot_reach_a_terminal(void **state)
{
    (void)state;
    struct sticps_error err;
    assert_int_equal((fail)(&err, STICPS_ERR_FORM, "a\x1b[31m", "b\n\x80%s", "c"), STICPS_ERR_FORM);
    assert_int_equal(err.code, STICPS_ERR_FORM);
    assert_string_equal(err.where, "a?[31m");
    assert_string_equal(err.text, "b??c");
    fail_context(&err, "list %d", 7);
    assert_string_equal(err.text, "list 7: b??c");
}

static void long_texts_are_cut_and_terminated(void **state)
{
    (void)state;
    struct sticps_error err;
    char longer[2000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal((fail)(&err, STICPS_ERR_FILE, longer, "%s", longer), STICPS_ERR_FILE);
    assert_int_equal(strlen(err.where), sizeof(err.where) - 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    fail_context(&err, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal((fail)(NULL, STICPS_ERR_FILE, NULL, "unheard"), STICPS_ERR_FILE);
    fail_context(NULL, "unheard");
}

static void times_are_written_as_rfc_3339(void **state)
{
    (void)state;
    char text[21];
    clock_format(1590000000, text);
    assert_string_equal(text, "2020-05-20T18:40:00Z");
    clock_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    clock_format(-5, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    assert_true(clock_now(&clock_system) > 1590000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(verdicts_have_the_status_of_the_protocol),
        cmocka_unit_test(what_a_peer_sent_cannot_reach_a_terminal),
        cmocka_unit_test(long_texts_are_cut_and_terminated),
        cmocka_unit_test(times_are_written_as_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* common/tn: the one canonicaliser, and the integer form. */
#include "common/tn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

struct number {
    const char *text;
    unsigned default_country;
    const char *expected; /* NULL: refused */
};

static const struct number typed[] = {
    {"2025550123", 1, "12025550123"},
    {"12025550123", 1, "12025550123"},
    {"+12025550123", 1, "12025550123"},
    {"+1 (202) 555-0123", 1, "12025550123"},
    {"(202) 555-0123", 1, "12025550123"},
    {"202.555.0123", 1, "12025550123"},
    {"  2025550123  ", 1, "12025550123"},
    {"  +44 20 7946 0018 ", 1, "442079460018"},
    {"2025550123", 0, "2025550123"},
    /* the '+' says that the country code is there already: Egypt, not Washington */
    {"+2025550123", 1, "2025550123"},
    {"+ 2025550123", 1, "2025550123"},
    /* ten digits, but not of North American form */
    {"1025550123", 1, "1025550123"},
    {"0025550123", 1, "0025550123"},
    {"2021550123", 1, "2021550123"},
    {"2020550123", 1, "2020550123"},
    {"2002000000", 1, "12002000000"},
    {"9999999999", 1, "19999999999"},
    /* nine and eleven digits get nothing */
    {"202555012", 1, "202555012"},
    {"20255501234", 1, "20255501234"},
    {"911", 1, "911"},
    {"0", 1, "0"},
    {"000", 1, "000"},
    {"999999999999999", 1, "999999999999999"},
    {"(((1-2-3-4-5-6-7-8-9-0-1-2-3-4-5", 1, "123456789012345"}, /* 32 bytes */

    {"", 1, NULL},
    {" ", 1, NULL},
    {"+", 1, NULL},
    {"()-. ", 1, NULL},
    {"1234567890123456", 1, NULL},
    {"+1234567890123456", 1, NULL},
    {"(((1-2-3-4-5-6-7-8-9-0-1-2-3-4-5)", 1, NULL}, /* 33 bytes */
    {"++12025550123", 1, NULL},
    {"1+2025550123", 1, NULL},
    {"(+1)2025550123", 1, NULL},
    {"12025550123+", 1, NULL},
    {"1-800-FLOWERS", 1, NULL},
    {"202555012x", 1, NULL},
    {"tel:+12025550123", 1, NULL},
    {"2025550123;ext=1", 1, NULL},
    {"202\t5550123", 1, NULL},
    {"2025550123\n", 1, NULL},
    {"202/555/0123", 1, NULL},
    {"*69", 1, NULL},
    {"\xd9\xa1\xd9\xa2\xd9\xa3", 1, NULL}, /* Arabic-Indic digits */
    {"\xef\xbc\x91\xef\xbc\x92", 1, NULL}, /* full-width digits */
    {"-1\xc2\xa0", 1, NULL},               /* no-break space */
};

static void what_people_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
        const struct number *t = &typed[i];
        struct tn tn, untouched;
        struct sticps_error err = {.code = STICPS_OK};
        memset(&tn, 0x55, sizeof(tn));
        untouched = tn;
        enum sticps_err code =
            tn_from_typed(t->text, strlen(t->text), t->default_country, &tn, &err);
        if (t->expected == NULL) {
            if (code != STICPS_ERR_TN)
                print_error("accepted: '%s'\n", t->text);
            assert_int_equal(code, STICPS_ERR_TN);
            assert_int_equal(err.code, STICPS_ERR_TN);
            assert_true(err.text[0] != '\0');
            assert_memory_equal(&tn, &untouched, sizeof(tn));
            continue;
        }
        assert_int_equal(code, STICPS_OK);
        assert_string_equal(tn.digits, t->expected);
        struct tn padded = {{0}};
        memcpy(padded.digits, t->expected, strlen(t->expected));
        assert_memory_equal(&tn, &padded, sizeof(tn));
    }
}

static const struct number claims[] = {
    {"2025550123", 1, "12025550123"},
    {"12025550123", 1, "12025550123"},
    {"2025550123", 0, "2025550123"},
    {"442079460018", 1, "442079460018"},
    {"123456789012345", 1, "123456789012345"},
    {"", 1, NULL},
    {"+12025550123", 1, NULL},
    {"202-555-0123", 1, NULL},
    {" 12025550123", 1, NULL},
    {"12025550123 ", 1, NULL},
    {"1234567890123456", 1, NULL},
    {"00000000000000000000000000000000000000000000000000000000000000000000000000", 1, NULL},
    {"1202555012a", 1, NULL},
};

static void what_a_claim_carries(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        const struct number *t = &claims[i];
        struct tn tn;
        enum sticps_err code =
            tn_from_claim(t->text, strlen(t->text), t->default_country, &tn, NULL);
        assert_int_equal(code, t->expected == NULL ? STICPS_ERR_TN : STICPS_OK);
        if (t->expected != NULL)
            assert_string_equal(tn.digits, t->expected);
    }
}

static void a_nul_byte_is_no_end(void **state)
{
    (void)state;
    struct tn tn;
    assert_int_equal(tn_from_typed("2025550123\0", 11, 1, &tn, NULL), STICPS_ERR_TN);
    assert_int_equal(tn_from_typed("\0", 1, 1, &tn, NULL), STICPS_ERR_TN);
    assert_int_equal(tn_from_claim("12025550123\0", 12, 1, &tn, NULL), STICPS_ERR_TN);
    /* and the length is obeyed, not the terminator */
    assert_int_equal(tn_from_claim("2025550123456", 10, 1, &tn, NULL), STICPS_OK);
    assert_string_equal(tn.digits, "12025550123");
}

static void the_error_names_the_fault(void **state)
{
    (void)state;
    struct tn tn;
    struct sticps_error err;
    assert_int_equal(tn_from_typed("20255x", 6, 1, &tn, &err), STICPS_ERR_TN);
    assert_non_null(strstr(err.text, "'x' at position 6"));
    assert_int_equal(tn_from_claim("+1", 2, 1, &tn, &err), STICPS_ERR_TN);
    assert_non_null(strstr(err.text, "'+' at position 1"));
    assert_int_equal(tn_from_typed("\x07", 1, 1, &tn, &err), STICPS_ERR_TN);
    assert_non_null(strstr(err.text, "0x07"));
    assert_int_equal(tn_from_typed("1234567890123456", 16, 1, &tn, &err), STICPS_ERR_TN);
    assert_non_null(strstr(err.text, "15"));
}

static uint64_t key_of(const char *digits)
{
    struct tn tn = {{0}};
    memcpy(tn.digits, digits, strlen(digits));
    return tn_key(&tn);
}

static void keys_tell_numbers_apart_and_come_back(void **state)
{
    (void)state;
    static const char *const numbers[] = {
        "0",  "00",  "000000000000000", "1",     "01",          "12025550123",
        "12", "120", "999999999999999", "99999", "442079460018"};
    const size_t count = sizeof(numbers) / sizeof(numbers[0]);
    for (size_t i = 0; i < count; i++) {
        struct tn back;
        uint64_t key = key_of(numbers[i]);
        assert_true(key != 0);
        assert_true(key >> 54 == 0);
        tn_from_key(key, &back);
        assert_string_equal(back.digits, numbers[i]);
        for (size_t j = 0; j < i; j++)
            assert_true(key != key_of(numbers[j]));
    }
    assert_true(key_of("12025550123") == UINT64_C(12025550123) * 16 + 11);
}

static void any_key_at_all_gives_a_terminated_text(void **state)
{
    (void)state;
    static const uint64_t keys[] = {0, UINT64_MAX, 15, UINT64_MAX - 15, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct tn tn;
        memset(&tn, 0x55, sizeof(tn));
        tn_from_key(keys[i], &tn);
        assert_true(memchr(tn.digits, 0, sizeof(tn.digits)) != NULL);
    }
}

static void the_north_american_plan(void **state)
{
    (void)state;
    static const struct {
        const char *digits;
        bool nanp, toll_free;
    } table[] = {
        {"12025550123", true, false},  {"18005551234", true, true},
        {"18335551234", true, true},   {"18225551234", true, true},
        {"18445551234", true, true},   {"18555551234", true, true},
        {"18665551234", true, true},   {"18775551234", true, true},
        {"18885551234", true, true},   {"18995551234", true, false},
        {"18115551234", true, false},  {"18765551234", true, false},
        {"18001551234", false, false}, {"8005551234", false, false},
        {"11025550123", false, false}, {"12021550123", false, false},
        {"1202555012", false, false},  {"120255501234", false, false},
        {"22025550123", false, false}, {"442079460018", false, false},
        {"1", false, false},           {"180055512345", false, false},
        {"19005551234", true, false},  {"17775551234", true, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct tn tn = {{0}};
        memcpy(tn.digits, table[i].digits, strlen(table[i].digits));
        if (tn_is_nanp(&tn) != table[i].nanp || tn_is_toll_free(&tn) != table[i].toll_free)
            print_error("%s\n", table[i].digits);
        assert_int_equal(tn_is_nanp(&tn), table[i].nanp);
        assert_int_equal(tn_is_toll_free(&tn), table[i].toll_free);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_people_type),
        cmocka_unit_test(what_a_claim_carries),
        cmocka_unit_test(a_nul_byte_is_no_end),
        cmocka_unit_test(the_error_names_the_fault),
        cmocka_unit_test(keys_tell_numbers_apart_and_come_back),
        cmocka_unit_test(any_key_at_all_gives_a_terminated_text),
        cmocka_unit_test(the_north_american_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

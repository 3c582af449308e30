/* common/spc: what is a Service Provider Code and what only looks like one. */
#include "common/spc.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

static const struct {
    const char *text;
    const char *typed; /* what spc_from_typed makes of it; NULL: refused */
    bool claim;        /* is it canonical already? */
} codes[] = {
    {"1234", "1234", true},
    {"818H", "818H", true},
    {"818h", "818H", false},
    {"ABCD", "ABCD", true},
    {"abcd", "ABCD", false},
    {"0000", "0000", true},
    {"VWC55", "VWC55", true},
    {"vwc55", "VWC55", false},
    {"ZZZ99", "ZZZ99", true},
    {"AAA00", "AAA00", true},

    {"", NULL, false},
    {"1", NULL, false},
    {"123", NULL, false},
    {"12345", NULL, false},
    {"ABCDE", NULL, false},
    {"AB155", NULL, false}, /* the third of a Resp Org ID is a letter */
    {"1BC55", NULL, false},
    {"VWC5X", NULL, false},
    {"VWCX5", NULL, false},
    {"V1C55", NULL, false},
    {"VWC555", NULL, false},
    {"VW C5", NULL, false},
    {" 1234", NULL, false},
    {"123 ", NULL, false},
    {"12-4", NULL, false},
    {"12\xc3\xa9", NULL, false},
    {"12\xc5\xbf", NULL, false},     /* long s, which Unicode folds to S */
    {"12\xe2\x84\xaa", NULL, false}, /* the Kelvin sign, which Unicode folds to k */
    {"@234", NULL, false},
    {"[234", NULL, false},
    {"`234", NULL, false},
    {"{234", NULL, false},
    {"/234", NULL, false},
    {":234", NULL, false},
    {"123\n", NULL, false},
    {"a very long text that is no code at all", NULL, false},
};

static void only_codes_are_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct spc spc, before;
        struct sticps_error err;
        memset(&spc, 0x55, sizeof(spc));
        before = spc;
        size_t len = strlen(codes[i].text);
        enum sticps_err code = spc_from_typed(codes[i].text, len, &spc, &err);
        if (codes[i].typed == NULL) {
            assert_int_equal(code, STICPS_ERR_SPC);
            assert_int_equal(err.code, STICPS_ERR_SPC);
            assert_memory_equal(&spc, &before, sizeof(spc));
        } else {
            struct spc expected = {{0}};
            memcpy(expected.text, codes[i].typed, strlen(codes[i].typed));
            assert_int_equal(code, STICPS_OK);
            assert_memory_equal(&spc, &expected, sizeof(spc));
        }
        code = spc_from_claim(codes[i].text, len, &spc, NULL);
        assert_int_equal(code, codes[i].claim ? STICPS_OK : STICPS_ERR_SPC);
    }
}

static void a_nul_byte_is_no_end(void **state)
{
    (void)state;
    struct spc spc;
    assert_int_equal(spc_from_typed("1234\0", 5, &spc, NULL), STICPS_ERR_SPC);
    assert_int_equal(spc_from_claim("123\0", 4, &spc, NULL), STICPS_ERR_SPC);
    assert_int_equal(spc_from_claim("123456", 4, &spc, NULL), STICPS_OK);
    assert_string_equal(spc.text, "1234");
}

/* In a Turkish locale toupper('i') is not 'I'. */
static void the_locale_does_not_matter(void **state)
{
    (void)state;
    struct spc spc;
    (void)setlocale(LC_ALL, "tr_TR.ISO-8859-9"); /* stays C where that locale is not installed */
    assert_int_equal(spc_from_typed("iiii", 4, &spc, NULL), STICPS_OK);
    assert_string_equal(spc.text, "IIII");
    assert_int_equal(spc_from_typed("12\xfd"
                                    "4",
                                    4, &spc, NULL),
                     STICPS_ERR_SPC);
    (void)setlocale(LC_ALL, "C");
}

static void keys_sort_as_texts_do(void **state)
{
    (void)state;
    static const char *const sorted[] = {"0000", "0001", "1234",  "818H",
                                         "ABCD", "VWC5", "VWC55", "ZZZZ"};
    uint64_t last = 0;
    for (size_t i = 0; i < sizeof(sorted) / sizeof(sorted[0]); i++) {
        struct spc spc;
        assert_int_equal(spc_from_claim(sorted[i], strlen(sorted[i]), &spc, NULL), STICPS_OK);
        assert_true(spc_key(&spc) > last);
        last = spc_key(&spc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_codes_are_codes),
        cmocka_unit_test(a_nul_byte_is_no_end),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(keys_sort_as_texts_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

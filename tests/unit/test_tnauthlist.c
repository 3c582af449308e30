#include "common/tnauthlist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* after ours: it has a macro fail() */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

static const struct {
    const char *name;
    const char *hex;
    enum sticps_err rc;
    size_t spcs, others;
    const char *spc;
} cases[] = {
    {"one SPC", "3008a006160438313848", STICPS_OK, 1, 0, "818H"},
    {"a Resp Org ID", "3009a00716055657433535", STICPS_OK, 1, 0, "VWC55"},
    {"two SPCs", "3010a006160438313848a006160431323334", STICPS_OK, 2, 0, "818H"},
    {"SPC and a range", "301ca006160438313848a1123010160b3132303235353530313030020164", STICPS_OK,
     1, 1, "818H"},
    {"a range with more behind its count", "3016a1143012160b31323032353535303130300201640500",
     STICPS_OK, 0, 1, ""},
    {"a single number", "300fa20d160b3132303235353530313030", STICPS_OK, 0, 1, ""},
    {"number and SPC", "3017a20d160b3132303235353530313030a006160438313848", STICPS_OK, 1, 1,
     "818H"},
#define BAD STICPS_ERR_UNSUPPORTED_CREDENTIAL, 0, 0, NULL
    {"nothing", "", BAD},
    {"one byte", "30", BAD},
    {"no entry", "3000", BAD},
    {"not a sequence", "3108a006160438313848", BAD},
    {"length runs over the end", "3009a006160438313848", BAD},
    {"bytes after the end", "3008a00616043831384800", BAD},
    {"inner length runs over", "3008a007160438313848", BAD},
    {"inner length too short", "3008a005160438313848", BAD},
    {"UTF8String", "3008a0060c0438313848", BAD},
    {"implicit tag", "3006800438313848", BAD},
    {"unknown choice", "3008a306160438313848", BAD},
    {"lower case", "3008a006160438313868", BAD},
    {"three characters", "3007a0051603383138", BAD},
    {"NUL in the SPC", "3009a00716053831384800", BAD},
    {"empty SPC", "3004a0021600", BAD},
    {"second SPC broken", "3010a006160438313848a006160431323368", BAD},
    {"long form where the short would do", "308108a006160438313848", BAD},
    {"indefinite length", "3080a0061604383138480000", BAD},
    {"indefinite length of nothing", "3080", BAD},
    {"length of five bytes", "30850000000008a006160438313848", BAD},
    {"long form that runs over the end", "3082", BAD},
    {"long form whose length runs over the end", "3082ffffa006160438313848", BAD},
    {"long form of a short length, two bytes", "30820080a006160438313848", BAD},
    {"length of four bytes", "308400000008a006160438313848", BAD},
    {"leading zero in the length", "30820008a006160438313848", BAD},
    {"range without count", "3011a10f300d160b3132303235353530313030", BAD},
    {"range with an empty count", "3013a111300f160b31323032353535303130300200", BAD},
    {"range that is no sequence", "3014a1123110160b3132303235353530313030020164", BAD},
    {"number with a letter", "300fa20d160b3132303235353530313041", BAD},
    {"number of 16 digits", "3014a212161031323334353637383930313233343536", BAD},
    {"empty number", "3004a2021600", BAD},
    {"more behind the SPC", "300aa0081604383138480500", BAD},
    {"more behind a number", "3011a20f160b31323032353535303130300500", BAD},
    {"more behind a range", "3016a1143010160b31323032353535303130300201640500", BAD},
    {"range from a letter", "3014a1123010160b3132303235353530313041020164", BAD},
#undef BAD
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        long len = 0;
        unsigned char *der = OPENSSL_hexstr2buf(cases[i].hex, &len);
        struct tnauthlist list = {.spcs = 77};
        struct sticps_error err = {0};
        enum sticps_err rc = tnauthlist_parse(der, (size_t)len, &list, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %s %s", cases[i].name, sticps_err_name(rc), err.text);
        if (rc == STICPS_OK) {
            assert_int_equal(list.spcs, cases[i].spcs);
            assert_int_equal(list.others, cases[i].others);
            assert_string_equal(list.spc.text, cases[i].spc);
        } else {
            assert_int_equal(list.spcs, 77);
            assert_true(err.text[0] != '\0');
        }
        OPENSSL_free(der);
    }
}

/* Every prefix of a good one, in memory of exactly that size for the sanitizers to watch. */
static void test_truncated(void **state)
{
    (void)state;
    long len = 0;
    unsigned char *der =
        OPENSSL_hexstr2buf("301ca006160438313848a1123010160b3132303235353530313030020164", &len);
    for (size_t i = 0; i < (size_t)len; i++) {
        unsigned char *part = test_malloc(i + 1);
        struct tnauthlist list;
        memcpy(part + 1, der, i);
        assert_int_equal(tnauthlist_parse(part + 1, i, &list, NULL),
                         STICPS_ERR_UNSUPPORTED_CREDENTIAL);
        test_free(part);
    }
    OPENSSL_free(der);
}

/* A list of 16 SPCs has a length of 0x80, which takes the long form; 32 of them still one byte. */
static void test_long_form(void **state)
{
    (void)state;
    static const unsigned char entry[] = {0xa0, 0x06, 0x16, 0x04, '8', '1', '8', 'H'};
    for (size_t count = 15; count <= 40; count++) {
        unsigned char der[4 + 40 * sizeof(entry)], *at = der;
        size_t len = count * sizeof(entry);
        *at++ = 0x30;
        if (len >= 0x100) {
            *at++ = 0x82;
            *at++ = (unsigned char)(len >> 8);
        } else if (len >= 0x80) {
            *at++ = 0x81;
        }
        *at++ = (unsigned char)len;
        for (size_t i = 0; i < count; i++, at += sizeof(entry))
            memcpy(at, entry, sizeof(entry));
        struct tnauthlist list;
        assert_int_equal(tnauthlist_parse(der, (size_t)(at - der), &list, NULL), STICPS_OK);
        assert_int_equal(list.spcs, count);
        assert_int_equal(tnauthlist_parse(der, (size_t)(at - der) - 1, &list, NULL),
                         STICPS_ERR_UNSUPPORTED_CREDENTIAL);
        if (len >= 0x80 && len < 0x100) { /* the same length, a byte longer than it need be */
            unsigned char padded[sizeof(der) + 1];
            memcpy(padded, "\x30\x82\x00", 3);
            memcpy(padded + 3, der + 2, (size_t)(at - der) - 2);
            assert_int_equal(tnauthlist_parse(padded, (size_t)(at - der) + 1, &list, NULL),
                             STICPS_ERR_UNSUPPORTED_CREDENTIAL);
        }
    }
}

static void test_encode(void **state)
{
    (void)state;
    static const struct {
        const char *spc;
        const char *base64;
    } vectors[] = {{"818H", "MAigBhYEODE4SA=="}, {"VWC55", "MAmgBxYFVldDNTU="}};
    for (size_t i = 0; i < 2; i++) {
        struct spc spc;
        unsigned char der[16], text[32];
        assert_int_equal(spc_from_claim(vectors[i].spc, strlen(vectors[i].spc), &spc, NULL),
                         STICPS_OK);
        size_t len = tnauthlist_encode_spc(&spc, der);
        EVP_EncodeBlock(text, der, (int)len);
        assert_string_equal((char *)text, vectors[i].base64);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_long_form),
        cmocka_unit_test(test_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

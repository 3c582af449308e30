#include "common/base64url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* after ours: it has a macro fail() */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4648 s10 without the padding, RFC 7515 appendix C, and both characters that differ from
 * base64. */
static const struct {
    const char *bytes;
    size_t len;
    const char *text;
} vectors[] = {
    {"", 0, ""},
    {"f", 1, "Zg"},
    {"fo", 2, "Zm8"},
    {"foo", 3, "Zm9v"},
    {"foob", 4, "Zm9vYg"},
    {"fooba", 5, "Zm9vYmE"},
    {"foobar", 6, "Zm9vYmFy"},
    {"\x03\xec\xff\xe0\xc1", 5, "A-z_4ME"},
    {"\xff\xff\xff", 3, "____"},
    {"\xfb\xef\xbe", 3, "----"},
    {"\0\0", 2, "AAA"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char text[16];
        unsigned char bytes[16];
        size_t len = 99, chars = strlen(vectors[i].text);
        assert_int_equal(base64url_encoded_size(vectors[i].len), chars);
        assert_int_equal(base64url_decoded_size(chars), vectors[i].len);
        assert_int_equal(base64url_encode(vectors[i].bytes, vectors[i].len, text), chars);
        assert_memory_equal(text, vectors[i].text, chars);
        assert_true(base64url_decode(vectors[i].text, chars, bytes, &len));
        assert_int_equal(len, vectors[i].len);
        assert_memory_equal(bytes, vectors[i].bytes, len);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",
        "AAAAA",
        "Zg==",
        "Zm8=",
        "Zh",  /* unused bits */
        "Zm9", /* unused bits */
        "Zm9vYh",
        "Zm9v\n",
        "\nZm9v",
        " Zm9v",
        "Zm 9v",
        "Zm+v",
        "Zm/v",
        "Zm9v.",
        "Zm9vY=",
        "Zm9v====",
        "Z\x80"
        "9v",
        "Zm9\xff",
        "\xc3\xa9gg",
        "Z*",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned char bytes[16];
        size_t len = 4711;
        if (base64url_decode(bad[i], strlen(bad[i]), bytes, &len))
            fail_msg("accepted: \"%s\"", bad[i]);
        assert_int_equal(len, 4711);
    }
    unsigned char bytes[16];
    size_t len;
    assert_false(base64url_decode("Zm\0v", 4, bytes, &len));
}

/* Each byte value as each character of a group: exactly the alphabet's 64 may pass. */
static void test_alphabet(void **state)
{
    (void)state;
    for (int place = 0; place < 4; place++) {
        int accepted = 0;
        for (int c = 0; c < 256; c++) {
            char text[4] = {'A', 'A', 'A', 'A'};
            unsigned char bytes[4];
            size_t len;
            text[place] = (char)c;
            accepted += base64url_decode(text, 4, bytes, &len);
        }
        assert_int_equal(accepted, 64);
    }
}

/* The other implementation at hand: OpenSSL's base64, with the two characters exchanged. */
static void test_against_openssl(void **state)
{
    (void)state;
    unsigned char bytes[300], again[300], other[404];
    char text[404];
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)rand();
        size_t chars = base64url_encode(bytes, len, text), back;
        int padded = EVP_EncodeBlock(other, bytes, (int)len);
        while (padded > 0 && other[padded - 1] == '=')
            padded--;
        assert_int_equal(chars, padded);
        for (size_t i = 0; i < chars; i++) {
            char c = other[i] == '+' ? '-' : other[i] == '/' ? '_' : (char)other[i];
            assert_int_equal(text[i], c);
        }
        assert_true(base64url_decode(text, chars, again, &back));
        assert_int_equal(back, len);
        assert_memory_equal(again, bytes, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_alphabet),
        cmocka_unit_test(test_against_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

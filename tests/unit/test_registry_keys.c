/* server/registry/api_key and network: the form of API keys, and networks as people write them. */
#include "server/registry/api_key.h"
#include "server/http/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY "sticps_0123456789ab_" SECRET

static void test_a_key_is_made_in_its_form(void **state)
{
    char text[API_KEY_TEXT_SIZE], other[API_KEY_TEXT_SIZE];
    char id[API_KEY_ID_SIZE], other_id[API_KEY_ID_SIZE], parsed[API_KEY_ID_SIZE];
    struct sticps_error err;

    (void)state;
    assert_int_equal(api_key_make(text, id, &err), STICPS_OK);
    assert_int_equal(strlen(text), API_KEY_TEXT_SIZE - 1);
    assert_true(api_key_meant(text));
    assert_true(api_key_parse(text, parsed));
    assert_string_equal(parsed, id);
    assert_true(api_key_is_id(id));
    assert_int_equal(api_key_make(other, other_id, &err), STICPS_OK);
    assert_string_not_equal(id, other_id);
    assert_string_not_equal(text + API_KEY_ID_SIZE + 7, other + API_KEY_ID_SIZE + 7);
}

static void test_whatever_has_another_form_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "sticps_",
        "sticps_0123456789ab",
        "sticps_0123456789ab_",
        "sticps_0123456789ab_" SECRET "0",
        "sticps_0123456789ab-" SECRET,
        "sticps_0123456789aB_" SECRET,
        "sticps_0123456789ag_" SECRET,
        "sticps_0123456789ab_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeF",
        "sticps_0123456789ab_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
        "sticpS_0123456789ab_" SECRET,
        " sticps_0123456789ab_" SECRET,
    };
    char id[API_KEY_ID_SIZE] = "untouched";

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(api_key_parse(bad[i], id));
    assert_string_equal(id, "untouched");
    assert_true(api_key_parse(KEY, id));
    assert_string_equal(id, "0123456789ab");
    assert_false(api_key_meant("eyJhbGciOiJIUzI1NiJ9.e30."));
    assert_false(api_key_is_id("0123456789a"));
    assert_false(api_key_is_id("0123456789abc"));
    assert_false(api_key_is_id("0123456789AB"));
}

static void test_networks_have_one_form(void **state)
{
    static const struct {
        const char *text, *normal;
    } good[] = {
        {"192.0.2.1", "192.0.2.1/32"},
        {"192.0.2.1/32", "192.0.2.1/32"},
        {"192.0.2.0/24", "192.0.2.0/24"},
        {"192.0.2.128/25", "192.0.2.128/25"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"2001:DB8::1", "2001:db8::1/128"},
        {"2001:db8:0:0::/32", "2001:db8::/32"},
        {"2001:db8:0:7000::/52", "2001:db8:0:7000::/52"},
        {"::/0", "::/0"},
    };
    char out[NETWORK_TEXT_SIZE];
    struct sticps_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(network_normalize(good[i].text, strlen(good[i].text), out, &err),
                         STICPS_OK);
        assert_string_equal(out, good[i].normal);
    }
}

static void test_what_is_no_network_is_refused(void **state)
{
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"", "must be an address"},
        {"example.com", "must be an address"},
        {"192.0.2", "must be an address"},
        {"192.0.2.0/33", "must be an address"},
        {"192.0.2.0/", "must be an address"},
        {"192.0.2.0/024", "must be an address"},
        {"192.0.2.0/+24", "must be an address"},
        {"192.0.2.0/24/24", "must be an address"},
        {"192.0.2.0/255.255.255.0", "must be an address"},
        {" 192.0.2.0", "must be an address"},
        {"2001:db8::/129", "must be an address"},
        {"fe80::1%eth0", "must be an address"},
        {"[2001:db8::1]", "must be an address"},
        {"192.0.2.1/24", "write 192.0.2.0/24"},
        {"192.0.2.1/0", "write 0.0.0.0/0"},
        {"2001:db8::1/64", "write 2001:db8::/64"},
        {"2001:db8:0:7800::/52", "write 2001:db8:0:7000::/52"},
        {"::ffff:192.0.2.1", "write it as IPv4"},
        {"::ffff:0:0/96", "write it as IPv4"},
    };
    char out[NETWORK_TEXT_SIZE] = "untouched";
    struct sticps_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(network_normalize(bad[i].text, strlen(bad[i].text), out, &err),
                         STICPS_ERR_USAGE);
        assert_non_null(strstr(err.text, bad[i].said));
    }
    assert_int_equal(network_normalize("10.0.0.1\0x", 10, out, &err), STICPS_ERR_USAGE);
    assert_string_equal(out, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_made_in_its_form),
        cmocka_unit_test(test_whatever_has_another_form_is_none),
        cmocka_unit_test(test_networks_have_one_form),
        cmocka_unit_test(test_what_is_no_network_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

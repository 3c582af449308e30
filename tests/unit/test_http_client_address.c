/* Whose request it is, where proxies stand in front. */
#include "server/http/client_address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct sockaddr *address(const char *text)
{
    static struct sockaddr_storage storage;
    struct sockaddr_in *four = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&storage;

    memset(&storage, 0, sizeof(storage));
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
    } else {
        six->sin6_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
    }
    return (const struct sockaddr *)&storage;
}

static void networks_have_their_addresses(void **state)
{
    static const struct {
        const char *network, *address;
        bool has;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.0/31", "192.0.2.1", true},
        {"0.0.0.0/0", "203.0.113.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"192.0.2.7", "::ffff:192.0.2.7", true},
        {"::/0", "192.0.2.7", false},
        {"::/0", "::ffff:192.0.2.7", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"2001:db8::1", "2001:db8::", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct network network;
        struct sticps_error err;

        assert_int_equal(network_parse(cases[i].network, strlen(cases[i].network), &network, &err),
                         STICPS_OK);
        if (network_has(&network, address(cases[i].address)) != cases[i].has)
            fail_msg("%s and %s", cases[i].network, cases[i].address);
    }
}

static void the_first_from_the_end_that_is_no_proxy_counts(void **state)
{
    char *trusted[] = {"10.0.0.0/8", "2001:db8:ffff::/48"};
    static const struct {
        const char *forwarded, *client;
    } cases[] = {
        {NULL, "10.0.0.1"},
        {"", "10.0.0.1"},
        {"203.0.113.9", "203.0.113.9"},
        {" \t203.0.113.9 ", "203.0.113.9"},
        {"198.51.100.1, 203.0.113.9", "203.0.113.9"},
        {"198.51.100.1,203.0.113.9,10.9.9.9", "203.0.113.9"},
        {"203.0.113.9, 2001:db8:ffff::7,10.9.9.9", "203.0.113.9"},
        {"2001:DB8::1", "2001:db8::1"},
        {"::ffff:203.0.113.9", "203.0.113.9"},
        {"10.1.1.1, 10.2.2.2", "10.1.1.1"}, /* proxies all the way: the farthest */
        /* what is no address ends the reading */
        {"unknown", "10.0.0.1"},
        {"203.0.113.9, unknown", "10.0.0.1"},
        {"203.0.113.9, unknown, 10.9.9.9", "10.9.9.9"},
        {"203.0.113.9,", "10.0.0.1"},
        {",", "10.0.0.1"},
        {"203.0.113.9:4711", "10.0.0.1"},
        {"[2001:db8::1]", "10.0.0.1"},
        {"203.0.113.9 10.9.9.9", "10.0.0.1"},
        {"203.0.113", "10.0.0.1"},
        {"203.0.113.9\r\nX: y", "10.0.0.1"},
        {"'; DROP TABLE audit; --", "10.0.0.1"},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333:4444:5555", "10.0.0.1"},
    };
    struct trusted_proxies proxies;
    struct sticps_error err;

    (void)state;
    assert_int_equal(proxies_parse(trusted, 2, &proxies, &err), STICPS_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client_address client, wanted;

        client_address_of(address("10.0.0.1"), &client);
        client_address_forwarded(&proxies, cases[i].forwarded, &client);
        assert_string_equal(client.text, cases[i].client);
        client_address_of(address(cases[i].client), &wanted);
        assert_memory_equal(&client.key, &wanted.key, sizeof(client.key));
    }
    proxies_clear(&proxies);
}

static void nobody_is_trusted_by_default(void **state)
{
    struct trusted_proxies proxies;
    struct sticps_error err;

    (void)state;
    assert_int_equal(proxies_parse(NULL, 0, &proxies, &err), STICPS_OK);
    assert_false(proxies_trust(&proxies, address("127.0.0.1")));
    proxies_clear(&proxies);
}

static void what_is_no_proxy_is_named(void **state)
{
    char *bad[] = {"10.0.0.1", "proxy.example.com"};
    struct sticps_error err;

    (void)state;
    assert_int_equal(proxies_check(bad, 2, false, &err), STICPS_ERR_USAGE);
    assert_non_null(strstr(err.text, "proxy.trusted: proxy.example.com"));
    assert_int_equal(proxies_check(bad, 1, true, &err), STICPS_OK);
    assert_int_equal(proxies_check(NULL, 0, true, &err), STICPS_ERR_USAGE);
    assert_non_null(strstr(err.text, "proxy.protocol"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_have_their_addresses),
        cmocka_unit_test(the_first_from_the_end_that_is_no_proxy_counts),
        cmocka_unit_test(nobody_is_trusted_by_default),
        cmocka_unit_test(what_is_no_proxy_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

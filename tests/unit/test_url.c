/* common/url and common/address: the three sets of rules, the normal form, and the closed ranges.
 */
#include "common/address.h"
#include "common/url.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LABEL63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* What each reader says of a URL, one letter each, '+' accepted, '-' refused:
 * a CPS URL in normal form; any form; in the lab; an x5u; an x5u in the lab; an operator's URL. */
struct row {
    const char *verdicts;
    const char *text;
};

static const struct row rows[] = {
    {"++++++", "https://cps.example.com"},
    {"++++++", "https://cps.example.com/"},
    {"++++++", "https://example.com/cps/company/1234"},
    {"++++++", "https://a-b.c--d.e0/x"},
    {"++++++", "https://xn--bcher-kva.example/"},
    {"++++++", "https://1.example/"},
    {"++++++", "https://1.2.3.example/"},
    {"++++++", "https://example.com/a//b/"},
    {"++++++", "https://example.com/%2F%2f%41%7e"},
    {"++++++", "https://example.com/-._~!$&'()*+,;=:@"},
    {"++++++", "https://example.com/..."},
    {"++++++", "https://example.com/.a/..b/c./d.."},
    {"++++++", "https://" LABEL63 ".example/"},

    /* not in normal form */
    {"-+-+++", "https://Example.com/"},
    {"-+-+++", "HTTPS://example.com/"},
    {"-+-+++", "hTtPs://example.com/"},
    {"-+-+++", "https://example.com:443/"},
    {"-+-+++", "https://example.com:/"},
    {"-+-+++", "https://example.com:0443/"},
    {"-+-+++", "https://example.com/./a"},
    {"-+-+++", "https://example.com/a/../b"},
    {"-+-+++", "https://example.com/a/.."},
    {"-+-+++", "https://example.com/."},
    {"-+-+++", "https://example.com/%2e%2E/a"},
    {"-+-+++", "https://example.com/.%2e/a"},
    {"-+-+++", "https://example.com/a/%2e"},
    {"-+-+++", "https://example.com/%"},
    {"-+-+++", "https://example.com/%4"},
    {"-+-+++", "https://example.com/%zz"},
    {"-+-+++", "https://example.com/a%2"},

    /* scheme */
    {"------", ""},
    {"------", "https"},
    {"------", "https:"},
    {"------", "https:/"},
    {"------", "https:///"},
    {"------", "https://"},
    {"------", "http://example.com/"},
    {"------", "ftp://example.com/"},
    {"------", "httpss://example.com/"},
    {"------", "//example.com/"},
    {"------", "example.com"},
    {"------", "https:example.com"},
    {"------", "javascript:https://example.com"},
    {"------", " https://example.com/"},
    {"------", "https:\\\\example.com/"},

    /* bytes */
    {"------", "https://example.com/ "},
    {"------", "https://example.com/a b"},
    {"------", "https://example.com/a\\b"},
    {"------", "https://example.com\\@evil.example/"},
    {"------", "https://example.com/\t"},
    {"------", "https://example.com/\n"},
    {"------", "https://example.com/\r\nX: y"},
    {"------", "https://example.com/\x7f"},
    {"------", "https://example.com/\xc3\xa9"},
    {"------", "https://b\xc3\xbc"
               "cher.example/"},
    {"---+++", "https://example.com/<a>"},
    {"---+++", "https://example.com/{a}"},
    {"---+++", "https://example.com/a|b^c`d\"e"},
    {"---+++", "https://example.com/[a]"},

    /* userinfo, query, fragment, also empty ones */
    {"------", "https://user@example.com/"},
    {"------", "https://user:pass@example.com/"},
    {"------", "https://@example.com/"},
    {"------", "https://example.com@evil.example/"},
    {"------", "https://a@b@example.com/"},
    {"++++++", "https://example.com/@b"},
    {"-----+", "https://example.com/?"},
    {"-----+", "https://example.com?"},
    {"-----+", "https://example.com/a?b=c"},
    {"-----+", "https://example.com?@b"},
    {"------", "https://example.com/#"},
    {"------", "https://example.com#"},
    {"------", "https://example.com/a#b"},
    {"------", "https://example.com/a?b#c"},
    {"------", "https://example.com/a#b?c"},

    /* ports */
    {"--++++", "https://example.com:8443/"},
    {"--+-++", "https://example.com:444/"},
    {"--+-++", "https://example.com:80/"},
    {"--+-++", "https://example.com:1"},
    {"--+-++", "https://example.com:65535/"},
    {"---+++", "https://example.com:08443/"},
    {"------", "https://example.com:0/"},
    {"------", "https://example.com:000/"},
    {"------", "https://example.com:65536/"},
    {"------", "https://example.com:4294967739/"}, /* 443 modulo 2^32 */
    {"------", "https://example.com:18446744073709552059/"},
    {"------", "https://example.com:-443/"},
    {"------", "https://example.com:+443/"},
    {"------", "https://example.com:44a/"},
    {"------", "https://example.com:443:443/"},
    {"------", "https://example.com::443/"},
    {"------", "https://:443/"},

    /* host names */
    {"--+-++", "https://localhost/"},
    {"--+-++", "https://localhost"},
    {"--+-++", "https://cps/"},
    {"--+-++", "https://a.localhost/"},
    {"----++", "https://LOCALHOST/"},
    {"----++", "https://a.LocalHost/"},
    {"++++++", "https://notlocalhost.example/"},
    {"++++++", "https://a.notlocalhost/"},
    {"++++++", "https://localhost.example/"},
    {"------", "https://example.com./"},
    {"------", "https://localhost./"},
    {"------", "https://./"},
    {"------", "https://../"},
    {"------", "https://.example.com/"},
    {"------", "https://example..com/"},
    {"------", "https://-a.example/"},
    {"------", "https://a-.example/"},
    {"------", "https://a.-example/"},
    {"------", "https://a.example-/"},
    {"------", "https://a_b.example/"},
    {"------", "https://a%2eb.example/"},
    {"------", "https://%65xample.com/"},
    {"------", "https://a*.example/"},
    {"------", "https://a,b.example/"},
    {"------", "https://a" LABEL63 ".example/"},

    /* addresses and what poses as a name but is read as one */
    {"-----+", "https://93.184.216.34/"},
    {"-----+", "https://[2606:2800:220:1::1]/"},
    {"-----+", "https://8.8.8.8/"},
    {"-----+", "https://169.254.169.254/"},
    {"-----+", "https://0.0.0.0/"},
    {"-----+", "https://100.64.0.1/"},
    {"--+-++", "https://127.0.0.1/"},
    {"--+-++", "https://127.255.255.254:4430/"},
    {"--+-++", "https://10.1.2.3/"},
    {"--+-++", "https://172.16.0.1/"},
    {"-----+", "https://172.32.0.1/"},
    {"--+-++", "https://192.168.0.1/"},
    {"--+-++", "https://[::1]/"},
    {"--+-++", "https://[::1]:8443/"},
    {"--+-++", "https://[fd00::1]/"},
    {"--+-++", "https://[::ffff:127.0.0.1]/"},
    {"-----+", "https://[::ffff:8.8.8.8]/"},
    {"-----+", "https://[fe80::1]/"},
    {"-----+", "https://[::]/"},
    {"----++", "https://[FD00::1]/"},
    {"------", "https://127.1/"},
    {"------", "https://2130706433/"},
    {"------", "https://0x7f000001/"},
    {"------", "https://0x7f.1/"},
    {"------", "https://a.0x7F/"},
    {"------", "https://a.0x/"},
    {"------", "https://0177.0.0.1/"},
    {"------", "https://127.0.0.01/"},
    {"------", "https://127.0.0.256/"},
    {"------", "https://1.2.3.4.5/"},
    {"------", "https://example.123/"},
    {"------", "https://127.0.0.1./"},
    {"++++++", "https://a.0y7f/"},
    {"------", "https://[::1/"},
    {"------", "https://[::1"},
    {"------", "https://[fd00::1:8443/"},
    {"------", "https://[]/"},
    {"------", "https://a.example:44+8/"},
    {"------", "https://a.example:44-8/"},
    {"------", "https://[/"},
    {"------", "https://[::1]8443/"},
    {"------", "https://[::1].example/"},
    {"------", "https://[127.0.0.1]/"},
    {"------", "https://[fe80::1%25eth0]/"},
    {"------", "https://[v1.x]/"},
    {"------", "https://[example.com]/"},
    {"------", "https://::1/"},
    {"------", "https://a[::1]/"},
    {"------", "https://[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]/"},
};

static enum sticps_err judge(size_t which, const char *text, size_t len, struct sticps_error *err)
{
    static const struct url_rules strict = {false, false, NULL, 0};
    static const struct url_rules any_form = {false, true, NULL, 0};
    static const struct url_rules lab = {true, false, NULL, 0};
    struct url url;
    switch (which) {
    case 0:
        return cps_url_check(text, len, &strict, err);
    case 1:
        return cps_url_check(text, len, &any_form, err);
    case 2:
        return cps_url_check(text, len, &lab, err);
    case 3:
        return x5u_check(text, len, false, err);
    case 4:
        return x5u_check(text, len, true, err);
    default:
        return url_parse(text, len, &url, err);
    }
}

static void each_reader_takes_what_its_rules_allow(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t which = 0; which < 6; which++) {
            struct sticps_error err = {.code = STICPS_OK};
            enum sticps_err code = judge(which, rows[i].text, strlen(rows[i].text), &err);
            enum sticps_err expected = rows[i].verdicts[which] == '+' ? STICPS_OK : STICPS_ERR_URL;
            if (code == expected && err.code == expected && (err.text[0] != '\0') == (code != 0))
                continue;
            print_error("'%s', reader %zu: %s\n", rows[i].text, which, err.text);
            wrong++;
        }
    assert_int_equal(wrong, 0);
}

static void a_nul_byte_is_no_end(void **state)
{
    (void)state;
    static const char text[] = "https://example.com/\0.evil.example/";
    for (size_t which = 0; which < 6; which++) {
        assert_int_equal(judge(which, text, sizeof(text) - 1, NULL), STICPS_ERR_URL);
        assert_int_equal(judge(which, text, 20, NULL), STICPS_OK);
    }
}

static void lengths_have_limits(void **state)
{
    (void)state;
    char text[4096];
    static const char start[] = "https://example.com/";
    memset(text, 'a', sizeof(text));
    memcpy(text, start, sizeof(start) - 1);
    for (size_t which = 0; which < 6; which++) {
        assert_int_equal(judge(which, text, 2048, NULL), STICPS_OK);
        assert_int_equal(judge(which, text, 2049, NULL), STICPS_ERR_URL);
    }
    /* host names: 253 characters, in labels of 63, 63, 63 and 61 */
    memset(text, 'a', sizeof(text));
    memcpy(text, start, 8);
    text[8 + 63] = text[8 + 127] = text[8 + 191] = '.';
    text[8 + 253] = '/';
    assert_int_equal(judge(0, text, 8 + 254, NULL), STICPS_OK);
    text[8 + 253] = 'a';
    text[8 + 254] = '/';
    assert_int_equal(judge(0, text, 8 + 255, NULL), STICPS_ERR_URL);
}

static const struct {
    const char *text;
    const char *normal;
    const char *fault;
} forms[] = {
    {"HTTPS://CPS.Example.COM:443/A/./b/../c", "https://cps.example.com/A/c", "port"},
    {"https://CPS.example.com/X", "https://cps.example.com/X", "upper case"},
    {"https://example.com:/x", "https://example.com/x", "port"},
    {"https://example.com:0443", "https://example.com", "port"},
    {"https://example.com:08443/x", "https://example.com:8443/x", "leading zeros"},
    /* RFC 3986 s5.2.4 and s5.4 */
    {"https://example.com/a/b/c/./../../g", "https://example.com/a/g", "dot segments"},
    {"https://example.com/..", "https://example.com/", "dot segments"},
    {"https://example.com/.", "https://example.com/", "dot segments"},
    {"https://example.com/../../../g", "https://example.com/g", "dot segments"},
    {"https://example.com/b/c/.", "https://example.com/b/c/", "dot segments"},
    {"https://example.com/b/c/..", "https://example.com/b/", "dot segments"},
    {"https://example.com/b/c/../", "https://example.com/b/", "dot segments"},
    {"https://example.com/b//../c", "https://example.com/b/c", "dot segments"},
    {"https://example.com/%2E%2e/%2e/x", "https://example.com/x", "dot segments"},
    {"https://example.com/a/.%2E/x", "https://example.com/x", "dot segments"},
};

static void a_refusal_shows_the_normal_form(void **state)
{
    (void)state;
    static const uint16_t ports[] = {8443};
    static const struct url_rules rules = {false, false, ports, 1};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct sticps_error err;
        char ending[300];
        size_t len = strlen(forms[i].text);
        assert_int_equal(cps_url_check(forms[i].text, len, &rules, &err), STICPS_ERR_URL);
        snprintf(ending, sizeof(ending), "; use %s", forms[i].normal);
        size_t at = strlen(err.text) - strlen(ending);
        assert_string_equal(err.text + at, ending);
        assert_non_null(strstr(err.text, forms[i].fault));
        /* and the normal form is one */
        len = strlen(forms[i].normal);
        assert_int_equal(cps_url_check(forms[i].normal, len, &rules, NULL), STICPS_OK);
    }
}

static void a_long_normal_form_is_cut_not_overrun(void **state)
{
    (void)state;
    static const struct url_rules rules = {false, false, NULL, 0};
    char text[2048];
    struct sticps_error err;
    memset(text, 'x', sizeof(text));
    memcpy(text, "HTTPS://example.com/", 20);
    assert_int_equal(cps_url_check(text, sizeof(text), &rules, &err), STICPS_ERR_URL);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    /* all dot segments: the stack is popped far below its bottom */
    for (size_t i = 20; i + 2 < sizeof(text); i += 3)
        memcpy(text + i, "../", 3);
    assert_int_equal(cps_url_check(text, 20 + 3 * 600, &rules, &err), STICPS_ERR_URL);
    assert_non_null(strstr(err.text, "use https://example.com/"));
}

static void configured_ports_open_and_only_those(void **state)
{
    (void)state;
    static const uint16_t ports[] = {8443, 9443};
    static const struct url_rules rules = {false, false, ports, 2};
    assert_int_equal(cps_url_check("https://a.example:8443/", 23, &rules, NULL), STICPS_OK);
    assert_int_equal(cps_url_check("https://a.example:9443/", 23, &rules, NULL), STICPS_OK);
    assert_int_equal(cps_url_check("https://a.example:9444/", 23, &rules, NULL), STICPS_ERR_URL);
    assert_int_equal(cps_url_check("https://a.example/", 18, &rules, NULL), STICPS_OK);
}

static void the_parts_of_a_url(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path;
        enum url_host_kind kind;
        unsigned port;
    } table[] = {
        {"https://Cps.Example.com", "Cps.Example.com", "", URL_HOST_NAME, 443},
        {"https://a.example:8443/x/y?z", "a.example", "/x/y", URL_HOST_NAME, 8443},
        {"https://a.example:?z", "a.example", "", URL_HOST_NAME, 443},
        {"https://[2001:db8::1]:444/x", "2001:db8::1", "/x", URL_HOST_IPV6, 444},
        {"https://192.0.2.1/", "192.0.2.1", "/", URL_HOST_IPV4, 443},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct url url;
        assert_int_equal(url_parse(table[i].text, strlen(table[i].text), &url, NULL), STICPS_OK);
        assert_int_equal(url.host_len, strlen(table[i].host));
        assert_memory_equal(url.host, table[i].host, url.host_len);
        assert_int_equal(url.path_len, strlen(table[i].path));
        assert_memory_equal(url.path, table[i].path, url.path_len);
        assert_int_equal(url.host_kind, table[i].kind);
        assert_int_equal(url.port, table[i].port);
    }
}

static void same_host(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } table[] = {
        {"https://a.example/", "https://A.EXAMPLE:8443/x", true},
        {"https://a.example/", "https://b.example/", false},
        {"https://a.example/", "https://a.example.org/", false},
        {"https://[::1]/", "https://[::1]:1/", true},
        {"https://[::2]/", "https://[::1]/", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct url a, b;
        assert_int_equal(url_parse(table[i].a, strlen(table[i].a), &a, NULL), STICPS_OK);
        assert_int_equal(url_parse(table[i].b, strlen(table[i].b), &b, NULL), STICPS_OK);
        assert_int_equal(url_same_host(&a, &b), table[i].same);
        assert_int_equal(url_same_host(&b, &a), table[i].same);
    }
}

/* 'c' closed, 'p' closed but open in the lab, 'o' open. First and last address of each range and
 * their neighbours, from IANA's registries. */
static const struct {
    char verdict;
    const char *addr;
} addresses[] = {
    {'c', "0.0.0.0"},
    {'c', "0.255.255.255"},
    {'o', "1.0.0.0"},
    {'o', "9.255.255.255"},
    {'p', "10.0.0.0"},
    {'p', "10.255.255.255"},
    {'o', "11.0.0.0"},
    {'o', "100.63.255.255"},
    {'c', "100.64.0.0"},
    {'c', "100.127.255.255"},
    {'o', "100.128.0.0"},
    {'o', "126.255.255.255"},
    {'p', "127.0.0.0"},
    {'p', "127.0.0.1"},
    {'p', "127.255.255.255"},
    {'o', "128.0.0.0"},
    {'o', "169.253.255.255"},
    {'c', "169.254.0.0"},
    {'c', "169.254.169.254"},
    {'c', "169.254.255.255"},
    {'o', "169.255.0.0"},
    {'o', "172.15.255.255"},
    {'p', "172.16.0.0"},
    {'p', "172.31.255.255"},
    {'o', "172.32.0.0"},
    {'o', "191.255.255.255"},
    {'c', "192.0.0.0"},
    {'c', "192.0.0.255"},
    {'o', "192.0.1.0"},
    {'c', "192.0.2.0"},
    {'c', "192.0.2.255"},
    {'o', "192.0.3.0"},
    {'c', "192.88.99.0"},
    {'c', "192.88.99.255"},
    {'o', "192.88.100.0"},
    {'o', "192.167.255.255"},
    {'p', "192.168.0.0"},
    {'p', "192.168.255.255"},
    {'o', "192.169.0.0"},
    {'c', "192.31.196.1"},
    {'c', "192.52.193.1"},
    {'c', "192.175.48.1"},
    {'o', "198.17.255.255"},
    {'c', "198.18.0.0"},
    {'c', "198.19.255.255"},
    {'o', "198.20.0.0"},
    {'o', "198.51.99.255"},
    {'c', "198.51.100.0"},
    {'c', "198.51.100.255"},
    {'o', "198.51.101.0"},
    {'o', "203.0.112.255"},
    {'c', "203.0.113.0"},
    {'c', "203.0.113.255"},
    {'o', "203.0.114.0"},
    {'o', "223.255.255.255"},
    {'c', "224.0.0.0"},
    {'c', "239.255.255.255"},
    {'c', "240.0.0.0"},
    {'c', "255.255.255.255"},
    {'o', "8.8.8.8"},

    {'c', "::"},
    {'p', "::1"},
    {'c', "::2"},
    {'c', "::7f00:1"},
    {'c', "::8.8.8.8"},
    {'o', "::1:0:0:0"},
    {'p', "::ffff:127.0.0.1"},
    {'p', "::ffff:10.0.0.1"},
    {'o', "::ffff:8.8.8.8"},
    {'c', "::ffff:0.0.0.0"},
    {'c', "::ffff:169.254.1.1"},
    {'p', "64:ff9b::10.0.0.1"},
    {'o', "64:ff9b::8.8.8.8"},
    {'c', "64:ff9b::169.254.169.254"},
    {'c', "64:ff9b:1::"},
    {'c', "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"},
    {'o', "64:ff9b:2::"},
    {'c', "100::"},
    {'c', "100::ffff:ffff:ffff:ffff"},
    {'c', "100:0:0:1::1"},
    {'o', "100:0:0:2::"},
    {'c', "2001::"},
    {'c', "2001:0:1::1"},
    {'c', "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {'o', "2001:200::"},
    {'o', "2001:db7:ffff::"},
    {'c', "2001:db8::"},
    {'c', "2001:db8:ffff::ffff"},
    {'o', "2001:db9::"},
    {'c', "2002::"},
    {'c', "2002:808:808::1"},
    {'c', "2002:7f00:1::"},
    {'o', "2003::"},
    {'o', "2606:4700::1111"},
    {'c', "2620:4f:8000::1"},
    {'o', "2620:4f:8001::1"},
    {'o', "3ffe:ffff::"},
    {'c', "3fff::"},
    {'c', "3fff:fff::1"},
    {'o', "3fff:1000::"},
    {'c', "5f00::"},
    {'c', "5f00:ffff::"},
    {'o', "5f01::"},
    {'o', "fbff:ffff::"},
    {'p', "fc00::"},
    {'p', "fd12:3456::1"},
    {'p', "fdff:ffff::"},
    {'o', "fe00::"},
    {'c', "fe80::"},
    {'c', "febf:ffff::"},
    {'c', "fec0::"},
    {'c', "feff:ffff::"},
    {'c', "ff00::"},
    {'c', "ff02::1"},
    {'c', "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
};

static void special_ranges_are_closed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        unsigned char bytes[16];
        bool v6 = strchr(addresses[i].addr, ':') != NULL;
        assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, addresses[i].addr, bytes), 1);
        bool closed = address_is_closed(bytes, v6 ? 16 : 4, false);
        bool lab = address_is_closed(bytes, v6 ? 16 : 4, true);
        if (closed != (addresses[i].verdict != 'o') || lab != (addresses[i].verdict == 'c'))
            print_error("%s\n", addresses[i].addr);
        assert_int_equal(closed, addresses[i].verdict != 'o');
        assert_int_equal(lab, addresses[i].verdict == 'c');
    }
    assert_true(address_is_closed("", 0, false));
    assert_true(address_is_closed("\10\10\10\10\10", 5, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reader_takes_what_its_rules_allow),
        cmocka_unit_test(a_nul_byte_is_no_end),
        cmocka_unit_test(lengths_have_limits),
        cmocka_unit_test(a_refusal_shows_the_normal_form),
        cmocka_unit_test(a_long_normal_form_is_cut_not_overrun),
        cmocka_unit_test(configured_ports_open_and_only_those),
        cmocka_unit_test(the_parts_of_a_url),
        cmocka_unit_test(same_host),
        cmocka_unit_test(special_ranges_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* server/http/router and framing: which route answers, what is refused before any handler. No
 * socket. */
#include "server/http/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static void handler(struct request *request)
{
    (void)request;
}

static const struct route routes[] = {
    {.method = "GET", .path = "/health", .handler = handler, .role = 1},
    {.method = "GET", .path = "/api/account/{sp}/cps", .handler = handler, .role = 2},
    {.method = "PUT", .path = "/api/account/{sp}/cps", .handler = handler, .role = 3},
    {.method = "GET", .path = "/api/account/{sp}/cps/{spc}", .handler = handler, .role = 4},
    {.method = "PUT", .path = "/api/account/{sp}/cps/{spc}", .handler = handler, .role = 5},
    {.method = "GET", .path = "/api/account/{sp}/cps/all", .handler = handler, .role = 6},
    {.method = "POST", .path = "/", .handler = handler, .role = 7},
    {.method = "GET", .path = "/passports/{dest}/{orig}", .handler = handler, .role = 8},
    {.method = "GET", .path = "/passports/{spc}/{dest}/{orig}", .handler = handler, .role = 9},
};
#define ROUTES (sizeof(routes) / sizeof(routes[0]))

static void a_path_and_method_choose_the_route(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        unsigned role; /* 0: no route */
        bool known;
    } table[] = {
        {"GET", "/health", 1, true},
        {"HEAD", "/health", 1, true},
        {"POST", "/health", 0, true},
        {"OPTIONS", "/health", 0, true},
        {"get", "/health", 0, true},
        {"GET", "/health/", 0, false},
        {"GET", "/Health", 0, false},
        {"GET", "//health", 0, false},
        {"GET", "/./health", 0, false},
        {"GET", "/x/../health", 0, false},
        {"GET", "/healt%68", 0, false},
        {"GET", "health", 0, false},
        {"GET", "", 0, false},
        {"GET", "*", 0, false},
        {"POST", "/", 7, true},
        {"GET", "/api/account/acme/cps", 2, true},
        {"PUT", "/api/account/acme/cps", 3, true},
        {"DELETE", "/api/account/acme/cps", 0, true},
        {"GET", "/api/account//cps", 0, false},
        {"GET", "/api/account/acme/cps/", 0, false},
        {"GET", "/api/account/acme/cps/1234", 4, true},
        {"GET", "/api/account/acme/cps/all", 6, true},
        {"PUT", "/api/account/acme/cps/all", 5, true},
        {"GET", "/api/account/acme/cps/1234/x", 0, false},
        {"GET", "/passports/12025550100/12025550199", 8, true},
        {"GET", "/passports/1234/12025550100/12025550199", 9, true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct route_match match;
        router_match(routes, ROUTES, table[i].method, strlen(table[i].method), table[i].path,
                     strlen(table[i].path), &match);
        unsigned role = match.route != NULL ? match.route->role : 0;
        if (role != table[i].role || match.path_known != table[i].known)
            print_error("%s %s: route %u\n", table[i].method, table[i].path, role);
        assert_int_equal(role, table[i].role);
        assert_int_equal(match.path_known, table[i].known);
    }
}

static void params_point_at_their_segments(void **state)
{
    (void)state;
    const char *path = "/passports/1234/55/66";
    struct route_match match;
    router_match(routes, ROUTES, "GET", 3, path, strlen(path), &match);
    assert_int_equal(match.params_len, 3);
    static const struct {
        const char *name, *value;
    } expected[] = {{"spc", "1234"}, {"dest", "55"}, {"orig", "66"}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(match.params[i].name_len, strlen(expected[i].name));
        assert_memory_equal(match.params[i].name, expected[i].name, strlen(expected[i].name));
        assert_int_equal(match.params[i].len, strlen(expected[i].value));
        assert_memory_equal(path + match.params[i].offset, expected[i].value,
                            strlen(expected[i].value));
    }
}

static void allow_names_each_method_once(void **state)
{
    (void)state;
    static const struct {
        const char *path, *allow;
    } table[] = {
        {"/health", "GET, HEAD"},
        {"/api/account/a/cps", "GET, HEAD, PUT"},
        {"/api/account/a/cps/all", "GET, HEAD, PUT"},
        {"/", "POST"},
        {"/nowhere", ""},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char allow[128];
        router_allow(routes, ROUTES, table[i].path, strlen(table[i].path), allow, sizeof(allow));
        assert_string_equal(allow, table[i].allow);
    }
    char small[8];
    router_allow(routes, ROUTES, "/health", 7, small, sizeof(small));
    assert_string_equal(small, "GET");
}

static void a_segment_is_decoded_once(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *decoded; /* NULL: refused */
    } table[] = {
        {"1234", "1234"},       {"a%20b", "a b"}, {"%41", "A"},  {"%2541", "%41"},
        {"%C3%A9", "\xc3\xa9"}, {"a+b", "a+b"},   {"%2f", NULL}, {"a%2Fb", NULL},
        {"%00", NULL},          {"%", NULL},      {"%4", NULL},  {"%zz", NULL},
        {"a%4", NULL},          {"", NULL},       {"..", ".."},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char out[32];
        bool good = router_decode_segment(table[i].raw, strlen(table[i].raw), out);
        assert_int_equal(good, table[i].decoded != NULL);
        if (good)
            assert_string_equal(out, table[i].decoded);
    }
}

static void media_types_are_compared_without_case_and_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool is;
    } table[] = {
        {"application/json", true},
        {"Application/JSON", true},
        {"application/json;charset=utf-8", true},
        {"application/json ; charset=utf-8", true},
        {" application/json", true},
        {"application/jsonx", false},
        {"application/jso", false},
        {"text/json", false},
        {"", false},
        {";", false},
        {"application/json, text/plain", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(
            router_media_type_is(table[i].header, strlen(table[i].header), "application/json"),
            table[i].is);
}

static void one_of_several_media_types_is_enough(void **state)
{
    (void)state;
    static const char both[] = "application/json, text/csv";
    static const struct {
        const char *header, *list;
        bool is;
    } table[] = {
        {"application/json", both, true},
        {"Text/CSV; header=present", both, true},
        {"text/csv", "text/csv", true},
        {"text/cs", both, false},
        {"text/csvx", both, false},
        {"application/json, text/csv", both, false},
        {" text/csv", both, true},
        {"", both, false},
        {",", both, false},
        {"text/csv", "application/json", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(
            router_media_type_among(table[i].header, strlen(table[i].header), table[i].list),
            table[i].is);
}

static void ambiguous_framing_is_seen(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        bool http10;
        enum framing expected;
    } table[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, FRAMING_GOOD},
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nContent-Length: 4\r\n", false, FRAMING_GOOD},
        {"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", false, FRAMING_GOOD},
        {"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", true, FRAMING_AMBIGUOUS},
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false,
         FRAMING_AMBIGUOUS},
        {"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nA: b\r\ncontent-length:3\r\n\r\n", false,
         FRAMING_AMBIGUOUS},
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\n", false,
         FRAMING_AMBIGUOUS},
        {"POST / HTTP/1.1\nContent-Length: 3\nContent-Length: 4\n\n", false, FRAMING_AMBIGUOUS},
        {"\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\n", false,
         FRAMING_AMBIGUOUS},
        {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", false, FRAMING_AMBIGUOUS},
        {"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", false, FRAMING_AMBIGUOUS},
        {"GET / HTTP/1.1\r\nHost: a\r\nX-Host: b\r\n\r\n", false, FRAMING_GOOD},
        {"GET / HTTP/1.1\r\nContent-Lengths: 3\r\nX-Content-Length: 3\r\n\r\n", false,
         FRAMING_GOOD},
        {"", false, FRAMING_GOOD},
        {"\r\n", false, FRAMING_GOOD},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        enum framing got = framing_check(table[i].head, strlen(table[i].head), table[i].http10);
        if (got != table[i].expected)
            print_error("%zu: %d\n", i, (int)got);
        assert_int_equal(got, table[i].expected);
    }
}

static void a_head_has_a_limit(void **state)
{
    (void)state;
    static char head[SERVER_MAX_HEAD + 100];
    memset(head, 'a', sizeof(head));
    memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
    memcpy(head + SERVER_MAX_HEAD - 4, "\r\n\r\n", 4);
    assert_int_equal(framing_check(head, sizeof(head), false), FRAMING_GOOD);
    memcpy(head + SERVER_MAX_HEAD - 4, "aaaa", 4);
    memcpy(head + SERVER_MAX_HEAD - 3, "\r\n\r\na", 5);
    assert_int_equal(framing_check(head, sizeof(head), false), FRAMING_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_and_method_choose_the_route),
        cmocka_unit_test(params_point_at_their_segments),
        cmocka_unit_test(allow_names_each_method_once),
        cmocka_unit_test(a_segment_is_decoded_once),
        cmocka_unit_test(media_types_are_compared_without_case_and_parameters),
        cmocka_unit_test(one_of_several_media_types_is_enough),
        cmocka_unit_test(ambiguous_framing_is_seen),
        cmocka_unit_test(a_head_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

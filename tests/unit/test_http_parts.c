/* The parts of server/http that need no socket: problem documents, ETags, bearer tokens, log lines,
 * timers, connection limits. */
#include "server/http/limits.h"
#include "server/http/log.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/timer.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void a_problem_is_rfc_9457(void **state)
{
    (void)state;
    json_t *errors = json_array();
    problem_add(errors, "/url", "port %d is not open", 81);
    char *text = problem_text(&PROBLEM_INVALID, "a wrong value", errors);
    json_t *read = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(read);
    assert_string_equal(json_string_value(json_object_get(read, "type")),
                        "urn:sticps:problem:invalid");
    assert_string_equal(json_string_value(json_object_get(read, "title")), "Unprocessable Content");
    assert_int_equal(json_integer_value(json_object_get(read, "status")), 422);
    assert_string_equal(json_string_value(json_object_get(read, "code")), "INVALID");
    assert_string_equal(json_string_value(json_object_get(read, "detail")), "a wrong value");
    json_t *entry = json_array_get(json_object_get(read, "errors"), 0);
    assert_string_equal(json_string_value(json_object_get(entry, "pointer")), "/url");
    assert_string_equal(json_string_value(json_object_get(entry, "detail")), "port 81 is not open");
    json_decref(read);
    free(text);
}

static void a_detail_may_hold_any_bytes(void **state)
{
    (void)state;
    char *text = problem_text(&PROBLEM_NOT_FOUND, "no \"\xff\xfe\n\" here", NULL);
    json_t *read = json_loads(text, 0, NULL);
    assert_non_null(read);
    assert_string_equal(json_string_value(json_object_get(read, "detail")), "no \"??\n\" here");
    assert_null(json_object_get(read, "errors"));
    json_decref(read);
    free(text);
}

static void if_none_match(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool match;
    } table[] = {
        {NULL, false},          {"\"7\"", true},         {"W/\"7\"", true}, {"\"8\"", false},
        {"\"6\", \"7\"", true}, {"\"6\",W/\"7\"", true}, {"*", true},       {" * ", true},
        {"7", false},           {"\"7", false},          {"", false},       {"\"77\"", false},
        {"\"6\" \"7\"", true},  {"w/\"7\"", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(etag_none_match(table[i].header, "\"7\""), table[i].match);
}

static void if_match(void **state)
{
    (void)state;
    static const struct {
        const char *header, *etag;
        bool match;
    } table[] = {
        {NULL, "\"7\"", true},     {NULL, NULL, true},
        {"\"7\"", "\"7\"", true},  {"W/\"7\"", "\"7\"", false},
        {"\"7\"", NULL, false},    {"*", "\"7\"", true},
        {"*", NULL, false},        {"\"6\", \"7\"", "\"7\"", true},
        {"\"6\"", "\"7\"", false}, {"garbage", "\"7\"", false},
        {"", "\"7\"", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(etag_match(table[i].header, table[i].etag), table[i].match);
}

static void bearer_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *value, *token; /* NULL: none */
    } table[] = {
        {"Bearer abc.def-_~+/=", "abc.def-_~+/="},
        {"bearer abc", "abc"},
        {"BEARER   abc  ", "abc"},
        {"abc.def", "abc.def"},
        {"Bearer", NULL},
        {"Bearer ", NULL},
        {"", NULL},
        {"  ", NULL},
        {"Basic dXNlcjpwYXNz", NULL},
        {"Bearer a b", NULL},
        {"Bearer a,b", NULL},
        {"Bearer \x01", NULL},
        {"Bearer\tabc", NULL},
        {"Bearerabc", "Bearerabc"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *token = NULL;
        size_t len = 0;
        bool found = bearer_parse(table[i].value, strlen(table[i].value), &token, &len);
        if (found != (table[i].token != NULL))
            print_error("%s\n", table[i].value);
        assert_int_equal(found, table[i].token != NULL);
        if (found) {
            assert_int_equal(len, strlen(table[i].token));
            assert_memory_equal(token, table[i].token, len);
        }
    }
}

static void a_log_line_is_json_whatever_it_says(void **state)
{
    (void)state;
    static const char hostile[] = "a\"b\\c\n\x1b[31m\xff\x7f";
    const struct log_field fields[] = {LOG_TEXT("path", hostile), LOG_NUMBER("status", -5),
                                       LOG_TEXT("none", NULL)};
    char line[512];
    size_t len =
        log_format(line, sizeof(line), INT64_C(1589961600123456), "info", "request", fields, 3);
    assert_int_equal(line[len - 1], '\n');
    json_t *read = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(read);
    assert_string_equal(json_string_value(json_object_get(read, "time")),
                        "2020-05-20T08:00:00.123Z");
    assert_string_equal(json_string_value(json_object_get(read, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(read, "msg")), "request");
    assert_int_equal(json_integer_value(json_object_get(read, "status")), -5);
    assert_string_equal(json_string_value(json_object_get(read, "none")), "");
    for (size_t i = 0; i + 1 < len; i++)
        assert_true(line[i] >= 0x20 && line[i] <= 0x7e);
    json_decref(read);
}

static void a_log_line_that_is_cut_is_still_json(void **state)
{
    (void)state;
    char text[400];
    memset(text, '"', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    const struct log_field fields[] = {LOG_TEXT("path", text), LOG_TEXT("more", text),
                                       LOG_NUMBER("status", 200)};
    char line[1024];
    for (size_t size = 120; size < sizeof(line); size++) {
        size_t len = log_format(line, size, 0, "info", "request", fields, 3);
        assert_true(len <= size);
        json_t *read = json_loadb(line, len, 0, NULL);
        if (read == NULL)
            print_error("size %zu: %.*s", size, (int)len, line);
        assert_non_null(read);
        json_decref(read);
    }
}

static void timers_come_in_the_order_of_their_time(void **state)
{
    (void)state;
    enum { N = 1000 };
    static struct timer timers[N];
    struct timer_heap heap = {0};
    srandom(1);
    for (size_t i = 0; i < N; i++)
        timer_heap_add(&heap, &timers[i], 1 + (uint64_t)random() % 4999);
    for (size_t i = 0; i < N; i += 3)
        timer_heap_remove(&heap, &timers[i]);
    for (size_t i = 1; i < N; i += 3)
        timer_heap_add(&heap, &timers[i], 1 + (uint64_t)random() % 4999); /* anew, not twice */
    assert_int_equal(timer_heap_wait(&heap, heap.slots[0]->due_ms + 1, 100), 0);
    uint64_t last = 0;
    size_t count = 0;
    struct timer *timer;
    assert_null(timer_heap_pop(&heap, heap.slots[0]->due_ms - 1));
    while ((timer = timer_heap_pop(&heap, 5000)) != NULL) {
        assert_true(timer->due_ms >= last);
        assert_false(timer_running(timer));
        assert_int_not_equal((timer - timers) % 3, 0);
        last = timer->due_ms;
        count++;
    }
    assert_int_equal(count, N - (N + 2) / 3);
    assert_int_equal(timer_heap_wait(&heap, 0, 100), 100);
    timer_heap_remove(&heap, &timers[0]); /* at rest: nothing */
    timer_heap_clear(&heap);
}

static struct limits_key key_of(const char *text)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return limits_key_of((struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return limits_key_of((struct sockaddr *)&six);
}

static void connections_are_counted_per_address_and_in_all(void **state)
{
    (void)state;
    struct limits *limits = limits_new(4, 2);
    struct limits_key a = key_of("192.0.2.1"), mapped = key_of("::ffff:192.0.2.1"),
                      b = key_of("192.0.2.2"), six = key_of("2001:db8:1:2::1"),
                      same_net = key_of("2001:db8:1:2:ffff::9"), other = key_of("2001:db8:1:3::1");
    assert_true(limits_enter(limits, &a, false));
    assert_true(limits_enter(limits, &mapped, false));
    assert_false(limits_enter(limits, &a, false));
    assert_true(limits_enter(limits, &b, false));
    assert_true(limits_enter(limits, &six, false));
    assert_false(limits_enter(limits, &other, false)); /* four in all */
    limits_leave(limits, &b);
    assert_true(limits_enter(limits, &same_net, false));
    limits_leave(limits, &a);
    assert_false(limits_enter(limits, &six, false)); /* two of this /64 */
    assert_true(limits_enter(limits, &other, false));
    assert_int_equal(limits_open(limits), 4);
    limits_leave(limits, &b); /* has none open: no underflow */
    assert_int_equal(limits_open(limits), 4);
    limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_is_rfc_9457),
        cmocka_unit_test(a_detail_may_hold_any_bytes),
        cmocka_unit_test(if_none_match),
        cmocka_unit_test(if_match),
        cmocka_unit_test(bearer_tokens),
        cmocka_unit_test(a_log_line_is_json_whatever_it_says),
        cmocka_unit_test(a_log_line_that_is_cut_is_still_json),
        cmocka_unit_test(timers_come_in_the_order_of_their_time),
        cmocka_unit_test(connections_are_counted_per_address_and_in_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* server/registry/bulk_*: whole mappings in their three forms, and what each fault is called. */
#include "server/registry/bulk_csv.h"
#include "server/registry/bulk_map.h"
#include "server/registry/pointer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define A "https://cps.example.com/a"
#define B "https://cps.example.com/b"

static const struct url_rules rules;

/* What came of a body: the entries as "1234=https://…;" when there was no fault, else the pointers
 * of the faults, each with a ';' behind it. */
struct outcome {
    char text[2048];
    size_t faults;
};

static void on_fault(void *arg, const char *pointer, const char *detail)
{
    struct outcome *outcome = arg;
    size_t used = strlen(outcome->text);
    assert_true(strlen(detail) > 0);
    outcome->faults++;
    snprintf(outcome->text + used, sizeof(outcome->text) - used, "%s;", pointer);
}

static void read_body(const char *body, size_t len, bool csv, struct bulk_map *map,
                      struct outcome *outcome)
{
    struct sticps_error err;
    /* exactly as long as it says, so that a sanitizer sees a read behind it */
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, body, len);
    *outcome = (struct outcome){{0}, 0};
    bulk_map_init(map, &rules, on_fault, outcome);
    if (csv)
        bulk_read_csv(map, copy, len);
    else if (bulk_read_json(map, copy, len, &err) != STICPS_OK)
        snprintf(outcome->text, sizeof(outcome->text), "NOT JSON");
    free(copy);
    assert_int_equal(map->faults, outcome->faults);
    size_t used = strlen(outcome->text);
    for (size_t i = 0; outcome->faults == 0 && i < map->len; i++)
        used += (size_t)snprintf(outcome->text + used, sizeof(outcome->text) - used, "%s=%s;",
                                 map->entries[i].spc.text, map->entries[i].url);
}

static void check(const char *body, size_t len, bool csv, const char *expected)
{
    struct bulk_map map;
    struct outcome outcome;
    read_body(body, len, csv, &map, &outcome);
    assert_string_equal(outcome.text, expected);
    bulk_map_clear(&map);
}

static void json_forms(void **state)
{
    static const struct {
        const char *body, *expected;
    } table[] = {
        {"{\"cpsMapping\":{}}", ""},
        {"{\"cpsMapping\":{\"5678\":\"" A "\",\"1234\":\"" B "\"}}", "1234=" B ";5678=" A ";"},
        {"{\"cpsMapping\":{\"vwc55\":\"" A "\"}}", "VWC55=" A ";"},
        {"{\"0-5678\":\"" A "\",\"0-818h\":\"" B "\"}", "5678=" A ";818H=" B ";"},
        {"{\"0-1234\":\"https:\\/\\/cps.example.com\\/\\u0061\"}", "1234=" A ";"},
        {"{}", "/cpsMapping;"},
        {"[]", ";"},
        {"{\"cpsMapping\":[\"0-1234\"]}", "/cpsMapping;"},
        {"{\"cpsMapping\":{},\"0-1234\":\"" A "\"}", "/0-1234;"},
        {"{\"0-1234\":\"" A "\",\"1-12025550123-9\":\"" A "\"}", "/1-12025550123-9;"},
        {"{\"0-1234\":\"" A "\",\"x\":\"" A "\",\"0\":1,\"\":1}", "/x;/0;/;"},
        {"{\"0-\":\"" A "\"}", "/0-;"},
        {"{\"0--123\":\"" A "\"}", "/0--123;"},
        {"{\"cpsMapping\":{\"0-1234\":\"" A "\"}}", "/cpsMapping/0-1234;"},
        {"{\"cpsMapping\":{\"1234\":{\"5678\":\"" A "\"},\"818H\":[1,2],\"5678\":\"" A "\"}}",
         "/cpsMapping/1234;/cpsMapping/818H;"},
        {"{\"cpsMapping\":{\"abcd\":\"" A "\",\"ABCD\":\"" A "\",\"AbCd\":\"" A "\"}}",
         "/cpsMapping/ABCD;/cpsMapping/AbCd;"},
        {"{\"cpsMapping\":{\"~/\":1}}", "/cpsMapping/~0~1;"},
        {"{\"cpsMapping\":{\"1234\":\"x\",\"1234\":\"y\"}}", "NOT JSON"},
        {"", "NOT JSON"},
        {"{\"0-1234\":\"" A "\"", "NOT JSON"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        check(table[i].body, strlen(table[i].body), false, table[i].expected);
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void csv_form(void **state)
{
    static const struct {
        const char *body;
        size_t len;
        const char *expected;
    } table[] = {
        {TEXT("SPC,URL\r\n1234," A "\r\n"), "1234=" A ";"},
        {TEXT("5678," A "\n1234," B), "1234=" B ";5678=" A ";"},
        {TEXT("\"vwc55\",\"" A "\""), "VWC55=" A ";"},
        {TEXT("\xef\xbb\xbf"
              "Spc,Url\n"),
         ""},
        {TEXT("SPC,URL"), ""},
        {TEXT(""), ";"},
        {TEXT("\xef\xbb\xbf"), ";"},
        {TEXT("\xef\xbb"), "/line/1;"},
        {TEXT("\n"), "/line/1;"},
        {TEXT("\r\n"), "/line/1;"},
        {TEXT("\r"), "/line/1;"},
        {TEXT(","), "/line/1;/line/1;"},
        {TEXT("\""), "/line/1;"},
        {TEXT("\"\""), "/line/1;"},
        {TEXT("\"\"\""), "/line/1;"},
        {TEXT("\"\"\"\""), "/line/1;"},
        {TEXT("1234,\"" A), "/line/1;"},
        {TEXT("1234,\"" A "\"\""), "/line/1;"},
        {TEXT("1234,\"" A "\" \n12\n"), "/line/1;/line/2;"},
        {TEXT("1234,\"" A "\r\n\r\n\"\r\n12," A), "/line/1;/line/4;"},
        {TEXT("12\"34," A "\n"), "/line/1;"},
        {TEXT("1234," A ",\n"), "/line/1;"},
        {TEXT("1234," A ",x,y,\"z\",\n5678\n"), "/line/1;/line/2;"},
        {TEXT("1234," A "\n\n"), "/line/2;"},
        {TEXT("1234," A "\0\n"), "/line/1;"},
        {TEXT("12\0"
              "34," A "\n"),
         "/line/1;"},
        {TEXT("\0"), "/line/1;"},
        {TEXT("1234," A "\n1234," B "\nSPC,URL\n"), "/line/3;/line/3;/line/2;"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        check(table[i].body, table[i].len, true, table[i].expected);
}

/* Every entry knows where it stood, also after sorting. */
static void entries_know_their_place(void **state)
{
    static const char json[] = "{\"0-vwc55\":\"" A "\",\"0-1234\":\"" A "\"}";
    static const char csv[] = "SPC,URL\nvwc55,\"" A "\"\n1234," A "\n";
    static const char *const expected[2][2] = {{"/0-1234", "/0-vwc55"}, {"/line/3", "/line/2"}};
    struct bulk_map map;
    struct outcome outcome;
    char pointer[BULK_POINTER_SIZE];
    (void)state;
    for (size_t form = 0; form < 2; form++) {
        read_body(form == 0 ? json : csv, form == 0 ? sizeof(json) - 1 : sizeof(csv) - 1, form == 1,
                  &map, &outcome);
        assert_int_equal(map.len, 2);
        for (size_t i = 0; i < 2; i++) {
            bulk_pointer(&map, &map.entries[i], pointer);
            assert_string_equal(pointer, expected[form][i]);
        }
        bulk_map_clear(&map);
    }
}

/* What is written is read back, whatever stands in a URL. */
static void csv_out(void **state)
{
    static const char text[] = "{\"1234\":\"https://a.example/x,y\",\"5678\":\"https://a.example/"
                               "\\\"q\\\"\",\"VWC55\":\"" A "\"}";
    struct json_write out;
    struct json_doc doc;
    struct sticps_error err;
    (void)state;
    assert_int_equal(json_doc_parse_object(text, sizeof(text) - 1, STICPS_ERR_FORM, &doc, &err), 0);
    json_write_init(&out, 16);
    bulk_write_csv(&out, &doc);
    assert_int_equal(json_write_check(&out, &err), 0);
    static const char expected[] = "SPC,URL\r\n1234,\"https://a.example/x,y\"\r\n"
                                   "5678,\"https://a.example/\"\"q\"\"\"\r\nVWC55," A "\r\n";
    assert_int_equal(out.len, sizeof(expected) - 1);
    assert_memory_equal(out.data, expected, out.len);
    json_write_clear(&out);
    json_doc_clear(&doc);
}

static void count_fault(void *arg, const char *pointer, const char *detail)
{
    (void)pointer;
    (void)detail;
    ++*(size_t *)arg;
}

/* `extra` more than the most, in each form; every one of them bad. */
static size_t faults_of(size_t extra, int form)
{
    size_t faults = 0, n = BULK_MAX_ENTRIES + extra, used = 0, size = n * 16 + 64;
    char *body = malloc(size);
    struct bulk_map map;
    struct sticps_error err;
    assert_non_null(body);
    if (form < 2)
        used += (size_t)snprintf(body, size, form == 0 ? "{\"cpsMapping\":{" : "{");
    for (size_t i = 0; i < n; i++) {
        if (form == 2)
            used += (size_t)snprintf(body + used, size - used, "x%zu\n", i);
        else
            used += (size_t)snprintf(body + used, size - used, "%s\"%sx%zu\":1", i > 0 ? "," : "",
                                     form == 1 ? "0-" : "", i);
    }
    if (form < 2)
        used += (size_t)snprintf(body + used, size - used, form == 0 ? "}}" : "}");
    bulk_map_init(&map, &rules, count_fault, &faults);
    if (form == 2)
        bulk_read_csv(&map, body, used);
    else
        assert_int_equal(bulk_read_json(&map, body, used, &err), 0);
    bulk_map_clear(&map);
    free(body);
    return faults;
}

static void entries_are_counted(void **state)
{
    (void)state;
    assert_int_equal(faults_of(0, 0), BULK_MAX_ENTRIES);
    assert_int_equal(faults_of(1, 0), 1);
    assert_int_equal(faults_of(0, 1), BULK_MAX_ENTRIES);
    assert_int_equal(faults_of(1, 1), 1);
    assert_int_equal(faults_of(0, 2), BULK_MAX_ENTRIES);
    assert_int_equal(faults_of(7, 2), BULK_MAX_ENTRIES + 1); /* the first too many ends it */
}

static void pointers_are_escaped_and_cut(void **state)
{
    static const struct {
        const char *parent, *name, *expected;
    } table[] = {
        {"", "url", "/url"},
        {"", "", "/"},
        {"", "~1/", "/~01~1"},
        {"/cpsMapping", "12", "/cpsMapping/12"},
        {"", "abcdefghijklmnopqrstuvwxyz", "/abcdefghijkl"},
        {"", "abcdefghijk\xd0\xba", "/abcdefghijk"},
        {"", "abcdefghijk/", "/abcdefghijk~1"},
    };
    char out[16];
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        size_t size = strlen(table[i].parent) > 0 ? 100 : sizeof(out);
        char *text = malloc(size);
        assert_non_null(text);
        pointer_write(text, size, table[i].parent, table[i].name);
        assert_string_equal(text, table[i].expected);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_forms),
        cmocka_unit_test(csv_form),
        cmocka_unit_test(entries_know_their_place),
        cmocka_unit_test(csv_out),
        cmocka_unit_test(entries_are_counted),
        cmocka_unit_test(pointers_are_escaped_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

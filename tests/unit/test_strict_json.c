/* json_doc, and strict_json over it; jansson's own parser is the independent judge of what is JSON.
 */
#include "common/json_doc.h"
#include "common/json_string.h"
#include "common/strict_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* after ours: it has a macro fail() */
#include <float.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODE STICPS_ERR_PAYLOAD

/* Text with its length, so that NUL bytes can stand in it. */
#define T(literal) literal, sizeof(literal) - 1

static const struct {
    const char *text;
    size_t len;
} good[] = {
    {T("{}")},
    {T("[]")},
    {T(" \t\r\n{ } \n")},
    {T("[1,2,[3,{\"a\":[]}],{}]")},
    {T("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}")},
    {T("{\"\":0}")},
    {T("[true,false,null]")},
    {T("[0,-0,1,-1,10,9007199254740993,9223372036854775807,-9223372036854775808]")},
    {T("[0.0,-0.5,1e5,1E+5,1e-5,1.25e2,0e0]")},
    {T("[\"\",\"a\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u0041\\u00e9\\u20AC\\uD83D\\ude00\"]")},
    {T("[\"\xc3\xa9\",\"\xe2\x82\xac\",\"\xf0\x9f\x98\x80\",\"\xed\x9f\xbf\",\"\xee\x80\x80\","
       "\"\xf4\x8f\xbf\xbf\",\"\x7f\"]")},
    {T("[\"\\uFFFF\",\"\xef\xbf\xbf\"]")},                   /* noncharacters are characters */
    {T("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]")},                 /* 16 deep */
    {T("[\"[[[[[[[[[[[[[[[[[[[[[[[{{{{{{{{{{{{{{\\\"[\"]")}, /* brackets in a string */
    {T("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]")},
    {T("{\"a\":1,\"A\":2,\"aa\":3,\"\\u0062\":4}")},
};

static const struct {
    const char *text;
    size_t len;
} bad[] = {
    /* not an object or array, not whole, more than one */
    {T("")},
    {T(" ")},
    {T("1")},
    {T("\"a\"")},
    {T("null")},
    {T("{")},
    {T("[")},
    {T("[1")},
    {T("[1,")},
    {T("{\"a\"")},
    {T("{\"a\";1}")},
    {T("{\"a\"11}")},
    {T("{\"a\":")},
    {T("{\"a\":1")},
    {T("{\"a\":1,")},
    {T("{}{}")},
    {T("{} x")},
    {T("[]]")},
    {T("[}")},
    {T("{]")},
    {T("[1}")},
    {T("{\"a\":1]")},
    {T("]")},
    {T("\xef\xbb\xbf{}")},
    {T("{}\xef\xbb\xbf")},
    {T("\xff\xfe{\0}\0")},
    /* NUL */
    {T("{}\0")},
    {T("\0{}")},
    {T("[\"\0\"]")},
    {T("[\"a\0b\"]")},
    {T("[1\0]")},
    {T("[\"\\u0000\"]")},
    {T("{\"\\u0000\":1}")},
    {T("{\"a\\u0000b\":1}")},
    /* punctuation */
    {T("[1,]")},
    {T("[,1]")},
    {T("[1,,2]")},
    {T("[,]")},
    {T("[1 2]")},
    {T("{\"a\":1,}")},
    {T("{,}")},
    {T("{,\"a\":1}")},
    {T("{\"a\" 1}")},
    {T("{\"a\":}")},
    {T("{\"a\"::1}")},
    {T("{a:1}")},
    {T("{1:1}")},
    {T("{'a':1}")},
    {T("{\"a\":1 \"b\":2}")},
    {T("{[]:1}")},
    {T("[1]//x")},
    {T("/**/[]")},
    {T("[1/**/]")},
    {T("[\f]")},
    {T("[\v1]")},
    {T("[\xc2\xa0]")},
    /* numbers and words */
    {T("[01]")},
    {T("[-01]")},
    {T("[+1]")},
    {T("[.5]")},
    {T("[1.]")},
    {T("[1.e3]")},
    {T("[1e]")},
    {T("[1e+]")},
    {T("[-]")},
    {T("[--1]")},
    {T("[0x10]")},
    {T("[1_0]")},
    {T("[NaN]")},
    {T("[Infinity]")},
    {T("[-Infinity]")},
    {T("[True]")},
    {T("[tru]")},
    {T("[truee]")},
    {T("[nul]")},
    {T("[nulll]")},
    {T("[falsee]")},
    {T("[undefined]")},
    {T("[1a]")},
    {T("[1.2.3]")},
    /* strings */
    {T("[\"a]")},
    {T("[\"a\\\"]")},
    {T("[\"\\\"]")},
    {T("[\"\\")},
    {T("[\"\\x41\"]")},
    {T("[\"\\'\"]")},
    {T("[\"\\u\"]")},
    {T("[\"\\u12\"]")},
    {T("[\"\\u12G4\"]")},
    {T("[\"\\U0041\"]")},
    {T("[\"\\ud800\"]")},
    {T("[\"\\udc00\"]")},
    {T("[\"\\ud800\\ud800\"]")},
    {T("[\"\\ud800x\"]")},
    {T("[\"\\ud800\\ue000\"]")},
    {T("[\"\\ud800\\n\"]")},
    {T("[\"\\udc00\\ud800\"]")},
    {T("[\"\\ud83d\\u00")},
    {T("[\"\n\"]")},
    {T("[\"\t\"]")},
    {T("[\"\x1f\"]")},
    {T("[\"\\\n\"]")},
    {T("['a']")},
    /* UTF-8 */
    {T("[\"\x80\"]")},
    {T("[\"\xbf\"]")},
    {T("[\"\xc3\"]")},
    {T("[\"\xc3(\"]")},
    {T("[\"\xc0\x80\"]")},
    {T("[\"\xc1\xbf\"]")},
    {T("[\"\xe0\x80\x80\"]")},
    {T("[\"\xe0\x9f\xbf\"]")},
    {T("[\"\xe2\x82\"]")},
    {T("[\"\xed\xa0\x80\"]")},
    {T("[\"\xed\xbf\xbf\"]")},
    {T("[\"\xf0\x80\x80\x80\"]")},
    {T("[\"\xf0\x8f\xbf\xbf\"]")},
    {T("[\"\xf4\x90\x80\x80\"]")},
    {T("[\"\xf5\x80\x80\x80\"]")},
    {T("[\"\xf8\x88\x80\x80\x80\"]")},
    {T("[\"\xfe\"]")},
    {T("[\"\xff\"]")},
    {T("[\"\xf0\x9f\x98")},
    {T("{\"\xe9\":1}")},
    /* duplicate keys, also where the order of the others hides them and when written differently */
    {T("{\"a\":1,\"a\":1}")},
    {T("{\"a\":1,\"b\":2,\"a\":3}")},
    {T("{\"b\":1,\"a\":2,\"b\":3}")},
    {T("{\"a\":1,\"\\u0061\":2}")},
    {T("{\"\":1,\"\":2}")},
    {T("[{\"x\":{\"a\":1,\"a\":2}}]")},
    {T("{\"c\":1,\"b\":1,\"a\":1,\"d\":1,\"e\":1,\"c\":1}")},
    /* 17 deep */
    {T("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]")},
    {T("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
       "{"
       "\"a\":{\"a\":{\"a\":{}}}}}}}}}}}}}}}}}}")},
};

/* In memory of exactly its size, for the sanitizers to watch. */
static void *exact(const char *text, size_t len)
{
    void *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sticps_error err = {0};
        void *text = exact(good[i].text, good[i].len);
        json_t *value = strict_json_parse(text, good[i].len, CODE, &err);
        if (value == NULL)
            fail_msg("strict_json: %s: %s", good[i].text, err.text);
        json_t *same = json_loadb(text, good[i].len, JSON_REJECT_DUPLICATES, NULL);
        if (same == NULL || !json_equal(value, same))
            fail_msg("jansson reads another value: %s", good[i].text);
        json_decref(same);
        json_decref(value);
        struct json_doc doc;
        if (json_doc_parse(text, good[i].len, CODE, &doc, &err) != STICPS_OK)
            fail_msg("json_doc: %s: %s", good[i].text, err.text);
        assert_int_equal(err.code, STICPS_OK);
        json_doc_clear(&doc);
        free(text);
    }
}

/* Sizes are 32 bits wide: what is longer is refused before a byte of it is read. */
static void test_too_long(void **state)
{
    (void)state;
    struct sticps_error err = {0};
    struct json_doc doc = {0};
    assert_int_equal(json_doc_parse("{}", (size_t)INT32_MAX + 1, CODE, &doc, &err), CODE);
    assert_non_null(strstr(err.text, "too long"));
    assert_null(doc.nodes);
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sticps_error err = {0};
        struct json_doc doc = {0};
        void *text = exact(bad[i].text, bad[i].len);
        json_t *value = strict_json_parse(text, bad[i].len, CODE, &err);
        if (value != NULL)
            fail_msg("strict_json accepts %s", bad[i].text);
        value = json_loadb(text, bad[i].len, JSON_REJECT_DUPLICATES, NULL);
        bool has_nul = memchr(text, '\0', bad[i].len) != NULL; /* jansson 2.14 skips some */
        if (value != NULL && strstr(err.text, "too deep") == NULL && !has_nul)
            fail_msg("jansson accepts %s", bad[i].text);
        json_decref(value);
        assert_int_equal(err.code, CODE);
        assert_non_null(strstr(err.text, "at byte "));
        err = (struct sticps_error){0};
        if (json_doc_parse(text, bad[i].len, CODE, &doc, &err) != CODE)
            fail_msg("json_doc: %s: %s", bad[i].text, err.text);
        assert_int_equal(err.code, CODE);
        assert_non_null(strstr(err.text, "at byte "));
        assert_null(doc.nodes);
        assert_null(strict_json_parse(text, bad[i].len, CODE, NULL));
        assert_int_equal(json_doc_parse(text, bad[i].len, CODE, &doc, NULL), CODE);
        free(text);
    }
}

static void test_position(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *position;
    } cases[] = {{"{\"a\":1, b}", "at byte 8"},
                 {"[\"\\n\\n\",x]", "at byte 8"},
                 {"[1,2] x", "at byte 6"},
                 {"{}{}", "at byte 2"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sticps_error err;
        struct json_doc doc;
        assert_int_equal(json_doc_parse(cases[i].text, strlen(cases[i].text), CODE, &doc, &err),
                         CODE);
        if (strstr(err.text, cases[i].position) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
    struct sticps_error err;
    assert_null(strict_json_parse("[\0]", 3, CODE, &err));
    assert_string_equal(err.text, "not JSON: NUL at byte 1");
    assert_null(strict_json_parse("[[[[[[[[[[[[[[[[[", 17, CODE, &err));
    assert_string_equal(err.text, "not JSON: nesting that is too deep at byte 16");
}

/* ---- what json_doc reads ---- */

static struct json_doc parsed(const char *text)
{
    struct json_doc doc;
    struct sticps_error err;
    if (json_doc_parse(text, strlen(text), CODE, &doc, &err) != STICPS_OK)
        fail_msg("%s: %s", text, err.text);
    return doc;
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *value;
    } cases[] = {
        {"[\"\"]", ""},
        {"[\"plain\"]", "plain"},
        {"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "\"\\/\b\f\n\r\t"},
        {"[\"x\\u0041y\\u00e9z\"]", "xAy\xc3\xa9z"},
        {"[\"\\u07ff\\u0800\\uffff\"]", "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"},
        {"[\"\\ud800\\udc00\\uDBFF\\uDFFF\"]", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"[\"\\n\xe2\x82\xac\xf0\x9f\x98\x80\\n\"]", "\n\xe2\x82\xac\xf0\x9f\x98\x80\n"},
        {"[\"a\\\\\"]", "a\\"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_doc doc = parsed(cases[i].text);
        const struct json_node *node = json_node_first(doc.nodes);
        assert_int_equal(node->kind, JSON_NODE_STRING);
        assert_string_equal(node->value.text, cases[i].value);
        assert_int_equal(node->len, strlen(cases[i].value));
        assert_true(json_node_is(node, cases[i].value));
        json_doc_clear(&doc);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_node_kind kind;
        int64_t value;
    } cases[] = {
        {"[0]", JSON_NODE_INTEGER, 0},
        {"[-0]", JSON_NODE_INTEGER, 0},
        {"[-17]", JSON_NODE_INTEGER, -17},
        {"[9007199254740991]", JSON_NODE_INTEGER, 9007199254740991},
        {"[9223372036854775807]", JSON_NODE_INTEGER, INT64_MAX},
        {"[-9223372036854775808]", JSON_NODE_INTEGER, INT64_MIN},
        {"[9223372036854775808]", JSON_NODE_NUMBER, 0},
        {"[-9223372036854775809]", JSON_NODE_NUMBER, 0},
        {"[18446744073709551616]", JSON_NODE_NUMBER, 0},
        {"[99999999999999999999999999]", JSON_NODE_NUMBER, 0},
        {"[6.0]", JSON_NODE_NUMBER, 0},
        {"[1e3]", JSON_NODE_NUMBER, 0},
        {"[1E400]", JSON_NODE_NUMBER, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_doc doc = parsed(cases[i].text);
        const struct json_node *node = json_node_first(doc.nodes);
        if (node->kind != cases[i].kind)
            fail_msg("%s: kind %d", cases[i].text, (int)node->kind);
        if (node->kind == JSON_NODE_INTEGER)
            assert_true(node->value.integer == cases[i].value);
        json_doc_clear(&doc);
    }
}

static void test_walk(void **state)
{
    (void)state;
    struct json_doc doc = parsed("{\"a\":{\"x\":[1,[2,3]],\"y\":{}},\"b\":[],\"\\u0063\":\"s\","
                                 "\"d\":null,\"e\":true,\"f\":false}");
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    static const enum json_node_kind kinds[] = {JSON_NODE_OBJECT, JSON_NODE_ARRAY, JSON_NODE_STRING,
                                                JSON_NODE_NULL,   JSON_NODE_TRUE,  JSON_NODE_FALSE};
    assert_int_equal(doc.nodes[0].kind, JSON_NODE_OBJECT);
    assert_int_equal(doc.nodes[0].len, 6);
    const struct json_node *node = json_node_first(doc.nodes);
    for (size_t i = 0; i < 6; i++, node = json_node_next(&doc, node)) {
        assert_string_equal(node->key, keys[i]);
        assert_int_equal(node->key_len, 1);
        assert_int_equal(node->kind, kinds[i]);
        assert_ptr_equal(json_node_get(&doc, doc.nodes, keys[i]), node);
    }
    const struct json_node *a = json_node_get(&doc, doc.nodes, "a");
    const struct json_node *x = json_node_get(&doc, a, "x");
    assert_int_equal(a->len, 2);
    assert_int_equal(x->len, 2);
    assert_null(json_node_first(x)->key);
    assert_int_equal(json_node_next(&doc, json_node_first(x))->len, 2);
    assert_int_equal(json_node_get(&doc, a, "y")->len, 0);
    /* a member of a member, of an empty object, no member at all */
    assert_null(json_node_get(&doc, doc.nodes, "x"));
    assert_null(json_node_get(&doc, json_node_get(&doc, a, "y"), "b"));
    assert_null(json_node_get(&doc, doc.nodes, ""));
    assert_null(json_node_get(&doc, doc.nodes, "aa"));
    assert_false(json_node_is(NULL, "s"));
    assert_false(json_node_is(json_node_get(&doc, doc.nodes, "d"), "s"));
    assert_false(json_node_is(json_node_get(&doc, doc.nodes, "c"), "S"));
    json_doc_clear(&doc);
}

static void test_object_only(void **state)
{
    (void)state;
    struct json_doc doc = {0};
    struct sticps_error err;
    assert_int_equal(json_doc_parse_object("[]", 2, CODE, &doc, &err), CODE);
    assert_null(doc.nodes);
    assert_int_equal(json_doc_parse_object("[", 1, CODE, &doc, &err), CODE);
    assert_int_equal(json_doc_parse_object("{}", 2, CODE, &doc, &err), STICPS_OK);
    json_doc_clear(&doc);
}

/* Many keys: in order, in reverse, and with the one duplicate far away. */
static void test_many_keys(void **state)
{
    (void)state;
    const int count = 3000;
    char *text = malloc((size_t)count * 16);
    for (int variant = 0; variant < 4; variant++) {
        size_t len = 0;
        text[len++] = '{';
        for (int i = 0; i < count; i++) {
            int key = variant & 1 ? count - i : i;
            if (variant >= 2 && i == count - 1)
                key = variant & 1 ? count : 0; /* the first one again */
            len += (size_t)sprintf(text + len, "%s\"%05d\":%d", i > 0 ? "," : "", key, i);
        }
        text[len++] = '}';
        struct json_doc doc;
        enum sticps_err rc = json_doc_parse(text, len, CODE, &doc, NULL);
        assert_int_equal(rc, variant < 2 ? STICPS_OK : CODE);
        if (rc == STICPS_OK) {
            assert_int_equal(doc.nodes[0].len, count);
            assert_int_equal(json_node_get(&doc, doc.nodes, "02999")->value.integer,
                             variant == 0 ? 2999 : 1);
            json_doc_clear(&doc);
        }
        json_t *value = strict_json_parse(text, len, CODE, NULL);
        assert_true((value != NULL) == (rc == STICPS_OK));
        json_decref(value);
    }
    free(text);
}

/* What jansson's parser cannot read, or not everywhere. */
static void test_reals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } reals[] = {{"[1.5]", 1.5},       {"[-0.25e1]", -2.5},
                 {"[1e999]", DBL_MAX}, {"[-1e999]", -DBL_MAX},
                 {"[1e-999]", 0.0},    {"[9223372036854775808]", 9223372036854775808.0}};
    const char *comma = setlocale(LC_NUMERIC, "de_DE.UTF-8"); /* where it is installed */
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
        json_t *value = strict_json_parse(reals[i].text, strlen(reals[i].text), CODE, NULL);
        const json_t *real = json_array_get(value, 0);
        assert_true(json_is_real(real));
        if (json_real_value(real) < reals[i].value || json_real_value(real) > reals[i].value)
            fail_msg("%s: %g", reals[i].text, json_real_value(real));
        json_decref(value);
    }
    if (comma != NULL)
        setlocale(LC_NUMERIC, "C");
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const whole[] = {"", "a/b", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x93\x9e"};
    static const char *const broken[] = {"\xff",     "a\x80",        "\xc3",
                                         "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"};
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        assert_true(json_string_is_utf8(whole[i]));
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_false(json_string_is_utf8(broken[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_position),    cmocka_unit_test(test_strings),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_walk),
        cmocka_unit_test(test_object_only), cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_reals),       cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "common/base64url.h"
#include "common/signed_list.h"

#include "tests/unit/one_key.h"

#include <stdio.h>

#define NOW 1589900000
#define DAY 86400
#define WEEK (7 * DAY)
#define X5U "https://sti-pa.com/download/v1/certificate/certificateId_1.crt"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* How a client reads: any form of URL. */
static const struct url_rules rules = {.any_form = true};

static struct spc spc_of(const char *text)
{
    struct spc spc;
    assert_int_equal(spc_from_claim(text, strlen(text), &spc, NULL), STICPS_OK);
    return spc;
}

static struct cps_entry entry(const char *code, const char *url)
{
    return (struct cps_entry){spc_of(code), url};
}

/* ---- building ---- */

static void expect_token(const char *token, size_t len, const char *header, const char *payload)
{
    struct jws jws;
    assert_int_equal(strlen(token), len);
    assert_int_equal(jws_split(token, len, STICPS_ERR_FORM, &jws, NULL), STICPS_OK);
    assert_string_equal((char *)jws.header, header);
    assert_string_equal((char *)jws.payload, payload);
    assert_int_equal(jws_verify(&jws, key, STICPS_ERR_SIGNATURE, NULL), STICPS_OK);
    jws_clear(&jws);
}

/* The specification's sample, without its white space. */
static void test_build_sample(void **state)
{
    (void)state;
    struct cps_entry entries[] = {entry("1234", "https://example.com/cps/company/1234"),
                                  entry("5678", "https://example.com/cps/company/5678")};
    char *token;
    size_t len;
    assert_int_equal(signed_list_build(entries, 2, 1, 1590000000, X5U, key, &token, &len, NULL),
                     STICPS_OK);
    expect_token(token, len, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}",
                 "{\"version\":\"1.0\",\"sequence\":1,\"exp\":1590000000,\"cpsMapping\":{"
                 "\"1234\":\"https://example.com/cps/company/1234\","
                 "\"5678\":\"https://example.com/cps/company/5678\"}}");
    free(token);

    assert_int_equal(
        signed_list_build(NULL, 0, SIGNED_LIST_MAX_SEQUENCE, 1, X5U, key, &token, &len, NULL),
        STICPS_OK);
    expect_token(token, len, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}",
                 "{\"version\":\"1.0\",\"sequence\":9007199254740991,\"exp\":1,\"cpsMapping\":{}}");
    free(token);
}

static void test_build_escapes(void **state)
{
    (void)state;
    struct cps_entry entries[] = {entry("1234", "a\"b\\c/d\n\r\t\b\f\x01\x1f\x7f\xc3\xa9")};
    char *token;
    size_t len;
    assert_int_equal(signed_list_build(entries, 1, 1, 2, "\"", key, &token, &len, NULL), STICPS_OK);
    expect_token(token, len, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"\\\"\"}",
                 "{\"version\":\"1.0\",\"sequence\":1,\"exp\":2,\"cpsMapping\":{\"1234\":"
                 "\"a\\\"b\\\\c/d\\n\\r\\t\\b\\f\\u0001\\u001f\x7f\xc3\xa9\"}}");
    free(token);
}

static void test_build_refused(void **state)
{
    (void)state;
    struct cps_entry twice[] = {entry("1234", "https://a.example/"),
                                entry("1234", "https://a.example/")};
    struct cps_entry disorder[] = {entry("1235", "https://a.example/"),
                                   entry("1234", "https://a.example/")};
    char *token = NULL;
    size_t len;
    struct sticps_error err;
#define REFUSED(...) \
    assert_int_equal(signed_list_build(__VA_ARGS__, key, &token, &len, &err), STICPS_ERR_USAGE)
    REFUSED(twice, 2, 1, 2, X5U);
    assert_string_equal(err.where, "1234");
    REFUSED(disorder, 2, 1, 2, X5U);
    REFUSED(NULL, 0, 0, 2, X5U);
    REFUSED(NULL, 0, -1, 2, X5U);
    REFUSED(NULL, 0, SIGNED_LIST_MAX_SEQUENCE + 1, 2, X5U);
    REFUSED(NULL, 0, 1, 0, X5U);
    REFUSED(NULL, 0, 1, 2, "");
    REFUSED(NULL, 0, 1, 2, NULL);
#undef REFUSED
    EVP_PKEY *p384 = pki_key("P-384");
    assert_int_equal(signed_list_build(NULL, 0, 1, 2, X5U, p384, &token, &len, &err),
                     STICPS_ERR_USAGE);
    assert_null(token);
    EVP_PKEY_free(p384);
}

/* ---- form ---- */

static void test_unwrap(void **state)
{
    (void)state;
#define ENVELOPE(list) "{\"status\":\"success\",\"message\":\"ok\",\"cpsList\":" list "}"
    static const struct {
        const char *body;
        const char *jws; /* NULL: refused */
    } cases[] = {
        {"a.b.c", "a.b.c"},
        {"a.b.c\n", "a.b.c"},
        {"a.b.c\r\n", "a.b.c"},
        {"a.b.c\n\n", "a.b.c\n"}, /* what is left is for jws_split to refuse */
        {"a.b.c\r", "a.b.c\r"},
        {"a.b.c ", "a.b.c "},
        {"\na.b.c", "\na.b.c"},
        {" {}", " {}"},
        {"\n", ""},
        {"\r\n", ""},
        {ENVELOPE("\"a.b.c\""), "a.b.c"},
        {ENVELOPE("\"a.b.c\"") "\n", "a.b.c"},
        {ENVELOPE("\"a.b.c\"") "\r\n", "a.b.c"},
        {"{ \"cpsList\" : \"a.\\u0062.c\" , \"status\" : \"success\" }", "a.b.c"},
        {ENVELOPE("\"a.b.c\\n\""), "a.b.c\n"},
        {"{\"status\":\"success\",\"cpsList\":\"a\",\"caList\":\"b\",\"x\":[{}]}", "a"},
        {"", NULL},
        {"{", NULL},
        {"{}", NULL},
        {ENVELOPE("\"a.b.c\"") "x", NULL},
        {ENVELOPE("\"a.b.c\"") "{}", NULL},
        {ENVELOPE("null"), NULL},
        {ENVELOPE("[\"a.b.c\"]"), NULL},
        {"{\"status\":\"success\",\"caList\":\"a.b.c\"}", NULL},
        {"{\"status\":\"success\"}", NULL},
        {"{\"cpsList\":\"a.b.c\"}", NULL},
        {"{\"status\":\"error\",\"cpsList\":\"a.b.c\"}", NULL},
        {"{\"status\":\"Success\",\"cpsList\":\"a.b.c\"}", NULL},
        {"{\"status\":true,\"cpsList\":\"a.b.c\"}", NULL},
        {"{\"status\":\"success\",\"cpsList\":\"a\",\"cpsList\":\"a\"}", NULL},
        {"{\"status\":\"success\",\"cpsList\":\"\xff\"}", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = NULL;
        size_t len = 0;
        char *owned = NULL;
        struct sticps_error err = {0};
        enum sticps_err rc = signed_list_unwrap(cases[i].body, strlen(cases[i].body),
                                                SIGNED_LIST_CPS_MAPPING, &text, &len, &owned, &err);
        if (rc != (cases[i].jws != NULL ? STICPS_OK : STICPS_ERR_FORM))
            fail_msg("%s: %s: %s", cases[i].body, sticps_err_name(rc), err.text);
        if (rc == STICPS_OK) {
            assert_int_equal(len, strlen(cases[i].jws));
            assert_memory_equal(text, cases[i].jws, len);
            assert_true((owned != NULL) == (cases[i].body[0] == '{'));
        } else {
            assert_null(text);
        }
        free(owned);
    }
    const char *text;
    size_t len;
    char *owned;
    static const char ca[] = "{\"status\":\"success\",\"caList\":\"x.y.z\"}";
    assert_int_equal(
        signed_list_unwrap(ca, strlen(ca), SIGNED_LIST_TRUST_LIST, &text, &len, &owned, NULL),
        STICPS_OK);
    assert_string_equal(text, "x.y.z");
    free(owned);
}

/* ---- header ---- */

static void test_header(void **state)
{
    (void)state;
#define GOOD_X5U "\"x5u\":\"https://sti-pa.com/c.crt\""
    static const struct {
        const char *header;
        enum sticps_err rc;
    } cases[] = {
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"," GOOD_X5U "}", STICPS_OK},
        {" { " GOOD_X5U " , \"typ\" : \"JWT\" , \"alg\" : \"ES256\" } ", STICPS_OK},
        {"{\"kid\":\"1\",\"x\":[1.5],\"alg\":\"ES256\",\"typ\":\"JWT\"," GOOD_X5U "}", STICPS_OK},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"https://sti-pa.com:8443/c.crt\"}",
         STICPS_OK},
        {"{\"\\u0061lg\":\"ES25\\u0036\",\"typ\":\"JWT\"," GOOD_X5U "}", STICPS_OK},
#define BAD STICPS_ERR_HEADER
        {"", BAD},
        {"[]", BAD},
        {"{}", BAD},
        {"\"ES256\"", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"," GOOD_X5U "}x", BAD},
        {"{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"none\",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"es256\",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"ES256 \",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"ES256\\u0000\",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":[\"ES256\"],\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":null,\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"ES256\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"jwt\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":1," GOOD_X5U "}", BAD},
        {"{\"crit\":[],\"alg\":\"ES256\",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"crit\":null,\"alg\":\"ES256\",\"typ\":\"JWT\"," GOOD_X5U "}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":null}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":[\"https://sti-pa.com/c.crt\"]}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"http://sti-pa.com/c.crt\"}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"https://127.0.0.1/c.crt\"}", BAD},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"https://sti-pa.com/c.crt?\"}", BAD},
#undef BAD
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct jws jws = {.header = (unsigned char *)cases[i].header,
                          .header_len = strlen(cases[i].header)};
        struct signed_list_header header = {0};
        struct sticps_error err = {0};
        enum sticps_err rc = signed_list_header_parse(&jws, false, &header, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %s: %s", cases[i].header, sticps_err_name(rc), err.text);
        assert_true((header.x5u != NULL) == (rc == STICPS_OK));
        signed_list_header_clear(&header);
        signed_list_header_clear(&header);
    }
    static const char lab[] =
        "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"https://127.0.0.1:1/c\"}";
    struct jws jws = {.header = (unsigned char *)lab, .header_len = strlen(lab)};
    struct signed_list_header header;
    assert_int_equal(signed_list_header_parse(&jws, true, &header, NULL), STICPS_OK);
    assert_string_equal(header.x5u, "https://127.0.0.1:1/c");
    signed_list_header_clear(&header);

    unsigned char *large = malloc(20000); /* before the signature is checked, a little must do */
    memset(large, ' ', 20000);
    memcpy(large, lab, strlen(lab));
    jws = (struct jws){.header = large, .header_len = 20000};
    assert_int_equal(signed_list_header_parse(&jws, true, &header, NULL), STICPS_ERR_HEADER);
    free(large);
}

/* ---- payload, version, exp ---- */

static enum sticps_err parse(const char *payload, enum signed_list_kind kind, int64_t now,
                             struct signed_list **list, struct sticps_error *err)
{
    struct jws jws = {.payload = (unsigned char *)payload, .payload_len = strlen(payload)};
    return signed_list_parse(&jws, kind, now, WEEK, &rules, list, err);
}

#define PAYLOAD(version, sequence, exp, claim) \
    "{\"version\":" version ",\"sequence\":" sequence ",\"exp\":" exp "," claim "}"
#define MAPPING(mapping) PAYLOAD("\"1.0\"", "1", "1590000000", "\"cpsMapping\":" mapping)
#define SEQUENCE(sequence) PAYLOAD("\"1.0\"", sequence, "1590000000", "\"cpsMapping\":{}")
#define VERSION(version) PAYLOAD(version, "1", "1590000000", "\"cpsMapping\":{}")
#define EXP(exp) PAYLOAD("\"1.0\"", "1", exp, "\"cpsMapping\":{}")

static void test_payload(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        enum sticps_err rc;
        const char *where;
    } cases[] = {
        {MAPPING("{}"), STICPS_OK, ""},
        {MAPPING("{\"1234\":\"https://example.com/cps/company/1234\"}"), STICPS_OK, ""},
        {MAPPING("{\"VWC55\":\"https://example.com\"}"), STICPS_OK, ""},
        {MAPPING("{\"1234\":\"https://EXAMPLE.com/a/../b\"}"), STICPS_OK, ""}, /* any form */
        {MAPPING("{\"\\u0031234\":\"https:\\/\\/example.com\\/\"}"), STICPS_OK, ""},
        {"{\"cpsMapping\":{},\"exp\":1590000000,\"sequence\":1,\"version\":\"1.0\"}", STICPS_OK,
         ""},
        {"{\"iss\":\"x\",\"n\":6.0,\"m\":[{\"a\":1e999,\"b\":99999999999999999999}],\"cpsMapping\":"
         "{},\"exp\":1590000000,\"sequence\":1,\"version\":\"1.0\"}",
         STICPS_OK, ""},
        {SEQUENCE("9007199254740991"), STICPS_OK, ""},
#define BAD STICPS_ERR_PAYLOAD
        /* not JSON, not an object */
        {"", BAD, ""},
        {"[]", BAD, ""},
        {"null", BAD, ""},
        {MAPPING("{}") "\n{}", BAD, ""},
        {MAPPING("{\"1234\":\"https://example.com/\xff\"}"), BAD, ""},
        {MAPPING("{\"1234\":\"https://a.example/\",\"1234\":\"https://b.example/\"}"), BAD, ""},
        {MAPPING("{\"1234\":\"https://a.example/\",\"\\u00312\\u0033\\u0034\":\"https://b.example/"
                 "\"}"),
         BAD, ""},
        {MAPPING("{},\"cpsMapping\":{}"), BAD, ""},
        {MAPPING("{},\"x\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]"), BAD, ""},
        /* the other kind, or no list */
        {MAPPING("{},\"trustList\":[]"), BAD, "trustList"},
        {MAPPING("{},\"trustList\":null"), BAD, "trustList"},
        {PAYLOAD("\"1.0\"", "1", "1590000000", "\"trustList\":[]"), BAD, "trustList"},
        {PAYLOAD("\"1.0\"", "1", "1590000000", "\"atc\":{\"tktype\":\"TNAuthList\"}"), BAD,
         "cpsMapping"},
        {"{}", BAD, "cpsMapping"},
        {MAPPING("null"), BAD, "cpsMapping"},
        {MAPPING("[]"), BAD, "cpsMapping"},
        {MAPPING("\"{}\""), BAD, "cpsMapping"},
        {MAPPING("[{\"1234\":\"https://example.com/\"}]"), BAD, "cpsMapping"},
        /* sequence */
        {"{\"version\":\"1.0\",\"exp\":1590000000,\"cpsMapping\":{}}", BAD, "sequence"},
        {SEQUENCE("0"), BAD, "sequence"},
        {SEQUENCE("-1"), BAD, "sequence"},
        {SEQUENCE("6.0"), BAD, "sequence"},
        {SEQUENCE("1e0"), BAD, "sequence"},
        {SEQUENCE("\"1\""), BAD, "sequence"},
        {SEQUENCE("true"), BAD, "sequence"},
        {SEQUENCE("null"), BAD, "sequence"},
        {SEQUENCE("9007199254740992"), BAD, "sequence"},
        {SEQUENCE("9223372036854775808"), BAD, "sequence"},
        {SEQUENCE("18446744073709551617"), BAD, "sequence"},
        /* one bad entry among good ones */
        {MAPPING("{\"1233\":\"https://a.example/\",\"1234\":null}"), BAD, "1234"},
        {MAPPING("{\"1234\":[\"https://a.example/\"],\"1235\":\"https://a.example/\"}"), BAD,
         "1234"},
        {MAPPING("{\"1234\":{\"url\":\"https://a.example/\"}}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"http://a.example/\"}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"\"}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"https://10.0.0.1/\"}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"https://u@a.example/\"}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"https://a.example/?\"}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"https://a.example/#\"}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"https://a.example/ b\"}"), BAD, "1234"},
        {MAPPING("{\"1234\":\"https://a.example/\\n\"}"), BAD, "1234"},
        {MAPPING("{\"123a\":\"https://a.example/\"}"), BAD, "123a"},
        {MAPPING("{\"123\":\"https://a.example/\"}"), BAD, "123"},
        {MAPPING("{\"12345\":\"https://a.example/\"}"), BAD, "12345"},
        {MAPPING("{\"\":\"https://a.example/\"}"), BAD, ""},
        {MAPPING("{\"1234 \":\"https://a.example/\"}"), BAD, "1234 "},
        {MAPPING("{\"vwc55\":\"https://a.example/\"}"), BAD, "vwc55"},
        /* a fault of PAYLOAD comes before those of VERSION and EXP */
        {PAYLOAD("\"2.0\"", "0", "1", "\"cpsMapping\":{}"), BAD, "sequence"},
        {PAYLOAD("\"2.0\"", "1", "1", "\"cpsMapping\":{\"x\":\"\"}"), BAD, "x"},
#undef BAD
#define BAD STICPS_ERR_VERSION
        {VERSION("\"1.1\""), BAD, "version"},
        {VERSION("\"2.0\""), BAD, "version"},
        {VERSION("\"1\""), BAD, "version"},
        {VERSION("\"1.0 \""), BAD, "version"},
        {VERSION("1.0"), BAD, "version"},
        {VERSION("1"), BAD, "version"},
        {VERSION("null"), BAD, "version"},
        {VERSION("[\"1.0\"]"), BAD, "version"},
        {"{\"sequence\":1,\"exp\":1590000000,\"cpsMapping\":{}}", BAD, "version"},
        {PAYLOAD("\"2.0\"", "1", "1", "\"cpsMapping\":{}"), BAD, "version"}, /* before EXP */
#undef BAD
#define BAD STICPS_ERR_EXP
        {"{\"version\":\"1.0\",\"sequence\":1,\"cpsMapping\":{}}", BAD, "exp"},
        {EXP("1590000000.0"), BAD, "exp"},
        {EXP("1.59e9"), BAD, "exp"},
        {EXP("\"1590000000\""), BAD, "exp"},
        {EXP("null"), BAD, "exp"},
        {EXP("0"), BAD, "exp"},
        {EXP("-1"), BAD, "exp"},
        {EXP("-9223372036854775808"), BAD, "exp"},
        {EXP("9223372036854775807"), BAD, "exp"},
        {EXP("9223372036854775808"), BAD, "exp"},
#undef BAD
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct signed_list *list = NULL;
        struct sticps_error err = {0};
        enum sticps_err rc = parse(cases[i].payload, SIGNED_LIST_CPS_MAPPING, NOW, &list, &err);
        if (rc != cases[i].rc || strcmp(err.where, cases[i].where) != 0)
            fail_msg("%s: %s at \"%s\": %s", cases[i].payload, sticps_err_name(rc), err.where,
                     err.text);
        assert_true((list != NULL) == (rc == STICPS_OK));
        signed_list_free(list);
    }
}

static void test_exp_boundaries(void **state)
{
    (void)state;
    static const struct {
        int64_t ahead; /* exp - now */
        enum sticps_err rc;
    } cases[] = {{-1, STICPS_ERR_EXP}, {0, STICPS_ERR_EXP}, {1, STICPS_OK},
                 {DAY, STICPS_OK},     {WEEK, STICPS_OK},   {WEEK + 1, STICPS_ERR_EXP}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct signed_list *list = NULL;
        enum sticps_err rc = parse(EXP("1590000000"), SIGNED_LIST_CPS_MAPPING,
                                   1590000000 - cases[i].ahead, &list, NULL);
        assert_int_equal(rc, cases[i].rc);
        signed_list_free(list);
    }
    /* Read back from disk: exp must be there, and is not compared. */
    struct signed_list *list = NULL;
    assert_int_equal(parse(EXP("5"), SIGNED_LIST_CPS_MAPPING, -1, &list, NULL), STICPS_OK);
    assert_int_equal(list->exp, 5);
    signed_list_free(list);
    assert_int_equal(parse(EXP("5.0"), SIGNED_LIST_CPS_MAPPING, -1, &list, NULL), STICPS_ERR_EXP);
}

static void test_rules_of_urls(void **state)
{
    (void)state;
    static const char text[] = MAPPING("{\"1234\":\"https://127.0.0.1:8443/cps\"}");
    static const char upper[] = MAPPING("{\"1234\":\"https://A.example/cps\"}");
    const struct url_rules lab = {.lab = true, .any_form = true}, strict = {.lab = false};
    struct jws jws = {.payload = (unsigned char *)text, .payload_len = strlen(text)};
    struct signed_list *list = NULL;
    assert_int_equal(
        signed_list_parse(&jws, SIGNED_LIST_CPS_MAPPING, NOW, WEEK, &rules, &list, NULL),
        STICPS_ERR_PAYLOAD);
    assert_int_equal(signed_list_parse(&jws, SIGNED_LIST_CPS_MAPPING, NOW, WEEK, &lab, &list, NULL),
                     STICPS_OK);
    signed_list_free(list);
    jws = (struct jws){.payload = (unsigned char *)upper, .payload_len = strlen(upper)};
    assert_int_equal(
        signed_list_parse(&jws, SIGNED_LIST_CPS_MAPPING, NOW, WEEK, &strict, &list, NULL),
        STICPS_ERR_PAYLOAD);
}

static void test_find(void **state)
{
    (void)state;
    /* Out of order, and codes of both lengths. */
    static const char text[] =
        MAPPING("{\"ZZZZ\":\"https://z.example/\",\"0000\":\"https://0.example/\","
                "\"VWC55\":\"https://r.example/\",\"VWC5\":\"https://v.example/\","
                "\"1234\":\"https://example.com/cps/company/1234\"}");
    static const char *const sorted[] = {"0000", "1234", "VWC5", "VWC55", "ZZZZ"};
    struct signed_list *list;
    assert_int_equal(parse(text, SIGNED_LIST_CPS_MAPPING, NOW, &list, NULL), STICPS_OK);
    assert_int_equal(list->kind, SIGNED_LIST_CPS_MAPPING);
    assert_int_equal(list->sequence, 1);
    assert_int_equal(list->exp, 1590000000);
    assert_int_equal(list->entries_len, 5);
    for (size_t i = 0; i < 5; i++) {
        struct spc spc = spc_of(sorted[i]);
        assert_string_equal(list->entries[i].spc.text, sorted[i]);
        assert_ptr_equal(signed_list_find(list, &spc), list->entries[i].url);
    }
    assert_string_equal(list->entries[1].url, "https://example.com/cps/company/1234");
    static const char *const absent[] = {"0001", "1233", "1235", "VWC6", "VWC56", "VWB55", "9999"};
    for (size_t i = 0; i < COUNT(absent); i++) {
        struct spc spc = spc_of(absent[i]);
        assert_null(signed_list_find(list, &spc));
    }
    signed_list_free(list);

    struct spc spc = spc_of("1234");
    assert_int_equal(parse(MAPPING("{}"), SIGNED_LIST_CPS_MAPPING, NOW, &list, NULL), STICPS_OK);
    assert_int_equal(list->entries_len, 0);
    assert_null(signed_list_find(list, &spc));
    signed_list_free(list);
    signed_list_free(NULL);
}

/* As many as there may be, built, signed, split and read. */
static void test_large(void **state)
{
    (void)state;
    const size_t count = 25000;
    struct cps_entry *entries = calloc(count, sizeof(*entries));
    char(*urls)[64] = calloc(count, sizeof(*urls));
    for (size_t i = 0; i < count; i++) {
        snprintf(entries[i].spc.text, sizeof(entries[i].spc.text), "%04zX", i);
        snprintf(urls[i], sizeof(urls[i]), "https://cps%zu.example.com/cps/company/%04zX", i % 700,
                 i);
        entries[i].url = urls[i];
    }
    char *token;
    size_t len;
    struct jws jws;
    struct signed_list *list;
    assert_int_equal(signed_list_build(entries, count, 7, NOW + DAY, X5U, key, &token, &len, NULL),
                     STICPS_OK);
    assert_int_equal(jws_split(token, len, STICPS_ERR_FORM, &jws, NULL), STICPS_OK);
    assert_int_equal(jws_verify(&jws, key, STICPS_ERR_SIGNATURE, NULL), STICPS_OK);
    assert_int_equal(
        signed_list_parse(&jws, SIGNED_LIST_CPS_MAPPING, NOW, WEEK, &rules, &list, NULL),
        STICPS_OK);
    jws_clear(&jws); /* the list stands on its own */
    assert_int_equal(list->entries_len, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(signed_list_find(list, &entries[i].spc), urls[i]);
    signed_list_free(list);
    free(token);
    free(urls);
    free(entries);
}

/* ---- the list of approved CAs ---- */

static void test_trust_list(void **state)
{
    (void)state;
    EVP_PKEY *ca_key = pki_key("P-384");
    struct pki_spec spec = pki_ca_spec("STI-CA", ca_key, NULL, NULL);
    X509 *ca = pki_make(&spec);
    char *pem = pki_pem(&ca, 1);
    char *both = pki_pem((X509 *[]){ca, ca}, 2);
    const char *pems[] = {pem, pem};
    char *token;
    size_t len;
    struct jws jws;
    struct signed_list *list;
    assert_int_equal(trust_list_build(pems, 2, 3, NOW + DAY, X5U, key, &token, &len, NULL),
                     STICPS_OK);
    assert_int_equal(jws_split(token, len, STICPS_ERR_FORM, &jws, NULL), STICPS_OK);
    assert_int_equal(jws_verify(&jws, key, STICPS_ERR_SIGNATURE, NULL), STICPS_OK);
    static const char begin[] = "{\"version\":\"1.0\",\"sequence\":3,\"exp\":1589986400,"
                                "\"trustList\":[\"-----BEGIN CERTIFICATE-----\\nMII";
    assert_memory_equal(jws.payload, begin, strlen(begin));
    assert_int_equal(
        signed_list_parse(&jws, SIGNED_LIST_TRUST_LIST, NOW, WEEK, &rules, &list, NULL), STICPS_OK);
    assert_int_equal(list->kind, SIGNED_LIST_TRUST_LIST);
    assert_int_equal(list->trusted_len, 2);
    assert_string_equal(list->trusted[0], pem);
    assert_string_equal(list->trusted[1], pem);
    signed_list_free(list);
    /* Genuine, signed, with the same header: still not the other kind. */
    assert_int_equal(
        signed_list_parse(&jws, SIGNED_LIST_CPS_MAPPING, NOW, WEEK, &rules, &list, NULL),
        STICPS_ERR_PAYLOAD);
    jws_clear(&jws);
    free(token);

    const char *bad_builds[] = {"", "hello", both};
    for (size_t i = 0; i < COUNT(bad_builds); i++)
        assert_int_equal(
            trust_list_build(&bad_builds[i], 1, 3, NOW + DAY, X5U, key, &token, &len, NULL),
            STICPS_ERR_USAGE);

#define TRUST(list) PAYLOAD("\"1.0\"", "1", "1590000000", "\"trustList\":" list)
    static const struct {
        const char *payload;
        enum sticps_err rc;
    } cases[] = {
        {TRUST("[]"), STICPS_OK},
        {TRUST("{}"), STICPS_ERR_PAYLOAD},
        {TRUST("null"), STICPS_ERR_PAYLOAD},
        {TRUST("\"-----BEGIN CERTIFICATE-----\""), STICPS_ERR_PAYLOAD},
        {TRUST("[null]"), STICPS_ERR_PAYLOAD},
        {TRUST("[\"\"]"), STICPS_ERR_PAYLOAD},
        {TRUST("[\"hello\"]"), STICPS_ERR_PAYLOAD},
        {TRUST("[[]]"), STICPS_ERR_PAYLOAD},
        {TRUST("[5]"), STICPS_ERR_PAYLOAD},
        {TRUST("[[1]]"), STICPS_ERR_PAYLOAD},
        {TRUST("[-9000000000000000000]"), STICPS_ERR_PAYLOAD},
        {TRUST("[],\"cpsMapping\":{}"), STICPS_ERR_PAYLOAD},
        {MAPPING("{}"), STICPS_ERR_PAYLOAD},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sticps_error err = {0};
        list = NULL;
        enum sticps_err rc = parse(cases[i].payload, SIGNED_LIST_TRUST_LIST, NOW, &list, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %s: %s", cases[i].payload, sticps_err_name(rc), err.text);
        signed_list_free(list);
    }
    /* Two certificates in one element: whoever reads only the first would not see the second. */
    char *payload = NULL, *escaped = calloc(2, strlen(both) + 1);
    for (size_t i = 0, at = 0; both[i] != '\0'; i++) {
        if (both[i] == '\n')
            escaped[at++] = '\\';
        escaped[at++] = both[i] == '\n' ? 'n' : both[i];
    }
    assert_true(asprintf(&payload,
                         "{\"version\":\"1.0\",\"sequence\":1,\"exp\":1590000000,"
                         "\"trustList\":[\"%s\"]}",
                         escaped) > 0);
    struct sticps_error several = {0};
    assert_int_equal(parse(payload, SIGNED_LIST_TRUST_LIST, NOW, &list, &several),
                     STICPS_ERR_PAYLOAD);
    assert_non_null(strstr(several.text, "several certificates"));
    free(escaped);
    free(payload);
    free(pem);
    free(both);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_sample),   cmocka_unit_test(test_build_escapes),
        cmocka_unit_test(test_build_refused),  cmocka_unit_test(test_unwrap),
        cmocka_unit_test(test_header),         cmocka_unit_test(test_payload),
        cmocka_unit_test(test_exp_boundaries), cmocka_unit_test(test_rules_of_urls),
        cmocka_unit_test(test_find),           cmocka_unit_test(test_large),
        cmocka_unit_test(test_trust_list),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}

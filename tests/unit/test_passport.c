#include "common/base64url.h"
#include "common/passport.h"

#include "tests/unit/one_key.h"

#include <stdio.h>

#define NOW 1584983402
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct passport_rules rules = PASSPORT_RULES_DEFAULT;
/* The POST example of the specification. */
static const char sample[] =
    "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0aWZpY2"
    "F0ZXMuY2xlYXJpcC5jb20vNGE4NzFjMDYtZTBiNS00Y2I5LTgzNDctNDMxMjZiZDg2Yzg1LzY0NmIxYmUzNzNmMTZlYWY4"
    "NzUzNzk5ZTM0OTkwMzJhLmNydCJ9.eyJhdHRlc3QiOiJBIiwiZGVzdCI6eyJ0biI6WyIxOTAzMjQ2OTEwMyJdfSwiaWF0I"
    "joxNTg0OTgzNDAyLCJvcmlnIjp7InRuIjoiMTIwMTM3NzYwNTEifSwib3JpZ2lkIjoiNGFlYzk0ZTItNTA4Yy00YzFjLTk"
    "wN2ItMzczN2JhYzBhODBlIn0.EMfXHyowsI5s73KqoBzJ9pzrrwGFNKBRmHcx-YZ3DjPgBe4Mvqq9N-bThN1_HTWeSvbru"
    "Ayet26fetRL1_bn1g";

static void test_sample(void **state)
{
    (void)state;
    struct passport *p = NULL;
    struct sticps_error err;
    assert_int_equal(strlen(sample), 487); /* its Content-Length */
    if (passport_parse(sample, strlen(sample), &rules, NOW, &p, &err) != STICPS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(p->x5u, "https://certificates.clearip.com/4a871c06-e0b5-4cb9-8347-"
                                "43126bd86c85/646b1be373f16eaf8753799e3499032a.crt");
    assert_int_equal(p->attest, 'A');
    assert_string_equal(p->orig.digits, "12013776051");
    assert_int_equal(p->dest_len, 1);
    assert_string_equal(p->dest[0].digits, "19032469103");
    assert_true(p->iat == 1584983402);
    assert_string_equal(p->origid, "4aec94e2-508c-4c1c-907b-3737bac0a80e");
    assert_int_equal(p->jws.signature_len, 64);
    passport_free(p);
    passport_free(NULL);

    assert_int_equal(passport_parse(sample, strlen(sample), &rules, NOW + 61, &p, &err),
                     STICPS_ERR_STALE_DATE);
    assert_int_equal(passport_parse(sample, strlen(sample), &rules, -1, &p, &err), STICPS_OK);
    passport_free(p);
}

/* A token of these two, with a signature of the right size that nobody made. */
static char *token_of(const char *header, size_t header_len, const char *payload,
                      size_t payload_len)
{
    char *token = malloc(2 * (header_len + payload_len) + 128);
    size_t len = base64url_encode(header, header_len, token);
    token[len++] = '.';
    len += base64url_encode(payload, payload_len, token + len);
    token[len++] = '.';
    memset(token + len, 'Q', 86);
    token[len + 85] = 'A';
    token[len + 86] = '\0';
    return token;
}

static enum sticps_err parse(const char *header, const char *payload, int64_t now,
                             struct passport **out, struct sticps_error *err)
{
    char *token = token_of(header, strlen(header), payload, strlen(payload));
    struct passport *p = NULL;
    enum sticps_err rc = passport_parse(token, strlen(token), &rules, now, &p, err);
    assert_true((p != NULL) == (rc == STICPS_OK));
    if (out != NULL)
        *out = p;
    else
        passport_free(p);
    free(token); /* out's signing input dangles; the tests that keep *out do not verify */
    return rc;
}

#define X5U "\"x5u\":\"https://cr.example.com/a.crt\""
#define HEADER "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}"
#define DEST "\"dest\":{\"tn\":[\"19032469103\"]}"
#define IAT "\"iat\":1584983402"
#define ORIG "\"orig\":{\"tn\":\"12013776051\"}"
#define ORIGID "\"origid\":\"4aec94e2-508c-4c1c-907b-3737bac0a80e\""
#define PAYLOAD "{\"attest\":\"A\"," DEST "," IAT "," ORIG "," ORIGID "}"
#define WITH_ATTEST(v) "{\"attest\":" v "," DEST "," IAT "," ORIG "," ORIGID "}"
#define WITH_DEST(v) "{\"attest\":\"A\",\"dest\":" v "," IAT "," ORIG "," ORIGID "}"
#define WITH_DEST_TN(v) WITH_DEST("{\"tn\":" v "}")
#define WITH_IAT(v) "{\"attest\":\"A\"," DEST ",\"iat\":" v "," ORIG "," ORIGID "}"
#define WITH_ORIG(v) "{\"attest\":\"A\"," DEST "," IAT ",\"orig\":" v "," ORIGID "}"
#define WITH_ORIGID(v) "{\"attest\":\"A\"," DEST "," IAT "," ORIG ",\"origid\":" v "}"
#define DEEP_17 "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]" /* 16 within an object */

static const struct {
    const char *header, *payload;
    enum sticps_err rc;
    const char *where;
} cases[] = {
    {HEADER, PAYLOAD, STICPS_OK, ""},
    {HEADER, WITH_ATTEST("\"B\""), STICPS_OK, ""},
    {HEADER, WITH_ATTEST("\"C\""), STICPS_OK, ""},
    /* any order, white space, other members and claims */
    {" { " X5U " ,\n\"typ\":\"passport\", \"kid\":[{}], \"ppt\":\"shaken\", \"alg\":\"ES256\"} ",
     "{ " ORIGID ",\"x\":{\"y\":1e99,\"z\":99999999999999999999}, " ORIG "," IAT "," DEST
     ",\"attest\" : \"A\" }\n",
     STICPS_OK, ""},
    {HEADER, WITH_DEST("{\"uri\":[\"sip:a@b.example\"],\"tn\":[\"19032469103\"]}"), STICPS_OK, ""},
    {HEADER, WITH_DEST_TN("[\"1\"]"), STICPS_OK, ""},
    {HEADER, WITH_DEST_TN("[\"123456789012345\"]"), STICPS_OK, ""},
    {HEADER, WITH_ORIG("{\"tn\":\"911\",\"x\":null}"), STICPS_OK, ""},
    {HEADER, WITH_ORIGID("\"4AEC94E2-508C-4c1c-907B-3737BAC0A80E\""), STICPS_OK, ""},

#define BAD STICPS_ERR_MALFORMED, ""
    {"", PAYLOAD, STICPS_ERR_MALFORMED, ""},
    {"[]", PAYLOAD, BAD},
    {"null", PAYLOAD, BAD},
    {"{", PAYLOAD, BAD},
    {HEADER "x", PAYLOAD, BAD},
    {"{\"alg\":\"ES256\",\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}",
     PAYLOAD, BAD},
    {"{\"x\":\"\xff\"," X5U "}", PAYLOAD, BAD},
    {"{\"x\":" DEEP_17 "," X5U "}", PAYLOAD, BAD},
    {HEADER, "[]", BAD},
    {HEADER, "\"x\"", BAD},
    {HEADER, "{\"attest\":\"A\"", BAD},
    {HEADER, PAYLOAD PAYLOAD, BAD},
    {HEADER, "{\"attest\":\"A\",\"attest\":\"A\"," DEST "," IAT "," ORIG "," ORIGID "}", BAD},
    {HEADER, WITH_DEST("{\"tn\":[\"1\"],\"tn\":[\"1\"]}"), BAD},
    {HEADER, WITH_ORIG("{\"tn\":\"1\",\"x\":" DEEP_17 "}"), BAD},
    {HEADER, WITH_ATTEST("\"\\u0000\""), BAD},
    {HEADER, WITH_IAT("01584983402"), BAD},
    /* before anything that alg or a claim would say */
    {"{\"alg\":\"none\"}", "{", BAD},
#undef BAD

#define BAD STICPS_ERR_UNSUPPORTED_CREDENTIAL, "alg"
    {"{}", PAYLOAD, BAD},
    {"{\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD},
    {"{\"alg\":\"none\",\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD},
    {"{\"alg\":\"es256\",\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD},
    {"{\"alg\":\"ES384\",\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD},
    {"{\"alg\":null,\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD},
    {"{\"alg\":[\"ES256\"],\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD},
    /* before crit, typ, claims, iat and x5u */
    {"{\"alg\":\"ES512\",\"crit\":[]}", "{}", BAD},
#undef BAD

#define BAD(where) STICPS_ERR_INVALID_IDENTITY_HEADER, where
    {"{\"crit\":[\"x\"],\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}",
     PAYLOAD, BAD("crit")},
    {"{\"crit\":null,\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"," X5U "}", PAYLOAD,
     BAD("crit")},
    {"{\"alg\":\"ES256\",\"ppt\":\"shaken\"," X5U "}", PAYLOAD, BAD("typ")},
    {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"JWT\"," X5U "}", PAYLOAD, BAD("typ")},
    {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"PASSporT\"," X5U "}", PAYLOAD, BAD("typ")},
    {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":1," X5U "}", PAYLOAD, BAD("typ")},
    {"{\"alg\":\"ES256\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD("ppt")},
    {"{\"alg\":\"ES256\",\"ppt\":\"div\",\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD("ppt")},
    {"{\"alg\":\"ES256\",\"ppt\":[\"shaken\"],\"typ\":\"passport\"," X5U "}", PAYLOAD, BAD("ppt")},
    {HEADER, "{}", BAD("attest")},
    {HEADER, "{" DEST "," IAT "," ORIG "," ORIGID "}", BAD("attest")},
    {HEADER, WITH_ATTEST("\"D\""), BAD("attest")},
    {HEADER, WITH_ATTEST("\"a\""), BAD("attest")},
    {HEADER, WITH_ATTEST("\"AB\""), BAD("attest")},
    {HEADER, WITH_ATTEST("\"\""), BAD("attest")},
    {HEADER, WITH_ATTEST("\"A \""), BAD("attest")},
    {HEADER, WITH_ATTEST("65"), BAD("attest")},
    {HEADER, WITH_ATTEST("[\"A\"]"), BAD("attest")},
    {HEADER, "{\"attest\":\"A\"," IAT "," ORIG "," ORIGID "}", BAD("dest")},
    {HEADER, WITH_DEST("[\"19032469103\"]"), BAD("dest")},
    {HEADER, WITH_DEST("null"), BAD("dest")},
    {HEADER, WITH_DEST("{}"), BAD("dest.tn")},
    {HEADER, WITH_DEST("{\"uri\":[\"sip:a@b.example\"]}"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("\"19032469103\""), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("{\"0\":\"19032469103\"}"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[19032469103]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[\"\"]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[\"+19032469103\"]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[\"1-903-246-9103\"]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[\"1 9032469103\"]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[\"1234567890123456\"]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[\"19032469103\",\"x\"]"), BAD("dest.tn")},
    {HEADER, WITH_DEST_TN("[\"19032469103\",null]"), BAD("dest.tn")},
    {HEADER, "{\"attest\":\"A\"," DEST "," IAT "," ORIGID "}", BAD("orig")},
    {HEADER, WITH_ORIG("\"12013776051\""), BAD("orig")},
    {HEADER, WITH_ORIG("{}"), BAD("orig.tn")},
    {HEADER, WITH_ORIG("{\"uri\":\"sip:a@b.example\"}"), BAD("orig.tn")},
    {HEADER, WITH_ORIG("{\"tn\":12013776051}"), BAD("orig.tn")},
    {HEADER, WITH_ORIG("{\"tn\":[\"12013776051\"]}"), BAD("orig.tn")},
    {HEADER, WITH_ORIG("{\"tn\":\"+12013776051\"}"), BAD("orig.tn")},
    {HEADER, WITH_ORIG("{\"tn\":\"anonymous\"}"), BAD("orig.tn")},
    {HEADER, "{\"attest\":\"A\"," DEST "," ORIG "," ORIGID "}", BAD("iat")},
    {HEADER, WITH_IAT("1584983402.0"), BAD("iat")},
    {HEADER, WITH_IAT("1.584983402e9"), BAD("iat")},
    {HEADER, WITH_IAT("\"1584983402\""), BAD("iat")},
    {HEADER, WITH_IAT("null"), BAD("iat")},
    {HEADER, WITH_IAT("9223372036854775808"), BAD("iat")},
    {HEADER, "{\"attest\":\"A\"," DEST "," IAT "," ORIG "}", BAD("origid")},
    {HEADER, WITH_ORIGID("\"\""), BAD("origid")},
    {HEADER, WITH_ORIGID("\"4aec94e2-508c-4c1c-907b-3737bac0a80\""), BAD("origid")},
    {HEADER, WITH_ORIGID("\"4aec94e2-508c-4c1c-907b-3737bac0a80e0\""), BAD("origid")},
    {HEADER, WITH_ORIGID("\"4aec94e2-508c-4c1c-907b-3737bac0a80g\""), BAD("origid")},
    {HEADER, WITH_ORIGID("\"4aec94e2508c4c1c907b3737bac0a80e\""), BAD("origid")},
    {HEADER, WITH_ORIGID("\"4aec94e25-08c-4c1c-907b-3737bac0a80e\""), BAD("origid")},
    {HEADER, WITH_ORIGID("\"{4aec94e2-508c-4c1c-907b-3737bac0a80}\""), BAD("origid")},
    {HEADER, WITH_ORIGID("4"), BAD("origid")},
    /* before iat and x5u */
    {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"}",
     "{\"attest\":\"A\"," DEST ",\"iat\":1," ORIG "}", BAD("origid")},
#undef BAD

    {HEADER, WITH_IAT("0"), STICPS_ERR_STALE_DATE, "iat"},
    {HEADER, WITH_IAT("-1"), STICPS_ERR_STALE_DATE, "iat"},
    {HEADER, WITH_IAT("9223372036854775807"), STICPS_ERR_STALE_DATE, "iat"},
    {HEADER, WITH_IAT("-9223372036854775808"), STICPS_ERR_STALE_DATE, "iat"},
    {HEADER, WITH_IAT("1584983402000"), STICPS_ERR_STALE_DATE, "iat"}, /* milliseconds */
    /* before x5u */
    {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"}", WITH_IAT("0"),
     STICPS_ERR_STALE_DATE, "iat"},

#define BAD PAYLOAD, STICPS_ERR_BAD_IDENTITY_INFO, "x5u"
#define WITH_X5U(v) "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":" v "}"
    {"{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\"}", BAD},
    {WITH_X5U("null"), BAD},
    {WITH_X5U("[\"https://cr.example.com/a.crt\"]"), BAD},
    {WITH_X5U("\"\""), BAD},
    {WITH_X5U("\"http://cr.example.com/a.crt\""), BAD},
    {WITH_X5U("\"https://cr.example.com:444/a.crt\""), BAD},
    {WITH_X5U("\"https://u@cr.example.com/a.crt\""), BAD},
    {WITH_X5U("\"https://cr.example.com/a.crt?\""), BAD},
    {WITH_X5U("\"https://cr.example.com/a.crt#\""), BAD},
    {WITH_X5U("\"https://127.0.0.1/a.crt\""), BAD},
#undef BAD
};

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sticps_error err = {0};
        enum sticps_err rc = parse(cases[i].header, cases[i].payload, NOW, NULL, &err);
        if (rc != cases[i].rc || strcmp(err.where, cases[i].where) != 0)
            fail_msg("%s %s: %s at \"%s\": %s", cases[i].header, cases[i].payload,
                     sticps_err_name(rc), err.where, err.text);
    }
}

static void test_form(void **state)
{
    (void)state;
    char *good = token_of(HEADER, strlen(HEADER), PAYLOAD, strlen(PAYLOAD));
    static const char *const around[][2] = {
        {"", "\n"},
        {"", "\r\n"},
        {" ", ""},
        {"", " "},
        {"", ";info=<https://cr.example.com/a.crt>;alg=ES256;ppt=shaken"},
        {"", "="},
        {"", "."},
        {".", ""},
        {"\"", "\""},
        {"", ".QQ"},
    };
    struct sticps_error err;
    struct passport *p = NULL;
    for (size_t i = 0; i < COUNT(around); i++) {
        char text[4096];
        int len = snprintf(text, sizeof(text), "%s%s%s", around[i][0], good, around[i][1]);
        assert_int_equal(passport_parse(text, (size_t)len, &rules, NOW, &p, &err),
                         STICPS_ERR_MALFORMED);
        assert_null(p);
    }
    assert_int_equal(passport_parse("", 0, &rules, NOW, &p, &err), STICPS_ERR_MALFORMED);
    /* The compact form of RFC 8225 s7 has no header and payload. */
    assert_int_equal(passport_parse("..QUFB", 6, &rules, NOW, &p, &err), STICPS_ERR_MALFORMED);
    free(good);
}

static void test_size(void **state)
{
    (void)state;
    /* White space at the end of the payload brings a token to any length but every fourth. */
    for (int more = -4; more <= 4; more++) {
        size_t target = (size_t)(PASSPORT_MAX_BYTES + more);
        size_t frame = base64url_encoded_size(strlen(HEADER)) + 2 + 86;
        size_t payload_len = base64url_decoded_size(target - frame);
        if (base64url_encoded_size(payload_len) != target - frame)
            continue;
        char *payload = malloc(payload_len);
        memset(payload, ' ', payload_len);
        memcpy(payload, PAYLOAD, strlen(PAYLOAD));
        char *token = token_of(HEADER, strlen(HEADER), payload, payload_len);
        struct passport *p = NULL;
        assert_int_equal(strlen(token), target);
        assert_int_equal(passport_parse(token, target, &rules, NOW, &p, NULL),
                         more <= 0 ? STICPS_OK : STICPS_ERR_MALFORMED);
        passport_free(p);
        free(token);
        free(payload);
    }
}

static void test_window(void **state)
{
    (void)state;
    static const struct {
        int64_t age;
        enum sticps_err rc;
    } window[] = {{0, STICPS_OK},
                  {60, STICPS_OK},
                  {61, STICPS_ERR_STALE_DATE},
                  {-5, STICPS_OK},
                  {-6, STICPS_ERR_STALE_DATE}};
    for (size_t i = 0; i < COUNT(window); i++)
        assert_int_equal(parse(HEADER, PAYLOAD, NOW + window[i].age, NULL, NULL), window[i].rc);
    assert_int_equal(parse(HEADER, PAYLOAD, INT64_MAX, NULL, NULL), STICPS_ERR_STALE_DATE);
    assert_int_equal(parse(HEADER, PAYLOAD, 0, NULL, NULL), STICPS_ERR_STALE_DATE);
    /* so long ago that the difference to now is no 64-bit number */
    assert_int_equal(parse(HEADER, WITH_IAT("-9223372036854775808"), NOW, NULL, NULL),
                     STICPS_ERR_STALE_DATE);
    assert_int_equal(parse(HEADER, WITH_IAT("-9223372036854775807"), INT64_MAX, NULL, NULL),
                     STICPS_ERR_STALE_DATE);
    assert_int_equal(parse(HEADER, WITH_IAT("-5"), -1, NULL, NULL), STICPS_OK); /* not compared */
}

static void test_numbers(void **state)
{
    (void)state;
    struct passport *p;
    /* Ten digits get the 1, duplicates go, the order is no matter. */
    assert_int_equal(parse(HEADER,
                           WITH_DEST_TN("[\"442071838750\",\"19032469103\",\"9032469103\",\"911\","
                                        "\"442071838750\"]"),
                           NOW, &p, NULL),
                     STICPS_OK);
    assert_int_equal(p->dest_len, 3);
    assert_string_equal(p->dest[0].digits, "19032469103");
    assert_string_equal(p->dest[1].digits, "442071838750");
    assert_string_equal(p->dest[2].digits, "911");
    passport_free(p);

    char *token = token_of(HEADER, strlen(HEADER), WITH_ORIG("{\"tn\":\"2013776051\"}"),
                           strlen(WITH_ORIG("{\"tn\":\"2013776051\"}")));
    struct passport_rules no_country = PASSPORT_RULES_DEFAULT;
    no_country.default_country = 0;
    assert_int_equal(passport_parse(token, strlen(token), &no_country, NOW, &p, NULL), STICPS_OK);
    assert_string_equal(p->orig.digits, "2013776051");
    passport_free(p);
    assert_int_equal(passport_parse(token, strlen(token), &rules, NOW, &p, NULL), STICPS_OK);
    assert_string_equal(p->orig.digits, "12013776051");
    passport_free(p);
    free(token);
}

static void test_lab(void **state)
{
    (void)state;
    static const char header[] = WITH_X5U("\"https://127.0.0.1:8443/a.crt\"");
    struct passport_rules lab = PASSPORT_RULES_DEFAULT;
    lab.lab = true;
    struct passport *p;
    char *token = token_of(header, strlen(header), PAYLOAD, strlen(PAYLOAD));
    assert_int_equal(passport_parse(token, strlen(token), &lab, NOW, &p, NULL), STICPS_OK);
    assert_string_equal(p->x5u, "https://127.0.0.1:8443/a.crt");
    passport_free(p);
    free(token);
}

static void test_same_call(void **state)
{
    (void)state;
    static const struct {
        const char *orig, *dest;
        bool same;
    } others[] = {
        {"12013776051", "[\"19032469103\",\"442071838750\"]", true},
        {"2013776051", "[\"442071838750\",\"9032469103\",\"442071838750\"]", true},
        {"12013776052", "[\"19032469103\",\"442071838750\"]", false},
        {"12013776051", "[\"19032469103\"]", false},
        {"12013776051", "[\"19032469103\",\"442071838751\"]", false},
        {"12013776051", "[\"19032469103\",\"442071838750\",\"911\"]", false},
    };
    struct passport *first = NULL;
    for (size_t i = 0; i < COUNT(others); i++) {
        char payload[512];
        struct passport *p;
        snprintf(payload, sizeof(payload),
                 "{\"attest\":\"A\",\"dest\":{\"tn\":%s}," IAT ",\"orig\":{\"tn\":\"%s\"}," ORIGID
                 "}",
                 others[i].dest, others[i].orig);
        assert_int_equal(parse(HEADER, payload, NOW, &p, NULL), STICPS_OK);
        if (first == NULL)
            first = p;
        assert_int_equal(passport_same_call(first, p), others[i].same);
        assert_int_equal(passport_same_call(p, first), others[i].same);
        if (p != first)
            passport_free(p);
    }
    passport_free(first);
}

/* ---- making ---- */

static struct tn tn_of(const char *digits)
{
    struct tn tn = {{0}};
    memcpy(tn.digits, digits, strlen(digits));
    return tn;
}

static void test_sign(void **state)
{
    (void)state;
    struct tn orig = tn_of("12013776051"), dest[] = {tn_of("19032469103"), tn_of("911")};
    struct passport_claims claims = {.attest = "A",
                                     .dest = dest,
                                     .dest_len = 1,
                                     .orig = &orig,
                                     .iat = 1584983402,
                                     .origid = "4aec94e2-508c-4c1c-907b-3737bac0a80e",
                                     .x5u = "https://certificates.clearip.com/4a871c06-e0b5-4cb9-"
                                            "8347-43126bd86c85/646b1be373f16eaf8753799e3499032a."
                                            "crt"};
    char *token;
    size_t len;
    struct sticps_error err;
    /* The specification's sample, up to the signature. */
    assert_int_equal(passport_sign(&claims, false, key, &token, &len, &err), STICPS_OK);
    assert_int_equal(len, strlen(sample));
    assert_int_equal(strlen(token), len);
    assert_memory_equal(token, sample, len - 86);
    free(token);

    /* Read back and verified with a certificate. */
    struct pki_spec spec = pki_sti_spec(key, NULL, NULL);
    EVP_PKEY *other_key = pki_p256();
    X509 *cert = pki_make(&spec);
    spec.key = other_key;
    X509 *other_cert = pki_make(&spec);
    char *pem = pki_pem(&cert, 1), *other_pem = pki_pem(&other_cert, 1);
    struct cert_chain *chain, *other;
    assert_int_equal(cert_chain_parse(pem, strlen(pem), STICPS_ERR_FILE, &chain, NULL), STICPS_OK);
    assert_int_equal(cert_chain_parse(other_pem, strlen(other_pem), STICPS_ERR_FILE, &other, NULL),
                     STICPS_OK);
    struct passport *p;
    claims.attest = "C";
    claims.dest_len = 2;
    assert_int_equal(passport_sign(&claims, false, key, &token, &len, &err), STICPS_OK);
    assert_int_equal(passport_parse(token, len, &rules, NOW, &p, &err), STICPS_OK);
    assert_int_equal(p->attest, 'C');
    assert_int_equal(p->dest_len, 2);
    assert_int_equal(passport_verify_signature(p, chain, &err), STICPS_OK);
    assert_int_equal(passport_verify_signature(p, other, &err), STICPS_ERR_INVALID_IDENTITY_HEADER);
    passport_free(p);
    /* Another signature of the right form. */
    token[len - 10] = token[len - 10] == 'A' ? 'B' : 'A';
    assert_int_equal(passport_parse(token, len, &rules, NOW, &p, &err), STICPS_OK);
    assert_int_equal(passport_verify_signature(p, chain, &err), STICPS_ERR_INVALID_IDENTITY_HEADER);
    passport_free(p);
    /* None, and half of one. */
    assert_int_equal(passport_parse(token, len - 86, &rules, NOW, &p, &err), STICPS_OK);
    assert_int_equal(passport_verify_signature(p, chain, &err), STICPS_ERR_INVALID_IDENTITY_HEADER);
    passport_free(p);
    assert_int_equal(passport_parse(token, len - 46, &rules, NOW, &p, &err), STICPS_OK);
    assert_int_equal(passport_verify_signature(p, chain, &err), STICPS_ERR_INVALID_IDENTITY_HEADER);
    passport_free(p);
    free(token);
    cert_chain_unref(chain);
    cert_chain_unref(other);
    free(pem);
    free(other_pem);
    X509_free(cert);
    X509_free(other_cert);
    EVP_PKEY_free(other_key);
}

static void test_sign_refused(void **state)
{
    (void)state;
    struct tn orig = tn_of("12013776051"), plus = tn_of("+1201377605"), empty = tn_of("");
    struct tn many[2000];
    const struct passport_claims good = {.attest = "A",
                                         .dest = &orig,
                                         .dest_len = 1,
                                         .orig = &orig,
                                         .iat = NOW,
                                         .origid = "4aec94e2-508c-4c1c-907b-3737bac0a80e",
                                         .x5u = "https://cr.example.com/a.crt"};
    struct passport_claims bad[15];
    size_t count = 0;
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = orig;
    for (size_t i = 0; i < COUNT(bad); i++)
        bad[i] = good;
    bad[count++].attest = "D";
    bad[count++].attest = "";
    bad[count++].attest = "AA";
    bad[count++].attest = NULL;
    bad[count++].dest_len = 0;
    bad[count++].dest = &plus;
    bad[count++].dest = &empty;
    bad[count++].orig = &plus;
    bad[count++].orig = &empty;
    bad[count++].iat = -1;
    bad[count++].origid = "4aec94e2";
    bad[count++].origid = NULL;
    bad[count++].x5u = "http://cr.example.com/a.crt";
    bad[count++].x5u = NULL;
    bad[count].dest = many;
    bad[count++].dest_len = COUNT(many);
    assert_int_equal(count, COUNT(bad));
    for (size_t i = 0; i < count; i++) {
        char *token = NULL;
        size_t len = 0;
        struct sticps_error err = {0};
        enum sticps_err rc = passport_sign(&bad[i], false, key, &token, &len, &err);
        if (rc != STICPS_ERR_USAGE)
            fail_msg("case %zu: %s", i, sticps_err_name(rc));
        assert_null(token);
        assert_true(err.text[0] != '\0' && err.where[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample), cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_form),   cmocka_unit_test(test_size),
        cmocka_unit_test(test_window), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_lab),    cmocka_unit_test(test_same_call),
        cmocka_unit_test(test_sign),   cmocka_unit_test(test_sign_refused),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}

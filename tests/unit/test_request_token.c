/* Signed requests: the claims, and whether a token is of the request that it came with. Tokens are
 * written out here, not by request_token_sign, which has a test of its own. */
#include "common/request_token.h"

#include "tests/unit/one_key.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BASE "https://registry.example.com"
#define TARGET "/api/v1/account/sp/cps/1234"
#define BODY "{\"url\":\"https://cps.example.com\"}"
/* openssl dgst -sha256 -binary | base64 of BODY and of nothing */
#define BODY_HASH "sha256-NbR313LYKRqGpz4TQLlHXG1vBvsUthZuLsbT9VjxpwI="
#define EMPTY_HASH "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define X5U "https://certs.example.com/sp.crt"
#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}"

/* ---- a token and its request ---- */

/* Claims as JSON text; NULL: not there. */
struct claims {
    const char *iss, *aud, *action, *iat, *exp, *jti, *htm, *htu, *body;
};

/* PKI_NOW is 1700000000. */
static const struct claims good = {
    .iss = "\"1234\"",
    .aud = "\"registry.example.com\"",
    .action = "\"provision\"",
    .iat = "1700000000",
    .exp = "1700000060",
    .jti = "\"a-1\"",
    .htm = "\"PUT\"",
    .htu = "\"" BASE TARGET "\"",
    .body = "\"" BODY_HASH "\"",
};
static const struct request_facts put = {
    .action = "provision",
    .base_url = BASE,
    .method = "PUT",
    .target = TARGET,
    .body = BODY,
    .body_len = sizeof(BODY) - 1,
};

static void add(char *out, size_t size, const char *name, const char *value)
{
    size_t used = strlen(out);
    if (value != NULL)
        snprintf(out + used, size - used, "%s\"%s\":%s", used > 1 ? "," : "", name, value);
}

static char *token_of(const char *header, const struct claims *c, size_t *len)
{
    char payload[8192] = "{";
    char *token = NULL;
    add(payload, sizeof(payload), "iss", c->iss);
    add(payload, sizeof(payload), "aud", c->aud);
    add(payload, sizeof(payload), "action", c->action);
    add(payload, sizeof(payload), "iat", c->iat);
    add(payload, sizeof(payload), "exp", c->exp);
    add(payload, sizeof(payload), "jti", c->jti);
    add(payload, sizeof(payload), "htm", c->htm);
    add(payload, sizeof(payload), "htu", c->htu);
    add(payload, sizeof(payload), "body", c->body);
    strcat(payload, "}");
    assert_int_equal(
        jws_sign(header, strlen(header), payload, strlen(payload), key, &token, len, NULL),
        STICPS_OK);
    return token;
}

static struct sticps_error last;

static enum request_token_fault judge(const char *header, const struct claims *claims,
                                      const struct request_facts *facts, int64_t now)
{
    struct request_token *token = NULL;
    size_t len;
    char *text = token_of(header, claims, &len);
    last = (struct sticps_error){0};
    enum request_token_fault what = request_token_parse(text, len, false, &token, &last);
    if (what == REQUEST_TOKEN_GOOD)
        what = request_token_check(token, facts, now, &last);
    else
        assert_null(token);
    request_token_free(token);
    free(text);
    return what;
}

static void expect_at(int line, enum request_token_fault expected, enum request_token_fault got)
{
    if (got != expected)
        fail_msg("line %d: fault %d, not %d: %s", line, (int)got, (int)expected, last.text);
}
#define EXPECT(expected, header, claims, facts) \
    expect_at(__LINE__, expected, judge(header, claims, facts, PKI_NOW))

/* The good claims but for one. */
static struct claims changed;
static const struct claims *but(size_t offset, const char *value)
{
    changed = good;
    memcpy((char *)&changed + offset, &value, sizeof(value));
    return &changed;
}
#define BUT(member, value) but(offsetof(struct claims, member), value)

/* ---- tests ---- */

static void test_good(void **state)
{
    (void)state;
    struct request_token *token = NULL;
    size_t len;
    char *text = token_of(HEADER, &good, &len);
    assert_int_equal(request_token_parse(text, len, false, &token, &last), REQUEST_TOKEN_GOOD);
    assert_string_equal(token->iss.text, "1234");
    assert_string_equal(token->jti, "a-1");
    assert_string_equal(token->x5u, X5U);
    assert_true(token->exp == PKI_NOW + 60);
    assert_int_equal(request_token_check(token, &put, PKI_NOW, &last), REQUEST_TOKEN_GOOD);
    assert_true(request_token_is_one(text, len));
    request_token_free(token);
    free(text);
}

static void test_claims(void **state)
{
    (void)state;
    const struct {
        size_t offset;
        const char *value;
        enum request_token_fault expected;
    } cases[] = {
#define CASE(member, value, fault) {offsetof(struct claims, member), value, REQUEST_TOKEN_##fault}
        CASE(iss, NULL, CLAIM),
        CASE(iss, "1234", CLAIM),
        CASE(iss, "\"\"", CLAIM),
        CASE(iss, "\"12345\"", CLAIM),
        CASE(iss, "\"vwc55\"", CLAIM), /* a claim is in its canonical form */
        CASE(iss, "[\"1234\"]", CLAIM),
        CASE(aud, NULL, CLAIM),
        CASE(aud, "[\"registry.example.com\"]", CLAIM),
        CASE(aud, "\"Registry.Example.COM\"", GOOD),
        CASE(aud, "\"other.example.com\"", MISMATCH),
        CASE(aud, "\"registry.example.co\"", MISMATCH),
        CASE(aud, "\"registry.example.com.\"", MISMATCH),
        CASE(aud, "\"registry.example.com:443\"", MISMATCH),
        CASE(aud, "\"" BASE "\"", MISMATCH),
        CASE(aud, "\"\"", MISMATCH),
        CASE(action, NULL, CLAIM),
        CASE(action, "true", CLAIM),
        CASE(action, "\"publish\"", MISMATCH),
        CASE(action, "\"Provision\"", MISMATCH),
        CASE(iat, NULL, CLAIM),
        CASE(iat, "\"1700000000\"", CLAIM),
        CASE(iat, "1700000000.0", CLAIM),
        CASE(iat, "-1", CLAIM),
        CASE(iat, "9223372036854775807", TIME),
        CASE(iat, "9223372036854775808", CLAIM),
        CASE(iat, "0", TIME),
        CASE(iat, "1699999999", TIME), /* then exp is 61 s later */
        CASE(iat, "1700000005", GOOD), /* a clock that is ahead */
        CASE(iat, "1700000006", TIME),
        CASE(exp, NULL, CLAIM),
        CASE(exp, "null", CLAIM),
        CASE(exp, "1700000060.5", CLAIM),
        CASE(exp, "1700000061", TIME),
        CASE(exp, "1700000000", TIME), /* not after iat */
        CASE(exp, "1699999999", TIME),
        CASE(exp, "1700000001", GOOD),
        CASE(exp, "9223372036854775807", TIME),
        CASE(jti, NULL, CLAIM),
        CASE(jti, "7", CLAIM),
        CASE(jti, "\"\"", CLAIM),
        CASE(jti, "\"a b\"", CLAIM),
        CASE(jti, "\"\\u00e9\"", CLAIM),
        CASE(jti, "\"a\\u0000b\"", MALFORMED),
        CASE(htm, NULL, CLAIM),
        CASE(htm, "\"put\"", MISMATCH),
        CASE(htm, "\"GET\"", MISMATCH),
        CASE(htm, "\"\"", MISMATCH),
        CASE(htu, NULL, CLAIM),
        CASE(htu, "1", CLAIM),
        CASE(body, NULL, CLAIM), /* the request has one */
        CASE(body, "null", CLAIM),
        CASE(body, "\"\"", MISMATCH),
        CASE(body, "\"" EMPTY_HASH "\"", MISMATCH),
        CASE(body, "\"sha256-NbR313LYKRqGpz4TQLlHXG1vBvsUthZuLsbT9VjxpwI\"", MISMATCH),
        CASE(body, "\"sha512-NbR313LYKRqGpz4TQLlHXG1vBvsUthZuLsbT9VjxpwI=\"", MISMATCH),
#undef CASE
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum request_token_fault got =
            judge(HEADER, but(cases[i].offset, cases[i].value), &put, PKI_NOW);
        if (got != cases[i].expected)
            fail_msg("case %zu, %s: fault %d, not %d: %s", i,
                     cases[i].value != NULL ? cases[i].value : "missing", (int)got,
                     (int)cases[i].expected, last.text);
        assert_true((got == REQUEST_TOKEN_GOOD) == (last.text[0] == '\0'));
    }
}

static void test_jti_length(void **state)
{
    (void)state;
    char jti[REQUEST_TOKEN_MAX_JTI + 4];
    memset(jti, 'x', sizeof(jti));
    jti[0] = jti[REQUEST_TOKEN_MAX_JTI + 1] = '"';
    jti[REQUEST_TOKEN_MAX_JTI + 2] = '\0';
    EXPECT(REQUEST_TOKEN_GOOD, HEADER, BUT(jti, jti), &put);
    jti[REQUEST_TOKEN_MAX_JTI + 1] = 'x';
    jti[REQUEST_TOKEN_MAX_JTI + 2] = '"';
    jti[REQUEST_TOKEN_MAX_JTI + 3] = '\0';
    EXPECT(REQUEST_TOKEN_CLAIM, HEADER, BUT(jti, jti), &put);
}

static void test_header(void **state)
{
    (void)state;
    const struct {
        const char *header;
        enum request_token_fault expected;
    } cases[] = {
        {"{\"x5u\":\"" X5U "\",\"kid\":\"1\",\"typ\":\"JWT\",\"alg\":\"ES256\"}",
         REQUEST_TOKEN_GOOD},
        {"{\"alg\":\"none\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}", REQUEST_TOKEN_ALGORITHM},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}", REQUEST_TOKEN_ALGORITHM},
        {"{\"alg\":\"ES384\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}", REQUEST_TOKEN_ALGORITHM},
        {"{\"alg\":\"es256\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}", REQUEST_TOKEN_ALGORITHM},
        {"{\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}", REQUEST_TOKEN_ALGORITHM},
        {"{\"alg\":[\"ES256\"],\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}", REQUEST_TOKEN_ALGORITHM},
        {"{\"alg\":\"ES256\",\"x5u\":\"" X5U "\"}", REQUEST_TOKEN_HEADER},
        {"{\"alg\":\"ES256\",\"typ\":\"passport\",\"ppt\":\"shaken\",\"x5u\":\"" X5U "\"}",
         REQUEST_TOKEN_HEADER},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"crit\":[\"b64\"],\"x5u\":\"" X5U "\"}",
         REQUEST_TOKEN_HEADER},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"}", REQUEST_TOKEN_X5U},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":7}", REQUEST_TOKEN_X5U},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"http://certs.example.com/a\"}",
         REQUEST_TOKEN_X5U},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"https://127.0.0.1/a\"}", REQUEST_TOKEN_X5U},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"https://certs.example.com:22/a\"}",
         REQUEST_TOKEN_X5U},
        {"{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"" X5U "\"}",
         REQUEST_TOKEN_MALFORMED},
        {"[]", REQUEST_TOKEN_MALFORMED},
        {"", REQUEST_TOKEN_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum request_token_fault got = judge(cases[i].header, &good, &put, PKI_NOW);
        if (got != cases[i].expected)
            fail_msg("%s: fault %d, not %d: %s", cases[i].header, (int)got, (int)cases[i].expected,
                     last.text);
    }
}

static void test_url(void **state)
{
    (void)state;
    const struct {
        bool same;
        const char *base, *target, *htu;
    } cases[] = {
        {true, BASE, TARGET, "HTTPS://Registry.example.COM" TARGET},
        {true, BASE, TARGET, BASE ":443" TARGET},
        {true, BASE ":443", TARGET, BASE TARGET},
        {true, BASE ":8443", TARGET, BASE ":8443" TARGET},
        {true, BASE "/reg", "/a", BASE "/reg/a"},
        {true, "https://[::1]:8443", "/a", "https://[::1]:8443/a"},
        {true, BASE, "/a?x=1", BASE "/a?x=1"}, /* a query is part of it */
        {false, BASE, "/a?x=1", BASE "/a"},
        {false, BASE, "/a", BASE "/a?x=1"},
        {false, BASE, "/a", BASE "/a?"},
        {false, BASE, "/a?x=1", BASE "/a?x=2"},
        {false, BASE ":8443", "/a", BASE "/a"},
        {false, BASE, "/a", BASE ":8443/a"},
        {false, BASE, "/a", "http://registry.example.com/a"},
        {false, BASE, "/a", "https://registry.example.org/a"},
        {false, BASE, "/a", "https://user@registry.example.com/a"},
        {false, BASE, "/a", BASE "/a#"},
        {false, BASE, "/a", BASE "/A"},
        {false, BASE, "/a", BASE "/a/"},
        {false, BASE, "/a", BASE "//a"},
        {false, BASE, "/a/b", BASE "/x/../a/b"}, /* nothing is normalised */
        {false, BASE, "/a", BASE "/%61"},
        {true, BASE, "/%61", BASE "/%61"},
        {false, BASE, "/", BASE},
        {false, BASE, "/a", "/a"},
        {false, BASE, "/a", ""},
        {false, "https://[::1]", "/a", "https://[::2]/a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char htu[300];
        snprintf(htu, sizeof(htu), "\"%s\"", cases[i].htu);
        struct request_facts facts = put;
        facts.base_url = cases[i].base;
        facts.target = cases[i].target;
        struct claims claims = good;
        claims.htu = htu;
        claims.aud = strstr(cases[i].base, "[::1]") != NULL ? "\"[::1]\"" : good.aud;
        enum request_token_fault got = judge(HEADER, &claims, &facts, PKI_NOW);
        if (got != (cases[i].same ? REQUEST_TOKEN_GOOD : REQUEST_TOKEN_MISMATCH))
            fail_msg("%s against %s%s: fault %d: %s", cases[i].htu, cases[i].base, cases[i].target,
                     (int)got, last.text);
    }
}

static void test_audience_with_port(void **state)
{
    (void)state;
    struct request_facts facts = put;
    struct claims claims = good;
    facts.base_url = BASE ":8443/reg";
    claims.htu = "\"" BASE ":8443/reg" TARGET "\"";
    EXPECT(REQUEST_TOKEN_GOOD, HEADER, &claims, &facts);
    claims.aud = "\"registry.example.com:8443\"";
    EXPECT(REQUEST_TOKEN_GOOD, HEADER, &claims, &facts);
    claims.aud = "\"registry.example.com:8444\"";
    EXPECT(REQUEST_TOKEN_MISMATCH, HEADER, &claims, &facts);
    claims.aud = "\"registry.example.com:8443/reg\"";
    EXPECT(REQUEST_TOKEN_MISMATCH, HEADER, &claims, &facts);
}

static void test_without_a_body(void **state)
{
    (void)state;
    struct request_facts get = put;
    struct claims claims = good;
    get.method = "GET";
    get.body = NULL;
    get.body_len = 0;
    claims.htm = "\"GET\"";
    EXPECT(REQUEST_TOKEN_MISMATCH, HEADER, &claims, &get); /* the hash of another request */
    claims.body = NULL;
    EXPECT(REQUEST_TOKEN_GOOD, HEADER, &claims, &get);
    claims.body = "\"" EMPTY_HASH "\"";
    EXPECT(REQUEST_TOKEN_GOOD, HEADER, &claims, &get);
}

static void test_time(void **state)
{
    (void)state;
    const struct {
        int64_t now;
        enum request_token_fault expected;
    } cases[] = {
        {PKI_NOW - 6, REQUEST_TOKEN_TIME},
        {PKI_NOW - 5, REQUEST_TOKEN_GOOD},
        {PKI_NOW, REQUEST_TOKEN_GOOD},
        {PKI_NOW + 59, REQUEST_TOKEN_GOOD},
        {PKI_NOW + 60, REQUEST_TOKEN_TIME},
        {INT64_MAX, REQUEST_TOKEN_TIME},
        {0, REQUEST_TOKEN_TIME},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(judge(HEADER, &good, &put, cases[i].now), cases[i].expected);
}

static void test_form(void **state)
{
    (void)state;
    const char *const texts[] = {"", ".", "..", "a.b", "a.b.c", "e30.e30.", "e30.e30.AA.AA"};
    struct request_token *token = NULL;
    for (size_t i = 0; i < COUNT(texts); i++) {
        enum request_token_fault got =
            request_token_parse(texts[i], strlen(texts[i]), false, &token, &last);
        assert_true(got != REQUEST_TOKEN_GOOD && token == NULL);
        assert_false(request_token_is_one(texts[i], strlen(texts[i])));
    }
    char *longest = malloc(REQUEST_TOKEN_MAX_BYTES + 1);
    memset(longest, 'A', REQUEST_TOKEN_MAX_BYTES + 1);
    assert_int_equal(
        request_token_parse(longest, REQUEST_TOKEN_MAX_BYTES + 1, false, &token, &last),
        REQUEST_TOKEN_MALFORMED);
    assert_false(request_token_is_one(longest, REQUEST_TOKEN_MAX_BYTES + 1));
    free(longest);
    /* {"alg":"HS256","typ":"JWT"}: an access token, say */
    static const char other[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AA";
    assert_false(request_token_is_one(other, sizeof(other) - 1));
}

static void test_sign(void **state)
{
    (void)state;
    struct spc iss = {"818H"};
    struct request_token *token = NULL;
    struct cert_chain *chain = NULL, *other = NULL;
    size_t len, again_len;
    char *text = NULL, *again = NULL;
    struct request_facts facts = put;
    facts.base_url = BASE ":8443";
    facts.target = TARGET "?x=%20";

    assert_int_equal(request_token_sign(&facts, &iss, X5U, PKI_NOW, 30, key, &text, &len, &last),
                     STICPS_OK);
    assert_int_equal(request_token_parse(text, len, false, &token, &last), REQUEST_TOKEN_GOOD);
    assert_int_equal(request_token_check(token, &facts, PKI_NOW + 29, &last), REQUEST_TOKEN_GOOD);
    assert_int_equal(request_token_check(token, &facts, PKI_NOW + 30, &last), REQUEST_TOKEN_TIME);
    assert_string_equal(token->iss.text, "818H");
    assert_int_equal(strlen(token->jti), 22); /* 128 bits */

    EVP_PKEY *other_key = pki_p256();
    struct pki_spec spec = pki_sti_spec(key, NULL, NULL);
    X509 *cert = pki_make(&spec);
    char *pem = pki_pem(&cert, 1);
    assert_int_equal(cert_chain_parse(pem, strlen(pem), STICPS_ERR_FILE, &chain, NULL), STICPS_OK);
    free(pem);
    X509_free(cert);
    spec = pki_sti_spec(other_key, NULL, NULL);
    cert = pki_make(&spec);
    pem = pki_pem(&cert, 1);
    assert_int_equal(cert_chain_parse(pem, strlen(pem), STICPS_ERR_FILE, &other, NULL), STICPS_OK);
    free(pem);
    X509_free(cert);
    assert_int_equal(request_token_verify(token, chain, &last), STICPS_OK);
    assert_int_equal(request_token_verify(token, other, &last), STICPS_ERR_SIGNATURE);

    assert_int_equal(
        request_token_sign(&facts, &iss, X5U, PKI_NOW, 30, key, &again, &again_len, &last),
        STICPS_OK);
    assert_string_not_equal(text, again); /* another jti */
    free(again);
    again = NULL;

    assert_int_equal(request_token_sign(&facts, &iss, X5U, PKI_NOW, 61, key, &again, &len, &last),
                     STICPS_ERR_USAGE);
    assert_int_equal(request_token_sign(&facts, &iss, X5U, PKI_NOW, 0, key, &again, &len, &last),
                     STICPS_ERR_USAGE);
    assert_int_equal(
        request_token_sign(&facts, &iss, "ftp://x", PKI_NOW, 30, key, &again, &len, &last),
        STICPS_ERR_USAGE);
    facts.base_url = "registry.example.com";
    assert_int_equal(request_token_sign(&facts, &iss, X5U, PKI_NOW, 30, key, &again, &len, &last),
                     STICPS_ERR_USAGE);
    assert_null(again);
    request_token_free(token);
    cert_chain_unref(chain);
    cert_chain_unref(other);
    EVP_PKEY_free(other_key);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_jti_length),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_audience_with_port),
        cmocka_unit_test(test_without_a_body),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_sign),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}

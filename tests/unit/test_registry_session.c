/* server/registry/session and password: tokens under a clock that the test moves, and scrypt
 * against a vector made by Python's hashlib. */
#include "common/base64url.h"
#include "server/registry/password.h"
#include "server/registry/session.h"
#include "server/registry/token_cache.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SID "01234567-89ab-cdef-0123-456789abcdef"

static int64_t test_now;

static int64_t read_now(void *context)
{
    (void)context;
    return test_now;
}

static const struct clock test_clock = {read_now, NULL};
static const unsigned char key[SESSION_KEY_SIZE] = {1, 2, 3};
static const unsigned char other_key[SESSION_KEY_SIZE] = {1, 2, 4};

static struct sessions *make_sessions(const unsigned char *with_key)
{
    struct sessions *sessions = NULL;
    struct sticps_error err;

    test_now = 1590000000;
    assert_int_equal(sessions_new("https://pa.example", 900, &test_clock, &sessions, &err),
                     STICPS_OK);
    if (with_key != NULL)
        assert_int_equal(sessions_set_key(sessions, with_key, &err), STICPS_OK);
    return sessions;
}

static char *make_token(const struct sessions *sessions)
{
    struct sticps_error err;
    char *token = NULL;

    assert_int_equal(session_token_make(sessions, SID, "alice", &token, &err), STICPS_OK);
    return token;
}

static void test_token_lives_for_its_lifetime(void **state)
{
    struct sessions *sessions = make_sessions(key);
    char *token = make_token(sessions);
    struct identity identity;

    (void)state;
    assert_true(session_token_check(sessions, token, &identity));
    assert_string_equal(identity.sid, SID);
    assert_string_equal(identity.user, "alice");
    test_now += 899;
    assert_true(session_token_check(sessions, token, &identity));
    test_now += 1;
    assert_false(session_token_check(sessions, token, &identity));
    free(token);
    sessions_free(sessions);
}

static void test_key(void **state)
{
    struct sessions *none = make_sessions(NULL), *a = make_sessions(key),
                    *b = make_sessions(other_key);
    char *token = make_token(a);
    struct identity identity;
    struct sticps_error err;

    (void)state;
    assert_false(sessions_ready(none));
    assert_true(sessions_ready(a));
    assert_false(session_token_check(none, token, &identity));
    assert_false(session_token_check(b, token, &identity));
    assert_int_equal(sessions_set_key(b, key, &err), STICPS_OK);
    assert_true(session_token_check(b, token, &identity));
    assert_int_equal(sessions_set_key(b, key, &err), STICPS_OK);
    char *unmade = NULL;
    assert_int_not_equal(session_token_make(none, SID, "alice", &unmade, &err), STICPS_OK);
    assert_null(unmade);
    free(token);
    sessions_free(none);
    sessions_free(a);
    sessions_free(b);
}

/* What is remembered ends with its time and with its key, and never stands for another token. */
static void test_recall(void **state)
{
    struct sessions *sessions = make_sessions(key);
    struct token_cache *cache = token_cache_new();
    char *token = make_token(sessions), *changed = strdup(token);
    struct identity identity;
    struct sticps_error err;

    (void)state;
    assert_non_null(changed);
    changed[strlen(changed) - 2] ^= 1;
    for (int i = 0; i < 3; i++) {
        assert_false(session_token_recall(sessions, cache, changed, &identity));
        memset(&identity, 0, sizeof(identity));
        assert_true(session_token_recall(sessions, cache, token, &identity));
        assert_string_equal(identity.sid, SID);
        assert_string_equal(identity.user, "alice");
    }
    test_now += 899;
    assert_true(session_token_recall(sessions, cache, token, &identity));
    test_now += 1;
    assert_false(session_token_recall(sessions, cache, token, &identity));
    test_now -= 1;
    assert_true(session_token_recall(sessions, cache, token, &identity));
    assert_int_equal(sessions_set_key(sessions, other_key, &err), STICPS_OK);
    assert_false(session_token_recall(sessions, cache, token, &identity));
    free(token);
    free(changed);
    token_cache_free(cache);
    sessions_free(sessions);
}

static void test_cache_places(void **state)
{
    struct token_cache *cache = token_cache_new();
    const struct identity alice = {SID, "alice"}, bob = {SID, "bob"};
    unsigned char digest[32] = {1, 2, 3}, same_place[32] = {1, 2, 4};
    int one, other;

    (void)state;
    assert_null(token_cache_get(cache, digest, &one, 0));
    assert_null(token_cache_get(cache, digest, NULL, 0));
    token_cache_put(cache, digest, &one, 100, &alice);
    assert_string_equal(token_cache_get(cache, digest, &one, 99)->user, "alice");
    assert_null(token_cache_get(cache, digest, &one, 100));
    assert_null(token_cache_get(cache, digest, &other, 99));
    assert_null(token_cache_get(cache, same_place, &one, 99));
    token_cache_put(cache, same_place, &one, 100, &bob);
    assert_null(token_cache_get(cache, digest, &one, 99));
    assert_string_equal(token_cache_get(cache, same_place, &one, 99)->user, "bob");
    token_cache_free(cache);
    token_cache_free(NULL);
}

/* A token signed by OpenSSL's HMAC with the right key. */
static char *sign(const char *header, const char *payload, const EVP_MD *digest)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char *out = malloc(2048);

    assert_non_null(out);
    size_t len = base64url_encode(header, strlen(header), out);
    out[len++] = '.';
    len += base64url_encode(payload, strlen(payload), out + len);
    assert_non_null(HMAC(digest, key, sizeof(key), (unsigned char *)out, len, mac, &mac_len));
    out[len++] = '.';
    len += base64url_encode(mac, mac_len, out + len);
    out[len] = '\0';
    return out;
}

static const char good_header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
#define CLAIMS(iss, sub, sid, exp) \
    "{\"exp\":" exp ",\"iat\":1590000000,\"iss\":" iss ",\"sid\":" sid ",\"sub\":" sub "}"
#define ISS "\"https://pa.example\""
#define SUB "\"alice\""
#define SID_TEXT "\"" SID "\""

static void test_signed_tokens(void **state)
{
    static const struct {
        const char *name, *header, *payload;
        bool ours;
    } cases[] = {
        {"as ours are", good_header, CLAIMS(ISS, SUB, SID_TEXT, "1590000900"), true},
        {"other alg", "{\"alg\":\"HS384\",\"typ\":\"JWT\"}",
         CLAIMS(ISS, SUB, SID_TEXT, "1590000900"), false},
        {"none", "{\"alg\":\"none\",\"typ\":\"JWT\"}", CLAIMS(ISS, SUB, SID_TEXT, "1590000900"),
         false},
        {"kid", "{\"alg\":\"HS256\",\"kid\":\"1\",\"typ\":\"JWT\"}",
         CLAIMS(ISS, SUB, SID_TEXT, "1590000900"), false},
        {"white space", "{\"alg\":\"HS256\", \"typ\":\"JWT\"}",
         CLAIMS(ISS, SUB, SID_TEXT, "1590000900"), false},
        {"expired", good_header, CLAIMS(ISS, SUB, SID_TEXT, "1590000000"), false},
        {"exp is text", good_header, CLAIMS(ISS, SUB, SID_TEXT, "\"1590000900\""), false},
        {"exp is real", good_header, CLAIMS(ISS, SUB, SID_TEXT, "1590000900.5"), false},
        {"exp is null", good_header, CLAIMS(ISS, SUB, SID_TEXT, "null"), false},
        {"issuer", good_header, CLAIMS("\"https://other.example\"", SUB, SID_TEXT, "1590000900"),
         false},
        {"issuer is no text", good_header, CLAIMS("1", SUB, SID_TEXT, "1590000900"), false},
        {"no user", good_header, CLAIMS(ISS, "null", SID_TEXT, "1590000900"), false},
        {"short sid", good_header, CLAIMS(ISS, SUB, "\"x\"", "1590000900"), false},
        {"sid of the right length", good_header,
         CLAIMS(ISS, SUB, "\"01234567-89ab-cdef-0123-45678 OR 1=1\"", "1590000900"), false},
        {"no object", good_header, "[]", false},
        {"no JSON", good_header, "x", false},
    };
    struct sessions *sessions = make_sessions(key);
    struct identity identity;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *token = sign(cases[i].header, cases[i].payload, EVP_sha256());

        if (session_token_check(sessions, token, &identity) != cases[i].ours)
            fail_msg("%s", cases[i].name);
        free(token);
    }
    char *token = sign(good_header, CLAIMS(ISS, SUB, SID_TEXT, "1590000900"), EVP_sha512());
    assert_false(session_token_check(sessions, token, &identity));
    free(token);
    sessions_free(sessions);
}

/* Every single changed character is noticed. */
static void test_every_character_counts(void **state)
{
    struct sessions *sessions = make_sessions(key);
    char *token = make_token(sessions);
    struct identity identity;

    (void)state;
    for (size_t i = 0; token[i] != '\0'; i++) {
        char kept = token[i];

        token[i] = kept == 'A' ? 'B' : 'A';
        assert_false(session_token_check(sessions, token, &identity));
        token[i] = '\0';
        assert_false(session_token_check(sessions, token, &identity));
        token[i] = kept;
    }
    assert_true(session_token_check(sessions, token, &identity));
    free(token);
    sessions_free(sessions);
}

static void test_refresh_tokens(void **state)
{
    char a[SESSION_REFRESH_TEXT_SIZE], b[SESSION_REFRESH_TEXT_SIZE];
    char a_hash[SESSION_HASH_TEXT_SIZE], b_hash[SESSION_HASH_TEXT_SIZE],
        again[SESSION_HASH_TEXT_SIZE];
    struct sticps_error err;

    (void)state;
    assert_int_equal(session_refresh_make(a, a_hash, &err), STICPS_OK);
    assert_int_equal(session_refresh_make(b, b_hash, &err), STICPS_OK);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 43);
    session_refresh_hash(a, strlen(a), again);
    assert_string_equal(a_hash, again);
    session_refresh_hash("abc", 3, again); /* FIPS 180-2 appendix B.1 */
    assert_string_equal(again,
                        "\\xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_password_vectors(void **state)
{
    /* hashlib.scrypt(b"pleaseletmein", salt=bytes(range(16)), n=2**14 and 2**15, r=8, p=1,
     * dklen=32) */
    static const char weaker[] =
        "scrypt$14$8$1$AAECAwQFBgcICQoLDA0ODw$UxYE_nON8zrmLNK5lL_j9XPtKMDZ5VR_h1tkExic5Zo";
    static const char ours[] =
        "scrypt$15$8$1$AAECAwQFBgcICQoLDA0ODw$GG4Uy5ENrE8qG8PReC-1tPrgk-oCk3hg4IH0H7rBuAQ";
    static const char *const broken[] = {
        "",
        "x",
        "scrypt$",
        "scrypt$15$8$1$$",
        "scrypt$99$8$1$AAECAwQFBgcICQoLDA0ODw$AA",
        "scrypt$15$8$1$AAECAwQFBgcICQoLDA0ODw",
        "bcrypt$15$8$1$AAECAwQFBgcICQoLDA0ODw$AA",
    };

    (void)state;
    assert_true(password_verify("pleaseletmein", 13, weaker));
    assert_true(password_verify("pleaseletmein", 13, ours));
    assert_false(password_verify("pleaseletmeim", 13, ours));
    assert_false(password_verify("pleaseletmein", 12, ours));
    assert_false(password_verify("", 0, ours));
    assert_false(password_verify("pleaseletmein", 13, NULL));
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_false(password_verify("pleaseletmein", 13, broken[i]));
}

static void test_password_hash(void **state)
{
    char a[PASSWORD_HASH_SIZE], b[PASSWORD_HASH_SIZE], one_time[PASSWORD_ONE_TIME_SIZE];
    struct sticps_error err;

    (void)state;
    assert_int_equal(password_one_time(one_time, &err), STICPS_OK);
    assert_int_equal(strlen(one_time), 20);
    assert_int_equal(password_hash(one_time, 20, a, &err), STICPS_OK);
    assert_int_equal(password_hash(one_time, 20, b, &err), STICPS_OK);
    assert_string_not_equal(a, b);
    assert_true(password_verify(one_time, 20, a));
    assert_true(password_verify(one_time, 20, b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_lives_for_its_lifetime),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_cache_places),
        cmocka_unit_test(test_signed_tokens),
        cmocka_unit_test(test_every_character_counts),
        cmocka_unit_test(test_refresh_tokens),
        cmocka_unit_test(test_password_vectors),
        cmocka_unit_test(test_password_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

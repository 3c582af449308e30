#include "common/base64url.h"
#include "common/jws.h"
#include "common/key.h"

#include "tests/unit/pki.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <pthread.h>

#define CODE STICPS_ERR_FORM

/* RFC 7515 appendix A.3 */
static const char rfc_header[] = "eyJhbGciOiJFUzI1NiJ9";
static const char rfc_payload[] = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                                  "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
static const char rfc_signature[] =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
    "pmWQxfKTUJqPP3-Kg6NU1Q";
static const char rfc_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
static const char rfc_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
static const char order_hex[] = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";

static char rfc_token[512];
static size_t rfc_len;
static EVP_PKEY *rfc_key, *other_key;

static EVP_PKEY *public_key(const char *x, const char *y)
{
    unsigned char point[65] = {0x04};
    size_t len;
    assert_true(base64url_decode(x, strlen(x), point + 1, &len) && len == 32);
    assert_true(base64url_decode(y, strlen(y), point + 33, &len) && len == 32);
    char group[] = "P-256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
        OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static int set_up(void **state)
{
    (void)state;
    rfc_len = (size_t)snprintf(rfc_token, sizeof(rfc_token), "%s.%s.%s", rfc_header, rfc_payload,
                               rfc_signature);
    rfc_key = public_key(rfc_x, rfc_y);
    other_key = pki_p256();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(rfc_key);
    EVP_PKEY_free(other_key);
    return 0;
}

/* Split and verify in one. */
static enum sticps_err check(const char *token, size_t len, EVP_PKEY *key, struct sticps_error *err)
{
    struct jws jws;
    enum sticps_err rc = jws_split(token, len, CODE, &jws, err);
    if (rc != STICPS_OK)
        return rc;
    rc = jws_verify(&jws, key, STICPS_ERR_SIGNATURE, err);
    jws_clear(&jws);
    return rc;
}

static void test_split(void **state)
{
    (void)state;
    struct jws jws;
    assert_int_equal(jws_split(rfc_token, rfc_len, CODE, &jws, NULL), STICPS_OK);
    assert_string_equal((char *)jws.header, "{\"alg\":\"ES256\"}");
    assert_int_equal(jws.header_len, 15);
    assert_string_equal((char *)jws.payload, "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                             "\"http://example.com/is_root\":true}");
    assert_int_equal(jws.payload_len, 70);
    assert_int_equal(jws.signature_len, 64);
    assert_ptr_equal(jws.signing_input, rfc_token);
    assert_int_equal(jws.signing_input_len, strlen(rfc_header) + 1 + strlen(rfc_payload));
    jws_clear(&jws);
    assert_null(jws.header);
    jws_clear(&jws);
}

static void test_split_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "...",
        "Zm9v",
        "Zm9v.Zm9v",
        ".Zm9v.Zm9v",
        "Zm9v..Zm9v",
        "..Zm9v",
        "Zm9v.Zm9v.Zm9v.",
        "Zm9v.Zm9v.Zm9v.Zm9v",
        ".Zm9v.Zm9v.Zm9v",
        "Zm9v.Zm9v.Zm9v\n",
        " Zm9v.Zm9v.Zm9v",
        "Zm9v. Zm9v.Zm9v",
        "Zm8=.Zm9v.Zm9v",
        "Zm9v.Zm8=.Zm9v",
        "Zm9v.Zm9v.Zm8=",
        "Zh.Zm9v.Zm9v",
        "Zm9v.Zh.Zm9v",
        "Zm9v.Zm9v.Zh",
        "A.Zm9v.Zm9v",
        "Zm9v.A.Zm9v",
        "Zm9v.Zm9v.A",
        "Zm+v.Zm9v.Zm9v",
        "Zm9v.Zm9v.Zm9v;info=<https://a.example/c>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct jws jws = {.header_len = 4711};
        struct sticps_error err = {0};
        enum sticps_err rc = jws_split(bad[i], strlen(bad[i]), CODE, &jws, &err);
        if (rc != CODE)
            fail_msg("\"%s\": %s", bad[i], sticps_err_name(rc));
        assert_int_equal(jws.header_len, 4711);
        assert_true(err.text[0] != '\0');
    }
}

static void test_rfc_vector(void **state)
{
    (void)state;
    struct sticps_error err;
    assert_int_equal(check(rfc_token, rfc_len, rfc_key, &err), STICPS_OK);
    assert_int_equal(check(rfc_token, rfc_len, other_key, &err), STICPS_ERR_SIGNATURE);
    assert_int_equal(check(rfc_token, rfc_len, NULL, &err), STICPS_ERR_SIGNATURE);
}

/* One character changed anywhere: never accepted. */
static void test_every_character_counts(void **state)
{
    (void)state;
    char token[sizeof(rfc_token)];
    for (size_t i = 0; i < rfc_len; i++) {
        memcpy(token, rfc_token, rfc_len);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        assert_int_not_equal(check(token, rfc_len, rfc_key, NULL), STICPS_OK);
    }
}

static void test_wrong_keys(void **state)
{
    (void)state;
    EVP_PKEY *p384 = pki_key("P-384"), *k1 = pki_key("secp256k1"), *rsa = EVP_RSA_gen(2048);
    EVP_PKEY *keys[] = {p384, k1, rsa};
    for (size_t i = 0; i < 3; i++) {
        char *token = NULL;
        size_t len = 0;
        assert_false(key_is_p256(keys[i]));
        assert_int_equal(check(rfc_token, rfc_len, keys[i], NULL), STICPS_ERR_SIGNATURE);
        assert_int_equal(jws_sign("{}", 2, "{}", 2, keys[i], &token, &len, NULL), STICPS_ERR_USAGE);
        assert_null(token);
        EVP_PKEY_free(keys[i]);
    }
    assert_true(key_is_p256(rfc_key));
    assert_false(key_is_p256(NULL));
}

static BIGNUM *order(void)
{
    BIGNUM *n = NULL;
    assert_true(BN_hex2bn(&n, order_hex) > 0);
    return n;
}

/* The RFC's token with another signature. */
static enum sticps_err check_signature(const unsigned char *signature, size_t len)
{
    struct jws jws;
    assert_int_equal(jws_split(rfc_token, rfc_len, CODE, &jws, NULL), STICPS_OK);
    jws.signature = (unsigned char *)signature;
    jws.signature_len = len;
    struct sticps_error err = {0};
    enum sticps_err rc = jws_verify(&jws, rfc_key, STICPS_ERR_SIGNATURE, &err);
    jws_clear(&jws);
    return rc;
}

static void test_range_of_r_and_s(void **state)
{
    (void)state;
    unsigned char good[64], raw[64];
    size_t len;
    assert_true(base64url_decode(rfc_signature, strlen(rfc_signature), good, &len) && len == 64);
    assert_int_equal(check_signature(good, 64), STICPS_OK);

    BIGNUM *n = order(), *value = BN_new();
    for (int half = 0; half < 2; half++) {
        unsigned char *at = raw + 32 * half;
        for (int add = -1; add <= 1; add++) { /* n-1, n, n+1 */
            memcpy(raw, good, 64);
            BN_copy(value, n);
            if (add < 0)
                BN_sub_word(value, 1);
            else
                BN_add_word(value, (BN_ULONG)add);
            BN_bn2binpad(value, at, 32);
            assert_int_equal(check_signature(raw, 64), STICPS_ERR_SIGNATURE);
        }
        memcpy(raw, good, 64);
        memset(at, 0, 32);
        assert_int_equal(check_signature(raw, 64), STICPS_ERR_SIGNATURE);
        at[31] = 1;
        assert_int_equal(check_signature(raw, 64), STICPS_ERR_SIGNATURE);
        memset(at, 0xff, 32);
        assert_int_equal(check_signature(raw, 64), STICPS_ERR_SIGNATURE);
    }
    memset(raw, 0, 64);
    assert_int_equal(check_signature(raw, 64), STICPS_ERR_SIGNATURE);

    /* r, n-s is a signature as good as r, s; RFC 7518 does not ask for the smaller one. */
    memcpy(raw, good, 64);
    BN_bin2bn(good + 32, 32, value);
    BN_sub(value, n, value);
    BN_bn2binpad(value, raw + 32, 32);
    assert_int_equal(check_signature(raw, 64), STICPS_OK);
    BN_free(n);
    BN_free(value);
}

static void test_signature_length(void **state)
{
    (void)state;
    unsigned char raw[96] = {0}, *der = NULL;
    size_t len;
    assert_true(base64url_decode(rfc_signature, strlen(rfc_signature), raw, &len));
    for (size_t i = 0; i <= sizeof(raw); i++)
        assert_int_equal(check_signature(raw, i), i == 64 ? STICPS_OK : STICPS_ERR_SIGNATURE);

    ECDSA_SIG *sig = ECDSA_SIG_new();
    assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL)),
                     1);
    int der_len = i2d_ECDSA_SIG(sig, &der);
    assert_true(der_len > 64);
    assert_int_equal(check_signature(der, (size_t)der_len), STICPS_ERR_SIGNATURE);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
}

/* OpenSSL verifies what we sign, and we too; often enough that r and s also begin with zeros, where
 * padding is needed (once in 128 signatures). */
static void test_sign(void **state)
{
    (void)state;
    int padded = 0;
    for (int i = 0; i < 1500; i++) {
        char payload[32], *token = NULL;
        size_t len = 0, n;
        unsigned char raw[64], *der = NULL;
        int payload_len = snprintf(payload, sizeof(payload), "{\"i\":%d}", i);
        assert_int_equal(jws_sign("{\"alg\":\"ES256\"}", 15, payload, (size_t)payload_len,
                                  other_key, &token, &len, NULL),
                         STICPS_OK);
        assert_int_equal(strlen(token), len);
        assert_memory_equal(token, "eyJhbGciOiJFUzI1NiJ9.", 21);
        const char *dot = strrchr(token, '.');
        assert_int_equal(strlen(dot + 1), 86);
        assert_true(base64url_decode(dot + 1, 86, raw, &n));
        padded += raw[0] == 0 || raw[32] == 0;
        if (i < 100 || raw[0] == 0 || raw[32] == 0) {
            ECDSA_SIG *sig = ECDSA_SIG_new();
            ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
            int der_len = i2d_ECDSA_SIG(sig, &der);
            EVP_MD_CTX *md = EVP_MD_CTX_new();
            assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, other_key), 1);
            assert_int_equal(EVP_DigestVerify(md, der, (size_t)der_len,
                                              (const unsigned char *)token, (size_t)(dot - token)),
                             1);
            EVP_MD_CTX_free(md);
            OPENSSL_free(der);
            ECDSA_SIG_free(sig);
            assert_int_equal(check(token, len, other_key, NULL), STICPS_OK);
            assert_int_equal(check(token, len, rfc_key, NULL), STICPS_ERR_SIGNATURE);
        }
        free(token);
    }
    assert_true(padded > 0);
}

static void *on_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++)
        if (check(rfc_token, rfc_len, rfc_key, NULL) != STICPS_OK)
            return rfc_token;
    return NULL;
}

static void test_threads_share_a_key(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, on_thread, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

/* The host's TLS code would take an error that we leave in the queue for its own. */
static void test_error_queue_is_left_alone(void **state)
{
    (void)state;
    unsigned char raw[64];
    memset(raw, 0x77, sizeof(raw));
    EVP_PKEY *p384 = pki_key("P-384");
    ERR_clear_error();
    for (int before = 0; before < 2; before++) {
        if (before)
            ERR_raise(ERR_LIB_USER, 42);
        check_signature(raw, 64);
        check(rfc_token, rfc_len, other_key, NULL);
        check(rfc_token, rfc_len, p384, NULL);
        assert_int_equal(ERR_GET_REASON(ERR_get_error()), before ? 42 : 0);
        assert_int_equal(ERR_peek_error(), 0);
    }
    EVP_PKEY_free(p384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_refused),
        cmocka_unit_test(test_rfc_vector),
        cmocka_unit_test(test_every_character_counts),
        cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_range_of_r_and_s),
        cmocka_unit_test(test_signature_length),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_threads_share_a_key),
        cmocka_unit_test(test_error_queue_is_left_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

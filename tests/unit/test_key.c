#include "common/jws.h"
#include "common/key.h"

#include "tests/unit/pki.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/sticps-test-key-XXXXXX";
static char path[64];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/key.pem", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static FILE *create(void)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

static enum sticps_err load(struct sticps_error *err)
{
    EVP_PKEY *key = NULL;
    enum sticps_err rc = key_load(path, &key, err);
    assert_true((rc == STICPS_OK) == (key != NULL));
    EVP_PKEY_free(key);
    assert_int_equal(ERR_peek_error(), 0);
    return rc;
}

static void write_sec1(EVP_PKEY *key, FILE *file)
{
    assert_int_equal(PEM_write_PrivateKey_ex(file, key, NULL, NULL, 0, NULL, NULL, NULL, NULL), 1);
}

static void test_good(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256(), *loaded = NULL;
    FILE *file = create(); /* PKCS #8 */
    write_sec1(key, file);
    fclose(file);
    assert_int_equal(key_load(path, &loaded, NULL), STICPS_OK);
    assert_true(key_is_p256(loaded));
    assert_int_equal(EVP_PKEY_eq(key, loaded), 1);

    char *token;
    size_t len;
    struct jws jws;
    assert_int_equal(jws_sign("{}", 2, "{}", 2, loaded, &token, &len, NULL), STICPS_OK);
    assert_int_equal(jws_split(token, len, STICPS_ERR_FORM, &jws, NULL), STICPS_OK);
    assert_int_equal(jws_verify(&jws, key, STICPS_ERR_SIGNATURE, NULL), STICPS_OK);
    jws_clear(&jws);
    free(token);
    EVP_PKEY_free(loaded);

    file = create(); /* as `openssl ecparam -genkey` writes it: parameters, then SEC 1 */
    fputs("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", file);
    BIO *bio = BIO_new_fp(file, BIO_NOCLOSE);
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    BIO_free(bio);
    fclose(file);
    struct sticps_error err;
    assert_int_equal(load(&err), STICPS_OK);
    EVP_PKEY_free(key);
}

static void test_other_keys(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {pki_key("P-384"), pki_key("secp256k1"), EVP_RSA_gen(2048),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct sticps_error err = {0};
        FILE *file = create();
        write_sec1(keys[i], file);
        fclose(file);
        assert_int_equal(load(&err), STICPS_ERR_FILE);
        assert_non_null(strstr(err.text, "P-256"));
        assert_string_equal(err.where, path);
        EVP_PKEY_free(keys[i]);
    }
}

/* The parameters of P-256 written out instead of named. */
static void test_explicit_curve(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256();
    assert_int_equal(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"),
                     1);
    FILE *file = create();
    write_sec1(key, file);
    fclose(file);
    struct sticps_error err;
    assert_int_equal(load(&err), STICPS_ERR_FILE);
    EVP_PKEY_free(key);
}

static void test_encrypted(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256();
    FILE *file = create();
    char passphrase[] = "secret";
    assert_int_equal(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (unsigned char *)passphrase,
                                          6, NULL, NULL),
                     1);
    fclose(file);
    struct sticps_error err;
    assert_int_equal(load(&err), STICPS_ERR_FILE); /* and nobody was asked on the terminal */
    EVP_PKEY_free(key);
}

/* SEC 1 carries both halves: the private one of one key, the public one of another. */
static void test_halves_that_do_not_match(void **state)
{
    (void)state;
    EVP_PKEY *a = pki_p256(), *b = pki_p256();
    unsigned char *da = NULL, *db = NULL, *at_a, *at_b;
    BIO *bio = BIO_new(BIO_s_mem());
    int len_a = i2d_PrivateKey(a, &da), len_b = i2d_PrivateKey(b, &db);
    assert_int_equal(len_a, len_b);
    at_a = da + len_a - 65, at_b = db + len_b - 65; /* the point is last */
    memcpy(at_a, at_b, 65);
    assert_true(PEM_write_bio(bio, "EC PRIVATE KEY", "", da, len_a) > 0);
    char *text;
    long len = BIO_get_mem_data(bio, &text);
    FILE *file = create();
    assert_int_equal(fwrite(text, 1, (size_t)len, file), len);
    fclose(file);
    struct sticps_error err;
    assert_int_equal(load(&err), STICPS_ERR_FILE);
    BIO_free(bio);
    OPENSSL_free(da);
    OPENSSL_free(db);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

static void test_not_a_key(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "hello\n", "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sticps_error err = {0};
        FILE *file = create();
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(load(&err), STICPS_ERR_FILE);
        assert_true(err.text[0] != '\0');
    }
}

static void test_not_a_file(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL;
    struct sticps_error err;
    assert_int_equal(key_load("/nonexistent/key.pem", &key, &err), STICPS_ERR_FILE);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(key_load(dir, &key, &err), STICPS_ERR_FILE);
    assert_int_equal(key_load("/dev/zero", &key, &err), STICPS_ERR_FILE);

    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(key_load(path, &key, &err), STICPS_ERR_FILE);
    unlink(path);

    FILE *file = create();
    assert_int_equal(ftruncate(fileno(file), 64 * 1024 + 1), 0);
    fclose(file);
    assert_int_equal(key_load(path, &key, &err), STICPS_ERR_FILE);
    assert_non_null(strstr(err.text, "larger"));
    assert_null(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_explicit_curve),
        cmocka_unit_test(test_encrypted),
        cmocka_unit_test(test_halves_that_do_not_match),
        cmocka_unit_test(test_not_a_key),
        cmocka_unit_test(test_not_a_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

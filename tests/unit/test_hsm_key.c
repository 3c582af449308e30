/* Keys in a SoftHSM, made and filled by SoftHSM's own tool, reached through a module that can be
 * told to misbehave (pkcs11_shim.h). */
#include "common/hsm/hsm_key.h"
#include "common/jws.h"

#include "tests/unit/pki.h"
#include "tests/unit/pkcs11_shim.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIN "correct-1234"
#define WRONG "wrong-9876"
#define KEY_URI "pkcs11:token=sticps;object=signer"
#define REMOVED ((CK_RV)CKR_DEVICE_REMOVED)

static char dir[] = "/tmp/sticps-test-hsm-XXXXXX";
static char pin_file[64];
static EVP_PKEY *private_half, *signer, *other; /* signer: all that the program is given */
static struct shim *shim;

static void shell(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    if (system(command) != 0)
        fail_msg("%s", command);
}

static EVP_PKEY *public_half(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    const unsigned char *at = der;
    EVP_PKEY *public = d2i_PUBKEY(NULL, &at, len);
    assert_non_null(public);
    OPENSSL_free(der);
    return public;
}

static void import(EVP_PKEY *key, const char *token, const char *label, const char *id)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/key.pem", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    shell("softhsm2-util --import %s --token %s --label %s --id %s --pin %s >/dev/null", path,
          token, label, id, PIN);
    unlink(path);
}

static void write_pin(const char *text)
{
    FILE *file = fopen(pin_file, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(pin_file, 0600), 0);
}

static int make_token(void **state)
{
    (void)state;
    char conf[64];
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(pin_file, sizeof(pin_file), "%s/pin", dir);
    snprintf(conf, sizeof(conf), "%s/softhsm2.conf", dir);
    FILE *file = fopen(conf, "w");
    fprintf(file, "directories.tokendir = %s/tokens\nlog.level = ERROR\n", dir);
    fclose(file);
    shell("mkdir %s/tokens", dir);
    setenv("SOFTHSM2_CONF", conf, 1);
    shell("softhsm2-util --init-token --free --label sticps --pin %s --so-pin 87654321 >/dev/null",
          PIN);
    private_half = pki_p256();
    other = pki_p256();
    signer = public_half(private_half);
    import(private_half, "sticps", "signer", "01");
    void *library = dlopen(PKCS11_SHIM, RTLD_NOW);
    shim = library == NULL ? NULL : dlsym(library, "shim");
    return shim == NULL ? -1 : 0;
}

static int remove_token(void **state)
{
    (void)state;
    shell("rm -rf %s", dir);
    EVP_PKEY_free(private_half);
    EVP_PKEY_free(signer);
    EVP_PKEY_free(other);
    return 0;
}

static int each(void **state)
{
    (void)state;
    *shim = (struct shim){0};
    write_pin(PIN "\n");
    return 0;
}

static const struct hsm_source usual = {KEY_URI, PKCS11_SHIM, pin_file};

static enum sticps_err load_as(const struct hsm_source *source, EVP_PKEY *public, EVP_PKEY **out,
                               struct sticps_error *err)
{
    EVP_PKEY *key = NULL;
    *err = (struct sticps_error){0};
    enum sticps_err rc = hsm_key_load(source, public, &key, err);
    assert_true((rc == STICPS_OK) == (key != NULL));
    assert_null(strstr(err->text, PIN));
    assert_null(strstr(err->text, WRONG));
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(shim->initialized, 0); /* nothing is held open by loading */
    if (out != NULL)
        *out = key;
    else
        EVP_PKEY_free(key);
    return rc;
}

static EVP_PKEY *load_usual(void)
{
    struct sticps_error err;
    EVP_PKEY *key;
    if (load_as(&usual, signer, &key, &err) != STICPS_OK)
        fail_msg("%s: %s", err.where, err.text);
    return key;
}

static enum sticps_err sign(EVP_PKEY *key, struct sticps_error *err)
{
    char *token;
    size_t len;
    struct jws jws;
    *err = (struct sticps_error){0};
    enum sticps_err rc = jws_sign("{}", 2, "{\"a\":1}", 7, key, &token, &len, err);
    assert_int_equal(ERR_peek_error(), 0);
    if (rc != STICPS_OK)
        return rc;
    /* by the key that was imported, not by what was loaded */
    assert_int_equal(jws_split(token, len, STICPS_ERR_FORM, &jws, NULL), STICPS_OK);
    assert_int_equal(jws_verify(&jws, signer, STICPS_ERR_SIGNATURE, NULL), STICPS_OK);
    jws_clear(&jws);
    free(token);
    return rc;
}

static void expect(enum sticps_err rc, enum sticps_err code, const struct sticps_error *err,
                   const char *word)
{
    if (rc != code || strstr(err->text, word) == NULL)
        fail_msg("%s, \"%s\" instead of %s with \"%s\"", sticps_err_name(rc), err->text,
                 sticps_err_name(code), word);
}

static void test_signs(void **state)
{
    (void)state;
    struct sticps_error err;
    EVP_PKEY *key = load_usual();
    assert_int_equal(shim->logins, 1);
    assert_int_equal(EVP_PKEY_eq(key, signer), 1);
    for (int i = 0; i < 50; i++) /* r and s with leading zeros among them, now and then */
        assert_int_equal(sign(key, &err), STICPS_OK);
    assert_int_equal(shim->logins, 2); /* one session for all */
    assert_int_equal(shim->initialized, 1);

    EVP_PKEY *again = NULL; /* a second key of the same token, while the first is in use */
    assert_int_equal(hsm_key_load(&usual, signer, &again, &err), STICPS_OK);
    assert_int_equal(sign(again, &err), STICPS_OK);
    EVP_PKEY_free(key);
    assert_int_equal(sign(again, &err), STICPS_OK);

    EVP_PKEY *copy = EVP_PKEY_dup(again); /* the public half, and no HSM */
    assert_non_null(copy);
    EVP_PKEY_free(again);
    assert_int_equal(shim->initialized, 0);
    assert_int_equal(sign(copy, &err), STICPS_ERR_CRYPTO);
    EVP_PKEY_free(copy);
}

static void test_another_key(void **state)
{
    (void)state;
    struct sticps_error err;
    expect(load_as(&usual, other, NULL, &err), STICPS_ERR_CRYPTO, &err, "expected key");
    EVP_PKEY *key = load_usual();
    shim->bad_signs = 2; /* never given out, whatever the device does; the second try is as bad */
    expect(sign(key, &err), STICPS_ERR_CRYPTO, &err, "expected key");
    shim->bad_signs = 0;
    assert_int_equal(sign(key, &err), STICPS_OK);
    EVP_PKEY_free(key);
}

static void test_wrong_pin_is_tried_once(void **state)
{
    (void)state;
    struct sticps_error err;
    write_pin(WRONG "\n");
    expect(load_as(&usual, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "refuses the PIN");
    assert_int_equal(shim->logins, 1);

    write_pin(PIN); /* without a line break */
    EVP_PKEY *key = load_usual();
    assert_int_equal(shim->logins, 2);
    write_pin(WRONG "\n"); /* changed while the program runs */
    expect(sign(key, &err), STICPS_ERR_CRYPTO, &err, "refuses the PIN");
    for (int i = 0; i < 5; i++)
        expect(sign(key, &err), STICPS_ERR_CRYPTO, &err, "not tried again");
    assert_int_equal(shim->logins, 3);
    write_pin(PIN "\r\nsecond line\n");
    assert_int_equal(sign(key, &err), STICPS_OK);
    EVP_PKEY_free(key);
}

static void test_no_last_try(void **state)
{
    (void)state;
    struct sticps_error err;
    shim->token_flags = CKF_USER_PIN_FINAL_TRY;
    expect(load_as(&usual, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "by hand");
    shim->token_flags = CKF_USER_PIN_LOCKED;
    expect(load_as(&usual, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "locked");
    assert_int_equal(shim->logins, 0);
}

static void test_a_lost_session_is_opened_anew(void **state)
{
    (void)state;
    struct sticps_error err;
    EVP_PKEY *key = load_usual();
    assert_int_equal(sign(key, &err), STICPS_OK);
    shim->fail_signs = 1;
    shim->fail_with = CKR_SESSION_HANDLE_INVALID;
    assert_int_equal(sign(key, &err), STICPS_OK);
    EVP_PKEY_free(key);
}

static void test_a_token_goes_and_comes_back(void **state)
{
    (void)state;
    struct sticps_error err;
    EVP_PKEY *key = load_usual();
    assert_int_equal(sign(key, &err), STICPS_OK);
    shim->absent = 1;
    shim->fail_signs = 1000;
    shim->fail_with = REMOVED;
    int logins = shim->logins;
    for (int i = 0; i < 3; i++) {
        expect(sign(key, &err), STICPS_ERR_CRYPTO, &err, "no token");
        assert_int_equal(shim->initialized, 0); /* so that the module looks again */
    }
    assert_int_equal(shim->logins, logins);
    *shim = (struct shim){0};
    assert_int_equal(sign(key, &err), STICPS_OK);

    /* the same with SoftHSM's files */
    shell("mv %s/tokens %s/away", dir, dir);
    assert_int_not_equal(sign(key, &err), STICPS_OK);
    shell("mv %s/away %s/tokens", dir, dir);
    assert_int_equal(sign(key, &err), STICPS_OK);
    EVP_PKEY_free(key);

    shim->absent = 1;
    expect(load_as(&usual, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "no token");
    shim->absent = 0;
    shim->fail_signs = 1;
    shim->fail_with = REMOVED;
    expect(load_as(&usual, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "0x32");
}

static void test_ambiguous_names(void **state)
{
    (void)state;
    struct sticps_error err;
    struct hsm_source source = usual;
    import(private_half, "sticps", "twin", "11");
    import(other, "sticps", "twin", "12");
    source.uri = "pkcs11:token=sticps;object=twin";
    expect(load_as(&source, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "several");
    source.uri = "pkcs11:token=sticps;object=twin;id=%11;type=private";
    assert_int_equal(load_as(&source, signer, NULL, &err), STICPS_OK);
    source.uri = "pkcs11:token=sticps;id=%12";
    assert_int_equal(load_as(&source, other, NULL, &err), STICPS_OK);
    source.uri = "pkcs11:token=sticps";
    expect(load_as(&source, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "several");
    source.uri = "pkcs11:token=sticps;object=nobody";
    expect(load_as(&source, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "no private EC key");
    source.uri = "pkcs11:token=nobody;object=signer";
    expect(load_as(&source, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "no token");

    shell("softhsm2-util --init-token --free --label sticps --pin %s --so-pin 87654321 >/dev/null",
          PIN);
    int logins = shim->logins;
    expect(load_as(&usual, signer, NULL, &err), STICPS_ERR_CRYPTO, &err, "2 tokens");
    assert_int_equal(shim->logins, logins);
    shell("softhsm2-util --show-slots | "
          "sed -n 's/ *Serial number: *\\([0-9a-f]\\)/\\1/p' >%s/serials",
          dir);
    char path[64], line[64], uri[128];
    unsigned good = 0, empty = 0;
    snprintf(path, sizeof(path), "%s/serials", dir);
    FILE *file = fopen(path, "r");
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(uri, sizeof(uri), "pkcs11:token=sticps;serial=%s;object=signer", line);
        source.uri = uri;
        enum sticps_err rc = load_as(&source, signer, NULL, &err);
        good += rc == STICPS_OK;
        empty += rc != STICPS_OK && strstr(err.text, "no private EC key") != NULL;
    }
    fclose(file);
    assert_int_equal(good, 1);
    assert_int_equal(empty, 1);
    /* the empty one goes again */
    shell("for i in $(cat %s/serials); do softhsm2-util --delete-token --serial $i >/dev/null "
          "2>&1; done",
          dir);
    shell("softhsm2-util --init-token --free --label sticps --pin %s --so-pin 87654321 >/dev/null",
          PIN);
    import(private_half, "sticps", "signer", "01");
}

static void test_other_kinds_of_key(void **state)
{
    (void)state;
    struct sticps_error err;
    struct hsm_source source = usual;
    EVP_PKEY *p384 = pki_key("P-384"), *rsa = EVP_RSA_gen(2048);
    import(p384, "sticps", "p384", "21");
    import(rsa, "sticps", "rsa", "22");
    source.uri = "pkcs11:token=sticps;object=p384";
    expect(load_as(&source, p384, NULL, &err), STICPS_ERR_CRYPTO, &err, "P-256");
    source.uri = "pkcs11:token=sticps;object=rsa";
    expect(load_as(&source, rsa, NULL, &err), STICPS_ERR_CRYPTO, &err, "no private EC key");
    EVP_PKEY_free(p384);
    EVP_PKEY_free(rsa);
}

static void test_uris(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *word;
    } cases[] = {
        {KEY_URI "?pin-value=" PIN, "pin_file"},
        {KEY_URI ";pin-value=" PIN, ""},
        {KEY_URI "?pin-source=file:/etc/pin", "pin_file"},
        {KEY_URI "?module-path=/lib/x.so", "module"},
        {KEY_URI "?module-name=x", "module"},
        {KEY_URI ";type=public", "type=private"},
        {KEY_URI ";type=cert", "type=private"},
        {KEY_URI ";colour=red", "not known"},
        {"pkcs11:token=%zz", "RFC 7512"},
        {"pkcs11:token", "RFC 7512"},
    };
    assert_true(hsm_is_uri(KEY_URI));
    assert_false(hsm_is_uri("/etc/pkcs11:key.pem"));
    assert_false(hsm_is_uri("pkcs11"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sticps_error err;
        struct hsm_source source = usual;
        source.uri = cases[i].uri;
        expect(load_as(&source, signer, NULL, &err), STICPS_ERR_USAGE, &err, cases[i].word);
    }
    assert_int_equal(shim->logins, 0);
}

static void test_pin_files(void **state)
{
    (void)state;
    struct sticps_error err;
    struct hsm_source source = usual;
    static const mode_t open_modes[] = {0604, 0602, 0601, 0620, 0666};
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        assert_int_equal(chmod(pin_file, open_modes[i]), 0);
        expect(load_as(&source, signer, NULL, &err), STICPS_ERR_FILE, &err, "chmod 600");
    }
    assert_int_equal(chmod(pin_file, 0440), 0); /* as systemd's credentials show themselves */
    assert_int_equal(load_as(&source, signer, NULL, &err), STICPS_OK);
    int logins = shim->logins;
    static const char *const empty[] = {"", "\n", "\r\n", "\n" PIN "\n"};
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        write_pin(empty[i]);
        expect(load_as(&source, signer, NULL, &err), STICPS_ERR_FILE, &err, "no PIN");
    }
    assert_int_equal(truncate(pin_file, 2000), 0);
    expect(load_as(&source, signer, NULL, &err), STICPS_ERR_FILE, &err, "larger");
    unlink(pin_file);
    expect(load_as(&source, signer, NULL, &err), STICPS_ERR_FILE, &err, "No such file");
    source.pin_file = NULL;
    expect(load_as(&source, signer, NULL, &err), STICPS_ERR_FILE, &err, "pin_file is missing");
    assert_int_equal(shim->logins, logins);
}

static void test_modules(void **state)
{
    (void)state;
    static const char *const modules[] = {"/nonexistent/module.so", "/etc/passwd",
                                          "/lib/x86_64-linux-gnu/libz.so.1"};
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        struct sticps_error err;
        struct hsm_source source = usual;
        source.module = modules[i];
        expect(load_as(&source, signer, NULL, &err), STICPS_ERR_FILE, &err, modules[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_signs, each),
        cmocka_unit_test_setup(test_another_key, each),
        cmocka_unit_test_setup(test_wrong_pin_is_tried_once, each),
        cmocka_unit_test_setup(test_no_last_try, each),
        cmocka_unit_test_setup(test_a_lost_session_is_opened_anew, each),
        cmocka_unit_test_setup(test_a_token_goes_and_comes_back, each),
        cmocka_unit_test_setup(test_ambiguous_names, each),
        cmocka_unit_test_setup(test_other_kinds_of_key, each),
        cmocka_unit_test_setup(test_uris, each),
        cmocka_unit_test_setup(test_pin_files, each),
        cmocka_unit_test_setup(test_modules, each),
    };
    return cmocka_run_group_tests(tests, make_token, remove_token);
}

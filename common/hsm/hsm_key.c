#include "common/hsm/hsm_key.h"

#include "common/es256.h"
#include "common/hsm/token.h"
#include "common/openssl_error.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

struct hsm_key {
    char *uri, *module, *pin_file;
    struct pin_memory memory;
    struct token *token; /* NULL between sessions */
};

bool hsm_is_uri(const char *text)
{
    return strncmp(text, "pkcs11:", 7) == 0;
}

/* ---- signing ---- */

static void rest(struct hsm_key *key)
{
    token_close(key->token);
    key->token = NULL;
}

static enum sticps_err sign_once(struct hsm_key *key, const unsigned char *digest,
                                 unsigned char *raw, struct sticps_error *err)
{
    const struct hsm_source source = {
        .uri = key->uri, .module = key->module, .pin_file = key->pin_file};
    enum sticps_err rc = STICPS_OK;

    if (key->token == NULL)
        rc = token_open(&source, &key->memory, &key->token, err);
    if (rc == STICPS_OK)
        rc = token_sign(key->token, digest, raw, err);
    if (rc != STICPS_OK)
        rest(key);
    return rc;
}

/* A session that was open may have ended without our doing: HSMs drop idle ones. */
static enum sticps_err on_sign(void *arg, const unsigned char digest[ES256_DIGEST],
                               unsigned char raw[ES256_SIGNATURE], struct sticps_error *err)
{
    struct hsm_key *key = arg;
    bool was_open = key->token != NULL;
    enum sticps_err rc = sign_once(key, digest, raw, err);

    if (rc != STICPS_OK && was_open)
        rc = sign_once(key, digest, raw, err);
    return rc;
}

static void on_free(void *arg)
{
    struct hsm_key *key = arg;

    if (key == NULL)
        return;
    rest(key);
    free(key->uri);
    free(key->module);
    free(key->pin_file);
    free(key);
}

/* ---- loading ---- */

static struct hsm_key *copy(const struct hsm_source *source)
{
    struct hsm_key *key = calloc(1, sizeof(*key));

    if (key == NULL)
        return NULL;
    key->uri = strdup(source->uri);
    key->module = strdup(source->module);
    key->pin_file = source->pin_file != NULL ? strdup(source->pin_file) : NULL;
    if (key->uri != NULL && key->module != NULL &&
        (key->pin_file != NULL || source->pin_file == NULL))
        return key;
    on_free(key);
    return NULL;
}

/* The public half, with the HSM attached. */
static enum sticps_err attach(const struct hsm_source *source, EVP_PKEY *public, EVP_PKEY **out,
                              struct hsm_key **hsm, struct sticps_error *err)
{
    struct hsm_key *key = copy(source);
    EVP_PKEY *pkey = EVP_PKEY_dup(public); /* the certificate's own must not be changed */

    if (key == NULL || pkey == NULL) {
        on_free(key);
        EVP_PKEY_free(pkey);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    const struct es256_signer signer = {.sign = on_sign, .free = on_free, .arg = key};
    enum sticps_err rc = es256_attach(pkey, &signer, err);

    if (rc != STICPS_OK) {
        on_free(key);
        EVP_PKEY_free(pkey);
        return rc;
    }
    *out = pkey;
    *hsm = key;
    return STICPS_OK;
}

static enum sticps_err load(const struct hsm_source *source, EVP_PKEY *public, EVP_PKEY **out,
                            struct sticps_error *err)
{
    unsigned char digest[ES256_DIGEST], raw[ES256_SIGNATURE];
    EVP_PKEY *pkey = NULL;
    struct hsm_key *hsm = NULL;

    /* a number of ours: nobody can have the key sign something of his by starting the program */
    if (RAND_bytes(digest, sizeof(digest)) != 1)
        return fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "no random numbers");
    enum sticps_err rc = attach(source, public, &pkey, &hsm, err);
    if (rc == STICPS_OK)
        rc = es256_sign(pkey, digest, raw, err);
    if (rc != STICPS_OK) {
        EVP_PKEY_free(pkey);
        return rc;
    }
    rest(hsm);
    *out = pkey;
    return STICPS_OK;
}

enum sticps_err hsm_key_load(const struct hsm_source *source, EVP_PKEY *public, EVP_PKEY **out,
                             struct sticps_error *err)
{
    openssl_begin(); /* the vendor's module may use our OpenSSL, and leave its errors there */
    enum sticps_err rc = load(source, public, out, err);
    openssl_end();
    return rc;
}

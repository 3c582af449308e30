#include "common/key.h"

#include "common/openssl_error.h"
#include "common/read_file.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_MAX (64 * 1024)

/* Without a callback OpenSSL asks the terminal for the passphrase of an encrypted key. */
static int on_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

bool key_is_p256(const EVP_PKEY *key)
{
    char curve[32];
    size_t len = 0;
    int explicit_curve = 0;
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(key, curve, sizeof(curve), &len) != 1 ||
        strcmp(curve, "prime256v1") != 0)
        return false;
    /* RFC 5480 s2.1.1: curves go by name; parameters spelled out are an attack surface
     * (CVE-2020-0601). */
    return EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                                  &explicit_curve) == 1 &&
           explicit_curve == 0;
}

/* Does the public half belong to the private one? A file may carry both and be wrong. */
static enum sticps_err check_pair(EVP_PKEY *key, const char *path, struct sticps_error *err)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (ctx == NULL)
        return fail_openssl(err, STICPS_ERR_CRYPTO, path, "the key cannot be checked");
    enum sticps_err rc = STICPS_OK;
    if (EVP_PKEY_pairwise_check(ctx) != 1)
        rc = fail_openssl(err, STICPS_ERR_FILE, path,
                          "the public and the private half of the key do not match");
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

static enum sticps_err parse(const char *path, const char *data, size_t len, EVP_PKEY **out,
                             struct sticps_error *err)
{
    enum sticps_err rc;
    EVP_PKEY *key = NULL;
    BIO *bio = BIO_new_mem_buf(data, (int)len);
    if (bio == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, path, "out of memory");
    key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, NULL);
    if (key == NULL) {
        rc = fail_openssl(err, STICPS_ERR_FILE, path, "not an unencrypted PEM private key");
        goto cleanup;
    }
    if (!key_is_p256(key)) {
        rc = fail_openssl(err, STICPS_ERR_FILE, path, "not a key on the curve P-256");
        goto cleanup;
    }
    rc = check_pair(key, path, err);
    if (rc != STICPS_OK)
        goto cleanup;
    *out = key;
    key = NULL;
cleanup:
    EVP_PKEY_free(key);
    BIO_free(bio);
    return rc;
}

enum sticps_err key_load(const char *path, EVP_PKEY **out, struct sticps_error *err)
{
    char *data;
    size_t len;
    enum sticps_err rc = read_file(path, KEY_FILE_MAX, &data, &len, err);
    if (rc != STICPS_OK)
        return rc;
    openssl_begin();
    rc = parse(path, data, len, out, err);
    openssl_end();
    OPENSSL_cleanse(data, len);
    free(data);
    return rc;
}

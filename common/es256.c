#include "common/es256.h"

#include "common/key.h"
#include "common/openssl_error.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COORDINATE 32 /* bytes of r, and of s */
#define DER_MAX (2 + 2 * (2 + 1 + COORDINATE))

/* The order n of P-256 (FIPS 186-4 D.1.2.3). */
static const unsigned char order[COORDINATE] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

/* ---- raw signatures and OpenSSL's DER ---- */

static bool in_range(const unsigned char *coordinate)
{
    static const unsigned char zero[COORDINATE];
    return memcmp(coordinate, zero, COORDINATE) != 0 && memcmp(coordinate, order, COORDINATE) < 0;
}

/* A DER INTEGER: shortest form, a zero byte before a set top bit. */
static unsigned char *put_integer(unsigned char *to, const unsigned char *coordinate)
{
    size_t skip = 0;
    while (skip < COORDINATE - 1 && coordinate[skip] == 0)
        skip++;
    size_t pad = coordinate[skip] >> 7, len = COORDINATE - skip;
    *to++ = 0x02;
    *to++ = (unsigned char)(len + pad);
    if (pad != 0)
        *to++ = 0;
    memcpy(to, coordinate + skip, len);
    return to + len;
}

static size_t raw_to_der(const unsigned char raw[ES256_SIGNATURE], unsigned char der[DER_MAX])
{
    unsigned char *to = put_integer(der + 2, raw);
    to = put_integer(to, raw + COORDINATE);
    size_t len = (size_t)(to - der);
    der[0] = 0x30;
    der[1] = (unsigned char)(len - 2); /* at most 70: one length byte */
    return len;
}

static bool der_to_raw(const unsigned char *der, size_t len, unsigned char raw[ES256_SIGNATURE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, COORDINATE) == COORDINATE &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + COORDINATE, COORDINATE) == COORDINATE;
    ECDSA_SIG_free(sig);
    return ok;
}

/* ---- verifying ---- */

static enum sticps_err verify(EVP_PKEY *key, const unsigned char *digest, const unsigned char *raw,
                              enum sticps_err code, struct sticps_error *err)
{
    unsigned char der[DER_MAX];
    size_t der_len = raw_to_der(raw, der);
    if (!key_is_p256(key))
        return fail_openssl(err, code, "signature", "the key is not on the curve P-256");

    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    enum sticps_err rc = STICPS_OK;
    if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1) {
        rc = fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "verifying does not work");
    } else {
        int verdict = EVP_PKEY_verify(ctx, der, der_len, digest, ES256_DIGEST);
        if (verdict == 0)
            rc = fail(err, code, "signature", "the signature does not match");
        else if (verdict != 1) /* the DER is ours and in range, so this is not the peer's fault */
            rc = fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "verifying does not work");
    }
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

enum sticps_err es256_verify(EVP_PKEY *key, const unsigned char digest[ES256_DIGEST],
                             const unsigned char raw[ES256_SIGNATURE], enum sticps_err code,
                             struct sticps_error *err)
{
    if (!in_range(raw) || !in_range(raw + COORDINATE))
        return fail(err, code, "signature", "r or s of the signature is out of range");
    openssl_begin();
    enum sticps_err rc = verify(key, digest, raw, code, err);
    openssl_end();
    return rc;
}

/* ---- attached signers: in the key's ex_data, so that they live and end with it ---- */

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static atomic_int slot = -1; /* until the first signer is attached */

static void on_key_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long arg,
                        void *more)
{
    struct es256_signer *signer = ptr;
    (void)parent, (void)data, (void)index, (void)arg, (void)more;
    if (signer == NULL)
        return;
    signer->free(signer->arg);
    free(signer);
}

/* A copy of the key has no signer: there is one owner. */
static int on_key_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr, int index,
                      long arg, void *more)
{
    (void)to, (void)from, (void)index, (void)arg, (void)more;
    *ptr = NULL;
    return 1;
}

static void make_slot(void)
{
    atomic_store(&slot, CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_EVP_PKEY, 0, NULL, NULL, on_key_dup,
                                                on_key_free));
}

static const struct es256_signer *attached(const EVP_PKEY *key)
{
    int index = atomic_load(&slot);
    return index < 0 ? NULL : EVP_PKEY_get_ex_data(key, index);
}

enum sticps_err es256_attach(EVP_PKEY *key, const struct es256_signer *signer,
                             struct sticps_error *err)
{
    struct es256_signer *copy = malloc(sizeof(*copy));
    if (copy != NULL) {
        *copy = *signer;
        openssl_begin();
        bool ok = CRYPTO_THREAD_run_once(&once, make_slot) == 1 &&
                  EVP_PKEY_set_ex_data(key, atomic_load(&slot), copy) == 1;
        openssl_end();
        if (ok)
            return STICPS_OK;
    }
    free(copy);
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

/* ---- signing ---- */

static enum sticps_err sign(EVP_PKEY *key, const unsigned char *digest, unsigned char *raw,
                            struct sticps_error *err)
{
    unsigned char der[DER_MAX];
    size_t der_len = sizeof(der);
    if (!key_is_p256(key))
        return fail_openssl(err, STICPS_ERR_USAGE, NULL, "the key is not on the curve P-256");

    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    enum sticps_err rc = STICPS_OK;
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 ||
        EVP_PKEY_sign(ctx, der, &der_len, digest, ES256_DIGEST) != 1 ||
        !der_to_raw(der, der_len, raw))
        rc = fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "signing does not work");
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

static enum sticps_err sign_elsewhere(EVP_PKEY *key, const struct es256_signer *signer,
                                      const unsigned char *digest, unsigned char *raw,
                                      struct sticps_error *err)
{
    enum sticps_err rc = signer->sign(signer->arg, digest, raw, err);
    if (rc != STICPS_OK)
        return rc;
    rc = es256_verify(key, digest, raw, STICPS_ERR_CRYPTO, err);
    if (rc != STICPS_OK)
        fail_context(err, "what signed is not the private half of the expected key");
    return rc;
}

enum sticps_err es256_sign(EVP_PKEY *key, const unsigned char digest[ES256_DIGEST],
                           unsigned char raw[ES256_SIGNATURE], struct sticps_error *err)
{
    openssl_begin();
    const struct es256_signer *signer = key == NULL ? NULL : attached(key);
    enum sticps_err rc = signer != NULL ? sign_elsewhere(key, signer, digest, raw, err)
                                        : sign(key, digest, raw, err);
    openssl_end();
    return rc;
}

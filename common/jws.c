#include "common/jws.h"

#include "common/base64url.h"
#include "common/key.h"
#include "common/openssl_error.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COORDINATE 32              /* bytes of r, and of s */
#define SIGNATURE (2 * COORDINATE) /* RFC 7518 s3.4 */
#define DER_MAX (2 + 2 * (2 + 1 + COORDINATE))

/* The order n of P-256 (FIPS 186-4 D.1.2.3). */
static const unsigned char order[COORDINATE] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

/* ---- splitting ---- */

enum sticps_err jws_split(const char *text, size_t len, enum sticps_err code, struct jws *out,
                          struct sticps_error *err)
{
    const char *end = text + len;
    const char *dot1 = memchr(text, '.', len);
    const char *dot2 = dot1 == NULL ? NULL : memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1));
    if (dot2 == NULL || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)) != NULL)
        return fail(err, code, NULL, "not a compact JWS: it does not have exactly three segments");

    size_t header_chars = (size_t)(dot1 - text), payload_chars = (size_t)(dot2 - dot1 - 1);
    size_t signature_chars = (size_t)(end - dot2 - 1);
    if (header_chars == 0 || payload_chars == 0)
        return fail(err, code, NULL, "not a compact JWS: an empty %s",
                    header_chars == 0 ? "header" : "payload");

    size_t header_size = base64url_decoded_size(header_chars) + 1;
    size_t payload_size = base64url_decoded_size(payload_chars) + 1;
    unsigned char *block =
        malloc(header_size + payload_size + base64url_decoded_size(signature_chars) + 1);
    if (block == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");

    struct jws jws = {.signing_input = text,
                      .signing_input_len = (size_t)(dot2 - text),
                      .header = block,
                      .payload = block + header_size,
                      .signature = block + header_size + payload_size};
    const char *bad = NULL;
    if (!base64url_decode(text, header_chars, jws.header, &jws.header_len))
        bad = "header";
    else if (!base64url_decode(dot1 + 1, payload_chars, jws.payload, &jws.payload_len))
        bad = "payload";
    else if (!base64url_decode(dot2 + 1, signature_chars, jws.signature, &jws.signature_len))
        bad = "signature";
    if (bad != NULL) {
        free(block);
        return fail(err, code, bad, "the %s is not base64url without padding", bad);
    }
    jws.header[jws.header_len] = '\0';
    jws.payload[jws.payload_len] = '\0';
    jws.signature[jws.signature_len] = '\0';
    *out = jws;
    return STICPS_OK;
}

void jws_clear(struct jws *jws)
{
    free(jws->header); /* the block */
    *jws = (struct jws){0};
}

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

static size_t raw_to_der(const unsigned char raw[SIGNATURE], unsigned char der[DER_MAX])
{
    unsigned char *to = put_integer(der + 2, raw);
    to = put_integer(to, raw + COORDINATE);
    size_t len = (size_t)(to - der);
    der[0] = 0x30;
    der[1] = (unsigned char)(len - 2); /* at most 70: one length byte */
    return len;
}

static bool der_to_raw(const unsigned char *der, size_t len, unsigned char raw[SIGNATURE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, COORDINATE) == COORDINATE &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + COORDINATE, COORDINATE) == COORDINATE;
    ECDSA_SIG_free(sig);
    return ok;
}

/* ---- verifying ---- */

static enum sticps_err verify(const struct jws *jws, EVP_PKEY *key, enum sticps_err code,
                              struct sticps_error *err)
{
    unsigned char digest[SHA256_DIGEST_LENGTH], der[DER_MAX];
    size_t der_len = raw_to_der(jws->signature, der);
    if (!key_is_p256(key))
        return fail_openssl(err, code, "signature", "the key is not on the curve P-256");
    if (EVP_Digest(jws->signing_input, jws->signing_input_len, digest, NULL, EVP_sha256(), NULL) !=
        1)
        return fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "SHA-256 does not work");

    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    enum sticps_err rc = STICPS_OK;
    if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1) {
        rc = fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "verifying does not work");
    } else {
        int verdict = EVP_PKEY_verify(ctx, der, der_len, digest, sizeof(digest));
        if (verdict == 0)
            rc = fail(err, code, "signature", "the signature does not match");
        else if (verdict != 1) /* the DER is ours and in range, so this is not the peer's fault */
            rc = fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "verifying does not work");
    }
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

enum sticps_err jws_verify(const struct jws *jws, EVP_PKEY *key, enum sticps_err code,
                           struct sticps_error *err)
{
    if (jws->signature_len != SIGNATURE)
        return fail(err, code, "signature", "the signature has %zu bytes, not the %d of ES256",
                    jws->signature_len, SIGNATURE);
    if (!in_range(jws->signature) || !in_range(jws->signature + COORDINATE))
        return fail(err, code, "signature", "r or s of the signature is out of range");
    openssl_begin();
    enum sticps_err rc = verify(jws, key, code, err);
    openssl_end();
    return rc;
}

/* ---- signing ---- */

static enum sticps_err sign(const char *input, size_t len, EVP_PKEY *key,
                            unsigned char raw[SIGNATURE], struct sticps_error *err)
{
    unsigned char digest[SHA256_DIGEST_LENGTH], der[DER_MAX];
    size_t der_len = sizeof(der);
    if (!key_is_p256(key))
        return fail_openssl(err, STICPS_ERR_USAGE, NULL, "the key is not on the curve P-256");
    if (EVP_Digest(input, len, digest, NULL, EVP_sha256(), NULL) != 1)
        return fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "SHA-256 does not work");

    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    enum sticps_err rc = STICPS_OK;
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 ||
        EVP_PKEY_sign(ctx, der, &der_len, digest, sizeof(digest)) != 1 ||
        !der_to_raw(der, der_len, raw))
        rc = fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "signing does not work");
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

enum sticps_err jws_sign(const char *header, size_t header_len, const char *payload,
                         size_t payload_len, EVP_PKEY *key, char **out, size_t *out_len,
                         struct sticps_error *err)
{
    if (header_len > SIZE_MAX / 4 || payload_len > SIZE_MAX / 4)
        return fail(err, STICPS_ERR_USAGE, NULL, "too long to sign");
    size_t size = base64url_encoded_size(header_len) + 1 + base64url_encoded_size(payload_len) + 1 +
                  base64url_encoded_size(SIGNATURE) + 1;
    char *text = malloc(size);
    if (text == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    size_t len = base64url_encode(header, header_len, text);
    text[len++] = '.';
    len += base64url_encode(payload, payload_len, text + len);

    unsigned char raw[SIGNATURE];
    openssl_begin();
    enum sticps_err rc = sign(text, len, key, raw, err);
    openssl_end();
    if (rc != STICPS_OK) {
        free(text);
        return rc;
    }
    text[len++] = '.';
    len += base64url_encode(raw, sizeof(raw), text + len);
    text[len] = '\0';
    *out = text;
    *out_len = len;
    return STICPS_OK;
}

#include "common/jws.h"

#include "common/base64url.h"
#include "common/es256.h"
#include "common/openssl_error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- signing and verifying ---- */

static enum sticps_err hash(const char *input, size_t len, unsigned char digest[ES256_DIGEST],
                            struct sticps_error *err)
{
    enum sticps_err rc = STICPS_OK;
    openssl_begin();
    if (EVP_Digest(input, len, digest, NULL, EVP_sha256(), NULL) != 1)
        rc = fail_openssl(err, STICPS_ERR_CRYPTO, NULL, "SHA-256 does not work");
    openssl_end();
    return rc;
}

enum sticps_err jws_verify(const struct jws *jws, EVP_PKEY *key, enum sticps_err code,
                           struct sticps_error *err)
{
    unsigned char digest[ES256_DIGEST];
    if (jws->signature_len != ES256_SIGNATURE)
        return fail(err, code, "signature", "the signature has %zu bytes, not the %d of ES256",
                    jws->signature_len, ES256_SIGNATURE);
    enum sticps_err rc = hash(jws->signing_input, jws->signing_input_len, digest, err);
    return rc == STICPS_OK ? es256_verify(key, digest, jws->signature, code, err) : rc;
}

enum sticps_err jws_input(const char *header, size_t header_len, const char *payload,
                          size_t payload_len, unsigned char digest[ES256_DIGEST], char **out,
                          size_t *out_len, struct sticps_error *err)
{
    if (header_len > SIZE_MAX / 4 || payload_len > SIZE_MAX / 4)
        return fail(err, STICPS_ERR_USAGE, NULL, "too long to sign");
    size_t size = base64url_encoded_size(header_len) + 1 + base64url_encoded_size(payload_len) + 1 +
                  base64url_encoded_size(ES256_SIGNATURE) + 1;
    char *text = malloc(size);
    if (text == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    size_t len = base64url_encode(header, header_len, text);
    text[len++] = '.';
    len += base64url_encode(payload, payload_len, text + len);
    enum sticps_err rc = hash(text, len, digest, err);
    if (rc != STICPS_OK) {
        free(text);
        return rc;
    }
    *out = text;
    *out_len = len;
    return STICPS_OK;
}

void jws_complete(char *text, size_t *len, const unsigned char raw[ES256_SIGNATURE])
{
    text[(*len)++] = '.';
    *len += base64url_encode(raw, ES256_SIGNATURE, text + *len);
    text[*len] = '\0';
}

enum sticps_err jws_sign_input(char *text, size_t len, const unsigned char digest[ES256_DIGEST],
                               EVP_PKEY *key, char **out, size_t *out_len, struct sticps_error *err)
{
    unsigned char raw[ES256_SIGNATURE];
    enum sticps_err rc = es256_sign(key, digest, raw, err);
    if (rc != STICPS_OK) {
        free(text);
        return rc;
    }
    jws_complete(text, &len, raw);
    *out = text;
    *out_len = len;
    return STICPS_OK;
}

enum sticps_err jws_sign(const char *header, size_t header_len, const char *payload,
                         size_t payload_len, EVP_PKEY *key, char **out, size_t *out_len,
                         struct sticps_error *err)
{
    unsigned char digest[ES256_DIGEST];
    char *text = NULL;
    size_t len = 0;
    enum sticps_err rc =
        jws_input(header, header_len, payload, payload_len, digest, &text, &len, err);
    return rc == STICPS_OK ? jws_sign_input(text, len, digest, key, out, out_len, err) : rc;
}

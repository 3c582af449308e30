/* Compact JWS with ES256 (RFC 7515, RFC 7518 s3.4) over a kept EVP_PKEY: the one place where an
 * object of the protocol is signed or its signature checked. The signature is raw R||S, 64 bytes.
 */
#ifndef COMMON_JWS_H
#define COMMON_JWS_H

#include "common/error.h"
#include "common/es256.h"

#include <openssl/evp.h>
#include <stddef.h>

/* The decoded segments of a compact JWS, and the bytes that were signed. */
struct jws {
    const char *signing_input; /* "header.payload", borrowed from the text that was split */
    size_t signing_input_len;
    unsigned char
        *header; /* decoded, NUL-terminated; owned (header, payload, signature: one block) */
    size_t header_len;
    unsigned char *payload;
    size_t payload_len;
    unsigned char *signature;
    size_t signature_len;
};

/* Exactly three base64url segments, nothing before, between or after. `code` is the error to report
 * (or STICPS_ERR_NO_MEMORY). */
enum sticps_err jws_split(const char *text, size_t len, enum sticps_err code, struct jws *out,
                          struct sticps_error *err) STICPS_MUST_CHECK;
void jws_clear(struct jws *jws);

/* `code` when the signature does not match: wrong length (DER, say), r or s zero or out of range,
 * or simply not this key's. */
enum sticps_err jws_verify(const struct jws *jws, EVP_PKEY *key, enum sticps_err code,
                           struct sticps_error *err) STICPS_MUST_CHECK;

/* base64url(header).base64url(payload).base64url(signature), NUL-terminated; the caller frees. */
enum sticps_err jws_sign(const char *header, size_t header_len, const char *payload,
                         size_t payload_len, EVP_PKEY *key, char **out, size_t *out_len,
                         struct sticps_error *err) STICPS_MUST_CHECK;

/* The same in two steps, for a signature that is made elsewhere: the first two segments and their
 * digest, in a text with room for the third (the caller frees), which jws_complete adds. */
enum sticps_err jws_input(const char *header, size_t header_len, const char *payload,
                          size_t payload_len, unsigned char digest[ES256_DIGEST], char **out,
                          size_t *out_len, struct sticps_error *err) STICPS_MUST_CHECK;
void jws_complete(char *text, size_t *len, const unsigned char raw[ES256_SIGNATURE]);

/* The second step with a key of ours: `text`, whose digest this is, becomes *out, or is freed. */
enum sticps_err jws_sign_input(char *text, size_t len, const unsigned char digest[ES256_DIGEST],
                               EVP_PKEY *key, char **out, size_t *out_len,
                               struct sticps_error *err) STICPS_MUST_CHECK;

#endif

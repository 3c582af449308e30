/* ES256 over a SHA-256 digest (RFC 7518 s3.4): raw R||S in and out, an EVP_PKEY for the key. Called
 * by jws.c, and by common/hsm, whose keys sign elsewhere.
 *
 * A key whose private half is in an HSM is an EVP_PKEY that has the public half alone and a signer
 * attached: it verifies, compares and is freed like any other, and es256_sign asks the signer. */
#ifndef COMMON_ES256_H
#define COMMON_ES256_H

#include "common/error.h"

#include <openssl/evp.h>

#define ES256_DIGEST 32
#define ES256_SIGNATURE 64

/* What signs for an EVP_PKEY that has no private half. */
struct es256_signer {
    /* STICPS_ERR_FILE or STICPS_ERR_CRYPTO, never STICPS_ERR_FETCH. Runs on the thread that signs,
     * and may wait for a device. */
    enum sticps_err (*sign)(void *arg, const unsigned char digest[ES256_DIGEST],
                            unsigned char raw[ES256_SIGNATURE], struct sticps_error *err);
    void (*free)(void *arg); /* with the last reference to the key */
    void *arg;
};

/* `signer` is copied, its `arg` taken over. STICPS_ERR_NO_MEMORY; then the caller still owns it. */
enum sticps_err es256_attach(EVP_PKEY *key, const struct es256_signer *signer,
                             struct sticps_error *err) STICPS_MUST_CHECK;

/* What an attached signer gives is checked with the public half before the caller sees it. A key
 * with an attached signer is for one thread at a time. STICPS_ERR_USAGE when the key is not on
 * P-256, else STICPS_ERR_CRYPTO or what the signer says. */
enum sticps_err es256_sign(EVP_PKEY *key, const unsigned char digest[ES256_DIGEST],
                           unsigned char raw[ES256_SIGNATURE],
                           struct sticps_error *err) STICPS_MUST_CHECK;

/* `code` when the signature does not match: r or s zero or out of range, or simply not this key's.
 */
enum sticps_err es256_verify(EVP_PKEY *key, const unsigned char digest[ES256_DIGEST],
                             const unsigned char raw[ES256_SIGNATURE], enum sticps_err code,
                             struct sticps_error *err) STICPS_MUST_CHECK;

#endif

#include "client/sha256.h"

#include <openssl/evp.h>

enum sticps_err sha256_hex(const void *data, size_t len, char out[65], struct sticps_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (EVP_Digest(data, len, digest, &digest_len, EVP_sha256(), NULL) != 1 || digest_len != 32)
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL cannot compute SHA-256");
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
    return STICPS_OK;
}

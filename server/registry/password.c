#include "server/registry/password.h"

#include "common/base64url.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LOG2_N 15
#define R 8
#define P 1
#define MAX_MEMORY (64u << 20) /* OpenSSL's own limit is just below what N = 2^15 needs */
#define SALT_SIZE 16
#define HASH_SIZE 32

static bool derive(const char *password, size_t len, unsigned log2_n, unsigned r, unsigned p,
                   const unsigned char *salt, unsigned char *hash)
{
    return EVP_PBE_scrypt(password, len, salt, SALT_SIZE, UINT64_C(1) << log2_n, r, p, MAX_MEMORY,
                          hash, HASH_SIZE) == 1;
}

static void encode(const unsigned char *data, size_t len, char *out)
{
    out[base64url_encode(data, len, out)] = '\0';
}

enum sticps_err password_hash(const char *password, size_t len, char out[PASSWORD_HASH_SIZE],
                              struct sticps_error *err)
{
    unsigned char salt[SALT_SIZE], hash[HASH_SIZE];
    char salt_text[32], hash_text[64];

    if (RAND_bytes(salt, sizeof(salt)) != 1 || !derive(password, len, LOG2_N, R, P, salt, hash))
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL cannot hash a password");
    encode(salt, sizeof(salt), salt_text);
    encode(hash, sizeof(hash), hash_text);
    snprintf(out, PASSWORD_HASH_SIZE, "scrypt$%d$%d$%d$%s$%s", LOG2_N, R, P, salt_text, hash_text);
    OPENSSL_cleanse(hash, sizeof(hash));
    return STICPS_OK;
}

/* One field between dollar signs, decoded to exactly `size` bytes. */
static bool decode(const char *text, size_t len, unsigned char *out, size_t size)
{
    unsigned char bytes[64];
    size_t decoded = 0;

    if (base64url_decoded_size(len) > sizeof(bytes) ||
        !base64url_decode(text, len, bytes, &decoded) || decoded != size)
        return false;
    memcpy(out, bytes, size);
    return true;
}

static bool parse(const char *stored, unsigned *log2_n, unsigned *r, unsigned *p,
                  unsigned char *salt, unsigned char *hash)
{
    int end = 0;

    if (stored == NULL || sscanf(stored, "scrypt$%2u$%2u$%2u$%n", log2_n, r, p, &end) != 3 ||
        end == 0)
        return false;
    if (*log2_n < 10 || *log2_n > LOG2_N || *r < 1 || *r > R || *p < 1 || *p > 4)
        return false;
    const char *salt_text = stored + end;
    const char *dollar = strchr(salt_text, '$');
    return dollar != NULL && decode(salt_text, (size_t)(dollar - salt_text), salt, SALT_SIZE) &&
           decode(dollar + 1, strlen(dollar + 1), hash, HASH_SIZE);
}

bool password_verify(const char *password, size_t len, const char *stored)
{
    unsigned log2_n = LOG2_N, r = R, p = P;
    unsigned char salt[SALT_SIZE] = {0}, expected[HASH_SIZE] = {0}, hash[HASH_SIZE];
    bool known = parse(stored, &log2_n, &r, &p, salt, expected);

    if (!known) {
        log2_n = LOG2_N;
        r = R;
        p = P;
    }
    bool derived = derive(password, len, log2_n, r, p, salt, hash);
    bool same = derived && CRYPTO_memcmp(hash, expected, HASH_SIZE) == 0;
    OPENSSL_cleanse(hash, sizeof(hash));
    return known && same;
}

enum sticps_err password_one_time(char out[PASSWORD_ONE_TIME_SIZE], struct sticps_error *err)
{
    static const char letters[] = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";
    const unsigned count = sizeof(letters) - 1;
    size_t len = 0;

    while (len < PASSWORD_ONE_TIME_SIZE - 1) {
        unsigned char byte;

        if (RAND_bytes(&byte, 1) != 1)
            return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL has no random bytes");
        if (byte < 256 / count * count) /* no letter is likelier than another */
            out[len++] = letters[byte % count];
    }
    out[len] = '\0';
    return STICPS_OK;
}

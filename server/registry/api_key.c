#include "server/registry/api_key.h"

#include "server/registry/session.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_LEN (sizeof(API_KEY_PREFIX) - 1)
#define ID_LEN (API_KEY_ID_SIZE - 1)
#define SECRET_BYTES 32
#define SECRET_LEN (2 * SECRET_BYTES)

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") >= len;
}

enum sticps_err api_key_make(char text[API_KEY_TEXT_SIZE], char id[API_KEY_ID_SIZE],
                             struct sticps_error *err)
{
    unsigned char bytes[ID_LEN / 2 + SECRET_BYTES];
    char hex[2 * sizeof(bytes) + 3]; /* "\x" first */

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL has no random bytes");
    session_hex(bytes, sizeof(bytes), hex);
    snprintf(id, API_KEY_ID_SIZE, "%.*s", (int)ID_LEN, hex + 2);
    snprintf(text, API_KEY_TEXT_SIZE, API_KEY_PREFIX "%s_%s", id, hex + 2 + ID_LEN);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(hex, sizeof(hex));
    return STICPS_OK;
}

bool api_key_meant(const char *token)
{
    return strncmp(token, API_KEY_PREFIX, PREFIX_LEN) == 0;
}

bool api_key_parse(const char *token, char id[API_KEY_ID_SIZE])
{
    const char *digits = token + PREFIX_LEN, *secret = digits + ID_LEN + 1;

    if (strlen(token) != API_KEY_TEXT_SIZE - 1 || !api_key_meant(token) ||
        !is_hex(digits, ID_LEN) || secret[-1] != '_' || !is_hex(secret, SECRET_LEN))
        return false;
    memcpy(id, digits, ID_LEN);
    id[ID_LEN] = '\0';
    return true;
}

bool api_key_is_id(const char *text)
{
    return strlen(text) == ID_LEN && is_hex(text, ID_LEN);
}

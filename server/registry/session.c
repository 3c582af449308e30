#include "server/registry/session.h"

#include "common/base64url.h"
#include "server/registry/token_cache.h"

#include <jwt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A key and the header that libjwt writes for it. A replaced key is kept until the end, because
 * another thread may be using it; keys are replaced once in a daemon's life, if at all. */
struct session_key {
    unsigned char bytes[SESSION_KEY_SIZE];
    struct session_key *replaced;
};

struct sessions {
    const char *issuer;
    _Atomic unsigned lifetime;
    const struct clock *clock;
    char *header; /* the first segment of every token of ours, with its dot */
    size_t header_len;
    _Atomic(struct session_key *) key;
};

static char *encode(const struct sessions *sessions, const unsigned char *key, const char *sid,
                    const char *user)
{
    long now = (long)clock_now(sessions->clock);
    char *text = NULL;
    jwt_t *jwt = NULL;

    if (jwt_new(&jwt) != 0)
        return NULL;
    if (jwt_set_alg(jwt, JWT_ALG_HS256, key, SESSION_KEY_SIZE) == 0 &&
        jwt_add_grant(jwt, "iss", sessions->issuer) == 0 && jwt_add_grant(jwt, "sub", user) == 0 &&
        jwt_add_grant(jwt, "sid", sid) == 0 && jwt_add_grant_int(jwt, "iat", now) == 0 &&
        jwt_add_grant_int(jwt, "exp", now + (long)sessions->lifetime) == 0)
        text = jwt_encode_str(jwt);
    jwt_free(jwt);
    return text;
}

enum sticps_err sessions_new(const char *issuer, unsigned lifetime, const struct clock *clock,
                             struct sessions **out, struct sticps_error *err)
{
    static const unsigned char any_key[SESSION_KEY_SIZE];
    struct sessions *sessions = calloc(1, sizeof(*sessions));

    if (sessions == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    sessions->issuer = issuer;
    sessions->lifetime = lifetime;
    sessions->clock = clock;
    /* libjwt 1.10.2 verifies by the algorithm that the token names. All tokens of ours have one and
     * the same first segment, so whatever differs in it is not ours and never reaches libjwt. */
    sessions->header = encode(sessions, any_key, "", "");
    if (sessions->header == NULL) {
        sessions_free(sessions);
        return fail(err, STICPS_ERR_CRYPTO, NULL, "libjwt cannot make a token");
    }
    sessions->header_len = strcspn(sessions->header, ".") + 1;
    *out = sessions;
    return STICPS_OK;
}

void sessions_free(struct sessions *sessions)
{
    if (sessions == NULL)
        return;
    struct session_key *key = atomic_load(&sessions->key);
    while (key != NULL) {
        struct session_key *replaced = key->replaced;

        OPENSSL_cleanse(key->bytes, sizeof(key->bytes));
        free(key);
        key = replaced;
    }
    free(sessions->header);
    free(sessions);
}

enum sticps_err sessions_set_key(struct sessions *sessions,
                                 const unsigned char key[SESSION_KEY_SIZE],
                                 struct sticps_error *err)
{
    struct session_key *old = atomic_load(&sessions->key);

    if (old != NULL && CRYPTO_memcmp(old->bytes, key, SESSION_KEY_SIZE) == 0)
        return STICPS_OK;
    struct session_key *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    memcpy(fresh->bytes, key, SESSION_KEY_SIZE);
    fresh->replaced = old;
    atomic_store(&sessions->key, fresh);
    return STICPS_OK;
}

bool sessions_ready(const struct sessions *sessions)
{
    return atomic_load(&sessions->key) != NULL;
}

enum sticps_err session_token_make(const struct sessions *sessions, const char *sid,
                                   const char *user, char **out, struct sticps_error *err)
{
    const struct session_key *key = atomic_load(&sessions->key);
    char *text = key != NULL ? encode(sessions, key->bytes, sid, user) : NULL;

    if (text == NULL)
        return fail(err, STICPS_ERR_CRYPTO, NULL, "libjwt cannot make a token");
    *out = text;
    return STICPS_OK;
}

void sessions_set_lifetime(struct sessions *sessions, unsigned lifetime)
{
    atomic_store(&sessions->lifetime, lifetime);
}

unsigned session_token_lifetime(const struct sessions *sessions)
{
    return sessions->lifetime;
}

/* The claims of a token whose signature holds. */
static bool read_claims(const struct sessions *sessions, jwt_t *jwt, struct identity *out,
                        int64_t *exp)
{
    const char *issuer = jwt_get_grant(jwt, "iss");
    const char *sid = jwt_get_grant(jwt, "sid");
    const char *user = jwt_get_grant(jwt, "sub");

    if (jwt_get_alg(jwt) != JWT_ALG_HS256 || issuer == NULL || sid == NULL || user == NULL ||
        strcmp(issuer, sessions->issuer) != 0 || strlen(sid) != sizeof(out->sid) - 1 ||
        strspn(sid, "0123456789abcdef-") != sizeof(out->sid) - 1 ||
        strlen(user) >= sizeof(out->user))
        return false;
    *exp = jwt_get_grant_int(jwt, "exp");
    if (*exp <= clock_now(sessions->clock))
        return false;
    memcpy(out->sid, sid, sizeof(out->sid));
    memcpy(out->user, user, strlen(user) + 1);
    return true;
}

bool session_token_meant(const struct sessions *sessions, const char *token)
{
    return strncmp(token, sessions->header, sessions->header_len) == 0;
}

static bool check(const struct sessions *sessions, const struct session_key *key, const char *token,
                  struct identity *out, int64_t *exp)
{
    struct identity identity;
    jwt_t *jwt = NULL;

    if (key == NULL || !session_token_meant(sessions, token))
        return false;
    if (jwt_decode(&jwt, token, key->bytes, SESSION_KEY_SIZE) != 0)
        return false;
    bool valid = read_claims(sessions, jwt, &identity, exp);
    jwt_free(jwt);
    if (valid)
        *out = identity;
    return valid;
}

bool session_token_check(const struct sessions *sessions, const char *token, struct identity *out)
{
    int64_t exp;

    return check(sessions, atomic_load(&sessions->key), token, out, &exp);
}

bool session_token_recall(const struct sessions *sessions, struct token_cache *cache,
                          const char *token, struct identity *out)
{
    const struct session_key *key = atomic_load(&sessions->key);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int64_t exp;

    SHA256((const unsigned char *)token, strlen(token), digest);
    const struct identity *known = token_cache_get(cache, digest, key, clock_now(sessions->clock));
    if (known != NULL) {
        *out = *known;
        return true;
    }
    if (!check(sessions, key, token, out, &exp))
        return false;
    token_cache_put(cache, digest, key, exp, out);
    return true;
}

void session_hex(const unsigned char *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    *out++ = '\\';
    *out++ = 'x';
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }
    *out = '\0';
}

void session_refresh_hash(const char *token, size_t len, char hash[SESSION_HASH_TEXT_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)token, len, digest);
    session_hex(digest, sizeof(digest), hash);
}

enum sticps_err session_refresh_make(char token[SESSION_REFRESH_TEXT_SIZE],
                                     char hash[SESSION_HASH_TEXT_SIZE], struct sticps_error *err)
{
    unsigned char bytes[32];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL has no random bytes");
    token[base64url_encode(bytes, sizeof(bytes), token)] = '\0';
    session_refresh_hash(token, strlen(token), hash);
    return STICPS_OK;
}

/* Access tokens: HS256 JWTs (libjwt) that name a session. What a token is worth is decided by the
 * session's row at every request (sql/003_sessions.sql); here only form, signature, issuer and
 * expiry are judged. And the other secrets of a session: refresh tokens. Callers: main,
 * auth_routes, the authenticate hook. */
#ifndef REGISTRY_SESSION_H
#define REGISTRY_SESSION_H

#include "common/clock.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define SESSION_KEY_SIZE 32
#define SESSION_HASH_TEXT_SIZE                                        \
    67 /* "\x" and 64 hexadecimal digits, as PostgreSQL reads a bytea \
        */
#define SESSION_REFRESH_TEXT_SIZE 44 /* 32 random bytes in base64url */

struct sessions;
struct token_cache;

/* Whose request it is, as the token says. */
struct identity {
    char sid[37]; /* UUID */
    char user[65];
};

/* `issuer` and `clock` are borrowed; `lifetime` of an access token in seconds. */
enum sticps_err sessions_new(const char *issuer, unsigned lifetime, const struct clock *clock,
                             struct sessions **out, struct sticps_error *err) STICPS_MUST_CHECK;
void sessions_free(struct sessions *sessions); /* accepts NULL */

/* The key lives in the database, shared by all nodes; the publisher thread brings it. Any thread.
 */
enum sticps_err sessions_set_key(struct sessions *sessions,
                                 const unsigned char key[SESSION_KEY_SIZE],
                                 struct sticps_error *err) STICPS_MUST_CHECK;
/* False until the key is there: nobody can be told from anybody else (503). */
bool sessions_ready(const struct sessions *sessions);

/* The caller frees *out. */
enum sticps_err session_token_make(const struct sessions *sessions, const char *sid,
                                   const char *user, char **out,
                                   struct sticps_error *err) STICPS_MUST_CHECK;
/* Of tokens made from now on. Any thread. */
void sessions_set_lifetime(struct sessions *sessions, unsigned lifetime);
unsigned session_token_lifetime(const struct sessions *sessions);

/* Has it the first segment of our tokens? Cheap, and says nothing else. */
bool session_token_meant(const struct sessions *sessions, const char *token);
/* False for whatever is not a token of ours that is valid now: another alg, none, another key,
 * changed claims, expired. */
bool session_token_check(const struct sessions *sessions, const char *token, struct identity *out);
/* The same, at less cost for a token that `cache` has seen good. The cache is the calling thread's.
 */
bool session_token_recall(const struct sessions *sessions, struct token_cache *cache,
                          const char *token, struct identity *out);

/* 32 random bytes as base64url, and the SHA-256 under which they are stored. */
enum sticps_err session_refresh_make(char token[SESSION_REFRESH_TEXT_SIZE],
                                     char hash[SESSION_HASH_TEXT_SIZE],
                                     struct sticps_error *err) STICPS_MUST_CHECK;
/* The hash of a token that came in, of any length. */
void session_refresh_hash(const char *token, size_t len, char hash[SESSION_HASH_TEXT_SIZE]);

/* "\x" and hexadecimal digits; `out` has room for 3 + 2 * len characters. */
void session_hex(const unsigned char *data, size_t len, char *out);

#endif

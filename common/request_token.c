#include "common/request_token.h"

#include "common/base64url.h"
#include "common/json_write.h"
#include "common/openssl_error.h"
#include "common/url.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_HASH_SIZE (7 + 44 + 1) /* "sha256-", base64 of 32 bytes, NUL */

/* ---- reading ---- */

static enum request_token_fault fault(struct sticps_error *err, enum request_token_fault what,
                                      const char *where, const char *why)
{
    bool memory = what == REQUEST_TOKEN_NO_MEMORY;
    (void)fail(err, memory ? STICPS_ERR_NO_MEMORY : STICPS_ERR_FORM, where, "%s%s%s", where,
               where[0] != '\0' ? " " : "", why);
    return what;
}

static enum request_token_fault malformed(enum sticps_err code)
{
    return code == STICPS_ERR_NO_MEMORY ? REQUEST_TOKEN_NO_MEMORY : REQUEST_TOKEN_MALFORMED;
}

static enum request_token_fault
read_documents(const char *text, size_t len, struct request_token *token, struct sticps_error *err)
{
    if (len > REQUEST_TOKEN_MAX_BYTES)
        return fault(err, REQUEST_TOKEN_MALFORMED, "", "the token is longer than 8192 bytes");
    enum sticps_err rc = jws_split(text, len, STICPS_ERR_FORM, &token->jws, err);
    if (rc != STICPS_OK)
        return malformed(rc);
    rc = json_doc_parse_object(token->jws.header, token->jws.header_len, STICPS_ERR_FORM,
                               &token->header, err);
    if (rc != STICPS_OK) {
        fail_context(err, "header");
        return malformed(rc);
    }
    rc = json_doc_parse_object(token->jws.payload, token->jws.payload_len, STICPS_ERR_FORM,
                               &token->payload, err);
    if (rc != STICPS_OK) {
        fail_context(err, "payload");
        return malformed(rc);
    }
    return REQUEST_TOKEN_GOOD;
}

static const struct json_node *member(const struct json_doc *doc, const char *name)
{
    return json_node_get(doc, doc->nodes, name);
}

static enum request_token_fault check_header(const struct request_token *token,
                                             struct sticps_error *err)
{
    if (!json_node_is(member(&token->header, "alg"), "ES256"))
        return fault(err, REQUEST_TOKEN_ALGORITHM, "alg", "is not \"ES256\"");
    /* A PASSporT of the same key must never pass for a request. */
    if (!json_node_is(member(&token->header, "typ"), "JWT"))
        return fault(err, REQUEST_TOKEN_HEADER, "typ", "is not \"JWT\"");
    if (member(&token->header, "crit") != NULL)
        return fault(err, REQUEST_TOKEN_HEADER, "crit", "names extensions that nobody here knows");
    return REQUEST_TOKEN_GOOD;
}

/* A claim that is a string, or NULL after noting the fault. */
static const char *text_claim(const struct request_token *token, const char *name,
                              struct sticps_error *err)
{
    const struct json_node *node = member(&token->payload, name);
    if (node != NULL && node->kind == JSON_NODE_STRING)
        return node->value.text;
    (void)fault(err, REQUEST_TOKEN_CLAIM, name, "is missing or no string");
    return NULL;
}

static bool time_claim(const struct request_token *token, const char *name, int64_t *out,
                       struct sticps_error *err)
{
    const struct json_node *node = member(&token->payload, name);
    if (node != NULL && node->kind == JSON_NODE_INTEGER && node->value.integer >= 0) {
        *out = node->value.integer;
        return true;
    }
    (void)fault(err, REQUEST_TOKEN_CLAIM, name,
                "is missing or no whole number of seconds since 1970");
    return false;
}

static bool jti_is_good(const char *jti)
{
    size_t len = strlen(jti);
    for (size_t i = 0; i < len; i++)
        if (jti[i] <= 0x20 || jti[i] > 0x7e)
            return false;
    return len >= 1 && len <= REQUEST_TOKEN_MAX_JTI;
}

static enum request_token_fault read_claims(struct request_token *token, struct sticps_error *err)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"aud", &token->aud},
                 {"action", &token->action},
                 {"jti", &token->jti},
                 {"htm", &token->htm},
                 {"htu", &token->htu}};
    struct sticps_error why;
    const char *iss = text_claim(token, "iss", err);
    if (iss == NULL)
        return REQUEST_TOKEN_CLAIM;
    if (spc_from_claim(iss, strlen(iss), &token->iss, &why) != STICPS_OK)
        return fault(err, REQUEST_TOKEN_CLAIM, "iss", "is not a Service Provider Code");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i].to = text_claim(token, texts[i].name, err);
        if (*texts[i].to == NULL)
            return REQUEST_TOKEN_CLAIM;
    }
    if (!time_claim(token, "iat", &token->iat, err) || !time_claim(token, "exp", &token->exp, err))
        return REQUEST_TOKEN_CLAIM;
    if (!jti_is_good(token->jti))
        return fault(err, REQUEST_TOKEN_CLAIM, "jti",
                     "is not 1 to 128 printable ASCII characters without space");
    if (member(&token->payload, "body") != NULL) {
        token->body = text_claim(token, "body", err);
        if (token->body == NULL)
            return REQUEST_TOKEN_CLAIM;
    }
    return REQUEST_TOKEN_GOOD;
}

static enum request_token_fault read_x5u(struct request_token *token, bool lab,
                                         struct sticps_error *err)
{
    struct sticps_error why;
    const struct json_node *x5u = member(&token->header, "x5u");
    if (x5u == NULL || x5u->kind != JSON_NODE_STRING)
        return fault(err, REQUEST_TOKEN_X5U, "x5u", "is missing or no string");
    if (x5u_check(x5u->value.text, x5u->len, lab, &why) != STICPS_OK)
        return fault(err, REQUEST_TOKEN_X5U, "x5u:", why.text);
    token->x5u = x5u->value.text;
    return REQUEST_TOKEN_GOOD;
}

enum request_token_fault request_token_parse(const char *text, size_t len, bool lab,
                                             struct request_token **out, struct sticps_error *err)
{
    struct request_token *token = calloc(1, sizeof(*token));
    if (token == NULL)
        return fault(err, REQUEST_TOKEN_NO_MEMORY, "", "out of memory");
    enum request_token_fault what = read_documents(text, len, token, err);
    if (what == REQUEST_TOKEN_GOOD)
        what = check_header(token, err);
    if (what == REQUEST_TOKEN_GOOD)
        what = read_claims(token, err);
    if (what == REQUEST_TOKEN_GOOD)
        what = read_x5u(token, lab, err);
    if (what == REQUEST_TOKEN_GOOD)
        *out = token;
    else
        request_token_free(token);
    return what;
}

void request_token_free(struct request_token *token)
{
    if (token == NULL)
        return;
    jws_clear(&token->jws);
    json_doc_clear(&token->header);
    json_doc_clear(&token->payload);
    free(token);
}

bool request_token_is_one(const char *text, size_t len)
{
    struct json_doc header = {0};
    struct sticps_error err;
    const char *dot = memchr(text, '.', len);
    size_t size = dot != NULL ? (size_t)(dot - text) : 0, decoded = 0;
    if (size == 0 || size > REQUEST_TOKEN_MAX_BYTES)
        return false;
    unsigned char *bytes = malloc(size);
    bool found =
        bytes != NULL && base64url_decode(text, size, bytes, &decoded) &&
        json_doc_parse_object(bytes, decoded, STICPS_ERR_FORM, &header, &err) == STICPS_OK &&
        member(&header, "x5u") != NULL;
    json_doc_clear(&header);
    free(bytes);
    return found;
}

/* ---- is it of this request? ---- */

/* "sha256-" and the base64 of the digest, as Subresource Integrity writes it. */
static bool body_hash(const void *body, size_t len, char out[BODY_HASH_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    openssl_begin();
    bool done = EVP_Digest(body, len, digest, NULL, EVP_sha256(), NULL) == 1;
    openssl_end();
    if (!done)
        return false;
    memcpy(out, "sha256-", 7);
    EVP_EncodeBlock((unsigned char *)out + 7, digest, sizeof(digest));
    return true;
}

/* What stands between "https://" and the path, in two forms: the host alone, and the host with the
 * port that is written. Both are taken for aud. */
static bool is_audience(const char *aud, const char *base_url, const struct url *base)
{
    bool v6 = base->host_kind == URL_HOST_IPV6;
    const char *host = base->host - (v6 ? 1 : 0);
    size_t host_len = base->host_len + (v6 ? 2 : 0);
    const char *end = base->path_len > 0 ? base->path : base_url + strlen(base_url);
    size_t whole_len = (size_t)(end - host), len = strlen(aud);
    return (len == host_len && strncasecmp(aud, host, len) == 0) ||
           (len == whole_len && strncasecmp(aud, host, len) == 0);
}

/* Scheme and host whatever their case, the port whether written or not; path and query byte for
 * byte. */
static bool same_url(const char *htu, const char *url)
{
    struct url a, b;
    struct sticps_error err;
    if (url_parse(htu, strlen(htu), &a, &err) != STICPS_OK ||
        url_parse(url, strlen(url), &b, &err) != STICPS_OK)
        return false;
    return url_same_host(&a, &b) && a.port == b.port && a.path_len > 0 && b.path_len > 0 &&
           strcmp(a.path, b.path) == 0; /* both run to the end of their texts */
}

static enum request_token_fault check_url(const struct request_token *token,
                                          const struct request_facts *facts,
                                          struct sticps_error *err)
{
    char url[2 * URL_MAX_LENGTH];
    int len = snprintf(url, sizeof(url), "%s%s", facts->base_url, facts->target);
    if (len > 0 && (size_t)len < sizeof(url) && same_url(token->htu, url))
        return REQUEST_TOKEN_GOOD;
    (void)fail(err, STICPS_ERR_FORM, "htu", "htu is not the URL of this request, %s%s",
               facts->base_url, facts->target);
    return REQUEST_TOKEN_MISMATCH;
}

static enum request_token_fault check_body(const struct request_token *token,
                                           const struct request_facts *facts,
                                           struct sticps_error *err)
{
    char hash[BODY_HASH_SIZE];
    if (token->body == NULL && facts->body_len == 0)
        return REQUEST_TOKEN_GOOD;
    if (token->body == NULL)
        return fault(err, REQUEST_TOKEN_CLAIM, "body", "is missing, and the request has a body");
    if (!body_hash(facts->body, facts->body_len, hash))
        return fault(err, REQUEST_TOKEN_NO_MEMORY, "", "out of memory");
    if (strcmp(token->body, hash) == 0)
        return REQUEST_TOKEN_GOOD;
    return fault(err, REQUEST_TOKEN_MISMATCH, "body",
                 "is not \"sha256-\" and the base64 of the SHA-256 of this request's body");
}

static enum request_token_fault check_time(const struct request_token *token, int64_t now,
                                           struct sticps_error *err)
{
    /* None is negative, so no subtraction overflows. */
    if (token->exp <= token->iat)
        return fault(err, REQUEST_TOKEN_TIME, "exp", "is not after iat");
    if (token->exp - token->iat > REQUEST_TOKEN_MAX_LIFE)
        return fault(err, REQUEST_TOKEN_TIME, "exp", "is more than 60 s after iat");
    if (token->iat - now > REQUEST_TOKEN_MAX_AHEAD)
        return fault(err, REQUEST_TOKEN_TIME, "iat", "is in the future");
    if (token->exp <= now)
        return fault(err, REQUEST_TOKEN_TIME, "exp", "has passed");
    return REQUEST_TOKEN_GOOD;
}

enum request_token_fault request_token_check(const struct request_token *token,
                                             const struct request_facts *facts, int64_t now,
                                             struct sticps_error *err)
{
    struct url base;
    struct sticps_error why;
    if (url_parse(facts->base_url, strlen(facts->base_url), &base, &why) != STICPS_OK ||
        !is_audience(token->aud, facts->base_url, &base))
        return fault(err, REQUEST_TOKEN_MISMATCH, "aud", "is not the host name of this registry");
    if (strcmp(token->action, facts->action) != 0)
        return fault(err, REQUEST_TOKEN_MISMATCH, "action", "is not what this request does");
    if (strcmp(token->htm, facts->method) != 0)
        return fault(err, REQUEST_TOKEN_MISMATCH, "htm", "is not the method of this request");
    enum request_token_fault what = check_url(token, facts, err);
    if (what == REQUEST_TOKEN_GOOD)
        what = check_time(token, now, err);
    return what == REQUEST_TOKEN_GOOD ? check_body(token, facts, err) : what;
}

enum sticps_err request_token_verify(const struct request_token *token,
                                     const struct cert_chain *chain, struct sticps_error *err)
{
    return jws_verify(&token->jws, cert_chain_key(chain), STICPS_ERR_SIGNATURE, err);
}

/* ---- signing ---- */

static void write_payload(struct json_write *w, const struct request_facts *facts,
                          const struct url *base, const struct spc *iss, int64_t iat,
                          int64_t lifetime, const char *jti, const char *hash)
{
    char aud[URL_MAX_LENGTH + 3], url[2 * URL_MAX_LENGTH];
    bool v6 = base->host_kind == URL_HOST_IPV6;
    snprintf(aud, sizeof(aud), "%s%.*s%s", v6 ? "[" : "", (int)base->host_len, base->host,
             v6 ? "]" : "");
    snprintf(url, sizeof(url), "%s%s", facts->base_url, facts->target);
    json_write_literal(w, "{\"action\":");
    json_write_string(w, facts->action);
    json_write_literal(w, ",\"aud\":");
    json_write_string(w, aud);
    json_write_literal(w, ",\"body\":");
    json_write_string(w, hash);
    json_write_literal(w, ",\"exp\":");
    json_write_integer(w, iat + lifetime);
    json_write_literal(w, ",\"htm\":");
    json_write_string(w, facts->method);
    json_write_literal(w, ",\"htu\":");
    json_write_string(w, url);
    json_write_literal(w, ",\"iat\":");
    json_write_integer(w, iat);
    json_write_literal(w, ",\"iss\":");
    json_write_string(w, iss->text);
    json_write_literal(w, ",\"jti\":");
    json_write_string(w, jti);
    json_write_literal(w, "}");
}

enum sticps_err request_token_input(const struct request_facts *facts, const struct spc *iss,
                                    const char *x5u, int64_t iat, int64_t lifetime,
                                    unsigned char digest[ES256_DIGEST], char **out, size_t *out_len,
                                    struct sticps_error *err)
{
    char hash[BODY_HASH_SIZE], jti[24];
    unsigned char random[16];
    struct url base;
    struct sticps_error why;
    if (url_parse(facts->base_url, strlen(facts->base_url), &base, &why) != STICPS_OK ||
        strchr(facts->base_url, '?') != NULL)
        return fail(err, STICPS_ERR_USAGE, facts->base_url, "the server's URL: %s", why.text);
    if (strlen(facts->base_url) + strlen(facts->target) > URL_MAX_LENGTH)
        return fail(err, STICPS_ERR_USAGE, facts->target, "the URL is longer than 2048 characters");
    if (iat < 0 || lifetime < 1 || lifetime > REQUEST_TOKEN_MAX_LIFE)
        return fail(err, STICPS_ERR_USAGE, "exp", "a lifetime is 1 to 60 seconds from now");
    if (x5u_check(x5u, strlen(x5u), true, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_USAGE, "x5u", "x5u: %s", why.text);
    openssl_begin();
    bool drawn = RAND_bytes(random, sizeof(random)) == 1;
    openssl_end();
    if (!drawn || !body_hash(facts->body, facts->body_len, hash))
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL has no random numbers or no SHA-256");
    jti[base64url_encode(random, sizeof(random), jti)] = '\0';

    struct json_write header, payload;
    json_write_init(&header, 256);
    json_write_init(&payload, 512);
    json_write_literal(&header, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":");
    json_write_string(&header, x5u);
    json_write_literal(&header, "}");
    write_payload(&payload, facts, &base, iss, iat, lifetime, jti, hash);
    enum sticps_err rc = json_write_check(&header, err);
    if (rc == STICPS_OK)
        rc = json_write_check(&payload, err);
    if (rc == STICPS_OK)
        rc = jws_input(header.data, header.len, payload.data, payload.len, digest, out, out_len,
                       err);
    json_write_clear(&header);
    json_write_clear(&payload);
    return rc;
}

enum sticps_err request_token_sign(const struct request_facts *facts, const struct spc *iss,
                                   const char *x5u, int64_t iat, int64_t lifetime, EVP_PKEY *key,
                                   char **out, size_t *out_len, struct sticps_error *err)
{
    unsigned char digest[ES256_DIGEST];
    char *text = NULL;
    size_t len = 0;
    enum sticps_err rc =
        request_token_input(facts, iss, x5u, iat, lifetime, digest, &text, &len, err);
    return rc == STICPS_OK ? jws_sign_input(text, len, digest, key, out, out_len, err) : rc;
}

/* One HTTP request, signed with the key of an STI certificate (PROTOCOL section 3, "Proof by STI
 * certificate"): an ES256 JWT that goes with the request as its bearer token and is good for that
 * request alone, for a minute, once.
 *
 * Here is what needs no network and no memory of earlier tokens: form, claims, and whether the
 * token is of this request. The caller obtains the chain of the x5u, checks it
 * (sti_certificate_check) and the signature, and refuses a jti that it has seen. Callers: the
 * registry's proof, `sticps provision`, and deliveries to a CPS that demands one (section 6). */
#ifndef COMMON_REQUEST_TOKEN_H
#define COMMON_REQUEST_TOKEN_H

#include "common/cert.h"
#include "common/error.h"
#include "common/json_doc.h"
#include "common/jws.h"
#include "common/spc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_TOKEN_MAX_BYTES (8 * 1024)
#define REQUEST_TOKEN_MAX_LIFE 60 /* seconds from iat to exp */
#define REQUEST_TOKEN_MAX_AHEAD 5 /* seconds that the sender's clock may be ahead */
#define REQUEST_TOKEN_MAX_JTI 128 /* characters */

/* Why a token is refused, in the order of the checks. */
enum request_token_fault {
    REQUEST_TOKEN_GOOD = 0,
    REQUEST_TOKEN_NO_MEMORY,
    REQUEST_TOKEN_MALFORMED, /* no compact JWS of two JSON objects, or too long */
    REQUEST_TOKEN_ALGORITHM, /* alg is not ES256 */
    REQUEST_TOKEN_HEADER,    /* typ is not JWT, or there is a crit */
    REQUEST_TOKEN_CLAIM,     /* a claim is missing, of a wrong type or out of range */
    REQUEST_TOKEN_MISMATCH,  /* it is for another server, action, method, URL or body */
    REQUEST_TOKEN_TIME,      /* not yet, not any more, or good for too long */
    REQUEST_TOKEN_X5U        /* the x5u is missing or against PROTOCOL section 4 */
};

struct request_token {
    struct jws jws;
    struct json_doc header, payload;
    const char *x5u;                                   /* the texts: of the documents above */
    const char *aud, *action, *jti, *htm, *htu, *body; /* body: NULL when there is none */
    struct spc iss;
    int64_t iat, exp; /* Unix seconds, not negative */
};

/* The request as the server sees it. Everything is borrowed. */
struct request_facts {
    const char *action;   /* "provision", "publish" */
    const char *base_url; /* the server's own public address, without a slash at its end */
    const char *method;
    const char *target; /* path and query, byte for byte as sent */
    const void *body;
    size_t body_len;
};

/* Has the token (any text) a header with an x5u? Tells those of STI certificates from others, which
 * name their key in no way or in another. Says nothing else about it. */
bool request_token_is_one(const char *text, size_t len);

/* Form, header and claims. `text` must outlive the token. `lab` is for the x5u. `err` says which
 * member is at fault. On success the caller owns *out (request_token_free). */
enum request_token_fault request_token_parse(const char *text, size_t len, bool lab,
                                             struct request_token **out,
                                             struct sticps_error *err) STICPS_MUST_CHECK;
void request_token_free(struct request_token *token); /* accepts NULL */

/* Is it of this request, and good at `now` (Unix seconds)? MISMATCH, TIME, CLAIM when a request
 * with a body has a token without, or NO_MEMORY. */
enum request_token_fault request_token_check(const struct request_token *token,
                                             const struct request_facts *facts, int64_t now,
                                             struct sticps_error *err) STICPS_MUST_CHECK;

/* The signature, by the leaf's key. STICPS_ERR_SIGNATURE. */
enum sticps_err request_token_verify(const struct request_token *token,
                                     const struct cert_chain *chain,
                                     struct sticps_error *err) STICPS_MUST_CHECK;

/* Signs a request: `facts` with the base_url of the server, `lifetime` seconds from `iat`, a random
 * jti. STICPS_ERR_USAGE for what could not be read back. The caller frees *out. */
enum sticps_err request_token_sign(const struct request_facts *facts, const struct spc *iss,
                                   const char *x5u, int64_t iat, int64_t lifetime, EVP_PKEY *key,
                                   char **out, size_t *out_len,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* The same but for the signature, which is made elsewhere: what jws_input gives. */
enum sticps_err request_token_input(const struct request_facts *facts, const struct spc *iss,
                                    const char *x5u, int64_t iat, int64_t lifetime,
                                    unsigned char digest[ES256_DIGEST], char **out, size_t *out_len,
                                    struct sticps_error *err) STICPS_MUST_CHECK;

#endif

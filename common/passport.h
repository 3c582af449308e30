/* SHAKEN PASSporTs (RFC 8225, RFC 8588, ATIS-1000074; PROTOCOL section 5): made, read and verified,
 * with the verdict that the protocol names for each fault. Nothing is fetched here: the caller
 * reads the x5u, obtains the chain and comes back. */
#ifndef COMMON_PASSPORT_H
#define COMMON_PASSPORT_H

#include "common/cert.h"
#include "common/error.h"
#include "common/jws.h"
#include "common/tn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PASSPORT_MAX_BYTES (16 * 1024)

struct passport {
    struct jws jws;
    char *x5u;   /* NUL-terminated */
    char attest; /* 'A', 'B' or 'C' */
    struct tn orig;
    struct tn *dest; /* canonical, sorted, duplicates removed */
    size_t dest_len;
    int64_t iat;     /* Unix seconds */
    char origid[37]; /* UUID */
};

struct passport_rules {
    unsigned default_country; /* 1, or 0 for none */
    int64_t max_age;          /* seconds, 60 */
    int64_t max_ahead;        /* seconds, 5 */
    bool lab;                 /* for the x5u */
};
#define PASSPORT_RULES_DEFAULT \
    {                          \
        1, 60, 5, false        \
    }

/* The cheap checks, in this order: form (MALFORMED), alg (UNSUPPORTED_CREDENTIAL), crit, typ, ppt
 * and claims (INVALID_IDENTITY_HEADER), iat within the window at `now` (STALE_DATE; skipped when
 * now < 0), x5u present and allowed (BAD_IDENTITY_INFO). `text` must outlive the passport. On
 * success the caller owns *out (passport_free). */
enum sticps_err passport_parse(const char *text, size_t len, const struct passport_rules *rules,
                               int64_t now, struct passport **out,
                               struct sticps_error *err) STICPS_MUST_CHECK;
void passport_free(struct passport *passport); /* accepts NULL */

/* The signature, over the received bytes, by the leaf's key (INVALID_IDENTITY_HEADER). The chain is
 * checked apart, by sti_certificate_check. */
enum sticps_err passport_verify_signature(const struct passport *passport,
                                          const struct cert_chain *chain,
                                          struct sticps_error *err) STICPS_MUST_CHECK;

/* Are two PASSporTs of one call: same orig and the same set of dest? */
bool passport_same_call(const struct passport *a, const struct passport *b);

/* "A", "B" or "C"; a UUID (8-4-4-4-12 hex digits, any case). */
bool passport_attest_is_valid(const char *attest);
bool passport_origid_is_valid(const char *origid);

struct passport_claims {
    const char *attest; /* "A", "B" or "C" */
    const struct tn *dest;
    size_t dest_len;
    const struct tn *orig;
    int64_t iat;
    const char *origid; /* UUID */
    const char *x5u;
};

/* Makes one: keys in lexicographic order at every level, no white space (RFC 8225 s9).
 * STICPS_ERR_USAGE for claims that passport_parse would refuse. The caller frees *out. */
enum sticps_err passport_sign(const struct passport_claims *claims, bool lab, EVP_PKEY *key,
                              char **out, size_t *out_len,
                              struct sticps_error *err) STICPS_MUST_CHECK;

#endif

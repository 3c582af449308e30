/* Path building. OpenSSL picks one issuer for each certificate and does not come back to try
 * another, so a rotated anchor of the same name, a cross-certificate or an expired duplicate in the
 * chain can hide the good path from it. Here every candidate is tried, depth first; OpenSSL then
 * judges each complete path, and is held to that path. */
#include "common/cert_internal.h"

#include "common/openssl_error.h"
#include "common/tnauthlist.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Signature checks spent on one chain. An honest chain needs seven; certificates of one name and
 * key that all issue each other make paths without end. */
#define MAX_SIGNATURE_CHECKS 64

/* Bits of a received issuer's key. OpenSSL takes RSA keys of 16,384 bits with exponents of 64,
 * whose check takes a hundred times that of a P-256 signature, and who sends the chain chooses the
 * key. */
#define MAX_KEY_BITS 4096

#define NAME_SIZE 128

/* What the search met, the most telling last. */
enum obstacle {
    OBSTACLE_NO_ISSUER,   /* nobody known issued it */
    OBSTACLE_NOT_ISSUER,  /* somebody of the right name that may not issue, or did not sign it */
    OBSTACLE_DEPTH,       /* the path would be too long */
    OBSTACLE_INVALID_PATH /* a whole path to an anchor that is not valid */
};

struct search {
    STACK_OF(X509) * received;
    STACK_OF(X509) * anchors;
    const struct crl *crl; /* NULL: nothing is revoked */
    int64_t now;
    X509 *path[CERT_MAX_DEPTH]; /* leaf first */
    int next[CERT_MAX_DEPTH];   /* the candidate to try next as issuer of path[i] */
    int len;
    int checks_left;
    bool out_of_memory;
    enum obstacle obstacle;
    char why[384];
};

static void note(struct search *s, enum obstacle obstacle, const char *format, ...)
    STICPS_PRINTF(3, 4);

/* Keeps the first of the most telling obstacles, for the error text. */
static void note(struct search *s, enum obstacle obstacle, const char *format, ...)
{
    if (s->why[0] != '\0' && obstacle <= s->obstacle)
        return;
    s->obstacle = obstacle;
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
}

/* ---- one complete path ---- */

/* A TNAuthList may be marked critical; OpenSSL 3.0 does not know it and flags every certificate
 * that has a critical extension which it cannot process. Any other such extension still refuses. */
static bool only_tnauthlist_is_unhandled(const X509 *cert)
{
    const ASN1_OCTET_STRING *tnauthlist = tnauthlist_find(cert);
    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        X509_EXTENSION *ext = X509_get_ext(cert, i);
        if (X509_EXTENSION_get_critical(ext) && !X509_supported_extension(ext) &&
            X509_EXTENSION_get_data(ext) != tnauthlist)
            return false;
    }
    return true;
}

static int on_verify(int ok, X509_STORE_CTX *ctx)
{
    if (ok == 0 && X509_STORE_CTX_get_error(ctx) == X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION)
        return only_tnauthlist_is_unhandled(X509_STORE_CTX_get_current_cert(ctx));
    return ok;
}

/* Holds OpenSSL to our path, which also has several certificates of one name when a CA rolled its
 * key. */
static int on_check_issued(X509_STORE_CTX *ctx, X509 *cert, X509 *issuer)
{
    const struct search *s = X509_STORE_CTX_get_app_data(ctx);
    for (int i = 0; i + 1 < s->len; i++)
        if (s->path[i] == cert)
            return s->path[i + 1] == issuer;
    return cert == issuer && X509_check_issued(issuer, cert) == X509_V_OK; /* the anchor */
}

static X509_STORE *store_of_anchor(struct search *s)
{
    X509_STORE *store = X509_STORE_new();
    if (store == NULL || X509_STORE_add_cert(store, s->path[s->len - 1]) != 1) {
        X509_STORE_free(store);
        return NULL;
    }
    X509_STORE_set_check_issued(store, on_check_issued);
    X509_STORE_set_verify_cb(store, on_verify);
    return store;
}

static STACK_OF(X509) * intermediates(struct search *s)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    for (int i = 1; certs != NULL && i < s->len - 1; i++) {
        if (sk_X509_push(certs, s->path[i]) <= 0) {
            sk_X509_free(certs);
            return NULL;
        }
    }
    return certs;
}

static void set_rules(X509_STORE_CTX *ctx, int64_t now)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(param,
                                X509_V_FLAG_PARTIAL_CHAIN); /* an anchor need not be a root */
    X509_VERIFY_PARAM_set_time(param, (time_t)now);
    X509_VERIFY_PARAM_set_auth_level(param, 2); /* 112 bits: no SHA-1, no short RSA */
}

/* The anchor is trusted by being one: to end that, it is taken off the anchors. */
static bool is_revoked(struct search *s)
{
    char name[NAME_SIZE];
    for (int i = 0; s->crl != NULL && i < s->len - 1; i++) {
        if (!crl_revokes(s->crl, s->path[i]))
            continue;
        note(s, OBSTACLE_INVALID_PATH, "certificate revoked: %s",
             subject_text(s->path[i], name, sizeof(name)));
        return true;
    }
    return false;
}

/* OpenSSL's judgement: signatures, validity, basic constraints, path lengths, name constraints,
 * critical extensions. */
static bool is_valid_path(struct search *s)
{
    bool valid = false;
    char name[NAME_SIZE];
    X509_STORE *store = store_of_anchor(s);
    STACK_OF(X509) *untrusted = intermediates(s);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (store == NULL || untrusted == NULL || ctx == NULL ||
        X509_STORE_CTX_init(ctx, store, s->path[0], untrusted) != 1 ||
        X509_STORE_CTX_set_app_data(ctx, s) != 1) {
        s->out_of_memory = true;
        goto cleanup;
    }
    set_rules(ctx, s->now);
    s->checks_left -= s->len - 1;
    valid = X509_verify_cert(ctx) == 1;
    if (!valid) {
        int error = X509_STORE_CTX_get_error(ctx);
        X509 *at = X509_STORE_CTX_get_current_cert(ctx);
        s->out_of_memory = error == X509_V_ERR_OUT_OF_MEM;
        note(s, OBSTACLE_INVALID_PATH, "%s: %s", X509_verify_cert_error_string(error),
             subject_text(at != NULL ? at : s->path[0], name, sizeof(name)));
    }
    valid = valid && !is_revoked(s);
cleanup:
    X509_STORE_CTX_free(ctx);
    sk_X509_free(untrusted);
    X509_STORE_free(store);
    return valid;
}

/* ---- the search ---- */

static bool is_anchor(const struct search *s, const X509 *cert)
{
    for (int i = 0; i < sk_X509_num(s->anchors); i++)
        if (X509_cmp(sk_X509_value(s->anchors, i), cert) == 0)
            return true;
    return false;
}

static bool is_on_path(const struct search *s, const X509 *cert)
{
    for (int i = 0; i < s->len; i++)
        if (X509_cmp(s->path[i], cert) == 0)
            return true;
    return false;
}

/* Did `issuer` issue `cert`, by its names and key identifiers, and may it? */
static bool looks_like_issuer(struct search *s, X509 *issuer, X509 *cert)
{
    char name[NAME_SIZE];
    int issued = X509_check_issued(issuer, cert);
    if (issued == X509_V_ERR_SUBJECT_ISSUER_MISMATCH)
        return false;
    subject_text(issuer, name, sizeof(name));
    if (issued != X509_V_OK) {
        note(s, OBSTACLE_NOT_ISSUER, "%s: %s", X509_verify_cert_error_string(issued), name);
        return false;
    }
    /* 1: version 3 with basic constraints CA:TRUE. The other values are guesses about old CAs. */
    if (X509_check_ca(issuer) != 1) {
        note(s, OBSTACLE_NOT_ISSUER, "the issuer is not a CA by its basic constraints: %s", name);
        return false;
    }
    return true;
}

static bool has_signed(struct search *s, X509 *issuer, X509 *cert)
{
    char name[NAME_SIZE];
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    if (key != NULL && EVP_PKEY_get_bits(key) > MAX_KEY_BITS) {
        note(s, OBSTACLE_NOT_ISSUER, "the key has more than %d bits: %s", MAX_KEY_BITS,
             subject_text(issuer, name, sizeof(name)));
        return false;
    }
    s->checks_left--;
    if (X509_verify(cert, key) == 1)
        return true;
    s->out_of_memory = openssl_out_of_memory();
    note(s, OBSTACLE_NOT_ISSUER, "the signature was not made by the key of %s",
         subject_text(issuer, name, sizeof(name)));
    return false;
}

/* The next certificate that issued the last one of the path, or NULL. Anchors come first. A
 * received one that signed itself leads nowhere: its own issuer is itself. */
static X509 *next_issuer(struct search *s, bool *anchor)
{
    X509 *cert = s->path[s->len - 1];
    int anchors = sk_X509_num(s->anchors), received = sk_X509_num(s->received);
    int *next = &s->next[s->len - 1];
    while (*next < anchors + received && s->checks_left > 0 && !s->out_of_memory) {
        int i = (*next)++;
        *anchor = i < anchors;
        X509 *candidate =
            sk_X509_value(*anchor ? s->anchors : s->received, *anchor ? i : i - anchors);
        if (!*anchor && (X509_get_extension_flags(candidate) & EXFLAG_SS) != 0)
            continue;
        if (is_on_path(s, candidate) || !looks_like_issuer(s, candidate, cert))
            continue;
        /* With an anchor the path is complete and OpenSSL checks its signatures. */
        if (*anchor || has_signed(s, candidate, cert))
            return candidate;
    }
    return NULL;
}

static void step_onto(struct search *s, X509 *cert)
{
    s->path[s->len] = cert;
    s->next[s->len] = 0;
    s->len++;
}

/* Leaves the valid path in s->path. */
static bool search(struct search *s)
{
    if (is_anchor(s, s->path[0]) && is_valid_path(s))
        return true;
    while (s->len > 0 && !s->out_of_memory) {
        bool anchor = false;
        X509 *issuer = next_issuer(s, &anchor);
        if (issuer == NULL) {
            s->len--;
        } else if (anchor) {
            step_onto(s, issuer);
            if (is_valid_path(s))
                return true;
            s->len--;
        } else if (s->len + 2 <= CERT_MAX_DEPTH) { /* it, and an anchor above it */
            step_onto(s, issuer);
        } else {
            note(s, OBSTACLE_DEPTH, "the path has more than %d certificates", CERT_MAX_DEPTH);
        }
    }
    return false;
}

static int64_t earliest_not_after(const struct search *s)
{
    int64_t earliest = INT64_MAX, t;
    for (int i = 0; i < s->len; i++)
        if (asn1_time_to_unix(X509_get0_notAfter(s->path[i]), &t) && t < earliest)
            earliest = t;
    return earliest;
}

enum sticps_err path_find(const struct cert_chain *chain, const struct anchors *anchors,
                          const struct crl *crl, int64_t now, enum sticps_err code,
                          int64_t *valid_until, struct sticps_error *err)
{
    char name[NAME_SIZE];
    X509 *leaf = cert_chain_leaf(chain);
    struct search s = {.received = chain->certs,
                       .anchors = anchors->certs,
                       .crl = crl,
                       .now = now,
                       .checks_left = MAX_SIGNATURE_CHECKS};
    step_onto(&s, leaf);
    if (search(&s)) {
        *valid_until = earliest_not_after(&s);
        return STICPS_OK;
    }
    if (s.out_of_memory)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    subject_text(leaf, name, sizeof(name));
    if (s.checks_left <= 0)
        return fail(err, code, name, "no valid path to a trust anchor after %d signature checks",
                    MAX_SIGNATURE_CHECKS - s.checks_left);
    if (s.why[0] == '\0')
        return fail(
            err, code, name,
            "no path to a trust anchor: none of the anchors and received certificates is the "
            "issuer");
    return fail(err, code, name, "no valid path to a trust anchor: %s", s.why);
}

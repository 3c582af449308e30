#include "common/passport.h"

#include "common/json_doc.h"
#include "common/url.h"

#include <stdlib.h>
#include <string.h>

#define UUID_LENGTH 36

bool passport_attest_is_valid(const char *text)
{
    return text[0] >= 'A' && text[0] <= 'C' && text[1] == '\0';
}

/* RFC 4122 s3: 8-4-4-4-12 hex digits, any case. */
bool passport_origid_is_valid(const char *text)
{
    for (size_t i = 0; i < UUID_LENGTH; i++) {
        char c = text[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (i == 8 || i == 13 || i == 18 || i == 23 ? c != '-' : !hex)
            return false; /* also at a NUL */
    }
    return text[UUID_LENGTH] == '\0';
}

static int on_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct tn));
}

/* ---- reading: the claims ---- */

static enum sticps_err bad_claim(struct sticps_error *err, const char *where, const char *what)
{
    return fail(err, STICPS_ERR_INVALID_IDENTITY_HEADER, where, "%s %s", where, what);
}

static enum sticps_err read_tn(const struct json_node *node, const char *where, unsigned country,
                               struct tn *out, struct sticps_error *err)
{
    struct sticps_error why;
    if (node == NULL || node->kind != JSON_NODE_STRING)
        return bad_claim(err, where, "is missing or no string");
    if (tn_from_claim(node->value.text, node->len, country, out, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_INVALID_IDENTITY_HEADER, where, "%s: %s", where, why.text);
    return STICPS_OK;
}

static size_t sort_unique(struct tn *tns, size_t len)
{
    size_t kept = 1;
    qsort(tns, len, sizeof(*tns), on_compare);
    for (size_t i = 1; i < len; i++)
        if (on_compare(&tns[kept - 1], &tns[i]) != 0)
            tns[kept++] = tns[i];
    return kept;
}

static enum sticps_err read_dest(const struct json_doc *doc, const struct json_node *dest,
                                 unsigned country, struct passport *p, struct sticps_error *err)
{
    if (dest == NULL || dest->kind != JSON_NODE_OBJECT)
        return bad_claim(err, "dest", "is missing or no object");
    const struct json_node *tns = json_node_get(doc, dest, "tn");
    if (tns == NULL || tns->kind != JSON_NODE_ARRAY || tns->len == 0)
        return bad_claim(err, "dest.tn", "is missing, no array or empty");
    p->dest = malloc(tns->len * sizeof(*p->dest));
    if (p->dest == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    const struct json_node *node = json_node_first(tns);
    for (uint32_t i = 0; i < tns->len; i++, node = json_node_next(doc, node)) {
        enum sticps_err rc = read_tn(node, "dest.tn", country, &p->dest[i], err);
        if (rc != STICPS_OK)
            return rc;
    }
    p->dest_len = sort_unique(p->dest, tns->len);
    return STICPS_OK;
}

static enum sticps_err read_claims(const struct json_doc *doc, unsigned country, struct passport *p,
                                   struct sticps_error *err)
{
    const struct json_node *claims = doc->nodes;
    const struct json_node *attest = json_node_get(doc, claims, "attest");
    if (attest == NULL || attest->kind != JSON_NODE_STRING ||
        !passport_attest_is_valid(attest->value.text))
        return bad_claim(err, "attest", "is not \"A\", \"B\" or \"C\"");
    p->attest = attest->value.text[0];

    enum sticps_err rc = read_dest(doc, json_node_get(doc, claims, "dest"), country, p, err);
    if (rc != STICPS_OK)
        return rc;

    const struct json_node *orig = json_node_get(doc, claims, "orig");
    if (orig == NULL || orig->kind != JSON_NODE_OBJECT)
        return bad_claim(err, "orig", "is missing or no object");
    rc = read_tn(json_node_get(doc, orig, "tn"), "orig.tn", country, &p->orig, err);
    if (rc != STICPS_OK)
        return rc;

    const struct json_node *iat = json_node_get(doc, claims, "iat");
    if (iat == NULL || iat->kind != JSON_NODE_INTEGER)
        return bad_claim(err, "iat", "is missing or no integer");
    p->iat = iat->value.integer;

    const struct json_node *origid = json_node_get(doc, claims, "origid");
    if (origid == NULL || origid->kind != JSON_NODE_STRING ||
        !passport_origid_is_valid(origid->value.text))
        return bad_claim(err, "origid", "is not a UUID");
    memcpy(p->origid, origid->value.text, sizeof(p->origid));
    return STICPS_OK;
}

/* ---- reading: the other rules ---- */

static enum sticps_err check_types(const struct json_doc *header, struct sticps_error *err)
{
    const struct json_node *members = header->nodes;
    if (json_node_get(header, members, "crit") != NULL)
        return bad_claim(err, "crit", "names extensions that nobody here knows");
    if (!json_node_is(json_node_get(header, members, "typ"), "passport"))
        return bad_claim(err, "typ", "is not \"passport\"");
    if (!json_node_is(json_node_get(header, members, "ppt"), "shaken"))
        return bad_claim(err, "ppt", "is not \"shaken\"");
    return STICPS_OK;
}

static enum sticps_err check_iat(int64_t iat, const struct passport_rules *rules, int64_t now,
                                 struct sticps_error *err)
{
    if (now < 0)
        return STICPS_OK;
    /* Neither subtraction overflows: now >= 0, and the first is made only for iat >= 0. */
    if (iat < 0 || now - iat > rules->max_age)
        return fail(err, STICPS_ERR_STALE_DATE, "iat", "iat is more than %lld s ago",
                    (long long)rules->max_age);
    if (iat - now > rules->max_ahead)
        return fail(err, STICPS_ERR_STALE_DATE, "iat", "iat is more than %lld s ahead",
                    (long long)rules->max_ahead);
    return STICPS_OK;
}

static enum sticps_err read_x5u(const struct json_doc *header, bool lab, struct passport *p,
                                struct sticps_error *err)
{
    struct sticps_error why;
    const struct json_node *x5u = json_node_get(header, header->nodes, "x5u");
    if (x5u == NULL || x5u->kind != JSON_NODE_STRING)
        return fail(err, STICPS_ERR_BAD_IDENTITY_INFO, "x5u", "x5u is missing or no string");
    if (x5u_check(x5u->value.text, x5u->len, lab, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_BAD_IDENTITY_INFO, "x5u", "x5u: %s", why.text);
    p->x5u = strdup(x5u->value.text);
    if (p->x5u == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    return STICPS_OK;
}

/* The order is PROTOCOL section 5's: which verdict a token with two faults gets is part of it. */
static enum sticps_err read_token(const char *text, size_t len, const struct passport_rules *rules,
                                  int64_t now, struct passport *p, struct sticps_error *err)
{
    struct json_doc header = {0}, payload = {0};
    enum sticps_err rc = jws_split(text, len, STICPS_ERR_MALFORMED, &p->jws, err);
    if (rc != STICPS_OK)
        goto cleanup;
    rc =
        json_doc_parse_object(p->jws.header, p->jws.header_len, STICPS_ERR_MALFORMED, &header, err);
    if (rc != STICPS_OK) {
        fail_context(err, "header");
        goto cleanup;
    }
    rc = json_doc_parse_object(p->jws.payload, p->jws.payload_len, STICPS_ERR_MALFORMED, &payload,
                               err);
    if (rc != STICPS_OK) {
        fail_context(err, "payload");
        goto cleanup;
    }
    if (!json_node_is(json_node_get(&header, header.nodes, "alg"), "ES256")) {
        rc = fail(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "alg", "alg is not \"ES256\"");
        goto cleanup;
    }
    rc = check_types(&header, err);
    if (rc == STICPS_OK)
        rc = read_claims(&payload, rules->default_country, p, err);
    if (rc == STICPS_OK)
        rc = check_iat(p->iat, rules, now, err);
    if (rc == STICPS_OK)
        rc = read_x5u(&header, rules->lab, p, err);
cleanup:
    json_doc_clear(&payload);
    json_doc_clear(&header);
    return rc;
}

enum sticps_err passport_parse(const char *text, size_t len, const struct passport_rules *rules,
                               int64_t now, struct passport **out, struct sticps_error *err)
{
    if (len > PASSPORT_MAX_BYTES)
        return fail(err, STICPS_ERR_MALFORMED, NULL, "a PASSporT of more than %d bytes",
                    PASSPORT_MAX_BYTES);
    struct passport *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err rc = read_token(text, len, rules, now, p, err);
    if (rc != STICPS_OK) {
        passport_free(p);
        return rc;
    }
    *out = p;
    return STICPS_OK;
}

void passport_free(struct passport *passport)
{
    if (passport == NULL)
        return;
    jws_clear(&passport->jws);
    free(passport->x5u);
    free(passport->dest);
    free(passport);
}

enum sticps_err passport_verify_signature(const struct passport *passport,
                                          const struct cert_chain *chain, struct sticps_error *err)
{
    return jws_verify(&passport->jws, cert_chain_key(chain), STICPS_ERR_INVALID_IDENTITY_HEADER,
                      err);
}

bool passport_same_call(const struct passport *a, const struct passport *b)
{
    return on_compare(&a->orig, &b->orig) == 0 && a->dest_len == b->dest_len &&
           memcmp(a->dest, b->dest, a->dest_len * sizeof(*a->dest)) == 0;
}

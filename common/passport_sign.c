#include "common/passport.h"

#include "common/json_write.h"
#include "common/url.h"

#include <stdlib.h>
#include <string.h>

static enum sticps_err check_tn(const struct tn *tn, const char *where, struct sticps_error *err)
{
    struct tn same;
    struct sticps_error why;
    size_t len = strnlen(tn->digits, sizeof(tn->digits));
    if (tn_from_claim(tn->digits, len, 0, &same, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_USAGE, where, "%s: %s", where, why.text);
    return STICPS_OK;
}

static enum sticps_err check_claims(const struct passport_claims *claims, bool lab,
                                    struct sticps_error *err)
{
    struct sticps_error why;
    if (claims->attest == NULL || !passport_attest_is_valid(claims->attest))
        return fail(err, STICPS_ERR_USAGE, "attest", "attest is not A, B or C");
    if (claims->dest_len == 0)
        return fail(err, STICPS_ERR_USAGE, "dest.tn", "no called number");
    enum sticps_err rc = check_tn(claims->orig, "orig.tn", err);
    for (size_t i = 0; i < claims->dest_len && rc == STICPS_OK; i++)
        rc = check_tn(&claims->dest[i], "dest.tn", err);
    if (rc != STICPS_OK)
        return rc;
    if (claims->iat < 0)
        return fail(err, STICPS_ERR_USAGE, "iat", "iat is before 1970");
    if (claims->origid == NULL || !passport_origid_is_valid(claims->origid))
        return fail(err, STICPS_ERR_USAGE, "origid", "origid is not a UUID");
    if (claims->x5u == NULL || x5u_check(claims->x5u, strlen(claims->x5u), lab, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_USAGE, "x5u", "x5u: %s",
                    claims->x5u == NULL ? "missing" : why.text);
    return STICPS_OK;
}

/* Keys in lexicographic order at every level, as RFC 8225 s9 wants them. */
static void write_header(struct json_write *w, const struct passport_claims *claims)
{
    json_write_literal(w, "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":");
    json_write_string(w, claims->x5u);
    json_write_literal(w, "}");
}

static void write_payload(struct json_write *w, const struct passport_claims *claims)
{
    json_write_literal(w, "{\"attest\":");
    json_write_string(w, claims->attest);
    json_write_literal(w, ",\"dest\":{\"tn\":[");
    for (size_t i = 0; i < claims->dest_len; i++) {
        if (i > 0)
            json_write_literal(w, ",");
        json_write_string(w, claims->dest[i].digits);
    }
    json_write_literal(w, "]},\"iat\":");
    json_write_integer(w, claims->iat);
    json_write_literal(w, ",\"orig\":{\"tn\":");
    json_write_string(w, claims->orig->digits);
    json_write_literal(w, "},\"origid\":");
    json_write_string(w, claims->origid);
    json_write_literal(w, "}");
}

enum sticps_err passport_sign(const struct passport_claims *claims, bool lab, EVP_PKEY *key,
                              char **out, size_t *out_len, struct sticps_error *err)
{
    enum sticps_err rc = check_claims(claims, lab, err);
    if (rc != STICPS_OK)
        return rc;
    struct json_write header, payload;
    json_write_init(&header, 256);
    json_write_init(&payload, 256);
    write_header(&header, claims);
    write_payload(&payload, claims);
    char *token = NULL;
    size_t len = 0;
    rc = json_write_check(&header, err);
    if (rc == STICPS_OK)
        rc = json_write_check(&payload, err);
    if (rc == STICPS_OK)
        rc = jws_sign(header.data, header.len, payload.data, payload.len, key, &token, &len, err);
    json_write_clear(&header);
    json_write_clear(&payload);
    if (rc != STICPS_OK)
        return rc;
    if (len > PASSPORT_MAX_BYTES) {
        free(token);
        return fail(err, STICPS_ERR_USAGE, "dest.tn", "a PASSporT of more than %d bytes",
                    PASSPORT_MAX_BYTES);
    }
    *out = token;
    *out_len = len;
    return STICPS_OK;
}

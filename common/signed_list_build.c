#include "common/signed_list.h"

#include "common/cert.h"
#include "common/json_write.h"

#include <stdlib.h>
#include <string.h>

/* Around an entry: quotes, colon, comma, and the code itself. */
#define ENTRY_OVERHEAD 12
#define FRAME_OVERHEAD 128

static enum sticps_err check_frame(int64_t sequence, int64_t exp, const char *x5u,
                                   struct sticps_error *err)
{
    if (sequence < 1 || sequence > SIGNED_LIST_MAX_SEQUENCE)
        return fail(err, STICPS_ERR_USAGE, "sequence", "a sequence is 1 to 2^53-1");
    if (exp < 1)
        return fail(err, STICPS_ERR_USAGE, "exp", "exp is not a time");
    if (x5u == NULL || x5u[0] == '\0')
        return fail(err, STICPS_ERR_USAGE, "x5u", "no x5u");
    return STICPS_OK;
}

/* What both kinds begin with, up to the value of their own claim. */
static void begin_payload(struct json_write *w, int64_t sequence, int64_t exp)
{
    json_write_literal(w, "{\"version\":\"1.0\",\"sequence\":");
    json_write_integer(w, sequence);
    json_write_literal(w, ",\"exp\":");
    json_write_integer(w, exp);
}

static enum sticps_err sign(const struct json_write *payload, const char *x5u, EVP_PKEY *key,
                            char **out, size_t *out_len, struct sticps_error *err)
{
    struct json_write header;
    json_write_init(&header, FRAME_OVERHEAD + strlen(x5u));
    json_write_literal(&header, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":");
    json_write_string(&header, x5u);
    json_write_literal(&header, "}");
    enum sticps_err rc = json_write_check(payload, err);
    if (rc == STICPS_OK)
        rc = json_write_check(&header, err);
    if (rc == STICPS_OK)
        rc = jws_sign(header.data, header.len, payload->data, payload->len, key, out, out_len, err);
    json_write_clear(&header);
    return rc;
}

enum sticps_err signed_list_build(const struct cps_entry *entries, size_t entries_len,
                                  int64_t sequence, int64_t exp, const char *x5u, EVP_PKEY *key,
                                  char **out, size_t *out_len, struct sticps_error *err)
{
    enum sticps_err rc = check_frame(sequence, exp, x5u, err);
    if (rc != STICPS_OK)
        return rc;
    size_t expected = FRAME_OVERHEAD;
    for (size_t i = 0; i < entries_len; i++) {
        /* A list out of order, or with a code twice, would be refused by every client. */
        if (i > 0 && spc_key(&entries[i - 1].spc) >= spc_key(&entries[i].spc))
            return fail(err, STICPS_ERR_USAGE, entries[i].spc.text,
                        "the entries are not sorted, or a code occurs twice");
        expected += ENTRY_OVERHEAD + strlen(entries[i].url);
    }

    struct json_write w;
    json_write_init(&w, expected);
    begin_payload(&w, sequence, exp);
    json_write_literal(&w, ",\"cpsMapping\":{");
    for (size_t i = 0; i < entries_len; i++) {
        if (i > 0)
            json_write_literal(&w, ",");
        json_write_string(&w, entries[i].spc.text);
        json_write_literal(&w, ":");
        json_write_string(&w, entries[i].url);
    }
    json_write_literal(&w, "}}");
    rc = sign(&w, x5u, key, out, out_len, err);
    json_write_clear(&w);
    return rc;
}

static enum sticps_err check_certificate(const char *pem, struct sticps_error *err)
{
    struct cert_chain *cert;
    enum sticps_err rc = cert_chain_parse(pem, strlen(pem), STICPS_ERR_USAGE, &cert, err);
    if (rc != STICPS_OK)
        return rc;
    if (cert_chain_len(cert) != 1)
        rc = fail(err, STICPS_ERR_USAGE, NULL, "more than one certificate in one entry");
    cert_chain_unref(cert);
    return rc;
}

enum sticps_err trust_list_build(const char *const *pems, size_t pems_len, int64_t sequence,
                                 int64_t exp, const char *x5u, EVP_PKEY *key, char **out,
                                 size_t *out_len, struct sticps_error *err)
{
    enum sticps_err rc = check_frame(sequence, exp, x5u, err);
    size_t expected = FRAME_OVERHEAD;
    for (size_t i = 0; i < pems_len && rc == STICPS_OK; i++) {
        rc = check_certificate(pems[i], err);
        expected += ENTRY_OVERHEAD + strlen(pems[i]) + strlen(pems[i]) / 32; /* "\n" as two */
    }
    if (rc != STICPS_OK)
        return rc;

    struct json_write w;
    json_write_init(&w, expected);
    begin_payload(&w, sequence, exp);
    json_write_literal(&w, ",\"trustList\":[");
    for (size_t i = 0; i < pems_len; i++) {
        if (i > 0)
            json_write_literal(&w, ",");
        json_write_string(&w, pems[i]);
    }
    json_write_literal(&w, "]}");
    rc = sign(&w, x5u, key, out, out_len, err);
    json_write_clear(&w);
    return rc;
}

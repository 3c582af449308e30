/* What a certificate must have beyond a valid path: as a list signer, as an STI certificate. */
#include "common/cert_internal.h"

#include "common/json_write.h"
#include "common/key.h"
#include "common/openssl_error.h"
#include "common/tnauthlist.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* ---- must-haves ---- */

/* What is wrong with the leaf in either role, or NULL. */
static const char *leaf_fault(X509 *leaf)
{
    uint32_t flags = X509_get_extension_flags(leaf);
    if ((flags & EXFLAG_INVALID) != 0)
        return "an extension of the certificate is broken or repeated";
    if (!key_is_p256(X509_get0_pubkey(leaf)))
        return "the key of the certificate is not on the curve P-256";
    if ((flags & EXFLAG_CA) != 0)
        return "the certificate is a CA";
    if ((flags & EXFLAG_KUSAGE) == 0)
        return "the certificate has no key usage";
    if ((X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0)
        return "the key usage of the certificate lacks digitalSignature";
    return NULL;
}

static const char *list_signer_fault(X509 *leaf)
{
    uint32_t flags = X509_get_extension_flags(leaf);
    if ((flags & EXFLAG_XKUSAGE) != 0 && (X509_get_extended_key_usage(leaf) & XKU_SSL_SERVER) != 0)
        return "a TLS server certificate (serverAuth) is not a list signer";
    if (tnauthlist_find(leaf) != NULL)
        return "an STI certificate (TNAuthList) is not a list signer";
    return NULL;
}

/* OpenSSL tells of repeated extensions only where it knows them. */
static bool is_repeated(const X509 *cert, const ASN1_OCTET_STRING *tnauthlist)
{
    const ASN1_OBJECT *object = NULL;
    int count = 0;
    for (int i = 0; i < X509_get_ext_count(cert); i++)
        if (X509_EXTENSION_get_data(X509_get_ext(cert, i)) == tnauthlist)
            object = X509_EXTENSION_get_object(X509_get_ext(cert, i));
    for (int i = 0; i < X509_get_ext_count(cert); i++)
        if (OBJ_cmp(X509_EXTENSION_get_object(X509_get_ext(cert, i)), object) == 0)
            count++;
    return count > 1;
}

static enum sticps_err find_spc(const X509 *leaf, struct spc *spc, struct sticps_error *err)
{
    const ASN1_OCTET_STRING *value = tnauthlist_find(leaf);
    struct tnauthlist list;
    if (value == NULL)
        return fail(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "TNAuthList",
                    "the certificate has no TNAuthList");
    if (is_repeated(leaf, value))
        return fail(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "TNAuthList",
                    "the certificate has more than one TNAuthList");
    enum sticps_err rc = tnauthlist_parse(ASN1_STRING_get0_data(value),
                                          (size_t)ASN1_STRING_length(value), &list, err);
    if (rc != STICPS_OK)
        return rc;
    if (list.spcs != 1)
        return fail(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "TNAuthList",
                    "the TNAuthList has %zu Service Provider Codes, not exactly one", list.spcs);
    *spc = list.spc;
    return STICPS_OK;
}

static enum sticps_err fail_leaf(struct sticps_error *err, enum sticps_err code, const X509 *leaf,
                                 const char *fault)
{
    char name[128];
    if (openssl_out_of_memory()) /* then a fault may be none */
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    return fail(err, code, subject_text(leaf, name, sizeof(name)), "%s", fault);
}

enum sticps_err list_signer_check(const struct cert_chain *chain, const struct anchors *anchors,
                                  const struct crl *crl, int64_t now, int64_t *valid_until,
                                  struct sticps_error *err)
{
    int64_t until = 0;
    X509 *leaf = cert_chain_leaf(chain);
    openssl_begin();
    const char *fault = leaf_fault(leaf);
    if (fault == NULL)
        fault = list_signer_fault(leaf);
    enum sticps_err rc;
    if (fault != NULL)
        rc = fail_leaf(err, STICPS_ERR_SIGNER, leaf, fault);
    else
        rc = path_find(chain, anchors, crl, now, STICPS_ERR_SIGNER, &until, err);
    openssl_end();
    if (rc == STICPS_OK && valid_until != NULL)
        *valid_until = until;
    return rc;
}

enum sticps_err sti_certificate_check(const struct cert_chain *chain, const struct anchors *anchors,
                                      const struct crl *crl, int64_t now, int64_t *valid_until,
                                      struct spc *spc, struct sticps_error *err)
{
    int64_t until = 0;
    struct spc found;
    X509 *leaf = cert_chain_leaf(chain);
    openssl_begin();
    const char *fault = leaf_fault(leaf);
    enum sticps_err rc;
    if (fault != NULL)
        rc = fail_leaf(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, leaf, fault);
    else
        rc = find_spc(leaf, &found, err);
    if (rc == STICPS_OK)
        rc = path_find(chain, anchors, crl, now, STICPS_ERR_UNSUPPORTED_CREDENTIAL, &until, err);
    openssl_end();
    if (rc != STICPS_OK)
        return rc;
    *spc = found;
    if (valid_until != NULL)
        *valid_until = until;
    return STICPS_OK;
}

/* ---- findings (ATIS-1000080, the profile of STI certificates) ---- */

static bool lacks(const X509 *leaf, int nid)
{
    return X509_get_ext_by_NID(leaf, nid, -1) < 0;
}

static bool odd_common_name(const X509 *leaf)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return true;
    const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    return ASN1_STRING_length(cn) < 7 || memcmp(ASN1_STRING_get0_data(cn), "SHAKEN ", 7) != 0;
}

static bool no_policies(const X509 *leaf)
{
    return lacks(leaf, NID_certificate_policies);
}

static bool no_basic_constraints(const X509 *leaf)
{
    return lacks(leaf, NID_basic_constraints);
}

static bool no_key_identifiers(const X509 *leaf)
{
    return lacks(leaf, NID_subject_key_identifier) || lacks(leaf, NID_authority_key_identifier);
}

static bool no_crl(const X509 *leaf)
{
    return lacks(leaf, NID_crl_distribution_points);
}

static bool further_key_usage(const X509 *leaf)
{
    int at = X509_get_ext_by_NID(leaf, NID_key_usage, -1);
    return at >= 0 && (X509_get_key_usage((X509 *)leaf) & ~(uint32_t)KU_DIGITAL_SIGNATURE) != 0;
}

static bool extended_key_usage(const X509 *leaf)
{
    return !lacks(leaf, NID_ext_key_usage);
}

static bool tns_beside_spc(const X509 *leaf)
{
    struct tnauthlist list;
    const ASN1_OCTET_STRING *value = tnauthlist_find(leaf);
    return value != NULL &&
           tnauthlist_parse(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value), &list,
                            NULL) == STICPS_OK &&
           list.others > 0;
}

static const struct {
    bool (*applies)(const X509 *leaf);
    const char *text;
} findings[] = {
    {odd_common_name, "the common name does not start with \"SHAKEN \""},
    {no_policies, "no certificate policies"},
    {no_basic_constraints, "no basic constraints"},
    {no_key_identifiers, "no subject or authority key identifier"},
    {no_crl, "no CRL distribution point"},
    {further_key_usage, "key usage other than digitalSignature"},
    {extended_key_usage, "extended key usage"},
    {tns_beside_spc, "telephone numbers beside the Service Provider Code in the TNAuthList"},
};

char *sti_certificate_findings(const struct cert_chain *chain)
{
    X509 *leaf = cert_chain_leaf(chain);
    struct json_write text;
    json_write_init(&text, 128);
    openssl_begin();
    for (size_t i = 0; i < sizeof(findings) / sizeof(findings[0]); i++) {
        if (!findings[i].applies(leaf))
            continue;
        if (text.len > 0)
            json_write_literal(&text, "\n");
        json_write_raw(&text, findings[i].text, strlen(findings[i].text));
    }
    openssl_end();
    json_write_raw(&text, "", 1); /* the terminator */
    if (text.failed)
        json_write_clear(&text);
    return text.data;
}

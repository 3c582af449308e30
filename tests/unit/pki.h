/* Certificates for tests, made at run time: nothing of a key is stored. Every certificate of a test
 * is made from one struct pki_spec, so that a test shows only what is special about its own.
 * Anything that fails ends the test. */
#ifndef TESTS_UNIT_PKI_H
#define TESTS_UNIT_PKI_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* after the four above, and after ours: it has a macro fail() */

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define PKI_NOW 1700000000 /* Unix seconds; tests pass it as the time */
#define PKI_DAY 86400

enum pki_basic_constraints { PKI_BC_NONE, PKI_BC_CA, PKI_BC_NOT_CA, PKI_BC_CA_PATHLEN_0 };

struct pki_spec {
    const char *cn;
    EVP_PKEY *key;
    const X509 *issuer;   /* NULL: self-signed */
    EVP_PKEY *issuer_key; /* with `issuer` */
    enum pki_basic_constraints bc;
    const char *key_usage;          /* as OpenSSL's configuration writes it; NULL: none */
    const char *extended_key_usage; /* NULL: none */
    const char *tnauthlist;         /* hex of the DER; NULL: none */
    int tnauthlist_critical, tnauthlist_twice;
    int unknown_critical; /* adds a critical extension that nobody knows */
    int no_key_ids;       /* neither subject nor authority key identifier */
    int version_1;        /* no extensions at all */
    int sha1;             /* sign with SHA-1 */
    int64_t begins, ends; /* seconds from PKI_NOW; 0: a day before, 30 days after */
};

#define PKI_TNAUTHLIST_818H "3008a006160438313848"
#define PKI_TNAUTHLIST_1234 "3008a006160431323334"

static inline EVP_PKEY *pki_key(const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    assert_non_null(key);
    return key;
}

static inline EVP_PKEY *pki_p256(void)
{
    return pki_key("P-256");
}

static inline void pki_add_conf(X509 *cert, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static inline void pki_add_hex(X509 *cert, const char *oid, int critical, const char *hex)
{
    long len = 0;
    unsigned char *der = OPENSSL_hexstr2buf(hex, &len);
    assert_non_null(der);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(value, der, (int)len), 1);
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    X509_EXTENSION *ext = X509_EXTENSION_create_by_OBJ(NULL, object, critical, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
    ASN1_OBJECT_free(object);
    ASN1_OCTET_STRING_free(value);
    OPENSSL_free(der);
}

static inline void pki_add_extensions(X509 *cert, const struct pki_spec *spec)
{
    static const char *const bc[] = {NULL, "critical,CA:TRUE", "critical,CA:FALSE",
                                     "critical,CA:TRUE,pathlen:0"};
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, spec->issuer != NULL ? (X509 *)spec->issuer : cert, cert, NULL, NULL, 0);
    if (!spec->no_key_ids) {
        pki_add_conf(cert, &ctx, NID_subject_key_identifier, "hash");
        if (spec->issuer != NULL && X509_get0_subject_key_id((X509 *)spec->issuer) != NULL)
            pki_add_conf(cert, &ctx, NID_authority_key_identifier, "keyid:always");
    }
    if (bc[spec->bc] != NULL)
        pki_add_conf(cert, &ctx, NID_basic_constraints, bc[spec->bc]);
    if (spec->key_usage != NULL)
        pki_add_conf(cert, &ctx, NID_key_usage, spec->key_usage);
    if (spec->extended_key_usage != NULL)
        pki_add_conf(cert, &ctx, NID_ext_key_usage, spec->extended_key_usage);
    for (int i = 0; spec->tnauthlist != NULL && i <= spec->tnauthlist_twice; i++)
        pki_add_hex(cert, "1.3.6.1.5.5.7.1.26", spec->tnauthlist_critical, spec->tnauthlist);
    if (spec->unknown_critical)
        pki_add_hex(cert, "1.3.6.1.4.1.99999.1", 1, "0500");
}

static inline X509 *pki_make(const struct pki_spec *spec)
{
    static long serial = 1;
    X509 *cert = X509_new();
    assert_non_null(cert);
    assert_int_equal(X509_set_version(cert, spec->version_1 ? X509_VERSION_1 : X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++), 1);
    int64_t begins = spec->begins != 0 ? spec->begins : -PKI_DAY;
    int64_t ends = spec->ends != 0 ? spec->ends : 30 * PKI_DAY;
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), PKI_NOW + begins));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), PKI_NOW + ends));
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                                (const unsigned char *)spec->cn, -1, -1, 0),
                     1);
    const X509 *issuer = spec->issuer != NULL ? spec->issuer : cert;
    assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(issuer)), 1);
    assert_int_equal(X509_set_pubkey(cert, spec->key), 1);
    if (!spec->version_1)
        pki_add_extensions(cert, spec);
    EVP_PKEY *signer = spec->issuer != NULL ? spec->issuer_key : spec->key;
    assert_true(X509_sign(cert, signer, spec->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
    return cert;
}

/* A CA, and the two kinds of leaf that are as they should be. The caller may change the result. */
static inline struct pki_spec pki_ca_spec(const char *cn, EVP_PKEY *key, const X509 *issuer,
                                          EVP_PKEY *issuer_key)
{
    return (struct pki_spec){.cn = cn,
                             .key = key,
                             .issuer = issuer,
                             .issuer_key = issuer_key,
                             .bc = PKI_BC_CA,
                             .key_usage = "critical,keyCertSign,cRLSign"};
}

static inline struct pki_spec pki_signer_spec(EVP_PKEY *key, const X509 *issuer,
                                              EVP_PKEY *issuer_key)
{
    return (struct pki_spec){.cn = "STI-PA list signer",
                             .key = key,
                             .issuer = issuer,
                             .issuer_key = issuer_key,
                             .bc = PKI_BC_NOT_CA,
                             .key_usage = "critical,digitalSignature"};
}

static inline struct pki_spec pki_sti_spec(EVP_PKEY *key, const X509 *issuer, EVP_PKEY *issuer_key)
{
    struct pki_spec spec = pki_signer_spec(key, issuer, issuer_key);
    spec.cn = "SHAKEN 818H";
    spec.tnauthlist = PKI_TNAUTHLIST_818H;
    return spec;
}

/* PEM of `count` certificates, one after the other, NUL-terminated; the caller frees. */
static inline char *pki_pem(X509 *const *certs, size_t count)
{
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(bio);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(PEM_write_bio_X509(bio, certs[i]), 1);
    long len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)len);
    assert_non_null(text);
    BIO_free(bio);
    return text;
}

#endif

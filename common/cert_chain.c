#include "common/cert_internal.h"

#include "common/openssl_error.h"
#include "common/read_file.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANCHOR_FILE_MAX (1024 * 1024)
#define ANCHORS_MAX 1024

/* ---- reading ---- */

/* Has OpenSSL a key for this certificate with all it notes about keys, and extensions that it could
 * read? */
static bool is_whole(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    /* -1: only read and cache the extensions. */
    return X509_check_purpose(cert, -1, 0) == 1 && key != NULL &&
           EVP_PKEY_get_security_bits(key) > 0;
}

/* OpenSSL 3.0 says nothing when an allocation fails while it reads the key or an extension: the
 * certificate then has no key, a weak one, or is flagged as broken, for as long as it is kept. Only
 * a second reading tells that from a certificate that is so; such a one is no parse error, but
 * refused in every path. */
static X509 *parse_der(const unsigned char **at, long len)
{
    const unsigned char *begin = *at;
    X509 *cert = d2i_X509(NULL, at, len);
    if (cert == NULL || is_whole(cert))
        return cert;
    X509_free(cert);
    *at = begin;
    cert = d2i_X509(NULL, at, len);
    if (cert != NULL)
        (void)is_whole(cert);
    return cert;
}

/* One DER certificate that fills `len` bytes. */
static enum sticps_err read_der(const unsigned char *der, size_t len, enum sticps_err code,
                                STACK_OF(X509) * certs, struct sticps_error *err)
{
    const unsigned char *at = der;
    X509 *cert = parse_der(&at, (long)len);
    if (cert == NULL)
        return fail_openssl(err, code, NULL, "not a certificate");
    if (at != der + len) {
        X509_free(cert);
        return fail(err, code, NULL, "bytes after the end of a certificate");
    }
    if (sk_X509_push(certs, cert) <= 0) {
        X509_free(cert);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    return STICPS_OK;
}

/* One block of a PEM text. Blocks of other kinds (parameters, a CRL) are passed over. */
static enum sticps_err read_block(const char *name, const char *header, const unsigned char *der,
                                  long len, enum sticps_err code, STACK_OF(X509) * certs,
                                  struct sticps_error *err)
{
    if (strcmp(name, PEM_STRING_X509) != 0 && strcmp(name, PEM_STRING_X509_OLD) != 0)
        return STICPS_OK;
    if (header[0] != '\0') /* RFC 7468 s2 has none; RFC 1421 puts "Proc-Type: 4,ENCRYPTED" there */
        return fail(err, code, NULL, "a PEM certificate with headers");
    return read_der(der, (size_t)len, code, certs, err);
}

static enum sticps_err read_pem(const void *data, size_t len, int max, enum sticps_err code,
                                STACK_OF(X509) * certs, struct sticps_error *err)
{
    BIO *bio = BIO_new_mem_buf(data, (int)len);
    if (bio == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err rc = STICPS_OK;
    int before = sk_X509_num(certs);
    while (rc == STICPS_OK) {
        char *name = NULL, *header = NULL;
        unsigned char *der = NULL;
        long der_len = 0;
        if (PEM_read_bio(bio, &name, &header, &der, &der_len) != 1) {
            /* PEM_read_bio and not PEM_read_bio_X509: that one asks the terminal for passphrases.
             */
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                rc = fail_openssl(err, code, NULL, "a broken PEM block");
            break;
        }
        rc = read_block(name, header, der, der_len, code, certs, err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
        if (rc == STICPS_OK && sk_X509_num(certs) - before > max)
            rc = fail(err, code, NULL, "more than %d certificates", max);
    }
    if (rc == STICPS_OK && sk_X509_num(certs) == before)
        rc = fail(err, code, NULL, "no certificate in it");
    BIO_free(bio);
    return rc;
}

enum sticps_err certs_read(const void *data, size_t len, int max, enum sticps_err code,
                           STACK_OF(X509) * certs, struct sticps_error *err)
{
    if (len == 0 || len > INT_MAX)
        return fail(err, code, NULL, len == 0 ? "empty" : "too long");
    int before = sk_X509_num(certs);
    /* DER starts with a SEQUENCE, '0' in ASCII: text in front of PEM may start so, too. */
    bool pem = memmem(data, len, "-----BEGIN ", 11) != NULL;
    enum sticps_err rc = code;
    if (*(const unsigned char *)data == 0x30)
        rc = read_der(data, len, code, certs, pem ? NULL : err);
    else if (!pem)
        rc = fail(err, code, NULL, "neither PEM nor DER");
    if (rc == code && pem)
        rc = read_pem(data, len, max, code, certs, err);
    while (rc != STICPS_OK && sk_X509_num(certs) > before)
        X509_free(sk_X509_pop(certs));
    return rc;
}

bool asn1_time_to_unix(const ASN1_TIME *time, int64_t *out)
{
    struct tm tm;
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *out = timegm(&tm);
    return true;
}

const char *subject_text(const X509 *cert, char *buf, size_t size)
{
    buf[0] = '\0';
    X509_NAME_oneline(X509_get_subject_name(cert), buf, (int)size);
    return buf;
}

/* ---- chains ---- */

/* The text lives in the chain, so that a cache can write it out long after. */
static enum sticps_err write_pem(STACK_OF(X509) * certs, char **out, struct sticps_error *err)
{
    enum sticps_err rc = STICPS_OK;
    BIO *bio = BIO_new(BIO_s_mem());
    for (int i = 0; bio != NULL && i < sk_X509_num(certs); i++)
        if (PEM_write_bio_X509(bio, sk_X509_value(certs, i)) != 1)
            rc = STICPS_ERR_NO_MEMORY; /* writing to memory what was just read has no other cause */
    char *text = NULL;
    long len = bio == NULL ? 0 : BIO_get_mem_data(bio, &text);
    char *copy = rc == STICPS_OK && len > 0 ? strndup(text, (size_t)len) : NULL;
    BIO_free(bio);
    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    *out = copy;
    return STICPS_OK;
}

static enum sticps_err fill_chain(struct cert_chain *chain, const void *data, size_t len,
                                  enum sticps_err code, struct sticps_error *err)
{
    chain->certs = sk_X509_new_null();
    if (chain->certs == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err rc = certs_read(data, len, CERT_MAX_COUNT, code, chain->certs, err);
    if (rc != STICPS_OK)
        return rc;
    if (!asn1_time_to_unix(X509_get0_notAfter(cert_chain_leaf(chain)), &chain->not_after))
        return fail(err, code, NULL, "a certificate whose notAfter is no time");
    return write_pem(chain->certs, &chain->pem, err);
}

enum sticps_err cert_chain_parse(const void *data, size_t len, enum sticps_err code,
                                 struct cert_chain **out, struct sticps_error *err)
{
    if (len > CERT_MAX_BYTES)
        return fail(err, code, NULL, "certificates of more than %d bytes", CERT_MAX_BYTES);
    struct cert_chain *chain = calloc(1, sizeof(*chain));
    if (chain == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    atomic_init(&chain->refs, 1);
    openssl_begin();
    enum sticps_err rc = fill_chain(chain, data, len, code, err);
    openssl_end();
    if (rc != STICPS_OK) {
        cert_chain_unref(chain);
        return rc;
    }
    *out = chain;
    return STICPS_OK;
}

struct cert_chain *cert_chain_ref(struct cert_chain *chain)
{
    atomic_fetch_add_explicit(&chain->refs, 1, memory_order_relaxed);
    return chain;
}

void cert_chain_unref(struct cert_chain *chain)
{
    if (chain == NULL || atomic_fetch_sub_explicit(&chain->refs, 1, memory_order_acq_rel) != 1)
        return;
    sk_X509_pop_free(chain->certs, X509_free);
    free(chain->pem);
    free(chain);
}

size_t cert_chain_len(const struct cert_chain *chain)
{
    return (size_t)sk_X509_num(chain->certs);
}

X509 *cert_chain_leaf(const struct cert_chain *chain)
{
    return sk_X509_value(chain->certs, 0);
}

EVP_PKEY *cert_chain_key(const struct cert_chain *chain)
{
    return X509_get0_pubkey(cert_chain_leaf(chain));
}

int64_t cert_chain_not_after(const struct cert_chain *chain)
{
    return chain->not_after;
}

int64_t cert_chain_first_end(const struct cert_chain *chain)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < sk_X509_num(chain->certs); i++) {
        int64_t end = INT64_MIN;
        if (!asn1_time_to_unix(X509_get0_notAfter(sk_X509_value(chain->certs, i)), &end))
            return INT64_MIN;
        if (end < first)
            first = end;
    }
    return first;
}

const char *cert_chain_pem(const struct cert_chain *chain)
{
    return chain->pem;
}

enum sticps_err cert_chain_load(const char *path, struct cert_chain **out, struct sticps_error *err)
{
    char *data;
    size_t len;
    enum sticps_err rc = read_file(path, CERT_MAX_BYTES, &data, &len, err);
    if (rc != STICPS_OK)
        return rc;
    rc = cert_chain_parse(data, len, STICPS_ERR_FILE, out, err);
    if (rc != STICPS_OK)
        fail_context(err, "%s", path);
    free(data);
    return rc;
}

/* ---- anchors ---- */

enum sticps_err anchors_new(struct anchors **out, struct sticps_error *err)
{
    struct anchors *anchors = calloc(1, sizeof(*anchors));
    openssl_begin();
    if (anchors != NULL) {
        atomic_init(&anchors->refs, 1);
        anchors->certs = sk_X509_new_null();
    }
    openssl_end();
    if (anchors == NULL || anchors->certs == NULL) {
        anchors_free(anchors);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    *out = anchors;
    return STICPS_OK;
}

enum sticps_err anchors_add(struct anchors *anchors, const void *data, size_t len,
                            enum sticps_err code, struct sticps_error *err)
{
    openssl_begin();
    int room = ANCHORS_MAX - sk_X509_num(anchors->certs);
    enum sticps_err rc = certs_read(data, len, room, code, anchors->certs, err);
    openssl_end();
    return rc;
}

enum sticps_err anchors_add_file(struct anchors *anchors, const char *path,
                                 struct sticps_error *err)
{
    char *data;
    size_t len;
    enum sticps_err rc = read_file(path, ANCHOR_FILE_MAX, &data, &len, err);
    if (rc != STICPS_OK)
        return rc;
    rc = anchors_add(anchors, data, len, STICPS_ERR_FILE, err);
    if (rc != STICPS_OK)
        fail_context(err, "%s", path);
    free(data);
    return rc;
}

size_t anchors_count(const struct anchors *anchors)
{
    return (size_t)sk_X509_num(anchors->certs);
}

X509 *anchors_get(const struct anchors *anchors, size_t index)
{
    return sk_X509_value(anchors->certs, (int)index);
}

struct anchors *anchors_ref(struct anchors *anchors)
{
    atomic_fetch_add_explicit(&anchors->refs, 1, memory_order_relaxed);
    return anchors;
}

void anchors_free(struct anchors *anchors)
{
    if (anchors == NULL || atomic_fetch_sub_explicit(&anchors->refs, 1, memory_order_acq_rel) != 1)
        return;
    sk_X509_pop_free(anchors->certs, X509_free);
    free(anchors);
}

#include "common/crl.h"

#include "common/cert_internal.h"
#include "common/openssl_error.h"
#include "common/read_file.h"

#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CRL_FILE_MAX (16 * 1024 * 1024)

struct crl {
    atomic_uint refs;
    X509_CRL *list;
    unsigned char *der; /* OpenSSL memory */
    size_t der_len;
    int64_t next_update;
};

/* Without it OpenSSL asks the terminal for the passphrase of an encrypted PEM block. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

/* NULL when it is neither. */
static X509_CRL *read_list(const void *data, size_t len)
{
    const unsigned char *at = data;
    X509_CRL *list = d2i_X509_CRL(NULL, &at, (long)len);

    if (list != NULL && at == (const unsigned char *)data + len)
        return list;
    X509_CRL_free(list);
    BIO *bio = BIO_new_mem_buf(data, (int)len);
    list = bio != NULL ? PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return list;
}

/* OpenSSL sorts the entries at the first search, under a lock that helps the second thread but not
 * ThreadSanitizer; so the first search is made here. */
static void sort(X509_CRL *list)
{
    X509_REVOKED *found;
    ASN1_INTEGER *any = ASN1_INTEGER_new();

    if (any != NULL)
        (void)X509_CRL_get0_by_serial(list, &found, any);
    ASN1_INTEGER_free(any);
}

static enum sticps_err fill(struct crl *crl, const void *data, size_t len, enum sticps_err code,
                            struct sticps_error *err)
{
    crl->list = read_list(data, len);
    if (crl->list == NULL)
        return fail_openssl(err, code, NULL, "neither a CRL in DER nor in PEM");
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl->list);
    crl->next_update = INT64_MAX;
    if (next != NULL && !asn1_time_to_unix(next, &crl->next_update))
        return fail(err, code, NULL, "a CRL whose nextUpdate is no time");
    int der_len = i2d_X509_CRL(crl->list, &crl->der);
    if (der_len <= 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    crl->der_len = (size_t)der_len;
    sort(crl->list);
    return STICPS_OK;
}

enum sticps_err crl_parse(const void *data, size_t len, enum sticps_err code, struct crl **out,
                          struct sticps_error *err)
{
    if (len > INT_MAX)
        return fail(err, code, NULL, "too long");
    struct crl *crl = calloc(1, sizeof(*crl));
    if (crl == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    atomic_init(&crl->refs, 1);
    openssl_begin();
    enum sticps_err rc = fill(crl, data, len, code, err);
    openssl_end();
    if (rc == STICPS_OK)
        *out = crl;
    else
        crl_unref(crl);
    return rc;
}

enum sticps_err crl_load(const char *path, struct crl **out, struct sticps_error *err)
{
    char *data = NULL;
    size_t len = 0;
    enum sticps_err rc = read_file(path, CRL_FILE_MAX, &data, &len, err);

    if (rc != STICPS_OK)
        return rc;
    rc = crl_parse(data, len, STICPS_ERR_FILE, out, err);
    if (rc != STICPS_OK)
        fail_context(err, "%s", path);
    free(data);
    return rc;
}

struct crl *crl_ref(struct crl *crl)
{
    atomic_fetch_add_explicit(&crl->refs, 1, memory_order_relaxed);
    return crl;
}

void crl_unref(struct crl *crl)
{
    if (crl == NULL || atomic_fetch_sub_explicit(&crl->refs, 1, memory_order_acq_rel) != 1)
        return;
    X509_CRL_free(crl->list);
    OPENSSL_free(crl->der);
    free(crl);
}

const unsigned char *crl_der(const struct crl *crl, size_t *len)
{
    *len = crl->der_len;
    return crl->der;
}

int64_t crl_next_update(const struct crl *crl)
{
    return crl->next_update;
}

bool crl_revokes(const struct crl *crl, X509 *cert)
{
    X509_REVOKED *found;

    return X509_CRL_get0_by_cert(crl->list, &found, cert) == 1; /* 2: removeFromCRL */
}

/* ---- whether it may be relied on ---- */

/* What it demands of its reader that is not done here, or NULL. */
static const char *unknown_demand(const X509_CRL *list)
{
    for (int i = 0; i < X509_CRL_get_ext_count(list); i++) {
        X509_EXTENSION *extension = X509_CRL_get_ext(list, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (nid == NID_delta_crl)
            return "it is a delta CRL, which tells only what is new";
        if (X509_EXTENSION_get_critical(extension) && nid != NID_issuing_distribution_point)
            return "it has a critical extension that is not known here";
    }
    return NULL;
}

static bool may_sign_lists(X509 *signer, int64_t now)
{
    int64_t from, until;
    return (X509_get_key_usage(signer) & KU_CRL_SIGN) != 0 && /* all bits without a key usage */
           asn1_time_to_unix(X509_get0_notBefore(signer), &from) && from <= now &&
           asn1_time_to_unix(X509_get0_notAfter(signer), &until) && now <= until;
}

static enum sticps_err find_signer(X509_CRL *list, const struct anchors *signers, int64_t now,
                                   enum sticps_err code, struct sticps_error *err)
{
    const char *why = "none of the certificates that may sign it has its issuer's name";
    for (int i = 0; i < sk_X509_num(signers->certs); i++) {
        X509 *signer = sk_X509_value(signers->certs, i);
        if (X509_NAME_cmp(X509_get_subject_name(signer), X509_CRL_get_issuer(list)) != 0)
            continue;
        if (!may_sign_lists(signer, now))
            why = "its signer's certificate is not valid now, or not for CRLs (cRLSign)";
        else if (X509_CRL_verify(list, X509_get0_pubkey(signer)) != 1)
            why = "the signature does not match";
        else
            return STICPS_OK;
    }
    if (openssl_out_of_memory())
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    return fail(err, code, "CRL", "the CRL cannot be relied on: %s", why);
}

enum sticps_err crl_check(const struct crl *crl, const struct anchors *signers, int64_t now,
                          enum sticps_err code, struct sticps_error *err)
{
    if (crl->next_update <= now)
        return fail(err, code, "CRL",
                    "the CRL cannot be relied on: its nextUpdate has passed; fetch a newer one");
    return crl_check_signed(crl, signers, now, code, err);
}

enum sticps_err crl_check_signed(const struct crl *crl, const struct anchors *signers, int64_t now,
                                 enum sticps_err code, struct sticps_error *err)
{
    openssl_begin();
    const char *demand = unknown_demand(crl->list);
    enum sticps_err rc = demand != NULL
                             ? fail(err, code, "CRL", "the CRL cannot be relied on: %s", demand)
                             : find_signer(crl->list, signers, now, code, err);
    openssl_end();
    return rc;
}

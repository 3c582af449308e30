/* Revocation lists, alone and on the way to an anchor. */
#include "common/cert.h"
#include "common/crl.h"

#include "tests/unit/pki.h"

static EVP_PKEY *root_key, *ca_key, *leaf_key, *pa_key;
static X509 *root, *ca, *leaf, *pa, *other_ca;

static int set_up(void **state)
{
    (void)state;
    root_key = pki_p256();
    ca_key = pki_p256();
    leaf_key = pki_p256();
    pa_key = pki_p256();
    struct pki_spec spec = pki_ca_spec("Root", root_key, NULL, NULL);
    root = pki_make(&spec);
    spec = pki_ca_spec("Issuing CA", ca_key, root, root_key);
    ca = pki_make(&spec);
    spec = pki_ca_spec("Another CA", ca_key, root, root_key);
    other_ca = pki_make(&spec);
    spec = pki_sti_spec(leaf_key, ca, ca_key);
    leaf = pki_make(&spec);
    spec = pki_ca_spec("STI-PA", pa_key, NULL, NULL);
    pa = pki_make(&spec);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    X509 *const certs[] = {root, ca, leaf, pa, other_ca};
    EVP_PKEY *const keys[] = {root_key, ca_key, leaf_key, pa_key};
    for (size_t i = 0; i < sizeof(certs) / sizeof(certs[0]); i++)
        X509_free(certs[i]);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

/* ---- making lists ---- */

struct entry {
    X509 *cert; /* its serial number */
    const X509
        *issuer; /* NULL: the entry names none, so it is of the issuer before, or the CRL's */
    int reason;  /* -1: none */
};

static void add_entry(X509_CRL *list, const struct entry *entry)
{
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, PKI_NOW);
    assert_int_equal(X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(entry->cert)), 1);
    assert_int_equal(X509_REVOKED_set_revocationDate(revoked, at), 1);
    if (entry->reason >= 0) {
        ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
        assert_int_equal(ASN1_ENUMERATED_set(reason, entry->reason), 1);
        assert_int_equal(X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, 0), 1);
        ASN1_ENUMERATED_free(reason);
    }
    if (entry->issuer != NULL) {
        GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
        GENERAL_NAME *name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, GEN_DIRNAME,
                                X509_NAME_dup(X509_get_subject_name(entry->issuer)));
        sk_GENERAL_NAME_push(names, name);
        assert_int_equal(X509_REVOKED_add1_ext_i2d(revoked, NID_certificate_issuer, names, 1, 0),
                         1);
        GENERAL_NAMES_free(names);
    }
    assert_int_equal(X509_CRL_add0_revoked(list, revoked), 1);
    ASN1_TIME_free(at);
}

/* The STI-PA's indirect CRL, DER in OpenSSL memory. `next_update` in seconds from PKI_NOW; 0: none.
 */
static X509_EXTENSION *further; /* of the next list that is made, or NULL */

static int make_der(const struct entry *entries, size_t len, int64_t next_update,
                    unsigned char **der)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, PKI_NOW - PKI_DAY);
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(pa));
    X509_CRL_set1_lastUpdate(list, at);
    if (next_update != 0) {
        ASN1_TIME_set(at, PKI_NOW + next_update);
        X509_CRL_set1_nextUpdate(list, at);
    }
    ISSUING_DIST_POINT *idp = ISSUING_DIST_POINT_new();
    idp->indirectCRL = 0xff;
    assert_int_equal(X509_CRL_add1_ext_i2d(list, NID_issuing_distribution_point, idp, 1, 0), 1);
    ISSUING_DIST_POINT_free(idp);
    if (further != NULL)
        assert_int_equal(X509_CRL_add_ext(list, further, -1), 1);
    for (size_t i = 0; i < len; i++)
        add_entry(list, &entries[i]);
    assert_true(X509_CRL_sign(list, pa_key, EVP_sha256()) > 0);
    int der_len = i2d_X509_CRL(list, der);
    assert_true(der_len > 0);
    ASN1_TIME_free(at);
    X509_CRL_free(list);
    return der_len;
}

static struct crl *make(const struct entry *entries, size_t len, int64_t next_update)
{
    unsigned char *der = NULL;
    struct crl *crl = NULL;
    int der_len = make_der(entries, len, next_update, &der);
    assert_int_equal(crl_parse(der, (size_t)der_len, STICPS_ERR_FILE, &crl, NULL), STICPS_OK);
    OPENSSL_free(der);
    return crl;
}

/* ---- tests ---- */

static void test_form(void **state)
{
    (void)state;
    const struct entry entry = {leaf, ca, -1};
    unsigned char *der = NULL;
    size_t len = (size_t)make_der(&entry, 1, PKI_DAY, &der), kept_len;
    struct crl *crl = NULL, *none = NULL;
    struct sticps_error err = {0};

    assert_int_equal(crl_parse(der, len, STICPS_ERR_FILE, &crl, &err), STICPS_OK);
    assert_memory_equal(crl_der(crl, &kept_len), der, len);
    assert_int_equal(kept_len, len);
    assert_true(crl_next_update(crl) == PKI_NOW + PKI_DAY);
    crl_unref(crl_ref(crl));

    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio(bio, PEM_STRING_X509_CRL, "", der, (long)len);
    long text_len = BIO_get_mem_data(bio, &text);
    struct crl *again = NULL;
    assert_int_equal(crl_parse(text, (size_t)text_len, STICPS_ERR_FILE, &again, &err), STICPS_OK);
    assert_memory_equal(crl_der(again, &kept_len), der, len);
    crl_unref(again);
    BIO_free(bio);

    assert_int_equal(crl_parse(der, len - 1, STICPS_ERR_FILE, &none, &err), STICPS_ERR_FILE);
    assert_int_equal(crl_parse("", 0, STICPS_ERR_FILE, &none, &err), STICPS_ERR_FILE);
    unsigned char *longer = calloc(1, len + 1);
    memcpy(longer, der, len);
    assert_int_equal(crl_parse(longer, len + 1, STICPS_ERR_FILE, &none, &err), STICPS_ERR_FILE);
    free(longer);
    char *pem = pki_pem(&ca, 1);
    assert_int_equal(crl_parse(pem, strlen(pem), STICPS_ERR_FILE, &none, &err), STICPS_ERR_FILE);
    free(pem);
    assert_null(none);
    crl_unref(crl);
    crl_unref(NULL);
    OPENSSL_free(der);
}

static void test_without_next_update(void **state)
{
    (void)state;
    struct crl *crl = make(NULL, 0, 0);
    assert_true(crl_next_update(crl) == INT64_MAX);
    assert_false(crl_revokes(crl, leaf));
    crl_unref(crl);
}

static void test_issuer_and_serial(void **state)
{
    (void)state;
    const struct {
        struct entry entries[2];
        size_t len;
        bool leaf_revoked;
    } cases[] = {
        {{{leaf, ca, -1}}, 1, true},
        {{{leaf, NULL, -1}}, 1, false},                /* of the STI-PA itself */
        {{{leaf, other_ca, -1}}, 1, false},            /* the same number of another CA */
        {{{root, ca, -1}}, 1, false},                  /* another number */
        {{{root, ca, -1}, {leaf, NULL, -1}}, 2, true}, /* RFC 5280 s5.3.3: the issuer before */
        {{{root, ca, -1}, {leaf, other_ca, -1}}, 2, false},
        {{{leaf, ca, 1}}, 1, true},  /* keyCompromise */
        {{{leaf, ca, 6}}, 1, true},  /* certificateHold */
        {{{leaf, ca, 8}}, 1, false}, /* removeFromCRL */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct crl *crl = make(cases[i].entries, cases[i].len, PKI_DAY);
        if (crl_revokes(crl, leaf) != cases[i].leaf_revoked)
            fail_msg("case %zu", i);
        crl_unref(crl);
    }
}

/* The STI check of leaf and ca under `trusted`, with one entry in the CRL. */
static enum sticps_err check(X509 *trusted, const struct entry *entry, struct sticps_error *err)
{
    struct cert_chain *chain = NULL;
    struct anchors *anchors = NULL;
    struct spc spc;
    char *pem = pki_pem((X509 *[]){leaf, ca}, 2), *anchor = pki_pem(&trusted, 1);
    struct crl *crl = make(entry, 1, PKI_DAY);

    assert_int_equal(cert_chain_parse(pem, strlen(pem), STICPS_ERR_FILE, &chain, NULL), STICPS_OK);
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_add(anchors, anchor, strlen(anchor), STICPS_ERR_FILE, NULL),
                     STICPS_OK);
    enum sticps_err rc = sti_certificate_check(chain, anchors, crl, PKI_NOW, NULL, &spc, err);
    cert_chain_unref(chain);
    anchors_free(anchors);
    crl_unref(crl);
    free(pem);
    free(anchor);
    return rc;
}

static void test_paths(void **state)
{
    (void)state;
    const struct entry of_leaf = {leaf, ca, -1}, of_ca = {ca, root, -1}, of_root = {root, root, -1};
    struct sticps_error err = {0};

    assert_int_equal(check(root, &of_leaf, &err), STICPS_ERR_UNSUPPORTED_CREDENTIAL);
    assert_non_null(strstr(err.text, "revoked"));
    assert_non_null(strstr(err.text, "SHAKEN 818H"));
    assert_int_equal(check(root, &of_ca, &err), STICPS_ERR_UNSUPPORTED_CREDENTIAL);
    assert_non_null(strstr(err.text, "revoked"));
    assert_non_null(strstr(err.text, "Issuing CA"));
    /* an anchor is trusted by being one */
    assert_int_equal(check(root, &of_root, &err), STICPS_OK);
    assert_int_equal(check(ca, &of_ca, &err), STICPS_OK);
}

/* Who signed it, and whether it is whole. */
static void test_reliable(void **state)
{
    (void)state;
    struct pki_spec spec = pki_ca_spec("STI-PA", leaf_key, NULL, NULL);
    X509 *namesake = pki_make(&spec);
    spec = pki_ca_spec("STI-PA", pa_key, NULL, NULL);
    spec.begins = -20 * PKI_DAY;
    spec.ends = -PKI_DAY;
    X509 *expired = pki_make(&spec);
    spec.begins = PKI_DAY / 2;
    spec.ends = 2 * PKI_DAY;
    X509 *early = pki_make(&spec);
    spec = pki_ca_spec("STI-PA", pa_key, NULL, NULL);
    spec.key_usage = "critical,keyCertSign";
    X509 *not_for_crls = pki_make(&spec);
    const struct {
        X509 *signers[2];
        int64_t next_update, now;
        const char *why; /* NULL: it may be relied on */
    } rows[] = {
        {{pa}, PKI_DAY, PKI_NOW, NULL},
        {{ca, pa}, PKI_DAY, PKI_NOW, NULL},
        {{namesake, pa}, PKI_DAY, PKI_NOW, NULL},
        {{pa}, 0, PKI_NOW, NULL}, /* says nothing of the next */
        {{pa}, PKI_DAY, PKI_NOW + PKI_DAY - 1, NULL},
        {{pa}, PKI_DAY, PKI_NOW + PKI_DAY, "nextUpdate"},
        {{ca}, PKI_DAY, PKI_NOW, "issuer's name"},
        {{namesake}, PKI_DAY, PKI_NOW, "signature"},
        {{expired}, PKI_DAY, PKI_NOW, "not valid now"},
        {{early}, PKI_DAY, PKI_NOW, "not valid now"},
        {{not_for_crls}, PKI_DAY, PKI_NOW, "cRLSign"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct crl *crl = make(NULL, 0, rows[i].next_update);
        struct anchors *signers = NULL;
        struct sticps_error err = {0};
        assert_int_equal(anchors_new(&signers, NULL), STICPS_OK);
        for (size_t j = 0; j < 2 && rows[i].signers[j] != NULL; j++) {
            char *pem = pki_pem((X509 **)&rows[i].signers[j], 1);
            assert_int_equal(anchors_add(signers, pem, strlen(pem), STICPS_ERR_FILE, NULL), 0);
            free(pem);
        }
        enum sticps_err rc = crl_check(crl, signers, rows[i].now, STICPS_ERR_SIGNER, &err);
        if (rc != (rows[i].why != NULL ? STICPS_ERR_SIGNER : STICPS_OK) ||
            (rows[i].why != NULL && strstr(err.text, rows[i].why) == NULL))
            fail_msg("row %zu: %d %s", i, rc, err.text);
        anchors_free(signers);
        crl_unref(crl);
    }
    X509_free(namesake);
    X509_free(expired);
    X509_free(early);
    X509_free(not_for_crls);
}

/* Extensions that say that the list is not what it looks like (RFC 5280 s5.2). */
static void test_demands(void **state)
{
    (void)state;
    static const struct {
        int nid, critical;
        const char *why; /* NULL: nothing to refuse */
    } rows[] = {
        {NID_crl_number, 0, NULL},
        {NID_delta_crl, 1, "delta"},
        {NID_delta_crl, 0, "delta"}, /* must be critical, and tells too little anyhow */
        {NID_crl_number, 1, "critical"},
    };
    struct anchors *signers = NULL;
    char *pem = pki_pem(&pa, 1);
    assert_int_equal(anchors_new(&signers, NULL), STICPS_OK);
    assert_int_equal(anchors_add(signers, pem, strlen(pem), STICPS_ERR_FILE, NULL), STICPS_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        struct sticps_error err = {0};
        ASN1_INTEGER_set(number, 7);
        further = X509V3_EXT_i2d(rows[i].nid, rows[i].critical, number);
        assert_non_null(further);
        struct crl *crl = make(NULL, 0, PKI_DAY);
        enum sticps_err rc = crl_check(crl, signers, PKI_NOW, STICPS_ERR_SIGNER, &err);
        if (rc != (rows[i].why != NULL ? STICPS_ERR_SIGNER : STICPS_OK) ||
            (rows[i].why != NULL && strstr(err.text, rows[i].why) == NULL))
            fail_msg("row %zu: %d %s", i, rc, err.text);
        crl_unref(crl);
        X509_EXTENSION_free(further);
        further = NULL;
        ASN1_INTEGER_free(number);
    }
    anchors_free(signers);
    free(pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_without_next_update),
        cmocka_unit_test(test_issuer_and_serial),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_reliable),
        cmocka_unit_test(test_demands),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Every allocation fails once, and then all from it on: nothing crashes or leaks (with
 * AddressSanitizer), what fails says so, what must be refused is never accepted, and what succeeds
 * is right.
 *
 * Our own allocations are caught by the linker (--wrap), OpenSSL's and jansson's by their hooks. */
#include "common/cert.h"
#include "common/crl.h"
#include "common/json_doc.h"
#include "common/key.h"
#include "common/passport.h"
#include "common/request_token.h"
#include "common/signed_list.h"
#include "common/strict_json.h"

#include "tests/unit/oom.h"
#include "tests/unit/pki.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <unistd.h>

/* ---- failing allocations ---- */

static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return __wrap_malloc(size);
}

static void *openssl_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return __wrap_realloc(p, size);
}

static void openssl_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* ---- what is at hand ---- */

static EVP_PKEY *key;
static X509 *ca, *leaf, *signer;
static char *leaf_chain, *signer_chain, *ca_pem;
static unsigned char *leaf_der;
static int leaf_der_len;
static struct cert_chain *sti, *list_signer, *stranger;
static struct anchors *anchors, *no_anchors;
static char *passport_token, *list_token, *trust_token, *envelope;
static size_t passport_len, list_len, trust_len;
static struct jws list_jws, trust_jws;
static struct passport *passport;
static char *request_text;
static size_t request_len;
static unsigned char *crl_bytes;
static int crl_bytes_len;
static char key_path[] = "/tmp/sticps-test-oom-XXXXXX";

static const struct passport_rules passport_rules = PASSPORT_RULES_DEFAULT;
static const struct url_rules url_rules = {.any_form = true};
static struct tn orig = {"12013776051"}, dest[] = {{"19032469103"}, {"442071838750"}};
static const struct passport_claims claims = {"A",
                                              dest,
                                              2,
                                              &orig,
                                              PKI_NOW,
                                              "4aec94e2-508c-4c1c-907b-3737bac0a80e",
                                              "https://cr.example.com/a.crt"};
static const struct cps_entry entries[] = {{{"1234"}, "https://a.example/cps/company/1234"},
                                           {{"5678"}, "https://b.example/cps/company/5678"}};
#define X5U "https://sti-pa.com/download/v1/certificate/certificateId_1.crt"
#define WEEK (7 * PKI_DAY)
static const struct request_facts facts = {
    "provision", "https://registry.example.com", "PUT", "/api/v1/account/a/cps/818H", "{}", 2};
static const struct spc iss = {"818H"};

/* ---- the calls ---- */

/* Each does one thing and undoes it, and returns how it ended. What is not refused is checked. */

static enum sticps_err call_jws_split(void)
{
    struct jws jws;
    enum sticps_err rc = jws_split(list_token, list_len, STICPS_ERR_FORM, &jws, NULL);
    if (rc == STICPS_OK)
        jws_clear(&jws);
    return rc;
}

static enum sticps_err call_jws_verify(void)
{
    return jws_verify(&list_jws, key, STICPS_ERR_SIGNATURE, NULL);
}

static enum sticps_err call_jws_verify_forged(void)
{
    struct jws forged = list_jws;
    forged.signing_input_len--;
    return jws_verify(&forged, key, STICPS_ERR_SIGNATURE, NULL);
}

static enum sticps_err call_list_build(void)
{
    char *token;
    size_t len;
    enum sticps_err rc =
        signed_list_build(entries, 2, 1, PKI_NOW + PKI_DAY, X5U, key, &token, &len, NULL);
    if (rc == STICPS_OK) {
        assert_memory_equal(token, list_token, list_len - 86);
        free(token);
    }
    return rc;
}

static enum sticps_err call_trust_build(void)
{
    char *token;
    size_t len;
    const char *pems[] = {ca_pem};
    enum sticps_err rc =
        trust_list_build(pems, 1, 1, PKI_NOW + PKI_DAY, X5U, key, &token, &len, NULL);
    if (rc == STICPS_OK) {
        assert_memory_equal(token, trust_token, trust_len - 86);
        free(token);
    }
    return rc;
}

static enum sticps_err call_unwrap(void)
{
    const char *text;
    size_t len;
    char *owned;
    enum sticps_err rc = signed_list_unwrap(envelope, strlen(envelope), SIGNED_LIST_CPS_MAPPING,
                                            &text, &len, &owned, NULL);
    if (rc == STICPS_OK) {
        assert_int_equal(len, list_len);
        assert_memory_equal(text, list_token, len);
        free(owned);
    }
    return rc;
}

static enum sticps_err call_list_header(void)
{
    struct signed_list_header header;
    enum sticps_err rc = signed_list_header_parse(&list_jws, false, &header, NULL);
    if (rc == STICPS_OK) {
        assert_string_equal(header.x5u, X5U);
        signed_list_header_clear(&header);
    }
    return rc;
}

static enum sticps_err call_list_parse(void)
{
    struct signed_list *list;
    enum sticps_err rc = signed_list_parse(&list_jws, SIGNED_LIST_CPS_MAPPING, PKI_NOW, WEEK,
                                           &url_rules, &list, NULL);
    if (rc == STICPS_OK) {
        assert_int_equal(list->entries_len, 2);
        assert_string_equal(signed_list_find(list, &entries[1].spc), entries[1].url);
        signed_list_free(list);
    }
    return rc;
}

static enum sticps_err call_trust_parse(void)
{
    struct signed_list *list;
    enum sticps_err rc = signed_list_parse(&trust_jws, SIGNED_LIST_TRUST_LIST, PKI_NOW, WEEK,
                                           &url_rules, &list, NULL);
    if (rc == STICPS_OK) {
        assert_int_equal(list->trusted_len, 1);
        assert_string_equal(list->trusted[0], ca_pem);
        signed_list_free(list);
    }
    return rc;
}

static enum sticps_err call_passport_parse(void)
{
    struct passport *p;
    enum sticps_err rc =
        passport_parse(passport_token, passport_len, &passport_rules, PKI_NOW, &p, NULL);
    if (rc == STICPS_OK) {
        assert_true(passport_same_call(p, passport));
        assert_string_equal(p->x5u, claims.x5u);
        passport_free(p);
    }
    return rc;
}

static enum sticps_err call_passport_sign(void)
{
    char *token;
    size_t len;
    enum sticps_err rc = passport_sign(&claims, false, key, &token, &len, NULL);
    if (rc == STICPS_OK) {
        assert_memory_equal(token, passport_token, passport_len - 86);
        free(token);
    }
    return rc;
}

static enum sticps_err call_passport_verify(void)
{
    return passport_verify_signature(passport, sti, NULL);
}

static enum sticps_err call_passport_verify_forged(void)
{
    return passport_verify_signature(passport, stranger, NULL);
}

static enum sticps_err call_request_sign(void)
{
    char *token;
    size_t len;
    enum sticps_err rc =
        request_token_sign(&facts, &iss, claims.x5u, PKI_NOW, 60, key, &token, &len, NULL);
    if (rc == STICPS_OK) {
        assert_int_equal(len, request_len);
        free(token);
    }
    return rc;
}

static enum sticps_err call_request_read(void)
{
    struct request_token *token;
    enum request_token_fault fault =
        request_token_parse(request_text, request_len, false, &token, NULL);
    if (fault == REQUEST_TOKEN_NO_MEMORY)
        return STICPS_ERR_NO_MEMORY;
    assert_int_equal(fault, REQUEST_TOKEN_GOOD);
    fault = request_token_check(token, &facts, PKI_NOW, NULL);
    enum sticps_err rc = request_token_verify(token, sti, NULL);
    request_token_free(token);
    if (fault == REQUEST_TOKEN_NO_MEMORY)
        return STICPS_ERR_NO_MEMORY;
    assert_int_equal(fault, REQUEST_TOKEN_GOOD);
    return rc;
}

/* Memory that is short must never make a certificate a good one again. */
static enum sticps_err call_crl(void)
{
    struct crl *crl;
    enum sticps_err rc = crl_parse(crl_bytes, (size_t)crl_bytes_len, STICPS_ERR_FILE, &crl, NULL);
    if (rc == STICPS_OK) {
        assert_true(crl_revokes(crl, leaf));
        assert_false(crl_revokes(crl, signer));
        crl_unref(crl);
    }
    return rc;
}

static enum sticps_err call_chain_pem(void)
{
    struct cert_chain *chain;
    enum sticps_err rc =
        cert_chain_parse(leaf_chain, strlen(leaf_chain), STICPS_ERR_FILE, &chain, NULL);
    if (rc == STICPS_OK) {
        /* What is kept of a chain is whole: nothing half read makes it fail later. */
        struct spc spc;
        long left = countdown;
        countdown = 0;
        assert_string_equal(cert_chain_pem(chain), leaf_chain);
        assert_int_equal(sti_certificate_check(chain, anchors, NULL, PKI_NOW, NULL, &spc, NULL),
                         STICPS_OK);
        countdown = left;
        cert_chain_unref(chain);
    }
    return rc;
}

static enum sticps_err call_chain_der(void)
{
    struct cert_chain *chain;
    enum sticps_err rc =
        cert_chain_parse(leaf_der, (size_t)leaf_der_len, STICPS_ERR_FILE, &chain, NULL);
    if (rc == STICPS_OK) {
        assert_int_equal(cert_chain_len(chain), 1);
        cert_chain_unref(chain);
    }
    return rc;
}

static enum sticps_err call_anchors(void)
{
    struct anchors *mine;
    enum sticps_err rc = anchors_new(&mine, NULL);
    if (rc != STICPS_OK)
        return rc;
    rc = anchors_add(mine, leaf_chain, strlen(leaf_chain), STICPS_ERR_FILE, NULL);
    assert_int_equal(anchors_count(mine), rc == STICPS_OK ? 2 : 0); /* all or none */
    anchors_free(mine);
    return rc;
}

static enum sticps_err call_sti_check(void)
{
    struct spc spc;
    enum sticps_err rc = sti_certificate_check(sti, anchors, NULL, PKI_NOW, NULL, &spc, NULL);
    if (rc == STICPS_OK)
        assert_string_equal(spc.text, "818H");
    return rc;
}

static enum sticps_err call_sti_check_expired(void)
{
    struct spc spc;
    return sti_certificate_check(sti, anchors, NULL, PKI_NOW + 365 * PKI_DAY, NULL, &spc, NULL);
}

static enum sticps_err call_sti_check_untrusted(void)
{
    struct spc spc;
    return sti_certificate_check(sti, no_anchors, NULL, PKI_NOW, NULL, &spc, NULL);
}

static enum sticps_err call_sti_check_stranger(void)
{
    struct spc spc;
    return sti_certificate_check(stranger, anchors, NULL, PKI_NOW, NULL, &spc, NULL);
}

static enum sticps_err call_signer_check(void)
{
    return list_signer_check(list_signer, anchors, NULL, PKI_NOW, NULL, NULL);
}

static enum sticps_err call_signer_check_sti(void)
{
    return list_signer_check(sti, anchors, NULL, PKI_NOW, NULL, NULL);
}

static enum sticps_err call_findings(void)
{
    char *findings = sti_certificate_findings(sti);
    if (findings == NULL)
        return STICPS_ERR_NO_MEMORY;
    free(findings);
    return STICPS_OK;
}

static enum sticps_err call_key_load(void)
{
    EVP_PKEY *loaded;
    enum sticps_err rc = key_load(key_path, &loaded, NULL);
    if (rc == STICPS_OK) {
        long left = countdown;
        countdown = 0;
        assert_int_equal(EVP_PKEY_eq(loaded, key), 1);
        countdown = left;
        EVP_PKEY_free(loaded);
    }
    return rc;
}

static const char json[] = "{\"z\":[1,2.5,\"a string that is longer than any buffer begins with\"],"
                           "\"y\":{\"n\":null,\"t\":true,\"f\":false},\"x\":\"\\u00e9\",\"w\":{}}";

static enum sticps_err call_strict_json(void)
{
    static const char same[] =
        "{\"w\": {}, \"x\": \"\xc3\xa9\", \"y\": {\"f\": false, \"n\": null, \"t\": true}, "
        "\"z\": [1, 2.5, \"a string that is longer than any buffer begins with\"]}";
    struct sticps_error err = {0};
    json_t *value = strict_json_parse(json, strlen(json), STICPS_ERR_PAYLOAD, &err);
    if (value == NULL)
        return err.code;
    long left = countdown;
    countdown = 0;
    char *text = json_dumps(value, JSON_SORT_KEYS);
    assert_string_equal(text, same);
    free(text);
    countdown = left;
    json_decref(value);
    return STICPS_OK;
}

static enum sticps_err call_json_doc(void)
{
    struct json_doc doc;
    enum sticps_err rc = json_doc_parse(json, strlen(json), STICPS_ERR_PAYLOAD, &doc, NULL);
    if (rc == STICPS_OK)
        json_doc_clear(&doc);
    return rc;
}

#define MAY(code) (UINT64_C(1) << STICPS_ERR_##code)
#define NOTHING_ELSE 0

/* What each gives with all the memory it wants. `may` is what it may give otherwise, beside
 * NO_MEMORY: OpenSSL does not always say that it was memory. Never STICPS_OK for what is refused.
 */
static const struct {
    const char *name;
    enum sticps_err (*call)(void);
    enum sticps_err expected;
    uint64_t may;
} calls[] = {
    {"jws_split", call_jws_split, STICPS_OK, NOTHING_ELSE},
    {"jws_verify", call_jws_verify, STICPS_OK, MAY(CRYPTO)},
    {"jws_verify, forged", call_jws_verify_forged, STICPS_ERR_SIGNATURE, MAY(CRYPTO)},
    {"signed_list_build", call_list_build, STICPS_OK, MAY(CRYPTO)},
    {"trust_list_build", call_trust_build, STICPS_OK, MAY(CRYPTO) | MAY(USAGE)},
    {"signed_list_unwrap", call_unwrap, STICPS_OK, NOTHING_ELSE},
    {"signed_list_header_parse", call_list_header, STICPS_OK, NOTHING_ELSE},
    {"signed_list_parse, mapping", call_list_parse, STICPS_OK, NOTHING_ELSE},
    {"signed_list_parse, trust list", call_trust_parse, STICPS_OK, MAY(PAYLOAD)},
    {"passport_parse", call_passport_parse, STICPS_OK, NOTHING_ELSE},
    {"passport_sign", call_passport_sign, STICPS_OK, MAY(CRYPTO)},
    {"passport_verify_signature", call_passport_verify, STICPS_OK, MAY(CRYPTO)},
    {"passport_verify_signature, forged", call_passport_verify_forged,
     STICPS_ERR_INVALID_IDENTITY_HEADER, MAY(CRYPTO)},
    {"request_token_sign", call_request_sign, STICPS_OK, MAY(CRYPTO)},
    {"request_token_parse", call_request_read, STICPS_OK, MAY(CRYPTO)},
    {"crl_parse", call_crl, STICPS_OK, MAY(FILE)},
    {"cert_chain_parse, PEM", call_chain_pem, STICPS_OK, MAY(FILE)},
    {"cert_chain_parse, DER", call_chain_der, STICPS_OK, MAY(FILE)},
    {"anchors_add", call_anchors, STICPS_OK, MAY(FILE)},
    {"sti_certificate_check", call_sti_check, STICPS_OK, MAY(UNSUPPORTED_CREDENTIAL)},
    {"sti_certificate_check, expired", call_sti_check_expired, STICPS_ERR_UNSUPPORTED_CREDENTIAL,
     NOTHING_ELSE},
    {"sti_certificate_check, untrusted", call_sti_check_untrusted,
     STICPS_ERR_UNSUPPORTED_CREDENTIAL, NOTHING_ELSE},
    {"sti_certificate_check, stranger", call_sti_check_stranger, STICPS_ERR_UNSUPPORTED_CREDENTIAL,
     NOTHING_ELSE},
    {"list_signer_check", call_signer_check, STICPS_OK, MAY(SIGNER)},
    {"list_signer_check, STI certificate", call_signer_check_sti, STICPS_ERR_SIGNER, NOTHING_ELSE},
    {"sti_certificate_findings", call_findings, STICPS_OK, NOTHING_ELSE},
    {"key_load", call_key_load, STICPS_OK, MAY(FILE)},
    {"strict_json_parse", call_strict_json, STICPS_OK, NOTHING_ELSE},
    {"json_doc_parse", call_json_doc, STICPS_OK, NOTHING_ELSE},
};

static void run(size_t i)
{
    long n;
    for (n = 1; n < 20000; n++) {
        failed = false;
        countdown = n;
        enum sticps_err rc = calls[i].call();
        countdown = 0;
        if (!failed) {
            if (rc != calls[i].expected)
                fail_msg("%s: %s with all memory", calls[i].name, sticps_err_name(rc));
            break;
        }
        if (rc != calls[i].expected && rc != STICPS_ERR_NO_MEMORY &&
            (calls[i].may & UINT64_C(1) << rc) == 0)
            fail_msg("%s: %s when allocation %ld fails", calls[i].name, sticps_err_name(rc), n);
        assert_int_equal(ERR_peek_error(), 0);
    }
    assert_true(n > 1 && n < 20000);
}

static void test_one_fails(void **state)
{
    (void)state;
    for_good = false;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        run(i);
}

static void test_all_fail_from_one_on(void **state)
{
    (void)state;
    for_good = true;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        run(i);
}

/* ---- set-up ---- */

static struct cert_chain *parse_chain(const char *pem)
{
    struct cert_chain *chain;
    assert_int_equal(cert_chain_parse(pem, strlen(pem), STICPS_ERR_FILE, &chain, NULL), STICPS_OK);
    return chain;
}

static void make_certificates(EVP_PKEY *ca_key)
{
    struct pki_spec spec = pki_ca_spec("CA", ca_key, NULL, NULL);
    ca = pki_make(&spec);
    spec = pki_sti_spec(key, ca, ca_key);
    spec.tnauthlist_critical = 1;
    leaf = pki_make(&spec);
    spec = pki_signer_spec(key, ca, ca_key);
    signer = pki_make(&spec);
    leaf_chain = pki_pem((X509 *[]){leaf, ca}, 2);
    signer_chain = pki_pem(&signer, 1);
    ca_pem = pki_pem(&ca, 1);
    leaf_der_len = i2d_X509(leaf, &leaf_der);
    sti = parse_chain(leaf_chain);
    list_signer = parse_chain(signer_chain);
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_add(anchors, ca_pem, strlen(ca_pem), STICPS_ERR_FILE, NULL),
                     STICPS_OK);
    assert_int_equal(anchors_new(&no_anchors, NULL), STICPS_OK);

    /* The name and identifiers of the CA's leaf, another key, and a signature that is not the CA's.
     */
    EVP_PKEY *other = pki_p256();
    spec = pki_sti_spec(other, ca, other);
    X509 *false_leaf = pki_make(&spec);
    char *pem = pki_pem(&false_leaf, 1);
    stranger = parse_chain(pem);
    free(pem);
    X509_free(false_leaf);
    EVP_PKEY_free(other);
}

static void make_tokens(void)
{
    const char *pems[] = {ca_pem};
    assert_int_equal(
        signed_list_build(entries, 2, 1, PKI_NOW + PKI_DAY, X5U, key, &list_token, &list_len, NULL),
        STICPS_OK);
    assert_int_equal(
        trust_list_build(pems, 1, 1, PKI_NOW + PKI_DAY, X5U, key, &trust_token, &trust_len, NULL),
        STICPS_OK);
    assert_int_equal(passport_sign(&claims, false, key, &passport_token, &passport_len, NULL),
                     STICPS_OK);
    assert_int_equal(jws_split(list_token, list_len, STICPS_ERR_FORM, &list_jws, NULL), STICPS_OK);
    assert_int_equal(jws_split(trust_token, trust_len, STICPS_ERR_FORM, &trust_jws, NULL),
                     STICPS_OK);
    assert_int_equal(
        passport_parse(passport_token, passport_len, &passport_rules, PKI_NOW, &passport, NULL),
        STICPS_OK);
    size_t size = list_len + 64;
    envelope = malloc(size);
    snprintf(envelope, size, "{\"status\":\"success\",\"cpsList\":\"%s\"}", list_token);
    assert_int_equal(request_token_sign(&facts, &iss, claims.x5u, PKI_NOW, 60, key, &request_text,
                                        &request_len, NULL),
                     STICPS_OK);
}

static void make_crl(EVP_PKEY *ca_key)
{
    X509_CRL *list = X509_CRL_new();
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, PKI_NOW);
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(leaf));
    X509_REVOKED_set_revocationDate(revoked, at);
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(ca));
    X509_CRL_set1_lastUpdate(list, at);
    X509_CRL_set1_nextUpdate(list, at);
    X509_CRL_add0_revoked(list, revoked);
    assert_true(X509_CRL_sign(list, ca_key, EVP_sha256()) > 0);
    crl_bytes_len = i2d_X509_CRL(list, &crl_bytes);
    assert_true(crl_bytes_len > 0);
    ASN1_TIME_free(at);
    X509_CRL_free(list);
}

static int set_up(void **state)
{
    (void)state;
    EVP_PKEY *ca_key = pki_p256();
    key = pki_p256();
    make_certificates(ca_key);
    make_tokens();
    make_crl(ca_key);
    EVP_PKEY_free(ca_key);
    int fd = mkstemp(key_path);
    FILE *file = fdopen(fd, "w");
    if (file == NULL || PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1)
        return -1;
    fclose(file);
    /* Once with all memory: what OpenSSL makes on first use is not ours to test. */
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (calls[i].call() != calls[i].expected)
            return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(key_path);
    jws_clear(&list_jws);
    jws_clear(&trust_jws);
    passport_free(passport);
    free(list_token);
    free(trust_token);
    free(passport_token);
    free(envelope);
    free(leaf_chain);
    free(signer_chain);
    free(ca_pem);
    OPENSSL_free(leaf_der);
    OPENSSL_free(crl_bytes);
    free(request_text);
    cert_chain_unref(sti);
    cert_chain_unref(list_signer);
    cert_chain_unref(stranger);
    anchors_free(anchors);
    anchors_free(no_anchors);
    X509_free(ca);
    X509_free(leaf);
    X509_free(signer);
    EVP_PKEY_free(key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_fails),
        cmocka_unit_test(test_all_fail_from_one_on),
    };
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
        return 1;
    json_set_alloc_funcs(__wrap_malloc, free);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

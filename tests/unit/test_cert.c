#include "common/cert.h"

#include "tests/unit/pki.h"

#include <limits.h>

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* What most tests start from: root → issuing CA → leaf, in both roles. */
static EVP_PKEY *root_key, *ca_key, *leaf_key;
static X509 *root, *ca;

static int set_up(void **state)
{
    (void)state;
    root_key = pki_key("P-384"); /* roots of STI-CAs may be P-384 */
    ca_key = pki_p256();
    leaf_key = pki_p256();
    struct pki_spec root_spec = pki_ca_spec("Root", root_key, NULL, NULL);
    root = pki_make(&root_spec);
    struct pki_spec ca_spec = pki_ca_spec("Issuing CA", ca_key, root, root_key);
    ca = pki_make(&ca_spec);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    X509_free(root);
    X509_free(ca);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(leaf_key);
    return 0;
}

static struct anchors *anchors_of(X509 *const *certs, size_t count)
{
    struct anchors *anchors;
    char *pem = pki_pem(certs, count);
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_add(anchors, pem, strlen(pem), STICPS_ERR_FILE, NULL), STICPS_OK);
    assert_int_equal(anchors_count(anchors), count);
    free(pem);
    return anchors;
}

static struct cert_chain *chain_of(X509 *const *certs, size_t count)
{
    struct cert_chain *chain;
    struct sticps_error err;
    char *pem = pki_pem(certs, count);
    if (cert_chain_parse(pem, strlen(pem), STICPS_ERR_FILE, &chain, &err) != STICPS_OK)
        fail_msg("%s", err.text);
    free(pem);
    return chain;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct sticps_error last; /* of the check below */

/* The STI check of certs[0], the others received with it. */
static enum sticps_err check_at(X509 *const *certs, size_t count, X509 *const *trusted,
                                size_t trusted_count, int64_t now, int64_t *valid_until)
{
    struct spc spc = {{0}};
    struct cert_chain *chain = chain_of(certs, count);
    struct anchors *anchors = anchors_of(trusted, trusted_count);
    last = (struct sticps_error){0};
    enum sticps_err rc = sti_certificate_check(chain, anchors, NULL, now, valid_until, &spc, &last);
    if (rc == STICPS_OK)
        assert_string_equal(spc.text, "818H");
    else
        assert_true(spc.text[0] == '\0' && last.code == rc);
    assert_int_equal(ERR_peek_error(), 0);
    cert_chain_unref(chain);
    anchors_free(anchors);
    return rc;
}

#define GOOD STICPS_OK
#define BAD STICPS_ERR_UNSUPPORTED_CREDENTIAL

static void expect_at(int line, enum sticps_err expected, X509 *const *certs, size_t count,
                      X509 *const *trusted, size_t trusted_count)
{
    enum sticps_err rc = check_at(certs, count, trusted, trusted_count, PKI_NOW, NULL);
    if (rc != expected)
        fail_msg("line %d: %s: %s", line, sticps_err_name(rc), last.text);
}

/* Both arguments are arrays. */
#define EXPECT(expected, certs, trusted) \
    expect_at(__LINE__, expected, certs, COUNT(certs), trusted, COUNT(trusted))
#define CERTS(...) ((X509 *[]){__VA_ARGS__})

static X509 *make_leaf(const X509 *issuer, EVP_PKEY *issuer_key)
{
    struct pki_spec spec = pki_sti_spec(leaf_key, issuer, issuer_key);
    return pki_make(&spec);
}

static X509 *make_ca(const char *cn, EVP_PKEY *key, const X509 *issuer, EVP_PKEY *issuer_key)
{
    struct pki_spec spec = pki_ca_spec(cn, key, issuer, issuer_key);
    return pki_make(&spec);
}

/* ---- paths ---- */

static void test_order_and_strangers(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256();
    X509 *leaf = make_leaf(ca, ca_key);
    X509 *stranger = make_ca("Stranger", key, NULL, NULL);
    X509 *other_leaf = make_leaf(stranger, key);

    EXPECT(GOOD, CERTS(leaf, ca), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, ca, root), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, root, ca), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, stranger, other_leaf, ca), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, ca, ca, leaf, root, root), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, ca), CERTS(stranger, root, ca));
    EXPECT(GOOD, CERTS(leaf), CERTS(ca)); /* an anchor need not be a root */
    EXPECT(GOOD, CERTS(leaf, ca, root), CERTS(ca));
    EXPECT(BAD, CERTS(leaf), CERTS(root)); /* nobody to lead there */
    EXPECT(BAD, CERTS(leaf, ca), CERTS(stranger));
    EXPECT(BAD, CERTS(leaf, ca, root), CERTS(stranger)); /* a received root is no anchor */
    EXPECT(BAD, CERTS(other_leaf, leaf, ca), CERTS(root));
    EXPECT(BAD, CERTS(ca, leaf), CERTS(root)); /* the leaf comes first */
    X509_free(leaf);
    X509_free(stranger);
    X509_free(other_leaf);
    EVP_PKEY_free(key);
}

static void test_no_anchors(void **state)
{
    (void)state;
    X509 *leaf = make_leaf(ca, ca_key);
    struct cert_chain *chain = chain_of(CERTS(leaf, ca, root), 3);
    struct anchors *anchors;
    struct spc spc;
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_count(anchors), 0);
    assert_int_equal(sti_certificate_check(chain, anchors, NULL, PKI_NOW, NULL, &spc, NULL), BAD);
    anchors_free(anchors);
    cert_chain_unref(chain);
    X509_free(leaf);
}

/* Same names, other keys: a look-alike without key identifiers to tell it apart. */
static void test_impostor(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256();
    struct pki_spec spec = pki_ca_spec("Root", key, NULL, NULL);
    spec.no_key_ids = 1;
    X509 *false_root = pki_make(&spec);
    struct pki_spec leaf_spec = pki_sti_spec(leaf_key, false_root, key);
    X509 *false_leaf = pki_make(&leaf_spec);
    X509 *leaf = make_leaf(root, root_key);
    EXPECT(GOOD, CERTS(leaf), CERTS(root));
    EXPECT(BAD, CERTS(false_leaf, false_root), CERTS(root));
    EXPECT(BAD, CERTS(leaf), CERTS(false_root));
    EXPECT(GOOD, CERTS(leaf, false_root), CERTS(false_root, root));
    X509_free(false_root);
    X509_free(false_leaf);
    X509_free(leaf);
    EVP_PKEY_free(key);
}

/* A CA's new key under the old name: both anchors are there for a while, in either order, with and
 * without key identifiers. */
static void test_anchor_rotation(void **state)
{
    (void)state;
    for (int no_key_ids = 0; no_key_ids < 2; no_key_ids++) {
        EVP_PKEY *old_key = pki_p256(), *new_key = pki_p256();
        struct pki_spec spec = pki_ca_spec("Rotating CA", old_key, NULL, NULL);
        spec.no_key_ids = no_key_ids;
        X509 *old = pki_make(&spec);
        spec.key = new_key;
        X509 *new = pki_make(&spec);
        struct pki_spec leaf_spec = pki_sti_spec(leaf_key, old, old_key);
        leaf_spec.no_key_ids = no_key_ids;
        X509 *of_old = pki_make(&leaf_spec);
        leaf_spec.issuer = new;
        leaf_spec.issuer_key = new_key;
        X509 *of_new = pki_make(&leaf_spec);

        EXPECT(GOOD, CERTS(of_old), CERTS(old, new));
        EXPECT(GOOD, CERTS(of_old), CERTS(new, old));
        EXPECT(GOOD, CERTS(of_new), CERTS(old, new));
        EXPECT(GOOD, CERTS(of_new), CERTS(new, old));
        EXPECT(BAD, CERTS(of_old), CERTS(new));
        EXPECT(BAD, CERTS(of_new, new), CERTS(old));

        /* RFC 4210 s4.4: the old key's certificate, signed by the new one, under the same name.
         * Without key identifiers it looks self-signed; RFC 5280 s4.2.1.1 demands them. */
        struct pki_spec link_spec = pki_ca_spec("Rotating CA", old_key, new, new_key);
        X509 *link = pki_make(&link_spec);
        EXPECT(no_key_ids ? BAD : GOOD, CERTS(of_old, link), CERTS(new));
        /* A leaf without them could be the new anchor's by name: OpenSSL alone would settle on
         * that. */
        leaf_spec = pki_sti_spec(leaf_key, old, old_key);
        leaf_spec.no_key_ids = 1;
        X509 *bare = pki_make(&leaf_spec);
        EXPECT(no_key_ids ? BAD : GOOD, CERTS(bare, link), CERTS(new));
        X509 *all[] = {old, new, of_old, of_new, link, bare};
        for (size_t i = 0; i < COUNT(all); i++)
            X509_free(all[i]);
        EVP_PKEY_free(old_key);
        EVP_PKEY_free(new_key);
    }
}

/* One intermediate key certified by two roots, only one of them trusted, whichever comes first; and
 * an expired certificate of the intermediate beside the good one. */
static void test_cross_certificates(void **state)
{
    (void)state;
    EVP_PKEY *other_key = pki_p256();
    X509 *other_root = make_ca("Other root", other_key, NULL, NULL);
    X509 *cross = make_ca("Issuing CA", ca_key, other_root, other_key);
    struct pki_spec spec = pki_ca_spec("Issuing CA", ca_key, root, root_key);
    spec.begins = -20 * PKI_DAY;
    spec.ends = -10 * PKI_DAY;
    X509 *expired = pki_make(&spec);
    X509 *leaf = make_leaf(ca, ca_key);

    EXPECT(GOOD, CERTS(leaf, ca, cross), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, cross, ca), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, ca, cross), CERTS(other_root));
    EXPECT(GOOD, CERTS(leaf, cross, ca), CERTS(other_root));
    EXPECT(GOOD, CERTS(leaf, other_root, cross, root, ca), CERTS(root));
    EXPECT(BAD, CERTS(leaf, cross), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, expired, ca), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, ca, expired), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, expired, cross, ca), CERTS(root));
    EXPECT(GOOD, CERTS(leaf, cross), CERTS(expired, other_root)); /* expired as an anchor */
    EXPECT(BAD, CERTS(leaf, expired), CERTS(root));
    assert_non_null(strstr(last.text, "expired"));
    assert_non_null(strstr(last.text, "Issuing CA"));
    /* A root that another root certified: its self-signed certificate is received, too. */
    X509 *root_cross = make_ca("Root", root_key, other_root, other_key);
    EXPECT(GOOD, CERTS(leaf, ca, root, root_cross), CERTS(other_root));
    X509 *all[] = {other_root, cross, expired, leaf, root_cross};
    for (size_t i = 0; i < COUNT(all); i++)
        X509_free(all[i]);
    EVP_PKEY_free(other_key);
}

static void test_depth(void **state)
{
    (void)state;
    EVP_PKEY *keys[4];
    X509 *cas[4];
    for (size_t i = 0; i < 4; i++) {
        char cn[16];
        snprintf(cn, sizeof(cn), "CA %zu", i);
        keys[i] = pki_p256();
        cas[i] = make_ca(cn, keys[i], i == 0 ? root : cas[i - 1], i == 0 ? root_key : keys[i - 1]);
    }
    X509 *five = make_leaf(cas[2], keys[2]), *six = make_leaf(cas[3], keys[3]);
    EXPECT(GOOD, CERTS(five, cas[0], cas[1], cas[2]), CERTS(root));
    EXPECT(GOOD, CERTS(five, cas[2], root, cas[0], cas[1]), CERTS(root));
    EXPECT(BAD, CERTS(six, cas[0], cas[1], cas[2], cas[3]), CERTS(root));
    assert_non_null(strstr(last.text, "more than 5"));
    EXPECT(GOOD, CERTS(six, cas[0], cas[1], cas[2], cas[3]), CERTS(root, cas[0]));
    for (size_t i = 0; i < 4; i++) {
        X509_free(cas[i]);
        EVP_PKEY_free(keys[i]);
    }
    X509_free(five);
    X509_free(six);
}

/* Thirty certificates of one name and one key, all of which issued each other: paths without end.
 */
static void test_clique(void **state)
{
    (void)state;
    X509 *certs[CERT_MAX_COUNT];
    struct pki_spec spec = pki_ca_spec("Clique", ca_key, NULL, NULL);
    X509 *first = pki_make(&spec);
    certs[0] = make_leaf(first, ca_key);
    spec.issuer = first;
    spec.issuer_key = ca_key;
    spec.no_key_ids = 1; /* or OpenSSL takes them for self-signed and we pass over them */
    spec.cn = "Clique";
    for (size_t i = 1; i < CERT_MAX_COUNT; i++)
        certs[i] = pki_make(&spec);
    EXPECT(BAD, certs, CERTS(root));
    for (size_t i = 1; i < CERT_MAX_COUNT; i++)
        X509_free(certs[i]);
    X509_free(certs[0]);

    /* Two names that certify each other in turn are not self-issued. */
    EVP_PKEY *key = pki_p256();
    X509 *a = make_ca("A", ca_key, NULL, NULL), *b = make_ca("B", key, NULL, NULL);
    certs[0] = make_leaf(a, ca_key);
    for (size_t i = 1; i < CERT_MAX_COUNT; i++)
        certs[i] = i % 2 ? make_ca("A", ca_key, b, key) : make_ca("B", key, a, ca_key);
    EXPECT(BAD, certs, CERTS(root));
    assert_non_null(strstr(last.text, "after 64 signature checks"));
    /* ... and hide no anchor that is near. */
    EXPECT(GOOD, certs, CERTS(root, a));
    EXPECT(GOOD, certs, CERTS(root, b));
    for (size_t i = 0; i < CERT_MAX_COUNT; i++)
        X509_free(certs[i]);
    X509_free(first);
    X509_free(a);
    X509_free(b);
    EVP_PKEY_free(key);
}

static void test_issuers_that_may_not(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256();
    static const struct {
        enum pki_basic_constraints bc;
        const char *key_usage;
        int version_1;
    } cases[] = {
        {PKI_BC_NOT_CA, "critical,keyCertSign", 0},
        {PKI_BC_NONE, "critical,keyCertSign", 0},
        {PKI_BC_NONE, NULL, 0},
        {PKI_BC_CA, "critical,digitalSignature", 0},
        {PKI_BC_CA, "critical,cRLSign", 0},
        {PKI_BC_NONE, NULL, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pki_spec spec = pki_ca_spec("Sub", key, root, root_key);
        spec.bc = cases[i].bc;
        spec.key_usage = cases[i].key_usage;
        spec.version_1 = cases[i].version_1;
        X509 *sub = pki_make(&spec);
        X509 *leaf = make_leaf(sub, key);
        EXPECT(BAD, CERTS(leaf, sub), CERTS(root)); /* as an intermediate */
        EXPECT(BAD, CERTS(leaf), CERTS(sub));       /* as an anchor */
        spec.issuer = NULL;
        X509 *self_signed = pki_make(&spec);
        EXPECT(BAD, CERTS(leaf), CERTS(self_signed));
        X509_free(sub);
        X509_free(leaf);
        X509_free(self_signed);
    }
    /* No key usage at all is allowed to a CA (RFC 5280 s4.2.1.3 says "if present"). */
    struct pki_spec spec = pki_ca_spec("Sub", key, root, root_key);
    spec.key_usage = NULL;
    X509 *sub = pki_make(&spec);
    X509 *leaf = make_leaf(sub, key);
    EXPECT(GOOD, CERTS(leaf, sub), CERTS(root));
    X509_free(sub);
    X509_free(leaf);

    /* A leaf that signs another leaf. */
    X509 *good = make_leaf(ca, ca_key);
    X509 *forged = make_leaf(good, leaf_key);
    EXPECT(GOOD, CERTS(good, ca), CERTS(root));
    EXPECT(BAD, CERTS(forged, good, ca), CERTS(root));
    EXPECT(BAD, CERTS(forged, good, ca), CERTS(good));
    X509_free(good);
    X509_free(forged);
    EVP_PKEY_free(key);
}

static void test_path_length(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256(), *sub_key = pki_p256();
    struct pki_spec spec = pki_ca_spec("No CA below", key, root, root_key);
    spec.bc = PKI_BC_CA_PATHLEN_0;
    X509 *limited = pki_make(&spec);
    X509 *sub = make_ca("Sub", sub_key, limited, key);
    X509 *leaf = make_leaf(limited, key), *deep = make_leaf(sub, sub_key);
    EXPECT(GOOD, CERTS(leaf, limited), CERTS(root));
    EXPECT(BAD, CERTS(deep, sub, limited), CERTS(root));
    assert_non_null(strstr(last.text, "path length"));
    X509_free(limited);
    X509_free(sub);
    X509_free(leaf);
    X509_free(deep);
    EVP_PKEY_free(key);
    EVP_PKEY_free(sub_key);
}

static void test_validity(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256();
    static const struct {
        int64_t begins, ends;
        enum sticps_err rc;
    } cases[] = {
        {-1, 1, GOOD},
        {-PKI_DAY, 1, GOOD},
        {-PKI_DAY, -1, BAD},
        {1, PKI_DAY, BAD},
        {-20 * PKI_DAY, -10 * PKI_DAY, BAD},
        {10 * PKI_DAY, 20 * PKI_DAY, BAD},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int which = 0; which < 3; which++) { /* anchor, intermediate, leaf */
            struct pki_spec specs[3];
            X509 *certs[3];
            specs[0] = pki_ca_spec("R", root_key, NULL, NULL);
            for (int c = 0; c < 3; c++) {
                if (c == 1)
                    specs[c] = pki_ca_spec("I", key, certs[0], root_key);
                else if (c == 2)
                    specs[c] = pki_sti_spec(leaf_key, certs[1], key);
                if (c == which) {
                    specs[c].begins = cases[i].begins;
                    specs[c].ends = cases[i].ends;
                }
                certs[c] = pki_make(&specs[c]);
            }
            EXPECT(cases[i].rc, CERTS(certs[2], certs[1]), CERTS(certs[0]));
            for (int c = 0; c < 3; c++)
                X509_free(certs[c]);
        }
    }
    EVP_PKEY_free(key);
}

static void test_valid_until(void **state)
{
    (void)state;
    EVP_PKEY *key = pki_p256();
    struct pki_spec spec = pki_ca_spec("Short-lived CA", key, root, root_key);
    spec.ends = 3 * PKI_DAY;
    X509 *sub = pki_make(&spec), *leaf = make_leaf(sub, key);
    int64_t until = -1;
    assert_int_equal(check_at(CERTS(leaf, sub), 2, CERTS(root), 1, PKI_NOW, &until), GOOD);
    assert_int_equal(until, PKI_NOW + 3 * PKI_DAY);
    until = -1;
    assert_int_equal(
        check_at(CERTS(leaf, sub), 2, CERTS(root), 1, PKI_NOW + 3 * PKI_DAY - 1, &until), GOOD);
    assert_int_equal(until, PKI_NOW + 3 * PKI_DAY);
    until = -1;
    assert_int_equal(check_at(CERTS(leaf, sub), 2, CERTS(root), 1, PKI_NOW + 3 * PKI_DAY, &until),
                     BAD);
    assert_int_equal(until, -1);
    X509_free(sub);
    X509_free(leaf);
    EVP_PKEY_free(key);
}

static void test_weak_signatures(void **state)
{
    (void)state;
    struct pki_spec spec = pki_sti_spec(leaf_key, ca, ca_key);
    spec.sha1 = 1;
    X509 *leaf = pki_make(&spec);
    EXPECT(BAD, CERTS(leaf, ca), CERTS(root));
    X509_free(leaf);
}

/* ---- leaves ---- */

static void test_pinned_leaf(void **state)
{
    (void)state;
    X509 *leaf = make_leaf(ca, ca_key), *other = make_leaf(ca, ca_key);
    EXPECT(GOOD, CERTS(leaf), CERTS(leaf));
    EXPECT(GOOD, CERTS(leaf, ca), CERTS(other, leaf));
    EXPECT(BAD, CERTS(leaf), CERTS(other));
    struct pki_spec spec = pki_sti_spec(leaf_key, NULL, NULL);
    X509 *self_signed = pki_make(&spec);
    EXPECT(GOOD, CERTS(self_signed), CERTS(self_signed));
    EXPECT(BAD, CERTS(self_signed), CERTS(root));
    int64_t until = 0;
    assert_int_equal(check_at(CERTS(leaf), 1, CERTS(leaf), 1, PKI_NOW, &until), GOOD);
    assert_int_equal(until, PKI_NOW + 30 * PKI_DAY);
    assert_int_equal(check_at(CERTS(leaf), 1, CERTS(leaf), 1, until, NULL), BAD);
    X509_free(leaf);
    X509_free(other);
    X509_free(self_signed);
}

#define TWO_SPCS "3010a006160438313848a006160431323334"
#define SPC_AND_RANGE "301ca006160438313848a1123010160b3132303235353530313030020164"
#define ONLY_A_RANGE "3014a1123010160b3132303235353530313030020164"

static void test_leaf_must_haves(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *key_usage, *extended_key_usage, *tnauthlist;
        enum pki_basic_constraints bc;
        int tnauthlist_critical, tnauthlist_twice, unknown_critical;
        enum sticps_err sti, signer;
    } cases[] = {
#define DS "critical,digitalSignature"
#define SPC PKI_TNAUTHLIST_818H
#define NO_SIGNER STICPS_ERR_SIGNER
        {"STI certificate", DS, NULL, SPC, PKI_BC_NOT_CA, 0, 0, 0, GOOD, NO_SIGNER},
        {"list signer", DS, NULL, NULL, PKI_BC_NOT_CA, 0, 0, 0, BAD, GOOD},
        {"no basic constraints", DS, NULL, SPC, PKI_BC_NONE, 0, 0, 0, GOOD, NO_SIGNER},
        {"signer without basic constraints", DS, NULL, NULL, PKI_BC_NONE, 0, 0, 0, BAD, GOOD},
        {"a CA", DS, NULL, SPC, PKI_BC_CA, 0, 0, 0, BAD, NO_SIGNER},
        {"a CA as signer", "critical,digitalSignature,keyCertSign", NULL, NULL, PKI_BC_CA, 0, 0, 0,
         BAD, NO_SIGNER},
        {"no key usage", NULL, NULL, SPC, PKI_BC_NOT_CA, 0, 0, 0, BAD, NO_SIGNER},
        {"signer without key usage", NULL, NULL, NULL, PKI_BC_NOT_CA, 0, 0, 0, BAD, NO_SIGNER},
        {"other key usage", "critical,nonRepudiation", NULL, SPC, PKI_BC_NOT_CA, 0, 0, 0, BAD,
         NO_SIGNER},
        {"signer with other key usage", "critical,keyAgreement", NULL, NULL, PKI_BC_NOT_CA, 0, 0, 0,
         BAD, NO_SIGNER},
        {"further key usage", "digitalSignature,keyCertSign,keyAgreement", NULL, SPC, PKI_BC_NOT_CA,
         0, 0, 0, GOOD, NO_SIGNER},
        {"signer, further key usage", "digitalSignature,keyCertSign", NULL, NULL, PKI_BC_NOT_CA, 0,
         0, 0, BAD, GOOD},
        {"serverAuth", DS, "serverAuth", NULL, PKI_BC_NOT_CA, 0, 0, 0, BAD, NO_SIGNER},
        {"serverAuth among others", DS, "clientAuth,serverAuth", NULL, PKI_BC_NOT_CA, 0, 0, 0, BAD,
         NO_SIGNER},
        {"clientAuth", DS, "clientAuth", NULL, PKI_BC_NOT_CA, 0, 0, 0, BAD, GOOD},
        {"STI with serverAuth", DS, "serverAuth", SPC, PKI_BC_NOT_CA, 0, 0, 0, GOOD, NO_SIGNER},
        {"critical TNAuthList", DS, NULL, SPC, PKI_BC_NOT_CA, 1, 0, 0, GOOD, NO_SIGNER},
        {"TNAuthList twice", DS, NULL, SPC, PKI_BC_NOT_CA, 0, 1, 0, BAD, NO_SIGNER},
        {"two SPCs", DS, NULL, TWO_SPCS, PKI_BC_NOT_CA, 0, 0, 0, BAD, NO_SIGNER},
        {"SPC and range", DS, NULL, SPC_AND_RANGE, PKI_BC_NOT_CA, 0, 0, 0, GOOD, NO_SIGNER},
        {"only a range", DS, NULL, ONLY_A_RANGE, PKI_BC_NOT_CA, 0, 0, 0, BAD, NO_SIGNER},
        {"broken TNAuthList", DS, NULL, "3008a0", PKI_BC_NOT_CA, 0, 0, 0, BAD, NO_SIGNER},
        {"unknown critical", DS, NULL, SPC, PKI_BC_NOT_CA, 0, 0, 1, BAD, NO_SIGNER},
        {"unknown critical, signer", DS, NULL, NULL, PKI_BC_NOT_CA, 0, 0, 1, BAD, NO_SIGNER},
        {"unknown and TNAuthList critical", DS, NULL, SPC, PKI_BC_NOT_CA, 1, 0, 1, BAD, NO_SIGNER},
    };
    struct anchors *anchors = anchors_of(CERTS(root), 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pki_spec spec = {.cn = cases[i].name,
                                .key = leaf_key,
                                .issuer = ca,
                                .issuer_key = ca_key,
                                .bc = cases[i].bc,
                                .key_usage = cases[i].key_usage,
                                .extended_key_usage = cases[i].extended_key_usage,
                                .tnauthlist = cases[i].tnauthlist,
                                .tnauthlist_critical = cases[i].tnauthlist_critical,
                                .tnauthlist_twice = cases[i].tnauthlist_twice,
                                .unknown_critical = cases[i].unknown_critical};
        X509 *leaf = pki_make(&spec);
        struct cert_chain *chain = chain_of(CERTS(leaf, ca), 2);
        struct sticps_error err = {0};
        struct spc spc;
        int64_t until = 0;
        enum sticps_err rc =
            sti_certificate_check(chain, anchors, NULL, PKI_NOW, &until, &spc, &err);
        if (rc != cases[i].sti)
            fail_msg("%s: STI: %s: %s", cases[i].name, sticps_err_name(rc), err.text);
        rc = list_signer_check(chain, anchors, NULL, PKI_NOW, NULL, &err);
        if (rc != cases[i].signer)
            fail_msg("%s: signer: %s: %s", cases[i].name, sticps_err_name(rc), err.text);
        cert_chain_unref(chain);
        X509_free(leaf);
    }
    anchors_free(anchors);
}

/* OpenSSL reads the first key usage, whoever reads the last sees another: neither is believed. */
static void test_repeated_extension(void **state)
{
    (void)state;
    struct anchors *anchors = anchors_of(CERTS(root), 1);
    struct pki_spec spec = pki_signer_spec(leaf_key, ca, ca_key);
    X509 *leaf = pki_make(&spec);
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, ca, leaf, NULL, NULL, 0);
    pki_add_conf(leaf, &ctx, NID_key_usage, "critical,digitalSignature");
    assert_true(X509_sign(leaf, ca_key, EVP_sha256()) > 0);
    struct cert_chain *chain = chain_of(CERTS(leaf, ca), 2);
    struct sticps_error err = {0};
    assert_int_equal(list_signer_check(chain, anchors, NULL, PKI_NOW, NULL, &err),
                     STICPS_ERR_SIGNER);
    assert_non_null(strstr(err.text, "broken or repeated"));
    cert_chain_unref(chain);
    X509_free(leaf);
    anchors_free(anchors);
}

static void test_leaf_keys(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {pki_key("P-384"), pki_key("secp256k1"), EVP_RSA_gen(2048),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    struct anchors *anchors = anchors_of(CERTS(root), 1);
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct pki_spec spec = pki_sti_spec(keys[i], ca, ca_key);
        X509 *leaf = pki_make(&spec);
        EXPECT(BAD, CERTS(leaf, ca), CERTS(root));
        assert_non_null(strstr(last.text, "P-256"));
        spec = pki_signer_spec(keys[i], ca, ca_key);
        X509 *signer = pki_make(&spec);
        struct cert_chain *chain = chain_of(CERTS(signer, ca), 2);
        assert_int_equal(list_signer_check(chain, anchors, NULL, PKI_NOW, NULL, NULL),
                         STICPS_ERR_SIGNER);
        cert_chain_unref(chain);
        X509_free(leaf);
        X509_free(signer);
        EVP_PKEY_free(keys[i]);
    }
    anchors_free(anchors);
}

static void test_findings(void **state)
{
    (void)state;
    struct pki_spec spec = pki_sti_spec(leaf_key, ca, ca_key);
    X509 *leaf = pki_make(&spec);
    struct cert_chain *chain = chain_of(CERTS(leaf), 1);
    char *findings = sti_certificate_findings(chain);
    assert_string_equal(findings, "no certificate policies\nno CRL distribution point");
    free(findings);
    cert_chain_unref(chain);
    X509_free(leaf);

    spec.cn = "818H";
    spec.bc = PKI_BC_NONE;
    spec.no_key_ids = 1;
    spec.key_usage = "digitalSignature,keyAgreement";
    spec.extended_key_usage = "clientAuth";
    spec.tnauthlist = SPC_AND_RANGE;
    leaf = pki_make(&spec);
    chain = chain_of(CERTS(leaf), 1);
    findings = sti_certificate_findings(chain);
    assert_string_equal(findings,
                        "the common name does not start with \"SHAKEN \"\n"
                        "no certificate policies\nno basic constraints\n"
                        "no subject or authority key identifier\nno CRL distribution point\n"
                        "key usage other than digitalSignature\nextended key usage\n"
                        "telephone numbers beside the Service Provider Code in the TNAuthList");
    free(findings);
    cert_chain_unref(chain);
    X509_free(leaf);
}

/* ---- parsing ---- */

static enum sticps_err parse(const void *data, size_t len, size_t *count)
{
    struct cert_chain *chain = NULL;
    struct sticps_error err = {0};
    enum sticps_err rc = cert_chain_parse(data, len, STICPS_ERR_BAD_IDENTITY_INFO, &chain, &err);
    *count = 0;
    if (rc == STICPS_OK) {
        *count = cert_chain_len(chain);
        assert_int_equal(err.code, STICPS_OK);
    } else {
        assert_null(chain);
        assert_true(err.code == rc && err.text[0] != '\0');
    }
    cert_chain_unref(chain);
    assert_int_equal(ERR_peek_error(), 0);
    return rc;
}

static void test_parse_forms(void **state)
{
    (void)state;
    char *one = pki_pem(CERTS(ca), 1), *two = pki_pem(CERTS(ca, root), 2);
    unsigned char *der = NULL;
    int der_len = i2d_X509(ca, &der);
    char *broken = strdup(one), *crlf = calloc(2, strlen(two));
    memset(broken + 40, '!', 8);
    for (size_t i = 0, at = 0; two[i] != '\0'; i++) {
        if (two[i] == '\n')
            crlf[at++] = '\r';
        crlf[at++] = two[i];
    }
    const struct {
        const char *name;
        const char *before, *text, *after;
        size_t count; /* 0: refused */
    } cases[] = {
        {"one", "", one, "", 1},
        {"two", "", two, "", 2},
        {"CR LF", "", crlf, "", 2},
        {"text before", "subject=/CN=x\nhello\n\n", one, "", 1},
        {"text that starts like DER", "0 certificates\n", one, "", 1},
        {"text after", "", one, "bye\n", 1},
        {"text between", one, "\nand\n", two, 3},
        {"other blocks",
         "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", one, "",
         1},
        {"empty", "", "", "", 0},
        {"line break", "", "\n", "", 0},
        {"text", "<html>not found</html>", "", "", 0},
        {"only other blocks",
         "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", "", "",
         0},
        {"not base64", "", broken, "", 0},
        {"second one broken", one, broken, "", 0},
        {"no end", one, "-----BEGIN CERTIFICATE-----\nMIIB\n", "", 0},
        {"empty block", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "", "", 0},
        {"not a certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "",
         "", 0},
        {"headers", "-----BEGIN CERTIFICATE-----\nComment: x\n\n",
         one + strlen("-----BEGIN CERTIFICATE-----\n"), "", 0},
        {"encrypted",
         "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,"
         "00000000000000000000000000000000\n\nMAA=\n-----END CERTIFICATE-----\n",
         "", "", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t size = strlen(cases[i].before) + strlen(cases[i].text) + strlen(cases[i].after) + 1;
        char *text = malloc(size);
        size_t count;
        int len = snprintf(text, size, "%s%s%s", cases[i].before, cases[i].text, cases[i].after);
        enum sticps_err rc = parse(text, (size_t)len, &count);
        if (count != cases[i].count || rc != (count > 0 ? STICPS_OK : STICPS_ERR_BAD_IDENTITY_INFO))
            fail_msg("%s: %s, %zu", cases[i].name, sticps_err_name(rc), count);
        free(text);
    }

    size_t count;
    assert_int_equal(parse(der, (size_t)der_len, &count), STICPS_OK);
    assert_int_equal(count, 1);
    unsigned char *longer = calloc(1, (size_t)der_len * 2);
    memcpy(longer, der, (size_t)der_len);
    memcpy(longer + der_len, der, (size_t)der_len);
    assert_int_equal(parse(longer, (size_t)der_len + 1, &count), STICPS_ERR_BAD_IDENTITY_INFO);
    assert_int_equal(parse(longer, (size_t)der_len * 2, &count), STICPS_ERR_BAD_IDENTITY_INFO);
    for (size_t len = 0; len < (size_t)der_len; len += 7)
        assert_int_equal(parse(der, len, &count), STICPS_ERR_BAD_IDENTITY_INFO);
    free(longer);
    OPENSSL_free(der);
    free(one);
    free(two);
    free(broken);
    free(crlf);
}

static void test_parse_limits(void **state)
{
    (void)state;
    X509 *many[CERT_MAX_COUNT + 1];
    size_t count;
    for (size_t i = 0; i <= CERT_MAX_COUNT; i++)
        many[i] = ca;
    char *most = pki_pem(many, CERT_MAX_COUNT), *more = pki_pem(many, CERT_MAX_COUNT + 1);
    assert_int_equal(parse(most, strlen(most), &count), STICPS_OK);
    assert_int_equal(count, CERT_MAX_COUNT);
    assert_int_equal(parse(more, strlen(more), &count), STICPS_ERR_BAD_IDENTITY_INFO);

    char *padded = malloc(CERT_MAX_BYTES + 1);
    memset(padded, '\n', CERT_MAX_BYTES + 1);
    char *one = pki_pem(many, 1);
    memcpy(padded, one, strlen(one));
    struct anchors *anchors = NULL;
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_add(anchors, one, (size_t)INT_MAX + 1, STICPS_ERR_USAGE, NULL),
                     STICPS_ERR_USAGE); /* nothing of it is read */
    assert_int_equal(anchors_count(anchors), 0);
    anchors_free(anchors);
    assert_int_equal(parse(padded, CERT_MAX_BYTES, &count), STICPS_OK);
    assert_int_equal(parse(padded, CERT_MAX_BYTES + 1, &count), STICPS_ERR_BAD_IDENTITY_INFO);
    free(padded);
    free(one);
    free(most);
    free(more);
}

static void test_chain_properties(void **state)
{
    (void)state;
    X509 *leaf = make_leaf(ca, ca_key);
    struct cert_chain *chain = chain_of(CERTS(leaf, ca, root), 3);
    char *pem = pki_pem(CERTS(leaf, ca, root), 3);
    assert_string_equal(cert_chain_pem(chain), pem);
    assert_int_equal(X509_cmp(cert_chain_leaf(chain), leaf), 0);
    assert_int_equal(EVP_PKEY_eq(cert_chain_key(chain), leaf_key), 1);
    assert_int_equal(cert_chain_not_after(chain), PKI_NOW + 30 * PKI_DAY);
    assert_ptr_equal(cert_chain_ref(chain), chain);
    cert_chain_unref(chain);
    assert_int_equal(cert_chain_len(chain), 3);
    cert_chain_unref(chain);
    cert_chain_unref(NULL);
    anchors_free(NULL);

    /* From DER: the PEM of it. */
    unsigned char *der = NULL;
    int len = i2d_X509(leaf, &der);
    char *leaf_pem = pki_pem(CERTS(leaf), 1);
    assert_int_equal(cert_chain_parse(der, (size_t)len, STICPS_ERR_FILE, &chain, NULL), STICPS_OK);
    assert_string_equal(cert_chain_pem(chain), leaf_pem);
    cert_chain_unref(chain);
    OPENSSL_free(der);
    free(leaf_pem);
    free(pem);
    X509_free(leaf);
}

static void test_files(void **state)
{
    (void)state;
    char path[] = "/tmp/sticps-test-cert-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    char *pem = pki_pem(CERTS(ca, root), 2);
    assert_int_equal(write(fd, pem, strlen(pem)), strlen(pem));
    struct cert_chain *chain;
    struct anchors *anchors;
    struct sticps_error err;
    assert_int_equal(cert_chain_load(path, &chain, &err), STICPS_OK);
    assert_int_equal(cert_chain_len(chain), 2);
    cert_chain_unref(chain);
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_add_file(anchors, path, &err), STICPS_OK);
    assert_int_equal(anchors_count(anchors), 2);

    /* A bad file adds nothing, not even its good half. */
    assert_int_equal(write(fd, "-----BEGIN CERTIFICATE-----\n", 28), 28);
    assert_int_equal(anchors_add_file(anchors, path, &err), STICPS_ERR_FILE);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(anchors_count(anchors), 2);
    assert_int_equal(cert_chain_load(path, &chain, &err), STICPS_ERR_FILE);
    assert_int_equal(ftruncate(fd, CERT_MAX_BYTES + 1), 0);
    assert_int_equal(cert_chain_load(path, &chain, &err), STICPS_ERR_FILE);
    assert_int_equal(cert_chain_load("/nonexistent.pem", &chain, &err), STICPS_ERR_FILE);
    assert_int_equal(anchors_add_file(anchors, "/nonexistent.pem", &err), STICPS_ERR_FILE);
    anchors_free(anchors);
    free(pem);
    close(fd);
    unlink(path);
}

/* ---- threads ---- */

struct shared {
    struct cert_chain *chain;
    struct anchors *anchors;
};

static void *on_thread(void *arg)
{
    const struct shared *shared = arg;
    struct spc spc;
    for (int i = 0; i < 20; i++) {
        struct cert_chain *mine = cert_chain_ref(shared->chain);
        enum sticps_err rc =
            sti_certificate_check(mine, shared->anchors, NULL, PKI_NOW, NULL, &spc, NULL);
        char *findings = sti_certificate_findings(mine);
        cert_chain_unref(mine);
        if (rc != STICPS_OK || findings == NULL)
            return arg;
        free(findings);
    }
    return NULL;
}

static void test_threads_share_a_chain(void **state)
{
    (void)state;
    X509 *leaf = make_leaf(ca, ca_key);
    struct shared shared = {chain_of(CERTS(leaf, ca, root), 3), anchors_of(CERTS(root), 1)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, on_thread, &shared), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    cert_chain_unref(shared.chain);
    anchors_free(shared.anchors);
    X509_free(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_strangers),
        cmocka_unit_test(test_no_anchors),
        cmocka_unit_test(test_impostor),
        cmocka_unit_test(test_anchor_rotation),
        cmocka_unit_test(test_cross_certificates),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_clique),
        cmocka_unit_test(test_issuers_that_may_not),
        cmocka_unit_test(test_path_length),
        cmocka_unit_test(test_validity),
        cmocka_unit_test(test_valid_until),
        cmocka_unit_test(test_weak_signatures),
        cmocka_unit_test(test_pinned_leaf),
        cmocka_unit_test(test_leaf_must_haves),
        cmocka_unit_test(test_repeated_extension),
        cmocka_unit_test(test_leaf_keys),
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_parse_forms),
        cmocka_unit_test(test_parse_limits),
        cmocka_unit_test(test_chain_properties),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_threads_share_a_chain),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

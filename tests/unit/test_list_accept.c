/* Rules 2 to 9 as pure functions: the time is passed in, no server, no disk. The lab setting is off
 * here; the objects themselves are tried against the whole command in tests/attack. */
#include "client/list_accept.h"

#include "client/sha256.h"
#include "common/base64url.h"

#include "tests/unit/pki.h"

#include <stdio.h>

#define LIST_URL "https://STI-PA.com:8443/download/v1/cps-list"
#define X5U "https://sti-pa.com/download/v1/certificate/certificateId_1.crt"
#define DEFAULT_LIFETIME (7 * PKI_DAY)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static EVP_PKEY *key;
static struct cert_chain *chain;
static struct anchors *anchors;
static struct sticps_options *options;

static struct cert_chain *chain_of(X509 *cert)
{
    struct cert_chain *made = NULL;
    char *pem = pki_pem(&cert, 1);
    assert_int_equal(cert_chain_parse(pem, strlen(pem), STICPS_ERR_SIGNER, &made, NULL), STICPS_OK);
    free(pem);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    EVP_PKEY *root_key = pki_p256();
    key = pki_p256();
    struct pki_spec root_spec = pki_ca_spec("root", root_key, NULL, NULL);
    X509 *root = pki_make(&root_spec);
    struct pki_spec spec = pki_signer_spec(key, root, root_key);
    X509 *leaf = pki_make(&spec);
    chain = chain_of(leaf);
    char *pem = pki_pem(&root, 1);
    assert_int_equal(anchors_new(&anchors, NULL), STICPS_OK);
    assert_int_equal(anchors_add(anchors, pem, strlen(pem), STICPS_ERR_USAGE, NULL), STICPS_OK);
    free(pem);
    X509_free(root);
    X509_free(leaf);
    EVP_PKEY_free(root_key);
    options = sticps_options_new();
    return options == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    sticps_options_free(options);
    anchors_free(anchors);
    cert_chain_unref(chain);
    EVP_PKEY_free(key);
    return 0;
}

/* A list signed with `key`: the caller frees. */
static char *list_of(const char *x5u, int64_t sequence, int64_t exp, const char *mapping)
{
    char header[512], *payload = NULL, *token = NULL;
    size_t len;
    snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"x5u\":\"%s\"}", x5u);
    assert_true(asprintf(&payload,
                         "{\"version\":\"1.0\",\"sequence\":%lld,\"exp\":%lld,\"cpsMapping\":%s}",
                         (long long)sequence, (long long)exp, mapping) > 0);
    assert_int_equal(
        jws_sign(header, strlen(header), payload, strlen(payload), key, &token, &len, NULL),
        STICPS_OK);
    free(payload);
    return token;
}

static enum sticps_err open_list(const char *body, const char *url, struct list_candidate *out)
{
    struct sticps_error err = {0};
    enum sticps_err code =
        list_accept_open(body, strlen(body), SIGNED_LIST_CPS_MAPPING, url, options, out, &err);
    assert_int_equal(code, err.code);
    return code;
}

/* Rules 2 to 7 in one; the first that fails. */
static enum sticps_err judge(const char *body, int64_t now)
{
    struct list_candidate candidate = {0};
    struct signed_list *payload = NULL;
    enum sticps_err code = open_list(body, LIST_URL, &candidate);
    if (code == STICPS_OK)
        code = list_accept_signer(&candidate, chain, anchors, NULL, now, NULL);
    if (code == STICPS_OK)
        code = list_accept_payload(&candidate, now, options, &payload, NULL);
    signed_list_free(payload);
    list_candidate_clear(&candidate);
    return code;
}

static enum sticps_err judge_free(char *body, int64_t now)
{
    enum sticps_err code = judge(body, now);
    free(body);
    return code;
}

/* ---- 2 and 3 ---- */

static void test_candidate(void **state)
{
    (void)state;
    char *list = list_of(X5U, 5, PKI_NOW + 60, "{}");
    char *envelope = NULL, sha256[65];
    assert_true(asprintf(&envelope, "{\"status\":\"success\",\"cpsList\":\"%s\"}", list) > 0);
    struct list_candidate bare, wrapped;
    assert_int_equal(open_list(list, LIST_URL, &bare), STICPS_OK);
    assert_int_equal(open_list(envelope, LIST_URL, &wrapped), STICPS_OK);
    assert_string_equal(bare.jws, list);
    assert_string_equal(wrapped.jws, list);
    assert_string_equal(bare.header.x5u, X5U);
    assert_int_equal(sha256_hex(list, strlen(list), sha256, NULL), STICPS_OK);
    assert_string_equal(bare.sha256, sha256); /* of the JWS, however it came */
    assert_string_equal(wrapped.sha256, sha256);
    list_candidate_clear(&bare);
    list_candidate_clear(&wrapped);
    free(envelope);
    free(list);
}

static void test_sha256_vector(void **state)
{
    char hex[65];
    (void)state;
    assert_int_equal(sha256_hex("abc", 3, hex, NULL), STICPS_OK); /* FIPS 180-2, B.1 */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_x5u_host(void **state)
{
    static const struct {
        const char *x5u, *list;
        enum sticps_err expected;
    } rows[] = {
        {"https://sti-pa.com/c", "https://sti-pa.com/l", STICPS_OK},
        {"https://STI-pa.com/c", "https://sti-PA.com/l", STICPS_OK},
        {"https://sti-pa.com:8443/c", "https://sti-pa.com/l", STICPS_OK},
        {"https://sti-pa.com/c", "https://sti-pa.com:4443/l", STICPS_OK},
        {"https://www.sti-pa.com/c", "https://sti-pa.com/l", STICPS_ERR_HEADER},
        {"https://sti-pa.com/c", "https://www.sti-pa.com/l", STICPS_ERR_HEADER},
        {"https://sti-pa.com.evil.com/c", "https://sti-pa.com/l", STICPS_ERR_HEADER},
        {"https://evil.com/sti-pa.com", "https://sti-pa.com/l", STICPS_ERR_HEADER},
        {"https://certs.example/c", "https://sti-pa.com/l", STICPS_OK}, /* configured */
        {"https://CERTS.example/c", "https://sti-pa.com/l", STICPS_OK},
        {"https://a.certs.example/c", "https://sti-pa.com/l", STICPS_ERR_HEADER},
        {"https://certs.exampl/c", "https://sti-pa.com/l", STICPS_ERR_HEADER},  /* its beginning */
        {"https://doubt.example/c", "https://sti-pa.com/l", STICPS_ERR_HEADER}, /* as long */
        {"https://sti-pa.com:444/c", "https://sti-pa.com/l", STICPS_ERR_HEADER},
        {"https://127.0.0.1/c", "https://127.0.0.1/l", STICPS_ERR_HEADER}, /* no lab */
        {"https://localhost/c", "https://localhost/l", STICPS_ERR_HEADER},
        {"http://sti-pa.com/c", "https://sti-pa.com/l", STICPS_ERR_HEADER},
    };
    (void)state;
    assert_int_equal(sticps_options_add_x5u_host(options, "Certs.Example", NULL), STICPS_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct list_candidate candidate;
        char *list = list_of(rows[i].x5u, 5, PKI_NOW + 60, "{}");
        enum sticps_err code = open_list(list, rows[i].list, &candidate);
        assert_int_equal(code, rows[i].expected);
        if (code == STICPS_OK)
            list_candidate_clear(&candidate);
        free(list);
    }
}

/* ---- 4 to 7 ---- */

static void test_order(void **state)
{
    (void)state;
    char *list = list_of(X5U, 5, PKI_NOW - 60, "{\"x\":\"y\"}"); /* wrong from PAYLOAD on */
    size_t len = strlen(list);
    assert_int_equal(judge(list, PKI_NOW), STICPS_ERR_PAYLOAD);
    list[len - 10] = list[len - 10] == 'A' ? 'B' : 'A'; /* wrong from SIGNATURE on */
    assert_int_equal(judge(list, PKI_NOW), STICPS_ERR_SIGNATURE);
    assert_int_equal(judge(list, PKI_NOW + 31 * PKI_DAY), STICPS_ERR_SIGNER);
    free(list);
}

static void test_exp(void **state)
{
    static const struct {
        int64_t ahead; /* of the time of judgement */
        enum sticps_err expected;
    } rows[] = {
        {-1, STICPS_ERR_EXP}, {0, STICPS_ERR_EXP}, /* without leeway */
        {1, STICPS_OK},       {DEFAULT_LIFETIME, STICPS_OK}, {DEFAULT_LIFETIME + 1, STICPS_ERR_EXP},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(judge_free(list_of(X5U, 5, PKI_NOW + rows[i].ahead, "{}"), PKI_NOW),
                         rows[i].expected);
    char *list = list_of(X5U, 5, PKI_NOW + 60, "{}");
    struct list_candidate candidate;
    struct signed_list *payload = NULL;
    assert_int_equal(open_list(list, LIST_URL, &candidate), STICPS_OK);
    assert_int_equal(list_accept_payload(&candidate, -1, options, &payload, NULL), STICPS_ERR_EXP);
    assert_null(payload); /* a clock before 1970 is no reason to skip the rule */
    list_candidate_clear(&candidate);
    free(list);
}

static void test_entries_outside_the_lab(void **state)
{
    static const char *const urls[] = {"https://127.0.0.1/x",
                                       "https://10.0.0.1/x",
                                       "https://[::1]/x",
                                       "https://localhost/x",
                                       "https://cps/x",
                                       "https://8.8.8.8/x",
                                       "https://192.0.2.1/x",
                                       "https://cps.example.com:444",
                                       "https://cps.example.com:8443/x",
                                       "https://1.2.3/x",
                                       "https://0x7f.1/x",
                                       "https://[fe80::1%25eth0]/x"};
    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        char mapping[128];
        snprintf(mapping, sizeof(mapping), "{\"1234\":\"%s\"}", urls[i]);
        assert_int_equal(judge_free(list_of(X5U, 5, PKI_NOW + 60, mapping), PKI_NOW),
                         STICPS_ERR_PAYLOAD);
    }
    char *list = list_of(X5U, 5, PKI_NOW + 60, "{\"1234\":\"https://cps.example.com:8443/x\"}");
    assert_int_equal(judge(list, PKI_NOW), STICPS_ERR_PAYLOAD);
    assert_int_equal(sticps_options_add_cps_port(options, 8443, NULL), STICPS_OK);
    assert_int_equal(judge(list, PKI_NOW), STICPS_OK);
    free(list);
}

/* ---- 8 ---- */

static char hash_of_a[65], hash_of_b[65];

static struct list_state state_with(int64_t sequence, const char *sha256)
{
    struct list_state state = {0};
    const struct list_accepted accepted = {.jws = "j",
                                           .jws_len = 1,
                                           .sha256 = sha256,
                                           .sequence = sequence,
                                           .exp = PKI_NOW,
                                           .source = "s",
                                           .etag = "",
                                           .x5u = "x",
                                           .chain = "c"};
    assert_int_equal(list_state_take(&state, &accepted, NULL), STICPS_OK);
    return state;
}

static enum sticps_err sequence_code(const struct list_state *state, int64_t sequence,
                                     const char *sha256, bool *current)
{
    return list_accept_sequence(state, sequence, sha256, current, NULL);
}

static void test_sequence(void **unused)
{
    (void)unused;
    bool current = true;
    memset(hash_of_a, 'a', 64);
    memset(hash_of_b, 'b', 64);
    struct list_state first = {0};
    assert_int_equal(sequence_code(&first, 1, hash_of_a, &current), STICPS_OK);
    assert_false(current);

    struct list_state state = state_with(5, hash_of_a);
    assert_int_equal(sequence_code(&state, 4, hash_of_a, &current), STICPS_ERR_ROLLBACK);
    assert_int_equal(sequence_code(&state, 5, hash_of_b, &current), STICPS_ERR_EQUIVOCATION);
    assert_int_equal(sequence_code(&state, 5, hash_of_a, &current), STICPS_OK);
    assert_true(current);
    assert_int_equal(sequence_code(&state, 6, hash_of_a, &current), STICPS_OK);
    assert_false(current);
    assert_int_equal(sequence_code(&state, INT64_MAX, hash_of_b, &current), STICPS_OK);
    list_state_clear(&state);
}

static void test_reset(void **unused)
{
    (void)unused;
    bool current = true, dropped = false;
    struct list_state state = state_with(5, hash_of_a);
    assert_int_equal(list_state_reset(&state, 6, &dropped, NULL), STICPS_ERR_USAGE);
    assert_int_equal(state.floor, 5);
    assert_int_equal(list_state_reset(&state, 5, &dropped, NULL), STICPS_OK);
    assert_false(dropped);
    assert_int_equal(list_state_reset(&state, 3, &dropped, NULL), STICPS_OK);
    assert_true(dropped);
    assert_null(state.jws);
    assert_int_equal(state.floor, 3);
    assert_int_equal(state.seen_len, 0);
    assert_int_equal(sequence_code(&state, 2, hash_of_a, &current), STICPS_ERR_ROLLBACK);
    assert_int_equal(sequence_code(&state, 3, hash_of_b, &current), STICPS_OK);
    assert_int_equal(sequence_code(&state, 5, hash_of_b, &current), STICPS_OK);
    list_state_clear(&state);
}

static void test_history_is_bounded(void **unused)
{
    (void)unused;
    struct list_state state = {0};
    struct list_accepted accepted = {.jws = "j",
                                     .jws_len = 1,
                                     .sha256 = hash_of_a,
                                     .source = "s",
                                     .etag = "",
                                     .x5u = "x",
                                     .chain = "c"};
    for (int64_t i = 1; i <= LIST_STATE_MAX_SEEN + 10; i++) {
        accepted.sequence = i;
        assert_int_equal(list_state_take(&state, &accepted, NULL), STICPS_OK);
        assert_int_equal(list_state_take(&state, &accepted, NULL), STICPS_OK); /* counts once */
    }
    assert_int_equal(state.seen_len, LIST_STATE_MAX_SEEN);
    assert_null(list_state_seen(&state, 10));
    assert_string_equal(list_state_seen(&state, 11), hash_of_a);
    assert_int_equal(state.floor, LIST_STATE_MAX_SEEN + 10);
    list_state_clear(&state);
}

/* ---- 9 ---- */

/* `count` entries from the number `first` on. */
static struct signed_list entries_from(size_t first, size_t count)
{
    struct signed_list list = {.kind = SIGNED_LIST_CPS_MAPPING, .entries_len = count};
    list.entries = calloc(count + 1, sizeof(*list.entries));
    assert_non_null(list.entries);
    for (size_t i = 0; i < count; i++) {
        snprintf(list.entries[i].spc.text, sizeof(list.entries[i].spc.text), "%04zu", first + i);
        list.entries[i].url = "https://cps.example.com/";
    }
    return list;
}

static void test_shrink(void **state)
{
    static const struct {
        size_t held, first, count; /* the new list's */
        size_t entries;
        unsigned percent;
        enum sticps_err expected;
    } rows[] = {
        {0, 0, 0, 20, 20, STICPS_OK},
        {0, 0, 5, 20, 20, STICPS_OK},
        {1, 0, 0, 20, 20, STICPS_ERR_SHRINK}, /* all */
        {1, 1, 1, 20, 20, STICPS_ERR_SHRINK}, /* all, whatever comes instead */
        {5, 4, 100, 20, 20, STICPS_OK},
        {20, 19, 1, 20, 20, STICPS_OK},
        {21, 20, 1, 20, 20, STICPS_OK},         /* 20 of 21 */
        {22, 21, 1, 20, 20, STICPS_ERR_SHRINK}, /* 21 of 22 */
        {105, 21, 84, 20, 20, STICPS_OK},       /* 21 are exactly 20 % */
        {104, 21, 83, 20, 20, STICPS_ERR_SHRINK},
        {1000, 200, 800, 20, 20, STICPS_OK},
        {1000, 201, 799, 20, 20, STICPS_ERR_SHRINK},
        {1000, 0, 799, 20, 20, STICPS_ERR_SHRINK},
        {1000, 201, 1000, 20, 20, STICPS_ERR_SHRINK}, /* as many, but others */
        {1000, 0, 1001, 20, 20, STICPS_OK},
        {1000, 500, 500, 600, 20, STICPS_OK},
        {1000, 500, 500, 20, 50, STICPS_OK},
        {1000, 501, 499, 20, 50, STICPS_ERR_SHRINK},
        {10, 1, 9, 0, 0, STICPS_ERR_SHRINK},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct signed_list held = entries_from(0, rows[i].held);
        struct signed_list list = entries_from(rows[i].first, rows[i].count);
        sticps_options_set_shrink_limit(options, rows[i].entries, rows[i].percent);
        assert_int_equal(list_accept_shrink(&held, &list, options, NULL), rows[i].expected);
        sticps_options_set_accept_shrink(options, true);
        assert_int_equal(list_accept_shrink(&held, &list, options, NULL), STICPS_OK);
        sticps_options_set_accept_shrink(options, false);
        assert_int_equal(list_accept_shrink(NULL, &list, options, NULL), STICPS_OK);
        free(held.entries);
        free(list.entries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidate), cmocka_unit_test(test_sha256_vector),
        cmocka_unit_test(test_x5u_host),  cmocka_unit_test(test_order),
        cmocka_unit_test(test_exp),       cmocka_unit_test(test_entries_outside_the_lab),
        cmocka_unit_test(test_sequence),  cmocka_unit_test(test_reset),
        cmocka_unit_test(test_shrink),    cmocka_unit_test(test_history_is_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Every allocation of the library fails once, and then all from it on: nothing crashes or leaks
 * (with AddressSanitizer), what fails says NO_MEMORY, what is refused stays refused, and a failed
 * change leaves what was there. As test_oom_common.c does for common/. */
#include "client/client.h"
#include "client/list_accept.h"
#include "client/list_json.h"
#include "client/list_store.h"
#include "client/override.h"
#include "client/sha256.h"
#include "client/x5u_store.h"
#include "sticps/sticps.h"

#include "tests/unit/oom.h"
#include "tests/unit/pki.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* ---- failing allocations ---- */

static void *curl_calloc(size_t count, size_t size)
{
    return __wrap_calloc(count, size);
}

static void curl_free_memory(void *p)
{
    free(p);
}

/* ---- what is at hand ---- */

#define LIST_URL "https://sti-pa.example/download/v1/cps-list"
#define X5U "https://sti-pa.example/c"

static EVP_PKEY *key;
static char *anchor_pem, *list_token, *stale_token, *state_json, *damaged_json;
static size_t list_len, state_len;
static char sha256[65], dir[64], ca_path[128], list_path[128];
static struct sticps_options *options;
static struct list_state held;

static const struct cps_entry entries[] = {{{"1234"}, "https://a.example.com/cps"},
                                           {{"5678"}, "https://b.example.com/cps"}};

/* ---- the calls: each does one thing, undoes it, and returns how it ended ---- */

static enum sticps_err fill(struct sticps_options *to)
{
    enum sticps_err code = sticps_options_add_anchor(to, anchor_pem, strlen(anchor_pem), NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_tls_ca_file(to, ca_path, NULL);
    if (code == STICPS_OK)
        code = sticps_options_set_state_dir(to, dir, NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_x5u_host(to, "certs.example", NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_cps_port(to, 8443, NULL);
    if (code == STICPS_OK)
        code = sticps_options_set_tls_client(to, "cert", "key", NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_anchor_file(to, ca_path, NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_list_url(to, STICPS_LIST_CPS, LIST_URL, NULL);
    if (code == STICPS_OK)
        code = sticps_options_add_list_file(to, STICPS_LIST_CPS, list_path, NULL);
    return code;
}

static enum sticps_err call_options(void)
{
    struct sticps_options *made = sticps_options_new();
    enum sticps_err code = made != NULL ? fill(made) : STICPS_ERR_NO_MEMORY;
    struct sticps_options *copy = code == STICPS_OK ? options_copy(made) : NULL;
    if (code == STICPS_OK && copy == NULL)
        code = STICPS_ERR_NO_MEMORY;
    if (code == STICPS_OK) {
        assert_int_equal(copy->anchors.len, 2);
        assert_string_equal(copy->anchors.items[1].path, ca_path);
        assert_string_equal(copy->list_files[STICPS_LIST_CPS].items[0].data, list_path);
        assert_int_equal(copy->ports_len, 1);
        assert_string_equal(copy->state_dir, dir);
    }
    sticps_options_free(copy);
    sticps_options_free(made);
    return code;
}

static enum sticps_err call_override(void)
{
    struct override_table *table = NULL;
    const struct spc from = {"1234"};
    const char *text = "9ABC,5678\n1234,0000\n";
    enum sticps_err code = override_table_parse(text, strlen(text), "x", &table, NULL);
    if (code == STICPS_OK)
        assert_string_equal(override_table_find(table, &from)->text, "0000");
    override_table_unref(table);
    return code;
}

static enum sticps_err call_json_write(void)
{
    char *text = NULL;
    size_t len = 0;
    enum sticps_err code = list_json_write(&held, &text, &len, NULL);
    if (code == STICPS_OK)
        assert_string_equal(text, state_json);
    free(text);
    return code;
}

static enum sticps_err call_json_read(void)
{
    struct list_state state = {0};
    enum sticps_err code = list_json_read(state_json, state_len, &state, NULL);
    if (code == STICPS_OK) {
        assert_string_equal(state.jws, list_token);
        assert_int_equal(state.seen_len, 1);
    }
    list_state_clear(&state);
    return code;
}

static enum sticps_err call_json_read_damaged(void)
{
    struct list_state state = {0};
    enum sticps_err code = list_json_read(damaged_json, strlen(damaged_json), &state, NULL);
    assert_null(state.jws);
    return code;
}

static struct list_accepted accepted(int64_t sequence)
{
    return (struct list_accepted){.jws = list_token,
                                  .jws_len = list_len,
                                  .sha256 = sha256,
                                  .sequence = sequence,
                                  .exp = PKI_NOW + PKI_DAY,
                                  .fetched_at = PKI_NOW,
                                  .source = LIST_URL,
                                  .etag = "\"e\"",
                                  .x5u = X5U,
                                  .chain = anchor_pem,
                                  .chain_expires = PKI_NOW + 60};
}

static enum sticps_err call_take(void)
{
    struct list_state state = {0};
    struct list_accepted one = accepted(7), two = accepted(8);
    enum sticps_err code = list_state_take(&state, &one, NULL);
    if (code != STICPS_OK) {
        assert_null(state.jws);
        assert_int_equal(state.floor, 0);
        return code;
    }
    code = list_state_take(&state, &two, NULL);
    assert_int_equal(state.floor, code == STICPS_OK ? 8 : 7);
    assert_int_equal(state.sequence, code == STICPS_OK ? 8 : 7);
    list_state_clear(&state);
    return code;
}

static enum sticps_err call_open(void)
{
    struct list_candidate candidate;
    enum sticps_err code = list_accept_open(list_token, list_len, SIGNED_LIST_CPS_MAPPING, LIST_URL,
                                            options, &candidate, NULL);
    if (code == STICPS_OK) {
        assert_string_equal(candidate.jws, list_token);
        list_candidate_clear(&candidate);
    }
    return code;
}

static enum sticps_err judge_payload(const char *token)
{
    struct list_candidate candidate;
    struct signed_list *payload = NULL;
    enum sticps_err code = list_accept_open(token, strlen(token), SIGNED_LIST_CPS_MAPPING, LIST_URL,
                                            options, &candidate, NULL);
    if (code != STICPS_OK)
        return code;
    code = list_accept_payload(&candidate, PKI_NOW, options, &payload, NULL);
    signed_list_free(payload);
    list_candidate_clear(&candidate);
    return code;
}

static enum sticps_err call_payload(void)
{
    return judge_payload(list_token);
}

static enum sticps_err call_payload_expired(void)
{
    return judge_payload(stale_token);
}

static enum sticps_err call_store(void)
{
    struct list_store *store = NULL;
    struct list_state state = {0};
    enum sticps_err code = list_store_new(dir, STICPS_LIST_CPS, &store, NULL);
    if (code == STICPS_OK)
        code = list_store_lock(store, NULL);
    if (code == STICPS_OK)
        code = list_store_write(store, &held, NULL);
    if (code == STICPS_OK)
        code = list_store_read(store, &state, NULL);
    if (code == STICPS_OK)
        assert_int_equal(state.sequence, 7);
    list_state_clear(&state);
    list_store_free(store);
    return code;
}

static void on_list(void *ctx, enum sticps_err code, const struct sticps_error *err,
                    const struct sticps_list_result *result)
{
    (void)err;
    (void)result;
    *(enum sticps_err *)ctx = code;
}

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const char *pem, size_t len, int64_t expires_at)
{
    (void)err;
    (void)pem;
    (void)len;
    (void)expires_at;
    *(enum sticps_err *)ctx = code;
}

/* A client made, its held list loaded, fetches begun, and all of it freed again. */
static enum sticps_err call_client(void)
{
    struct sticps_client *client = NULL;
    enum sticps_err fetched = STICPS_OK, chain = STICPS_OK, refreshed = STICPS_OK;
    enum sticps_err code = sticps_client_new(options, &client, NULL);
    if (code == STICPS_OK)
        code = sticps_list_load(client, STICPS_LIST_CPS, NULL);
    if (code == STICPS_OK) {
        sticps_list_fetch(client, STICPS_LIST_CPS, "https://127.0.0.1:9/l", on_list, &fetched);
        sticps_list_refresh(client, STICPS_LIST_CPS, on_list, &refreshed);
        sticps_x5u_fetch(client, "https://certs.example.com/c", on_chain, &chain);
        sticps_x5u_fetch(client, "https://certs.example.com/c", on_chain, &chain);
    }
    bool begun = code == STICPS_OK;
    sticps_client_free(client); /* ends what is under way with FETCH */
    if (begun && (fetched == STICPS_ERR_NO_MEMORY || chain == STICPS_ERR_NO_MEMORY ||
                  refreshed == STICPS_ERR_NO_MEMORY || refreshed == STICPS_ERR_CRYPTO))
        return STICPS_ERR_NO_MEMORY;
    if (begun) {
        assert_int_equal(fetched, STICPS_ERR_FETCH);
        assert_int_equal(chain, STICPS_ERR_FETCH);
        assert_int_equal(refreshed, STICPS_ERR_FETCH);
    }
    return code;
}

/* What cannot be kept or found for want of memory is fetched again: no call of these fails. */
static enum sticps_err call_x5u_store(void)
{
    struct x5u_store *store = NULL;
    int64_t until = 0;
    enum sticps_err code = x5u_store_new(options, &store, NULL);
    if (code != STICPS_OK)
        return code;
    x5u_store_write(store, X5U, anchor_pem, PKI_NOW, PKI_NOW + 60);
    char *pem = x5u_store_read(store, X5U, PKI_NOW, &until);
    if (pem != NULL)
        assert_string_equal(pem, anchor_pem);
    free(pem);
    x5u_store_free(store);
    return code;
}

/* Its file has another line each time, so that it is parsed again. */
static enum sticps_err call_anchor_set(void)
{
    static struct events events;
    static unsigned turn;
    struct anchor_set *set = NULL;
    events_init(&events, options);
    enum sticps_err code = anchor_set_new(&options->anchors, &events, &set, NULL);
    if (code != STICPS_OK)
        return code;
    FILE *file = fopen(ca_path, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "%u\n%s", turn++, anchor_pem) > 0);
    fclose(file);
    code = anchor_set_look(set, false, NULL);
    struct anchors *anchors = anchor_set_get(set);
    assert_int_equal(anchors_count(anchors), 2); /* the new ones or the ones of before */
    anchors_free(anchors);
    anchor_set_free(set);
    return code;
}

/* The state is as it was, or recovered. */
static enum sticps_err call_recover(void)
{
    struct gate gate;
    struct list_store *store = NULL;
    struct lists *lists = NULL;
    struct sticps_list *offered = NULL;
    struct list_state ahead = held;
    int64_t floor = 0;
    ahead.floor = 9;
    gate_init(&gate);
    enum sticps_err code = list_store_new(dir, STICPS_LIST_CPS, &store, NULL);
    if (code == STICPS_OK)
        code = list_store_write(store, &ahead, NULL);
    if (code == STICPS_OK)
        code = lists_new(options, &gate, &lists, NULL);
    if (code == STICPS_OK)
        code = list_from_held(STICPS_LIST_CPS, list_token, list_len, sha256, LIST_URL, PKI_NOW,
                              &offered, NULL);
    if (code == STICPS_OK)
        code = lists_recover(lists, offered, &floor, NULL);
    if (code == STICPS_OK)
        assert_int_equal(floor, 9);
    sticps_list_unref(offered);
    lists_free(lists);
    list_store_free(store);
    gate_destroy(&gate);
    return code;
}

static const struct call {
    const char *name;
    enum sticps_err (*call)(void);
    enum sticps_err expected;
} calls[] = {
    {"options", call_options, STICPS_OK},
    {"override", call_override, STICPS_OK},
    {"json write", call_json_write, STICPS_OK},
    {"json read", call_json_read, STICPS_OK},
    {"json read damaged", call_json_read_damaged, STICPS_ERR_STATE},
    {"take", call_take, STICPS_OK},
    {"open", call_open, STICPS_OK},
    {"payload", call_payload, STICPS_OK},
    {"payload expired", call_payload_expired, STICPS_ERR_EXP},
    {"store", call_store, STICPS_OK},
    {"client", call_client, STICPS_OK},
    {"x5u store", call_x5u_store, STICPS_OK},
    {"anchor set", call_anchor_set, STICPS_OK},
    {"recover", call_recover, STICPS_OK},
};

/* Makes the first, second, third … allocation of a call fail, until it gets by without. */
static void run(const struct call *call, bool all_after)
{
    for (long which = 1;; which++) {
        failed = false;
        for_good = all_after;
        countdown = which;
        enum sticps_err code = call->call();
        countdown = 0;
        if (!failed) {
            assert_int_equal(code, call->expected);
            assert_true(which > 1); /* or nothing was tried */
            return;
        }
        /* OpenSSL's own word for a failed allocation is CRYPTO; some allocations can be done
         * without */
        if (code != STICPS_ERR_NO_MEMORY && code != STICPS_ERR_CRYPTO && code != call->expected)
            fail_msg("%s: allocation %ld: %s", call->name, which, sticps_err_name(code));
        assert_true(which < 100000);
    }
}

static void test_one_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        run(&calls[i], false);
}

static void test_all_fail_from_one_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        run(&calls[i], true);
}

/* ---- around them ---- */

static void make_certificate(void)
{
    struct pki_spec spec = pki_ca_spec("root", key, NULL, NULL);
    X509 *cert = pki_make(&spec);
    anchor_pem = pki_pem(&cert, 1);
    X509_free(cert);
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", dir);
    FILE *file = fopen(ca_path, "w");
    assert_non_null(file);
    assert_true(fputs(anchor_pem, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int64_t test_clock(void *context)
{
    (void)context;
    return PKI_NOW;
}

static int set_up(void **state)
{
    (void)state;
    size_t len;
    strcpy(dir, "/tmp/sticps-test-oom-XXXXXX");
    assert_non_null(mkdtemp(dir));
    key = pki_p256();
    make_certificate();
    assert_int_equal(
        signed_list_build(entries, 2, 7, PKI_NOW + PKI_DAY, X5U, key, &list_token, &list_len, NULL),
        STICPS_OK);
    assert_int_equal(
        signed_list_build(entries, 2, 7, PKI_NOW - 1, X5U, key, &stale_token, &len, NULL),
        STICPS_OK);
    assert_int_equal(sha256_hex(list_token, list_len, sha256, NULL), STICPS_OK);
    snprintf(list_path, sizeof(list_path), "%s/list.jwt", dir);
    FILE *file = fopen(list_path, "w");
    assert_non_null(file);
    assert_true(fputs(list_token, file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct list_accepted one = accepted(7);
    assert_int_equal(list_state_take(&held, &one, NULL), STICPS_OK);
    assert_int_equal(list_json_write(&held, &state_json, &state_len, NULL), STICPS_OK);
    damaged_json = strdup(state_json);
    char *digit = strstr(damaged_json, "\"floor\": 7");
    assert_non_null(digit);
    digit[9] = '6';
    options = sticps_options_new();
    assert_int_equal(fill(options), STICPS_OK);
    sticps_options_set_clock(options, test_clock, NULL);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (calls[i].call() != calls[i].expected)
            fail_msg("%s", calls[i].name); /* with all memory: first uses are not ours to test */
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    sticps_options_free(options);
    list_state_clear(&held);
    free(anchor_pem);
    free(list_token);
    free(stale_token);
    free(state_json);
    free(damaged_json);
    EVP_PKEY_free(key);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_fails),
        cmocka_unit_test(test_all_fail_from_one_on),
    };
    json_set_alloc_funcs(__wrap_malloc, free);
    /* libcurl's too; a second initialisation keeps these */
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, __wrap_malloc, curl_free_memory, __wrap_realloc,
                             __wrap_strdup, curl_calloc) != CURLE_OK)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* A client that keeps its list fresh: when it asks, and what it does with the answers. */
#include "client/client.h"
#include "sticps/sticps.h"

#include "tests/unit/tls_server.h"

/* ---- when ---- */

static void test_first(void **state)
{
    (void)state;
    assert_int_equal(list_keeper_first(300, 0, 12345), 0);
    assert_int_equal(list_keeper_first(300, -5, UINT32_MAX), 0);
    assert_int_equal(list_keeper_first(300, 60, 0), 0);
    assert_int_equal(list_keeper_first(300, 60, UINT32_MAX), 30000);
}

static void test_next(void **state)
{
    static const struct {
        unsigned seconds, failures;
        int64_t expires_in;
        uint64_t least, most;
    } rows[] = {
        {300, 0, 86400, 270000, 330000},
        {300, 0, 0, 270000, 330000}, /* nothing is held: it went well all the same */
        {300, 0, 400, 200000, 200000},
        {300, 0, 2, 5000, 5000}, /* an STI-PA that signs for seconds is not asked all the time */
        {1, 0, 86400, 900, 1100},
        {86400, 0, 864000, 77760000, 95040000},
        {300, 1, 86400, 5000, 10000},
        {300, 2, 86400, 10000, 20000},
        {300, 3, 86400, 20000, 40000},
        {300, 6, 86400, 150000, 300000},
        {300, 4000000000u, 86400, 150000, 300000},
        {1, 1, 86400, 500, 1000},
        {1, 9, 0, 500, 1000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(list_keeper_next(rows[i].seconds, rows[i].failures, rows[i].expires_in, 0),
                         rows[i].least);
        assert_int_equal(
            list_keeper_next(rows[i].seconds, rows[i].failures, rows[i].expires_in, UINT32_MAX),
            rows[i].most);
    }
}

/* ---- at work ---- */

static struct tls_server *server;
static EVP_PKEY *ca_key, *key;
static X509 *ca, *signer;
static char *ca_pem, *signer_pem;

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* of the server; the library raises none */
    server = tls_server_start();
    ca_key = pki_p256();
    key = pki_p256();
    struct pki_spec spec = pki_ca_spec("STI-PA root", ca_key, NULL, NULL);
    ca = pki_make(&spec);
    ca_pem = pki_pem(&ca, 1);
    spec = pki_signer_spec(key, ca, ca_key);
    signer = pki_make(&spec);
    signer_pem = pki_pem(&signer, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_server_stop(server);
    free(ca_pem);
    free(signer_pem);
    X509_free(ca);
    X509_free(signer);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

static int64_t test_clock(void *context)
{
    (void)context;
    return PKI_NOW;
}

static struct sticps_client *new_client(const char *anchor, bool with_source)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    char url[128];
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/list", server->port);
    assert_non_null(options);
    sticps_options_set_lab(options, true);
    sticps_options_set_clock(options, test_clock, NULL);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    if (anchor != NULL)
        assert_int_equal(sticps_options_add_anchor(options, anchor, strlen(anchor), NULL),
                         STICPS_OK);
    if (with_source)
        assert_int_equal(sticps_options_add_list_url(options, STICPS_LIST_CPS, url, NULL),
                         STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    return client;
}

static uint64_t ended(const struct sticps_client *client, enum sticps_err code)
{
    return sticps_event_count(client, STICPS_EVENT_LIST, code);
}

/* Until `code` has been the end of a refresh `count` times. */
static void wait_for(const struct sticps_client *client, enum sticps_err code, uint64_t count)
{
    for (int i = 0; i < 6000 && ended(client, code) < count; i++)
        tls_server_pause(10);
    assert_true(ended(client, code) >= count);
}

static void test_usage(void **state)
{
    (void)state;
    struct sticps_error err;
    struct sticps_client *client = new_client(ca_pem, false);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 60, &err), STICPS_ERR_USAGE);
    assert_non_null(strstr(err.text, "no source"));
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 0, NULL), STICPS_OK);
    sticps_client_free(client);
    client = new_client(NULL, true);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 60, &err), STICPS_ERR_USAGE);
    assert_non_null(strstr(err.text, "anchor"));
    sticps_client_free(client);
    client = new_client(ca_pem, true);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 86401, &err),
                     STICPS_ERR_USAGE);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CA, 60, NULL), STICPS_ERR_USAGE);
    sticps_client_free(client);
}

/* A list that the server may answer with; the caller frees it. Its chain is in the cache already:
 * this server gives the same answer to every request. */
static char *new_list(struct sticps_client *client, int64_t sequence, int64_t exp)
{
    const struct cps_entry entries[] = {{{"1234"}, "https://cps.example.com/x"}};
    char x5u[128], *jws = NULL;
    size_t len = 0;
    snprintf(x5u, sizeof(x5u), "https://127.0.0.1:%u/cert", server->port);
    assert_int_equal(signed_list_build(entries, 1, sequence, exp, x5u, key, &jws, &len, NULL),
                     STICPS_OK);
    x5u_cache_offer(client->x5u, x5u, signer_pem, strlen(signer_pem), PKI_NOW + 3600);
    return jws;
}

static void test_keeps_fresh(void **state)
{
    (void)state;
    struct sticps_client *client = new_client(ca_pem, true);
    char *seventh = new_list(client, 7, PKI_NOW + PKI_DAY);
    char *eighth = new_list(client, 8, PKI_NOW + PKI_DAY);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    tls_server_answer(server, "", seventh);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 1, NULL), STICPS_OK);
    wait_for(client, STICPS_OK, 2);
    struct sticps_list *list = sticps_list_held(client, STICPS_LIST_CPS);
    assert_int_equal(sticps_list_sequence(list), 7);
    sticps_list_unref(list);

    tls_server_status(server, "500 Broken", "", "");
    wait_for(client, STICPS_ERR_FETCH, 2);
    tls_server_answer(server, "", eighth);
    uint64_t good = ended(client, STICPS_OK);
    wait_for(client, STICPS_OK, good + 1);
    list = sticps_list_held(client, STICPS_LIST_CPS);
    assert_int_equal(sticps_list_sequence(list), 8);
    sticps_list_unref(list);

    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 0, NULL), STICPS_OK);
    tls_server_pause(200); /* one that was under way ends */
    int before = atomic_load(&server->requests);
    tls_server_pause(1500);
    assert_int_equal(atomic_load(&server->requests), before);
    sticps_client_free(client);
    free(seventh);
    free(eighth);
}

/* Retry-After of the only source: it is not asked again before, whatever the period. */
static void test_retry_after(void **state)
{
    (void)state;
    struct sticps_client *client = new_client(ca_pem, true);
    int before = atomic_load(&server->requests);
    tls_server_status(server, "503 Service Unavailable", "Retry-After: 3600\r\n", "");
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 1, NULL), STICPS_OK);
    wait_for(client, STICPS_ERR_FETCH, 1);
    tls_server_pause(2500);
    assert_int_equal(atomic_load(&server->requests) - before, 1);

    /* who asks explicitly asks the network */
    struct sticps_list *list = NULL;
    assert_int_equal(sticps_list_refresh_wait(client, STICPS_LIST_CPS, &list, NULL, NULL, NULL),
                     STICPS_ERR_FETCH);
    assert_int_equal(atomic_load(&server->requests) - before, 2);
    sticps_client_free(client);
}

/* Freed with a refresh under way, with one due, and with one that has not begun. */
static void test_freed_amid_it(void **state)
{
    (void)state;
    atomic_store(&server->hold_ms, 3000);
    struct sticps_client *client = new_client(ca_pem, true);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    int before = atomic_load(&server->requests);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 1, NULL), STICPS_OK);
    for (int i = 0; i < 6000 && atomic_load(&server->requests) == before; i++)
        tls_server_pause(10);
    sticps_client_free(client);
    atomic_store(&server->hold_ms, 0);

    client = new_client(ca_pem, true);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 60, NULL), STICPS_OK);
    assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
    sticps_client_free(client);

    client = new_client(ca_pem, true);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 60, NULL), STICPS_OK);
    assert_int_equal(sticps_list_keep_fresh(client, STICPS_LIST_CPS, 30, NULL), STICPS_OK);
    sticps_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),       cmocka_unit_test(test_next),
        cmocka_unit_test(test_usage),       cmocka_unit_test(test_keeps_fresh),
        cmocka_unit_test(test_retry_after), cmocka_unit_test(test_freed_amid_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

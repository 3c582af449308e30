/* sticps_x5u_fetch over a real TLS connection: the cache with a clock that is moved, the memory for
 * failures, one fetch for many, both ways to drive the loop, and a client that is freed in the
 * middle. */
#include "sticps/sticps.h"

#include "tests/unit/tls_server.h"

static struct tls_server *server;
static char *pem, *other_pem;
static _Atomic int64_t now;

static int64_t test_clock(void *context)
{
    (void)context;
    return atomic_load(&now);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* of the server above; the library raises none */
    server = tls_server_start();
    EVP_PKEY *key = pki_p256();
    struct pki_spec spec = pki_sti_spec(key, NULL, NULL);
    X509 *cert = pki_make(&spec);
    pem = pki_pem(&cert, 1);
    X509_free(cert);
    spec.ends = 1800; /* half an hour */
    cert = pki_make(&spec);
    other_pem = pki_pem(&cert, 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_server_stop(server);
    free(pem);
    free(other_pem);
    return 0;
}

static struct sticps_client *new_client(void)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    assert_non_null(options);
    sticps_options_set_lab(options, true);
    sticps_options_set_clock(options, test_clock, NULL);
    sticps_options_set_x5u_timeout(options, 20000);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    atomic_store(&now, PKI_NOW);
    return client;
}

static const char *url_of(const char *path)
{
    static char url[4][128];
    static unsigned turn;
    char *out = url[turn++ % 4];
    snprintf(out, 128, "https://127.0.0.1:%u%s", server->port, path);
    return out;
}

struct got {
    atomic_int calls;
    enum sticps_err code;
    int64_t expires_at;
    char *pem;
};

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const char *text, size_t len, int64_t expires_at)
{
    struct got *got = ctx;
    assert_non_null(err);
    got->code = code;
    got->expires_at = expires_at;
    if (code == STICPS_OK) {
        assert_int_equal(strlen(text), len);
        free(got->pem);
        got->pem = strdup(text);
    } else {
        assert_null(text);
        assert_int_equal(err->code, code);
        assert_true(err->text[0] != '\0');
    }
    atomic_fetch_add(&got->calls, 1);
}

static void drive(struct sticps_client *client, const struct got *got, int calls)
{
    while (atomic_load(&got->calls) < calls) {
        struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
        assert_true(poll(&fd, 1, 30000) > 0);
        assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
    }
}

/* Fetches and says how many requests reached the server for it. */
static int fetch(struct sticps_client *client, const char *path, struct got *got)
{
    int before = atomic_load(&server->requests);
    int calls = atomic_load(&got->calls);
    sticps_x5u_fetch(client, url_of(path), on_chain, got);
    drive(client, got, calls + 1);
    return atomic_load(&server->requests) - before;
}

static void test_lifetimes(void **state)
{
    static const struct {
        const char *headers;
        int64_t lifetime; /* expected */
    } rows[] = {
        {"", 86400},
        {"Cache-Control: max-age=60\r\n", 60},
        {"Cache-Control: public, max-age=172800\r\n", 86400},
        {"Cache-Control: max-age=60\r\nAge: 20\r\n", 40},
        {"Cache-Control: max-age=60\r\nCache-Control: max-age=30\r\n", 30},
        {"Cache-Control: no-store\r\n", 0},
        {"Cache-Control: max-age=x\r\n", 0},
        {"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nExpires: Tue, 14 Nov 2023 22:14:20 GMT\r\n", 60},
        {"Expires: Tue, 14 Nov 2023 22:15:20 GMT\r\n", 120},
        {"Expires: 0\r\n", 0},
        {"Cache-Control: max-age=60\r\nExpires: 0\r\n", 60},
    };
    (void)state;
    struct sticps_client *client = new_client();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct got got = {0};
        char path[32];
        snprintf(path, sizeof(path), "/lifetime/%zu", i);
        atomic_store(&now, PKI_NOW);
        tls_server_answer(server, rows[i].headers, pem);
        assert_int_equal(fetch(client, path, &got), 1);
        assert_int_equal(got.code, STICPS_OK);
        assert_string_equal(got.pem, pem);
        assert_int_equal(got.expires_at, PKI_NOW + rows[i].lifetime);
        atomic_store(&now, PKI_NOW + rows[i].lifetime - 1);
        if (rows[i].lifetime > 0)
            assert_int_equal(fetch(client, path, &got), 0);
        atomic_store(&now, PKI_NOW + rows[i].lifetime);
        assert_int_equal(fetch(client, path, &got), 1);
        free(got.pem);
    }
    sticps_client_free(client);
}

static void test_never_past_not_after(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0};
    tls_server_answer(server, "Cache-Control: max-age=86400\r\n", other_pem);
    assert_int_equal(fetch(client, "/short", &got), 1);
    assert_int_equal(got.expires_at, PKI_NOW + 1800);
    free(got.pem);
    sticps_client_free(client);
}

static void test_cache_hits_are_inline(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0};
    tls_server_answer(server, "", pem);
    assert_int_equal(fetch(client, "/inline", &got), 1);
    sticps_x5u_fetch(client, url_of("/inline"), on_chain, &got);
    assert_int_equal(atomic_load(&got.calls), 2); /* without the loop */
    assert_string_equal(got.pem, pem);
    sticps_x5u_forget(client, url_of("/inline"));
    assert_int_equal(fetch(client, "/inline", &got), 1);
    free(got.pem);
    sticps_client_free(client);
}

static void test_failures_are_remembered(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0};
    tls_server_answer(server, "", "no certificate");
    assert_int_equal(fetch(client, "/bad", &got), 1);
    assert_int_equal(got.code, STICPS_ERR_BAD_IDENTITY_INFO);
    tls_server_answer(server, "", pem);
    atomic_store(&now, PKI_NOW + 29);
    assert_int_equal(fetch(client, "/bad", &got), 0);
    assert_int_equal(got.code, STICPS_ERR_BAD_IDENTITY_INFO);
    sticps_x5u_forget(client, url_of("/bad")); /* a failure stays */
    assert_int_equal(fetch(client, "/bad", &got), 0);
    atomic_store(&now, PKI_NOW + 30);
    assert_int_equal(fetch(client, "/bad", &got), 1);
    assert_int_equal(got.code, STICPS_OK);

    /* A clock that is set back must not keep a failure for longer than 30 s. */
    tls_server_answer(server, "", "no certificate");
    assert_int_equal(fetch(client, "/clock", &got), 1);
    atomic_store(&now, PKI_NOW - 100000);
    assert_int_equal(fetch(client, "/clock", &got), 1);
    free(got.pem);
    sticps_client_free(client);
}

/* ---- on disk ---- */

static struct sticps_client *new_client_on_disk(const char *dir)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    sticps_options_set_lab(options, true);
    sticps_options_set_clock(options, test_clock, NULL);
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    return client;
}

/* A new client, as after a restart, asks for /disk; returns how many requests that made. */
static int fetch_anew(const char *dir, struct got *got)
{
    struct sticps_client *client = new_client_on_disk(dir);
    int requests = fetch(client, "/disk", got);
    sticps_client_free(client);
    return requests;
}

static void test_a_restart_keeps_chains_and_no_failures(void **state)
{
    (void)state;
    char dir[] = "/tmp/sticps-x5u-XXXXXX", command[64];
    struct got got = {0};
    assert_non_null(mkdtemp(dir));
    atomic_store(&now, PKI_NOW);
    tls_server_answer(server, "", "no certificate");
    assert_int_equal(fetch_anew(dir, &got), 1);
    assert_int_equal(got.code, STICPS_ERR_BAD_IDENTITY_INFO);
    tls_server_answer(server, "Cache-Control: max-age=60\r\n", pem);
    assert_int_equal(fetch_anew(dir, &got), 1);
    tls_server_status(server, "500 Broken", "", "");
    assert_int_equal(fetch_anew(dir, &got), 0);
    assert_int_equal(got.code, STICPS_OK);
    assert_int_equal(got.expires_at, PKI_NOW + 60);
    assert_string_equal(got.pem, pem);
    atomic_store(&now, PKI_NOW - 2 * PKI_DAY); /* set back: 24 h at most, by any clock */
    assert_int_equal(fetch_anew(dir, &got), 1);
    atomic_store(&now, PKI_NOW + 60);
    assert_int_equal(fetch_anew(dir, &got), 1);
    assert_int_equal(got.code, STICPS_ERR_FETCH);
    free(got.pem);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* Whoever has a chain doubted, by a bad signature, takes nothing away while its host is out of
 * reach, and does not make us ask that host all the time. */
static void test_a_doubted_chain_stays_until_there_is_another(void **state)
{
    (void)state;
    char dir[] = "/tmp/sticps-x5u-XXXXXX", command[64];
    struct got got = {0};
    assert_non_null(mkdtemp(dir));
    struct sticps_client *client = new_client_on_disk(dir);
    atomic_store(&now, PKI_NOW);
    tls_server_answer(server, "", pem);
    assert_int_equal(fetch(client, "/disk", &got), 1);

    tls_server_status(server, "500 Broken", "", "");
    sticps_x5u_forget(client, url_of("/disk"));
    assert_int_equal(fetch(client, "/disk", &got), 1);
    assert_int_equal(got.code, STICPS_ERR_FETCH);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fetch(client, "/disk", &got), 0);
        assert_int_equal(got.code, STICPS_OK);
        assert_string_equal(got.pem, pem);
        atomic_store(&now, PKI_NOW + 29);
        sticps_x5u_forget(client, url_of("/disk"));
    }
    assert_int_equal(fetch_anew(dir, &got), 0); /* nor is it gone from the disk */

    tls_server_answer(server, "", other_pem);
    atomic_store(&now, PKI_NOW + 30);
    sticps_x5u_forget(client, url_of("/disk"));
    assert_int_equal(fetch(client, "/disk", &got), 1);
    assert_string_equal(got.pem, other_pem);
    assert_int_equal(fetch(client, "/disk", &got), 0);
    sticps_client_free(client);
    assert_int_equal(fetch_anew(dir, &got), 0);
    assert_string_equal(got.pem, other_pem);
    free(got.pem);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_refused_urls_are_inline(void **state)
{
    static const char *const urls[] = {"http://a.example/x", "https://a.example/x?y", "", "x",
                                       "https://u@a.example/"};
    (void)state;
    struct sticps_client *client = new_client();
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct got got = {0};
        sticps_x5u_fetch(client, urls[i], on_chain, &got);
        assert_int_equal(atomic_load(&got.calls), 1);
        assert_int_equal(got.code, STICPS_ERR_URL);
    }
    sticps_client_free(client);
}

static void test_one_fetch_for_many(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0};
    tls_server_answer(server, "", pem);
    atomic_store(&server->hold_ms, 200);
    int before = atomic_load(&server->requests);
    for (int i = 0; i < 50; i++)
        sticps_x5u_fetch(client, url_of("/many"), on_chain, &got);
    assert_int_equal(atomic_load(&got.calls), 0);
    drive(client, &got, 50);
    atomic_store(&server->hold_ms, 0);
    assert_int_equal(atomic_load(&got.calls), 50);
    assert_int_equal(atomic_load(&server->requests) - before, 1);
    free(got.pem);
    sticps_client_free(client);
}

/* Who sends PASSporTs chooses the addresses; what waits for them at once is bounded. */
static void test_fetches_are_bounded(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0}, one_more = {0};
    tls_server_answer(server, "", pem);
    for (int i = 0; i < 128; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/p%d", i);
        sticps_x5u_fetch(client, url_of(path), on_chain, &got);
    }
    assert_int_equal(atomic_load(&got.calls), 0);
    sticps_x5u_fetch(client, url_of("/one-more"), on_chain, &one_more);
    assert_int_equal(atomic_load(&one_more.calls), 1);
    assert_int_equal(one_more.code, STICPS_ERR_FETCH);
    sticps_x5u_fetch(client, url_of("/p0"), on_chain, &got); /* waits with the first */
    assert_int_equal(atomic_load(&got.calls), 0);
    sticps_client_free(client); /* all are answered now */
    assert_int_equal(atomic_load(&got.calls), 129);
    free(got.pem);
}

static void test_connections_are_kept(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0};
    tls_server_answer(server, "", pem);
    int before = atomic_load(&server->connections);
    for (int i = 0; i < 20; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/kept/%d", i);
        assert_int_equal(fetch(client, path, &got), 1);
    }
    assert_int_equal(atomic_load(&server->connections) - before, 1);
    free(got.pem);
    sticps_client_free(client);
}

/* A sender of PASSporTs chooses the URLs; what is kept of them is bounded, the recently used stay.
 */
static void test_the_cache_is_bounded(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0};
    tls_server_answer(server, "", pem);
    assert_int_equal(fetch(client, "/first", &got), 1);
    for (int i = 0; i < 1100; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/bounded/%d", i);
        assert_int_equal(fetch(client, path, &got), 1);
        if (i % 100 == 0)
            assert_int_equal(fetch(client, "/first", &got), 0);
    }
    assert_int_equal(fetch(client, "/bounded/0", &got), 1);
    assert_int_equal(fetch(client, "/bounded/1099", &got), 0);
    assert_int_equal(fetch(client, "/first", &got), 0);
    free(got.pem);
    sticps_client_free(client);
}

static void test_freed_in_the_middle(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0}, late = {0};
    tls_server_answer(server, "", pem);
    atomic_store(&server->hold_ms, 1000);
    for (int i = 0; i < 10; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/freed/%d", i);
        sticps_x5u_fetch(client, url_of(path), on_chain, &got);
        if (i == 5) /* some under way, some not begun */
            assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
    }
    sticps_x5u_fetch(client, url_of("/freed/0"), on_chain, &late);
    sticps_client_free(client);
    atomic_store(&server->hold_ms, 0);
    assert_int_equal(atomic_load(&got.calls), 10);
    assert_int_equal(got.code, STICPS_ERR_FETCH);
    assert_int_equal(atomic_load(&late.calls), 1);
}

/* ---- the client's own thread ---- */

struct asker {
    pthread_t thread;
    struct sticps_client *client;
    struct got got;
    int number;
};

static void *ask(void *argument)
{
    struct asker *asker = argument;
    for (int i = 0; i < 40; i++) {
        char url[128];
        snprintf(url, sizeof(url), "https://127.0.0.1:%u/thread/%d", server->port,
                 (asker->number + i) % 8);
        struct got got = {0};
        sticps_x5u_fetch(asker->client, url, on_chain, &got);
        while (atomic_load(&got.calls) == 0)
            tls_server_pause(1);
        assert_int_equal(got.code, STICPS_OK);
        assert_string_equal(got.pem, pem);
        free(got.pem);
        if (i % 10 == 9)
            sticps_x5u_forget(asker->client, url);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct sticps_error err;
    struct asker askers[6];
    tls_server_answer(server, "", pem);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    assert_int_equal(sticps_client_start_thread(client, &err), STICPS_ERR_USAGE);
    assert_int_equal(sticps_client_process(client, &err), STICPS_ERR_USAGE);
    for (int i = 0; i < 6; i++) {
        askers[i] = (struct asker){.client = client, .number = i};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(askers[i].thread, NULL);
    sticps_client_stop_thread(client);
    sticps_client_stop_thread(client); /* no effect */
    struct got got = {0};
    assert_int_equal(fetch(client, "/after", &got), 1); /* the host's loop again */
    free(got.pem);
    sticps_client_free(client);
}

static void test_own_thread_freed(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    struct got got = {0};
    atomic_store(&server->hold_ms, 500);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    sticps_x5u_fetch(client, url_of("/own"), on_chain, &got);
    tls_server_pause(50);
    sticps_client_free(client);
    atomic_store(&server->hold_ms, 0);
    assert_int_equal(atomic_load(&got.calls), 1);
    assert_int_equal(got.code, STICPS_ERR_FETCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lifetimes),
        cmocka_unit_test(test_never_past_not_after),
        cmocka_unit_test(test_cache_hits_are_inline),
        cmocka_unit_test(test_failures_are_remembered),
        cmocka_unit_test(test_a_restart_keeps_chains_and_no_failures),
        cmocka_unit_test(test_a_doubted_chain_stays_until_there_is_another),
        cmocka_unit_test(test_refused_urls_are_inline),
        cmocka_unit_test(test_one_fetch_for_many),
        cmocka_unit_test(test_fetches_are_bounded),
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_the_cache_is_bounded),
        cmocka_unit_test(test_freed_in_the_middle),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_own_thread_freed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

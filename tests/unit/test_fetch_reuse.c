/* What one transfer leaves to the next, and what it does not: the connection, the TLS session of
 * its peer, nothing that it sent. Counted by the servers. */
#include "client/fetch.h"

#include "client/tls_sessions.h"
#include "tests/unit/tls_server.h"

#define PEERS 12 /* more than the eight sessions of a share in libcurl 7.88 */

static struct tls_server *servers[PEERS];
static struct sticps_options *options;

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* of the servers; the library raises none */
    options = sticps_options_new();
    sticps_options_set_lab(options, true);
    for (size_t i = 0; i < PEERS; i++) {
        servers[i] = tls_server_start();
        assert_int_equal(sticps_options_add_tls_ca_file(options, servers[i]->ca_path, NULL),
                         STICPS_OK);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        tls_server_stop(servers[i]);
    sticps_options_free(options);
    return 0;
}

/* ---- asking ---- */

struct asker {
    struct loop *loop;
    struct fetcher *fetcher;
};

static struct asker asker_open(void)
{
    struct asker asker = {0};
    assert_int_equal(loop_new(&asker.loop, NULL), STICPS_OK);
    assert_int_equal(fetcher_new(asker.loop, options, &asker.fetcher, NULL), STICPS_OK);
    return asker;
}

static void asker_close(struct asker *asker)
{
    fetcher_close(asker->fetcher);
    loop_free(asker->loop);
    fetcher_free(asker->fetcher);
}

struct asking {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    char body[64];
};

static void on_answer(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct fetch_answer *answer)
{
    struct asking *asking = ctx;
    (void)err;
    asking->code = code;
    if (code == STICPS_OK)
        snprintf(asking->body, sizeof(asking->body), "%s", answer->body);
    loop_signal_set(asking->loop, &asking->done);
}

/* A request of this kind to a server; the body of its answer. */
static const char *ask(struct asker *asker, const struct tls_server *server,
                       struct fetch_request request)
{
    static struct asking asking;
    char url[64];
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server->port);
    asking = (struct asking){.loop = asker->loop};
    request.url = url;
    request.timeout_ms = 60000;
    request.max_body = 100000;
    assert_int_equal(fetch_start(asker->fetcher, &request, on_answer, &asking, NULL), STICPS_OK);
    loop_wait(asker->loop, &asking.done);
    assert_int_equal(asking.code, STICPS_OK);
    return asking.body;
}

static const struct fetch_request get = {0};
static const struct fetch_request post = {
    .content_type = "application/passport", .body = "a.b.c", .body_len = 5};

/* ---- tests ---- */

static void test_a_connection_is_kept(void **state)
{
    (void)state;
    struct asker asker = asker_open();
    tls_server_answer(servers[0], "", "yes");
    int connections = atomic_load(&servers[0]->connections);
    int requests = atomic_load(&servers[0]->requests);
    for (int i = 0; i < 50; i++)
        assert_string_equal(ask(&asker, servers[0], i % 2 == 0 ? post : get), "yes");
    assert_int_equal(atomic_load(&servers[0]->requests) - requests, 50);
    assert_int_equal(atomic_load(&servers[0]->connections) - connections, 1);
    asker_close(&asker);
}

static void test_each_peer_keeps_its_session(void **state)
{
    (void)state;
    struct asker asker = asker_open();
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < PEERS; i++) {
            tls_server_answer(servers[i], "Connection: close\r\n", "yes");
            int connections = atomic_load(&servers[i]->connections);
            int resumed = atomic_load(&servers[i]->resumed);
            ask(&asker, servers[i], post);
            assert_int_equal(atomic_load(&servers[i]->connections) - connections, 1);
            assert_int_equal(atomic_load(&servers[i]->resumed) - resumed, round > 0);
        }
    /* and one that wants everything anew has it so, without a trace for those after it */
    struct fetch_request anew = post;
    anew.anew = true;
    for (int i = 0; i < 2; i++) {
        int resumed = atomic_load(&servers[0]->resumed);
        ask(&asker, servers[0], anew);
        assert_int_equal(atomic_load(&servers[0]->resumed) - resumed, 0);
        ask(&asker, servers[0], post);
        assert_int_equal(atomic_load(&servers[0]->resumed) - resumed, 1);
    }
    asker_close(&asker);
}

/* Without the body, of which more or less may have come with it. */
static void head_of(struct tls_server *server, char out[sizeof(server->head)])
{
    pthread_mutex_lock(&server->mutex);
    memcpy(out, server->head, sizeof(server->head));
    pthread_mutex_unlock(&server->mutex);
    char *end = strstr(out, "\r\n\r\n");
    assert_non_null(end);
    *end = '\0';
}

/* The same handle, in every order of two kinds of request: each sends what it would alone. */
static void test_nothing_sent_is_left(void **state)
{
    static const struct fetch_request kinds[] = {
        {0},
        {.gzip = true, .if_none_match = "\"etag\""},
        {.bearer = "secret"},
        {.content_type = "application/passport", .body = "a.b.c", .body_len = 5},
        {.content_type = "application/json", .body = "{}", .body_len = 2},
        {.content_type = "application/json", .body = "", .body_len = 0, .bearer = "secret"},
        {.content_type = "application/json", .body = "1", .body_len = 1, .method = "PUT"},
        {.method = "DELETE", .bearer = "other"},
        {.anew = true},
    };
    const size_t count = sizeof(kinds) / sizeof(kinds[0]);
    (void)state;
    static char alone[sizeof(kinds) / sizeof(kinds[0])][sizeof(servers[0]->head)];
    static char after[sizeof(servers[0]->head)];
    tls_server_answer(servers[0], "", "yes");
    for (size_t i = 0; i < count; i++) {
        struct asker asker = asker_open();
        ask(&asker, servers[0], kinds[i]);
        head_of(servers[0], alone[i]);
        asker_close(&asker);
    }
    assert_non_null(strstr(alone[2], "secret"));
    assert_non_null(strstr(alone[6], "PUT / "));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            struct asker asker = asker_open();
            ask(&asker, servers[0], kinds[i]);
            ask(&asker, servers[0], kinds[j]);
            head_of(servers[0], after);
            assert_string_equal(after, alone[j]);
            asker_close(&asker);
        }
}

/* Nor of what was received. */
static void test_nothing_received_is_left(void **state)
{
    (void)state;
    struct asker asker = asker_open();
    char *large = calloc(1, 50001); /* more than a handle keeps room for */
    memset(large, 'x', 50000);
    tls_server_answer(servers[0], "", large);
    assert_int_equal(strlen(ask(&asker, servers[0], get)), 63);
    tls_server_answer(servers[0], "", "small");
    assert_string_equal(ask(&asker, servers[0], get), "small");
    tls_server_answer(servers[0], "", "");
    assert_string_equal(ask(&asker, servers[0], get), "");
    free(large);
    asker_close(&asker);
}

static void test_sessions_are_bounded(void **state)
{
    (void)state;
    struct tls_sessions *sessions = tls_sessions_new(2);
    CURL *easy[4];
    for (int i = 0; i < 4; i++)
        easy[i] = curl_easy_init();
    struct tls_peer *a = tls_sessions_enter(sessions, "a:443", easy[0]);
    struct tls_peer *b = tls_sessions_enter(sessions, "b:443", easy[1]);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(tls_sessions_enter(sessions, "a:443", easy[2]), a);
    assert_null(tls_sessions_enter(sessions, "c:443", easy[3])); /* all are in use */
    assert_null(tls_sessions_enter(sessions, "", easy[3]));
    tls_sessions_leave(NULL, easy[3]);
    tls_sessions_leave(a, easy[0]);
    assert_null(tls_sessions_enter(sessions, "c:443", easy[3])); /* a is, still */
    tls_sessions_leave(a, easy[2]);
    tls_sessions_leave(b, easy[1]);
    struct tls_peer *again = tls_sessions_enter(sessions, "b:443", easy[1]);
    assert_ptr_equal(again, b);
    struct tls_peer *c = tls_sessions_enter(sessions, "c:443", easy[3]); /* in place of a */
    assert_non_null(c);
    tls_sessions_leave(again, easy[1]);
    tls_sessions_leave(c, easy[3]);
    tls_sessions_free(sessions);
    tls_sessions_free(NULL);
    for (int i = 0; i < 4; i++)
        curl_easy_cleanup(easy[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_is_kept),
        cmocka_unit_test(test_each_peer_keeps_its_session),
        cmocka_unit_test(test_nothing_sent_is_left),
        cmocka_unit_test(test_nothing_received_is_left),
        cmocka_unit_test(test_sessions_are_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

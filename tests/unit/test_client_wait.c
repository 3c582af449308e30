/* The calls that wait, from several threads at once: with the client's own thread, and without one,
 * when the callers take turns at driving the loop. And what passes through retrieve on the way. */
#include "sticps/sticps.h"

#include "tests/unit/tls_server.h"

#define CALLERS 6

static struct tls_server *server;
static char url[128];

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* of the server; the library raises none */
    server = tls_server_start();
    snprintf(url, sizeof(url), "https://127.0.0.1:%u", server->port);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_server_stop(server);
    return 0;
}

static struct sticps_client *new_client(void)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    assert_non_null(options);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    return client;
}

static enum sticps_err retrieve(struct sticps_client *client, struct sticps_passports **out)
{
    const struct sticps_retrieve_request request = {
        .url = url, .dest = "2025550123", .orig = "2025550100", .token = "t"};
    return sticps_retrieve_wait(client, &request, out, NULL);
}

static void *call_often(void *client)
{
    for (int i = 0; i < 20; i++) {
        struct sticps_passports *passports = NULL;
        assert_int_equal(retrieve(client, &passports), STICPS_OK);
        assert_int_equal(sticps_passports_count(passports), 2);
        assert_string_equal(sticps_passports_get(passports, 1), "d.e.f");
        assert_null(sticps_passports_get(passports, 2));
        sticps_passports_free(passports);
    }
    return NULL;
}

static void call_from_many(struct sticps_client *client)
{
    pthread_t threads[CALLERS];
    int before = atomic_load(&server->requests);
    tls_server_answer(server, "", "{\"passports\":[\"a.b.c\",\"d.e.f\"]}");
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, client), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&server->requests) - before, CALLERS * 20);
}

static void test_callers_drive(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    call_from_many(client);
    sticps_client_free(client);
}

static void test_own_thread_drives(void **state)
{
    (void)state;
    struct sticps_client *client = new_client();
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    call_from_many(client);
    sticps_client_free(client);
}

static void test_the_public_side_stays_closed(void **state)
{
    /* retrieve opened a connection to loopback and kept it; a certificate there is still out of
     * reach, however the connection came to be. */
    (void)state;
    struct sticps_client *client = new_client();
    struct sticps_passports *passports = NULL;
    char list[160];
    struct sticps_error err;
    tls_server_answer(server, "", "{\"passports\":[\"a.b.c\"]}");
    assert_int_equal(retrieve(client, &passports), STICPS_OK);
    sticps_passports_free(passports);
    sticps_client_free(client);

    struct sticps_options *options = sticps_options_new();
    FILE *file = fopen(server->ca_path, "r");
    char pem[4096];
    size_t len = fread(pem, 1, sizeof(pem), file);
    fclose(file);
    assert_int_equal(sticps_options_add_anchor(options, pem, len, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    assert_int_equal(retrieve(client, &passports), STICPS_OK);
    sticps_passports_free(passports);
    int before = atomic_load(&server->requests), connections = atomic_load(&server->connections);
    struct sticps_list *held = NULL;
    snprintf(list, sizeof(list), "%s/list", url);
    assert_int_equal(sticps_list_fetch_wait(client, STICPS_LIST_CPS, list, &held, NULL, NULL, &err),
                     STICPS_ERR_ADDRESS);
    assert_int_equal(atomic_load(&server->requests), before);
    assert_int_equal(atomic_load(&server->connections), connections);
    assert_int_equal(retrieve(client, &passports), STICPS_OK);
    sticps_passports_free(passports);
    sticps_client_free(client);
}

static void test_refused_before_anything_is_sent(void **state)
{
    static const struct sticps_retrieve_request rows[] = {
        {"http://a.example", "2025550123", "2025550100", NULL, 0},
        {"https://a.example/?x", "2025550123", "2025550100", NULL, 0},
        {"https://a.example", "x", "2025550100", NULL, 0},
        {"https://a.example", "2025550123", "", NULL, 0},
        {"https://a.example", "2025550123", "2025550100", "a\r\nb", 0},
        {"https://a.example", "2025550123", "2025550100", "a b", 0},
        {"https://a.example", "2025550123", "2025550100", NULL, 4000000000u},
    };
    (void)state;
    struct sticps_client *client = new_client();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sticps_passports *passports = NULL;
        struct sticps_error err = {0};
        assert_int_equal(sticps_retrieve_wait(client, &rows[i], &passports, &err),
                         STICPS_ERR_USAGE);
        assert_true(err.text[0] != '\0');
    }
    struct sticps_list *list = NULL;
    assert_int_equal(sticps_list_fetch_wait(client, STICPS_LIST_CPS, "https://a.example/", &list,
                                            NULL, NULL, NULL),
                     STICPS_ERR_USAGE); /* no anchor */
    struct sticps_delivery *delivery = NULL;
    assert_int_equal(sticps_deliver_wait(client, "x", 1, &delivery, NULL), STICPS_ERR_MALFORMED);
    assert_null(delivery);
    sticps_client_free(client);
    sticps_client_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callers_drive),
        cmocka_unit_test(test_own_thread_drives),
        cmocka_unit_test(test_the_public_side_stays_closed),
        cmocka_unit_test(test_refused_before_anything_is_sent),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

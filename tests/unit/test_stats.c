/* sticps_stats_take: what it counts is what happened. */
#include "tests/unit/deliver_fixture.h"

#include <sys/wait.h>

static struct sticps_stats *stats_of(struct sticps_client *client)
{
    struct sticps_stats *stats = NULL;
    assert_int_equal(sticps_stats_take(client, &stats, NULL), STICPS_OK);
    return stats;
}

static uint64_t figure(struct sticps_client *client, enum sticps_stat which)
{
    struct sticps_stats *stats = stats_of(client);
    uint64_t value = sticps_stats_figure(stats, which);
    sticps_stats_free(stats);
    return value;
}

static void test_nothing_yet(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct sticps_stats *stats = stats_of(client);
    for (int which = 0; which <= STICPS_STAT_COUNT; which++)
        assert_int_equal(sticps_stats_figure(stats, (enum sticps_stat)which), 0);
    assert_int_equal(sticps_stats_figure(stats, (enum sticps_stat) - 1), 0);
    assert_int_equal(sticps_stats_deliveries_within(stats, UINT32_MAX), 0);
    assert_int_equal(sticps_stats_cps_count(stats), 0);
    sticps_stats_free(stats);
    sticps_stats_free(NULL);
    sticps_client_free(client);
}

static void test_connections(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    assert_int_equal(figure(client, STICPS_STAT_REQUESTS_CONNECTED), 1);
    assert_int_equal(figure(client, STICPS_STAT_REQUESTS_REUSED), 0);
    tls_server_status(server, "201 Created", "Connection: close\r\n", "");
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    assert_int_equal(figure(client, STICPS_STAT_REQUESTS_REUSED), 1);
    assert_int_equal(figure(client, STICPS_STAT_REQUESTS_RESUMED), 0);
    tls_server_status(server, "201 Created", "", "");
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    assert_int_equal(figure(client, STICPS_STAT_REQUESTS_CONNECTED), 2);
    assert_int_equal(figure(client, STICPS_STAT_REQUESTS_RESUMED), 1);
    assert_int_equal(figure(client, STICPS_STAT_REQUESTS_REUSED), 1);
    sticps_client_free(client);
}

static void test_durations(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    atomic_store(&server->hold_ms, 40); /* at least */
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    atomic_store(&server->hold_ms, 0);
    assert_int_equal(deliver(client, token_none, NULL, NULL), STICPS_ERR_CARRIER_HAS_NO_CPS);
    struct sticps_stats *stats = stats_of(client);
    assert_int_equal(sticps_stats_figure(stats, STICPS_STAT_DELIVERIES_ENDED), 3);
    assert_true(sticps_stats_figure(stats, STICPS_STAT_DELIVERIES_MS) >= 40);
    assert_int_equal(sticps_stats_deliveries_within(stats, 0), 0);
    assert_true(sticps_stats_deliveries_within(stats, 32) <= 2); /* not the one that was held */
    assert_int_equal(sticps_stats_deliveries_within(stats, 32768), 3);
    assert_int_equal(sticps_stats_deliveries_within(stats, UINT32_MAX), 3);
    uint64_t before = 0;
    for (unsigned ms = 1; ms <= 32768; ms *= 2) {
        uint64_t count = sticps_stats_deliveries_within(stats, ms);
        assert_true(count >= before);
        if (ms > 1)
            assert_int_equal(sticps_stats_deliveries_within(stats, 2 * ms - 1), count);
        before = count;
    }
    sticps_stats_free(stats);
    sticps_client_free(client);
}

static void test_the_cpss(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct tally tally = {0};
    char name[32];
    int requests = atomic_load(&server->requests);
    snprintf(name, sizeof(name), "127.0.0.1:%u", server->port);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    atomic_store(&server->hold_ms, 120000);
    assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    for (int i = 0; i < 60000 && atomic_load(&server->requests) <= requests; i++)
        tls_server_pause(1);
    struct sticps_stats *stats = stats_of(client);
    assert_int_equal(sticps_stats_figure(stats, STICPS_STAT_DELIVERIES_UNDER_WAY), 1);
    assert_int_equal(sticps_stats_cps_count(stats), 1);
    assert_string_equal(sticps_stats_cps_name(stats, 0), name);
    assert_int_equal(sticps_stats_cps_under_way(stats, 0), 1);
    assert_int_equal(sticps_stats_cps_waiting(stats, 0), 0);
    assert_int_equal(sticps_stats_cps_failures(stats, 0), 0);
    assert_int_equal(sticps_stats_cps_paused_ms(stats, 0), 0);
    sticps_stats_free(stats);
    atomic_store(&server->hold_ms, 0);
    wait_for(&tally, 1);
    stats = stats_of(client);
    assert_int_equal(sticps_stats_cps_count(stats), 0); /* it is well: nothing to say */
    sticps_stats_free(stats);

    tls_server_status(server, "503 Busy", "Retry-After: 100\r\n", "");
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_ERR_FETCH);
    tls_server_status(server, "201 Created", "", "");
    stats = stats_of(client);
    assert_int_equal(sticps_stats_cps_count(stats), 1);
    assert_int_equal(sticps_stats_cps_under_way(stats, 0), 0);
    assert_int_equal(sticps_stats_cps_failures(stats, 0), 1);
    assert_in_range(sticps_stats_cps_paused_ms(stats, 0), 1, 100000);
    sticps_stats_free(stats);
    sticps_client_free(client);
}

static void test_those_who_wait(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 2});
    struct tally tally = {0};
    int requests = atomic_load(&server->requests);
    atomic_store(&server->hold_ms, 120000);
    for (int i = 0; i < 5; i++)
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    for (int i = 0; i < 60000 && atomic_load(&server->requests) < requests + 2; i++)
        tls_server_pause(1);
    struct sticps_stats *stats = stats_of(client);
    assert_int_equal(sticps_stats_cps_count(stats), 1);
    assert_int_equal(sticps_stats_cps_under_way(stats, 0), 2);
    assert_int_equal(sticps_stats_cps_waiting(stats, 0), 3);
    sticps_stats_free(stats);
    atomic_store(&server->hold_ms, 0);
    wait_for(&tally, 5);
    assert_int_equal(atomic_load(&tally.ok), 5);
    sticps_client_free(client);
}

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const char *pem, size_t len, int64_t expires_at)
{
    (void)ctx;
    (void)err;
    (void)pem;
    (void)len;
    (void)expires_at;
    assert_int_equal(code, STICPS_OK);
    (*(int *)ctx)++;
}

static void test_certificates(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    char url[64], pem[8192];
    int told = 0;
    FILE *file = fopen(server->ca_path, "r");
    size_t len = fread(pem, 1, sizeof(pem) - 1, file);
    fclose(file);
    pem[len] = '\0';
    tls_server_answer(server, "", pem);
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/c", server->port);
    for (int i = 0; i < 3; i++) {
        struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
        sticps_x5u_fetch(client, url, on_chain, &told);
        for (int turn = 0; turn < 6000 && told <= i; turn++) {
            poll(&fd, 1, 10);
            assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
        }
        assert_int_equal(told, i + 1);
        assert_int_equal(figure(client, STICPS_STAT_X5U_HITS), i);
    }
    tls_server_status(server, "201 Created", "", "");
    sticps_client_free(client);
}

static void test_not_in_a_child(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sticps_stats *stats = NULL;
        _exit(sticps_stats_take(client, &stats, NULL) == STICPS_ERR_USAGE ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sticps_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_yet),    cmocka_unit_test(test_connections),
        cmocka_unit_test(test_durations),      cmocka_unit_test(test_the_cpss),
        cmocka_unit_test(test_those_who_wait), cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_not_in_a_child),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

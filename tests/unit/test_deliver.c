/* sticps_deliver: the queue, the deadline, trying again, leaving a CPS in peace, and that each
 * callback runs once, also when the client is freed amid everything. */
#include "tests/unit/deliver_fixture.h"

static void test_delivered_to_each(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct sticps_delivery *delivery = NULL;
    assert_int_equal(sticps_deliver_wait(client, token_two, strlen(token_two), &delivery, NULL),
                     STICPS_OK);
    assert_int_equal(sticps_delivery_count(delivery), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sticps_delivery_status(delivery, i), 201);
        assert_int_equal(sticps_delivery_tries(delivery, i), 1);
    }
    struct sticps_delivery *kept = sticps_delivery_ref(delivery);
    sticps_delivery_free(delivery);
    sticps_client_free(client);
    assert_non_null(strstr(sticps_delivery_url(kept, 1), "/5678"));
    sticps_delivery_free(kept);
    assert_null(sticps_delivery_ref(NULL));
}

static void test_nothing_to_send(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    char *huge = calloc(1, PASSPORT_MAX_BYTES + 1);
    assert_int_equal(deliver(client, token_none, NULL, NULL), STICPS_ERR_CARRIER_HAS_NO_CPS);
    assert_int_equal(deliver(client, "", NULL, NULL), STICPS_ERR_MALFORMED);
    assert_int_equal(deliver(client, "a.b.c", NULL, NULL), STICPS_ERR_MALFORMED);
    assert_int_equal(sticps_deliver(client, huge, PASSPORT_MAX_BYTES + 1, on_tally, NULL, NULL),
                     STICPS_ERR_MALFORMED);
    free(huge);
    sticps_client_free(client);
}

static void test_a_broken_connection_is_tried_again(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    unsigned tries = 0;
    atomic_store(&server->drop, 2);
    assert_int_equal(deliver(client, token_one, &tries, NULL), STICPS_OK);
    assert_int_equal(tries, 3);
    sticps_client_free(client);
}

static void test_an_answer_is_never_asked_for_again(void **state)
{
    static const char *const answers[] = {"200 OK",      "403 No",          "429 Slow",
                                          "500 Trouble", "502 Bad Gateway", "503 Busy"};
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        struct sticps_client *client = new_client((struct settings){60000, 0, 0});
        int before = atomic_load(&server->requests);
        unsigned tries = 0;
        tls_server_status(server, answers[i], "", "");
        assert_int_not_equal(deliver(client, token_one, &tries, NULL), STICPS_OK);
        assert_int_equal(atomic_load(&server->requests), before + 1);
        assert_int_equal(tries, 1);
        sticps_client_free(client);
    }
    tls_server_status(server, "201 Created", "", "");
}

static void test_the_deadline_holds_over_all_tries(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct sticps_error err;
    struct timespec start, end;
    atomic_store(&server->drop, 1000);
    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(deliver(client, token_one, NULL, &err), STICPS_ERR_FETCH);
    atomic_store(&server->drop, 0);
    assert_non_null(strstr(err.text, "tries"));
    sticps_client_free(client);

    client = new_client((struct settings){300, 0, 0});
    atomic_store(&server->hold_ms, 60000);
    assert_int_equal(deliver(client, token_one, NULL, &err), STICPS_ERR_FETCH);
    clock_gettime(CLOCK_MONOTONIC, &end);
    atomic_store(&server->hold_ms, 0);
    assert_in_range(end.tv_sec - start.tv_sec, 0,
                    20); /* far from the 60 s that it was made to take */
    sticps_client_free(client);
}

static void test_a_failing_cps_is_paused_alone(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct sticps_delivery *delivery = NULL;
    unsigned tries = 0;
    atomic_store(&server->drop, 1000);
    assert_int_equal(deliver(client, token_one, &tries, NULL), STICPS_ERR_FETCH);
    assert_int_equal(tries, 5); /* the fifth failure paused it, and said more than PAUSED would */
    int before = atomic_load(&server->connections);
    assert_int_equal(sticps_deliver_wait(client, token_two, strlen(token_two), &delivery, NULL),
                     STICPS_ERR_PAUSED);
    assert_int_equal(sticps_delivery_code(delivery, 0), STICPS_ERR_PAUSED);
    assert_int_equal(sticps_delivery_tries(delivery, 0), 0);
    assert_int_equal(sticps_delivery_code(delivery, 1), STICPS_OK);
    assert_int_equal(atomic_load(&server->connections), before);
    sticps_delivery_free(delivery);
    atomic_store(&server->drop, 0);
    enum sticps_err code = STICPS_ERR_PAUSED;
    for (int i = 0; i < 200 && code == STICPS_ERR_PAUSED; i++) {
        tls_server_pause(50);
        code = deliver(client, token_one, NULL, NULL);
    }
    assert_int_equal(code, STICPS_OK);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_PAUSE, STICPS_ERR_PAUSED), 1);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_DELIVERY, STICPS_ERR_FETCH), 1);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_DELIVERY, STICPS_OK), 2);
    assert_int_equal(sticps_deliveries_under_way(client), 0);
    sticps_client_free(client);
}

static void test_retry_after_is_honoured(void **state)
{
    static const char *const answers[][2] = {{"503 Busy", "Retry-After: 120\r\n"},
                                             {"429 Slow", "Retry-After: 120\r\n"},
                                             {"503 Busy",
                                              "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                              "Retry-After: Sun, 06 Nov 1994 08:51:37 GMT\r\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        struct sticps_client *client = new_client((struct settings){60000, 0, 0});
        int before = atomic_load(&server->requests);
        tls_server_status(server, answers[i][0], answers[i][1], "");
        assert_int_not_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
        tls_server_status(server, "201 Created", "", "");
        assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_ERR_PAUSED);
        assert_int_equal(atomic_load(&server->requests), before + 1);
        sticps_client_free(client);
    }
}

static void wait_for_requests(const struct tls_server *at, int count)
{
    for (int i = 0; i < 60000 && atomic_load(&at->requests) < count; i++)
        tls_server_pause(1);
    assert_int_equal(atomic_load(&at->requests), count);
}

static void test_limits(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 8, 3});
    struct tally tally = {0};
    int before = atomic_load(&server->requests);
    atomic_store(&server->hold_ms, 120000);
    for (int i = 0; i < 8; i++)
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    assert_int_equal(queue(client, token_one, &tally), STICPS_ERR_BUSY);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_DELIVERY, STICPS_ERR_BUSY), 1);
    assert_int_equal(sticps_deliveries_under_way(client), 8);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    wait_for(&tally,
             3); /* three are at the CPS, and as many wait as may before the queue is free */
    assert_int_equal(atomic_load(&tally.busy), 3);
    assert_int_equal(queue(client, token_none, &tally), STICPS_OK); /* places are free again */
    wait_for_requests(server, before + 3);
    atomic_store(&server->hold_ms, 0);
    wait_for(&tally, 9);
    assert_int_equal(atomic_load(&tally.ok), 5);
    assert_int_equal(atomic_load(&server->requests), before + 5);
    sticps_client_free(client);
}

/* What the queue holds, all for one CPS that there is no connection to. */
static void test_a_storm_arrives(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct tally tally = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    wait_for(&tally, 1000);
    assert_int_equal(atomic_load(&tally.ok), 1000);
    sticps_client_free(client);
}

static void on_waiter(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct sticps_delivery *delivery)
{
    if (code == STICPS_ERR_NO_CONNECTION) {
        assert_int_equal(sticps_delivery_tries(delivery, 0), 0);
        assert_int_equal(sticps_delivery_code(delivery, 0), code);
        assert_non_null(strstr(err->text, "until the deadline"));
    }
    on_tally(ctx, code, err, delivery);
}

static void test_who_never_got_a_connection_is_told_so(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){2000, 0, 1});
    struct tally tally = {0};
    atomic_store(&server->hold_ms, 60000);
    for (int i = 0; i < 5; i++) /* without a pause: who is next has no time left for a try */
        assert_int_equal(
            sticps_deliver(client, token_one, strlen(token_one), on_waiter, &tally, NULL),
            STICPS_OK);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    wait_for(&tally, 5);
    atomic_store(&server->hold_ms, 0);
    unsigned unserved = atomic_load(&tally.no_connection);
    assert_true(unserved >= 1);
    assert_int_equal(unserved + atomic_load(&tally.fetch), 5);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_DELIVERY, STICPS_ERR_NO_CONNECTION),
                     unserved);
    sticps_client_free(client);
}

/* A CPS that does not answer holds up those who wait for it, and nobody else, who has a place in
 * the queue, too. */
static void test_a_slow_cps_holds_up_no_other(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 40, 1});
    struct tally slow = {0}, well = {0};
    int before = atomic_load(&server->requests);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    atomic_store(&server->hold_ms, 120000);
    for (unsigned sent = 0; sent < 200; sent += 40) { /* more than there are places */
        for (int i = 0; i < 40; i++)
            if (queue(client, token_one, &slow) != STICPS_OK)
                atomic_fetch_add(&slow.calls, 1);
        for (int i = 0; i < 60000 && sticps_deliveries_under_way(client) > 21; i++)
            tls_server_pause(1);
    }
    wait_for_requests(server, before + 1);
    assert_in_range(sticps_deliveries_under_way(client), 2, 21);
    for (unsigned i = 1; i <= 15; i++) {
        assert_int_equal(queue(client, token_other, &well), STICPS_OK);
        wait_for(&well, i);
    }
    assert_int_equal(atomic_load(&well.ok), 15);
    assert_int_equal(atomic_load(&slow.ok), 0);
    atomic_store(&server->hold_ms, 0);
    wait_for(&slow, 200);
    sticps_client_free(client);
}

static void test_a_pause_ends_waiting(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 1});
    struct tally tally = {0};
    int before = atomic_load(&server->connections);
    atomic_store(&server->drop, 1000);
    for (int i = 0; i < 20; i++)
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    wait_for(&tally, 20);
    atomic_store(&server->drop, 0);
    assert_int_equal(atomic_load(&server->connections), before + 5);
    assert_in_range(atomic_load(&tally.fetch), 1, 5); /* who was tried says how that ended */
    assert_int_equal(atomic_load(&tally.paused), 20 - atomic_load(&tally.fetch));
    sticps_client_free(client);

    client = new_client((struct settings){60000, 0, 1});
    memset(&tally, 0, sizeof(tally));
    tls_server_status(server, "429 Slow", "Retry-After: 120\r\n", "");
    before = atomic_load(&server->requests);
    for (int i = 0; i < 20; i++)
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    wait_for(&tally, 20);
    tls_server_status(server, "201 Created", "", "");
    assert_int_equal(atomic_load(&tally.paused), 19);
    assert_int_equal(atomic_load(&server->requests), before + 1);
    sticps_client_free(client);
}

static void test_freed_amid_everything(void **state)
{
    (void)state;
    /* at a CPS that does not answer; waiting for the next try; in the queue; waiting for a turn */
    for (int kind = 0; kind < 4; kind++) {
        struct sticps_client *client = new_client((struct settings){60000, 0, kind == 3});
        int wanted = kind == 3 ? 1 : 3;
        struct tally tally = {.again = client};
        int connections = atomic_load(&server->connections);
        if (kind == 0 || kind == 3)
            atomic_store(&server->hold_ms, 60000);
        else
            atomic_store(&server->drop, 1000);
        if (kind != 2)
            assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
        for (int i = 0; i < 3; i++)
            assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
        for (int i = 0;
             kind != 2 && i < 5000 && atomic_load(&server->connections) < connections + wanted; i++)
            tls_server_pause(1);
        sticps_client_free(client);
        assert_int_equal(atomic_load(&tally.calls), 3);
        assert_int_equal(atomic_load(&tally.fetch), 3);
        assert_int_equal(atomic_load(&tally.refused_again), 1);
        atomic_store(&server->hold_ms, 0);
        atomic_store(&server->drop, 0);
    }
}

struct crowd {
    struct sticps_client *client;
    struct tally *tally;
};

static void *queue_many(void *arg)
{
    struct crowd *crowd = arg;
    for (int i = 0; i < 12; i++)
        assert_int_equal(queue(crowd->client, i % 2 ? token_one : token_two, crowd->tally),
                         STICPS_OK);
    return NULL;
}

static void test_from_many_threads(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct tally tally = {0};
    struct crowd crowd = {client, &tally};
    pthread_t threads[4];
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, queue_many, &crowd), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    wait_for(&tally, 48);
    assert_int_equal(atomic_load(&tally.ok), 48);
    sticps_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivered_to_each),
        cmocka_unit_test(test_nothing_to_send),
        cmocka_unit_test(test_a_broken_connection_is_tried_again),
        cmocka_unit_test(test_an_answer_is_never_asked_for_again),
        cmocka_unit_test(test_the_deadline_holds_over_all_tries),
        cmocka_unit_test(test_a_failing_cps_is_paused_alone),
        cmocka_unit_test(test_retry_after_is_honoured),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_storm_arrives),
        cmocka_unit_test(test_who_never_got_a_connection_is_told_so),
        cmocka_unit_test(test_a_slow_cps_holds_up_no_other),
        cmocka_unit_test(test_a_pause_ends_waiting),
        cmocka_unit_test(test_freed_amid_everything),
        cmocka_unit_test(test_from_many_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

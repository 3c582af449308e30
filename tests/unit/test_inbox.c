/* sticps_deliver_to_inbox: each result comes once, in the host's thread, behind a descriptor that
 * is readable while one waits; and the inbox may go before or after the client. */
#include "tests/unit/deliver_fixture.h"

#include <sys/wait.h>

static struct sticps_inbox *new_inbox(void)
{
    struct sticps_inbox *inbox = NULL;
    assert_int_equal(sticps_inbox_new(&inbox, NULL), STICPS_OK);
    return inbox;
}

static enum sticps_err send_to(struct sticps_client *client, struct sticps_inbox *inbox,
                               const char *token, int tag)
{
    return sticps_deliver_to_inbox(client, token, strlen(token), inbox, (void *)(intptr_t)tag,
                                   NULL);
}

static bool is_readable(const struct sticps_inbox *inbox, int ms)
{
    struct pollfd fd = {.fd = sticps_inbox_fd(inbox), .events = POLLIN};
    return poll(&fd, 1, ms) == 1 && fd.revents == POLLIN;
}

static void test_results_with_a_thread(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct sticps_inbox *inbox = new_inbox();
    struct sticps_delivery *delivery = NULL;
    struct sticps_error err = {0};
    enum sticps_err code;
    void *tag = NULL;
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    assert_false(is_readable(inbox, 0));
    assert_false(sticps_inbox_next(inbox, &tag, &code, &err, &delivery));

    assert_int_equal(send_to(client, inbox, token_two, 1), STICPS_OK);
    assert_true(is_readable(inbox, 60000));
    assert_true(sticps_inbox_next(inbox, &tag, &code, &err, &delivery));
    assert_int_equal((intptr_t)tag, 1);
    assert_int_equal(code, STICPS_OK);
    assert_int_equal(err.code, STICPS_OK); /* untouched */
    assert_int_equal(sticps_delivery_count(delivery), 2);
    assert_int_equal(sticps_delivery_status(delivery, 1), 201);
    sticps_delivery_free(delivery);
    assert_false(is_readable(inbox, 0));

    assert_int_equal(send_to(client, inbox, token_none, 2), STICPS_OK);
    assert_true(is_readable(inbox, 60000));
    assert_true(sticps_inbox_next(inbox, &tag, &code, &err, &delivery));
    assert_int_equal((intptr_t)tag, 2);
    assert_int_equal(code, STICPS_ERR_CARRIER_HAS_NO_CPS);
    assert_int_equal(err.code, code);
    assert_null(delivery);

    for (int i = 0; i < 5; i++)
        assert_int_equal(send_to(client, inbox, token_one, i), STICPS_OK);
    for (int i = 0; i < 5; i++) {
        assert_true(is_readable(inbox, 60000));
        assert_true(sticps_inbox_next(inbox, NULL, NULL, NULL, NULL));
    }
    assert_false(is_readable(inbox, 0));
    assert_false(sticps_inbox_next(inbox, NULL, NULL, NULL, NULL));
    sticps_client_free(client);
    sticps_inbox_free(inbox);
    sticps_inbox_free(NULL);
}

static void test_results_in_the_hosts_loop(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct sticps_inbox *inbox = new_inbox();
    assert_int_equal(send_to(client, inbox, token_one, 7), STICPS_OK);
    struct pollfd fds[2] = {{.fd = sticps_client_fd(client), .events = POLLIN},
                            {.fd = sticps_inbox_fd(inbox), .events = POLLIN}};
    for (int i = 0; i < 60000 && (fds[1].revents & POLLIN) == 0; i++) {
        assert_true(poll(fds, 2, 1000) >= 0);
        assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
    }
    enum sticps_err code = STICPS_ERR_FETCH;
    assert_true(sticps_inbox_next(inbox, NULL, &code, NULL, NULL));
    assert_int_equal(code, STICPS_OK);
    sticps_inbox_free(inbox);
    sticps_client_free(client);
}

/* What is not taken counts, so that a host that forgets its inbox cannot fill the memory. */
static void test_it_is_bounded(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 3, 0});
    struct sticps_inbox *inbox = new_inbox();
    struct sticps_error err;
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_to(client, inbox, token_one, i), STICPS_OK);
    for (int i = 0; i < 60000 && sticps_deliveries_under_way(client) > 0; i++)
        tls_server_pause(1);
    assert_true(is_readable(inbox, 60000));
    assert_int_equal(
        sticps_deliver_to_inbox(client, token_one, strlen(token_one), inbox, NULL, &err),
        STICPS_ERR_BUSY);
    assert_non_null(strstr(err.text, "take them"));
    assert_true(sticps_inbox_next(inbox, NULL, NULL, NULL, NULL));
    assert_int_equal(send_to(client, inbox, token_one, 4), STICPS_OK);
    char huge[PASSPORT_MAX_BYTES + 1] = "";
    for (int i = 0; i < 3; i++) {
        assert_true(is_readable(inbox, 60000));
        assert_true(sticps_inbox_next(inbox, NULL, NULL, NULL, NULL));
    }
    for (int i = 0; i < 5; i++) /* what is refused takes no place */
        assert_int_equal(sticps_deliver_to_inbox(client, huge, sizeof(huge), inbox, NULL, NULL),
                         STICPS_ERR_MALFORMED);
    assert_int_equal(send_to(client, inbox, token_one, 5), STICPS_OK);
    sticps_client_free(client);
    sticps_inbox_free(inbox);
}

static void test_freed_in_any_order(void **state)
{
    (void)state;
    atomic_store(&server->hold_ms, 120000);
    for (int first = 0; first < 2; first++) {
        struct sticps_client *client = new_client((struct settings){60000, 0, 0});
        struct sticps_inbox *inbox = new_inbox();
        assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
        for (int i = 0; i < 3; i++)
            assert_int_equal(send_to(client, inbox, token_one, i), STICPS_OK);
        if (first == 0)
            sticps_inbox_free(inbox);
        sticps_client_free(client);
        if (first == 0)
            continue;
        int tags = 0, count = 0;
        enum sticps_err code = STICPS_OK;
        void *tag;
        for (; sticps_inbox_next(inbox, &tag, &code, NULL, NULL); count++) {
            assert_int_equal(code, STICPS_ERR_FETCH);
            tags |= 1 << (intptr_t)tag;
        }
        assert_int_equal(count, 3);
        assert_int_equal(tags, 7);
        sticps_inbox_free(inbox);
    }
    atomic_store(&server->hold_ms, 0);
}

/* Several threads send, several take, and each result is taken once. */
struct crowd {
    struct sticps_client *clients[2];
    struct sticps_inbox *inbox;
    atomic_int taken[48], total;
};

static void *send_many(void *arg)
{
    struct crowd *crowd = ((void **)arg)[0];
    int from = (int)(intptr_t)((void **)arg)[1];
    for (int i = from; i < from + 12; i++)
        assert_int_equal(send_to(crowd->clients[i % 2], crowd->inbox, token_one, i), STICPS_OK);
    return NULL;
}

static void *take_many(void *arg)
{
    struct crowd *crowd = arg;
    void *tag;
    enum sticps_err code;
    for (int i = 0; i < 6000 && atomic_load(&crowd->total) < 48; i++) {
        is_readable(crowd->inbox, 10);
        while (sticps_inbox_next(crowd->inbox, &tag, &code, NULL, NULL)) {
            assert_int_equal(code, STICPS_OK);
            atomic_fetch_add(&crowd->taken[(intptr_t)tag], 1);
            atomic_fetch_add(&crowd->total, 1);
        }
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    static struct crowd crowd;
    void *arguments[4][2];
    pthread_t senders[4], takers[2];
    crowd.inbox = new_inbox();
    for (int i = 0; i < 2; i++) {
        crowd.clients[i] = new_client((struct settings){60000, 0, 0});
        assert_int_equal(sticps_client_start_thread(crowd.clients[i], NULL), STICPS_OK);
        assert_int_equal(pthread_create(&takers[i], NULL, take_many, &crowd), 0);
    }
    for (int i = 0; i < 4; i++) {
        arguments[i][0] = &crowd;
        arguments[i][1] = (void *)(intptr_t)(i * 12);
        assert_int_equal(pthread_create(&senders[i], NULL, send_many, arguments[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(senders[i], NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(takers[i], NULL);
    for (int i = 0; i < 48; i++)
        assert_int_equal(atomic_load(&crowd.taken[i]), 1);
    for (int i = 0; i < 2; i++)
        sticps_client_free(crowd.clients[i]);
    assert_false(sticps_inbox_next(crowd.inbox, NULL, NULL, NULL, NULL));
    sticps_inbox_free(crowd.inbox);
}

static void test_a_child_takes_nothing(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct sticps_inbox *inbox = new_inbox();
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    assert_int_equal(send_to(client, inbox, token_one, 3), STICPS_OK);
    assert_true(is_readable(inbox, 60000));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool right = sticps_inbox_fd(inbox) == -1 &&
                     !sticps_inbox_next(inbox, NULL, NULL, NULL, NULL) &&
                     send_to(client, inbox, token_one, 4) == STICPS_ERR_USAGE;
        sticps_inbox_free(inbox);
        sticps_client_free(client);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    void *tag = NULL;
    assert_true(is_readable(inbox, 0));
    assert_true(sticps_inbox_next(inbox, &tag, NULL, NULL, NULL));
    assert_int_equal((intptr_t)tag, 3);
    sticps_inbox_free(inbox);
    sticps_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_with_a_thread),
        cmocka_unit_test(test_results_in_the_hosts_loop),
        cmocka_unit_test(test_it_is_bounded),
        cmocka_unit_test(test_freed_in_any_order),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_a_child_takes_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

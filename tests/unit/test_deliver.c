/* sticps_deliver: the queue, the deadline, trying again, leaving a CPS in peace, and that each
 * callback runs once, also when the client is freed amid everything. */
#include "sticps/sticps.h"

#include "common/passport.h"
#include "tests/unit/held_list.h"
#include "tests/unit/tls_server.h"

#include <stdatomic.h>

static EVP_PKEY *key;
static struct tls_server *server, *other;
static char dir[64], npdb_path[96], *token_one, *token_two, *token_none;

static int64_t test_clock(void *context)
{
    (void)context;
    return PKI_NOW;
}

/* ---- what is at hand ---- */

static void build_npdb(void)
{
    struct sticps_npdb_build *build = NULL;
    char csv[96];
    snprintf(csv, sizeof(csv), "%s/blocks.csv", dir);
    snprintf(npdb_path, sizeof(npdb_path), "%s/numbers.npdb", dir);
    FILE *file = fopen(csv, "w");
    assert_non_null(file);
    fputs("202555,1234\n303555,5678\n404555,9ABC\n", file);
    fclose(file);
    assert_int_equal(sticps_npdb_build_new(&build, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_blocks(build, csv, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_run(build, npdb_path, NULL), STICPS_OK);
    sticps_npdb_build_free(build);
    unlink(csv);
}

static char *passport_to(const char *first, const char *second)
{
    struct tn dest[2] = {{{0}}}, orig = {"12025550100"};
    strcpy(dest[0].digits, first);
    if (second != NULL)
        strcpy(dest[1].digits, second);
    const struct passport_claims claims = {
        .attest = "A",
        .dest = dest,
        .dest_len = second != NULL ? 2 : 1,
        .orig = &orig,
        .iat = PKI_NOW,
        .origid = "00000000-0000-4000-8000-000000000000",
        .x5u = "https://certs.example.com/one",
    };
    char *out = NULL;
    size_t len = 0;
    assert_int_equal(passport_sign(&claims, false, key, &out, &len, NULL), STICPS_OK);
    return out;
}

/* 202555 is served by `server`, 303555 by `other`, 404555 by nobody. */
static int set_up(void **state)
{
    (void)state;
    char one[96], two[96];
    signal(SIGPIPE, SIG_IGN); /* of the servers; the library raises none */
    strcpy(dir, "/tmp/sticps-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    key = pki_p256();
    server = tls_server_start();
    other = tls_server_start();
    tls_server_status(server, "201 Created", "", "");
    tls_server_status(other, "201 Created", "", "");
    snprintf(one, sizeof(one), "https://127.0.0.1:%u/cps/company/1234", server->port);
    snprintf(two, sizeof(two), "https://127.0.0.1:%u/cps/company/5678", other->port);
    const struct cps_entry entries[] = {{{"1234"}, one}, {{"5678"}, two}};
    hold_list(dir, key, entries, 2, 1, PKI_NOW + 3600);
    build_npdb();
    token_one = passport_to("12025550123", NULL);
    token_two = passport_to("12025550123", "13035550123");
    token_none = passport_to("14045550123", NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    tls_server_stop(server);
    tls_server_stop(other);
    EVP_PKEY_free(key);
    free(token_one);
    free(token_two);
    free(token_none);
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

struct settings {
    unsigned deadline_ms, all, per_cps;
};

static struct sticps_client *new_client(struct settings settings)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    const char *paths[] = {npdb_path};
    assert_non_null(options);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_tls_ca_file(options, other->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    sticps_options_set_clock(options, test_clock, NULL);
    sticps_options_set_lab(options, true);
    sticps_options_set_deliver_timeout(options, settings.deadline_ms);
    sticps_options_set_deliver_limits(options, settings.all, settings.per_cps);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    assert_int_equal(sticps_client_set_npdb(client, paths, 1, NULL), STICPS_OK);
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
    sticps_options_free(options);
    return client;
}

/* Delivers and waits; the outcome at the first CPS. */
static enum sticps_err deliver(struct sticps_client *client, const char *token, unsigned *tries,
                               struct sticps_error *err)
{
    struct sticps_delivery *delivery = NULL;
    enum sticps_err code = sticps_deliver_wait(client, token, strlen(token), &delivery, err);
    if (tries != NULL)
        *tries = delivery != NULL ? sticps_delivery_tries(delivery, 0) : 0;
    sticps_delivery_free(delivery);
    return code;
}

/* Counts the callbacks of many. */
struct tally {
    atomic_uint calls, ok, busy, paused, fetch, others;
    struct sticps_client *again; /* delivers once more from inside the callback */
    atomic_uint refused_again;
};

static void on_tally(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const struct sticps_delivery *delivery)
{
    struct tally *tally = ctx;
    (void)err;
    (void)delivery;
    atomic_uint *one = code == STICPS_OK           ? &tally->ok
                       : code == STICPS_ERR_BUSY   ? &tally->busy
                       : code == STICPS_ERR_PAUSED ? &tally->paused
                       : code == STICPS_ERR_FETCH  ? &tally->fetch
                                                   : &tally->others;
    atomic_fetch_add(one, 1);
    atomic_fetch_add(&tally->calls, 1);
    struct sticps_client *again = tally->again;
    tally->again = NULL;
    if (again != NULL &&
        sticps_deliver(again, token_one, strlen(token_one), on_tally, tally, NULL) != STICPS_OK)
        atomic_fetch_add(&tally->refused_again, 1);
}

static enum sticps_err queue(struct sticps_client *client, const char *token, struct tally *tally)
{
    return sticps_deliver(client, token, strlen(token), on_tally, tally, NULL);
}

static void wait_for(struct tally *tally, unsigned calls)
{
    for (int i = 0; i < 60000 && atomic_load(&tally->calls) < calls; i++)
        tls_server_pause(1);
    assert_int_equal(atomic_load(&tally->calls), calls);
}

/* ---- tests ---- */

static void test_delivered_to_each(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){5000, 0, 0});
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
    struct sticps_client *client = new_client((struct settings){5000, 0, 0});
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
    struct sticps_client *client = new_client((struct settings){10000, 0, 0});
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
        struct sticps_client *client = new_client((struct settings){5000, 0, 0});
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
    struct sticps_client *client = new_client((struct settings){5000, 0, 0});
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
    struct sticps_client *client = new_client((struct settings){10000, 0, 0});
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
        struct sticps_client *client = new_client((struct settings){5000, 0, 0});
        int before = atomic_load(&server->requests);
        tls_server_status(server, answers[i][0], answers[i][1], "");
        assert_int_not_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
        tls_server_status(server, "201 Created", "", "");
        assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_ERR_PAUSED);
        assert_int_equal(atomic_load(&server->requests), before + 1);
        sticps_client_free(client);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){20000, 8, 3});
    struct tally tally = {0};
    atomic_store(&server->hold_ms, 60000);
    for (int i = 0; i < 8; i++)
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    assert_int_equal(queue(client, token_one, &tally), STICPS_ERR_BUSY);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_DELIVERY, STICPS_ERR_BUSY), 1);
    assert_int_equal(sticps_deliveries_under_way(client), 8);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    wait_for(&tally, 5); /* three are at the CPS, the others found no room there */
    assert_int_equal(atomic_load(&tally.busy), 5);
    assert_int_equal(queue(client, token_none, &tally), STICPS_OK); /* places are free again */
    atomic_store(&server->hold_ms, 0);
    wait_for(&tally, 9);
    assert_int_equal(atomic_load(&tally.ok), 3);
    sticps_client_free(client);
}

static void test_freed_amid_everything(void **state)
{
    (void)state;
    /* at a CPS that does not answer; waiting for the next try; in the queue */
    for (int kind = 0; kind < 3; kind++) {
        struct sticps_client *client = new_client((struct settings){60000, 0, 0});
        struct tally tally = {.again = client};
        int connections = atomic_load(&server->connections);
        if (kind == 0)
            atomic_store(&server->hold_ms, 60000);
        else
            atomic_store(&server->drop, 1000);
        if (kind < 2)
            assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
        for (int i = 0; i < 3; i++)
            assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
        for (int i = 0; kind < 2 && i < 5000 && atomic_load(&server->connections) < connections + 3;
             i++)
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
        cmocka_unit_test(test_freed_amid_everything),
        cmocka_unit_test(test_from_many_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

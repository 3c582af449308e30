/* Request tokens for a CPS that demands them: signed by the options' key or by the host, in its own
 * time and thread, or never; the deadline and the end of the client hold all the same. That the
 * token is right is told by tests/attack/test_delivery_tokens.py. */
#include "tests/unit/deliver_fixture.h"

#include "common/es256.h"

#define CHALLENGE "WWW-Authenticate: Bearer\r\n"

static void demand_token(void)
{
    tls_server_status(server, "401 Unauthorized", CHALLENGE, "");
}

static struct sticps_options *options_for(unsigned deadline_ms)
{
    struct sticps_options *options = sticps_options_new();
    assert_non_null(options);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    sticps_options_set_clock(options, test_clock, NULL);
    sticps_options_set_lab(options, true);
    sticps_options_set_deliver_timeout(options, deadline_ms);
    return options;
}

static struct sticps_client *client_of(struct sticps_options *options)
{
    const char *paths[] = {npdb_path};
    struct sticps_client *client = NULL;
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    assert_int_equal(sticps_client_set_npdb(client, paths, 1, NULL), STICPS_OK);
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
    return client;
}

/* ---- a host that signs ---- */

struct host {
    enum { AT_ONCE, IN_A_THREAD, REFUSING, NEVER } how;
    pthread_t thread;
    bool has_thread;
    struct sticps_signing *kept; /* NEVER: what it has not answered */
    unsigned asked;
};

static void sign_now(struct sticps_signing *signing)
{
    unsigned char raw[ES256_SIGNATURE];
    tls_server_status(server, "201 Created", "", ""); /* for the request that comes next */
    assert_int_equal(es256_sign(key, sticps_signing_digest(signing), raw, NULL), STICPS_OK);
    sticps_signing_done(signing, raw);
}

static void *sign_later(void *argument)
{
    tls_server_pause(30);
    sign_now(argument);
    return NULL;
}

static void on_sign(void *ctx, struct sticps_signing *signing)
{
    struct host *host = ctx;
    host->asked++;
    switch (host->how) {
    case AT_ONCE:
        sign_now(signing);
        break;
    case IN_A_THREAD:
        host->has_thread = pthread_create(&host->thread, NULL, sign_later, signing) == 0;
        assert_true(host->has_thread);
        break;
    case REFUSING:
        sticps_signing_done(signing, NULL);
        break;
    case NEVER:
        host->kept = signing;
        break;
    }
}

static struct sticps_client *client_with(struct host *host, unsigned deadline_ms)
{
    struct sticps_options *options = options_for(deadline_ms);
    assert_int_equal(sticps_options_set_sti_signer(options, "1234", "https://certs.example.com/a",
                                                   on_sign, host, NULL),
                     STICPS_OK);
    return client_of(options);
}

static void end(struct host *host)
{
    if (host->has_thread)
        pthread_join(host->thread, NULL);
    tls_server_status(server, "201 Created", "", "");
}

static void test_the_host_signs(void **state)
{
    (void)state;
    for (int how = AT_ONCE; how <= IN_A_THREAD; how++) {
        struct host host = {.how = (unsigned)how};
        struct sticps_client *client = client_with(&host, 20000);
        int before = atomic_load(&server->requests);
        unsigned tries = 0;
        demand_token();
        assert_int_equal(deliver(client, token_one, &tries, NULL), STICPS_OK);
        assert_int_equal(tries, 2);
        assert_int_equal(atomic_load(&server->requests), before + 2);
        assert_int_equal(host.asked, 1);
        sticps_client_free(client);
        end(&host);
    }
}

static void test_the_clients_own_thread(void **state)
{
    (void)state;
    struct host host = {.how = IN_A_THREAD};
    struct sticps_client *client = client_with(&host, 20000);
    assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
    demand_token();
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    sticps_client_free(client);
    end(&host);
}

static void test_a_host_that_cannot_sign(void **state)
{
    (void)state;
    struct host host = {.how = REFUSING};
    struct sticps_client *client = client_with(&host, 20000);
    struct sticps_error err = {0};
    demand_token();
    assert_int_equal(deliver(client, token_one, NULL, &err), STICPS_ERR_REJECTED);
    assert_non_null(strstr(err.text, "no signature"));
    sticps_client_free(client);
    end(&host);
}

/* The delivery ends in time, and what the host says much later, when the client is gone, harms
 * nobody. */
static void test_a_host_that_takes_too_long(void **state)
{
    (void)state;
    struct host host = {.how = NEVER};
    struct sticps_client *client = client_with(&host, 3000); /* for the first answer, too */
    struct sticps_error err = {0};
    demand_token();
    assert_int_equal(deliver(client, token_one, NULL, &err), STICPS_ERR_FETCH);
    assert_non_null(strstr(err.text, "signed"));
    assert_non_null(host.kept);
    sticps_client_free(client);
    unsigned char raw[ES256_SIGNATURE] = {0};
    sticps_signing_done(host.kept, raw);
    end(&host);
}

static void test_the_client_is_freed_meanwhile(void **state)
{
    (void)state;
    for (int how = IN_A_THREAD; how <= NEVER; how += NEVER - IN_A_THREAD) {
        struct host host = {.how = (unsigned)how};
        struct tally tally = {0};
        struct sticps_client *client = client_with(&host, 20000);
        demand_token();
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
        for (int i = 0; i < 20000 && host.asked == 0; i++) {
            assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
            tls_server_pause(1);
        }
        assert_int_equal(host.asked, 1);
        sticps_client_free(client);
        assert_int_equal(atomic_load(&tally.calls), 1);
        assert_int_equal(atomic_load(&tally.fetch), 1);
        if (how == NEVER)
            sticps_signing_done(host.kept, NULL);
        end(&host);
    }
}

/* ---- the options ---- */

static void test_the_options(void **state)
{
    (void)state;
    struct sticps_options *options = sticps_options_new();
    struct sticps_error err = {0};
    struct host host = {.how = NEVER};
    const char *x5u = "https://certs.example.com/a";
    assert_int_equal(sticps_options_set_sti_key_file(options, "1234", x5u, "/none", &err),
                     STICPS_ERR_FILE);
    assert_int_equal(sticps_options_set_sti_signer(options, "12", x5u, on_sign, &host, &err),
                     STICPS_ERR_SPC);
    assert_int_equal(
        sticps_options_set_sti_signer(options, "1234", "http://a.example/", on_sign, &host, &err),
        STICPS_ERR_USAGE);
    assert_string_equal(err.where, "x5u");
    assert_int_equal(sticps_options_set_sti_signer(options, "1234", x5u, on_sign, &host, &err),
                     STICPS_OK);
    sticps_options_free(options);
}

/* Without a key the answer is what it is: nothing is asked twice. */
static void test_no_key(void **state)
{
    (void)state;
    struct sticps_client *client = client_of(options_for(20000));
    struct sticps_error err = {0};
    unsigned tries = 0;
    demand_token();
    assert_int_equal(deliver(client, token_one, &tries, &err), STICPS_ERR_REJECTED);
    assert_int_equal(tries, 1);
    assert_non_null(strstr(err.text, "no STI key"));
    sticps_client_free(client);
    tls_server_status(server, "201 Created", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_host_signs),
        cmocka_unit_test(test_the_clients_own_thread),
        cmocka_unit_test(test_a_host_that_cannot_sign),
        cmocka_unit_test(test_a_host_that_takes_too_long),
        cmocka_unit_test(test_the_client_is_freed_meanwhile),
        cmocka_unit_test(test_the_options),
        cmocka_unit_test(test_no_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

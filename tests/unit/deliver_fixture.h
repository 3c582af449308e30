/* A client that can deliver, for tests of what comes with it: two CPSs on loopback, a portability
 * file and a held list that lead to them, PASSporTs, and a count of the callbacks. Included once in
 * a program. */
#ifndef TESTS_UNIT_DELIVER_FIXTURE_H
#define TESTS_UNIT_DELIVER_FIXTURE_H

#include "sticps/sticps.h"

#include "common/passport.h"
#include "tests/unit/held_list.h"
#include "tests/unit/tls_server.h"

#include <stdatomic.h>

static EVP_PKEY *key;
static struct tls_server *server, *other;
static char dir[64], npdb_path[96], *token_one, *token_other, *token_two, *token_none;

static inline int64_t test_clock(void *context)
{
    (void)context;
    return PKI_NOW;
}

static inline void build_npdb(void)
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

static inline char *passport_to(const char *first, const char *second)
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
static inline int set_up(void **state)
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
    token_other = passport_to("13035550123", NULL);
    token_two = passport_to("12025550123", "13035550123");
    token_none = passport_to("14045550123", NULL);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    char command[128];
    tls_server_stop(server);
    tls_server_stop(other);
    EVP_PKEY_free(key);
    free(token_one);
    free(token_other);
    free(token_two);
    free(token_none);
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

struct settings {
    unsigned deadline_ms, all, per_cps;
};

static inline struct sticps_client *new_client(struct settings settings)
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
static inline enum sticps_err deliver(struct sticps_client *client, const char *token,
                                      unsigned *tries, struct sticps_error *err)
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
    atomic_uint calls, ok, busy, paused, fetch, no_connection, others;
    struct sticps_client *again; /* delivers once more from inside the callback */
    atomic_uint refused_again;
};

static inline void on_tally(void *ctx, enum sticps_err code, const struct sticps_error *err,
                            const struct sticps_delivery *delivery)
{
    struct tally *tally = ctx;
    (void)err;
    (void)delivery;
    atomic_uint *one = code == STICPS_OK                  ? &tally->ok
                       : code == STICPS_ERR_BUSY          ? &tally->busy
                       : code == STICPS_ERR_PAUSED        ? &tally->paused
                       : code == STICPS_ERR_FETCH         ? &tally->fetch
                       : code == STICPS_ERR_NO_CONNECTION ? &tally->no_connection
                                                          : &tally->others;
    atomic_fetch_add(one, 1);
    atomic_fetch_add(&tally->calls, 1);
    struct sticps_client *again = tally->again;
    tally->again = NULL;
    if (again != NULL &&
        sticps_deliver(again, token_one, strlen(token_one), on_tally, tally, NULL) != STICPS_OK)
        atomic_fetch_add(&tally->refused_again, 1);
}

static inline enum sticps_err queue(struct sticps_client *client, const char *token,
                                    struct tally *tally)
{
    return sticps_deliver(client, token, strlen(token), on_tally, tally, NULL);
}

static inline void wait_for(struct tally *tally, unsigned calls)
{
    for (int i = 0; i < 60000 && atomic_load(&tally->calls) < calls; i++)
        tls_server_pause(1);
    assert_int_equal(atomic_load(&tally->calls), calls);
}

#endif

/* ENUM as a source of numbers, from a client to a DNS server on loopback: that resolving never
 * waits for it, who may wait and how long, and what happens when the server is silent or lies. */
#include "sticps/sticps.h"

#include "tests/unit/held_list.h"

#include "tests/unit/dns_bytes.h"

#include <sys/wait.h>

#define NAME_APEX "e164.test"
#define LONG_MS 30000 /* longer than any machine takes */

static char dir[64], npdb_path[128];

static int set_up(void **state)
{
    static const struct cps_entry entries[] = {{{"1234"}, "https://one.example.com/cps"},
                                               {{"5678"}, "https://two.example.com/cps"}};
    char blocks[128];
    struct sticps_npdb_build *build = NULL;
    (void)state;
    strcpy(dir, "/tmp/sticps-test-enum-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(blocks, sizeof(blocks), "%s/blocks.csv", dir);
    FILE *file = fopen(blocks, "w");
    assert_non_null(file);
    fputs("202-555,5678\n303-555,1234\n", file);
    assert_int_equal(fclose(file), 0);
    snprintf(npdb_path, sizeof(npdb_path), "%s/numbers.npdb", dir);
    assert_int_equal(sticps_npdb_build_new(&build, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_blocks(build, blocks, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_run(build, npdb_path, NULL), STICPS_OK);
    sticps_npdb_build_free(build);
    EVP_PKEY *key = pki_p256();
    hold_list(dir, key, entries, 2, 7, PKI_NOW + 3600);
    EVP_PKEY_free(key);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"blocks.csv", "numbers.npdb", "cps-list.json",
                                        "cps-list.lock"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static int64_t test_clock(void *context)
{
    (void)context;
    return PKI_NOW;
}

/* ---- the server ---- */

enum mood { PORTED, NOT_THERE, SILENT, WRONG_ID, WRONG_QUESTION, ILL, SLOW };

/* ctx: an atomic mood. Every number is ported to the LRN of 1234. */
static void on_query(void *ctx, unsigned id, const char *name, struct dns_bytes *out)
{
    enum mood mood = (enum mood)atomic_load((atomic_int *)ctx);
    char regexp[96] = "!^.*$!tel:+";
    size_t at = strlen(regexp);
    for (size_t i = strcspn(name, "e"); i >= 2; i -= 2) /* digits and dots, backwards */
        regexp[at++] = name[i - 2];
    strcpy(regexp + at, ";npdi;rn=+13035550000!");
    if (mood == SILENT)
        return;
    if (mood == SLOW)
        usleep(50000);
    if (mood == WRONG_ID)
        id ^= 1;
    put_header(out, id,
               mood == ILL         ? 0x8182
               : mood == NOT_THERE ? 0x8183
                                   : 0x8180,
               mood == WRONG_QUESTION ? "9.9.e164.test" : name);
    if (mood == NOT_THERE)
        put_soa(out, 60, 60);
    else if (mood != ILL)
        put_naptr(out, name, 10, 10, "u", "E2U+pstn:tel", regexp, 300);
}

struct world {
    struct dns_server server;
    atomic_int mood;
    struct sticps_client *client;
    struct sticps_answer *answer;
};

static void begin(struct world *world, enum mood mood, bool enum_first, unsigned deadline_ms)
{
    struct sticps_options *options = sticps_options_new();
    const char *paths[] = {npdb_path};
    *world = (struct world){.server = {.answer = on_query, .ctx = &world->mood}};
    atomic_store(&world->mood, (int)mood);
    dns_server_start(&world->server);
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    sticps_options_set_clock(options, test_clock, NULL);
    assert_int_equal(sticps_options_add_enum(options, "E164.Test.", NULL), STICPS_OK);
    if (enum_first)
        assert_int_equal(sticps_options_add_npdb(options, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_enum_server(options, world->server.address, NULL),
                     STICPS_OK);
    sticps_options_set_enum_limits(options, deadline_ms, 1024);
    assert_int_equal(sticps_client_new(options, &world->client, NULL), STICPS_OK);
    sticps_options_free(options);
    assert_int_equal(sticps_client_set_npdb(world->client, paths, 1, NULL), STICPS_OK);
    assert_int_equal(sticps_list_load(world->client, STICPS_LIST_CPS, NULL), STICPS_OK);
    world->answer = sticps_answer_new();
}

static void end(struct world *world)
{
    sticps_client_free(world->client);
    sticps_answer_free(world->answer);
    dns_server_stop(&world->server);
}

static enum sticps_err look(struct world *world, const char *number)
{
    return sticps_resolve(world->client, number, world->answer, NULL);
}

static enum sticps_err wait_for(struct world *world, const char *number)
{
    return sticps_resolve_wait(world->client, number, world->answer, NULL);
}

static void check_carrier(const struct world *world, const char *lrn, const char *carrier)
{
    assert_string_equal(sticps_answer_lrn(world->answer), lrn);
    assert_string_equal(sticps_answer_carrier(world->answer), carrier);
}

static uint64_t events(const struct world *world, enum sticps_event event, enum sticps_err code)
{
    return sticps_event_count(world->client, event, code);
}

/* ---- the tests ---- */

static void test_asked_once_and_remembered(void **state)
{
    struct world world;
    struct sticps_stats *stats = NULL;
    (void)state;
    begin(&world, PORTED, false, LONG_MS);
    assert_int_equal(look(&world, "5035550100"), STICPS_ERR_WOULD_WAIT);
    assert_string_equal(sticps_answer_tn(world.answer), "15035550100");
    assert_int_equal(sticps_answer_reason(world.answer), STICPS_ERR_WOULD_WAIT);
    assert_int_equal(atomic_load(&world.server.seen), 0);
    assert_int_equal(wait_for(&world, "5035550100"), STICPS_OK);
    check_carrier(&world, "13035550000", "1234");
    assert_string_equal(sticps_answer_url(world.answer), "https://one.example.com/cps");
    assert_true(sticps_answer_ported(world.answer));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(look(&world, "5035550100"), STICPS_OK);
        check_carrier(&world, "13035550000", "1234");
    }
    assert_int_equal(atomic_load(&world.server.seen), 1);
    assert_int_equal(wait_for(&world, "2025550100"), STICPS_OK); /* the file knows it */
    check_carrier(&world, "", "5678");
    assert_int_equal(atomic_load(&world.server.seen), 1);
    assert_int_equal(wait_for(&world, "nonsense"), STICPS_ERR_NOT_A_NUMBER);
    assert_int_equal(events(&world, STICPS_EVENT_ENUM, STICPS_OK), 1);
    assert_int_equal(sticps_stats_take(world.client, &stats, NULL), STICPS_OK);
    assert_int_equal(sticps_stats_figure(stats, STICPS_STAT_ENUM_HITS),
                     6); /* 5, and the waiter's */
    sticps_stats_free(stats);
    end(&world);
}

static void test_not_there(void **state)
{
    struct world world;
    (void)state;
    begin(&world, NOT_THERE, true, LONG_MS);
    assert_int_equal(wait_for(&world, "2025550100"), STICPS_OK); /* then the file decides */
    check_carrier(&world, "", "5678");
    assert_int_equal(look(&world, "2025550100"), STICPS_OK);
    assert_int_equal(wait_for(&world, "5035550100"), STICPS_ERR_NO_CARRIER);
    assert_int_equal(look(&world, "5035550100"), STICPS_ERR_NO_CARRIER);
    assert_int_equal(atomic_load(&world.server.seen), 2);
    assert_int_equal(events(&world, STICPS_EVENT_ENUM, STICPS_OK), 2);
    end(&world);
}

struct count {
    unsigned ended, good;
    enum sticps_err code;
};

static void on_resolved(void *ctx, enum sticps_err code, const struct sticps_error *err,
                        const struct sticps_answer *answer)
{
    struct count *count = ctx;
    assert_non_null(err);
    count->ended++;
    count->code = code;
    count->good += code == STICPS_OK && strcmp(sticps_answer_carrier(answer), "1234") == 0;
}

static void drive_until(struct world *world, const struct count *count, unsigned ended)
{
    for (int i = 0; i < LONG_MS && count->ended < ended; i++) {
        assert_int_equal(sticps_client_process(world->client, NULL), STICPS_OK);
        usleep(1000);
    }
    assert_int_equal(count->ended, ended);
}

static void test_one_query_for_all(void **state)
{
    struct world world;
    struct count count = {0};
    (void)state;
    begin(&world, SLOW, false, LONG_MS);
    for (int i = 0; i < 50; i++) {
        char number[16];
        strcpy(number, i % 2 != 0 ? "5035550100" : "+15035550100");
        assert_int_equal(sticps_resolve_start(world.client, number, on_resolved, &count, NULL),
                         STICPS_OK);
        memset(number, 'x', sizeof(number)); /* it need not outlive the call */
    }
    assert_int_equal(count.ended, 0);
    drive_until(&world, &count, 50);
    assert_int_equal(count.good, 50);
    assert_int_equal(atomic_load(&world.server.seen), 1);
    end(&world);
}

/* Each number costs the deadline at most; after five nobody waits any more; and it comes back. */
static void test_silence(void **state)
{
    struct world world;
    char number[32];
    (void)state;
    begin(&world, SILENT, true, 60);
    for (int i = 0; i < 5; i++) {
        snprintf(number, sizeof(number), "202555010%d", i);
        assert_int_equal(look(&world, number), STICPS_ERR_WOULD_WAIT);
        assert_int_equal(wait_for(&world, number), STICPS_OK);
        check_carrier(&world, "", "5678"); /* the file's */
        if (i < 4)
            assert_int_equal(look(&world, number), STICPS_OK); /* not asked about again so soon */
    }
    assert_int_equal(events(&world, STICPS_EVENT_ENUM, STICPS_ERR_FETCH), 5);
    assert_int_equal(events(&world, STICPS_EVENT_PAUSE, STICPS_ERR_PAUSED), 1);
    assert_int_equal(look(&world, "5035550100") == STICPS_ERR_WOULD_WAIT, false); /* paused */
    atomic_store(&world.mood, PORTED);
    for (int i = 0; i < LONG_MS / 10; i++) {
        enum sticps_err code = wait_for(&world, "5035550100");
        if (code == STICPS_OK)
            break;
        assert_int_equal(code, STICPS_ERR_NO_CARRIER);
        usleep(10000);
    }
    check_carrier(&world, "13035550000", "1234");
    end(&world);
}

static void test_lies(void **state)
{
    static const struct {
        enum mood mood;
        enum sticps_err code; /* of the event */
    } rows[] = {
        {WRONG_ID, STICPS_ERR_FETCH}, {WRONG_QUESTION, STICPS_ERR_FETCH}, {ILL, STICPS_ERR_FETCH}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world world;
        struct sticps_error err = {0};
        begin(&world, rows[i].mood, false, 100);
        assert_int_equal(sticps_resolve_wait(world.client, "5035550100", world.answer, &err),
                         STICPS_ERR_NO_CARRIER);
        assert_non_null(strstr(err.text, "ENUM"));
        check_carrier(&world, "", "");
        assert_true(atomic_load(&world.server.seen) > 0);
        assert_int_equal(events(&world, STICPS_EVENT_ENUM, rows[i].code), 1);
        assert_int_equal(events(&world, STICPS_EVENT_ENUM, STICPS_OK), 0);
        end(&world);
    }
}

static void test_freed_meanwhile(void **state)
{
    struct world world;
    struct count count = {0};
    (void)state;
    begin(&world, SILENT, false, LONG_MS);
    for (int i = 0; i < 3; i++) {
        char number[32];
        snprintf(number, sizeof(number), "503555010%d", i);
        assert_int_equal(sticps_resolve_start(world.client, number, on_resolved, &count, NULL),
                         STICPS_OK);
        if (i < 2) /* the last has not begun when the client is freed */
            assert_int_equal(sticps_client_process(world.client, NULL), STICPS_OK);
    }
    assert_int_equal(count.ended, 0);
    sticps_client_free(world.client);
    world.client = NULL;
    assert_int_equal(count.ended, 3);
    assert_int_equal(count.code, STICPS_ERR_FETCH);
    end(&world);
}

/* A child knows what its parent knew, and asks nobody. */
static void test_in_a_child(void **state)
{
    struct world world;
    struct count count = {0};
    int status = 0;
    (void)state;
    begin(&world, PORTED, true, LONG_MS);
    assert_int_equal(wait_for(&world, "5035550100"), STICPS_OK);
    atomic_store(&world.mood, SILENT);
    assert_int_equal(sticps_resolve_start(world.client, "5035550101", on_resolved, &count, NULL),
                     STICPS_OK);
    assert_int_equal(sticps_client_process(world.client, NULL), STICPS_OK);
    pid_t child = fork();
    if (child == 0) {
        bool good = look(&world, "5035550100") == STICPS_OK &&
                    strcmp(sticps_answer_lrn(world.answer), "13035550000") == 0 &&
                    look(&world, "2025550100") == STICPS_OK && /* by the file */
                    look(&world, "5035550102") == STICPS_ERR_NO_CARRIER &&
                    sticps_resolve_start(world.client, "5035550102", on_resolved, &count, NULL) ==
                        STICPS_ERR_USAGE;
        sticps_client_free(world.client);
        _exit(good && count.ended == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    atomic_store(&world.mood, PORTED); /* the parent's query goes on: its next try is answered */
    drive_until(&world, &count, 1);
    assert_int_equal(count.good, 1);
    end(&world);
}

static void test_options(void **state)
{
    static const char *const bad_names[] = {"", ".", "a..b", ".a", "a b", "a.b..", "a!"};
    static const char *const bad[] = {
        "",        "localhost", "192.0.2.1:", "192.0.2.1:0",   "192.0.2.1:65536", "192.0.2.1:5x",
        "192.0.2", "[::1",      "[::1]5",     "[192.0.2.1]:5", "2001:db8::g",     "192.0.2.1:-5"};
    static const char *const good[] = {"192.0.2.1", "192.0.2.1:5353", "2001:db8::1",
                                       "[2001:db8::1]", "[2001:db8::1]:5353"};
    struct sticps_options *options = sticps_options_new();
    struct sticps_error err;
    char label[80], whole[260];
    (void)state;
    for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        assert_int_equal(sticps_options_add_enum(options, bad_names[i], &err), STICPS_ERR_USAGE);
        assert_string_equal(err.where, "apex");
    }
    memset(label, 'a', sizeof(label));
    label[64] = '\0';
    assert_int_equal(sticps_options_add_enum(options, label, NULL), STICPS_ERR_USAGE);
    memset(whole, 'a', sizeof(whole));
    for (size_t i = 60; i < sizeof(whole); i += 61)
        whole[i] = '.';
    whole[201] = '\0';
    assert_int_equal(sticps_options_add_enum(options, whole, NULL), STICPS_ERR_USAGE);
    whole[200] = '\0';
    assert_int_equal(sticps_options_add_enum(options, whole, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_enum(options, NAME_APEX, &err), STICPS_ERR_USAGE);
    assert_string_equal(err.where, "enum");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (sticps_options_add_enum_server(options, bad[i], NULL) != STICPS_ERR_USAGE)
            fail_msg("'%s' is taken for an address", bad[i]);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(sticps_options_add_enum_server(options, good[i % 5], NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_enum_server(options, good[0], NULL), STICPS_ERR_USAGE);
    sticps_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asked_once_and_remembered),
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_one_query_for_all),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_freed_meanwhile),
        cmocka_unit_test(test_in_a_child),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

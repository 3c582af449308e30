/* sticps_resolve: each step and each reason, and that readers never meet a list or a portability
 * file that is being replaced. */
#include "sticps/sticps.h"

#include "tests/unit/held_list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static EVP_PKEY *key;
static char dir[64], npdb_path[128], csv_path[128], ports_path[128], override_path[128];
static _Atomic int64_t now;

static int64_t test_clock(void *context)
{
    (void)context;
    return atomic_load(&now);
}

static void write_file(char *path, const char *name, const char *text)
{
    snprintf(path, 128, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void build_npdb(const char *blocks, const char *ports)
{
    struct sticps_npdb_build *build = NULL;
    write_file(csv_path, "blocks.csv", blocks);
    write_file(ports_path, "ports.csv", ports);
    snprintf(npdb_path, sizeof(npdb_path), "%s/numbers.npdb", dir);
    assert_int_equal(sticps_npdb_build_new(&build, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_blocks(build, csv_path, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_ports(build, ports_path, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_run(build, npdb_path, NULL), STICPS_OK);
    sticps_npdb_build_free(build);
}

static const struct cps_entry entries[] = {
    {{"1234"}, "https://one.example.com/cps"},
    {{"5678"}, "https://two.example.com/cps"},
    {{"VWC55"}, "https://toll-free.example.com/cps"},
};

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/sticps-test-resolve-XXXXXX");
    assert_non_null(mkdtemp(dir));
    key = pki_p256();
    build_npdb("202-555,1234\n202-555-9,5678\n312-555,9ABC\n404-555,-\n44,UK01\n",
               "12025550124,3125550000\n12025550126,5678\n12025550127,9165550000\n"
               "18005550199,VWC55\n");
    write_file(override_path, "override.csv", "9ABC,5678\n");
    hold_list(dir, key, entries, 3, 7, PKI_NOW + 3600);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"blocks.csv",   "ports.csv",     "numbers.npdb",
                                        "override.csv", "cps-list.json", "cps-list.lock"};
    (void)state;
    EVP_PKEY_free(key);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static struct sticps_client *new_client(int64_t grace, bool override, bool npdb)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    const char *paths[] = {npdb_path};
    assert_non_null(options);
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    sticps_options_set_clock(options, test_clock, NULL);
    sticps_options_set_grace(options, grace);
    if (override)
        assert_int_equal(sticps_options_set_override_file(options, override_path, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    if (npdb)
        assert_int_equal(sticps_client_set_npdb(client, paths, 1, NULL), STICPS_OK);
    sticps_options_free(options);
    atomic_store(&now, PKI_NOW);
    return client;
}

static void test_steps(void **state)
{
    static const struct {
        const char *number;
        enum sticps_err code;
        const char *tn, *lrn, *carrier, *spc, *url;
        bool ported;
    } rows[] = {
        {"2025550123", 0, "12025550123", "", "1234", "1234", "https://one.example.com/cps", 0},
        {"+1 (202) 555-0123", 0, "12025550123", "", "1234", "1234", "https://one.example.com/cps",
         0},
        {"2025559123", 0, "12025559123", "", "5678", "5678", "https://two.example.com/cps", 0},
        {"2025550126", 0, "12025550126", "", "5678", "5678", "https://two.example.com/cps", 1},
        {"2025550124", 0, "12025550124", "13125550000", "9ABC", "5678",
         "https://two.example.com/cps", 1}, /* ported, and its carrier overridden */
        {"3125550100", 0, "13125550100", "", "9ABC", "5678", "https://two.example.com/cps", 0},
        {"8005550199", 0, "18005550199", "", "VWC55", "VWC55", "https://toll-free.example.com/cps",
         1},
        {"+442071838750", STICPS_ERR_CARRIER_HAS_NO_CPS, "442071838750", "", "UK01", "UK01", "", 0},
        {"2025550127", STICPS_ERR_NO_CARRIER, "12025550127", "19165550000", "", "", "", 1},
        {"4045550100", STICPS_ERR_NO_CARRIER, "14045550100", "", "", "", "", 0},
        {"5035550100", STICPS_ERR_NO_CARRIER, "15035550100", "", "", "", "", 0},
        {"8885550100", STICPS_ERR_NO_CARRIER, "18885550100", "", "", "", "", 0},
        {"", STICPS_ERR_NOT_A_NUMBER, "", "", "", "", "", 0},
        {"sip:a@b", STICPS_ERR_NOT_A_NUMBER, "", "", "", "", "", 0},
        {"1234567890123456", STICPS_ERR_NOT_A_NUMBER, "", "", "", "", "", 0},
    };
    (void)state;
    struct sticps_client *client = new_client(0, true, true);
    struct sticps_answer *answer = sticps_answer_new();
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sticps_error err = {0};
        assert_int_equal(sticps_resolve(client, rows[i].number, answer, &err), rows[i].code);
        assert_int_equal(err.code, rows[i].code);
        assert_int_equal(sticps_answer_reason(answer), rows[i].code);
        assert_string_equal(sticps_answer_tn(answer), rows[i].tn);
        assert_string_equal(sticps_answer_lrn(answer), rows[i].lrn);
        assert_string_equal(sticps_answer_carrier(answer), rows[i].carrier);
        assert_string_equal(sticps_answer_spc(answer), rows[i].spc);
        assert_string_equal(sticps_answer_url(answer), rows[i].url);
        assert_int_equal(sticps_answer_ported(answer), rows[i].ported);
        assert_int_equal(sticps_answer_sequence(answer), 7);
        assert_int_equal(sticps_answer_freshness(answer), STICPS_FRESH);
    }
    sticps_answer_free(answer);
    sticps_client_free(client);
}

static void test_freshness(void **state)
{
    static const struct {
        int64_t grace, age; /* age: seconds past exp */
        enum sticps_freshness freshness;
        enum sticps_err code;
    } rows[] = {
        {0, -1, STICPS_FRESH, 0},
        {0, 0, STICPS_EXPIRED, STICPS_ERR_LIST_EXPIRED},
        {60, -1, STICPS_FRESH, 0},
        {60, 0, STICPS_STALE, 0},
        {60, 59, STICPS_STALE, 0},
        {60, 60, STICPS_EXPIRED, STICPS_ERR_LIST_EXPIRED},
        {-5, 0, STICPS_EXPIRED, STICPS_ERR_LIST_EXPIRED},
    };
    (void)state;
    struct sticps_answer *answer = sticps_answer_new();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sticps_client *client = new_client(rows[i].grace, false, true);
        assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
        atomic_store(&now, PKI_NOW + 3600 + rows[i].age);
        assert_int_equal(sticps_resolve(client, "2025550123", answer, NULL), rows[i].code);
        assert_int_equal(sticps_answer_freshness(answer), rows[i].freshness);
        assert_int_equal(sticps_answer_url(answer)[0] != '\0', rows[i].code == STICPS_OK);
        /* what is not in an expired list may well be in the one that is in force */
        enum sticps_err code = sticps_resolve(client, "+442071838750", answer, NULL);
        assert_int_equal(code, rows[i].code != STICPS_OK ? STICPS_ERR_LIST_EXPIRED
                                                         : STICPS_ERR_CARRIER_HAS_NO_CPS);
        sticps_client_free(client);
    }
    sticps_answer_free(answer);
}

static void test_cold(void **state)
{
    (void)state;
    struct sticps_answer *answer = sticps_answer_new();
    struct sticps_client *client = new_client(0, false, true);
    assert_null(sticps_list_held(client, STICPS_LIST_CPS));
    assert_int_equal(sticps_resolve(client, "2025550123", answer, NULL), STICPS_ERR_NO_LIST);
    assert_string_equal(sticps_answer_spc(answer), "1234"); /* as far as the steps went */
    assert_int_equal(sticps_answer_freshness(answer), STICPS_NONE);
    assert_int_equal(sticps_answer_sequence(answer), 0);
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CA, NULL), STICPS_ERR_NO_LIST);
    sticps_client_free(client);
    client = new_client(0, false, false);
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
    assert_int_equal(sticps_resolve(client, "2025550123", answer, NULL), STICPS_ERR_NO_CARRIER);
    sticps_client_free(client);
    sticps_answer_free(answer);
}

static void test_sources_in_order(void **state)
{
    (void)state;
    char second[256];
    struct sticps_answer *answer = sticps_answer_new();
    struct sticps_client *client = new_client(0, false, false);
    snprintf(second, sizeof(second), "%s.2", npdb_path);
    assert_int_equal(rename(npdb_path, second), 0);
    build_npdb("202-555,5678\n", "18005550198,VWC55\n");
    const char *paths[] = {npdb_path, second}, *missing[] = {npdb_path, "/nonexistent"};
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
    assert_int_equal(sticps_client_set_npdb(client, paths, 2, NULL), STICPS_OK);
    assert_int_equal(sticps_resolve(client, "2025550123", answer, NULL), STICPS_OK);
    assert_string_equal(sticps_answer_spc(answer), "5678"); /* the first that knows */
    assert_int_equal(sticps_resolve(client, "8005550199", answer, NULL), STICPS_OK);
    assert_string_equal(sticps_answer_spc(answer), "VWC55"); /* the second */
    assert_int_equal(sticps_client_set_npdb(client, missing, 2, NULL), STICPS_ERR_FILE);
    assert_int_equal(sticps_resolve(client, "8005550199", answer, NULL), STICPS_OK); /* stays */
    sticps_client_free(client);
    sticps_answer_free(answer);
    assert_int_equal(rename(second, npdb_path), 0);
}

/* ---- replaced under the readers ---- */

#define READERS 3

struct reader {
    pthread_t thread;
    struct sticps_client *client;
    const atomic_bool *stop;
    atomic_long resolved;
};

static void *read_on(void *argument)
{
    struct reader *reader = argument;
    struct sticps_answer *answer = sticps_answer_new();
    while (!atomic_load(reader->stop)) {
        char expected[64];
        assert_int_equal(sticps_resolve(reader->client, "2025550123", answer, NULL), STICPS_OK);
        /* sequence and URL come from one list, never from two */
        snprintf(expected, sizeof(expected), "https://n%lld.example.com/",
                 (long long)sticps_answer_sequence(answer));
        assert_string_equal(sticps_answer_url(answer), expected);
        struct sticps_list *held = sticps_list_held(reader->client, STICPS_LIST_CPS);
        assert_int_equal(sticps_list_count(held), 1);
        sticps_list_unref(held);
        atomic_fetch_add(&reader->resolved, 1);
    }
    sticps_answer_free(answer);
    return NULL;
}

#define SNAPSHOTS 8
#define SWAPS 1000

/* Ready-made lists, which a rename puts in place of the held one. */
static void make_snapshots(char paths[SNAPSHOTS][160])
{
    char held[128];
    snprintf(held, sizeof(held), "%s/cps-list.json", dir);
    for (int i = 0; i < SNAPSHOTS; i++) {
        char url[64];
        snprintf(url, sizeof(url), "https://n%d.example.com/", 100 + i);
        const struct cps_entry one = {{"1234"}, url};
        hold_list(dir, key, &one, 1, 100 + i, PKI_NOW + 3600);
        snprintf(paths[i], 160, "%s.%d", held, i);
        assert_int_equal(rename(held, paths[i]), 0);
    }
}

static void swap_list(struct sticps_client *client, const char *snapshot)
{
    char held[128], next[140];
    snprintf(held, sizeof(held), "%s/cps-list.json", dir);
    snprintf(next, sizeof(next), "%s.next", held);
    unlink(next); /* a rename onto another name of the same file leaves it */
    assert_int_equal(link(snapshot, next), 0);
    assert_int_equal(rename(next, held), 0);
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
}

static bool all_resolved(struct reader *readers)
{
    for (int i = 0; i < READERS; i++)
        if (atomic_load(&readers[i].resolved) == 0)
            return false;
    return true;
}

static void test_replaced_under_the_readers(void **state)
{
    (void)state;
    struct sticps_client *client = new_client(0, false, true);
    struct reader readers[READERS];
    atomic_bool stop = false;
    const char *paths[] = {npdb_path};
    char snapshots[SNAPSHOTS][160];
    make_snapshots(snapshots);
    swap_list(client, snapshots[0]);
    for (int i = 0; i < READERS; i++) {
        readers[i].client = client;
        readers[i].stop = &stop;
        atomic_init(&readers[i].resolved, 0);
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    /* at least so often, and until the last of the readers has had its turn */
    for (int i = 1; i <= SWAPS || !all_resolved(readers); i++) {
        swap_list(client, snapshots[i % SNAPSHOTS]);
        if (i % 7 == 0)
            assert_int_equal(sticps_client_set_npdb(client, paths, 1, NULL), STICPS_OK);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    for (int i = 0; i < SNAPSHOTS; i++)
        unlink(snapshots[i]);
    sticps_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_freshness),
        cmocka_unit_test(test_cold),
        cmocka_unit_test(test_sources_in_order),
        cmocka_unit_test(test_replaced_under_the_readers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

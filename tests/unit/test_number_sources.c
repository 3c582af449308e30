/* Who serves a number, by several sources: the order in which they are asked, the host's own dip,
 * and the carrier of an LRN that came without one. */
#include "client/number_sources.h"
#include "sticps/sticps.h"

#include "tests/unit/held_list.h"

#include <stdio.h>
#include <unistd.h>

static char dir[64], npdb_path[128];

static void write_file(const char *name, const char *text, char path[128])
{
    snprintf(path, 128, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    static const struct cps_entry entries[] = {{{"1234"}, "https://one.example.com/cps"}};
    char blocks[128], ports[128];
    struct sticps_npdb_build *build = NULL;
    (void)state;
    strcpy(dir, "/tmp/sticps-test-numbers-XXXXXX");
    assert_non_null(mkdtemp(dir));
    write_file("blocks.csv", "202-555,1234\n202-555-9,9ABC\n312-555,9ABC\n+4420,1234\n", blocks);
    write_file("ports.csv", "12025550124,3125550000\n", ports);
    snprintf(npdb_path, sizeof(npdb_path), "%s/numbers.npdb", dir);
    assert_int_equal(sticps_npdb_build_new(&build, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_blocks(build, blocks, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_ports(build, ports, NULL), STICPS_OK);
    assert_int_equal(sticps_npdb_build_run(build, npdb_path, NULL), STICPS_OK);
    sticps_npdb_build_free(build);
    EVP_PKEY *key = pki_p256();
    hold_list(dir, key, entries, 1, 7, PKI_NOW + 3600);
    EVP_PKEY_free(key);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"blocks.csv", "ports.csv", "numbers.npdb", "cps-list.json",
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

/* What the host's function says, how often it was asked, and of what. */
struct host {
    enum sticps_dip_result result;
    struct sticps_dip dip;
    unsigned asked;
    char tn[32];
};

static enum sticps_dip_result on_dip(void *ctx, const char *tn, struct sticps_dip *out)
{
    static const struct sticps_dip none;
    struct host *host = ctx;
    assert_memory_equal(out, &none, sizeof(none)); /* it comes emptied */
    host->asked++;
    snprintf(host->tn, sizeof(host->tn), "%s", tn);
    *out = host->dip;
    return host->result;
}

enum order { DIP_ALONE, DIP_LAST, DIP_FIRST, FILES_ALONE };

static struct sticps_client *new_client(struct host *host, enum order order)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    const char *paths[] = {npdb_path};
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    sticps_options_set_clock(options, test_clock, NULL);
    if (order != FILES_ALONE)
        assert_int_equal(sticps_options_add_dip(options, on_dip, host, NULL), STICPS_OK);
    if (order == DIP_FIRST)
        assert_int_equal(sticps_options_add_npdb(options, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    if (order != DIP_ALONE)
        assert_int_equal(sticps_client_set_npdb(client, paths, 1, NULL), STICPS_OK);
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
    return client;
}

static void test_answers(void **state)
{
    static const struct {
        enum order order;
        const char *number;
        enum sticps_dip_result result;
        struct sticps_dip dip;
        enum sticps_err code;
        const char *lrn, *carrier;
        bool ported;
        unsigned asked;
        const char *text; /* in the error */
    } rows[] = {
        /* the file knows it: the host is not asked */
        {DIP_LAST, "2025550123", STICPS_DIP_FOUND, {"", "9ABC", true}, 0, "", "1234", 0, 0, ""},
        /* the file does not */
        {DIP_LAST, "5035550100", STICPS_DIP_FOUND, {"", "1234", true}, 0, "", "1234", 1, 1, ""},
        {DIP_LAST, "5035550100", STICPS_DIP_FOUND, {"", "1234", false}, 0, "", "1234", 0, 1, ""},
        {DIP_LAST,
         "5035550100",
         STICPS_DIP_NOT_FOUND,
         {"", "1234", true},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         1,
         "no source names"},
        {DIP_LAST,
         "5035550100",
         STICPS_DIP_FAILED,
         {"", "1234", true},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         1,
         "could not tell"},
        {DIP_LAST,
         "5035550100",
         STICPS_DIP_FOUND,
         {"", "", false},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         1,
         "no source names"},
        /* an LRN has the file's owner, unless the host names one: that of its NPA-NXX, whatever
         * pooled thousand it is in; of another country's, that of the longest prefix */
        {DIP_LAST,
         "5035550100",
         STICPS_DIP_FOUND,
         {"+1 202 555 9999", "", false},
         0,
         "12025559999",
         "1234",
         1,
         1,
         ""},
        {DIP_LAST,
         "5035550100",
         STICPS_DIP_FOUND,
         {"+44 20 7946 0018", "", false},
         0,
         "442079460018",
         "1234",
         1,
         1,
         ""},
        {DIP_LAST,
         "5035550100",
         STICPS_DIP_FOUND,
         {"3125550000", "1234", false},
         0,
         "13125550000",
         "1234",
         1,
         1,
         ""},
        {DIP_LAST,
         "5035550100",
         STICPS_DIP_FOUND,
         {"9165550000", "", false},
         STICPS_ERR_NO_CARRIER,
         "19165550000",
         "",
         1,
         1,
         "LRN 19165550000"},
        {DIP_ALONE,
         "5035550100",
         STICPS_DIP_FOUND,
         {"2025559999", "", false},
         STICPS_ERR_NO_CARRIER,
         "12025559999",
         "",
         1,
         1,
         "LRN 12025559999"},
        /* the host first: what the file says counts only where the host knows nothing */
        {DIP_FIRST, "2025550124", STICPS_DIP_FOUND, {"", "1234", true}, 0, "", "1234", 1, 1, ""},
        {DIP_FIRST,
         "2025550123",
         STICPS_DIP_NOT_FOUND,
         {"", "9ABC", true},
         0,
         "",
         "1234",
         0,
         1,
         ""},
        {DIP_FIRST, "2025550123", STICPS_DIP_FAILED, {"", "9ABC", true}, 0, "", "1234", 0, 1, ""},
        {DIP_FIRST, "2025550123", STICPS_DIP_FOUND, {"", "", false}, 0, "", "1234", 0, 1, ""},
        {DIP_FIRST,
         "2025550123",
         (enum sticps_dip_result)77,
         {"", "9ABC", true},
         0,
         "",
         "1234",
         0,
         1,
         ""},
        {DIP_ALONE,
         "2025550123",
         STICPS_DIP_FOUND,
         {"", "vwc55", true},
         STICPS_ERR_CARRIER_HAS_NO_CPS,
         "",
         "VWC55",
         1,
         1,
         "VWC55"},
        /* what is no number, no code, or does not end */
        {DIP_ALONE,
         "2025550123",
         STICPS_DIP_FOUND,
         {"", "12345", true},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         1,
         "no number or code"},
        {DIP_ALONE,
         "2025550123",
         STICPS_DIP_FOUND,
         {"lrn", "1234", true},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         1,
         "no number or code"},
        {DIP_ALONE,
         "2025550123",
         STICPS_DIP_FOUND,
         {"", "12345678", true},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         1,
         "does not end"},
        {DIP_ALONE,
         "2025550123",
         STICPS_DIP_FOUND,
         {"123456789012345678901234", "1234", true},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         1,
         "does not end"},
        {FILES_ALONE,
         "5035550100",
         STICPS_DIP_FOUND,
         {"", "1234", true},
         STICPS_ERR_NO_CARRIER,
         "",
         "",
         0,
         0,
         "no source names"},
    };
    (void)state;
    struct sticps_answer *answer = sticps_answer_new();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct host host = {.result = rows[i].result, .dip = rows[i].dip};
        struct sticps_client *client = new_client(&host, rows[i].order);
        struct sticps_error err = {0};
        enum sticps_err code = sticps_resolve(client, rows[i].number, answer, &err);
        if (code != rows[i].code || strstr(err.text, rows[i].text) == NULL)
            fail_msg("row %zu: %s: %s", i, sticps_err_name(code), err.text);
        assert_string_equal(sticps_answer_lrn(answer), rows[i].lrn);
        assert_string_equal(sticps_answer_carrier(answer), rows[i].carrier);
        assert_int_equal(sticps_answer_ported(answer), rows[i].ported);
        assert_int_equal(host.asked, rows[i].asked);
        if (host.asked > 0)
            assert_string_equal(host.tn, sticps_answer_tn(answer));
        sticps_client_free(client);
    }
    sticps_answer_free(answer);
}

/* New files keep what the options name beside them. */
static void test_files_anew(void **state)
{
    struct host host = {.result = STICPS_DIP_FOUND, .dip = {"", "1234", true}};
    struct sticps_client *client = new_client(&host, DIP_LAST);
    struct sticps_answer *answer = sticps_answer_new();
    const char *paths[] = {npdb_path, "/nonexistent/numbers.npdb"};
    (void)state;
    assert_int_equal(sticps_client_set_npdb(client, paths, 2, NULL), STICPS_ERR_FILE);
    assert_int_equal(sticps_client_set_npdb(client, paths, 1, NULL), STICPS_OK);
    assert_int_equal(sticps_resolve(client, "5035550100", answer, NULL), STICPS_OK);
    assert_int_equal(host.asked, 1);
    assert_int_equal(sticps_client_set_npdb(client, NULL, 0, NULL), STICPS_OK);
    assert_int_equal(sticps_resolve(client, "2025550124", answer, NULL), STICPS_OK);
    assert_int_equal(host.asked, 2);
    sticps_answer_free(answer);
    sticps_client_free(client);
}

static void test_each_source_once(void **state)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_error err;
    (void)state;
    assert_int_equal(sticps_options_add_dip(options, NULL, NULL, &err), STICPS_ERR_USAGE);
    assert_int_equal(sticps_options_add_dip(options, on_dip, NULL, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_dip(options, on_dip, NULL, &err), STICPS_ERR_USAGE);
    assert_string_equal(err.where, "dip");
    assert_int_equal(sticps_options_add_npdb(options, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_npdb(options, &err), STICPS_ERR_USAGE);
    assert_string_equal(err.where, "npdb");
    sticps_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_files_anew),
        cmocka_unit_test(test_each_source_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

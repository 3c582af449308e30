/* The portability database from CSV to answer: client/npdb_build, npdb_reader, number_source and
 * the public API over them. */
#include "client/number_source.h"
#include "sticps/npdb.h"
#include "tests/unit/npdb_fixture.h"

/* ---- what a number is answered with ---- */

static const char plan_blocks[] = "prefix,SPC\n"
                                  "202555,1234\n"   /* NPA-NXX */
                                  "2025551,ABCD\n"  /* pooled: another carrier */
                                  "202-555-2,-\n"   /* pooled: nobody */
                                  "303555,9999\n"   /* */
                                  "3035554,8888\n"  /* a pooled block that LRNs are in */
                                  "404555,-\n"      /* nobody's */
                                  "4045551,7777\n"  /* but for one thousand */
                                  "800555,VWC55\n"  /* toll-free */
                                  "+1242357,6001\n" /* E.164, eight digits */
                                  "1242,6002\n"     /* E.164, shorter */
                                  "44,UK00\n"       /* */
                                  "+447911,uk01\n"  /* */
                                  "+4479111,UK02\n" /* */
                                  "+202555,EG01\n"  /* Egypt, not Washington */
                                  "447911123456789,ONE1\n"
                                  "9,NINE\n";

static const char plan_ports[] = "TN,LRN\n"
                                 "2025550101,3035554000\n" /* LRN in a pooled block of another */
                                 "12025550102,13035550000\n"
                                 "+1 202 555 0103,8888\n"   /* ported, the carrier given */
                                 "2025550104,4045551000\n"  /* LRN whose NPA-NXX is nobody's */
                                 "2025550105,5055550000\n"  /* LRN whose NPA-NXX is unknown */
                                 "2025550106,12424560000\n" /* under a shorter prefix only */
                                 "2025550107,2025550000\n"  /* ported to its own block's owner */
                                 "8005550101,ZXC99\n"
                                 "447911123456,UK03\n"
                                 "6065550100,1234\n"; /* its block is unknown */

static const struct {
    const char *number, *answer;
} answers[] = {
    {"2025550000", "block/-/1234"},
    {"12025559999", "block/-/1234"},
    {"2025551000", "block/-/ABCD"},
    {"2025552000", "block/-/-"},
    {"2025560000", "unknown"},
    {"2025550101", "ported/13035554000/9999"},
    {"2025550102", "ported/13035550000/9999"},
    {"2025550103", "ported/-/8888"},
    {"2025550104", "ported/14045551000/-"},
    {"2025550105", "ported/15055550000/-"},
    {"2025550106", "ported/12424560000/-"},
    {"2025550107", "ported/12025550000/1234"},
    {"3035554000", "block/-/8888"},
    {"4045550000", "block/-/-"},
    {"4045551000", "block/-/7777"},
    {"8005550101", "ported/-/ZXC99"},
    {"8005550102", "block/-/VWC55"},
    {"8005560102", "unknown"},
    {"2423570000", "block/-/6001"},
    {"2423580000", "block/-/6002"},
    {"+442079460018", "block/-/UK00"},
    {"+447911000000", "block/-/UK01"},
    {"+447911123456", "ported/-/UK03"},
    {"+447911123457", "block/-/UK02"},
    {"447911123456789", "block/-/ONE1"},
    {"44791112345678", "block/-/UK02"},
    {"+2025550101", "block/-/EG01"},
    {"6065550100", "ported/-/1234"},
    {"6065550101", "unknown"},
    {"9", "block/-/NINE"},
    {"911", "block/-/NINE"},
    {"1", "unknown"},
    {"4", "unknown"},
    {"0", "unknown"},
};

static void numbers_find_their_owner(void **state)
{
    struct npdb *npdb = build_and_open(*state, plan_blocks, plan_ports);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        char text[64];
        const char *answer = ask(npdb, answers[i].number, text);
        if (strcmp(answer, answers[i].answer) != 0)
            print_error("%s\n", answers[i].number);
        assert_string_equal(answer, answers[i].answer);
    }
    npdb_close(npdb);
}

/* Never fall back to the block that the number was ported away from. */
static void a_ported_number_never_answers_with_its_own_block(void **state)
{
    char text[64];
    struct npdb *npdb = build_and_open(*state, "202555,1234\n", "2025550101,3035550000\n");
    assert_string_equal(ask(npdb, "2025550101", text), "ported/13035550000/-");
    assert_string_equal(ask(npdb, "2025550102", text), "block/-/1234");
    npdb_close(npdb);
}

static void an_empty_plan_knows_nobody(void **state)
{
    char text[64];
    struct npdb *npdb = build_and_open(*state, "", "TN,LRN\n");
    assert_string_equal(ask(npdb, "2025550101", text), "unknown");
    npdb_close(npdb);
    npdb = build_and_open(*state, NULL, NULL);
    assert_string_equal(ask(npdb, "2025550101", text), "unknown");
    npdb_close(npdb);
    npdb = build_and_open(*state, NULL, "2025550101,1234\n");
    assert_string_equal(ask(npdb, "2025550101", text), "ported/-/1234");
    npdb_close(npdb);
}

/* ---- rows that are refused ---- */

static const struct {
    const char *blocks, *ports; /* one of them has the fault in line 2 */
    const char *what;           /* part of the message */
} faults[] = {
    {"202555,1234\n20x555,1234\n", NULL, "'x' at position 3"},
    {"202555,1234\n,1234\n", NULL, "at least one digit"},
    {"202555,1234\n1234567890123456,1234\n", NULL, "at most 15"},
    {"202555,1234\n303555,\n", NULL, "no SPC; write -"},
    {"202555,1234\n303555,12345\n", NULL, "'12345' is no Service Provider Code"},
    {"202555,1234\n303555,--\n", NULL, "no Service Provider Code"},
    {"202555,1234\n303555,12\xc3\xa9\n", NULL, "no Service Provider Code"},
    {"202555,1234\n303555\n", NULL, "one column"},
    {"202555,1234\n303555,1234,5\n", NULL, "more than two columns"},
    {"202555,1234\n303555,\"1234\n", NULL, "not closed"},
    {"202555,1234\nprefix,SPC\n", NULL, "'p' at position 1"},
    {NULL, "2025550100,1234\n2025550101,-\n", "no Service Provider Code"},
    {NULL, "2025550100,1234\n2025550101,\n", "neither an LRN nor an SPC"},
    {NULL, "2025550100,1234\n2025550101,303555\n", "neither an LRN"},
    {NULL, "2025550100,1234\n2025550101,1035550000\n", "neither an LRN"},
    {NULL, "2025550100,1234\n2025550101,23035550000\n", "neither an LRN"},
    {NULL, "2025550100,1234\n2025550101,442079460018\n", "neither an LRN"},
    {NULL, "2025550100,1234\n2025550101,303555000x\n", "neither an LRN"},
    {NULL, "2025550100,1234\n1202555010,1234\n", "country code 1"},
    {NULL, "2025550100,1234\n11025550101,1234\n", "country code 1"},
    {NULL, "2025550100,1234\n120255501012,1234\n", "country code 1"},
    {NULL, "2025550100,1234\n8005550101,3035550000\n", "toll-free"},
    {NULL, "2025550100,1234\n+18885550101,3035550000\n", "toll-free"},
    {NULL, "2025550100,1234\nTN,LRN\n", "'T' at position 1"},
    {"202555,1234\n202555,ABCD\n", NULL, "1202555 has ABCD here but 1234 at"},
    {"202555,1234\n+1202555,-\n", NULL, "has nobody here but 1234 at"},
    {NULL, "2025550100,1234\n12025550100,3035550000\n",
     "12025550100 has LRN 13035550000 here but 1234 at"},
};

static void a_wrong_row_is_named_and_nothing_is_written(void **state)
{
    struct folder *f = *state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct sticps_error err = {.code = STICPS_OK};
        struct npdb_build_stats stats;
        char where[128];
        put_file(f->output, "old", 3);
        enum sticps_err code =
            build_text(f, faults[i].blocks, faults[i].ports, false, &stats, &err);
        assert_int_equal(code, STICPS_ERR_NPDB);
        assert_int_equal(stats.faults, 1);
        snprintf(where, sizeof(where), "%s:2", faults[i].blocks != NULL ? f->blocks : f->ports);
        assert_string_equal(err.where, where);
        if (strstr(err.text, faults[i].what) == NULL)
            print_error("%zu: %s\n", i, err.text);
        assert_non_null(strstr(err.text, faults[i].what));

        size_t len;
        unsigned char *data = get_file(f->output, &len);
        assert_int_equal(len, 3);
        assert_memory_equal(data, "old", 3);
        free(data);
        folder_count(f, 1);
    }
}

struct heard {
    size_t count;
    uint64_t lines;
};

static void on_fault(const char *file, uint64_t line, const char *what, void *arg)
{
    struct heard *heard = arg;
    assert_non_null(strstr(file, "blocks.csv"));
    assert_true(strlen(what) > 0);
    heard->count++;
    heard->lines += line;
}

static void many_faults_are_counted_and_twenty_reported(void **state)
{
    struct folder *f = *state;
    char text[2048] = "202555,1234\n";
    for (int i = 0; i < 50; i++)
        strncat(text, "bad,1234\n", sizeof(text) - strlen(text) - 1);
    put_file(f->blocks, text, strlen(text));
    const char *path = f->blocks;
    struct heard heard = {0, 0};
    struct npdb_build_options options = {
        .blocks = &path, .blocks_len = 1, .output = f->output, .on_fault = on_fault, .arg = &heard};
    struct npdb_build_stats stats;
    struct sticps_error err;
    assert_int_equal(npdb_build(&options, &stats, &err), STICPS_ERR_NPDB);
    assert_int_equal(stats.faults, 50);
    assert_int_equal(heard.count, 20);
    assert_int_equal(heard.lines, 20 * 2 + 19 * 20 / 2); /* lines 2 to 21 */
    assert_non_null(strstr(err.text, "and 49 more rows"));
}

static void files_that_cannot_be_read_or_written(void **state)
{
    struct folder *f = *state;
    struct sticps_error err;
    const char *path = f->blocks;
    struct npdb_build_options options = {.blocks = &path, .blocks_len = 1, .output = f->output};
    assert_int_equal(npdb_build(&options, NULL, &err), STICPS_ERR_FILE);
    assert_string_equal(err.where, f->blocks);
    put_file(f->blocks, "202555,1234\n", 12);
    char output[160];
    snprintf(output, sizeof(output), "%s/no/such/folder/out", f->path);
    options.output = output;
    assert_int_equal(npdb_build(&options, NULL, &err), STICPS_ERR_FILE);
    /* a folder in the way: the rename fails, and the temporary file goes */
    assert_int_equal(mkdir(f->output, 0700), 0);
    options.output = f->output;
    assert_int_equal(npdb_build(&options, NULL, &err), STICPS_ERR_FILE);
    assert_int_equal(folder_count(f, 0), 2);
    assert_int_equal(rmdir(f->output), 0);
    path = f->path; /* a folder instead of a CSV */
    options.output = f->output;
    assert_int_equal(npdb_build(&options, NULL, &err), STICPS_ERR_FILE);
    assert_int_equal(folder_count(f, 0), 1);
}

/* ---- duplicates, order, the file itself ---- */

static void duplicates_are_counted(void **state)
{
    struct npdb_build_stats stats;
    assert_int_equal(build_text(*state, "202555,1234\n202-555,1234\n1202555,1234\n",
                                "2025550100,abcd\n12025550100,ABCD\n", false, &stats, NULL),
                     STICPS_OK);
    assert_int_equal(stats.duplicates, 3);
    assert_int_equal(stats.blocks, 1);
    assert_int_equal(stats.ports, 1);
    assert_int_equal(stats.spcs, 2);
}

static void the_last_row_wins_when_told(void **state)
{
    struct folder *f = *state;
    struct npdb_build_stats stats;
    struct npdb *npdb;
    char text[64];
    assert_int_equal(build_text(f, "202555,ABCD\n",
                                "2025550100,3035550000\n2025550100,9999\n"
                                "2025550100,4045550000\n",
                                true, &stats, NULL),
                     STICPS_OK);
    assert_int_equal(stats.overridden, 2);
    assert_int_equal(stats.ports, 1);
    assert_int_equal(stats.lrns, 1); /* owners that nobody names any more are not in the file */
    assert_int_equal(stats.spcs, 1);
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, NULL), STICPS_OK);
    assert_string_equal(ask(npdb, "2025550100", text), "ported/14045550000/-");
    npdb_close(npdb);

    /* between files, the order in which they are given counts */
    put_file(f->more, "2025550100,1111\n", 16);
    put_file(f->ports, "\n\n\n\n2025550100,2222\n", 20);
    for (int turn = 0; turn < 2; turn++) {
        const char *paths[2] = {turn ? f->more : f->ports, turn ? f->ports : f->more};
        struct npdb_build_options options = {
            .ports = paths, .ports_len = 2, .output = f->output, .last_wins = true};
        assert_int_equal(npdb_build(&options, NULL, NULL), STICPS_OK);
        assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, NULL), STICPS_OK);
        assert_string_equal(ask(npdb, "2025550100", text),
                            turn ? "ported/-/2222" : "ported/-/1111");
        npdb_close(npdb);
    }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void equal_rows_give_equal_bytes(void **state)
{
    struct folder *f = *state;
    enum { ROWS = 500 };
    static char rows[ROWS][40], text[ROWS * 40];
    uint64_t seed = 7;
    unsigned char *first = NULL;
    size_t first_len = 0;
    for (int i = 0; i < ROWS; i++)
        snprintf(rows[i], sizeof(rows[i]), i % 3 ? "202555%04d,303%03d0000\n" : "202555%04d,%04d\n",
                 i, i % 3 ? 200 + i % 90 : i % 50);
    for (int turn = 0; turn < 5; turn++) {
        text[0] = '\0';
        for (size_t i = ROWS - 1; i > 0; i--) {
            char swap[40];
            size_t j = next_random(&seed) % (i + 1);
            memcpy(swap, rows[i], 40);
            memcpy(rows[i], rows[j], 40);
            memcpy(rows[j], swap, 40);
        }
        char *at = text;
        for (size_t i = 0; i < ROWS; i++)
            at = stpcpy(at, rows[i]);
        size_t len;
        assert_int_equal(build_text(f, plan_blocks, text, false, NULL, NULL), STICPS_OK);
        unsigned char *data = get_file(f->output, &len);
        if (first != NULL) {
            assert_int_equal(len, first_len);
            assert_memory_equal(data, first, len);
            free(data);
        } else {
            first = data;
            first_len = len;
        }
    }
    free(first);
}

static void the_file_is_whole_and_readable_by_all(void **state)
{
    struct folder *f = *state;
    struct stat st;
    struct npdb_build_stats stats;
    mode_t old = umask(077);
    struct npdb *before = build_and_open(f, "202555,1234\n", NULL);
    assert_int_equal(build_text(f, "202555,9999\n", NULL, false, &stats, NULL), STICPS_OK);
    umask(old);
    assert_int_equal(stat(f->output, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(st.st_size, stats.bytes);
    assert_int_equal(folder_count(f, 0), 2); /* blocks.csv, out.npdb: nothing left behind */
    /* who has the old file open keeps it */
    struct npdb *after;
    char text[64];
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &after, NULL), STICPS_OK);
    assert_string_equal(ask(before, "2025550000", text), "block/-/1234");
    assert_string_equal(ask(after, "2025550000", text), "block/-/9999");
    npdb_close(before);
    npdb_close(after);
}

/* ---- the interfaces over it ---- */

static void as_a_source_of_numbers(void **state)
{
    struct npdb *npdb =
        build_and_open(*state, "202555,1234\n2025559,-\n", "2025550100,2025550000\n");
    struct number_source *source;
    struct number_answer answer = {true, {"x"}, {"x"}};
    struct tn tn = {"13035550100"};
    assert_int_equal(number_source_npdb(npdb, &source, NULL), STICPS_OK);
    assert_int_equal(number_source_lookup(source, &tn, &answer, NULL), NUMBER_NOT_FOUND);
    assert_string_equal(answer.spc.text, "x"); /* untouched */
    tn = (struct tn){"12025550100"};
    assert_int_equal(number_source_lookup(source, &tn, &answer, NULL), NUMBER_FOUND);
    assert_true(answer.ported);
    assert_string_equal(answer.lrn.digits, "12025550000");
    assert_string_equal(answer.spc.text, "1234");
    tn = (struct tn){"12025559100"};
    assert_int_equal(number_source_lookup(source, &tn, &answer, NULL), NUMBER_FOUND);
    assert_false(answer.ported);
    assert_string_equal(answer.lrn.digits, "");
    assert_string_equal(answer.spc.text, "");
    number_source_free(source); /* closes npdb */
    number_source_free(NULL);
}

static void count_fault(const char *file, uint64_t line, const char *what, void *arg)
{
    (void)file;
    (void)what;
    *(uint64_t *)arg += line;
}

static void the_public_interface(void **state)
{
    struct folder *f = *state;
    struct sticps_npdb_build *build;
    struct sticps_npdb *npdb = NULL;
    struct sticps_npdb_answer answer;
    struct sticps_error err;
    uint64_t lines = 0;
    put_file(f->blocks, "202555,1234\n303555,5678\n", 24);
    put_file(f->ports, "2025550100,3035550000\n2025550100,9999\n", 38);
    assert_int_equal(sticps_npdb_open(f->output, 1, &npdb, &err), STICPS_ERR_FILE);
    assert_null(npdb);
    assert_int_equal(sticps_npdb_build_new(&build, &err), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_blocks(build, f->blocks, &err), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_ports(build, f->ports, &err), STICPS_OK);
    sticps_npdb_build_on_fault(build, count_fault, &lines);
    assert_int_equal(sticps_npdb_build_run(build, f->output, &err), STICPS_ERR_NPDB);
    assert_int_equal(lines, 2);
    assert_int_equal(sticps_npdb_build_figure(build, STICPS_NPDB_FAULTS), 1);
    sticps_npdb_build_set_last_wins(build, 1);
    put_file(f->ports, "2025550100,9999\n2025550100,3035550000\n", 38);
    assert_int_equal(sticps_npdb_build_run(build, f->output, &err), STICPS_OK);
    assert_int_equal(sticps_npdb_build_figure(build, STICPS_NPDB_OVERRIDDEN), 1);
    assert_int_equal(sticps_npdb_build_figure(build, STICPS_NPDB_FAULTS), 0);

    assert_int_equal(sticps_npdb_open(f->output, 1, &npdb, &err), STICPS_OK);
    for (int i = STICPS_NPDB_BYTES; i <= STICPS_NPDB_LRNS_WITHOUT_OWNER; i++)
        assert_int_equal(sticps_npdb_figure(npdb, (enum sticps_npdb_figure)i),
                         sticps_npdb_build_figure(build, (enum sticps_npdb_figure)i));
    assert_int_equal(sticps_npdb_figure(npdb, STICPS_NPDB_BLOCKS), 2);
    assert_int_equal(sticps_npdb_figure(npdb, STICPS_NPDB_SPCS), 2);
    assert_int_equal(sticps_npdb_lookup(npdb, "(202) 555-0100", 1, &answer, &err), STICPS_OK);
    assert_string_equal(answer.tn, "12025550100");
    assert_string_equal(answer.lrn, "13035550000");
    assert_string_equal(answer.spc, "5678");
    assert_int_equal(answer.ported, 1);
    assert_int_equal(sticps_npdb_lookup(npdb, "2025550100", 0, &answer, &err), STICPS_OK);
    assert_string_equal(answer.tn, "2025550100");
    assert_string_equal(answer.spc, "");
    assert_int_equal(sticps_npdb_lookup(npdb, "number", 1, &answer, &err), STICPS_ERR_TN);
    assert_string_equal(answer.tn, "2025550100"); /* untouched */
    sticps_npdb_close(npdb);
    sticps_npdb_close(NULL);
    sticps_npdb_build_free(build);
    sticps_npdb_build_free(NULL);
}

static void a_thousand_files_and_no_more(void **state)
{
    struct folder *f = *state;
    struct sticps_npdb_build *build;
    struct sticps_error err;
    put_file(f->blocks, "202555,1234\n", 12);
    assert_int_equal(sticps_npdb_build_new(&build, &err), STICPS_OK);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sticps_npdb_build_add_blocks(build, f->blocks, &err), STICPS_OK);
    assert_int_equal(sticps_npdb_build_add_ports(build, f->ports, &err), STICPS_ERR_USAGE);
    assert_int_equal(sticps_npdb_build_run(build, f->output, &err), STICPS_OK);
    assert_int_equal(sticps_npdb_build_figure(build, STICPS_NPDB_DUPLICATES), 999);
    sticps_npdb_build_free(build);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_find_their_owner),
        TEST(a_ported_number_never_answers_with_its_own_block),
        TEST(an_empty_plan_knows_nobody),
        TEST(a_wrong_row_is_named_and_nothing_is_written),
        TEST(many_faults_are_counted_and_twenty_reported),
        TEST(files_that_cannot_be_read_or_written),
        TEST(duplicates_are_counted),
        TEST(the_last_row_wins_when_told),
        TEST(equal_rows_give_equal_bytes),
        TEST(the_file_is_whole_and_readable_by_all),
        TEST(as_a_source_of_numbers),
        TEST(the_public_interface),
        TEST(a_thousand_files_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

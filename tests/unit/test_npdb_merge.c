/* npdb_base, npdb_block_symbols and the tools: an older file and changes give the bytes that a
 * build from all rows gives; what diff says, merge takes; what dump says, build takes. */
#include "tests/unit/npdb_fixture.h"

#include "client/tools/diff.h"
#include "client/tools/dump.h"
#include "client/tools/verify.h"

#include "client/crc32c.h"

#include <inttypes.h>
#include <strings.h>

/* ---- random plans ---- */

static uint64_t seed;

static unsigned random_below(unsigned bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % bound);
}

#define NUMBERS 5200u
#define PREFIXES 60u
#define OWNERS 700u
#define NONE UINT16_MAX /* no row */
#define NOBODY OWNERS   /* of a block: "-" */

/* Who has each of a fixed set of numbers and prefixes. */
struct plan {
    uint16_t number[NUMBERS], prefix[PREFIXES];
};

/* Odd owners are SPCs; even ones LRNs, some of a code that no block names. */
static const char *owner_text(unsigned owner, char out[24])
{
    if (owner == NOBODY)
        return "-";
    if (owner % 2 == 1)
        snprintf(out, 24, "A%03u", owner);
    else
        snprintf(out, 24, "20255%u%04u", owner % 5, owner);
    return out;
}

/* Whole thousands, single numbers in many others, toll-free ones, and those of other countries. */
static const char *number_text(unsigned i, char out[24])
{
    if (i < 3000)
        snprintf(out, 24, "202555%u%03u", i / 1000, i % 1000);
    else if (i < 4000)
        snprintf(out, 24, "9898%03u%03u", i % 1000, i * 7 % 1000);
    else if (i < 5000)
        snprintf(out, 24, "20230%u%04u", i % 7, i * 13 % 10000);
    else if (i < 5100)
        snprintf(out, 24, "8005550%03u", i % 1000);
    else
        snprintf(out, 24, "+44207946%u", i);
    return out;
}

static const char *prefix_text(unsigned i, char out[24])
{
    static const char *const wide[] = {"+1",   "+12", "+120",  "+1202", "+12025",
                                       "+198", "+44", "+4420", "+1345", "+134555"};
    if (i < 10)
        return wide[i];
    if (i < 25)
        snprintf(out, 24, "20255%u%s", i % 5, i < 15 ? "" : i < 20 ? "0" : "2");
    else
        snprintf(out, 24, "%u", 202300 + i);
    return out;
}

static void plan_draw(struct plan *plan, unsigned owners)
{
    for (unsigned i = 0; i < NUMBERS; i++) {
        unsigned owner = random_below(owners);
        if (random_below(100) < 70)
            owner /= 20; /* some have many */
        if (i >= 5000)
            owner |= 1;
        plan->number[i] = (uint16_t)(random_below(3) == 0 ? NONE : owner);
    }
    for (unsigned i = 0; i < PREFIXES; i++)
        plan->prefix[i] = (uint16_t)(random_below(4) == 0   ? NONE
                                     : random_below(5) == 0 ? NOBODY
                                                            : random_below(owners) | 1);
}

/* Changes `percent` of the plan to what `other` has. */
static void plan_move(struct plan *plan, const struct plan *other, unsigned percent)
{
    for (unsigned i = 0; i < NUMBERS; i++)
        if (random_below(100) < percent)
            plan->number[i] = other->number[i];
    for (unsigned i = 0; i < PREFIXES; i++)
        if (random_below(100) < percent)
            plan->prefix[i] = other->prefix[i];
}

/* ---- files of it ---- */

static char *path_of(const struct folder *f, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", f->path, name);
    return out;
}

static void put_plan(const struct folder *f, const struct plan *plan)
{
    char text[24], owner[24];
    FILE *blocks = fopen(f->blocks, "we"), *ports = fopen(f->ports, "we");
    assert_non_null(blocks);
    assert_non_null(ports);
    for (unsigned i = 0; i < PREFIXES; i++)
        if (plan->prefix[i] != NONE)
            fprintf(blocks, "%s,%s\n", prefix_text(i, text), owner_text(plan->prefix[i], owner));
    for (unsigned i = 0; i < NUMBERS; i++)
        if (plan->number[i] != NONE)
            fprintf(ports, "%s,%s\n", number_text(i, text), owner_text(plan->number[i], owner));
    assert_int_equal(fclose(blocks), 0);
    assert_int_equal(fclose(ports), 0);
}

/* Builds `output`, from f->blocks and f->ports. */
static enum sticps_err build(const struct folder *f, const char *base, const char *output,
                             uint64_t sequence, bool last_wins, struct npdb_build_stats *stats,
                             struct sticps_error *err)
{
    const char *blocks = f->blocks, *ports = f->ports;
    const struct npdb_build_options options = {.blocks = &blocks,
                                               .blocks_len = 1,
                                               .ports = &ports,
                                               .ports_len = 1,
                                               .base = base,
                                               .output = output,
                                               .last_wins = last_wins,
                                               .sequence = sequence,
                                               .threads = 2};
    return npdb_build(&options, stats, err);
}

static void must_build(const struct folder *f, const char *base, const char *output,
                       uint64_t sequence, struct npdb_build_stats *stats)
{
    struct sticps_error err = {.code = STICPS_OK};
    if (build(f, base, output, sequence, false, stats, &err) != STICPS_OK)
        fail_msg("%s: %s", err.where, err.text);
}

static struct npdb *must_open(const char *path)
{
    struct npdb *npdb = NULL;
    struct sticps_error err = {.code = STICPS_OK};
    if (npdb_open(path, NPDB_CHECK_ALL, &npdb, &err) != STICPS_OK)
        fail_msg("%s: %s", err.where, err.text);
    return npdb;
}

static void assert_same_bytes(const char *one, const char *other)
{
    size_t one_len, other_len;
    unsigned char *a = get_file(one, &one_len), *b = get_file(other, &other_len);
    assert_int_equal(one_len, other_len);
    assert_memory_equal(a, b, one_len);
    free(a);
    free(b);
}

static void assert_verified(const char *path)
{
    struct sticps_error err = {.code = STICPS_OK};
    struct npdb *npdb = must_open(path);
    if (verify_file(npdb, &err) != STICPS_OK)
        fail_msg("%s: %s", path, err.text);
    npdb_close(npdb);
}

/* Writes the changes from one file to the other as the rows of f->blocks and f->ports. */
static struct diff_counts put_diff(const struct folder *f, const char *old, const char *new)
{
    struct npdb *from = must_open(old), *to = must_open(new);
    FILE *blocks = fopen(f->blocks, "we"), *ports = fopen(f->ports, "we");
    struct diff_counts counts;
    assert_int_equal(diff_rows(from, to, ports, blocks, &counts, NULL), STICPS_OK);
    assert_int_equal(fclose(blocks), 0);
    assert_int_equal(fclose(ports), 0);
    npdb_close(from);
    npdb_close(to);
    return counts;
}

/* ---- merge of a diff ---- */

/* The widths of palettes go from below 256 to above and back. */
static void test_diff_merges(void **state)
{
    static const unsigned owners[][2] = {{3, 3},     {20, 40},   {200, 690}, {690, 200},
                                         {690, 690}, {250, 270}, {3, 690},   {690, 3}};
    struct folder *f = *state;
    char old[128], new[128], merged[128];
    path_of(f, "old", old);
    path_of(f, "new", new);
    path_of(f, "merged", merged);
    struct plan *plan = calloc(2, sizeof(*plan));
    for (unsigned round = 0; round < 8; round++) {
        seed = 88172645463325252u + round;
        plan_draw(&plan[0], owners[round % 8][0]);
        plan_draw(&plan[1], owners[round % 8][1]);
        put_plan(f, &plan[0]);
        must_build(f, NULL, old, 7, NULL);
        if (round % 5 != 3)
            plan_move(&plan[0], &plan[1], round % 5 == 0 ? 1 : round % 5 == 1 ? 20 : 100);
        put_plan(f, &plan[0]);
        must_build(f, NULL, new, 8, NULL);
        assert_verified(new);

        struct npdb_build_stats stats;
        struct diff_counts counts = put_diff(f, old, new);
        must_build(f, old, merged, 0, &stats);
        assert_same_bytes(merged, new);
        assert_int_equal(stats.changes.ported_in, counts.ported_in);
        assert_int_equal(stats.changes.ported_back, counts.ported_back);
        assert_int_equal(stats.changes.moved, counts.moved);
        assert_int_equal(stats.changes.blocks,
                         counts.blocks_added + counts.blocks_removed + counts.blocks_changed);
        assert_int_equal(stats.changes.same, 0);

        /* a second time nothing is left to change */
        must_build(f, merged, merged, 8, &stats);
        assert_same_bytes(merged, new);
        assert_int_equal(stats.changes.ported_in + stats.changes.ported_back + stats.changes.moved +
                             stats.changes.blocks,
                         0);
        assert_int_equal(stats.changes.same, counts.ported_in + counts.ported_back + counts.moved +
                                                 counts.blocks_added + counts.blocks_removed +
                                                 counts.blocks_changed);
        counts = put_diff(f, merged, new);
        assert_int_equal(counts.ported_in + counts.ported_back + counts.moved +
                             counts.blocks_added + counts.blocks_removed + counts.blocks_changed,
                         0);
    }
    free(plan);
}

static void test_dump_builds_the_same(void **state)
{
    struct folder *f = *state;
    char old[128], again[128];
    struct plan *plan = calloc(1, sizeof(*plan));
    path_of(f, "old", old);
    path_of(f, "again", again);
    for (unsigned round = 0; round < 4; round++) {
        seed = 362436069u + round;
        plan_draw(plan, round % 2 == 0 ? 30 : 600);
        put_plan(f, plan);
        must_build(f, NULL, old, 3, NULL);
        struct npdb *npdb = must_open(old);
        FILE *blocks = fopen(f->blocks, "we"), *ports = fopen(f->ports, "we");
        uint64_t blocks_rows, ports_rows;
        assert_int_equal(dump_rows(npdb, blocks, ports, &blocks_rows, &ports_rows, NULL),
                         STICPS_OK);
        assert_int_equal(fclose(blocks), 0);
        assert_int_equal(fclose(ports), 0);
        npdb_close(npdb);
        struct npdb_build_stats stats;
        must_build(f, NULL, again, 3, &stats);
        assert_int_equal(stats.blocks, blocks_rows);
        assert_int_equal(stats.ports, ports_rows);
        assert_same_bytes(old, again);
    }
    free(plan);
}

/* ---- what changes mean ---- */

static void put_changes(const struct folder *f, const char *blocks, const char *ports)
{
    put_file(f->blocks, blocks, strlen(blocks));
    put_file(f->ports, ports, strlen(ports));
}

static struct npdb *merge_and_open(const struct folder *f, const char *old, const char *blocks,
                                   const char *ports, struct npdb_build_stats *stats)
{
    char merged[128];
    put_changes(f, blocks, ports);
    must_build(f, old, path_of(f, "merged", merged), 0, stats);
    assert_verified(merged);
    return must_open(merged);
}

static void assert_answer(const struct npdb *npdb, const char *number, const char *expected)
{
    char out[64];
    assert_string_equal(ask(npdb, number, out), expected);
}

static void make_old(const struct folder *f, char old[128])
{
    put_changes(f, "202555,1234\n2025557,7777\n303555,3035\n+44,4444\n+4420,-\n",
                "2025550001,3035550000\n2025550002,3035550000\n8005550000,RSP01\n"
                "+442079460000,3035550000\n");
    must_build(f, NULL, path_of(f, "old", old), 41, NULL);
}

static void test_meaning_of_changes(void **state)
{
    struct folder *f = *state;
    char old[128];
    struct npdb_build_stats stats;
    make_old(f, old);
    struct npdb *npdb = merge_and_open(f, old, "303555,9035\n2025557,DELETE\n+4420,delete\n",
                                       "2025550001,-\n2025550003,3035550001\n2025550002,ABCD\n"
                                       "+442079460000,-\n2025550009,-\n8005550000,RSP01\n",
                                       &stats);
    assert_answer(npdb, "2025550001", "block/-/1234");
    assert_answer(npdb, "2025550002", "ported/-/ABCD");
    assert_answer(npdb, "2025550003", "ported/13035550001/9035"); /* the code's new carrier */
    assert_answer(npdb, "2025557000", "block/-/1234");
    assert_answer(npdb, "8005550000", "ported/-/RSP01");
    assert_answer(npdb, "+442079460000", "block/-/4444");
    assert_answer(npdb, "3035550000", "block/-/9035");
    assert_int_equal(npdb_sequence(npdb), 42);
    npdb_close(npdb);
    assert_int_equal(stats.changes.ported_in, 1);
    assert_int_equal(stats.changes.moved, 1);
    assert_int_equal(stats.changes.ported_back, 2);
    assert_int_equal(stats.changes.same, 2);
    assert_int_equal(stats.changes.blocks, 3);
    assert_int_equal(stats.ports, 3);

    /* "-" stays a row: nobody has the thousand */
    npdb = merge_and_open(f, old, "2025557,-\n303555,delete\n", "", &stats);
    assert_answer(npdb, "2025557000", "block/-/-");
    assert_answer(npdb, "2025550001", "ported/13035550000/-");
    npdb_close(npdb);
}

static void test_changes_to_nothing(void **state)
{
    struct folder *f = *state;
    char old[128], empty[128], merged[128];
    make_old(f, old);
    put_changes(f, "", "");
    must_build(f, NULL, path_of(f, "empty", empty), 42, NULL);
    put_changes(f, "202555,delete\n2025557,delete\n303555,delete\n+44,delete\n+4420,delete\n",
                "2025550001,-\n2025550002,-\n8005550000,-\n+442079460000,-\n");
    must_build(f, old, path_of(f, "merged", merged), 0, NULL);
    assert_same_bytes(merged, empty);
}

/* A word that only changes know is none elsewhere. */
static void test_only_changes_take_away(void **state)
{
    struct folder *f = *state;
    struct sticps_error err = {.code = STICPS_OK};
    put_changes(f, "202555,delete\n", "");
    assert_int_equal(build(f, NULL, f->output, 0, false, NULL, &err), STICPS_ERR_NPDB);
    put_changes(f, "", "2025550001,-\n");
    assert_int_equal(build(f, NULL, f->output, 0, false, NULL, &err), STICPS_ERR_NPDB);
    assert_non_null(strstr(err.where, "ports.csv:1"));
}

static void test_contradictions(void **state)
{
    static const struct {
        const char *blocks, *ports, *text, *where;
    } cases[] = {
        {"", "2025550001,-\n2025550001,ABCD\n", "has ABCD here but no row", "ports.csv:2"},
        {"", "2025550001,ABCD\n\n2025550001,-\n", "has no row here but ABCD", "ports.csv:3"},
        {"202555,delete\n202555,1234\n", "", "has 1234 here but no row", "blocks.csv:2"},
        {"202555,delete\n202555,-\n", "", "has nobody here but no row", "blocks.csv:2"},
        {"", "+442079460000,-\n+442079460000,ABCD\n", "has ABCD here but no row", "ports.csv:2"},
    };
    struct folder *f = *state;
    char old[128];
    make_old(f, old);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sticps_error err = {.code = STICPS_OK};
        put_changes(f, cases[i].blocks, cases[i].ports);
        assert_int_equal(build(f, old, f->output, 0, false, NULL, &err), STICPS_ERR_NPDB);
        if (strstr(err.text, cases[i].text) == NULL || strstr(err.where, cases[i].where) == NULL)
            fail_msg("%zu: %s: %s", i, err.where, err.text);
        assert_int_not_equal(access(f->output, F_OK), 0);
        assert_int_equal(build(f, old, f->output, 0, true, NULL, &err), STICPS_OK);
        assert_int_equal(unlink(f->output), 0);
    }
}

/* ---- the base ---- */

static void test_output_may_be_the_base(void **state)
{
    struct folder *f = *state;
    char old[128], merged[128];
    make_old(f, old);
    put_changes(f, "", "2025550001,-\n");
    must_build(f, old, path_of(f, "merged", merged), 0, NULL);
    struct npdb *held = must_open(old); /* keeps what it has mapped */
    must_build(f, old, old, 0, NULL);
    assert_same_bytes(old, merged);
    assert_answer(held, "2025550001", "ported/13035550000/3035");
    npdb_close(held);
    assert_int_equal(folder_count(f, 0), 4);
}

static void test_damaged_base(void **state)
{
    struct folder *f = *state;
    char old[128];
    size_t len;
    make_old(f, old);
    put_changes(f, "", "2025550001,-\n");
    unsigned char *data = get_file(old, &len);
    size_t files = folder_count(f, 0);
    for (size_t i = 0; i < len; i += i < 512 ? 31 : len / 97) {
        struct sticps_error err = {.code = STICPS_OK};
        data[i] ^= 0x10;
        put_file(old, data, len);
        data[i] ^= 0x10;
        enum sticps_err code = build(f, old, f->output, 0, false, NULL, &err);
        assert_int_equal(code, STICPS_ERR_NPDB);
        assert_string_equal(err.where, old);
        assert_int_equal(folder_count(f, 0), files);
    }
    free(data);
    struct sticps_error err = {.code = STICPS_OK};
    assert_int_equal(unlink(old), 0);
    assert_int_equal(build(f, old, f->output, 0, false, NULL, &err), STICPS_ERR_FILE);
}

/* ---- blocks for another palette ---- */

/* Rising maps keep what they can, any other gives what encoding gives or nothing. */
static void test_renumbered_blocks(void **state)
{
    (void)state;
    unsigned char *block = calloc(2, NPDB_BLOCK_MAX_SIZE + 8), *out = block + NPDB_BLOCK_MAX_SIZE;
    unsigned char again[NPDB_BLOCK_MAX_SIZE + 8];
    uint16_t numbers[NPDB_BLOCK_NUMBERS], map[700], listed[NPDB_BLOCK_NUMBERS];
    unsigned kept = 0, refused = 0;
    for (unsigned round = 0; round < 3000; round++) {
        seed = 521288629u + round;
        unsigned palette = 1 + random_below(round % 3 == 0 ? 690 : 40), own;
        for (unsigned i = 0; i < NPDB_BLOCK_NUMBERS; i++)
            numbers[i] = random_below(2) == 0 ? NPDB_NOT_PORTED : (uint16_t)random_below(palette);
        for (unsigned i = 0; i < palette; i++)
            map[i] = (uint16_t)(round % 2 == 0 ? i + (i >= palette / 2) : (i + round) % palette);
        uint16_t first_own = (uint16_t)random_below(palette);
        size_t size = npdb_block_encode(numbers, first_own, block);
        unsigned symbols = npdb_block_symbols(block, listed, &own);
        assert_in_range(symbols, 1, NPDB_BLOCK_NUMBERS);
        assert_int_equal(listed[own], first_own);
        for (unsigned i = 0; i < NPDB_BLOCK_NUMBERS; i++)
            if (numbers[i] != NPDB_NOT_PORTED)
                numbers[i] = map[numbers[i]];
        size_t right = npdb_block_encode(numbers, map[first_own], again);
        if (npdb_block_renumber(block, size, map, out) != 0) {
            kept++;
            assert_int_equal(size, right);
            assert_memory_equal(out, again, size);
        } else {
            refused++;
            assert_true(round % 2 == 1 || palette > 255);
        }
    }
    assert_in_range(kept, 1000, 2999);
    assert_in_range(refused, 100, 2000);
    free(block);
}

/* ---- verify ---- */

static void reseal(unsigned char *data)
{
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        unsigned char *entry = data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        npdb_put32(entry + 16, crc32c(data + npdb_get64(entry), npdb_get64(entry + 8)));
    }
    npdb_put32(data + NPDB_AT_CRC, crc32c(data, NPDB_AT_CRC));
}

static unsigned char *section_of(unsigned char *data, enum npdb_section section)
{
    return data + npdb_get64(data + NPDB_AT_SECTIONS + (size_t)section * NPDB_SECTION_SIZE);
}

/* Each is a file that opens with all its checksums, and is not what a builder makes. */
static void test_verify_finds(void **state)
{
    static const struct {
        enum npdb_section section; /* NPDB_SECTIONS: the header */
        size_t at;
        uint32_t now;
        const char *text;
    } cases[] = {
        {NPDB_SECTIONS, NPDB_AT_PORTS, 5, "the header says 5 ported numbers, the blocks have 3"},
        {NPDB_INDEX, 4 * (355 * 10 + 7), 3, "another owner for 202-555-7"},
        {NPDB_NPAS, 4, NPDB_OWNER_NOBODY, "another owner for 200-200-0"},
        {NPDB_PALETTES, 0, 3, "the palette of NPA 202 is not in order"},
        {NPDB_PALETTES, 4, 4, "gives its other numbers to another owner"},
        {NPDB_PREFIXES, 8, NPDB_OWNER_NOBODY, "gives its other numbers to another owner"},
        {NPDB_OWNERS, 2 * NPDB_OWNER_SIZE + 8, 0x32323232, "but its NPA-NXX has '3035'"},
    };
    struct folder *f = *state;
    char old[128];
    size_t len;
    make_old(f, old);
    assert_verified(old);
    unsigned char *data = get_file(old, &len);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sticps_error err = {.code = STICPS_OK};
        unsigned char *at =
            (cases[i].section == NPDB_SECTIONS ? data : section_of(data, cases[i].section)) +
            cases[i].at;
        uint32_t before = npdb_get32(at);
        npdb_put32(at, cases[i].now);
        reseal(data);
        put_file(old, data, len);
        npdb_put32(at, before);
        struct npdb *npdb = must_open(old);
        assert_int_equal(verify_file(npdb, &err), STICPS_ERR_NPDB);
        if (strstr(err.text, cases[i].text) == NULL)
            fail_msg("%zu: %s", i, err.text);
        npdb_close(npdb);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_diff_merges, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_dump_builds_the_same, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_meaning_of_changes, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_changes_to_nothing, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_only_changes_take_away, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_contradictions, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_output_may_be_the_base, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_damaged_base, folder_make, folder_remove),
        cmocka_unit_test(test_renumbered_blocks),
        cmocka_unit_test_setup_teardown(test_verify_finds, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

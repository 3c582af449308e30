/* client/npdb_spool, npdb_contradictions, npdb_write and crc32c: what a build puts on disk, and
 * what is left of it when it cannot. */
#include "client/crc32c.h"
#include "client/npdb_contradictions.h"
#include "client/npdb_spool.h"
#include "client/npdb_write.h"
#include "tests/unit/npdb_fixture.h"

#include <signal.h>
#include <sys/resource.h>

static uint64_t seed = 5;

static uint32_t below(uint32_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % n;
}

/* ---- CRC ---- */

static void the_crc_of_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    unsigned char data[3000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)below(256);
    for (int turn = 0; turn < 200; turn++) {
        size_t at = below(100), len = below(2800), cut = below((uint32_t)len + 1);
        uint32_t whole = crc32c_more_portable(0, data + at, len);
        assert_int_equal(crc32c(data + at, len), whole);
        assert_int_equal(crc32c_more(crc32c(data + at, cut), data + at + cut, len - cut), whole);
        assert_int_equal(crc32c_more_portable(crc32c(data + at, cut), data + at + cut, len - cut),
                         whole);
    }
}

/* ---- the spool ---- */

enum { ROWS = 60000 };

/* Parts that get nothing, a little, and much; every number and owner that 20 bits can be. */
static const uint32_t parts[] = {2, 9, 4562, 4563, 7999};

static void numbers_come_back_by_part_in_order(void **state)
{
    struct folder *f = *state;
    static struct {
        uint32_t part, in_part, owner;
    } rows[ROWS];
    struct npdb_spool spool;
    assert_int_equal(npdb_spool_start(&spool, f->output, NULL), STICPS_OK);
    for (size_t i = 0; i < ROWS; i++) {
        rows[i].part = parts[i % 50 == 0 ? 1 : i % 50 == 1 ? 4 : i % 2 + 2];
        rows[i].in_part = i == 0 ? 999999 : below(NPDB_SPOOL_PART_NUMBERS);
        rows[i].owner = i == 1 ? NPDB_MAX_OWNERS - 1 : below(NPDB_MAX_OWNERS);
        assert_int_equal(npdb_spool_add(&spool, rows[i].part, rows[i].in_part, rows[i].owner, NULL),
                         STICPS_OK);
    }
    assert_true(spool.extents > 10); /* most went through the file */
    assert_int_equal(folder_count(f, 0), 0);
    size_t seen = 0;
    for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
        struct npdb_spool_reading reading;
        const unsigned char *from;
        size_t bytes = 1, at = 0;
        npdb_spool_begin(&spool, parts[p], &reading);
        while (bytes > 0) {
            assert_int_equal(npdb_spool_next(&spool, &reading, &from, &bytes, NULL), STICPS_OK);
            for (size_t i = 0; i < bytes; i += NPDB_SPOOL_ROW, at++, seen++) {
                while (rows[at].part != parts[p])
                    at++;
                assert_int_equal(npdb_spool_number(from + i), rows[at].in_part);
                assert_int_equal(npdb_spool_owner(from + i), rows[at].owner);
            }
        }
    }
    assert_int_equal(seen, ROWS);
    npdb_spool_clear(&spool);
}

/* No file may become longer than `bytes`; (rlim_t)-1: no limit. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_ends_the_spool(void **state)
{
    struct folder *f = *state;
    struct npdb_spool spool;
    struct sticps_error err;
    enum sticps_err code = STICPS_OK;
    assert_int_equal(npdb_spool_start(&spool, f->output, NULL), STICPS_OK);
    limit_files(40000);
    for (uint32_t i = 0; code == STICPS_OK && i < ROWS; i++)
        code = npdb_spool_add(&spool, 2, i, i, &err);
    limit_files(RLIM_INFINITY);
    assert_int_equal(code, STICPS_ERR_FILE);
    assert_non_null(strstr(err.text, "temporary file"));
    assert_string_equal(err.where, f->output);
    npdb_spool_clear(&spool);
    assert_int_equal(folder_count(f, 0), 0);
}

static void a_spool_needs_a_folder(void **state)
{
    struct folder *f = *state;
    char path[160];
    struct npdb_spool spool;
    struct sticps_error err;
    snprintf(path, sizeof(path), "%s/none/out", f->path);
    assert_int_equal(npdb_spool_start(&spool, path, NULL), STICPS_OK);
    assert_int_equal(npdb_spool_flush(&spool, 2, &err), STICPS_ERR_FILE);
    assert_string_equal(err.where, path);
    npdb_spool_clear(&spool);
}

/* ---- contradictions ---- */

static void the_smallest_numbers_are_kept(void **state)
{
    (void)state;
    struct npdb_contradictions all = {.rows = 0}, some = {.rows = 0}, *to;
    for (uint64_t i = 0; i < 1000; i++) {
        to = i % 3 == 0 ? &some : &all;
        npdb_contradictions_add(to, 1000 - i / 2); /* each twice, downwards */
    }
    npdb_contradictions_join(&all, &some);
    assert_int_equal(all.rows, 1000);
    assert_int_equal(all.len, NPDB_MAX_CONTRADICTED);
    for (size_t i = 0; i < all.len; i++)
        assert_int_equal(all.number[i], 501 + i);
}

/* ---- the output ---- */

static enum sticps_err write_some(const struct folder *f, size_t bytes, struct sticps_error *err)
{
    static const unsigned char data[100000];
    const struct npdb_output_head head = {1, 2, 3};
    struct npdb_output *output;
    enum sticps_err code = npdb_output_open(f->output, &output, err);
    if (code != STICPS_OK)
        return code;
    for (int section = 0; code == STICPS_OK && section < NPDB_SECTIONS; section++) {
        for (size_t left = bytes, part; code == STICPS_OK && left > 0; left -= part) {
            part = left < sizeof(data) ? left : sizeof(data);
            code = npdb_output_add(output, data, part, err);
        }
        if (code == STICPS_OK && section + 1 < NPDB_SECTIONS)
            code = npdb_output_next_section(output, err);
    }
    if (code == STICPS_OK)
        return npdb_output_finish(output, &head, err);
    npdb_output_abandon(output);
    return code;
}

/* Wherever it ends, the old file stays and nothing is beside it. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    struct folder *f = *state;
    static const struct {
        rlim_t limit;
        size_t section;
    } cases[] = {{100, 10}, {300, 10}, {70000, 12000}, {70000, 100000}, {599999, 100000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sticps_error err;
        size_t len;
        put_file(f->output, "old", 3);
        limit_files(cases[i].limit);
        enum sticps_err code = write_some(f, cases[i].section, &err);
        limit_files(RLIM_INFINITY);
        assert_int_equal(code, STICPS_ERR_FILE);
        assert_string_equal(err.where, f->output);
        assert_int_equal(folder_count(f, 0), 1);
        unsigned char *data = get_file(f->output, &len);
        assert_int_equal(len, 3);
        free(data);
    }
}

/* Each byte belongs to the section that it was added to, pieces small and large. */
static void sections_lie_where_the_header_says(void **state)
{
    struct folder *f = *state;
    static const size_t sizes[] = {0, 1, 8, 12345, 65536, 65537, 200001};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t len, at = NPDB_HEADER_SIZE;
        assert_int_equal(write_some(f, sizes[i], NULL), STICPS_OK);
        assert_int_equal(folder_count(f, 0), 1);
        unsigned char *data = get_file(f->output, &len);
        assert_memory_equal(data, NPDB_MAGIC, 8);
        assert_int_equal(npdb_get64(data + NPDB_AT_FILE_SIZE), len);
        assert_int_equal(npdb_get64(data + NPDB_AT_SEQUENCE), 1);
        assert_int_equal(npdb_get64(data + NPDB_AT_PORTS), 2);
        assert_int_equal(npdb_get64(data + NPDB_AT_BLOCK_COUNT), 3);
        assert_int_equal(npdb_get32(data + NPDB_AT_CRC),
                         crc32c_more_portable(0, data, NPDB_AT_CRC));
        for (size_t s = 0; s < NPDB_SECTIONS; s++) {
            const unsigned char *section = data + NPDB_AT_SECTIONS + s * NPDB_SECTION_SIZE;
            at = (at + 7) / 8 * 8;
            assert_int_equal(npdb_get64(section), at);
            assert_int_equal(npdb_get64(section + 8), sizes[i]);
            assert_int_equal(npdb_get32(section + 16),
                             crc32c_more_portable(0, data + at, sizes[i]));
            at += sizes[i];
        }
        assert_int_equal(at, len);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_crc_of_pieces_is_that_of_the_whole),
        cmocka_unit_test_setup_teardown(numbers_come_back_by_part_in_order, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(a_full_disk_ends_the_spool, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(a_spool_needs_a_folder, folder_make, folder_remove),
        cmocka_unit_test(the_smallest_numbers_are_kept),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_old_file, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(sections_lie_where_the_header_says, folder_make,
                                        folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The bytes of a portability file: a reader that meets any others than those of
 * docs/npdb-format.md refuses them or stays inside them. (That the bytes are those of the page is
 * tests/integration/test_npdb_format.py, by a reader in another language.) */
#include "client/crc32c.h"
#include "client/npdb_format.h"
#include "tests/unit/npdb_fixture.h"

#include <fcntl.h>

static const char blocks[] = "202555,1234\n2025551,ABCD\n2025552,-\n303555,9999\n+44,UK00\n";
static const char ports[] = "2025550101,3035554000\n2025550102,1234\n2025550103,5055550000\n"
                            "8005550101,VWC55\n";

static void crc32c_vectors(void **state)
{
    (void)state;
    unsigned char data[32];
    assert_int_equal(crc32c("", 0), 0);
    assert_int_equal(crc32c("123456789", 9), 0xe3069283);
    /* RFC 3720 B.4 */
    memset(data, 0, sizeof(data));
    assert_int_equal(crc32c(data, sizeof(data)), 0x8a9136aa);
    memset(data, 0xff, sizeof(data));
    assert_int_equal(crc32c(data, sizeof(data)), 0x62a8ab43);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)i;
    assert_int_equal(crc32c(data, sizeof(data)), 0x46dd794e);
}

/* ---- damage ---- */

static enum sticps_err open_bytes(const unsigned char *data, size_t len, enum npdb_check check,
                                  struct npdb **out)
{
    struct sticps_error err = {.code = STICPS_OK};
    enum sticps_err code = npdb_open_memory(data, len, check, out, &err);
    assert_int_equal(code, err.code);
    assert_true(code == STICPS_OK || code == STICPS_ERR_NPDB);
    return code;
}

/* A copy that ends where its block of memory ends, so that the sanitizer sees any step beyond. */
static unsigned char *copy_of(const unsigned char *data, size_t len)
{
    unsigned char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static void ask_everything(const struct npdb *npdb)
{
    static const char *const numbers[] = {
        "2025550101", "2025550102", "2025550103", "8005550101", "2025550000",      "2025551000",
        "2025552000", "3035550000", "+440",       "9",          "+999999999999999"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char text[64];
        ask(npdb, numbers[i], text);
    }
}

/* A file with every section in it; the caller frees it. */
static unsigned char *make_file(void **state, size_t *len)
{
    struct folder *f = *state;
    assert_int_equal(build_text(f, blocks, ports, false, NULL, NULL), STICPS_OK);
    return get_file(f->output, len);
}

static size_t section_at(const unsigned char *data, enum npdb_section which, size_t *len)
{
    const unsigned char *section = data + NPDB_AT_SECTIONS + (size_t)which * NPDB_SECTION_SIZE;
    *len = npdb_get64(section + 8);
    return npdb_get64(section);
}

static void every_cut_is_refused(void **state)
{
    size_t len;
    unsigned char *data = make_file(state, &len);
    for (size_t cut = 0; cut < len; cut += cut < 600 || cut + 1000 > len ? 1 : 997) {
        struct npdb *npdb = NULL;
        unsigned char *copy = copy_of(data, cut);
        assert_int_equal(open_bytes(copy, cut, NPDB_CHECK_STRUCTURE, &npdb), STICPS_ERR_NPDB);
        free(copy);
    }
    unsigned char *longer = calloc(1, len + 8);
    struct npdb *npdb = NULL;
    assert_non_null(longer);
    memcpy(longer, data, len);
    for (size_t more = 1; more <= 8; more++)
        assert_int_equal(open_bytes(longer, len + more, NPDB_CHECK_STRUCTURE, &npdb),
                         STICPS_ERR_NPDB);
    free(longer);
    free(data);
}

static void every_flipped_bit_is_noticed_or_harmless(void **state)
{
    size_t len, index_len;
    unsigned char *data = make_file(state, &len);
    size_t index = section_at(data, NPDB_INDEX, &index_len), accepted = 0;
    for (size_t bit = 0, step = 1; bit < len * 8; bit += step) {
        bool in_index = bit / 8 >= index && bit / 8 < index + index_len;
        step = bit / 8 < NPDB_HEADER_SIZE ? 1 : in_index ? 911 : 7;
        struct npdb *npdb = NULL;
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_equal(open_bytes(data, len, NPDB_CHECK_ALL, &npdb), STICPS_ERR_NPDB);
        if (open_bytes(data, len, NPDB_CHECK_STRUCTURE, &npdb) == STICPS_OK) {
            assert_true(bit / 8 >= NPDB_HEADER_SIZE);
            ask_everything(npdb);
            npdb_close(npdb);
            accepted++;
        }
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(accepted > 0);
    free(data);
}

/* Right checksums, so that only what they guard can be found wrong. */
static void seal(unsigned char *data, size_t len)
{
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        unsigned char *s = data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        uint64_t offset = npdb_get64(s), size = npdb_get64(s + 8);
        if (size <= len && offset <= len - size)
            npdb_put32(s + 16, crc32c(data + offset, size));
    }
    npdb_put32(data + NPDB_AT_CRC, crc32c(data, NPDB_AT_CRC));
}

/* Fields set by somebody who can compute a checksum. */
static const struct {
    const char *what;
    enum npdb_section section; /* NPDB_SECTIONS: the header */
    size_t at, size;
    uint64_t value;
} lies[] = {
    {"version 0", NPDB_SECTIONS, 8, 4, 0},
    {"version 1", NPDB_SECTIONS, 8, 4, 1},
    {"version 3", NPDB_SECTIONS, 8, 4, 3},
    {"header size", NPDB_SECTIONS, 12, 4, 128},
    {"file size", NPDB_SECTIONS, 16, 8, 257},
    {"blocks elsewhere", NPDB_SECTIONS, 48, 8, 264},
    {"blocks far away", NPDB_SECTIONS, 48, 8, UINT64_MAX - 7},
    {"endless blocks", NPDB_SECTIONS, 56, 8, UINT64_MAX - 255},
    {"no blocks", NPDB_SECTIONS, 56, 8, 0},
    {"index in the header", NPDB_SECTIONS, 72, 8, 0},
    {"endless index", NPDB_SECTIONS, 80, 8, UINT64_MAX},
    {"an index that is no pages", NPDB_SECTIONS, 80, 8, 31999},
    {"no npas", NPDB_SECTIONS, 104, 8, 0},
    {"no owners", NPDB_SECTIONS, 176, 8, 0},
    {"behind a CRC", NPDB_SECTIONS, 68, 4, 1},
    {"reserved", NPDB_SECTIONS, 192, 4, 1},
    {"reserved", NPDB_SECTIONS, 248, 4, 0x80000000},
    {"a slot beyond the owners", NPDB_INDEX, 0, 4, 1000},
    {"a slot beyond the blocks", NPDB_INDEX, 0, 4, UINT32_MAX},
    {"a slot in the header", NPDB_INDEX, 0, 4, NPDB_SLOT_BLOCK},
    {"a page that is not there", NPDB_NPAS, 32, 4, 1000},
    {"a page twice", NPDB_NPAS, 0, 4, 1},
    {"an owner that is not there", NPDB_NPAS, 4, 4, 1000},
    {"a palette far away", NPDB_NPAS, 40, 4, UINT32_MAX},
    {"an endless palette", NPDB_NPAS, 44, 4, UINT32_MAX},
    {"a palette entry beyond the owners", NPDB_PALETTES, 0, 4, 1000},
    {"a prefix of no digits", NPDB_PREFIXES, 0, 8, 0},
    {"a prefix beyond the owners", NPDB_PREFIXES, 8, 4, 1000},
    {"an LRN of 16 digits", NPDB_OWNERS, 32, 8, UINT64_MAX},
    {"an LRN of no digits", NPDB_OWNERS, 32, 8, 16},
    {"an LRN of more value than digits", NPDB_OWNERS, 32, 8, UINT64_C(13035554000) << 4 | 10},
    {"an LRN abroad", NPDB_OWNERS, 32, 8, UINT64_C(442079460018) << 4 | 12},
    {"unknown with an SPC", NPDB_OWNERS, 8, 4, 0x31313131},
    {"nobody with an SPC", NPDB_OWNERS, 24, 4, 0x31313131},
    {"an SPC in lower case", NPDB_OWNERS, 40, 4, 0x64636261},
    {"an SPC with a NUL in it", NPDB_OWNERS, 40, 4, 0x31003131},
    {"an SPC with something after it", NPDB_OWNERS, 40, 8, UINT64_C(0x0100000031313131)},
    {"an SPC without end", NPDB_OWNERS, 40, 8, UINT64_C(0x3131313131313131)},
    {"an SPC after a NUL", NPDB_OWNERS, 40, 8, UINT64_C(0x3131313100)},
};

static void a_lie_with_a_right_checksum_is_refused(void **state)
{
    size_t len;
    unsigned char *data = make_file(state, &len);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct npdb *npdb = NULL;
        size_t unused, at = lies[i].at;
        unsigned char *copy = copy_of(data, len);
        if (lies[i].section < NPDB_SECTIONS)
            at += section_at(data, lies[i].section, &unused);
        if (lies[i].size == 8)
            npdb_put64(copy + at, lies[i].value);
        else
            npdb_put32(copy + at, (uint32_t)lies[i].value);
        seal(copy, len);
        if (open_bytes(copy, len, NPDB_CHECK_STRUCTURE, &npdb) == STICPS_OK) {
            print_error("accepted: %s\n", lies[i].what);
            assert_true(false);
        }
        free(copy);
    }
    free(data);
}

static void only_regular_files_are_opened(void **state)
{
    struct folder *f = *state;
    struct npdb *npdb = NULL;
    struct sticps_error err;
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_FILE);
    assert_string_equal(err.where, f->output);
    assert_int_equal(npdb_open(f->path, NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_FILE);
    assert_int_equal(npdb_open("/dev/null", NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_FILE);
    assert_int_equal(mkfifo(f->output, 0600), 0);
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_FILE);
    unlink(f->output);
    put_file(f->output, "", 0);
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_NPDB);
    put_file(f->output, ports, sizeof(ports) - 1);
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_NPDB);
    char text[400] = NPDB_MAGIC; /* long enough */
    put_file(f->output, text, sizeof(text));
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_NPDB);
    assert_string_equal(err.where, f->output);
    assert_null(npdb);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_vectors),
        TEST(every_cut_is_refused),
        TEST(every_flipped_bit_is_noticed_or_harmless),
        TEST(a_lie_with_a_right_checksum_is_refused),
        TEST(only_regular_files_are_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

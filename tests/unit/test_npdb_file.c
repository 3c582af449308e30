/* The bytes of a portability file: they are those of docs/npdb-format.md, and a reader that meets
 * any others refuses them or stays inside them. */
#include "client/crc32c.h"
#include "client/npdb_format1.h"
#include "tests/unit/npdb_fixture.h"

#include <fcntl.h>

static const char blocks[] = "202555,1234\n2025551,ABCD\n2025552,-\n303555,9999\n+44,UK00\n";
static const char ports[] = "2025550101,3035554000\n2025550102,1234\n2025550103,5055550000\n"
                            "8005550101,VWC55\n";

/* Written from docs/npdb-format.md alone, by a program in another language. */
static const char golden[] = "535449434e5044420100000080000000b401000000000000"
                             "8000000000000000080000008e58eeb20001000000000000"
                             "07000000ceafc0ec540100000000000008000000b6f628ed"
                             "040000000500000001000000010000008401000000000000"
                             "000000000000000000000000000000000000000000000000"
                             "00000000f66b166e00000000000000000000000000000000"
                             "0b4dac8f3000000039393939000000000b63171638000000"
                             "000000000000000000000000000000003132333400000000"
                             "000000000000000039393939000000000000000000000000"
                             "41424344000000000000000000000000554b303000000000"
                             "000000000000000056574335350000000000000000000000"
                             "000000005b416e1343000000070000006b5175cc2c000000"
                             "030000005b5175cc2c000000010000007b5175cc2c000000"
                             "020000000000000000000000000000000000000000000000"
                             "00000000000000000000000000000000c202000000000000"
                             "06000000b7972501000000000300000037403e0100000000"
                             "04000000000000000000000000000000f8ec770b00000000"
                             "0500000000000000000000000000000008ed770b00000000"
                             "00000000";

static size_t unhex(const char *hex, unsigned char *out)
{
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (unsigned char)byte;
    }
    return len;
}

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

static void the_bytes_are_those_of_the_document(void **state)
{
    struct folder *f = *state;
    unsigned char expected[sizeof(golden) / 2];
    size_t len, expected_len = unhex(golden, expected);
    assert_int_equal(build_text(f, blocks, ports, false, NULL, NULL), STICPS_OK);
    unsigned char *data = get_file(f->output, &len);
    assert_int_equal(len, expected_len);
    assert_memory_equal(data, expected, len);
    free(data);
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

static void every_cut_is_refused(void **state)
{
    (void)state;
    unsigned char data[sizeof(golden) / 2];
    size_t len = unhex(golden, data);
    for (size_t cut = 0; cut < len; cut++) {
        struct npdb *npdb = NULL;
        unsigned char *copy = copy_of(data, cut);
        assert_int_equal(open_bytes(copy, cut, NPDB_CHECK_HEADER, &npdb), STICPS_ERR_NPDB);
        free(copy);
    }
    unsigned char *longer = malloc(len + 1);
    struct npdb *npdb = NULL;
    assert_non_null(longer);
    memcpy(longer, data, len);
    longer[len] = 0;
    assert_int_equal(open_bytes(longer, len + 1, NPDB_CHECK_HEADER, &npdb), STICPS_ERR_NPDB);
    free(longer);
}

static void every_flipped_bit_is_noticed_or_harmless(void **state)
{
    (void)state;
    unsigned char data[sizeof(golden) / 2];
    size_t len = unhex(golden, data), owners_end = npdb_get64(data + 40);
    for (size_t i = 0; i < len * 8; i++) {
        struct npdb *npdb = NULL;
        unsigned char *copy = copy_of(data, len);
        copy[i / 8] ^= (unsigned char)(1u << i % 8);
        assert_int_equal(open_bytes(copy, len, NPDB_CHECK_ALL, &npdb), STICPS_ERR_NPDB);
        enum sticps_err code = open_bytes(copy, len, NPDB_CHECK_HEADER, &npdb);
        if (i / 8 < owners_end) {
            assert_int_equal(code, STICPS_ERR_NPDB);
        } else {
            assert_int_equal(code, STICPS_OK);
            ask_everything(npdb);
            npdb_close(npdb);
        }
        free(copy);
    }
}

static void seal(unsigned char *data)
{
    for (size_t i = 0; i < NPDB_SECTIONS; i++) {
        static const size_t entry[] = {NPDB_OWNER_SIZE, NPDB_SLOT_SIZE, NPDB_SLOT_SIZE};
        unsigned char *s = data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE;
        uint64_t offset = npdb_get64(s), size = npdb_get32(s + 8) * entry[i];
        if (size <= sizeof(golden) / 2 && offset <= sizeof(golden) / 2 - size)
            npdb_put32(s + 12, crc32c(data + offset, size));
    }
    npdb_put32(data + NPDB_AT_CRC, crc32c(data, NPDB_AT_CRC));
}

/* Header fields set by somebody who can compute a checksum. */
static const struct {
    const char *what;
    size_t at, size;
    uint64_t value;
} lies[] = {
    {"version 0", 8, 4, 0},
    {"version 2", 8, 4, 2},
    {"header size", 12, 4, 64},
    {"file size", 16, 8, 129},
    {"owners elsewhere", 24, 8, 0},
    {"owners far away", 24, 8, UINT64_MAX - 15},
    {"too many owners", 32, 4, 0xffffffff},
    {"fewer owners", 32, 4, 1},
    {"no owners", 32, 4, 0},
    {"ports in the header", 40, 8, 128},
    {"ports far away", 40, 8, UINT64_MAX},
    {"too many ports", 48, 4, 0x80000000},
    {"no ports", 48, 4, 0},
    {"blocks beyond", 56, 8, 1 << 20},
    {"too many blocks", 64, 4, 0xfffffffe},
    {"more ports than slots", 72, 4, 1000},
    {"no port in use but probes", 72, 4, 0},
    {"more blocks than slots", 76, 4, 1000},
    {"no probes", 80, 4, 0},
    {"more probes than slots", 80, 4, 8},
    {"endless probes", 84, 4, 0xffffffff},
    {"length 0", 88, 4, 1},
    {"length 16", 88, 4, 1 << 16},
    {"length 31", 88, 4, 1u << 31},
    {"reserved", 92, 4, 1},
    {"reserved", 120, 4, 0x80000000},
    {"LRN of 16 digits", 128 + 16, 8, UINT64_MAX},
    {"LRN of no digits", 128 + 16, 8, 16},
    {"LRN of more value than digits", 128 + 16, 8, UINT64_C(13035554000) << 4 | 10},
    {"LRN abroad", 128 + 16, 8, UINT64_C(442079460018) << 4 | 12},
    {"SPC in lower case", 128 + 24, 4, 0x64636261},
    {"SPC with a NUL in it", 128 + 24, 4, 0x31003131},
    {"SPC with something after it", 128 + 24, 8, UINT64_C(0x0100000031313131)},
    {"SPC without end", 128 + 24, 8, UINT64_C(0x3131313131313131)},
    {"SPC after a NUL", 128 + 24, 8, UINT64_C(0x3131313100)},
};

static void a_lie_with_a_right_checksum_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        unsigned char data[sizeof(golden) / 2];
        struct npdb *npdb = NULL;
        size_t len = unhex(golden, data);
        seal(data);
        assert_int_equal(open_bytes(data, len, NPDB_CHECK_ALL, &npdb), STICPS_OK);
        npdb_close(npdb);
        if (lies[i].size == 8)
            npdb_put64(data + lies[i].at, lies[i].value);
        else
            npdb_put32(data + lies[i].at, (uint32_t)lies[i].value);
        seal(data);
        unsigned char *copy = copy_of(data, len);
        if (open_bytes(copy, len, NPDB_CHECK_ALL, &npdb) == STICPS_OK) {
            print_error("accepted: %s\n", lies[i].what);
            assert_true(false);
        }
        free(copy);
    }
}

static void an_index_beyond_the_owners_names_nobody(void **state)
{
    (void)state;
    unsigned char data[sizeof(golden) / 2];
    struct npdb *npdb = NULL;
    size_t len = unhex(golden, data);
    for (size_t at = npdb_get64(data + 40); at < len; at += NPDB_SLOT_SIZE)
        npdb_put32(data + at + 8, UINT32_MAX);
    seal(data);
    assert_int_equal(open_bytes(data, len, NPDB_CHECK_ALL, &npdb), STICPS_OK);
    char text[64];
    assert_string_equal(ask(npdb, "2025550102", text), "ported/-/-");
    assert_string_equal(ask(npdb, "2025550000", text), "block/-/-");
    npdb_close(npdb);
}

/* A table without a free slot must not make a search endless. */
static void a_full_table_ends_the_search(void **state)
{
    (void)state;
    unsigned char data[sizeof(golden) / 2];
    struct npdb *npdb = NULL;
    size_t len = unhex(golden, data);
    for (size_t at = npdb_get64(data + 40); at < len; at += NPDB_SLOT_SIZE)
        npdb_put64(data + at, UINT64_MAX);
    npdb_put32(data + NPDB_AT_PORTS_PROBES, npdb_get32(data + 48));
    npdb_put32(data + NPDB_AT_BLOCKS_PROBES, npdb_get32(data + 64));
    seal(data);
    assert_int_equal(open_bytes(data, len, NPDB_CHECK_ALL, &npdb), STICPS_OK);
    char text[64];
    assert_string_equal(ask(npdb, "2025550102", text), "unknown");
    npdb_close(npdb);
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
    put_file(f->output, golden, sizeof(golden) - 1);
    assert_int_equal(npdb_open(f->output, NPDB_CHECK_ALL, &npdb, &err), STICPS_ERR_NPDB);
    assert_string_equal(err.where, f->output);
    assert_null(npdb);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_vectors),
        TEST(the_bytes_are_those_of_the_document),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_flipped_bit_is_noticed_or_harmless),
        cmocka_unit_test(a_lie_with_a_right_checksum_is_refused),
        cmocka_unit_test(an_index_beyond_the_owners_names_nobody),
        cmocka_unit_test(a_full_table_ends_the_search),
        TEST(only_regular_files_are_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

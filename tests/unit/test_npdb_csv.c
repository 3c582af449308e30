/* client/npdb_csv: what the reading of two columns forgives, and what it does not; and that the
 * short way for the common row gives what the long one gives. */
#include "client/npdb_csv.h"

#include "tests/unit/csv_told.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text, *rows;
} files[] = {
    {"202555,1234\n", "1:1202555|1234;"},
    {"202555,1234", "1:1202555|1234;"},
    {"202555,1234\r\n303555,ABCD\r\n", "1:1202555|1234;2:1303555|ABCD;"},
    {"\xef\xbb\xbf"
     "202555,1234\n",
     "1:1202555|1234;"},
    {"\xef\xbb\xbf"
     "prefix,spc\n202555,1234\n",
     "2:1202555|1234;"},
    {"\xef\xbb\xbf", ""},
    {"\xef\xbb\xbf\r\n1,0002", "2:1|0002;"},
    {"\n", ""},
    {"\n\n202555,1234\n\r\n \t\n303555,ABCD\n\n", "3:1202555|1234;6:1303555|ABCD;"},
    {" 202555 ,\t1234 \n", "1:1202555|1234;"},
    {"\"202555\",\"1234\"\n", "1:1202555|1234;"},
    {" \" 202555 \" , \" 1234\t\" \n", "1:1202555|1234;"},
    {"+44 20,UK01\n", "1:4420|UK01;"},
    {"(202) 555,1234\n", "1:1202555|1234;"},
    {"202555,-\n", "1:1202555|nobody;"},

    /* headings: only in the first line, and only if no number can start like that */
    {"prefix,SPC\n1,0002\n", "2:1|0002;"},
    {"\"NPA-NXX\",\"OCN\"\r\n1,0002\n", "2:1|0002;"},
    {"# made by hand\n1,0002\n", "2:1|0002;"},
    {"1,0002\nprefix,SPC\n", "1:1|0002;2:BAD;"},
    {"20x555,1234\n", "1:BAD;"},
    {",1234\n", "1:BAD;"},
    {"\"\",1234\n", "1:BAD;"},

    {"202555\n1,0002\n", "1:BAD;2:1|0002;"},
    {"1,0002,3\n1,0002\n", "1:BAD;2:1|0002;"},
    {"1,0002,\n", "1:BAD;"},
    {"1,\n", "1:BAD;"},
    {"\"1,2\n", "1:BAD;"},
    {"1,\"2\n", "1:BAD;"},
    {"1,\"0002\"x\n", "1:BAD;"},
    {"\"1\"x,0002\n", "1:BAD;"},
    {"1,\"00\"\"02\"\n", "1:BAD;"},
    {"1,0002\"\n", "1:BAD;"},
    {"1,0002\r3,0004\n", "1:BAD;"}, /* a lone CR ends no line */
    {"1,0002\r", "1:BAD;"},
    {"\xff\xfe"
     "1\0,\0",
     "1:BAD;"},

    /* a block of the plan has at least a thousand numbers */
    {"2025551,1234\n", "1:12025551|1234;"},
    {"+12025551,1234\n", "1:12025551|1234;"},
    {"+120255512,1234\n", "1:BAD;"},
    {"+1202,1234\n", "1:1202|1234;"},
    {"+447911123,1234\n", "1:447911123|1234;"},
};

static void forgiving_and_strict(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct told told;
        read_all(NPDB_CSV_BLOCKS, files[i].text, strlen(files[i].text), &told);
        if (strcmp(told.text, files[i].rows) != 0)
            print_error("file %zu: %s", i, files[i].text);
        assert_string_equal(told.text, files[i].rows);
    }
}

static void a_long_line_is_one_bad_row(void **state)
{
    (void)state;
    size_t len = 100000;
    struct told told;
    char *text = malloc(len + 64);
    assert_non_null(text);
    memset(text, ' ', len);
    memcpy(text, "1,", 2);
    memcpy(text + NPDB_CSV_MAX_LINE - 4, "0002\n3,0004\n", 12);
    read_all(NPDB_CSV_BLOCKS, text, NPDB_CSV_MAX_LINE + 8, &told);
    assert_string_equal(told.text, "1:1|0002;2:3|0004;");

    memset(text, ' ', len);
    memcpy(text, "1,", 2);
    memcpy(text + NPDB_CSV_MAX_LINE - 3, "0002\n3,0004\n", 12); /* one byte more */
    read_all(NPDB_CSV_BLOCKS, text, NPDB_CSV_MAX_LINE + 9, &told);
    assert_string_equal(told.text, "1:BAD;2:3|0004;");

    memset(text, '1', len);
    memcpy(text + len, "\n3,0004", 7);
    read_all(NPDB_CSV_BLOCKS, text, len + 7, &told);
    assert_string_equal(told.text, "1:BAD;2:3|0004;");
    free(text);
}

static void a_nul_byte_stays_in_its_field(void **state)
{
    (void)state;
    static const char text[] = "1\0002,1234\n4,1234\n";
    struct told told;
    read_all(NPDB_CSV_BLOCKS, text, sizeof(text) - 1, &told);
    assert_string_equal(told.text, "1:BAD;2:4|1234;");
}

/* ---- the common row, both ways ---- */

/* A small generator of its own: the same rows in every run. */
static uint64_t state;

static unsigned below(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % n;
}

/* Mostly ten digits of the plan. */
static size_t random_digits(char *out)
{
    static const char *const starts[] = {"8005", "8335", "8775", "811",  "12", "1800",
                                         "1",    "0",    "202",  "2021", "+1", "20"};
    static const unsigned lens[] = {10, 11, 9, 12, 4, 0};
    unsigned len = below(4) > 0 ? 10 : lens[below(6)];
    size_t n = 0;
    if (below(8) == 0 && len >= 4)
        n = (size_t)sprintf(out, "%s", starts[below(12)]);
    for (; n < len; n++)
        out[n] = (char)(n % 3 == 0 && n < 4 ? '2' + below(8) : '0' + below(10));
    return n;
}

/* Lines that are common rows, nearly, or not at all. */
static size_t random_lines(char *out, size_t lines, char separator)
{
    static const char *const ocns[] = {"1234", "ABCD", "9Z9Z", "12a4", "123", "ABC12", "12 4", ""};
    static const char *const ends[] = {"\n", "\n",   "\n",       "\n", "\r\n",
                                       "\r", ",x\n", ",,\"\r\n", ""};
    static const char strange[] = ",\n\r\"'+ /:0129;\t\0\x80\xff";
    size_t len = 0;
    for (size_t i = 0; i < lines; i++) {
        size_t start = len;
        len += random_digits(out + len);
        out[len++] = below(20) > 0 ? separator : '|';
        if (below(4) == 0)
            len += (size_t)sprintf(out + len, "%s", ocns[below(8)]);
        else
            len += random_digits(out + len);
        len += (size_t)sprintf(out + len, "%s", ends[below(3) > 0 ? 0 : below(9)]);
        for (unsigned change = below(6) > 0 ? 0 : 1 + below(3); change > 0 && len > start; change--)
            out[start + below((unsigned)(len - start))] = strange[below(sizeof(strange) - 1)];
    }
    return len;
}

struct rows {
    struct npdb_csv_row row[64];
    size_t len;
    uint32_t fault[64];
    size_t faults;
};

static void count_fault(uint32_t line, const char *what, void *arg)
{
    struct rows *rows = arg;
    assert_true(what[0] != '\0' && rows->faults < 64);
    rows->fault[rows->faults++] = line;
}

static void read_rows(struct npdb_dialect *dialect, bool is_common, const char *text, size_t len,
                      struct rows *rows)
{
    struct npdb_csv csv;
    memset(rows, 0, sizeof(*rows));
    dialect->is_common = is_common;
    npdb_csv_init(&csv, dialect, text + dialect->body, len - dialect->body, count_fault, rows);
    rows->len = npdb_csv_read(&csv, rows->row, 64);
    assert_true(rows->len < 64 && csv.at == csv.end);
}

static void both_ways_agree(const char *heading)
{
    static const struct npdb_csv_options options;
    static struct rows fast, slow;
    size_t before = strlen(heading), room = before + 20 * 40, common = 0;
    for (int i = 0; i < 20000; i++) {
        /* all of it is the piece, so that a sanitizer sees who looks behind it */
        char text[2048], *piece;
        struct npdb_dialect dialect;
        memcpy(text, heading, before);
        size_t len = before + random_lines(text + before, 1 + below(20),
                                           strchr(heading, ';') != NULL ? ';' : ',');
        assert_true(len <= room + 512);
        assert_int_equal(npdb_dialect_find(&options, NPDB_CSV_PORTS, text, len, &dialect, NULL),
                         STICPS_OK);
        piece = malloc(len);
        assert_non_null(piece);
        memcpy(piece, text, len);
        read_rows(&dialect, true, piece, len, &fast);
        read_rows(&dialect, false, piece, len, &slow);
        assert_int_equal(fast.len, slow.len);
        assert_memory_equal(fast.row, slow.row, fast.len * sizeof(fast.row[0]));
        assert_int_equal(fast.faults, slow.faults);
        assert_memory_equal(fast.fault, slow.fault, sizeof(fast.fault));
        common += fast.len;
        free(piece);
    }
    assert_true(common > 20000);
}

static void the_short_way_gives_what_the_long_one_gives(void **unused)
{
    (void)unused;
    state = 5;
    both_ways_agree("2025550123,3035550000\n");
    both_ways_agree("TN,LRN,MORE\n");
    both_ways_agree("TN;OCN;MORE\n");
}

static void the_common_row_is_read(void **unused)
{
    (void)unused;
    static const char text[] = "2025550123,3035550000\n12125550199,19995559999\r\n"
                               "9999999999,2002000000\n2002000000,9999999999\n8005550123,ABC23\n"
                               "8215550123,2025550000\n8225550123,2025550000\n"
                               "2025550123,3035550000\n2025550124,3035550001\n"
                               "2025550125,1234\n12025550126,9Z9Z\r\n2025550127,ab01\n"
                               "8005550124,1234\n2025550128,12345\n2025550129,1234";
    struct told told;
    read_all(NPDB_CSV_PORTS, text, sizeof(text) - 1, &told);
    assert_string_equal(told.text, "1:12025550123|LRN 13035550000;2:12125550199|LRN 19995559999;"
                                   "3:19999999999|LRN 12002000000;4:12002000000|LRN 19999999999;"
                                   "5:18005550123|ABC23;6:18215550123|LRN 12025550000;7:BAD;"
                                   "8:12025550123|LRN 13035550000;9:12025550124|LRN 13035550001;"
                                   "10:12025550125|1234;11:12025550126|9Z9Z;12:12025550127|AB01;"
                                   "13:18005550124|1234;14:BAD;15:12025550129|1234;");
}

static void numbers_of_the_plan(void **unused)
{
    (void)unused;
    static const struct {
        const char *digits;
        uint64_t number;
    } numbers[] = {{"12025550123", 2025550123}, {"12002000000", 2002000000},
                   {"19999999999", 9999999999}, {"2025550123", 0},
                   {"22025550123", 0},          {"120255501234", 0},
                   {"02025550123", 0},          {"44", 0}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct tn tn = {{0}};
        memcpy(tn.digits, numbers[i].digits, strlen(numbers[i].digits));
        assert_true(npdb_plan_number(tn_key(&tn)) == numbers[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forgiving_and_strict),
        cmocka_unit_test(a_long_line_is_one_bad_row),
        cmocka_unit_test(a_nul_byte_stays_in_its_field),
        cmocka_unit_test(the_common_row_is_read),
        cmocka_unit_test(numbers_of_the_plan),
        cmocka_unit_test(the_short_way_gives_what_the_long_one_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* client/npdb_csv: what the reader of CSV forgives, and what it does not. */
#include "client/npdb_csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* What came of a file, row by row: "line:first|second;", "line:BAD;" */
static void read_all(const char *text, size_t len, char *out, size_t size)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, len, "r");
    struct npdb_csv csv;
    struct sticps_error err;
    size_t used = 0;
    assert_non_null(file);
    npdb_csv_init(&csv, file);
    out[0] = '\0';
    for (;;) {
        enum npdb_csv_result result = npdb_csv_next(&csv, &err);
        if (result == NPDB_CSV_END)
            break;
        assert_int_not_equal(result, NPDB_CSV_FAILED);
        if (result == NPDB_CSV_BAD)
            used += (size_t)snprintf(out + used, size - used, "%d:BAD;", (int)csv.line);
        else
            used += (size_t)snprintf(out + used, size - used, "%d:%.*s|%.*s;", (int)csv.line,
                                     (int)csv.field_len[0], csv.field[0], (int)csv.field_len[1],
                                     csv.field[1]);
        assert_true(used < size);
    }
    fclose(file);
}

static const struct {
    const char *text, *rows;
} files[] = {
    {"202555,1234\n", "1:202555|1234;"},
    {"202555,1234", "1:202555|1234;"},
    {"202555,1234\r\n303555,ABCD\r\n", "1:202555|1234;2:303555|ABCD;"},
    {"\xef\xbb\xbf"
     "202555,1234\n",
     "1:202555|1234;"},
    {"\xef\xbb\xbf"
     "prefix,spc\n202555,1234\n",
     "2:202555|1234;"},
    {"\xef\xbb\xbf", ""},
    {"\xef\xbb\xbf\r\n1,2", "2:1|2;"},
    {"\n", ""},
    {"\n\n202555,1234\n\r\n \t\n303555,ABCD\n\n", "3:202555|1234;6:303555|ABCD;"},
    {" 202555 ,\t1234 \n", "1:202555|1234;"},
    {"\"202555\",\"1234\"\n", "1:202555|1234;"},
    {" \" 202555 \" , \" 1234\t\" \n", "1:202555|1234;"},
    {"+44 20,UK01\n", "1:+44 20|UK01;"},
    {"(202) 555,1234\n", "1:(202) 555|1234;"},

    /* headings: only in the first line, and only if no number can start like that */
    {"prefix,SPC\n1,2\n", "2:1|2;"},
    {"TN,LRN,comment\n1,2\n", "2:1|2;"},
    {"heading\n1,2\n", "2:1|2;"},
    {"\"NPA-NXX\",\"OCN\"\r\n1,2\n", "2:1|2;"},
    {"# made by hand\n1,2\n", "2:1|2;"},
    {"1,2\nprefix,SPC\n", "1:1|2;2:prefix|SPC;"},
    {"\nprefix,SPC\n", "2:prefix|SPC;"},
    {"20x555,1234\n", "1:20x555|1234;"},
    {",1234\n", "1:|1234;"},
    {"\"\",1234\n", "1:|1234;"},

    {"202555\n1,2\n", "1:BAD;2:1|2;"},
    {"1,2,3\n1,2\n", "1:BAD;2:1|2;"},
    {"1,2,\n", "1:BAD;"},
    {"1,\n", "1:1|;"},
    {"1;2\n", "1:BAD;"},
    {"1\t2\n", "1:BAD;"},
    {"\"1,2\n", "1:BAD;"},
    {"1,\"2\n", "1:BAD;"},
    {"1,\"2\"x\n", "1:BAD;"},
    {"\"1\"x,2\n", "1:BAD;"},
    {"1,\"2\"\"3\"\n", "1:BAD;"},
    {"1,2\"\n", "1:1|2\";"},
    {"1,2\r3,4\n", "1:BAD;"}, /* a lone CR ends no line */
    {"1,2\r", "1:1|2\r;"},
    {"\xff\xfe"
     "1\0,\0",
     "1:BAD;"},
};

static void forgiving_and_strict(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char rows[256];
        read_all(files[i].text, strlen(files[i].text), rows, sizeof(rows));
        if (strcmp(rows, files[i].rows) != 0)
            print_error("file %zu: %s", i, files[i].text);
        assert_string_equal(rows, files[i].rows);
    }
}

static void a_long_line_is_one_bad_row(void **state)
{
    (void)state;
    size_t len = 100000;
    char rows[256], *text = malloc(len + 64);
    assert_non_null(text);
    memset(text, ' ', len);
    memcpy(text, "1,", 2);
    memcpy(text + NPDB_CSV_MAX_LINE - 1, "2\n3,4\n", 7);
    read_all(text, NPDB_CSV_MAX_LINE + 5, rows, sizeof(rows));
    assert_string_equal(rows, "1:1|2;2:3|4;");

    memset(text, ' ', len);
    memcpy(text, "1,", 2);
    memcpy(text + NPDB_CSV_MAX_LINE, "2\n3,4\n", 7); /* one byte more */
    read_all(text, NPDB_CSV_MAX_LINE + 6, rows, sizeof(rows));
    assert_string_equal(rows, "1:BAD;2:3|4;");

    memset(text, '1', len);
    memcpy(text + len, "\n3,4", 5);
    read_all(text, len + 4, rows, sizeof(rows));
    assert_string_equal(rows, "1:BAD;2:3|4;");
    free(text);
}

static void a_nul_byte_stays_in_its_field(void **state)
{
    (void)state;
    static const char text[] = "1\0002,3\n";
    struct npdb_csv csv;
    FILE *file = fmemopen((void *)(uintptr_t)text, sizeof(text) - 1, "r");
    assert_non_null(file);
    npdb_csv_init(&csv, file);
    assert_int_equal(npdb_csv_next(&csv, NULL), NPDB_CSV_ROW);
    assert_int_equal(csv.field_len[0], 3);
    assert_memory_equal(csv.field[0], "1\0002", 3);
    fclose(file);
}

static void a_folder_cannot_be_read(void **state)
{
    (void)state;
    struct npdb_csv csv;
    struct sticps_error err;
    FILE *file = fopen("/", "re");
    assert_non_null(file);
    npdb_csv_init(&csv, file);
    assert_int_equal(npdb_csv_next(&csv, &err), NPDB_CSV_FAILED);
    assert_int_equal(err.code, STICPS_ERR_FILE);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forgiving_and_strict),
        cmocka_unit_test(a_long_line_is_one_bad_row),
        cmocka_unit_test(a_nul_byte_stays_in_its_field),
        cmocka_unit_test(a_folder_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

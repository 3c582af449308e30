/* client/npdb_csv and npdb_dialect: what the reading of CSV forgives, and what it does not. */
#include "client/npdb_csv.h"

#include "client/npdb_owners.h"
#include "common/tn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What came of a text, row by row: "line:number|owner;", "line:BAD;" */
struct told {
    char text[1024];
    size_t len;
    uint32_t before; /* lines in front of the piece */
    char fault[512]; /* the last one */
};

static void tell(struct told *told, const char *what)
{
    told->len +=
        (size_t)snprintf(told->text + told->len, sizeof(told->text) - told->len, "%s", what);
    assert_true(told->len < sizeof(told->text));
}

static void on_fault(uint32_t line, const char *what, void *arg)
{
    struct told *told = arg;
    char one[32];
    snprintf(one, sizeof(one), "%u:BAD;", told->before + line + 1);
    tell(told, one);
    snprintf(told->fault, sizeof(told->fault), "%s", what);
}

static void tell_row(struct told *told, const struct npdb_csv_row *row)
{
    struct tn number;
    char owner[NPDB_OWNER_TEXT], one[96];
    tn_from_key(row->number, &number);
    npdb_owner_text(row->owner, owner);
    snprintf(one, sizeof(one), "%u:%s|%s;", told->before + row->line + 1, number.digits, owner);
    tell(told, one);
}

static void read_all(enum npdb_csv_kind kind, const char *text, size_t len, struct told *told)
{
    static const struct npdb_csv_options options;
    struct npdb_dialect dialect;
    struct npdb_csv csv;
    struct npdb_csv_row row;
    size_t count;
    assert_int_equal(npdb_dialect_find(&options, kind, text, len, &dialect, NULL), STICPS_OK);
    memset(told, 0, sizeof(*told));
    told->before = dialect.body_line;
    npdb_csv_init(&csv, &dialect, text + dialect.body, len - dialect.body, on_fault, told);
    while ((count = npdb_csv_read(&csv, &row, 1)) > 0)
        tell_row(told, &row);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forgiving_and_strict),
        cmocka_unit_test(a_long_line_is_one_bad_row),
        cmocka_unit_test(a_nul_byte_stays_in_its_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

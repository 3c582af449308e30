/* client/npdb_dialect, npdb_csv_options and npdb_meaning: which column says what, and what rows of
 * many columns mean. */
#include "tests/unit/csv_told.h"

#define BLOCKS NPDB_CSV_BLOCKS
#define PORTS NPDB_CSV_PORTS

/* ---- headings ---- */

static const struct {
    enum npdb_csv_kind kind;
    const char *text, *rows;
} files[] = {
    /* separators */
    {BLOCKS, "202555;1234\n303555;ABCD\n", "1:1202555|1234;2:1303555|ABCD;"},
    {BLOCKS, "202555\t1234\n", "1:1202555|1234;"},
    {BLOCKS, "202555|1234\n", "1:1202555|1234;"},
    {BLOCKS, "\"202,555\";1234\n", "1:BAD;"}, /* the comma is inside */
    {BLOCKS, "OCN\tCOMPANY, STATE\tNPANXX\n1234\tAcme, \"X\" Inc, DC\t202555\n", "2:1202555|1234;"},

    /* the usual names, in any order and spelling */
    {BLOCKS, "OCN,Prefix\n1234,202555\n", "2:1202555|1234;"},
    {BLOCKS, "NPA-NXX-X,Resp Org ID\n2025551,ABC01\n", "2:12025551|ABC01;"},
    {BLOCKS, "npa,nxx,ocn\n202,555,1234\n", "2:1202555|1234;"},
    {BLOCKS, "NPANXX,NPA,NXX,OCN\nwrong,202,555,1234\n", "2:1202555|1234;"},
    {BLOCKS, "NPA,NPANXX,OCN\n999,202555,1234\n", "2:1202555|1234;"},
    {BLOCKS, "NPANXX,X,OCN\n202555,3,1234\n202555,,1234\n2025554,4,1234\n2025554,5,1234\n",
     "2:12025553|1234;3:1202555|1234;4:12025554|1234;5:BAD;"},
    {BLOCKS, "prefix,block,spc\n44,3,1234\n1202,3,1234\n+1202555,3,1234\n",
     "2:BAD;3:BAD;4:12025553|1234;"},
    {BLOCKS, "prefix,SPID\n202555,1234\n", "2:1202555|1234;"},
    {BLOCKS, "prefix,SPC,SPID\n202555,,1234\n202556,5678,1234\n", "2:1202555|1234;3:1202556|5678;"},
    {PORTS,
     "\"Telephone Number\",\"Carrier\",\"L.R.N.\"\r\n\"(202) 555-0123\",\"A, "
     "\"\"B\"\"\",3035550000\r\n",
     "2:12025550123|LRN 13035550000;"},
    {PORTS, ",TN,LRN\n0,2025550123,3035550000\n", "2:12025550123|LRN 13035550000;"},
    {PORTS,
     "TN,LRN,OCN\n2025550123,3035550000,1234\n2025550124,,1234\n8005550123,2025550000,ABC23\n"
     "2025550125,,\n",
     "2:12025550123|LRN 13035550000;3:12025550124|1234;4:18005550123|ABC23;5:BAD;"},
    {PORTS, "TN,LRN\n8005550123,ABC23\n2025550123,3035550000\n",
     "2:18005550123|ABC23;3:12025550123|LRN 13035550000;"},
    {PORTS, "TN,OCN\n2025550123,3035550000\n", "2:12025550123|LRN 13035550000;"},
    {PORTS, "tn|spid\n2025550123|1234\n", "2:12025550123|1234;"},
    {PORTS, "TN,LRN\n2025550123\n2025550123,\n", "2:BAD;3:BAD;"},
    {PORTS, "TN,LRN,X\n2025550123,3035550000,\"open\n", "2:12025550123|LRN 13035550000;"},
    {PORTS, "X,TN,LRN\n\"open,2025550123,3035550000\n", "2:BAD;"},

    /* what is no NPA, NXX or block */
    {BLOCKS,
     "NPA,NXX,X,OCN\n20,555,,1234\n2025,555,,1234\n102,555,,1234\n202,0AX,,1234\n"
     "202,5X5,,1234\n202,555,AA,1234\n202,555,B,1234\n202,555,/,1234\n,,,1234\n",
     "2:BAD;3:BAD;4:BAD;5:BAD;6:BAD;7:BAD;8:BAD;9:BAD;10:BAD;"},
    {BLOCKS, "State,NPA,NXX,X,OCN,Block Effective Date\nNY,212,555,9,1234,01/31/2020\n",
     "2:12125559|1234@20200131;"},

    /* comments and blank lines in front */
    {PORTS, "# list of today\n\n# for tests\nTN,LRN\n2025550123,3035550000\n# no more\n",
     "5:12025550123|LRN 13035550000;6:BAD;"},
    {PORTS, "\n2025550123,3035550000\n", "2:12025550123|LRN 13035550000;"},
    {PORTS, "# nothing", ""},
    {PORTS, "TN,LRN", ""},
    {PORTS, "", ""},

    /* what is missing or there twice */
    {BLOCKS, "prefix,carrier\n202555,1234\n", "REFUSED;"},
    {BLOCKS, "NPA,OCN\n202,1234\n", "REFUSED;"},
    {BLOCKS, "NXX,OCN\n202,1234\n", "REFUSED;"},
    {BLOCKS, "code,OCN\n202,1234\n", "REFUSED;"},
    {BLOCKS, "prefix,OCN,SPC\n202555,1234,5678\n", "REFUSED;"},
    {BLOCKS, "prefix\n202555,1234\n", "REFUSED;"},
    {BLOCKS, "TN,LRN\n2025550123,3035550000\n", "REFUSED;"},
    {PORTS, "prefix,OCN\n202555,1234\n", "REFUSED;"},
    {PORTS, "TN,Phone,LRN\n2025550123,2025550123,3035550000\n", "REFUSED;"},
    {PORTS, "TN,routing\n2025550123,3035550000\n", "REFUSED;"},
};

static void headings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct told told;
        read_all(files[i].kind, files[i].text, strlen(files[i].text), &told);
        if (strcmp(told.text, files[i].rows) != 0)
            print_error("file %zu: %s%s\n", i, files[i].text, told.fault);
        assert_string_equal(told.text, files[i].rows);
    }
}

static void a_refusal_names_what_there_is_and_the_remedy(void **state)
{
    (void)state;
    struct told told;
    const char *text = "prefix,carrier,place\n";
    read_all(BLOCKS, text, strlen(text), &told);
    assert_string_equal(told.fault, "no column of the heading is known to have the SPC; there are "
                                    "prefix, carrier, place; say which it is "
                                    "(--blocks-columns spc=NAME)");
    text = "TN,\"Phone, mobile\",number,LRN\n";
    read_all(PORTS, text, strlen(text), &told);
    assert_string_equal(told.fault, "the columns 'TN' and 'number' may both be tn; say by its "
                                    "position which it is (--ports-columns tn=2)");
}

/* Columns beyond those that can be told apart, and names beyond what a message holds. */
static void very_wide_headings(void **state)
{
    (void)state;
    struct told told;
    char text[NPDB_CSV_MAX_LINE + 64];
    size_t len = 0;
    for (int i = 0; i < 254; i++)
        len += (size_t)sprintf(text + len, "column%03d,", i);
    sprintf(text + len, "TN,LRN\n");
    read_all(PORTS, text, strlen(text), &told);
    assert_string_equal(told.text, "");
    sprintf(text + len, "TN,MORE\n");
    read_all(PORTS, text, strlen(text), &told);
    assert_string_equal(told.text, "REFUSED;");
    assert_non_null(strstr(told.fault, "column001, "));
    assert_non_null(strstr(told.fault, ", ...; say which it is (--ports-columns lrn=NAME)"));
    sprintf(text + len, "TN,LRN,MORE\n"); /* 257: no heading, so a row, and a wrong one */
    read_all(PORTS, text, strlen(text), &told);
    assert_string_equal(told.text, "1:BAD;");
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\n'; /* a heading has no more bytes than a line may have */
    read_all(PORTS, text, sizeof(text), &told);
    assert_string_equal(told.text, "1:BAD;");
}

/* ---- what somebody says ---- */

struct saying {
    enum sticps_npdb_build_option which;
    const char *value;
};

static const struct {
    struct saying said[3];
    enum npdb_csv_kind kind;
    const char *text, *rows;
} sayings[] = {
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=NUMBER,lrn=ROUTING"}},
     PORTS,
     "ROUTING,TN,NUMBER,LRN\n3035550000,x,2025550123,y\n",
     "2:12025550123|LRN 13035550000;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=Tel. (No.),lrn=.rn."}},
     PORTS,
     "RN;TEL-NO;TN\n3035550000;2025550123;x\n",
     "2:12025550123|LRN 13035550000;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "lrn=3"}}, /* the number is found */
     PORTS,
     "TN,LRN,REAL LRN\n2025550123,x,3035550000\n",
     "2:12025550123|LRN 13035550000;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=2,lrn=3,spid=4"}}, /* a download of an NPAC */
     PORTS,
     "101|2025550123|3035550000|1234|20240101000000|\n102|8005550123||ABC23||\n",
     "1:12025550123|LRN 13035550000;2:18005550123|ABC23;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=2,lrn=3"}},
     PORTS,
     "id|what|where\n101|2025550123|3035550000\n",
     "2:12025550123|LRN 13035550000;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=2"}}, PORTS, "101|2025550123|3035550000\n", "REFUSED;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "lrn=3"}}, PORTS, "101|2025550123|3035550000\n", "REFUSED;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=2,lrn=2"}}, PORTS, "1|2025550123\n", "REFUSED;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=gone"}}, PORTS, "TN,LRN\n", "REFUSED;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=a"}}, PORTS, "A,a,LRN\n", "REFUSED;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "tn=1,lrn=2"}},
     PORTS,
     "2025550123,3035550000,x\n2025550124,3035550000\n2025550125\n",
     "1:12025550123|LRN 13035550000;2:12025550124|LRN 13035550000;3:BAD;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "lrn=-"}},
     PORTS,
     "TN,LRN,OCN\n2025550123,3035550000,1234\n",
     "2:12025550123|1234;"},
    {{{STICPS_NPDB_PORTS_COLUMNS, "status=-,date=-"}},
     PORTS,
     "TN,LRN,STATUS,EFF_DATE\n2025550123,3035550000,D,never\n",
     "2:12025550123|LRN 13035550000;"},
    {{{STICPS_NPDB_BLOCKS_COLUMNS, "prefix=CODE,spc=HOLDER"}},
     BLOCKS,
     "NPA,NXX,CODE,HOLDER,OCN\n1,2,202555,1234,5678\n",
     "2:1202555|1234;"},
    {{{STICPS_NPDB_BLOCKS_COLUMNS, "npa=AREA,nxx=OFFICE"}},
     BLOCKS,
     "AREA,OFFICE,PREFIX,OCN\n202,555,1,1234\n",
     "2:1202555|1234;"},
    {{{STICPS_NPDB_BLOCKS_COLUMNS, "npa=AREA"}}, BLOCKS, "AREA,OFFICE,OCN\n", "REFUSED;"},
    {{{STICPS_NPDB_BLOCKS_COLUMNS, "block=-"}},
     BLOCKS,
     "NPANXX,X,OCN\n202555,3,1234\n",
     "2:1202555|1234;"},
    {{{STICPS_NPDB_SEPARATOR, "semicolon"}},
     BLOCKS,
     "prefix;\"SPC\";a,b,c\n202555;1234;x\n",
     "2:1202555|1234;"},
    {{{STICPS_NPDB_SEPARATOR, "|"}}, BLOCKS, "202555,1234\n", "1:BAD;"},

    /* dates and statuses; the day is the first of March 2024 */
    {{{STICPS_NPDB_AS_OF, "2024-03-01"}},
     BLOCKS,
     "prefix,OCN,STATUS,EFF_DATE\n"
     "202555,1111,,\n202555,2222,E,2024-03-01\n202555,3333,E,2024-03-02\n202555,4444,m,20240229\n"
     "202556,1111,D,2024-03-01\n202556,1111,D,2024-03-02\n202556,1111,x,2020-01-01\n"
     "202556,1111,D,\n202556,1111,DX,\n202556,1111,D,0\n202557,1111,,tomorrow\n",
     "2:1202555|1111;3:1202555|2222@20240301;5:1202555|4444@20240229;"
     "6:1202556|ended@20240301;7:1202556|1111;9:1202556|ended;10:1202556|1111;11:1202556|ended;"
     "12:BAD;"},
    {{{STICPS_NPDB_AS_OF, "2024-03-01"}},
     PORTS,
     "TN,LRN,STATUS,EFFECTIVE DATE\n"
     "2025550101,3035550000,,\n2025550102,3035550000,,20240301\n2025550103,3035550000,,20240302\n"
     "2025550104,3035550000,D,20240301\n2025550105,3035550000,D,20240302\n"
     "2025550106,3035550000,X,20240301\n",
     "2:12025550101|LRN 13035550000;3:12025550102|LRN 13035550000;6:12025550105|LRN 13035550000;"},
    {{{STICPS_NPDB_AS_OF, "2024-03-01"}, {STICPS_NPDB_DATE_ORDER, "dmy"}},
     BLOCKS,
     "prefix,OCN,EFF_DATE\n202555,1234,01/03/2024\n202555,1234,02.03.2024\n202555,1234,010424\n",
     "2:1202555|1234@20240301;"},
    {{{STICPS_NPDB_AS_OF, "2024-03-01"}},
     BLOCKS,
     "prefix,OCN,EFF_DATE\n202555,1234,01/03/2024\n202555,1234,02/28/2024\n",
     "2:BAD;3:1202555|1234@20240228;"},
    {{{STICPS_NPDB_SKIP_STATUSES, "old, vacant,V"}, {STICPS_NPDB_END_STATUSES, ""}},
     BLOCKS,
     "prefix,OCN,STATUS\n202555,1234,Old\n202555,1234,v\n202555,1234,D\n202555,1234,X\n"
     "202555,1234,vacant\n202555,1234,ol\n202555,1234,olds\n",
     "4:1202555|1234;5:1202555|1234;7:1202555|1234;8:1202555|1234;"},
    /* a row that is left out for its status need not be right */
    {{{STICPS_NPDB_SKIP_STATUSES, "X"}},
     BLOCKS,
     "prefix,OCN,STATUS\nnone,?,X\n202555,1234,\n",
     "3:1202555|1234;"},
};

static void what_somebody_says_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sayings) / sizeof(sayings[0]); i++) {
        struct npdb_csv_options options = {.as_of = 0};
        struct told told;
        for (size_t j = 0; j < 3 && sayings[i].said[j].value != NULL; j++)
            assert_int_equal(npdb_csv_options_set(&options, sayings[i].said[j].which,
                                                  sayings[i].said[j].value, NULL),
                             STICPS_OK);
        read_with(&options, sayings[i].kind, sayings[i].text, strlen(sayings[i].text), &told);
        npdb_csv_options_clear(&options);
        if (strcmp(told.text, sayings[i].rows) != 0)
            print_error("file %zu: %s%s\n", i, sayings[i].text, told.fault);
        assert_string_equal(told.text, sayings[i].rows);
    }
}

static void what_is_left_out_is_counted(void **state)
{
    (void)state;
    static const char text[] =
        "TN,LRN,STATUS,EFF_DATE\n"
        "2025550101,3035550000,X,\n2025550101,3035550000,X,20240302\n"
        "2025550101,3035550000,,20240302\n2025550101,3035550000,D,\n"
        "2025550101,3035550000,D,20240229\n2025550101,3035550000,D,20240301\n";
    struct npdb_csv_options options = {.as_of = 20240301};
    struct told told;
    read_with(&options, PORTS, text, strlen(text), &told);
    assert_string_equal(told.text, "");
    assert_int_equal(told.skipped, 2);
    assert_int_equal(told.future, 1);
    assert_int_equal(told.ended, 3);
}

static const struct saying refused[] = {
    {STICPS_NPDB_PORTS_COLUMNS, "npa=NPA"},
    {STICPS_NPDB_PORTS_COLUMNS, "TN=NUMBER"},
    {STICPS_NPDB_PORTS_COLUMNS, "tn"},
    {STICPS_NPDB_PORTS_COLUMNS, "tn="},
    {STICPS_NPDB_PORTS_COLUMNS, "tn=0"},
    {STICPS_NPDB_PORTS_COLUMNS, "tn=257"},
    {STICPS_NPDB_PORTS_COLUMNS, "tn=99999999999999999999"},
    {STICPS_NPDB_PORTS_COLUMNS, "tn=1,,lrn=2"},
    {STICPS_NPDB_PORTS_COLUMNS,
     "tn=0123456789012345678901234567890123456789012345678901234567890123"},
    {STICPS_NPDB_BLOCKS_COLUMNS, "lrn=LRN"},
    {STICPS_NPDB_BLOCKS_COLUMNS, "=x"},
    {STICPS_NPDB_SEPARATOR, "x"},
    {STICPS_NPDB_SEPARATOR, ",;"},
    {STICPS_NPDB_DATE_ORDER, "ydm"},
    {STICPS_NPDB_AS_OF, "01/02/2024"},
    {STICPS_NPDB_AS_OF, "2024-02-30"},
    {STICPS_NPDB_AS_OF, "0"},
    {STICPS_NPDB_SPC_MAP + 1, "x"},
};

static void what_nobody_can_mean_is_refused(void **state)
{
    (void)state;
    struct npdb_csv_options options = {.as_of = 0}, before = {.as_of = 0};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct sticps_error err = {.code = STICPS_OK};
        if (npdb_csv_options_set(&options, refused[i].which, refused[i].value, &err) == STICPS_OK)
            print_error("taken: %s\n", refused[i].value);
        assert_int_equal(err.code, STICPS_ERR_USAGE);
        assert_true(err.text[0] != '\0');
        assert_memory_equal(&options, &before, sizeof(options));
    }
}

static void a_later_word_replaces_the_earlier_one(void **state)
{
    (void)state;
    static const struct saying said[] = {
        {STICPS_NPDB_PORTS_COLUMNS, "tn=NUMBER,status=-"},
        {STICPS_NPDB_PORTS_COLUMNS, NULL},
        {STICPS_NPDB_SEPARATOR, "bar"},
        {STICPS_NPDB_SEPARATOR, NULL},
        {STICPS_NPDB_DATE_ORDER, "mdy"},
        {STICPS_NPDB_DATE_ORDER, NULL},
        {STICPS_NPDB_AS_OF, "2024-01-01"},
        {STICPS_NPDB_AS_OF, NULL},
        {STICPS_NPDB_SKIP_STATUSES, "D"},
        {STICPS_NPDB_SKIP_STATUSES, NULL},
        {STICPS_NPDB_END_STATUSES, "X"},
        {STICPS_NPDB_END_STATUSES, NULL},
        {STICPS_NPDB_SPID_MAP, NULL},
        {STICPS_NPDB_SPC_MAP, NULL},
    };
    const char *text = "TN,LRN,STATUS,EFF_DATE\n2025550101,3035550000,X,02/30/2024\n"
                       "2025550101,3035550000,D,\n2025550101,3035550000,,20240302\n";
    struct npdb_csv_options options = {.as_of = 0};
    struct told told;
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
        assert_int_equal(npdb_csv_options_set(&options, said[i].which, said[i].value, NULL),
                         STICPS_OK);
    read_with(&options, PORTS, text, strlen(text), &told);
    assert_string_equal(told.text, "4:12025550101|LRN 13035550000;");
    assert_int_equal(told.skipped, 1);
    assert_int_equal(told.ended, 1);
    npdb_csv_options_clear(&options);
}

/* ---- tables of codes ---- */

static void write_table(char path[32], const char *text)
{
    strcpy(path, "/tmp/test_npdb_table.XXXXXX");
    int fd = mkstemp(path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void codes_are_replaced(void **state)
{
    (void)state;
    struct npdb_csv_options options = {.as_of = 0};
    struct told told;
    char spids[32], spcs[32];
    const char *text = "TN,OCN,SPID,LRN\n2025550101,,S001,\n2025550102,S001,,\n2025550103,,1111,\n"
                       "2025550104,2222,,\n8005550101,,ABC23,\n2025550105,,S001,3035550000\n";
    write_table(spids, "# whose\nS001,1111\ns002,3333\n");
    write_table(spcs, "1111,2222\n2222,4444\nABC23,CDE56\n");
    assert_int_equal(npdb_csv_options_set(&options, STICPS_NPDB_SPID_MAP, spids, NULL), STICPS_OK);
    assert_int_equal(npdb_csv_options_set(&options, STICPS_NPDB_SPC_MAP, spcs, NULL), STICPS_OK);
    read_with(&options, PORTS, text, strlen(text), &told);
    /* one step in each table: 2222, which S001 comes to, is not replaced again */
    assert_string_equal(told.text, "2:12025550101|2222;3:12025550102|S001;4:12025550103|2222;"
                                   "5:12025550104|4444;6:18005550101|CDE56;"
                                   "7:12025550105|LRN 13035550000;");
    text = "prefix,SPID\n202555,S002\n202556,-\n";
    read_with(&options, BLOCKS, text, strlen(text), &told);
    assert_string_equal(told.text, "2:1202555|3333;3:1202556|nobody;");
    assert_int_equal(npdb_csv_options_set(&options, STICPS_NPDB_SPID_MAP, NULL, NULL), STICPS_OK);
    text = "2025550101,1111\n2025550102,9999\n2025550103,1111\n2025550104,1111\n";
    read_with(&options, PORTS, text, strlen(text), &told);
    assert_string_equal(told.text, "1:12025550101|2222;2:12025550102|9999;3:12025550103|2222;"
                                   "4:12025550104|2222;");
    text = "202555,1111\n";
    read_with(&options, BLOCKS, text, strlen(text), &told);
    assert_string_equal(told.text, "1:1202555|2222;");

    assert_int_equal(npdb_csv_options_set(&options, STICPS_NPDB_SPC_MAP, "/nowhere/at/all", NULL),
                     STICPS_ERR_FILE);
    unlink(spids);
    write_table(spids, "1111,2222\n1111,3333\n");
    assert_int_equal(npdb_csv_options_set(&options, STICPS_NPDB_SPC_MAP, spids, NULL),
                     STICPS_ERR_SPC);
    read_with(&options, BLOCKS, text, strlen(text), &told);
    assert_string_equal(told.text, "1:1202555|2222;"); /* the old table stands */
    npdb_csv_options_clear(&options);
    unlink(spids);
    unlink(spcs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headings),
        cmocka_unit_test(a_refusal_names_what_there_is_and_the_remedy),
        cmocka_unit_test(very_wide_headings),
        cmocka_unit_test(what_somebody_says_holds),
        cmocka_unit_test(what_is_left_out_is_counted),
        cmocka_unit_test(what_nobody_can_mean_is_refused),
        cmocka_unit_test(a_later_word_replaces_the_earlier_one),
        cmocka_unit_test(codes_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

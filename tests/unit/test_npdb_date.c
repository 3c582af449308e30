/* client/npdb_date: what is a date, what is none, and what may be two. */
#include "client/npdb_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#define YMD NPDB_DATE_YMD
#define MDY NPDB_DATE_MDY
#define DMY NPDB_DATE_DMY
#define ANY NPDB_DATE_ANY

static const struct {
    const char *text;
    unsigned orders;
    uint32_t date;
} dates[] = {
    {"2024-01-31", ANY, 20240131},
    {"2024-1-3", ANY, 20240103},
    {"2024/01/31", ANY, 20240131},
    {"2024.01.31", YMD, 20240131},
    {"2024-01-31 23:59:59", ANY, 20240131},
    {"2024-01-31T23:59:59Z", ANY, 20240131},
    {"20240131", ANY, 20240131},
    {"20240131235959", ANY, 20240131},
    {"01/31/2024", ANY, 20240131},
    {"1/31/2024", ANY, 20240131},
    {"31.01.2024", ANY, 20240131},
    {"01/02/2024", MDY, 20240102},
    {"01/02/2024", DMY, 20240201},
    {"02/02/2024", ANY, 20240202}, /* the same either way */
    {"013124", ANY, 20240131},
    {"013124", MDY, 20240131},
    {"010224", MDY, 20240102},
    {"010224", DMY, 20240201},
    {"010224", YMD, 20010224},
    {"010170", MDY, 19700101},
    {"010169", MDY, 20690101},
    {"01022024", MDY, 20240102},
    {"01022024", DMY, 20240201},
    {"31012024", ANY, 20240131},
    {"2024-02-29", ANY, 20240229},
    {"2000-02-29", ANY, 20000229},
    {"1900-01-01", ANY, 19000101},
    {"2199-12-31", ANY, 21991231},
    {"", ANY, 0},
    {"000000", ANY, 0},
    {"00000000", MDY, 0},
    {"0000-00-00", ANY, 0},
    {"-", ANY, 0},
    {"20240131T235959Z", ANY, 20240131},
};

static const struct {
    const char *text;
    unsigned orders;
} refused[] = {
    {"01/02/2024", ANY},  {"010224", ANY},      {"01022024", ANY},    {"12/11/10", ANY},
    {"2024-01-31", MDY},  {"01/31/2024", YMD},  {"01/31/2024", DMY},  {"2023-02-29", ANY},
    {"1900-02-29", ANY},  {"2024-13-01", ANY},  {"2024-04-31", ANY},  {"2024-00-10", ANY},
    {"2024-10-00", ANY},  {"1899-12-31", ANY},  {"2200-01-01", ANY},  {"2024-01", ANY},
    {"2024-01/31", ANY},  {"2024-01-31x", ANY}, {"2024013", ANY},     {"202401", YMD},
    {"today", ANY},       {"x", YMD | MDY},     {"2024--01", ANY},    {"123-01-01", ANY},
    {"2024-001-01", ANY}, {"20240101000", ANY}, {"99999-01-01", ANY},
};

static void a_date(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        uint32_t date = 1;
        struct sticps_error err = {.text = ""};
        if (npdb_date_parse(dates[i].text, strlen(dates[i].text), dates[i].orders, &date, &err) !=
                STICPS_OK ||
            date != dates[i].date)
            print_error("'%s' is %u %s\n", dates[i].text, date, err.text);
        assert_int_equal(date, dates[i].date);
    }
}

static void no_date_or_two(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        uint32_t date = 1;
        struct sticps_error err;
        if (npdb_date_parse(refused[i].text, strlen(refused[i].text), refused[i].orders, &date,
                            &err) == STICPS_OK)
            print_error("'%s' is %u\n", refused[i].text, date);
        assert_int_equal(date, 1);
        assert_int_equal(err.code, STICPS_ERR_NPDB);
        assert_non_null(strstr(err.text, "--date-order"));
    }
}

static void today_is_a_date(void **state)
{
    (void)state;
    assert_in_range(npdb_date_today(), 19700101, 21991231);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_date),
        cmocka_unit_test(no_date_or_two),
        cmocka_unit_test(today_is_a_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

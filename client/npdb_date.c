#include "client/npdb_date.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

struct part {
    unsigned value, digits;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct part part_of(const char *text, size_t len)
{
    struct part part = {0, (unsigned)len};
    for (size_t i = 0; i < len; i++)
        part.value = part.value * 10 + (unsigned)(text[i] - '0');
    return part;
}

/* "20240131", "010231", "20240131235959": digits without anything between them. How they fall into
 * parts depends on where the year is. */
static bool split_digits(const char *text, size_t len, bool year_first, struct part parts[3])
{
    if (len == 14)
        len = 8;
    if (len != 6 && len != 8)
        return false;
    size_t year = len - 4, at = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t digits = i == (year_first ? 0 : 2) ? year : 2;
        parts[i] = part_of(text + at, digits);
        at += digits;
    }
    return true;
}

/* "2024-01-31", "1/31/2024". */
static bool split_parts(const char *text, size_t len, struct part parts[3])
{
    size_t at = 0;
    char between = '\0';
    for (size_t i = 0; i < 3; i++) {
        size_t digits = 0;
        while (at + digits < len && digits < 5 && is_digit(text[at + digits]))
            digits++;
        if (digits == 0 || digits > 4)
            return false;
        parts[i] = part_of(text + at, digits);
        at += digits;
        if (i == 2)
            break;
        if (at == len || strchr("-/.", text[at]) == NULL || (i > 0 && text[at] != between))
            return false;
        between = text[at++];
    }
    return at == len;
}

static bool is_day(unsigned year, unsigned month, unsigned day)
{
    static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month < 1 || month > 12 || day < 1)
        return false;
    return day <= days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* yyyymmdd, or 0 if that is no date. */
static uint32_t date_of(struct part year, struct part month, struct part day)
{
    if ((year.digits != 2 && year.digits != 4) || month.digits > 2 || day.digits > 2)
        return 0;
    unsigned y = year.value;
    if (year.digits == 2)
        y += y < 70 ? 2000 : 1900;
    if (y < 1900 || y > 2199 || !is_day(y, month.value, day.value))
        return 0;
    return (uint32_t)(y * 10000 + month.value * 100 + day.value);
}

static uint32_t read_in_order(const char *text, size_t len, size_t digits, unsigned order)
{
    struct part p[3];
    if (!(digits == len ? split_digits(text, len, order == NPDB_DATE_YMD, p)
                        : split_parts(text, len, p)))
        return 0;
    if (order == NPDB_DATE_YMD)
        return date_of(p[0], p[1], p[2]);
    return order == NPDB_DATE_MDY ? date_of(p[2], p[0], p[1]) : date_of(p[2], p[1], p[0]);
}

enum sticps_err npdb_date_parse(const char *text, size_t len, unsigned orders, uint32_t *date,
                                struct sticps_error *err)
{
    uint32_t found = 0;
    size_t whole = len, digits = 0, zeros = 0;
    for (len = 0; len < whole && text[len] != ' ' && text[len] != 'T';) /* no time of day */
        len++;
    while (digits < len && is_digit(text[digits]))
        digits++;
    while (zeros < len && strchr("0-/.", text[zeros]) != NULL && text[zeros] != '\0')
        zeros++;
    for (unsigned order = NPDB_DATE_YMD; zeros < len && order <= NPDB_DATE_DMY; order *= 2) {
        uint32_t read = (orders & order) != 0 ? read_in_order(text, len, digits, order) : 0;
        if (read != 0 && found != 0 && read != found)
            return fail(err, STICPS_ERR_NPDB, NULL,
                        "the date '%.*s' may be %u or %u; say the order of day, month and year "
                        "(--date-order)",
                        len < 32 ? (int)len : 32, text, found, read);
        found = read != 0 ? read : found;
    }
    if (found == 0 && zeros < len)
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "'%.*s' is no date; write YYYY-MM-DD, or say the order of day, month and year "
                    "(--date-order)",
                    len < 32 ? (int)len : 32, text);
    *date = found;
    return STICPS_OK;
}

uint32_t npdb_date_today(void)
{
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm) == NULL)
        return 0;
    return (uint32_t)((tm.tm_year + 1900) * 10000 + (tm.tm_mon + 1) * 100 + tm.tm_mday);
}

#include "client/npdb_csv.h"

#include "client/npdb_meaning.h"

#include <endian.h>
#include <string.h>

void npdb_csv_init(struct npdb_csv *csv, const struct npdb_dialect *dialect, const char *text,
                   size_t len, void (*on_fault)(uint32_t line, const char *what, void *arg),
                   void *arg)
{
    *csv = (struct npdb_csv){
        .dialect = dialect, .at = text, .end = text + len, .on_fault = on_fault, .arg = arg};
}

/* The fields that the dialect looks at. NULL, or what is wrong. */
static const char *cut_row(const struct npdb_dialect *dialect, const char *p, const char *end,
                           struct npdb_field fields[NPDB_COLUMN_COUNT])
{
    const char *fault = NULL;
    for (unsigned column = 0; column < dialect->columns; column++) {
        struct npdb_field field;
        if (column > 0 && p == end)
            return dialect->two_columns ? "there is one column; two are needed"
                                        : "the row ends before the last of the columns needed";
        p = npdb_field_cut(column > 0 ? p + 1 : p, end, dialect->separator, &field, &fault);
        if (p == NULL)
            return fault;
        if (dialect->role[column] != NPDB_NO_COLUMN)
            fields[dialect->role[column]] = field;
    }
    if (dialect->two_columns && p != end)
        return "there are more than two columns";
    return NULL;
}

/* One line, without its end. False when there is no row in it. */
static bool read_line(struct npdb_csv *csv, const char *p, const char *end,
                      struct npdb_csv_row *row)
{
    struct npdb_field fields[NPDB_COLUMN_COUNT];
    struct sticps_error err;
    const char *fault = NULL;
    for (size_t i = 0; i < NPDB_COLUMN_COUNT; i++)
        fields[i] = (struct npdb_field){"", 0};
    row->line = csv->lines;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p == end)
        return false;
    if ((size_t)(end - p) > NPDB_CSV_MAX_LINE)
        fault = "the line is too long";
    else
        fault = cut_row(csv->dialect, p, end, fields);
    if (fault == NULL) {
        switch (npdb_meaning_of(csv->dialect, fields, row, &err)) {
        case NPDB_MEANING_ROW:
            return true;
        case NPDB_MEANING_SKIPPED:
            csv->skipped++;
            return false;
        case NPDB_MEANING_FUTURE:
            csv->future++;
            return false;
        case NPDB_MEANING_ENDED:
            csv->ended++;
            return false;
        case NPDB_MEANING_FAULT:
            fault = err.text;
        }
    }
    csv->on_fault(row->line, fault, csv->arg);
    return false;
}

/* ---- the common row ---- */

/* Nearly all rows of ports are "2025550123,3035550000" or "2025550123,1234", numbers of the plan
 * with ten or eleven digits. They are read eight digits at a time; whatever is not plainly one of
 * them goes the long way, which gives the same row for those that are. */

#define COMMON_ROOM 32 /* bytes that read_common may look at */

static uint64_t load(const char *p)
{
    uint64_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    return le64toh(bytes);
}

/* Each byte is 0x30 to 0x39: its high half is 3, and still is when 6 is added. */
static bool are_digits(uint64_t bytes)
{
    const uint64_t high = UINT64_C(0xf0f0f0f0f0f0f0f0), threes = UINT64_C(0x3030303030303030);
    const uint64_t sixes = UINT64_C(0x0606060606060606);
    return (bytes & high) == threes && ((bytes + sixes) & high) == threes;
}

/* Eight digits, the first one least significant: neighbours are joined to pairs, the pairs to
 * fours, the fours to eight. */
static uint64_t value_of(uint64_t digits)
{
    digits = (digits & UINT64_C(0x0f0f0f0f0f0f0f0f)) * (10 * 256 + 1) >> 8;
    digits = (digits & UINT64_C(0x00ff00ff00ff00ff)) * (100 * 65536 + 1) >> 16;
    return (digits & UINT64_C(0x0000ffff0000ffff)) * (UINT64_C(10000) * 4294967296 + 1) >> 32;
}

/* A number of the plan with `stop` behind it, with or without the leading 1, as a tn_key. Returns
 * what follows `stop`, or NULL. */
static inline const char *read_plan_number(const char *p, char stop, uint64_t *key)
{
    if (p[10] != stop && *p++ != '1')
        return NULL;
    uint64_t bytes = load(p);
    unsigned ninth = (unsigned char)p[8] - (unsigned)'0',
             tenth = (unsigned char)p[9] - (unsigned)'0';
    if (p[10] != stop || !are_digits(bytes) || ninth > 9 || tenth > 9 || p[0] < '2' || p[3] < '2')
        return NULL;
    *key = (UINT64_C(10000000000) + value_of(bytes) * 100 + ninth * 10 + tenth) << 4 | 11;
    return p + 11;
}

/* An OCN in upper case with `stop` behind it, as a spc_key. As above. */
static inline const char *read_ocn(const char *p, char stop, uint64_t *key)
{
    if (p[4] != stop)
        return NULL;
    *key = 0;
    for (size_t i = 0; i < 4; i++) {
        if ((p[i] < '0' || p[i] > '9') && (p[i] < 'A' || p[i] > 'Z'))
            return NULL;
        *key = *key << 8 | (unsigned char)p[i];
    }
    *key <<= 32;
    return p + 5;
}

/* The owner with `stop` behind it; an OCN is looked up where there is a table of them. */
static inline const char *read_owner(const struct npdb_csv *csv, const char *p, char stop,
                                     uint64_t *owner)
{
    const char *next = read_plan_number(p, stop, owner);
    return next != NULL || csv->dialect->options->spcs != NULL ? next : read_ocn(p, stop, owner);
}

/* Returns what follows the row, or NULL when it is not of that kind. A toll-free number is not: its
 * owner is told otherwise. */
static inline const char *read_common(const struct npdb_csv *csv, struct npdb_csv_row *row)
{
    const char separator = csv->dialect->separator;
    const char *owner = read_plan_number(csv->at, separator, &row->number);
    if (owner == NULL || (owner[-11] == '8' && owner[-10] == owner[-9]))
        return NULL;
    const char *next = read_owner(csv, owner, '\n', &row->owner);
    if (next != NULL)
        return next;
    next = read_owner(csv, owner, '\r', &row->owner);
    if (next != NULL)
        return *next == '\n' ? next + 1 : NULL;
    if (csv->dialect->two_columns)
        return NULL;
    next = read_owner(csv, owner, separator, &row->owner);
    next = next != NULL ? memchr(next, '\n', (size_t)(csv->end - next)) : NULL;
    return next != NULL && next - csv->at <= (ptrdiff_t)NPDB_CSV_MAX_LINE ? next + 1 : NULL;
}

/* ---- all rows ---- */

static size_t read_next(struct npdb_csv *csv, struct npdb_csv_row *row)
{
    const char *start = csv->at, *newline = memchr(start, '\n', (size_t)(csv->end - start));
    const char *stop = newline != NULL ? newline : csv->end;
    csv->at = newline != NULL ? newline + 1 : csv->end;
    if (newline != NULL && stop > start && stop[-1] == '\r')
        stop--;
    size_t count = read_line(csv, start, stop, row);
    csv->lines++;
    return count;
}

size_t npdb_csv_read(struct npdb_csv *csv, struct npdb_csv_row *rows, size_t max)
{
    const bool is_common = csv->dialect->is_common;
    size_t count = 0;
    while (count < max && csv->at < csv->end) {
        const char *next = NULL;
        if (is_common && csv->end - csv->at >= COMMON_ROOM)
            next = read_common(csv, &rows[count]);
        if (next != NULL) {
            csv->at = next;
            rows[count].line = csv->lines++;
            rows[count++].since = 0;
        } else {
            count += read_next(csv, &rows[count]);
        }
    }
    return count;
}

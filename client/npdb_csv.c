#include "client/npdb_csv.h"

#include "client/npdb_meaning.h"

#include <string.h>

void npdb_csv_init(struct npdb_csv *csv, const struct npdb_dialect *dialect, const char *text,
                   size_t len, void (*on_fault)(uint32_t line, const char *what, void *arg),
                   void *arg)
{
    *csv = (struct npdb_csv){
        .dialect = dialect, .at = text, .end = text + len, .on_fault = on_fault, .arg = arg};
}

static bool is_blank(char c, char separator)
{
    return (c == ' ' || c == '\t') && c != separator;
}

static void trim(struct npdb_field *field, char separator)
{
    while (field->len > 0 && is_blank(field->text[0], separator)) {
        field->text++;
        field->len--;
    }
    while (field->len > 0 && is_blank(field->text[field->len - 1], separator))
        field->len--;
}

/* The closing quotation mark of a field that starts at p; a doubled one is part of the field. */
static const char *closing_mark(const char *p, const char *end)
{
    while (p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL) {
        if (p + 1 == end || p[1] != '"')
            return p;
        p += 2;
    }
    return NULL;
}

/* Cuts one field off the front of p..end. Returns what follows it: the separator, the end, or NULL
 * with `*fault` set. */
static const char *cut_field(const char *p, const char *end, char separator,
                             struct npdb_field *field, const char **fault)
{
    while (p < end && is_blank(*p, separator))
        p++;
    if (p < end && *p == '"') {
        const char *mark = closing_mark(p + 1, end);
        if (mark == NULL) {
            *fault = "a quotation mark is not closed";
            return NULL;
        }
        *field = (struct npdb_field){p + 1, (size_t)(mark - p) - 1};
        for (p = mark + 1; p < end && is_blank(*p, separator);)
            p++;
        if (p < end && *p != separator) {
            *fault = "something follows a closing quotation mark";
            return NULL;
        }
    } else {
        const char *stop = memchr(p, separator, (size_t)(end - p));
        stop = stop != NULL ? stop : end;
        *field = (struct npdb_field){p, (size_t)(stop - p)};
        p = stop;
    }
    trim(field, separator);
    return p;
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
        p = cut_field(column > 0 ? p + 1 : p, end, dialect->separator, &field, &fault);
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
        case NPDB_MEANING_FAULT:
            fault = err.text;
        }
    }
    csv->on_fault(row->line, fault, csv->arg);
    return false;
}

size_t npdb_csv_read(struct npdb_csv *csv, struct npdb_csv_row *rows, size_t max)
{
    size_t count = 0;
    while (count < max && csv->at < csv->end) {
        const char *newline = memchr(csv->at, '\n', (size_t)(csv->end - csv->at));
        const char *stop = newline != NULL ? newline : csv->end;
        const char *start = csv->at;
        csv->at = newline != NULL ? newline + 1 : csv->end;
        if (newline != NULL && stop > start && stop[-1] == '\r')
            stop--;
        count += read_line(csv, start, stop, &rows[count]);
        csv->lines++;
    }
    return count;
}

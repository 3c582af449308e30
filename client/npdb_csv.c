#include "client/npdb_csv.h"

#include <errno.h>
#include <string.h>

void npdb_csv_init(struct npdb_csv *csv, FILE *file)
{
    memset(csv, 0, sizeof(*csv));
    csv->file = file;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Reads a line without its LF or CRLF. `*len` counts all of it, also what did not fit. False at the
 * end of the file. */
static bool read_line(struct npdb_csv *csv, size_t *len)
{
    size_t n = 0;
    int c, last = 0;
    while ((c = getc_unlocked(csv->file)) != EOF && c != '\n') {
        if (n < sizeof(csv->text))
            csv->text[n] = (char)c;
        n++;
        last = c;
    }
    if (c == EOF && n == 0)
        return false;
    if (c == '\n' && last == '\r')
        n--;
    *len = n;
    return true;
}

/* Cuts one field off the front of p..end. Returns what follows it: the comma, the end, or NULL with
 * `*fault` set. */
static const char *cut_field(const char *p, const char *end, const char **field, size_t *len,
                             const char **fault)
{
    while (p < end && is_blank(*p))
        p++;
    bool quoted = p < end && *p == '"';
    if (quoted) {
        *field = ++p;
        p = memchr(p, '"', (size_t)(end - p));
        if (p == NULL) {
            *fault = "a quotation mark is not closed";
            return NULL;
        }
        *len = (size_t)(p - *field);
        for (p++; p < end && is_blank(*p);)
            p++;
        if (p < end && *p != ',') {
            *fault = "something follows a closing quotation mark";
            return NULL;
        }
    } else {
        *field = p;
        while (p < end && *p != ',')
            p++;
        *len = (size_t)(p - *field);
    }
    for (; *len > 0 && is_blank((*field)[0]); ++*field)
        --*len;
    while (*len > 0 && is_blank((*field)[*len - 1]))
        --*len;
    return p;
}

/* 0xfe and 0xff are in no UTF-8: a file that starts with one is UTF-16, and every row of it is bad.
 */
static bool is_heading(const char *field, size_t len)
{
    return len > 0 && strchr("0123456789+(-.", field[0]) == NULL &&
           (unsigned char)field[0] >= 0x20 && (unsigned char)field[0] < 0xfe;
}

static enum npdb_csv_result bad(struct sticps_error *err, const char *fault)
{
    fail(err, STICPS_ERR_NPDB, NULL, "%s", fault);
    return NPDB_CSV_BAD;
}

static enum npdb_csv_result split_row(struct npdb_csv *csv, const char *text, const char *end,
                                      bool *heading, struct sticps_error *err)
{
    const char *fault = NULL;
    const char *p = cut_field(text, end, &csv->field[0], &csv->field_len[0], &fault);
    *heading = csv->line == 1 && p != NULL && is_heading(csv->field[0], csv->field_len[0]);
    if (*heading)
        return NPDB_CSV_ROW;
    if (p == NULL)
        return bad(err, fault);
    if (p == end)
        return bad(err, "there is one column; two are needed");
    p = cut_field(p + 1, end, &csv->field[1], &csv->field_len[1], &fault);
    if (p == NULL)
        return bad(err, fault);
    if (p != end)
        return bad(err, "there are more than two columns");
    return NPDB_CSV_ROW;
}

enum npdb_csv_result npdb_csv_next(struct npdb_csv *csv, struct sticps_error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t len;
    while (read_line(csv, &len)) {
        const char *text = csv->text;
        csv->line++;
        if (len > sizeof(csv->text))
            return bad(err, "the line is too long");
        const char *end = text + len;
        if (csv->line == 1 && len >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0)
            text += sizeof(mark) - 1;
        while (text < end && is_blank(*text))
            text++;
        if (text == end)
            continue;
        bool heading;
        enum npdb_csv_result result = split_row(csv, text, end, &heading, err);
        if (!heading)
            return result;
    }
    if (ferror(csv->file)) {
        fail(err, STICPS_ERR_FILE, NULL, "cannot read: %s", strerror(errno));
        return NPDB_CSV_FAILED;
    }
    return NPDB_CSV_END;
}

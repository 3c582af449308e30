#include "client/npdb_dialect.h"

#include <string.h>

/* 0xfe and 0xff are in no UTF-8: a file that starts with one is UTF-16, and every row of it is bad.
 */
static bool is_heading(const char *field, size_t len)
{
    return len > 0 && strchr("0123456789+(-., \t\r\n", field[0]) == NULL &&
           (unsigned char)field[0] >= 0x20 && (unsigned char)field[0] < 0xfe;
}

enum sticps_err npdb_dialect_find(const struct npdb_csv_options *options, enum npdb_csv_kind kind,
                                  const char *text, size_t len, struct npdb_dialect *out,
                                  struct sticps_error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t start = len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    (void)err;
    *out = (struct npdb_dialect){.options = options, .kind = kind, .separator = ','};
    out->two_columns = true;
    out->columns = 2;
    memset(out->role, NPDB_NO_COLUMN, sizeof(out->role));
    out->role[0] = NPDB_COLUMN_NUMBER;
    out->role[1] = NPDB_COLUMN_SPC;
    out->body = start;
    while (start < len && (text[start] == '"' || text[start] == ' ' || text[start] == '\t'))
        start++;
    if (is_heading(text + start, len - start)) {
        const char *newline = memchr(text + start, '\n', len - start);
        out->body = newline != NULL ? (size_t)(newline - text) + 1 : len;
        out->body_line = 1;
    }
    return STICPS_OK;
}

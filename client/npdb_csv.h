/* Reading the CSV that a portability file is built from: two columns, tolerant of what spreadsheets
 * and exports do to a file (UTF-8 byte order mark, CRLF, a heading, quotes and blanks around a
 * field, blank lines) and of nothing else. Called by npdb_build. Knows nothing of numbers beyond
 * telling a heading from a row. */
#ifndef CLIENT_NPDB_CSV_H
#define CLIENT_NPDB_CSV_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NPDB_CSV_MAX_LINE 1024 /* bytes, without the line break */

struct npdb_csv {
    FILE *file;           /* borrowed */
    uint64_t line;        /* of the row that was read last, from 1 */
    const char *field[2]; /* of that row, trimmed, borrowed until the next; not NUL-terminated */
    size_t field_len[2];
    char text[NPDB_CSV_MAX_LINE];
};

enum npdb_csv_result {
    NPDB_CSV_ROW,
    NPDB_CSV_END,
    NPDB_CSV_BAD,   /* the row is malformed, err says how; reading can go on */
    NPDB_CSV_FAILED /* the file cannot be read */
};

void npdb_csv_init(struct npdb_csv *csv, FILE *file);

/* The next row with something in it. A first row whose first field starts with a character that no
 * number starts with is a heading, and skipped. `err` receives code NPDB or FILE and the text. */
enum npdb_csv_result npdb_csv_next(struct npdb_csv *csv,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

#endif

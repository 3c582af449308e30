/* What one row of CSV says: the number or prefix in it, and its owner. Called by npdb_csv with the
 * fields that the dialect names, already cut out of their line. */
#ifndef CLIENT_NPDB_MEANING_H
#define CLIENT_NPDB_MEANING_H

#include "client/npdb_csv.h"

/* Trimmed, without quotation marks, borrowed, not NUL-terminated. Empty: the file has no such
 * column, or the row has nothing in it. */
struct npdb_field {
    const char *text;
    size_t len;
};

enum npdb_meaning {
    NPDB_MEANING_ROW,
    NPDB_MEANING_SKIPPED, /* for its status */
    NPDB_MEANING_FUTURE,  /* not yet */
    NPDB_MEANING_FAULT    /* `err` says why */
};

/* Sets all of *row but its line. */
enum npdb_meaning npdb_meaning_of(const struct npdb_dialect *dialect,
                                  const struct npdb_field fields[NPDB_COLUMN_COUNT],
                                  struct npdb_csv_row *row,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif

/* What one row of CSV says: the number or prefix in it, and its owner. Called by npdb_csv with the
 * fields that the dialect names, already cut out of their line. */
#ifndef CLIENT_NPDB_MEANING_H
#define CLIENT_NPDB_MEANING_H

#include "client/npdb_csv.h"
#include "client/npdb_field.h"

enum npdb_meaning {
    NPDB_MEANING_ROW,
    NPDB_MEANING_SKIPPED, /* for its status */
    NPDB_MEANING_FUTURE,  /* not effective yet */
    NPDB_MEANING_ENDED,   /* a port that is over */
    NPDB_MEANING_FAULT    /* `err` says why */
};

/* Sets all of *row but its line. A field is empty when the file has no such column. */
enum npdb_meaning npdb_meaning_of(const struct npdb_dialect *dialect,
                                  const struct npdb_field fields[NPDB_COLUMN_COUNT],
                                  struct npdb_csv_row *row,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif

/* How one CSV file is written: its separator, and which of its columns say what. Found once for
 * each file from its beginning, and then only read, by any number of threads. Called by npdb_build;
 * read by npdb_csv and npdb_meaning. docs/npdb-format.md, "The CSV", has the rules. */
#ifndef CLIENT_NPDB_DIALECT_H
#define CLIENT_NPDB_DIALECT_H

#include "client/npdb_csv_options.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPDB_NO_COLUMN (-1)

struct npdb_dialect {
    const struct npdb_csv_options *options; /* borrowed */
    enum npdb_csv_kind kind;
    char separator;
    bool two_columns;   /* no heading, number and owner and nothing else; the owner is in SPC */
    size_t body;        /* bytes in front of the first row */
    uint32_t body_line; /* lines in front of it */
    bool is_common;     /* ports: a number, an LRN or SPC, and maybe columns that do not matter */
    unsigned columns;   /* how many of them are looked at, from the left */
    int8_t role[NPDB_CSV_MAX_COLUMNS]; /* of each: enum npdb_column, or NPDB_NO_COLUMN */
};

/* `text` is the beginning of the file: its first MB, or all of it. `options` are borrowed for as
 * long as *out is used. STICPS_ERR_NPDB: a column is missing or there twice; the text says which
 * and what to do. */
enum sticps_err npdb_dialect_find(const struct npdb_csv_options *options, enum npdb_csv_kind kind,
                                  const char *text, size_t len, struct npdb_dialect *out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif

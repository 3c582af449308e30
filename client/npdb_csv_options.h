/* What somebody says about the CSV that a portability file is built from, as texts, checked when it
 * is said. The same for all files of a build. Called by npdb_api; read by npdb_dialect and
 * npdb_meaning. */
#ifndef CLIENT_NPDB_CSV_OPTIONS_H
#define CLIENT_NPDB_CSV_OPTIONS_H

#include "client/override.h"
#include "common/error.h"
#include "common/spc.h"
#include "sticps/npdb.h"

#include <stdbool.h>
#include <stdint.h>

/* What a file tells about. */
enum npdb_csv_kind {
    NPDB_CSV_BLOCKS, /* who has a block of numbers */
    NPDB_CSV_PORTS,  /* where single numbers are */
    NPDB_CSV_KINDS
};

/* What a column says. */
enum npdb_column {
    NPDB_COLUMN_NUMBER, /* a prefix in blocks, a number in ports */
    NPDB_COLUMN_NPA,
    NPDB_COLUMN_NXX,
    NPDB_COLUMN_BLOCK, /* the thousand, 0 to 9; A or nothing for all ten */
    NPDB_COLUMN_LRN,
    NPDB_COLUMN_SPC,
    NPDB_COLUMN_SPID,
    NPDB_COLUMN_STATUS,
    NPDB_COLUMN_DATE, /* from when on the row counts */
    NPDB_COLUMN_COUNT
};

#define NPDB_CSV_MAX_COLUMNS 256u

/* Where a column is, as somebody says. */
struct npdb_column_choice {
    char name[64];     /* in the heading, or "" */
    uint16_t position; /* from 1, or 0 */
    bool absent;       /* no column says that, whatever its name */
};

struct npdb_csv_options { /* zeros are the defaults, but for as_of */
    bool changes;         /* the files say what changes: rows may go (NPDB_UNKNOWN) */
    struct npdb_column_choice columns[NPDB_CSV_KINDS][NPDB_COLUMN_COUNT];
    char separator;       /* 0: found by looking */
    unsigned date_orders; /* of npdb_date.h; 0: any */
    uint32_t as_of;       /* yyyymmdd: rows of a later date do not count; 0: all do */
    char *skip_statuses;  /* "X,Y", upper case; NULL: NPDB_SKIP_STATUSES; owned */
    char *end_statuses;   /* NULL: NPDB_END_STATUSES; owned */
    struct override_table *spids, *spcs; /* owned, may be NULL */
};

/* A change that was cancelled, and a disconnect, in the routing guides. */
#define NPDB_SKIP_STATUSES "X"
#define NPDB_END_STATUSES "D"

/* NULL as `value` is the default again. STICPS_ERR_USAGE: no value for that option; STICPS_ERR_FILE
 * and _SPC: a table that cannot be read; STICPS_ERR_NO_MEMORY. */
enum sticps_err npdb_csv_options_set(struct npdb_csv_options *options,
                                     enum sticps_npdb_build_option which, const char *value,
                                     struct sticps_error *err) STICPS_MUST_CHECK;

void npdb_csv_options_clear(struct npdb_csv_options *options);

/* Whether `status` is one of `list`, in either case. */
bool npdb_status_in(const char *list, const char *status, size_t len);

/* What --blocks-columns and --ports-columns call a column. */
const char *npdb_column_name(enum npdb_csv_kind kind, enum npdb_column column);

#endif

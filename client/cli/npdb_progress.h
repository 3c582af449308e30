/* The line that shows on a terminal how far `sticps npdb build` is. */
#ifndef CLI_NPDB_PROGRESS_H
#define CLI_NPDB_PROGRESS_H

#include "sticps/npdb.h"

#include <stdbool.h>
#include <stdint.h>

struct npdb_progress {
    bool is_terminal; /* else nothing is shown */
    bool shown;       /* the line stands there now */
    uint64_t started; /* ms, monotonic */
    uint64_t last;    /* ms: when it was drawn */
    uint64_t read;    /* ms: when all were */
};

/* Standard error is where it goes. */
void npdb_progress_start(struct npdb_progress *progress);

/* For sticps_npdb_build_on_progress; `arg` is the struct. Draws ten times a second at most. */
void npdb_progress_on(enum sticps_npdb_stage stage, uint64_t done, uint64_t total, uint64_t rows,
                      void *arg);

/* Takes the line away, for something else to be printed. */
void npdb_progress_clear(struct npdb_progress *progress);

#endif

#include "client/cli/npdb_progress.h"

#include "client/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL 100 /* ms */

void npdb_progress_start(struct npdb_progress *progress)
{
    memset(progress, 0, sizeof(*progress));
    progress->is_terminal = isatty(STDERR_FILENO) == 1;
    progress->started = loop_now();
}

static void draw(struct npdb_progress *progress, enum sticps_npdb_stage stage, uint64_t done,
                 uint64_t total, uint64_t rows, uint64_t now)
{
    uint64_t until = stage == STICPS_NPDB_READING ? now : progress->read;
    double seconds = (double)(until - progress->started) / 1000;
    double rate = seconds > 0 ? (double)rows / seconds / 1e6 : 0;
    fprintf(stderr, "\r\033[K%s", stage == STICPS_NPDB_READING ? "reading" : "assembling");
    if (total > 0)
        fprintf(stderr, " %" PRIu64 " %%", 100 * done / total);
    fprintf(stderr, ", %" PRIu64 " rows, %.1f M rows/s", rows, rate);
    fflush(stderr);
    progress->shown = true;
    progress->last = now;
}

void npdb_progress_on(enum sticps_npdb_stage stage, uint64_t done, uint64_t total, uint64_t rows,
                      void *arg)
{
    struct npdb_progress *progress = arg;
    if (!progress->is_terminal)
        return;
    uint64_t now = loop_now();
    if (stage == STICPS_NPDB_READING)
        progress->read = now;
    if (now - progress->last >= INTERVAL)
        draw(progress, stage, done, total, rows, now);
}

void npdb_progress_clear(struct npdb_progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
    progress->shown = false;
}

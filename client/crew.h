/* A crew works through jobs that come one after the other: the calling thread feeds a job, a worker
 * does it, and the calling thread collects it, in the order in which the jobs were fed. So only the
 * work itself has to bear threads. Called by npdb_build and npdb_assemble. */
#ifndef CLIENT_CREW_H
#define CLIENT_CREW_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define CREW_MAX_WORKERS 8u

struct crew {
    void *jobs; /* `jobs_len` of them, `job_size` bytes each, used over and over */
    size_t job_size, jobs_len;
    unsigned workers; /* threads; with 0, or where none can be started, the caller's does it all */

    /* Fills a job in. Sets *more to false when there is none; the job is then left alone. */
    enum sticps_err (*feed)(void *arg, void *job, bool *more, struct sticps_error *err);
    /* Any thread; `worker` counts from 0 and no two threads have the same. What goes wrong is
     * written into the job. */
    void (*work)(void *arg, unsigned worker, void *job);
    enum sticps_err (*collect)(void *arg, void *job, struct sticps_error *err);
    void *arg;
};

/* Until feed has no more and all is collected, or until feed or collect fails: that is the result.
 * Every thread has ended when it returns. STICPS_ERR_NO_MEMORY. */
enum sticps_err crew_run(const struct crew *crew, struct sticps_error *err) STICPS_MUST_CHECK;

/* How many workers `asked` for (0: as many as there are processors) come to, at most
 * CREW_MAX_WORKERS; 0 for one, which needs no thread. */
unsigned crew_workers(unsigned asked);

#endif

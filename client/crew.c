#include "client/crew.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* Jobs are counted from the first fed; number n lies in place n modulo jobs_len. */
struct run {
    const struct crew *crew;
    pthread_mutex_t mutex;
    pthread_cond_t fed_one, done_one;
    size_t fed, taken; /* under the mutex, as is done[] */
    bool stop;
    unsigned started; /* numbers the workers */
    size_t collected; /* the caller's own */
    bool done[2 * CREW_MAX_WORKERS + 2];
};

static void *job_at(const struct crew *crew, size_t number)
{
    return (char *)crew->jobs + number % crew->jobs_len * crew->job_size;
}

static void *worker_main(void *arg)
{
    struct run *run = arg;
    pthread_mutex_lock(&run->mutex);
    unsigned worker = run->started++;
    for (;;) {
        while (!run->stop && run->taken == run->fed)
            pthread_cond_wait(&run->fed_one, &run->mutex);
        if (run->stop)
            break;
        size_t number = run->taken++;
        pthread_mutex_unlock(&run->mutex);
        run->crew->work(run->crew->arg, worker, job_at(run->crew, number));
        pthread_mutex_lock(&run->mutex);
        run->done[number % run->crew->jobs_len] = true;
        pthread_cond_signal(&run->done_one);
    }
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

/* Returns how many could be started. */
static unsigned start_workers(struct run *run, pthread_t threads[CREW_MAX_WORKERS])
{
    sigset_t all, before;
    unsigned count = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals stay the host's */
    while (count < run->crew->workers && count < CREW_MAX_WORKERS &&
           pthread_create(&threads[count], NULL, worker_main, run) == 0)
        count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count;
}

/* Is the oldest job done? Waits for it when told. */
static bool oldest_is_done(struct run *run, bool wait)
{
    bool *done = &run->done[run->collected % run->crew->jobs_len];
    pthread_mutex_lock(&run->mutex);
    while (wait && !*done)
        pthread_cond_wait(&run->done_one, &run->mutex);
    bool is = *done;
    *done = false;
    pthread_mutex_unlock(&run->mutex);
    return is;
}

static void hand_out(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    run->fed++;
    pthread_cond_signal(&run->fed_one);
    pthread_mutex_unlock(&run->mutex);
}

static enum sticps_err run_threads(struct run *run, struct sticps_error *err)
{
    const struct crew *crew = run->crew;
    enum sticps_err code = STICPS_OK;
    size_t fed = 0;
    for (bool more = true; code == STICPS_OK && (more || run->collected < fed);) {
        if (more && fed - run->collected < crew->jobs_len) {
            code = crew->feed(crew->arg, job_at(crew, fed), &more, err);
            if (code == STICPS_OK && more) {
                hand_out(run);
                fed++;
            }
        }
        bool wait = !more || fed - run->collected == crew->jobs_len;
        if (code == STICPS_OK && run->collected < fed && oldest_is_done(run, wait))
            code = crew->collect(crew->arg, job_at(crew, run->collected++), err);
    }
    return code;
}

static enum sticps_err run_alone(const struct crew *crew, struct sticps_error *err)
{
    for (bool more = true;;) {
        enum sticps_err code = crew->feed(crew->arg, crew->jobs, &more, err);
        if (code != STICPS_OK || !more)
            return code;
        crew->work(crew->arg, 0, crew->jobs);
        code = crew->collect(crew->arg, crew->jobs, err);
        if (code != STICPS_OK)
            return code;
    }
}

enum sticps_err crew_run(const struct crew *crew, struct sticps_error *err)
{
    struct run run = {.crew = crew};
    pthread_t threads[CREW_MAX_WORKERS];
    if (crew->workers == 0)
        return run_alone(crew, err);
    if (crew->jobs_len > sizeof(run.done) / sizeof(run.done[0]))
        return fail(err, STICPS_ERR_USAGE, NULL, "%zu jobs are too many", crew->jobs_len);
    pthread_mutex_init(&run.mutex, NULL);
    pthread_cond_init(&run.fed_one, NULL);
    pthread_cond_init(&run.done_one, NULL);
    unsigned count = start_workers(&run, threads);
    enum sticps_err code = count > 0 ? run_threads(&run, err) : run_alone(crew, err);

    pthread_mutex_lock(&run.mutex);
    run.stop = true;
    pthread_cond_broadcast(&run.fed_one);
    pthread_mutex_unlock(&run.mutex);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&run.done_one);
    pthread_cond_destroy(&run.fed_one);
    pthread_mutex_destroy(&run.mutex);
    return code;
}

unsigned crew_workers(unsigned asked)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = asked > 0 ? asked : processors > 0 ? (unsigned)processors : 1;
    if (count > CREW_MAX_WORKERS)
        count = CREW_MAX_WORKERS;
    return count > 1 ? count : 0;
}

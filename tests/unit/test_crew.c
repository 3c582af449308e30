/* client/crew: every job is done once and collected in the order in which it was fed, however many
 * threads there are; what goes wrong ends it with all threads gone. */
#include "client/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#undef fail /* cmocka has one of its own */

/* How many threads can still be started. */
static int threads_left;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
                          void *arg)
{
    return threads_left-- > 0 ? __real_pthread_create(thread, attr, main, arg) : EAGAIN;
}

struct job {
    unsigned number, square;
};

struct course {
    unsigned jobs, fed, collected;
    unsigned feed_fails, collect_fails; /* at this job; 0: never */
    atomic_uint done, busy[CREW_MAX_WORKERS];
};

static enum sticps_err feed(void *arg, void *place, bool *more, struct sticps_error *err)
{
    struct course *course = arg;
    struct job *job = place;
    *more = course->fed < course->jobs;
    if (!*more)
        return STICPS_OK;
    if (++course->fed == course->feed_fails)
        return fail(err, STICPS_ERR_FILE, NULL, "feed");
    job->number = course->fed;
    return STICPS_OK;
}

static void work(void *arg, unsigned worker, void *place)
{
    struct course *course = arg;
    struct job *job = place;
    assert_true(worker < CREW_MAX_WORKERS);
    assert_int_equal(atomic_fetch_add(&course->busy[worker], 1), 0); /* one number, one thread */
    const struct timespec pause = {0, job->number * 7919 % 5 * 20000};
    nanosleep(&pause, NULL);
    job->square = job->number * job->number;
    atomic_fetch_add(&course->done, 1);
    atomic_fetch_sub(&course->busy[worker], 1);
}

static enum sticps_err collect(void *arg, void *place, struct sticps_error *err)
{
    struct course *course = arg;
    const struct job *job = place;
    assert_int_equal(job->number, ++course->collected);
    assert_int_equal(job->square, job->number * job->number);
    if (course->collected == course->collect_fails)
        return fail(err, STICPS_ERR_NPDB, NULL, "collect");
    return STICPS_OK;
}

static enum sticps_err run(struct course *course, unsigned workers, size_t places)
{
    struct job jobs[18] = {{0, 0}};
    struct sticps_error err;
    const struct crew crew = {.jobs = jobs,
                              .job_size = sizeof(jobs[0]),
                              .jobs_len = places,
                              .workers = workers,
                              .feed = feed,
                              .work = work,
                              .collect = collect,
                              .arg = course};
    return crew_run(&crew, &err);
}

static void jobs_come_back_in_order(void **state)
{
    (void)state;
    static const struct {
        unsigned workers, jobs;
        size_t places;
        int threads;
    } cases[] = {
        {0, 200, 1, 0},  {1, 200, 2, 8}, {2, 500, 3, 8}, {2, 500, 5, 8}, {8, 500, 17, 8},
        {8, 500, 18, 8}, {8, 3, 17, 8},  {4, 0, 5, 8},   {8, 200, 9, 3}, /* fewer can be started */
        {4, 200, 5, 1},  {4, 200, 5, 0}, {0, 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct course course = {.jobs = cases[i].jobs};
        threads_left = cases[i].threads;
        assert_int_equal(run(&course, cases[i].workers, cases[i].places), STICPS_OK);
        assert_int_equal(course.collected, cases[i].jobs);
        assert_int_equal(course.done, cases[i].jobs);
    }
}

static void a_failure_ends_it(void **state)
{
    (void)state;
    for (unsigned workers = 0; workers <= 4; workers += 2)
        for (unsigned at = 1; at < 60; at += 19) {
            struct course course = {.jobs = 60, .feed_fails = at};
            threads_left = 8;
            assert_int_equal(run(&course, workers, 2 * workers + 1), STICPS_ERR_FILE);
            assert_true(course.collected < at);
            course = (struct course){.jobs = 60, .collect_fails = at};
            threads_left = 8;
            assert_int_equal(run(&course, workers, 2 * workers + 1), STICPS_ERR_NPDB);
            assert_int_equal(course.collected, at);
        }
}

static void more_places_than_it_counts_are_refused(void **state)
{
    (void)state;
    struct course course = {.jobs = 1};
    threads_left = 8;
    assert_int_equal(run(&course, 1, 100), STICPS_ERR_USAGE);
}

static void workers_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(crew_workers(1), 0); /* the caller's own thread does it */
    assert_int_equal(crew_workers(2), 2);
    assert_int_equal(crew_workers(8), 8);
    assert_int_equal(crew_workers(1000), CREW_MAX_WORKERS);
    assert_true(crew_workers(0) <= CREW_MAX_WORKERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_come_back_in_order),
        cmocka_unit_test(a_failure_ends_it),
        cmocka_unit_test(more_places_than_it_counts_are_refused),
        cmocka_unit_test(workers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

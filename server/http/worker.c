#include "server/http/worker.h"

#include "server/http/limits.h"
#include "server/http/log.h"
#include "server/http/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct job *next;
    struct server_thread *home;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

/* The jobs of one client that wait; there is none without a job. */
struct lane {
    struct lane *next;
    struct limits_key client;
    struct job *first, **end;
    size_t waiting;
};

struct worker_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct lane *lanes; /* the one whose turn it is first; few, since few jobs may wait */
    size_t waiting, running, queue_max;
    bool stopping;
    pthread_t *threads;
    size_t threads_len;
};

static void on_done(void *arg)
{
    struct job *job = arg;
    server_thread_release(job->home);
    job->done(job->arg);
    free(job);
}

/* The first job of the lane whose turn it is; the lane goes to the end. */
static struct job *take_first(struct worker_pool *pool)
{
    struct lane *lane = pool->lanes, **end = &pool->lanes;
    struct job *job = lane->first;

    lane->first = job->next;
    lane->waiting--;
    pool->lanes = lane->next;
    if (lane->first == NULL) {
        free(lane);
        return job;
    }
    while (*end != NULL)
        end = &(*end)->next;
    lane->next = NULL;
    *end = lane;
    return job;
}

/* The next job, waiting for it; NULL when the pool stops and none is left. */
static struct job *take(struct worker_pool *pool)
{
    struct job *job = NULL;

    pthread_mutex_lock(&pool->lock);
    while (pool->lanes == NULL && !pool->stopping)
        pthread_cond_wait(&pool->work, &pool->lock);
    if (pool->lanes != NULL) {
        job = take_first(pool);
        pool->waiting--;
        pool->running++;
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *work(void *arg)
{
    struct worker_pool *pool = arg;
    struct job *job;
    while ((job = take(pool)) != NULL) {
        job->run(job->arg);
        pthread_mutex_lock(&pool->lock);
        pool->running--;
        pthread_mutex_unlock(&pool->lock);
        if (!server_post(job->home, on_done, job)) {
            log_warn("a job ended after the thread that waited for it");
            free(job);
        }
    }
    return NULL;
}

enum sticps_err worker_pool_new(unsigned threads, size_t queue_max, struct worker_pool **out,
                                struct sticps_error *err)
{
    struct worker_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->queue_max = queue_max;
    pool->threads = calloc(threads, sizeof(*pool->threads));
    for (; pool->threads != NULL && pool->threads_len < threads; pool->threads_len++) {
        int why = pthread_create(&pool->threads[pool->threads_len], NULL, work, pool);
        if (why == 0)
            continue;
        worker_pool_free(pool);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "cannot start a worker: %s", strerror(why));
    }
    if (pool->threads_len == 0) {
        worker_pool_free(pool);
        return fail(err, STICPS_ERR_USAGE, NULL, "a worker pool needs a thread");
    }
    *out = pool;
    return STICPS_OK;
}

/* The client's lane, made when it has none; NULL when out of memory. */
static struct lane *lane_of(struct worker_pool *pool, const struct limits_key *client)
{
    struct lane **at = &pool->lanes;

    while (*at != NULL && memcmp(&(*at)->client, client, sizeof(*client)) != 0)
        at = &(*at)->next;
    if (*at == NULL && (*at = calloc(1, sizeof(**at))) != NULL) {
        (*at)->client = *client;
        (*at)->end = &(*at)->first;
    }
    return *at;
}

static enum worker_answer enqueue(struct worker_pool *pool, const struct limits_key *client,
                                  size_t client_max, struct job *job)
{
    if (pool->waiting >= pool->queue_max)
        return WORKER_FULL;
    struct lane *lane = lane_of(pool, client);
    if (lane == NULL)
        return WORKER_FULL;
    if (lane->waiting >= client_max)
        return WORKER_CLIENT_FULL;
    *lane->end = job;
    lane->end = &job->next;
    lane->waiting++;
    pool->waiting++;
    server_thread_hold(job->home); /* before a worker can be done with it */
    pthread_cond_signal(&pool->work);
    return WORKER_TAKEN;
}

enum worker_answer worker_submit_for(struct worker_pool *pool, const struct limits_key *client,
                                     size_t client_max, struct server_thread *home,
                                     void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return WORKER_FULL;
    *job = (struct job){.home = home, .run = run, .done = done, .arg = arg};
    pthread_mutex_lock(&pool->lock);
    enum worker_answer answer = enqueue(pool, client, client_max, job);
    pthread_mutex_unlock(&pool->lock);
    if (answer != WORKER_TAKEN)
        free(job);
    return answer;
}

bool worker_submit(struct worker_pool *pool, struct server_thread *home, void (*run)(void *arg),
                   void (*done)(void *arg), void *arg)
{
    static const struct limits_key nobody; /* no client's: it has no family */

    return worker_submit_for(pool, &nobody, SIZE_MAX, home, run, done, arg) == WORKER_TAKEN;
}

size_t worker_pool_load(struct worker_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    size_t load = pool->waiting + pool->running;
    pthread_mutex_unlock(&pool->lock);
    return load;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->threads_len; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}

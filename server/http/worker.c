#include "server/http/worker.h"

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

struct worker_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *first, **end;
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

/* The next job, waiting for it; NULL when the pool stops and none is left. */
static struct job *take(struct worker_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->stopping)
        pthread_cond_wait(&pool->work, &pool->lock);
    struct job *job = pool->first;
    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL)
            pool->end = &pool->first;
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
    pool->end = &pool->first;
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

bool worker_submit(struct worker_pool *pool, struct server_thread *home, void (*run)(void *arg),
                   void (*done)(void *arg), void *arg)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return false;
    *job = (struct job){.home = home, .run = run, .done = done, .arg = arg};
    pthread_mutex_lock(&pool->lock);
    bool room = pool->waiting < pool->queue_max;
    if (room) {
        *pool->end = job;
        pool->end = &job->next;
        pool->waiting++;
        server_thread_hold(home); /* before a worker can be done with it */
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!room)
        free(job);
    return room;
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
